/**
 * As much of fMP4 as a player needs to know: where the key frames are. Pure.
 *
 * A source buffer that is told to forget its past forgets everything up to the next key frame, the
 * picture on the screen included; so it is told only times at which a key frame stands.
 * Bytes that make no sense give no answer, never an error.
 */

export interface VideoTrack {
  id: number;
  timescale: number;
}

interface Box {
  type: string;
  view: DataView;
}

function* boxes(view: DataView): Generator<Box> {
  let at = 0;
  while (at + 8 <= view.byteLength) {
    const size = view.getUint32(at);
    const type = String.fromCharCode(
      view.getUint8(at + 4),
      view.getUint8(at + 5),
      view.getUint8(at + 6),
      view.getUint8(at + 7),
    );
    // Sizes of 0 (to the end) and 1 (64 bits) stand only at large media, which nobody looks into.
    if (size < 8 || at + size > view.byteLength) return;
    yield { type, view: new DataView(view.buffer, view.byteOffset + at + 8, size - 8) };
    at += size;
  }
}

function child(view: DataView, ...path: string[]): DataView | null {
  let found: DataView | null = view;
  for (const type of path) {
    if (found === null) return null;
    let next: DataView | null = null;
    for (const box of boxes(found)) {
      if (box.type === type) {
        next = box.view;
        break;
      }
    }
    found = next;
  }
  return found;
}

/** The video track of an init segment. */
export function videoTrack(init: ArrayBuffer): VideoTrack | null {
  return guarded(() => {
    const moov = child(new DataView(init), 'moov');
    if (moov === null) return null;
    for (const { type, view } of boxes(moov)) {
      if (type !== 'trak') continue;
      const handler = child(view, 'mdia', 'hdlr');
      const tkhd = child(view, 'tkhd');
      const mdhd = child(view, 'mdia', 'mdhd');
      if (!handler || !tkhd || !mdhd || handler.getUint32(8) !== VIDE) continue;
      return {
        id: tkhd.getUint32(tkhd.getUint8(0) === 1 ? 20 : 12),
        timescale: mdhd.getUint32(mdhd.getUint8(0) === 1 ? 20 : 12),
      };
    }
    return null;
  });
}

/** 'vide' */
const VIDE = 0x76696465;
const NOT_SYNC = 0x0001_0000;

/** Seconds at which a fragment's video begins, if it begins with a key frame. */
export function keyFrameAt(fragment: ArrayBuffer, track: VideoTrack): number | null {
  return guarded(() => {
    const moof = child(new DataView(fragment), 'moof');
    if (moof === null || track.timescale === 0) return null;
    for (const { type, view } of boxes(moof)) {
      if (type !== 'traf') continue;
      const tfhd = child(view, 'tfhd');
      const tfdt = child(view, 'tfdt');
      const trun = child(view, 'trun');
      if (!tfhd || !tfdt || !trun || tfhd.getUint32(4) !== track.id) continue;
      const flags = firstSampleFlags(tfhd, trun);
      if (flags === null || (flags & NOT_SYNC) !== 0) return null;
      const ticks = tfdt.getUint8(0) === 1 ? Number(tfdt.getBigUint64(4)) : tfdt.getUint32(4);
      return ticks / track.timescale;
    }
    return null;
  });
}

function firstSampleFlags(tfhd: DataView, trun: DataView): number | null {
  const runFlags = trun.getUint32(0) & 0xff_ffff;
  let at = 8 + (runFlags & 0x1 ? 4 : 0);
  if (runFlags & 0x4) return trun.getUint32(at);
  if (runFlags & 0x400) {
    at += (runFlags & 0x100 ? 4 : 0) + (runFlags & 0x200 ? 4 : 0);
    return trun.getUint32(at);
  }
  const headFlags = tfhd.getUint32(0) & 0xff_ffff;
  if (!(headFlags & 0x20)) return null;
  const skipped = [0x1, 0x1, 0x2, 0x8, 0x10].filter((flag) => headFlags & flag).length;
  return tfhd.getUint32(8 + skipped * 4);
}

function guarded<T>(read: () => T | null): T | null {
  try {
    return read();
  } catch {
    // A RangeError: the box ends before what should stand in it.
    return null;
  }
}
