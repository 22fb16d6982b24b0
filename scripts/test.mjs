// npm test: sets the machine up and runs every check and test, in the order that tells most
// soonest. Stops at the first step that fails. What this machine lacks is named at the end;
// a test that cannot run appends a line to the file named by NIGHTJAR_LACKING.
//
//   npm test · npm run check (formatting, lints, types and documents alone)

import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bold, npm, root, run, say, span, claimTarget } from './machine.mjs';
import { aiortc, setUp, tauriDriver } from './setup.mjs';
import { buildUi } from './ui.mjs';

const targetDir = claimTarget();
const checkOnly = process.argv.includes('--check');
const lackingFile = join(targetDir, 'nightjar-lacking.txt');
const logs = join(targetDir, 'nightjar-logs');
const outputs = join(targetDir, 'nightjar-out');

// One selection of packages and features for every step, so that Cargo builds each crate once.
const all = ['--workspace', '--features', 'nightjar-tests/desktop,nightjar-tests/bench'];
const rustdoc = { RUSTDOCFLAGS: '-D warnings' };
const has = (path) => existsSync(join(root, path));

const checks = [
  ['rustfmt', 'cargo', ['fmt', '--all', '--check']],
  ['biome', ...npm('exec', '--', 'biome', 'ci', '--colors=off', '--error-on-warnings', '.')],
  ['svelte-check', ...npm('run', 'check', '-w', 'src-ui')],
  ['svelte-check, phone', ...npm('run', 'check', '-w', 'mobile/web')],
  ['clippy', 'cargo', ['clippy', ...all, '--', '-D', 'warnings']],
  // A test may fail loudly.
  [
    'clippy, tests',
    'cargo',
    ['clippy', ...all, '--all-targets', '--', '-D', 'warnings', '-A', 'clippy::unwrap_used'],
  ],
  ['rustdoc', 'cargo', ['doc', ...all, '--no-deps', '--document-private-items'], rustdoc],
  // A workspace of their own, which nothing else would miss.
  ['fuzz targets', 'cargo', ['check', '--manifest-path', 'fuzz/Cargo.toml', '--locked']],
];
const tests = [
  ['vitest', ...npm('run', 'test', '-w', 'src-ui')],
  ['vitest, phone', ...npm('run', 'test', '-w', 'mobile/web')],
  ['build', 'cargo', ['build', ...all]],
  // Unit tests, scenarios, the shell and, under Xvfb, the desktop window.
  ['cargo test', 'cargo', ['test', ...all, '--no-fail-fast']],
  // Real network faults, each once.
  ['chaos', process.execPath, [join(root, 'scripts', 'chaos.mjs'), '--fast', '--built']],
  ...(has('tests/web/package.json') ? [['browser', ...npm('test', '-w', 'tests/web')]] : []),
];

const counts = { passed: 0, failed: 0, ignored: 0 };
const began = performance.now();
const done = [];
mkdirSync(logs, { recursive: true });
rmSync(lackingFile, { force: true });
writeFileSync(lackingFile, '');

const lacking = await step('set-up', () => setUp('test'));
if (!has('tests/web/package.json'))
  lacking.push('browser tests: tests/web is not in this checkout');
await step('pages', () => buildUi({ app: true }));

let failure = null;
for (const [name, program, args, extra = {}] of checkOnly ? checks : [...checks, ...tests]) {
  const failedBefore = counts.failed;
  const code = await step(name, () =>
    run(program, args, {
      extra: {
        NIGHTJAR_LACKING: lackingFile,
        NIGHTJAR_TEST_OUT: outputs,
        NIGHTJAR_TARGET_DIR: targetDir,
        TAURI_DRIVER: tauriDriver,
        NIGHTJAR_AIORTC: aiortc,
        ...extra,
      },
      onLine: count,
      log: join(logs, `${name.replace(/\W+/g, '-')}.log`),
    }),
  );
  if (code !== 0) {
    failure = name;
    // A step that counts nothing of its own (a lint, a build that broke) is one failure.
    if (counts.failed === failedBefore) counts.failed += 1;
    break;
  }
}
summary();
process.exit(failure ? 1 : 0);

async function step(name, work) {
  say(`\n${bold(`▶ ${name}`)}`);
  const from = performance.now();
  const result = await work();
  done.push([name, performance.now() - from, typeof result === 'number' && result !== 0]);
  return result;
}

/** Adds up what the runners themselves say. */
function count(line) {
  const add = (passed, failed, ignored = 0) => {
    counts.passed += Number(passed);
    counts.failed += Number(failed);
    counts.ignored += Number(ignored);
  };
  // cargo: "test result: ok. 12 passed; 0 failed; 0 ignored; …"
  let found = /^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored/.exec(line);
  if (found) return add(found[1], found[2], found[3]);
  // vitest: "      Tests  1 failed | 11 passed | 2 skipped (14)"
  found = /^\s*Tests\s+(.*)\(\d+\)\s*$/.exec(line);
  if (found) {
    const part = (word) => new RegExp(`(\\d+) ${word}`).exec(found[1])?.[1] ?? 0;
    return add(part('passed'), part('failed'), Number(part('skipped')) + Number(part('todo')));
  }
  // node --test: "# pass 5" (tap) or "ℹ pass 5" (spec)
  found = /^[#ℹ] (pass|fail|skipped|todo) (\d+)$/.exec(line);
  if (found?.[1] === 'pass') add(found[2], 0);
  else if (found?.[1] === 'fail') add(0, found[2]);
  else if (found) add(0, 0, found[2]);
}

function summary() {
  say(`\n${bold('Steps')}`);
  for (const [name, took, bad] of done) {
    say(`  ${bad ? '✗' : '✓'} ${name.padEnd(14)} ${span(took)}`);
  }
  say(
    `  ${failure ? `stopped at “${failure}”` : 'everything ran'}; ${span(performance.now() - began)} in all`,
  );
  if (failure) say(`  its output: ${join(logs, `${failure.replace(/\W+/g, '-')}.log`)}`);
  const words = [...lacking, ...readFileSync(lackingFile, 'utf8').split('\n')].filter(Boolean);
  if (counts.ignored > 0) words.push(`${counts.ignored} tests were marked as ignored or skipped`);
  if (!checkOnly) {
    say(bold('\nWhat this machine lacks'));
    if (failure) say('  (the run stopped early: there may be more)');
    else if (words.length === 0) say('  nothing: no test was left out');
    for (const word of [...new Set(words)]) say(`  ${word}`);
    say(`\n${counts.passed} passed, ${counts.failed} failed`);
  }
}
