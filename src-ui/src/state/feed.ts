/**
 * Keeps the world fresh: one event socket, dialled again whenever it ends. Owner of that retry.
 * Invariant: at most one socket or one timer exists at a time.
 */
import { ApiError, type Platform, type Socket } from '../platform/types';
import { feedDelay, GOOD_AFTER_MS } from './redial';
import { emptyWorld, parseEvent, step, type World } from './world';

/** Live cameras tell their figures every two seconds: silence for this long is a dead socket, ms. */
const SILENCE_MS = 10_000;
/** The same where nothing happens: the server says so every ten seconds. */
const QUIET_MS = 25_000;
/** The same after the browser said that there is no network: this server may be on this side of it. */
const DOUBT_MS = 3000;
/** From a dial to the snapshot: a request into a network that was gone is not waited for. */
const DIAL_MS = 4000;
/** The same each third time, for a server that is far away. */
const LONG_DIAL_MS = 10_000;
/** Whether the door asks for a token is waited for so long; it may be said later, too. */
const CHECK_MS = 1000;

export type Link = 'connecting' | 'online' | 'offline' | 'locked' | 'broken';

/** Why there is no server to speak to, where that is known: the desktop's may not have started. */
export interface Broken {
  code: string;
  message: string;
}

/** Errors of a request to a server that may be there all the same. */
const ON_THE_WAY: ReadonlySet<string> = new Set(['unreachable', 'aborted']);

export interface FeedListener {
  onWorld(world: World): void;
  /** `why` comes with `broken`. */
  onLink(link: Link, why: Broken | null): void;
}

export class Feed {
  #platform: Platform;
  #listener: FeedListener;
  #world: World = emptyWorld;
  #socket: Socket | null = null;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #silence: ReturnType<typeof setTimeout> | null = null;
  #attempt = 0;
  #link: Link = 'connecting';
  #onlineSince = 0;
  /** Nobody wants to hear of it any more. */
  #over = false;
  /** Raised with every dial, so that a late answer of an older one is recognised. */
  #turn = 0;

  constructor(platform: Platform, listener: FeedListener) {
    this.#platform = platform;
    this.#listener = listener;
  }

  /** Dials at once, whatever was planned. */
  start(): void {
    this.stop();
    this.#over = false;
    if (this.#link === 'broken') this.#say('connecting');
    void this.#dial();
  }

  /** The browser says that the network is gone: where cameras are live, their figures show whether it is. */
  doubt(): void {
    if (this.#world.seq !== null && this.#talks()) this.#listen(DOUBT_MS);
  }

  stop(): void {
    this.#over = true;
    this.#halt();
  }

  #halt(): void {
    this.#turn += 1;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#silence !== null) clearTimeout(this.#silence);
    this.#silence = null;
    this.#socket?.close();
    this.#socket = null;
  }

  async #dial(): Promise<void> {
    const turn = ++this.#turn;
    this.#world = emptyWorld;
    const limit = this.#attempt % 3 === 2 ? LONG_DIAL_MS : DIAL_MS;
    this.#silence = setTimeout(() => void this.#lost(), limit);
    try {
      const socket = await this.#platform.events({
        onText: (text) => {
          if (turn === this.#turn) this.#onText(text);
        },
        onClose: () => {
          if (turn === this.#turn) void this.#lost();
        },
      });
      if (turn === this.#turn) this.#socket = socket;
      else socket.close();
    } catch {
      if (turn === this.#turn) void this.#lost();
    }
  }

  #onText(text: string): void {
    const message = parseEvent(text);
    const result =
      message === null ? ({ kind: 'resnapshot' } as const) : step(this.#world, message);
    if (result.kind === 'resnapshot') {
      // A connection starts with a snapshot, so a new one is the way to ask for it.
      void this.#lost();
      return;
    }
    if (this.#world.seq === null) {
      this.#onlineSince = Date.now();
      this.#say('online');
    }
    this.#world = result.world;
    this.#listener.onWorld(result.world);
    this.#listen();
  }

  /** A socket through a network that vanished looks open for minutes; its silence tells. */
  #listen(limit = this.#talks() ? SILENCE_MS : QUIET_MS): void {
    if (this.#silence !== null) clearTimeout(this.#silence);
    this.#silence = setTimeout(() => {
      // So long without a word, nothing on the wall is known to be live.
      this.#say('offline');
      void this.#lost();
    }, limit);
  }

  /** A socket does not say why it was refused; a plain request does. */
  async #check(): Promise<void> {
    try {
      await this.#platform.check();
    } catch (error) {
      if (!(error instanceof ApiError) || this.#over || this.#world.seq !== null) return;
      const { status, code, message } = error;
      if (status === 401) {
        this.#halt();
        this.#say('locked');
      } else if (status === 0 && !ON_THE_WAY.has(code)) {
        // There is nothing to look for: a person has to do something first.
        this.#halt();
        this.#say('broken', { code, message });
      }
    }
  }

  #talks(): boolean {
    return [...this.#world.cameras.values()].some(({ state }) => state.name === 'live');
  }

  #say(link: Link, why: Broken | null = null): void {
    this.#link = link;
    this.#listener.onLink(link, why);
  }

  async #lost(): Promise<void> {
    const wasOnline = this.#world.seq !== null;
    if (wasOnline && Date.now() - this.#onlineSince >= GOOD_AFTER_MS) this.#attempt = 0;
    this.#halt();
    const turn = this.#turn;
    if (!wasOnline) {
      // The answer may take long; that it is lost is known already.
      if (this.#link === 'online') this.#say('offline');
      await Promise.race([this.#check(), new Promise((done) => setTimeout(done, CHECK_MS))]);
      if (turn !== this.#turn) return;
    }
    const delay = feedDelay(this.#attempt);
    this.#attempt += 1;
    if (delay > 0) this.#say('offline');
    this.#timer = setTimeout(() => void this.#dial(), delay);
  }
}
