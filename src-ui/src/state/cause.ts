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
};

export function causeKey(cause: Pick<Cause, 'code'> | null | undefined): CauseKey {
  return BY_CODE[cause?.code ?? ''] ?? 'other';
}
