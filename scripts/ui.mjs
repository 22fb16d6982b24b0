// Builds the wall (src-ui/dist) when its sources changed since the last build.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { bold, die, npm, readText, root, run, say } from './machine.mjs';

const folder = join(root, 'src-ui');
const stamp = join(root, 'node_modules', '.cache', 'nightjar', 'ui');

function fingerprint() {
  const hash = createHash('sha256');
  const visit = (path) => {
    for (const entry of readdirSync(path, { withFileTypes: true }).sort((a, b) =>
      a.name < b.name ? -1 : 1,
    )) {
      if (['node_modules', 'dist', '.vite'].includes(entry.name)) continue;
      const inner = join(path, entry.name);
      if (entry.isDirectory()) visit(inner);
      else hash.update(relative(root, inner)).update('\0').update(readFileSync(inner));
    }
  };
  visit(folder);
  hash.update(readText(join(root, 'package-lock.json')) ?? '');
  return hash.digest('hex');
}

export async function buildUi() {
  if (!existsSync(join(folder, 'package.json'))) die('src-ui is missing from this checkout.');
  const print = fingerprint();
  if (readText(stamp) === print && existsSync(join(folder, 'dist', 'index.html'))) return;
  say(bold('Building the wall'));
  if ((await run(...npm('run', 'build', '-w', 'src-ui'))) !== 0)
    die('The wall could not be built.');
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, print);
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await buildUi();
