import { flushSync, mount, unmount } from 'svelte';
import { expect, test } from 'vitest';
import { en } from '../src/i18n/en';
import { FakePlatform } from '../src/platform/fake';
import type { Camera } from '../src/platform/types';
import CauseAsked from './CauseAsked.svelte';

test('what happened stays on the screen when the camera comes back meanwhile', async () => {
  const platform = new FakePlatform(1, 'failed');
  const [failed] = platform.cameras.values();
  if (!failed) throw new Error('the fake has one camera');
  const asked = mount(CauseAsked, { target: document.body, props: { platform, first: failed } });
  flushSync();
  const words = en.cause.unreachable.title;
  expect(document.body.textContent).toContain(words);
  expect(document.body.textContent).not.toContain('It is over');
  const live: Camera = { ...failed, state: { name: 'live', since: new Date().toISOString() } };
  asked.becomes(live);
  flushSync();
  expect(document.body.textContent).toContain(words);
  expect(document.body.textContent).toContain('It is over. Live since');
  expect(document.body.textContent).toContain('unreachable');
  await unmount(asked);
});
