/**
 * What the phone does and when. Pure: what happened and the time in, what to do out; chance is given.
 *
 * Two things live side by side: the link to the computer (signaling) and the peer connection with its
 * generation. Media outlives the link. Invariants: at most one peer connection is wanted, the one of
 * the newest generation, and whatever concerns another is dropped; only the phone offers; and as long
 * as a person wants to publish there is always either media flowing or a time at which something is
 * tried again.
 */
import type {
  Candidate,
  Capture,
  ControlValue,
  FromPeer,
  IceServer,
  MediaStatus,
  Message,
  ToPhone,
  Welcome,
  Why,
} from '../bindings/signaling';
import { Dialling, type Way } from './dialling';
import { Health, type Ill, type Report } from './health';

/** A message of the computer, or the command of the older systems. */
export type Heard = Message<ToPhone> | { command: string; type?: undefined; gen?: number | null };

export type CaptureState = 'off' | 'opening' | 'live' | 'muted' | 'ended' | 'refused';

/** Why the session is over until a person does something. */
export type End =
  | 'stopped'
  | 'unpaired'
  | 'rejected'
  | 'revoked'
  | 'replaced'
  | 'impostor'
  | 'forbidden';

export type Phase =
  | 'idle'
  | 'signaling'
  | 'auth'
  | 'ready'
  | 'offering'
  | 'connected'
  | 'degraded'
  | 'recovering'
  | 'paused'
  | 'closed';

/** What a phone tells of itself. */
export interface Self {
  net: string | null;
  battery: number | null;
  orientation: number | null;
}

export type Input =
  /** `ask`: the computer is asked first, the camera after that. */
  | { is: 'start'; ask: boolean }
  | { is: 'stop' }
  | { is: 'tick' }
  | { is: 'link_open'; dial: number }
  | { is: 'link_closed'; dial: number; code: number | null }
  | { is: 'heard'; dial: number; message: Heard }
  /** The computer is not the one whose code was scanned, or the phone has nothing to show it. */
  | { is: 'no_proof'; dial: number; end: End }
  /** The computer lets anybody into this room. */
  | { is: 'admitted'; dial: number; room: string }
  | { is: 'offer'; gen: number; neg: number; sdp: string }
  | { is: 'candidate'; gen: number; candidate: Candidate | null }
  | { is: 'connection'; gen: number; state: RTCPeerConnectionState }
  | { is: 'peer_failed'; gen: number }
  | { is: 'capture'; state: CaptureState; sound: boolean }
  | { is: 'report'; gen: number; report: Report }
  | { is: 'visible'; on: boolean }
  | { is: 'user_pause'; on: boolean }
  /** What is sent has another shape now: sound where there was none. */
  | { is: 'reshape' }
  /** The network came (back), or is another one now. */
  | { is: 'online' }
  | { is: 'self'; self: Self };

/** Why a connection is built. */
export type Reason = 'start' | 'recover' | 'ice_restart';

export type Action =
  | { do: 'dial'; dial: number; way: Way }
  | { do: 'hang_up'; dial: number }
  | { do: 'send'; message: Message<FromPeer> }
  /** Answer the welcome: with the key where the phone is known, else with the token. */
  | { do: 'prove'; dial: number; welcome: Welcome }
  /** The pairing stands: keep it. */
  | { do: 'paired'; dial: number; device: string; relay: string; nonce: string }
  /** Close the old connection, build one, offer. With `capture`, the camera is opened anew too. */
  | { do: 'build'; gen: number; neg: number; ice: IceServer[]; capture: boolean }
  | { do: 'restart_ice'; gen: number; neg: number; ice: IceServer[] }
  | { do: 'accept'; gen: number; sdp: string }
  | { do: 'add_candidate'; gen: number; candidate: Candidate | null }
  | { do: 'tear_down' }
  | { do: 'open_capture' }
  | { do: 'close_capture' }
  /** Wake an encoder that sleeps. */
  | { do: 'nudge'; gen: number }
  | { do: 'control'; op: string; value: ControlValue | null };

type Link =
  | { is: 'down' }
  | { is: 'waiting'; until: number }
  | { is: 'dialling'; since: number }
  | { is: 'proving'; since: number; heardAt: number }
  | { is: 'in'; heardAt: number; pingedAt: number };

interface Peer {
  gen: number;
  neg: number;
  reason: Reason;
  /** `up` once media could flow; an ICE restart goes back to `building` without taking it down. */
  step: 'building' | 'offered' | 'answered' | 'up';
  /** When the step began. */
  since: number;
  wasUp: boolean;
  upAt: number;
  early: (Candidate | null)[];
  late: (Candidate | null)[];
}

interface Remedy {
  ill: Ill;
  rung: number;
  next: number;
}

/** An answer of any kind must have come by then, ms. */
const DIAL_LIMIT_MS = 4000;
/** A person who looks at two codes takes a while; everything else is quick, ms. */
const PROVE_LIMIT_MS = 10_000;
/** After this much silence the link is tested, and after more it is dead, ms. */
const PING_AFTER_MS = 5000;
const SILENT_LIMIT_MS = 8500;
const OFFER_LIMIT_MS = 5000;
const ANSWER_LIMIT_MS = 6000;
const CONNECT_LIMIT_MS = 8000;
/** A capture that is mute for longer has not just changed hands, ms. */
export const MUTED_PATIENCE_MS = 1500;
const CAPTURE_LIMIT_MS = 8000;
/** A second command within this time of a fresh offer is the same one, ms. */
export const SAME_COMMAND_MS = 2000;
/** After the link is back, the connection may show for this long that it lives, ms. */
const RESUME_GRACE_MS = 2000;
/** A rung may work for this long before the next, ms. */
const RUNG_MS = 3000;
const ICE_RESTART_MS = 6000;
const NETWORK_CHANGED_MS = 15_000;
/** Waits before connections in a row are built anew, ms; the last one repeats. */
export const REBUILD_DELAYS_MS = [0, 1000, 3000, 10_000, 30_000, 60_000, 120_000] as const;
const REOPEN_DELAYS_MS = [0, 1000, 2000, 5000, 10_000] as const;
/** Waits begin from the start after this long without trouble, ms. */
export const STEADY_MS = 30_000;
const STATS_EVERY_MS = 2000;
/** Age of the newest picture at the computer, up to which they arrive, ms. It tells every 2 s. */
const ARRIVES_MS = 3500;
const EARLY_MAX = 64;

export class Session {
  #random: () => number;
  #wanted = false;
  #end: End | null = null;
  #dial = 0;
  #link: Link = { is: 'down' };
  #dialling = new Dialling();
  #reached = false;
  #code: string | null = null;
  #room: string | null = null;
  #ice: IceServer[] = [];
  #gen: number;
  #peer: Peer | null = null;
  #rebuilds = 0;
  #rebuildAt: number | null = null;
  #graceUntil = 0;
  #health = new Health();
  #remedy: Remedy | null = null;
  #capture: CaptureState = 'off';
  #captureSince = 0;
  #reopens = 0;
  #reopenAt: number | null = null;
  #sound = true;
  #visible = true;
  #paused: Why | null = null;
  #userPaused = false;
  #networkChangedAt = Number.NEGATIVE_INFINITY;
  #self: Self = { net: null, battery: null, orientation: null };
  #told = '';
  #sum: (Report & { since: number }) | null = null;
  #status: (MediaStatus & { at: number }) | null = null;
  #out: Action[] = [];

  constructor(random: () => number, gen = 0) {
    this.#random = random;
    this.#gen = gen;
  }

  get phase(): Phase {
    if (this.#end !== null) return this.#end === 'stopped' ? 'idle' : 'closed';
    if (!this.#wanted) return 'idle';
    if (this.#paused !== null) return 'paused';
    const peer = this.#peer;
    if (peer && (peer.step === 'up' || peer.wasUp)) {
      if (this.#remedy !== null && this.#remedy.rung > 0) return 'recovering';
      return this.#remedy === null && peer.step === 'up' ? 'connected' : 'degraded';
    }
    if (this.#link.is === 'proving') return 'auth';
    if (this.#link.is !== 'in') return 'signaling';
    if (peer) return this.#rebuilds > 0 ? 'recovering' : 'offering';
    return this.#rebuildAt !== null && this.#rebuilds > 0 ? 'recovering' : 'ready';
  }

  get end(): End | null {
    return this.#end;
  }
  get gen(): number {
    return this.#gen;
  }
  get linked(): boolean {
    return this.#link.is === 'in';
  }
  get pausedBy(): Why | null {
    return this.#paused;
  }
  /** Six digits to compare, while the computer asks a person. */
  get code(): string | null {
    return this.#code;
  }
  get room(): string | null {
    return this.#room;
  }
  get status(): (MediaStatus & { at: number }) | null {
    return this.#status;
  }
  get capture(): CaptureState {
    return this.#capture;
  }
  /** When the next attempt to reach the computer begins; null while none is waited for. */
  get dialAt(): number | null {
    return this.#link.is === 'waiting' ? this.#link.until : null;
  }
  /** Attempts in a row that did not reach it. */
  get dialsFailed(): number {
    return this.#dialling.failed;
  }

  /** What to do now that this has happened. */
  handle(now: number, input: Input): Action[] {
    this.#out = [];
    this.#take(now, input);
    if (this.#wanted) this.#settle(now);
    const done = this.#out;
    this.#out = [];
    return done;
  }

  /** When `tick` is due at the latest. */
  deadline(): number | null {
    const times: number[] = [];
    const link = this.#link;
    if (!this.#wanted) return null;
    if (link.is === 'waiting') times.push(link.until);
    if (link.is === 'dialling') times.push(link.since + DIAL_LIMIT_MS);
    if (link.is === 'proving') {
      times.push(this.#code === null ? link.since + PROVE_LIMIT_MS : link.heardAt + PING_AFTER_MS);
    }
    if (link.is === 'in') {
      const quiet = link.pingedAt < link.heardAt ? PING_AFTER_MS : SILENT_LIMIT_MS;
      times.push(link.heardAt + quiet);
    }
    const peer = this.#peer;
    if (peer) {
      if (peer.step !== 'up') times.push(peer.since + stepLimit(peer.step));
      if (this.#remedy) times.push(this.#remedy.next);
      if (this.#rebuilds > 0 && peer.step === 'up') times.push(peer.upAt + STEADY_MS);
    }
    if (this.#rebuildAt !== null && link.is === 'in') times.push(this.#rebuildAt);
    if (this.#reopenAt !== null && this.#mayCapture()) times.push(this.#reopenAt);
    if (this.#capture === 'opening') times.push(this.#captureSince + CAPTURE_LIMIT_MS);
    if (this.#capture === 'muted' && this.#mayCapture()) {
      times.push(this.#captureSince + MUTED_PATIENCE_MS);
    }
    return times.length === 0 ? null : Math.min(...times);
  }

  #take(now: number, input: Input): void {
    switch (input.is) {
      case 'start':
        this.#start(input.ask);
        break;
      case 'stop':
        this.#finish('stopped');
        break;
      case 'tick':
        break;
      case 'link_open':
        if (input.dial === this.#dial && this.#link.is === 'dialling') {
          this.#link = { is: 'proving', since: now, heardAt: now };
        }
        break;
      case 'link_closed':
        if (input.dial === this.#dial) this.#onLinkClosed(now, input.code);
        break;
      case 'heard':
        if (input.dial === this.#dial) this.#onHeard(now, input.message);
        break;
      case 'no_proof':
        if (input.dial === this.#dial) this.#finish(input.end);
        break;
      case 'admitted':
        if (input.dial === this.#dial) this.#join(input.room);
        break;
      case 'offer':
        this.#onOffer(now, input);
        break;
      case 'candidate':
        this.#onOwnCandidate(input.gen, input.candidate);
        break;
      case 'connection':
        this.#onConnection(now, input.gen, input.state);
        break;
      case 'peer_failed':
        if (input.gen === this.#peer?.gen) this.#lost(now);
        break;
      case 'capture':
        this.#onCapture(now, input.state, input.sound);
        break;
      case 'report':
        if (input.gen === this.#peer?.gen) this.#onReport(now, input.report);
        break;
      case 'visible':
        this.#onVisible(now, input.on);
        break;
      case 'user_pause':
        this.#userPaused = input.on;
        this.#paused = input.on ? 'user' : null;
        this.#hurry(now);
        break;
      case 'reshape':
        if (this.#peer && this.#link.is === 'in') this.#build(now, 'start', false);
        break;
      case 'online':
        this.#networkChangedAt = now;
        this.#onOnline(now);
        break;
      case 'self':
        this.#self = input.self;
        break;
    }
  }

  #start(ask: boolean): void {
    if (this.#wanted) return;
    this.#wanted = true;
    this.#end = null;
    this.#userPaused = false;
    this.#paused = null;
    this.#dialling = new Dialling();
    this.#link = { is: 'waiting', until: Number.NEGATIVE_INFINITY };
    if (!ask) this.#openFirst();
  }

  /** A person may take long to allow the camera, so this has no limit. */
  #openFirst(): void {
    if (this.#capture !== 'off') return;
    this.#out.push({ do: 'open_capture' });
    this.#capture = 'opening';
    this.#captureSince = Number.POSITIVE_INFINITY;
  }

  /** The person, or the computer, wants no more. */
  #finish(end: End): void {
    if (!this.#wanted) return;
    if (this.#link.is === 'in') this.#send({ type: 'bye', reason: end });
    this.#out.push({ do: 'tear_down' }, { do: 'close_capture' });
    if (this.#link.is !== 'down') this.#out.push({ do: 'hang_up', dial: this.#dial });
    this.#wanted = false;
    this.#end = end;
    this.#link = { is: 'down' };
    this.#dial += 1;
    this.#peer = null;
    this.#remedy = null;
    this.#rebuildAt = null;
    this.#reopenAt = null;
    this.#status = null;
    this.#code = null;
    this.#capture = 'off';
    this.#told = '';
  }

  /** Everything that follows from the time alone, or from what is now known. */
  #settle(now: number): void {
    this.#settleLink(now);
    this.#settleCapture(now);
    this.#settlePeer(now);
    this.#tell();
  }

  #settleLink(now: number): void {
    const link = this.#link;
    if (link.is === 'waiting' && now >= link.until) {
      this.#dial += 1;
      this.#reached = false;
      this.#link = { is: 'dialling', since: now };
      this.#out.push({ do: 'dial', dial: this.#dial, way: this.#dialling.way });
    } else if (link.is === 'dialling' && now >= link.since + DIAL_LIMIT_MS) {
      this.#redial(now);
    } else if (link.is === 'proving') {
      // While a person compares codes the link is only tested.
      if (this.#code === null && now >= link.since + PROVE_LIMIT_MS) this.#redial(now);
      else if (this.#code !== null && now >= link.heardAt + PING_AFTER_MS) {
        this.#send({ type: 'ping' });
        link.heardAt = now;
      }
    } else if (link.is === 'in') {
      if (now >= link.heardAt + SILENT_LIMIT_MS) this.#redial(now);
      else if (now >= link.heardAt + PING_AFTER_MS && link.pingedAt < link.heardAt) {
        link.pingedAt = now;
        this.#send({ type: 'ping' });
      }
    }
  }

  /** Gives the link up and dials again in a while. */
  #redial(now: number): void {
    this.#out.push({ do: 'hang_up', dial: this.#dial });
    this.#onLinkClosed(now, null);
  }

  #onLinkClosed(now: number, code: number | null): void {
    if (this.#link.is === 'down' || this.#link.is === 'waiting') return;
    const end = endOf(code);
    // The number counts up, so that nothing late of this link is heard.
    this.#dial += 1;
    if (end !== null) {
      this.#link = { is: 'down' };
      this.#finish(end);
      return;
    }
    const wasIn = this.#link.is === 'in';
    this.#code = null;
    if (wasIn) this.#dialling.worked();
    const slow = code === 4429 || code === 1013;
    const delay = slow ? 10_000 : this.#dialling.delay(this.#random);
    this.#dialling.ended(this.#reached);
    this.#link = { is: 'waiting', until: now + delay };
    const peer = this.#peer;
    // What was on its way was not heard; what flows goes on.
    if (peer && !peer.wasUp) {
      this.#drop();
      this.#rebuildAt = now;
    }
  }

  #onHeard(now: number, message: Heard): void {
    const link = this.#link;
    this.#reached = true;
    if (link.is === 'in' || link.is === 'proving') link.heardAt = now;
    if (message.type === undefined) {
      if (message.command === 'reconnect') this.#onReconnect(now, message.gen ?? null);
      return;
    }
    switch (message.type) {
      case 'hello':
        this.#out.push({ do: 'prove', dial: this.#dial, welcome: message });
        break;
      case 'pair_pending':
        this.#code = message.code;
        break;
      case 'pair_ok':
        this.#code = null;
        if (link.is === 'proving') link.since = now;
        this.#out.push({
          do: 'paired',
          dial: this.#dial,
          device: message.device_id,
          relay: message.relay_id,
          nonce: message.nonce,
        });
        break;
      case 'pair_rejected':
        this.#finish(message.code === 'revoked' ? 'revoked' : 'rejected');
        break;
      case 'auth_failed':
        this.#finish(message.code === 'revoked' ? 'revoked' : 'unpaired');
        break;
      case 'auth_ok':
        this.#ice = message.ice_servers;
        this.#gen = Math.max(this.#gen, message.gen_hint);
        this.#join(message.rooms[0] ?? null);
        break;
      case 'joined_room':
        this.#onJoined(now, message);
        break;
      case 'ice_servers':
        this.#ice = message.ice_servers;
        break;
      case 'answer':
        this.#onAnswer(now, message.gen ?? null, message.neg ?? null, message.sdp);
        break;
      case 'ice_candidate':
        this.#onCandidate(message.gen ?? null, message.candidate ?? null);
        break;
      case 'media_status':
        if (isOf(message.gen, this.#peer)) this.#status = { ...message, at: now };
        break;
      case 'restart_capture':
        if (isOf(message.gen, this.#peer) && this.#paused === null) this.#reopen(now, true);
        break;
      case 'reconnect':
        if (message.mode === 'ice') this.#onRestartIce(now, message.gen ?? null);
        else this.#onReconnect(now, message.gen ?? null);
        break;
      case 'control':
        this.#out.push({ do: 'control', op: message.op, value: message.value ?? null });
        break;
      case 'ping':
        this.#send({ type: 'pong' });
        break;
      case 'error':
        this.#onError(now, message.code ?? 'internal', message.gen ?? null);
        break;
      default:
    }
  }

  #join(room: string | null): void {
    this.#room = room;
    if (room === null) {
      this.#finish('forbidden');
      return;
    }
    this.#openFirst();
    this.#send({ type: 'join_room', room, role: 'publisher' });
  }

  #onJoined(
    now: number,
    joined: { gen_hint: number; ice_servers: IceServer[]; resume: boolean },
  ): void {
    this.#link = { is: 'in', heardAt: now, pingedAt: Number.NEGATIVE_INFINITY };
    this.#dialling.worked();
    this.#code = null;
    this.#ice = joined.ice_servers;
    this.#told = '';
    const peer = this.#peer;
    const known = peer !== null && joined.gen_hint >= peer.gen;
    this.#gen = Math.max(this.#gen, joined.gen_hint);
    if (peer?.step === 'up' && joined.resume && known) {
      // The computer still has it. It shows soon whether it lives.
      this.#graceUntil = now + RESUME_GRACE_MS;
      this.#rebuilds = 0;
    } else {
      this.#drop();
      this.#rebuildAt = now;
    }
  }

  #settlePeer(now: number): void {
    if (this.#peer) this.#watchPeer(now);
    const due = this.#rebuildAt !== null && now >= this.#rebuildAt;
    if (!due || this.#link.is !== 'in' || this.#userPaused) return;
    // A camera that nobody may use now gives no connection a sense; a hidden one comes back later.
    if (this.#capture === 'refused' || this.#capture === 'off') return;
    this.#build(now, this.#rebuilds === 0 ? 'start' : 'recover', false);
  }

  #watchPeer(now: number): void {
    const peer = this.#peer;
    if (!peer) return;
    if (peer.step !== 'up') {
      if (now >= peer.since + stepLimit(peer.step)) this.#lost(now);
      return;
    }
    if (this.#rebuilds > 0 && this.#remedy === null && now >= peer.upAt + STEADY_MS) {
      this.#rebuilds = 0;
    }
    if (this.#remedy && now >= this.#remedy.next) this.#climb(now, this.#remedy);
  }

  /** A new connection, with the next number. */
  #build(now: number, reason: Reason, capture: boolean): void {
    this.#gen += 1;
    this.#peer = {
      gen: this.#gen,
      neg: 1,
      reason,
      step: 'building',
      since: now,
      wasUp: false,
      upAt: 0,
      early: [],
      late: [],
    };
    this.#rebuildAt = null;
    this.#remedy = null;
    this.#status = null;
    this.#sum = null;
    this.#health.reset();
    if (capture) {
      this.#capture = 'opening';
      this.#captureSince = now;
      this.#reopenAt = null;
    }
    this.#out.push({ do: 'build', gen: this.#gen, neg: 1, ice: this.#ice, capture });
  }

  #drop(): void {
    if (this.#peer) this.#out.push({ do: 'tear_down' });
    this.#peer = null;
    this.#remedy = null;
    this.#status = null;
  }

  /** The connection led nowhere, or ended: another one, later each time. */
  #lost(now: number): void {
    this.#drop();
    this.#rebuilds += 1;
    const last = REBUILD_DELAYS_MS.length - 1;
    const base = REBUILD_DELAYS_MS[Math.min(this.#rebuilds - 1, last)] ?? 0;
    this.#rebuildAt = now + Math.round(base * (1 + 0.2 * (this.#random() * 2 - 1)));
  }

  #onOffer(now: number, offer: { gen: number; neg: number; sdp: string }): void {
    const peer = this.#peer;
    if (!peer || offer.gen !== peer.gen || offer.neg !== peer.neg || peer.step !== 'building')
      return;
    if (this.#link.is !== 'in') return;
    this.#sendOf(peer, { type: 'offer', sdp: offer.sdp, reason: peer.reason });
    peer.step = 'offered';
    peer.since = now;
    for (const candidate of peer.early) this.#sendOf(peer, { type: 'ice_candidate', candidate });
    peer.early = [];
  }

  #onOwnCandidate(gen: number, candidate: Candidate | null): void {
    const peer = this.#peer;
    if (!peer || gen !== peer.gen) return;
    if (peer.step === 'building') {
      if (peer.early.length < EARLY_MAX) peer.early.push(candidate);
    } else if (this.#link.is === 'in') {
      this.#sendOf(peer, { type: 'ice_candidate', candidate });
    }
  }

  #onAnswer(now: number, gen: number | null, neg: number | null, sdp: string): void {
    const peer = this.#peer;
    if (peer?.step !== 'offered' || !isOf(gen, peer) || (neg !== null && neg !== peer.neg)) return;
    peer.step = peer.wasUp ? 'up' : 'answered';
    peer.since = now;
    this.#out.push({ do: 'accept', gen: peer.gen, sdp });
    for (const candidate of peer.late) {
      this.#out.push({ do: 'add_candidate', gen: peer.gen, candidate });
    }
    peer.late = [];
  }

  #onCandidate(gen: number | null, candidate: Candidate | null): void {
    const peer = this.#peer;
    if (!peer || !isOf(gen, peer)) return;
    if (peer.step === 'building' || peer.step === 'offered') {
      if (peer.late.length < EARLY_MAX) peer.late.push(candidate);
    } else {
      this.#out.push({ do: 'add_candidate', gen: peer.gen, candidate });
    }
  }

  #onConnection(now: number, gen: number, state: RTCPeerConnectionState): void {
    const peer = this.#peer;
    if (!peer || gen !== peer.gen) return;
    if (state === 'connected' && (peer.step === 'answered' || peer.wasUp)) {
      if (peer.step === 'answered') peer.step = 'up';
      if (!peer.wasUp) peer.upAt = now;
      peer.wasUp = true;
      this.#graceUntil = now + RESUME_GRACE_MS;
      if (this.#remedy?.ill === 'path') this.#remedy = null;
      this.#health.reset();
    } else if (state === 'failed' || state === 'closed') {
      // Without a link nothing can be offered; when it is back, this is known.
      this.#lost(now);
    }
  }

  #onReconnect(now: number, gen: number | null): void {
    const peer = this.#peer;
    if (this.#link.is !== 'in' || !isOf(gen, peer, true)) return;
    const fresh = peer !== null && !peer.wasUp && now < peer.since + SAME_COMMAND_MS;
    if (fresh) return;
    this.#drop();
    this.#rebuilds = Math.max(this.#rebuilds, 1);
    this.#build(now, 'recover', this.#mayCapture());
  }

  #onRestartIce(now: number, gen: number | null): void {
    const peer = this.#peer;
    if (peer?.step !== 'up' || !isOf(gen, peer)) return;
    this.#restartIce(now, peer);
  }

  #restartIce(now: number, peer: Peer): void {
    peer.neg += 1;
    peer.reason = 'ice_restart';
    peer.step = 'building';
    peer.since = now;
    this.#out.push({ do: 'restart_ice', gen: peer.gen, neg: peer.neg, ice: this.#ice });
  }

  #onError(now: number, code: string, gen: number | null): void {
    if (code === 'revoked') this.#finish('revoked');
    else if (code === 'replaced') this.#finish('replaced');
    else if (code === 'forbidden' && this.#link.is === 'in') this.#finish('forbidden');
    else if (['bad_sdp', 'stale', 'busy', 'internal'].includes(code)) {
      const peer = this.#peer;
      if (peer && peer.step === 'offered' && isOf(gen, peer)) this.#lost(now);
    }
  }

  #onCapture(now: number, state: CaptureState, sound: boolean): void {
    const before = this.#capture;
    this.#sound = sound;
    if (state !== before) this.#captureSince = now;
    this.#capture = state;
    if (state === 'live') {
      this.#reopenAt = null;
      if (before !== 'live') this.#health.reset();
      if (before === 'refused' && this.#peer === null) this.#rebuildAt ??= now;
      if (this.#paused !== null && !this.#userPaused && this.#visible) this.#paused = null;
      if (this.#remedy?.ill === 'capture') this.#remedy = null;
    } else if (state === 'ended') {
      this.#reopenAt ??= now + this.#reopenDelay();
    }
  }

  #reopenDelay(): number {
    const last = REOPEN_DELAYS_MS.length - 1;
    return REOPEN_DELAYS_MS[Math.min(this.#reopens, last)] ?? 0;
  }

  #mayCapture(): boolean {
    return this.#visible && !this.#userPaused && this.#wanted;
  }

  #settleCapture(now: number): void {
    if (!this.#mayCapture()) return;
    const since = this.#captureSince;
    if (this.#capture === 'muted' && now >= since + MUTED_PATIENCE_MS) {
      // With the sound gone too it is a call; alone, the system took the camera.
      this.#paused ??= this.#sound ? 'pressure' : 'call';
      this.#reopenAt ??= now + this.#reopenDelay();
    }
    if (this.#capture === 'opening' && now >= since + CAPTURE_LIMIT_MS) {
      this.#reopenAt ??= now;
    }
    if (this.#reopenAt !== null && now >= this.#reopenAt) this.#reopen(now, false);
  }

  #reopen(now: number, first: boolean): void {
    if (!this.#mayCapture() || this.#capture === 'refused') return;
    this.#reopens = first ? 1 : this.#reopens + 1;
    this.#reopenAt = null;
    this.#capture = 'opening';
    this.#captureSince = now;
    this.#health.reset();
    this.#out.push({ do: 'open_capture' });
  }

  #onReport(now: number, report: Report): void {
    const peer = this.#peer;
    if (!peer?.wasUp) return;
    this.#count(now, peer, report);
    const ill = this.#health.take(report);
    const moves = report.encoded > 0;
    if (!this.#visible) {
      // A hidden page that still films is not paused: the computer shows what is so.
      if (moves && this.#paused === 'hidden') this.#paused = null;
      if (!moves && ill !== null) this.#paused ??= 'hidden';
      return;
    }
    if (moves && this.#capture === 'live') {
      if (ill === null) this.#reopens = 0;
      if (this.#paused === 'hidden') this.#paused = null;
    }
    if (this.#paused !== null || peer.step !== 'up') return;
    // One that is heard by other means is not lost, whatever checks went astray.
    if (ill === 'path' && this.#arrives(now)) return;
    if (ill === null) {
      if (this.#remedy && moves && (report.responses ?? 1) > 0) this.#remedy = null;
    } else if (this.#remedy === null && now >= this.#graceUntil) {
      this.#remedy = { ill, rung: 0, next: now };
    }
  }

  /** The computer said just now that pictures reach it. */
  #arrives(now: number): boolean {
    const status = this.#status;
    if (this.#link.is !== 'in' || status === null || status.last_frame_ms === null) return false;
    return now - status.at + status.last_frame_ms < ARRIVES_MS;
  }

  /** The next rung for an illness of this connection. */
  #climb(now: number, remedy: Remedy): void {
    const peer = this.#peer;
    if (!peer || this.#paused !== null) return;
    remedy.rung += 1;
    remedy.next = now + RUNG_MS;
    switch (remedy.ill) {
      case 'capture':
        // Opening the camera has its own waits.
        if (this.#reopenAt === null && this.#capture !== 'opening') this.#reopen(now, false);
        if (remedy.rung > 2 && this.#link.is === 'in') this.#lost(now);
        break;
      case 'encoder':
        this.#health.reset();
        if (remedy.rung === 1) this.#out.push({ do: 'nudge', gen: peer.gen });
        else if (remedy.rung === 2) this.#reopen(now, false);
        else if (this.#link.is === 'in') this.#lost(now);
        break;
      case 'path':
        // Nothing can be offered without the link; when the path is back, the connection may live on.
        if (this.#link.is !== 'in') remedy.rung = 0;
        else if (remedy.rung === 1 && now - this.#networkChangedAt < NETWORK_CHANGED_MS) {
          remedy.next = now + ICE_RESTART_MS;
          this.#restartIce(now, peer);
        } else this.#lost(now);
        break;
    }
  }

  #count(now: number, peer: Peer, report: Report): void {
    const sum = this.#sum;
    if (sum === null) {
      this.#sum = { ...report, since: now - report.span };
    } else {
      sum.source = (sum.source ?? 0) + (report.source ?? 0);
      sum.encoded += report.encoded;
      sum.keys += report.keys;
      sum.packets += report.packets;
      sum.bytes += report.bytes;
      sum.pli += report.pli;
      sum.responses = (sum.responses ?? 0) + (report.responses ?? 0);
      sum.roundTripMs = report.roundTripMs;
      sum.limit = report.limit;
      sum.targetBps = report.targetBps;
    }
    const all = this.#sum;
    if (all === null || now < all.since + STATS_EVERY_MS) return;
    this.#sum = null;
    if (this.#link.is !== 'in') return;
    this.#sendOf(peer, {
      type: 'stats',
      src_frames: all.source ?? all.encoded,
      enc: all.encoded,
      keys: all.keys,
      pkts: all.packets,
      bytes: all.bytes,
      pli: all.pli,
      qlr: all.limit,
      target_bps: all.targetBps === null ? null : Math.round(all.targetBps),
      pair_rtt_ms: all.roundTripMs === null ? null : Math.round(all.roundTripMs),
      resp: all.responses ?? 0,
      muted: this.#capture === 'muted',
      vis: this.#visible,
    });
  }

  #onVisible(now: number, on: boolean): void {
    this.#visible = on;
    if (!on) {
      this.#paused ??= 'hidden';
      return;
    }
    if (this.#paused !== 'user') this.#paused = null;
    this.#reopens = 0;
    this.#health.reset();
    // It may come back by itself in a moment.
    if (this.#capture === 'muted') this.#captureSince = now;
    if (this.#capture === 'ended') this.#reopenAt = now;
    this.#hurry(now);
  }

  #onOnline(now: number): void {
    this.#hurry(now);
    const link = this.#link;
    // A link that is not heard at once is an old one.
    if (link.is === 'in' && link.pingedAt < link.heardAt) {
      link.pingedAt = now;
      link.heardAt = Math.min(link.heardAt, now - SILENT_LIMIT_MS + 1500);
      this.#send({ type: 'ping' });
    } else if (link.is === 'dialling') {
      this.#redial(now);
      if (this.#link.is === 'waiting') this.#link.until = now;
    }
  }

  /** Something changed for the better: what waits is done now. */
  #hurry(now: number): void {
    if (this.#link.is === 'waiting') {
      this.#dialling.hurry();
      this.#link = { is: 'waiting', until: now };
    }
    if (this.#rebuildAt !== null) this.#rebuildAt = now;
    if (this.#reopenAt !== null) this.#reopenAt = now;
    if (this.#peer?.step === 'up') this.#rebuilds = Math.min(this.#rebuilds, 1);
  }

  /** Tells the computer how the phone fares, when that changed. */
  #tell(): void {
    if (this.#link.is !== 'in') return;
    const gone =
      this.#capture === 'ended' || this.#capture === 'refused' || this.#capture === 'off';
    const capture: Capture = this.#paused !== null ? 'paused' : gone ? 'ended' : 'live';
    const { net, battery, orientation } = this.#self;
    const gen = this.#peer?.gen ?? null;
    const body = { type: 'state', capture, why: this.#paused, net, battery, orientation } as const;
    const text = JSON.stringify([body, gen]);
    if (text === this.#told) return;
    this.#told = text;
    this.#send(gen === null ? body : { ...body, gen });
  }

  #send(message: Message<FromPeer>): void {
    this.#out.push({ do: 'send', message: { v: 1, ...message } });
  }

  #sendOf(peer: Peer, message: FromPeer): void {
    const { gen, neg } = peer;
    this.#send({ ...(message.type === 'offer' ? { gen, neg } : { gen }), ...message });
  }
}

/** Whether a message is about this connection; `null` in it means whichever there is. */
function isOf(gen: number | null | undefined, peer: Peer | null, orNone = false): boolean {
  if (gen === null || gen === undefined) return orNone || peer !== null;
  return peer === null ? orNone : gen === peer.gen;
}

function stepLimit(step: Peer['step']): number {
  if (step === 'building') return OFFER_LIMIT_MS;
  return step === 'offered' ? ANSWER_LIMIT_MS : CONNECT_LIMIT_MS;
}

/** What the computer means by closing with this code, where it means the end. */
function endOf(code: number | null): End | null {
  if (code === 4409) return 'replaced';
  if (code === 4403) return 'revoked';
  return null;
}
