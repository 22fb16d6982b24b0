// A phone is let in as a person does it: code on the wall, page on the phone, digits compared. Then it
// is a camera with a name, until it is shown out.

import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { eventually, scene } from '../stage/scene.mjs';

/** The door for phones keeps its port over a restart, as phones know it by its address. */
async function door() {
  const probe = createServer();
  await new Promise((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return `[signaling]\nlisten = "127.0.0.1:${port}"\n`;
}

const digits = (page) => page.locator('[data-code]').textContent();

/** Opens “Add a phone” on the wall; gives what its QR code says. */
async function invitation(wall) {
  const made = wall.page.waitForResponse((response) => response.url().endsWith('/api/v1/pairings'));
  await wall.page.getByRole('button', { name: /^Add a phone/ }).click();
  const { url } = await (await made).json();
  const code = wall.page.getByRole('img', { name: /Scan this code/ });
  await code.waitFor();
  assert.ok(await code.evaluate((image) => image.naturalWidth > 0));
  return url;
}

/** What a person does on both screens, up to the phone's pictures on the wall. */
async function letIn(wall, phone, url, name) {
  await phone.open(url);
  assert.equal(await phone.page.evaluate(() => location.hash), '', 'the secret left the address');
  await phone.page.getByRole('textbox').fill(name);
  await phone.start();
  const [shown, asked] = [await digits(phone.page), await digits(wall.page)];
  assert.match(asked.replace(/\s/g, ''), /^\d{6}$/);
  assert.equal(shown.replace(/\s/g, ''), asked.replace(/\s/g, ''));
  await wall.page.getByRole('button', { name: 'Allow', exact: true }).click();
  await wall.page.getByText(`${name} is in`).waitFor();
  await phone.until('connected');
  await wall.page.getByRole('link', { name: 'To the wall' }).click();
  await shows(wall);
}

/** Waits for moving pictures of the phone. */
async function shows(wall) {
  await wall.until(
    'the phone is on the wall',
    () => window.__eye?.tile('phone_01')?.state === 'playing',
  );
  await wall.page.evaluate(() => window.__eye.watch('phone_01'));
  await wall.more('phone_01', 5);
}

scene(
  'A3 A11 a phone is scanned, compared, allowed, renamed and shown out within a second',
  async (stage) => {
    const server = await stage.server({ config: await door() });
    const wall = await stage.wall(server.url, {
      expected: [/status of (404|503).*(whep|snapshot)/],
    });
    const phone = await stage.phone();
    const url = await invitation(wall);
    assert.match(url, /^https:\/\/127\.0\.0\.1:\d+\/publish#1\.[\w-]{22}\.[\w-]{43}\./);
    await letIn(wall, phone, url, 'Hall phone');
    assert.equal((await server.api('GET', '/cameras/phone_01')).name, 'Hall phone');

    // The code was good once.
    const second = await stage.phone();
    await second.open(url);
    await second.start();
    await second.page.getByText('That code is used up').waitFor();
    assert.equal((await server.api('GET', '/devices')).devices.length, 1);

    await wall.page.goto(`${server.url}/#/settings`);
    await wall.page.getByRole('button', { name: 'Rename' }).click();
    await wall.page.getByRole('textbox', { name: 'Rename' }).fill('Kitchen');
    await wall.page.keyboard.press('Enter');
    await eventually('the camera has the name', async () => {
      return (await server.api('GET', '/cameras/phone_01')).name === 'Kitchen';
    });
    // And the other way round.
    await server.api('PATCH', '/cameras/phone_01', { name: 'Pantry' });
    assert.equal((await server.api('GET', '/devices')).devices[0].name, 'Pantry');

    await wall.page.getByText('Pantry', { exact: true }).waitFor();
    await wall.page.getByRole('button', { name: 'Remove', exact: true }).first().click();
    const revoked = wall.page.waitForResponse((response) => /\/devices\//.test(response.url()));
    await wall.page.getByRole('dialog').getByRole('button', { name: 'Remove' }).click();
    const from = performance.now();
    await revoked;
    await phone.page.getByText('This phone was removed').waitFor();
    await eventually('the camera is gone', async () => {
      return (await server.api('GET', '/cameras')).cameras.length === 0;
    });
    const took = performance.now() - from;
    console.log(`revoked: effective after ${Math.round(took)} ms`);
    assert.ok(took < 1000, `${took} ms`);
    assert.notEqual((await phone.view()).phase, 'connected');
    // It does not get in again by itself.
    await phone.page.reload();
    await phone.page.getByText('This phone was removed').waitFor();
    assert.deepEqual((await server.api('GET', '/cameras')).cameras, []);
  },
);

scene(
  'R-P7 a phone that is away has its place on the wall, over a restart of the server too',
  async (stage) => {
    const expected = [
      /ERR_CONNECTION_REFUSED/,
      /WebSocket/,
      /ERR_EMPTY_RESPONSE/,
      /ERR_CONNECTION_RESET/,
      /status of (404|503)/,
    ];
    const config = await door();
    const server = await stage.server({ config });
    const wall = await stage.wall(server.url, { expected });
    const phone = await stage.phone({ expected });
    const url = await invitation(wall);
    await letIn(wall, phone, url, 'Hall phone');
    await phone.page.close();
    const away = async (of, api) => {
      await of.tile('phone_01').getByText('The phone is away').waitFor();
      const camera = await api('GET', '/cameras/phone_01');
      assert.equal(camera.state.name, 'idle');
      assert.equal(camera.state.cause.code, 'phone_gone');
      assert.equal(camera.name, 'Hall phone');
    };
    await away(wall, server.api);
    const place = await server.again();
    const back = await stage.server({ again: place });
    const fresh = await stage.wall(back.url, { expected });
    await away(fresh, back.api);
    assert.deepEqual((await back.api('GET', '/alerts')).alerts, [], 'nobody is alarmed by it');
    await phone.open(url.split('#')[0]);
    await phone.until('connected');
    await shows(fresh);
    await shows(wall);
    assert.equal((await back.api('GET', '/cameras')).cameras.length, 1);
  },
);
