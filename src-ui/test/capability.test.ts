import { describe, expect, test } from 'vitest';
import {
  type Capabilities,
  choose,
  detect,
  options,
  type Transport,
} from '../src/media/capability';
import type { Track } from '../src/platform/types';

const video = (codec: string): Track => ({ kind: 'video', codec });
const audio = (codec: string): Track => ({ kind: 'audio', codec });
const chromium: Capabilities = {
  webrtc: {
    video: new Set(['h264', 'vp8', 'vp9', 'av1']),
    audio: new Set(['opus', 'pcmu', 'pcma']),
  },
  mse: (mime) => /avc1|mp4a|av01|opus|vp/.test(mime),
};
const webkitGtk: Capabilities = { webrtc: null, mse: (mime) => /avc1|hvc1|mp4a|opus/.test(mime) };
const nothing: Capabilities = { webrtc: null, mse: null };

function best(tracks: Track[], caps: Capabilities, wantSound = false, barred: Transport[] = []) {
  return choose(options(tracks, caps, wantSound), new Set(barred))?.transport ?? null;
}

describe('the chooser', () => {
  test('takes WebRTC where there is one, else MSE, else stills', () => {
    expect(best([video('h264')], chromium)).toBe('webrtc');
    expect(best([video('h264')], webkitGtk)).toBe('mse');
    expect(best([video('h264')], nothing)).toBe('stills');
    expect(best([video('mjpeg')], chromium)).toBe('stills');
  });

  test('plays H.265 by MSE where the browser can, and says why where it cannot', () => {
    expect(best([video('h265')], webkitGtk)).toBe('mse');
    expect(best([video('h265')], chromium)).toBe('stills');
    const reasons = options([video('h265')], chromium).map((option) => option.why);
    expect(reasons).toEqual([
      { code: 'codec', codec: 'h265' },
      { code: 'codec', codec: 'h265' },
      null,
    ]);
  });

  test('R-M3 reckons with no sound that is not received', () => {
    const noted: Track = { ...audio('opus'), note: 'not received', note_code: 'not_received' };
    const found = options([video('h264'), noted], chromium, true);
    expect(found.map((option) => option.sound)).toEqual(['none', 'none', 'none']);
    expect(options([video('h264'), audio('opus')], chromium)[0]?.sound).toBe('plays');
  });

  test('goes to MSE for AAC only while somebody listens', () => {
    const tracks = [video('h264'), audio('aac')];
    expect(best(tracks, chromium)).toBe('webrtc');
    expect(best(tracks, chromium, true)).toBe('mse');
    expect(best([video('h264'), audio('opus')], chromium, true)).toBe('webrtc');
  });

  test('goes on to the next where one was tried in vain, and says so where none is left', () => {
    expect(best([video('h264')], chromium, false, ['webrtc'])).toBe('mse');
    expect(best([video('h264')], chromium, false, ['webrtc', 'mse'])).toBe('stills');
    expect(best([], nothing)).toBeNull();
  });
});

test('capabilities are read from what the browser offers', () => {
  const found = detect({
    RTCPeerConnection: class {},
    RTCRtpReceiver: {
      getCapabilities: (kind) => ({
        codecs: [{ mimeType: `${kind}/VP8` }, { mimeType: `${kind}/opus` }],
      }),
    },
    MediaSource: { isTypeSupported: (mime) => mime.includes('avc1') },
  });
  expect([...(found.webrtc?.video ?? [])]).toEqual(['vp8']);
  expect([...(found.webrtc?.audio ?? [])]).toEqual(['opus']);
  expect(found.mse?.('video/mp4; codecs="avc1.640028"')).toBe(true);
  expect(detect({})).toEqual({ webrtc: null, mse: null });
});
