/** Which words belong to a cause. Pure. */
import type { Messages } from '../i18n/en';
import type { Cause } from '../platform/types';

export type CauseKey = keyof Messages['cause'];

/** The engine's codes; those that mean the same to a person share their words. */
const BY_CODE: Readonly<Record<string, CauseKey>> = {
  unauthorized: 'unauthorized',
  not_found: 'not_found',
  no_codec: 'no_codec',
  dns: 'dns',
  tls: 'tls',
  unreachable: 'unreachable',
  timeout: 'timeout',
  keepalive_unanswered: 'timeout',
  stalled: 'stalled',
  no_video: 'no_video',
  no_key_frame: 'no_key_frame',
  closed: 'closed',
  reset: 'closed',
  rejected: 'rejected',
  protocol: 'protocol',
  paused: 'paused',
  paused_locked: 'paused_locked',
  paused_hidden: 'paused_hidden',
  paused_call: 'paused_call',
  paused_pressure: 'paused_pressure',
  paused_user: 'paused',
  capture_stopped: 'capture_stopped',
  path_dead: 'path_dead',
  phone_gone: 'phone_gone',
  buffering: 'buffering',
  frozen: 'frozen',
  no_sound: 'no_sound',
  sub_stream: 'sub_stream',
  undecodable: 'undecodable',
  not_shown: 'not_shown',
};

/** The phone said itself that it pauses: nobody has to do anything here. */
export function isPaused(cause: Pick<Cause, 'code'> | null | undefined): boolean {
  return cause?.code.startsWith('paused') ?? false;
}

export function causeKey(cause: Pick<Cause, 'code'> | null | undefined): CauseKey {
  return BY_CODE[cause?.code ?? ''] ?? 'other';
}
