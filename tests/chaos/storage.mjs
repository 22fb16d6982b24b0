// Faults done to the disk that real recordings go to, and to the program that writes them.
//
//   unshare --mount node tests/chaos/storage.mjs [--kills N] [--only a,b]
//
// Part of `npm run chaos`. Every file must decode with `ffmpeg -v error` afterwards, nothing may be
// written below an empty mount point, and recording resumes by itself. Needs root (Linux).

import { execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const target = process.env.NIGHTJAR_TARGET_DIR ?? process.env.CARGO_TARGET_DIR;
const program = join(target, 'debug', 'nightjar-server');
const value = (name) =>
  process.argv.includes(name) ? process.argv[process.argv.indexOf(name) + 1] : null;
const kills = Number(value('--kills') ?? 200);
const only = value('--only')?.split(',');
const CAMERAS = 4;
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const sh = (program, ...args) => execFileSync(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
const tell = (text) => process.stdout.write(`${text}\n`);
const problems = [];

/** A house of demo cameras that record into `root`. */
class House {
  constructor(root, options = '') {
    this.dir = mkdtempSync(join(tmpdir(), 'nightjar-disk-'));
    this.root = root ?? join(this.dir, 'recordings');
    const cameras = Array.from(
      { length: CAMERAS },
      (_, i) => `[[camera]]\nid = "cam_${i + 1}"\nurl = "demo:${i + 1}"\nrecord = true\n`,
    );
    this.config = join(this.dir, 'chaos.toml');
    const recording = `[recording]\nroot = "${this.root}"\nsegment_seconds = 5\nmin_free_gb = 0.0\n${options}`;
    writeFileSync(this.config, `${recording}\n${cameras.join('')}`);
  }

  async start() {
    const args = ['--config', this.config, '--data-dir', this.dir, '--listen', '127.0.0.1:0'];
    this.child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.log = '';
    this.child.stderr.on('data', (text) => {
      this.log += text;
    });
    this.url = await new Promise((resolve, reject) => {
      this.child.stdout.on('data', (text) => {
        const found = /listening on (\S+)/.exec(text);
        if (found) resolve(found[1]);
      });
      this.child.on('exit', (code) => reject(new Error(`it ended with ${code}: ${this.log}`)));
    });
  }

  async cameras() {
    return (await (await fetch(`${this.url}/api/v1/cameras`)).json()).cameras;
  }

  async states() {
    return (await this.cameras()).map((camera) => camera.recording.state);
  }

  /** Milliseconds until every camera is in this state. */
  async until(state, patience = 30_000) {
    const from = performance.now();
    while (performance.now() - from < patience) {
      if ((await this.states()).every((one) => one === state)) return performance.now() - from;
      await pause(50);
    }
    throw new Error(`not ${state} in ${patience} ms: ${JSON.stringify(await this.cameras())}`);
  }

  /** Frames of all cameras: live view goes on while this grows. */
  async frames() {
    return (await this.cameras()).reduce((sum, camera) => sum + camera.stats.frames, 0);
  }

  /** Bytes of all files. */
  written() {
    if (!existsSync(this.root)) return 0;
    // The repair at the start takes files away that never got a picture.
    const size = (name) => statSync(name, { throwIfNoEntry: false })?.size ?? 0;
    return files(this.root).reduce((sum, name) => sum + size(name), 0);
  }

  /** Milliseconds until something is written. */
  async writes(patience = 15_000) {
    const [before, from] = [this.written(), performance.now()];
    while (this.written() <= before) {
      if (performance.now() - from > patience) throw new Error('nothing is written');
      await pause(50);
    }
    return performance.now() - from;
  }

  end(signal) {
    return new Promise((resolve) => {
      this.child.removeAllListeners('exit');
      this.child.once('exit', resolve);
      this.child.kill(signal);
    });
  }

  clean() {
    rmSync(this.dir, { recursive: true, force: true });
  }
}

function files(root) {
  const found = [];
  for (const camera of readdirSync(root).filter((name) => name.startsWith('cam_'))) {
    for (const day of readdirSync(join(root, camera))) {
      for (const name of readdirSync(join(root, camera, day))) {
        found.push(join(root, camera, day, name));
      }
    }
  }
  return found.sort();
}

/** Every file decodes without a word; answers how many there are and how long they are in all. */
function decodes(root, what, only = () => true) {
  let seconds = 0;
  const all = files(root).filter(
    (name) => name.endsWith('.mp4') && statSync(name).size > 0 && only(name),
  );
  for (const name of all) {
    const run = spawnSync('ffmpeg', ['-v', 'error', '-i', name, '-f', 'null', '-'], {
      encoding: 'utf8',
    });
    if (run.status !== 0 || run.stderr.trim() !== '')
      problems.push(`${what}: ${name}: ${run.stderr.trim()}`);
    const probe = ['-v', 'error', '-show_entries', 'format=duration', '-of', 'csv=p=0', name];
    seconds += Number(sh('ffprobe', ...probe).toString()) || 0;
  }
  return { count: all.length, seconds };
}

/** Whether a file was being written: its room for a header is still free. */
function isOpen(name) {
  const head = Buffer.alloc(40);
  const file = openSync(name);
  readSync(file, head, 0, head.length, 0);
  closeSync(file);
  return head.toString('latin1', 36, 40) === 'free';
}

/** How long before `at` each camera was last written to, of those that were written to since `began`. */
function ages(root, at, began) {
  const newest = new Map();
  for (const name of files(root).filter(isOpen)) {
    const camera = name.slice(root.length).split('/')[1];
    newest.set(camera, Math.max(newest.get(camera) ?? 0, statSync(name).mtimeMs));
  }
  return [...newest.values()].filter((time) => time >= began).map((time) => at - time);
}

function check(holds, text) {
  if (!holds) problems.push(text);
}

const faults = {
  /** kill -9 at random moments; what was open plays at once, and is made whole by the next start. */
  async kill() {
    const house = new House();
    let [most, count] = [0, 0];
    for (let n = 0; n < kills; n++) {
      const began = Date.now();
      await house.start();
      await house.writes();
      await pause(1500 + Math.random() * 4000);
      const at = Date.now();
      await house.end('SIGKILL');
      most = Math.max(most, ...ages(house.root, at, began));
      if (n % 20 === 19 || n === kills - 1) {
        const seen = decodes(house.root, 'kill');
        count += seen.count;
        for (const camera of readdirSync(house.root).filter((name) => name.startsWith('cam_'))) {
          rmSync(join(house.root, camera), { recursive: true });
        }
        rmSync(join(house.dir, 'catalogue.db'), { force: true });
        for (const end of ['-wal', '-shm'])
          rmSync(join(house.dir, `catalogue.db${end}`), { force: true });
      }
    }
    house.clean();
    check(most < 1100, `kill: the newest write was ${most} ms before the end`);
    return `${kills} kills, ${count} files decoded, the newest write at most ${most.toFixed(0)} ms before the end`;
  },

  /** A tmpfs that somebody else fills up. */
  async full() {
    const root = mkdtempSync(join(tmpdir(), 'nightjar-full-'));
    sh('mount', '-t', 'tmpfs', '-o', 'size=64m', 'tmpfs', root);
    const house = new House(root, 'overwrite = true\n');
    await house.start();
    await house.until('recording');
    await house.writes();
    await pause(8000);
    spawnSync('dd', ['if=/dev/zero', `of=${join(root, 'foreign')}`, 'bs=64k']);
    const noticed = await house.until('disk_full');
    const before = await house.frames();
    await pause(3000);
    check((await house.frames()) > before + 3 * CAMERAS * 10, 'full: live view stopped');
    rmSync(join(root, 'foreign'));
    const back = await house.until('recording');
    await house.writes();
    await pause(2000);
    await house.end('SIGTERM');
    const { count } = decodes(root, 'full');
    sh('umount', root);
    house.clean();
    return `noticed after ${noticed.toFixed(0)} ms, recording ${back.toFixed(0)} ms after there was space, ${count} files decode`;
  },

  /** A small disk with nothing else on it: the oldest go, and recording never stops. */
  async small() {
    const root = mkdtempSync(join(tmpdir(), 'nightjar-small-'));
    sh('mount', '-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', root);
    const house = new House(root, 'overwrite = true\n');
    await house.start();
    await house.until('recording');
    await pause(60_000);
    const states = await house.states();
    check(
      states.every((state) => state === 'recording'),
      `small: ${states}`,
    );
    await house.writes();
    await house.end('SIGTERM');
    const { count, seconds } = decodes(root, 'small');
    sh('umount', root);
    house.clean();
    return `after a minute ${count} files of ${seconds.toFixed(0)} s are left, all decode`;
  },

  /** A loop device that is unmounted under the open files, and mounted again. */
  lazy: () => vanishes('lazy', (image, root) => sh('mount', '-o', 'loop', image, root)),

  /** A bind mount that goes. */
  bind: () =>
    vanishes('bind', (image, root) => {
      const at = `${image}.d`;
      mkdirSync(at, { recursive: true });
      sh('mount', '--bind', at, root);
    }),

  /** The file system is frozen for ten seconds: nothing is lost, and it is said. */
  async freeze() {
    const [root, image] = disk();
    sh('mount', '-o', 'loop', image, root);
    const house = new House(root);
    await house.start();
    await house.until('recording');
    await house.writes();
    await pause(3000);
    sh('fsfreeze', '-f', root);
    const noticed = await house.until('storage_lost', 8000);
    const before = await house.frames();
    await pause(10_000 - noticed);
    check((await house.frames()) > before + 5 * CAMERAS * 10, 'freeze: live view stopped');
    sh('fsfreeze', '-u', root);
    const back = await house.until('recording');
    await house.writes();
    await pause(2000);
    const page = await (await fetch(`${house.url}/metrics`)).text();
    const dropped = Number(/^nightjar_recorder_dropped_frames_total (\S+)/m.exec(page)?.[1] ?? -1);
    check(dropped === 0, `freeze: ${dropped} frames were dropped`);
    await house.end('SIGTERM');
    const { count } = decodes(root, 'freeze');
    sh('umount', root);
    house.clean();
    return `said after ${noticed.toFixed(0)} ms, recording ${back.toFixed(0)} ms after the thaw, ${dropped} frames dropped, ${count} files decode`;
  },

  /** Nobody may write into the directory any more. */
  async immutable() {
    const [root, image] = disk();
    sh('mount', '-o', 'loop', image, root);
    const house = new House(root);
    await house.start();
    await house.until('recording');
    await house.writes();
    const held = [
      root,
      ...readdirSync(root)
        .filter((n) => n.startsWith('cam_'))
        .map((n) => join(root, n)),
    ];
    const days = held.slice(1).flatMap((dir) => readdirSync(dir).map((day) => join(dir, day)));
    sh('chattr', '+i', ...held, ...days);
    const noticed = await house.until('storage_lost', 20_000);
    sh('chattr', '-i', ...held, ...days);
    const back = await house.until('recording');
    await house.writes();
    await house.end('SIGTERM');
    const { count } = decodes(root, 'immutable');
    sh('umount', root);
    house.clean();
    return `noticed after ${noticed.toFixed(0)} ms (at the next file), back after ${back.toFixed(0)} ms, ${count} files decode`;
  },

  /** The power goes: what a copy of the disk's image holds at that moment. */
  async power() {
    const [root, image] = disk();
    sh('mount', '-o', 'loop', image, root);
    const house = new House(root);
    await house.start();
    await house.until('recording');
    await house.writes();
    let oldest = 0;
    const began = Date.now();
    await pause(5000);
    const copy = `${image}.copy`;
    const at = mkdtempSync(join(tmpdir(), 'nightjar-power-'));
    for (let n = 0; n < 20; n++) {
      await pause(1500 + Math.random() * 1500);
      const from = Date.now();
      sh('cp', image, copy);
      sh('mount', '-o', 'loop', copy, at);
      oldest = Math.max(oldest, ...ages(at, from, began));
      decodes(at, 'power', isOpen);
      sh('umount', at);
    }
    await house.end('SIGTERM');
    sh('umount', root);
    house.clean();
    check(oldest < 2000, `power: the newest fragment is ${oldest} ms old`);
    return `20 moments, the newest write at most ${oldest.toFixed(0)} ms before the copy began`;
  },
};

/** A mount point and an image of a file system. */
function disk() {
  const root = mkdtempSync(join(tmpdir(), 'nightjar-mount-'));
  const image = `${root}.img`;
  sh('truncate', '-s', '400M', image);
  sh('mkfs.ext4', '-q', '-F', image);
  return [root, image];
}

async function vanishes(what, mount) {
  const [root, image] = disk();
  mount(image, root);
  const house = new House(root);
  await house.start();
  await house.until('recording');
  await house.writes();
  await pause(3000);
  sh('umount', '-l', root);
  const noticed = await house.until('storage_lost', 8000);
  check(noticed < 3000, `${what}: noticed after ${noticed} ms`);
  const before = await house.frames();
  await pause(5000);
  check(
    readdirSync(root).length === 0,
    `${what}: ${readdirSync(root)} below the empty mount point`,
  );
  check((await house.frames()) > before + 5 * CAMERAS * 10, `${what}: live view stopped`);
  mount(image, root);
  const from = performance.now();
  await house.until('recording');
  await house.writes();
  const back = performance.now() - from;
  check(back < 7000, `${what}: back after ${back} ms`);
  await pause(3000);
  await house.end('SIGTERM');
  const { count } = decodes(root, what);
  sh('umount', root);
  house.clean();
  return `noticed after ${noticed.toFixed(0)} ms, written again ${back.toFixed(0)} ms after the mount, nothing below the empty mount point, ${count} files decode`;
}

for (const [name, fault] of Object.entries(faults)) {
  if (only && !only.includes(name)) continue;
  const from = performance.now();
  let said;
  try {
    said = await fault();
  } catch (error) {
    problems.push(`${name}: ${error.message}`);
    said = 'did not end';
  }
  tell(`${name.padEnd(10)} ${said} (${((performance.now() - from) / 1000).toFixed(0)} s)`);
}
for (const problem of problems) tell(`  ✗ ${problem}`);
process.exit(problems.length > 0 ? 1 : 0);
