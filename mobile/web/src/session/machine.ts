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
  FromPeer,
  IceServer,
  MediaStatus,
  Message,
  Why,
} from '../bindings/signaling';
import { Capture } from './capture';
import type { Action, CaptureState, End, Heard, Input, Phase, Reason, Self } from './events';
import { Health, type Ill, PATH_DOUBTED_MS, type Report } from './health';
import { Link, TRY_LATER } from './link';
import { Tally } from './tally';

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

/** The steps of a connection have this long each, ms. */
const OFFER_LIMIT_MS = 5000;
const ANSWER_LIMIT_MS = 6000;
const CONNECT_LIMIT_MS = 8000;
/** A second command within this time of a fresh offer is the same one, ms. */
export const SAME_COMMAND_MS = 2000;
/** After the link is back, the connection may show for this long that it lives, ms. */
const RESUME_GRACE_MS = 2000;
/** What was there before the link was dialled anew is looked at closely for this long, ms. */
const RENEWED_MS = 5000;
/** A rung may work for this long before the next, ms. */
const RUNG_MS = 3000;
const ICE_RESTART_MS = 6000;
const NETWORK_CHANGED_MS = 15_000;
/** Waits before connections in a row are built anew, ms; the last one repeats. */
export const REBUILD_DELAYS_MS = [0, 1000, 3000, 10_000, 30_000, 60_000, 120_000] as const;
/** Waits begin from the start after this long without trouble, ms. */
export const STEADY_MS = 30_000;
/** Age of the newest picture at the computer, up to which they arrive, ms. It tells every 2 s. */
const ARRIVES_MS = 3500;
const EARLY_MAX = 64;

export class Session {
  #random: () => number;
  #wanted = false;
  #end: End | null = null;
  #link = new Link();
  #stranger = false;
  #room: string | null = null;
  #ice: IceServer[] = [];
  #gen: number;
  #peer: Peer | null = null;
  #rebuilds = 0;
  #rebuildAt: number | null = null;
  #graceUntil = 0;
  #health = new Health();
  #remedy: Remedy | null = null;
  #capture = new Capture();
  #visible = true;
  #paused: Why | null = null;
  #userPaused = false;
  #networkChangedAt = Number.NEGATIVE_INFINITY;
  #self: Self = {
    net: null,
    battery: null,
    charging: null,
    hot: false,
    thrift: 0,
    orientation: null,
  };
  #told = '';
  #tally = new Tally();
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
    if (this.#link.isProving) return 'auth';
    if (!this.#link.isIn) return 'signaling';
    if (peer) return this.#rebuilds > 0 ? 'recovering' : 'offering';
    return this.#rebuildAt !== null && this.#rebuilds > 0 ? 'recovering' : 'ready';
  }

  get end(): End | null {
    return this.#end;
  }
  /** The offer's number within the present connection; 0 without one. */
  get neg(): number {
    return this.#peer?.neg ?? 0;
  }
  get gen(): number {
    return this.#gen;
  }
  get linked(): boolean {
    return this.#link.isIn;
  }
  get pausedBy(): Why | null {
    return this.#paused;
  }
  /** Nobody paused or ended it: the camera may be open. */
  get mayFilm(): boolean {
    return this.#wanted && !this.#userPaused;
  }
  /** Six digits to compare, while the computer asks a person. */
  get code(): string | null {
    return this.#link.code;
  }
  get room(): string | null {
    return this.#room;
  }
  get status(): (MediaStatus & { at: number }) | null {
    return this.#status;
  }
  get capture(): CaptureState {
    return this.#capture.state;
  }
  /** Somebody else answered where the computer was, last time. */
  get stranger(): boolean {
    return this.#stranger;
  }
  /** When the next attempt to reach the computer begins; null while none is waited for. */
  get dialAt(): number | null {
    return this.#link.dialAt;
  }
  /** Attempts in a row that did not reach it. */
  get dialsFailed(): number {
    return this.#link.failed;
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
    if (!this.#wanted) return null;
    const peer = this.#peer;
    const times = [this.#link.deadline()];
    if (this.#mayCapture()) times.push(this.#capture.deadline());
    if (this.#mayBuild()) times.push(this.#rebuildAt);
    if (peer && peer.step !== 'up') times.push(peer.since + stepLimit(peer.step));
    else if (peer && this.#remedy) times.push(this.#remedy.next);
    else if (peer && this.#rebuilds > 0) times.push(peer.upAt + STEADY_MS);
    const due = Math.min(...times.filter((time) => time !== null));
    return Number.isFinite(due) ? due : null;
  }

  #take(now: number, input: Input): void {
    switch (input.is) {
      case 'start':
        this.#start(now, input.ask);
        break;
      case 'stop':
        this.#finish('stopped');
        this.#end = 'stopped';
        break;
      case 'tick':
        break;
      case 'link_open':
        if (input.dial === this.#link.dial) this.#link.opened(now);
        break;
      case 'link_closed':
        if (input.dial === this.#link.dial) this.#onLinkClosed(now, input.code);
        break;
      case 'heard':
        if (input.dial === this.#link.dial) this.#onHeard(now, input.message);
        break;
      case 'no_proof':
        if (input.dial === this.#link.dial) this.#finish(input.end);
        break;
      case 'stranger':
        if (input.dial === this.#link.dial) this.#onStranger(now);
        break;
      case 'admitted':
        if (input.dial === this.#link.dial) this.#join(now, input.room);
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
        if (this.#peer && this.#link.isIn) this.#build(now, 'start', false);
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

  #start(now: number, ask: boolean): void {
    if (this.#wanted) return;
    this.#wanted = true;
    this.#end = null;
    this.#userPaused = false;
    this.#paused = null;
    this.#stranger = false;
    this.#link.start();
    if (!ask) this.#openFirst(now);
  }

  /** A person may take long to allow the camera, so this has no limit. */
  #openFirst(now: number): void {
    if (this.#capture.state !== 'off') return;
    this.#out.push({ do: 'open_capture' });
    this.#capture.opening(now, false);
  }

  /** The person, or the computer, wants no more. */
  #finish(end: End): void {
    if (!this.#wanted) return;
    if (this.#link.isIn) this.#send({ type: 'bye', reason: end });
    this.#out.push({ do: 'tear_down' }, { do: 'close_capture' });
    if (!this.#link.isDown) this.#out.push({ do: 'hang_up', dial: this.#link.dial });
    this.#wanted = false;
    this.#end = end;
    this.#link.stop();
    this.#peer = null;
    this.#remedy = null;
    this.#rebuildAt = null;
    this.#status = null;
    this.#capture.off();
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
    const due = this.#link.settle(now, this.#out);
    if (due === 'ping') this.#send({ type: 'ping' });
    if (due !== 'lost') return;
    this.#out.push({ do: 'hang_up', dial: this.#link.dial });
    this.#onLinkClosed(now, null);
    this.#link.settle(now, this.#out);
  }

  #onLinkClosed(now: number, code: number | null): void {
    const end = endOf(code);
    if (end !== null) this.#finish(end);
    else if (this.#link.closed(now, code, this.#random) && this.#peer && !this.#peer.wasUp) {
      // What was on its way was not heard; what flows goes on.
      this.#drop();
      this.#rebuildAt = now;
    }
  }

  /** The phone may be in another network for a while: the right one is tried again, patiently. */
  #onStranger(now: number): void {
    this.#stranger = true;
    this.#out.push({ do: 'hang_up', dial: this.#link.dial });
    this.#onLinkClosed(now, TRY_LATER);
  }

  #onHeard(now: number, message: Heard): void {
    this.#link.heard(now);
    if (message.type === undefined) {
      if (message.command === 'reconnect') this.#onReconnect(now, message.gen ?? null);
      return;
    }
    switch (message.type) {
      case 'hello':
        this.#out.push({ do: 'prove', dial: this.#link.dial, welcome: message });
        break;
      case 'pair_pending':
        this.#link.code = message.code;
        break;
      case 'pair_ok':
        this.#link.answered(now);
        this.#out.push({
          do: 'paired',
          dial: this.#link.dial,
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
        this.#join(now, message.rooms[0] ?? null);
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

  #join(now: number, room: string | null): void {
    this.#room = room;
    if (room === null) {
      this.#finish('forbidden');
      return;
    }
    this.#openFirst(now);
    this.#send({ type: 'join_room', room, role: 'publisher' });
  }

  #onJoined(
    now: number,
    joined: { gen_hint: number; ice_servers: IceServer[]; resume: boolean },
  ): void {
    this.#link.joined(now);
    this.#stranger = false;
    this.#ice = joined.ice_servers;
    this.#told = '';
    const peer = this.#peer;
    const known = peer !== null && joined.gen_hint >= peer.gen;
    this.#gen = Math.max(this.#gen, joined.gen_hint);
    if (peer?.step === 'up' && joined.resume && known && !this.#isDoubted()) {
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
    if (this.#rebuildAt === null || now < this.#rebuildAt || !this.#mayBuild()) return;
    this.#build(now, this.#rebuilds === 0 ? 'start' : 'recover', false);
  }

  /** There is somebody to offer to, and something to offer. */
  #mayBuild(): boolean {
    return this.#link.isIn && !this.#userPaused && !this.#capture.isBarred;
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
    this.#tally.clear();
    this.#health.reset();
    if (capture) this.#capture.opening(now);
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
    if (!this.#link.isIn) return;
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
    } else if (this.#link.isIn) {
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
    if (!this.#link.isIn || !isOf(gen, peer, true)) return;
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
    else if (code === 'forbidden' && this.#link.isIn) this.#finish('forbidden');
    else if (['bad_sdp', 'stale', 'busy', 'internal'].includes(code)) {
      const peer = this.#peer;
      if (peer && peer.step === 'offered' && isOf(gen, peer)) this.#lost(now);
    }
  }

  #onCapture(now: number, state: CaptureState, sound: boolean): void {
    const before = this.#capture.state;
    this.#capture.sound = sound;
    this.#capture.is(now, state);
    if (state !== 'live') return;
    if (before !== 'live') this.#health.reset();
    if (before === 'refused' && this.#peer === null) this.#rebuildAt ??= now;
    if (this.#paused !== null && !this.#userPaused && this.#visible) this.#paused = null;
    if (this.#remedy?.ill === 'capture') this.#remedy = null;
  }

  #mayCapture(): boolean {
    return this.#visible && this.mayFilm;
  }

  #settleCapture(now: number): void {
    if (!this.#mayCapture()) return;
    // With the sound gone too it is a call; alone, the system took the camera.
    if (this.#capture.isTaken(now)) this.#paused ??= this.#capture.sound ? 'pressure' : 'call';
    if (this.#capture.isDue(now)) this.#reopen(now, false);
  }

  #reopen(now: number, first: boolean): void {
    if (!this.#mayCapture() || this.#capture.isBarred) return;
    this.#capture.reopen(now, first);
    this.#health.reset();
    this.#out.push({ do: 'open_capture' });
  }

  #onReport(now: number, report: Report): void {
    const peer = this.#peer;
    if (!peer?.wasUp) return;
    this.#count(now, peer, report);
    const silentBefore = this.#health.silentMs;
    const ill = this.#health.take(report);
    this.#compare(now, peer, silentBefore);
    if (this.#peer !== peer) return;
    const moves = report.encoded > 0;
    if (!this.#visible) {
      // A hidden page that still films is not paused: the computer shows what is so.
      if (moves && this.#paused === 'hidden') this.#paused = null;
      if (!moves && ill !== null) this.#paused ??= 'hidden';
      return;
    }
    if (moves && this.#capture.state === 'live') {
      if (ill === null) this.#capture.steady();
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

  /** Link and path go through the same network: what becomes of one tells of the other, long before its own time is over. */
  #compare(now: number, peer: Peer, silentBefore: number): void {
    const silent = this.#health.silentMs;
    if (silent === 0) {
      if (silentBefore < PATH_DOUBTED_MS) return;
      this.#link.hurry(now);
      this.#link.redial(now);
    } else if (this.#isDoubted()) {
      const { since } = this.#link;
      const outlived = since !== null && peer.upAt < since && now < since + RENEWED_MS;
      if (outlived && peer.step === 'up') this.#lost(now);
      else if (this.#link.suspect(now, now - silent)) this.#send({ type: 'ping' });
    }
  }

  /** Pictures are sent, and nobody has said anything to it for a while. */
  #isDoubted(): boolean {
    const films = this.#visible && this.#paused === null && this.#capture.state === 'live';
    return films && this.#health.silentMs >= PATH_DOUBTED_MS;
  }

  /** The computer said just now that pictures reach it. */
  #arrives(now: number): boolean {
    const status = this.#status;
    if (!this.#link.isIn || status === null || status.last_frame_ms === null) return false;
    return now - status.at + status.last_frame_ms < ARRIVES_MS;
  }

  /** The next rung for an illness of this connection. */
  #climb(now: number, remedy: Remedy): void {
    const peer = this.#peer;
    remedy.next = now + RUNG_MS;
    if (!peer || this.#paused !== null) return;
    remedy.rung += 1;
    switch (remedy.ill) {
      case 'capture':
        // Opening the camera has its own waits.
        if (!this.#capture.isComing) this.#reopen(now, false);
        if (remedy.rung > 2 && this.#link.isIn) this.#lost(now);
        break;
      case 'encoder':
        this.#health.reset();
        if (remedy.rung === 1) this.#out.push({ do: 'nudge', gen: peer.gen });
        else if (remedy.rung === 2) this.#reopen(now, false);
        else if (this.#link.isIn) this.#lost(now);
        break;
      case 'path':
        // Nothing can be offered without the link; when the path is back, the connection may live on.
        if (!this.#link.isIn) remedy.rung = 0;
        else if (remedy.rung === 1 && now - this.#networkChangedAt < NETWORK_CHANGED_MS) {
          remedy.next = now + ICE_RESTART_MS;
          this.#restartIce(now, peer);
        } else this.#lost(now);
        break;
    }
  }

  #count(now: number, peer: Peer, report: Report): void {
    const stats = this.#tally.take(now, report);
    if (stats === null || !this.#link.isIn) return;
    const muted = this.#capture.state === 'muted';
    this.#sendOf(peer, { type: 'stats', ...stats, muted, vis: this.#visible });
  }

  #onVisible(now: number, on: boolean): void {
    this.#visible = on;
    if (!on) {
      this.#paused ??= 'hidden';
      return;
    }
    if (this.#paused !== 'user') this.#paused = null;
    this.#health.reset();
    this.#capture.seen(now);
    this.#hurry(now);
  }

  #onOnline(now: number): void {
    this.#hurry(now);
    this.#link.redial(now);
    if (this.#link.doubt(now)) this.#send({ type: 'ping' });
  }

  /** Something changed for the better: what waits is done now. */
  #hurry(now: number): void {
    this.#link.hurry(now);
    this.#capture.hurry(now);
    if (this.#rebuildAt !== null) this.#rebuildAt = now;
    if (this.#peer?.step === 'up') this.#rebuilds = Math.min(this.#rebuilds, 1);
  }

  /** Tells the computer how the phone fares, when that changed. */
  #tell(): void {
    if (!this.#link.isIn) return;
    const gone = this.#capture.isGone;
    const capture = this.#paused !== null ? 'paused' : gone ? 'ended' : 'live';
    const gen = this.#peer?.gen ?? null;
    const body = { type: 'state', capture, why: this.#paused, ...this.#self } as const;
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
