// The runs of phone-faults.mjs in, a table out. Knows nothing of how faults are made.

import { quantile } from './figures.mjs';

const round = (value) => Number(value.toFixed(value >= 10 ? 1 : 2));

function summary(values) {
  if (values.length === 0) return null;
  const of = (p) => round(quantile(values, p));
  return { n: values.length, p50: of(0.5), p95: of(0.95), max: round(Math.max(...values)) };
}

/** Pictures come back in this time after the path did, s. */
const BACK = 3;
/** What is not to be seen leaves no hole longer than this, s. */
const UNSEEN = 2;

/** What one fault came to, and where it missed its goals. */
export function judged(fault, runs) {
  const of = (art) => summary(runs.map((run) => run[art]).filter((value) => value !== null));
  const [noticed, back, hole] = [of('noticed'), of('back'), of('hole')];
  const misses = [];
  const goal = fault.goal?.p50 ?? BACK;
  if (fault.unseen) {
    if (hole.p50 > UNSEEN) misses.push(`hole p50 ${hole.p50} s (goal ${UNSEEN})`);
  } else {
    const never = runs.length - (back?.n ?? 0);
    if (never > 0) misses.push(`${never} not back`);
    if (back && back.p50 > goal) misses.push(`back p50 ${back.p50} s (goal ${goal})`);
  }
  const rungs = {};
  for (const { rung } of runs) rungs[rung] = (rungs[rung] ?? 0) + 1;
  return {
    id: fault.id,
    title: fault.title,
    unseen: fault.unseen ?? false,
    goal: fault.unseen ? UNSEEN : goal,
    runs: runs.length,
    noticed,
    // Where nothing at all was heard of the cameras, nobody listened.
    heard: runs.some(({ states }) => states.length > 0),
    back,
    hole,
    rungs,
    misses,
    details: runs,
  };
}

const pair = (figure) => (figure ? `${figure.p50} / ${figure.p95}` : '–');

export function faultsMarkdown(report) {
  const { machine: m } = report;
  const lines = [
    '# Phones',
    '',
    `By \`npm run bench -- --only faults\` on ${report.date}, ${report.profile} build of ${m.commit}.`,
    '',
    `Machine: ${m.cpu}, ${m.memory_gib} GiB, ${m.kernel}; ${m.rustc}. ${report.phones} phones (Chromium with a made-up camera, each in a network namespace of its own behind a bridge), the server and the wall (another Chromium) run on this one machine. Load average before: ${m.load_before}; after: ${report.load_after}.`,
    '',
    `Each fault is done to ${report.phones} phones at once; one phone is one run. Seconds, median / 95th percentile (nearest rank): **noticed** from the fault to the first word of \`/api/v1/events\` that the camera is not live (– where nobody had to know); **pictures** from the moment the phone could film and send again to the first new picture on the wall, in the viewer that was there before; **away** is the time without them, the fault's own duration included (for what should not be seen, the longest hole between two pictures). Nobody touches anything.`,
    '',
    '| fault | runs | noticed | pictures | away | healed by | goal |',
    '|---|---|---|---|---|---|---|',
  ];
  for (const row of report.rows) {
    const rungs = Object.entries(row.rungs).map(([rung, n]) => `${n} × ${rung}`);
    const noticed = row.noticed || row.heard ? pair(row.noticed) : 'not watched';
    const goal = row.unseen ? `hole ≤ ${row.goal}` : `≤ ${row.goal}`;
    const verdict = row.misses.length === 0 ? 'met' : `**${row.misses.join('; ')}**`;
    lines.push(
      `| ${row.title} | ${row.runs} | ${noticed} | ${row.unseen ? '–' : pair(row.back)} | ${pair(row.hole)} | ${rungs.join(', ')} | ${goal}: ${verdict} |`,
    );
  }
  const runs = new Map(report.rows.map(({ by }) => [by?.date, by]));
  for (const { date, profile, phones, commit, load } of runs.size > 1 ? runs.values() : []) {
    const titles = report.rows.filter(({ by }) => by.date === date).map(({ title }) => title);
    lines.push(
      '',
      `Measured on ${date}, ${profile} build of ${commit}, ${phones} phones, load average ${load}: ${titles.join('; ')}.`,
    );
  }
  for (const { title, method, figures, remarks } of report.crowds ?? []) {
    lines.push('', `## ${title}`, '', method, '', '| | unit | goal | p50 | p95 | n | met |');
    lines.push('|---|---|---|---|---|---|---|');
    for (const { name, unit, goal, p50, p95, n, met } of figures) {
      const verdict = met === null ? '–' : met ? 'yes' : '**no**';
      const most = goal === null ? '–' : `≤ ${goal}`;
      lines.push(`| ${name} | ${unit} | ${most} | ${p50} | ${p95} | ${n} | ${verdict} |`);
    }
    lines.push('', ...remarks.map((remark) => `- ${remark}`));
  }
  return `${lines.join('\n')}\n`;
}
