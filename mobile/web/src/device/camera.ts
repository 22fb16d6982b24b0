/**
 * The phone's camera and microphone. Invariant: at most one capture is open; the old one is stopped
 * before the new one is asked for, because some systems give a camera only once.
 */
import type { CaptureState } from '../session/events';
import type { Shape } from './quality';

export type Facing = 'environment' | 'user';

export interface CameraWish {
  facing: Facing;
  sound: boolean;
  shape: Shape;
}

/**
 * Why there is no camera: somebody or something forbids it, the phone has none, or the page is none that a
 * browser would give one to.
 */
export type Refusal = 'denied' | 'missing' | 'insecure';

/** What the camera in use can do. */
export interface CameraPowers {
  torch: boolean;
  /** `now`: where it stands. */
  zoom: { min: number; max: number; step: number; now: number } | null;
}

/** Powers that the standard's types do not have yet. */
interface MoreCapabilities extends MediaTrackCapabilities {
  torch?: boolean;
  zoom?: { min: number; max: number; step: number };
}

export interface CameraHandlers {
  onState(state: CaptureState, sound: boolean): void;
  /** Other tracks than before: they are to be sent now. */
  onTracks(): void;
  /** What forbade the camera does so no longer. */
  onAllowed(): void;
}

const NO_POWERS: CameraPowers = { torch: false, zoom: null };

export class PhoneCamera {
  #handlers: CameraHandlers;
  #stream: MediaStream | null = null;
  #run = 0;
  #state: CaptureState = 'off';
  #powers: CameraPowers = NO_POWERS;
  #soundRefused = false;
  #refusal: Refusal | null = null;

  constructor(handlers: CameraHandlers) {
    this.#handlers = handlers;
  }

  get stream(): MediaStream | null {
    return this.#stream;
  }
  get video(): MediaStreamTrack | null {
    return this.#stream?.getVideoTracks()[0] ?? null;
  }
  get audio(): MediaStreamTrack | null {
    return this.#stream?.getAudioTracks()[0] ?? null;
  }
  get powers(): CameraPowers {
    return this.#powers;
  }
  /** Sound was wanted and not given. */
  get soundRefused(): boolean {
    return this.#soundRefused;
  }

  /** Why the camera is refused, where it is. */
  get refusal(): Refusal | null {
    return this.#state === 'refused' ? this.#refusal : null;
  }

  async open(wish: CameraWish): Promise<void> {
    this.#run += 1;
    const run = this.#run;
    this.#release();
    this.#move('opening');
    try {
      const stream = await ask(wish, (refused) => {
        this.#soundRefused = refused;
      });
      if (run !== this.#run) {
        stop(stream);
        return;
      }
      this.#take(stream, run);
    } catch (error) {
      if (run !== this.#run) return;
      this.#refusal = refusalOf(error);
      if (this.#refusal === 'denied') void this.#hope(run);
      this.#move(this.#refusal === null ? 'ended' : 'refused');
    }
  }

  /** Who allows it in the browser's settings need not come back here to say so. */
  async #hope(run: number): Promise<void> {
    const name = 'camera' as PermissionName;
    const status = await navigator.permissions?.query({ name }).catch(() => null);
    if (!status || run !== this.#run) return;
    status.onchange = () => {
      if (status.state === 'denied' || run !== this.#run) return;
      status.onchange = null;
      this.#handlers.onAllowed();
    };
  }

  close(): void {
    this.#run += 1;
    this.#release();
    this.#move('off');
  }

  /** Looks whether the capture has ended: a track that is stopped says nothing. */
  check(): void {
    if (this.#state === 'live' || this.#state === 'muted') this.#move(this.#seen());
  }

  async setTorch(on: boolean): Promise<boolean> {
    return this.#apply({ advanced: [{ torch: on } as MediaTrackConstraintSet] });
  }
  async setZoom(zoom: number): Promise<boolean> {
    return this.#apply({ advanced: [{ zoom } as MediaTrackConstraintSet] });
  }
  /** Sharper or thriftier, without opening the camera anew. */
  async setShape({ width, height, fps }: Shape): Promise<boolean> {
    return this.#apply({
      width: { ideal: width },
      height: { ideal: height },
      frameRate: { ideal: fps, max: fps },
    });
  }

  async #apply(constraints: MediaTrackConstraints): Promise<boolean> {
    try {
      await this.video?.applyConstraints(constraints);
      return this.video !== null;
    } catch {
      return false;
    }
  }

  #take(stream: MediaStream, run: number): void {
    this.#stream = stream;
    const look = () => {
      if (run === this.#run) this.check();
    };
    for (const track of stream.getTracks()) {
      track.addEventListener('ended', look);
      track.addEventListener('mute', look);
      track.addEventListener('unmute', look);
    }
    const [video] = stream.getVideoTracks();
    if (video) video.contentHint = 'motion';
    const can = video?.getCapabilities?.() as MoreCapabilities | undefined;
    const { min = 1, max = 1, step = 0 } = can?.zoom ?? {};
    const { zoom: now = min } = (video?.getSettings?.() ?? {}) as { zoom?: number };
    const zoom = max > min ? { min, max, step, now } : null;
    this.#powers = { torch: can?.torch === true, zoom };
    this.#handlers.onTracks();
    this.#move(this.#seen());
  }

  #seen(): CaptureState {
    const video = this.video;
    if (video === null || video.readyState === 'ended') return 'ended';
    return video.muted ? 'muted' : 'live';
  }

  #move(state: CaptureState): void {
    if (state === this.#state && state !== 'opening') return;
    this.#state = state;
    const audio = this.audio;
    this.#handlers.onState(state, audio === null || (!audio.muted && audio.readyState === 'live'));
  }

  #release(): void {
    if (this.#stream) stop(this.#stream);
    this.#stream = null;
    this.#powers = NO_POWERS;
  }
}

function refusalOf(error: unknown): Refusal | null {
  // Browsers hide cameras from pages that come without TLS, and apps that lack the right.
  if (!navigator.mediaDevices) return 'insecure';
  const name = error instanceof DOMException ? error.name : '';
  if (name === 'NotFoundError') return 'missing';
  return name === 'NotAllowedError' || name === 'SecurityError' ? 'denied' : null;
}

function stop(stream: MediaStream): void {
  for (const track of stream.getTracks()) track.stop();
}

/** Asks for both; a microphone that is refused costs nobody the picture. */
async function ask(
  wish: CameraWish,
  soundRefused: (refused: boolean) => void,
): Promise<MediaStream> {
  const video = pictureOf(wish);
  soundRefused(false);
  if (!wish.sound) return navigator.mediaDevices.getUserMedia({ video });
  // The room is to be heard as it is, not a voice alone.
  const audio = {
    echoCancellation: false,
    noiseSuppression: false,
    autoGainControl: true,
    channelCount: { ideal: 1 },
  };
  try {
    return await navigator.mediaDevices.getUserMedia({ video, audio });
  } catch (error) {
    const stream = await navigator.mediaDevices.getUserMedia({ video }).catch(() => null);
    if (stream === null) throw error;
    soundRefused(true);
    return stream;
  }
}

function pictureOf({ facing, shape }: CameraWish): MediaTrackConstraints {
  return {
    facingMode: { ideal: facing },
    width: { ideal: shape.width },
    height: { ideal: shape.height },
    frameRate: { ideal: shape.fps, max: Math.max(shape.fps, 30) },
  };
}
