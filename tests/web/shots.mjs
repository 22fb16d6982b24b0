// npm run shots: takes the pictures of the README from the running program, into docs/images.

import { spawnSync } from 'node:child_process';
import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { die, run, say } from '../../scripts/machine.mjs';
import { buildUi } from '../../scripts/ui.mjs';
import { launch, Wall } from './stage/browser.mjs';
import { missing, root, startCamera, startServer } from './stage/programs.mjs';

const MAX_BYTES = 400_000;
const SIZE = { width: 1600, height: 900 };
const out = join(root, 'docs', 'images');

const [lacking] = missing();
if (lacking) die(lacking);
await buildUi();
if (!process.argv.includes('--built') && (await run('cargo', ['build', '--bins'])) !== 0) {
  die('The build failed.');
}
mkdirSync(out, { recursive: true });
const browser = await launch();

/** Saves what the page shows; a picture that is too large gets fewer colours. */
async function shoot(wall, name) {
  const path = join(out, name);
  await wall.page.screenshot({ path });
  for (const colours of [256, 160, 96]) {
    if (statSync(path).size <= MAX_BYTES) break;
    const fewer = ['-dither', 'None', '-colors', String(colours), `PNG8:${path}`];
    spawnSync('convert', [path, ...fewer]);
  }
  const { size } = statSync(path);
  say(`${name}: ${Math.round(size / 1000)} kB`);
  if (size > MAX_BYTES) die(`${name} is too large`);
  if (wall.trouble.length > 0) die(wall.trouble.join('\n'));
  await wall.close();
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A wall of so many demo cameras, all of them moving, as a picture. */
async function wallOf(cameras, name, options) {
  const server = await startServer({ demo: cameras });
  const ids = (await server.api('GET', '/cameras')).cameras.map((camera) => camera.id);
  const wall = await Wall.open(browser, server.url, options);
  for (const id of ids) await wall.playing(id);
  // The words of the beginning have gone.
  await pause(1500);
  await shoot(wall, name);
  await server.stop();
}

await wallOf(9, 'wall.png', { ...SIZE, prefs: { layout: 9 } });
const light = { layout: 'focus', theme: 'light', language: 'ko' };
await wallOf(10, 'wall-light-ko.png', { ...SIZE, prefs: light });
const phone = { isMobile: true, hasTouch: true, deviceScaleFactor: 2 };
await wallOf(8, 'phone-width.png', { width: 390, height: 844, context: phone });

// What adding one looks like, and a bad day.
const server = await startServer();
const login = { user: 'viewer', password: 'demo-password' };
const [porch, hall, drive, cellar, shed, yard] = await Promise.all([
  startCamera({ clip: 'builtin:living-room', ...login }),
  startCamera({ clip: 'builtin:front-door' }),
  startCamera({ clip: 'builtin:driveway' }),
  startCamera({ clip: 'builtin:street', ...login }),
  startCamera({ clip: 'builtin:garden' }),
  startCamera({ clip: 'builtin:harbour' }),
]);
const adding = await Wall.open(browser, `${server.url}/#/cameras/add`, SIZE);
const address = adding.page.getByLabel('Address', { exact: true });
await address.fill(porch.url.replace('rtsp://', `rtsp://${login.user}:${login.password}@`));
await address.press('Enter');
await adding.page.getByText('The camera answers').waitFor();
await adding.page.locator('section img').evaluate((image) => image.decode());
await adding.page.getByLabel('Name', { exact: true }).fill('Living room');
await shoot(adding, 'add.png');

const add = (id, name, url, more = {}) =>
  server.api('POST', '/cameras', { id, name, url, ...more });
await add('porch', 'Living room', porch.url, { username: login.user, password: login.password });
await add('hall', 'Front door', hall.url);
await add('drive', 'Driveway', drive.url);
await add('cellar', 'Street', cellar.url, { username: login.user, password: 'not-this' });
await add('shed', 'Garden', shed.url, { max_reconnect_attempts: 1 });
await add('yard', 'Harbour', yard.url);
const bad = await Wall.open(browser, server.url, { ...SIZE, expected: [/status of 503/] });
for (const id of ['porch', 'hall', 'drive', 'shed', 'yard']) await bad.playing(id);
await bad.tile('cellar').and(bad.page.locator('[data-state="refused"]')).waitFor();
await shed.kill();
await bad.tile('shed').and(bad.page.locator('[data-state="failed"]')).waitFor();
await drive.kill();
// Beyond the first try, which is made at once.
await bad
  .tile('drive')
  .getByText(/^Trying again in \d+ s/)
  .waitFor();
hall.freeze();
await bad.tile('hall').and(bad.page.locator('[data-state="stalled"]')).waitFor();
await shoot(bad, 'trouble.png');

await server.stop();
await Promise.all([porch, hall, cellar, yard].map((camera) => camera.stop()));
await browser.close();
