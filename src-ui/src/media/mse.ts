/**
 * Plays a camera from fragments over a socket (Media Source Extensions). One attempt.
 * Invariant: fragments are appended in the order in which they came, one append at a time.
 */
import { messageOf, type Camera, type Socket, type StreamChoice } from '../platform/types';
import { keyFrameAt, type VideoTrack, videoTrack } from './fragments';
import { LiveEdge, type Range, rangeAt } from './live-edge';
import { BasePlayer, type PlayerStats, play } from './player';

/** Media kept behind the picture, seconds; then back to the key frame before it. */
const KEEP_BEHIND = 4;
const TRIM_EVERY_MS = 5000;
/** Fragments that may wait while the browser is busy; beyond it the attempt starts over. */
const MAX_QUEUED_BYTES = 16 * 1024 * 1024;

type Job = { kind: 'append'; data: ArrayBuffer } | { kind: 'type'; mime: string };

export class MsePlayer extends BasePlayer {
  readonly transport = 'mse' as const;
  #socket: Socket | null = null;
  #source: MediaSource | null = null;
  #buffer: SourceBuffer | null = null;
  #url: string | null = null;
  #mime: string | null = null;
  #jobs: Job[] = [];
  #queuedBytes = 0;
  #edge = new LiveEdge();
  /** Of the newest init segment; null where it is not fMP4 or has no video. */
  #track: VideoTrack | null = null;
  #expectInit = false;
  /** Times of the key frames that are buffered, rising. */
  #keys: number[] = [];
  #trimmedAt = 0;
  #started = false;
  #visible = true;
  #dispose: (() => void)[] = [];

  protected async open(
    video: HTMLVideoElement,
    camera: Camera,
    stream: StreamChoice,
    sound: boolean,
  ): Promise<void> {
    this.#openSource(video);
    const socket = await this.platform.live(camera.id, stream, sound, {
      onText: (text) => this.#onText(text),
      onBinary: (data) => this.#onBinary(data),
      onClose: () => this.end('lost', 'socket closed'),
    });
    if (this.ended) socket.close();
    else this.#socket = socket;
  }

  override setVisible(visible: boolean): void {
    this.#visible = visible;
    if (visible) this.#steer();
  }

  protected release(): void {
    for (const undo of this.#dispose) undo();
    this.#dispose = [];
    this.#socket?.close();
    this.#socket = null;
    this.#jobs = [];
    this.#buffer = null;
    if (this.video) {
      this.video.removeAttribute('src');
      this.video.srcObject = null;
      this.video.load();
    }
    if (this.#url !== null) URL.revokeObjectURL(this.#url);
    this.#url = null;
    this.#source = null;
  }

  override stats(): PlayerStats {
    const range = this.#range();
    const lag = range && this.video ? Math.max(0, range.end - this.video.currentTime) * 1000 : null;
    const rounded = lag === null ? null : Math.round(lag);
    return {
      ...super.stats(),
      latencyMs: rounded,
      bufferMs: rounded,
      codec: /codecs="?([^"]*)"?/.exec(this.#mime ?? '')?.[1] ?? null,
    };
  }

  #openSource(video: HTMLVideoElement): void {
    const Managed = (globalThis as { ManagedMediaSource?: typeof MediaSource }).ManagedMediaSource;
    const source = new (Managed ?? MediaSource)();
    this.#source = source;
    // Safari plays managed sources only where no other device can take over.
    if (Managed) video.disableRemotePlayback = true;
    this.#url = URL.createObjectURL(source);
    video.src = this.#url;
    const listen = (target: EventTarget, name: string, handler: () => void) => {
      target.addEventListener(name, handler);
      this.#dispose.push(() => target.removeEventListener(name, handler));
    };
    listen(source, 'sourceopen', () => this.#pump());
    listen(video, 'waiting', () => {
      const range = this.#range();
      if (this.#started && range) this.#edge.waits(range.end - video.currentTime);
    });
    listen(video, 'error', () => this.end('undecodable', video.error?.message || 'decoder error'));
  }

  #onText(text: string): void {
    let message: { mime?: unknown; state?: unknown; reason?: unknown };
    try {
      message = JSON.parse(text);
    } catch {
      return;
    }
    const { mime, state, reason } = message;
    if (typeof state === 'string') this.waits = state === 'stalled' || state === 'source_lost';
    if (state === 'not_playable') {
      this.end('unplayable', typeof reason === 'string' ? reason : '');
      return;
    }
    if (typeof mime !== 'string') return;
    const Source = (this.#source?.constructor ?? MediaSource) as typeof MediaSource;
    if (!Source.isTypeSupported(mime)) {
      this.end('unplayable', mime);
      return;
    }
    if (this.#mime !== null && shape(this.#mime) !== shape(mime)) {
      this.end('changed', mime);
      return;
    }
    this.#mime = mime;
    this.#edge.heard = /\/1\/1$/.test(shape(mime));
    this.#expectInit = true;
    this.#jobs.push({ kind: 'type', mime });
    this.#pump();
  }

  #onBinary(data: ArrayBuffer): void {
    this.bytes += data.byteLength;
    if (this.#mime === null || this.ended) return;
    if (this.#expectInit) {
      this.#expectInit = false;
      this.#track = videoTrack(data);
    } else if (this.#track !== null) {
      const key = keyFrameAt(data, this.#track);
      if (key !== null) this.#keys.push(key);
    }
    this.#queuedBytes += data.byteLength;
    if (this.#queuedBytes > MAX_QUEUED_BYTES) {
      this.end('undecodable', 'the decoder does not keep up');
      return;
    }
    this.#jobs.push({ kind: 'append', data });
    this.#pump();
  }

  /** Does the next job, if the browser is ready for one. */
  #pump(): void {
    const source = this.#source;
    if (this.ended || source?.readyState !== 'open') return;
    if (this.#buffer?.updating) return;
    const job = this.#jobs[0];
    if (job === undefined) {
      this.#trim();
      return;
    }
    try {
      if (job.kind === 'type') {
        this.#jobs.shift();
        this.#setType(source, job.mime);
        this.#pump();
      } else {
        const data = this.#takeAppends();
        try {
          this.#buffer?.appendBuffer(data);
        } catch (error) {
          this.#jobs.unshift({ kind: 'append', data });
          throw error;
        }
        this.#queuedBytes -= data.byteLength;
      }
    } catch (error) {
      if (error instanceof DOMException && error.name === 'QuotaExceededError') {
        this.#makeRoom();
      } else {
        // A decoder that gave up refuses everything that comes after.
        this.end(this.video?.error ? 'undecodable' : 'lost', messageOf(error));
      }
    }
  }

  #setType(source: MediaSource, mime: string): void {
    if (this.#buffer === null) {
      const buffer = source.addSourceBuffer(mime);
      buffer.addEventListener('updateend', () => {
        this.#start();
        this.#steer();
        this.#pump();
      });
      buffer.addEventListener('error', () =>
        this.end('undecodable', 'the stream could not be read'),
      );
      this.#buffer = buffer;
    } else if (typeof this.#buffer.changeType === 'function') {
      this.#buffer.changeType(mime);
    }
  }

  /** Everything that waits up to the next change of type, as one piece: a burst is one append. */
  #takeAppends(): ArrayBuffer {
    const parts: ArrayBuffer[] = [];
    while (this.#jobs[0]?.kind === 'append') {
      const job = this.#jobs.shift();
      if (job?.kind === 'append') parts.push(job.data);
    }
    const [only] = parts;
    if (parts.length === 1 && only) return only;
    const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
    let at = 0;
    for (const part of parts) {
      whole.set(new Uint8Array(part), at);
      at += part.byteLength;
    }
    return whole.buffer;
  }

  #start(): void {
    if (this.#started || this.video === null || this.#range() === null) return;
    this.#started = true;
    this.#steer();
    this.watchFirstFrame(this.video);
    play(this.video);
  }

  #range(): Range | null {
    const buffered = this.#buffer?.buffered;
    if (!buffered) return null;
    const ranges = Array.from({ length: buffered.length }, (_, i) => ({
      start: buffered.start(i),
      end: buffered.end(i),
    }));
    return rangeAt(ranges, this.video?.currentTime ?? 0);
  }

  #steer(): void {
    const video = this.video;
    if (video === null || !this.#started || !this.#visible) return;
    const order = this.#edge.order({
      now: performance.now(),
      currentTime: video.currentTime,
      range: this.#range(),
      shown: this.state.name === 'playing',
    });
    if (order.seekTo !== null) video.currentTime = order.seekTo;
    if (video.playbackRate !== order.rate) video.playbackRate = order.rate;
    if (video.paused) play(video);
  }

  #trim(): void {
    const now = performance.now();
    const buffer = this.#buffer;
    if (buffer === null || this.video === null || now - this.#trimmedAt < TRIM_EVERY_MS) return;
    this.#edge.calm((now - this.#trimmedAt) / 1000);
    this.#trimmedAt = now;
    const until = this.#keyBefore(this.video.currentTime - KEEP_BEHIND);
    if (until !== null) this.#forget(buffer, until);
  }

  /** The buffer is full: lets go of all but the last moments, then the append is tried again. */
  #makeRoom(): void {
    const until = this.#keyBefore((this.video?.currentTime ?? 0) - 0.1);
    if (this.#buffer !== null && until !== null) this.#forget(this.#buffer, until);
    else this.end('lost', 'the buffer is full');
  }

  /** The last key frame up to `time`; null where nothing buffered lies before it. */
  #keyBefore(time: number): number | null {
    const until = this.#keys.findLast((key) => key <= time);
    const ranges = this.#buffer?.buffered;
    if (until === undefined || !ranges || ranges.length === 0) return null;
    return ranges.start(0) < until - 0.01 ? until : null;
  }

  #forget(buffer: SourceBuffer, until: number): void {
    this.#keys = this.#keys.filter((key) => key >= until);
    buffer.remove(0, until);
  }
}

/** Container and kinds of track of a MIME type: what a source buffer cannot change any more. */
function shape(mime: string): string {
  const container = mime.split(';')[0] ?? '';
  const codecs = (/codecs="?([^"]*)"?/.exec(mime)?.[1] ?? '').split(',');
  const sound = codecs.filter((codec) =>
    /^\s*(mp4a|opus|flac|fLaC|ulaw|alaw|vorbis)/i.test(codec),
  ).length;
  return `${container}/${codecs.length - sound}/${sound}`;
}
