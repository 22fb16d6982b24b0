// Everything that goes wrong, one entry a fault: how it is done to one camera, how it ends, and
// what must come of it.
//
// `strike` and `mend` are given a camera; `mend` resolves to the moment from which the camera can
// answer again, `strike` to the one in which it was done, where a camera tells that. `bears` names what a camera must be able to do: every make has a network, only
// testcam takes orders. `all` faults are done to the whole house at once.

import { now, switchOff, switchOn } from './network.mjs';

/** Goals of the issue, in seconds; each is checked against the quantile that it names. */
const SILENT = {
  noticed: { p50: 2.3 },
  decided: { p50: [4.5, 5.5] },
  back: { p50: 0.5, p95: 1.5 },
};
const CLOSED = { noticed: { p95: 0.2 }, decided: { p95: 0.2 }, back: { p50: 0.5, p95: 1.5 } };
/** Nothing may be torn down. */
const BRIDGED = { reconnects: 0 };

const done = async (work) => {
  await work;
  return now();
};

export const faults = [
  {
    id: 'frozen-3',
    title: 'camera frozen for 3 s (SIGSTOP)',
    hold: 3_000,
    strike: (c) => c.freeze(),
    mend: (c) => done(c.thaw()),
    goals: { noticed: { p50: 2.3 }, ...BRIDGED },
    fast: true,
  },
  {
    id: 'dropped-2.5',
    title: 'all packets dropped for 2.5 s',
    hold: 2_500,
    strike: (c) => c.wire.drop(),
    mend: (c) => done(c.wire.pass()),
    goals: BRIDGED,
    fast: true,
  },
  {
    id: 'dropped-10',
    title: 'all packets dropped for 10 s',
    hold: 10_000,
    strike: (c) => c.wire.drop(),
    mend: (c) => done(c.wire.pass()),
    goals: SILENT,
    fast: true,
  },
  {
    id: 'dropped-60',
    title: 'all packets dropped for 60 s',
    hold: 60_000,
    strike: (c) => c.wire.drop(),
    mend: (c) => done(c.wire.pass()),
    goals: SILENT,
  },
  {
    id: 'frozen-20',
    title: 'camera frozen for 20 s (SIGSTOP)',
    hold: 20_000,
    strike: (c) => c.freeze(),
    mend: (c) => done(c.thaw()),
    goals: SILENT,
  },
  {
    id: 'cable',
    title: 'cable pulled and put back after 12 s',
    hold: 12_000,
    strike: (c) => c.wire.pull(),
    mend: (c) => done(c.wire.plug()),
    goals: SILENT,
  },
  {
    id: 'power',
    title: 'power off for 20 s',
    hold: 20_000,
    async strike(c) {
      await c.wire.pull();
      await c.kill();
    },
    async mend(c) {
      await c.wire.plug();
      return c.start();
    },
    goals: SILENT,
  },
  {
    id: 'reboot-40',
    title: 'camera reboots for 40 s',
    hold: 40_000,
    // A reboot ends the programs first: connections are closed.
    async strike(c) {
      await c.kill();
      await c.wire.pull();
    },
    async mend(c) {
      await c.wire.plug();
      return c.start();
    },
    goals: CLOSED,
  },
  {
    id: 'killed',
    title: 'camera process killed, started again after 6 s',
    hold: 6_000,
    strike: (c) => c.kill(),
    mend: (c) => c.start(),
    goals: CLOSED,
    fast: true,
  },
  {
    id: 'reset',
    title: 'connection reset (RST), camera answers on',
    bears: 'testcam',
    hold: 0,
    strike: (c) => c.reset(),
    mend: async () => now(),
    goals: CLOSED,
    fast: true,
  },
  {
    id: 'address',
    title: 'address lost, another one (same name) after 8 s',
    bears: 'testcam',
    hold: 8_000,
    strike: (c) => c.wire.leave(),
    mend: (c) => done(c.wire.move()),
    goals: SILENT,
  },
  {
    id: 'dns',
    title: 'name not resolved for 12 s, connection closed',
    hold: 12_000,
    async strike(c) {
      c.wire.unname();
      await c.kill();
    },
    async mend(c) {
      const at = await c.start();
      c.wire.name();
      return Math.max(at, now());
    },
    goals: CLOSED,
  },
  {
    id: 'loss-5',
    title: '5 % of the packets lost for 20 s',
    hold: 20_000,
    strike: (c) => c.wire.lose(5),
    mend: (c) => done(c.wire.pass()),
    goals: BRIDGED,
  },
  {
    id: 'narrow',
    title: 'bandwidth cut to half the bit rate for 20 s',
    bears: 'testcam',
    hold: 20_000,
    // A picture that comes ever later is worth a warning, whatever becomes of it.
    strike: (c, bitrate) => c.wire.narrow(Math.round(bitrate / 2_000)),
    mend: (c) => done(c.wire.widen()),
    warning: 'buffering',
    goals: {},
  },
  {
    id: 'keepalive',
    title: 'keep-alives unanswered for 25 s while media flows',
    bears: 'testcam',
    hold: 25_000,
    strike: (c) => c.behave('no-keepalive-answer'),
    mend: (c) => done(c.behave('none')),
    warning: 'keepalive_unanswered',
    goals: BRIDGED,
  },
  {
    id: 'sound-only',
    title: 'sound only after a reconnect, pictures after 20 s',
    retracks: true,
    bears: 'testcam',
    hold: 20_000,
    async strike(c) {
      await c.kill();
      await c.start('audio-only');
    },
    mend: (c) => done(c.behave('none')),
    cause: 'no_video',
    goals: {},
  },
  {
    id: 'no-key-frame',
    title: 'no key frame after a reconnect, one after 90 s',
    bears: 'testcam',
    hold: 90_000,
    async strike(c) {
      await c.kill();
      await c.start('no-key-frame');
    },
    mend: (c) => done(c.behave('none')),
    cause: 'no_key_frame',
    goals: {},
  },
  {
    id: 'password',
    title: 'password changed for 8 s; then right again, and “Retry”',
    bears: 'testcam',
    hold: 8_000,
    async strike(c) {
      c.password = 'another-one';
      await c.kill();
      await c.start();
    },
    async mend(c, _bitrate, server) {
      c.password = 'right-one';
      await c.kill();
      await c.start();
      const at = now();
      await server.api('POST', `/cameras/${c.id}/retry`);
      return at;
    },
    cause: 'unauthorized',
    goals: CLOSED,
  },
  {
    id: 'switch',
    title: 'the switch of all cameras dies for 15 s',
    all: true,
    hold: 15_000,
    strike: () => switchOff(),
    mend: () => done(switchOn()),
    goals: SILENT,
  },
  {
    id: 'clock',
    title: 'wall clock a day ahead for 10 s, then back',
    all: true,
    clock: true,
    hold: 10_000,
    strike: (server) => server.setClock(86_400),
    async mend(server) {
      server.setClock(-86_400);
      setTimeout(() => server.setClock(0), 5_000);
      return now();
    },
    goals: BRIDGED,
  },
  {
    id: 'suspend',
    title: 'Nightjar itself stopped for 60 s (SIGSTOP)',
    all: true,
    hold: 60_000,
    stops: true,
    strike: (server) => server.freeze(),
    mend: (server) => done(server.thaw()),
    // Cameras that are still there are kept, and nobody is told of a loss that was none.
    goals: { picture: { p50: 1, p95: 6 }, alerts: 0 },
  },
];
