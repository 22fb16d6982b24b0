import { describe, expect, it } from 'vitest';
import { en } from '../src/i18n/en';
import { ko } from '../src/i18n/ko';
import type { Camera, DiskState, Storage, Track } from '../src/platform/types';
import {
  diskChoices,
  isRecorded,
  leftOut,
  recordForm,
  recordPatch,
  recordSpec,
} from '../src/state/recorded';

const camera = (own: Partial<Camera>) => ({ record: true, ...own }) as Camera;

describe('how a camera is recorded', () => {
  it('says nothing of what is as usual', () => {
    const form = recordForm(null);
    expect(form).toEqual({ when: 'always', spans: '', preRoll: 0, quota: null, disk: '' });
    expect(recordSpec(form)).toEqual({});
    expect(recordPatch(form, form)).toEqual({});
  });

  it('reads spans line by line', () => {
    const form = {
      when: 'schedule' as const,
      spans: ' Mon-Fri 08:00-18:00\n\n22:00-06:00 ',
      preRoll: 10,
      quota: 5,
      disk: 'attic',
    };
    expect(recordSpec(form)).toEqual({
      record_schedule: ['Mon-Fri 08:00-18:00', '22:00-06:00'],
      pre_roll_seconds: 10,
      record_quota_gb: 5,
      record_disk: 'attic',
    });
  });

  it('a change of the pre-roll is no word about when', () => {
    const before = recordForm(camera({ record_schedule: ['Sat 00:00-24:00'] }));
    expect(before.when).toBe('schedule');
    expect(recordPatch({ ...before, preRoll: 30 }, before)).toEqual({ pre_roll_seconds: 30 });
    expect(recordPatch({ ...before, spans: 'Sat 00:00-24:00\n' }, before)).toEqual({});
  });

  it('offers disks only where there is more than one', () => {
    const storage = (...disks: [string, DiskState][]) =>
      ({ disks: disks.map(([name, state]) => ({ name, state })) }) as Storage;
    expect(diskChoices(null, 'attic')).toEqual([]);
    expect(diskChoices(storage(['', 'ready']), '')).toEqual([]);
    expect(diskChoices(storage(['', 'ready'], ['sold', 'not_configured']), '')).toEqual([]);
    const two = storage(['', 'ready'], ['attic', 'lost']);
    expect(diskChoices(two, 'attic').map(({ name }) => name)).toEqual(['', 'attic']);
    expect(diskChoices(storage(['', 'ready'], ['sold', 'not_configured']), 'sold')).toEqual([
      { name: '', gone: false },
      { name: 'sold', gone: true },
    ]);
    const before = recordForm(camera({ record_disk: 'attic' }));
    expect(recordPatch({ ...before, disk: '' }, before)).toEqual({ record_disk: null });
  });

  it('is on whatever the storage makes of it', () => {
    const states = ['off', 'recording', 'storage_lost', 'disk_full', 'failed'] as const;
    const on = states.map((state) => isRecorded(camera({ recording: { state, since: '' } })));
    expect(on).toEqual([false, true, true, true, true]);
  });

  it('tells what of a camera is not in its recordings', () => {
    const tracks: Track[] = [
      { kind: 'video', codec: 'h264' },
      { kind: 'audio', codec: 'g722', unrecorded: 'as the engine says it' },
    ];
    expect(leftOut(tracks, en)).toHaveLength(1);
    expect(leftOut(tracks, en)[0]).toMatch(/^Its G\.722 sound cannot be recorded/);
    expect(leftOut(tracks, ko)[0]).toMatch(/^G\.722 소리는 녹화할 수 없어/);
    expect(leftOut(tracks.slice(0, 1), en)).toEqual([]);
  });

  it('clears what was taken back', () => {
    const before = recordForm(
      camera({ record_schedule: ['Sat 00:00-24:00'], record_quota_gb: 5, pre_roll_seconds: 10 }),
    );
    expect(recordPatch({ ...recordForm(null), when: 'never' }, before)).toEqual({
      record: false,
      record_schedule: null,
      pre_roll_seconds: 0,
      record_quota_gb: null,
    });
  });
});
