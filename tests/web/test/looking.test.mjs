// The wall by keyboard, in another language, in the light; and what is not looked at.

import assert from 'node:assert/strict';
import { eventually, scene } from '../stage/scene.mjs';

scene('the wall by keyboard, in Korean, in the light', async (stage) => {
  const server = await stage.server({ demo: 4 });
  const ids = (await server.api('GET', '/cameras')).cameras.map((one) => one.id);
  const wall = await stage.wall(server.url);
  const { page } = wall;
  for (const id of ids) await wall.playing(id);
  const tiles = () => page.locator('[data-tile]:visible').count();
  const focused = () => page.evaluate(() => document.activeElement?.getAttribute('data-tile'));

  await page.keyboard.press('1');
  await eventually('one camera', async () => (await tiles()) === 1);
  await page.keyboard.press('2');
  await eventually('four cameras', async () => (await tiles()) === 4);
  const wide = (await page.locator('[data-tile]').first().boundingBox()).width;
  await page.keyboard.press('3');
  await eventually('cells of nine', async () => {
    const box = await page.locator('[data-tile]').first().boundingBox();
    return box.width < wide * 0.75;
  });
  await page.keyboard.press('2');

  // Arrows from tile to tile, Enter shows one alone, Escape goes back.
  await page.locator('[data-tile]').first().focus();
  const order = await page.locator('[data-tile]').evaluateAll((all) => {
    return all.map((one) => one.dataset.tile);
  });
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('ArrowDown');
  assert.equal(await focused(), order[3]);
  await page.keyboard.press('Enter');
  await page.waitForURL(new RegExp(`#/wall/${order[3]}$`));
  await eventually('it fills the wall', async () => {
    const box = await wall.tile(order[3]).boundingBox();
    return box.width > wide * 1.8;
  });
  await page.keyboard.press('Escape');
  await page.waitForURL(/#\/wall$/);

  await page.keyboard.press('?');
  const help = page.getByRole('dialog', { name: 'Keyboard' });
  await help.getByText('Show alone, and back').waitFor();
  await page.keyboard.press('Escape');
  await help.waitFor({ state: 'detached' });

  // Words and colours change at once, and stay after a reload.
  await page.getByRole('link', { name: 'Settings' }).click();
  const dark = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  await page.getByLabel('Theme').selectOption('light');
  await eventually('it is light', async () => {
    return (await page.evaluate(() => getComputedStyle(document.body).backgroundColor)) !== dark;
  });
  await page.getByLabel('Language').selectOption('ko');
  await page.getByRole('heading', { name: '설정' }).waitFor();
  await page.reload();
  await page.getByRole('link', { name: '화면' }).waitFor();
  assert.equal(await page.evaluate(() => document.documentElement.lang), 'ko');
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), 'light');
});

scene('hidden tiles stop, and small ones take the small stream', async (stage) => {
  const server = await stage.server();
  const source = await stage.camera({ sub: 'builtin:sub' });
  const ids = ['one', 'two', 'three', 'four'];
  const sub = source.url.replace(/main$/, 'sub');
  // The recorder would count among the viewers.
  const camera = { url: source.url, sub_url: sub, record: false };
  for (const id of ids) await server.api('POST', '/cameras', { id, ...camera });
  const viewers = async () => {
    const { cameras } = await server.api('GET', '/cameras');
    return ids.map((id) => cameras.find((one) => one.id === id).stats.viewers);
  };
  // Two columns of less than 480 px.
  const wall = await stage.wall(server.url, { width: 960, height: 600, prefs: { layout: 4 } });
  for (const id of ids) await wall.playing(id);
  // A small stream without a key frame within three seconds is replaced by the large one. The next
  // dial finds it open.
  await wall.page.getByRole('link', { name: 'Settings' }).click();
  await wall.until('no tile is left', () => window.__nightjar.tiles().length === 0);
  await wall.page.getByRole('link', { name: 'Wall' }).click();
  for (const id of ids) {
    await wall.until(`${id} plays again`, (one) => window.__eye.tile(one)?.state === 'playing', id);
    const report = await wall.report(id);
    assert.equal(report.stream, 'sub', id);
    assert.equal(report.width, 320, id);
  }

  // One alone: it takes the large stream, the covered ones end.
  const [alone] = ids;
  await wall.tile(alone).focus();
  await wall.page.keyboard.press('Enter');
  await wall.until(
    'the large stream',
    (id) => {
      const tile = window.__eye.tile(id);
      return tile.stream === 'main' && tile.width === 640;
    },
    alone,
  );
  await eventually('one viewer is left', async () => {
    return (await viewers()).join() === ids.map((id) => (id === alone ? 1 : 0)).join();
  });
  // And come back.
  await wall.page.keyboard.press('Escape');
  for (const id of ids) {
    await wall.until(`${id} is back`, (one) => window.__eye.tile(one).state === 'playing', id);
  }
});

scene(
  'one shown alone fills a wall that was scrolled, and the wall stays where it was',
  async (stage) => {
    const server = await stage.server({ demo: 9 });
    const ids = (await server.api('GET', '/cameras')).cameras.map((one) => one.id);
    const wall = await stage.wall(server.url, {
      width: 390,
      height: 560,
      context: { isMobile: true, hasTouch: true },
    });
    const { page } = wall;
    await wall.playing(ids[0]);
    const last = wall.tile(ids.at(-1));
    await last.scrollIntoViewIfNeeded();
    const scrolled = () => page.locator('#wall').evaluate((grid) => grid.parentElement.scrollTop);
    const before = await scrolled();
    assert.ok(before > 20, `scrolled by ${before} px`);
    await last.tap();
    await page.waitForURL(new RegExp(`#/wall/${ids.at(-1)}$`));
    const frame = await page.locator('#wall').evaluate((grid) => {
      const { x, y, width, height } = grid.parentElement.getBoundingClientRect();
      return { x, y, width, height };
    });
    await eventually('it lies exactly over the wall', async () => {
      const box = await last.boundingBox();
      return JSON.stringify(box) === JSON.stringify(frame);
    });
    await page.keyboard.press('Escape');
    await page.waitForURL(/#\/wall$/);
    assert.equal(await scrolled(), before);
  },
);
