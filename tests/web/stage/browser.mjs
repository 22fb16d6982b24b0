// The real browser, and the wall in it as a person sees it.

import { readFileSync } from 'node:fs';
import { chromium as driver } from 'playwright-core';
import { chromium } from './programs.mjs';

/** Longer than anything here takes on a machine that does other work too. */
export const PATIENCE_MS = 25_000;
const eye = readFileSync(new URL('./eye.js', import.meta.url), 'utf8');
export const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--autoplay-policy=no-user-gesture-required',
  // A phone's camera and microphone, and a person who allows them.
  '--use-fake-device-for-media-stream',
  '--use-fake-ui-for-media-stream',
];
/** What the browser lacks when a test takes it away. */
const WITHOUT = {
  webrtc: 'delete window.RTCPeerConnection; delete window.webkitRTCPeerConnection;',
  mse: 'delete window.MediaSource; delete window.ManagedMediaSource; delete window.WebKitMediaSource;',
};

export function launch() {
  return driver.launch({ executablePath: chromium(), headless: true, args: FLAGS });
}

/** One page of the wall with everything that went wrong in it. */
export class Wall {
  /** Console errors, uncaught errors and violations of the page's policy. */
  trouble = [];
  #expected;

  /** `without`: what this browser shall lack. `expected`: errors that belong to the test. */
  static async open(browser, url, options = {}) {
    const { without = [], expected = [], width = 1280, height = 720, prefs = null } = options;
    const context = await browser.newContext({
      viewport: { width, height },
      locale: options.locale ?? 'en-GB',
      colorScheme: options.colorScheme ?? 'dark',
      ...(options.context ?? {}),
    });
    context.setDefaultTimeout(PATIENCE_MS);
    await context.addInitScript({ content: eye });
    for (const what of without) await context.addInitScript({ content: WITHOUT[what] });
    if (prefs) {
      await context.addInitScript((value) => {
        if (!localStorage.getItem('nightjar.prefs')) {
          localStorage.setItem('nightjar.prefs', value);
        }
      }, JSON.stringify(prefs));
    }
    const wall = new Wall();
    wall.#expected = expected;
    wall.context = context;
    wall.page = await context.newPage();
    wall.page.on('console', (message) => {
      if (message.type() !== 'error') return;
      const { url: from } = message.location();
      // Before the first key frame there is no picture to keep: the browser notes that by itself.
      const early = /\/snapshot\.jpg/.test(from) && /status of 503/.test(message.text());
      if (!early) wall.#note(`${message.text()} ${from}`);
    });
    wall.page.on('pageerror', (error) => wall.#note(`uncaught: ${error.stack ?? error}`));
    await wall.page.goto(url);
    return wall;
  }

  #note(text) {
    if (!this.#expected.some((pattern) => pattern.test(text))) this.trouble.push(text);
  }

  close() {
    return this.context.close();
  }

  tile(id) {
    return this.page.locator(`[data-tile="${id}"]`);
  }

  /** Says something to the relay, as a viewer of the older systems in this room. */
  says(room, message) {
    return this.page.evaluate(
      ([join, text]) =>
        new Promise((resolve, reject) => {
          const socket = new WebSocket(`${location.origin.replace('http', 'ws')}/signal`);
          socket.onerror = () => reject(new Error('no signaling'));
          socket.onopen = () => socket.send(join);
          socket.onmessage = ({ data }) => {
            if (JSON.parse(data).type !== 'joined_room') return;
            socket.send(text);
            window.__viewer = socket;
            resolve();
          };
        }),
      [
        JSON.stringify({ type: 'join_room', data: { room, role: 'viewer' } }),
        JSON.stringify(message),
      ],
    );
  }

  /** What the tile shows, as `window.__nightjar` tells it, after its figures were renewed. */
  report(id) {
    return this.page.evaluate(async (which) => {
      const all = await window.__nightjar.measure();
      const found = all.find((one) => one.id === which);
      if (!found) return null;
      const { video, ...rest } = found;
      return { ...rest, sound: video?.webkitAudioDecodedByteCount ?? null };
    }, id);
  }

  /** Waits until the page says so; `what` stands in the error. */
  async until(what, predicate, argument, timeout = PATIENCE_MS) {
    try {
      return await this.page.waitForFunction(predicate, argument, { timeout, polling: 50 });
    } catch (error) {
      const words = await this.page.locator('body').ariaSnapshot();
      throw new Error(`${what}: ${error.message.split('\n')[0]}\nThe page says:\n${words}`);
    }
  }

  /** Waits for moving pictures in a tile, and follows it from then on. */
  async playing(id, transport = null) {
    await this.until(
      `${id} plays${transport ? ` by ${transport}` : ''}`,
      ([which, way]) => {
        const tile = window.__eye?.tile(which);
        if (tile?.state !== 'playing' || (way !== null && tile.transport !== way)) return false;
        window.__eye.watch(which);
        const numbers = window.__eye.frames(which).map((frame) => frame.number);
        return new Set(numbers.filter((number) => number !== null)).size >= 3;
      },
      [id, transport],
    );
  }

  /** The frames that a tile showed from its `from`-th on. */
  frames(id, from = 0) {
    return this.page.evaluate(
      ([which, start]) => window.__eye.frames(which).slice(start),
      [id, from],
    );
  }

  /** Waits until a tile has shown this many more frames; gives them. */
  async more(id, count) {
    const before = (await this.frames(id)).length;
    await this.until(
      `${id} shows ${count} more frames`,
      ([which, wanted]) => window.__eye.frames(which).length >= wanted,
      [id, before + count],
    );
    return this.frames(id, before);
  }
}

/**
 * How far a picture strayed from the camera's own pace, ms: the frame numbers went on by as much as
 * the time did, up to this. A request of the browser for a whole picture is answered from the last
 * key frame on, so single steps back are no fault; a picture that falls behind or stands still is.
 */
export function strayed(frames, { length = 200, fps = 25 } = {}) {
  const good = frames.filter((frame) => frame.number !== null);
  const [first, last] = [good[0], good.at(-1)];
  const steps = (last.number - first.number + length) % length;
  const wanted = (((last.at - first.at) / 1000) * fps) % length;
  const off = Math.abs(steps - wanted);
  return (Math.min(off, length - off) / fps) * 1000;
}

/** How long after it left a test camera a frame was on the screen, ms. */
export function behind({ first, frames, loopMs }, { number, at }) {
  const left = first + (number * loopMs) / frames;
  // The clip loops: the newest time at which this number left before it was seen.
  return at - (left + Math.floor((at - left) / loopMs) * loopMs);
}

/** The longest time between two frames, ms. */
export function longestGap(frames) {
  let longest = 0;
  for (let i = 1; i < frames.length; i++) {
    longest = Math.max(longest, frames[i].at - frames[i - 1].at);
  }
  return longest;
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

/** The value below which 95 of 100 lie (nearest rank). */
export function p95(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * 0.95) - 1)];
}
