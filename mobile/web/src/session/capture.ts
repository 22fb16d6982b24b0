/**
 * The camera's life as the session sees it: open, mute, gone, and when it is opened again. Pure.
 * Invariant: it is opened at most once at a time, and ever more slowly while that does not help.
 */
import type { CaptureState } from './events';

/** A capture that is mute for longer has not just changed hands, ms. */
export const MUTED_PATIENCE_MS = 1500;
const OPEN_LIMIT_MS = 8000;
const REOPEN_DELAYS_MS = [0, 1000, 2000, 5000, 10_000] as const;

export class Capture {
  #state: CaptureState = 'off';
  #since = 0;
  #reopens = 0;
  #reopenAt: number | null = null;
  /** The microphone gives sound, or none is wanted. */
  sound = true;

  get state(): CaptureState {
    return this.#state;
  }
  /** It will be, or is being, opened. */
  get isComing(): boolean {
    return this.#reopenAt !== null || this.#state === 'opening';
  }
  get isGone(): boolean {
    return this.#state === 'ended' || this.#state === 'refused' || this.#state === 'off';
  }
  /** Nothing can be sent, and nothing is expected to change that. */
  get isBarred(): boolean {
    return this.#state === 'refused' || this.#state === 'off';
  }

  /** It is being opened. `limit`: whether that has an end; a person may take long to allow it. */
  opening(now: number, limit = true): void {
    this.#state = 'opening';
    this.#since = limit ? now : Number.POSITIVE_INFINITY;
    this.#reopenAt = null;
  }

  off(): void {
    this.#state = 'off';
    this.#reopenAt = null;
  }

  /** What became of it. */
  is(now: number, state: CaptureState): void {
    if (state !== this.#state) this.#since = now;
    this.#state = state;
    if (state === 'ended') this.#again(now);
    else if (state !== 'opening') this.#reopenAt = null;
  }

  /** It gives pictures, and well. */
  steady(): void {
    this.#reopens = 0;
  }

  /** The phone is looked at again. What is mute may come back by itself in a moment. */
  seen(now: number): void {
    this.#reopens = 0;
    if (this.#state === 'muted') this.#since = now;
    if (this.#state === 'ended') this.#reopenAt = now;
  }

  hurry(now: number): void {
    if (this.#reopenAt !== null) this.#reopenAt = now;
  }

  /** It is opened again, now. `first`: not because the last time did not help. */
  reopen(now: number, first: boolean): void {
    this.#reopens = first ? 1 : this.#reopens + 1;
    this.opening(now);
  }

  /** It has been mute for so long that something has it. */
  isTaken(now: number): boolean {
    return this.#state === 'muted' && now >= this.#since + MUTED_PATIENCE_MS;
  }

  /** Whether it is to be opened again by now. */
  isDue(now: number): boolean {
    if (this.isTaken(now)) this.#again(now);
    if (this.#state === 'opening' && now >= this.#since + OPEN_LIMIT_MS) this.#reopenAt ??= now;
    return this.#reopenAt !== null && now >= this.#reopenAt;
  }

  /** When `isDue` changes at the latest. */
  deadline(): number | null {
    if (this.#reopenAt !== null) return this.#reopenAt;
    if (this.#state === 'muted') return this.#since + MUTED_PATIENCE_MS;
    return this.#state === 'opening' ? this.#since + OPEN_LIMIT_MS : null;
  }

  #again(now: number): void {
    const last = REOPEN_DELAYS_MS.length - 1;
    this.#reopenAt ??= now + (REOPEN_DELAYS_MS[Math.min(this.#reopens, last)] ?? 0);
  }
}
