import { expect, test } from 'vitest';
import { en } from '../src/i18n/en';
import { ko } from '../src/i18n/ko';
import type { Alert } from '../src/platform/types';
import { alertWords } from '../src/state/alert';

const plain: Alert = {
  id: '1',
  kind: 'camera_lost',
  camera: 'gate',
  cameras: ['gate'],
  back: [],
  since: '2026-11-20T14:50:42.120Z',
  message: 'Gate gives no picture.',
  remedy: 'Check the camera.',
  quiet: false,
};
const lost: Alert = {
  ...plain,
  cause: { code: 'closed', class: 'RTSP_NETWORK', detail: 'The camera closed the connection.' },
};

test('an alert says what happened and what helps, in both languages', () => {
  expect(alertWords(lost, en)).toEqual({
    title: 'No picture: The camera ended the connection',
    remedy: en.cause.closed.remedy,
    grave: true,
  });
  expect(alertWords(lost, ko).title).toMatch(/^영상 없음/);
  const full: Alert = { ...plain, kind: 'disk_full' };
  expect(alertWords(full, en).remedy).toBe(en.alerts.remedies.disk_full);
});

test('cameras that fell together are one event with what they share', () => {
  const group: Alert = { ...lost, cameras: ['gate', 'yard', 'shed'] };
  expect(alertWords(group, en)).toMatchObject({
    title: '3 cameras were lost together',
    remedy: en.alerts.togetherRemedy,
  });
});

test('a kind of a newer server is told in its own words', () => {
  const newer = { ...plain, kind: 'door_open' } as unknown as Alert;
  expect(alertWords(newer, ko).title).toBe(lost.message);
});
