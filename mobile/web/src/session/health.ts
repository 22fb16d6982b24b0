/**
 * Tells from the phone's own figures why nothing arrives. Pure.
 * Invariant: what moves decides, never the state that a connection says it is in.
 */

/** What the phone counted since the last report, about a second ago. */
export interface Report {
  /** Length of the interval, ms. */
  span: number;
  /** Pictures that came from the camera; null where the browser does not say. */
  source: number | null;
  encoded: number;
  keys: number;
  packets: number;
  bytes: number;
  pli: number;
  /** Signs of the other side's life: answers to connectivity checks, and reports; null before a pair was chosen. */
  responses: number | null;
  roundTripMs: number | null;
  /** `none`, `cpu`, `bandwidth` or `other`. */
  limit: string | null;
  targetBps: number | null;
  width: number;
  height: number;
}

export type Ill =
  /** The camera gives nothing. */
  | 'capture'
  /** The camera gives pictures and the encoder does not. */
  | 'encoder'
  /** What is sent is not heard by anybody. */
  | 'path';

/** The camera may be slow in the dark, but not this slow, ms. */
export const CAPTURE_STILL_MS = 2000;
export const ENCODER_STILL_MS = 3000;
/** Checks are made every 2.5 s on a connection at rest; without an answer for this long it is dead, ms. */
export const PATH_SILENT_MS = 4000;
/** While pictures are sent, reports on them come many times a second: this long without one is suspicious, ms. */
export const PATH_DOUBTED_MS = 1000;

export class Health {
  #sourceStill = 0;
  #encoderStill = 0;
  #silent = 0;

  /** Takes a report; names the illness, if there is one. */
  take(report: Report): Ill | null {
    const { span } = report;
    this.#silent = report.responses === 0 ? this.#silent + span : 0;
    const encodes = report.encoded > 0;
    const captures = report.source === null ? encodes : report.source > 0;
    this.#sourceStill = captures ? 0 : this.#sourceStill + span;
    this.#encoderStill = captures && !encodes ? this.#encoderStill + span : 0;
    if (this.#sourceStill >= CAPTURE_STILL_MS) return 'capture';
    if (this.#silent >= PATH_SILENT_MS) return 'path';
    if (this.#encoderStill >= ENCODER_STILL_MS) return 'encoder';
    return null;
  }

  /** For how long nobody has answered, ms. */
  get silentMs(): number {
    return this.#silent;
  }

  /** Something was done about it: waits as long again before it says so again. */
  reset(): void {
    this.#sourceStill = 0;
    this.#encoderStill = 0;
    this.#silent = 0;
  }
}
