// Faults done to the disk that real recordings go to, and to the program that writes them.
//
//   unshare --mount node tests/chaos/storage.mjs [--only a,b] [--runs N] [--kills N] [--moments N]
//
// Part of `npm run chaos`. Writes bench/STORAGE.md and bench/storage.json; with --only the rows of the other
// faults stay as they were. `--fast` is the selection of `npm test`: three kills, no mounts, no table.
// Everything but `kill`, `clock` and `twice` needs root (Linux).

import { spawnSync } from 'node:child_process';
import { readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { startCamera } from '../web/stage/programs.mjs';
import { Bind, Loop, Memory } from './disks.mjs';
import { files, isOpen, look, lookAll, lost, must } from './footage.mjs';
import { House } from './house.mjs';
import { now, pause } from './network.mjs';
import { judge, keep } from './storage-report.mjs';

if (typeof WebSocket === 'undefined') {
  // Node 20 has it behind a flag.
  const args = ['--experimental-websocket', '--no-warnings', ...process.argv.slice(1)];
  const { status } = spawnSync(process.execPath, args, { stdio: 'inherit' });
  process.exit(status ?? 1);
}

const args = process.argv.slice(2);
const value = (name, otherwise) =>
  args.includes(`--${name}`) ? args[args.indexOf(`--${name}`) + 1] : otherwise;
const fast = args.includes('--fast');
const only = fast ? ['kill'] : (value('only', null)?.split(',') ?? null);
const runs = Number(value('runs', 5));
const kills = Number(value('kills', fast ? 3 : 200));
const moments = Number(value('moments', 20));
const tell = (text) => process.stdout.write(`${text}\n`);

const ANNOUNCED = 3;
const RESUMED = 7;
/** A viewer may wait so long for a fragment while the disk is in trouble, ms: two cores do all of this. */
const STILL = 500;
/** Trials that go on side by side: they wait most of the time. */
const ABREAST = 3;
const DAY = 86_400;

/** A house that has been recording for a while: each trial meets another phase of its checks. */
async function recording(options) {
  const house = new House(options);
  await house.start();
  await house.watch();
  await house.is('recording');
  await house.writes();
  await pause(2_500 + Math.random() * 2_500);
  return house;
}

/** How long a fault lasts, ms, beyond what it takes to be told. */
const HOLD = 6_000;

/**
 * One trial: strikes the disk, waits until all cameras say so, mends it, waits until they are written again, and
 * looks at every file.
 */
async function trial(fault) {
  const disk = fault.disk();
  await disk.make();
  const cameras = (await fault.cameras?.()) ?? [];
  const urls = fault.cameras ? cameras.map((camera) => camera.url) : null;
  const house = await recording({ root: disk.root, urls, options: fault.options });
  const [dropped, from, wall] = [await house.figure('dropped_frames_total'), now(), Date.now()];
  const run = { misses: [] };
  const miss = (text) => run.misses.push(text);
  try {
    await fault.strike(disk, house);
    const struck = now();
    const announced = await house.told(fault.state ?? 'storage_lost', from);
    // A disk may be full before it is filled to the brim.
    run.announced = Math.max(0, announced - struck) / 1000;
    await pause(Math.max(0, (fault.hold ?? HOLD) - (now() - struck)));
    if (fault.empties) {
      const left = readdirSync(disk.root);
      if (left.length > 0) miss(`${left} below the empty mount point`);
    }
    const mended = now();
    await fault.mend(disk, house);
    const mending = now();
    run.resumed = ((await house.told('recording', mended)) - mending) / 1000;
    run.resumed = Math.max(0, run.resumed, ((await house.writes()) - mending) / 1000);
    const { longest, closed } = house.live(from, now());
    [run.still, run.closed] = [longest / 1000, closed];
    await pause(2_500);
    run.dropped = (await house.figure('dropped_frames_total')) - dropped;
    const code = await house.stop();
    if (code !== 0) miss(`the server ended with ${code}`);
    const { seen, broken } = await lookAll(disk.root);
    run.files = seen.length;
    run.decoded = seen.length - broken.length;
    for (const { name, words } of broken) miss(`${name}: ${words.slice(0, 200)}`);
    run.lost = Math.max(...lost(seen, house.ids, wall)) / 1000;
    const open = files(disk.root).filter(isOpen);
    if (open.length > 0) miss(`${open.length} files are not complete at the end`);
    await fault.more?.(run, seen, miss);
  } catch (error) {
    miss(`${error.message}\n${house.log.slice(-2_000)}`);
    await house.kill();
  }
  for (const camera of cameras) await camera.stop();
  house.clean();
  await disk.clean();
  return run;
}

/** Four cameras of 4 Mbit/s each. */
const heavy = () =>
  Promise.all(Array.from({ length: 4 }, () => startCamera({ bitrate: 4_000_000, sound: 'off' })));
const none = (run, miss) => {
  if (run.dropped !== 0) miss(`${run.dropped} frames were dropped`);
};

/** Faults that strike, last, and are mended. */
const lasting = [
  {
    id: 'full',
    title: 'disk full (tmpfs, filled by somebody else)',
    disk: () => new Memory(64),
    state: 'disk_full',
    strike: (disk) => disk.fill(),
    mend: (disk) => disk.free(),
  },
  {
    id: 'lazy',
    title: 'disk gone: loop device unmounted under the open files (umount -l), mounted again',
    disk: () => new Loop(),
    empties: true,
    strike: (disk) => disk.vanish(),
    mend: (disk) => disk.mount(),
  },
  {
    id: 'bind',
    title: 'bind mount gone, and back',
    disk: () => new Bind(),
    empties: true,
    strike: (disk) => disk.vanish(),
    mend: (disk) => disk.mount(),
  },
  {
    id: 'readonly',
    title:
      'file system read-only after an error of its own (ext4, errors=remount-ro); unmounted, checked, mounted again',
    disk: () => new Loop({ options: 'loop,errors=remount-ro' }),
    strike: (disk) => disk.damage(),
    mend: (disk) => disk.repair(),
  },
  {
    id: 'immutable',
    title: 'directories immutable (chattr +i): no new file can be made',
    disk: () => new Loop(),
    strike: (disk) => disk.immutable(),
    mend: (disk) => disk.mutable(),
  },
  {
    id: 'freeze',
    title: 'file system frozen for 10 s (fsfreeze)',
    disk: () => new Loop(),
    hold: 10_000,
    strike: (disk) => disk.freeze(),
    mend: (disk) => disk.thaw(),
    more: (run, _, miss) => none(run, miss),
  },
  {
    id: 'throttle',
    title: 'disk of 200 kB/s for 15 s (blkio), four cameras of 4 Mbit/s',
    disk: () => new Loop(),
    hold: 15_000,
    cameras: heavy,
    strike: (disk, house) => disk.throttle(house.child.pid, 200_000),
    mend: (disk) => disk.release(),
    more: (run, _, miss) => none(run, miss),
  },
];

/** A small disk with nothing else on it: the oldest recordings go, and recording never stops. */
async function small() {
  const disk = new Memory(48);
  await disk.make();
  const cameras = await heavy();
  const urls = cameras.map((camera) => camera.url);
  const house = await recording({ root: disk.root, urls, options: 'overwrite = true\n' });
  const [run, from] = [{ misses: [] }, now()];
  await pause(45_000);
  const left = house.ids.filter((id) =>
    house.witness.first(id, from, ({ camera }) => camera.recording.state !== 'recording'),
  );
  if (left.length > 0) run.misses.push(`recording stopped: ${left}`);
  const { longest, closed } = house.live(from, now());
  [run.still, run.closed] = [longest / 1000, closed];
  run.dropped = await house.figure('dropped_frames_total');
  none(run, (text) => run.misses.push(text));
  if (!((await house.figure('removed_total')) > 0)) run.misses.push('nothing was removed');
  await house.stop();
  const { seen, broken } = await lookAll(disk.root);
  [run.files, run.decoded] = [seen.length, seen.length - broken.length];
  for (const camera of cameras) await camera.stop();
  house.clean();
  await disk.clean();
  return run;
}

/** Longer than a file: another one is due meanwhile. */
const PAST_A_FILE = 12_000;

/** One camera's directories take no more files: it stops alone, and goes on by itself. */
async function single() {
  const disk = new Loop();
  await disk.make();
  const house = await recording({ root: disk.root });
  const run = { misses: [] };
  const miss = (text) => run.misses.push(text);
  const [ill, ...well] = house.ids;
  const told = async (state, from) => {
    const end = now() + 30_000;
    for (;;) {
      const first = house.witness.first(
        ill,
        from,
        (event) => event.camera.recording.state === state,
      );
      if (first) return first.at;
      if (now() > end) throw new Error(`${ill} is not ${state}`);
      await pause(10);
    }
  };
  try {
    const from = now();
    await disk.immutable(ill);
    run.announced = ((await told('storage_lost', from)) - from) / 1000;
    await pause(PAST_A_FILE);
    if (!((await house.figure('dropped_frames_total')) > 0)) miss('it was written all the same');
    const mended = now();
    await disk.mutable();
    await told('recording', mended);
    run.resumed = ((await house.writes()) - mended) / 1000;
    const left = well.filter((id) =>
      house.witness.first(id, from, ({ camera }) => camera.recording.state !== 'recording'),
    );
    if (left.length > 0) miss(`others stopped: ${left}`);
    const { longest, closed } = house.live(from, now());
    [run.still, run.closed] = [longest / 1000, closed];
    await house.stop();
    const { seen, broken } = await lookAll(disk.root);
    [run.files, run.decoded] = [seen.length, seen.length - broken.length];
    for (const { name, words } of broken) miss(`${name}: ${words.slice(0, 200)}`);
    if (files(disk.root).some(isOpen)) miss('a file is not complete at the end');
  } catch (error) {
    miss(`${error.message}\n${house.log.slice(-2_000)}`);
    await house.kill();
  }
  house.clean();
  await disk.clean();
  return run;
}

/** A fault of one of two disks: its cameras stop and go on, those of the other never notice. */
const apart = (fault) => async () => {
  const [disk, other] = [fault.disk(), new Memory(256)];
  await disk.make();
  await other.make();
  const house = await recording({ root: other.root, attic: disk.root });
  const run = { misses: [] };
  const miss = (text) => run.misses.push(text);
  const well = house.ids.filter((id) => !house.above.includes(id));
  try {
    const from = now();
    await fault.strike(disk, house);
    const struck = now();
    const announced = await house.told(fault.state ?? 'storage_lost', from, 30_000, house.above);
    run.announced = Math.max(0, announced - struck) / 1000;
    await pause(Math.max(0, (fault.hold ?? HOLD) - (now() - struck)));
    if (fault.empties && readdirSync(disk.root).length > 0)
      miss('files below the empty mount point');
    const mended = now();
    await fault.mend(disk, house);
    const mending = now();
    await house.told('recording', mended, 30_000, house.above);
    run.resumed = Math.max(0, (await house.writes()) - mending) / 1000;
    const left = well.filter((id) =>
      house.witness.first(id, from, ({ camera }) => camera.recording.state !== 'recording'),
    );
    if (left.length > 0) miss(`cameras of the other disk stopped: ${left}`);
    // Without a label: those of the main root.
    run.dropped = await house.figure('dropped_frames_total');
    none(run, miss);
    const { longest, closed } = house.live(from, now());
    [run.still, run.closed] = [longest / 1000, closed];
    const code = await house.stop();
    if (code !== 0) miss(`the server ended with ${code}`);
    for (const root of [other.root, disk.root]) {
      const { seen, broken } = await lookAll(root);
      run.files = (run.files ?? 0) + seen.length;
      run.decoded = (run.decoded ?? 0) + seen.length - broken.length;
      for (const { name, words } of broken) miss(`${name}: ${words.slice(0, 200)}`);
      if (files(root).some(isOpen)) miss('a file is not complete at the end');
    }
    const strays = readdirSync(other.root).filter((name) => house.above.includes(name));
    if (strays.length > 0) miss(`${strays} landed on the other disk`);
  } catch (error) {
    miss(`${error.message}\n${house.log.slice(-2_000)}`);
    await house.kill();
  }
  house.clean();
  await disk.clean();
  await other.clean();
  return run;
};

/** Somebody sets the clock: another file begins, and not one frame is missing. */
const clock = (days) => async () => {
  const house = await recording();
  const [run, from] = [{ misses: [] }, now()];
  const before = files(house.root).length;
  house.setClock(days * DAY);
  const end = now() + 10_000;
  // The next key frame of each begins a file of the other day.
  while (days_of(house).size < 2 && now() < end) await pause(25);
  run.announced = null;
  await pause(6_000);
  house.setClock(0);
  await pause(6_000);
  const { longest, closed } = house.live(from, now());
  [run.still, run.closed] = [longest / 1000, closed];
  const states = house.recordings().map(({ state }) => state);
  if (states.some((state) => state !== 'recording')) run.misses.push(`states ${states}`);
  run.dropped = await house.figure('dropped_frames_total');
  none(run, (text) => run.misses.push(text));
  if (days_of(house).size !== 2) run.misses.push(`days ${[...days_of(house)]}`);
  await house.stop();
  const { seen, broken } = await lookAll(house.root);
  [run.files, run.decoded] = [seen.length, seen.length - broken.length];
  if (run.files <= before) run.misses.push('no other file began');
  // Every frame: what is in the files lasts as long as the time that passed, whatever the clock said.
  for (const id of house.ids) {
    const own = seen.filter(({ camera }) => camera === id);
    const gaps = own.filter(({ longest: gap }) => gap > 500);
    if (gaps.length > 0)
      run.misses.push(`${gaps[0].name}: ${gaps[0].longest} ms without a picture`);
  }
  house.clean();
  return run;
};

const days_of = (house) => new Set(files(house.root).map((name) => name.split('/').at(-2)));

/** A second program on the same root writes nothing there, says so, and takes over when the first ends. */
async function twice() {
  const first = await recording();
  const second = new House({ root: first.root });
  const run = { misses: [] };
  const miss = (text) => run.misses.push(text);
  const from = now();
  await second.start();
  await second.watch();
  run.announced = ((await second.told('storage_lost', from)) - from) / 1000;
  const causes = new Set(second.recordings().map(({ cause }) => cause?.code));
  if ([...causes].join() !== 'storage_in_use') miss(`causes ${[...causes]}`);
  await pause(4_000);
  if ((await second.figure('written_bytes_total')) !== 0) miss('the second wrote');
  const { longest, closed } = first.live(from, now());
  [run.still, run.closed] = [longest / 1000, closed];
  if (!first.recordings().every(({ state }) => state === 'recording'))
    miss('the first was disturbed');
  await first.stop();
  const ended = now();
  run.resumed = ((await second.told('recording', ended)) - ended) / 1000;
  run.resumed = Math.max(run.resumed, ((await second.writes()) - ended) / 1000);
  await pause(2_000);
  await second.stop();
  const { seen, broken } = await lookAll(first.root);
  [run.files, run.decoded] = [seen.length, seen.length - broken.length];
  for (const { name, words } of broken) miss(`${name}: ${words.slice(0, 200)}`);
  second.clean();
  first.clean();
  return run;
}

/**
 * kill -9 at random moments. What was being written decodes as it is left, and again after the next start has
 * made it whole; `count` of one house after the other.
 */
async function killed(count) {
  const house = new House();
  const done = [];
  for (let n = 0; n < count; n += 1) {
    const run = { misses: [] };
    await house.start();
    const began = Date.now();
    await house.begun(began);
    await pause(1_000 + Math.random() * 4_000);
    const at = Date.now();
    await house.kill();
    // What this kill left, and what the start made whole that the kill before had left.
    const left = await lookAll(house.root, (name) => statSync(name).mtimeMs >= began);
    run.lost = Math.max(...lost(left.seen, house.ids, at)) / 1000;
    const all = n % 10 === 9 || n === count - 1 ? await whole(house) : { seen: [], broken: [] };
    run.files = left.seen.length + all.seen.length;
    run.decoded = run.files - left.broken.length - all.broken.length;
    for (const { name, words } of [...left.broken, ...all.broken])
      run.misses.push(`${name}: ${words.slice(0, 200)}`);
    done.push(run);
  }
  house.clean();
  return done;
}

/** Lets the program make whole what it left, looks at all of it, and takes it away. */
async function whole(house) {
  await mends(house.root, house.dir);
  const all = await lookAll(house.root);
  const open = files(house.root).filter(isOpen);
  for (const name of open) all.broken.push({ name, words: 'not made whole' });
  for (const camera of house.ids)
    rmSync(join(house.root, camera), { recursive: true, force: true });
  for (const end of ['', '-wal', '-shm'])
    rmSync(join(house.dir, `catalogue.db${end}`), { force: true });
  return all;
}

/** A program without cameras, perhaps with the data of the one before: it makes whole what it finds, and ends. */
async function mends(root, dir = null) {
  const mender = new House({ root, dir, cameras: 0 });
  await mender.start();
  const end = now() + 60_000;
  while (files(root).some(isOpen) && now() < end) await pause(50);
  await mender.stop();
  if (!dir) mender.clean();
}

/**
 * The power goes. The program is stopped for a moment, so that the moment is one, and the image of its disk copied:
 * what reached the device by then is what there would be.
 */
async function power() {
  const disk = new Loop();
  await disk.make();
  const house = await recording({ root: disk.root });
  const [copy, done] = [new Loop(), []];
  for (let n = 0; n < moments; n += 1) {
    await pause(1_000 + Math.random() * 2_000);
    const run = { misses: [] };
    house.child.kill('SIGSTOP');
    const at = Date.now();
    await must('cp', '--sparse=always', disk.image, copy.image);
    house.child.kill('SIGCONT');
    await copy.mount();
    // Those before these were looked at, and lie where they lay.
    const left = await lookAll(copy.root, (name) => isYoung(copy.root, name));
    run.lost = Math.max(...lost(left.seen, house.ids, at)) / 1000;
    const before = left.seen.filter(({ name }) => isOpen(join(copy.root, name)));
    await mends(copy.root);
    const after = [];
    for (const { name } of before) after.push(await look(copy.root, join(copy.root, name)));
    run.files = left.seen.length + after.length;
    const broken = [...left.broken, ...after.filter(({ words }) => words !== '')];
    run.decoded = run.files - broken.length;
    for (const { name, words } of broken) run.misses.push(`${name}: ${words.slice(0, 200)}`);
    for (const [i, { end }] of after.entries())
      if (Math.abs(end - before[i].end) > 100)
        run.misses.push(`${before[i].name} is shorter once whole`);
    await must('umount', copy.root);
    done.push(run);
  }
  await house.stop();
  const { broken } = await lookAll(disk.root);
  for (const { name, words } of broken) done.at(-1).misses.push(`${name}: ${words}`);
  house.clean();
  await copy.clean();
  await disk.clean();
  return done;
}

/** The newest three files of each camera. */
function isYoung(root, name) {
  const camera = name.slice(root.length + 1).split('/')[0];
  const own = files(root).filter((one) => one.startsWith(join(root, camera)));
  return own.indexOf(name) >= own.length - 3;
}

/** Does `one` so often, some at a time. */
async function repeated(count, one) {
  const done = [];
  const worker = async () => {
    while (done.length < count) {
      const at = done.push(null) - 1;
      done[at] = await one();
    }
  };
  await Promise.all(Array.from({ length: Math.min(ABREAST, count) }, worker));
  return done;
}

const goals = { announced: ANNOUNCED, resumed: RESUMED, still: STILL / 1000 };
const faults = [
  ...lasting.map((fault) => ({ ...fault, goals, play: () => repeated(runs, () => trial(fault)) })),
  {
    id: 'small',
    title:
      'a disk of 48 MB with nothing else on it, four cameras of 4 Mbit/s, for 45 s: the oldest recordings go, recording never stops',
    goals: { still: goals.still },
    play: async () => [await small()],
  },
  {
    id: 'single',
    title:
      'one camera’s directories immutable (chattr +i) for longer than a file: it stops alone, the others never',
    goals,
    play: () => repeated(Math.min(runs, 3), single),
  },
  ...lasting
    .filter(({ id }) => ['full', 'lazy', 'freeze'].includes(id))
    .map((fault) => ({
      id: `apart-${fault.id}`,
      title: `one of two disks, the other’s cameras go on without a lost frame: ${fault.title}`,
      goals,
      play: () => repeated(Math.min(runs, 3), apart(fault)),
    })),
  ...[1, -1].map((days) => ({
    id: days > 0 ? 'clock-on' : 'clock-back',
    title: `clock set ${days > 0 ? 'on' : 'back'} by a day, and right again`,
    goals: { still: goals.still },
    needs: 'NIGHTJAR_CHAOS_CLOCK',
    play: () => repeated(Math.min(runs, 3), clock(days)),
  })),
  {
    id: 'twice',
    title: 'a second program on the same root; then the first one ends',
    goals,
    play: () => repeated(Math.min(runs, 3), twice),
  },
  {
    id: 'power',
    title: 'power cut: a copy of the disk’s image as it is at that moment',
    goals: { lost: 2 },
    play: power,
  },
  {
    id: 'kill',
    title: 'kill -9 at a random moment, 4 cameras recording',
    goals: { lost: 1.2 },
    play: async () => {
      const houses = Math.min(ABREAST, kills);
      const shares = Array.from({ length: houses }, (_, i) => Math.floor((kills + i) / houses));
      return (await Promise.all(shares.map(killed))).flat();
    },
  },
];

let failed = 0;
for (const fault of faults) {
  if (only && !only.includes(fault.id)) continue;
  if (fault.needs && !process.env[fault.needs]) {
    tell(`✗ ${fault.id}: needs ${fault.needs} (scripts/chaos.mjs)`);
    failed += 1;
    continue;
  }
  const from = now();
  let done;
  try {
    done = await fault.play();
  } catch (error) {
    done = [{ misses: [error.stack] }];
  }
  const row = judge(fault, done);
  const said = ['announced', 'resumed', 'lost', 'still']
    .filter((art) => row[art])
    .map((art) => `${art} ${row[art].p50}/${row[art].p95}/${row[art].max}`);
  const took = ((now() - from) / 1000).toFixed(0);
  tell(
    `${row.misses.length === 0 ? '✓' : '✗'} ${fault.id} (${row.runs}, ${took} s): ${said.join(', ')}, ${row.decoded} of ${row.files} files decode`,
  );
  for (const miss of row.misses) tell(`    ${miss}`);
  if (row.misses.length > 0) failed += 1;
  if (!fast) keep(row);
}
if (fast) tell(`# pass ${failed ? 0 : 1}\n# fail ${failed}`);
process.exit(failed > 0 ? 1 : 0);
