import { describe, expect, test } from 'vitest';
import { LiveEdge, rangeAt, TARGET, TARGET_HEARD } from '../src/media/live-edge';

/** A screen that plays what arrives: 25 fps, one order per frame. */
class Screen {
  edge = new LiveEdge();
  now = 0;
  end: number;
  current: number;
  rate = 1;
  changes = 0;
  seeks: number[] = [];
  /** An engine whose rate does not take hold. */
  deaf = false;
  /** Seconds for which an engine stands at each change of its rate. */
  cost = 0;

  constructor(lag: number) {
    this.end = 100;
    this.current = 100 - lag;
  }
  get lag(): number {
    return this.end - this.current;
  }
  run(seconds: number): this {
    for (let t = 0; t < seconds - 1e-9; t += 0.04) {
      this.now += 40;
      this.end += 0.04;
      this.current += 0.04 * (this.deaf ? 1 : this.rate);
      const order = this.edge.order({
        now: this.now,
        currentTime: this.current,
        range: { start: 90, end: this.end },
        shown: true,
      });
      if (order.rate !== this.rate) {
        this.changes += 1;
        this.current -= this.cost;
      }
      this.rate = order.rate;
      if (order.seekTo !== null) {
        this.seeks.push(order.seekTo - this.current);
        this.current = order.seekTo;
      }
    }
    return this;
  }
}

describe('the live edge', () => {
  test('leaves a picture with its sound as much as sound takes, and does not hurry it', () => {
    for (const lag of [0.4, 0.7]) {
      const screen = new Screen(lag);
      screen.edge.heard = true;
      for (let t = 0; t < 6; t += 0.04) expect(screen.run(0.04).rate).toBeLessThanOrEqual(1.1);
      expect(Math.abs(screen.lag - TARGET_HEARD)).toBeLessThan(0.1);
      expect(screen.seeks).toEqual([]);
      // Sound stops with much of the picture still ahead: more is kept from then on, and it catches up again.
      screen.edge.waits(0.24);
      expect(screen.edge.target).toBeGreaterThan(TARGET_HEARD);
      screen.current -= 0.3;
      expect(screen.run(12).lag).toBeLessThan(TARGET_HEARD + 0.1);
    }
  });

  test('takes a wait with much ahead for the decoder’s', () => {
    const edge = new LiveEdge();
    edge.waits(0.24);
    expect(edge.target).toBe(TARGET);
  });

  test('leaves a picture alone that is near it', () => {
    for (const lag of [0.02, 0.06, 0.1]) expect(new Screen(lag).run(10).changes).toBe(0);
  });

  test('catches up within a second after the start, with one change and one back', () => {
    for (const lag of [0.15, 0.25, 0.4, 0.6]) {
      const screen = new Screen(lag).run(1);
      expect(screen.lag).toBeLessThan(0.15);
      expect(screen.run(10).changes).toBe(2);
      expect(screen.rate).toBe(1);
    }
  });

  test('later plays only a little faster, and not for a single late frame', () => {
    const screen = new Screen(0.06).run(5);
    screen.current -= 0.15;
    screen.run(0.4);
    expect(screen.rate).toBe(1);
    screen.run(0.2);
    expect(screen.rate).toBe(1.1);
    screen.run(3);
    expect(screen.lag).toBeLessThan(0.1);
    expect(screen.rate).toBe(1);
  });

  test('gives up a rate that does nothing, rather than hold it or flutter', () => {
    const screen = new Screen(0.4);
    screen.deaf = true;
    screen.run(20);
    expect(screen.changes).toBeLessThanOrEqual(8);
  });

  test('learns where a change of rate costs more than a small lag', () => {
    const screen = new Screen(0.4);
    screen.cost = 0.12;
    screen.run(5);
    const { changes } = screen;
    screen.current = screen.end - 0.25;
    screen.run(20);
    expect(screen.changes).toBe(changes);
    screen.current = screen.end - 0.6;
    screen.run(5);
    expect(screen.changes).toBeGreaterThan(changes);
    expect(screen.lag).toBeLessThan(0.4);
  });

  test('jumps only when it is far behind, and never back', () => {
    expect(new Screen(1).run(1).seeks).toEqual([]);
    const screen = new Screen(3).run(1);
    expect(screen.seeks).toHaveLength(1);
    expect(screen.seeks[0]).toBeGreaterThan(0);
    expect(screen.lag).toBeCloseTo(TARGET);
  });

  test('starts a short burst at its front and a long one at its end', () => {
    const begin = (start: number, end: number) =>
      new LiveEdge().order({ now: 0, currentTime: 0, range: { start, end }, shown: false });
    expect(begin(500, 500.3).seekTo).toBe(500);
    expect(begin(500, 504).seekTo).toBeCloseTo(504 - TARGET);
  });

  test('does not touch the rate before there is a picture', () => {
    const input = { now: 5000, currentTime: 0, range: { start: 0, end: 0.8 }, shown: false };
    expect(new LiveEdge().order(input)).toEqual({ seekTo: null, rate: 1 });
  });

  test('comes back to a clock that ran ahead of the media', () => {
    const input = { now: 0, currentTime: 50, range: { start: 10, end: 12 }, shown: true };
    expect(new LiveEdge().order(input).seekTo).toBeCloseTo(12 - TARGET);
  });

  test('keeps more distance where frames arrive unevenly, and gives it back in calm', () => {
    const edge = new LiveEdge();
    for (let i = 0; i < 100; i += 1) edge.waits(0.01);
    expect(edge.target).toBeCloseTo(TARGET + 0.5);
    edge.calm(1000);
    expect(edge.target).toBeCloseTo(TARGET);
  });
});

describe('the range that plays', () => {
  const range = (start: number, end: number) => ({ start, end });

  test('is the one that holds the picture, not an island ahead of it', () => {
    const played = range(3, 10);
    const island = range(10.08, 10.12);
    expect(rangeAt([played, island], 9.9)).toBe(played);
    expect(rangeAt([played, island], 10)).toBe(played);
    expect(rangeAt([played, island], 10.1)).toBe(island);
  });

  test('is the newest once the picture has come to a hole that stays', () => {
    const before = range(3, 10);
    const after = range(10.2, 12);
    expect(rangeAt([before, after], 9)).toBe(before);
    expect(rangeAt([before, after], 10)).toBe(after);
    expect(rangeAt([before, range(14, 14.1)], 10)?.start).toBe(14);
  });

  test('is the newest before there is a picture, and none where nothing is buffered', () => {
    expect(rangeAt([range(3, 10), range(12, 13)], 0)?.start).toBe(12);
    expect(rangeAt([], 0)).toBeNull();
  });
});
