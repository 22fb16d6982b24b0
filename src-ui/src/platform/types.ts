/**
 * The shapes of the server's contract and the one interface through which the page reaches it.
 * Invariant: nothing outside `src/platform/` opens a connection or knows an address.
 * It does not know what the shapes are used for.
 */

export type StateName =
  | 'idle'
  | 'connecting'
  | 'live'
  | 'stalled'
  | 'reconnecting'
  | 'failed'
  | 'refused';

export interface Cause {
  code: string;
  class: string;
  detail: string;
}

export interface CameraState {
  name: StateName;
  /** RFC 3339, UTC. */
  since: string;
  attempt?: number | null;
  cause?: Cause | null;
  /** RFC 3339, UTC; only while reconnecting. */
  retry_at?: string | null;
}

export interface Track {
  kind: 'video' | 'audio';
  codec: string;
  width?: number | null;
  height?: number | null;
  sample_rate?: number | null;
  channels?: number | null;
  note?: string | null;
}

export interface CameraStats {
  fps: number;
  /** Bits per second. */
  bitrate: number;
  frames: number;
  /** Age of the newest frame; null before the first. */
  last_frame_ms: number | null;
  buffer_pct: number;
  reconnects: number;
  lost: number;
  viewers: number;
  jitter_ms: number;
  /** Pictures between two key frames. */
  gop: number;
}

export interface Camera {
  id: string;
  name: string;
  kind: 'rtsp' | 'phone' | 'demo';
  state: CameraState;
  tracks: Track[];
  recording: {
    state: 'off' | 'recording' | 'storage_lost' | 'disk_full' | 'failed';
    since: string;
    cause?: Cause | null;
  };
  stats: CameraStats;
  url?: string | null;
  sub_url?: string | null;
  /** It has a second, smaller stream. */
  sub: boolean;
  username?: string | null;
  has_password: boolean;
  transport: 'tcp' | 'udp';
  record: boolean;
  /** It stands in the configuration file and cannot be changed here. */
  read_only: boolean;
}

export interface Alert {
  id: string;
  kind: 'camera_lost' | 'camera_refused';
  camera?: string | null;
  since: string;
  until?: string | null;
  message: string;
}

/** A camera to be added or probed. */
export interface CameraSpec {
  id?: string;
  name?: string;
  url: string;
  username?: string;
  password?: string;
  transport?: 'tcp' | 'udp';
  sub_url?: string;
}

/** A change of a camera: what is left out stays, null clears. */
export interface CameraPatch {
  name?: string;
  url?: string;
  username?: string | null;
  password?: string | null;
  transport?: 'tcp' | 'udp';
  sub_url?: string | null;
}

export interface ProbeTrack extends Track {
  fps?: number | null;
  bitrate?: number | null;
  key_frame_seconds?: number | null;
  b_frames: boolean;
}

/** One way to play, as the server sees it. */
export interface Playback {
  transport: string;
  video: boolean;
  audio: boolean;
  mime?: string | null;
  note?: string | null;
}

export interface Probe {
  url: string;
  transport: 'tcp' | 'udp';
  tracks: ProbeTrack[];
  playback: Playback[];
  /** A JPEG as a data URL. */
  picture?: string | null;
  first_frame_ms: number;
  first_key_frame_ms?: number | null;
  warnings: string[];
}

export type ServerEvent =
  | { type: 'snapshot'; seq: number; cameras: Camera[]; alerts: Alert[] }
  | { type: 'camera'; seq: number; camera: Camera }
  | { type: 'camera_removed'; seq: number; id: string }
  | { type: 'alert'; seq: number; alert: Alert }
  | { type: string; seq: number };

/** Which of a camera's streams is wanted. */
export type StreamChoice = 'main' | 'sub';

/** A request the server refused, or one that never reached it (`status` 0). */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    /** Why the camera could not be opened, where that is what was asked. */
    readonly reason: Cause | null = null,
  ) {
    super(message);
  }
}

/** A socket that already listens; every callback may come until `close()` was called. */
export interface Socket {
  close(): void;
}

export interface SocketHandlers {
  onText(text: string): void;
  onBinary?(data: ArrayBuffer): void;
  onClose(): void;
}

export interface WhepSession {
  answer: string;
  /** Ends the session on the server; never throws. */
  close(): void;
}

export interface Snapshot {
  picture: Blob;
  /** When the picture was taken, if the server said so. */
  takenAt: number | null;
}

export interface DesktopSettings {
  autostart: boolean;
  close_to_tray: boolean;
}

export interface Platform {
  readonly kind: 'browser' | 'desktop' | 'fake';
  /** Where the server is, for a person to read. */
  readonly address: string;

  version(): Promise<string>;
  /** Server clock minus this machine's, ms; 0 where they are the same or nearly so. */
  clockOffset(): Promise<number>;
  /** Throws `ApiError` 401 when a token is needed. */
  check(): Promise<void>;
  login(token: string): Promise<void>;

  events(handlers: SocketHandlers): Promise<Socket>;
  addCamera(spec: CameraSpec): Promise<Camera>;
  changeCamera(id: string, patch: CameraPatch): Promise<Camera>;
  removeCamera(id: string): Promise<void>;
  /** With the id of a camera that is saved, its stored password is used where none is given. */
  probe(spec: CameraSpec, signal: AbortSignal): Promise<Probe>;
  retry(id: string): Promise<void>;
  addDemo(count: number): Promise<void>;
  /** Tells the server that the page cannot decode or show a camera. */
  reportFault(id: string, fault: 'DECODER' | 'VIDEO_SINK', detail: string): Promise<void>;

  whep(id: string, stream: StreamChoice, offer: string, signal: AbortSignal): Promise<WhepSession>;
  live(id: string, stream: StreamChoice, handlers: SocketHandlers): Promise<Socket>;
  snapshot(id: string, width: number | null): Promise<Snapshot>;

  /** Present only in the desktop window. */
  readonly desktop?: {
    get(): Promise<DesktopSettings>;
    set(settings: DesktopSettings): Promise<void>;
  };
}
