// Builds the wall (src-ui/dist) and the phone's page (mobile/web/dist, and for the companion
// mobile/web/dist-app) when their sources changed since the last build.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { bold, die, npm, readText, root, run, say } from './machine.mjs';

const wall = { name: 'the wall', folder: 'src-ui', sources: ['src-ui'], out: 'dist', mode: [] };
// The phone's page has the wall's look.
const phone = {
  name: 'the phone page',
  folder: 'mobile/web',
  sources: ['mobile/web', 'src-ui/src'],
  out: 'dist',
  mode: [],
};
const companion = {
  ...phone,
  name: 'the companion’s page',
  out: 'dist-app',
  mode: ['--', '--mode', 'app'],
};

function fingerprint(sources) {
  const hash = createHash('sha256');
  const visit = (path) => {
    for (const entry of readdirSync(path, { withFileTypes: true }).sort((a, b) =>
      a.name < b.name ? -1 : 1,
    )) {
      if (['node_modules', 'dist', 'dist-app', '.vite'].includes(entry.name)) continue;
      const inner = join(path, entry.name);
      if (entry.isDirectory()) visit(inner);
      else hash.update(relative(root, inner)).update('\0').update(readFileSync(inner));
    }
  };
  for (const source of sources) visit(join(root, source));
  hash.update(readText(join(root, 'package-lock.json')) ?? '');
  return hash.digest('hex');
}

async function build({ name, folder, sources, out, mode }) {
  if (!existsSync(join(root, folder, 'package.json')))
    die(`${folder} is missing from this checkout.`);
  const place = `${folder}/${out}`.replace(/\/dist$/, '').replaceAll('/', '-');
  const stamp = join(root, 'node_modules', '.cache', 'nightjar', place);
  const print = fingerprint(sources);
  if (readText(stamp) === print && existsSync(join(root, folder, out, 'index.html'))) return;
  say(bold(`Building ${name}`));
  if ((await run(...npm('run', 'build', '-w', folder, ...mode))) !== 0)
    die(`${name} could not be built.`);
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, print);
}

/** `app`: the companion's page too, which only tests and the companion itself need. */
export async function buildUi({ app = false } = {}) {
  await build(wall);
  await build(phone);
  if (app) await build(companion);
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await buildUi();
