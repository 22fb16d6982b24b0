/**
 * Keeps an MSE picture close to the newest frame. Pure: positions and the time in, a rate and
 * perhaps a jump out.
 *
 * Invariants: near the edge the rate is exactly 1; a jump never goes back; and the rate changes
 * rarely, because some engines (GStreamer's among them) start the decoder anew at each change, as
 * all do at a jump, from a key frame that may lie seconds back.
 */

export interface Range {
  start: number;
  end: number;
}

export interface EdgeInput {
  /** Monotonic, ms. */
  now: number;
  currentTime: number;
  /** What is buffered around the picture, seconds (see `rangeAt`); null while nothing is buffered. */
  range: Range | null;
  /** A picture is on the screen. */
  shown: boolean;
}

export interface EdgeOrder {
  seekTo: number | null;
  rate: number;
}

/** Distance to the edge that a steady 25 fps stream on a LAN needs, seconds. */
export const TARGET = 0.06;
/** The same for a picture that keeps to its sound: Chromium plays none before it holds a fifth of a second of it. */
export const TARGET_HEARD = 0.2;
/** Beyond this the picture jumps, seconds. */
const JUMP = 1.5;
/** A cached group of pictures up to this long is played through rather than skipped, seconds. */
const SHORT_BURST = 0.5;
/** After the first picture, what was cached is caught up briskly for this long, ms. */
const FRESH_MS = 2000;
/** How far over the target a catch-up begins, seconds, and for how long it must have been, ms. */
const BEGIN = {
  fresh: { over: 0.05, for: 0 },
  steady: { over: 0.09, for: 500 },
  heard: { over: 0.06, for: 500 },
  /** Where a change of rate costs more than such a lag. */
  costly: { over: 0.35, for: 1000 },
};
/** A change of rate after which the picture falls behind by this much is a costly one, seconds. */
const COST = 0.08;
/** Sound that runs dry costs as much, once; only so many in a row are the engine's way. */
const COSTS_HEARD = 3;
/** A rate that leaves sound in peace. */
const RATE_HEARD = 1.1;
/** A catch-up ends at this much over the target, seconds. */
const END = 0.02;
/** After a catch-up, or one that did nothing, the rate stays alone for this long, ms. */
const REST_MS = 4000;
/** A catch-up that has not gained a quarter of what it should by then does nothing, ms. */
const FUTILE_MS = 2000;
const RAN_DRY_STEP = 0.03;
const MAX_EXTRA = 0.5;
/** Extra distance given back per calm second. */
const GIVE_BACK = 0.004;

/** With less than this ahead of it the picture has run dry, seconds. */
const DRY = 0.05;
/** The same of a sound, which stops before the picture has to. */
const DRY_HEARD = 0.3;
/** A hole up to this is frames that are still to come, where what follows is no longer itself, seconds. */
const FILLING = 0.5;
/** Engines round the ends of ranges, seconds. */
const ROUNDING = 0.001;

/**
 * The range that the picture plays from. With B-frames some engines show the newest frame as a range
 * of its own until those before it are there: such an island is not the edge. But a hole that stays
 * is left behind as soon as the picture has come to it.
 */
export function rangeAt(ranges: readonly Range[], currentTime: number): Range | null {
  const newest = ranges.at(-1);
  if (newest === undefined) return null;
  const holding = ranges.findLast(
    ({ start, end }) => start - ROUNDING <= currentTime && currentTime <= end + ROUNDING,
  );
  if (holding === undefined || holding === newest) return newest;
  const island = newest.start - holding.end < FILLING && newest.end - newest.start < FILLING;
  return island || holding.end - currentTime >= DRY ? holding : newest;
}

interface CatchUp {
  rate: number;
  since: number;
  lag: number;
}

export class LiveEdge {
  /** The picture keeps to a sound that comes with it. */
  heard = false;
  #extra = 0;
  #costs = 0;
  #catching: CatchUp | null = null;
  #costly = false;
  #restUntil = 0;
  #behindSince: number | null = null;
  #shownAt: number | null = null;

  /** Distance to keep, seconds: it grows where frames arrive unevenly. */
  get target(): number {
    return (this.heard ? TARGET_HEARD : TARGET) + this.#extra;
  }

  /** The picture waits with so much ahead of it, seconds: where that is little, it ran out of frames. */
  waits(lag: number): void {
    // Waiting with media at hand is the decoder catching up, not the network.
    if (lag >= (this.heard ? DRY_HEARD : DRY)) return;
    this.#extra = Math.min(MAX_EXTRA, this.#extra + RAN_DRY_STEP);
  }

  calm(seconds: number): void {
    this.#extra = Math.max(0, this.#extra - GIVE_BACK * seconds);
  }

  order(input: EdgeInput): EdgeOrder {
    const { now, range, currentTime, shown } = input;
    if (range === null) return { seekTo: null, rate: 1 };
    if (shown) this.#shownAt ??= now;
    const edge = Math.max(range.start, range.end - this.target);
    if (currentTime < range.start) {
      // Nothing to show where the clock stands: start at the front of a short burst, else at its end.
      const short = range.end - range.start <= SHORT_BURST;
      return this.#jump(now, short && !shown ? range.start : edge);
    }
    const lag = range.end - currentTime;
    const over = lag - this.target;
    if (over > JUMP || currentTime > range.end + JUMP) return this.#jump(now, edge);
    return { seekTo: null, rate: this.#rate(now, lag, over) };
  }

  #jump(now: number, to: number): EdgeOrder {
    this.#catching = null;
    this.#restUntil = now + REST_MS / 4;
    return { seekTo: to, rate: 1 };
  }

  #rate(now: number, lag: number, over: number): number {
    const catching = this.#catching;
    if (catching !== null) {
      const spent = (now - catching.since) / 1000;
      const gained = catching.lag - lag;
      if (gained < -COST) {
        this.#costs += 1;
        this.#costly = this.#costs >= (this.heard ? COSTS_HEARD : 1);
        // It goes on from there.
        if (!this.#costly) this.#catching = { rate: catching.rate, since: now, lag };
      }
      const futile = spent * 1000 > FUTILE_MS && gained < ((catching.rate - 1) * spent) / 4;
      if (over > END && !futile) return catching.rate;
      this.#catching = null;
      this.#restUntil = now + REST_MS;
      return 1;
    }
    if (this.#shownAt === null || now < this.#restUntil) return 1;
    const fresh = now - this.#shownAt < FRESH_MS;
    const steady = this.heard ? BEGIN.heard : BEGIN.steady;
    const begin = fresh ? BEGIN.fresh : this.#costly ? BEGIN.costly : steady;
    if (over <= begin.over) {
      this.#behindSince = null;
      return 1;
    }
    this.#behindSince ??= now;
    if (now - this.#behindSince < begin.for) return 1;
    this.#behindSince = null;
    const rate = this.heard ? RATE_HEARD : fresh ? 1.75 : over > BEGIN.costly.over ? 1.5 : 1.1;
    this.#catching = { rate, since: now, lag };
    return rate;
  }
}
