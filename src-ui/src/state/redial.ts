/**
 * When a lost viewer or event feed dials again. Pure.
 * Invariant: the first attempt after a loss is immediate, and nobody ever gives up.
 */

const DELAYS_MS = [0, 300, 1000, 2000, 5000] as const;

/** A connection that lasted this long was a good one: the next loss starts from the beginning. */
export const GOOD_AFTER_MS = 5000;

/** Milliseconds to wait before attempt `attempt` (0 = the first after a loss). */
export function redialDelay(attempt: number): number {
  const index = Math.min(Math.max(0, Math.floor(attempt)), DELAYS_MS.length - 1);
  return DELAYS_MS[index] ?? 5000;
}
