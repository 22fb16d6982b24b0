// Sixteen cameras and nobody who looks; then a seventeenth.

import { startCamera, startServer } from '../web/stage/programs.mjs';
import { clip } from './clips.mjs';
import { figure } from './figures.mjs';
import { pause, windows } from './load.mjs';
import { live } from './waiting.mjs';

const CAMERAS = 16;
const MEGABITS = 4;
const FRAME_MS = 40;
const GROUP_MS = 4000;

export async function ingest({ browser, quick }) {
  // Cameras know nothing of each other: their key frames are spread over the group. In step, all rings
  // would be full at once.
  const cameras = [];
  for (let i = 0, from = Date.now(); i <= CAMERAS; i++) {
    await pause(Math.max(0, from + (i * GROUP_MS) / CAMERAS - Date.now()));
    cameras.push(await startCamera({ clip: clip(MEGABITS) }));
  }
  const extra = cameras[CAMERAS];
  const server = await startServer({ log: 'warn' });
  const ids = [];
  for (let i = 0; i < CAMERAS; i++) {
    const id = `cam_${i + 1}`;
    await server.api('POST', '/cameras', { id, name: id, url: cameras[i].url });
    ids.push(id);
    // Cameras in a house do not start in the same millisecond.
    await pause(130);
  }
  await live(server, ids);
  await pause(quick ? 5000 : 15_000);
  const count = quick ? 5 : 30;
  const seen = await windows(server.pid, count, 2000);

  // What the others' watchers see when one more is added: arrivals of fragments in a page.
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`${server.url}/api/v1/health`);
  await page.evaluate(async (all) => {
    window.arrivals = new Map();
    const open = (id) =>
      new Promise((resolve, reject) => {
        const times = [];
        window.arrivals.set(id, times);
        const socket = new WebSocket(`ws://${location.host}/api/v1/cameras/${id}/live`);
        socket.binaryType = 'arraybuffer';
        socket.onmessage = (event) => {
          if (typeof event.data === 'string') return;
          times.push(performance.timeOrigin + performance.now());
          resolve();
        };
        socket.onerror = () => reject(new Error(id));
      });
    await Promise.all(all.map(open));
  }, ids);
  await pause(3000);
  /** The longest time without a fragment among all sixteen, between two moments, ms. */
  const longest = (from, to) =>
    page.evaluate(
      ([start, end]) => {
        let most = 0;
        for (const times of window.arrivals.values()) {
          const inside = times.filter((at) => at >= start && at <= end);
          const marks = [start, ...inside, end];
          for (let i = 1; i < marks.length; i++) most = Math.max(most, marks[i] - marks[i - 1]);
        }
        return most;
      },
      [from, to],
    );
  const runs = quick ? 4 : 20;
  const [calm, adding, took] = [[], [], []];
  for (let run = 0; run < runs; run++) {
    let from = Date.now();
    await pause(2500);
    calm.push(await longest(from, Date.now()));

    from = Date.now();
    await server.api('POST', '/cameras', { id: 'extra', name: 'extra', url: extra.url });
    await live(server, ['extra']);
    took.push(Date.now() - from);
    await pause(Math.max(0, 2500 - (Date.now() - from)));
    adding.push(await longest(from, Date.now()));
    await server.api('DELETE', '/cameras/extra');
    await pause(500);
  }
  const { cameras: after } = await server.api('GET', '/cameras');
  const reconnects = after.reduce((sum, camera) => sum + camera.stats.reconnects, 0);
  await context.close();
  await server.stop();
  await Promise.all(cameras.map((camera) => camera.stop()));
  return [
    {
      title: 'Sixteen cameras, no viewer',
      method: `${CAMERAS} cameras of 1080p25 H.264 of 4 Mbit/s each, a key frame every 4 s (64 Mbit/s in all), RTSP over TCP, each in a process of its own, their key frames spread over the 4 s; nobody watches. ${count} windows of 2 s after settling; the whole server counts.`,
      figures: [
        figure({
          id: 'ingest_cpu',
          name: 'processor time of the server',
          unit: '% of a core',
          goal: 3,
          values: seen.map((w) => w.cpuNs / 1e7 / w.seconds),
        }),
        figure({
          id: 'ingest_rss',
          name: 'memory of the server',
          unit: 'MB',
          goal: 60,
          values: seen.map((w) => (w.rssKib * 1024) / 1e6),
          note: 'the ring of the last key frames included',
        }),
      ],
    },
    {
      title: 'Adding the seventeenth',
      method: `The fragments of all sixteen are received by MSE sockets in a page. ${runs} times a camera is added and removed again; a row gives the longest time without a fragment among all sixteen within 2.5 s, with nothing happening and from the moment of the addition. Frames are ${FRAME_MS} ms apart. Page, server and cameras share the processors, so the calm figure is what the machine itself does.`,
      figures: [
        figure({ id: 'gap_calm', name: 'longest gap, nothing happens', unit: 'ms', values: calm }),
        figure({
          id: 'gap_adding',
          name: 'longest gap, a camera is added',
          unit: 'ms',
          values: adding,
        }),
        figure({
          id: 'gap_more',
          name: 'what the addition adds to the calm gap just before it',
          unit: 'ms',
          goal: FRAME_MS,
          values: adding.map((gap, i) => gap - calm[i]),
        }),
        figure({ id: 'added_live', name: 'until the new one is live', unit: 'ms', values: took }),
      ],
      remarks: [`Reconnects of any camera during all of this: ${reconnects}.`],
    },
  ];
}
