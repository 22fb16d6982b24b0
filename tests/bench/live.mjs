// What a person at the wall waits for: the first picture, and how far it is behind the camera.

import { behind, Wall } from '../web/stage/browser.mjs';
import { startCamera, startServer } from '../web/stage/programs.mjs';
import { figure } from './figures.mjs';
import { pause } from './load.mjs';

const GOP_MS = 4000;
const WAYS = [
  { id: 'webrtc', transport: 'webrtc', name: 'WebRTC', sound: 'off', first: 120, glass: 150 },
  { id: 'mse', transport: 'mse', name: 'MSE', sound: 'off', first: 200, glass: 250 },
  {
    id: 'mse_aac',
    transport: 'mse',
    name: 'MSE, camera with AAC',
    sound: 'clip',
    first: 200,
    glass: 250,
  },
];

export async function live({ browser, quick }) {
  const runs = quick ? 6 : 24;
  const firsts = [];
  const edges = [];
  const glasses = [];
  for (const way of WAYS) {
    const camera = await startCamera({ sound: way.sound });
    const server = await startServer({ log: 'warn' });
    await server.api('POST', '/cameras', { id: 'cam', name: 'Gate', url: camera.url });
    const without = way.transport === 'mse' ? ['webrtc'] : [];
    const wall = await Wall.open(browser, server.url, { without });
    await wall.playing('cam', way.transport);

    // Glass to glass, while it just plays.
    await pause(quick ? 1000 : 5000);
    const from = (await wall.frames('cam')).length;
    await pause(quick ? 4000 : 30_000);
    const seen = (await wall.frames('cam', from)).filter((frame) => frame.number !== null);
    glasses.push(
      figure({
        id: `glass_${way.id}`,
        name: `${way.name}: from the camera to the screen`,
        unit: 'ms',
        goal: way.glass,
        values: seen.map((frame) => behind(camera.schedule, frame)),
      }),
    );

    // The first picture, dialled at moments that are spread evenly over the group of pictures.
    const first = [];
    const edge = [];
    for (let run = 0; run < runs; run++) {
      await wall.page.evaluate(() => {
        location.hash = '#/settings';
      });
      await wall.until('the tile is gone', () => window.__nightjar.tiles().length === 0);
      // The server has let go of the last viewer.
      await pause(300);
      const { first: epoch } = camera.schedule;
      const phase = (run / runs) * GOP_MS;
      await pause((((phase - (Date.now() - epoch)) % GOP_MS) + GOP_MS) % GOP_MS);
      await wall.page.evaluate(() => {
        location.hash = '#/wall';
      });
      await wall.until(
        'it plays',
        (transport) => {
          const tile = window.__eye.tile('cam');
          return tile?.state === 'playing' && tile.transport === transport;
        },
        way.transport,
      );
      const { firstFrameMs } = await wall.report('cam');
      first.push(firstFrameMs);
      const shown = (await wall.frames('cam')).length;
      // One second after the first picture; the waiting above has taken some milliseconds of it.
      await pause(1000);
      const later = (await wall.frames('cam', shown)).filter((frame) => frame.number !== null);
      const last = later.at(-1);
      if (!last) throw new Error(`${way.name}: no picture within the second after the first`);
      edge.push(behind(camera.schedule, last));
    }
    firsts.push(
      figure({
        id: `first_frame_${way.id}`,
        name: `${way.name}: first picture after attach`,
        unit: 'ms',
        goal: way.first,
        values: first,
      }),
    );
    edges.push(
      figure({
        id: `edge_${way.id}`,
        name: `${way.name}: behind the camera one second later`,
        unit: 'ms',
        goal: 150,
        values: edge,
      }),
    );
    if (way.sound !== 'off') {
      await wall.tile('cam').focus();
      await wall.page.keyboard.press('m');
      await pause(quick ? 1000 : 5000);
      const since = (await wall.frames('cam')).length;
      await pause(quick ? 4000 : 30_000);
      const heard = (await wall.frames('cam', since)).filter((frame) => frame.number !== null);
      glasses.push(
        figure({
          id: `glass_${way.id}_heard`,
          name: `${way.name}, with its sound on: from the camera to the screen`,
          unit: 'ms',
          goal: way.glass,
          values: heard.map((frame) => behind(camera.schedule, frame)),
        }),
      );
    }
    await wall.close();
    await server.stop();
    await camera.stop();
  }
  return [
    {
      title: 'First picture, and the live edge',
      method:
        'The wall in Chromium with one running camera (H.264 640×360, 25 fps, a key frame every 4 s; with and without a sound track, which is not sent to who does not listen). The tile is taken off the page and put back; the time runs in the page from the dial to the first frame on the screen (`requestVideoFrameCallback`). The dials are spread evenly over the 4 s between key frames. One second later the frame number in the picture tells which frame is on the screen, and the camera’s schedule when that frame left it: the time between is how far the picture is behind the camera, which is more than how far it is behind the live edge of the server.',
      figures: [...firsts, ...edges],
    },
    {
      title: 'Glass to glass',
      method:
        'The same tile while it plays: for every frame, the time at which the browser shows it (`expectedDisplayTime`) minus the time at which the camera’s schedule sent it. Encoding in a real camera (often 50–150 ms) comes on top.',
      figures: glasses,
    },
  ];
}
