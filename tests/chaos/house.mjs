// A server that records demo cameras to a place of one's choice, and somebody who watches them all the while.

import { spawn } from 'node:child_process';
import { mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { built } from '../web/stage/programs.mjs';
import { begins, files, size } from './footage.mjs';
import { now, pause } from './network.mjs';
import { Witness } from './witness.mjs';

const SEGMENT_SECONDS = 5;

/**
 * `urls`: of the cameras; `options`: more lines of `[recording]`; `dir`: of an earlier one, to go on with; `attic`: the
 * root of another disk, to which every second camera is recorded.
 */
export class House {
  constructor({
    root = null,
    cameras = 4,
    urls = null,
    options = '',
    dir = null,
    attic = null,
  } = {}) {
    this.dir = dir ?? mkdtempSync(join(tmpdir(), 'nightjar-disk-'));
    this.root = root ?? join(this.dir, 'recordings');
    const places = urls ?? Array.from({ length: cameras }, (_, i) => `demo:${i + 1}`);
    this.ids = places.map((_, i) => `cam_${i + 1}`);
    const isAbove = (i) => attic !== null && i % 2 === 1;
    this.above = this.ids.filter((_, i) => isAbove(i));
    this.roots = Object.fromEntries(this.ids.map((id, i) => [id, isAbove(i) ? attic : this.root]));
    const blocks = places.map((url, i) => {
      const disk = isAbove(i) ? 'record_disk = "attic"\n' : '';
      return `[[camera]]\nid = "${this.ids[i]}"\nurl = "${url}"\nrecord = true\n${disk}`;
    });
    if (attic !== null) blocks.unshift(`[[recording.disk]]\nname = "attic"\nroot = "${attic}"\n`);
    const recording = `[recording]\nroot = "${this.root}"\nsegment_seconds = ${SEGMENT_SECONDS}\nmin_free_gb = 0.0\n${options}`;
    this.config = join(this.dir, `${places.length}.toml`);
    writeFileSync(this.config, `${recording}\n${blocks.join('')}`);
    this.offset = openSync(join(this.dir, 'clock'), 'w+');
    this.setClock(0);
  }

  /** The time of day of the server is off by so many seconds. Only where the shim was built. */
  setClock(seconds) {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(seconds));
    writeSync(this.offset, bytes, 0, 8, 0);
  }

  async start() {
    const args = ['--config', this.config, '--data-dir', this.dir, '--listen', '127.0.0.1:0'];
    const shim = process.env.NIGHTJAR_CHAOS_CLOCK;
    const env = {
      ...process.env,
      NIGHTJAR_CLOCK: join(this.dir, 'clock'),
      ...(shim ? { LD_PRELOAD: shim } : {}),
    };
    this.child = spawn(built('nightjar-server'), args, { stdio: ['ignore', 'pipe', 'pipe'], env });
    this.log = '';
    this.child.stderr.on('data', (text) => {
      this.log = (this.log + text).slice(-100_000);
    });
    this.base = await new Promise((resolve, reject) => {
      this.child.stdout.on('data', (text) => {
        const found = /listening on (http:\/\/[^\s/]+)/.exec(text);
        if (found) resolve(found[1]);
      });
      this.child.once('error', reject);
      this.child.once('exit', (code) => reject(new Error(`it ended with ${code}: ${this.log}`)));
    });
    this.ended = new Promise((resolve) => this.child.once('exit', resolve));
  }

  /** Watches the states of all cameras and their pictures from now on. */
  async watch() {
    this.witness = new Witness(this);
    for (const id of this.ids) this.witness.watch(id);
    await this.witness.live(this.ids);
  }

  socket(path) {
    return new WebSocket(`${this.base.replace(/^http/, 'ws')}${path}`);
  }

  async api(path) {
    const response = await fetch(`${this.base}/api/v1${path}`);
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return response.json();
  }

  /** A figure of the recorder. */
  async figure(name) {
    const page = await (await fetch(`${this.base}/metrics`)).text();
    const found = new RegExp(`^nightjar_recorder_${name} (\\S+)`, 'm').exec(page);
    return Number(found?.[1] ?? Number.NaN);
  }

  /** The recording of each camera as it was told last. */
  recordings() {
    return this.ids.map((id) => this.witness.latest(id)?.camera.recording);
  }

  /** When the last of all cameras was told to be in this state since then; throws when it takes too long. */
  async told(state, from, patience = 30_000, ids = this.ids) {
    const end = now() + patience;
    for (;;) {
      const first = ids.map((id) =>
        this.witness.first(id, from, ({ camera }) => camera.recording.state === state),
      );
      if (first.every(Boolean)) return Math.max(...first.map(({ at }) => at));
      if (now() > end) throw new Error(`not ${state}: ${JSON.stringify(this.recordings())}`);
      await pause(10);
    }
  }

  /** Waits until every camera is in this state. */
  async is(state, patience = 30_000) {
    const end = now() + patience;
    while (!this.recordings().every((one) => one?.state === state)) {
      if (now() > end) throw new Error(`not ${state}: ${JSON.stringify(this.recordings())}`);
      await pause(10);
    }
  }

  /** Waits until something is written for every camera; when that was. */
  async writes(patience = 20_000) {
    const sums = () =>
      this.ids.map((id) =>
        files(this.roots[id])
          .filter((name) => name.startsWith(join(this.roots[id], id)))
          .reduce((sum, name) => sum + size(name), 0),
      );
    const [before, end] = [sums(), now() + patience];
    for (;;) {
      const after = sums();
      if (after.every((bytes, i) => bytes > before[i])) return now();
      if (now() > end) throw new Error(`nothing is written: ${JSON.stringify(this.recordings())}`);
      await pause(25);
    }
  }

  /** Waits until every camera has a file that begins after `since` (ms since 1970). */
  async begun(since, patience = 30_000) {
    const end = now() + patience;
    const has = (id) =>
      files(this.root).some((name) => name.startsWith(join(this.root, id)) && begins(name) > since);
    while (!this.ids.every(has)) {
      if (now() > end) throw new Error(`no file begins: ${this.log.slice(-2_000)}`);
      await pause(25);
    }
  }

  /** The longest time without a fragment at any viewer between two moments, ms; and viewers that were cut off. */
  live(from, until) {
    const viewers = this.ids.map((id) => this.witness.viewers.get(id));
    return {
      longest: Math.max(...viewers.map((viewer) => viewer.longestGap(from, until))),
      closed: viewers.reduce((sum, viewer) => sum + viewer.closedSince(from), 0),
    };
  }

  kill() {
    this.witness?.end();
    this.child.removeAllListeners('exit');
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill('SIGKILL');
    return ended;
  }

  /** Ends it as a person would; its exit code. */
  stop() {
    this.witness?.end();
    this.child.kill('SIGTERM');
    return this.ended;
  }

  clean() {
    rmSync(this.dir, { recursive: true, force: true });
  }
}
