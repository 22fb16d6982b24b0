import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Recordings } from '../src/bindings/api';
import { FakePlatform } from '../src/platform/fake';
import { ApiError } from '../src/platform/types';
import { dayOf } from '../src/state/past';
import { Shelf } from '../src/state/shelf.svelte';

const NOON = new Date(2026, 10, 20, 12).getTime();
const day = dayOf(NOON);
const MINUTE = 60_000;
/** What a server would know: files of a minute, the last of them still open; it never forgets a name. */
function recorded(camera: string, from: number, to: number, now: number): Recordings {
  const segments = [];
  for (let start = day.from; start < Math.min(to, now); start += MINUTE) {
    const end = Math.min(start + MINUTE, now);
    if (end <= from) continue;
    segments.push({
      id: `${camera}${start}`,
      camera,
      start: new Date(start).toISOString(),
      end: new Date(end).toISOString(),
      bytes: 1,
      state: end < start + MINUTE ? ('open' as const) : ('sealed' as const),
      protected: false,
      codec: 'h264',
      width: 1,
      height: 1,
    });
  }
  return { segments, gaps: [], events: [] };
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.setSystemTime(NOON + 20_000);
});
afterEach(() => vi.useRealTimers());

function shelved() {
  const platform = new FakePlatform(2);
  const answers: number[] = [];
  const asked = vi.spyOn(platform, 'recordings').mockImplementation(async (span) => {
    const found = recorded(span.camera, span.from, span.to, Date.now());
    answers.push(found.segments.length);
    return found;
  });
  return { shelf: new Shelf(platform, () => Date.now()), asked, answers };
}

test('a day of hours is fetched once, of the chosen cameras, and then what is new', async () => {
  const { shelf, asked, answers } = shelved();
  const stop = shelf.follow(day, ['a']);
  await vi.advanceTimersByTimeAsync(50_000);
  expect(asked).toHaveBeenCalledTimes(11);
  expect(new Set(asked.mock.calls.map(([span]) => span.camera))).toEqual(new Set(['a']));
  expect(answers[0]).toBe(12 * 60 + 1);
  expect(Math.max(...answers.slice(1))).toBeLessThanOrEqual(2);
  // And yet all of it is there, the file that was begun since as well, the open one as long as it is now.
  const takes = shelf.pasts.get('a')?.takes ?? [];
  expect(takes).toHaveLength(12 * 60 + 2);
  expect(takes.map((take) => take.start)).toEqual(takes.map((_, n) => day.from + n * MINUTE));
  expect(takes.at(-1)).toMatchObject({ open: true, end: NOON + 70_000 });
  expect(takes.at(-2)).toMatchObject({ open: false, end: NOON + MINUTE });
  // What was deleted in the middle of the day is noticed within a minute.
  asked.mockResolvedValue({ segments: [], gaps: [], events: [] });
  await vi.advanceTimersByTimeAsync(15_000);
  expect(shelf.pasts.get('a')?.takes).toEqual([]);
  stop();
  asked.mockClear();
  await vi.advanceTimersByTimeAsync(120_000);
  expect(asked).not.toHaveBeenCalled();
});

test('a camera that is chosen later is fetched alone, and another day anew', async () => {
  const { shelf, asked } = shelved();
  shelf.follow(day, ['a'])();
  const one = shelf.follow(day, ['a']);
  await vi.advanceTimersByTimeAsync(0);
  one();
  asked.mockClear();
  const two = shelf.follow(day, ['a', 'b']);
  await vi.advanceTimersByTimeAsync(0);
  expect(asked.mock.calls.map(([{ camera, from }]) => [camera, from === day.from])).toEqual([
    ['a', false],
    ['b', true],
  ]);
  two();
  const before = dayOf(day.from - 1);
  const three = shelf.follow(before, ['a']);
  expect(shelf.pasts.size).toBe(0);
  asked.mockClear();
  await vi.advanceTimersByTimeAsync(59_000);
  // A day that is over changes by deletion alone.
  expect(asked).toHaveBeenCalledTimes(0);
  three();
});

test('a server that is away is told only where nothing is known', async () => {
  const { shelf, asked } = shelved();
  asked.mockRejectedValueOnce(new ApiError(0, 'unreachable', 'no way there'));
  const stop = shelf.follow(day, ['a']);
  await vi.advanceTimersByTimeAsync(0);
  expect(shelf.broken).toBe('no way there');
  await vi.advanceTimersByTimeAsync(5000);
  expect(shelf.broken).toBeNull();
  asked.mockRejectedValueOnce(new ApiError(0, 'unreachable', 'no way there'));
  await vi.advanceTimersByTimeAsync(5000);
  expect(shelf.broken).toBeNull();
  expect(shelf.pasts.get('a')?.takes.length).toBeGreaterThan(700);
  stop();
});
