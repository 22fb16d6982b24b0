// npm run bench [-- --quick] [-- --only live,fanout,ingest,recording,cycles,catalogue,phones,crowd,faults,sync] [-- --built]
//
// Builds the programs for release, measures them as processes, and writes bench/REPORT.md and
// bench/report.json. `--quick` takes a few minutes and writes to bench/out/ instead, so that the
// figures of a full run are never replaced by few. With `--only` the sections of the other parts stay as
// they were. `--built` takes the programs as they are. `crowd`, `faults` and `sync` are taken when they are asked
// for: `faults` is what happens to phones (phone-faults.mjs), and writes bench/PHONES.md and bench/phones.json;
// `sync` records for an hour (`--minutes 60`), and writes bench/SYNC.md and bench/sync.json.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { die, root, run, say, span } from '../../scripts/machine.mjs';

const args = process.argv.slice(2);
const quick = args.includes('--quick');
const only = args.includes('--only') ? args[args.indexOf('--only') + 1].split(',') : null;
if (process.platform !== 'linux') die('The figures are taken from /proc: this needs Linux.');

process.env.NIGHTJAR_PROFILE ||= 'release';
if (!args.includes('--built')) {
  const build = ['build', '--release', '--bins', '--features', 'nightjar-tests/bench'];
  const code = await run('cargo', build);
  if (code !== 0) die('The release build failed.', code);
}

const { launch } = await import('../web/stage/browser.mjs');
const { missing } = await import('../web/stage/programs.mjs');
const { machine, markdown } = await import('./figures.mjs');
const [lacking] = missing();
if (lacking) die(lacking);
const parts = {
  live: (await import('./live.mjs')).live,
  fanout: (await import('./fanout.mjs')).fanout,
  ingest: (await import('./ingest.mjs')).ingest,
  recording: (await import('./recording.mjs')).recording,
  cycles: (await import('./cycles.mjs')).cycles,
  catalogue: (await import('./catalogue.mjs')).catalogue,
  phones: (await import('./phones.mjs')).phones,
  crowd: (await import('./crowd.mjs')).crowd,
  faults: (await import('./faults.mjs')).faults,
  sync: (await import('./sync.mjs')).sync,
};
/** These are taken when they are asked for. */
const APART = ['crowd', 'faults', 'sync'];

const out = join(root, 'bench', ...(quick ? ['out'] : []));
const place = join(out, 'report.json');
const before = only && existsSync(place) ? JSON.parse(readFileSync(place, 'utf8')).sections : [];
const report = { date: new Date().toISOString(), quick, machine: machine(), sections: [] };
const browser = await launch();
report.browser = `Chromium ${browser.version()}`;
for (const [name, part] of Object.entries(parts)) {
  if (only ? !only.includes(name) : APART.includes(name)) {
    report.sections.push(...before.filter((section) => section.part === name));
    continue;
  }
  say(`▶ ${name}`);
  const from = performance.now();
  const { commit, load_before: load } = machine();
  const sections = await part({ browser, quick });
  const [date, after] = [new Date().toISOString(), machine().load_before];
  const by = { part: name, date, commit, load: [load, after] };
  report.sections.push(...sections.map((section) => ({ ...section, ...by })));
  for (const { figures } of sections) {
    for (const row of figures) {
      const goal = row.goal === null ? '' : `  (goal ${row.goal}: ${row.met ? 'met' : 'NOT met'})`;
      say(`  ${row.name}: p50 ${row.p50}, p95 ${row.p95} ${row.unit}${goal}`);
    }
  }
  say(`  ${span(performance.now() - from)}`);
}
await browser.close();
report.load_after = Number(readFileSync('/proc/loadavg', 'utf8').split(' ')[0]);

mkdirSync(out, { recursive: true });
writeFileSync(place, `${JSON.stringify(report, null, 2)}\n`);
writeFileSync(join(out, 'REPORT.md'), markdown(report));
say(`written: ${join(out, 'REPORT.md')}`);
