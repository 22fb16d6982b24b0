// The real programs, each as a process of its own with its own folder and a free port.
// Whatever was started here ends with this process at the latest.

import { spawn } from 'node:child_process';
import { accessSync, constants, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { shelve } from './footage.mjs';

export const root = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));
const target =
  process.env.NIGHTJAR_TARGET_DIR ||
  process.env.CARGO_TARGET_DIR ||
  join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'nightjar', 'target');
/** `debug` for the tests, `release` for the figures. */
const profile = process.env.NIGHTJAR_PROFILE || 'debug';
/** A start takes well under a second; a machine under load gets more. */
const START_MS = 30_000;
const END_MS = 8_000;
/** What is kept of a program's words, for the report of a failed test. */
const LOG_LINES = 400;

/** Where a program of the workspace lies. */
export function built(name) {
  return join(target, profile, name + (process.platform === 'win32' ? '.exe' : ''));
}

/** The browser, or null where there is none. */
export function chromium() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM;
  const folders = (process.env.PATH ?? '').split(delimiter);
  for (const name of ['chromium', 'chromium-browser', 'google-chrome', 'chrome']) {
    for (const folder of folders) {
      const path = join(folder, name);
      try {
        accessSync(path, constants.X_OK);
        return path;
      } catch {
        // not in this folder
      }
    }
  }
  return null;
}

/** What the tests need and this machine lacks, in words. */
export function missing() {
  const words = [];
  if (chromium() === null) words.push('browser tests: Chromium is not installed');
  return words;
}

const running = new Set();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** One running program. */
class Program {
  log = [];
  /** Resolves with the exit code, or the signal's name. */
  ended;

  constructor(name, args) {
    const path = built(name);
    if (!existsSync(path)) throw new Error(`${path} is not built`);
    this.name = name;
    this.child = spawn(path, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    running.add(this.child);
    this.ended = new Promise((resolve) => {
      this.child.on('exit', (code, signal) => {
        running.delete(this.child);
        if (!this.#told) {
          process.stderr.write(`${name} ended with ${code ?? signal}\n${this.log.join('\n')}\n`);
        }
        resolve(code ?? signal);
      });
      this.child.on('error', () => resolve('error'));
    });
    this.#follow(this.child.stdout);
    this.#follow(this.child.stderr);
  }

  get pid() {
    return this.child.pid;
  }

  #follow(stream) {
    let rest = '';
    stream.setEncoding('utf8');
    stream.on('data', (text) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop();
      for (const line of lines) {
        this.log.push(line);
        if (this.log.length > LOG_LINES) this.log.shift();
        this.#waiting?.(line);
      }
    });
  }

  #waiting = null;
  /** It was asked to end. */
  #told = false;

  /** The first line of the output that matches. */
  async line(pattern) {
    const early = this.log.map((line) => pattern.exec(line)).find(Boolean);
    if (early) return early;
    const found = new Promise((resolve) => {
      this.#waiting = (line) => {
        const match = pattern.exec(line);
        if (match) resolve(match);
      };
    });
    const late = new Promise((_, reject) => {
      setTimeout(() => reject(new Error('it did not get ready in time')), START_MS).unref();
    });
    const over = this.ended.then((code) => {
      throw new Error(`it ended with ${code}`);
    });
    try {
      return await Promise.race([found, late, over]);
    } catch (error) {
      throw new Error(`${this.name}: ${error.message}\n${this.log.join('\n')}`);
    } finally {
      this.#waiting = null;
    }
  }

  /** Ends it as a person would, and by force if it does not listen. */
  async stop(signal = 'SIGTERM') {
    this.#told = true;
    this.child.kill('SIGCONT');
    this.child.kill(signal);
    const force = setTimeout(() => this.child.kill('SIGKILL'), END_MS);
    const code = await this.ended;
    clearTimeout(force);
    return code;
  }

  /** Cuts its power. */
  async kill() {
    this.#told = true;
    this.child.kill('SIGKILL');
    await this.ended;
  }
}

/**
 * A server with a data folder of its own; `config` is the text of its configuration file, `footage` what
 * was recorded before (see `footage.mjs`). With `again`, what an earlier one's `again()` gave, it has
 * that one's folder and address.
 */
export async function startServer(options = {}) {
  const { config = '', demo = 0, log = 'info', footage = null, again = null } = options;
  const dir = again?.dir ?? mkdtempSync(join(tmpdir(), 'nightjar-web-'));
  const file = join(dir, 'test.toml');
  if (again === null) writeFileSync(file, config);
  const listen = again?.listen ?? '127.0.0.1:0';
  const demos = demo > 0 ? ['--demo', String(demo)] : [];
  const args = ['--config', file, '--data-dir', join(dir, 'data'), '--listen', listen];
  const start = () => new Program('nightjar-server', [...args, ...demos, '--log', log]);
  const listening = /^listening on (http:\/\/\S+)/;
  if (footage) {
    // The first start makes the catalogue.
    const first = start();
    await first.line(listening);
    await first.stop();
    shelve(join(dir, 'data'), footage);
  }
  const program = start();
  const [, url] = await program.line(listening);
  const base = url.replace(/\/$/, '');
  let over = false;
  return {
    url: base,
    pid: program.pid,
    get log() {
      return program.log;
    },
    /** One request to the interface; throws with the server's words when it is refused. */
    async api(method, path, body, headers = {}) {
      const response = await fetch(`${base}/api/v1${path}`, {
        method,
        headers: body ? { 'Content-Type': 'application/json', ...headers } : headers,
        ...(body ? { body: JSON.stringify(body) } : {}),
      });
      const text = await response.text();
      if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
      return text === '' ? null : JSON.parse(text);
    },
    /** Cuts its power; gives what `startServer` takes to bring it back. */
    async again() {
      over = true;
      await program.kill();
      return { dir, listen: new URL(base).host };
    },
    async stop() {
      if (over) return 0;
      const code = await program.stop();
      rmSync(dir, { recursive: true, force: true });
      return code;
    },
  };
}

/** The relay without a server behind it. */
export async function startRelay(args) {
  const program = new Program('nightjar-relay', ['--listen', '127.0.0.1:0', ...args]);
  const [, url] = await program.line(/^listening on (http:\/\/\S+)/);
  return { url, log: program.log, stop: () => program.stop() };
}

/** A camera; its port stays the same when it is started again with `port`. */
export async function startCamera({ port = 0, ...rest } = {}) {
  const args = ['--listen', `127.0.0.1:${port}`];
  for (const [name, value] of Object.entries(rest)) {
    args.push(`--${name}`, ...(value === true ? [] : [String(value)]));
  }
  const program = new Program('nightjar-testcam', args);
  const [, url] = await program.line(/^ready at (rtsps?:\/\/\S+)/);
  const [, frames, first, loopMs] = await program.line(
    /^frame 0 of (\d+) left at ([\d.]+) ms, the clip lasts (\d+) ms/,
  );
  return {
    url,
    /** Frame `n` leaves at `first + n · loopMs / frames`, ms since 1970, and every `loopMs` later. */
    schedule: { frames: Number(frames), first: Number(first), loopMs: Number(loopMs) },
    port: Number(new URL(url.replace(/^rtsps?/, 'http')).port),
    get log() {
      return program.log;
    },
    /** Freezes it: its connections stay open and nothing comes out. */
    freeze: () => program.child.kill('SIGSTOP'),
    thaw: () => program.child.kill('SIGCONT'),
    kill: () => program.kill(),
    stop: () => program.stop(),
  };
}
