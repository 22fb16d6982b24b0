// Looking back: recordings of a real server, played, cut and saved in a real browser.

import assert from 'node:assert/strict';
import { createReadStream, statSync } from 'node:fs';
import { FPS, frameOf } from '../stage/footage.mjs';
import { eventually, scene } from '../stage/scene.mjs';

const SECOND = 1000;
/** Yesterday at noon: no clock change, no midnight in between. */
function noon() {
  const day = new Date();
  day.setDate(day.getDate() - 1);
  day.setHours(12, 0, 0, 0);
  return day.getTime();
}
const local = (at) => {
  const d = new Date(at - new Date(at).getTimezoneOffset() * 60_000);
  return d.toISOString().slice(0, 19);
};
const CAMERAS =
  '[recording]\nenabled = false\n' +
  ['one', 'two']
    .map(
      (id) =>
        `[[camera]]\nid = "${id}"\nname = "${id}"\nurl = "rtsp://127.0.0.1:1/"\nrecord = false\n`,
    )
    .join('');

/** Two files that follow each other, a gap, and one more, of two cameras. */
function footage(start) {
  const take = (camera, from, seconds, more = {}) => ({
    camera,
    start: start + from * SECOND,
    seconds,
    ...more,
  });
  return {
    takes: [
      take('one', 0, 10),
      take('one', 10, 10),
      take('one', 60, 10, { open: true }),
      take('two', 0, 30),
    ],
    gaps: [
      { camera: 'one', start: start + 20 * SECOND, end: start + 60 * SECOND, cause: 'disk_full' },
    ],
    alerts: [
      { camera: 'one', at: start + 20 * SECOND, kind: 'disk_full', message: 'The disk is full' },
    ],
  };
}

async function opened(stage, { cameras, at }) {
  const start = noon();
  const server = await stage.server({ config: CAMERAS, footage: footage(start) });
  const url = `${server.url}/#/timeline/${cameras}/${local(start + at * SECOND)}`;
  const wall = await stage.wall(url, { expected: [/status of 503/] });
  const film = (id) => wall.page.locator(`[data-film="${id}"]`);
  const frame = (id) => film(id).locator('video[data-shown]').evaluate(frameOf);
  const ready = (id) => wall.page.locator(`[data-film="${id}"][data-state="ready"]`).waitFor();
  return { start, server, wall, page: wall.page, film, frame, ready };
}

scene('the timeline seeks to the frame, steps, and plays from file to file', async (stage) => {
  const { page, frame, ready, wall } = await opened(stage, { cameras: 'one', at: 4 });
  await ready('one');
  // Four seconds in is frame 100, which begins then.
  await eventually('frame 100', async () => (await frame('one')) === 4 * FPS);
  await page.keyboard.press('.');
  await eventually('a frame on', async () => (await frame('one')) === 4 * FPS + 1);
  await page.keyboard.press(',');
  await page.keyboard.press(',');
  await eventually('two frames back', async () => (await frame('one')) === 4 * FPS - 1);
  await page.keyboard.press('ArrowRight');
  await eventually('ten seconds on, in the next file', async () => {
    const at = await frame('one').catch(() => null);
    return at === 14 * FPS - 1;
  });
  // Back before the seam, and over it without a stop.
  await page.keyboard.press('ArrowLeft');
  await eventually(
    'ten seconds back',
    async () => (await frame('one').catch(() => null)) === 4 * FPS - 1,
  );
  await page.getByLabel('Speed').selectOption('2');
  await page.evaluate(() => document.activeElement.blur());
  await page.keyboard.press('Space');
  await wall.until('it plays into the second file', () => {
    const video = document.querySelector('[data-film="one"] video[data-shown]');
    return document.querySelector('output').textContent.endsWith('12:00:12') && !video.paused;
  });
  // The gap is not sat through: after the second file comes the third, which is still open.
  await wall.until('it jumps over the gap', () =>
    /12:01:0[1-9]$/.test(document.querySelector('output').textContent),
  );
  await eventually('a frame of the third file', async () => {
    const at = await frame('one').catch(() => 0);
    return at >= 20 * FPS && at < 30 * FPS;
  });
});

scene('cameras play in step, gaps say why, and events are jumped to', async (stage) => {
  const { page, film, frame, ready } = await opened(stage, { cameras: 'one,two', at: 2 });
  await ready('one');
  await ready('two');
  await page.keyboard.press('Space');
  await eventually('both run', async () => (await frame('one')) > 3 * FPS);
  // The second camera's numbers go on after the thirty seconds of the first.
  const apart = await page.evaluate((source) => {
    const frameOf = new Function(`return (${source})`)();
    const shown = (id) => frameOf(document.querySelector(`[data-film="${id}"] video[data-shown]`));
    return shown('two') - shown('one');
  }, frameOf.toString());
  assert.ok(Math.abs(apart - 30 * FPS) <= 5, `${apart - 30 * FPS} frames apart`);
  await page.keyboard.press('Space');
  await page.keyboard.press('n');
  await eventually('the event, two seconds before', async () => (await frame('one')) === 18 * FPS);
  await page.keyboard.press('ArrowRight');
  await film('one').getByText('Nothing recorded').waitFor();
  await film('one').getByText('The disk was full').waitFor();
  await eventually('the other camera has it', async () => (await frame('two')) === 58 * FPS);
  // Close enough to point at forty seconds of a day.
  for (let i = 0; i < 6; i += 1) await page.keyboard.press('+');
  const row = page.locator('[data-camera="one"]');
  const hole = await row.locator('.hole').boundingBox();
  await page.mouse.move(hole.x + hole.width / 2, hole.y + hole.height / 2);
  await page.getByText(/^The disk was full, 40 s$/).waitFor();
});

scene('a span is chosen by keyboard, exported, saved, and a recording protected', async (stage) => {
  const { page, server, ready, start } = await opened(stage, { cameras: 'one', at: 4 });
  await ready('one');
  await page.getByRole('button', { name: /^Protect this recording/ }).click();
  await page.getByRole('button', { name: 'Protect it no more' }).waitFor();
  const { segments } = await server.api('GET', '/recordings?camera=one');
  assert.deepEqual(
    segments.map((one) => one.protected),
    [true, false, false],
  );
  await page.keyboard.press('i');
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('o');
  await page.keyboard.press('e');
  const dialog = page.getByRole('dialog', { name: 'Export' });
  await dialog.getByRole('button', { name: 'Export' }).click();
  await dialog.locator('[data-export="done"]').getByText('plays 10 s').waitFor();
  const { exports } = await server.api('GET', '/exports');
  assert.equal(exports[0].from, new Date(start + 4 * SECOND).toISOString());
  assert.equal(exports[0].seconds, 10);
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    dialog.getByRole('button', { name: 'Save' }).click(),
  ]);
  const path = await download.path();
  assert.equal(statSync(path).size, exports[0].total_bytes);
  assert.match(download.suggestedFilename(), /^one_\d{8}_\d{6}Z\.mp4$/);
  const [head] = await createReadStream(path, { end: 11 }).toArray();
  assert.equal(head.toString('latin1', 4, 8), 'ftyp');
  await dialog.getByRole('button', { name: 'Remove' }).click();
  await eventually(
    'it is gone',
    async () => (await server.api('GET', '/exports')).exports.length === 0,
  );
});

scene('a day without recordings says so and leads to the newest', async (stage) => {
  const { page, ready } = await opened(stage, { cameras: 'one', at: -3 * 86_400 });
  await page.getByText('Nothing was recorded on this day').waitFor();
  await page.getByRole('button', { name: 'To the newest recording' }).click();
  await ready('one');
  await eventually('the newest', async () =>
    /12:01:0\d$/.test(await page.locator('output').textContent()),
  );
});
