// The places as a whole: what is shown before anything is known, while the server is away, and when one breaks.

import { flushSync, mount, unmount } from 'svelte';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import App from '../src/App.svelte';
import { en } from '../src/i18n/en';
import { FakePlatform } from '../src/platform/fake';
import { ApiError } from '../src/platform/types';
import { Fleet } from '../src/state/fleet.svelte';
import { hrefs, router } from '../src/state/router.svelte';

let app: Record<string, unknown> | null = null;
const trouble = vi.fn();

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal('reportError', trouble);
});
afterEach(async () => {
  if (app) await unmount(app);
  app = null;
  trouble.mockReset();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

function open(platform: FakePlatform, href: string): HTMLElement {
  document.body.innerHTML = '';
  router.swap(href);
  app = mount(App, {
    target: document.body,
    props: {
      page: {
        platform,
        fleet: new Fleet(platform),
        capabilities: { webrtc: false, mse: null, codecs: new Set() } as never,
        players: () => {
          throw new Error('nothing is played here');
        },
      },
    },
  });
  return document.body;
}
async function after(ms: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
  flushSync();
}
function away(platform: FakePlatform): void {
  vi.spyOn(platform, 'events').mockRejectedValue(new ApiError(0, 'unreachable', ''));
}

test.each([hrefs.alerts, hrefs.cameras])(
  'before the first word of the server %s does not say that there is nothing',
  async (href) => {
    const platform = new FakePlatform(0);
    away(platform);
    const page = open(platform, href);
    await after(0);
    const calm = [en.alerts.none, en.cameras.none];
    for (const words of calm) expect(page.textContent).not.toContain(words);
    expect(page.textContent).toContain(en.common.loading);
    await after(3000);
    for (const words of calm) expect(page.textContent).not.toContain(words);
    expect(page.querySelector('[role=status]')?.textContent).toContain(en.tile.serverLost);
  },
);

test('each place says that the server is away, and that it is back', async () => {
  const platform = new FakePlatform(2);
  const page = open(platform, hrefs.settings);
  const status = () => page.querySelector('main [role=status]')?.textContent?.trim();
  await after(0);
  expect([status(), document.title]).toEqual(['', 'Nightjar']);
  away(platform);
  platform.hangUp();
  await after(1500);
  expect([status(), document.title]).toEqual([en.tile.serverLost, '(!) Nightjar']);
  vi.mocked(platform.events).mockRestore();
  await after(20_000);
  expect([status(), document.title]).toEqual(['', 'Nightjar']);
});

test('a place that breaks says so, and the others still open', async () => {
  const platform = new FakePlatform(1, 'failed');
  const page = open(platform, hrefs.alerts);
  await after(0);
  platform.emit({ type: 'alert', alert: { id: 'bad', cameras: 5 } });
  await after(0);
  expect(page.textContent).toContain(en.app.broken);
  expect(trouble).toHaveBeenCalled();
  router.swap(hrefs.cameras);
  flushSync();
  expect(page.textContent).not.toContain(en.app.broken);
  expect(page.textContent).toContain('Front door');
});

test('a day with two gaps that begin together is shown', async () => {
  const platform = new FakePlatform(1);
  const start = Date.now() - 600_000;
  const gap = (end: number, cause: string) => ({
    camera: 'cam_01',
    start: new Date(start).toISOString(),
    end: new Date(start + end).toISOString(),
    cause,
  });
  vi.spyOn(platform, 'recordings').mockResolvedValue({
    segments: [],
    gaps: [gap(0, 'storage_gone'), gap(60_000, 'storage_gone'), gap(60_000, 'disk_full')],
    events: [],
  });
  const page = open(platform, hrefs.timeline(['cam_01'], start));
  await after(100);
  expect(trouble).not.toHaveBeenCalled();
  expect(page.textContent).not.toContain(en.app.broken);
  expect(page.querySelectorAll('.hole')).toHaveLength(3);
});
