// Random faults on many cameras for a long time: nothing may pile up, and all must be live at the end.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { slope } from '../bench/figures.mjs';
import { openFiles, rssKib } from '../bench/load.mjs';
import { root } from '../web/stage/programs.mjs';
import { faults } from './faults.mjs';
import { now, pause } from './network.mjs';

/** Between two faults of one camera, at most. */
const CALM = 40_000;
/** Between two looks at the process. */
const LOOK = 10_000;
/** At the end, every camera must be back in this time: the longest wait between two attempts, and more. */
const PATIENCE = 120_000;
/** What memory may grow in a minute of faults at the end, MiB: a session that stays has its pictures with it. */
const GROWTH = 0.5;
/** Left out: what takes minutes each, and what is no fault of one camera. */
const LONG = ['dropped-60', 'no-key-frame'];

export async function soak(house, { minutes, random, say, end }) {
  const { server, witness, cameras } = house;
  const until = now() + minutes * 60_000;
  const choice = faults.filter((fault) => !fault.all && !LONG.includes(fault.id));
  const counts = {};
  const life = async (camera) => {
    for (;;) {
      await pause(5_000 + random() * CALM);
      if (now() > until) return;
      const fault = choice[Math.floor(random() * choice.length)];
      counts[fault.id] = (counts[fault.id] ?? 0) + 1;
      const bitrate = witness.latest(camera.id)?.camera.stats.bitrate || 800_000;
      await fault.strike(camera, bitrate, server);
      await pause(fault.hold);
      await fault.mend(camera, bitrate, server);
    }
  };
  const looks = [];
  const watch = async () => {
    const from = now();
    while (now() < until && server.ended === undefined) {
      const minute = (now() - from) / 60_000;
      const live = cameras.filter((camera) => witness.latest(camera.id)?.name === 'live').length;
      looks.push({ minute, rss: rssKib(server.pid) / 1024, files: openFiles(server.pid), live });
      if (looks.length % 30 === 0) say(JSON.stringify(looks.at(-1)));
      await pause(LOOK);
    }
  };
  await Promise.all([watch(), ...cameras.map(life)]);
  const ids = cameras.map((camera) => camera.id);
  const misses = [];
  await witness.live(ids, PATIENCE).catch((error) => misses.push(error.message));
  await pause(5_000);
  looks.push({
    minute: minutes + 1,
    rss: rssKib(server.pid) / 1024,
    files: openFiles(server.pid),
    live: ids.length,
  });
  // The first third is warming up.
  const late = looks.filter((look) => look.minute > minutes / 3);
  const rate = (of) => slope(of.map((look) => [look.minute, look.rss]));
  const growth = rate(late);
  // What fills up to a bound (the log that is kept, alerts) has done so by now.
  const settled = rate(looks.filter((look) => look.minute > (2 * minutes) / 3));
  const report = {
    minutes,
    faults: counts,
    total: Object.values(counts).reduce((sum, n) => sum + n, 0),
    rss_mib: {
      first: looks[0].rss,
      last: looks.at(-1).rss,
      growth_per_minute: growth,
      growth_in_last_third: settled,
    },
    files: {
      first: looks[0].files,
      most: Math.max(...looks.map((l) => l.files)),
      last: looks.at(-1).files,
    },
    eventsMissing: witness.missing,
    looks,
  };
  const code = await end(house);
  if (code !== 0) misses.push(`the server ended with ${code}`);
  if (report.files.last > report.files.first + 16) misses.push('descriptors grew');
  if (settled > GROWTH) misses.push(`memory grew by ${settled.toFixed(2)} MiB a minute`);
  if (report.eventsMissing > 0) misses.push(`${report.eventsMissing} events were missing`);
  report.misses = misses;
  const out = join(root, 'bench', 'out');
  mkdirSync(out, { recursive: true });
  writeFileSync(join(out, 'soak.json'), `${JSON.stringify(report, null, 2)}\n`);
  say(JSON.stringify({ ...report, looks: undefined }, null, 2));
  return misses.length === 0 ? 0 : 1;
}
