/**
 * When to dial the computer again, and by which way. Pure: chance is an input.
 * Invariant: it never gives up, and a way that has worked is tried before the other.
 */

/** `socket` is a WebSocket; `stream` is server-sent events with requests, for browsers that refuse the former. */
export type Way = 'socket' | 'stream';

/** Waits before the first attempts in a row, ms. */
export const DIAL_DELAYS_MS = [0, 300, 700] as const;
/** Those after them: up to this many attempts, so long, ms. A computer that starts again is found soon. */
const LATER_MS = [
  { until: 12, wait: 1000 },
  { until: 60, wait: 2000 },
] as const;
const LAST_MS = 7000;
/** Of so many attempts by a way that has worked before one goes the other way. */
const ASIDE = 3;
/** Waits are spread by this share, so that many phones do not come at once. */
const JITTER = 0.2;

export class Dialling {
  #failed = 0;
  #way: Way = 'socket';
  /** The way that led to a session last. */
  #proven: Way | null = null;

  /** The wait before the next attempt, ms. */
  delay(random: () => number): number {
    const later = LATER_MS.find(({ until }) => this.#failed < until)?.wait ?? LAST_MS;
    const base = DIAL_DELAYS_MS[this.#failed] ?? later;
    return Math.round(base * (1 + JITTER * (random() * 2 - 1)));
  }

  get way(): Way {
    return this.#way;
  }

  /** Attempts in a row that led nowhere. */
  get failed(): number {
    return this.#failed;
  }

  /** The attempt led to a session. */
  worked(): void {
    this.#failed = 0;
    this.#proven = this.#way;
  }

  /** It did not, or the session ended. `opened`: the other side was reached at all. */
  ended(opened: boolean): void {
    this.#failed += 1;
    if (opened) return;
    const other = this.#way === 'socket' ? 'stream' : 'socket';
    if (this.#proven === null) this.#way = other;
    else if (this.#way !== this.#proven || this.#failed % ASIDE === 0) this.#way = other;
  }

  /** Something has changed for the better: the next attempt is made at once. */
  hurry(): void {
    this.#failed = 0;
  }
}
