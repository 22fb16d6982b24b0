// npm run chaos: breaks cameras and networks on purpose, measures how the program heals, and writes
// the table that tests/chaos describes. In namespaces of its own (Linux): the rest of the machine
// notices nothing.
//
//   npm run chaos [-- --only a,b] [-- --soak [MINUTES]] [-- --storage] [-- --fast] [-- --built]
//
// `--storage` does the faults of the disk alone; it is the only part that must be root, to mount disks.

import { appendFileSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ask, claimTarget, env, root, run, say } from './machine.mjs';

const args = process.argv.slice(2);
const built = args.includes('--built');

/** Why this machine cannot, or null. */
function lacking() {
  if (process.platform !== 'linux') return 'network faults need Linux';
  if (ask('unshare', [...spaces, 'true']) === null)
    return 'network faults: no namespaces can be made here';
  return null;
}

const spaces = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
if (process.platform === 'linux' && process.getuid() !== 0)
  spaces.unshift('--user', '--map-root-user');

const word = lacking();
if (word) {
  say(word);
  if (process.env.NIGHTJAR_LACKING) appendFileSync(process.env.NIGHTJAR_LACKING, `${word}\n`);
  process.exit(args.includes('--fast') ? 0 : 1);
}
if (!built) {
  const { setUp } = await import('./setup.mjs');
  const { buildUi } = await import('./ui.mjs');
  await setUp('test');
  await buildUi();
  claimTarget();
  const code = await run('cargo', ['build', '-p', 'nightjar-server', '-p', 'nightjar-testcam']);
  if (code !== 0) process.exit(code);
}
const shim = join(mkdtempSync(join(tmpdir(), 'nightjar-clock-')), 'clock.so');
const source = join(root, 'tests', 'chaos', 'clock.c');
if (ask('cc', ['-shared', '-fPIC', '-O2', '-o', shim, source]) === null) {
  say('The clock of the server cannot be set: cc does not work here.');
  process.exit(1);
}
// Node 20 has WebSockets behind a flag.
const flags = typeof WebSocket === 'undefined' ? ['--experimental-websocket'] : [];
const play = [process.execPath, ...flags, join(root, 'tests', 'chaos', 'run.mjs'), ...args];
const extra = { NIGHTJAR_TARGET_DIR: env.CARGO_TARGET_DIR, NIGHTJAR_CHAOS_CLOCK: shim };
const healed = args.includes('--storage')
  ? 0
  : await run('unshare', [...spaces, ...play], { extra });

// A soak is of cameras alone.
if (args.includes('--soak')) process.exit(healed);
// The disk: kill -9 needs nothing, the rest mounts file systems of its own and so needs root.
const disk = [process.execPath, ...flags, join(root, 'tests', 'chaos', 'storage.mjs'), ...args];
let kept = 0;
if (args.includes('--fast')) {
  kept = await run(disk[0], disk.slice(1), { extra });
} else if (process.getuid() === 0) {
  kept = await run('unshare', ['--mount', ...disk], { extra });
} else {
  say('storage faults: file systems can be mounted by root only');
}
process.exit(healed || kept);
