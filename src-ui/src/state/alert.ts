/** Which words belong to an alert. Pure. */
import type { Messages } from '../i18n/en';
import type { Alert } from '../platform/types';
import { causeKey } from './cause';

export interface AlertWords {
  title: string;
  remedy: string;
  /** Something is being lost now, not only at risk. */
  grave: boolean;
}

/** Kinds that leave a picture on the wall. */
const MILD: ReadonlySet<Alert['kind']> = new Set([
  'camera_degraded',
  'buffering',
  'phone_asleep',
  'space_short',
]);

export function alertWords(alert: Alert, m: Messages): AlertWords {
  const grave = !MILD.has(alert.kind);
  const cameras = alert.cameras?.length ?? 0;
  if (alert.kind === 'camera_lost' && cameras > 1) {
    return { title: m.alerts.together(cameras), remedy: m.alerts.togetherRemedy, grave };
  }
  const own: Partial<Record<Alert['kind'], string>> = m.alerts.remedies;
  const cause = m.cause[causeKey(alert.cause)];
  // A newer server may know kinds that this page does not: it says them in English.
  const kinds: Partial<Record<Alert['kind'], string>> = m.alerts.kinds;
  const named = kinds[alert.kind] ?? alert.message;
  const kind = alert.disk ? m.alerts.onDisk(named, alert.disk) : named;
  const title = alert.cause && own[alert.kind] === undefined ? `${kind}: ${cause.title}` : kind;
  return { title, remedy: own[alert.kind] ?? cause.remedy, grave };
}
