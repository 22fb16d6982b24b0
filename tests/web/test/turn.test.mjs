// Phones that no direct way reaches: everything goes through coturn.

import assert from 'node:assert/strict';
import { appendFileSync } from 'node:fs';
import { startFrontage } from '../stage/frontage.mjs';
import { eventually, scene } from '../stage/scene.mjs';
import { hasTurn, startTurn } from '../stage/turn.mjs';

/** In a page, before its own scripts: no candidates but those of a TURN server. */
const relayed = () => {
  const Real = window.RTCPeerConnection;
  window.__pcs = [];
  window.RTCPeerConnection = class extends Real {
    constructor(configuration) {
      super({ ...configuration, iceTransportPolicy: 'relay' });
      window.__pcs.push(this);
    }
    setConfiguration(configuration) {
      super.setConfiguration({ ...configuration, iceTransportPolicy: 'relay' });
    }
  };
};

/** Type of our end of the way in use. */
const way = (page) =>
  page.evaluate(async () => {
    const stats = [...(await window.__pcs.at(-1).getStats()).values()];
    const pair = stats.find((one) => one.type === 'candidate-pair' && one.nominated);
    return stats.find((one) => one.id === pair?.localCandidateId)?.candidateType ?? null;
  });

function lacking() {
  if (hasTurn()) return false;
  const words = 'TURN: coturn is not installed\n';
  process.stdout.write(words);
  if (process.env.NIGHTJAR_LACKING) appendFileSync(process.env.NIGHTJAR_LACKING, words);
  return true;
}

if (!lacking()) {
  scene('A21 credentials that ran out open nothing', async (stage) => {
    const turn = await startTurn();
    stage.later(() => turn.stop());
    const page = await stage.blank();
    /** What a browser gathers with these, and the errors it meets. */
    const gather = (seconds) =>
      page.evaluate(
        async (server) => {
          const connection = new RTCPeerConnection({
            iceServers: [server],
            iceTransportPolicy: 'relay',
          });
          const [candidates, errors] = [[], []];
          const done = new Promise((resolve) => {
            connection.onicecandidate = ({ candidate }) =>
              candidate?.candidate ? candidates.push(candidate.type) : resolve();
          });
          connection.onicecandidateerror = ({ errorCode }) => errors.push(errorCode);
          connection.addTransceiver('video');
          await connection.setLocalDescription();
          await done;
          connection.close();
          return { candidates, errors };
        },
        { urls: [turn.url], ...turn.credential(seconds) },
      );
    assert.ok((await gather(600)).candidates.includes('relay'), turn.log);
    const { candidates, errors } = await gather(-1);
    assert.deepEqual(candidates, []);
    assert.ok(errors.includes(401), String(errors));
  });

  scene('R-S3 a phone that only a TURN server reaches is on the wall', async (stage) => {
    const turn = await startTurn();
    stage.later(() => turn.stop());
    const { username, credential } = turn.credential(600);
    const server = await stage.server({
      config: `[signaling]\nlegacy_join = true\nlisten = "127.0.0.1:0"\n[webrtc]\nice_servers = [{ urls = ["${turn.url}"], username = "${username}", credential = "${credential}" }]\n`,
    });
    const wall = await stage.wall(server.url, { expected: [/status of 503/] });
    const phone = await stage.phone();
    await phone.context.addInitScript(relayed);
    await phone.open(`${server.url}/publish?room=hall`);
    await phone.start();
    await phone.until('connected');
    assert.equal(await way(phone.page), 'relay');
    await wall.until('it is shown', () => window.__eye?.tile('hall')?.state === 'playing');
    await wall.page.evaluate(() => window.__eye.watch('hall'));
    await wall.more('hall', 20);
    // It is reborn the same way.
    const { gen } = await phone.view();
    await server.api('POST', '/cameras/hall/retry');
    await phone.until('connected', gen + 1);
    await wall.more('hall', 20);
    assert.equal(await way(phone.page), 'relay');
    const metrics = await eventually('the server was measured', async () => {
      const text = await (await fetch(`${server.url}/metrics`)).text();
      return /^nightjar_ice_server_seconds\{.*\} [\d.e-]+$/m.exec(text)?.[0];
    });
    console.log(metrics);
  });

  scene(
    'R-S3 the relay alone brings a phone and its viewer together over TURN, for ten minutes',
    async (stage) => {
      const turn = await startTurn();
      stage.later(() => turn.stop());
      const relay = await stage.relay(['--turn', turn.url, '--turn-secret', turn.secret]);
      const front = await startFrontage(relay.url);
      stage.later(() => front.stop());
      // Who watches: the older messages, in an empty page.
      const screen = await stage.phone();
      await screen.context.addInitScript(relayed);
      await screen.open(`${front.url}/blank`);
      await screen.page.evaluate(() => {
        const socket = new WebSocket(`${location.origin.replace('http', 'ws')}/signal`);
        const say = (message) => socket.send(JSON.stringify(message));
        window.__seen = 0;
        let connection = null;
        let early = [];
        const take = {
          joined_room: ({ ice_servers }) => {
            window.__servers = ice_servers;
          },
          offer: async ({ gen, neg, from, sdp }) => {
            connection = new RTCPeerConnection({ iceServers: window.__servers });
            connection.onicecandidate = ({ candidate }) =>
              say({ v: 1, type: 'ice_candidate', gen, to: from, candidate });
            connection.ontrack = ({ track }) => {
              if (track.kind !== 'video') return;
              const video = document.createElement('video');
              Object.assign(video, { muted: true, autoplay: true });
              video.srcObject = new MediaStream([track]);
              document.body.append(video);
              const seen = () => {
                window.__seen += 1;
                video.requestVideoFrameCallback(seen);
              };
              video.requestVideoFrameCallback(seen);
            };
            await connection.setRemoteDescription({ type: 'offer', sdp });
            for (const one of early) await connection.addIceCandidate(one);
            early = [];
            await connection.setLocalDescription();
            const answer = connection.localDescription.sdp;
            say({ v: 1, type: 'answer', gen, neg, to: from, sdp: answer });
          },
          ice_candidate: async ({ candidate }) => {
            if (!candidate) return;
            if (connection?.remoteDescription) await connection.addIceCandidate(candidate);
            else early.push(candidate);
          },
        };
        socket.onmessage = ({ data }) => {
          const message = JSON.parse(data);
          take[message.type]?.(message);
        };
        socket.onopen = () => say({ v: 1, type: 'join_room', room: 'hall', role: 'viewer' });
      });
      const [given] = await eventually('it is told of the TURN server', () =>
        screen.page.evaluate(() => window.__servers),
      );
      const left = Number(given.username.split(':')[0]) - Date.now() / 1000;
      assert.ok(left > 0 && left <= 600, `good for ${left} s`);

      const phone = await stage.phone();
      await phone.context.addInitScript(relayed);
      await phone.open(`${front.url}/publish?room=hall`);
      await phone.start();
      await phone.until('connected');
      await eventually('pictures come', () => screen.page.evaluate(() => window.__seen > 20));
      assert.equal(await way(phone.page), 'relay');
      assert.equal(await way(screen.page), 'relay');
    },
  );
}
