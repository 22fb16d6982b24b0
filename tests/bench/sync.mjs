// Whether sound and pictures stay in step in the files of an hour, and across their rotations.
//
// What is judged is what is seen and heard, by no time of ours: the test camera's pictures carry their number, and
// its bell rings with the first picture of each second, also where the camera samples its sound by a crystal that
// is off. ffmpeg decodes both. Writes bench/SYNC.md and bench/sync.json (or bench/out/ for a quick run).

import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { say, span } from '../../scripts/machine.mjs';
import { begins, files, isOpen, look } from '../chaos/footage.mjs';
import { root, startCamera, startServer } from '../web/stage/programs.mjs';
import { figure, machine, quantile, slope } from './figures.mjs';
import { pause } from './load.mjs';
import { live } from './waiting.mjs';

const SEGMENT_S = 60;
/** Sound may be this far from its picture, ms (R-N9). */
const GOAL_MS = 40;
/** The bell is looked for this far around its picture, s. */
const SEARCH_S = 0.45;
/** The bell begins where the loudness of so long before and after differ most, s. */
const EDGE_S = 0.02;

const CAMERAS = [
  { title: 'AAC', clip: 'front-door', fps: 25, frames: 200 },
  { title: 'G.711, recorded as Opus', clip: 'front-door', fps: 25, frames: 200, sound: 'pcmu' },
  {
    title: 'G.711 as Opus; the sound’s crystal is 100 ppm fast',
    clip: 'front-door',
    fps: 25,
    frames: 200,
    sound: 'pcma',
    drift: 100,
  },
  {
    title:
      'AAC of 48 kHz; the sound’s crystal is 100 ppm slow (the camera itself places its bell to ±11 ms)',
    clip: 'garden',
    fps: 20,
    frames: 160,
    drift: -100,
  },
];

/** What a program writes, as bytes. */
const read = (program, ...args) =>
  new Promise((resolve, reject) => {
    const options = { maxBuffer: 512 << 20, encoding: 'buffer' };
    execFile(program, ['-v', 'error', ...args], options, (error, stdout, stderr) =>
      error ? reject(new Error(`${program}: ${stderr || error}`)) : resolve(stdout),
    );
  });

const rows = (bytes) =>
  bytes
    .toString()
    .trim()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split(','));

/** The number in a strip of grey, 26 cells wide and high (see testcam's picture.rs); null when it is none. */
function number(strip, at, width, height) {
  const cell = (index) => {
    let [sum, count] = [0, 0];
    // The middle of the cell: rows of the strip that are a fifth to four fifths of it.
    for (let y = Math.ceil(height * 0.35); y < height * 0.65; y += 1) {
      const [from, to] = [((index + 1.25) * width) / 26, ((index + 1.75) * width) / 26];
      for (let x = Math.ceil(from); x < to; x += 1) {
        sum += strip[at + y * width + x];
        count += 1;
      }
    }
    return sum / count;
  };
  const cells = Array.from({ length: 24 }, (_, index) => cell(index));
  const [white, black] = [(cells[0] + cells[23]) / 2, (cells[1] + cells[22]) / 2];
  if (white - black < 40) return null;
  const bits = cells.map((value) => Number(value > (white + black) / 2));
  const bin = (from, to) => Number.parseInt(bits.slice(from, to).join(''), 2);
  const n = bin(2, 18);
  const check = (n ^ (n >> 4) ^ (n >> 8) ^ (n >> 12) ^ 0b1010) & 15;
  return check === bin(18, 22) ? n : null;
}

/** The pictures of a file: `{ at (s), number }` in order, numbers counted on from each key frame's. */
async function pictures(name, camera) {
  const entries = ['-select_streams', 'v:0', '-show_entries', 'packet=pts_time,flags'];
  const packets = rows(await read('ffprobe', ...entries, '-of', 'csv=p=0', name));
  const [width, height] = [640, 30];
  const filter = ['-vf', `crop=${width}:${height}:0:0`, '-pix_fmt', 'gray', '-f', 'rawvideo', '-'];
  const keys = ['-skip_frame', 'nokey', '-i', name, '-an', '-fps_mode', 'passthrough'];
  const strips = await read('ffmpeg', ...keys, ...filter);
  let [key, count, wrong] = [-1, 0, 0];
  const seen = packets.map(([at, flags]) => {
    if (flags.startsWith('K')) {
      key += 1;
      const told = number(strips, key * width * height, width, height);
      if (told === null) throw new Error(`${name}: key frame ${key} has no number`);
      if (key > 0 && told !== count % camera.frames) wrong += 1;
      count = told;
    }
    const own = count % camera.frames;
    count += 1;
    return { at: Number(at), number: own };
  });
  return { seen, wrong, next: count % camera.frames };
}

/** The sound of a file: samples, their rate, and where each stands, by the times of its packets. */
async function sound(name) {
  const about = await read(
    'ffprobe',
    '-select_streams',
    'a:0',
    '-show_entries',
    'stream=sample_rate',
    '-of',
    'csv=p=0',
    name,
  );
  const rate = Number(about.toString());
  const entries = ['-select_streams', 'a:0', '-show_entries', 'frame=pts_time,nb_samples'];
  const frames = rows(await read('ffprobe', ...entries, '-of', 'csv=p=0', name));
  const bytes = await read('ffmpeg', '-i', name, '-map', '0:a:0', '-ac', '1', '-f', 's16le', '-');
  const samples = new Int16Array(bytes.buffer, bytes.byteOffset, bytes.length >> 1);
  let first = 0;
  const pieces = frames.map(([at, count]) => {
    const piece = { at: Number(at), first, count: Number(count) };
    first += piece.count;
    return piece;
  });
  if (first !== samples.length) throw new Error(`${name}: ${samples.length} samples, not ${first}`);
  const power = new Float64Array(samples.length + 1);
  for (let i = 0; i < samples.length; i += 1) power[i + 1] = power[i] + samples[i] * samples[i];
  return { rate, pieces, power };
}

/** When the bell is heard that should be heard at `due`; null where the file ends before. */
function bell({ rate, pieces, power }, due) {
  const piece = pieces.find(({ at, count }) => due < at + count / rate);
  if (!piece) return null;
  const middle = Math.round(piece.first + (due - piece.at) * rate);
  const [edge, reach] = [Math.round(EDGE_S * rate), Math.round(SEARCH_S * rate)];
  if (middle - reach - edge < 0 || middle + reach + edge >= power.length) return null;
  let [best, where] = [0, -1];
  for (let i = middle - reach; i <= middle + reach; i += 1) {
    const step = power[i + edge] - 2 * power[i] + power[i - edge];
    if (step > best) [best, where] = [step, i];
  }
  // Without a bell the loudest step is noise.
  if (best / edge < 1_000 ** 2) throw new Error(`no bell within ${SEARCH_S} s of ${due} s`);
  const own = pieces.findLast(({ first }) => first <= where);
  return own.at + (where - own.first) / rate;
}

/** How far each bell of a file is behind its picture, ms; and whether every picture is there once. */
export async function judge(name, camera) {
  const [{ seen, wrong, next }, heard] = [await pictures(name, camera), await sound(name)];
  const apart = seen
    .filter((picture) => picture.number % camera.fps === 0)
    // Where an AAC clip begins again, the frame before is another than the encoder had: the bell is blurred.
    .filter((picture) => camera.sound || picture.number > 0)
    .map((picture) => [bell(heard, picture.at), picture.at])
    .filter(([at]) => at !== null)
    .map(([at, due]) => (at - due) * 1_000);
  return {
    name,
    start: name.endsWith('.mkv') ? 0 : begins(name),
    apart,
    wrong,
    first: seen[0].number,
    next,
    pictures: seen.length,
  };
}

/** One camera's hour. */
function summary(camera, judged) {
  const all = judged.flatMap(({ apart }) => apart);
  const medians = judged
    .filter(({ apart }) => apart.length > 0)
    .map(({ start, apart }) => [start / 3_600_000, quantile(apart, 0.5)]);
  const seams = judged.slice(1).filter(({ first }, i) => first !== judged[i].next).length;
  return {
    title: camera.title,
    files: judged.length,
    pictures: judged.reduce((sum, one) => sum + one.pictures, 0),
    apart: figure({
      id: camera.id,
      name: camera.title,
      unit: 'ms',
      goal: GOAL_MS,
      judge: 'max',
      values: all.map(Math.abs),
    }),
    earliest: Math.min(...all),
    latest: Math.max(...all),
    first: medians[0][1],
    last: medians.at(-1)[1],
    drift: medians.length > 1 ? slope(medians) : 0,
    /** Key frames that do not carry the number that the pictures before them lead to. */
    missed: seams + judged.reduce((sum, one) => sum + one.wrong, 0),
    medians,
  };
}

const signed = (value) => `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(1)}`;

function markdown(report) {
  const { machine: m } = report;
  const lines = [
    '# Sound in step',
    '',
    `By \`npm run bench -- --only sync --minutes ${report.minutes}\`, ${report.profile} build of ${m.commit}, on ${report.date}; it recorded for ${span(report.took_ms)}. Machine: ${m.cpu}, ${m.memory_gib} GiB, ${m.kernel}; load average ${report.load.join(' → ')}.`,
    '',
    `A server records four test cameras in files of ${SEGMENT_S} s. Their pictures carry their number, and their bell rings with the first picture of each second; ffmpeg decodes every file, and the onset of each bell in its sound is held against the time of its picture. Recorded by ffmpeg from the same camera, a bell is 0.1 to 0.2 ms from its picture: so good is the measure. Positive: the sound comes late.`,
    '',
    `| sound of the camera | files | pictures, missing or twice | bells | median of the first file, ms | of the last | drift, ms an hour | earliest | latest | goal ≤ ${GOAL_MS} ms |`,
    '|---|---|---|---|---|---|---|---|---|---|',
  ];
  for (const row of report.rows) {
    const numbers = [row.first, row.last, row.drift, row.earliest, row.latest].map(signed);
    lines.push(
      `| ${row.title} | ${row.files} | ${row.pictures}, ${row.missed} | ${row.apart.n} | ${numbers.join(' | ')} | ${row.apart.met ? 'met' : '**not met**'} |`,
    );
  }
  lines.push(
    '',
    '- 100 ppm are 360 ms in an hour: without a remedy such a camera would miss the goal after seven minutes. Its pictures are led after its sound (`ingest::clock`), which is never stretched.',
    '- Every key frame carries the number that the pictures before it lead to, also across files, where nothing is missing or twice.',
    `- Files that ffmpeg did not decode without a word: ${report.broken}.`,
  );
  return `${lines.join('\n')}\n`;
}

export async function sync({ quick }) {
  const { argv } = process;
  const asked = argv.includes('--minutes') ? Number(argv[argv.indexOf('--minutes') + 1]) : 60;
  const minutes = quick ? Math.min(asked, 3) : asked;
  if (!(minutes >= 2)) throw new Error('--minutes takes a number from 2 on');
  const date = new Date().toISOString();
  const { load_before: load, ...about } = machine();
  const place = mkdtempSync(join(tmpdir(), 'nightjar-bench-'));
  const config = `[recording]\nroot = "${place}"\nmin_free_gb = 0.0\nsegment_seconds = ${SEGMENT_S}\n`;
  const server = await startServer({ log: 'warn', config });
  const cast = [];
  for (const [n, camera] of CAMERAS.entries()) {
    const options = { clip: `builtin:${camera.clip}`, 'sound-drift': camera.drift ?? 0 };
    const program = await startCamera({
      ...options,
      ...(camera.sound ? { sound: camera.sound } : {}),
    });
    const id = `cam_${n + 1}`;
    await server.api('POST', '/cameras', { id, name: id, url: program.url, record: true });
    cast.push({ ...camera, id, program, judged: [] });
  }
  await live(
    server,
    cast.map(({ id }) => id),
  );
  const known = new Set();
  const [began, broken] = [performance.now(), []];
  const judgeAll = async () => {
    for (const name of files(place)) {
      if (known.has(name) || isOpen(name)) continue;
      known.add(name);
      const camera = cast.find(({ id }) => name.startsWith(join(place, id)));
      camera.judged.push(await judge(name, camera));
      const { words } = await look(place, name);
      if (words !== '') broken.push(`${name}: ${words}`);
    }
  };
  while (performance.now() - began < minutes * 60_000) {
    await judgeAll();
    await pause(5_000);
  }
  const took = performance.now() - began;
  const { cameras } = await server.api('GET', '/cameras');
  const reconnects = cameras.reduce((sum, camera) => sum + camera.stats.reconnects, 0);
  await server.stop();
  for (const { program } of cast) await program.stop();
  await judgeAll();
  rmSync(place, { recursive: true, force: true });
  const report = {
    date,
    minutes,
    took_ms: took,
    profile: process.env.NIGHTJAR_PROFILE || 'debug',
    machine: about,
    load: [load, machine().load_before],
    broken: broken.length,
    reconnects,
    rows: cast.map((camera) => summary(camera, camera.judged)),
  };
  const out = join(root, 'bench', ...(quick ? ['out'] : []));
  mkdirSync(out, { recursive: true });
  writeFileSync(join(out, 'sync.json'), `${JSON.stringify(report, null, 2)}\n`);
  writeFileSync(join(out, 'SYNC.md'), markdown(report));
  for (const { title, apart, drift, missed } of report.rows) {
    say(
      `  ${title}: at most ${apart.max} ms apart, ${drift.toFixed(1)} ms an hour, ${missed} seams`,
    );
  }
  for (const words of broken) say(`  ${words}`);
  return [];
}
