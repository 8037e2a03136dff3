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
  has_audio: boolean;
  /** Which RTSP client reads it, and why where it is not the usual one. */
  client: string;
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
  zones: Zone[];
  /** Share of the picture's width; 0 is off. */
  min_plate_width: number;
  /** Of its recordings; 0 is no limit of its own. */
  max_bytes: number;
  record_main: RecordHow;
  record_sub: RecordHow;
  push: Push;
  status: CameraState | null;
}

/** Where a stream is sent by RTSP; nowhere while `url` is empty. */
export interface Push {
  url: string;
  stream: 'main' | 'sub';
  username: string;
  has_password: boolean;
  status: { state: 'connecting' | 'sending' | 'waiting' | 'failed'; reason: string; since: number } | null;
}

export interface PushInput {
  url?: string;
  stream?: Push['stream'];
  username?: string;
  password?: string;
}

export type RecordMode = 'continuous' | 'motion' | 'detection' | 'schedule';

/** When a recorded stream is recorded. */
export interface RecordHow {
  mode: RecordMode;
  pre_roll_s: number;
  post_roll_s: number;
  /** Weekly times such as `mon-fri 07:00-19:00`; empty: always. */
  schedule: string[];
}

export type Point = [number, number];

/** A polygon in shares of the picture, 0 to 1 from the upper left. */
export interface Zone {
  name: string;
  /** Plates count inside of a watched zone (everywhere, where there is none) and never inside of an ignored one. */
  kind: 'watch' | 'ignore';
  points: Point[];
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
  zones?: Zone[];
  min_plate_width?: number;
  max_bytes?: number;
  record_main?: RecordHow;
  record_sub?: RecordHow;
  push?: PushInput;
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
  category: string | null;
  confidence: number;
  /** How likely this is the plate that a search for similar ones asks for. */
  score?: number;
  alternatives: { text: string; p: number }[];
  first_seen: number;
  last_seen: number;
  best_at: number;
  quad: [number, number][];
  frame_width: number;
  frame_height: number;
  direction: string | null;
  reads: number;
  /** Seen in one frame only. */
  single: boolean;
  has_crop: boolean;
  has_frame: boolean;
  clip: 'ready' | 'pending' | 'unavailable';
}

export interface DetectionPage {
  detections: Detection[];
  next: string | null;
}

export type BoxEvent =
  | { type: 'detection'; detection: Detection }
  | { type: 'clip'; id: string }
  /** Raised, seen again, or acknowledged: its newest state. */
  | { type: 'alert'; alert: Alert }
  | { type: 'missed'; count: number };

export type Severity = 'info' | 'warning' | 'critical';

export interface Alert {
  id: string;
  at: number;
  /** For example `watchlist-hit` or `camera-lost`. */
  kind: string;
  severity: Severity;
  camera: string | null;
  detection: string | null;
  title: string;
  /** By kind. */
  detail: Partial<WatchlistHit & CoverageLow>;
  acknowledged_at: number | null;
  acknowledged_by: string | null;
}

export interface WatchlistHit {
  watchlist: string;
  list_id: string;
  reason: string;
  /** As the list has it. */
  plate: string;
  /** The reading that matched it. */
  matched: string;
  match: 'exact' | 'equivalent' | 'alternative';
  confidence: number;
  /** Passages after the first that are told by the same alert. */
  repeats: number;
  last_seen_at: number;
}

export interface CoverageLow {
  stream: 'main' | 'sub';
  /** Its start. */
  hour: number;
  /** Stored of what was expected. */
  ratio: number;
}

export interface AlertPage {
  items: Alert[];
  next: string | null;
}

export interface Watchlist {
  id: string;
  name: string;
  severity: Severity;
  reason: string;
  enabled: boolean;
  entries: number;
  created_at: number;
  created_by: string;
}

export interface WatchlistEntry {
  plate: string;
  reason: string;
  /** Null: no bound. */
  valid_from: number | null;
  valid_until: number | null;
}

export interface EntryPage {
  items: WatchlistEntry[];
  next: string | null;
}

export interface RejectedLine {
  line: number;
  /** What is wrong, by name; `problem` says it in English. */
  code: string;
  column?: string;
  problem: string;
}

export interface ImportReport {
  added: number;
  changed: number;
  removed: number;
  /** The first of the bad lines. */
  rejected: RejectedLine[];
  rejected_total: number;
}

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
  stretches: { media: number; start: number; duration: number; frame: number }[];
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
    locked_bytes: number;
    oldest_recording: number | null;
    state: 'recording' | 'disk_full' | 'slow' | 'failing';
    /** Empty while all is well. */
    reason: string;
    bytes_per_day: number;
    /** Null where recordings go by their age first. */
    full_in_seconds: number | null;
    keeps_seconds: number | null;
    disks: { id: string; path: string; state: 'ok' | 'failing' | 'missing'; reason: string; total_bytes: number; free_bytes: number }[];
  };
  lpr: {
    state: 'off' | 'starting' | 'running' | 'failed';
    provider: string;
    reason: string;
    models: string[];
    /** How the 32-bit and the 8-bit file of a model compare here; null where nothing was measured. */
    precisions: { model: 'detector' | 'reader'; precision: 'fp32' | 'int8'; fp32_ms: number | null; int8_ms: number | null }[];
    stages: { stage: string; p50_ms: number; p95_ms: number }[];
  };
  sync: {
    configured: boolean;
    connected: boolean;
    problem: string | null;
    acknowledged_seq: number;
    acknowledged_at: number | null;
    in_flight: number;
    /** Alerts, detections, clips and the ledger, recordings. */
    waiting: [number, number, number, number];
    spool_bytes: number;
    /** Null: no limit. */
    spool_max_bytes: number | null;
    /** Of recordings that are to go with their video; no limit applies. */
    recordings_bytes: number;
    /** At the present rate; null while it does not grow. */
    spool_full_in_seconds: number | null;
    /** At the present rate; null while it does not get less. */
    delivered_in_seconds: number | null;
  };
  alerts: {
    /** Vehicles that every passage is compared with. */
    watched_vehicles: number;
    targets: AlertTarget[];
  };
}

/** How the delivery of alerts to one receiver stands. */
export interface AlertTarget {
  /** `webhook/NAME` or `mqtt`. */
  name: string;
  waiting: number;
  oldest_queued_at: number | null;
  delivered: number;
  given_up: number;
  delivered_at: number | null;
  /** The newest failure; null since the last success. */
  error: string | null;
  error_at: number | null;
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

export interface TimelineMark {
  /** The first passage, or the newest alert, of `count`. */
  at: number;
  count: number;
  /** The passage at `at`. */
  detection?: string;
  severity?: Severity;
}

export interface TimelineGap {
  start: number;
  end: number;
  missing: number;
  count: number;
  reason: string;
}

export interface CameraTimeline {
  camera: string;
  stream: 'main' | 'sub';
  spans: [number, number][];
  gaps: TimelineGap[];
  detections: TimelineMark[];
  alerts: TimelineMark[];
}

export interface TimelineData {
  from: number;
  to: number;
  /** What is closer together than this is one entry. */
  bucket: number;
  cameras: CameraTimeline[];
}

export interface ExportTicket {
  url: string;
  name: string;
  bytes: number;
  start: number;
  end: number;
  files: number;
  expires_at: number;
}

/** A span that retention does not touch. */
export interface EvidenceLock {
  id: string;
  camera: string;
  from: number;
  to: number;
  reason: string;
  created_at: number;
  created_by: string;
}

/** Who reads cameras by RTSP; `cameras` null: all of them. */
export interface StreamLogin {
  id: string;
  name: string;
  cameras: string[] | null;
  created_at: number;
  created_by: string;
}

export interface StreamLogins {
  /** Address that the box serves RTSP on; null: it does not. */
  listen: string | null;
  basic: boolean;
  logins: StreamLogin[];
}

export interface NewStreamLogin {
  login: StreamLogin;
  password: string;
}

/** The coverage ledger of a stream; seconds. */
export interface Coverage {
  hours: { start: number; expected_s: number; stored_s: number; evicted_s: number; gaps: { start: number; end: number; reason: string }[] }[];
}
