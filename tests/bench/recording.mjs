// What recording costs: sixteen cameras, then as many as this machine holds; and the start after a crash.

import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { Loop } from '../chaos/disks.mjs';
import { files, isOpen, size } from '../chaos/footage.mjs';
import { startCamera, startServer } from '../web/stage/programs.mjs';
import { clip } from './clips.mjs';
import { figure, quantile } from './figures.mjs';
import { cpuNs, pause, windows } from './load.mjs';
import { live } from './waiting.mjs';

const CAMERAS = 16;
const MEGABITS = 4;
/** Sessions of one test camera: a process each would be measured, not the server. */
const SESSIONS = 8;

const settings = (root, more = '') =>
  `[recording]\nroot = "${root}"\nmin_free_gb = 0.0\nsegment_seconds = 30\n${more}`;

async function figures(server) {
  const page = await (await fetch(`${server.url}/metrics`)).text();
  const found = page.matchAll(/^nightjar_recorder_(\S+) (\S+)$/gm);
  return Object.fromEntries([...found].map(([, name, value]) => [name, Number(value)]));
}

/** Bytes that the kernel wrote to the disk for a process. */
const written = (pid) =>
  Number(/^write_bytes: (\d+)/m.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))[1]);

/** Bytes of pictures and sound in a file. */
function payload(name) {
  const entries = ['-show_entries', 'packet=size', '-of', 'csv=p=0', name];
  const said = execFileSync('ffprobe', ['-v', 'error', ...entries], { maxBuffer: 64 << 20 });
  return said
    .toString()
    .split('\n')
    .reduce((sum, line) => sum + (Number.parseInt(line, 10) || 0), 0);
}

/** A server that records so many cameras to `root`; all of them live. */
async function house(cameras, count, root, record = true) {
  const server = await startServer({ log: 'warn', config: settings(root) });
  const ids = [];
  for (let i = 0; i < count; i += 1) {
    const id = `cam_${i + 1}`;
    const { url } = cameras[i % cameras.length];
    await server.api('POST', '/cameras', { id, name: id, url, record });
    ids.push(id);
    await pause(60);
  }
  await live(server, ids);
  return server;
}

async function play(count, more = {}) {
  const sound = true;
  const started = Array.from({ length: Math.ceil(count / SESSIONS) }, () =>
    startCamera({ clip: clip(MEGABITS, { sound }), ...more }),
  );
  return Promise.all(started);
}

/** The same sixteen with the sound of telephones, which is turned into Opus. */
async function telephones({ quick }) {
  const cameras = await play(CAMERAS, { sound: 'pcmu' });
  const root = place();
  const server = await house(cameras, CAMERAS, root);
  await pause(quick ? 5_000 : 15_000);
  const seen = await windows(server.pid, quick ? 5 : 30, 2_000);
  await server.stop();
  for (const camera of cameras) await camera.stop();
  rmSync(root, { recursive: true, force: true });
  return seen;
}

const place = () => mkdtempSync(join(tmpdir(), 'nightjar-bench-'));

/** Sixteen cameras that are recorded, and the same sixteen that are not. */
async function sixteen({ quick }) {
  const cameras = await play(CAMERAS);
  const count = quick ? 5 : 30;
  const root = place();
  const idle = await house(cameras, CAMERAS, root, false);
  await pause(quick ? 5_000 : 10_000);
  const calm = await windows(idle.pid, count, 2_000);
  await idle.stop();

  const server = await house(cameras, CAMERAS, root);
  await pause(quick ? 5_000 : 15_000);
  const seen = await windows(server.pid, count, 2_000, () => figures(server));
  const last = await figures(server);
  await server.stop();
  const all = files(root);
  const [bytes, media] = [all.reduce((sum, name) => sum + size(name), 0), all.map(payload)];
  rmSync(root, { recursive: true, force: true });
  const device = await amplification(cameras, quick);
  for (const camera of cameras) await camera.stop();
  const turned = await telephones({ quick });
  const cpu = (rows) => rows.map((w) => w.cpuNs / 1e7 / w.seconds);
  const waited = seen.map(
    ({ before: a, after: b }) =>
      ((b.sync_seconds_total - a.sync_seconds_total) / (b.fragments_total - a.fragments_total)) *
      1000,
  );
  const sum = media.reduce((total, one) => total + one, 0);
  const rows = [
    figure({
      id: 'record_cpu',
      name: 'processor time of the server',
      unit: '% of a core',
      goal: 4,
      values: cpu(seen),
    }),
    figure({
      id: 'record_cpu_calm',
      name: 'the same cameras, not recorded',
      unit: '% of a core',
      values: cpu(calm),
    }),
    figure({
      id: 'record_cpu_g711',
      name: 'the same with G.711 sound, which becomes Opus',
      unit: '% of a core',
      values: cpu(turned),
    }),
    figure({
      id: 'record_rss',
      name: 'memory of the server',
      unit: 'MB',
      goal: 80,
      values: seen.map((w) => (w.rssKib * 1024) / 1e6),
      note: 'the ring of the last key frames included; no pre-roll',
    }),
    figure({
      id: 'record_rss_calm',
      name: 'the same cameras, not recorded',
      unit: 'MB',
      values: calm.map((w) => (w.rssKib * 1024) / 1e6),
    }),
    figure({
      id: 'record_rss_g711',
      name: 'the same with G.711 sound, which becomes Opus',
      unit: 'MB',
      values: turned.map((w) => (w.rssKib * 1024) / 1e6),
    }),
    figure({
      id: 'record_size',
      name: 'size of the files by the bytes of pictures and sound in them',
      unit: '',
      goal: 1.05,
      values: [bytes / sum],
    }),
    ...device,
    figure({
      id: 'record_sync',
      name: 'time that the disk takes for a fragment, mean of a window',
      unit: 'ms',
      values: waited,
    }),
    figure({
      id: 'record_sync_longest',
      name: 'the longest wait for the disk, all cameras together',
      unit: 'ms',
      values: [last.sync_longest_seconds * 1000],
    }),
  ];
  return {
    title: 'Sixteen cameras, recorded',
    method: `${CAMERAS} cameras of 1080p25 H.264 of ${MEGABITS} Mbit/s with AAC, a key frame every 4 s, recorded in files of 30 s to a directory of this machine’s disk; nobody watches, no pre-roll. ${count} windows of 2 s after settling; the whole server counts. The last rows write to an ext4 file system of their own on a loop device, whose sectors are counted.`,
    figures: rows,
    remarks: [
      `Recording itself, the difference of the medians: ${(quantile(cpu(seen), 0.5) - quantile(cpu(calm), 0.5)).toFixed(2)} % of a core.`,
      `${last.fragments_total} fragments by ${last.syncs_total} waits for the disk, ${last.files_total} files, ${last.dropped_frames_total} frames dropped.`,
    ],
  };
}

/** What reaches the device, journal and tables of the file system included, by what was filmed. */
async function amplification(cameras, quick) {
  if (process.getuid() !== 0) return [];
  const disk = new Loop({ megabytes: 2_000 });
  await disk.make();
  const name = basename(disk.device);
  const sectors = () =>
    Number(readFileSync(`/sys/block/${name}/stat`, 'utf8').trim().split(/\s+/)[6]);
  const before = sectors();
  const server = await house(cameras, CAMERAS, disk.root);
  await pause(quick ? 10_000 : 40_000);
  const own = written(server.pid);
  await server.stop();
  execFileSync('sync', ['-f', disk.root]);
  const device = (sectors() - before) * 512;
  const all = files(disk.root);
  const media = all.reduce((sum, one) => sum + payload(one), 0);
  // It was set aside once, and is not written to.
  await disk.clean();
  return [
    figure({
      id: 'record_device',
      name: 'bytes that reached the device by the bytes of pictures and sound',
      unit: '',
      goal: 1.05,
      values: [device / media],
    }),
    figure({
      id: 'record_own',
      name: 'bytes that the server had written, catalogue included, by the same',
      unit: '',
      values: [own / media],
    }),
  ];
}

/** Sixty-four: whether this machine holds them, and what gives way first. */
async function many({ quick }) {
  const count = 64;
  const cameras = await play(count);
  const root = place();
  const server = await house(cameras, count, root);
  await pause(quick ? 5_000 : 20_000);
  const seen = await windows(server.pid, quick ? 5 : 20, 2_000, () => figures(server));
  const { cameras: states } = await server.api('GET', '/cameras');
  const last = await figures(server);
  const reconnects = states.reduce((sum, camera) => sum + camera.stats.reconnects, 0);
  await server.stop();
  for (const camera of cameras) await camera.stop();
  rmSync(root, { recursive: true, force: true });
  const rate = seen.map(
    ({ before: a, after: b, seconds }) =>
      (b.written_bytes_total - a.written_bytes_total) / seconds / 1e6,
  );
  const busy = seen.map(
    ({ before: a, after: b, seconds }) =>
      ((b.sync_seconds_total - a.sync_seconds_total) / seconds) * 100,
  );
  return {
    title: 'Sixty-four cameras, recorded',
    method: `${count} cameras as above (${count * MEGABITS} Mbit/s), which come from ${cameras.length} processes on this machine, too. Windows of 2 s. What breaks first would show as frames dropped, as bytes that wait for the disk, or as cameras lost.`,
    figures: [
      figure({
        id: 'many_cpu',
        name: 'processor time of the server',
        unit: '% of a core',
        values: seen.map((w) => w.cpuNs / 1e7 / w.seconds),
      }),
      figure({
        id: 'many_rss',
        name: 'memory of the server',
        unit: 'MB',
        values: seen.map((w) => (w.rssKib * 1024) / 1e6),
      }),
      figure({ id: 'many_rate', name: 'written', unit: 'MB/s', values: rate }),
      figure({
        id: 'many_busy',
        name: 'time in which the writer waits for the disk',
        unit: '%',
        values: busy,
        note: 'at 100 % the queue begins to fill',
      }),
      figure({
        id: 'many_queue',
        name: 'bytes that wait for the disk',
        unit: 'MB',
        values: seen.map(({ after }) => after.queued_bytes / 1e6),
      }),
      figure({
        id: 'many_dropped',
        name: 'frames dropped',
        unit: '',
        values: [last.dropped_frames_total],
      }),
    ],
    remarks: [`Reconnects of any camera: ${reconnects}.`],
  };
}

/** The start after a crash, with a thousand files that are not complete; then with a catalogue that is gone. */
async function repair({ quick }) {
  const count = quick ? 100 : 1_000;
  const root = place();
  // What a killed recorder leaves.
  const camera = await startCamera({});
  const first = await startServer({
    log: 'warn',
    config: `${settings(root)}[[camera]]\nid = "cam_1"\nurl = "${camera.url}"\nrecord = true\n`,
  });
  await pause(quick ? 10_000 : 28_000);
  const { dir } = await first.again();
  await camera.stop();
  rmSync(dir, { recursive: true });
  const torn = files(root).find(isOpen);
  const bytes = readFileSync(torn);
  const at = bytes.indexOf('"id":"') + 6;
  const day = basename(dirname(torn));
  rmSync(torn);
  for (let n = 0; n < count; n += 1) {
    const id = `cam_${n % CAMERAS}`;
    const time = [Math.floor(n / 3600), Math.floor(n / 60) % 60, n % 60];
    const name = `${id}_${day.replaceAll('-', '')}_${time.map((t) => String(t).padStart(2, '0')).join('')}.mp4`;
    mkdirSync(join(root, id, day), { recursive: true });
    bytes.write(randomUUID(), at);
    writeFileSync(join(root, id, day, name), bytes);
  }
  execFileSync('sync', ['-f', root]);
  const [mended, cpu] = await until(root, count);
  const [found] = await until(root, count);
  const open = files(root).filter(isOpen).length;
  rmSync(root, { recursive: true, force: true });
  return {
    title: 'The start after a crash',
    method: `${count} files of ${(bytes.length / 1e6).toFixed(1)} MB that a killed recorder left open (${(bytes.length / 1e6 / 28).toFixed(2)} MB/s of one camera for half a minute), and no catalogue: from the start of the program until all are complete files of the catalogue. Recording and live view go on meanwhile. Then the same files again, complete, without a catalogue.`,
    figures: [
      figure({
        id: 'repair_all',
        name: `${count} torn files made whole`,
        unit: 's',
        values: [mended],
      }),
      figure({ id: 'repair_cpu', name: 'processor time of it', unit: 's', values: [cpu] }),
      figure({
        id: 'repair_known',
        name: `${count} complete files found again`,
        unit: 's',
        values: [found],
      }),
      figure({
        id: 'repair_left',
        name: 'files that stayed torn',
        unit: '',
        goal: 0,
        values: [open],
      }),
    ],
  };
}

/** Seconds from the start of a program without a catalogue until it knows so many files, and its processor time. */
async function until(root, count) {
  const from = performance.now();
  const server = await startServer({ log: 'warn', config: settings(root) });
  for (;;) {
    const { segments } = await server.api('GET', '/recordings');
    if (segments.length >= count) break;
    if (performance.now() - from > 600_000)
      throw new Error(`${segments.length} files in ten minutes`);
    await pause(200);
  }
  const took = [(performance.now() - from) / 1000, cpuNs(server.pid) / 1e9];
  await server.stop();
  return took;
}

export async function recording(options) {
  return [await sixteen(options), await many(options), await repair(options)];
}
