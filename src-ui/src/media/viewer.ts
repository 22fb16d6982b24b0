/**
 * Shows one camera in one place, whatever it takes: chooses the transport, dials again when the
 * picture is lost, keeps the last picture. The one owner of a viewer's retry.
 *
 * Invariants: at most one player is shown and one is being opened (so that changing stream or
 * transport never blanks the picture); a hidden viewer ends within `HIDE_GRACE_MS`; nothing is
 * dialled for a camera that has no picture to give, and no connection is given up for a picture
 * that the server does not have either. It knows nothing of the wall around it.
 */
import type { Camera, Fault, Platform, StreamChoice } from '../platform/types';
import { randomName } from '../state/chance';
import { GOOD_AFTER_MS, redialDelay } from '../state/redial';
import { received } from '../state/tracks';
import {
  type Capabilities,
  choose,
  type Option,
  options,
  type Transport,
  type Why,
} from './capability';
import {
  type EndReason,
  NO_STATS,
  type Player,
  type PlayerFactory,
  type PlayerStats,
  play,
} from './player';

export type ViewerState =
  /** Hidden, or closed. */
  | { name: 'idle' }
  /** The camera has no picture to give now. */
  | { name: 'waiting' }
  | { name: 'opening'; transport: Transport }
  | { name: 'playing'; option: Option; whyNot: Why[] }
  | { name: 'redialing'; attempt: number; at: number; detail: string }
  | { name: 'unplayable'; why: Why[] };

export interface ViewerReport extends PlayerStats {
  transport: Transport | null;
  stream: StreamChoice;
  state: ViewerState['name'];
  fps: number;
  /** Bits per second that arrived. */
  bitrate: number;
  /** From the first dial of this attempt to its first picture, ms. */
  firstFrameMs: number | null;
  redials: number;
  /** Troubles of decoder or display since the tile is there. */
  faults: number;
}

export interface ViewerOptions {
  platform: Platform;
  capabilities: Capabilities;
  players: PlayerFactory;
  /** Gets the video elements and the canvas with the last picture. */
  host: HTMLElement;
  onChange(state: ViewerState): void;
  /** When the picture that is shown was taken, ms since 1970, where it stands; null while it is live. */
  onKept(takenAt: number | null): void;
  /** The browser holds wanted sound back, or does so no more. */
  onHeld?(held: boolean): void;
}

/** A tile that scrolls out and back, or a page that is turned quickly, costs no new connection. */
export const HIDE_GRACE_MS = 2000;
/** A live camera whose picture does not come within this is dialled again. */
const OPEN_LIMIT_MS = 8000;
/** Frames stopped here although they reach the server: the connection is dead. */
const FROZEN_LIMIT_MS = 4000;
/**
 * The same where the server does not say whether they do: of a sub-stream. So long a lost one is waited
 * for, too; who dials then gets the main stream.
 */
const UNTOLD_LIMIT_MS = 20_000;
/** What the server said of a camera counts for this long: it speaks every two seconds of one that is live. */
const HEARSAY_MS = 5000;
/** After a silence of the server, what it kept for a viewer has this long to come. */
const SETTLE_MS = 2000;
/** So many bytes without a picture are no trickle: the decoder is at fault. */
const FED_BYTES = 20_000;
/** A decoder or display that fails again within this was not helped by a new connection. */
const AGAIN_MS = 60_000;
/** A picture waits for a key frame after its camera was away; no camera is waited for longer … */
const KEY_FRAME_LIMIT_MS = 20_000;
/** … and each this long: only then the server would say that there is none (`no_key_frame`). */
const KEY_FRAME_DUE_MS = 10_000;
/** Attempts without one picture, after which the next transport is tried. */
const FRUITLESS_LIMIT = 2;
/** Where the picture is slower than this, a still bridges the wait. */
const BRIDGE_AFTER_MS = 700;
const KEPT_WIDTH = 960;
/** What browsers take for a person's wish to hear something. */
const GESTURES = ['pointerup', 'keydown'] as const;

interface Attempt {
  player: Player;
  video: HTMLVideoElement;
  option: Option;
  stream: StreamChoice;
  /** Sound comes along, heard or not. */
  sound: boolean;
  dialledAt: number;
  firstFrameMs: number | null;
  frames: number;
  bytes: number;
  measuredAt: number;
  /** Bytes that had arrived when the picture last moved. */
  movedBytes: number;
  movedAt: number;
  movedAtWall: number;
}

export class Viewer {
  #o: ViewerOptions;
  #camera: Camera | null = null;
  #state: ViewerState = { name: 'idle' };
  #shown: Attempt | null = null;
  #opening: Attempt | null = null;
  #visible = false;
  #stream: StreamChoice = 'main';
  #sound = false;
  #barred = new Set<Transport>();
  #fruitless = 0;
  #attempt = 0;
  #redials = 0;
  /** The server's run that it watches; null before it was told. */
  #run: string | null = null;
  /** What the server knows this viewer by. */
  #name = randomName();
  #faults = 0;
  #faultAt = Number.NEGATIVE_INFINITY;
  /** Since when pictures of the camera reach the server, as far as was seen; null while they do not. */
  #flowsSince: number | null = Number.NEGATIVE_INFINITY;
  /** When the server spoke of the camera last, and since when it has without a pause. */
  #heardAt = Number.NEGATIVE_INFINITY;
  #heardSince = Number.NEGATIVE_INFINITY;
  /** Between two key frames, as it was told last, ms. */
  #keyEvery = 0;
  #redialTimer: ReturnType<typeof setTimeout> | null = null;
  #hideTimer: ReturnType<typeof setTimeout> | null = null;
  #bridgeTimer: ReturnType<typeof setTimeout> | null = null;
  #kept: HTMLCanvasElement | null = null;
  #keptAt: number | null = null;
  #fps = 0;
  #bitrate = 0;
  /** The browser muted what is to be heard: it wants a gesture first. */
  #held = false;
  readonly #gesture = () => this.#hear();
  #closed = false;

  constructor(viewerOptions: ViewerOptions) {
    this.#o = viewerOptions;
    viewers.add(this);
  }

  get state(): ViewerState {
    return this.#state;
  }

  get cameraId(): string | null {
    return this.#camera?.id ?? null;
  }

  get video(): HTMLVideoElement | null {
    return this.#shown?.video ?? this.#opening?.video ?? null;
  }

  /** The camera as it is now: a new state or new tracks may start, stop or change the picture. */
  update(camera: Camera): void {
    const before = this.#camera;
    this.#camera = camera;
    const now = performance.now();
    const shown = this.#shown;
    if (shown && camera.state.name !== 'live') {
      // Its connection stays, and with it the last picture: from here on an old one.
      this.#measure(shown, now);
      this.#setKept(shown.movedAtWall);
    }
    if (now - this.#heardAt > HEARSAY_MS) this.#heardSince = now;
    this.#heardAt = now;
    // A session that has just begun does not know yet.
    this.#keyEvery = keyFrameEvery(camera) || this.#keyEvery;
    if (before && signature(before) !== signature(camera)) {
      this.#barred.clear();
      this.#fruitless = 0;
      const active = this.#shown ?? this.#opening;
      const best = choose(this.#options(), this.#barred);
      const other = best && best.transport !== active?.option.transport;
      // What a camera offers while it is away, sound alone for instance, is not what it comes back with.
      if (active && other && hasPicture(camera)) this.#dial();
    }
    const cameBack = before && !hasPicture(before) && hasPicture(camera);
    if (cameBack) this.#attempt = 0;
    this.#settle(cameBack === true);
  }

  setVisible(visible: boolean): void {
    this.#visible = visible;
    this.#shown?.player.setVisible(visible);
    this.#opening?.player.setVisible(visible);
    if (this.#hideTimer !== null) clearTimeout(this.#hideTimer);
    this.#hideTimer = null;
    if (visible) {
      this.#settle(true);
    } else if (this.#shown || this.#opening || this.#redialTimer !== null) {
      this.#hideTimer = setTimeout(() => this.#sleep(), HIDE_GRACE_MS);
    }
  }

  setStream(stream: StreamChoice): void {
    if (stream === this.#stream) return;
    this.#stream = stream;
    const active = this.#opening ?? this.#shown;
    if (active && active.stream !== this.#wanted) this.#dial();
  }

  /**
   * Which run of the server speaks. With another one every connection is of the past, long before its own
   * silence would show it, and what did not work with a server that was away says nothing.
   */
  setRun(run: string | null): void {
    const before = this.#run;
    this.#run = run ?? before;
    if (before === null || this.#run === before) return;
    this.#attempt = 0;
    this.#barred.clear();
    this.#fruitless = 0;
    this.#keep();
    if (this.#shown) this.#redials += 1;
    this.#drop(this.#opening);
    this.#drop(this.#shown);
    this.#opening = null;
    this.#shown = null;
    this.#settle(true);
  }

  /** Whether sound is wanted; it may need another transport. */
  setSound(on: boolean): void {
    if (on !== this.#sound) {
      this.#sound = on;
      const active = this.#shown ?? this.#opening;
      const best = choose(this.#options(), this.#barred);
      const other = active && best && best.transport !== active.option.transport;
      const missing = on && active?.option.sound === 'plays' && !active.sound;
      if (other || missing) this.#dial();
    }
    this.#hear();
  }

  /** Lets the picture that is shown be heard, or not. */
  #hear(): void {
    const attempt = this.#shown;
    if (attempt === null) return;
    attempt.video.muted = !this.#sound;
    // Some browsers pause a video whose sound comes on.
    if (this.#sound && attempt.option.transport !== 'stills') play(attempt.video);
    this.#listen();
  }

  /** Without a gesture browsers mute a video that begins: this is told, and undone with the next one. */
  #listen(): void {
    const held = this.#sound && this.#shown?.video.muted === true;
    if (held === this.#held) return;
    this.#held = held;
    for (const name of GESTURES) {
      if (held) addEventListener(name, this.#gesture, true);
      else removeEventListener(name, this.#gesture, true);
    }
    this.#o.onHeld?.(held);
  }

  redialNow(): void {
    this.#attempt = 0;
    this.#barred.clear();
    this.#fruitless = 0;
    this.#clearRedial();
    if (this.#shown === null && this.#opening === null) this.#settle(true);
  }

  close(): void {
    this.#closed = true;
    viewers.delete(this);
    this.#sleep();
    if (this.#hideTimer !== null) clearTimeout(this.#hideTimer);
    if (this.#bridgeTimer !== null) clearTimeout(this.#bridgeTimer);
  }

  /** The picture as it is shown, full size; null where there is none. */
  grab(): HTMLCanvasElement | null {
    const video = this.#shown?.video;
    if (!video || video.videoWidth === 0) return null;
    const canvas = document.createElement('canvas');
    canvas.width = video.videoWidth;
    canvas.height = video.videoHeight;
    canvas.getContext('2d')?.drawImage(video, 0, 0);
    return canvas;
  }

  /** Called once a second for all viewers: measures, and notices what died in silence. */
  tick(now: number): void {
    for (const attempt of [this.#shown, this.#opening]) {
      if (attempt) this.#measure(attempt, now);
    }
    const camera = this.#camera;
    const flows = camera !== null && pictureFlows(camera);
    if (!flows) this.#flowsSince = null;
    else this.#flowsSince ??= now;
    if (camera?.state.name !== 'live' || !this.#visible) return;
    // Who hears nothing of the camera cannot tell whose silence it is.
    if (now - this.#heardAt > HEARSAY_MS) return;
    const settled = this.#heardSince + SETTLE_MS;
    const began = this.#flowsSince ?? Number.NEGATIVE_INFINITY;
    const keyFrame = Math.max(KEY_FRAME_DUE_MS, this.#keyEvery);
    const opening = this.#opening;
    if (opening) {
      const due = Math.max(opening.dialledAt, began + keyFrame) + OPEN_LIMIT_MS;
      const waits = this.#waits(opening, now, due);
      if (now <= Math.max(due, settled) || waits) return;
      const fed = opening.bytes > FED_BYTES;
      this.#onEnded(opening, fed ? 'undecodable' : 'lost', 'no picture came');
      return;
    }
    const shown = this.#shown;
    if (shown === null || this.#flowsSince === null) return;
    const due = Math.max(shown.movedAt, began > shown.movedAt ? began + keyFrame : began);
    const limit = shown.stream === 'sub' ? UNTOLD_LIMIT_MS : FROZEN_LIMIT_MS;
    if (now <= Math.max(due + limit, settled) || this.#waits(shown, now, due)) return;
    const fed = shown.bytes - shown.movedBytes > FED_BYTES;
    const reason = !fed ? 'lost' : shown.video.paused ? 'not_shown' : 'undecodable';
    this.#onEnded(shown, reason, 'the picture stood still');
  }

  /** Whether what the server says of an attempt is to be waited out, past `due`. */
  #waits({ player, stream }: Attempt, now: number, due: number): boolean {
    return player.waits && (stream === 'main' || now <= due + UNTOLD_LIMIT_MS);
  }

  report(): ViewerReport {
    const attempt = this.#shown ?? this.#opening;
    const stats = attempt?.player.stats() ?? NO_STATS;
    return {
      ...stats,
      transport: attempt?.option.transport ?? null,
      stream: attempt?.stream ?? this.#stream,
      state: this.#state.name,
      fps: this.#shown ? this.#fps : 0,
      bitrate: this.#shown ? this.#bitrate : 0,
      firstFrameMs: attempt?.firstFrameMs ?? null,
      redials: this.#redials,
      faults: this.#faults,
    };
  }

  async refresh(): Promise<void> {
    await this.#shown?.player.refresh();
  }

  #options(): Option[] {
    return options(this.#camera?.tracks ?? [], this.#o.capabilities, this.#sound);
  }

  /** The stream to be dialled: a camera without a small one has the large one for every size. */
  get #wanted(): StreamChoice {
    return this.#camera?.sub ? this.#stream : 'main';
  }

  /** Brings what is done in line with what is wanted. */
  #settle(now: boolean): void {
    const camera = this.#camera;
    if (this.#closed || camera === null || !this.#visible) return;
    if (this.#shown || this.#opening) return;
    if (!hasPicture(camera)) {
      this.#clearRedial();
      if (this.#kept === null) void this.#fetchKept(camera);
      this.#move({ name: 'waiting' });
      return;
    }
    if (this.#redialTimer !== null && !now) return;
    this.#dial();
  }

  #dial(): void {
    const camera = this.#camera;
    this.#clearRedial();
    if (this.#closed || camera === null || !this.#visible) return;
    this.#drop(this.#opening);
    this.#opening = null;
    const all = this.#options();
    const option = choose(all, this.#barred);
    if (option === null) {
      this.#keep();
      this.#drop(this.#shown);
      this.#shown = null;
      this.#move({ name: 'unplayable', why: this.#whyNot(all) });
      return;
    }
    const video = document.createElement('video');
    video.muted = true;
    video.playsInline = true;
    video.disablePictureInPicture = true;
    video.tabIndex = -1;
    video.setAttribute('aria-hidden', 'true');
    video.dataset.pending = '';
    video.addEventListener('volumechange', () => this.#listen());
    this.#o.host.append(video);
    const stream = this.#wanted;
    const now = performance.now();
    const player = this.#o.players(option.transport, () => this.#onPlayer(attempt));
    const attempt: Attempt = {
      player,
      video,
      option,
      stream,
      // WebRTC brings it in any case; MSE would pace the picture by a sound that nobody hears.
      sound: this.#sound || option.transport === 'webrtc',
      dialledAt: now,
      firstFrameMs: null,
      frames: 0,
      bytes: 0,
      measuredAt: now,
      movedBytes: 0,
      movedAt: now,
      movedAtWall: Date.now(),
    };
    this.#opening = attempt;
    if (this.#shown === null) {
      this.#move({ name: 'opening', transport: option.transport });
      if (this.#kept === null) this.#bridge(camera);
    }
    player.attach(video, camera, stream, attempt.sound);
  }

  #onPlayer(attempt: Attempt): void {
    const state = attempt.player.state;
    if (state.name === 'playing' && attempt === this.#opening) this.#promote(attempt);
    else if (state.name === 'ended') this.#onEnded(attempt, state.reason, state.detail);
  }

  #promote(attempt: Attempt): void {
    this.#drop(this.#shown);
    this.#shown = attempt;
    this.#opening = null;
    this.#fruitless = 0;
    const now = performance.now();
    attempt.firstFrameMs = Math.round(now - attempt.dialledAt);
    attempt.movedAt = now;
    attempt.movedAtWall = Date.now();
    delete attempt.video.dataset.pending;
    this.#hear();
    this.#forgetKept();
    this.#move({ name: 'playing', option: attempt.option, whyNot: this.#whyNot(this.#options()) });
  }

  #onEnded(attempt: Attempt, reason: EndReason, detail: string): void {
    if (attempt !== this.#opening && attempt !== this.#shown) return;
    const wasShown = attempt === this.#shown;
    const { transport } = attempt.option;
    if (wasShown) {
      this.#keep();
      if (performance.now() - attempt.dialledAt >= GOOD_AFTER_MS) this.#attempt = 0;
      this.#shown = null;
    } else {
      this.#opening = null;
      if (reason === 'lost') this.#fruitless += 1;
    }
    this.#drop(attempt);
    this.#redials += 1;
    const gone = this.#camera !== null && !hasPicture(this.#camera);
    const fault = gone ? undefined : FAULTS[reason];
    const again = fault !== undefined && this.#complain(fault, transport, detail);
    const fruitless = (again || this.#fruitless >= FRUITLESS_LIMIT) && transport !== 'stills';
    if (gone) {
      this.#settle(false);
    } else if (reason === 'unplayable' || fruitless) {
      this.#barred.add(transport);
      this.#fruitless = 0;
      this.#dial();
    } else if (reason === 'changed' || (fault !== undefined && !again)) {
      this.#dial();
    } else if (this.#shown === null || wasShown) {
      this.#scheduleRedial(detail);
    } else {
      this.#askAgain();
    }
  }

  /** Something is shown, but not what is wanted. */
  #askAgain(): void {
    this.#clearRedial();
    const delay = redialDelay(this.#attempt);
    this.#attempt += 1;
    this.#redialTimer = setTimeout(() => {
      this.#redialTimer = null;
      if (this.#shown && !this.#opening && this.#differs(this.#shown)) this.#dial();
    }, delay);
  }

  #differs(shown: Attempt): boolean {
    const best = choose(this.#options(), this.#barred);
    const silent = this.#sound && shown.option.sound === 'plays' && !shown.sound;
    return silent || shown.stream !== this.#wanted || best?.transport !== shown.option.transport;
  }

  /** Tells the server of trouble here; whether a new connection alone has not helped against it. */
  #complain(kind: Fault['class'], transport: Transport, detail: string): boolean {
    const now = performance.now();
    const again = now - this.#faultAt <= AGAIN_MS;
    this.#faultAt = now;
    this.#faults += 1;
    const id = this.#camera?.id;
    if (id === undefined) return again;
    const fault = { class: kind, detail, viewer: this.#name, transport };
    this.#o.platform
      .reportFault(id, fault)
      .then(({ action }) => {
        if (action !== 'fall_back' || transport === 'stills' || this.#barred.has(transport)) return;
        this.#barred.add(transport);
        const active = this.#opening ?? this.#shown;
        if (active?.option.transport === transport) this.#dial();
      })
      .catch(() => {
        // What was decided here holds.
      });
    return again;
  }

  #scheduleRedial(detail: string): void {
    if (!this.#visible || this.#closed || this.#camera === null) return;
    if (!hasPicture(this.#camera)) {
      this.#move({ name: 'waiting' });
      return;
    }
    if (this.#opening) return;
    this.#clearRedial();
    const delay = redialDelay(this.#attempt);
    this.#attempt += 1;
    if (this.#attempt > REST_AFTER) this.#barred.clear();
    this.#move({ name: 'redialing', attempt: this.#attempt, at: Date.now() + delay, detail });
    this.#redialTimer = setTimeout(() => {
      this.#redialTimer = null;
      this.#settle(true);
    }, delay);
  }

  #clearRedial(): void {
    if (this.#redialTimer !== null) clearTimeout(this.#redialTimer);
    this.#redialTimer = null;
  }

  #sleep(): void {
    this.#clearRedial();
    this.#keep();
    this.#drop(this.#opening);
    this.#drop(this.#shown);
    this.#opening = null;
    this.#shown = null;
    this.#attempt = 0;
    this.#listen();
    this.#move({ name: 'idle' });
  }

  #drop(attempt: Attempt | null): void {
    if (attempt === null) return;
    attempt.player.close();
    attempt.video.remove();
  }

  #measure(attempt: Attempt, now: number): void {
    const { frames, bytes } = attempt.player.stats();
    const seconds = (now - attempt.measuredAt) / 1000;
    if (frames !== attempt.frames) {
      attempt.movedAt = now;
      attempt.movedAtWall = Date.now();
      attempt.movedBytes = bytes;
      if (attempt === this.#shown && this.#keptAt !== null) {
        this.#setKept(this.#camera?.state.name === 'live' ? null : attempt.movedAtWall);
      }
    } else if (now - attempt.movedAt > 1500) {
      // Whether anything arrives takes a moment to find out.
      void attempt.player.refresh().catch(() => {});
    }
    if (seconds > 0.2) {
      // Some engines count anew after a change of rate: such a second is left out.
      if (attempt === this.#shown && frames >= attempt.frames) {
        this.#fps = (frames - attempt.frames) / seconds;
        this.#bitrate = Math.max(0, ((bytes - attempt.bytes) * 8) / seconds);
      }
      attempt.frames = frames;
      attempt.bytes = bytes;
      attempt.measuredAt = now;
    }
  }

  #whyNot(all: readonly Option[]): Why[] {
    return all.flatMap((option): Why[] => {
      if (option.why) return [option.why];
      return this.#barred.has(option.transport) ? [{ code: 'tried', codec: null }] : [];
    });
  }

  /** Draws what is on the screen into the canvas that stays when the player goes. */
  #keep(): void {
    const attempt = this.#shown;
    if (attempt === null) return;
    const { video } = attempt;
    if (video.videoWidth === 0 || video.readyState < 2) return;
    const scale = Math.min(1, KEPT_WIDTH / video.videoWidth);
    const canvas = this.#canvas(video.videoWidth * scale, video.videoHeight * scale);
    try {
      canvas.getContext('2d')?.drawImage(video, 0, 0, canvas.width, canvas.height);
      this.#setKept(attempt.movedAtWall);
    } catch {
      this.#forgetKept();
    }
  }

  #bridge(camera: Camera): void {
    if (this.#bridgeTimer !== null) clearTimeout(this.#bridgeTimer);
    this.#bridgeTimer = setTimeout(() => {
      if (this.#shown === null && this.#kept === null) void this.#fetchKept(camera);
    }, BRIDGE_AFTER_MS);
  }

  async #fetchKept(camera: Camera): Promise<void> {
    if (camera.tracks.length === 0 && camera.stats.frames === 0) return;
    try {
      const { picture, takenAt } = await this.#o.platform.snapshot(camera.id, KEPT_WIDTH);
      const bitmap = await createImageBitmap(picture);
      if (this.#shown || this.#kept || this.#closed) return;
      this.#canvas(bitmap.width, bitmap.height).getContext('2d')?.drawImage(bitmap, 0, 0);
      this.#setKept(takenAt);
    } catch {
      // No picture yet: the tile stays dark, its words say why.
    }
  }

  #canvas(width: number, height: number): HTMLCanvasElement {
    if (this.#kept === null) {
      this.#kept = document.createElement('canvas');
      this.#kept.setAttribute('aria-hidden', 'true');
      this.#o.host.prepend(this.#kept);
    }
    this.#kept.width = Math.round(width);
    this.#kept.height = Math.round(height);
    return this.#kept;
  }

  #setKept(takenAt: number | null): void {
    if (takenAt === this.#keptAt) return;
    this.#keptAt = takenAt;
    this.#o.onKept(takenAt);
  }

  #forgetKept(): void {
    if (this.#bridgeTimer !== null) clearTimeout(this.#bridgeTimer);
    this.#bridgeTimer = null;
    this.#kept?.remove();
    this.#kept = null;
    this.#setKept(null);
  }

  #move(state: ViewerState): void {
    const settled = state.name === 'idle' || state.name === 'waiting';
    if (settled && state.name === this.#state.name) return;
    this.#state = state;
    this.#o.onChange(state);
  }
}

/** After this many redials in a row every transport gets another chance. */
const REST_AFTER = 6;

/** Every viewer of the page, for the one clock and for the tests' window into them. */
export const viewers = new Set<Viewer>();

/** Starts the one clock that all viewers share; called once, for the life of the page. */
export function startViewerClock(): void {
  setInterval(() => {
    const now = performance.now();
    for (const viewer of viewers) viewer.tick(now);
  }, 1000);
}

/** Which class of fault a player's end is. */
const FAULTS: Partial<Record<EndReason, Fault['class']>> = {
  unplayable: 'DECODER',
  undecodable: 'DECODER',
  not_shown: 'VIDEO_SINK',
};

function pictureFlows({ state, tracks, stats, warnings = [] }: Camera): boolean {
  const moves = received(tracks, 'video') !== null;
  const fresh = stats.last_frame_ms !== null && stats.last_frame_ms < 2000;
  const whole = !warnings.some((warning) => warning.code === 'no_key_frame');
  return state.name === 'live' && moves && fresh && whole;
}

/** 0 where it is not known. */
function keyFrameEvery({ stats }: Camera): number {
  const every = stats.fps > 0 ? (stats.gop / stats.fps) * 1000 : 0;
  return Math.min(every, KEY_FRAME_LIMIT_MS);
}

function hasPicture(camera: Camera): boolean {
  return camera.state.name === 'live' || camera.state.name === 'stalled';
}

function signature(camera: Camera): string {
  return camera.tracks.map(({ kind, codec, note }) => `${kind}:${codec}:${!note}`).join();
}
