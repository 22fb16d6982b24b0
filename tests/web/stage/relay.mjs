// A relay that the test plays, and a viewer behind it: enough of signaling to bring a phone's page to
// publish into another page, and to say to it whatever a test wants to say.

/** The other end of the phone's connection, in a page of its own. */
const receiver = `
  window.__receiver = {
    pcs: new Map(),
    async answer(gen, sdp) {
      for (const [old, pc] of this.pcs) if (old < gen) pc.close();
      const pc = this.pcs.get(gen) ?? new RTCPeerConnection();
      this.pcs.set(gen, pc);
      this.gen = gen;
      pc.ontrack = ({ track, streams }) => {
        if (track.kind !== 'video') return;
        const video = document.createElement('video');
        video.muted = true;
        video.srcObject = new MediaStream([track]);
        document.body.replaceChildren(video);
        video.play();
        const seen = () => {
          this.frames += 1;
          this.last = Date.now();
          if (video.isConnected) video.requestVideoFrameCallback(seen);
        };
        video.requestVideoFrameCallback(seen);
      };
      await pc.setRemoteDescription({ type: 'offer', sdp });
      await pc.setLocalDescription(await pc.createAnswer());
      await new Promise((resolve) => {
        const done = () => pc.iceGatheringState === 'complete' && resolve();
        pc.onicegatheringstatechange = done;
        done();
      });
      return pc.localDescription.sdp;
    },
    async add(gen, candidate) {
      if (candidate) await this.pcs.get(gen)?.addIceCandidate(candidate);
    },
    frames: 0,
    last: 0,
  };
`;

export class ScriptedRelay {
  /** Everything that the phone said, in order. */
  heard = [];
  gen = 0;
  resume = false;
  /** Connections are refused while this is false. */
  up = true;
  /** Offers are left without an answer while this is true. */
  deaf = false;
  #socket = null;
  #page;

  /** `context` is the phone's, before its page is opened; `page` is an empty one for the receiver. */
  static async set(context, page) {
    const relay = new ScriptedRelay();
    relay.#page = page;
    await page.evaluate(receiver);
    // The server behind the page has a relay of its own, which the page would find over HTTPS.
    await context.route(/\/api\/v1\/sig/, (route) => route.abort());
    await context.routeWebSocket(/\/signal/, (socket) => {
      if (!relay.up) {
        socket.close({ code: 1001 });
        return;
      }
      relay.#socket = socket;
      socket.onMessage((text) => relay.#hear(socket, JSON.parse(text)));
    });
    return relay;
  }

  say(message) {
    this.#socket?.send(JSON.stringify(message));
  }

  cut(code = 1001) {
    this.#socket?.close({ code });
    this.#socket = null;
  }

  said(type) {
    return this.heard.filter((message) => message.type === type);
  }

  async #hear(socket, message) {
    this.heard.push(message);
    const say = (reply) => socket.send(JSON.stringify({ v: 1, ...reply }));
    switch (message.type) {
      case 'hello':
        say({
          type: 'hello',
          protos: ['camrelay.v1'],
          relay_id: '',
          nonce: 'n',
          limits: {},
          heartbeat_s: 10,
        });
        break;
      case 'join_room':
        say({
          type: 'joined_room',
          peer_id: 'p',
          peers: [],
          gen_hint: this.gen,
          ice_servers: [],
          resume: this.resume,
        });
        break;
      case 'ping':
        say({ type: 'pong' });
        break;
      case 'offer': {
        this.gen = message.gen;
        if (this.deaf) break;
        const { gen, neg } = message;
        const sdp = await this.#page.evaluate(
          ([number, offer]) => window.__receiver.answer(number, offer),
          [gen, message.sdp],
        );
        say({ type: 'answer', gen, neg, sdp });
        break;
      }
      case 'ice_candidate':
        await this.#page
          .evaluate(
            ([gen, candidate]) => window.__receiver.add(gen, candidate),
            [message.gen, message.candidate],
          )
          .catch(() => {});
        break;
      default:
    }
  }
}
