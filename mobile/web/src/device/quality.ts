/**
 * How much picture the phone sends: what the person chose, less what heat and an empty battery ask
 * for. Pure. Invariant: fewer pictures before a smaller one, and never less than the smallest step.
 */
export type Quality = 'low' | 'medium' | 'high';
export const QUALITIES: readonly Quality[] = ['low', 'medium', 'high'];

export interface Shape {
  width: number;
  height: number;
  fps: number;
  /** Bits per second at most. */
  bitrate: number;
}

const SHAPES: Readonly<Record<Quality, Shape>> = {
  low: { width: 640, height: 360, fps: 20, bitrate: 700_000 },
  medium: { width: 1280, height: 720, fps: 30, bitrate: 2_200_000 },
  high: { width: 1920, height: 1080, fps: 30, bitrate: 4_500_000 },
};

export const THRIFT_MAX = 2;
/** The encoder said for this long that the processor is too slow, ms: it is hot, or busy. */
const HOT_AFTER_MS = 10_000;
/** It is well again after this long without that, ms. */
const COOL_AFTER_MS = 60_000;
const BATTERY_LOW = 15;

/** The shape to capture and to send at this step of thrift, 0 to `THRIFT_MAX`. */
export function shapeOf(quality: Quality, thrift: number): Shape {
  const shape = SHAPES[quality];
  if (thrift <= 0) return shape;
  const fewer = {
    ...shape,
    fps: Math.min(15, shape.fps),
    bitrate: Math.round(shape.bitrate * 0.6),
  };
  if (thrift === 1) return fewer;
  const { width, height } = SHAPES[quality === 'high' ? 'medium' : 'low'];
  return { ...fewer, width, height, fps: 10, bitrate: Math.round(shape.bitrate * 0.35) };
}

/** Watches for heat and an empty battery. */
export class Thrift {
  #step = 0;
  #hotFor = 0;
  #coolFor = 0;

  /** Takes what the encoder and the system said over `span` ms; gives the step. */
  take(span: number, hot: boolean): number {
    this.#hotFor = hot ? this.#hotFor + span : 0;
    this.#coolFor = hot ? 0 : this.#coolFor + span;
    if (this.#hotFor >= HOT_AFTER_MS && this.#step < THRIFT_MAX) {
      this.#step += 1;
      this.#hotFor = 0;
    } else if (this.#coolFor >= COOL_AFTER_MS && this.#step > 0) {
      this.#step -= 1;
      this.#coolFor = 0;
    }
    return this.#step;
  }

  /** Whether an empty battery alone asks for thrift. */
  static low(battery: number | null, charging: boolean): boolean {
    return battery !== null && battery <= BATTERY_LOW && !charging;
  }
}
