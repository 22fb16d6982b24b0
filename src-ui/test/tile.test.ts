import { describe, expect, test } from 'vitest';
import { en } from '../src/i18n/en';
import type { ViewerState } from '../src/media/viewer';
import { FakePlatform } from '../src/platform/fake';
import type { Camera, CameraState } from '../src/platform/types';
import { faults, isFaulty, isFilmed, summary, tileView } from '../src/state/tile';
import states from './states.json';

const [base] = new FakePlatform(1).cameras.values();
if (!base) throw new Error('the fake has one camera');
const now = Date.parse('2026-11-20T14:50:50Z');
const since = '2026-11-20T14:50:42Z';
const playing: ViewerState = {
  name: 'playing',
  option: { transport: 'webrtc', plays: true, why: null, sound: 'none' },
  whyNot: [],
};

function view(
  state: Partial<CameraState>,
  viewer: ViewerState = playing,
  more: Partial<Camera> = {},
  online = true,
) {
  const camera: Camera = { ...base, ...more, state: { name: 'live', since, ...state } } as Camera;
  return tileView({ camera, viewer, online, now, clockOffset: 0, m: en, locale: 'en' });
}

describe('a tile', () => {
  test('shows the dot of a recording only while something is recorded', () => {
    const filmed = (recording: Partial<Camera['recording']>) =>
      isFilmed({ ...base, recording: { state: 'recording', since, ...recording } } as Camera);
    const cause = { code: 'waiting_for_camera', class: 'NETWORK', detail: '' } as const;
    expect(filmed({})).toBe(true);
    expect(filmed({ cause })).toBe(false);
    expect(filmed({ state: 'disk_full' })).toBe(false);
  });

  test('that is live and plays says nothing', () => {
    expect(view({})).toMatchObject({ mark: 'none', headline: null, dim: false, badge: null });
  });

  test.each(['idle', 'connecting', 'stalled', 'reconnecting', 'failed', 'refused'] as const)(
    'that is %s dims its last picture and has words and a mark',
    (name) => {
      const found = view({ name });
      expect(found.dim).toBe(true);
      expect(found.headline).toBeTruthy();
      expect(found.mark).not.toBe('none');
    },
  );

  test('that is stalled counts from the last frame', () => {
    // A stall is told two seconds after the frame that it began with.
    const last = '2026-11-20T14:50:47Z';
    expect(view({ name: 'stalled', since: last, last_picture_at: last }).headline).toBe(
      'No picture for 3 s',
    );
    expect(view({ name: 'stalled', since: last }).headline).toBe('No picture for 3 s');
  });

  test('tells since when there is no picture, whatever was tried since', () => {
    const last_picture_at = '2026-11-20T14:44:10Z';
    const cause = { code: 'unreachable', class: 'RTSP_NETWORK', detail: '' };
    // The last try failed just now.
    const just = { since: '2026-11-20T14:50:49Z', last_picture_at, cause };
    const said = expect.stringMatching(/^No picture since \d\d:44:10\.$/);
    expect(view({ name: 'reconnecting', attempt: 2, ...just }).detail).toEqual(said);
    expect(view({ name: 'failed', attempt: 5, ...just }).detail).toEqual(said);
    expect(view({ name: 'refused', ...just }).more).toEqual(said);
    for (const name of ['reconnecting', 'failed'] as const) {
      const never = view({ name, since: just.since, cause });
      expect(never.detail).toBe('No picture so far.');
    }
  });

  test('that failed says what becomes of it if nobody does anything', () => {
    const failed = (code: string, attempt?: number) =>
      view({
        name: 'failed',
        cause: { code, class: 'RTSP_NETWORK', detail: '' },
        ...(attempt === undefined ? {} : { attempt }),
      }).more;
    expect(failed('unreachable', 5)).toMatch(/^Gave up after 5 attempts; comes back by itself/);
    expect(failed('unreachable')).toMatch(/^It is not tried again by itself: that is switched off/);
    expect(failed('internal', 2)).toMatch(/^It is not tried again by itself\./);
  });

  test('is tried out with states as the engine tells them', () => {
    const keys = (state: CameraState) => Object.keys(state).sort();
    for (const told of states as CameraState[]) {
      const [camera] = new FakePlatform(1, told.name).cameras.values();
      const fake = camera?.state;
      if (!fake) throw new Error(told.name);
      expect(fake.name).toBe(told.name);
      const known = keys(told);
      // A camera may have had no picture, and its first try has no number to tell.
      const missing = known.filter((key) => !keys(fake).includes(key));
      expect(keys(fake).filter((key) => !known.includes(key))).toEqual([]);
      expect(missing.filter((key) => key !== 'last_picture_at' && key !== 'attempt')).toEqual([]);
      const since = Date.parse(fake.since) - Date.parse(fake.last_picture_at ?? fake.since);
      expect(since).toBeGreaterThanOrEqual(0);
      if (fake.name === 'stalled') {
        expect(Date.now() - Date.parse(fake.since)).toBeGreaterThanOrEqual(2000);
      }
    }
  });

  test('that reconnects counts down, says how often, and can be hurried', () => {
    const found = view({ name: 'reconnecting', attempt: 3, retry_at: '2026-11-20T14:50:54Z' });
    expect(found).toMatchObject({
      mark: 'ring',
      headline: 'Trying again in 4 s (3rd time)',
      action: 'retry',
    });
    expect(found.ring).toBeGreaterThan(0);
  });

  test('counts by the server’s clock, not by this machine’s', () => {
    const camera: Camera = {
      ...base,
      state: { name: 'reconnecting', since, retry_at: '2026-11-20T15:50:54Z' },
    };
    const found = tileView({
      camera,
      viewer: playing,
      online: true,
      now,
      clockOffset: 3_600_000,
      m: en,
      locale: 'en',
    });
    expect(found.headline).toBe('Trying again in 4 s');
  });

  test('with a wrong password shows a padlock and the way to mend it', () => {
    const cause = { code: 'unauthorized', class: 'RTSP_NETWORK', detail: '401' };
    expect(view({ name: 'refused', cause })).toMatchObject({
      mark: 'padlock',
      headline: 'Wrong user name or password',
      action: 'edit',
      cause,
    });
  });

  test('that nothing can play says which codec, and where', () => {
    const why = [{ code: 'codec', codec: 'h265' } as const];
    expect(view({}, { name: 'unplayable', why }).headline).toBe(
      'H.265 does not play in this browser',
    );
    const stills: ViewerState = {
      name: 'playing',
      option: { transport: 'stills', plays: true, why: null, sound: 'none' },
      whyNot: why,
    };
    expect(view({}, stills).badge).toBe('Single pictures · H.265 does not play in this browser');
  });

  test('is never called live while the server is silent', () => {
    expect(view({}, playing, {}, false)).toMatchObject({
      dim: true,
      headline: 'Connection to Nightjar lost',
    });
  });

  test('says when its own connection is dialled again', () => {
    const found = view({}, { name: 'redialing', attempt: 4, at: now + 2000, detail: '' });
    expect(found).toMatchObject({ dim: true, detail: 'Opening again in 2 s', action: 'redial' });
  });
});

test('the wall at a glance counts what has no picture', () => {
  const fake = new FakePlatform(10, 'broken');
  expect(summary(fake.cameras.values())).toMatchObject({
    all: 10,
    on: 10,
    live: 0,
    down: 8,
    failed: 4,
    connecting: 2,
  });
});

test('a camera that is switched off is neither live nor missing', () => {
  const camera = (name: CameraState['name']) => ({ ...base, state: { name, since } }) as Camera;
  const off = summary([camera('live'), camera('live'), camera('idle')]);
  expect(off).toMatchObject({ all: 3, on: 2, live: 2, down: 0 });
  const down = summary([camera('live'), camera('idle'), camera('failed')]);
  expect(down).toMatchObject({ on: 2, live: 1, down: 1 });
  expect(summary([camera('idle')])).toMatchObject({ all: 1, on: 0, live: 0 });
});

test('a picture that is there does not hide that it is not recorded, or in trouble', () => {
  const recording = (state: Camera['recording']['state']): Camera =>
    ({ ...base, recording: { state, since }, state: { name: 'live', since } }) as Camera;
  const warned = (...codes: string[]): Camera => ({
    ...recording('recording'),
    warnings: codes.map((code) => ({ code, class: 'BUFFERING', detail: '' })),
  });
  for (const state of ['storage_lost', 'disk_full', 'failed'] as const) {
    expect(faults(recording(state), en)).toEqual([en.tile.notRecorded[state]]);
    expect(isFaulty(recording(state))).toBe(true);
  }
  for (const state of ['off', 'recording'] as const) {
    expect(faults(recording(state), en)).toEqual([]);
    expect(isFaulty(recording(state))).toBe(false);
  }
  const both = {
    ...warned('buffering', 'keepalive_unanswered'),
    recording: recording('failed').recording,
  };
  expect(faults(both, en)).toEqual([
    en.tile.notRecorded.failed,
    en.cause.buffering.title,
    en.tile.slow,
  ]);
  // Of a camera that is away its own state tells more.
  const away: Camera = { ...warned('buffering'), state: { name: 'failed', since } };
  expect([faults(away, en), isFaulty(away)]).toEqual([[], false]);
  const all = [warned('buffering'), recording('disk_full'), recording('recording'), away];
  expect(summary(all)).toMatchObject({ on: 4, live: 3, down: 1, faulty: 2 });
});

describe('a phone', () => {
  const cause = (code: string) => ({ code, class: 'RTSP_NETWORK', detail: '' });
  const phone = (name: CameraState['name'], code: string) =>
    view({ name, cause: cause(code), attempt: 2 }, playing, { kind: 'phone' });

  test('that pauses says why, and nobody is asked to do anything about it here', () => {
    for (const name of ['stalled', 'reconnecting'] as const) {
      const found = phone(name, 'paused_locked');
      expect(found).toMatchObject({
        headline: 'Paused: screen locked',
        mark: 'pause',
        action: null,
      });
      expect(found.dim).toBe(true);
    }
  });

  test('R-P11 whose pictures stopped says which of phone and network is at fault', () => {
    expect(phone('stalled', 'capture_stopped').headline).toBe('The phone’s camera stopped');
    expect(phone('reconnecting', 'path_dead')).toMatchObject({
      detail: 'The pictures do not get through',
      action: 'retry',
    });
    expect(phone('reconnecting', 'phone_gone').more).toContain('battery');
  });
});
