/**
 * What the timeline plays: the moment, whether and how fast it runs, and what was chosen. Cameras keep in
 * step because there is one moment for all; it follows the first film that runs.
 */
import { nextShown, type Past, takeAt } from './past';

export const SPEEDS = [0.25, 0.5, 1, 2, 4, 8, 16] as const;

export class Deck {
  /** The moment that is shown, ms since 1970. */
  at = $state(0);
  playing = $state(false);
  /** One of `SPEEDS`; while it runs backwards, the speed of that. */
  speed = $state<number>(1);
  backwards = $state(false);
  /** Counts jumps: films go exactly there, not nearly. */
  jumps = $state(0);
  /** The beginning and the end of what was chosen for an export. */
  from = $state<number | null>(null);
  to = $state<number | null>(null);

  jump(at: number): void {
    this.at = at;
    this.jumps += 1;
  }

  toggle(): void {
    this.backwards = false;
    this.playing = !this.playing;
  }

  pause(): void {
    this.playing = false;
    this.backwards = false;
  }

  step(ms: number): void {
    this.pause();
    this.jump(this.at + ms);
  }

  faster(): void {
    this.#shift(1);
  }
  slower(): void {
    this.#shift(-1);
  }
  #shift(by: 1 | -1): void {
    const place = SPEEDS.indexOf(this.speed as (typeof SPEEDS)[number]);
    this.speed = SPEEDS[Math.min(SPEEDS.length - 1, Math.max(0, place + by))] ?? 1;
  }

  /** As editors have it: J backwards, K stop, L on; again is faster. */
  shuttle(key: 'j' | 'k' | 'l'): void {
    if (key === 'k') {
      this.pause();
      this.speed = 1;
      return;
    }
    const backwards = key === 'j';
    if ((this.playing || this.backwards) && this.backwards === backwards) {
      if (this.speed < 1) this.speed = 1;
      this.faster();
    } else this.speed = 1;
    this.backwards = backwards;
    this.playing = !backwards;
  }

  mark(edge: 'from' | 'to'): void {
    this[edge] = this.at;
    if (this.from !== null && this.to !== null && this.from > this.to) {
      if (edge === 'from') this.to = null;
      else this.from = null;
    }
  }

  /**
   * Goes on by `ms` of real time. `led` is the moment that the leading film shows, where one does; `waits`
   * says that a film is still opening.
   */
  advance(
    ms: number,
    led: number | null,
    waits: boolean,
    pasts: readonly Past[],
    now: number,
  ): void {
    if (this.backwards) {
      this.jump(this.at - ms * this.speed);
      return;
    }
    if (!this.playing) return;
    if (led !== null) {
      this.at = led;
      return;
    }
    if (waits) return;
    const next = this.at + ms * this.speed;
    // Where no camera has anything the time is not sat through.
    if (pasts.some((past) => takeAt(past, next) !== null)) {
      this.at = next;
      return;
    }
    const shown = nextShown(pasts, this.at);
    if (shown !== null) this.jump(shown);
    else {
      this.at = Math.min(next, now);
      this.playing = false;
    }
  }
}
