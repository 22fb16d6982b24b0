/**
 * When to dial the computer again, and by which way. Pure: chance is an input.
 * Invariant: it never gives up, and a way that has worked is tried before the other.
 */

/** `socket` is a WebSocket; `stream` is server-sent events with requests, for browsers that refuse the former. */
export type Way = 'socket' | 'stream';

/** Waits before the attempts in a row, ms. The last one repeats. */
export const DIAL_DELAYS_MS = [0, 300, 1200, 2700, 4800, 7000] as const;
/** Waits are spread by this share, so that many phones do not come at once. */
const JITTER = 0.2;

export class Dialling {
  #failed = 0;
  #way: Way = 'socket';

  /** The wait before the next attempt, ms. */
  delay(random: () => number): number {
    const last = DIAL_DELAYS_MS.length - 1;
    const base = DIAL_DELAYS_MS[Math.min(this.#failed, last)] ?? 0;
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
  }

  /** It did not, or the session ended. `opened`: the other side was reached at all. */
  ended(opened: boolean): void {
    this.#failed += 1;
    if (!opened) this.#way = this.#way === 'socket' ? 'stream' : 'socket';
  }

  /** Something has changed for the better: the next attempt is made at once. */
  hurry(): void {
    this.#failed = 0;
  }
}
