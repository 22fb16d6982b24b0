// Phones: how long until somebody at the wall sees what a phone films, at first and after small troubles
// (for large ones see phone-faults.mjs). The phone is Chromium with a camera that it makes up, on this machine.

import { Wall } from '../web/stage/browser.mjs';
import { Phone } from '../web/stage/phone.mjs';
import { startServer } from '../web/stage/programs.mjs';
import { figure } from './figures.mjs';
import { pause } from './load.mjs';

const CONFIG = '[signaling]\nlegacy_join = true\nlisten = "127.0.0.1:0"\n';
const PATIENCE_MS = 40_000;
/** Pictures that flow for this long do so again, ms. */
const CALM_MS = 1000;
const expected = [/./];

/** When the wall showed pictures of the phone, ms since 1970, from `since` on. */
async function pictures(wall, since) {
  return wall.page.evaluate(
    (from) =>
      window.__eye
        .frames('hall')
        .map((frame) => frame.at)
        .filter((at) => at >= from),
    since,
  );
}

/** Waits until pictures flow again after `since`; when the first of them was shown, behind the longest hole. */
async function back(wall, since) {
  const until = Date.now() + PATIENCE_MS;
  for (;;) {
    // Far enough back to hold the last picture before the trouble, which may have begun earlier.
    const all = await pictures(wall, since - 15_000);
    const holes = all.slice(1).map((end, i) => ({ end, length: end - all[i] }));
    const [longest] = holes.filter(({ end }) => end > since).sort((a, b) => b.length - a.length);
    const last = all.at(-1);
    if (longest && last - longest.end > CALM_MS && Date.now() - last < CALM_MS / 2) {
      return longest.end;
    }
    if (Date.now() > until) throw new Error('the pictures did not come back');
    await pause(50);
  }
}

async function filming(browser, server) {
  const wall = await Wall.open(browser, server.url, { expected });
  const phone = await Phone.hold(browser, { expected });
  await phone.open(`${server.url}/publish?room=hall`);
  const tapped = Date.now();
  await phone.start();
  await phone.until('connected');
  await wall.until('the phone is shown', () => window.__eye?.tile('hall')?.state === 'playing');
  await wall.page.evaluate(() => window.__eye.watch('hall'));
  await wall.more('hall', 10);
  return { wall, phone, tapped };
}

/** Says to the relay what a viewer of the older systems would; gives the time. */
async function command(wall) {
  return wall.page.evaluate(async () => {
    if (!window.__viewer) {
      window.__viewer = new WebSocket(`${location.origin.replace('http', 'ws')}/signal`);
      await new Promise((resolve) => {
        window.__viewer.onopen = () =>
          window.__viewer.send('{"type":"join_room","data":{"room":"hall","role":"viewer"}}');
        window.__viewer.onmessage = resolve;
      });
    }
    window.__viewer.send('{"type":"reconnect_request","reason":"No frames for 11s"}');
    return Date.now();
  });
}

export async function phones({ browser, quick }) {
  const runs = quick ? 10 : 20;
  const values = { first: [], tap: [], rebirth: [], capture: [], reload: [] };

  for (let i = 0; i < runs; i++) {
    // A phone that comes for the first time, in front of a wall that is open already.
    const server = await startServer({ config: CONFIG, log: 'warn' });
    const wall = await Wall.open(browser, server.url, { expected });
    await wall.page.evaluate(() => window.__eye.watch('hall'));
    const phone = await Phone.hold(browser, { expected });
    await phone.open(`${server.url}/publish?room=hall`);
    await phone.page.evaluate(() => {
      window.__tapped = 0;
      addEventListener('click', () => {
        window.__tapped = Date.now();
      });
    });
    await phone.start();
    await wall.more('hall', 1);
    const [{ at }] = await wall.frames('hall');
    const { tapped, built } = await phone.page.evaluate(() => ({
      tapped: window.__tapped,
      built: performance.timeOrigin + window.__phone.probe.times.built,
    }));
    values.first.push(at - built);
    values.tap.push(at - tapped);
    await phone.close();
    await wall.close();
    await server.stop();
  }

  const server = await startServer({ config: CONFIG, log: 'warn' });
  const { wall, phone } = await filming(browser, server);
  for (let i = 0; i < runs; i++) {
    // The relay takes one command in five seconds.
    await pause(5500);
    const since = await command(wall);
    values.rebirth.push((await back(wall, since)) - since);
  }
  for (let i = 0; i < runs; i++) {
    await pause(1500);
    const since = Date.now();
    await phone.stopCapture();
    values.capture.push((await back(wall, since)) - since);
  }
  for (let i = 0; i < runs; i++) {
    await pause(1500);
    const since = Date.now();
    await phone.page.reload({ waitUntil: 'commit' });
    values.reload.push((await back(wall, since)) - since);
  }
  await phone.close();
  await wall.close();
  await server.stop();

  const row = (id, name, goal = null) => figure({ id, name, unit: 'ms', goal, values: values[id] });
  return [
    {
      title: 'Phones',
      method:
        'Chromium with a made-up camera as the phone, another page of it as the wall, both on this machine.',
      figures: [
        row('first', 'from the offer to the first picture at a wall that is open', 400),
        row('tap', 'from the tap on “Start the camera” to that picture'),
        row('rebirth', 'told to reconnect: to the first new picture at the same viewer', 500),
        row('capture', 'the capture ends while the connection stays: to pictures'),
        row('reload', 'the page is reloaded: to pictures'),
      ],
    },
  ];
}
