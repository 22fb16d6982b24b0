/** Adds up reports to what the computer is told every two seconds. Pure. */
import type { Stats } from '../bindings/signaling';
import type { Report } from './health';

const EVERY_MS = 2000;

export class Tally {
  #sum: (Report & { since: number }) | null = null;

  clear(): void {
    this.#sum = null;
  }

  /** Takes a report; gives what is due to be told, or null. */
  take(now: number, report: Report): Stats | null {
    const sum = this.#sum;
    const add = (before: number | null | undefined, more: number | null) =>
      (before ?? 0) + (more ?? 0);
    const all = {
      ...report,
      since: sum?.since ?? now - report.span,
      source: sum === null ? report.source : add(sum.source, report.source),
      encoded: add(sum?.encoded, report.encoded),
      keys: add(sum?.keys, report.keys),
      packets: add(sum?.packets, report.packets),
      bytes: add(sum?.bytes, report.bytes),
      pli: add(sum?.pli, report.pli),
      responses: add(sum?.responses, report.responses),
    };
    this.#sum = all;
    if (now < all.since + EVERY_MS) return null;
    this.#sum = null;
    return {
      src_frames: all.source ?? all.encoded,
      enc: all.encoded,
      keys: all.keys,
      pkts: all.packets,
      bytes: all.bytes,
      pli: all.pli,
      qlr: all.limit,
      target_bps: all.targetBps === null ? null : Math.round(all.targetBps),
      pair_rtt_ms: all.roundTripMs === null ? null : Math.round(all.roundTripMs),
      resp: all.responses,
    };
  }
}
