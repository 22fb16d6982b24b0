// npm test -w tests/web: the wall in a real browser, with a real server and real cameras.

import { spawn } from 'node:child_process';
import { appendFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { missing } from './stage/programs.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const lacking = missing();
if (lacking.length > 0) {
  const words = `${lacking.join('\n')}\n`;
  process.stdout.write(words);
  if (process.env.NIGHTJAR_LACKING) appendFileSync(process.env.NIGHTJAR_LACKING, words);
  process.exit(0);
}
const wanted = process.argv.slice(2);
const files = readdirSync(join(here, 'test'))
  .filter((name) => name.endsWith('.test.mjs'))
  .filter((name) => wanted.length === 0 || wanted.some((part) => name.includes(part)))
  .map((name) => join('test', name));
const child = spawn(
  process.execPath,
  ['--test', '--test-concurrency=1', '--test-reporter=spec', ...files],
  { cwd: here, stdio: 'inherit' },
);
child.on('exit', (code) => process.exit(code ?? 1));
