// npm run bundle: the installer of this system (a .deb on Debian and Ubuntu).
//
//   npm run bundle [-- arguments of `tauri build`]

import { join } from 'node:path';
import { npm, run, say, claimTarget } from './machine.mjs';
import { setUp } from './setup.mjs';

await setUp('desktop');
const targetDir = claimTarget();
const kind = process.platform === 'linux' ? ['--bundles', 'deb'] : [];
const args = ['exec', '--', 'tauri', 'build', ...kind, ...process.argv.slice(2)];
const profile = process.argv.includes('--debug') ? 'debug' : 'release';
const code = await run(...npm(...args));
if (code === 0) say(`The installer lies under ${join(targetDir, profile, 'bundle')}`);
process.exit(code);
