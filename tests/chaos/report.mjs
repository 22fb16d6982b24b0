// Runs in, the recovery table out. Knows nothing of how faults are made.

import { machine, quantile } from '../bench/figures.mjs';

const ARTS = ['noticed', 'decided', 'told', 'back', 'picture', 'recorded', 'lost', 'lostBeyond'];
/** A screen that has a picture to show moves within this, seconds. */
const SCREEN_LIMIT = 1;
const round = (value) => Number(value.toFixed(value >= 10 ? 1 : 2));

function summary(values) {
  if (values.length === 0) return null;
  const of = (p) => round(quantile(values, p));
  return { n: values.length, p50: of(0.5), p95: of(0.95), max: round(Math.max(...values)) };
}

/** What one fault came to, and where it missed its goals. */
export function judge(fault, { runs, bystanders, alerts = 0 }) {
  const figures = Object.fromEntries(
    ARTS.map((art) => [art, summary(runs.map((run) => run[art]).filter((value) => value != null))]),
  );
  const misses = [];
  for (const [art, goal] of Object.entries(fault.goals)) {
    if (art === 'alerts') {
      if (alerts > goal) misses.push(`${alerts} alerts`);
      continue;
    }
    if (art === 'reconnects') {
      const most = Math.max(...runs.map((run) => run.reconnects));
      if (most > goal) misses.push(`${most} reconnects`);
      continue;
    }
    if (!figures[art]) {
      misses.push(`${art}: never`);
      continue;
    }
    if (figures[art].n < runs.length)
      misses.push(`${art}: ${runs.length - figures[art].n} times never`);
    for (const [p, limit] of Object.entries(goal)) {
      const [least, most] = Array.isArray(limit) ? limit : [0, limit];
      const value = figures[art][p];
      if (value > most || value < least)
        misses.push(`${art} ${p} ${value} s (goal ${[limit].flat().join('–')})`);
    }
  }
  const away = runs.filter((run) => !run.isBack).length;
  if (away > 0) misses.push(`${away} not back`);
  if ((fault.warning || fault.cause) && (figures.told?.n ?? 0) < runs.length) {
    misses.push(
      `“${fault.warning ?? fault.cause}” told by ${figures.told?.n ?? 0} of ${runs.length}`,
    );
  }
  const closed = runs.reduce((sum, run) => sum + run.viewerClosed, 0);
  if (closed > 0) misses.push(`${closed} viewers lost their socket`);
  const screens = runs.map((run) => run.screen).filter((screen) => screen != null);
  const screen = summary(screens.map((one) => one.behind).filter((value) => value !== null));
  const still = screens.filter((one) => one.moves === null).length;
  if (still > 0) misses.push(`${still} screens stood still`);
  if (screen && screen.max > SCREEN_LIMIT) misses.push(`screen ${screen.max} s after the picture`);
  const redials = screens.reduce((sum, one) => sum + one.redials, 0);
  // Who is stopped keeps no connection, and other tracks want another one.
  if (redials > 0 && !fault.stops && !fault.retracks)
    misses.push(`screens dialled ${redials} times`);
  const silent = runs.filter(
    (run) => run.recorded === null && run.back !== null && run.picture !== null,
  );
  if (!fault.clock && silent.length > 0) misses.push(`${silent.length} not recorded again`);
  const disturbed = bystanders.filter((one) => one.changes > 0 || one.closed > 0);
  if (disturbed.length > 0) misses.push(`seen at ${disturbed.map((one) => one.camera).join(', ')}`);
  const stillness = bystanders.length ? Math.max(...bystanders.map((one) => one.longestGap)) : null;
  const reconnects = summary(runs.map((run) => run.reconnects));
  return {
    id: fault.id,
    title: fault.title,
    runs: runs.length,
    ...figures,
    reconnects,
    screen,
    screenRedials: redials,
    viewersClosed: closed,
    alerts,
    bystanders: bystanders.length,
    bystandersLongestGap: stillness === null ? null : round(stillness),
    misses,
  };
}

export function head(options) {
  return { date: new Date().toISOString(), ...options, machine: machine() };
}

const pair = (figure) => (figure ? `${figure.p50} / ${figure.p95}` : '–');

export function markdown(report) {
  const { machine: m } = report;
  const lines = [
    '# Recovery',
    '',
    `By \`npm run chaos${report.arguments}\` on ${report.date}, ${report.profile} build of ${m.commit}.`,
    '',
    `Machine: ${m.cpu}, ${m.memory_gib} GiB, ${m.kernel}; ${m.rustc}. Server, cameras and viewers run on this one machine, the cameras in network namespaces behind a bridge. Load average before: ${m.load_before}; after: ${report.load_after}.`,
    '',
    'Each fault is done to several cameras of one server at once, a little apart; one camera is one run. Seconds, median / 95th percentile (nearest rank), seen from outside by `/api/v1/events`:',
    '**noticed** and **decided** count from the fault to `stalled` (or worse) and to `reconnecting` (or `refused`); **back** from the moment the camera can answer again to `live`; **picture** from there to the first fragment at a viewer by MSE; **recorded** from the repair to the first picture that is in a file again. **Lost** are frames the camera would have sent and the server never got, in all and beyond those of the outage itself. **Viewers** is how many lost their connection, **others** whether cameras that nobody touched showed anything.',
    '',
    '| fault | runs | noticed | decided | back | picture | recorded | on the screen | lost | beyond | reconnects | viewers | others | goals |',
    '|---|---|---|---|---|---|---|---|---|---|---|---|---|---|',
  ];
  for (const row of report.faults) {
    const told = row.told ? ` (told after ${pair(row.told)})` : '';
    const others = row.bystanders > 0 ? `none, longest gap ${row.bystandersLongestGap}` : '–';
    const disturbed = row.misses.some((miss) => miss.startsWith('seen at'));
    lines.push(
      `| ${row.title}${told} | ${row.runs} | ${pair(row.noticed)} | ${pair(row.decided)} | ${pair(row.back)} | ${pair(row.picture)} | ${pair(row.recorded)} | ${row.screen ? `${row.screen.p50} / ${row.screen.max}, ${row.screenRedials} redials` : '–'} | ${pair(row.lost)} | ${pair(row.lostBeyond)} | ${pair(row.reconnects)} | ${row.viewersClosed} | ${disturbed ? '**disturbed**' : others} | ${row.misses.length === 0 ? 'met' : `**${row.misses.join('; ')}**`} |`,
    );
  }
  if (report.remarks?.length) lines.push('', ...report.remarks.map((remark) => `- ${remark}`));
  return `${lines.join('\n')}\n`;
}
