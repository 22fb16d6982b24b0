import { beforeEach, describe, expect, test } from 'vitest';
import type { FromPeer, Message, ToPhone, Welcome } from '../src/bindings/signaling';
import { DIAL_DELAYS_MS } from '../src/session/dialling';
import { PATH_DOUBTED_MS, type Report } from '../src/session/health';
import { MUTED_PATIENCE_MS } from '../src/session/capture';
import type { Action, Input } from '../src/session/events';
import { BOTH_SILENT_MS } from '../src/session/link';
import { REBUILD_DELAYS_MS, SAME_COMMAND_MS, Session, STEADY_MS } from '../src/session/machine';

const WELCOME: Welcome = {
  protos: ['camrelay.v1'],
  relay_id: 'r',
  nonce: 'n',
  limits: {
    message_bytes: 1,
    sdp_bytes: 1,
    candidates_per_gen: 1,
    messages_per_second: 1,
    offers_per_minute: 1,
  },
  heartbeat_s: 10,
};
const GOOD: Report = {
  span: 1000,
  source: 30,
  encoded: 30,
  keys: 0,
  packets: 200,
  bytes: 250_000,
  pli: 0,
  responses: 1,
  roundTripMs: 3,
  limit: 'none',
  targetBps: 2_000_000,
  width: 1280,
  height: 720,
};

/** A phone whose clock, chance and surroundings are the test's. */
class Bench {
  session = new Session(() => 0.5);
  now = 1000;
  all: Action[] = [];
  fresh: Action[] = [];
  ticks = 0;

  tell(input: Input): this {
    this.fresh = this.session.handle(this.now, input);
    this.all.push(...this.fresh);
    return this;
  }
  /** Lets time pass, with every deadline met. */
  pass(ms: number): this {
    const end = this.now + ms;
    const before = this.all.length;
    for (let i = 0; i < 10_000; i += 1) {
      const due = this.session.deadline();
      if (due === null || due > end) break;
      this.now = Math.max(this.now, due);
      this.tell({ is: 'tick' });
      // Whatever was due is done: nothing may be due again at once, for ever.
      this.ticks = due === this.session.deadline() ? this.ticks + 1 : 0;
      if (this.ticks > 2) throw new Error('it is woken again and again, and does nothing');
    }
    this.now = end;
    this.fresh = this.all.slice(before);
    return this;
  }
  /** Seconds of reports. */
  report(seconds: number, more: Partial<Report> = {}): this {
    const before = this.all.length;
    for (let i = 0; i < seconds; i += 1) {
      this.pass(1000);
      this.tell({ is: 'report', gen: this.session.gen, report: { ...GOOD, ...more } });
      this.pass(0);
    }
    this.fresh = this.all.slice(before);
    return this;
  }
  /** Halves of a second, with a report in each, as the page makes them. */
  halves(count: number, more: Partial<Report> = {}, each: () => void = () => {}): this {
    for (let i = 0; i < count; i += 1) {
      this.pass(500);
      each();
      const report = { ...GOOD, span: 500, ...more };
      this.tell({ is: 'report', gen: this.session.gen, report });
      this.pass(0);
    }
    return this;
  }
  get dial(): number {
    const dials = this.all.filter((action) => action.do === 'dial');
    return dials.at(-1)?.dial ?? 0;
  }
  hear(message: Message<ToPhone> | { command: string }): this {
    return this.tell({ is: 'heard', dial: this.dial, message });
  }
  sent<T extends FromPeer['type']>(type: T): Extract<Message<FromPeer>, { type: T }>[] {
    return this.all.flatMap((action) =>
      action.do === 'send' && action.message.type === type
        ? [action.message as Extract<Message<FromPeer>, { type: T }>]
        : [],
    );
  }
  did(what: Action['do']): number {
    return this.all.filter((action) => action.do === what).length;
  }
  doing(): Action['do'][] {
    return this.fresh.map((action) => action.do);
  }
  start(): this {
    this.tell({ is: 'start', ask: false });
    return this.tell({ is: 'capture', state: 'live', sound: true });
  }
  join(resume = false, gen_hint = 0): this {
    this.tell({ is: 'link_open', dial: this.dial });
    this.hear({ type: 'hello', ...WELCOME });
    this.hear({
      type: 'auth_ok',
      session: 's',
      rooms: ['hall'],
      grants: [],
      ice_servers: [],
      gen_hint,
    });
    this.hear({ type: 'joined_room', peer_id: 'p', peers: [], gen_hint, ice_servers: [], resume });
    return this;
  }
  offer(): this {
    return this.tell({ is: 'offer', gen: this.session.gen, neg: 1, sdp: 'offer' });
  }
  answer(gen = this.session.gen): this {
    return this.hear({ type: 'answer', gen, neg: 1, sdp: 'answer' });
  }
  connect(): this {
    this.offer();
    this.answer();
    return this.tell({ is: 'connection', gen: this.session.gen, state: 'connected' });
  }
  live(): this {
    this.start().join().connect();
    expect(this.session.phase).toBe('connected');
    return this;
  }
}

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
});

describe('on the way to be live', () => {
  test('it dials, proves itself, joins its room and offers with the first number', () => {
    bench.start();
    expect(bench.session.phase).toBe('signaling');
    expect(bench.all.map((action) => action.do)).toEqual(['open_capture', 'dial']);
    bench.tell({ is: 'link_open', dial: bench.dial });
    expect(bench.session.phase).toBe('auth');
    bench.hear({ type: 'hello', ...WELCOME });
    expect(bench.doing()).toEqual(['prove']);
    bench.join();
    expect(bench.sent('join_room')[0]).toMatchObject({ room: 'hall', v: 1 });
    expect(bench.session.phase).toBe('offering');
    bench.offer();
    expect(bench.sent('offer')[0]).toMatchObject({ gen: 1, neg: 1, reason: 'start' });
    bench.answer();
    expect(bench.doing()).toContain('accept');
    bench.tell({ is: 'connection', gen: 1, state: 'connected' });
    expect(bench.session.phase).toBe('connected');
  });

  test('a number is never used twice: the computer may know a higher one', () => {
    bench.start().join(false, 41).offer();
    expect(bench.sent('offer')[0]?.gen).toBe(42);
  });

  test('R-S5 candidates wait for the offer on the way out, and for the answer on the way in', () => {
    bench.start().join();
    bench.tell({ is: 'candidate', gen: 1, candidate: { candidate: 'candidate:mine' } });
    bench.hear({ type: 'ice_candidate', gen: 1, candidate: { candidate: 'candidate:theirs' } });
    expect(bench.sent('ice_candidate')).toEqual([]);
    bench.offer();
    expect(bench.doing()).toEqual(['send', 'send']);
    expect(bench.sent('ice_candidate')[0]?.candidate?.candidate).toBe('candidate:mine');
    bench.answer();
    expect(bench.doing()).toEqual(['accept', 'add_candidate']);
  });

  test('the digits of a pairing stay as long as a person needs', () => {
    bench.tell({ is: 'start', ask: true });
    expect(bench.did('open_capture')).toBe(0);
    bench.tell({ is: 'link_open', dial: bench.dial });
    bench.hear({ type: 'hello', ...WELCOME });
    bench.hear({ type: 'pair_pending', code: '123456' });
    bench.pass(90_000);
    expect(bench.session.code).toBe('123456');
    expect(bench.sent('ping').length).toBeGreaterThan(10);
    bench.hear({
      type: 'pair_ok',
      device_id: 'd',
      rooms: ['hall'],
      grants: [],
      relay_id: 'r',
      nonce: 'n2',
    });
    expect(bench.doing()).toContain('paired');
    bench.hear({
      type: 'auth_ok',
      session: 's',
      rooms: ['hall'],
      grants: [],
      ice_servers: [],
      gen_hint: 0,
    });
    expect(bench.did('open_capture')).toBe(1);
  });

  test('a used code ends it in words, and it does not dial on', () => {
    bench.tell({ is: 'start', ask: true });
    bench.tell({ is: 'link_open', dial: bench.dial });
    bench.hear({ type: 'pair_rejected', code: 'pair_rejected' });
    expect(bench.session.end).toBe('rejected');
    expect(bench.session.deadline()).toBeNull();
  });
});

describe('the link', () => {
  test('is dialled again for ever, by the other way where the first was not even opened', () => {
    bench.start();
    const ways = () => bench.all.flatMap((action) => (action.do === 'dial' ? [action.way] : []));
    const waits: number[] = [];
    for (let i = 0; i < 64; i += 1) {
      const before = bench.now;
      const count = ways().length;
      bench.tell({ is: 'link_closed', dial: bench.dial, code: null });
      while (ways().length === count) bench.pass(10);
      waits.push(bench.now - before);
    }
    expect(waits[0]).toBeLessThanOrEqual(10);
    const rounded = waits.map((ms) => Math.round(ms / 100) * 100);
    expect(rounded.slice(1, 3)).toEqual(DIAL_DELAYS_MS.slice(1).map(Number));
    // A computer that was away for seconds is found within one, for minutes within two.
    expect(rounded.slice(3, 12)).toEqual(Array(9).fill(1000));
    expect(rounded.slice(12, 60)).toEqual(Array(48).fill(2000));
    expect(rounded.slice(60)).toEqual(Array(4).fill(7000));
    expect(ways().slice(0, 4)).toEqual(['socket', 'stream', 'socket', 'stream']);
  });

  test('that has worked is dialled the same way again, and now and then the other', () => {
    bench.live();
    const ways = () => bench.all.flatMap((action) => (action.do === 'dial' ? [action.way] : []));
    const before = ways().length;
    for (let i = 0; i < 8; i += 1) {
      const count = ways().length;
      bench.tell({ is: 'link_closed', dial: bench.dial, code: null });
      while (ways().length === count) bench.pass(10);
    }
    const three = ['socket', 'socket', 'stream'];
    expect(ways().slice(before)).toEqual([...three, ...three, 'socket', 'socket']);
  });

  test('that was lost leaves the pictures alone, and is taken up where it was', () => {
    bench.live();
    bench.tell({ is: 'link_closed', dial: bench.dial, code: null }).pass(20);
    bench.report(3);
    expect(bench.session.phase).toBe('connected');
    bench.join(true, 1);
    bench.report(5);
    expect(bench.did('build')).toBe(1);
  });

  test('of a computer that has forgotten the connection leads to a fresh one at once', () => {
    bench.live();
    bench.tell({ is: 'link_closed', dial: bench.dial, code: null }).pass(20);
    bench.join(false, 0);
    expect(bench.doing()).toContain('build');
    expect(bench.session.gen).toBe(2);
  });

  test('that is silent is tested, and then given up', () => {
    bench.live();
    bench.pass(5000);
    expect(bench.sent('ping')).toHaveLength(1);
    bench.hear({ type: 'pong' }).pass(4000);
    expect(bench.session.linked).toBe(true);
    bench.pass(5000);
    expect(bench.session.linked).toBe(false);
    expect(bench.did('dial')).toBeGreaterThan(1);
  });

  test('is dialled at once when the network is back', () => {
    bench.start();
    for (let i = 0; i < 5; i += 1) {
      bench.tell({ is: 'link_closed', dial: bench.dial, code: null });
      if (i < 4) bench.pass(6000);
    }
    const dials = bench.did('dial');
    bench.tell({ is: 'online' });
    expect(bench.did('dial')).toBe(dials + 1);
  });

  test('R-P7 to somebody else in its computer’s place is given up at once, and dialled again until it is the right one', () => {
    bench.live();
    bench.tell({ is: 'link_closed', dial: bench.dial, code: null }).pass(20);
    bench.tell({ is: 'stranger', dial: bench.dial });
    expect(bench.doing()).toContain('hang_up');
    expect([bench.session.stranger, bench.session.end]).toEqual([true, null]);
    const dials = bench.did('dial');
    bench.pass(9000);
    expect(bench.did('dial')).toBe(dials);
    bench.pass(2000);
    expect(bench.did('dial')).toBe(dials + 1);
    expect(bench.sent('join_room')).toHaveLength(1);
    bench.join(false, 1);
    expect([bench.session.stranger, bench.session.linked]).toEqual([false, true]);
  });

  test('taken over by another page is not fought for', () => {
    bench.live();
    bench.tell({ is: 'link_closed', dial: bench.dial, code: 4409 });
    expect(bench.session.end).toBe('replaced');
    expect(bench.doing()).toContain('tear_down');
    expect(bench.session.deadline()).toBeNull();
  });

  test('nothing that comes from an earlier one is heard', () => {
    bench.live();
    const old = bench.dial;
    bench.tell({ is: 'link_closed', dial: old, code: null }).pass(20);
    bench.tell({ is: 'heard', dial: old, message: { command: 'reconnect' } });
    expect(bench.did('build')).toBe(1);
  });
});

describe('R-P5 the command to be reborn', () => {
  test.each([
    ['in the older form', { command: 'reconnect' }],
    [
      'in full',
      {
        v: 1,
        type: 'reconnect',
        command: 'reconnect',
        mode: 'full',
        after_ms: 0,
        reason: 'no_frames',
        gen: 1,
      } as const,
    ],
  ])('%s closes, opens the camera anew and offers with the next number', (_, command) => {
    bench.live().pass(3000).hear(command);
    expect(bench.doing().slice(0, 2)).toEqual(['tear_down', 'build']);
    expect(bench.fresh).toContainEqual(
      expect.objectContaining({ do: 'build', gen: 2, capture: true }),
    );
    bench.offer();
    expect(bench.sent('offer')[1]).toMatchObject({ gen: 2, neg: 1, reason: 'recover' });
  });

  test('for a connection that is no more changes nothing', () => {
    bench.live().pass(3000).hear({ command: 'reconnect' }).connect();
    bench.pass(3000);
    bench.hear({
      type: 'reconnect',
      mode: 'full',
      command: 'reconnect',
      after_ms: 0,
      reason: '',
      gen: 1,
    });
    expect(bench.session.gen).toBe(2);
  });

  test('said twice is obeyed once, and again when it comes later', () => {
    bench.live().pass(3000).hear({ command: 'reconnect' });
    bench.hear({ command: 'reconnect' });
    expect(bench.session.gen).toBe(2);
    bench.pass(SAME_COMMAND_MS).hear({ command: 'reconnect' });
    expect(bench.session.gen).toBe(3);
  });

  test('a late answer, candidate or event of the old connection is dropped', () => {
    bench.live().pass(3000).hear({ command: 'reconnect' }).offer();
    bench.answer(1);
    expect(bench.doing()).toEqual([]);
    bench.hear({ type: 'ice_candidate', gen: 1, candidate: { candidate: 'x' } });
    bench.tell({ is: 'connection', gen: 1, state: 'failed' });
    bench.tell({ is: 'offer', gen: 1, neg: 1, sdp: 'old' });
    expect(bench.session.gen).toBe(2);
    expect(bench.sent('offer')).toHaveLength(2);
    bench.answer(2);
    expect(bench.doing()).toContain('accept');
  });
});

describe('R-P9 its own half of the ladder', () => {
  test('a capture that ended is opened again at once, and nothing is negotiated', () => {
    bench.live();
    bench.tell({ is: 'capture', state: 'ended', sound: true });
    expect(bench.doing()).toContain('open_capture');
    bench.tell({ is: 'capture', state: 'live', sound: true });
    bench.report(5);
    expect(bench.did('build')).toBe(1);
    expect(bench.session.phase).toBe('connected');
  });

  test('a capture that is mute for a moment only is left alone', () => {
    bench.live();
    bench.tell({ is: 'capture', state: 'muted', sound: true }).pass(MUTED_PATIENCE_MS - 100);
    bench.tell({ is: 'capture', state: 'live', sound: true }).pass(5000);
    expect(bench.did('open_capture')).toBe(1);
  });

  test('a capture that stays mute is a call where the sound is gone too, and is opened again', () => {
    bench.live();
    bench.tell({ is: 'capture', state: 'muted', sound: false }).pass(MUTED_PATIENCE_MS);
    expect(bench.session.pausedBy).toBe('call');
    expect(bench.sent('state').at(-1)).toMatchObject({ capture: 'paused', why: 'call' });
    expect(bench.did('open_capture')).toBe(2);
  });

  test('an encoder that stalls is woken, then fed anew, then replaced', () => {
    bench.live().report(3).hear({ type: 'ping' });
    bench.report(3, { encoded: 0 });
    expect(bench.doing()).toContain('nudge');
    expect(bench.session.phase).toBe('recovering');
    bench.report(3, { encoded: 0 });
    expect(bench.doing()).toContain('open_capture');
    bench.tell({ is: 'capture', state: 'live', sound: true });
    for (let i = 0; i < 8; i += 1) bench.hear({ type: 'ping' }).report(1, { encoded: 0 });
    expect(bench.session.gen).toBe(2);
  });

  test('a path that nobody answers on is replaced while the link lives', () => {
    bench.live().report(3);
    for (let i = 0; i < 4; i += 1) bench.report(1, { responses: 0 }).hear({ type: 'pong' });
    expect(bench.session.gen).toBe(2);
    expect(bench.did('dial')).toBe(1);
  });

  test('R-S8 a path and a link that fall silent together are made anew at once, whatever the system says', () => {
    bench.live().halves(6, {}, () => bench.hear({ type: 'ping' }));
    const from = bench.now;
    while (bench.did('dial') < 2) bench.halves(1, { responses: 0 });
    expect(bench.now - from).toBeLessThanOrEqual(PATH_DOUBTED_MS + BOTH_SILENT_MS + 500);
    bench.join(true, 1);
    // The computer still has the connection, which is nothing to wait for.
    expect(bench.did('build')).toBe(2);
  });

  test('a silence of the path is no reason to leave a link that answers', () => {
    bench.live().halves(6, {}, () => bench.hear({ type: 'ping' }));
    bench.halves(3, { responses: 0 });
    expect(bench.sent('ping')).toHaveLength(1);
    bench.hear({ type: 'pong' });
    bench.halves(3, { responses: 0 });
    expect([bench.did('dial'), bench.did('build')]).toEqual([1, 1]);
  });

  test('a path that was silent before the link was dialled anew does not get its whole time once more', () => {
    bench.live().halves(6, {}, () => bench.hear({ type: 'ping' }));
    bench.tell({ is: 'link_closed', dial: bench.dial, code: null }).pass(20);
    bench.join(true, 1);
    bench.halves(2, { responses: 0 });
    expect(bench.did('build')).toBe(2);
  });

  test('a phone that films nothing is not doubted for the silence that follows', () => {
    bench.live().halves(6, {}, () => bench.hear({ type: 'ping' }));
    bench.tell({ is: 'user_pause', on: true });
    bench.halves(5, { responses: 0, encoded: 0, source: 0 });
    expect(bench.sent('ping')).toHaveLength(0);
  });

  test('R-S8 packets that come through again hurry the link that waits', () => {
    bench.live().halves(6);
    for (let i = 0; i < 5; i += 1) {
      bench.tell({ is: 'link_closed', dial: bench.dial, code: null });
      while (bench.session.dialAt !== null) bench.halves(1, { responses: 0 });
    }
    bench.tell({ is: 'link_closed', dial: bench.dial, code: null });
    const dials = bench.did('dial');
    expect(bench.session.dialAt).not.toBeNull();
    bench.halves(1);
    expect(bench.did('dial')).toBe(dials + 1);
    // One that is under way since before is made anew as well.
    bench.halves(4, { responses: 0 }).halves(1);
    expect(bench.did('dial')).toBe(dials + 2);
  });

  test('a path is not lost where the computer sees pictures arrive', () => {
    bench.live().report(3);
    for (let i = 0; i < 6; i += 1) {
      bench.hear({
        type: 'media_status',
        gen: 1,
        pkts: 1,
        frames: 1,
        last_frame_ms: 40,
        stage: 'live',
      });
      bench.report(2, { responses: 0 });
    }
    expect(bench.session.gen).toBe(1);
  });

  test('after a change of network the same connection is tried by another way first', () => {
    bench.live().report(3);
    bench.tell({ is: 'online' }).hear({ type: 'pong' });
    for (let i = 0; i < 3; i += 1) bench.report(1, { responses: 0 }).hear({ type: 'pong' });
    bench.report(1, { responses: 0 });
    expect(bench.fresh).toContainEqual(
      expect.objectContaining({ do: 'restart_ice', gen: 1, neg: 2 }),
    );
    bench.tell({ is: 'offer', gen: 1, neg: 2, sdp: 'restart' });
    expect(bench.sent('offer').at(-1)).toMatchObject({ gen: 1, neg: 2, reason: 'ice_restart' });
    bench.hear({ type: 'answer', gen: 1, neg: 2, sdp: 'answer' });
    bench.report(3);
    expect(bench.session.phase).toBe('connected');
  });

  test('without a link nothing is torn down: the path may come back by itself', () => {
    bench.live();
    bench.tell({ is: 'link_closed', dial: bench.dial, code: null });
    bench.report(12, { responses: 0 });
    expect(bench.did('build')).toBe(1);
    expect(bench.session.phase).not.toBe('connected');
    bench.report(1);
    expect(bench.session.phase).toBe('connected');
  });

  test('R-S8 connections that fail follow each other ever more slowly, and for ever', () => {
    bench.live();
    const waits: number[] = [];
    for (let i = 0; i < 9; i += 1) {
      const { gen } = bench.session;
      const before = bench.now;
      bench.tell({ is: 'connection', gen, state: 'failed' });
      while (bench.session.gen === gen) {
        bench.pass(50);
        bench.hear({ type: 'pong' });
      }
      waits.push(bench.now - before);
      bench.offer().answer();
    }
    const round = (ms: number) => Math.round(ms / 100) * 100;
    expect(waits.slice(0, 7).map(round)).toEqual(REBUILD_DELAYS_MS.map(Number));
    expect(round(waits[8] ?? 0)).toBe(120_000);
  });

  test('waits begin from the start after a steady half minute, and at once when the phone is seen again', () => {
    bench.live();
    bench.tell({ is: 'connection', gen: 1, state: 'failed' }).connect();
    for (let i = 0; i < STEADY_MS / 1000; i += 1) bench.hear({ type: 'pong' }).report(1);
    bench.tell({ is: 'connection', gen: 2, state: 'failed' });
    expect(bench.session.gen).toBe(3);
    bench.tell({ is: 'connection', gen: 3, state: 'failed' });
    bench.tell({ is: 'visible', on: false }).tell({ is: 'visible', on: true });
    expect(bench.session.gen).toBe(4);
  });
});

describe('a phone that is locked', () => {
  test('says so before it goes, and its ladder rests', () => {
    bench.live().report(2);
    bench.tell({ is: 'visible', on: false });
    expect(bench.sent('state').at(-1)).toMatchObject({ capture: 'paused', why: 'hidden', gen: 1 });
    expect(bench.session.phase).toBe('paused');
    bench.tell({ is: 'capture', state: 'muted', sound: false });
    for (let i = 0; i < 600; i += 1) {
      bench.hear({ type: 'ping' }).report(1, { source: 0, encoded: 0, responses: 1 });
    }
    expect(bench.did('build')).toBe(1);
    expect(bench.did('open_capture')).toBe(1);
  });

  test('is back as soon as it is looked at', () => {
    bench.live();
    bench.tell({ is: 'visible', on: false });
    bench.tell({ is: 'capture', state: 'ended', sound: false }).pass(1000);
    expect(bench.did('open_capture')).toBe(1);
    bench.tell({ is: 'visible', on: true });
    expect(bench.doing()).toContain('open_capture');
    bench.tell({ is: 'capture', state: 'live', sound: true });
    expect(bench.sent('state').at(-1)).toMatchObject({ capture: 'live' });
    expect(bench.session.phase).toBe('connected');
  });

  test('that films on while it is hidden is not paused', () => {
    bench.live();
    bench.tell({ is: 'visible', on: false }).report(2);
    expect(bench.sent('state').at(-1)).toMatchObject({ capture: 'live' });
  });
});

test('R-P8 its figures are added up to what it says every two seconds', () => {
  bench.live().report(6);
  const told = bench.sent('stats');
  expect(told).toHaveLength(3);
  expect(told[0]).toMatchObject({ gen: 1, enc: 60, src_frames: 60, vis: true, muted: false });
});

test('whatever happens, while a person wants to publish there is a next step', () => {
  // A long walk through everything that can happen, from a fixed seed.
  let seed = 7;
  const random = () => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed / 2_147_483_647;
  };
  const pick = <T>(all: readonly T[]): T => all[Math.floor(random() * all.length)] as T;
  for (let run = 0; run < 60; run += 1) {
    const walk = new Bench();
    walk.start();
    for (let step = 0; step < 120; step += 1) {
      const gen = Math.max(1, walk.session.gen - pick([0, 0, 0, 1]));
      pick([
        () => walk.pass(pick([10, 500, 3000, 20_000])),
        () => walk.join(pick([true, false]), pick([0, gen])),
        () => walk.connect(),
        () =>
          walk.report(pick([1, 3, 6]), pick([{}, { encoded: 0 }, { responses: 0 }, { source: 0 }])),
        () => walk.tell({ is: 'link_closed', dial: walk.dial, code: pick([null, 1001, 4429]) }),
        () =>
          walk.tell({
            is: 'connection',
            gen,
            state: pick(['connected', 'disconnected', 'failed']),
          }),
        () => walk.tell({ is: 'capture', state: pick(['live', 'muted', 'ended']), sound: true }),
        () => walk.tell({ is: 'visible', on: pick([true, false]) }),
        () => walk.hear({ command: 'reconnect' }),
        () => walk.tell({ is: 'online' }),
      ])();
    }
    // Afterwards all is well around it: it must come to be live by itself.
    walk.tell({ is: 'visible', on: true });
    for (let i = 0; i < 400 && walk.session.phase !== 'connected'; i += 1) {
      walk.pass(1000);
      if (!walk.session.linked) walk.join(false, walk.session.gen);
      walk.hear({ type: 'ping' });
      if (walk.session.capture !== 'live') walk.tell({ is: 'capture', state: 'live', sound: true });
      walk.connect();
      walk.tell({ is: 'report', gen: walk.session.gen, report: GOOD });
    }
    expect(walk.session.phase).toBe('connected');
    const builds = walk.all.flatMap((action) => (action.do === 'build' ? [action.gen] : []));
    expect(builds).toEqual([...new Set(builds)].sort((a, b) => a - b));
  }
});
