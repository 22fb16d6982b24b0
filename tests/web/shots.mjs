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

/** A morning of four cameras, one of which was away for a while. */
async function lookingBack() {
  const quarter = 900;
  const day = new Date();
  day.setDate(day.getDate() - 1);
  day.setHours(9, 0, 0, 0);
  const at = (minutes) => day.getTime() + minutes * 60_000;
  const scenes = { door: 'front-door', drive: 'driveway', living: 'living-room', garden: 'garden' };
  const clip = (id) => join(root, 'src-tauri', 'testcam', 'clips', `${scenes[id]}.mp4`);
  const away = { camera: 'drive', from: 75, until: 105 };
  const takes = Object.keys(scenes).flatMap((camera) =>
    Array.from({ length: 14 }, (_, n) => n * 15)
      .filter((from) => camera !== away.camera || from < away.from || from >= away.until)
      .map((from) => ({ camera, start: at(from), seconds: quarter, clip: clip(camera) })),
  );
  const gap = { camera: away.camera, start: at(away.from), end: at(away.until) };
  const footage = {
    takes,
    gaps: [{ ...gap, cause: 'camera_lost' }],
    alerts: [{ camera: away.camera, at: gap.start, kind: 'camera_lost', message: 'It is lost' }],
  };
  const named = { door: 'Front door', drive: 'Driveway', living: 'Living room', garden: 'Garden' };
  const config =
    '[recording]\nenabled = false\n' +
    Object.entries(named)
      .map(
        ([id, name]) => `[[camera]]\nid = "${id}"\nname = "${name}"\nurl = "rtsp://127.0.0.1:1/"\n`,
      )
      .join('');
  const past = await startServer({ config, footage });
  const when = new Date(at(64) - new Date(at(64)).getTimezoneOffset() * 60_000);
  const url = `${past.url}/#/timeline/${Object.keys(scenes).join(',')}/${when.toISOString().slice(0, 19)}`;
  const wall = await Wall.open(browser, url, { ...SIZE, expected: [/status of 503/] });
  for (const id of Object.keys(scenes)) {
    await wall.page.locator(`[data-film="${id}"][data-state="ready"]`).waitFor();
  }
  await pause(1500);
  await shoot(wall, 'timeline.png');
  await past.stop();
}

/** The code that makes a phone a camera. */
async function addingAPhone() {
  const house = await startServer({ demo: 4, config: '[signaling]\nlisten = "127.0.0.1:0"\n' });
  const wall = await Wall.open(browser, house.url, SIZE);
  for (const { id } of (await house.api('GET', '/cameras')).cameras) await wall.playing(id);
  await wall.page.goto(`${house.url}/#/cameras/phone`);
  await wall.page.locator('img[src^="data:image/svg"]').waitFor();
  await pause(1500);
  await shoot(wall, 'add-phone.png');
  await house.stop();
}

await wallOf(9, 'wall.png', { ...SIZE, prefs: { layout: 9 } });
const light = { layout: 'focus', theme: 'light', language: 'ko' };
await wallOf(10, 'wall-light-ko.png', { ...SIZE, prefs: light });

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

await lookingBack();
await addingAPhone();

await server.stop();
await Promise.all([porch, hall, cellar, yard].map((camera) => camera.stop()));
await browser.close();
