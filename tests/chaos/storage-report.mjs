// Trials in, the table of storage faults out. Knows nothing of how faults are made.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { machine, quantile } from '../bench/figures.mjs';
import { root } from '../web/stage/programs.mjs';

const ARTS = ['announced', 'resumed', 'lost', 'still', 'dropped'];
const round = (value) => Number(value.toFixed(value >= 10 ? 1 : 2));

function summary(values) {
  if (values.length === 0) return null;
  const of = (p) => round(quantile(values, p));
  return { n: values.length, p50: of(0.5), p95: of(0.95), max: round(Math.max(...values)) };
}

/** What one fault came to, and where it missed its goals: each is for the worst of all trials. */
export function judge({ id, title, goals }, done) {
  const figures = Object.fromEntries(
    ARTS.map((art) => [art, summary(done.map((run) => run[art]).filter(Number.isFinite))]),
  );
  const misses = [];
  for (const [art, goal] of Object.entries(goals)) {
    const seen = figures[art];
    if ((seen?.n ?? 0) < done.length)
      misses.push(`${art}: ${done.length - (seen?.n ?? 0)} times not at all`);
    if (seen && seen.max > goal) misses.push(`${art} ${seen.max} s (goal ${goal})`);
  }
  const sum = (art) => done.reduce((total, run) => total + (run[art] ?? 0), 0);
  if (sum('closed') > 0) misses.push(`${sum('closed')} viewers lost their socket`);
  if (sum('decoded') < sum('files'))
    misses.push(`${sum('files') - sum('decoded')} files do not decode`);
  misses.push(...new Set(done.flatMap((run) => run.misses)));
  const { load_before: load } = machine();
  return {
    id,
    title,
    runs: done.length,
    ...figures,
    files: sum('files'),
    decoded: sum('decoded'),
    goals,
    misses,
    date: new Date().toISOString(),
    load,
  };
}

const folder = join(root, 'bench');
const profile = process.env.NIGHTJAR_PROFILE || 'debug';

/** Puts the row where its older one was, and writes the table. */
export function keep(row) {
  const place = join(folder, 'storage.json');
  const report = existsSync(place) ? JSON.parse(readFileSync(place, 'utf8')) : { faults: [] };
  const at = report.faults.findIndex(({ id }) => id === row.id);
  if (at < 0) report.faults.push(row);
  else report.faults[at] = row;
  const { commit: _, ...about } = machine();
  report.machine = about;
  report.profile = profile;
  mkdirSync(folder, { recursive: true });
  writeFileSync(place, `${JSON.stringify(report, null, 2)}\n`);
  writeFileSync(join(folder, 'STORAGE.md'), markdown(report));
}

const pair = (figure) => (figure ? `${figure.p50} / ${figure.p95} / ${figure.max}` : '–');

export function markdown({ machine: m, profile: kind, faults }) {
  const lines = [
    '# Faults of the storage',
    '',
    `By \`npm run chaos -- --storage\`, ${kind} build. Machine: ${m.cpu}, ${m.memory_gib} GiB, ${m.kernel}; ${m.rustc}. Server, cameras, viewers and ffmpeg run on this one machine; other programs were running, too (load average in the last column).`,
    '',
    'A server records four cameras in files of five seconds to a file system of its own, to which the fault is done; some such houses side by side. Everybody’s pictures are watched by MSE meanwhile, and the states by `/api/v1/events`. Seconds: median / 95th percentile (nearest rank) / maximum, judged by the maximum.',
    '**Announced** counts from the fault to the moment when the last of the cameras says so, **resumed** from the end of the repair of the storage until all cameras are said to be recorded and bytes of all of them are in files. **Lost** is what was filmed before the fault and is in no file: from the end of the last picture to the fault. **Still** is the longest time in which any viewer of any camera got nothing, from before the fault until recording went on. **Decode** are files that ffmpeg decodes from end to end without a word (for the sudden ends: as they were left, and again when the next start has made them whole).',
    'In each trial of the first seven it is also checked that nothing was written below an empty mount point, that every file is complete in the end, and, for the frozen and the slow disk, that not one frame was dropped.',
    '',
    '| fault | runs | announced | resumed | lost | still | decode | goals | measured on | load |',
    '|---|---|---|---|---|---|---|---|---|---|',
  ];
  for (const row of faults) {
    const goals = row.misses.length === 0 ? 'met' : `**${row.misses.join('; ').split('\n')[0]}**`;
    lines.push(
      `| ${row.title} | ${row.runs} | ${pair(row.announced)} | ${pair(row.resumed)} | ${pair(row.lost)} | ${pair(row.still)} | ${row.decoded} of ${row.files} | ${goals} | ${row.date.slice(0, 16)}Z | ${row.load} |`,
    );
  }
  lines.push(
    '',
    '- Goals: announced ≤ 3 s, resumed ≤ 7 s, still ≤ 0.5 s and no viewer cut off; lost ≤ 2 s after a power cut.',
    '- A file system that has files open for writing cannot be remounted read-only by a person (the kernel answers EBUSY); it becomes so by an error of its own, which is what is done here.',
    '- Power cut: the program is stopped (SIGSTOP) while the image is copied, so that the copy is of one moment. The copy has all that reached the loop device; a drive that lies about its cache is not imitated.',
    '- Directories made immutable: the files that are being written go on, so that nothing is lost before they are full; it is announced all the same.',
  );
  return `${lines.join('\n')}\n`;
}
