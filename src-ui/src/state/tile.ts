/**
 * What a tile says. Pure: the camera's state, the viewer's state and the time in; words, mark and
 * offered action out.
 * Invariant: a picture that is not live is always dimmed, and each fault has words and a next step.
 */
import type { Messages } from '../i18n/en';
import type { ViewerState } from '../media/viewer';
import type { Camera, CameraState, Cause } from '../platform/types';
import type { Why } from '../media/capability';
import { causeKey, isPaused } from './cause';
import { clockTime, codecName, duration, instant } from './format';
import { received } from './tracks';

export type Mark = 'none' | 'spinner' | 'bar' | 'ring' | 'padlock' | 'cross' | 'blocked' | 'pause';
export type Tone = 'quiet' | 'live' | 'warn' | 'fail';
export type TileAction = 'retry' | 'edit' | 'redial' | null;

export interface TileView {
  mark: Mark;
  tone: Tone;
  /** Short enough for the smallest tile. */
  headline: string | null;
  detail: string | null;
  /** Said only where there is room. */
  more: string | null;
  /** The picture is old or missing. */
  dim: boolean;
  /** Share of the wait that is left, 0–1, while there is a count-down. */
  ring: number | null;
  /** The seconds of it. */
  seconds: number;
  action: TileAction;
  cause: Cause | null;
  /** A small word for a picture that is live but not all it could be. */
  badge: string | null;
}

export interface TileInput {
  camera: Camera;
  viewer: ViewerState;
  /** Whether the event feed works: without it nothing about the camera is sure. */
  online: boolean;
  /** This machine's clock, ms. */
  now: number;
  /** Server clock minus this machine's, ms. */
  clockOffset: number;
  m: Messages;
  locale: string;
}

/** Waits are drawn against this when nobody knows how long they were at the start, ms. */
const RING_FULL_MS = 10_000;

const CALM: TileView = {
  mark: 'none',
  tone: 'live',
  headline: null,
  detail: null,
  more: null,
  dim: false,
  ring: null,
  seconds: 0,
  action: null,
  cause: null,
  badge: null,
};

/** Whether pictures of it reach a file: a recorder that waits for the camera writes nothing. */
export function isFilmed({ recording }: Camera): boolean {
  return recording.state === 'recording' && recording.cause?.code !== 'waiting_for_camera';
}

export function tileView(input: TileInput): TileView {
  const { camera, online, now, clockOffset, m, locale } = input;
  const { state } = camera;
  const local = (text: string | null | undefined) => {
    const at = instant(text);
    return at === null ? null : at - clockOffset;
  };
  const since = local(state.since) ?? now;
  const last = local(state.last_picture_at);
  const dark = last === null ? m.tile.never : m.tile.since(clockTime(last, now, locale));
  const cause = state.cause ?? null;

  if (!online) {
    return {
      ...CALM,
      tone: 'warn',
      mark: 'spinner',
      headline: m.tile.viewerLost,
      detail: m.tile.serverLost,
      dim: true,
    };
  }
  switch (state.name) {
    case 'idle': {
      // A phone that was let in and is not here: somebody has to open it, and nothing is wrong.
      const away = camera.kind === 'phone' && cause !== null ? m.cause[causeKey(cause)] : null;
      return {
        ...CALM,
        tone: 'quiet',
        mark: 'pause',
        headline: away?.title ?? m.tile.idle,
        detail: away?.remedy ?? null,
        dim: true,
      };
    }
    case 'connecting': {
      const again = (state.attempt ?? 0) > 1;
      return {
        ...CALM,
        tone: 'quiet',
        mark: 'spinner',
        headline: again ? m.tile.connectingAgain(state.attempt ?? 0) : m.tile.connecting,
        dim: true,
      };
    }
    case 'stalled': {
      if (camera.kind === 'phone' && cause !== null) return phoneView(cause, m);
      const missing = now - (last ?? since);
      return {
        ...CALM,
        tone: 'warn',
        mark: 'bar',
        headline: m.tile.stalled(duration(missing, m)),
        dim: true,
        cause,
      };
    }
    case 'reconnecting': {
      if (camera.kind === 'phone' && isPaused(cause) && cause) return phoneView(cause, m);
      const retryAt = local(state.retry_at);
      const left = retryAt === null ? 0 : retryAt - now;
      const seconds = Math.max(0, Math.ceil(left / 1000));
      const attempt = state.attempt ?? 0;
      const words = seconds > 0 ? m.tile.tryingIn(seconds) : m.tile.tryingNow;
      const nth = attempt > 1 ? ` ${m.tile.nth(attempt)}` : '';
      return {
        ...CALM,
        tone: 'warn',
        mark: seconds > 0 ? 'ring' : 'spinner',
        headline: `${words}${nth}`,
        detail: camera.kind === 'phone' ? m.cause[causeKey(cause)].title : dark,
        more: camera.kind === 'phone' ? m.cause[causeKey(cause)].remedy : null,
        dim: true,
        seconds,
        ring: Math.max(0, Math.min(1, left / Math.max(RING_FULL_MS, (retryAt ?? since) - since))),
        action: 'retry',
        cause,
      };
    }
    case 'refused': {
      const key = causeKey(cause);
      return {
        ...CALM,
        tone: 'fail',
        mark: key === 'unauthorized' ? 'padlock' : 'blocked',
        headline: m.cause[key].title,
        detail: m.cause[key].remedy,
        more: dark,
        dim: true,
        action: 'edit',
        cause,
      };
    }
    case 'failed': {
      const key = causeKey(cause);
      return {
        ...CALM,
        tone: 'fail',
        mark: 'cross',
        headline: key === 'other' ? m.tile.failed : m.cause[key].title,
        detail: dark,
        more: `${outlook(state, m)} ${m.cause[key].remedy}`,
        dim: true,
        action: 'retry',
        cause,
      };
    }
    case 'live':
      return liveView(input);
  }
}

/** A phone whose pictures stopped knows more than a camera does: it may have said so itself. */
function phoneView(cause: Cause, m: Messages): TileView {
  const { title, remedy } = m.cause[causeKey(cause)];
  const paused = isPaused(cause);
  return {
    ...CALM,
    tone: paused ? 'quiet' : 'warn',
    mark: paused ? 'pause' : 'spinner',
    headline: title,
    detail: remedy,
    dim: true,
    cause: paused ? null : cause,
  };
}

/** What becomes of a camera that failed, if nobody does anything. */
function outlook({ attempt, cause }: CameraState, m: Messages): string {
  if (cause?.code === 'internal') return m.tile.parked;
  return attempt == null ? m.tile.byHand : m.tile.gaveUp(attempt);
}

function liveView({ camera, viewer, now, m }: TileInput): TileView {
  const hasVideo = camera.tracks.length === 0 || received(camera.tracks, 'video') !== null;
  switch (viewer.name) {
    case 'playing': {
      if (!hasVideo) return { ...CALM, badge: m.tile.soundOnly };
      if (viewer.option.transport !== 'stills') return CALM;
      const codec = viewer.whyNot.find((why) => why.code === 'codec');
      return { ...CALM, badge: codec ? `${m.tile.stills} · ${whyWords(codec, m)}` : m.tile.stills };
    }
    case 'opening':
    case 'waiting':
      return { ...CALM, tone: 'quiet', mark: 'spinner', headline: m.tile.opening, dim: true };
    case 'idle':
      return { ...CALM, tone: 'quiet', dim: true };
    case 'redialing': {
      const seconds = Math.ceil((viewer.at - now) / 1000);
      return {
        ...CALM,
        tone: 'warn',
        mark: 'spinner',
        headline: m.tile.pictureLost,
        detail: seconds > 0 ? m.tile.viewerLostIn(seconds) : m.tile.tryingNow,
        dim: true,
        action: seconds > 0 ? 'redial' : null,
      };
    }
    case 'unplayable': {
      const words = [...new Set(viewer.why.map((why) => whyWords(why, m)))];
      return {
        ...CALM,
        tone: 'fail',
        mark: 'blocked',
        headline: words[0] ?? m.tile.unplayable,
        detail: words.slice(1).join(' · ') || null,
        dim: true,
        action: 'redial',
      };
    }
  }
}

export function whyWords(why: Why, m: Messages): string {
  if (why.code === 'codec') return m.why.codec(codecName(why.codec ?? '?'));
  return m.why[why.code];
}

/** What is wrong with a camera although its picture is there, a few words each; the graver first. */
export function faults({ state, recording, warnings = [] }: Camera, m: Messages): string[] {
  const found = recording.state in m.tile.notRecorded ? [recording.state] : [];
  const words = found.map((name) => m.tile.notRecorded[name as keyof typeof m.tile.notRecorded]);
  if (state.name !== 'live') return words;
  const seen = warnings.map((warning) => {
    const key = causeKey(warning);
    // It does not answer, and its pictures come all the same.
    return key === 'timeout' ? m.tile.slow : m.cause[key].title;
  });
  return [...new Set([...words, ...seen])];
}

/** The same as a question. */
export function isFaulty({ state, recording, warnings = [] }: Camera): boolean {
  const recorded = recording.state === 'off' || recording.state === 'recording';
  return !recorded || (state.name === 'live' && warnings.length > 0);
}

export interface Summary {
  all: number;
  /** Those that are not switched off. */
  on: number;
  live: number;
  /** Without a picture, the failed ones included; those that are on their way are not. */
  down: number;
  /** Down, and nothing helps but a person. */
  failed: number;
  connecting: number;
  /** With a picture, and with a fault: not recorded, for instance. */
  faulty: number;
}

/** The wall at a glance: how many show a picture, and how many are on their way. */
export function summary(cameras: Iterable<Camera>): Summary {
  const count = { all: 0, on: 0, live: 0, down: 0, failed: 0, connecting: 0, faulty: 0 };
  for (const camera of cameras) {
    const { state } = camera;
    count.all += 1;
    if (state.name !== 'idle') count.on += 1;
    if (state.name === 'connecting') count.connecting += 1;
    else if (state.name === 'live') count.live += 1;
    else if (state.name !== 'idle') count.down += 1;
    if (state.name === 'live' && isFaulty(camera)) count.faulty += 1;
    if (state.name === 'failed' || state.name === 'refused') count.failed += 1;
  }
  return count;
}
