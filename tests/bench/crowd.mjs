// Many phones at once, and many after each other: what they cost, and what they leave behind.

import { spawn } from 'node:child_process';
import { built, startServer } from '../web/stage/programs.mjs';
import { clients } from './clients.mjs';
import { figure, slope } from './figures.mjs';
import { openFiles, pause, rssKib, windows } from './load.mjs';

const KBITS = 2000;
const PHONES = 20;
const VIEWERS = 40;
const CONFIG = '[recording]\nenabled = false\n[signaling]\nlisten = "127.0.0.1:0"\n';

async function many(quick) {
  const server = await startServer({ config: CONFIG, log: 'warn' });
  await pause(2000);
  const idleRss = rssKib(server.pid);
  const phones = await clients('nightjar-bench-phones', [server.url, 'hold', PHONES, KBITS]);
  await pause(4000);
  const alone = await windows(server.pid, quick ? 3 : 10, 2000, () => phones.ask());
  const ids = (await server.api('GET', '/cameras')).cameras.map((camera) => camera.id);
  const urls = ids.map((id) => `${server.url}/api/v1/cameras/${id}/whep`).join(',');
  const viewers = await clients('nightjar-bench-viewers', [urls, 'hold', VIEWERS]);
  await pause(3000);
  const both = await windows(server.pid, quick ? 5 : 20, 2000, async () => ({
    ...(await viewers.ask()),
    sent: (await phones.ask()).packets,
    lost: (await server.api('GET', '/cameras')).cameras.reduce((n, c) => n + c.stats.lost, 0),
  }));
  const rss = rssKib(server.pid);
  const { cameras } = await server.api('GET', '/cameras');
  const fps = cameras.map((camera) => camera.stats.fps);
  await viewers.end();
  await phones.end();
  await server.stop();
  const cores = (w) => (100 * w.cpuNs) / w.seconds / 1e9;
  const rows = both.map(({ before, after }) => ({
    out: after.packets - before.packets,
    missing: after.missing - before.missing,
    sent: after.sent - before.sent,
    lost: after.lost - before.lost,
  }));
  return {
    title: `${PHONES} phones of ${KBITS / 1000} Mbit/s in, ${VIEWERS} viewers out`,
    method: `Phones and viewers are two processes of the same WebRTC crate, without encoding and decoding; all on this machine. Processor time and memory of the server alone, in windows of 2 s.`,
    figures: [
      figure({
        id: 'crowd_cpu_in',
        name: `${PHONES} phones and nobody who watches: processor`,
        unit: '% of a core',
        values: alone.map(cores),
      }),
      figure({
        id: 'crowd_cpu',
        name: `${PHONES} phones, ${VIEWERS} viewers: processor`,
        unit: '% of a core',
        values: both.map(cores),
      }),
      figure({
        id: 'crowd_rss',
        name: 'memory more than before the first',
        unit: 'MB',
        values: [((rss - idleRss) * 1024) / 1e6],
      }),
      figure({
        id: 'crowd_lost_in',
        name: 'pictures that were lost on the way in',
        unit: '‰',
        goal: 1,
        values: rows.map((row) => (1000 * row.lost) / (2 * PHONES * 25)),
      }),
      figure({
        id: 'crowd_lost_out',
        name: 'packets that never came to a viewer',
        unit: '‰',
        goal: 1,
        values: rows.map((row) => (1000 * Math.max(0, row.missing)) / row.out),
      }),
      figure({ id: 'crowd_fps', name: 'pictures a second of each phone', unit: '', values: fps }),
    ],
    remarks: [
      `${Math.round(rows.reduce((n, row) => n + row.sent, 0) / rows.length / 2)} packets/s in, ${Math.round(rows.reduce((n, row) => n + row.out, 0) / rows.length / 2)} packets/s out.`,
    ],
  };
}

async function coming(quick) {
  const total = quick ? 100 : 1000;
  const block = total / 20;
  const server = await startServer({ config: CONFIG, log: 'warn' });
  await pause(2000);
  const filesBefore = openFiles(server.pid);
  const points = [];
  for (let done = 0; done < total; done += block) {
    const child = spawn(
      built('nightjar-bench-phones'),
      [server.url, 'cycle', String(block), String(KBITS)],
      { stdio: ['ignore', 'ignore', 'inherit'] },
    );
    const code = await new Promise((resolve) => child.on('exit', resolve));
    if (code !== 0) throw new Error(`the phones ended with ${code}`);
    await pause(300);
    points.push([done + block, rssKib(server.pid)]);
  }
  await pause(10_000);
  const files = openFiles(server.pid) - filesBefore;
  const left = (await server.api('GET', '/cameras')).cameras.length;
  await server.stop();
  const steady = points.slice(Math.floor(points.length / 3));
  return {
    title: `${total} phones that publish and leave`,
    method: `One after the other: offer, connection, ${12} pictures, DELETE. RSS after every ${block}; the slope is a least-squares line over the last two thirds.`,
    figures: [
      figure({
        id: 'coming_slope',
        name: 'memory per phone that came and went',
        unit: 'KiB',
        goal: 2,
        values: [slope(steady)],
      }),
      figure({
        id: 'coming_files',
        name: 'open descriptors more than before',
        unit: '',
        goal: 2,
        values: [files],
      }),
      figure({
        id: 'coming_left',
        name: 'cameras left on the wall',
        unit: '',
        goal: 0,
        values: [left],
      }),
    ],
    remarks: [
      `RSS at the cycles ${points.map(([at, kib]) => `${at}: ${(kib / 1024).toFixed(1)} MiB`).join(', ')}.`,
    ],
  };
}

export async function crowd({ quick }) {
  return [await many(quick), await coming(quick)];
}
