/**
 * The platform over HTTP and WebSockets. A `Door` says where the server is and how to get in; the
 * browser's door is its own origin with a cookie, the desktop's is loopback with a per-run token.
 * Invariant: one call is one attempt; whoever calls owns the retry.
 */
import { download, downloadBlob } from './download';
import {
  type AlertSettings,
  ApiError,
  type Camera,
  type Cause,
  type Desktop,
  type Export,
  type Device,
  type FaultAdvice,
  type NewPairing,
  type Pairing,
  type PhoneDoor,
  type Phones,
  type WhipToken,
  type Platform,
  type Probe,
  type Recordings,
  type Segment,
  type Snapshot,
  type Socket,
  type SocketHandlers,
  type Storage,
  type StreamChoice,
  type WhepSession,
  messageOf,
} from './types';

export interface Door {
  /** Origin of the server, without a slash at the end. */
  base: string;
  /** Sent with every request; null where a cookie does it. */
  bearer: string | null;
  /** Makes a path usable by what cannot send headers (WebSockets). */
  ticketed(path: string): Promise<string>;
}

export interface HttpPlatformOptions {
  kind: 'browser' | 'desktop';
  door(): Promise<Door>;
  address: string;
  desktop?: Desktop;
  fetch?: typeof fetch;
  webSocket?: typeof WebSocket;
}

/** Clock differences below this are the resolution of the Date header. */
const CLOCK_RESOLUTION_MS = 2000;
const CALL_TIMEOUT_MS = 15_000;
const PROBE_TIMEOUT_MS = 40_000;

export function httpPlatform(options: HttpPlatformOptions): Platform {
  const doFetch = options.fetch ?? ((input, init) => fetch(input, init));
  const WebSocketClass = options.webSocket ?? globalThis.WebSocket;
  let opened: Promise<Door> | null = null;
  const door = (): Promise<Door> => {
    opened ??= options.door().catch((error) => {
      opened = null;
      throw error;
    });
    return opened;
  };

  async function request(path: string, init: RequestInit = {}): Promise<Response> {
    const { base, bearer } = await door();
    const headers = new Headers(init.headers);
    if (bearer !== null) headers.set('Authorization', `Bearer ${bearer}`);
    const timeout = AbortSignal.timeout(CALL_TIMEOUT_MS);
    let response: Response;
    try {
      response = await doFetch(base + path, {
        ...init,
        headers,
        signal: init.signal ?? timeout,
        credentials: bearer === null ? 'same-origin' : 'omit',
        cache: init.cache ?? 'no-store',
      });
    } catch (error) {
      throw new ApiError(0, 'unreachable', messageOf(error));
    }
    if (!response.ok) throw await refusal(response);
    return response;
  }

  async function json<T>(
    method: string,
    path: string,
    body?: unknown,
    signal?: AbortSignal,
  ): Promise<T> {
    const init: RequestInit = { method };
    if (body !== undefined) {
      init.headers = { 'Content-Type': 'application/json' };
      init.body = JSON.stringify(body);
    }
    if (signal) init.signal = signal;
    const response = await request(path, init);
    const text = await response.text();
    return (text === '' ? undefined : JSON.parse(text)) as T;
  }

  async function socket(path: string, handlers: SocketHandlers): Promise<Socket> {
    const { base } = await door();
    const url = new URL(await (await door()).ticketed(path), base);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    const ws = new WebSocketClass(url);
    ws.binaryType = 'arraybuffer';
    let closed = false;
    const end = () => {
      if (closed) return;
      closed = true;
      handlers.onClose();
    };
    ws.onmessage = (event) => {
      if (closed) return;
      if (typeof event.data === 'string') handlers.onText(event.data);
      else handlers.onBinary?.(event.data as ArrayBuffer);
    };
    ws.onclose = end;
    ws.onerror = end;
    return {
      close() {
        closed = true;
        ws.close();
      },
    };
  }

  /** An address for what loads by itself. */
  async function address(path: string): Promise<string> {
    const { base, ticketed } = await door();
    return base + (await ticketed(path));
  }

  const iso = (at: number) => new Date(at).toISOString();
  const recordingPath = (id: string) => `/api/v1/recordings/${encodeURIComponent(id)}`;
  const exportPath = (id: string) => `/api/v1/exports/${encodeURIComponent(id)}`;
  const cameraPath = (id: string) => `/api/v1/cameras/${encodeURIComponent(id)}`;
  const streamQuery = (stream: StreamChoice) => (stream === 'sub' ? '?stream=sub' : '');

  const pairingPath = (id: string) => `/api/v1/pairings/${encodeURIComponent(id)}`;
  const devicePath = (id: string) => `/api/v1/devices/${encodeURIComponent(id)}`;
  const phones: Phones = {
    pair: () => json<NewPairing>('POST', '/api/v1/pairings', {}),
    pairing: (id) => json<Pairing>('GET', pairingPath(id)),
    async allow(id) {
      await request(`${pairingPath(id)}/allow`, { method: 'POST' });
    },
    async endPairing(id) {
      await request(pairingPath(id), { method: 'DELETE', keepalive: true });
    },
    devices: () => json<{ devices: Device[]; door: PhoneDoor | null }>('GET', '/api/v1/devices'),
    async rename(id, name) {
      await json('PATCH', devicePath(id), { name });
    },
    async revoke(id) {
      await request(devicePath(id), { method: 'DELETE' });
    },
    async whipTokens() {
      return (await json<{ tokens: WhipToken[] }>('GET', '/api/v1/whip-tokens')).tokens;
    },
    makeWhipToken: (room) => json<WhipToken>('POST', '/api/v1/whip-tokens', { room }),
    async removeWhipToken(id) {
      await request(`/api/v1/whip-tokens/${encodeURIComponent(id)}`, { method: 'DELETE' });
    },
  };

  const platform: Platform = {
    phones,
    kind: options.kind,
    address: options.address,

    async version() {
      return (await json<{ version: string }>('GET', '/api/v1/health')).version;
    },
    async report() {
      return (await request('/api/v1/debug/bundle')).blob();
    },
    async save(file, name) {
      if (options.desktop) return options.desktop.save(file, name);
      downloadBlob(file, name);
      return null;
    },
    async clockOffset() {
      const date = (await request('/api/v1/health')).headers.get('Date');
      const offset = date === null ? 0 : Date.parse(date) - Date.now();
      return Math.abs(offset) > CLOCK_RESOLUTION_MS ? offset : 0;
    },
    async check() {
      await request('/api/v1/cameras');
    },
    async login(token) {
      await json('POST', '/login', { token });
    },

    events: (handlers) => socket('/api/v1/events', handlers),
    addCamera: (spec) => json<Camera>('POST', '/api/v1/cameras', spec),
    changeCamera: (id, patch) => json<Camera>('PATCH', cameraPath(id), patch),
    async removeCamera(id) {
      await request(cameraPath(id), { method: 'DELETE' });
    },
    probe(spec, signal) {
      return limited(signal, PROBE_TIMEOUT_MS, (ends) =>
        json<Probe>('POST', '/api/v1/cameras/probe', spec, ends),
      );
    },
    async retry(id) {
      await request(`${cameraPath(id)}/retry`, { method: 'POST' });
    },
    async setRecording(id, on) {
      await json('POST', `${cameraPath(id)}/recording`, { on });
    },
    async addDemo(count) {
      await json('POST', '/api/v1/demo', { count });
    },
    alertSettings: () => json<AlertSettings>('GET', '/api/v1/alerts/settings'),
    changeAlertSettings: (patch) => json<AlertSettings>('PATCH', '/api/v1/alerts/settings', patch),
    reportFault: (id, fault) => json<FaultAdvice>('POST', `${cameraPath(id)}/fault`, fault),

    async whep(id, stream, offer, signal): Promise<WhepSession> {
      const [location, answer] = await limited(signal, CALL_TIMEOUT_MS, async (ends) => {
        const response = await request(`${cameraPath(id)}/whep${streamQuery(stream)}`, {
          method: 'POST',
          headers: { 'Content-Type': 'application/sdp' },
          body: offer,
          signal: ends,
        });
        return [response.headers.get('Location'), await response.text()] as const;
      });
      return {
        answer,
        close() {
          if (location === null) return;
          const path = new URL(location, 'http://server.invalid');
          // keepalive: the last words of a page that is being closed still arrive.
          request(path.pathname + path.search, { method: 'DELETE', keepalive: true }).catch(() => {
            // The server notices a vanished viewer by itself within seconds.
          });
        },
      };
    },
    live(id, stream, sound, handlers) {
      const query = new URLSearchParams();
      if (stream === 'sub') query.set('stream', 'sub');
      if (!sound) query.set('sound', 'off');
      // `URLSearchParams.size` is missing in Safari 16.
      const text = query.toString();
      return socket(`${cameraPath(id)}/live${text === '' ? '' : `?${text}`}`, handlers);
    },
    async snapshot(id, width): Promise<Snapshot> {
      const query = width === null ? '' : `?width=${Math.round(width)}`;
      const response = await request(`${cameraPath(id)}/snapshot.jpg${query}`);
      const modified = Date.parse(response.headers.get('Last-Modified') ?? '');
      return { picture: await response.blob(), takenAt: Number.isNaN(modified) ? null : modified };
    },

    recordings: ({ from, to, camera }) => {
      const span = `from=${iso(from)}&to=${iso(to)}`;
      const query = `camera=${encodeURIComponent(camera)}&${span}`;
      return json<Recordings>('GET', `/api/v1/recordings?${query}`);
    },
    film: (id) => address(`${recordingPath(id)}.mp4`),
    filmAnswers: (id) =>
      request(`${recordingPath(id)}.mp4`, { method: 'HEAD' }).then(
        () => true,
        () => false,
      ),
    async thumbnail(id, at, width) {
      const size = width === null ? '' : `&width=${Math.round(width)}`;
      const path = `${recordingPath(id)}/thumbnail.jpg?at=${iso(at)}${size}`;
      // What was recorded stays as it is: the server says for how long it may be kept.
      return (await request(path, { cache: 'default' })).blob();
    },
    protect: (id, on) => json<Segment>('PATCH', recordingPath(id), { protected: on }),
    async removeRecording(id) {
      await request(recordingPath(id), { method: 'DELETE' });
    },
    async beginExport(spec) {
      return (await json<{ id: string }>('POST', '/api/v1/exports', spec)).id;
    },
    async exports() {
      return (await json<{ exports: Export[] }>('GET', '/api/v1/exports')).exports;
    },
    async removeExport(id) {
      await request(exportPath(id), { method: 'DELETE' });
    },
    async saveExport(id, name) {
      if (options.desktop) return options.desktop.saveExport(id);
      download(await address(`${exportPath(id)}.mp4`), name);
      return null;
    },
    storage: () => json<Storage>('GET', '/api/v1/storage'),
  };
  return options.desktop ? { ...platform, desktop: options.desktop } : platform;
}

/** `act`, ended by `signal` or after the time, whichever is first (`AbortSignal.any` is missing in Safari 16). */
async function limited<T>(
  signal: AbortSignal,
  timeoutMs: number,
  act: (ends: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(new Error('no answer in time')), timeoutMs);
  const abort = () => controller.abort(signal.reason);
  if (signal.aborted) abort();
  else signal.addEventListener('abort', abort, { once: true });
  try {
    return await act(controller.signal);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', abort);
  }
}

/** The server's own words for a refusal, or the status line where it had none. */
async function refusal(response: Response): Promise<ApiError> {
  const text = await response.text().catch(() => '');
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body === 'object' && body !== null) {
      const { code, message, cause } = body as { code?: unknown; message?: unknown; cause?: Cause };
      if (typeof code === 'string' && typeof message === 'string') {
        return new ApiError(response.status, code, message, cause ?? null);
      }
    }
  } catch {
    // Not the server's JSON: a proxy in between, perhaps.
  }
  return new ApiError(
    response.status,
    'http',
    `HTTP ${response.status} ${response.statusText}`.trim(),
  );
}

/** The browser's door: the page's own origin, authenticated by the cookie that `/login` set. */
export function browserPlatform(): Platform {
  const base = location.origin;
  return httpPlatform({
    kind: 'browser',
    address: base,
    door: async () => ({ base, bearer: null, ticketed: async (path) => path }),
  });
}
