/**
 * One peer connection that sends what the camera gives: one generation of the session. It decides
 * nothing: when it is built, restarted and closed is said from outside, what happens to it is told.
 * Invariant: after `close` nothing is told any more.
 */
import type { Candidate, IceServer } from '../bindings/signaling';
import type { Report } from '../session/health';
import type { Shape } from './quality';
import { beginWith } from './start';

export interface OutletHandlers {
  onOffer(neg: number, sdp: string): void;
  onCandidate(candidate: Candidate | null): void;
  onConnection(state: RTCPeerConnectionState): void;
  onFailed(): void;
}

export interface Tracks {
  video: MediaStreamTrack | null;
  audio: MediaStreamTrack | null;
}

/** Counters as the browser has them, from the start of the connection. */
interface Count {
  at: number;
  source: number | null;
  encoded: number;
  keys: number;
  packets: number;
  bytes: number;
  pli: number;
  responses: number | null;
  /** Bytes from the other side, reports of all kinds. */
  received: number | null;
  /** When the other side's newest report was made. */
  heardOf: number | null;
}

export class Outlet {
  readonly gen: number;
  #pc: RTCPeerConnection;
  #handlers: OutletHandlers;
  #video: RTCRtpTransceiver;
  #audio: RTCRtpTransceiver | null;
  #last: Count | null = null;
  #closed = false;

  constructor(
    gen: number,
    ice: readonly IceServer[],
    tracks: Tracks,
    sound: boolean,
    handlers: OutletHandlers,
  ) {
    this.gen = gen;
    this.#handlers = handlers;
    const pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle', iceServers: iceServersOf(ice) });
    this.#pc = pc;
    const streams = [new MediaStream()];
    const init: RTCRtpTransceiverInit = { direction: 'sendonly', streams };
    // The offer needs no track: the camera may open while it is on its way.
    this.#video = pc.addTransceiver(tracks.video ?? 'video', init);
    this.#audio = sound ? pc.addTransceiver(tracks.audio ?? 'audio', init) : null;
    preferH264(this.#video);
    pc.onicecandidate = ({ candidate }) => {
      if (candidate?.candidate) {
        const { candidate: text, sdpMid, sdpMLineIndex } = candidate;
        this.#tell((h) => h.onCandidate({ candidate: text, sdpMid, sdpMLineIndex }));
      } else if (candidate === null) {
        this.#tell((h) => h.onCandidate(null));
      }
    };
    pc.onconnectionstatechange = () => this.#tell((h) => h.onConnection(pc.connectionState));
  }

  get hasSound(): boolean {
    return this.#audio !== null;
  }

  offer(neg: number): void {
    this.#try(async () => {
      const offer = await this.#pc.createOffer();
      this.#tell((h) => h.onOffer(neg, offer.sdp ?? ''));
      await this.#pc.setLocalDescription(offer);
    });
  }

  restartIce(neg: number, ice: readonly IceServer[]): void {
    this.#try(async () => {
      this.#pc.setConfiguration({ bundlePolicy: 'max-bundle', iceServers: iceServersOf(ice) });
      this.#pc.restartIce();
      this.offer(neg);
    });
  }

  /** `start`: what it begins to send with, bits per second. */
  accept(answer: string, shape: Shape, start: number): void {
    this.#try(async () => {
      await this.#pc.setRemoteDescription({ type: 'answer', sdp: beginWith(answer, start) });
      const { transport } = this.#video.sender;
      if (transport) {
        transport.onstatechange = () => {
          if (transport.state === 'closed' || transport.state === 'failed') {
            this.#tell((h) => h.onFailed());
          }
        };
      }
      await this.setShape(shape);
    });
  }

  addCandidate(candidate: Candidate | null): void {
    // One that is of no use costs nothing but itself; the end of them is of no use to all browsers.
    if (candidate !== null)
      this.#pc.addIceCandidate(candidate as RTCIceCandidateInit).catch(() => {});
  }

  /** Sends these from now on; nothing is negotiated for it. */
  setTracks({ video, audio }: Tracks): void {
    if (this.#closed) return;
    const failed = () => this.#tell((h) => h.onFailed());
    if (this.#video.sender.track !== video) this.#video.sender.replaceTrack(video).catch(failed);
    const heard = this.#audio?.sender;
    if (heard && heard.track !== audio) heard.replaceTrack(audio).catch(failed);
  }

  async setShape({ bitrate, fps }: Shape): Promise<void> {
    const { sender } = this.#video;
    const parameters = sender.getParameters();
    const [encoding] = parameters.encodings ?? [];
    if (!encoding) return;
    encoding.maxBitrate = bitrate;
    encoding.maxFramerate = fps;
    parameters.degradationPreference = 'balanced';
    await sender.setParameters(parameters).catch(() => {});
  }

  /** Wakes an encoder that sleeps: off and on again. */
  nudge(): void {
    this.#try(async () => {
      const { sender } = this.#video;
      for (const active of [false, true]) {
        const parameters = sender.getParameters();
        for (const encoding of parameters.encodings) encoding.active = active;
        await sender.setParameters(parameters);
      }
    });
  }

  /** What was counted since the last report; null for the first. */
  async report(now: number): Promise<Report | null> {
    const stats = await this.#pc.getStats();
    if (this.#closed) return null;
    const seen = count(now, stats);
    const last = this.#last;
    this.#last = seen.count;
    if (last === null) return null;
    const { count: is } = seen;
    const less = (a: number | null, b: number | null) =>
      a === null || b === null ? null : Math.max(0, a - b);
    return {
      ...seen.now,
      span: now - last.at,
      source: less(is.source, last.source),
      encoded: less(is.encoded, last.encoded) ?? 0,
      keys: less(is.keys, last.keys) ?? 0,
      packets: less(is.packets, last.packets) ?? 0,
      bytes: less(is.bytes, last.bytes) ?? 0,
      pli: less(is.pli, last.pli) ?? 0,
      responses:
        is.responses === null
          ? null
          : Math.max(0, is.responses - (last.responses ?? 0)) +
            Number(is.heardOf !== last.heardOf || is.received !== last.received),
    };
  }

  close(): void {
    this.#closed = true;
    this.#pc.onicecandidate = null;
    this.#pc.onconnectionstatechange = null;
    this.#pc.close();
  }

  #tell(how: (handlers: OutletHandlers) => void): void {
    if (!this.#closed) how(this.#handlers);
  }

  #try(act: () => Promise<void>): void {
    act().catch(() => this.#tell((h) => h.onFailed()));
  }
}

function iceServersOf(ice: readonly IceServer[]): RTCIceServer[] {
  return ice.map(({ urls, username, credential }) => ({
    urls,
    ...(username ? { username } : {}),
    ...(credential ? { credential } : {}),
  }));
}

/** H.264 plays everywhere and phones encode it in hardware; of its profiles, the one all can decode. */
function preferH264(transceiver: RTCRtpTransceiver): void {
  const all = RTCRtpSender.getCapabilities?.('video')?.codecs;
  if (!all || !transceiver.setCodecPreferences) return;
  try {
    transceiver.setCodecPreferences([...all].sort((a, b) => weight(a) - weight(b)));
  } catch {
    // The browser's own order will do.
  }
}

export function weight({ mimeType, sdpFmtpLine = '' }: RTCRtpCodec): number {
  switch (mimeType.toLowerCase()) {
    case 'video/h264': {
      if (!/packetization-mode=1/.test(sdpFmtpLine)) return 3;
      if (/profile-level-id=42e0/i.test(sdpFmtpLine)) return 0;
      return /profile-level-id=4200/i.test(sdpFmtpLine) ? 1 : 2;
    }
    case 'video/vp8':
      return 4;
    case 'video/vp9':
      return 5;
    case 'video/av1':
      return 6;
    case 'video/h265':
      return 9;
    default:
      return 7;
  }
}

type Entry = Record<string, unknown>;

function number(value: unknown): number | null {
  return typeof value === 'number' ? value : null;
}

function count(at: number, stats: RTCStatsReport) {
  let source: Entry = {};
  let outbound: Entry = {};
  let pair: Entry | null = null;
  let remote: Entry = {};
  stats.forEach((entry: Entry) => {
    if (entry.type === 'media-source' && entry.kind === 'video') source = entry;
    if (entry.type === 'outbound-rtp' && entry.kind === 'video') outbound = entry;
    if (entry.type === 'remote-inbound-rtp' && entry.kind === 'video') remote = entry;
    if (entry.type === 'candidate-pair' && entry.nominated === true && entry.state !== 'failed') {
      if (pair === null || (number(entry.bytesSent) ?? 0) >= (number(pair.bytesSent) ?? 0))
        pair = entry;
    }
  });
  const chosen = pair as Entry | null;
  const trip = number(chosen?.currentRoundTripTime);
  return {
    count: {
      at,
      source: number(source.frames),
      encoded: number(outbound.framesEncoded) ?? 0,
      keys: number(outbound.keyFramesEncoded) ?? 0,
      packets: number(outbound.packetsSent) ?? 0,
      bytes: number(outbound.bytesSent) ?? 0,
      pli: number(outbound.pliCount) ?? 0,
      responses: number(chosen?.responsesReceived),
      received: number(chosen?.bytesReceived),
      heardOf: number(remote.timestamp),
    },
    now: {
      roundTripMs: trip === null ? null : trip * 1000,
      limit:
        typeof outbound.qualityLimitationReason === 'string'
          ? outbound.qualityLimitationReason
          : null,
      targetBps: number(outbound.targetBitrate),
      width: number(outbound.frameWidth) ?? 0,
      height: number(outbound.frameHeight) ?? 0,
    },
  };
}
