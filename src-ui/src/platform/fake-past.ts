/** A past for the fake platform: recordings with gaps and events, made from the numbers of a day. */
import { paint } from './fake-scene';
import type { Export, ExportSpec, Recordings, Segment, Storage } from './types';

const QUARTER = 900_000;
const DAY = 96 * QUARTER;
const iso = (at: number) => new Date(at).toISOString();

export class FakePast {
  #kept = new Set<string>();
  #removed = new Set<string>();
  #exports = new Map<string, { spec: ExportSpec; began: number }>();
  #next = 1;

  /** Cameras by number; nothing was recorded by the fourth, and nothing longer ago than a week. */
  list(camera: string, index: number, from: number, to: number): Recordings {
    const now = Date.now();
    const found: Recordings = { segments: [], gaps: [], events: [] };
    if (index % 4 === 3) return found;
    const first = Math.max(from - QUARTER, now - 7 * DAY);
    for (let n = Math.floor(first / QUARTER); n * QUARTER < Math.min(to, now); n += 1) {
      const start = n * QUARTER;
      const end = Math.min(start + QUARTER, now);
      const what = (n * 7 + index * 13) % 41;
      const id = `${camera}.${n}`;
      if (what === 5 || this.#removed.has(id)) {
        const cause = what === 5 ? 'storage_gone' : 'removed';
        found.gaps.push({ camera, start: iso(start), end: iso(end), cause });
        continue;
      }
      const late = what === 11 ? QUARTER / 3 : 0;
      if (late > 0) {
        found.gaps.push({
          camera,
          start: iso(start),
          end: iso(start + late),
          cause: 'source_lost',
        });
        const message = 'The camera does not answer';
        found.events.push({
          id: `e${id}`,
          camera,
          kind: 'camera_lost',
          start: iso(start),
          message,
        });
      }
      found.segments.push(this.#segment(camera, id, start + late, end, end === now));
    }
    return found;
  }

  protect(id: string, on: boolean): Segment {
    if (on) this.#kept.add(id);
    else this.#kept.delete(id);
    const [camera = '', n = '0'] = id.split('.');
    return this.#segment(camera, id, Number(n) * QUARTER, (Number(n) + 1) * QUARTER, false);
  }

  remove(id: string): void {
    this.#removed.add(id);
  }

  begin(spec: ExportSpec): string {
    const id = String(this.#next);
    this.#next += 1;
    this.#exports.set(id, { spec, began: Date.now() });
    return id;
  }

  exports(): Export[] {
    return [...this.#exports].map(([id, { spec, began }]) => {
      const seconds = (Date.parse(spec.to) - Date.parse(spec.from)) / 1000;
      const total = Math.round(seconds * 450_000);
      const progress = Math.min(1, (Date.now() - began) / 8000);
      return {
        id,
        camera: spec.camera,
        from: spec.from,
        to: spec.to,
        cut: spec.cut ?? 'exact',
        state: progress < 1 ? 'running' : 'done',
        progress,
        bytes: Math.round(total * progress),
        total_bytes: total,
        seconds,
        name: `${spec.camera}.mp4`,
      };
    });
  }

  cancel(id: string): void {
    this.#exports.delete(id);
  }

  storage(cameras: readonly string[]): Storage {
    const rate = 38_000_000_000;
    const now = Date.now();
    return {
      root: '/var/lib/nightjar/recordings',
      used_bytes: cameras.length * rate * 6,
      free_bytes: cameras.length * rate * 3.4,
      reserved_bytes: 2_000_000_000,
      bytes_per_day: cameras.length * rate,
      days_left: 3.3,
      retention_days: 7,
      outlook: 'enough',
      cameras: cameras.map((camera, index) => ({
        camera,
        bytes: rate * 6 - index * 900_000_000,
        protected_bytes: 0,
        segments: 576,
        oldest: iso(now - 6 * DAY),
        newest: iso(now - 60_000),
        bytes_per_day: rate,
        days_left: 13,
      })),
    };
  }

  picture(index: number, at: number, width: number): Promise<Blob> {
    const canvas = paint(index, at / 1000, width);
    return new Promise((resolve, reject) => {
      canvas.toBlob(
        (blob) => (blob ? resolve(blob) : reject(new Error('no picture'))),
        'image/jpeg',
      );
    });
  }

  #segment(camera: string, id: string, start: number, end: number, open: boolean): Segment {
    return {
      id,
      camera,
      start: iso(start),
      end: iso(end),
      bytes: Math.round((end - start) * 450),
      state: open ? 'open' : 'sealed',
      protected: this.#kept.has(id),
      codec: 'h264',
      width: 1920,
      height: 1080,
    };
  }
}
