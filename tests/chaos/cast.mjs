// Who plays: real cameras in networks of their own, and the real server.

import { spawn } from 'node:child_process';
import { mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { built, root } from '../web/stage/programs.mjs';
import { now, pause } from './network.mjs';

const START_MS = 30_000;
const RESET_MS = 2_000;
/** What is kept of a program's words. */
const LOG_LINES = 2_000;

/** A program that said `pattern`; `log` goes on being filled. */
async function ready(child, pattern, log, hear = () => {}) {
  const follow = (stream, seen) => {
    createInterface({ input: stream }).on('line', (line) => {
      log.push(line);
      if (log.length > LOG_LINES) log.shift();
      seen?.(line);
      hear(line);
    });
  };
  const said = new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error('not ready in time')), START_MS);
    follow(child.stdout, (line) => {
      const match = pattern.exec(line);
      if (!match) return;
      clearTimeout(late);
      resolve({ match, at: now() });
    });
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      clearTimeout(late);
      reject(new Error(`ended with ${code ?? signal}`));
    });
  });
  follow(child.stderr);
  try {
    return await said;
  } catch (error) {
    throw new Error(`${child.spawnargs.join(' ')}: ${error.message}\n${log.join('\n')}`);
  }
}

/** A camera: `testcam`, which can be told to misbehave, or GStreamer's server, which nobody here wrote. */
export class Camera {
  log = [];
  /** Hears each line of the program. */
  #told = null;

  constructor(wire, make) {
    this.wire = wire;
    this.make = make;
    this.id = `cam_${String(wire.n).padStart(2, '0')}`;
    this.fps = 25;
    this.password = 'right-one';
  }

  get spec() {
    const path = this.make === 'testcam' ? 'main' : 'h264';
    const login = this.make === 'testcam' ? { username: 'viewer', password: 'right-one' } : {};
    return { id: this.id, url: `rtsp://${this.wire.host}:8554/${path}`, ...login };
  }

  /** Starts it; resolves to the moment from which it answers. */
  async start(fault = 'none') {
    const anywhere = '0.0.0.0:8554';
    const [path, args] =
      this.make === 'testcam'
        ? [
            built('nightjar-testcam'),
            ['--listen', anywhere, '--user', 'viewer', '--password', this.password]
              .concat(['--fault', fault, '--control'])
              .concat(['--clip', `builtin:${this.clip ?? 'front-door'}`, '--sound', 'pcmu']),
          ]
        : ['/usr/bin/python3', [join(root, 'tests/gstreamer/rtsp_server.py'), anywhere]];
    this.child = this.wire.spawn(path, args);
    // Killed while it is told something.
    this.child.stdin.on('error', () => {});
    const told = (line) => this.#told?.(line);
    const { at } = await ready(this.child, /^frame 0 of|^\{"open"/, this.log, told);
    const schedule = /^frame 0 of (\d+) left at .* the clip lasts (\d+) ms/;
    const said = this.log.map((line) => schedule.exec(line)).find(Boolean);
    if (said) this.fps = (Number(said[1]) * 1000) / Number(said[2]);
    return at;
  }

  /** Cuts its power: nothing is said to anybody. */
  async kill() {
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill('SIGKILL');
    await ended;
  }

  freeze = () => this.child.kill('SIGSTOP');
  thaw = () => this.child.kill('SIGCONT');

  /** Resets what plays now (testcam); resolves to the moment in which it was done, where that is told in time. */
  reset() {
    const done = new Promise((resolve) => {
      this.#told = (line) => {
        if (line === 'reset') resolve(now());
      };
    });
    this.child.stdin.write('reset\n');
    return Promise.race([done, pause(RESET_MS)]);
  }

  /** Another fault from now on (testcam). */
  behave(fault) {
    this.child.stdin.write(`fault ${fault}\n`);
  }
}

/** The server with a clock that can be set, and a folder of its own. */
export class Server {
  log = [];

  async start(config = '') {
    this.dir = mkdtempSync(join(tmpdir(), 'nightjar-chaos-'));
    const file = join(this.dir, 'nightjar.toml');
    writeFileSync(file, config);
    const offset = join(this.dir, 'clock');
    this.offset = openSync(offset, 'w+');
    this.setClock(0);
    const args = [
      '--config',
      file,
      '--data-dir',
      join(this.dir, 'data'),
      '--listen',
      '127.0.0.1:0',
    ];
    const shim = process.env.NIGHTJAR_CHAOS_CLOCK;
    const env = { ...process.env, NIGHTJAR_CLOCK: offset, ...(shim ? { LD_PRELOAD: shim } : {}) };
    this.child = spawn(built('nightjar-server'), [...args, '--log', 'info'], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env,
    });
    const { match } = await ready(this.child, /^listening on (http:\/\/[^\s/]+)/, this.log);
    this.base = match[1];
    this.child.on('exit', (code, signal) => {
      this.ended = code ?? signal;
    });
  }

  get pid() {
    return this.child.pid;
  }

  /** The time of day is off by so many seconds from now on. Only where the shim was built. */
  setClock(seconds) {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(seconds));
    writeSync(this.offset, bytes, 0, 8, 0);
  }

  freeze = () => this.child.kill('SIGSTOP');
  thaw = () => this.child.kill('SIGCONT');

  socket(path) {
    return new WebSocket(`${this.base.replace(/^http/, 'ws')}${path}`);
  }

  async api(method, path, body) {
    const headers = body ? { 'Content-Type': 'application/json' } : {};
    const request = { method, headers, ...(body ? { body: JSON.stringify(body) } : {}) };
    const response = await fetch(`${this.base}/api/v1${path}`, request);
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text === '' ? null : JSON.parse(text);
  }

  /** Ends it as a person would. */
  async stop() {
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill('SIGTERM');
    const code = await ended;
    rmSync(this.dir, { recursive: true, force: true });
    return code;
  }
}
