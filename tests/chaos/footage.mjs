// What is in the files of recordings, read by programs that nobody here wrote.

import { execFile } from 'node:child_process';
import { closeSync, existsSync, openSync, readdirSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** Runs a program; its words and its exit code. This process goes on meanwhile: it is a witness, too. */
export function sh(program, ...args) {
  return new Promise((resolve) => {
    const options = { maxBuffer: 64 << 20, encoding: 'utf8' };
    execFile(program, args, options, (error, stdout, stderr) => {
      resolve({ code: error ? (error.code ?? 1) : 0, stdout, stderr });
    });
  });
}

/** The same where it must work. */
export async function must(program, ...args) {
  const { code, stdout, stderr } = await sh(program, ...args);
  if (code !== 0) throw new Error(`${program} ${args.join(' ')}: ${code} ${stderr.trim()}`);
  return stdout.trim();
}

/** All recordings below a root, oldest first of each camera. */
export function files(root) {
  const below = (dir) => (existsSync(dir) ? readdirSync(dir).sort() : []);
  return below(root)
    .filter((name) => name.startsWith('cam_'))
    .flatMap((camera) =>
      below(join(root, camera)).flatMap((day) =>
        below(join(root, camera, day)).map((name) => join(root, camera, day, name)),
      ),
    )
    .filter((name) => name.endsWith('.mp4') && (size(name) ?? 0) > 0);
}

/** Bytes of a file that may have gone meanwhile. */
export const size = (name) => statSync(name, { throwIfNoEntry: false })?.size ?? 0;

/** The beginning of a file. */
function head(name, length) {
  const bytes = Buffer.alloc(length);
  const file = openSync(name);
  const read = readSync(file, bytes, 0, length, 0);
  closeSync(file);
  return bytes.toString('latin1', 0, read);
}

/** Whether a file was being written: its room for a header is still free. */
export const isOpen = (name) => head(name, 40).slice(36, 40) === 'free';

/** When a file begins by its own word, in ms since 1970. */
export function begins(name) {
  const found = /"start_us":(\d+)/.exec(head(name, 8 << 10));
  if (!found) throw new Error(`${name} does not say when it begins`);
  return Number(found[1]) / 1000;
}

/**
 * A file from its first to its last picture: `{ camera, start, end (ms since 1970), frames, words }`, where
 * `words` is what ffmpeg had to say while it decoded all of it; nothing, it is to be hoped.
 */
export async function look(root, name) {
  const decoded = await sh('ffmpeg', '-v', 'error', '-i', name, '-f', 'null', '-');
  const entries = ['-show_entries', 'packet=pts_time,duration_time', '-of', 'csv=p=0'];
  const packets = await sh('ffprobe', '-v', 'error', '-select_streams', 'v:0', ...entries, name);
  const rows = packets.stdout
    .trim()
    .split('\n')
    .map((row) => row.split(',').map(Number));
  const times = rows.map(([at]) => at).sort((a, b) => a - b);
  const lasts = rows.at(-1)?.[1] || 0;
  const start = begins(name);
  return {
    name: name.slice(root.length + 1),
    camera: name.slice(root.length + 1).split('/')[0],
    start,
    end: start + (times.at(-1) + lasts - Math.min(0, times[0])) * 1000,
    frames: rows.length,
    /** The longest time between two pictures, ms. */
    longest: Math.max(0, ...times.slice(1).map((at, i) => at - times[i])) * 1000,
    bytes: size(name),
    words: [decoded.stderr, packets.stderr, decoded.code === 0 ? '' : `exit ${decoded.code}`]
      .join(' ')
      .trim(),
  };
}

/** All of them, and how many did not decode without a word. */
export async function lookAll(root, only = () => true) {
  const seen = [];
  // Whoever is still recording may take one away or begin one.
  for (const name of files(root).filter(only)) seen.push(await look(root, name));
  return { seen, broken: seen.filter((one) => one.words !== '') };
}

/** How long before `at` the pictures of each camera end, ms: what a sudden end cost. */
export function lost(seen, cameras, at) {
  return cameras.map((camera) => {
    const ends = seen
      .filter((one) => one.camera === camera && one.start <= at)
      .map((one) => one.end);
    return Math.max(0, at - Math.max(0, ...ends));
  });
}
