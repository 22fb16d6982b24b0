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
  #src = '';
  #time = 0;
  set src(value: string) {
    this.#src = value;
    FakeVideo.loads += 1;
    FakeVideo.addresses.add(value);
    queueMicrotask(() => {
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
  Object.assign(FakeVideo, { seconds: 60, loads: 0, addresses: new Set() });
});
afterEach(() => vi.useRealTimers());

function filmed() {
  const video = () => new FakeVideo() as unknown as HTMLVideoElement;
  return new Film([video(), video()], { address: async (id) => id, onState: () => {} });
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
