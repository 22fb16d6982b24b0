import { expect, test } from 'vitest';
import { en } from '../src/i18n/en';
import { ko } from '../src/i18n/ko';
import type { ViewerReport } from '../src/media/viewer';
import { FakePlatform } from '../src/platform/fake';
import type { Track } from '../src/platform/types';
import { figures } from '../src/state/figures';
import { missing, noteWords, received } from '../src/state/tracks';

const video: Track = { kind: 'video', codec: 'h264' };
const note = 'The camera’s sound is Opus, which can’t be received over RTSP yet.';
const opus: Track = { kind: 'audio', codec: 'opus', note, note_code: 'not_received' };

test('R-M3 a track that gives nothing says why, in the language of the page', () => {
  expect(received([video, opus], 'audio')).toBe(null);
  expect(received([video, opus], 'video')).toBe(video);
  expect(missing([video, opus], en)).toEqual([
    'Its Opus sound cannot be received by RTSP. Choose AAC or G.711 in the camera.',
  ]);
  expect(noteWords(opus, ko)).toMatch(/^Opus 소리는/);
  expect(noteWords({ ...opus, codec: 'other' }, ko)).toMatch(/^소리는/);
  for (const note_code of ['aac_form', 'aac_latm', 'withheld', 'unreadable']) {
    expect(noteWords({ ...opus, note_code }, ko)).toMatch(/\p{Script=Hangul}/u);
  }
  expect(noteWords({ ...opus, note_code: 'of a newer server' }, ko)).toBe(note);
});

test('the overlay shows what was lost on the way from the camera, however the page is connected', () => {
  const [base] = new FakePlatform(1).cameras.values();
  if (!base) throw new Error('the fake has one camera');
  const camera = { ...base, stats: { ...base.stats, lost: 17 } };
  const report = { transport: 'mse', stream: 'main', width: 0, height: 0, fps: 0, bitrate: 0 };
  const lost = (here: number | null) => {
    const rows = figures({ ...report, lost: here } as ViewerReport, camera, en);
    return rows.find(([label]) => label === en.stats.lost)?.[1];
  };
  expect(lost(null)).toBe('17 · –');
  expect(lost(3)).toBe('17 · 3');
});
