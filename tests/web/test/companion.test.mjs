// The companion as it is on a phone, but for the web view: the page that is bundled with it, signaling by
// its own Rust with the key that was scanned, a real server, and a wall that shows what it films.

import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { eventually, scene } from '../stage/scene.mjs';

const GONE = [/ERR_CONNECTION_REFUSED/, /WebSocket/, /ERR_CONNECTION_RESET/, /status of (404|503)/];

/** The door for phones, at the same place whichever computer is behind it. */
async function door() {
  const probe = createServer();
  await new Promise((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return `[recording]\nenabled = false\n[signaling]\nlegacy_join = true\nlisten = "127.0.0.1:${port}"\n`;
}

/** What the code of a new pairing says, as the link that opens the app. */
async function invited(server) {
  const { id, url } = await server.api('POST', '/pairings', {});
  return { id, link: url.replace(/^https:/, 'camrelay:') };
}

const digits = async (page) => (await page.locator('[data-code]').textContent()).replace(/\s/g, '');

/** Lets it in as a person does who compared the digits. */
async function letIn(server, companion) {
  const { id, link } = await invited(server);
  await companion.launch(link);
  await companion.start();
  const shown = await digits(companion.page);
  const asked = await eventually('the computer asks', async () => {
    const pairing = await server.api('GET', `/pairings/${id}`);
    return pairing.state === 'asked' && pairing;
  });
  assert.equal(shown, asked.code);
  await server.api('POST', `/pairings/${id}/allow`);
  await companion.until('connected');
  return link;
}

async function shows(wall) {
  await wall.until(
    'the phone is on the wall',
    () => window.__eye?.tile('phone_01')?.state === 'playing',
  );
  await wall.page.evaluate(() => window.__eye.watch('phone_01'));
  await wall.more('phone_01', 10);
}

scene(
  'R-P1 R-P5 the companion is let in, films, is reborn at a command, and goes on when it is opened again',
  async (stage) => {
    const server = await stage.server({ config: await door() });
    const wall = await stage.wall(server.url, { expected: GONE });
    const companion = await stage.companion();
    const link = await letIn(server, companion);
    await shows(wall);
    const words = () => companion.asked.map(({ command: name, text }) => text ?? name);
    assert.ok(words().some((text) => text.includes('"pair_request"')));
    assert.ok(
      words().some((text) => text.includes('"offer"')),
      'all of it went by the app',
    );

    const { gen } = await companion.view();
    const track = () => companion.page.evaluate(() => window.__phone.probe.camera.video.id);
    const before = await track();
    await wall.says('phone_01', { type: 'reconnect_request', reason: 'No frames for 11s' });
    await companion.until('connected', gen + 1);
    await wall.more('phone_01', 10);
    assert.notEqual(await track(), before, 'the camera was opened anew');

    // The system closed the app. It is known when it is opened again, and nobody is asked: not even where
    // the system still names the link that opened it first.
    await companion.page.close();
    await companion.launch(link);
    await companion.until('connected');
    await shows(wall);
    const { devices } = await server.api('GET', '/devices');
    assert.equal(devices.length, 1);
  },
);

scene(
  'A23 the companion says nothing to a computer whose key was not scanned, nor to another in its place',
  async (stage) => {
    const config = await door();
    const server = await stage.server({ config });
    const stranger = await stage.companion();
    const { id, link } = await invited(server);
    // As if the code of another computer led here.
    const [, pin] = /#1\.[^.]+\.([^.]+)/.exec(link);
    const other = (pin.startsWith('A') ? 'B' : 'A') + pin.slice(1);
    await stranger.launch(link.replace(pin, other));
    await stranger.start();
    await stranger.page.getByText('This is not the computer whose code was scanned').waitFor();
    assert.ok(!stranger.asked.some(({ command: name }) => name === 'say'), 'nothing was said');
    assert.equal((await server.api('GET', `/pairings/${id}`)).state, 'waiting');

    const companion = await stage.companion({ expected: GONE });
    await letIn(server, companion);
    const place = await server.again();
    // Another computer at the same address, with a certificate of its own.
    const impostor = await stage.server({ config });
    await companion.page.getByText('This is not the computer whose code was scanned').waitFor();
    assert.deepEqual((await impostor.api('GET', '/cameras')).cameras, []);
    const said = companion.asked.length;
    await companion.page.reload();
    await companion.page.getByText('This is not the computer whose code was scanned').waitFor();
    assert.ok(companion.asked.slice(said).every(({ command: name }) => name !== 'say'));
    // The right one is back, and nobody does anything.
    assert.equal(await impostor.stop(), 0);
    await stage.server({ again: place });
    await companion.until('connected');
  },
);

scene('a link that opens the running app leads to its computer', async (stage) => {
  const server = await stage.server({ config: await door() });
  const companion = await stage.companion();
  await companion.launch();
  await companion.page.getByRole('button', { name: 'Scan the code' }).waitFor();
  await companion.follow((await invited(server)).link);
  await companion.page.getByRole('button', { name: 'Add this phone' }).waitFor();
  const leads = await companion.page.evaluate(() => window.__phone.view.invited);
  assert.equal(leads, true);
});
