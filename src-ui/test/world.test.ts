import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { FakePlatform } from '../src/platform/fake';
import { type Alert, ApiError } from '../src/platform/types';
import { type Broken, Feed, type Link } from '../src/state/feed';
import { emptyWorld, parseEvent, step, type World } from '../src/state/world';

const fake = new FakePlatform(3);
const [first, second] = [...fake.cameras.values()];
if (!first || !second) throw new Error('the fake has three cameras');
const snapshot = { type: 'snapshot', seq: 0, cameras: [first, second], alerts: [] } as const;

function folded(...messages: Parameters<typeof step>[1][]): World | 'resnapshot' {
  let world = emptyWorld;
  for (const message of messages) {
    const result = step(world, message);
    if (result.kind === 'resnapshot') return 'resnapshot';
    world = result.world;
  }
  return world;
}

describe('the fold over events', () => {
  test('takes a snapshot, then each camera as a whole', () => {
    const renamed = { ...second, name: 'Barn' };
    const world = folded(
      { ...snapshot, cameras: [first, second], alerts: [] },
      { type: 'camera', seq: 1, camera: renamed },
      { type: 'camera_removed', seq: 2, id: first.id },
    );
    expect(world).toMatchObject({ seq: 2 });
    expect(world !== 'resnapshot' && [...world.cameras.values()]).toEqual([renamed]);
  });

  test('asks for a snapshot when a number is missing, repeated or comes first', () => {
    const base = { ...snapshot, cameras: [first], alerts: [] };
    expect(folded(base, { type: 'camera', seq: 2, camera: second })).toBe('resnapshot');
    expect(folded(base, { type: 'camera', seq: 0, camera: second })).toBe('resnapshot');
    expect(folded({ type: 'camera', seq: 1, camera: second })).toBe('resnapshot');
  });

  test('keeps alerts as the server does: the newest first, 200 of them, and each that goes on', () => {
    const at = (minute: number) => new Date(1_700_000_000_000 + minute * 60_000).toISOString();
    const alert = (n: number, more = {}) =>
      ({
        id: `a${n}`,
        kind: 'camera_lost',
        message: '',
        since: at(n),
        until: at(n + 1),
        ...more,
      }) as Alert;
    const messages = Array.from({ length: 250 }, (_, n) => ({
      type: 'alert',
      seq: n + 1,
      alert: alert(n, n === 3 ? { until: null } : {}),
    }));
    // One of before has its end told late: that makes it no newer.
    const late = { type: 'alert', seq: 251, alert: alert(240, { message: 'over' }) };
    const world = folded({ ...snapshot, cameras: [], alerts: [] }, ...messages, late);
    if (world === 'resnapshot') throw new Error('nothing is missing');
    expect(world.alerts.map(({ id }) => id)).toEqual([
      ...Array.from({ length: 200 }, (_, n) => `a${249 - n}`),
      'a3',
    ]);
    expect(world.alerts[9]?.message).toBe('over');
  });

  test('counts messages of kinds it does not know', () => {
    const base = { ...snapshot, cameras: [first], alerts: [] };
    const world = folded(
      base,
      { type: 'weather', seq: 1 },
      { type: 'camera', seq: 2, camera: second },
    );
    expect(world !== 'resnapshot' && world.cameras.size).toBe(2);
  });

  test('reads nothing out of garbage', () => {
    for (const text of ['', 'null', '[]', '{"type":1,"seq":2}', '{"type":"camera"}', '{']) {
      expect(parseEvent(text)).toBeNull();
    }
  });
});

describe('the feed', () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  function watched(platform: FakePlatform) {
    const links: Link[] = [];
    let reason: Broken | null = null;
    let world = emptyWorld;
    const feed = new Feed(platform, {
      onWorld: (next) => (world = next),
      onLink: (link, why) => {
        links.push(link);
        reason = why;
      },
    });
    return { feed, links, world: () => world, why: () => reason };
  }

  test('takes a new snapshot when a number is missing, and is then right again', async () => {
    const platform = new FakePlatform(2);
    const dial = vi.spyOn(platform, 'events');
    const { feed, world } = watched(platform);
    feed.start();
    await vi.advanceTimersByTimeAsync(0);
    platform.cameras.delete('cam_01');
    platform.emit({ type: 'camera', camera: platform.cameras.get('cam_02') }, 1);
    await vi.advanceTimersByTimeAsync(0);
    expect(dial).toHaveBeenCalledTimes(2);
    expect([...world().cameras.keys()]).toEqual(['cam_02']);
    feed.stop();
  });

  test('follows a server that goes and comes back', async () => {
    const platform = new FakePlatform(1);
    const events = platform.events.bind(platform);
    const { feed, links, world } = watched(platform);
    feed.start();
    await vi.advanceTimersByTimeAsync(0);
    const dial = vi.spyOn(platform, 'events').mockRejectedValue(new ApiError(0, 'unreachable', ''));
    platform.hangUp();
    await vi.advanceTimersByTimeAsync(999);
    expect(dial).toHaveBeenCalledTimes(2);
    await vi.advanceTimersByTimeAsync(1);
    expect(dial).toHaveBeenCalledTimes(3);
    expect(links.at(-1)).toBe('offline');
    dial.mockImplementation(events);
    platform.run = 'second';
    await vi.advanceTimersByTimeAsync(1000);
    expect(links.at(-1)).toBe('online');
    expect(world().run).toBe('second');
    feed.stop();
  });

  test('does not wait long for a door that does not answer, but hears it say late that a token is wanted', async () => {
    const platform = new FakePlatform(1);
    const { feed, links } = watched(platform);
    const dial = vi.spyOn(platform, 'events').mockRejectedValue(new ApiError(0, 'unreachable', ''));
    const check = vi.spyOn(platform, 'check').mockReturnValue(new Promise(() => {}));
    feed.start();
    await vi.advanceTimersByTimeAsync(1001);
    expect(dial).toHaveBeenCalledTimes(2);
    check.mockImplementation(async () => {
      await new Promise((done) => setTimeout(done, 1500));
      throw new ApiError(401, 'unauthorized', '');
    });
    await vi.advanceTimersByTimeAsync(60_000);
    expect(links.at(-1)).toBe('locked');
    const before = dial.mock.calls.length;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(dial).toHaveBeenCalledTimes(before);
  });

  test('says why where the desktop could not start the server, and dials when a person has it tried again', async () => {
    const platform = new FakePlatform(1);
    platform.broken = 'config';
    const dial = vi.spyOn(platform, 'events');
    const { feed, links, why } = watched(platform);
    feed.start();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(links).toEqual(['broken']);
    expect(why()).toMatchObject({
      code: 'config',
      message: expect.stringContaining('settings.json'),
    });
    expect(dial).toHaveBeenCalledTimes(1);
    await platform.desktop.again();
    feed.start();
    await vi.advanceTimersByTimeAsync(0);
    expect(links).toEqual(['broken', 'connecting', 'online']);
    expect(why()).toBe(null);
    feed.stop();
  });

  test('says so at once where the server fell silent, however long a new dial and its check take', async () => {
    const platform = new FakePlatform(1);
    const { feed, links } = watched(platform);
    feed.start();
    await vi.advanceTimersByTimeAsync(0);
    vi.spyOn(platform, 'events').mockReturnValue(new Promise(() => {}));
    vi.spyOn(platform, 'check').mockReturnValue(new Promise(() => {}));
    await vi.advanceTimersByTimeAsync(9999);
    expect(links.at(-1)).toBe('online');
    await vi.advanceTimersByTimeAsync(1);
    expect(links.at(-1)).toBe('offline');
    feed.stop();
  });

  test('looks closely where the browser says that the network is gone', async () => {
    const platform = new FakePlatform(1);
    const { feed, links } = watched(platform);
    feed.start();
    await vi.advanceTimersByTimeAsync(1000);
    feed.doubt();
    await vi.advanceTimersByTimeAsync(2999);
    expect(links).toEqual(['online']);
    await vi.advanceTimersByTimeAsync(1);
    expect(links[1]).toBe('offline');
    feed.stop();
  });

  test('does not trust a socket that fell silent although a camera is live', async () => {
    const platform = new FakePlatform(1);
    const dial = vi.spyOn(platform, 'events');
    const { feed } = watched(platform);
    feed.start();
    await vi.advanceTimersByTimeAsync(9000);
    platform.emit({ type: 'camera', camera: platform.cameras.get('cam_01') });
    await vi.advanceTimersByTimeAsync(9000);
    expect(dial).toHaveBeenCalledTimes(1);
    await vi.advanceTimersByTimeAsync(1001);
    expect(dial).toHaveBeenCalledTimes(2);
    feed.stop();
  });

  test('does not trust one either where no camera is live and the server says nothing at all', async () => {
    const platform = new FakePlatform(1, 'failed');
    const dial = vi.spyOn(platform, 'events');
    const { feed } = watched(platform);
    feed.start();
    for (let passed = 0; passed < 60_000; passed += 10_000) {
      await vi.advanceTimersByTimeAsync(10_000);
      platform.emit({ type: 'alive' });
    }
    expect(dial).toHaveBeenCalledTimes(1);
    await vi.advanceTimersByTimeAsync(25_001);
    expect(dial).toHaveBeenCalledTimes(2);
    feed.stop();
  });

  test('dials again where a dial never ends', async () => {
    const platform = new FakePlatform(1);
    const dial = vi.spyOn(platform, 'events').mockReturnValue(new Promise(() => {}));
    const { feed, links } = watched(platform);
    feed.start();
    await vi.advanceTimersByTimeAsync(4001);
    expect(dial).toHaveBeenCalledTimes(2);
    dial.mockRestore();
    await vi.advanceTimersByTimeAsync(5000);
    expect(links.at(-1)).toBe('online');
    feed.stop();
  });

  test('stops at the door when a token is wanted', async () => {
    const { feed, links } = watched(new FakePlatform(1, 'live', 'webrtc', true));
    feed.start();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(links).toEqual(['locked']);
  });
});
