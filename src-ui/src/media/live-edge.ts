/**
 * Keeps an MSE picture close to the newest frame. Pure: positions in, a rate and perhaps a jump out.
 * Invariant: near the edge the rate is exactly 1, and a jump never goes back.
 *
 * A jump makes the decoder start over at the last key frame, which may be seconds of frames away,
 * so a moderate lag is played away a little faster instead.
 */

export interface EdgeInput {
  currentTime: number;
  /** The newest buffered range, seconds; null while nothing is buffered. */
  range: { start: number; end: number } | null;
  /** The rate that is set now. */
  rate: number;
  /** Distance to keep, seconds: two frames and whatever the arrival's unevenness needs. */
  target: number;
  /** The picture has just begun, and what was cached is still being caught up. */
  fresh: boolean;
}

export interface EdgeOrder {
  seekTo: number | null;
  rate: number;
}

/** Distance to the edge that a steady 25 fps stream on a LAN needs, seconds. */
export const TARGET = 0.06;
/** Beyond this the picture jumps, seconds. */
const JUMP = 1.5;
/** A cached group of pictures up to this long is played through rather than skipped, seconds. */
const FRESH_SPAN = 0.5;
/** How far over the target the rate goes up; it comes back at the target. Seconds. */
const SLACK = { fresh: 0.03, steady: 0.06 };
const MAX_RATE = 2;
const RATE_STEP = 0.05;

export function liveEdge(input: EdgeInput): EdgeOrder {
  const { range, currentTime, rate, target, fresh } = input;
  if (range === null) return { seekTo: null, rate: 1 };
  const edge = Math.max(range.start, range.end - target);
  if (currentTime < range.start) {
    // Nothing to show where the clock stands: start at the front of a short burst, else at its end.
    const short = range.end - range.start <= FRESH_SPAN;
    return { seekTo: short && fresh ? range.start : edge, rate: 1 };
  }
  const over = range.end - currentTime - target;
  if (over > JUMP || currentTime > range.end + JUMP) return { seekTo: edge, rate: 1 };
  const catchingUp = rate > 1 && over > 0;
  if (!catchingUp && over <= (fresh ? SLACK.fresh : SLACK.steady)) return { seekTo: null, rate: 1 };
  // While starting, to be at the edge within a second; later, so that nobody notices.
  const wanted = fresh ? 1.15 + over * 3 : 1.04 + over * 0.6;
  const stepped = Math.round(Math.min(MAX_RATE, wanted) / RATE_STEP) * RATE_STEP;
  return { seekTo: null, rate: Number(stepped.toFixed(2)) };
}

/**
 * The distance to keep, adapted to how evenly frames arrive: each time the picture ran dry it grows,
 * and with each calm second it shrinks back.
 */
export class EdgeTarget {
  #extra = 0;

  get value(): number {
    return TARGET + this.#extra;
  }

  ranDry(): void {
    this.#extra = Math.min(0.5, this.#extra + 0.03);
  }

  calm(seconds: number): void {
    this.#extra = Math.max(0, this.#extra - 0.004 * seconds);
  }
}
