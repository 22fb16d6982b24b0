import { expect, test } from 'vitest';
import { hrefs, router } from '../src/state/router.svelte';

test('a place that takes the place of another leaves no way back to it', () => {
  router.swap(hrefs.zoom('one'));
  const entries = history.length;
  router.swap(hrefs.zoom('two'));
  expect(router.route).toEqual({ place: 'wall', zoom: 'two' });
  expect([location.hash, history.length]).toEqual(['#/wall/two', entries]);
});
