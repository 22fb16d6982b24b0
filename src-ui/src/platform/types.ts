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
  note?: string | null;
}

export interface CameraStats {
  fps: number | null;
  /** Bits per second. */
  bitrate: number | null;
  frames: number;
  /** Age of the newest frame; null before the first. */
  last_frame_ms: number | null;
  buffer_pct: number | null;
  reconnects: number;
}

export interface Camera {
  id: string;
  name: string;
  kind: 'rtsp' | 'phone' | 'demo';
  state: CameraState;
  tracks: Track[];
  recording: { state: string; since?: string | null; cause?: Cause | null };
  stats: CameraStats;
  /** The camera has a second, smaller stream. */
  sub?: boolean;
  /** The camera stands in the configuration file and cannot be changed here. */
  readonly?: boolean;
  url?: string | null;
  username?: string | null;
  transport?: 'tcp' | 'udp' | null;
  sub_url?: string | null;
}

export interface Alert {
  id: string;
  camera?: string | null;
  cause?: Cause | null;
  since: string;
  until?: string | null;
}

/** What a person enters for a camera; an absent password leaves a stored one as it is. */
export interface CameraDraft {
  name?: string;
  url?: string;
  username?: string;
  password?: string;
  transport?: 'tcp' | 'udp';
  sub_url?: string | null;
}

export interface Probe {
  tracks: Track[];
  fps?: number | null;
  /** Seconds between key frames. */
  gop_seconds?: number | null;
  /** A JPEG as a data URL. */
  picture?: string | null;
  notes?: string[];
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
  addCamera(draft: CameraDraft): Promise<Camera>;
  changeCamera(id: string, draft: CameraDraft): Promise<Camera>;
  removeCamera(id: string): Promise<void>;
  probe(draft: CameraDraft, signal: AbortSignal): Promise<Probe>;
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
