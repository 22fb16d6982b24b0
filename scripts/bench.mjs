// npm run bench: measures, and writes the report that tests/bench describes.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { claimTarget, die, root, run } from './machine.mjs';
import { setUp } from './setup.mjs';
import { buildUi } from './ui.mjs';

const bench = join(root, 'tests', 'bench', 'run.mjs');
if (!existsSync(bench)) die('There is nothing to measure yet: tests/bench/run.mjs is missing.');
await setUp('test');
await buildUi();
claimTarget();
process.exit(await run(process.execPath, [bench, ...process.argv.slice(2)]));
