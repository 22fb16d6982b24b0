import { expect, test } from 'vitest';
import { shapeOf } from '../src/device/quality';
import { beginWith, startOf } from '../src/device/start';

const answer = (...video: string[]) =>
  [
    'v=0',
    'm=audio 9 UDP/TLS/RTP/SAVPF 111',
    'a=rtpmap:111 opus/48000/2',
    'a=fmtp:111 minptime=10',
    ...video,
    '',
  ].join('\r\n');

test('a connection begins where the last one was, and never below what a picture needs', () => {
  const shape = shapeOf('medium', 0);
  expect(startOf(shape, null, null)).toBe(1_000_000);
  expect(startOf(shape, null, 'cellular')).toBe(600_000);
  expect(startOf(shape, 2_000_000, 'cellular')).toBe(1_400_000);
  expect(startOf(shape, 30_000, null)).toBe(550_000);
  expect(startOf(shape, 9_000_000, null)).toBe(shape.bitrate);
  const thrifty = shapeOf('low', 2);
  expect(startOf(thrifty, null, null)).toBe(thrifty.bitrate);
});

test('the answer says so for the format that is sent, and for nothing else', () => {
  const h264 = ['m=video 9 UDP/TLS/RTP/SAVPF 109 114', 'a=rtpmap:109 H264/90000'];
  const with264 = answer(...h264, 'a=fmtp:109 packetization-mode=1', 'a=fmtp:114 apt=109');
  expect(beginWith(with264, 999_600)).toBe(
    answer(
      ...h264,
      'a=fmtp:109 packetization-mode=1;x-google-start-bitrate=1000',
      'a=fmtp:114 apt=109',
    ),
  );
  const vp8 = ['m=video 9 UDP/TLS/RTP/SAVPF 96', 'a=rtpmap:96 VP8/90000'];
  expect(beginWith(answer(...vp8), 600_000)).toBe(
    answer(...vp8, 'a=fmtp:96 x-google-start-bitrate=600'),
  );
  for (const without of [answer(), answer('m=video 0 UDP/TLS/RTP/SAVPF 96'), '', 'no answer']) {
    expect(beginWith(without, 600_000)).toBe(without);
  }
});
