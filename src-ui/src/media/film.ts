/**
 * Recordings of one camera as one film: two videos in turn, so that the picture stays while the next
 * recording opens.
 * Invariant: at most the newest wish is worked on; what comes late from an earlier one changes nothing.
 * It does not know what time it is: whoever shows it says which recording and how far in.
 */

/** `broken` cannot be decoded here; `away` does not come now, and is tried again. */
export type FilmState = 'empty' | 'loading' | 'ready' | 'broken' | 'away';

export interface FilmHandlers {
  /** The address of a recording, for a video; it may not be good for ever. */
  address(id: string): Promise<string>;
  /** Whether the server gives the recording now. */
  answers(id: string): Promise<boolean>;
  onState(state: FilmState): void;
}

/** A video this far from where it should be is moved, s. */
const APART_S = 0.2;
/** Asked for exactly the time of a picture, a rounding would show the one before, s. */
const INSIDE_S = 0.001;
/** Up to this the speed is changed a little instead, s. */
const CLOSE_S = 0.04;
/** A moment this far beyond the end of what was loaded may have been recorded since, s. */
const BEYOND_S = 0.1;
/** Then the recording is loaded again, at most this often, ms. */
const AGAIN_MS = 1000;
/** What does not come is asked for again so much later, ms. */
const RETRY_MS = 3000;
/** `MediaError.MEDIA_ERR_DECODE`: the file came, and cannot be played. */
const DECODE = 3;
/** `MEDIA_ERR_NETWORK`: it was cut off, whatever the server answers a moment later. */
const NETWORK = 2;

export class Film {
  readonly videos: readonly [HTMLVideoElement, HTMLVideoElement];
  #handlers: FilmHandlers;
  #shown: 0 | 1 = 0;
  #take: string | null = null;
  #wish = 0;
  #speed = 1;
  #playing = false;
  #state: FilmState = 'empty';
  /** The recording was still being written when it was loaded, which was then. */
  #grew = false;
  #openedAt = 0;
  /** How far in it was wanted last, s. */
  #into = 0;
  /** When it failed last; null while it is being opened. */
  #failedAt: number | null = null;

  constructor(videos: readonly [HTMLVideoElement, HTMLVideoElement], handlers: FilmHandlers) {
    this.videos = videos;
    this.#handlers = handlers;
    for (const video of videos) {
      video.muted = true;
      video.playsInline = true;
      video.preload = 'auto';
      video.addEventListener('error', () => {
        if (video === this.#current && this.#state === 'ready') void this.#fail(video);
      });
    }
  }

  get #current(): HTMLVideoElement {
    return this.videos[this.#shown];
  }

  get state(): FilmState {
    return this.#state;
  }

  /** Seconds into the recording that is shown, where it is that one and it is ready. */
  position(take: string): number | null {
    if (take !== this.#take || this.#state !== 'ready' || this.#current.seeking) return null;
    return this.#current.currentTime;
  }

  ended(take: string): boolean {
    return take === this.#take && this.#state === 'ready' && this.#current.ended;
  }

  /**
   * Shows a recording `into` seconds in; near enough is left alone unless `exact`. `grows`: it is still
   * being written.
   */
  show(take: string, into: number, exact: boolean, grows: boolean): void {
    this.#into = into;
    if (take !== this.#take) {
      void this.#open(take, into, grows);
      return;
    }
    const due = this.#failedAt !== null && performance.now() >= this.#failedAt + RETRY_MS;
    if (this.#state === 'away' && due) this.retry();
    if (this.#state !== 'ready') return;
    const video = this.#current;
    // What was still being written is as long as it was when it was asked for.
    const end = video.ended ? video.currentTime : video.duration;
    if (this.#grew && into > end + BEYOND_S) {
      if (performance.now() >= this.#openedAt + AGAIN_MS) void this.#open(take, into, grows);
      return;
    }
    const off = into - video.currentTime;
    if (
      exact ? Math.abs(off) > 2 * INSIDE_S : Math.abs(off) > Math.max(APART_S, this.#speed * 0.1)
    ) {
      video.currentTime = Math.max(0, into) + INSIDE_S;
      video.playbackRate = this.#speed;
    } else if (!exact && this.#playing) {
      const nudge = Math.abs(off) > CLOSE_S ? 1 + Math.sign(off) * 0.05 : 1;
      const rate = Math.min(16, this.#speed * nudge);
      if (Math.abs(video.playbackRate - rate) > 0.001) video.playbackRate = rate;
    }
  }

  /** Opens anew what failed, from a fresh address. */
  retry(): void {
    if (this.#take === null || this.#failedAt === null) return;
    void this.#open(this.#take, this.#into, this.#grew);
  }

  /** Shows nothing. */
  clear(): void {
    if (this.#take === null) return;
    this.#wish += 1;
    this.#take = null;
    this.#failedAt = null;
    for (const video of this.videos) stop(video);
    this.#become('empty');
  }

  run(playing: boolean, speed: number): void {
    this.#playing = playing;
    this.#speed = Math.min(16, Math.max(0.0625, speed));
    if (this.#state !== 'ready') return;
    const video = this.#current;
    if (Math.abs(video.playbackRate / this.#speed - 1) > 0.06) video.playbackRate = this.#speed;
    if (playing && video.paused && !video.ended) {
      video.play().catch(() => {
        // A pause that came in between; the next look says again what is wanted.
      });
    } else if (!playing && !video.paused) {
      video.pause();
    }
  }

  listen(on: boolean): void {
    for (const video of this.videos) video.muted = !on;
  }

  close(): void {
    this.#wish += 1;
    for (const video of this.videos) stop(video);
  }

  #become(state: FilmState): void {
    if (state === this.#state) return;
    this.#state = state;
    this.#handlers.onState(state);
  }

  async #fail(video: HTMLVideoElement): Promise<void> {
    const take = this.#take;
    const wish = this.#wish;
    if (take === null) return;
    // Of an address that does not answer browsers say what they say of a file that they cannot read.
    const code = video.error?.code;
    const came =
      code !== NETWORK &&
      (code === DECODE || (await this.#handlers.answers(take).catch(() => false)));
    if (wish !== this.#wish) return;
    this.#failedAt = performance.now();
    this.#become(came ? 'broken' : 'away');
  }

  async #open(take: string, into: number, grows: boolean): Promise<void> {
    this.#wish += 1;
    const wish = this.#wish;
    const first = this.#take === null || this.#failedAt !== null;
    const again = take === this.#take && this.#state === 'away';
    this.#take = take;
    this.#grew = grows;
    this.#failedAt = null;
    this.#current.pause();
    // The words that it is away stay until it is here.
    if (!again) this.#become('loading');
    const next = first ? this.#shown : ((1 - this.#shown) as 0 | 1);
    const video = this.videos[next];
    try {
      const address = await this.#handlers.address(take);
      if (wish !== this.#wish) return;
      // An address that was loaded minutes ago Chromium shows as it was then, whatever the server says.
      video.src = grows
        ? `${address}${address.includes('?') ? '&' : '?'}again=${Date.now()}`
        : address;
      await event(video, 'loadedmetadata');
      if (wish !== this.#wish) return;
      video.playbackRate = this.#speed;
      // Beyond the end nothing would be shown.
      const end = Number.isFinite(video.duration) ? Math.max(0, video.duration - 0.001) : into;
      video.currentTime = Math.min(Math.max(0, into) + INSIDE_S, end);
      await event(video, 'seeked');
      if (wish !== this.#wish) return;
    } catch {
      if (wish === this.#wish) await this.#fail(video);
      return;
    }
    const before = this.#current;
    this.#shown = next;
    video.dataset.shown = '';
    if (before !== video) {
      delete before.dataset.shown;
      stop(before);
    }
    this.#openedAt = performance.now();
    this.#become('ready');
    this.run(this.#playing, this.#speed);
  }
}

function stop(video: HTMLVideoElement): void {
  video.pause();
  if (!video.hasAttribute('src')) return;
  video.removeAttribute('src');
  video.load();
}

function event(video: HTMLVideoElement, name: 'loadedmetadata' | 'seeked'): Promise<void> {
  return new Promise((resolve, reject) => {
    const ends = new AbortController();
    const { signal } = ends;
    const settle = (how: () => void) => () => {
      ends.abort();
      how();
    };
    video.addEventListener(name, settle(resolve), { signal });
    video.addEventListener(
      'error',
      settle(() => reject(new Error(video.error?.message ?? 'error'))),
      { signal },
    );
  });
}
