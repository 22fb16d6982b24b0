// One camera to many WebRTC viewers: what a packet and a viewer cost.

import { startCamera, startServer } from '../web/stage/programs.mjs';
import { clients } from './clients.mjs';
import { clip } from './clips.mjs';
import { figure, quantile } from './figures.mjs';
import { pause, rssKib, windows } from './load.mjs';
import { live } from './waiting.mjs';

const MEGABITS = 8;

export async function fanout({ quick }) {
  const count = quick ? 5 : 20;
  const camera = await startCamera({ clip: clip(MEGABITS) });
  const figures = [];
  const remarks = [];
  let alone = null;
  for (const viewers of quick ? [1, 50] : [1, 10, 50]) {
    // A server of its own, so that no memory of the one before is counted.
    const server = await startServer({ log: 'warn' });
    await server.api('POST', '/cameras', { id: 'cam', name: 'Gate', url: camera.url });
    await live(server, ['cam']);
    await pause(6000);
    const idle = await windows(server.pid, 5, 1000);
    const idleRss = rssKib(server.pid);
    const ingest = idle.reduce((sum, w) => sum + w.cpuNs / w.seconds, 0) / idle.length;

    const watching = await clients('nightjar-bench-viewers', [
      `${server.url}/api/v1/cameras/cam/whep`,
      'hold',
      viewers,
    ]);
    await pause(3000);
    const seen = await windows(server.pid, count, 2000, () => watching.ask());
    const rows = seen.map((w) => {
      const missing = w.after.missing - w.before.missing;
      const packets = w.after.packets - w.before.packets + Math.max(0, missing);
      return {
        packets,
        missing,
        again: w.after.again - w.before.again,
        mbit: ((w.after.bytes - w.before.bytes) * 8) / w.seconds / 1e6 / viewers,
        all: w.cpuNs / 1000 / packets,
        own: (w.cpuNs - ingest * w.seconds) / 1000 / packets,
        kib: (w.rssKib - idleRss) / viewers,
      };
    });
    const goals = viewers === 50 ? { cpu: 7, kib: 450 } : { cpu: null, kib: null };
    figures.push(
      figure({
        id: `fanout_cpu_${viewers}`,
        name: `${viewers} viewers: processor time of the server per packet`,
        unit: 'µs',
        goal: goals.cpu,
        values: rows.map((row) => row.all),
      }),
      figure({
        id: `fanout_cpu_own_${viewers}`,
        name: `${viewers} viewers: the same without the camera’s own share`,
        unit: 'µs',
        values: rows.map((row) => row.own),
      }),
      figure({
        id: `fanout_rss_${viewers}`,
        name: `${viewers} viewers: memory per viewer`,
        unit: 'KiB',
        goal: goals.kib,
        values: rows.map((row) => row.kib),
      }),
      figure({
        id: `fanout_lost_${viewers}`,
        name: `${viewers} viewers: packets that never came`,
        unit: '%',
        values: rows.map((row) => (100 * row.missing) / row.packets),
      }),
    );
    const kib = rows.map((row) => row.kib);
    alone ??= quantile(kib, 0.5);
    if (viewers > 1) {
      figures.push(
        figure({
          id: `fanout_rss_more_${viewers}`,
          name: `${viewers} viewers: memory of each beyond the first`,
          unit: 'KiB',
          values: kib.map((mean) => (mean * viewers - alone) / (viewers - 1)),
          note: 'the first one has the cached pictures cut into packets, for all',
        }),
      );
    }
    const sum = (pick) => rows.reduce((total, row) => total + pick(row), 0);
    remarks.push(
      `${viewers} viewers: ${(sum((row) => row.mbit) / rows.length).toFixed(2)} Mbit/s of payload each, ${Math.round(sum((row) => row.packets) / rows.length / 2 / viewers)} packets/s each; ${((100 * sum((row) => row.again)) / sum((row) => row.packets)).toFixed(2)} % of them were repeats.`,
    );
    await watching.end();
    await server.stop();
  }
  await camera.stop();
  return [
    {
      title: 'Fan-out of one 8 Mbit/s camera by WebRTC',
      method: `One camera (1080p25 H.264 of 8 Mbit/s, a key frame every 4 s), viewers in one other process (the same WebRTC crate, default interceptors, no decoding). ${count} windows of 2 s after 3 s of settling; processor time from \`/proc/PID/task/*/schedstat\` of the server, all of it (RTSP ingest included), divided by the packets the viewers got. Memory is RSS minus RSS before the first viewer. A fresh server for each number of viewers.`,
      figures,
      remarks,
    },
  ];
}
