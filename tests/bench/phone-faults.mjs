// What happens to phones, done to several at once, and how long until the wall shows pictures again.
// Inside the namespaces that run.mjs made: each phone is a Chromium in a network of its own.
//
//   --runs N        of each fault (10)
//   --phones N      struck at a time (5)
//   --only a,b      these faults; the rows of the others stay as they were
//   --crowd         and what crowds of them cost (crowd.mjs)
//   --hops          says what went over the network when, for whoever looks where the time goes
//   --out FOLDER    where the report goes

import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium as driver } from 'playwright-core';
import { build, pause, Wire } from '../chaos/network.mjs';
import { FLAGS, launch, Wall } from '../web/stage/browser.mjs';
import { Phone } from '../web/stage/phone.mjs';
import { chromium, startServer } from '../web/stage/programs.mjs';
import { crowd } from './crowd.mjs';
import { machine } from './figures.mjs';
import { faultsMarkdown, judged } from './phone-report.mjs';

const args = process.argv.slice(2);
const value = (name, otherwise) => {
  const at = args.indexOf(`--${name}`);
  return at < 0 ? otherwise : (args[at + 1] ?? otherwise);
};
const say = (text) => process.stdout.write(`${text}\n`);
const DOOR = '10.77.0.1:8443';
const CONFIG = `[signaling]\nlegacy_join = true\nlisten = "${DOOR}"\n[recording]\nenabled = false\n`;
/** No picture for this long after the repair is “not back”, ms. */
const PATIENCE_MS = 60_000;
/** A hole between two pictures that is none of trouble's, ms. */
const HOLE_MS = 400;
/** Pictures flow for this long before the next fault, ms: the phone's own waits begin anew. */
const REST_MS = 6_000;
/** A network that was just made is at rest after this, ms. */
const SETTLE_MS = 4_000;
const anything = { expected: [/./] };
const showHops = args.includes('--hops');
/** What went over the network, of whom and when. */
const hops = [];

/** Notes sockets, what is said on those for signaling, and requests of a page. */
function follow(page, who) {
  if (!showHops) return;
  const note = (what) => hops.push({ at: Date.now(), who, what });
  page.on('websocket', (socket) => {
    const path = new URL(socket.url()).pathname;
    note(`${path} dialled`);
    socket.on('close', () => note(`${path} closed`));
    socket.on('socketerror', () => note(`${path} refused`));
    let heard = 0;
    const say = (way, { payload }) => {
      heard += 1;
      const type = path === '/signal' ? /"type":"(\w+)"/.exec(String(payload))?.[1] : null;
      if (type ? !/stats|status|p[io]ng/.test(type) : heard === 1)
        note(`${path} ${way} ${type ?? ''}`);
    };
    socket.on('framesent', (frame) => say('→', frame));
    socket.on('framereceived', (frame) => say('←', frame));
  });
  page.on('request', (request) => {
    const path = new URL(request.url()).pathname;
    if (/api/.test(path)) note(`${request.method()} ${path}`);
  });
  page.on('response', (response) => {
    const path = new URL(response.url()).pathname;
    if (/api/.test(path)) note(`${response.status()} ${path}`);
  });
}

/** A phone in a network of its own; its browser can be killed, and knows its key when it is opened again. */
class Handset {
  constructor(n) {
    this.id = `phone_${String(n).padStart(2, '0')}`;
    this.wire = new Wire(n);
  }

  async lay() {
    await this.wire.lay();
    await this.wire.route();
    this.folder = mkdtempSync(join(tmpdir(), 'nightjar-phone-'));
    this.program = join(this.folder, 'browser');
    const into = `exec nsenter --net=/run/netns/${this.wire.space} ${chromium()} "$@"`;
    writeFileSync(this.program, `#!/bin/sh\necho $$ > ${this.folder}/pid\n${into}\n`);
    chmodSync(this.program, 0o755);
  }

  async open(url) {
    const context = await driver.launchPersistentContext(join(this.folder, 'profile'), {
      executablePath: this.program,
      headless: true,
      args: FLAGS,
      ...Phone.kind(),
    });
    // So many encoders on one machine: small pictures.
    await context.addInitScript(() => {
      localStorage['nightjar.phone'] ??= JSON.stringify({ quality: 'low' });
    });
    context.on('page', (page) => follow(page, this.id));
    this.phone = await Phone.in(context, anything);
    for (let left = 5; ; left -= 1) {
      try {
        await this.phone.open(url);
        return;
      } catch (error) {
        if (left === 0 || !/ERR_NETWORK_CHANGED/.test(error.message)) throw error;
      }
    }
  }

  /** Lets it in as a person would. */
  async pair(server) {
    const made = await server.api('POST', '/pairings', {});
    await this.open(made.url);
    await this.phone.start();
    for (;;) {
      const { state } = await server.api('GET', `/pairings/${made.id}`);
      if (state === 'asked') break;
      await pause(50);
    }
    await server.api('POST', `/pairings/${made.id}/allow`);
    await this.phone.until('connected');
  }

  async kill() {
    process.kill(Number(readFileSync(join(this.folder, 'pid'), 'utf8')), 'SIGKILL');
    await this.phone.context.close().catch(() => {});
  }

  see(state) {
    return this.phone.page.evaluate((is) => {
      Object.defineProperty(document, 'visibilityState', { value: is, configurable: true });
      document.dispatchEvent(new Event('visibilitychange'));
    }, state);
  }

  /** What tells by which rung it was healed; null while it has no page. */
  async mark() {
    return this.phone.page
      .evaluate(() => {
        const { session, camera } = window.__phone.probe;
        return { gen: session.gen, neg: session.neg, track: camera.video?.id ?? null };
      })
      .catch(() => null);
  }
}

/** `strike` and `mend` for one phone; `all` for what happens to all of them at once. */
const FAULTS = [
  {
    id: 'command',
    title: 'told to reconnect (a healthy one)',
    goal: { p50: 0.5 },
    strike: (hand, stage) => stage.command(hand),
  },
  { id: 'loss10', title: '100 % loss for 10 s', hold: 10_000, wire: 'drop' },
  { id: 'loss15', title: '100 % loss for 15 s', hold: 15_000, wire: 'drop' },
  {
    id: 'killed',
    title: 'the phone’s browser is killed, and opened again after 5 s',
    hold: 5_000,
    strike: (hand) => hand.kill(),
    mend: (hand) => hand.open(`https://${DOOR}/publish`),
  },
  {
    id: 'reload',
    title: 'the page is reloaded',
    strike: (hand) => hand.phone.page.reload({ waitUntil: 'commit' }),
  },
  {
    id: 'server',
    title: 'server and relay are killed, and started again after 3 s',
    hold: 3_000,
    all: true,
    strike: (_, stage) => stage.killServer(),
    mend: (_, stage) => stage.reviveServer(),
  },
  {
    id: 'relay',
    title: 'the relay cannot be reached for 15 s, media can',
    hold: 15_000,
    unseen: true,
    strike: (hand) => hand.wire.filter('meta l4proto tcp drop'),
    mend: (hand) => hand.wire.pass(),
  },
  {
    id: 'capture',
    title: 'the capture ends while the connection stays',
    strike: (hand) => hand.phone.stopCapture(),
  },
  {
    id: 'hidden',
    title: 'the tab is hidden and its camera taken, for 10 s',
    hold: 10_000,
    strike: async (hand) => {
      await hand.see('hidden');
      await hand.phone.stopCapture();
    },
    mend: (hand) => hand.see('visible'),
  },
  {
    id: 'address',
    title: 'another address in the same network',
    strike: (hand) => hand.wire.change(),
  },
  {
    id: 'loss5',
    title: '5 % loss both ways for 20 s',
    hold: 20_000,
    unseen: true,
    strike: (hand) => hand.wire.lose(5),
    mend: (hand) => hand.wire.pass(),
  },
];

/** The server, the wall and the events, over kills of the server. */
class Stage {
  states = [];
  served = [];

  async begin() {
    this.server = await startServer({ config: CONFIG });
    this.wall = await Wall.open(await launch(), this.server.url, anything);
    follow(this.wall.page, 'wall');
    this.#listen();
  }

  #listen() {
    const socket = new WebSocket(`${this.server.url.replace('http', 'ws')}/api/v1/events`);
    socket.onmessage = ({ data }) => {
      const at = Date.now();
      const event = JSON.parse(data);
      const cameras = event.type === 'snapshot' ? event.cameras : [event.camera].filter(Boolean);
      for (const { id, state } of cameras) {
        this.states.push({ at, id, name: state.name, cause: state.cause?.code ?? null });
      }
    };
    // One that never opened says only that it failed; one that was open says both.
    const again = () => {
      socket.onclose = null;
      socket.onerror = null;
      if (!this.over) setTimeout(() => this.#listen(), 100);
    };
    socket.onclose = again;
    socket.onerror = again;
  }

  /** When the server first said of a camera that it is not live. */
  noticed(id, from) {
    const found = this.states.find((s) => s.id === id && s.at >= from && s.name !== 'live');
    return found?.at ?? null;
  }

  async pictures(id) {
    return this.wall.page.evaluate(
      (which) => window.__eye.frames(which).map((frame) => frame.at),
      id,
    );
  }

  async flows(id) {
    await this.wall.until(
      `${id} is shown`,
      (which) => window.__eye?.tile(which)?.state === 'playing',
      id,
      PATIENCE_MS,
    );
    await this.wall.page.evaluate((which) => window.__eye.watch(which), id);
    await this.wall.more(id, 10);
  }

  async command(hand) {
    this.viewers ??= new Map();
    const key = hand.id;
    let socket = this.viewers.get(key);
    if (!socket) {
      socket = new WebSocket(`${this.server.url.replace('http', 'ws')}/signal`);
      const join = JSON.stringify({ type: 'join_room', data: { room: key, role: 'viewer' } });
      await new Promise((resolve) => {
        socket.onopen = () => socket.send(join);
        socket.onmessage = resolve;
      });
      this.viewers.set(key, socket);
    }
    socket.send('{"type":"reconnect_request","reason":"No frames for 11s"}');
  }

  async killServer() {
    this.killing ??= this.server.again();
    this.place = await this.killing;
  }

  async reviveServer() {
    this.reviving ??= startServer({ again: this.place });
    this.server = await this.reviving;
    this.viewers = null;
  }

  /** What the server said of a phone since a moment: the rungs. */
  rungs(id, from) {
    return this.server.log
      .filter((line) => line.includes(id) && Date.parse(line.slice(0, 27)) >= from)
      .flatMap((line) => /rung="?(\w+)/.exec(line)?.[1] ?? []);
  }
}

/**
 * When pictures flowed again, how long they were away, and the longest hole between two of them. A viewer
 * that sees nothing for long dials anew and is shown the last picture once more: what flows is what comes
 * after the last hole.
 */
function outcome(all, from, mended, instant) {
  const since = all.filter((at) => at >= from - 2_000);
  let longest = { length: 0, end: null };
  let last = null;
  for (let i = 1; i < since.length; i++) {
    const hole = { length: since[i] - since[i - 1], end: since[i] };
    if (hole.end < from) continue;
    if (hole.length > longest.length) longest = hole;
    if (hole.length > HOLE_MS && hole.end >= mended) last = hole;
  }
  const back = last?.end ?? (instant ? longest.end : since.find((at) => at >= mended)) ?? null;
  return { hole: longest.length, back };
}

function rungOf(before, after, said) {
  if (!before || !after) return 'opened anew';
  const told = said.includes('reconnect') ? ', told by the server' : '';
  if (after.gen !== before.gen) return `new connection${told}`;
  if (after.neg !== before.neg) return 'ICE restart';
  if (after.track !== before.track) return 'camera opened anew';
  return said.includes('key_frame') ? 'key frame' : 'none: the path came back';
}

async function one(fault, hand, stage) {
  const before = await hand.mark();
  const from = Date.now();
  const strike = fault.strike ?? ((one) => one.wire[fault.wire]());
  await strike(hand, stage);
  await pause(fault.hold ?? 0);
  const mend = fault.mend ?? (fault.wire ? (one) => one.wire.pass() : null);
  await mend?.(hand, stage);
  const mended = fault.hold ? Date.now() : from;
  const until = Date.now() + PATIENCE_MS;
  let seen;
  let calm = 0;
  do {
    await pause(250);
    const all = await stage.pictures(hand.id);
    seen = outcome(all, from, mended, !fault.hold);
    // What is over stays over for a while.
    calm = seen.back && Date.now() - all.at(-1) < 500 ? calm + 1 : 0;
    if (fault.unseen && !seen.back && Date.now() - mended > 3_000) break;
  } while (calm < 8 && Date.now() < until);
  if (showHops) {
    const named = ({ who, what }) =>
      who === hand.id || what.includes(hand.id) || /event/.test(what);
    for (const hop of hops.filter((one) => one.at >= from && named(one))) {
      say(
        `      ${hand.id} ${((hop.at - mended) / 1000).toFixed(2).padStart(7)} ${hop.who}: ${hop.what}`,
      );
    }
  }
  const noticed = stage.noticed(hand.id, from);
  const after = await hand.mark();
  return {
    phone: hand.id,
    noticed: noticed === null ? null : (noticed - from) / 1000,
    back: seen.back === null ? null : Math.max(0, seen.back - mended) / 1000,
    hole: (fault.unseen || seen.back === null ? seen.hole : seen.back - from) / 1000,
    rung: rungOf(before, after, stage.rungs(hand.id, from)),
    states: [
      ...new Set(
        stage.states
          .filter((s) => s.id === hand.id && s.at >= from)
          .map((s) => (s.cause ? `${s.name} (${s.cause})` : s.name)),
      ),
    ],
  };
}

await build();
const stage = new Stage();
await stage.begin();
const count = Number(value('phones', 5));
const runs = Number(value('runs', 10));
const only = value('only', null)?.split(',') ?? null;
const hands = Array.from({ length: count }, (_, i) => new Handset(i + 1));
for (const hand of hands) await hand.lay();
// Interfaces that come up say so for a while, and a browser drops what it loads when they do.
await pause(SETTLE_MS);
for (const hand of hands) {
  await hand.pair(stage.server);
  await stage.flows(hand.id);
}
say(`${count} phones film; load ${readFileSync('/proc/loadavg', 'utf8').trim()}`);

const report = {
  date: new Date().toISOString(),
  profile: process.env.NIGHTJAR_PROFILE || 'debug',
  machine: machine(),
  phones: count,
  rows: [],
};
const out = value('out', 'bench/out');
mkdirSync(out, { recursive: true });
const place = join(out, 'phones.json');
const before = only && existsSync(place) ? JSON.parse(readFileSync(place, 'utf8')) : null;
const by = ({ date, profile, phones, machine: { commit, load_before } }) => ({
  date,
  profile,
  phones,
  commit,
  load: load_before,
});
const order = FAULTS.map(({ id }) => id);
for (const row of before?.rows ?? []) {
  if (!only.includes(row.id)) report.rows.push({ by: by(before), ...row });
}
if (before?.crowds) report.crowds = before.crowds;
function write() {
  report.rows.sort((a, b) => order.indexOf(a.id) - order.indexOf(b.id));
  report.load_after = Number(readFileSync('/proc/loadavg', 'utf8').split(' ')[0]);
  writeFileSync(place, `${JSON.stringify(report, null, 2)}\n`);
  writeFileSync(join(out, 'PHONES.md'), faultsMarkdown(report));
}
for (const fault of FAULTS.filter(({ id }) => only === null || only.includes(id))) {
  const all = [];
  while (all.length < runs) {
    await pause(REST_MS);
    [stage.killing, stage.reviving] = [null, null];
    const struck = hands.slice(0, Math.min(count, runs - all.length));
    all.push(...(await Promise.all(struck.map((hand) => one(fault, hand, stage)))));
    for (const hand of struck) await stage.flows(hand.id);
  }
  const row = judged(fault, all);
  report.rows.push({ by: by(report), ...row });
  say(
    `${row.misses.length === 0 ? '✓' : '✗'} ${row.id} (${row.runs}): noticed ${row.noticed?.p50 ?? '–'}, back ${row.back?.p50 ?? '–'}/${row.back?.p95 ?? '–'}, hole ${row.hole.p50}/${row.hole.max}; ${Object.entries(
      row.rungs,
    )
      .map(([rung, n]) => `${n} × ${rung}`)
      .join(', ')}${row.misses.map((miss) => `\n    ${miss}`).join('')}`,
  );
  if (row.misses.length > 0) for (const run of all) say(`      ${JSON.stringify(run)}`);
  write();
}
stage.over = true;
for (const hand of hands) await hand.phone.close().catch(() => {});
const code = await stage.server.stop();
await stage.wall.close();
say(`the server ended with ${code}`);
if (args.includes('--crowd')) {
  report.crowds = await crowd({ quick: false });
  write();
}
process.exit(code === 0 ? 0 : 1);
