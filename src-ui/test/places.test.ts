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
        capabilities: { webrtc: null, mse: () => false },
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

function field(page: HTMLElement, label: string): HTMLInputElement {
  const of = [...page.querySelectorAll('label')].find((one) =>
    one.textContent?.trim().startsWith(label),
  );
  const found =
    of?.querySelector('input') ?? page.querySelector<HTMLInputElement>(`#${of?.htmlFor}`);
  if (!found) throw new Error(`no field ${label}`);
  return found;
}
function type(into: HTMLInputElement, text: string): void {
  into.value = text;
  into.dispatchEvent(new Event('input', { bubbles: true }));
  flushSync();
}

test('a camera is asked for its address, but never with half of a login', async () => {
  const platform = new FakePlatform(0);
  const probe = vi.spyOn(platform, 'probe');
  const page = open(platform, hrefs.add);
  await after(0);
  type(field(page, en.editor.url), 'rtsp://locked.lan/1');
  await after(2000);
  expect(probe).toHaveBeenCalledTimes(1);
  expect(page.textContent).toContain(en.editor.needsLogin);

  type(field(page, en.editor.username), 'admin');
  await after(5000);
  const password = field(page, en.editor.password);
  for (const so of ['s', 'se', 'secret']) {
    type(password, so);
    await after(2000);
  }
  // Another look at the address with a name alone would be a wrong login.
  expect(probe).toHaveBeenCalledTimes(1);
  password.dispatchEvent(new Event('blur'));
  await after(2000);
  expect(probe).toHaveBeenCalledTimes(2);
  expect(probe.mock.calls[1]?.[0]).toMatchObject({ username: 'admin', password: 'secret' });
  expect(page.textContent).toContain(en.editor.found);
  // The same is not asked twice by itself, but for whoever wants it.
  password.dispatchEvent(new Event('blur'));
  await after(2000);
  expect(probe).toHaveBeenCalledTimes(2);
  password.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', bubbles: true }));
  await after(2000);
  expect(probe).toHaveBeenCalledTimes(3);
  type(password, '');
  type(field(page, en.editor.url), 'rtsp://locked.lan/2');
  await after(2000);
  expect(probe).toHaveBeenCalledTimes(3);
});

test('an alert setting that the server refused does not stay in its field', async () => {
  const platform = new FakePlatform(1);
  const page = open(platform, hrefs.alerts);
  await after(0);
  const button = [...page.querySelectorAll('button')].find(
    (one) => one.textContent === en.alertSettings.open,
  );
  button?.click();
  await after(0);
  const select = page.querySelector<HTMLSelectElement>('dialog select');
  if (!select) throw new Error('no select');
  expect(select.value).toBe('10');
  vi.spyOn(platform, 'changeAlertSettings').mockRejectedValueOnce(
    new ApiError(409, 'fixed', 'fixed'),
  );
  const choose = async (value: string) => {
    select.value = value;
    select.dispatchEvent(new Event('change', { bubbles: true }));
    await after(0);
  };
  await choose('60');
  expect(select.value).toBe('10');
  await choose('300');
  expect(select.value).toBe('300');
});

test('times of the server are read by its clock, which is looked at with each snapshot', async () => {
  const platform = new FakePlatform(1, 'failed');
  const clock = vi.spyOn(platform, 'clockOffset').mockResolvedValue(0);
  const since = new Date(Date.now() - 60_000).toISOString();
  platform.setState('cam_01', { name: 'failed', since });
  const page = open(platform, hrefs.alerts);
  await after(1000);
  expect(page.textContent).toContain(en.units.seconds(61));
  // Its clock was set back by half a minute while it was away.
  clock.mockResolvedValue(-30_000);
  platform.hangUp();
  await after(1000);
  expect(page.textContent).toContain(en.units.seconds(32));
});
