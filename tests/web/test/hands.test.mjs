// What hands do on the wall: with a mouse, and with a finger that cannot hover.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { eventually, scene } from '../stage/scene.mjs';

const order = (page) =>
  page.locator('[data-tile]').evaluateAll((all) => all.map((one) => one.dataset.tile));

scene('a finger opens the menu of a tile, and moves it there', async (stage) => {
  const server = await stage.server({ demo: 4 });
  const context = { isMobile: true, hasTouch: true, deviceScaleFactor: 2 };
  const wall = await stage.wall(server.url, { width: 390, height: 844, context });
  const { page } = wall;
  const ids = await eventually('four tiles', async () => {
    const found = await order(page);
    return found.length === 4 && found;
  });
  const [first, second] = ids;
  const tile = wall.tile(first);

  // All that takes a tap can be seen, and is no smaller than a finger.
  const hidden = await tile.locator('button').evaluateAll((all) =>
    all
      .map((button) => {
        const { x, y, width, height } = button.getBoundingClientRect();
        const hit = document.elementFromPoint(x + width / 2, y + height / 2);
        const seen = button.checkVisibility({ opacityProperty: true, visibilityProperty: true });
        return { name: button.ariaLabel, width, height, taken: button.contains(hit), seen };
      })
      .filter(({ width }) => width > 0),
  );
  assert.deepEqual(
    hidden.map(({ name, seen, taken }) => [name, seen, taken]),
    [['More', true, true]],
  );
  assert.ok(hidden[0].width >= 44 && hidden[0].height >= 44, JSON.stringify(hidden));

  // A tap beside it shows the tile alone, with everything at hand; another brings the wall back.
  await tile.tap({ position: { x: 60, y: 60 } });
  await page.waitForURL(new RegExp(`#/wall/${first}$`));
  await tile.getByRole('button', { name: 'Save picture' }).waitFor();
  await tile.getByRole('button', { name: 'Back to the wall' }).tap();
  await page.waitForURL(/#\/wall$/);

  await tile.getByRole('button', { name: 'More' }).tap();
  assert.ok(await page.getByRole('menuitem', { name: 'Move one place forward' }).isDisabled());
  await page.getByRole('menuitem', { name: 'Move one place back' }).tap();
  const moved = [second, first, ...ids.slice(2)];
  await eventually('it moved', async () => (await order(page)).join() === moved.join());
  await page.reload();
  await eventually('it stays there', async () => (await order(page)).join() === moved.join());
});

scene('R-M3 sound that cannot be received is not offered, and the tile says why', async (stage) => {
  const server = await stage.server();
  const source = await stage.camera({ fault: 'unmarked-sound' });
  await server.api('POST', '/cameras', { id: 'gate', name: 'Gate', url: source.url });
  await eventually('it is noted', async () => {
    const { tracks } = await server.api('GET', '/cameras/gate');
    return tracks.some((track) => track.note_code === 'unreadable');
  });
  const wall = await stage.wall(server.url, { prefs: { language: 'ko' } });
  await wall.playing('gate');
  const tile = wall.tile('gate');
  await tile.hover();
  await tile.getByRole('img', { name: '소리 패킷을 읽을 수 없습니다' }).waitFor();
  assert.equal(await tile.getByRole('button', { name: '소리 듣기' }).count(), 0);
  await wall.page.getByRole('link', { name: '카메라', exact: true }).click();
  await wall.page.getByText('소리 패킷을 읽을 수 없습니다').waitFor();
});

scene('demo cameras of the command line are left where others are removed', async (stage) => {
  const server = await stage.server({ demo: 2 });
  const wall = await stage.wall(server.url);
  const { page } = wall;
  await page.getByRole('link', { name: 'Cameras' }).click();
  const remove = page.getByRole('button', { name: 'Remove the demo cameras' });
  await page.getByRole('button', { name: 'Add camera' }).waitFor();
  assert.equal(await remove.count(), 0, 'there is nothing that it could remove');
  await server.api('POST', '/demo', { count: 1 });
  await remove.click();
  await remove.waitFor({ state: 'detached' });
  assert.equal((await server.api('GET', '/cameras')).cameras.length, 2);
});

scene(
  'tiles stay where they were dragged, and groups hold what was put into them',
  async (stage) => {
    const server = await stage.server({ demo: 4 });
    const wall = await stage.wall(server.url);
    const { page } = wall;
    const [first, second, third, fourth] = await eventually('four tiles', async () => {
      const found = await order(page);
      return found.length === 4 && found;
    });
    for (const id of [first, fourth]) await wall.playing(id);

    // Each picture goes on while its tile moves.
    const dials = (await wall.report(first)).redials;
    const from = await wall.tile(first).boundingBox();
    const to = await wall.tile(fourth).boundingBox();
    await page.mouse.move(from.x + 80, from.y + 80);
    await page.mouse.down();
    await page.mouse.move(from.x + 120, from.y + 120, { steps: 4 });
    await page.mouse.move(to.x + 90, to.y + 90, { steps: 8 });
    await page.mouse.up();
    const dragged = [second, third, fourth, first];
    await eventually('it was dropped', async () => (await order(page)).join() === dragged.join());
    assert.doesNotMatch(page.url(), /#\/wall\//, 'a drag is no click');
    await wall.more(first, 5);
    assert.equal((await wall.report(first)).redials, dials);

    await page.getByRole('button', { name: 'New group' }).click();
    const dialog = page.getByRole('dialog', { name: 'New group' });
    await dialog.getByLabel('Name of the group').fill('Yard');
    for (const index of [0, 2]) await dialog.getByRole('checkbox').nth(index).check();
    await dialog.getByRole('button', { name: 'Save' }).click();
    const both = [second, fourth].join();
    await eventually('the group alone', async () => (await order(page)).join() === both);
    await page.reload();
    await eventually('it is kept', async () => (await order(page)).join() === both);
    await page.getByRole('button', { name: 'All', exact: true }).click();
    await eventually('all of them', async () => (await order(page)).join() === dragged.join());
  },
);

scene('the picture of a tile is saved as a JPEG, as large as the camera sent it', async (stage) => {
  const server = await stage.server();
  const source = await stage.camera({ clip: 'builtin:living-room' });
  await server.api('POST', '/cameras', { id: 'gate', name: 'Gate 1', url: source.url });
  const wall = await stage.wall(server.url);
  await wall.playing('gate');
  const coming = wall.page.waitForEvent('download');
  await wall.tile('gate').focus();
  await wall.page.keyboard.press('s');
  const download = await coming;
  assert.match(download.suggestedFilename(), /^Gate_1_\d{8}_\d{6}\.jpg$/);
  const bytes = readFileSync(await download.path());
  assert.equal(bytes.subarray(0, 3).toString('hex'), 'ffd8ff');
  // Decoded where the page's policy has no say.
  const blank = await stage.blank();
  const size = await blank.evaluate(async (data) => {
    const image = new Image();
    image.src = `data:image/jpeg;base64,${data}`;
    await image.decode();
    return [image.naturalWidth, image.naturalHeight];
  }, bytes.toString('base64'));
  assert.deepEqual(size, [640, 360]);
});
