import { expect, test } from 'vitest';
import { addressFault, completed, loginStays, splitCredentials } from '../src/state/address';

test.each([
  ['rtsp://admin:secret@10.0.0.5:554/h264', 'rtsp://10.0.0.5:554/h264', 'admin', 'secret'],
  ['rtsp://admin@cam.local/', 'rtsp://cam.local/', 'admin', null],
  ['rtsp://u:p%40ss@cam/x', 'rtsp://cam/x', 'u', 'p@ss'],
  ['rtsp://u:p@ss@cam/x', 'rtsp://cam/x', 'u', 'p@ss'],
  ['rtsp://u:p/a#s@cam:554/x?y=1', 'rtsp://cam:554/x?y=1', 'u', 'p/a#s'],
  ['rtsps://u:p:q@[fe80::1]:322/s', 'rtsps://[fe80::1]:322/s', 'u', 'p:q'],
  ['rtsp://u:100%@cam/x', 'rtsp://cam/x', 'u', '100%'],
  ['rtsp://cam:554/live@main', 'rtsp://cam:554/live@main', null, null],
  ['rtsp://cam/user=a&password=b', 'rtsp://cam/user=a&password=b', null, null],
  ['  rtsp://cam/x ', 'rtsp://cam/x', null, null],
  ['cam.local', 'cam.local', null, null],
])('credentials are moved out of %s', (input, url, username, password) => {
  expect(splitCredentials(input)).toEqual({ url, username, password });
});

test('an address is judged before anybody is asked', () => {
  expect(addressFault(' ')).toBe('empty');
  expect(addressFault('http://cam/x')).toBe('scheme');
  expect(addressFault('rtsp:///x')).toBe('host');
  expect(addressFault('rtsp://[::1]:554/x')).toBeNull();
  expect(completed('10.0.0.5:554/x')).toBe('rtsp://10.0.0.5:554/x');
  expect(completed('rtsps://a')).toBe('rtsps://a');
  expect(addressFault('demo:1/sub')).toBeNull();
  expect(addressFault('demo://x')).toBe('scheme');
  expect(completed('demo:1')).toBe('demo:1');
});

test('a stored login stays at its scheme, host, port and user', () => {
  const before = { url: 'rtsp://cam/a', sub_url: 'rtsp://cam:8554/b', username: 'u' };
  const at = (url: string, sub_url?: string) => ({
    url,
    username: 'u',
    ...(sub_url ? { sub_url } : {}),
  });
  for (const now of [at('RTSP://Cam:554/c?d'), at(' rtsp://cam:8554', 'rtsp://cam')]) {
    expect(loginStays(before, now)).toBe(true);
  }
  for (const now of [
    at('rtsps://cam/a'),
    at('rtsp://cam.evil/a'),
    at('rtsp://cam:555/a'),
    at('rtsp://cam/a', 'rtsp://other/b'),
    at('demo:1'),
    { url: 'rtsp://cam/a' },
  ]) {
    expect(loginStays(before, now)).toBe(false);
  }
});
