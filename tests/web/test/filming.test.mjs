// A phone that films, a real server, and a wall that shows it: through everything that happens to
// phones. Nobody reloads, nobody touches anything.

import assert from 'node:assert/strict';
import { eventually, scene } from '../stage/scene.mjs';

const OPEN = '[signaling]\nlegacy_join = true\nlisten = "127.0.0.1:0"\n';
/** The viewers of a server that dies note that in their consoles. */
const GONE = [
  /ERR_CONNECTION_REFUSED/,
  /WebSocket/,
  /ERR_EMPTY_RESPONSE/,
  /ERR_CONNECTION_RESET/,
  /status of 50\d/,
  /status of 404.*\/whep\//,
];

async function filming(stage, expected = []) {
  const server = await stage.server({ config: OPEN });
  const wall = await stage.wall(server.url, { expected: [...expected, /status of 503/] });
  const phone = await stage.phone({ expected });
  await phone.open(`${server.url}/publish?room=hall`);
  await phone.start();
  await phone.until('connected');
  await shown(wall);
  return { server, wall, phone };
}

/** Waits until the phone's tile shows pictures that were not there before. */
async function shown(wall) {
  await wall.until(
    'the tile of the phone plays',
    () => window.__eye?.tile('hall')?.state === 'playing',
  );
  await wall.page.evaluate(() => window.__eye.watch('hall'));
  await wall.more('hall', 5);
}

scene(
  'R-P1 R-P5 a phone is on the wall, and is reborn at a command while it is watched',
  async (stage) => {
    const { server, wall, phone } = await filming(stage);
    const camera = await server.api('GET', '/cameras/hall');
    assert.equal(camera.kind, 'phone');
    assert.equal(camera.state.name, 'live');
    const dials = (await wall.report('hall')).redials;

    const { gen } = await phone.view();
    await wall.says('hall', { type: 'reconnect_request', reason: 'No frames for 11s' });
    await phone.until('connected', gen + 1);
    await wall.more('hall', 10);
    assert.equal((await wall.report('hall')).redials, dials, 'the viewer kept its connection');
    assert.equal((await server.api('GET', '/cameras')).cameras.length, 1);
  },
);

scene('R-P10 a capture that ends while the connection stays heals by itself', async (stage) => {
  const { wall, phone } = await filming(stage);
  const { gen } = await phone.view();
  await phone.stopCapture();
  await eventually('the camera is open again', async () => (await phone.view()).capture === 'live');
  await wall.more('hall', 10);
  assert.equal((await phone.view()).gen, gen, 'nothing was negotiated for it');
});

scene(
  'R-P7 a page that is reloaded, and one that is closed and opened, is back on the wall',
  async (stage) => {
    const { server, wall, phone } = await filming(stage);
    await phone.page.reload();
    await phone.until('connected');
    await shown(wall);

    await phone.page.close();
    await eventually('the wall notices', async () => {
      const { state } = await server.api('GET', '/cameras/hall');
      return state.name !== 'live';
    });
    await phone.open(`${server.url}/publish?room=hall`);
    await phone.until('connected');
    await shown(wall);
  },
);

scene(
  'R-P10 a server that is killed and comes back finds its phone, and nobody does anything',
  async (stage) => {
    const { server, wall, phone } = await filming(stage, GONE);
    const place = await server.again();
    await phone.page
      .getByText('Looking for your computer…')
      .or(phone.page.getByText('Looking for it…'))
      .waitFor();
    await stage.server({ again: place });
    await phone.until('connected');
    await shown(wall);
  },
);

scene('a phone that is locked says so, and goes on when it is unlocked', async (stage) => {
  const { wall, phone } = await filming(stage);
  const see = (state) =>
    phone.page.evaluate((value) => {
      Object.defineProperty(document, 'visibilityState', { value, configurable: true });
      document.dispatchEvent(new Event('visibilitychange'));
    }, state);
  await see('hidden');
  await phone.stopCapture();
  await wall
    .tile('hall')
    .getByText(/^Paused/)
    .waitFor();
  await see('visible');
  await phone.until('connected');
  await wall.more('hall', 10);
});

scene(
  'R-S1 a phone whose browser refuses WebSockets films all the same, by requests and events',
  async (stage) => {
    const server = await stage.server({ config: OPEN });
    const wall = await stage.wall(server.url, { expected: [/status of 503/] });
    const phone = await stage.phone({ expected: [/WebSocket/] });
    // As iOS does with a certificate that was clicked through: closed before it was open.
    await phone.context.routeWebSocket(/\/signal/, (socket) => socket.close({ code: 1006 }));
    const posts = [];
    phone.context.on('request', (request) => {
      if (request.url().endsWith('/api/v1/sig')) posts.push(request.postDataJSON().message.type);
    });
    await phone.open(`${server.url}/publish?room=hall`);
    await phone.start();
    await phone.until('connected');
    await shown(wall);
    assert.ok(posts.includes('offer') && posts.includes('ice_candidate'), posts.join());
    // The command comes by an event.
    const { gen } = await phone.view();
    await wall.says('hall', { type: 'reconnect_request', reason: 'No frames for 11s' });
    await phone.until('connected', gen + 1);
    await wall.more('hall', 10);
  },
);

scene(
  'R-P9 a phone with an empty battery sends fewer pictures, and the wall says why',
  async (stage) => {
    const server = await stage.server({ config: OPEN });
    const wall = await stage.wall(server.url, { expected: [/status of 503/] });
    const phone = await stage.phone();
    await phone.context.addInitScript(() => {
      const battery = Object.assign(new EventTarget(), { level: 0.8, charging: false });
      navigator.getBattery = async () => battery;
      window.__drain = (level, charging) => {
        Object.assign(battery, { level, charging });
        battery.dispatchEvent(new Event('levelchange'));
      };
    });
    await phone.open(`${server.url}/publish?room=hall`);
    await phone.start();
    await phone.until('connected');
    await shown(wall);
    const health = async () => (await server.api('GET', '/cameras/hall')).phone;
    await eventually('the server knows', async () => (await health())?.battery === 80);
    const sends = async () => {
      const { report } = await phone.view();
      return (report.encoded * 1000) / report.span;
    };
    await phone.page.evaluate(() => window.__drain(0.12, false));
    await eventually('it says so', async () => {
      const now = await health();
      return now.battery === 12 && now.charging === false && now.thrift >= 1;
    });
    await phone.page.getByText('Battery at 12 %: fewer pictures are sent.').waitFor();
    // A machine under load is hot besides.
    await wall
      .tile('hall')
      .getByRole('img', { name: /^Battery of the phone: 12 %\./ })
      .waitFor();
    await eventually('it sends fewer', async () => {
      const fps = await sends();
      return fps > 5 && fps < 17;
    });
    await phone.page.evaluate(() => window.__drain(0.12, true));
    await eventually('it is on its charger', async () => (await health()).charging === true);
    await wall.more('hall', 10);
  },
);
