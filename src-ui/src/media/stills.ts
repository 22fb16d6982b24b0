/**
 * Shows a camera as single pictures, about one a second, as the poster of a video without a source:
 * the last resort, where neither WebRTC nor MSE can play it. One attempt.
 */
import type { Camera } from '../platform/types';
import { BasePlayer, type PlayerStats, reasonOf } from './player';

const PERIOD_MS = 1000;
/** Pictures may be missed while a camera is busy; after this many in a row the attempt ends. */
const MAX_MISSES = 3;

export class StillPlayer extends BasePlayer {
  readonly transport = 'stills' as const;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #url: string | null = null;
  #frames = 0;
  #misses = 0;
  #visible = true;
  #size = { width: 0, height: 0 };

  protected async open(video: HTMLVideoElement, camera: Camera): Promise<void> {
    await this.#next(video, camera.id);
  }

  override setVisible(visible: boolean): void {
    this.#visible = visible;
  }

  protected release(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.video?.removeAttribute('poster');
    if (this.#url !== null) URL.revokeObjectURL(this.#url);
    this.#url = null;
  }

  override stats(): PlayerStats {
    return { ...super.stats(), ...this.#size, frames: this.#frames, codec: 'jpeg' };
  }

  async #next(video: HTMLVideoElement, id: string): Promise<void> {
    const started = performance.now();
    if (this.#visible) {
      try {
        const width = Math.max(160, video.clientWidth * devicePixelRatio);
        const { picture } = await this.platform.snapshot(id, width);
        if (this.ended) return;
        await this.#show(video, picture);
        this.#misses = 0;
      } catch (error) {
        this.#misses += 1;
        const [reason, detail] = reasonOf(error);
        if (this.#misses >= MAX_MISSES || reason !== 'lost') {
          this.end(reason, detail);
          return;
        }
      }
    }
    if (this.ended) return;
    const wait = Math.max(100, PERIOD_MS - (performance.now() - started));
    this.#timer = setTimeout(() => void this.#next(video, id), wait);
  }

  async #show(video: HTMLVideoElement, picture: Blob): Promise<void> {
    const url = URL.createObjectURL(picture);
    const image = new Image();
    image.src = url;
    // Decoded before it is shown, so that pictures change without a flash.
    await image.decode();
    if (this.ended) {
      URL.revokeObjectURL(url);
      return;
    }
    this.#size = { width: image.naturalWidth, height: image.naturalHeight };
    this.bytes += picture.size;
    this.#frames += 1;
    video.poster = url;
    if (this.#url !== null) URL.revokeObjectURL(this.#url);
    this.#url = url;
    this.move({ name: 'playing' });
  }
}
