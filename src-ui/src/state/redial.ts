/**
 * When a lost viewer, or the event feed, dials again. Pure.
 * Invariant: the first attempt after a loss is immediate, and nobody ever gives up.
 */

/** Of the feed: everything waits for it, and a dial that is refused costs next to nothing. */
const FEED_FIRST_MS = [0, 300, 700] as const;
/** How many attempts of the feed are a second apart, and how many after them two seconds. */
const FEED_SECONDS = 12;
const FEED_TWO_SECONDS = 60;

const DELAYS_MS = [0, 300, 1000, 2000, 5000] as const;

/** A connection that lasted this long was a good one: the next loss starts from the beginning. */
export const GOOD_AFTER_MS = 5000;

/** Milliseconds to wait before attempt `attempt` (0 = the first after a loss). */
export function redialDelay(attempt: number): number {
  const index = Math.min(Math.max(0, Math.floor(attempt)), DELAYS_MS.length - 1);
  return DELAYS_MS[index] ?? 5000;
}

/** The same for the event feed: a server that was started again is found within a second or two. */
export function feedDelay(attempt: number): number {
  const first = FEED_FIRST_MS[attempt];
  if (first !== undefined) return first;
  if (attempt < FEED_SECONDS) return 1000;
  return attempt < FEED_TWO_SECONDS ? 2000 : 5000;
}
