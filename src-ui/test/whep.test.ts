import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { WhepPlayer } from '../src/media/whep';
import { FakePlatform } from '../src/platform/fake';

/** A connection that does what the test says. */
class Connection {
  static newest: Connection;
  connectionState = 'connected';
  onconnectionstatechange: (() => void) | null = null;
  ontrack: unknown = null;
  dtls: { state: string; onstatechange: (() => void) | null } = {
    state: 'connected',
    onstatechange: null,
  };
  constructor() {
    Connection.newest = this;
  }
  addTransceiver() {
    return { receiver: { transport: this.dtls } };
  }
  async createOffer() {
    return { type: 'offer', sdp: 'v=0' };
  }
  async setLocalDescription() {}
  async setRemoteDescription() {}
  close() {}
}

beforeEach(() => {
  vi.stubGlobal('RTCPeerConnection', Connection);
  vi.stubGlobal('MediaStream', class {});
});
afterEach(() => vi.unstubAllGlobals());

async function open() {
  const platform = new FakePlatform(1);
  const session = { answer: 'v=0', close: vi.fn() };
  vi.spyOn(platform, 'whep').mockResolvedValue(session as never);
  const [camera] = platform.cameras.values();
  if (!camera) throw new Error('the fake has one camera');
  const player = new WhepPlayer({ platform, onState: () => {} });
  player.attach(document.createElement('video'), camera, 'main', false);
  await vi.waitFor(() => expect(Connection.newest.dtls.onstatechange).not.toBeNull());
  return player;
}

test('a goodbye of the server ends the attempt at once, before the connection shows it', async () => {
  const player = await open();
  const { dtls } = Connection.newest;
  dtls.state = 'closed';
  dtls.onstatechange?.();
  expect(player.state).toMatchObject({ name: 'ended', reason: 'lost' });
});

test('a connection that ends ends the attempt', async () => {
  const player = await open();
  Connection.newest.connectionState = 'disconnected';
  Connection.newest.onconnectionstatechange?.();
  expect(player.state).toMatchObject({ name: 'ended', reason: 'lost' });
});
