/** Times, durations and figures as people read them. Pure but for the local time zone. */
import type { Messages } from '../i18n/en';

export const two = (value: number): string => String(value).padStart(2, '0');

/** Local time with seconds; with the date in front where it is not today. */
export function clockTime(at: number, now: number, locale: string): string {
  const date = new Date(at);
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  if (date.toDateString() === new Date(now).toDateString()) return time;
  return `${date.toLocaleDateString(locale, { month: 'short', day: 'numeric' })} ${time}`;
}

export function duration(ms: number, m: Messages): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 120) return m.units.seconds(seconds);
  const minutes = Math.floor(seconds / 60);
  if (minutes < 120) return m.units.minutes(minutes);
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? m.units.hours(hours) : m.units.days(Math.floor(hours / 24));
}

export function bitrate(bitsPerSecond: number, m: Messages): string {
  return bitsPerSecond < 1_000_000
    ? m.stats.kbps(Math.round(bitsPerSecond / 1000).toString())
    : m.stats.mbps((bitsPerSecond / 1_000_000).toFixed(1));
}

const CODECS: Readonly<Record<string, string>> = {
  h264: 'H.264',
  h265: 'H.265',
  mjpeg: 'MJPEG',
  aac: 'AAC',
  opus: 'Opus',
  pcmu: 'G.711 µ-law',
  pcma: 'G.711 A-law',
  g722: 'G.722',
  g726: 'G.726',
};

export function codecName(codec: string): string {
  return CODECS[codec] ?? codec.toUpperCase();
}

/** Milliseconds since 1970, or null where the text is no time. */
export function instant(text: string | null | undefined): number | null {
  const at = Date.parse(text ?? '');
  return Number.isNaN(at) ? null : at;
}
