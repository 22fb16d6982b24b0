/**
 * The one interface through which the page reaches the server, in the shapes of its contract.
 * Invariant: nothing outside `src/platform/` opens a connection or knows an address.
 * It does not know what the shapes are used for.
 */
import type {
  Alert,
  AlertSettings,
  AlertSettingsPatch,
  Camera,
  CameraPatch,
  CameraSpec,
  CameraState,
  Cause,
  Device,
  Event,
  Export,
  ExportSpec,
  Fault,
  FaultAdvice,
  NewPairing,
  Pairing,
  PhoneHealth,
  Probe,
  Recordings,
  Segment,
  StateName,
  DiskState,
  DiskStorage,
  Storage,
  Stream,
  Track,
  WhipToken,
} from '../bindings/api';
import type { DesktopSettings, Language } from '../bindings/commands';

export type {
  DesktopSettings,
  Device,
  NewPairing,
  Pairing,
  PhoneHealth,
  WhipToken,
  Alert,
  AlertSettings,
  AlertSettingsPatch,
  Camera,
  CameraPatch,
  CameraSpec,
  CameraState,
  Cause,
  Export,
  ExportSpec,
  Fault,
  FaultAdvice,
  Probe,
  Recordings,
  Segment,
  StateName,
  DiskState,
  DiskStorage,
  Storage,
  Track,
};

/** An event, or one of a kind that a newer server has. */
export type ServerEvent = Event | { type: string; seq: number };

/** Which of a camera's streams is wanted. */
export type StreamChoice = Stream;

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

/** What an error says, whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
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

/** Where phones come in. */
export interface PhoneDoor {
  open: boolean;
  /** Why not. */
  reason?: string | null;
  /** Addresses of the phone's page, best first. */
  urls: string[];
  trust_url?: string | null;
  /** Of the certificate that a phone may trust. */
  fingerprint?: string | null;
  /** When an earlier certificate runs out that phones may trust still. */
  trust_again_by?: string | null;
}

export interface Phones {
  pair(): Promise<NewPairing>;
  pairing(id: string): Promise<Pairing>;
  allow(id: string): Promise<void>;
  endPairing(id: string): Promise<void>;
  devices(): Promise<{ devices: Device[]; door: PhoneDoor | null }>;
  rename(id: string, name: string): Promise<void>;
  revoke(id: string): Promise<void>;
  whipTokens(): Promise<WhipToken[]>;
  makeWhipToken(room: string): Promise<WhipToken>;
  removeWhipToken(id: string): Promise<void>;
}

/** What only the desktop window can do. */
export interface Desktop {
  /** Has the engine start once more where it did not. */
  again(): Promise<void>;
  settings(): Promise<DesktopSettings>;
  apply(settings: DesktopSettings): Promise<void>;
  /** Tells the tray which language the wall speaks. */
  speak(language: Language): Promise<void>;
  /** Calls back when a camera is chosen in the tray's menu. */
  onOpenCamera(show: (id: string) => void): Promise<() => void>;
  setFullscreen(on: boolean): Promise<void>;
  /** Writes a file into the folder for downloads; answers where it is. */
  save(file: Blob, name: string): Promise<string>;
  /** The same with a finished export. */
  saveExport(id: string): Promise<string>;
}

export interface Platform {
  readonly kind: 'browser' | 'desktop' | 'fake';
  /** Where the server is, for a person to read. */
  readonly address: string;

  version(): Promise<string>;
  /** A report of a defect, for the maintainers: an archive free of secrets. */
  report(): Promise<Blob>;
  /** Keeps a picture or a report for the person; where it is now, if that is known. */
  save(file: Blob, name: string): Promise<string | null>;
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
  /** Switches a camera's recording, until it is switched again or its schedule does. */
  setRecording(id: string, on: boolean): Promise<void>;
  addDemo(count: number): Promise<void>;
  /** What is told of cameras in trouble, when and where. */
  alertSettings(): Promise<AlertSettings>;
  changeAlertSettings(patch: AlertSettingsPatch): Promise<AlertSettings>;
  /** Tells the server that the page cannot decode or show a camera; it says what the viewer shall do. */
  reportFault(id: string, fault: Fault): Promise<FaultAdvice>;

  whep(id: string, stream: StreamChoice, offer: string, signal: AbortSignal): Promise<WhepSession>;
  /** Without `sound` a camera that has a picture sends only that. */
  live(id: string, stream: StreamChoice, sound: boolean, handlers: SocketHandlers): Promise<Socket>;
  snapshot(id: string, width: number | null): Promise<Snapshot>;

  readonly phones: Phones;

  /** What a camera recorded between two moments (ms since 1970). */
  recordings(span: { from: number; to: number; camera: string }): Promise<Recordings>;
  /** The address of a recording's file, for a `<video>`; good for hours. */
  film(id: string): Promise<string>;
  /** Whether the server gives that file now; a `<video>` that fails does not say. */
  filmAnswers(id: string): Promise<boolean>;
  /** The key picture of a recording at or before a moment. */
  thumbnail(id: string, at: number, width: number | null): Promise<Blob>;
  protect(id: string, on: boolean): Promise<Segment>;
  removeRecording(id: string): Promise<void>;
  /** Answers the id. */
  beginExport(spec: ExportSpec): Promise<string>;
  /** The oldest first. */
  exports(): Promise<Export[]>;
  /** Cancels where it is not done. */
  removeExport(id: string): Promise<void>;
  /** Keeps a finished export for the person; where it is now, if that is known. */
  saveExport(id: string, name: string): Promise<string | null>;
  storage(): Promise<Storage>;

  /** Present only in the desktop window. */
  readonly desktop?: Desktop;
}
