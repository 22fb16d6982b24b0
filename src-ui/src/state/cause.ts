/** Which words belong to a cause. Pure. */
import type { Messages } from '../i18n/en';
import type { Cause } from '../platform/types';

export type CauseKey = keyof Messages['cause'];

const BY_CODE: readonly [RegExp, CauseKey][] = [
  [/unauthori[sz]ed|auth|credential|401|403|forbidden/, 'unauthorized'],
  [/not_found|404|no_such/, 'not_found'],
  [/codec|no_tracks|unsupported|nothing_to_play/, 'no_codec'],
  [/dns|resolve|host_name/, 'dns'],
  [/tls|certificate/, 'tls'],
  [/unreachable|no_route|connect|refused/, 'unreachable'],
  [/timeout|timed_out|keepalive|keep_alive/, 'timeout'],
  [/stall|no_frames|silent/, 'stalled'],
  [/closed|eof|reset|ended|lost/, 'closed'],
  [/protocol|garbage|parse|malformed|cseq|damaged/, 'protocol'],
];

export function causeKey(cause: Cause | null | undefined): CauseKey {
  const code = cause?.code.toLowerCase() ?? '';
  return BY_CODE.find(([pattern]) => pattern.test(code))?.[1] ?? 'other';
}
