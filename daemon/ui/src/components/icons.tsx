// Line icons drawn for this page, 24 x 24.
import type { ReactNode } from 'react';

function Icon({ children }: { children: ReactNode }) {
  return (
    <svg className="icon" viewBox="0 0 24 24" aria-hidden="true" fill="none" stroke="currentColor" strokeWidth="1.8" strokeLinecap="round" strokeLinejoin="round">
      {children}
    </svg>
  );
}

export const CameraIcon = () => (
  <Icon>
    <path d="M3 8.500 16 5l1.500 5.600-13 3.500z" />
    <path d="M17.200 9.400 21 10.500l-1 3.700-2.300-.6M8 13.200V19m0 0H4m4 0h4" />
  </Icon>
);
export const PlateIcon = () => (
  <Icon>
    <rect x="2.500" y="6.500" width="19" height="11" rx="2" />
    <path d="M2.500 9.500h19M6 14.500v-2.500l1.500 2.500V12M11 12v2.500M14 12h3l-2 2.500" />
  </Icon>
);
export const RecordingsIcon = () => (
  <Icon>
    <circle cx="12" cy="12" r="8.500" />
    <path d="M12 7v5l3.500 2" />
  </Icon>
);
export const SystemIcon = () => (
  <Icon>
    <rect x="4" y="4" width="16" height="7" rx="1.500" />
    <rect x="4" y="13" width="16" height="7" rx="1.500" />
    <path d="M8 7.500h.01M8 16.500h.01M12 7.500h4M12 16.500h4" />
  </Icon>
);
export const SearchIcon = () => (
  <Icon>
    <circle cx="11" cy="11" r="6" />
    <path d="m20 20-4.500-4.500" />
  </Icon>
);
export const BackIcon = () => (
  <Icon>
    <path d="m14.500 5.500-6.500 6.500 6.500 6.500" />
  </Icon>
);
export const ForwardIcon = () => (
  <Icon>
    <path d="m9.500 5.500 6.500 6.500-6.500 6.500" />
  </Icon>
);
export const FullscreenIcon = () => (
  <Icon>
    <path d="M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5" />
  </Icon>
);
export const NoPictureIcon = () => (
  <Icon>
    <path d="M4 4l16 16M9 6h9.500A1.500 1.500 0 0 1 20 7.500V17M4.500 6.600A1.500 1.500 0 0 0 4 7.700v8.800A1.500 1.500 0 0 0 5.500 18H16" />
  </Icon>
);
export const PlusIcon = () => (
  <Icon>
    <path d="M12 5v14M5 12h14" />
  </Icon>
);
export const UndoIcon = () => (
  <Icon>
    <path d="M8.500 5 4.500 9l4 4M4.500 9h9.500a5 5 0 0 1 0 10H9" />
  </Icon>
);
export const RedoIcon = () => (
  <Icon>
    <path d="m15.500 5 4 4-4 4M19.500 9H10a5 5 0 0 0 0 10h5" />
  </Icon>
);
export const AlertIcon = () => (
  <Icon>
    <path d="M6 16.500V11a6 6 0 0 1 12 0v5.500l1.500 1.500h-15zM10 20.500a2.200 2.200 0 0 0 4 0" />
  </Icon>
);
export const ListIcon = () => (
  <Icon>
    <path d="M9 6.500h11M9 12h11M9 17.500h11" />
    <path d="m3.500 6.500 1 1 1.800-2M3.500 12l1 1 1.800-2M3.500 17.500l1 1 1.800-2" />
  </Icon>
);
export const CloseIcon = () => (
  <Icon>
    <path d="m6 6 12 12M18 6 6 18" />
  </Icon>
);
export const SoundIcon = () => (
  <Icon>
    <path d="M4 9.500v5h3.500l4.500 4v-13l-4.500 4zM15.500 9a4 4 0 0 1 0 6M18 6.500a7.500 7.500 0 0 1 0 11" />
  </Icon>
);
export const MutedIcon = () => (
  <Icon>
    <path d="M4 9.500v5h3.500l4.500 4v-13l-4.500 4zM16 9.500l5 5M21 9.500l-5 5" />
  </Icon>
);
export const PlayIcon = () => (
  <Icon>
    <path d="M8 5.500v13l11-6.500z" fill="currentColor" />
  </Icon>
);
export const PauseIcon = () => (
  <Icon>
    <path d="M8.500 6v12M15.500 6v12" strokeWidth="3.200" />
  </Icon>
);
export const StepIcon = () => (
  <Icon>
    <path d="M7 6v12l8-6zM18 6v12" />
  </Icon>
);
export const StepBackIcon = () => (
  <Icon>
    <path d="M17 6v12l-8-6zM6 6v12" />
  </Icon>
);
export const NextMarkIcon = () => (
  <Icon>
    <path d="m4 7 5 5-5 5M11 12h2M16 8.500h5v7h-5z" />
  </Icon>
);
export const PreviousMarkIcon = () => (
  <Icon>
    <path d="m20 7-5 5 5 5M13 12h-2M3 8.500h5v7H3z" />
  </Icon>
);
export const MinusIcon = () => (
  <Icon>
    <path d="M5 12h14" />
  </Icon>
);
