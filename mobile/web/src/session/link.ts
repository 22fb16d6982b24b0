/**
 * The link to the computer: dialling, proving who one is, being in, and noticing that it is gone. Pure.
 * Invariant: every dial has a number, and nothing of an earlier one is listened to.
 */
import { Dialling } from './dialling';
import type { Action } from './events';

type State =
  | { is: 'down' }
  | { is: 'waiting'; until: number }
  | { is: 'dialling'; since: number }
  | { is: 'proving'; since: number; heardAt: number }
  | { is: 'in'; since: number; heardAt: number; pingedAt: number };

/** An answer of any kind must have come by then, ms. */
const DIAL_LIMIT_MS = 4000;
/** A person who looks at two codes takes a while; everything else is quick, ms. */
const PROVE_LIMIT_MS = 10_000;
/** After this much silence the link is tested, and after more it is dead, ms. */
const PING_AFTER_MS = 5000;
const SILENT_LIMIT_MS = 8500;
/** A link that is doubted has this long to show that it lives, ms. */
const DOUBT_MS = 1000;
/** The same where the media beside it has fallen silent as well, ms. */
export const BOTH_SILENT_MS = 600;
/** The codes of a computer that asks for patience, and for how long it is left alone, ms. */
export const TRY_LATER = 1013;
const TOO_MUCH = 4429;
const SLOW_MS = 10_000;

export class Link {
  #state: State = { is: 'down' };
  #dial = 0;
  #dialling = new Dialling();
  #reached = false;
  /** Six digits to compare, while the computer asks a person. */
  code: string | null = null;

  get dial(): number {
    return this.#dial;
  }
  get isIn(): boolean {
    return this.#state.is === 'in';
  }
  get isProving(): boolean {
    return this.#state.is === 'proving';
  }
  get isDown(): boolean {
    return this.#state.is === 'down';
  }
  /** When the next attempt begins; null while none is waited for. */
  get dialAt(): number | null {
    return this.#state.is === 'waiting' ? this.#state.until : null;
  }
  /** Attempts in a row that led nowhere. */
  get failed(): number {
    return this.#dialling.failed;
  }

  start(): void {
    this.#dialling = new Dialling();
    this.#state = { is: 'waiting', until: Number.NEGATIVE_INFINITY };
  }

  stop(): void {
    this.#state = { is: 'down' };
    this.#dial += 1;
    this.code = null;
  }

  opened(now: number): void {
    if (this.#state.is === 'dialling') this.#state = { is: 'proving', since: now, heardAt: now };
  }

  /** The wire is gone; it is dialled again in a while. `false`: there was none. */
  closed(now: number, code: number | null, random: () => number): boolean {
    if (this.#state.is === 'down' || this.#state.is === 'waiting') return false;
    this.#dial += 1;
    this.code = null;
    if (this.#state.is === 'in') this.#dialling.worked();
    const slow = code === TOO_MUCH || code === TRY_LATER;
    const delay = slow ? SLOW_MS : this.#dialling.delay(random);
    this.#dialling.ended(this.#reached);
    this.#state = { is: 'waiting', until: now + delay };
    return true;
  }

  heard(now: number): void {
    this.#reached = true;
    if (this.#state.is === 'in' || this.#state.is === 'proving') this.#state.heardAt = now;
  }

  /** The person has answered: the rest is quick. */
  answered(now: number): void {
    this.code = null;
    if (this.#state.is === 'proving') this.#state.since = now;
  }

  joined(now: number): void {
    const pingedAt = Number.NEGATIVE_INFINITY;
    this.#state = { is: 'in', since: now, heardAt: now, pingedAt };
    this.#dialling.worked();
    this.code = null;
  }

  /** What waits is done now. */
  hurry(now: number): void {
    if (this.#state.is !== 'waiting') return;
    this.#dialling.hurry();
    this.#state = { is: 'waiting', until: now };
  }

  /** When it came to be in; null where it is not. */
  get since(): number | null {
    return this.#state.is === 'in' ? this.#state.since : null;
  }

  /** Packets find their way now: an attempt that began before may have gone into the void. */
  redial(now: number): void {
    if (this.#state.is !== 'dialling') return;
    this.#dialling.hurry();
    this.#state = { is: 'dialling', since: now - DIAL_LIMIT_MS };
  }

  /** The network is another one: the link has a second to answer. `true`: test it. */
  doubt(now: number): boolean {
    return this.#test(now, DOUBT_MS);
  }

  /** Nothing is heard of the media either since `since`: the link has still less time. `true`: test it. */
  suspect(now: number, since: number): boolean {
    return (
      this.#state.is === 'in' && this.#state.heardAt <= since && this.#test(now, BOTH_SILENT_MS)
    );
  }

  #test(now: number, limit: number): boolean {
    const state = this.#state;
    if (state.is !== 'in') return false;
    const tested = state.pingedAt >= state.heardAt;
    // Doubted again it has no more time than at first.
    state.heardAt = Math.min(state.heardAt, now - SILENT_LIMIT_MS + limit);
    if (!tested) state.pingedAt = now;
    return !tested;
  }

  /** What follows from the time: `lost` where the link is to be given up, `ping` where it is to be tested. */
  settle(now: number, out: Action[]): 'lost' | 'ping' | null {
    const state = this.#state;
    switch (state.is) {
      case 'waiting':
        if (now < state.until) return null;
        this.#dial += 1;
        this.#reached = false;
        this.#state = { is: 'dialling', since: now };
        out.push({ do: 'dial', dial: this.#dial, way: this.#dialling.way });
        return null;
      case 'dialling':
        return now >= state.since + DIAL_LIMIT_MS ? 'lost' : null;
      case 'proving':
        if (this.code === null) return now >= state.since + PROVE_LIMIT_MS ? 'lost' : null;
        // While a person compares codes the link is only tested.
        if (now < state.heardAt + PING_AFTER_MS) return null;
        state.heardAt = now;
        return 'ping';
      case 'in':
        if (now >= state.heardAt + SILENT_LIMIT_MS) return 'lost';
        if (now < state.heardAt + PING_AFTER_MS || state.pingedAt >= state.heardAt) return null;
        state.pingedAt = now;
        return 'ping';
      default:
        return null;
    }
  }

  /** When `settle` is due at the latest. */
  deadline(): number | null {
    const state = this.#state;
    switch (state.is) {
      case 'waiting':
        return state.until;
      case 'dialling':
        return state.since + DIAL_LIMIT_MS;
      case 'proving':
        return this.code === null ? state.since + PROVE_LIMIT_MS : state.heardAt + PING_AFTER_MS;
      case 'in':
        return state.heardAt + (state.pingedAt < state.heardAt ? PING_AFTER_MS : SILENT_LIMIT_MS);
      default:
        return null;
    }
  }
}
