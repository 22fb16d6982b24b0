import { expect, test } from 'vitest';
import { addressFault, completed, splitCredentials } from '../src/state/address';

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
});
