import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Recordings } from '../src/bindings/api';
import { Deck } from '../src/state/deck.svelte';
import {
  causeAt,
  dayAfter,
  dayOf,
  daysLater,
  localText,
  localTime,
  markFrom,
  nextShown,
  onDay,
  type Past,
  size,
  sorted,
  stretches,
  takeAt,
  tickText,
  ticks,
  within,
  zoomed,
} from '../src/state/past';
import { hrefs, parseRoute } from '../src/state/router.svelte';

const HOUR = 3_600_000;
const START = new Date(2026, 10, 20, 14, 0, 0).getTime();
const iso = (at: number) => new Date(START + at).toISOString();
const segment = (id: string, from: number, to: number, camera = 'a') => ({
  id,
  camera,
  start: iso(from),
  end: iso(to),
  bytes: 1,
  state: 'sealed' as const,
  protected: id === 'kept',
  codec: 'h264',
  width: 1,
  height: 1,
});

const recordings: Recordings = {
  segments: [
    segment('1', 0, 10_000),
    segment('2', 10_040, 20_000),
    segment('kept', 20_000, 30_000),
    segment('3', 60_000, 70_000),
    segment('b1', 40_000, 90_000, 'b'),
  ],
  gaps: [{ camera: 'a', start: iso(30_000), end: iso(60_000), cause: 'disk_full' }],
  events: [
    { id: 'e', camera: 'a', kind: 'camera_lost', start: iso(30_000), message: 'gone' },
    { id: 'f', camera: 'b', kind: 'camera_lost', start: iso(50_000), message: 'gone' },
  ],
};
const pasts = sorted(recordings);
const a = pasts.get('a') as Past;
const b = pasts.get('b') as Past;

test('a moment is found in its recording, or why there is none', () => {
  expect(takeAt(a, START)?.id).toBe('1');
  expect(takeAt(a, START + 9_999)?.id).toBe('1');
  expect(takeAt(a, START + 10_020)?.id).toBe('2');
  expect(takeAt(a, START + 30_000)).toBeNull();
  expect(causeAt(a, START + 30_000)).toBe('disk_full');
  expect(causeAt(a, START + 70_000)).toBeNull();
  expect(nextShown([a], START + 30_000)).toBe(START + 60_000);
  expect(nextShown([a, b], START + 30_000)).toBe(START + 40_000);
  expect(nextShown([a, b], START + 80_000)).toBeNull();
});

test('what fell together is marked at each of them', () => {
  const group = {
    id: 'g',
    cameras: ['a', 'b'],
    kind: 'camera_lost',
    start: iso(55_000),
    message: 'gone together',
  };
  const found = sorted({ ...recordings, events: [...recordings.events, group] });
  const of = (camera: string) => found.get(camera)?.marks.map((mark) => mark.id);
  expect([of('a'), of('b')]).toEqual([
    ['e', 'g'],
    ['f', 'g'],
  ]);
});

test('recordings without a seam are one stretch, what is protected another', () => {
  expect(stretches(a.takes)).toEqual([
    { from: START, to: START + 20_000, kept: false },
    { from: START + 20_000, to: START + 30_000, kept: true },
    { from: START + 60_000, to: START + 70_000, kept: false },
  ]);
});

test('events are jumped to in both directions', () => {
  expect(markFrom([a, b], START, 1)).toBe(START + 30_000);
  expect(markFrom([a, b], START + 30_000, 1)).toBe(START + 50_000);
  expect(markFrom([a, b], START + 60_000, -1)).toBe(START + 50_000);
  expect(markFrom([a, b], START + 48_000, -1)).toBe(START + 30_000);
  expect(markFrom([a, b], START + 50_000, 1)).toBeNull();
});

describe.each(['Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'Asia/Seoul'])(
  'in %s',
  (zone) => {
    const before = process.env.TZ;
    beforeEach(() => {
      process.env.TZ = zone;
    });
    afterEach(() => {
      process.env.TZ = before;
      if (before === undefined) delete process.env.TZ;
    });

    test('a day is a day, and the same time of the next one is that, also where the clocks change', () => {
      const lengths = new Set<number>();
      let day = dayOf(new Date(2026, 0, 1, 13, 5).getTime());
      for (let n = 0; n < 365; n += 1) {
        const next = dayAfter(day, 1);
        expect([next.from, dayAfter(next, -1)]).toEqual([day.to, day]);
        expect(new Date(day.from).getHours()).toBe(0);
        lengths.add((day.to - day.from) / HOUR);
        const noon = onDay(day.from, new Date(2026, 5, 1, 12).getTime());
        expect(localText(noon).slice(11)).toBe('12:00:00');
        expect(dayOf(noon)).toEqual(day);
        expect(daysLater(noon, 1)).toBe(onDay(next.from, noon));
        expect(daysLater(daysLater(noon, 1), -1)).toBe(noon);
        day = next;
      }
      // Where no day were longer or shorter, this would prove nothing.
      const changes = { 'Asia/Seoul': 1 }[zone] ?? 3;
      expect(lengths.size).toBe(changes);
    });
  },
);

test('zooming keeps the moment under the pointer and stays within the day', () => {
  const day = dayOf(START);
  const around = day.from + 6 * HOUR;
  const closer = zoomed(day, day, 0.25, around);
  expect(closer.to - closer.from).toBeCloseTo((day.to - day.from) / 4);
  expect((around - closer.from) / (closer.to - closer.from)).toBeCloseTo(0.25);
  expect(zoomed(closer, day, 100, around)).toEqual(day);
  const closest = zoomed(day, day, 1e-9, around);
  expect(closest.to - closest.from).toBe(120_000);
  expect(within({ from: day.from - HOUR, to: day.from }, day).from).toBe(day.from);
});

test('the ruler has whole times with room between them', () => {
  const day = dayOf(START);
  const marks = ticks(day, 1200, 76);
  expect(marks.length).toBeLessThanOrEqual(1200 / 76 + 1);
  expect(marks.map(({ at, step }) => tickText(at, step)).slice(0, 3)).toEqual([
    '00:00',
    '02:00',
    '04:00',
  ]);
  const close = ticks({ from: START, to: START + 120_000 }, 1200, 76);
  expect(close.map(({ at, step }) => tickText(at, step)).slice(0, 2)).toEqual([
    '14:00:00',
    '14:00:10',
  ]);
});

test('addresses hold cameras and moments, and survive nonsense', () => {
  const href = hrefs.timeline(['cam_01', 'b'], START);
  expect(href).toBe('#/timeline/cam_01,b/2026-11-20T14:00:00');
  expect(parseRoute(href)).toEqual({ place: 'timeline', cameras: ['cam_01', 'b'], at: START });
  expect(parseRoute('#/timeline')).toEqual({ place: 'timeline', cameras: [], at: null });
  expect(parseRoute('#/timeline/all/never')).toEqual({ place: 'timeline', cameras: [], at: null });
  expect(localTime(localText(START))).toBe(START);
});

test('sizes are told as disks are sold', () => {
  expect([0, 999, 1_000, 1_500_000, 12_345_678_901, 456e9].map(size)).toEqual([
    '0 B',
    '999 B',
    '1 kB',
    '1.5 MB',
    '12.3 GB',
    '456 GB',
  ]);
});

test('playing follows the film, waits for it, and sits no gap through', () => {
  const deck = new Deck();
  deck.jump(START);
  deck.toggle();
  deck.advance(16, START + 500, false, [a], START + HOUR);
  expect(deck.at).toBe(START + 500);
  deck.advance(16, null, true, [a], START + HOUR);
  expect(deck.at).toBe(START + 500);
  // Over the seam, into the next file; and over the gap.
  deck.at = START + 9_995;
  deck.advance(16, null, false, [a], START + HOUR);
  expect(deck.at).toBe(START + 10_011);
  deck.at = START + 29_990;
  deck.advance(16, null, false, [a], START + HOUR);
  expect(deck.at).toBe(START + 60_000);
  deck.at = START + 69_995;
  deck.advance(16, null, false, [a], START + 70_000);
  expect([deck.at, deck.playing]).toEqual([START + 70_000, false]);
});

test('J, K and L run backwards, stop and run; again is faster', () => {
  const deck = new Deck();
  deck.jump(START + 20_000);
  for (const key of ['l', 'l', 'l'] as const) deck.shuttle(key);
  expect([deck.playing, deck.speed]).toEqual([true, 4]);
  deck.shuttle('j');
  expect([deck.playing, deck.backwards, deck.speed]).toEqual([false, true, 1]);
  deck.advance(1_000, null, false, [a], START + HOUR);
  expect(deck.at).toBe(START + 19_000);
  deck.shuttle('k');
  deck.advance(1_000, null, false, [a], START + HOUR);
  expect([deck.at, deck.backwards]).toEqual([START + 19_000, false]);
});

test('a span has its beginning before its end', () => {
  const deck = new Deck();
  deck.jump(100);
  deck.mark('to');
  deck.jump(200);
  deck.mark('from');
  expect([deck.from, deck.to]).toEqual([200, null]);
  deck.jump(300);
  deck.mark('to');
  expect([deck.from, deck.to]).toEqual([200, 300]);
});
