// npm run shots: takes the pictures of the README from the running program, into docs/images.

import { spawnSync } from 'node:child_process';
import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { die, run, say } from '../../scripts/machine.mjs';
import { buildUi } from '../../scripts/ui.mjs';
import { launch, Wall } from './stage/browser.mjs';
import { missing, root, startCamera, startServer } from './stage/programs.mjs';

const MAX_BYTES = 400_000;
/** Demo cameras on the wall of the pictures. */
const CAMERAS = 9;
const SIZE = { width: 1600, height: 900 };
const out = join(root, 'docs', 'images');

const [lacking] = missing();
if (lacking) die(lacking);
await buildUi();
if ((await run('cargo', ['build', '--bins'])) !== 0) die('The build failed.');
mkdirSync(out, { recursive: true });
const browser = await launch();

/** Saves what the page shows; a picture that is too large gets fewer colours. */
async function shoot(wall, name) {
  const path = join(out, name);
  await wall.page.screenshot({ path });
  for (const colours of [256, 160, 96]) {
    if (statSync(path).size <= MAX_BYTES) break;
    spawnSync('convert', [path, '-dither', 'FloydSteinberg', '-colors', String(colours), path]);
  }
  const { size } = statSync(path);
  say(`${name}: ${Math.round(size / 1000)} kB`);
  if (size > MAX_BYTES) die(`${name} is too large`);
  if (wall.trouble.length > 0) die(wall.trouble.join('\n'));
  await wall.close();
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const demo = await startServer({ demo: CAMERAS });
const ids = (await demo.api('GET', '/cameras')).cameras.map((camera) => camera.id);
/** A wall of the demo cameras, all of them moving. */
async function wallOf(options) {
  const wall = await Wall.open(browser, demo.url, options);
  for (const id of ids) await wall.playing(id);
  // The words of the beginning have gone.
  await pause(1500);
  return wall;
}

await shoot(await wallOf({ ...SIZE, prefs: { layout: 9 } }), 'wall.png');
await shoot(
  await wallOf({ ...SIZE, prefs: { layout: 'focus', theme: 'light', language: 'ko' } }),
  'wall-light-ko.png',
);
const phone = { isMobile: true, hasTouch: true, deviceScaleFactor: 2 };
const narrow = await Wall.open(browser, demo.url, { width: 390, height: 844, context: phone });
await narrow.playing(ids[0]);
await pause(2500);
await shoot(narrow, 'phone-width.png');
await demo.stop();

// What adding one looks like, and a bad day.
const server = await startServer();
const login = { user: 'viewer', password: 'demo-password' };
const [porch, hall, drive, cellar, shed, yard] = await Promise.all([
  startCamera({ ...login, clip: 'builtin:front-door' }),
  startCamera({ clip: 'builtin:living-room' }),
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
await adding.page.getByLabel('Name', { exact: true }).fill('Porch');
await shoot(adding, 'add.png');

const add = (id, name, url, more = {}) =>
  server.api('POST', '/cameras', { id, name, url, ...more });
await add('porch', 'Porch', porch.url, { username: login.user, password: login.password });
await add('hall', 'Living room', hall.url);
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
