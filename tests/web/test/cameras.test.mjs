// Cameras come and go by the dialog.

import assert from 'node:assert/strict';
import { eventually, scene } from '../stage/scene.mjs';

scene('R-M4 a camera is probed, added, watched and removed', async (stage) => {
  const server = await stage.server();
  const login = { user: 'viewer', password: 's3cret-word' };
  const source = await stage.camera({ clip: 'builtin:living-room', ...login });
  const wall = await stage.wall(server.url);
  const { page } = wall;
  await page.getByText('No cameras yet').waitFor();
  await page.getByRole('button', { name: /Add a network camera/ }).click();

  // The credentials leave the address.
  const address = page.getByLabel('Address', { exact: true });
  await address.fill(source.url.replace('rtsp://', 'rtsp://viewer:s3cret-word@'));
  await address.press('Enter');
  assert.equal(await address.inputValue(), source.url);
  assert.equal(await page.getByLabel('User name', { exact: true }).inputValue(), 'viewer');
  assert.equal(await page.getByLabel('Password', { exact: true }).inputValue(), 's3cret-word');
  await page.getByText('User name and password were moved out of the address.').waitFor();

  // The probe shows what is there before anything is saved.
  await page.getByText('The camera answers').waitFor();
  await page.getByText(/640×360, H\.264, 25 fps/).waitFor();
  await page.getByText('every 2 s').waitFor();
  await page.getByText('AAC', { exact: true }).waitFor();
  await page.getByText('yes, by WebRTC').waitFor();
  const picture = page.locator('section img');
  await picture.evaluate((image) => image.decode());
  assert.ok(
    (await picture.evaluate((image) => window.__eye.read(image))) !== null,
    'the picture of the probe is the camera’s',
  );
  assert.deepEqual((await server.api('GET', '/cameras')).cameras, []);

  await page.getByLabel('Name', { exact: true }).fill('Garden gate');
  await page.getByRole('button', { name: 'Add camera' }).click();
  await eventually('it is there', async () => {
    const { cameras } = await server.api('GET', '/cameras');
    return cameras.length === 1 && cameras[0].name === 'Garden gate';
  });
  const [{ id }] = (await server.api('GET', '/cameras')).cameras;
  await wall.playing(id, 'webrtc');
  const said = JSON.stringify(await server.api('GET', '/cameras')) + server.log.join('\n');
  assert.ok(!said.includes('s3cret-word'), 'no password in the interface or the log');

  await page.getByRole('link', { name: 'Cameras' }).click();
  await page.getByRole('button', { name: 'Remove' }).click();
  const dialog = page.getByRole('dialog', { name: 'Remove “Garden gate”?' });
  await dialog.getByRole('button', { name: 'Remove' }).click();
  await page.getByText('No cameras yet.').waitFor();
  assert.deepEqual((await server.api('GET', '/cameras')).cameras, []);
  await page.getByRole('link', { name: 'Wall' }).click();
  await page.getByRole('button', { name: /Show me demo cameras/ }).waitFor();
});

scene(
  'R-M1 the certificate that was seen is kept, and another one only when a person says so',
  async (stage) => {
    const server = await stage.server();
    const first = await stage.camera({ tls: true });
    const wall = await stage.wall(server.url);
    const { page } = wall;
    await page.goto(`${server.url}/#/cameras/add`);
    const address = page.getByLabel('Address', { exact: true });
    await address.fill(first.url);
    await address.press('Enter');
    await page.getByText(/^([0-9A-F]{2}:){31}[0-9A-F]{2}$/).waitFor();
    await page.getByRole('button', { name: 'Add camera' }).click();
    const [camera] = await eventually('it is there', async () => {
      const { cameras } = await server.api('GET', '/cameras');
      return cameras.length === 1 && cameras[0].state.name === 'live' && cameras;
    });
    assert.match(camera.tls_fingerprint, /^[0-9a-f]{64}$/);

    // Another one answers there: nothing is taken from it, before a person has looked.
    await first.kill();
    await stage.camera({ tls: true, port: first.port });
    const now = () => server.api('GET', `/cameras/${camera.id}`);
    await eventually('it is refused', async () => (await now()).state.cause?.code === 'tls');
    await page.goto(`${server.url}/#/cameras/edit/${camera.id}`);
    await page.getByText('Not the certificate that is kept.').waitFor();
    await page.getByRole('button', { name: 'Save' }).click();
    await eventually('it is live', async () => (await now()).state.name === 'live');
    assert.notEqual((await now()).tls_fingerprint, camera.tls_fingerprint);
  },
);

scene('a camera that is not there is named, and nothing is saved', async (stage) => {
  const server = await stage.server();
  const gone = await stage.camera();
  await gone.kill();
  const wall = await stage.wall(server.url, { expected: [/status of 502.*\/cameras\/probe$/] });
  await wall.page.goto(`${server.url}/#/cameras/add`);
  const address = wall.page.getByLabel('Address', { exact: true });
  await address.fill(gone.url);
  await address.press('Enter');
  await wall.page.getByText('Check its power, its cable and the address.').waitFor();
  await wall.page.getByRole('button', { name: 'Add anyway' }).waitFor();
  assert.deepEqual((await server.api('GET', '/cameras')).cameras, []);
});

scene(
  'R-N14 a camera without an address is recorded as its dialog and its tile say',
  async (stage) => {
    const server = await stage.server();
    await server.api('POST', '/demo', { count: 1 });
    const wall = await stage.wall(server.url);
    const { page } = wall;
    const camera = async () => (await server.api('GET', '/cameras')).cameras[0];
    const { id } = await eventually('the demo camera', camera);
    await wall.playing(id, 'webrtc');
    assert.equal((await camera()).recording.state, 'off', 'nobody said so');

    await page.goto(`${server.url}/#/cameras/edit/${id}`);
    await page.getByRole('heading', { name: /^Recording of / }).waitFor();
    await page.getByLabel('Begin earlier by').selectOption('5');
    await page.getByRole('button', { name: 'Save' }).click();
    await eventually('it is kept', async () => (await camera()).pre_roll_seconds === 5);

    await page.getByRole('link', { name: 'Wall' }).click();
    for (const [name, state] of [
      ['Start recording', 'recording'],
      ['Stop recording', 'off'],
    ]) {
      const tile = page.locator(`[data-tile="${id}"]`);
      await tile.hover();
      await tile.getByRole('button', { name: 'More' }).click();
      await page.getByRole('menuitem', { name }).click();
      await eventually(name, async () => (await camera()).recording.state === state);
    }
  },
);
