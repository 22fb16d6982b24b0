// Figures: many values in, one row of the report out. Knows nothing of what was measured.

import { cpus, totalmem } from 'node:os';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** The value below which the share `p` of all lies (nearest rank). */
export function quantile(values, p) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * p) - 1)];
}

/**
 * One row. `goal` is the most that the figure may be, judged on the median (or what `judge` names);
 * null where there is none.
 */
export function figure({ id, name, unit, values, goal = null, judge = 'p50', note = '' }) {
  if (values.length === 0) throw new Error(`nothing was measured: ${name}`);
  const [p50, p95] = [quantile(values, 0.5), quantile(values, 0.95)];
  const row = { p50, p95, min: Math.min(...values), max: Math.max(...values) };
  const rounded = Object.fromEntries(Object.entries(row).map(([key, v]) => [key, round(v)]));
  const met = goal === null ? null : rounded[judge] <= goal;
  return { id, name, unit, goal, judge, met, n: values.length, ...rounded, note };
}

function round(value) {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return Number(value.toFixed(digits));
}

/** How much the values rise per step, by least squares. */
export function slope(points) {
  const mean = (pick) => points.reduce((sum, point) => sum + pick(point), 0) / points.length;
  const [x0, y0] = [mean(([x]) => x), mean(([, y]) => y)];
  const over = points.reduce((sum, [x, y]) => sum + (x - x0) * (y - y0), 0);
  return over / points.reduce((sum, [x]) => sum + (x - x0) ** 2, 0);
}

export function machine() {
  const ask = (program, ...args) => {
    try {
      return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
        .trim()
        .split('\n')[0];
    } catch {
      return 'unknown';
    }
  };
  const [first] = cpus();
  return {
    cpu: `${cpus().length} × ${first?.model ?? 'unknown'}`,
    memory_gib: Math.round(totalmem() / 2 ** 30),
    kernel: ask('uname', '-sr'),
    rustc: ask('rustc', '--version'),
    node: process.version,
    commit: ask('git', 'describe', '--always', '--exclude=*', '--abbrev=12', '--dirty'),
    load_before: Number(readFileSync('/proc/loadavg', 'utf8').split(' ')[0]),
  };
}

const verdict = { true: 'yes', false: '**no**', null: '–' };

export function markdown(report) {
  const { machine: m } = report;
  const lines = [
    '# Measured',
    '',
    `By \`npm run bench${report.quick ? ' -- --quick' : ''}\`, release builds; the last time on ${report.date}, of ${m.commit}. Each section says when it was measured.`,
    '',
    `Machine: ${m.cpu}, ${m.memory_gib} GiB, ${m.kernel}; ${m.rustc}; Node ${m.node}; ${report.browser}.`,
    `Everything (cameras, server, viewers, browser without a GPU) runs on this one machine over loopback.`,
    '',
    'The goal is the most a figure may be; it is judged on the median unless the row says otherwise. p95 is the nearest rank.',
  ];
  for (const section of report.sections) {
    const { date, commit, load } = section;
    const when = date ? ` Measured on ${date}, ${commit}; load average ${load.join(' → ')}.` : '';
    lines.push('', `## ${section.title}`, '', `${section.method}${when}`, '');
    lines.push('| | unit | goal | p50 | p95 | min | max | n | met |');
    lines.push('|---|---|---|---|---|---|---|---|---|');
    for (const row of section.figures) {
      const goal =
        row.goal === null ? '–' : `${row.judge === 'p50' ? '' : `${row.judge} `}≤ ${row.goal}`;
      const name = row.note ? `${row.name} (${row.note})` : row.name;
      lines.push(
        `| ${name} | ${row.unit} | ${goal} | ${row.p50} | ${row.p95} | ${row.min} | ${row.max} | ${row.n} | ${verdict[row.met]} |`,
      );
    }
    if (section.remarks?.length) lines.push('', ...section.remarks.map((remark) => `- ${remark}`));
  }
  return `${lines.join('\n')}\n`;
}
