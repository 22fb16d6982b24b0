// Completes package-lock.json after `npm install`: npm drops the optional packages of other
// systems when it cannot reach them, and such a lock file then fails `npm ci` everywhere. Every
// missing optional package is added with the exact version that its parent names; npm skips it
// on machines with another system or processor.
//
//   node scripts/lock.mjs

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, say } from './machine.mjs';

const systems = [
  'android',
  'darwin',
  'freebsd',
  'linux',
  'netbsd',
  'openbsd',
  'openharmony',
  'sunos',
  'win32',
  'aix',
];
const processors = [
  'arm64',
  'x64',
  'arm',
  'ia32',
  'ppc64',
  'riscv64',
  's390x',
  'loong64',
  'mips64el',
];

const path = join(root, 'package-lock.json');
const lock = JSON.parse(readFileSync(path, 'utf8'));
let added = 0;

for (const [place, parent] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(parent.optionalDependencies ?? {})) {
    const known =
      lock.packages[`node_modules/${name}`] ?? lock.packages[`${place}/node_modules/${name}`];
    if (known || !/^\d+\.\d+\.\d+/.test(version)) continue;
    const words = name.split(/[-/]/);
    const os = systems.filter((system) => words.includes(system));
    const cpu = processors.filter((processor) => words.includes(processor));
    if (words.includes('wasm32')) cpu.push('wasm32');
    if (os.length + cpu.length === 0) continue;
    lock.packages[`node_modules/${name}`] = {
      version,
      ...(cpu.length ? { cpu } : {}),
      ...(parent.dev ? { dev: true } : {}),
      license: parent.license,
      optional: true,
      ...(os.length ? { os } : {}),
      ...(parent.engines ? { engines: parent.engines } : {}),
    };
    added += 1;
  }
}

const sorted = Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1));
lock.packages = Object.fromEntries(sorted);
writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);
say(`${added} optional packages of other systems added`);
