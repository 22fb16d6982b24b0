import { expect, test } from 'vitest';
import { feedDelay, redialDelay } from '../src/state/redial';

test('a lost viewer dials again after 0, 0.3, 1, 2, 5 s, then every 5 s for ever', () => {
  expect([0, 1, 2, 3, 4, 5, 1000].map(redialDelay)).toEqual([0, 300, 1000, 2000, 5000, 5000, 5000]);
});

test('the feed of a server that was away is back within a second or two, however long it was away', () => {
  const waits = Array.from({ length: 100 }, (_, attempt) => feedDelay(attempt));
  expect(waits.slice(0, 5)).toEqual([0, 300, 700, 1000, 1000]);
  const away = (seconds: number) => {
    let at = 0;
    for (const wait of waits) {
      at += wait;
      if (at >= seconds * 1000) return at / 1000 - seconds;
    }
    return Number.POSITIVE_INFINITY;
  };
  for (let seconds = 0.1; seconds < 100; seconds += 0.1) {
    expect(away(seconds)).toBeLessThanOrEqual(seconds < 10 ? 1 : 2.001);
  }
  expect(feedDelay(1000)).toBe(5000);
});
