// Viewers that come and go: memory and descriptors stay.

import { spawn } from 'node:child_process';
import { built, startCamera, startServer } from '../web/stage/programs.mjs';
import { figure, slope } from './figures.mjs';
import { openFiles, pause, rssKib } from './load.mjs';
import { live } from './waiting.mjs';

const BLOCK = 10;

function whep(url, count) {
  return new Promise((resolve, reject) => {
    const child = spawn(built('nightjar-bench-viewers'), [url, 'cycle', String(count)], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    child.on('exit', (code) => {
      if (code === 0) resolve();
      else reject(new Error(`the viewers ended with ${code}`));
    });
  });
}

function mse(page, count) {
  return page.evaluate(async (times) => {
    for (let i = 0; i < times; i++) {
      await new Promise((resolve, reject) => {
        const socket = new WebSocket(`ws://${location.host}/api/v1/cameras/cam/live`);
        socket.binaryType = 'arraybuffer';
        let got = 0;
        socket.onmessage = (event) => {
          if (typeof event.data !== 'string') got += 1;
          if (got === 20) socket.close();
        };
        socket.onclose = () => (got >= 20 ? resolve() : reject(new Error('closed early')));
      });
    }
  }, count);
}

export async function cycles({ browser, quick }) {
  const total = quick ? 60 : 300;
  const warm = quick ? 20 : 100;
  const camera = await startCamera();
  const server = await startServer({ log: 'warn' });
  await server.api('POST', '/cameras', { id: 'cam', name: 'Gate', url: camera.url });
  await live(server, ['cam']);
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`${server.url}/api/v1/health`);
  await pause(5000);
  const filesBefore = openFiles(server.pid);
  const points = [];
  for (let done = 0; done < total; done += 2 * BLOCK) {
    await whep(`${server.url}/api/v1/cameras/cam/whep`, BLOCK);
    await mse(page, BLOCK);
    await pause(500);
    points.push([done + 2 * BLOCK, rssKib(server.pid)]);
  }
  // Idle connections of HTTP, and peers that say goodbye.
  await pause(quick ? 3000 : 10_000);
  const filesAfter = openFiles(server.pid);
  const { stats } = await server.api('GET', '/cameras/cam');
  await context.close();
  await server.stop();
  await camera.stop();
  const steady = points.filter(([at]) => at >= warm);
  const growth = steady.at(-1)[1] - steady[0][1];
  return [
    {
      title: `${total} viewers that come and go`,
      method: `${BLOCK} by WHEP (dial, 20 packets, DELETE), then ${BLOCK} by MSE (20 fragments, close), in turn, one after the other. RSS after every ${2 * BLOCK}; the slope is a least-squares line from cycle ${warm} on.`,
      figures: [
        figure({
          id: 'cycles_slope',
          name: 'memory per viewer that came and went',
          unit: 'KiB',
          goal: 2,
          values: [slope(steady)],
        }),
        figure({
          id: 'cycles_rss',
          name: 'memory of the server on the way',
          unit: 'MB',
          values: points.map(([, kib]) => (kib * 1024) / 1e6),
        }),
        figure({
          id: 'cycles_files',
          name: 'open descriptors more than before',
          unit: '',
          goal: 2,
          values: [filesAfter - filesBefore],
        }),
      ],
      remarks: [
        `RSS at the cycles ${points.map(([at, kib]) => `${at}: ${(kib / 1024).toFixed(1)} MiB`).join(', ')}.`,
        `From cycle ${steady[0][0]} to ${steady.at(-1)[0]} it changed by ${growth} KiB. Viewers left at the end: ${stats.viewers}.`,
      ],
    },
  ];
}
