/**
 * Plays a camera by WebRTC (WHEP). One attempt.
 * The offer goes out at once: the server's answer carries its candidates, and ours are learnt from
 * the packets that reach it.
 */
import type { Camera, StreamChoice, WhepSession } from '../platform/types';
import { BasePlayer, type PlayerStats, play } from './player';

interface InboundVideo {
  framesDecoded: number;
  framesDropped: number;
  bytesReceived: number;
  packetsLost: number;
  /** Seconds a frame waited in the jitter buffer, over the last interval. */
  jitterBuffer: number | null;
  codec: string | null;
}

export class WhepPlayer extends BasePlayer {
  readonly transport = 'webrtc' as const;
  #pc: RTCPeerConnection | null = null;
  #session: WhepSession | null = null;
  #abort = new AbortController();
  #inbound: InboundVideo | null = null;
  #delaySum: { delay: number; emitted: number } = { delay: 0, emitted: 0 };
  #roundTrip: number | null = null;

  protected async open(
    video: HTMLVideoElement,
    camera: Camera,
    stream: StreamChoice,
  ): Promise<void> {
    const pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
    this.#pc = pc;
    const media = new MediaStream();
    pc.ontrack = ({ track, receiver }) => {
      shortenBuffer(receiver);
      media.addTrack(track);
      if (video.srcObject !== media) {
        video.srcObject = media;
        this.watchFirstFrame(video);
      }
      play(video);
    };
    pc.onconnectionstatechange = () => {
      const state = pc.connectionState;
      if (state === 'failed' || state === 'disconnected' || state === 'closed') {
        this.end('lost', `WebRTC ${state}`);
      }
    };
    const { receiver } = pc.addTransceiver('video', { direction: 'recvonly' });
    if (camera.tracks.some((track) => track.kind === 'audio')) {
      pc.addTransceiver('audio', { direction: 'recvonly' });
    }
    const offer = await pc.createOffer();
    const local = pc.setLocalDescription(offer);
    const session = await this.platform.whep(
      camera.id,
      stream,
      offer.sdp ?? '',
      this.#abort.signal,
    );
    if (this.ended) {
      session.close();
      return;
    }
    this.#session = session;
    await local;
    await pc.setRemoteDescription({ type: 'answer', sdp: session.answer });
    // A goodbye of the server closes DTLS, which the connection's own state may show much later.
    const { transport } = receiver;
    if (transport) transport.onstatechange = () => this.#onTransport(transport.state);
  }

  #onTransport(state: RTCDtlsTransportState): void {
    if (state === 'closed' || state === 'failed') this.end('lost', `DTLS ${state}`);
  }

  protected release(): void {
    this.#abort.abort();
    this.#session?.close();
    this.#session = null;
    if (this.#pc) {
      this.#pc.ontrack = null;
      this.#pc.onconnectionstatechange = null;
      this.#pc.close();
      this.#pc = null;
    }
    if (this.video) this.video.srcObject = null;
  }

  override stats(): PlayerStats {
    const base = super.stats();
    const seen = this.#inbound;
    if (seen === null) return base;
    const buffer = seen.jitterBuffer === null ? null : Math.round(seen.jitterBuffer * 1000);
    const halfTrip = this.#roundTrip === null ? 0 : Math.round(this.#roundTrip * 500);
    return {
      ...base,
      frames: Math.max(base.frames, seen.framesDecoded),
      bytes: seen.bytesReceived,
      latencyMs: buffer === null ? null : buffer + halfTrip,
      lost: seen.packetsLost,
      dropped: seen.framesDropped,
      bufferMs: buffer,
      codec: seen.codec,
    };
  }

  override async refresh(): Promise<void> {
    const report = await this.#pc?.getStats();
    if (!report) return;
    let inbound: Record<string, unknown> | null = null;
    report.forEach((entry: Record<string, unknown>) => {
      if (entry.type === 'inbound-rtp' && entry.kind === 'video') inbound = entry;
      if (entry.type === 'candidate-pair' && entry.nominated === true) {
        this.#roundTrip = number(entry.currentRoundTripTime);
      }
    });
    if (inbound === null) return;
    const video = inbound as Record<string, unknown>;
    const codec = report.get(String(video.codecId)) as { mimeType?: string } | undefined;
    const delay = number(video.jitterBufferDelay) ?? 0;
    const emitted = number(video.jitterBufferEmittedCount) ?? 0;
    const frames = emitted - this.#delaySum.emitted;
    this.#inbound = {
      framesDecoded: number(video.framesDecoded) ?? 0,
      framesDropped: number(video.framesDropped) ?? 0,
      bytesReceived: number(video.bytesReceived) ?? 0,
      packetsLost: number(video.packetsLost) ?? 0,
      jitterBuffer:
        frames > 0
          ? (delay - this.#delaySum.delay) / frames
          : (this.#inbound?.jitterBuffer ?? null),
      codec: codec?.mimeType?.split('/')[1]?.toLowerCase() ?? null,
    };
    this.#delaySum = { delay, emitted };
  }
}

function number(value: unknown): number | null {
  return typeof value === 'number' ? value : null;
}

/** Asks for the shortest wait before a frame is shown; browsers have had two names for it. */
function shortenBuffer(receiver: RTCRtpReceiver): void {
  const knobs = receiver as { jitterBufferTarget?: number | null; playoutDelayHint?: number };
  if ('jitterBufferTarget' in knobs) knobs.jitterBufferTarget = 0;
  if ('playoutDelayHint' in knobs) knobs.playoutDelayHint = 0;
}
