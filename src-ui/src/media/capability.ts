/**
 * What this browser can play and, for a camera's tracks, by which transport and why not by the
 * others. Decided by what the browser offers, never by its name. Pure but for `detect`.
 */
import type { Probe, Track } from '../platform/types';
import { received } from '../state/tracks';

export type Transport = 'webrtc' | 'mse' | 'stills';

export interface Capabilities {
  /** Codecs that can be received by WebRTC, in the API's names; null where there is no WebRTC. */
  webrtc: { video: ReadonlySet<string>; audio: ReadonlySet<string> } | null;
  /** Whether Media Source Extensions take a MIME type; null where there are none. */
  mse: ((mime: string) => boolean) | null;
}

export type WhyCode =
  | 'no_webrtc'
  | 'no_mse'
  | 'codec'
  | 'no_video'
  | 'b_frames'
  /** The server or the browser turned the transport down when it was tried. */
  | 'tried';

export interface Why {
  code: WhyCode;
  codec: string | null;
}

/** One transport's prospects for one camera. */
export interface Option {
  transport: Transport;
  plays: boolean;
  why: Why | null;
  /** `silent`: the camera has sound, and this transport cannot play it. */
  sound: 'plays' | 'silent' | 'none';
}

const WEBRTC_VIDEO = new Set(['h264', 'vp8', 'vp9', 'av1']);
const WEBRTC_AUDIO = new Set(['opus', 'pcmu', 'pcma']);

/** A typical codec string of each codec: exact ones are known only when the stream begins. */
const MSE_CODEC: Readonly<Record<string, string>> = {
  h264: 'avc1.640028',
  h265: 'hvc1.1.6.L120.90',
  vp8: 'vp8',
  vp9: 'vp09.00.31.08',
  av1: 'av01.0.08M.08',
  aac: 'mp4a.40.2',
  opus: 'opus',
};

interface Scope {
  RTCPeerConnection?: unknown;
  RTCRtpReceiver?: { getCapabilities?(kind: string): { codecs: { mimeType: string }[] } | null };
  MediaSource?: { isTypeSupported(mime: string): boolean };
  ManagedMediaSource?: { isTypeSupported(mime: string): boolean };
}

export function detect(scope: Scope = globalThis as unknown as Scope): Capabilities {
  const source = scope.ManagedMediaSource ?? scope.MediaSource;
  return {
    webrtc:
      typeof scope.RTCPeerConnection === 'function'
        ? {
            video: receivable(scope, 'video', WEBRTC_VIDEO),
            audio: receivable(scope, 'audio', WEBRTC_AUDIO),
          }
        : null,
    mse: source ? (mime) => source.isTypeSupported(mime) : null,
  };
}

function receivable(scope: Scope, kind: string, served: ReadonlySet<string>): ReadonlySet<string> {
  const listed = scope.RTCRtpReceiver?.getCapabilities?.(kind)?.codecs;
  if (!listed) return served;
  const names = listed.map((codec) => codec.mimeType.split('/')[1]?.toLowerCase() ?? '');
  return new Set(names.filter((name) => served.has(name)));
}

/** Every transport's prospects, the preferred first. */
export function options(tracks: readonly Track[], caps: Capabilities, wantSound = false): Option[] {
  const video = received(tracks, 'video')?.codec ?? null;
  const audio = received(tracks, 'audio')?.codec ?? null;
  const webrtc = webrtcOption(video, audio, caps);
  const mse = mseOption(video, audio, caps);
  const stills: Option = {
    transport: 'stills',
    plays: video !== null,
    why: video === null ? { code: 'no_video', codec: null } : null,
    sound: audio === null ? 'none' : 'silent',
  };
  const soundNeedsMse =
    wantSound && webrtc.sound === 'silent' && mse.plays && mse.sound === 'plays';
  return soundNeedsMse ? [mse, webrtc, stills] : [webrtc, mse, stills];
}

/** The best transport that was not tried in vain; null where nothing can play. */
export function choose(all: readonly Option[], barred: ReadonlySet<Transport>): Option | null {
  return all.find((option) => option.plays && !barred.has(option.transport)) ?? null;
}

/** What a probe found, as `options`: the server's exact word on the stream, then this browser's. */
export function probeOptions(probe: Probe, caps: Capabilities): Option[] {
  const video = probe.tracks.find((track) => track.kind === 'video');
  return options(probe.tracks, caps).map((option): Option => {
    const name = option.transport === 'stills' ? 'still' : option.transport;
    const served = probe.playback.find((way) => way.transport === name);
    if (served === undefined || !option.plays) return option;
    const sound = option.sound === 'plays' && !served.audio ? 'silent' : option.sound;
    if (video && !served.video) {
      const code = video.b_frames ? 'b_frames' : 'codec';
      return { ...option, plays: false, sound, why: { code, codec: video.codec } };
    }
    if (served.mime && caps.mse?.(served.mime) === false) {
      return {
        ...option,
        plays: false,
        sound,
        why: { code: 'codec', codec: video?.codec ?? null },
      };
    }
    return { ...option, sound };
  });
}

function webrtcOption(video: string | null, audio: string | null, caps: Capabilities): Option {
  const can = caps.webrtc;
  const sound = audio === null ? 'none' : can?.audio.has(audio) ? 'plays' : 'silent';
  const base = { transport: 'webrtc', sound } as const;
  if (can === null) return { ...base, plays: false, why: { code: 'no_webrtc', codec: null } };
  if (video !== null && !can.video.has(video)) {
    return { ...base, plays: false, why: { code: 'codec', codec: video } };
  }
  if (video === null && sound !== 'plays') {
    return { ...base, plays: false, why: { code: 'codec', codec: audio } };
  }
  return { ...base, plays: true, why: null };
}

function mseOption(video: string | null, audio: string | null, caps: Capabilities): Option {
  const can = caps.mse;
  const takes = (kind: 'video' | 'audio', codec: string) => {
    const name = MSE_CODEC[codec];
    const container = codec === 'vp8' ? 'webm' : 'mp4';
    return name !== undefined && can?.(`${kind}/${container}; codecs="${name}"`) === true;
  };
  const sound = audio === null ? 'none' : takes('audio', audio) ? 'plays' : 'silent';
  const base = { transport: 'mse', sound } as const;
  if (can === null) return { ...base, plays: false, why: { code: 'no_mse', codec: null } };
  if (video !== null && !takes('video', video)) {
    return { ...base, plays: false, why: { code: 'codec', codec: video } };
  }
  if (video === null && sound !== 'plays') {
    return { ...base, plays: false, why: { code: 'codec', codec: audio } };
  }
  return { ...base, plays: true, why: null };
}
