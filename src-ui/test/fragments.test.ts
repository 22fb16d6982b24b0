import { expect, test } from 'vitest';
import { keyFrameAt, videoTrack } from '../src/media/fragments';

const u32 = (...values: number[]) =>
  values.flatMap((v) => [v >>> 24, (v >> 16) & 255, (v >> 8) & 255, v & 255]);
const box = (type: string, ...parts: number[][]): number[] => {
  const body = parts.flat();
  return [...u32(8 + body.length), ...[...type].map((c) => c.charCodeAt(0)), ...body];
};
const bytes = (data: number[]) => new Uint8Array(data).buffer;

const track = (id: number, handler: string, timescale: number) =>
  box(
    'trak',
    box('tkhd', u32(0, 0, 0, id, 0)),
    box(
      'mdia',
      box('mdhd', u32(0, 0, 0, timescale, 0)),
      box(
        'hdlr',
        u32(0, 0),
        [...handler].map((c) => c.charCodeAt(0)),
        u32(0, 0, 0),
      ),
    ),
  );
const init = bytes([
  ...box('ftyp', u32(1)),
  ...box('moov', box('mvhd', u32(0)), track(1, 'soun', 48000), track(2, 'vide', 90000)),
]);
const video = { id: 2, timescale: 90000 };

/** A fragment as muxers write them: flags in the run's head, per sample, or as the track's default. */
function fragment(how: 'first' | 'each' | 'default', sync: boolean, id = 2): ArrayBuffer {
  const flags = sync ? 0x0200_0000 : 0x0101_0000;
  const tfhd = how === 'default' ? u32(0x2_0028, id, 3600, flags) : u32(0x2_0000, id);
  const trun =
    how === 'first'
      ? u32(0x205, 1, 100, flags, 5000)
      : how === 'each'
        ? u32(0x701, 1, 100, 3600, 5000, flags)
        : u32(0x201, 1, 100, 5000);
  return bytes([
    ...box(
      'moof',
      box('mfhd', u32(0, 7)),
      box('traf', box('tfhd', tfhd), box('tfdt', u32(0x0100_0000, 0, 450_000)), box('trun', trun)),
    ),
    ...box('mdat', u32(0, 0)),
  ]);
}

test('the video track is found among the others', () => {
  expect(videoTrack(init)).toEqual(video);
});

test.each(['first', 'each', 'default'] as const)(
  'a key frame is known by its flags (%s)',
  (how) => {
    expect(keyFrameAt(fragment(how, true), video)).toBe(5);
    expect(keyFrameAt(fragment(how, false), video)).toBeNull();
    expect(keyFrameAt(fragment(how, true, 1), video)).toBeNull();
  },
);

test('every truncation and every broken size gives no answer', () => {
  const whole = new Uint8Array(fragment('each', true));
  for (let length = 0; length < whole.length - 16; length += 1) {
    expect(keyFrameAt(whole.slice(0, length).buffer, video)).toBeNull();
  }
  for (let at = 0; at < whole.length; at += 1) {
    const broken = whole.slice();
    broken.fill(255, at, at + 4);
    expect(() => keyFrameAt(broken.buffer, video)).not.toThrow();
    expect(() => videoTrack(broken.buffer)).not.toThrow();
  }
});
