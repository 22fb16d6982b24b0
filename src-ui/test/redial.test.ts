import { expect, test } from 'vitest';
import { redialDelay } from '../src/state/redial';

test('a lost viewer dials again after 0, 0.3, 1, 2, 5 s, then every 5 s for ever', () => {
  expect([0, 1, 2, 3, 4, 5, 1000].map(redialDelay)).toEqual([0, 300, 1000, 2000, 5000, 5000, 5000]);
});
