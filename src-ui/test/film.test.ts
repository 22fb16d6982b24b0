import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Film } from '../src/media/film';

/** A video of which a file `length` seconds long is loaded at once. */
class FakeVideo extends EventTarget {
  static seconds = 60;
  static loads = 0;
  static addresses = new Set<string>();
  duration = Number.NaN;
  ended = false;
  paused = true;
  seeking = false;
  playbackRate = 1;
  dataset: Record<string, string> = {};
  /** What loading an address comes to: a `MediaError` code, or nothing where it loads. */
  static fault: number | null = null;
  error: { code: number } | null = null;
  #src = '';
  #time = 0;
  set src(value: string) {
    this.#src = value;
    FakeVideo.loads += 1;
    FakeVideo.addresses.add(value);
    queueMicrotask(() => {
      this.error = FakeVideo.fault === null ? null : { code: FakeVideo.fault };
      if (this.error) {
        this.dispatchEvent(new Event('error'));
        return;
      }
      this.duration = FakeVideo.seconds;
      this.dispatchEvent(new Event('loadedmetadata'));
    });
  }
  get currentTime(): number {
    return this.#time;
  }
  set currentTime(at: number) {
    this.#time = Math.min(at, this.duration);
    queueMicrotask(() => this.dispatchEvent(new Event('seeked')));
  }
  pause() {}
  async play() {}
  load() {}
  hasAttribute() {
    return this.#src !== '';
  }
  removeAttribute() {
    this.#src = '';
  }
}

beforeEach(() => {
  vi.useFakeTimers();
  Object.assign(FakeVideo, { seconds: 60, loads: 0, addresses: new Set(), fault: null });
});
afterEach(() => vi.useRealTimers());

function filmed(answers = async () => true) {
  const video = () => new FakeVideo() as unknown as HTMLVideoElement;
  let ticket = 0;
  return new Film([video(), video()], {
    address: async (id) => {
      ticket += 1;
      return `${id}?ticket=${ticket}`;
    },
    answers,
    onState: () => {},
  });
}

test('a recording that is still written is loaded again for what it has got since, once a second', async () => {
  const film = filmed();
  film.show('a', 30, true, true);
  await vi.advanceTimersByTimeAsync(2000);
  expect(film.position('a')).toBeCloseTo(30, 1);
  FakeVideo.seconds = 180;
  film.show('a', 150, true, true);
  await vi.advanceTimersByTimeAsync(0);
  expect(film.position('a')).toBeCloseTo(150, 1);
  for (let i = 0; i < 100; i += 1) {
    film.show('a', 200, false, true);
    await vi.advanceTimersByTimeAsync(16);
  }
  expect(FakeVideo.loads).toBe(3);
  // Loaded from the same address, browsers show what they have.
  expect(FakeVideo.addresses.size).toBe(3);
});

test('one that was whole when it was loaded is loaded once', async () => {
  const film = filmed();
  film.show('a', 30, true, false);
  await vi.advanceTimersByTimeAsync(2000);
  film.show('a', 60.5, false, false);
  await vi.advanceTimersByTimeAsync(2000);
  expect(FakeVideo.loads).toBe(1);
});

const NETWORK = 2;
const DECODE = 3;
const NOT_SUPPORTED = 4;

test.each([NETWORK, NOT_SUPPORTED])(
  'what does not come (%i) is asked for again from a fresh address, and shown when it is there',
  async (code) => {
    let there = false;
    const film = filmed(async () => there);
    const look = async (ms: number) => {
      for (let passed = 0; passed < ms; passed += 100) {
        film.show('a', 30, false, false);
        await vi.advanceTimersByTimeAsync(100);
      }
    };
    FakeVideo.fault = code;
    await look(1000);
    expect([film.state, FakeVideo.loads]).toEqual(['away', 1]);
    await look(9000);
    expect(film.state).toBe('away');
    expect(FakeVideo.loads).toBe(4);
    expect(FakeVideo.addresses.size).toBe(4);
    FakeVideo.fault = null;
    there = true;
    await look(4000);
    expect(film.state).toBe('ready');
    expect(film.position('a')).toBeCloseTo(30, 1);
  },
);

test('what came and cannot be decoded is told from that, and opened again only when asked to', async () => {
  const film = filmed(async () => false);
  FakeVideo.fault = DECODE;
  for (let n = 0; n < 20; n += 1) {
    film.show('a', 30, false, false);
    await vi.advanceTimersByTimeAsync(1000);
  }
  expect([film.state, FakeVideo.loads]).toEqual(['broken', 1]);
  FakeVideo.fault = null;
  film.retry();
  await vi.advanceTimersByTimeAsync(10);
  expect(film.state).toBe('ready');
});

test('a format that the browser does not know is no missing server', async () => {
  const film = filmed(async () => true);
  FakeVideo.fault = NOT_SUPPORTED;
  film.show('a', 0, false, false);
  await vi.advanceTimersByTimeAsync(10);
  expect(film.state).toBe('broken');
});
