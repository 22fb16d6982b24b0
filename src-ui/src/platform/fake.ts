/**
 * A platform without a server: scripted cameras for tests, for development and for looking at the
 * wall in every state. `?fake=16` shows sixteen, `&state=live|mixed|broken|<state name>` says how
 * they fare, `&via=webrtc|mse|stills` what carries the pictures, `&locked` asks for a token,
 * `&phone=quick|none|late|off` what comes of adding one, `&broken=config|…` that nothing started.
 * Pictures are painted here and go through the real players.
 */
import { downloadBlob } from './download';
import { FakePast } from './fake-past';
import { paint } from './fake-scene';
import {
  type AlertSettings,
  type AlertSettingsPatch,
  ApiError,
  type Camera,
  type CameraPatch,
  type CameraSpec,
  type CameraState,
  type Cause,
  type Desktop,
  type Device,
  type DesktopSettings,
  type ExportSpec,
  type Fault,
  type FaultAdvice,
  type Pairing,
  type Phones,
  type Platform,
  type Probe,
  type ServerEvent,
  type Socket,
  type SocketHandlers,
  type WhipToken,
  type Track,
} from './types';

const NAMES = [
  'Front door',
  'Driveway',
  'Garden',
  'Garage',
  'Back gate',
  'Workshop',
  'Stairwell',
  'Loading bay',
  'Roof terrace',
  'Side path',
  'Bicycle shed',
  'Pond',
  'Barn',
  'Orchard',
  'Street',
  'Cellar',
];

const H264: Track[] = [
  { kind: 'video', codec: 'h264', width: 1920, height: 1080 },
  { kind: 'audio', codec: 'aac', sample_rate: 16000 },
];

const CAUSES: Partial<Record<string, Cause>> & { refused: Cause; failed: Cause } = {
  reconnecting: {
    code: 'timeout',
    class: 'RTSP_NETWORK',
    detail: 'no answer to OPTIONS within 10 s',
  },
  refused: { code: 'unauthorized', class: 'RTSP_NETWORK', detail: '401 Unauthorized to DESCRIBE' },
  failed: {
    code: 'unreachable',
    class: 'RTSP_NETWORK',
    detail: 'connect 192.168.1.24:554: no route to host (os error 113), 5 attempts',
  },
};

const BROKEN_WORDS = 'settings.json: streaming.keepalive_timeout: 99 is not between 3 and 10';

export class FakePlatform implements Platform {
  readonly kind = 'fake' as const;
  readonly address = 'http://127.0.0.1:8420';
  readonly cameras = new Map<string, Camera>();
  /** Another one says that the server was started again. */
  run = 'first';
  #seq = 0;
  #listeners = new Set<SocketHandlers>();
  #next = 1;
  #via: string;
  #locked: boolean;

  constructor(count: number, state = 'live', via = 'webrtc', locked = false) {
    this.#via = via;
    this.#locked = locked;
    for (let i = 0; i < count; i += 1) this.#create(scripted(state, i));
  }

  #settings: DesktopSettings = { autostart: false, close_to_tray: true, keep_awake: true };
  /** Why there is no server. */
  broken: string | null = null;
  desktop: Desktop = {
    again: async () => {
      this.broken = null;
    },
    settings: async () => this.#settings,
    apply: async (settings) => {
      this.#settings = settings;
    },
    speak: async () => {},
    onOpenCamera: async () => () => {},
    save: async (_, name) => name,
    saveExport: async (id) => id,
    setFullscreen: async () => {},
  };

  #devices: Device[] = [];
  #tokens: WhipToken[] = [];
  #pairing: Pairing = { id: 'pairing', state: 'ended' };
  /** What comes of the next pairing. */
  phone = 'quick';
  readonly phones: Phones = {
    pair: async () => {
      if (this.phone === 'off') throw new ApiError(409, 'disabled', 'phones are switched off');
      const pairing: Pairing = { id: 'pairing', state: 'waiting' };
      this.#pairing = pairing;
      if (this.phone === 'quick') {
        setTimeout(() => {
          Object.assign(pairing, { state: 'asked', code: '482913', name: 'Minji’s iPhone' });
        }, 4000);
      }
      const seconds = this.phone === 'late' ? 3 : 120;
      const expires = Date.now() + seconds * 1000;
      setTimeout(() => {
        if (pairing.state !== 'paired') pairing.state = 'ended';
      }, seconds * 1000);
      const url =
        'https://192.168.1.20:8443/publish#1.Q2hlY2tUaGVDb2RlISEh.uYq0Jm3xk1vJZ5n0q8i2QeW4r6t8y0aZ1xC3vB5nM7k.Desk';
      return {
        id: 'pairing',
        url,
        qr: fakeCode(),
        code: null,
        expires_at: new Date(expires).toISOString(),
        trust_url: 'http://192.168.1.20:8080/trust',
      };
    },
    pairing: async () => ({ ...this.#pairing }),
    allow: async () => {
      this.#pairing.state = 'paired';
      const name = this.#pairing.name ?? 'Phone';
      const now = new Date().toISOString();
      const live: CameraState = { name: 'live', since: now };
      const camera = this.#create(live, { name });
      const phone: Camera = { ...camera, kind: 'phone', url: null, username: null };
      this.cameras.set(camera.id, phone);
      this.emit({ type: 'camera', camera: phone });
      this.#devices.push({
        id: `device_${this.#next}`,
        name,
        room: camera.id,
        paired_at: now,
        last_seen: now,
        online: true,
      });
    },
    endPairing: async () => {
      this.#pairing.state = 'ended';
    },
    devices: async () => ({
      devices: this.#devices.map((device) => ({ ...device })),
      door: {
        open: true,
        urls: ['https://192.168.1.20:8443/publish', 'https://desk.local:8443/publish'],
        trust_url: 'http://192.168.1.20:8080/trust',
        fingerprint: '5B:0E:91:7C:44:D2:3A:8F:16:C0:77:E9:B1:20:6D:F4',
      },
    }),
    rename: async (id, name) => {
      const device = this.#devices.find((one) => one.id === id);
      if (device) device.name = name;
    },
    revoke: async (id) => {
      const device = this.#devices.find((one) => one.id === id);
      this.#devices = this.#devices.filter((one) => one.id !== id);
      if (device) await this.removeCamera(device.room);
    },
    whipTokens: async () => this.#tokens.map(({ token: _, ...rest }) => rest),
    makeWhipToken: async (room) => {
      const id = `token_${this.#tokens.length}`;
      const made = { id, name: room, room, made_at: new Date().toISOString() };
      this.#tokens.push(made);
      return { ...made, token: 'nj_4f1c8b2a7d9e4c55a1b3' };
    },
    removeWhipToken: async (id) => {
      this.#tokens = this.#tokens.filter((one) => one.id !== id);
    },
  };

  async version(): Promise<string> {
    return '0.1.0';
  }
  async report(): Promise<Blob> {
    return new Blob([]);
  }
  async clockOffset(): Promise<number> {
    return 0;
  }
  async check(): Promise<void> {
    if (this.broken) throw new ApiError(0, this.broken, BROKEN_WORDS);
    if (this.#locked) throw new ApiError(401, 'unauthorized', 'token needed');
  }
  async login(token: string): Promise<void> {
    if (token !== 'nightjar') throw new ApiError(401, 'unauthorized', 'wrong token');
    this.#locked = false;
  }

  async events(handlers: SocketHandlers): Promise<Socket> {
    if (this.broken) throw new ApiError(0, this.broken, BROKEN_WORDS);
    if (this.#locked) throw new ApiError(0, 'unreachable', 'refused');
    this.#seq = 0;
    this.#listeners.add(handlers);
    queueMicrotask(() =>
      handlers.onText(
        JSON.stringify({
          type: 'snapshot',
          seq: 0,
          cameras: [...this.cameras.values()],
          alerts: [],
          run: this.run,
        }),
      ),
    );
    return { close: () => this.#listeners.delete(handlers) };
  }

  /** Sends an event to every listener, numbered. `skip` leaves numbers out, as a lost message would. */
  emit(event: { type: string } & Record<string, unknown>, skip = 0): void {
    this.#seq += 1 + skip;
    const text = JSON.stringify({ ...event, seq: this.#seq } satisfies ServerEvent);
    for (const listener of this.#listeners) listener.onText(text);
  }

  /** Ends every event socket, as a restarting server would. */
  hangUp(): void {
    const all = [...this.#listeners];
    this.#listeners.clear();
    for (const listener of all) listener.onClose();
  }

  setState(id: string, state: CameraState): void {
    const camera = this.cameras.get(id);
    if (!camera) return;
    const changed = { ...camera, state };
    this.cameras.set(id, changed);
    this.emit({ type: 'camera', camera: changed });
  }

  async addCamera(draft: CameraSpec): Promise<Camera> {
    const camera = this.#create({ name: 'live', since: new Date().toISOString() }, draft);
    this.emit({ type: 'camera', camera });
    return camera;
  }
  async changeCamera(id: string, patch: CameraPatch): Promise<Camera> {
    const camera = this.cameras.get(id);
    if (!camera) throw new ApiError(404, 'not_found', 'no such camera');
    const changed: Camera = {
      ...camera,
      name: patch.name ?? camera.name,
      url: patch.url ?? camera.url ?? null,
      username: patch.username === undefined ? (camera.username ?? null) : patch.username,
    };
    this.cameras.set(id, changed);
    this.emit({ type: 'camera', camera: changed });
    return changed;
  }
  async removeCamera(id: string): Promise<void> {
    this.cameras.delete(id);
    this.emit({ type: 'camera_removed', id });
  }
  async probe(draft: CameraSpec, signal: AbortSignal): Promise<Probe> {
    await new Promise((resolve) => setTimeout(resolve, 900));
    if (signal.aborted) throw new ApiError(0, 'aborted', 'aborted');
    if (draft.url.includes('locked') && draft.password === undefined) {
      throw new ApiError(502, 'camera_unavailable', 'DESCRIBE: 401 Unauthorized', CAUSES.refused);
    }
    if (draft.url.includes('gone')) {
      throw new ApiError(502, 'camera_unavailable', 'connect: no route to host', CAUSES.failed);
    }
    const codec = draft.url.includes('265') ? 'h265' : 'h264';
    const b_frames = draft.url.includes('bframes');
    const mime = codec === 'h265' ? 'hvc1.1.6.L150.90' : 'avc1.640032';
    return {
      url: draft.url,
      transport: draft.transport ?? 'tcp',
      tracks: [
        {
          kind: 'video',
          codec,
          width: 2560,
          height: 1440,
          fps: 25,
          key_frame_seconds: 4,
          b_frames,
        },
        { kind: 'audio', codec: 'aac', sample_rate: 16000, b_frames: false },
      ],
      playback: [
        { transport: 'webrtc', video: codec === 'h264' && !b_frames, audio: false },
        {
          transport: 'mse',
          video: true,
          audio: true,
          mime: `video/mp4; codecs="${mime},mp4a.40.2"`,
        },
        { transport: 'still', video: true, audio: false },
      ],
      picture: paint(3, 0, 640).toDataURL('image/jpeg', 0.8),
      first_frame_ms: 240,
      first_key_frame_ms: 310,
      warnings: [],
    };
  }
  async retry(id: string): Promise<void> {
    this.setState(id, { name: 'connecting', since: new Date().toISOString(), attempt: 1 });
    setTimeout(() => this.setState(id, { name: 'live', since: new Date().toISOString() }), 1500);
  }
  async setRecording(id: string, on: boolean): Promise<void> {
    const camera = this.cameras.get(id);
    if (!camera) throw new ApiError(404, 'not_found', `no camera ${id}`);
    const since = new Date().toISOString();
    const changed: Camera = { ...camera, recording: { state: on ? 'recording' : 'off', since } };
    this.cameras.set(id, changed);
    this.emit({ type: 'camera', camera: changed });
  }
  async addDemo(count: number): Promise<void> {
    for (let i = 0; i < count; i += 1) {
      const camera = this.#create({ name: 'live', since: new Date().toISOString() });
      this.emit({ type: 'camera', camera: { ...camera, kind: 'demo' } });
    }
  }
  #alertSettings: AlertSettings = {
    after_seconds: 10,
    quiet_from: null,
    quiet_until: null,
    webhook: null,
  };
  async alertSettings(): Promise<AlertSettings> {
    return this.#alertSettings;
  }
  async changeAlertSettings(patch: AlertSettingsPatch): Promise<AlertSettings> {
    const { webhook, ...rest } = patch;
    const given = Object.fromEntries(
      Object.entries(rest).filter(([, value]) => value !== undefined),
    );
    const host = webhook == null ? webhook : new URL(webhook).host;
    this.#alertSettings = {
      ...this.#alertSettings,
      ...given,
      ...(host === undefined ? {} : { webhook: host }),
    };
    return this.#alertSettings;
  }
  /** What pages complained of. */
  readonly faults: Fault[] = [];
  async reportFault(_id: string, fault: Fault): Promise<FaultAdvice> {
    const again = this.faults.some((known) => known.viewer === fault.viewer);
    this.faults.push(fault);
    const cause = { code: 'undecodable', class: fault.class, detail: fault.detail ?? '' };
    return { action: again ? 'fall_back' : 'redial', cause };
  }

  async whep(id: string, _stream: string, offer: string) {
    if (this.#via !== 'webrtc') throw new ApiError(406, 'codec', 'scripted to have no WebRTC');
    const pc = new RTCPeerConnection();
    const stop = moving(this.#index(id), (stream) => {
      for (const track of stream.getTracks()) pc.addTrack(track, stream);
    });
    await pc.setRemoteDescription({ type: 'offer', sdp: offer });
    await pc.setLocalDescription(await pc.createAnswer());
    await new Promise<void>((resolve) => {
      const done = () => pc.iceGatheringState === 'complete' && resolve();
      pc.onicegatheringstatechange = done;
      done();
    });
    return {
      answer: pc.localDescription?.sdp ?? '',
      close: () => {
        stop();
        pc.close();
      },
    };
  }

  async live(
    id: string,
    _stream: string,
    _sound: boolean,
    handlers: SocketHandlers,
  ): Promise<Socket> {
    const mime = 'video/webm; codecs="vp8"';
    if (this.#via === 'stills') {
      queueMicrotask(() => handlers.onText(JSON.stringify({ mime: 'video/mp4; codecs="none"' })));
      return { close: () => {} };
    }
    let recorder: MediaRecorder | null = null;
    const stop = moving(this.#index(id), (stream) => {
      recorder = new MediaRecorder(stream, { mimeType: mime.replaceAll('"', '') });
      handlers.onText(JSON.stringify({ mime }));
      recorder.ondataavailable = async ({ data }) => handlers.onBinary?.(await data.arrayBuffer());
      recorder.start(100);
    });
    return {
      close: () => {
        recorder?.stop();
        stop();
      },
    };
  }

  async snapshot(id: string, width: number | null) {
    const camera = this.cameras.get(id);
    if (!camera || camera.state.name === 'connecting') {
      throw new ApiError(503, 'not_live', 'no picture yet');
    }
    const canvas = paint(this.#index(id), performance.now() / 1000, width ?? 1280);
    const picture = await new Promise<Blob | null>((resolve) =>
      canvas.toBlob(resolve, 'image/jpeg'),
    );
    if (!picture) throw new ApiError(503, 'not_live', 'no picture yet');
    return { picture, takenAt: camera.state.name === 'live' ? Date.now() : Date.now() - 47_000 };
  }

  #past = new FakePast();
  async recordings({ from, to, camera }: { from: number; to: number; camera: string }) {
    return this.#past.list(camera, this.#index(camera), from, to);
  }
  async film(): Promise<string> {
    throw new ApiError(501, 'not_implemented', 'scripted recordings have pictures only');
  }
  async filmAnswers(): Promise<boolean> {
    return true;
  }
  thumbnail(id: string, at: number, width: number | null) {
    return this.#past.picture(this.#index(id.split('.')[0] ?? ''), at, width ?? 1280);
  }
  async protect(id: string, on: boolean) {
    return this.#past.protect(id, on);
  }
  async removeRecording(id: string) {
    this.#past.remove(id);
  }
  async beginExport(spec: ExportSpec) {
    return this.#past.begin(spec);
  }
  async exports() {
    return this.#past.exports();
  }
  async removeExport(id: string) {
    this.#past.cancel(id);
  }
  async save(file: Blob, name: string) {
    downloadBlob(file, name);
    return null;
  }
  async saveExport(): Promise<string | null> {
    throw new ApiError(501, 'not_implemented', 'scripted recordings have pictures only');
  }
  async storage() {
    return this.#past.storage([...this.cameras.keys()]);
  }

  #index(id: string): number {
    return Math.max(0, [...this.cameras.keys()].indexOf(id));
  }

  #create(state: CameraState, draft: Partial<CameraSpec> = {}): Camera {
    const index = this.#next - 1;
    const id = `cam_${String(this.#next).padStart(2, '0')}`;
    this.#next += 1;
    const round = Math.floor(index / NAMES.length);
    const name = NAMES[index % NAMES.length] ?? id;
    const began = state.name !== 'connecting' && state.name !== 'refused';
    const camera: Camera = {
      id,
      name: draft.name ?? (round === 0 ? name : `${name} ${round + 1}`),
      kind: state.cause && state.cause.detail === 'as the phone said' ? 'phone' : 'rtsp',
      state,
      tracks: began ? H264 : [],
      recording: { state: index % 3 === 0 ? 'recording' : 'off', since: state.since },
      stats: {
        fps: state.name === 'live' ? 25 : 0,
        bitrate: state.name === 'live' ? 3_400_000 + index * 90_000 : 0,
        frames: began ? 5000 : 0,
        last_frame_ms: state.name === 'live' ? 20 : began ? 47_000 : null,
        buffer_pct: 98,
        reconnects: 0,
        lost: 0,
        viewers: 1,
        jitter_ms: 2,
        gop: 50,
      },
      sub: index % 2 === 0,
      has_password: true,
      record: true,
      read_only: false,
      url: draft.url ?? `rtsp://192.168.1.${20 + index}:554/stream1`,
      username: draft.username ?? 'admin',
      transport: draft.transport ?? 'tcp',
    };
    this.cameras.set(id, camera);
    return camera;
  }
}

/** Something that looks like a code. */
function fakeCode(): string {
  let seed = 11;
  const cells: string[] = [];
  const eyes = [
    [0, 0],
    [26, 0],
    [0, 26],
  ] as const;
  for (let y = 0; y < 33; y += 1) {
    for (let x = 0; x < 33; x += 1) {
      seed = (seed * 48_271) % 2_147_483_647;
      const eye = eyes.find(
        ([left, top]) => x >= left - 1 && x < left + 8 && y >= top - 1 && y < top + 8,
      );
      let dark = seed % 2 === 0;
      if (eye) {
        const far = Math.max(Math.abs(x - eye[0] - 3), Math.abs(y - eye[1] - 3));
        dark = far === 3 || far < 2;
      }
      if (dark) cells.push(`M${x + 4} ${y + 4}h1v1h-1z`);
    }
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 41 41"><path fill="#fff" d="M0 0h41v41H0z"/><path d="${cells.join('')}"/></svg>`;
}

/** A canvas that moves, as a stream. */
function moving(index: number, use: (stream: MediaStream) => void): () => void {
  const canvas = paint(index, 0, 640);
  const stream = canvas.captureStream(8);
  const timer = setInterval(() => paint(index, performance.now() / 1000, 640, canvas), 125);
  use(stream);
  return () => {
    clearInterval(timer);
    for (const track of stream.getTracks()) track.stop();
  };
}

/** How phones fare: the code of the cause, and the state it comes with. */
const PHONE_CAUSES = [
  ['stalled', 'paused_locked'],
  ['reconnecting', 'path_dead'],
  ['reconnecting', 'phone_gone'],
  ['stalled', 'capture_stopped'],
  ['stalled', 'paused_call'],
  ['stalled', 'paused_pressure'],
] as const;

const BROKEN = ['connecting', 'stalled', 'reconnecting', 'refused', 'failed'] as const;

function scripted(state: string, index: number): CameraState {
  if (state === 'phones') {
    const [name, code] = PHONE_CAUSES[index % PHONE_CAUSES.length] ?? PHONE_CAUSES[0];
    const retry = new Date(Date.now() + 8000).toISOString();
    return {
      name,
      since: new Date(Date.now() - 9000).toISOString(),
      cause: { code, class: 'RTSP_NETWORK', detail: 'as the phone said' },
      ...(name === 'reconnecting' ? { attempt: 2, retry_at: retry } : {}),
    };
  }
  let name = state as CameraState['name'];
  if (state === 'mixed')
    name = index % 4 === 1 ? (BROKEN[(index >> 2) % BROKEN.length] ?? 'live') : 'live';
  if (state === 'broken') name = BROKEN[index % BROKEN.length] ?? 'failed';
  const now = Date.now();
  const ago = name === 'stalled' ? 2_500 : name === 'connecting' ? 2_000 : 47_000;
  const began = name !== 'connecting' && name !== 'refused' && name !== 'live';
  const since = new Date(now - ago).toISOString();
  return {
    name,
    since,
    ...(began ? { last_picture_at: since } : {}),
    ...(name === 'reconnecting'
      ? { attempt: 3, retry_at: new Date(now + 12_000).toISOString() }
      : {}),
    ...(name === 'failed' ? { attempt: 5 } : {}),
    ...(CAUSES[name] ? { cause: CAUSES[name] } : {}),
  };
}

export function fakePlatform(query: URLSearchParams): FakePlatform {
  const platform = new FakePlatform(
    Number(query.get('fake')) || 0,
    query.get('state') ?? 'live',
    query.get('via') ?? 'webrtc',
    query.has('locked'),
  );
  platform.phone = query.get('phone') ?? 'quick';
  platform.broken = query.get('broken');
  setInterval(() => platform.emit({ type: 'alive' }), 5_000);
  return platform;
}
