/**
 * The phone: the session's decisions, and the camera, connection and wire that carry them out.
 * Invariant: nothing here decides about recovery; what happens is told to the session with the number
 * of what it happened to, and what the session says is done.
 */
import type { ControlValue, FromPeer, Message, Welcome } from './bindings/signaling';
import { type CameraPowers, type Facing, PhoneCamera, type Refusal } from './device/camera';
import { Outlet } from './device/outlet';
import { type Quality, QUALITIES, type Shape, shapeOf, Thrift } from './device/quality';
import { startOf } from './device/start';
import { type Battery, Surroundings } from './device/surroundings';
import type { Report } from './session/health';
import type { Invitation } from './session/invitation';
import type { Keep, Paired } from './session/keep';
import type { Action, CaptureState, Input } from './session/events';
import { Session } from './session/machine';
import { digits, isGenuine, nonce, publicKey, signAuth } from './session/proof';
import type { OpenWire, Wire } from './session/wire';
import { settings } from './settings.svelte';

/** Figures are taken this often, ms. */
const REPORT_MS = 500;
/** A capture that was stopped is noticed within this, ms. */
const LOOK_MS = 400;
const GEN_KEY = 'nightjar.gen';

export interface PhoneParts {
  openWire: OpenWire;
  keep: Keep;
  /** Where the computer is. */
  origin: string;
  /** `web` or `app`. */
  kind: string;
  /** Reads a computer's code, where the page cannot be opened by one. */
  scan: (() => Promise<void>) | null;
  /** A room that anybody may publish into, where the address names one. */
  room: string | null;
}

export class Phone {
  /** Raised with every change, so that whoever shows the phone looks again. */
  #changes = $state(0);
  #parts: PhoneParts;
  #session: Session;
  #camera: PhoneCamera;
  #surroundings: Surroundings;
  #wire: Wire | null = null;
  #dial = 0;
  #outlet: Outlet | null = null;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #nonces = new Map<number, string>();
  #invitation: Invitation | null;
  #computers: Paired[] = [];
  #thrift = new Thrift();
  #step = 0;
  #hot = false;
  #report: Report | null = null;
  #reporting = false;
  #code: string | null = null;
  #times = { built: 0 };

  constructor(parts: PhoneParts, invitation: Invitation | null, computers: Paired[]) {
    this.#parts = parts;
    this.#invitation = invitation;
    this.#computers = computers;
    this.#session = new Session(Math.random, Number(sessionStorage.getItem(GEN_KEY)) || 0);
    this.#camera = new PhoneCamera({
      onState: (state, sound) => this.#tell({ is: 'capture', state, sound }),
      onTracks: () => this.#send(),
      onAllowed: () => this.#open(),
    });
    this.#surroundings = new Surroundings({
      onVisible: (on) => this.#tell({ is: 'visible', on }),
      onOnline: () => this.#tell({ is: 'online' }),
      onChange: () => this.#describe(),
      onLeave: () => this.#leave(),
    });
    setInterval(() => void this.#measure(), REPORT_MS);
    setInterval(() => this.#camera.check(), LOOK_MS);
  }

  // What a page shows. Reading any of it makes the page look again after each change.
  get view() {
    void this.#changes;
    const session = this.#session;
    return {
      phase: session.phase,
      end: session.end,
      paused: session.pausedBy,
      linked: session.linked,
      code: this.#code ?? session.code,
      stranger: session.stranger,
      dialAt: session.dialAt,
      dialsFailed: session.dialsFailed,
      capture: session.capture,
      status: session.status,
      room: session.room,
      gen: session.gen,
      stream: this.#camera.stream,
      powers: this.#camera.powers,
      soundRefused: this.#camera.soundRefused,
      refusal: this.#refusal(),
      keepsAwake: this.#surroundings.canKeepAwake,
      report: this.#report,
      thrift: this.#step,
      battery: this.#surroundings.battery,
      computer: this.#invitation?.name || this.#computers[0]?.name || '',
      invited: this.#invitation !== null,
      paired: this.#computers.length > 0 || this.#parts.room !== null,
    };
  }

  start(): void {
    settings.publishing = true;
    this.#surroundings.keepAwake(true);
    this.#tell({ is: 'visible', on: document.visibilityState === 'visible' });
    this.#tell({ is: 'start', ask: this.#invitation !== null && this.#computers.length === 0 });
    this.#describe();
  }

  stop(): void {
    settings.publishing = false;
    this.#surroundings.keepAwake(false);
    this.#tell({ is: 'stop' });
  }

  /** After an end, or a camera that was refused: a person says that it may work now. */
  again(): void {
    if (this.#session.end === null) this.#open();
    else this.start();
  }

  pause(on: boolean): void {
    this.#tell({ is: 'user_pause', on });
    if (on) this.#camera.close();
    else this.#open();
  }

  turn(): void {
    settings.facing = settings.facing === 'user' ? 'environment' : 'user';
    this.#open();
  }

  setQuality(quality: Quality): void {
    settings.quality = quality;
    this.#reshape();
  }

  setSound(on: boolean): void {
    settings.sound = on;
    // Opening the camera anew is what lights or dims the system's own sign of the microphone.
    this.#open();
    if (on && this.#outlet && !this.#outlet.hasSound) this.#tell({ is: 'reshape' });
  }

  setTorch(on: boolean): Promise<boolean> {
    return this.#camera.setTorch(on);
  }
  setZoom(zoom: number): Promise<boolean> {
    return this.#camera.setZoom(zoom);
  }

  /** The code was scanned again while the page was open. */
  invite(invitation: Invitation): void {
    this.#invitation = invitation;
    this.#changes += 1;
  }

  /** Reads a computer's code with the phone's camera; null where the browser's own scanner does that. */
  get scan(): (() => Promise<void>) | null {
    return this.#parts.scan;
  }

  /** The other side had not the key that was scanned. Who has just scanned it is told; a phone alone waits. */
  impostor(): void {
    const dial = this.#dial;
    if (this.#invitation === null) this.#tell({ is: 'stranger', dial });
    else this.#tell({ is: 'no_proof', dial, end: 'impostor' });
  }

  /** For tests and for a look at a phone from its console. */
  get probe() {
    return {
      camera: this.#camera,
      session: this.#session,
      outlet: () => this.#outlet,
      times: this.#times,
    };
  }

  /** Why the camera is refused; an app's rights are given elsewhere than a page's. */
  #refusal(): Refusal | 'denied_app' | null {
    const { refusal } = this.#camera;
    return refusal === 'denied' && this.#parts.kind === 'app' ? 'denied_app' : refusal;
  }

  #shape(): Shape {
    return shapeOf(settings.quality, this.#step);
  }

  /** Where the phone may film; what was chosen meanwhile counts from then on. */
  #open(): void {
    if (!this.#session.mayFilm) return;
    const { facing, sound } = settings;
    void this.#camera.open({ facing, sound, shape: this.#shape() });
  }

  /** Sends what the camera gives now. */
  #send(): void {
    this.#outlet?.setTracks({ video: this.#camera.video, audio: this.#camera.audio });
    this.#changes += 1;
  }

  #reshape(): void {
    void this.#camera.setShape(this.#shape());
    void this.#outlet?.setShape(this.#shape());
    this.#changes += 1;
  }

  #describe(): void {
    const { net, orientation, battery } = this.#surroundings;
    const { level = null, charging = null } = battery ?? {};
    const [hot, thrift] = [this.#hot, this.#step];
    this.#tell({ is: 'self', self: { net, orientation, battery: level, charging, hot, thrift } });
  }

  /** The page goes away: the computer should not look for it. */
  #leave(): void {
    this.#wire?.send({ v: 1, type: 'bye', reason: 'page closed' });
    this.#wire?.close();
  }

  #tell(input: Input): void {
    const actions = this.#session.handle(performance.now(), input);
    for (const action of actions) this.#act(action);
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const due = this.#session.deadline();
    if (due !== null) {
      const wait = Math.max(5, due - performance.now());
      this.#timer = setTimeout(() => this.#tell({ is: 'tick' }), wait);
    }
    if (this.#session.code === null && this.#session.phase !== 'auth') this.#code = null;
    this.#changes += 1;
    this.#pairAgain();
  }

  /** The computer no longer knows this phone, but its code was scanned just now. */
  #pairAgain(): void {
    const { end } = this.#session;
    const pin = this.#invitation?.pin;
    const known = this.#computers.some(({ relay }) => relay === pin);
    if (!known || pin === undefined || (end !== 'unpaired' && end !== 'revoked')) return;
    this.#computers = this.#computers.filter(({ relay }) => relay !== pin);
    void this.#parts.keep.forget(pin).catch(() => {});
    this.start();
  }

  #act(action: Action): void {
    switch (action.do) {
      case 'dial':
        this.#onDial(action.dial, action.way);
        break;
      case 'hang_up':
        if (action.dial === this.#dial) this.#wire?.close();
        break;
      case 'send':
        this.#wire?.send(action.message);
        break;
      case 'prove':
        void this.#prove(action.dial, action.welcome).catch(() => this.#wire?.close());
        break;
      case 'paired':
        void this.#onPaired(action.dial, action.device, action.relay, action.nonce);
        break;
      case 'build':
        this.#build(action);
        break;
      case 'restart_ice':
        if (action.gen === this.#outlet?.gen) this.#outlet.restartIce(action.neg, action.ice);
        break;
      case 'accept':
        if (action.gen === this.#outlet?.gen) this.#accept(this.#outlet, action.sdp);
        break;
      case 'add_candidate':
        if (action.gen === this.#outlet?.gen) this.#outlet.addCandidate(action.candidate);
        break;
      case 'tear_down':
        this.#outlet?.close();
        this.#outlet = null;
        break;
      case 'open_capture':
        this.#open();
        break;
      case 'close_capture':
        this.#camera.close();
        break;
      case 'nudge':
        if (action.gen === this.#outlet?.gen) this.#outlet.nudge();
        break;
      case 'control':
        void this.#control(action.op, action.value);
        break;
    }
  }

  #onDial(dial: number, way: 'socket' | 'stream'): void {
    this.#wire?.close();
    this.#dial = dial;
    const nonce_c = nonce();
    this.#nonces = new Map([[dial, nonce_c]]);
    this.#wire = this.#parts.openWire(way, {
      onOpen: () => {
        this.#tell({ is: 'link_open', dial });
        this.#wire?.send(this.#hello(nonce_c));
      },
      onMessage: (message) => this.#tell({ is: 'heard', dial, message }),
      onClose: (code) => this.#tell({ is: 'link_closed', dial, code }),
    });
  }

  #hello(nonce_c: string): Message<FromPeer> {
    const codecs = (RTCRtpSender.getCapabilities?.('video')?.codecs ?? []).map(
      ({ mimeType }) => mimeType.split('/')[1]?.toLowerCase() ?? '',
    );
    const { torch, zoom } = this.#camera.powers;
    return {
      v: 1,
      type: 'hello',
      protos: ['camrelay.v1'],
      role: 'publisher',
      client: { kind: this.#parts.kind, ver: __VERSION__, ua: navigator.userAgent.slice(0, 200) },
      caps: {
        codecs: [...new Set(codecs)].filter((name) => /^(h26[45]|vp[89]|av1)$/.test(name)),
        torch,
        zoom: zoom !== null,
        ice_restart: true,
      },
      nonce_c,
    };
  }

  async #prove(dial: number, welcome: Welcome): Promise<void> {
    const nonce_c = this.#nonces.get(dial);
    const wire = this.#wire;
    if (nonce_c === undefined) return;
    const { room } = this.#parts;
    if (room !== null && this.#invitation === null) {
      this.#tell({ is: 'admitted', dial, room });
      return;
    }
    const known = this.#computers.find(({ relay }) => relay === welcome.relay_id) ?? null;
    const pin = known?.relay ?? this.#invitation?.pin ?? null;
    if (!(await isGenuine(welcome, nonce_c, pin))) {
      // Another computer at the same address, or somebody in between.
      this.#tell({ is: 'no_proof', dial, end: pin === null ? 'unpaired' : 'impostor' });
      return;
    }
    const invited = this.#invitation?.pin === welcome.relay_id ? this.#invitation : null;
    if (known) {
      await this.#authenticate(dial, known.device, known.relay, welcome.nonce);
      return;
    }
    if (!invited) {
      this.#tell({ is: 'no_proof', dial, end: 'unpaired' });
      return;
    }
    const spki = await publicKey(await this.#parts.keep.key());
    this.#code = await digits(welcome.relay_id, spki, welcome.nonce, nonce_c);
    if (dial !== this.#dial) return;
    const { name } = settings;
    wire?.send({ v: 1, type: 'pair_request', token: invited.token, spki, name, nonce_c });
  }

  async #authenticate(dial: number, device: string, relay: string, theirs: string): Promise<void> {
    const nonce_c = nonce();
    // As the proof names it.
    const { host } = new URL(this.#parts.origin);
    const key = await this.#parts.keep.key();
    const sig = await signAuth(key, { nonce: theirs, nonce_c, relay, device, host });
    if (dial === this.#dial) {
      this.#wire?.send({ v: 1, type: 'auth', device_id: device, nonce_c, sig, host });
    }
  }

  async #onPaired(dial: number, device: string, relay: string, theirs: string): Promise<void> {
    const { origin } = this.#parts;
    const paired = { relay, device, name: this.#invitation?.name ?? '', origin, used: Date.now() };
    this.#invitation = null;
    this.#computers = [paired, ...this.#computers.filter((one) => one.relay !== relay)];
    await this.#parts.keep.remember(paired).catch(() => {
      // It will be asked to pair again some day; today it works.
    });
    await this.#authenticate(dial, device, relay, theirs);
  }

  #build(action: Extract<Action, { do: 'build' }>): void {
    const { gen, neg, ice, capture } = action;
    this.#outlet?.close();
    sessionStorage.setItem(GEN_KEY, String(gen));
    this.#times = { built: performance.now() };
    // The camera opens while the offer is on its way; its tracks are put in when they are there.
    if (capture) this.#open();
    const tracks = { video: this.#camera.video, audio: this.#camera.audio };
    const outlet = new Outlet(gen, ice, tracks, settings.sound, {
      onOffer: (which, sdp) => this.#tell({ is: 'offer', gen, neg: which, sdp }),
      onCandidate: (candidate) => this.#tell({ is: 'candidate', gen, candidate }),
      onConnection: (state) => this.#tell({ is: 'connection', gen, state }),
      onFailed: () => this.#tell({ is: 'peer_failed', gen }),
    });
    this.#outlet = outlet;
    outlet.offer(neg);
  }

  #accept(outlet: Outlet, answer: string): void {
    const shape = this.#shape();
    const start = startOf(shape, this.#report?.targetBps ?? null, this.#surroundings.net);
    outlet.accept(answer, shape, start);
  }

  async #measure(): Promise<void> {
    const outlet = this.#outlet;
    if (outlet === null || this.#reporting) return;
    this.#reporting = true;
    const report = await outlet.report(performance.now()).catch(() => null);
    this.#reporting = false;
    if (report === null || outlet !== this.#outlet) return;
    this.#report = report;
    const { battery, pressed } = this.#surroundings;
    const hot = report.limit === 'cpu' || pressed;
    const low = Thrift.low(battery?.level ?? null, battery?.charging ?? true);
    const heat = this.#thrift.take(report.span, hot);
    const step = Math.max(heat, low ? 1 : 0);
    if (step !== this.#step) {
      this.#step = step;
      this.#reshape();
    }
    this.#hot = heat > 0 || pressed;
    this.#describe();
    this.#tell({ is: 'report', gen: outlet.gen, report });
  }

  /** A wish from the wall. */
  async #control(op: string, value: ControlValue | null): Promise<void> {
    let done = true;
    if (op === 'torch') done = await this.setTorch(value === true);
    else if (op === 'zoom' && typeof value === 'number') done = await this.setZoom(value);
    else if (op === 'mute') this.setSound(value !== true);
    else if (op === 'facing' && isFacing(value) && value !== settings.facing) this.turn();
    else if (op === 'quality' && isQuality(value)) this.setQuality(value);
    else if (op !== 'facing') done = false;
    if (done) this.#wire?.send({ v: 1, type: 'control_ok', op, value });
  }
}

function isQuality(value: unknown): value is Quality {
  return QUALITIES.some((quality) => quality === value);
}
function isFacing(value: unknown): value is Facing {
  return value === 'user' || value === 'environment';
}

export type PhoneView = Phone['view'];
export type { Battery, CameraPowers, CaptureState };
