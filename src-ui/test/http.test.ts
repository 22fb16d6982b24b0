import { describe, expect, test, vi } from 'vitest';
import { type Door, httpPlatform } from '../src/platform/http';
import { ApiError } from '../src/platform/types';

function platform(answer: () => Response | Promise<Response>, door: Partial<Door> = {}) {
  const fetch = vi.fn(async (_url: RequestInfo | URL, _init?: RequestInit) => answer());
  const sockets: {
    url: string;
    onmessage?: (event: { data: unknown }) => void;
    onclose?: () => void;
  }[] = [];
  class StubSocket {
    binaryType = '';
    constructor(url: URL) {
      sockets.push(Object.assign(this, { url: String(url) }));
    }
    close() {}
  }
  const made = httpPlatform({
    kind: 'desktop',
    address: 'test',
    door: async () => ({
      base: 'http://127.0.0.1:9',
      bearer: null,
      ticketed: async (path) => path,
      ...door,
    }),
    fetch,
    webSocket: StubSocket as unknown as typeof WebSocket,
  });
  return { made, fetch, sockets };
}
const call = (fetch: ReturnType<typeof platform>['fetch'], at = 0) => {
  const [url, init] = fetch.mock.calls[at] ?? [];
  return { url: String(url), init: init ?? {}, headers: new Headers(init?.headers) };
};

describe('the platform over HTTP', () => {
  test('sends the token in a header where there is one, and escapes ids', async () => {
    const { made, fetch } = platform(() => new Response(null, { status: 204 }), {
      bearer: 'secret',
    });
    await made.retry('a/b');
    const { url, init, headers } = call(fetch);
    expect(url).toBe('http://127.0.0.1:9/api/v1/cameras/a%2Fb/retry');
    expect(init.method).toBe('POST');
    expect(headers.get('Authorization')).toBe('Bearer secret');
    expect(init.credentials).toBe('omit');
  });

  test('switches recording', async () => {
    const { made, fetch } = platform(() => new Response('{}'));
    await made.setRecording('a/b', true);
    const { url, init } = call(fetch);
    expect(url).toBe('http://127.0.0.1:9/api/v1/cameras/a%2Fb/recording');
    expect([init.method, init.body]).toEqual(['POST', '{"on":true}']);
  });

  test('lets phones in and out', async () => {
    const { made, fetch } = platform(() => new Response('{"devices":[]}'));
    await made.phones.pair();
    await made.phones.allow('a/b');
    expect((await made.phones.devices()).devices).toEqual([]);
    await made.phones.rename('d', 'Hall');
    await made.phones.revoke('d');
    const asked = [0, 1, 2, 3, 4].map((at) => {
      const { url, init } = call(fetch, at);
      return `${init.method} ${url.split('/api/v1/')[1]}`;
    });
    expect(asked).toEqual([
      'POST pairings',
      'POST pairings/a%2Fb/allow',
      'GET devices',
      'PATCH devices/d',
      'DELETE devices/d',
    ]);
  });

  test('asks for the small stream without sound also where queries have no size', async () => {
    const urls: string[] = [];
    const webSocket = class {
      constructor(url: URL) {
        urls.push(`${url.pathname}${url.search}`);
      }
    } as unknown as typeof WebSocket;
    vi.spyOn(URLSearchParams.prototype, 'size', 'get').mockReturnValue(undefined as never);
    const door = async () => ({
      base: 'http://127.0.0.1:9',
      bearer: null,
      ticketed: async (path: string) => path,
    });
    const made = httpPlatform({ kind: 'browser', address: '', door, webSocket });
    const handlers = { onText: () => {}, onClose: () => {} };
    await made.live('c', 'sub', false, handlers);
    await made.live('c', 'main', true, handlers);
    expect(urls).toEqual(['/api/v1/cameras/c/live?stream=sub&sound=off', '/api/v1/cameras/c/live']);
  });

  test('turns a refusal into the server’s own words', async () => {
    const { made } = platform(
      () => new Response('{"code":"invalid","message":"url: no host"}', { status: 422 }),
    );
    await expect(made.addCamera({ url: 'x' })).rejects.toMatchObject({
      status: 422,
      code: 'invalid',
      message: 'url: no host',
    });
  });

  test('survives refusals that are not the server’s', async () => {
    const { made } = platform(() => new Response('<html>', { status: 502 }));
    await expect(made.check()).rejects.toMatchObject({ status: 502, code: 'http' });
    const gone = platform(() => Promise.reject(new TypeError('failed to fetch')));
    await expect(gone.made.check()).rejects.toBeInstanceOf(ApiError);
    await expect(gone.made.check()).rejects.toMatchObject({ status: 0, code: 'unreachable' });
  });

  test('offers by WHEP and takes its leave at the place it was given', async () => {
    const { made, fetch } = platform(
      () =>
        new Response('v=0 answer', {
          status: 201,
          headers: { Location: '/api/v1/cameras/cam_01/whep/7' },
        }),
    );
    const session = await made.whep('cam_01', 'sub', 'v=0 offer', new AbortController().signal);
    expect(session.answer).toBe('v=0 answer');
    expect(call(fetch)).toMatchObject({
      url: 'http://127.0.0.1:9/api/v1/cameras/cam_01/whep?stream=sub',
      init: { method: 'POST', body: 'v=0 offer' },
    });
    expect(call(fetch).headers.get('Content-Type')).toBe('application/sdp');
    session.close();
    await vi.waitFor(() => expect(fetch).toHaveBeenCalledTimes(2));
    expect(call(fetch, 1)).toMatchObject({
      url: 'http://127.0.0.1:9/api/v1/cameras/cam_01/whep/7',
      init: { method: 'DELETE' },
    });
  });

  test('opens sockets with a ticket, and says once when they end', async () => {
    const { made, sockets } = platform(() => new Response(), {
      ticketed: async (path) => `${path}${path.includes('?') ? '&' : '?'}ticket=t`,
    });
    const onText = vi.fn();
    const onClose = vi.fn();
    await made.live('cam_01', 'main', false, { onText, onClose });
    const [socket] = sockets;
    expect(socket?.url).toBe('ws://127.0.0.1:9/api/v1/cameras/cam_01/live?sound=off&ticket=t');
    socket?.onmessage?.({ data: '{"mime":"x"}' });
    socket?.onclose?.();
    socket?.onclose?.();
    expect(onText).toHaveBeenCalledWith('{"mime":"x"}');
    expect(onClose).toHaveBeenCalledTimes(1);
  });

  test('asks for the door again after it was shut', async () => {
    let tries = 0;
    const made = httpPlatform({
      kind: 'desktop',
      address: '',
      door: async () => {
        tries += 1;
        if (tries === 1) throw new Error('not ready');
        return { base: 'http://127.0.0.1:9', bearer: null, ticketed: async (path) => path };
      },
      fetch: async () => new Response('{"status":"ok","version":"1.2.3"}'),
    });
    await expect(made.version()).rejects.toThrow('not ready');
    await expect(made.version()).resolves.toBe('1.2.3');
  });

  test('reads the server’s clock where it differs', async () => {
    const { made } = platform(
      () => new Response('{}', { headers: { Date: new Date(Date.now() + 60_000).toUTCString() } }),
    );
    expect(await made.clockOffset()).toBeGreaterThan(55_000);
    const near = platform(
      () => new Response('{}', { headers: { Date: new Date().toUTCString() } }),
    );
    expect(await near.made.clockOffset()).toBe(0);
  });
});
