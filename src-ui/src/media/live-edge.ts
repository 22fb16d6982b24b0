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
  /** No picture was shown yet. */
  fresh: boolean;
}

export interface EdgeOrder {
  seekTo: number | null;
  rate: number;
}

/** Distance to the edge that a steady 25 fps stream on a LAN needs, seconds. */
export const TARGET = 0.06;
/** The rate goes up at this much over the target and comes back at the target, seconds. */
const SPEED_UP = 0.06;
/** Beyond this the picture jumps, seconds. */
const JUMP = 1.0;
/** While starting, a cached group of pictures up to this long is played through, seconds. */
const FRESH_SPAN = 0.5;
const MAX_RATE = 1.1;
const FRESH_RATE = 2;

export function liveEdge(input: EdgeInput): EdgeOrder {
  const { range, currentTime, rate, target } = input;
  if (range === null) return { seekTo: null, rate: 1 };
  const edge = Math.max(range.start, range.end - target);
  if (currentTime < range.start) {
    // Nothing to show where the clock stands: start at the front of a short burst, else at its end.
    const short = range.end - range.start <= FRESH_SPAN;
    return { seekTo: short && input.fresh ? range.start : edge, rate: 1 };
  }
  const lag = range.end - currentTime;
  if (lag > target + JUMP || currentTime > range.end + JUMP) return { seekTo: edge, rate: 1 };
  const over = lag - target;
  if (over <= 0) return { seekTo: null, rate: 1 };
  if (over > SPEED_UP * 4) return { seekTo: null, rate: over > JUMP / 2 ? FRESH_RATE : 1.25 };
  if (over > SPEED_UP || rate > 1)
    return { seekTo: null, rate: over > SPEED_UP ? MAX_RATE : Math.min(rate, 1.05) };
  return { seekTo: null, rate: 1 };
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
