// The JSON of the box's API, as /api/openapi.json describes it. Times are microseconds UTC.
export type Role = 'viewer' | 'operator' | 'administrator';

export interface User {
  id: string;
  username: string;
  role: Role;
  disabled: boolean;
  created_at: number;
}

export interface Session {
  user: User;
  access_token: string;
  expires_in_seconds: number;
}

export type CameraStateName =
  | 'unreachable'
  | 'unauthorised'
  | 'connecting'
  | 'streaming'
  | 'stalled'
  | 'disabled';

export interface StreamHealth {
  codec: string;
  width: number;
  height: number;
  fps: number;
  bitrate_bps: number;
}

export interface CameraState {
  state: CameraStateName;
  reason: string;
  code: string;
  since: number;
  main: StreamHealth | null;
  sub: StreamHealth | null;
  decoder: string | null;
  clock_offset_ms: number | null;
}

export interface Camera {
  id: string;
  name: string;
  enabled: boolean;
  onvif_url: string | null;
  main_url: string;
  sub_url: string | null;
  username: string;
  has_password: boolean;
  transport: 'tcp' | 'udp';
  record: 'main' | 'sub' | 'both' | 'off';
  audio: boolean;
  lpr: 'off' | 'main' | 'sub';
  clock: 'box' | 'camera';
  status: CameraState | null;
}

export interface CameraInput {
  id?: string;
  name?: string;
  enabled?: boolean;
  onvif_url?: string;
  main_url?: string;
  sub_url?: string;
  username?: string;
  password?: string;
  transport?: Camera['transport'];
  record?: Camera['record'];
  audio?: boolean;
  lpr?: Camera['lpr'];
}

export interface FoundDevice {
  endpoint: string;
  onvif_url: string;
  host: string;
  name: string | null;
  hardware: string | null;
  /** Id of the configured camera with this address. */
  camera: string | null;
}

export interface DeviceProfile {
  token: string;
  name: string;
  codec: string | null;
  width: number | null;
  height: number | null;
  rtsp_url: string;
}

export interface DeviceReport {
  onvif_url: string;
  manufacturer: string;
  model: string;
  clock_offset_ms: number | null;
  profiles: DeviceProfile[];
}

export interface Detection {
  id: string;
  camera: string;
  plate: string;
  layout: string;
  confidence: number;
  alternatives: { text: string; p: number }[];
  first_seen: number;
  last_seen: number;
  best_at: number;
  quad: [number, number][];
  frame_width: number;
  frame_height: number;
  direction: string | null;
  reads: number;
  has_crop: boolean;
  has_frame: boolean;
  clip: 'ready' | 'pending' | 'unavailable';
}

export interface DetectionPage {
  detections: Detection[];
  next: string | null;
}

export type DetectionEvent =
  | { type: 'detection'; detection: Detection }
  | { type: 'clip'; id: string }
  | { type: 'missed'; count: number };

export type LiveEvent =
  | { type: 'init'; mime: string; stream: 'main' | 'sub'; width: number; height: number }
  | { type: 'waiting'; state: CameraStateName; reason: string };

export interface Span {
  stream: 'main' | 'sub';
  start: number;
  end: number;
}

export interface PlaybackInfo {
  /** With codecs. */
  mime: string;
  start: number;
  end: number;
  /** Where the next playback begins when this one ends early. */
  next: number | null;
  bytes: number;
  /** Which recorded time each part of the file shows; microseconds. */
  stretches: { media: number; start: number; duration: number }[];
}

export interface BoxStatus {
  name: string;
  prefeitura: string;
  site: string;
  version: string;
  now: number;
  uptime_seconds: number;
  ready: boolean;
  reason: string | null;
  cameras: { configured: number; streaming: number };
  disk: {
    total_bytes: number;
    free_bytes: number;
    floor_bytes: number;
    recorded_bytes: number;
    oldest_recording: number | null;
  };
  lpr: {
    state: 'off' | 'starting' | 'running' | 'failed';
    provider: string;
    reason: string;
    models: string[];
    stages: { stage: string; p50_ms: number; p95_ms: number }[];
  };
  sync: {
    configured: boolean;
    connected: boolean;
    problem: string | null;
    acknowledged_seq: number;
    acknowledged_at: number | null;
    in_flight: number;
    /** Alerts, detections, clips and the rest. */
    waiting: [number, number, number];
  };
}

export interface AuditEntry {
  seq: number;
  at: number;
  actor: string;
  action: string;
  subject: string;
  detail: { outcome?: 'done' | 'refused' };
  remote: string;
  hash: string;
}

export interface ErrorBody {
  error: {
    code: string;
    message: string;
    remedy: string;
    field?: string;
    problems?: { key: string; message: string }[];
  };
}
