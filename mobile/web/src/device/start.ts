/**
 * What a fresh connection begins to send with. Pure. Left to itself a browser begins at 0.3 Mbit/s, drops
 * its first pictures because they are too large for that, and sends tiny ones for seconds.
 */
import type { Shape } from './quality';

/** Where nothing is known of the network, bits per second: one at home, and one of a provider. */
const AT_HOME = 1_000_000;
const ON_THE_WAY = 600_000;
/** Pictures of a phone's size are not dropped from here on, bits per second. */
const LEAST = 550_000;
/** Of what the connection before could send. */
const SHARE = 0.7;

/** Bits per second; `known` is what the browser last held possible, null where there was none. */
export function startOf({ bitrate }: Shape, known: number | null, net: string | null): number {
  const guess = net === 'cellular' ? ON_THE_WAY : AT_HOME;
  const start = known === null ? guess : Math.max(LEAST, known * SHARE);
  return Math.round(Math.min(bitrate, start));
}

/** The answer, saying so for its first video format. Browsers that know no such parameter pass over it. */
export function beginWith(answer: string, bitrate: number): string {
  const parameter = `x-google-start-bitrate=${Math.round(bitrate / 1000)}`;
  const lines = answer.split('\r\n');
  const section = lines.findIndex((line) => line.startsWith('m=video '));
  const [, , , format] = lines[section]?.split(' ') ?? [];
  if (format === undefined) return answer;
  const of = (name: string) =>
    lines.findIndex((line, i) => i > section && line.startsWith(`a=${name}:${format} `));
  const [fmtp, rtpmap] = [of('fmtp'), of('rtpmap')];
  if (fmtp >= 0) lines[fmtp] += `;${parameter}`;
  else if (rtpmap >= 0) lines.splice(rtpmap + 1, 0, `a=fmtp:${format} ${parameter}`);
  return lines.join('\r\n');
}
