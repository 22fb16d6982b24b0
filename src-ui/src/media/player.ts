/**
 * What all players have in common: one attempt to show one camera in one video element.
 * Invariant: a player never tries again; when it has ended it stays ended. It knows neither the
 * other transports nor the wall.
 */
import type { Camera, Platform, StreamChoice } from '../platform/types';
import { ApiError, messageOf } from '../platform/types';
import type { Transport } from './capability';

export type EndReason =
  /** The connection broke, or the stream could not be read any more: dial again. */
  | 'lost'
  /** The stream changed shape: dial again at once. */
  | 'changed'
  /** The server has no picture now: wait for the camera. */
  | 'not_live'
  /** What arrived could not be decoded. */
  | 'undecodable'
  /** It was decoded, and the browser does not show it. */
  | 'not_shown'
  /** This transport cannot play this camera. */
  | 'unplayable'
  /** The camera is gone, or we may not see it. */
  | 'denied';

export type PlayerState =
  | { name: 'idle' }
  | { name: 'opening' }
  | { name: 'playing' }
  | { name: 'ended'; reason: EndReason; detail: string };

export interface PlayerStats {
  frames: number;
  width: number;
  height: number;
  /** Bytes received since the player was attached. */
  bytes: number;
  /** How far the picture is behind the newest one that arrived, ms; null where it is unknown. */
  latencyMs: number | null;
  lost: number | null;
  dropped: number | null;
  /** Media waiting to be shown, ms. */
  bufferMs: number | null;
  codec: string | null;
}

export const NO_STATS: PlayerStats = {
  frames: 0,
  width: 0,
  height: 0,
  bytes: 0,
  latencyMs: null,
  lost: null,
  dropped: null,
  bufferMs: null,
  codec: null,
};

export interface Player {
  readonly transport: Transport;
  readonly state: PlayerState;
  /** The server said on this connection that it has nothing to send now. */
  readonly waits: boolean;
  /** `sound` says whether it shall be heard; a player may send it along in any case. */
  attach(video: HTMLVideoElement, camera: Camera, stream: StreamChoice, sound: boolean): void;
  /** Hidden players keep their connection but do no avoidable work. */
  setVisible(visible: boolean): void;
  close(): void;
  stats(): PlayerStats;
  /** Asks for figures that take time to get; `stats` shows them afterwards. */
  refresh(): Promise<void>;
}

export type PlayerFactory = (transport: Transport, onState: () => void) => Player;

export interface PlayerContext {
  platform: Platform;
  onState: () => void;
}

/** The state and the first-frame watch that each player needs. */
export abstract class BasePlayer implements Player {
  abstract readonly transport: Transport;
  waits = false;
  protected readonly platform: Platform;
  protected video: HTMLVideoElement | null = null;
  protected bytes = 0;
  /** The camera has a video track. */
  protected hasPicture = true;
  #state: PlayerState = { name: 'idle' };
  #onState: () => void;

  constructor(context: PlayerContext) {
    this.platform = context.platform;
    this.#onState = context.onState;
  }

  get state(): PlayerState {
    return this.#state;
  }

  protected get ended(): boolean {
    return this.#state.name === 'ended';
  }

  attach(video: HTMLVideoElement, camera: Camera, stream: StreamChoice, sound: boolean): void {
    this.video = video;
    this.hasPicture = camera.tracks.some((track) => track.kind === 'video');
    this.move({ name: 'opening' });
    void this.open(video, camera, stream, sound).catch((error: unknown) =>
      this.end(...reasonOf(error)),
    );
  }

  protected abstract open(
    video: HTMLVideoElement,
    camera: Camera,
    stream: StreamChoice,
    sound: boolean,
  ): Promise<void>;

  /** Lets go of everything that `open` took. May be called twice. */
  protected abstract release(): void;

  setVisible(_visible: boolean): void {}

  close(): void {
    if (!this.ended) this.#state = { name: 'ended', reason: 'lost', detail: '' };
    this.release();
  }

  protected end(reason: EndReason, detail: string): void {
    if (this.ended) return;
    this.move({ name: 'ended', reason, detail });
  }

  protected move(state: PlayerState): void {
    if (this.ended || this.#state.name === state.name) return;
    this.#state = state;
    this.#onState();
  }

  /** Moves to `playing` when the first picture is on the screen, or sound alone flows. */
  protected watchFirstFrame(video: HTMLVideoElement): void {
    const shown = () => this.move({ name: 'playing' });
    const seen = 'requestVideoFrameCallback' in video && this.hasPicture;
    if (seen) video.requestVideoFrameCallback(shown);
    else video.addEventListener('timeupdate', shown, { once: true });
  }

  stats(): PlayerStats {
    const video = this.video;
    const quality = video?.getVideoPlaybackQuality?.();
    return {
      frames: quality?.totalVideoFrames ?? 0,
      width: video?.videoWidth ?? 0,
      height: video?.videoHeight ?? 0,
      bytes: this.bytes,
      latencyMs: null,
      lost: null,
      dropped: quality?.droppedVideoFrames ?? null,
      bufferMs: null,
      codec: null,
    };
  }

  async refresh(): Promise<void> {}
}

/** What a failed request means for the attempt that made it. */
export function reasonOf(error: unknown): [EndReason, string] {
  if (error instanceof ApiError) {
    const detail = error.message;
    if (error.status === 406 || error.status === 415) return ['unplayable', detail];
    if (error.status === 503) return ['not_live', detail];
    if (error.status === 401 || error.status === 403 || error.status === 404)
      return ['denied', detail];
    return ['lost', detail];
  }
  return ['lost', messageOf(error)];
}

/** Starts a muted, inline, self-starting video; a browser that refuses to start it will be asked again. */
export function play(video: HTMLVideoElement): void {
  video.play().catch(() => {
    // Without a gesture sound is refused; a muted picture is always allowed.
    if (!video.muted) {
      video.muted = true;
      video.play().catch(() => {});
    }
  });
}
