// The chaos suite, inside the namespaces that scripts/chaos.mjs made.
//
//   --fast          the selection of `npm test`: six cameras, each with another fault at a time
//   --only a,b      these faults
//   --cameras N     struck by each fault at a time (12; the eleventh and twelfth are GStreamer's)
//   --passes N      times that each fault is done (1)
//   --soak [MIN]    random faults on 16 cameras for so many minutes (30)
//   --seed N        of all chance (1)

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../web/stage/programs.mjs';
import { Camera, Server } from './cast.mjs';
import { faults } from './faults.mjs';
import { build, pause, Wire } from './network.mjs';
import { head, judge, markdown } from './report.mjs';
import { Screen } from './screen.mjs';
import { soak } from './soak.mjs';
import { trial } from './trial.mjs';
import { Witness } from './witness.mjs';

const args = process.argv.slice(2);
const value = (name, otherwise) => {
  const at = args.indexOf(`--${name}`);
  return at < 0 ? otherwise : (args[at + 1] ?? otherwise);
};
const fast = args.includes('--fast');
const only = value('only', null)?.split(',') ?? null;
const say = (text) => process.stdout.write(`${text}\n`);

/** Chance that can be repeated (mulberry32). */
function dice(seed) {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
const random = dice(Number(value('seed', 1)));
/** A session that lasted this long forgets earlier attempts: the next fault meets a rested camera. */
const REST = 31_000;
const CLIPS = ['front-door', 'garden', 'driveway', 'living-room', 'street', 'harbour'];

async function house(count, gstreamer = 0) {
  await build();
  const server = new Server();
  await server.start();
  const cameras = [];
  for (let n = 1; n <= count; n += 1) {
    const wire = new Wire(n);
    await wire.lay();
    const camera = new Camera(wire, n > count - gstreamer ? 'gstreamer' : 'testcam');
    camera.clip = CLIPS[n % CLIPS.length];
    cameras.push(camera);
  }
  await Promise.all(cameras.map((camera) => camera.start()));
  const witness = new Witness(server);
  for (const camera of cameras) {
    await server.api('POST', '/cameras', camera.spec);
    witness.watch(camera.id);
  }
  await witness.live(cameras.map((camera) => camera.id));
  return { server, witness, cameras, screens: new Map() };
}

/** Chromium before two cameras, one by each transport. */
async function look(home, [first, second]) {
  home.screens.set(first.id, await Screen.open(home.server, first.id, 'webrtc'));
  home.screens.set(second.id, await Screen.open(home.server, second.id, 'mse'));
}

async function quick() {
  const chosen = faults.filter((fault) => fault.fast);
  const home = await house(chosen.length + 2);
  await pause(3_000);
  const rest = home.cameras.slice(chosen.length);
  const rows = await Promise.all(
    chosen.map(async (fault, i) => {
      const found = await trial(fault, [home.cameras[i]], rest, home, random);
      return { ...judge(fault, found), states: found.runs[0].states };
    }),
  );
  for (const row of rows) {
    const figures = ['noticed', 'decided', 'back', 'picture'].map(
      (art) => `${art} ${row[art]?.p50 ?? '–'}`,
    );
    say(`${row.misses.length === 0 ? '✓' : '✗'} ${row.title}: ${figures.join(', ')} s`);
    for (const miss of row.misses) say(`    ${miss}`);
    if (row.misses.length > 0) say(`    ${row.states.join(' → ')}`);
  }
  const code = await end(home);
  const failed = rows.filter((row) => row.misses.length > 0).length + (code === 0 ? 0 : 1);
  if (failed > 0) say(home.server.log.slice(-200).join('\n'));
  say(`# pass ${rows.length + 1 - failed}\n# fail ${failed}`);
  return failed === 0 ? 0 : 1;
}

async function full() {
  const passes = Number(value('passes', 1));
  const count = Number(value('cameras', 12));
  const home = await house(count + 4, Math.min(2, count));
  // The last two are GStreamer's: they are struck, and four of the others are left alone.
  const struck = [...home.cameras.slice(0, count - 2), ...home.cameras.slice(-2)];
  const rest = home.cameras.slice(count - 2, -2);
  await look(home, struck);
  const report = {
    ...head({ arguments: args.map((arg) => ` ${arg}`).join(''), profile }),
    faults: [],
  };
  await pause(REST);
  for (const fault of faults.filter((one) => only === null || only.includes(one.id))) {
    const all = { runs: [], bystanders: [], alerts: 0 };
    const can = struck.filter((camera) => !fault.bears || camera.make === fault.bears);
    for (let pass = 0; pass < passes; pass += 1) {
      const { runs, bystanders, alerts } = await trial(fault, can, rest, home, random);
      all.runs.push(...runs);
      all.bystanders.push(...bystanders);
      all.alerts += alerts;
      await pause(REST);
    }
    const row = judge(fault, all);
    report.faults.push({ ...row, details: all.runs });
    const told = [
      'noticed',
      'decided',
      'told',
      'back',
      'picture',
      'lost',
      'lostBeyond',
      'reconnects',
      'screen',
      'recorded',
    ]
      .filter((art) => row[art])
      .map((art) => `${art} ${row[art].p50}/${row[art].p95}`);
    say(`${row.misses.length === 0 ? '✓' : '✗'} ${fault.id} (${row.runs}): ${told.join(', ')}`);
    for (const miss of row.misses) say(`    ${miss}`);
    if (row.misses.length > 0) {
      for (const run of all.runs) say(`      ${run.camera} ${run.make}: ${run.states.join(' → ')}`);
    }
    write(report);
  }
  const code = await end(home);
  if (code !== 0) say(`the server ended with ${code}`);
  return report.faults.some((row) => row.misses.length > 0) || code !== 0 ? 1 : 0;
}

const profile = process.env.NIGHTJAR_PROFILE || 'debug';

/** What a reader of the table should know. */
const REMARKS = [
  'A picture waits for the camera’s next key frame: RTSP has no way to ask for one. The clips have one every two to four seconds; that is most of “picture”.',
  '“No pictures after sound” is found by a look every three seconds at what the camera offers; a password that is right again by a person alone: the host answers all along.',
  'On the screen: two of the cameras are watched in Chromium, one by WebRTC and one by MSE, from the first picture that reached the server again to the first that moved; redials are new connections of the page.',
  'Half the bandwidth: the camera drops whole groups of pictures, so that nothing may come for longer than the five seconds of a loss.',
  'Frames of a short gap that are lost are those that the camera itself could not queue.',
];

function write(report) {
  report.remarks = REMARKS;
  report.load_after = Number(readFileSync('/proc/loadavg', 'utf8').split(' ')[0]);
  const out = join(root, 'bench', ...(only ? ['out'] : []));
  mkdirSync(out, { recursive: true });
  writeFileSync(join(out, 'recovery.json'), `${JSON.stringify(report, null, 2)}\n`);
  writeFileSync(join(out, 'RECOVERY.md'), markdown(report));
}

async function end({ server, witness, cameras, screens }) {
  witness.end();
  for (const screen of screens.values()) await screen.close();
  const panicked = server.log.filter((line) => /panicked/.test(line));
  for (const line of panicked) say(line);
  const code = await server.stop();
  for (const camera of cameras) await camera.kill();
  return panicked.length > 0 ? 'a panic' : code;
}

const work = args.includes('--soak')
  ? async () =>
      soak(await house(16), { minutes: Number(value('soak', 30)) || 30, random, say, end })
  : fast
    ? quick
    : full;
process.exit(await work());
