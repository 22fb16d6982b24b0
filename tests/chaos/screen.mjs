// The wall in Chromium, as a person who watches one camera has it: by WebRTC, or by MSE where the browser is made to
// lack that. Tells when pictures were on the screen, and whether anything had to be dialled again.

import { launch, Wall } from '../web/stage/browser.mjs';
import { now } from './network.mjs';

/** Frames so close together move; a single one could be a picture that was kept. */
const MOVES = 3;

export class Screen {
  static async open(server, id, transport) {
    const screen = new Screen();
    screen.id = id;
    screen.transport = transport;
    screen.browser = await launch();
    const url = `${server.base}/#/wall/${encodeURIComponent(id)}`;
    const without = transport === 'mse' ? ['webrtc'] : [];
    // What a page says of a server that stands still is part of the fault.
    screen.wall = await Wall.open(screen.browser, url, { without, width: 640, height: 360 });
    await screen.wall.playing(id, transport);
    screen.document = await screen.wall.page.evaluate(() => {
      window.sameDocument = crypto.randomUUID();
      return window.sameDocument;
    });
    return screen;
  }

  /** Where it stands before a fault. */
  async mark() {
    const { redials } = await this.wall.report(this.id);
    return { frames: (await this.wall.frames(this.id)).length, redials };
  }

  /** What came since: when pictures moved again after a moment, and how often it dialled. */
  async since(mark, moment) {
    const same = await this.wall.page.evaluate(() => window.sameDocument ?? null);
    const { redials, transport } = await this.wall.report(this.id);
    // The page's clock is the time of day, ours is not.
    const offset = now() - Date.now();
    const frames = (await this.wall.frames(this.id, mark.frames))
      .map((frame) => ({ ...frame, at: frame.at + offset }))
      .filter((frame) => frame.at > moment);
    const moving = frames.find((frame, i) => {
      const next = frames[i + MOVES];
      return next !== undefined && next.at - frame.at < 1_000 && next.number !== frame.number;
    });
    return {
      transport,
      moves: moving?.at ?? null,
      redials: redials - mark.redials,
      reloaded: same !== this.document,
    };
  }

  async close() {
    await this.browser.close();
  }
}
