// The controls of the recordings page: play, frame steps, speed, passages, time, zoom.
import { useState } from 'react';

import { Button, Select } from '../../components/basics';
import { FullscreenIcon, MinusIcon, MutedIcon, NextMarkIcon, PauseIcon, PlayIcon, PlusIcon, PreviousMarkIcon, SoundIcon, StepBackIcon, StepIcon } from '../../components/icons';
import { useI18n } from '../../i18n';
import type { Players } from '../../lib/players';
import { fromDate, localInput } from '../../lib/time';

const SPEEDS = [0.5, 1, 2, 4, 8, 16];

export function Transport({
  players,
  onPassage,
  onSeek,
  onZoom,
  onFullscreen,
}: {
  players: Players;
  onPassage: (direction: 'next' | 'previous') => void;
  onSeek: (time: number) => void;
  onZoom: (factor: number) => void;
  onFullscreen: () => void;
}) {
  const { t, locale } = useI18n();
  return (
    <div className="transport" role="toolbar" aria-label={t('recordings.controls')}>
      <div className="transport-group">
        <Button kind="quiet" aria-label={t('recordings.passage_previous')} title={`${t('recordings.passage_previous')} (P)`} onClick={() => onPassage('previous')}>
          <PreviousMarkIcon />
        </Button>
        <Button kind="quiet" aria-label={t('recordings.frame_previous')} title={`${t('recordings.frame_previous')} (,)`} onClick={() => players.step(-1)}>
          <StepBackIcon />
        </Button>
        <Button
          kind="primary"
          className="play"
          aria-label={players.playing ? t('recordings.pause') : t('recordings.play')}
          title={`${players.playing ? t('recordings.pause') : t('recordings.play')} (${t('recordings.space')})`}
          onClick={() => (players.playing ? players.pause() : players.play())}
        >
          {players.playing ? <PauseIcon /> : <PlayIcon />}
        </Button>
        <Button kind="quiet" aria-label={t('recordings.frame_next')} title={`${t('recordings.frame_next')} (.)`} onClick={() => players.step(1)}>
          <StepIcon />
        </Button>
        <Button kind="quiet" aria-label={t('recordings.passage_next')} title={`${t('recordings.passage_next')} (N)`} onClick={() => onPassage('next')}>
          <NextMarkIcon />
        </Button>
      </div>
      <Select
        label={t('recordings.speed')}
        hideLabel
        value={String(players.speed)}
        options={SPEEDS.map((speed) => [String(speed), `${speed.toLocaleString(locale)}×`] as const)}
        onChange={(speed) => players.setSpeed(Number(speed))}
      />
      <TimeField time={players.time} onSeek={onSeek} />
      <span className="grow" />
      <div className="transport-group">
        <Button kind="quiet" aria-label={t('recordings.sound')} title={t('recordings.sound')} aria-pressed={!players.muted} onClick={() => players.toggleSound()}>
          {players.muted ? <MutedIcon /> : <SoundIcon />}
        </Button>
        <Button kind="quiet" aria-label={t('recordings.zoom_out')} title={`${t('recordings.zoom_out')} (-)`} onClick={() => onZoom(2.5)}>
          <MinusIcon />
        </Button>
        <Button kind="quiet" aria-label={t('recordings.zoom_in')} title={`${t('recordings.zoom_in')} (+)`} onClick={() => onZoom(0.4)}>
          <PlusIcon />
        </Button>
        <Button kind="quiet" aria-label={t('live.fullscreen')} title={t('live.fullscreen')} onClick={onFullscreen}>
          <FullscreenIcon />
        </Button>
      </div>
    </div>
  );
}

/** The playing time; typed over, it seeks. */
function TimeField({ time, onSeek }: { time: number; onSeek: (time: number) => void }) {
  const { t } = useI18n();
  const [typed, setTyped] = useState<string | null>(null);
  const done = (): void => {
    const date = typed === null ? null : new Date(typed);
    if (date && !Number.isNaN(date.getTime())) onSeek(fromDate(date));
    setTyped(null);
  };
  return (
    <input
      type="datetime-local"
      className="time-field"
      step={1}
      aria-label={t('recordings.time')}
      value={typed ?? localInput(time)}
      onChange={(event) => setTyped(event.target.value)}
      onBlur={done}
      onKeyDown={(event) => {
        event.stopPropagation();
        if (event.key === 'Enter') event.currentTarget.blur();
      }}
    />
  );
}
