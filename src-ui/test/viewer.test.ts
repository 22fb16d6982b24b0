import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Capabilities, Transport } from '../src/media/capability';
import {
  type EndReason,
  NO_STATS,
  type Player,
  type PlayerState,
  type PlayerStats,
} from '../src/media/player';
import { HIDE_GRACE_MS, Viewer, type ViewerState } from '../src/media/viewer';
import { FakePlatform } from '../src/platform/fake';
import type { Camera, CameraState, StreamChoice } from '../src/platform/types';

/** A player that does what the test says. */
class Puppet implements Player {
  state: PlayerState = { name: 'idle' };
  waits = false;
  stream: StreamChoice = 'main';
  sound = false;
  closed = false;
  frames = 0;
  constructor(
    readonly transport: Transport,
    private onState: () => void,
  ) {}
  attach(_video: HTMLVideoElement, _camera: Camera, stream: StreamChoice, sound: boolean): void {
    this.stream = stream;
    this.sound = sound;
    this.state = { name: 'opening' };
  }
  play(): void {
    this.state = { name: 'playing' };
    this.onState();
  }
  arrived = 0;
  end(reason: EndReason): void {
    this.state = { name: 'ended', reason, detail: '' };
    this.onState();
  }
  setVisible(): void {}
  close(): void {
    this.closed = true;
  }
  stats(): PlayerStats {
    return { ...NO_STATS, frames: this.frames, bytes: this.arrived };
  }
  async refresh(): Promise<void> {}
}

const capabilities: Capabilities = {
  webrtc: { video: new Set(['h264']), audio: new Set(['opus']) },
  mse: () => true,
};

function camera(state: CameraState['name'], more: Partial<Camera> = {}): Camera {
  const [base] = new FakePlatform(1, state).cameras.values();
  if (!base) throw new Error('the fake has one camera');
  return { ...base, sub: true, ...more };
}

function watch(first: Camera, onHeld: (held: boolean) => void = () => {}) {
  const platform = new FakePlatform(1);
  const made: Puppet[] = [];
  const states: ViewerState['name'][] = [];
  const kept: (number | null)[] = [];
  const host = document.createElement('div');
  const viewer = new Viewer({
    platform,
    capabilities,
    host,
    players: (transport, onState) => {
      const player = new Puppet(transport, onState);
      made.push(player);
      return player;
    },
    onChange: (state) => states.push(state.name),
    onKept: (takenAt) => {
      kept.push(takenAt);
    },
    onHeld,
  });
  viewer.update(first);
  viewer.setVisible(true);
  const newest = () => {
    const player = made.at(-1);
    if (!player) throw new Error('nothing was dialled');
    return player;
  };
  /** Seconds go by; the server says `camera` every other one, as it does of one that is live. */
  const pass = (seconds: number, camera: Camera | null, each: () => void = () => {}) => {
    for (let second = 0; second < seconds; second += 1) {
      vi.advanceTimersByTime(1000);
      if (camera && second % 2 === 0) viewer.update({ ...camera });
      each();
      viewer.tick(performance.now());
    }
  };
  return { viewer, host, made, states, kept, newest, platform, pass };
}

describe('a viewer', () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  test('dials a live camera at once, and one that is not only when it is', () => {
    expect(watch(camera('live')).made).toHaveLength(1);
    const later = watch(camera('connecting'));
    expect(later.made).toHaveLength(0);
    expect(later.viewer.state.name).toBe('waiting');
    later.viewer.update(camera('live'));
    expect(later.made).toHaveLength(1);
  });

  test('dials for another stream only where the camera has one', () => {
    const alone = watch(camera('live', { sub: false }));
    alone.newest().play();
    for (const stream of ['sub', 'main', 'sub'] as const) alone.viewer.setStream(stream);
    expect(alone.made.map((player) => player.stream)).toEqual(['main']);
    const both = watch(camera('live'));
    both.newest().play();
    both.viewer.setStream('sub');
    expect(both.made.map((player) => player.stream)).toEqual(['main', 'sub']);
    // Changed back before it came, it is the newest wish that counts.
    both.viewer.setStream('main');
    expect(both.newest().stream).toBe('main');
  });

  test('dials again at once after a loss, then ever more slowly, and for ever', () => {
    const { made, newest, viewer } = watch(camera('live'));
    newest().play();
    newest().end('lost');
    const dials: number[] = [];
    const began = Date.now();
    for (let i = 0; i < 2000 && dials.length < 6; i += 1) {
      const before = made.length;
      vi.advanceTimersByTime(10);
      if (made.length > before) {
        dials.push(Date.now() - began);
        newest().play();
        newest().end('lost');
      }
    }
    const waits = dials.map((at, index) => at - (dials[index - 1] ?? 0));
    expect(waits.map((wait) => Math.round(wait / 100) * 100)).toEqual([
      0, 300, 1000, 2000, 5000, 5000,
    ]);
    viewer.close();
  });

  test('starts from the beginning after a good while', () => {
    const { made, newest } = watch(camera('live'));
    for (let i = 0; i < 3; i += 1) {
      newest().play();
      newest().end('lost');
      vi.advanceTimersByTime(6000);
    }
    newest().play();
    vi.advanceTimersByTime(6000);
    const before = made.length;
    newest().end('lost');
    vi.advanceTimersByTime(0);
    expect(made).toHaveLength(before + 1);
  });

  test('goes to the next transport where one cannot play, and says so where none can', () => {
    const { made, newest, viewer } = watch(camera('live'));
    newest().end('unplayable');
    newest().end('unplayable');
    newest().end('unplayable');
    expect(made.map((player) => player.transport)).toEqual(['webrtc', 'mse', 'stills']);
    expect(viewer.state.name).toBe('unplayable');
  });

  test('tries another way when one brings no picture twice, as behind a firewall', () => {
    const { made, newest } = watch(camera('live'));
    newest().end('lost');
    vi.advanceTimersByTime(300);
    newest().end('lost');
    expect(made.map((player) => player.transport)).toEqual(['webrtc', 'webrtc', 'mse']);
  });

  test('changes the stream without a gap: the old picture stays until the new one is there', () => {
    const { host, made, newest, viewer } = watch(camera('live'));
    newest().play();
    viewer.setStream('sub');
    expect(made.map((player) => player.stream)).toEqual(['main', 'sub']);
    expect(made[0]?.closed).toBe(false);
    expect(viewer.state.name).toBe('playing');
    newest().play();
    expect(made[0]?.closed).toBe(true);
    expect(host.querySelectorAll('video')).toHaveLength(1);
  });

  test('stays connected while its camera reconnects, and redials for a new codec', () => {
    const { made, newest, viewer } = watch(camera('live'));
    newest().play();
    viewer.update(camera('reconnecting'));
    viewer.update(camera('live'));
    expect(made).toHaveLength(1);
    viewer.update(camera('live', { tracks: [{ kind: 'video', codec: 'h265' }] }));
    expect(newest().transport).toBe('mse');
  });

  test('gives up what it had from a server that was started again, and dials when its camera is back', () => {
    const { made, newest, viewer, states } = watch(camera('live'));
    viewer.setRun('first');
    newest().play();
    viewer.setRun(null);
    viewer.setRun('first');
    expect(made).toHaveLength(1);
    viewer.update(camera('idle'));
    viewer.setRun('second');
    expect(made[0]?.closed).toBe(true);
    expect(states.at(-1)).toBe('waiting');
    viewer.update(camera('live'));
    expect(made).toHaveLength(2);
    newest().play();
    // One that is back before it was told.
    viewer.setRun('third');
    expect(made).toHaveLength(3);
    expect(newest().transport).toBe('webrtc');
  });

  test('tries again with another run what did not work while the server was away', () => {
    const { newest, viewer } = watch(camera('live'));
    viewer.setRun('first');
    newest().play();
    newest().end('lost');
    for (let i = 0; i < 3; i += 1) {
      vi.advanceTimersByTime(5000);
      newest().end('lost');
    }
    expect(newest().transport).not.toBe('webrtc');
    viewer.setRun('second');
    expect(newest().transport).toBe('webrtc');
  });

  test('moves to MSE while somebody listens to AAC, and back', () => {
    const { newest, viewer } = watch(camera('live'));
    newest().play();
    viewer.setSound(true);
    expect(newest().transport).toBe('mse');
    newest().play();
    viewer.setSound(false);
    expect(newest().transport).toBe('webrtc');
  });

  test('stops when hidden, but not at once', () => {
    const { made, newest, viewer } = watch(camera('live'));
    newest().play();
    viewer.setVisible(false);
    vi.advanceTimersByTime(HIDE_GRACE_MS - 1);
    viewer.setVisible(true);
    vi.advanceTimersByTime(HIDE_GRACE_MS);
    expect(made).toHaveLength(1);
    viewer.setVisible(false);
    vi.advanceTimersByTime(HIDE_GRACE_MS);
    expect(made[0]?.closed).toBe(true);
    expect(viewer.state.name).toBe('idle');
    viewer.setVisible(true);
    expect(made).toHaveLength(2);
  });

  test('notices a picture that stands although frames arrive, and an opening that never ends', () => {
    const { made, newest, pass } = watch(camera('live'));
    newest().play();
    pass(3, camera('live'), () => {
      newest().frames += 25;
    });
    expect(made).toHaveLength(1);
    pass(5, camera('live'));
    vi.advanceTimersByTime(0);
    expect(made).toHaveLength(2);
    pass(9, camera('live'));
    vi.advanceTimersByTime(300);
    expect(made).toHaveLength(3);
  });

  test('R-N2 heals a decoder by a new connection, then by another transport, and says so', () => {
    const { made, newest, platform, viewer } = watch(camera('live'));
    newest().play();
    newest().end('undecodable');
    expect(made.map((player) => player.transport)).toEqual(['webrtc', 'webrtc']);
    newest().play();
    vi.advanceTimersByTime(30_000);
    newest().end('not_shown');
    expect(newest().transport).toBe('mse');
    expect(platform.faults.map((fault) => [fault.class, fault.transport])).toEqual([
      ['DECODER', 'webrtc'],
      ['VIDEO_SINK', 'webrtc'],
    ]);
    expect(new Set(platform.faults.map((fault) => fault.viewer)).size).toBe(1);
    newest().play();
    vi.advanceTimersByTime(61_000);
    newest().end('undecodable');
    expect(newest().transport).toBe('mse');
    expect(viewer.report().faults).toBe(3);
  });

  test('takes another transport when the server says so', async () => {
    const { newest, platform } = watch(camera('live'));
    platform.reportFault = async (_id, fault) => ({
      action: 'fall_back',
      cause: { code: 'undecodable', class: fault.class, detail: '' },
    });
    newest().play();
    newest().end('undecodable');
    expect(newest().transport).toBe('webrtc');
    await vi.advanceTimersByTimeAsync(0);
    expect(newest().transport).toBe('mse');
  });

  test('tells a decoder and a display that give nothing from a connection that brings nothing', () => {
    for (const [arrived, paused, faults] of [
      [40_000, false, ['DECODER']],
      [40_000, true, ['VIDEO_SINK']],
      [0, false, []],
    ] as const) {
      const { made, newest, pass, platform, viewer } = watch(camera('live'));
      newest().play();
      Object.defineProperty(viewer.video, 'paused', { value: paused });
      viewer.tick(performance.now());
      newest().arrived = arrived;
      pass(5, camera('live'));
      vi.advanceTimersByTime(0);
      expect(made).toHaveLength(2);
      expect(platform.faults.map((fault) => fault.class)).toEqual(faults);
    }
  });

  test('keeps its connection through an outage and waits for the key frame after it', () => {
    const { made, newest, pass } = watch(camera('live'));
    newest().play();
    pass(2, camera('live'));
    pass(3, camera('stalled'));
    pass(30, camera('reconnecting'));
    // A session that has just begun does not know how far its key frames are apart.
    const { stats } = camera('live');
    const young = camera('live', { stats: { ...stats, gop: 0 } });
    pass(13, young);
    newest().frames += 25;
    pass(3, young);
    expect(made).toHaveLength(1);
    pass(6, young);
    expect(made).toHaveLength(2);
  });

  test('says when the picture that stays was taken, until it moves again', () => {
    const { newest, viewer, pass, kept } = watch(camera('live'));
    newest().play();
    pass(4, camera('live'), () => {
      newest().frames += 25;
    });
    expect(kept).toEqual([]);
    const last = Date.now();
    pass(2, camera('live'));
    viewer.update(camera('stalled'));
    expect(kept).toEqual([last]);
    pass(5, camera('reconnecting'));
    expect(kept).toEqual([last]);
    expect(viewer.state.name).toBe('playing');
    viewer.update(camera('live'));
    expect(kept).toEqual([last]);
    pass(1, camera('live'), () => {
      newest().frames += 25;
    });
    expect(kept).toEqual([last, null]);
    viewer.close();
  });

  test('waits for a camera that has no picture to give, whatever else comes from it', () => {
    const { made, newest, pass } = watch(camera('live'));
    newest().play();
    pass(3, camera('reconnecting'));
    const cause = { code: 'no_key_frame', class: 'RTSP_NETWORK', detail: '' };
    pass(60, camera('live', { warnings: [cause] }));
    expect(made).toHaveLength(1);
  });

  test('does not change its transport for what a camera offers while it is away', () => {
    const tracks: Camera['tracks'] = [{ kind: 'audio', codec: 'aac', sample_rate: 48_000 }];
    const { made, newest, viewer } = watch(camera('live'));
    newest().play();
    viewer.update(camera('reconnecting', { tracks }));
    expect(made).toHaveLength(1);
    viewer.update(camera('live'));
    expect(made).toHaveLength(1);
    viewer.update(camera('reconnecting', { tracks }));
    newest().end('changed');
    expect([made.length, viewer.state.name]).toEqual([1, 'waiting']);
    viewer.update(camera('live'));
    expect(made).toHaveLength(2);
  });

  test('goes by what its own connection says of the stream', () => {
    const { made, newest, pass } = watch(camera('live'));
    newest().play();
    newest().waits = true;
    pass(60, camera('live'));
    expect(made).toHaveLength(1);
    newest().waits = false;
    pass(2, camera('live'));
    vi.advanceTimersByTime(0);
    expect(made).toHaveLength(2);
  });

  test('is patient with a sub-stream, of which the server says nothing', () => {
    const { made, newest, pass, viewer } = watch(camera('live'));
    viewer.setStream('sub');
    newest().play();
    const before = made.length;
    pass(19, camera('live'));
    expect(made).toHaveLength(before);
    pass(3, camera('live'));
    expect(made).toHaveLength(before + 1);
  });

  test('waits for a sub-stream that is lost, but not for ever: a new connection gives the main one', () => {
    const { made, newest, pass, viewer } = watch(camera('live'));
    viewer.setStream('sub');
    newest().play();
    newest().waits = true;
    const before = made.length;
    pass(19, camera('live'));
    expect(made).toHaveLength(before);
    pass(3, camera('live'));
    expect(made).toHaveLength(before + 1);
  });

  test('asks again for another stream that was not given, with the picture left as it is', () => {
    const { made, newest, states, viewer } = watch(camera('live'));
    viewer.setStream('sub');
    newest().play();
    const [, small] = made;
    viewer.setStream('main');
    newest().end('not_live');
    vi.advanceTimersByTime(10);
    newest().end('not_live');
    vi.advanceTimersByTime(310);
    expect(made.slice(2).map(({ stream }) => stream)).toEqual(['main', 'main', 'main']);
    expect([small?.closed, states.at(-1)]).toEqual([false, 'playing']);
    newest().play();
    vi.advanceTimersByTime(60_000);
    expect([small?.closed, made.length]).toEqual([true, 5]);

    viewer.setStream('sub');
    newest().end('not_live');
    // What is shown is what is wanted again: nothing is dialled for that.
    viewer.setStream('main');
    vi.advanceTimersByTime(60_000);
    expect(made).toHaveLength(6);
  });

  test('blames nobody while the server is silent, and gives it a moment when it speaks again', () => {
    const { made, newest, pass } = watch(camera('live'));
    newest().play();
    pass(2, camera('live'), () => {
      newest().frames += 25;
    });
    pass(60, null);
    pass(2, camera('live'));
    expect(made).toHaveLength(1);
    pass(2, camera('live'));
    vi.advanceTimersByTime(0);
    expect(made).toHaveLength(2);
  });

  test('an opening waits for the first key frame of a camera that has just come back', () => {
    const { made, newest, pass, viewer } = watch(camera('live'));
    viewer.update(camera('reconnecting'));
    newest().end('not_live');
    pass(2, camera('reconnecting'));
    pass(12, camera('live'));
    expect(made).toHaveLength(2);
    newest().play();
    expect(viewer.state.name).toBe('playing');
  });

  test('tells that the browser holds the sound back, and lets it be heard with the next gesture', async () => {
    const element = HTMLMediaElement.prototype;
    let gesture = false;
    vi.spyOn(element, 'play').mockImplementation(async function (this: HTMLMediaElement) {
      if (!this.muted && !gesture) throw new DOMException('no gesture yet', 'NotAllowedError');
    });
    const held: boolean[] = [];
    const { viewer, newest, host } = watch(camera('live'), (now) => held.push(now));
    viewer.setSound(true);
    newest().play();
    const video = () => host.querySelector('video');
    // What the browser tells by itself wherever the sound of a video is switched.
    const tell = async () => {
      await vi.advanceTimersByTimeAsync(0);
      video()?.dispatchEvent(new Event('volumechange'));
    };
    await tell();
    expect([video()?.muted, held]).toEqual([true, [true]]);
    gesture = true;
    dispatchEvent(new Event('pointerup'));
    await tell();
    expect([video()?.muted, held]).toEqual([false, [true, false]]);
    // Muted because nobody listens is not held back, and nobody waits for a gesture any more.
    viewer.setSound(false);
    dispatchEvent(new Event('pointerup'));
    await tell();
    expect([video()?.muted, held]).toEqual([true, [true, false]]);
    viewer.close();
  });

  test('sends for the sound of MSE only when somebody listens, and keeps the picture meanwhile', () => {
    const tracks: Camera['tracks'] = [
      { kind: 'video', codec: 'h265', width: 640, height: 360 },
      { kind: 'audio', codec: 'aac', sample_rate: 48_000 },
    ];
    const { made, newest, viewer } = watch(camera('live', { tracks }));
    expect([newest().transport, newest().sound]).toEqual(['mse', false]);
    newest().play();
    viewer.setSound(true);
    expect([newest().transport, newest().sound]).toEqual(['mse', true]);
    expect(made[0]?.closed).toBe(false);
    newest().play();
    expect(made[0]?.closed).toBe(true);
    viewer.setSound(false);
    viewer.setSound(true);
    expect(made).toHaveLength(2);
  });

  test('leaves nothing behind when it is closed', () => {
    const { host, made, newest, viewer } = watch(camera('live'));
    newest().play();
    viewer.setStream('sub');
    viewer.close();
    vi.advanceTimersByTime(60_000);
    expect(made).toHaveLength(2);
    expect(made.every((player) => player.closed)).toBe(true);
    expect(host.querySelectorAll('video')).toHaveLength(0);
  });
});
