import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Phone, type PhoneParts } from '../src/phone.svelte';
import type { Paired } from '../src/session/keep';
import type { WireHandlers } from '../src/session/wire';
import { settings } from '../src/settings.svelte';

/** Which way each camera looked that was asked for, and whether sound was. */
const asked: { facing: unknown; sound: boolean }[] = [];
const track = { readyState: 'live', muted: false, stop() {}, addEventListener() {} };
const stream = {
  getTracks: () => [track],
  getVideoTracks: () => [track],
  getAudioTracks: () => [],
};
let computer: WireHandlers;

beforeEach(() => {
  vi.useFakeTimers();
  asked.length = 0;
  vi.stubGlobal('navigator', {
    userAgent: '',
    mediaDevices: {
      async getUserMedia({ video, audio }: MediaStreamConstraints) {
        const { facingMode } = video as MediaTrackConstraints;
        asked.push({ facing: (facingMode as ConstrainDOMStringParameters).ideal, sound: !!audio });
        return stream;
      },
    },
  });
  vi.stubGlobal('RTCRtpSender', {});
  vi.stubGlobal('__VERSION__', '0');
  Object.assign(settings, { facing: 'environment', sound: false });
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function phoneOf(room: string | null, computers: Paired[]): Phone {
  const parts: PhoneParts = {
    openWire(_way, handlers) {
      computer = handlers;
      return { send() {}, close() {} };
    },
    keep: {
      key: () => Promise.reject(new Error('no key')),
      computers: async () => computers,
      remember: async () => {},
      forget: async () => {},
    },
    origin: 'https://computer.invalid',
    kind: 'web',
    scan: null,
    room,
  };
  return new Phone(parts, null, computers);
}

test('a paused phone films nothing, whatever is chosen meanwhile, and goes on as chosen', async () => {
  const phone = phoneOf('hall', []);
  phone.start();
  await vi.advanceTimersByTimeAsync(100);
  expect(asked).toEqual([{ facing: 'environment', sound: false }]);
  expect(phone.view.stream).not.toBe(null);

  phone.pause(true);
  phone.turn();
  phone.setSound(true);
  phone.again();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(asked).toHaveLength(1);
  expect(phone.view).toMatchObject({ paused: 'user', stream: null });

  phone.pause(false);
  await vi.advanceTimersByTimeAsync(100);
  expect(asked.slice(1)).toEqual([{ facing: 'user', sound: true }]);

  phone.stop();
  phone.turn();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(asked).toHaveLength(2);
});

test('from a phone that was removed there is a way back', async () => {
  const known = { relay: 'r', device: 'd', name: 'Desk', origin: '', used: 0 };
  const phone = phoneOf(null, [known]);
  phone.start();
  await vi.advanceTimersByTimeAsync(100);
  computer.onOpen();
  computer.onClose(4403);
  expect(phone.view).toMatchObject({ phase: 'closed', end: 'revoked' });
  phone.stop();
  expect(phone.view.phase).toBe('idle');
  expect(settings.publishing).toBe(false);
});

test('the zoom is told as the camera that is used now has it', async () => {
  const lens = { getCapabilities: () => ({ zoom: { min: 0.5, max: 4, step: 0.1 } }) };
  const stands = vi.fn(() => ({ zoom: 1 }));
  Object.assign(track, lens, { getSettings: stands });
  const phone = phoneOf('hall', []);
  phone.start();
  await vi.advanceTimersByTimeAsync(100);
  expect(phone.view.powers.zoom).toMatchObject({ min: 0.5, max: 4, now: 1 });
  stands.mockReturnValue({ zoom: 2 });
  phone.turn();
  await vi.advanceTimersByTimeAsync(100);
  expect(phone.view.powers.zoom?.now).toBe(2);
  phone.stop();
});

test('a camera that was forbidden is opened as soon as it is allowed, and who has none is told so', async () => {
  const status = { state: 'denied', onchange: null as (() => void) | null };
  const { mediaDevices } = navigator;
  const give = mediaDevices.getUserMedia;
  mediaDevices.getUserMedia = async () => {
    throw new DOMException('', 'NotAllowedError');
  };
  Object.assign(navigator, { permissions: { query: async () => status } });
  const phone = phoneOf('hall', []);
  phone.start();
  await vi.advanceTimersByTimeAsync(10);
  expect([phone.view.capture, phone.view.refusal]).toEqual(['refused', 'denied']);
  status.onchange?.();
  await vi.advanceTimersByTimeAsync(10);
  expect(asked).toHaveLength(0);
  mediaDevices.getUserMedia = give;
  status.state = 'granted';
  status.onchange?.();
  await vi.advanceTimersByTimeAsync(10);
  expect(asked).toHaveLength(1);
  expect([phone.view.capture, phone.view.refusal]).toEqual(['live', null]);
  expect(phone.view.keepsAwake).toBe(false);
  mediaDevices.getUserMedia = async () => {
    throw new DOMException('', 'NotFoundError');
  };
  phone.turn();
  await vi.advanceTimersByTimeAsync(10);
  expect([phone.view.capture, phone.view.refusal]).toEqual(['refused', 'missing']);
  phone.stop();
});
