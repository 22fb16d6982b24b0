/**
 * What the chosen cameras recorded on one day, kept fresh. Owner of that retry.
 * Invariant: a camera's day is asked for as a whole once and then once a minute (recordings are deleted
 * anywhere in it); in between only what reaches beyond the last answer, so that a day of many files
 * does not cross the network every few seconds.
 */
import { messageOf, type Platform } from '../platform/types';
import { nothing, type Past, renewed, sorted, type Window } from './past';

/** How often a day that is not over is asked for, ms. */
const RENEW_MS = 5_000;
/** How often its whole is, and a day that is over, ms. */
const WHOLE_MS = 60_000;
/** Asked for again with what is new: what was written while the last answer was made, and clocks that differ, ms. */
const OVERLAP_MS = 30_000;

export class Shelf {
  #platform: Platform;
  /** The server's clock, ms. */
  #now: () => number;
  #pasts = $state.raw<ReadonlyMap<string, Past>>(new Map());
  #broken = $state<string | null>(null);
  #day: Window = { from: 0, to: 0 };
  /** When each camera was asked for last, in the server's time, and when for its whole day. */
  #asked = new Map<string, { at: number; whole: number }>();

  constructor(platform: Platform, now: () => number) {
    this.#platform = platform;
    this.#now = now;
  }

  get pasts(): ReadonlyMap<string, Past> {
    return this.#pasts;
  }
  /** Why nothing can be shown; null where something can, or may yet. */
  get broken(): string | null {
    return this.#broken;
  }

  /** Follows these cameras through this day until the returned function is called. */
  follow(day: Window, cameras: readonly string[]): () => void {
    if (day.from !== this.#day.from) {
      this.#day = day;
      this.#pasts = new Map();
      this.#asked.clear();
    }
    let over = false;
    let timer: ReturnType<typeof setTimeout> | null = null;
    const look = async () => {
      await Promise.allSettled(cameras.map((camera) => this.#ask(camera, day, () => over))).then(
        (ends) => {
          if (over) return;
          const failed = ends.find((end) => end.status === 'rejected');
          const all = cameras.every((camera) => this.#pasts.has(camera));
          this.#broken = failed && !all ? messageOf(failed.reason) : null;
        },
      );
      if (!over) timer = setTimeout(look, this.#now() < day.to ? RENEW_MS : WHOLE_MS);
    };
    void look();
    return () => {
      over = true;
      if (timer !== null) clearTimeout(timer);
    };
  }

  /** Something in the middle of the day was changed: the next look takes it as a whole. */
  forget(): void {
    this.#asked.clear();
  }

  async #ask(camera: string, day: Window, over: () => boolean): Promise<void> {
    const at = this.#now();
    const before = this.#asked.get(camera);
    const since = before ? Math.max(day.from, before.at - OVERLAP_MS) : day.from;
    const whole = !before || at - before.whole >= WHOLE_MS || since >= day.to;
    const from = whole ? day.from : since;
    const found = await this.#platform.recordings({ from, to: day.to, camera });
    if (over()) return;
    const fresh = sorted(found).get(camera) ?? nothing;
    const old = this.#pasts.get(camera);
    this.#asked.set(camera, { at, whole: whole ? at : (before?.whole ?? at) });
    this.#pasts = new Map(this.#pasts).set(
      camera,
      whole || !old ? fresh : renewed(old, fresh, from),
    );
  }
}
