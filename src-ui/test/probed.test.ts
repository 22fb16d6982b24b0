import { expect, test } from 'vitest';
import { en } from '../src/i18n/en';
import { ko } from '../src/i18n/ko';
import type { Probe } from '../src/platform/types';
import { probeRemarks } from '../src/state/probed';

const PROBE: Probe = {
  url: 'rtsp://cam/',
  transport: 'tcp',
  tracks: [],
  playback: [],
  first_frame_ms: 1,
  warnings: [],
};

test('what a look found is said in the language of the page, a small stream that fails among it', () => {
  const cause = { code: 'not_found', class: 'RTSP_NETWORK', detail: '404' };
  const probe = {
    ...PROBE,
    warnings: ['far', '7 lost', 'quiet', 'new'],
    warning_codes: ['long_gop', 'lost', 'keepalive_unanswered', 'of_tomorrow'],
    sub: { tracks: [], cause },
  };
  for (const m of [en, ko]) {
    expect(probeRemarks(probe, m)).toEqual([
      m.probe.longGop,
      m.probe.lost,
      `${m.cause.timeout.title}. ${m.cause.timeout.remedy}`,
      'new',
      m.probe.smallFault(`${m.cause.not_found.title}. ${m.cause.not_found.remedy}`),
    ]);
  }
  expect(probeRemarks({ ...PROBE, warnings: ['as it was said'] }, en)).toEqual(['as it was said']);
  expect(probeRemarks({ ...PROBE, sub: { tracks: [] } }, en)).toEqual([]);
});
