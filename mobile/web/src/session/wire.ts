/**
 * Carries messages to the computer and back: by a WebSocket, or by server-sent events and requests
 * where the browser refuses the former (iOS does for a certificate that was clicked through).
 * Invariant: after `close` or `onClose` nothing is called any more. One wire is one attempt.
 */
import type { Closed, FromPeer, Message, Opened } from '../bindings/signaling';
import type { Way } from './dialling';
import type { Heard } from './events';

export interface WireHandlers {
  onOpen(): void;
  onMessage(message: Heard): void;
  /** `code` as a WebSocket's; null where none was given. */
  onClose(code: number | null): void;
}

export interface Wire {
  send(message: Message<FromPeer>): void;
  close(): void;
}

export type OpenWire = (way: Way, handlers: WireHandlers) => Wire;

/** Larger messages than the computer may send. */
const MESSAGE_MAX = 128 * 1024;
/** Messages that may wait for requests on their way; beyond it the wire is cut. */
const POST_MAX = 256;

/** Wires to the origin that the page came from; `key` opens rooms that ask for one. */
export function originWires(origin: string, key: string | null): OpenWire {
  return (way, handlers) => {
    const once = guarded(handlers);
    const url = new URL(way === 'socket' ? '/signal' : '/api/v1/sig/stream', origin);
    if (key !== null) url.searchParams.set('key', key);
    return way === 'socket' ? socketWire(url, once) : streamWire(url, once);
  };
}

/** A message, or null where it is none. */
export function read(text: unknown): Heard | null {
  if (typeof text !== 'string' || text.length > MESSAGE_MAX) return null;
  try {
    const message: unknown = JSON.parse(text);
    if (typeof message !== 'object' || message === null) return null;
    const { type, command } = message as { type?: unknown; command?: unknown };
    return typeof type === 'string' || typeof command === 'string' ? (message as Heard) : null;
  } catch {
    return null;
  }
}

export interface Guarded extends WireHandlers {
  end(): void;
  readonly over: boolean;
}

/** Handlers that hear nothing after the end. */
export function guarded(handlers: WireHandlers): Guarded {
  let over = false;
  return {
    get over() {
      return over;
    },
    end() {
      over = true;
    },
    onOpen() {
      if (!over) handlers.onOpen();
    },
    onMessage(message) {
      if (!over) handlers.onMessage(message);
    },
    onClose(code) {
      if (over) return;
      over = true;
      handlers.onClose(code);
    },
  };
}

function socketWire(url: URL, handlers: Guarded): Wire {
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  const socket = new WebSocket(url);
  socket.onopen = () => handlers.onOpen();
  socket.onmessage = ({ data }) => {
    const message = read(data);
    if (message !== null) handlers.onMessage(message);
  };
  // 1006 is the browser's own word for a connection that broke.
  socket.onclose = ({ code }) => handlers.onClose(code === 1006 ? null : code);
  return {
    send(message) {
      if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
    },
    close() {
      handlers.end();
      socket.close();
    },
  };
}

function streamWire(url: URL, handlers: Guarded): Wire {
  const source = new EventSource(url);
  let session: string | null = null;
  let chain = Promise.resolve();
  let waiting = 0;
  const fail = (code: number | null) => {
    source.close();
    handlers.onClose(code);
  };
  source.addEventListener('session', ({ data }) => {
    session = (JSON.parse(data) as Opened).session;
    handlers.onOpen();
  });
  source.addEventListener('close', ({ data }) => fail((JSON.parse(data) as Closed).code));
  source.onmessage = ({ data }) => {
    const message = read(data);
    if (message !== null) handlers.onMessage(message);
  };
  // It would dial by itself; whoever opened the wire does that.
  source.onerror = () => fail(null);
  return {
    send(message) {
      if (session === null || handlers.over) return;
      waiting += 1;
      if (waiting > POST_MAX) {
        fail(null);
        return;
      }
      const body = JSON.stringify({ session, message });
      // One after the other: the order is what makes sense of them.
      chain = chain.then(async () => {
        waiting -= 1;
        if (handlers.over && message.type !== 'bye') return;
        try {
          const response = await fetch(new URL('/api/v1/sig', url), {
            method: 'POST',
            headers: { 'Content-Type': 'application/json' },
            body,
            keepalive: message.type === 'bye',
            cache: 'no-store',
          });
          if (!response.ok) fail(null);
        } catch {
          fail(null);
        }
      });
    },
    close() {
      handlers.end();
      source.close();
    },
  };
}
