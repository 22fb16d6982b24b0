import { describe, expect, it } from 'vitest';
import type { Camera } from '../src/platform/types';
import { recordForm, recordPatch, recordSpec } from '../src/state/recorded';

const camera = (own: Partial<Camera>) => ({ record: true, ...own }) as Camera;

describe('how a camera is recorded', () => {
  it('says nothing of what is as usual', () => {
    const form = recordForm(null);
    expect(form).toEqual({ when: 'always', spans: '', preRoll: 0, quota: null });
    expect(recordSpec(form)).toEqual({});
    expect(recordPatch(form, form)).toEqual({});
  });

  it('reads spans line by line', () => {
    const form = {
      when: 'schedule' as const,
      spans: ' Mon-Fri 08:00-18:00\n\n22:00-06:00 ',
      preRoll: 10,
      quota: 5,
    };
    expect(recordSpec(form)).toEqual({
      record_schedule: ['Mon-Fri 08:00-18:00', '22:00-06:00'],
      pre_roll_seconds: 10,
      record_quota_gb: 5,
    });
  });

  it('a change of the pre-roll is no word about when', () => {
    const before = recordForm(camera({ record_schedule: ['Sat 00:00-24:00'] }));
    expect(before.when).toBe('schedule');
    expect(recordPatch({ ...before, preRoll: 30 }, before)).toEqual({ pre_roll_seconds: 30 });
    expect(recordPatch({ ...before, spans: 'Sat 00:00-24:00\n' }, before)).toEqual({});
  });

  it('clears what was taken back', () => {
    const before = recordForm(
      camera({ record_schedule: ['Sat 00:00-24:00'], record_quota_gb: 5, pre_roll_seconds: 10 }),
    );
    expect(recordPatch({ when: 'never', spans: '', preRoll: 0, quota: null }, before)).toEqual({
      record: false,
      record_schedule: null,
      pre_roll_seconds: 0,
      record_quota_gb: null,
    });
  });
});
