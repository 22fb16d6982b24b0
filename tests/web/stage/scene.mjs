// One test: a browser of the file, programs and pages of its own, and a picture when it fails.

import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { launch, Wall } from './browser.mjs';
import { Companion } from './companion.mjs';
import { Phone } from './phone.mjs';
import { startCamera, startRelay, startServer } from './programs.mjs';

const out = process.env.NIGHTJAR_TEST_OUT
  ? join(process.env.NIGHTJAR_TEST_OUT, 'web')
  : join(dirname(dirname(fileURLToPath(import.meta.url))), 'out');
/** No test may hold the run up for longer. */
const LIMIT_MS = 90_000;

let browser = null;
after(() => browser?.close());

class Stage {
  #closers = [];
  #walls = [];
  #servers = [];

  async server(options) {
    const server = await startServer(options);
    this.#servers.push(server);
    this.#closers.push(async () => {
      const code = await server.stop();
      if (code !== 0) throw new Error(`the server ended with ${code}\n${server.log.join('\n')}`);
    });
    return server;
  }

  async camera(options) {
    const camera = await startCamera(options);
    this.#closers.push(() => camera.stop());
    return camera;
  }

  /** The relay alone. */
  async relay(args) {
    const relay = await startRelay(args);
    this.#closers.push(() => relay.stop());
    return relay;
  }

  /** Done at the end. */
  later(close) {
    this.#closers.push(close);
  }

  async wall(url, options) {
    browser ??= await launch();
    const wall = await Wall.open(browser, url, options);
    this.#walls.push(wall);
    return wall;
  }

  /** A phone with its page not yet open. */
  async phone(options) {
    browser ??= await launch();
    const phone = await Phone.hold(browser, options);
    this.#walls.push(phone);
    return phone;
  }

  /** The companion, not yet opened. */
  async companion(options) {
    browser ??= await launch();
    const companion = await Companion.hold(browser, options);
    this.#walls.push(companion);
    return companion;
  }

  /** An empty page. */
  async blank() {
    browser ??= await launch();
    const page = await browser.newPage();
    this.#closers.push(() => page.close());
    return page;
  }

  /** Everything that helps to understand a failure. */
  async keep(name) {
    mkdirSync(out, { recursive: true });
    const stem = join(out, name.replace(/[^a-z0-9]+/gi, '-').slice(0, 80));
    for (const [i, wall] of this.#walls.entries()) {
      const path = `${stem}-${i + 1}.png`;
      await wall.page?.screenshot({ path }).catch(() => {});
    }
    const log = this.#servers.flatMap((server) => server.log);
    const trouble = this.#walls.flatMap((wall) => wall.trouble);
    writeFileSync(`${stem}.log`, [...trouble, '', ...log].join('\n'));
    return stem;
  }

  get trouble() {
    return this.#walls.flatMap((wall) => wall.trouble);
  }

  async close() {
    for (const wall of this.#walls) await wall.close().catch(() => {});
    const ends = await Promise.allSettled(this.#closers.reverse().map((close) => close()));
    const bad = ends.find((end) => end.status === 'rejected');
    if (bad) throw bad.reason;
  }
}

/** A test on a stage: `act(stage)`. Errors in a page's console fail it, and so does a bad end. */
export function scene(name, act) {
  test(name, { timeout: LIMIT_MS }, async () => {
    const stage = new Stage();
    try {
      await act(stage);
      if (stage.trouble.length > 0) {
        throw new Error(`the console has errors:\n${stage.trouble.join('\n')}`);
      }
    } catch (error) {
      const stem = await stage.keep(name);
      await stage.close().catch(() => {});
      error.message += `\n(pictures and logs: ${stem}*)`;
      throw error;
    }
    await stage.close();
  });
}

/** Waits until `probe` gives a true value, and gives it. */
export async function eventually(what, probe, timeout = 25_000) {
  const until = Date.now() + timeout;
  let last;
  for (;;) {
    last = await probe();
    if (last) return last;
    if (Date.now() > until) throw new Error(`${what}: not within ${timeout} ms`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
