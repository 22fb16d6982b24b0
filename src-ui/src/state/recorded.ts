/** When and how a camera is recorded, as a form has it, and what of it is to be told to the server. Pure. */
import type { Messages } from '../i18n/en';
import type { Camera, CameraPatch, CameraSpec, Storage, Track } from '../platform/types';
import { codecName } from './format';

export interface RecordForm {
  when: 'always' | 'schedule' | 'never';
  /** One span of the week a line. */
  spans: string;
  /** Seconds. */
  preRoll: number;
  /** Gigabytes; empty where there is no limit. */
  quota: number | null;
  /** The name of the disk; empty for the main one. */
  disk: string;
}

/** A disk that is offered. */
export interface DiskChoice {
  name: string;
  /** The camera names it, and the configuration does not know it. */
  gone: boolean;
}

/** The disks to choose from, `chosen` among them; none where there is nothing to choose. */
export function diskChoices(storage: Storage | null, chosen: string): readonly DiskChoice[] {
  const known = (storage?.disks ?? []).filter(({ state }) => state !== 'not_configured');
  const choices = known.map(({ name }) => ({ name, gone: false }));
  if (storage !== null && !known.some(({ name }) => name === chosen)) {
    choices.push({ name: chosen, gone: true });
  }
  return choices.length > 1 ? choices : [];
}

/** Whether its recording is switched on, whatever the storage makes of that. */
export function isRecorded({ recording }: Camera): boolean {
  return recording.state !== 'off';
}

/** What of a camera is received and not in its recordings, a sentence each. */
export function leftOut(tracks: readonly Track[], m: Messages): string[] {
  const words = m.editor.record;
  return tracks
    .filter(({ unrecorded }) => unrecorded)
    .map(({ kind, codec }) =>
      (kind === 'audio' ? words.noSound : words.noPicture)(codecName(codec)),
    );
}

/** Seconds that are offered. */
export const PRE_ROLLS: readonly number[] = [0, 5, 10, 30, 60];

/** A span as the server reads it, in every language. */
export const EXAMPLE = 'Mon-Fri 08:00-18:00';

/** The form of a camera, or of one that is to be added. */
export function recordForm(camera: Camera | null): RecordForm {
  const spans = camera?.record_schedule ?? [];
  const planned = spans.length > 0 ? 'schedule' : 'always';
  return {
    when: camera?.record === false ? 'never' : planned,
    spans: spans.join('\n'),
    preRoll: camera?.pre_roll_seconds ?? 0,
    quota: camera?.record_quota_gb ?? null,
    disk: camera?.record_disk ?? '',
  };
}

function spansOf(form: RecordForm): string[] {
  const lines = form.spans.split('\n').map((line) => line.trim());
  return lines.filter((line) => line !== '');
}

/** For a camera that is added: what is as usual is left out. */
export function recordSpec(form: RecordForm): Partial<CameraSpec> {
  return {
    ...(form.when === 'never' ? { record: false } : {}),
    ...(form.when === 'schedule' ? { record_schedule: spansOf(form) } : {}),
    ...(form.preRoll === 0 ? {} : { pre_roll_seconds: form.preRoll }),
    ...(form.quota ? { record_quota_gb: form.quota } : {}),
    ...(form.disk ? { record_disk: form.disk } : {}),
  };
}

/** For one that is changed: only what is another. A word about when ends what a person switched. */
export function recordPatch(form: RecordForm, before: RecordForm): Partial<CameraPatch> {
  const spans = form.when === 'schedule' ? spansOf(form) : null;
  const same =
    form.when === before.when &&
    (spans === null || spans.join('\n') === spansOf(before).join('\n'));
  return {
    ...(same ? {} : { record: form.when !== 'never', record_schedule: spans }),
    ...(form.preRoll === before.preRoll ? {} : { pre_roll_seconds: form.preRoll }),
    ...(form.quota === before.quota ? {} : { record_quota_gb: form.quota || null }),
    ...(form.disk === before.disk ? {} : { record_disk: form.disk || null }),
  };
}
