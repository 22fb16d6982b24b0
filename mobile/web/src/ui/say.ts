/** What the phone says of itself in a few big words. Pure. */
import type { Words } from '../i18n/en';
import type { PhoneView } from '../phone.svelte';

export type Tone = 'quiet' | 'live' | 'warn' | 'fail';

export interface Saying {
  tone: Tone;
  busy: boolean;
  headline: string;
  detail: string | null;
  /** What the person can do about it. */
  act: 'again' | 'here' | 'go_on' | 'scan' | null;
}

export type Said = Pick<
  PhoneView,
  | 'phase'
  | 'end'
  | 'paused'
  | 'linked'
  | 'capture'
  | 'refusal'
  | 'dialAt'
  | 'dialsFailed'
  | 'code'
  | 'stranger'
>;

/** Shorter waits are not worth counting down, ms. */
const WORTH_COUNTING_MS = 1500;

export function say(view: Said, now: number, words: Words): Saying {
  const { state, paused, end } = words;
  const saying = (
    tone: Tone,
    busy: boolean,
    headline: string,
    detail: string | null = null,
    act: Saying['act'] = null,
  ): Saying => ({ tone, busy, headline, detail, act });

  if (view.end !== null && view.end !== 'stopped') {
    const { title, hint } = end[view.end];
    return saying('fail', false, title, hint, view.end === 'replaced' ? 'here' : 'scan');
  }
  if (view.capture === 'refused') {
    const { title, hint } = words.refused[view.refusal ?? 'denied'];
    return saying('fail', false, title, hint, 'again');
  }
  if (view.stranger && !view.linked && view.phase !== 'connected' && view.phase !== 'paused') {
    return saying('fail', true, end.impostor.title, state.strangerHint);
  }
  const looking = () => {
    const left = (view.dialAt ?? now) - now;
    const wait = left > WORTH_COUNTING_MS ? state.lookingIn(Math.ceil(left / 1000)) : null;
    const hint = view.dialsFailed > 2 ? state.lookingHint : null;
    return [hint, wait].filter(Boolean).join(' ') || null;
  };
  switch (view.phase) {
    case 'paused': {
      const why = view.paused ?? 'user';
      const byUser = why === 'user';
      return saying(
        'warn',
        false,
        paused[why],
        byUser ? paused.userHint : paused.hint,
        byUser ? 'go_on' : null,
      );
    }
    case 'signaling':
      return saying('warn', true, state.looking, looking());
    case 'auth':
      return saying('quiet', true, view.code === null ? state.proving : words.pair.waiting);
    case 'connected':
      if (view.capture !== 'live') return saying('warn', true, state.camera);
      return view.linked
        ? saying('live', false, state.live)
        : saying('live', false, state.live, state.liveAlone);
    case 'degraded':
    case 'recovering':
      if (!view.linked) return saying('warn', true, state.looking, looking());
      if (view.capture !== 'live') return saying('warn', true, state.camera, state.repairingHint);
      return saying('warn', true, state.repairing, state.repairingHint);
    default:
      return view.capture === 'opening'
        ? saying('quiet', true, state.opening)
        : saying('quiet', true, state.connecting);
  }
}
