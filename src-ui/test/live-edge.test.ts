import { describe, expect, test } from 'vitest';
import { EdgeTarget, liveEdge, TARGET } from '../src/media/live-edge';

const at = (lag: number, { rate = 1, fresh = false } = {}) =>
  liveEdge({ currentTime: 100 - lag, range: { start: 90, end: 100 }, rate, target: TARGET, fresh });

describe('the live edge', () => {
  test('leaves a picture alone that is near it', () => {
    for (const lag of [0, 0.03, 0.06, 0.1]) expect(at(lag)).toEqual({ seekTo: null, rate: 1 });
  });

  test('plays a little faster when behind, and faster the further it is', () => {
    expect(at(0.2).seekTo).toBeNull();
    expect(at(0.2).rate).toBeGreaterThan(1);
    expect(at(0.2).rate).toBeLessThan(1.2);
    expect(at(0.8).rate).toBeGreaterThan(at(0.2).rate);
  });

  test('catches up what was cached within a second', () => {
    let lag = 0.45;
    let rate = 1;
    for (let t = 0; t < 1; t += 0.04) {
      rate = at(lag, { rate, fresh: true }).rate;
      lag -= (rate - 1) * 0.04;
    }
    expect(lag).toBeLessThan(0.1);
  });

  test('goes on until it has caught up, so that the rate does not flutter', () => {
    expect(at(0.1, { rate: 1.1 }).rate).toBeGreaterThan(1);
    expect(at(0.05, { rate: 1.1 }).rate).toBe(1);
  });

  test('jumps only when it is far behind, and never back', () => {
    expect(at(3).seekTo).toBeCloseTo(100 - TARGET);
    for (let lag = 0; lag < 10; lag += 0.05) {
      const { seekTo, rate } = at(lag);
      if (seekTo !== null) expect(seekTo).toBeGreaterThan(100 - lag);
      expect(rate).toBeLessThanOrEqual(2);
    }
  });

  test('starts a short burst at its front and a long one at its end', () => {
    const begin = (start: number, end: number) =>
      liveEdge({ currentTime: 0, range: { start, end }, rate: 1, target: TARGET, fresh: true });
    expect(begin(500, 500.3).seekTo).toBe(500);
    expect(begin(500, 504).seekTo).toBeCloseTo(504 - TARGET);
  });

  test('comes back to a clock that ran ahead of the media', () => {
    expect(
      liveEdge({
        currentTime: 50,
        range: { start: 10, end: 12 },
        rate: 1,
        target: TARGET,
        fresh: false,
      }).seekTo,
    ).toBeCloseTo(12 - TARGET);
  });

  test('keeps more distance where frames arrive unevenly, and gives it back in calm', () => {
    const target = new EdgeTarget();
    for (let i = 0; i < 100; i += 1) target.ranDry();
    expect(target.value).toBeCloseTo(TARGET + 0.5);
    target.calm(1000);
    expect(target.value).toBeCloseTo(TARGET);
  });
});
