/**
 * What was recorded, as the timeline looks at it: spans by camera, moments and where they lie.
 * Times are milliseconds since 1970. Pure.
 */
import type { Recordings } from '../bindings/api';
import { instant, two } from './format';

/** One recording. */
export interface Take {
  id: string;
  start: number;
  end: number;
  bytes: number;
  open: boolean;
  protected: boolean;
}

export interface Hole {
  start: number;
  end: number;
  cause: string;
  open: boolean;
  /** The disk it was to be recorded to, where that has a name. */
  disk?: string;
}

export interface Mark {
  id: string;
  at: number;
  end: number | null;
  kind: string;
  message: string;
}

/** The past of one camera, each list oldest first. */
export interface Past {
  takes: Take[];
  holes: Hole[];
  marks: Mark[];
}

export interface Window {
  from: number;
  to: number;
}

export const nothing: Past = { takes: [], holes: [], marks: [] };

/** Recordings that follow each other closer than this are drawn and played as one, ms. */
export const SEAM_MS = 1_500;
/** A moment so little before a recording is taken for its beginning, ms. */
const NEAR_MS = 250;

/** By camera; what several had in common stands with each of them. */
export function sorted(recordings: Recordings): Map<string, Past> {
  const pasts = new Map<string, Past>();
  const of = (camera: string): Past => {
    const known = pasts.get(camera);
    if (known) return known;
    const fresh: Past = { takes: [], holes: [], marks: [] };
    pasts.set(camera, fresh);
    return fresh;
  };
  for (const { id, camera, start, end, bytes, state, protected: kept } of recordings.segments) {
    const from = instant(start);
    const to = instant(end);
    if (from === null || to === null) continue;
    of(camera).takes.push({
      id,
      start: from,
      end: to,
      bytes,
      open: state === 'open',
      protected: kept,
    });
  }
  for (const { camera, start, end, cause, open, disk } of recordings.gaps) {
    const from = instant(start);
    const to = instant(end);
    if (from === null || to === null) continue;
    of(camera).holes.push({
      start: from,
      end: to,
      cause,
      open: open === true,
      ...(disk ? { disk } : {}),
    });
  }
  for (const { id, camera, cameras, kind, start, end, message } of recordings.events) {
    const at = instant(start);
    if (at === null) continue;
    const about = new Set([...(cameras ?? []), ...(camera ? [camera] : [])]);
    for (const one of about) of(one).marks.push({ id, at, end: instant(end), kind, message });
  }
  return pasts;
}

/** The past of a camera of which everything was asked for anew that reaches beyond `from`. */
export function renewed(old: Past, fresh: Past, from: number): Past {
  const earlier = <T>(
    all: T[],
    renewed: T[],
    name: (one: T) => string,
    end: (one: T) => number,
  ) => {
    const names = new Set(renewed.map(name));
    return [...all.filter((one) => end(one) <= from && !names.has(name(one))), ...renewed];
  };
  const never = () => Number.NEGATIVE_INFINITY;
  const nameOf = (hole: Hole) => `${hole.start} ${hole.end} ${hole.cause}`;
  const takes = earlier(
    old.takes,
    fresh.takes,
    ({ id }) => id,
    ({ end }) => end,
  );
  const holes = earlier(old.holes, fresh.holes, nameOf, ({ end }) => end);
  const marks = earlier(old.marks, fresh.marks, ({ id }) => id, never);
  return {
    takes: takes.sort((a, b) => a.start - b.start),
    holes: holes.sort((a, b) => a.start - b.start),
    marks: marks.sort((a, b) => a.at - b.at),
  };
}

/** The recording that shows a moment. */
export function takeAt(past: Past, at: number): Take | null {
  // The newest first: where two overlap because a clock was set, the later one was recorded then.
  return (
    past.takes.findLast((take) => take.start <= at && at < take.end) ??
    past.takes.find((take) => take.start > at && take.start - NEAR_MS <= at) ??
    null
  );
}

/** The first moment after `at` that any of them shows, or null. */
export function nextShown(pasts: readonly Past[], at: number): number | null {
  let found: number | null = null;
  for (const { takes } of pasts) {
    const next = takes.find((take) => take.start > at);
    if (next && (found === null || next.start < found)) found = next.start;
  }
  return found;
}

/** The moment of the next or the previous mark of any of them, or null. */
export function markFrom(pasts: readonly Past[], at: number, direction: 1 | -1): number | null {
  const times = pasts.flatMap(({ marks }) => marks.map((mark) => mark.at)).sort((a, b) => a - b);
  // A person who jumps twice wants to get on.
  return direction === 1
    ? (times.find((time) => time > at + 500) ?? null)
    : (times.findLast((time) => time < at - 2_500) ?? null);
}

/** Stretches of recordings without a seam, with what is protected apart. */
export function stretches(takes: readonly Take[]): (Window & { kept: boolean })[] {
  const found: (Window & { kept: boolean })[] = [];
  for (const { start, end, protected: kept } of takes) {
    const last = found.at(-1);
    if (last && last.kept === kept && start - last.to <= SEAM_MS) last.to = Math.max(last.to, end);
    else found.push({ from: start, to: end, kept });
  }
  return found;
}

/** Why there is nothing at a moment: the cause's code, or null where nobody knows. */
export function causeAt(past: Past, at: number): string | null {
  return past.holes.find((hole) => hole.start <= at && at < hole.end)?.cause ?? null;
}

/** Midnight before `at`, and the one after it, in local time; days with a change of clocks are theirs. */
export function dayOf(at: number): Window {
  const day = new Date(at);
  day.setHours(0, 0, 0, 0);
  const from = day.getTime();
  day.setDate(day.getDate() + 1);
  return { from, to: day.getTime() };
}

/** The day `days` later. */
export function dayAfter(day: Window, days: number): Window {
  const noon = new Date((day.from + day.to) / 2);
  noon.setDate(noon.getDate() + days);
  return dayOf(noon.getTime());
}

/** The same time of day `days` later, by the calendar: where the clocks change, a day has no 24 hours. */
export function daysLater(at: number, days: number): number {
  const day = new Date(at);
  day.setDate(day.getDate() + days);
  return day.getTime();
}

/** The time of day of `at`, on the day that begins at `midnight`. */
export function onDay(midnight: number, at: number): number {
  const day = new Date(midnight);
  const time = new Date(at);
  day.setHours(time.getHours(), time.getMinutes(), time.getSeconds(), time.getMilliseconds());
  return day.getTime();
}

const MINUTE = 60_000;
/** No closer than this. */
export const CLOSEST_MS = 2 * MINUTE;

/** The window `factor` times as wide around `around`, within the day. */
export function zoomed(window: Window, day: Window, factor: number, around: number): Window {
  const width = window.to - window.from;
  const wanted = Math.min(Math.max(width * factor, CLOSEST_MS), day.to - day.from);
  const share = (around - window.from) / width;
  return within({ from: around - wanted * share, to: around + wanted * (1 - share) }, day);
}

/** The same width, pushed into the day. */
export function within(window: Window, day: Window): Window {
  const width = Math.min(window.to - window.from, day.to - day.from);
  const from = Math.min(Math.max(window.from, day.from), day.to - width);
  return { from, to: from + width };
}

const STEPS = [
  10_000,
  30_000,
  MINUTE,
  5 * MINUTE,
  10 * MINUTE,
  30 * MINUTE,
  60 * MINUTE,
  120 * MINUTE,
  180 * MINUTE,
  240 * MINUTE,
  360 * MINUTE,
];

/** Moments that get a word on the ruler, about `room` pixels apart. */
export function ticks(window: Window, width: number, room: number): { at: number; step: number }[] {
  const most = Math.max(1, Math.floor(width / room));
  const step =
    STEPS.find((one) => (window.to - window.from) / one <= most) ?? STEPS.at(-1) ?? MINUTE;
  // Counted from midnight, so that they fall on whole hours in every time zone.
  const midnight = dayOf(window.from).from;
  const found = [];
  for (let n = Math.ceil((window.from - midnight) / step); ; n += 1) {
    const at = midnight + n * step;
    if (at > window.to) return found;
    found.push({ at, step });
  }
}

/** `2026-11-20T14:00:05`, local: for addresses and fields. */
export function localText(at: number): string {
  const d = new Date(at);
  const date = `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`;
  return `${date}T${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
}

/** The other way round; null for what is no time. */
export function localTime(text: string): number | null {
  const at = new Date(text).getTime();
  return Number.isNaN(at) ? null : at;
}

/** Hours and minutes, with seconds where the ruler is that fine. */
export function tickText(at: number, step: number): string {
  const text = localText(at).slice(11);
  return step < MINUTE ? text : text.slice(0, 5);
}

/** `1.4 GB`, in powers of ten as disks are sold. */
export function size(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit > 1 && value < 100 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}
