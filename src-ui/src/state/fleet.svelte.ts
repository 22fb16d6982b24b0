/** The cameras as the page knows them, reactive: the fold of `world.ts`, fed by `feed.ts`. */
import type { Alert, Camera, Platform } from '../platform/types';
import { type Broken, Feed, type Link } from './feed';
import { instant } from './format';
import { emptyWorld, type World } from './world';

export class Fleet {
  #world = $state.raw<World>(emptyWorld);
  #link = $state<Link>('connecting');
  #broken = $state.raw<Broken | null>(null);
  #known = $state(false);
  #clockOffset = $state(0);
  #feed: Feed;
  readonly platform: Platform;

  constructor(platform: Platform) {
    this.platform = platform;
    this.#feed = new Feed(platform, {
      onWorld: (world) => {
        this.#world = world;
        this.#known = true;
      },
      onLink: (link, why) => {
        this.#link = link;
        this.#broken = why;
        // Clocks are set, computers sleep: each snapshot is read by its own time.
        if (link === 'online' && this.#known) this.#measure();
      },
    });
  }

  get cameras(): ReadonlyMap<string, Camera> {
    return this.#world.cameras;
  }
  get alerts(): readonly Alert[] {
    return this.#world.alerts;
  }
  /** The server's run; null before it was told. */
  get run(): string | null {
    return this.#world.run;
  }
  get link(): Link {
    return this.#link;
  }
  /** Why there is no server, where it is known that there is none. */
  get broken(): Broken | null {
    return this.#broken;
  }
  /** A snapshot has come since the page was opened. */
  get known(): boolean {
    return this.#known;
  }
  /** Server clock minus this machine's, ms. */
  get clockOffset(): number {
    return this.#clockOffset;
  }

  /** A moment that the server tells, on this machine's clock; null where it is none. */
  local(text: string | null | undefined): number | null {
    const at = instant(text);
    return at === null ? null : at - this.#clockOffset;
  }

  /** Has a server that did not start started once more. */
  async again(): Promise<void> {
    await this.platform.desktop?.again();
    this.#feed.start();
  }

  #measure(): void {
    this.platform
      .clockOffset()
      .then((offset) => {
        this.#clockOffset = offset;
      })
      .catch(() => {});
  }

  start(): () => void {
    this.#feed.start();
    this.#measure();
    const back = () => this.#feed.start();
    const gone = () => this.#feed.doubt();
    addEventListener('online', back);
    addEventListener('offline', gone);
    return () => {
      removeEventListener('online', back);
      removeEventListener('offline', gone);
      this.#feed.stop();
    };
  }
}
