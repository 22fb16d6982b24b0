/** What a look at a camera says in words. Pure. */
import type { Messages } from '../i18n/en';
import type { Probe } from '../platform/types';
import { causeKey } from './cause';

/** What may trouble, in the reader's language; what is not known, as the engine said it. */
export function probeRemarks(probe: Probe, m: Messages): string[] {
  const codes = probe.warning_codes ?? [];
  const remarks = probe.warnings.map((text, i) => remark(codes[i] ?? '', text, m));
  const fault = probe.sub?.cause;
  if (fault) {
    const key = causeKey(fault);
    const why = key === 'other' ? fault.detail : `${m.cause[key].title}. ${m.cause[key].remedy}`;
    remarks.push(m.probe.smallFault(why));
  }
  return [...new Set(remarks)];
}

function remark(code: string, text: string, m: Messages): string {
  if (code === 'long_gop') return m.probe.longGop;
  if (code === 'no_key_frame') return m.probe.noKeyFrame;
  if (code === 'lost') return m.probe.lost;
  const key = causeKey({ code });
  return key === 'other' ? text : `${m.cause[key].title}. ${m.cause[key].remedy}`;
}
