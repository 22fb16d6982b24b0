// One fault done to several cameras at the same time, and what came of it at each.

import { now, pause } from './network.mjs';

/** After the repair a camera must be live again in this time, or the run counts as “not back”. */
const PATIENCE = 100_000;
/** A picture waits for the next key frame; a screen and a file have this long. */
const SCREEN_PATIENCE = 15_000;
const RECORDER_PATIENCE = 15_000;
/** Live for this long without another word is live. */
const QUIET = 3_000;
/** Faults strike cameras apart, so that they meet different phases of checks and keep-alives. */
const SPREAD = 1_700;

/** Frames that the server counts for a camera, exactly now. */
async function frames(server, id) {
  const { stats } = await server.api('GET', `/cameras/${id}`);
  return { at: now(), count: stats.frames, bitrate: stats.bitrate };
}

/** Strikes one camera, mends it, waits until it is well; gives the figures of the run. */
async function one(fault, target, camera, { server, witness, screens }, delay) {
  await pause(delay);
  const { id } = camera;
  const screen = screens?.get(id) ?? null;
  const mark = await screen?.mark();
  const before = await frames(server, id).catch(() => null);
  await fault.ready?.();
  const from = now();
  const struck = await fault.strike(target, before?.bitrate ?? 0, server);
  await pause(fault.hold);
  const mended = await fault.mend(target, before?.bitrate ?? 0, server);
  // Who is stopped cannot notice anything.
  const since = fault.stops ? mended : typeof struck === 'number' ? struck : from;
  const wall = (at) => Date.now() - (now() - at);
  const well = await settled(witness, id, mended);
  await pause(1_000);
  const after = await frames(server, id);
  const changes = witness.changes(id, from);
  const first = (names) => changes.find((entry) => names.includes(entry.name));
  const noticed = first(['stalled', 'reconnecting', 'refused', 'failed']);
  const decided = first(['reconnecting', 'refused', 'failed']);
  const viewer = witness.viewers.get(id);
  const seconds = (entry) => (entry ? Math.max(0, (entry.at - since) / 1000) : null);
  const lost = before
    ? (camera.fps * (after.at - before.at)) / 1000 - (after.count - before.count)
    : null;
  if (screen) await moving(screen, mark, mended, viewer);
  const seen = await screen?.since(mark, mended);
  const told = fault.warning
    ? witness.first(id, from, (entry) => entry.warnings.includes(fault.warning))
    : fault.cause
      ? witness.first(id, from, (entry) => entry.cause?.code === fault.cause)
      : null;
  const picture = viewer?.after(mended) ?? null;
  return {
    camera: id,
    make: camera.make,
    noticed: seconds(noticed),
    decided: seconds(decided),
    told: seconds(told),
    back: decided ? (well ? Math.max(0, (well - mended) / 1000) : null) : null,
    isBack: well !== null,
    picture: picture === null ? null : (picture - mended) / 1000,
    reconnects: changes.filter((entry) => ['reconnecting', 'refused'].includes(entry.name)).length,
    lost: lost === null ? null : Math.max(0, Math.round(lost)),
    lostBeyond:
      lost === null ? null : Math.max(0, Math.round(lost - (camera.fps * (mended - from)) / 1000)),
    viewerClosed: viewer?.closedSince(from) ?? 0,
    screen: seen && {
      transport: seen.transport,
      redials: seen.redials + (seen.reloaded ? 1 : 0),
      moves: seen.moves === null ? null : Math.max(0, (seen.moves - mended) / 1000),
      // From the first fragment after the repair, which is the first picture there was to show.
      behind:
        seen.moves === null || picture === null ? null : Math.max(0, (seen.moves - picture) / 1000),
    },
    recorded: fault.clock || !decided ? null : await recorded(server, id, wall(from), wall(mended)),
    states: witness.story(id, from),
  };
}

/** Waits until a screen moves again, or for as long as it may take. */
async function moving(screen, mark, mended, viewer) {
  const end = now() + SCREEN_PATIENCE;
  while (now() < end) {
    if (viewer?.after(mended) && (await screen.since(mark, mended)).moves !== null) return;
    await pause(200);
  }
}

/** Seconds from the repair of a camera that was lost to the first picture that is in a file again. */
async function recorded(server, id, struckAt, mendedAt) {
  const end = now() + RECORDER_PATIENCE;
  while (now() < end) {
    const from = new Date(mendedAt - 300_000).toISOString();
    const { segments } = await server.api('GET', `/recordings?camera=${id}&from=${from}`);
    const last = segments.at(-1);
    // The file after the fault, once something of it is on the disk; the one before it ended with the loss.
    const start = last && last.bytes > 0 ? Date.parse(last.start) : 0;
    if (start > struckAt) return Math.max(0, (start - mendedAt) / 1000);
    await pause(250);
  }
  return null;
}

/** Since when the camera is live for good after a moment; null when it does not come back in time. */
async function settled(witness, id, mended) {
  const end = now() + PATIENCE;
  while (now() < end) {
    const states = witness.states.get(id) ?? [];
    if (states.at(-1)?.name === 'live') {
      const [since] = witness.changes(id, 0).slice(-1);
      const at = Math.max(since.at, mended);
      if (now() - at > QUIET) return at;
    }
    await pause(20);
  }
  return null;
}

/** All runs of one fault in one pass; `rest` are cameras that nobody touches. */
export async function trial(fault, cameras, rest, house, random) {
  const from = now();
  const struck = fault.all ? cameras.concat(rest) : cameras;
  let runs;
  if (fault.all) {
    // Done once, seen by every camera.
    const once = shared(fault, house.server, struck.length);
    runs = await Promise.all(struck.map((camera) => one(once, house.server, camera, house, 0)));
  } else {
    runs = await Promise.all(
      struck.map((camera) => one(fault, camera, camera, house, random() * SPREAD)),
    );
  }
  const untouched = fault.all ? [] : rest;
  const bystanders = untouched.map((camera) => ({
    camera: camera.id,
    changes: house.witness.changes(camera.id, from).length,
    closed: house.witness.viewers.get(camera.id).closedSince(from),
    longestGap: house.witness.viewers.get(camera.id).longestGap(from, now()) / 1000,
  }));
  const alerts = house.witness.alerts.filter(
    ({ at, alert }) => at > from && alert.until === undefined,
  );
  return { runs, bystanders, alerts: new Set(alerts.map(({ alert }) => alert.id)).size };
}

/** The same fault for callers that come together: when all are ready it is done once, all get its outcome. */
function shared(fault, server, callers) {
  let strike = null;
  let mend = null;
  let here = 0;
  let go;
  const all = new Promise((resolve) => {
    go = resolve;
  });
  return {
    ...fault,
    ready: () => {
      here += 1;
      if (here === callers) go();
      return all;
    },
    strike: () => {
      strike ??= Promise.resolve(fault.strike(server));
      return strike;
    },
    mend: () => {
      mend ??= Promise.resolve(fault.mend(server));
      return mend;
    },
  };
}
