/** What of a camera's tracks can be had at all, and why not the rest. Pure. */
import type { Messages } from '../i18n/en';
import type { Track } from '../platform/types';
import { codecName } from './format';

/** The track of a kind that frames come of; one with a note gives none. */
export function received(tracks: readonly Track[], kind: Track['kind']): Track | null {
  return tracks.find((track) => track.kind === kind && !track.note) ?? null;
}

/** Why a track is not received, in a sentence; null where it is. */
export function noteWords({ kind, codec, note, note_code }: Track, m: Messages): string | null {
  if (!note) return null;
  const { notes } = m;
  // A name in words, where there is one.
  const name = codec === 'other' ? '' : `${codecName(codec)} `;
  switch (note_code) {
    case 'not_received':
      return kind === 'audio' ? notes.soundNotReceived(name) : notes.pictureNotReceived(name);
    case 'aac_form':
    case 'aac_latm':
    case 'withheld':
    case 'unreadable':
      return notes[note_code];
    default:
      return note;
  }
}

/** What of a camera is not received, a sentence each. */
export function missing(tracks: readonly Track[], m: Messages): string[] {
  return tracks.flatMap((track) => noteWords(track, m) ?? []);
}
