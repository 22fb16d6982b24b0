// The companion on this machine: its page as it is bundled, in a browser, and its own signaling in Rust
// beside it (mobile/examples/companion.rs). What Tauri does between the two is played here: commands go
// out by their names, and channels bring back what is told, in order.

import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { Phone } from './phone.mjs';
import { built, root } from './programs.mjs';

/** Where the app shows its page. */
const ORIGIN = 'https://tauri.localhost';
const PAGE = join(root, 'mobile', 'web', 'dist-app');
const TYPES = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
};

const { security } = JSON.parse(readFileSync(join(root, 'mobile', 'tauri.conf.json'), 'utf8')).app;
const policy = Object.entries(security.csp)
  .map(([name, value]) => `${name} ${value}`)
  .join('; ');

/** As Tauri's own script in the page, which runs before the page's. */
const internals = `
  if (${security.freezePrototype}) Object.freeze(Object.prototype);
  const callbacks = new Map();
  window.__TAURI_INTERNALS__ = {
    transformCallback(callback, once = false) {
      const [id] = crypto.getRandomValues(new Uint32Array(1));
      callbacks.set(id, (value) => {
        if (once) callbacks.delete(id);
        callback(value);
      });
      return id;
    },
    unregisterCallback: (id) => callbacks.delete(id),
    async invoke(command, args = {}) {
      const { ok, error } = await window.__companion(command, JSON.stringify(args));
      if (error !== undefined) throw error;
      return ok;
    },
  };
  window.__told = (id, value) => callbacks.get(id)?.(value);
`;

export class Companion extends Phone {
  /** Every command of the page with what it was given, in order. */
  asked = [];
  #child;
  #next = 1;
  #waiting = new Map();
  #listeners = new Map();
  #link = null;

  static async hold(browser, { expected = [] } = {}) {
    const context = await browser.newContext({
      ...Phone.kind(),
      // It trusts no certificate but by its own Rust.
      ignoreHTTPSErrors: false,
    });
    const companion = await Phone.in(context, { expected, as: new Companion() });
    companion.#start();
    await context.route(`${ORIGIN}/**`, (route) => companion.#give(route));
    await context.exposeBinding('__companion', (_, command, args) =>
      companion.#command(command, JSON.parse(args)),
    );
    await context.addInitScript({ content: internals });
    return companion;
  }

  /** Opens the app; `link` is what the system opened it with. */
  launch(link = null) {
    this.#link = link;
    return this.open(`${ORIGIN}/`);
  }

  /** The system opens the running app with a link. */
  async follow(link) {
    for (const id of this.#listeners.get('deep-link://new-url') ?? []) {
      const event = { event: 'deep-link://new-url', id, payload: [link] };
      await this.#tell(id, event);
    }
  }

  #start() {
    const path = built(join('examples', 'companion'));
    if (!existsSync(path)) throw new Error(`${path} is not built`);
    this.#child = spawn(path, [], { stdio: ['pipe', 'pipe', 'inherit'] });
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      const said = JSON.parse(line);
      if ('channel' in said) {
        const { channel, index, message } = said;
        this.#tell(channel, { index, message });
      } else {
        this.#waiting.get(said.id)?.(said);
        this.#waiting.delete(said.id);
      }
    });
  }

  #tell(id, value) {
    // A page that is being left hears nothing.
    return this.page
      .evaluate(([to, what]) => window.__told?.(to, what), [id, value])
      .catch(() => {});
  }

  async #command(command, args) {
    switch (command) {
      case 'plugin:deep-link|get_current': {
        return { ok: this.#link === null ? null : [this.#link] };
      }
      case 'plugin:event|listen': {
        this.#listeners.set(args.event, [args.handler]);
        return { ok: args.handler };
      }
      case 'dial':
      case 'say':
      case 'hang_up': {
        this.asked.push({ command, ...args });
        const { tell } = args;
        if (tell) args.tell = Number(tell.replace('__CHANNEL__:', ''));
        const id = this.#next++;
        const answer = new Promise((resolve) => this.#waiting.set(id, resolve));
        this.#child.stdin.write(`${JSON.stringify({ id, command, args })}\n`);
        return answer;
      }
      default:
        return { error: `${command} is not there` };
    }
  }

  async #give(route) {
    const { pathname } = new URL(route.request().url());
    const file = join(PAGE, pathname === '/' ? 'index.html' : pathname);
    if (!file.startsWith(PAGE) || !existsSync(file)) return route.fulfill({ status: 404 });
    const headers = { 'content-security-policy': policy };
    return route.fulfill({ body: readFileSync(file), contentType: TYPES[extname(file)], headers });
  }

  async close() {
    await super.close();
    const ended = new Promise((resolve) => this.#child.on('exit', resolve));
    this.#child.stdin.end();
    await ended;
  }
}
