// npm start: sets the machine up, builds, and opens the app; without a display it serves the wall.
//
//   npm start [-- [--release] [arguments of the program]]

import { join } from 'node:path';
import { bold, die, hasDisplay, run, say, claimTarget } from './machine.mjs';
import { setUp } from './setup.mjs';
import { buildUi } from './ui.mjs';

const release = process.argv.includes('--release');
// A second `--` is meant for this script, and no argument of the program.
const rest = process.argv.slice(2).filter((argument) => !['--release', '--'].includes(argument));
const desktop = hasDisplay();
const program = desktop ? 'nightjar' : 'nightjar-server';

if (!desktop) say('No display here: the wall will be served to browsers instead of a window.');
for (const lack of await setUp(desktop ? 'desktop' : 'server')) say(`lacking: ${lack}`);
await buildUi();
const targetDir = claimTarget();

say(bold(`Building ${program} (the first time takes some minutes)`));
if (!release) say('This is the build for developers; npm start -- --release makes the fast one.');
const build = ['build', '-p', program, '--bin', program, ...(release ? ['--release'] : [])];
if ((await run('cargo', build)) !== 0) die(`${program} could not be built; the message is above.`);

if (desktop) say(bold('Opening Nightjar'));
else say(bold('Serving the wall (Ctrl-C ends it); the program says where:'));
const binary = join(targetDir, release ? 'release' : 'debug', program);
process.exit(await run(binary, rest, { input: 'inherit' }));
