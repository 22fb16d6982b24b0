// Chromium with its fake camera as a phone, and the wall that watches it.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually, scene } from '../stage/scene.mjs';

/** In the page: publishing by WHIP, watching by WHEP, and a note of when each picture came. */
const peers = () => {
  const exchange = async (connection, path) => {
    await connection.setLocalDescription();
    const answer = await fetch(path, {
      method: 'POST',
      headers: { 'content-type': 'application/sdp' },
      body: connection.localDescription.sdp,
    });
    if (answer.status !== 201) throw new Error(`${answer.status} ${await answer.text()}`);
    await connection.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
    return answer.headers.get('location');
  };
  const until = async (what, patience = 20_000) => {
    const end = performance.now() + patience;
    while (performance.now() < end) {
      const found = await what();
      if (found) return found;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    throw new Error(`not within ${patience} ms: ${what}`);
  };
  window.phone = {
    until,
    async publish(room, codec) {
      this.stream ??= await navigator.mediaDevices.getUserMedia({
        video: { width: 640, height: 480, frameRate: 20 },
        audio: true,
      });
      const connection = new RTCPeerConnection();
      for (const track of this.stream.getTracks()) {
        const transceiver = connection.addTransceiver(track, { direction: 'sendonly' });
        if (track.kind !== 'video') continue;
        const { codecs } = RTCRtpSender.getCapabilities('video');
        const mine = codecs.filter((one) => one.mimeType.toLowerCase() === `video/${codec}`);
        transceiver.setCodecPreferences([
          ...mine,
          ...codecs.filter((one) => /rtx/.test(one.mimeType)),
        ]);
      }
      const began = performance.now();
      const location = await exchange(connection, `/api/v1/whip/${room}`);
      return Object.assign(connection, { began, location });
    },
    async watch(room) {
      const connection = new RTCPeerConnection();
      const video = document.createElement('video');
      Object.assign(video, { muted: true, autoplay: true, srcObject: new MediaStream() });
      document.body.append(video);
      const shown = [];
      const note = () => {
        shown.push(performance.now());
        video.requestVideoFrameCallback(note);
      };
      video.requestVideoFrameCallback(note);
      connection.ontrack = ({ track }) => video.srcObject.addTrack(track);
      for (const kind of ['video', 'audio'])
        connection.addTransceiver(kind, { direction: 'recvonly' });
      const began = performance.now();
      await exchange(connection, `/api/v1/cameras/${room}/whep`);
      return Object.assign(connection, { began, shown, video });
    },
  };
};

for (const codec of ['h264', 'vp8', 'vp9', 'av1']) {
  scene(
    `R-P1 a phone that sends ${codec} is watched, and its viewer stays through its rebirth`,
    async (stage) => {
      const server = await stage.server();
      // The camera is not there before and after; the browser notes that by itself.
      const wall = await stage.wall(server.url, { expected: [/404.*\/cameras\/hand/] });
      await wall.page.evaluate(peers);
      const seen = await wall.page.evaluate(async (name) => {
        const { phone } = window;
        const first = await phone.publish('hand', name);
        const camera = async () => (await fetch('/api/v1/cameras/hand')).json();
        await phone.until(async () => (await camera()).state?.name === 'live');
        const live = performance.now() - first.began;
        const viewer = await phone.watch('hand');
        await phone.until(() => viewer.shown.length >= 20);
        // Everything anew, as a phone does that is told to.
        first.close();
        const again = await phone.publish('hand', name);
        const back = await phone.until(() => viewer.shown.find((at) => at > again.began + 100));
        const count = viewer.shown.length;
        await phone.until(() => viewer.shown.length >= count + 20);
        const stats = [...(await viewer.getStats()).values()];
        const video = stats.find((one) => one.type === 'inbound-rtp' && one.kind === 'video');
        const audio = stats.find((one) => one.type === 'inbound-rtp' && one.kind === 'audio');
        const gone = await fetch(again.location, { method: 'DELETE' });
        return {
          live: Math.round(live),
          firstFrame: Math.round(viewer.shown[0] - viewer.began),
          rebirth: Math.round(back - again.began),
          state: viewer.connectionState,
          lost: video.packetsLost,
          sound: audio?.packetsReceived ?? 0,
          size: [viewer.video.videoWidth, viewer.video.videoHeight],
          gone: gone.status,
        };
      }, codec);
      console.log(`phone ${codec}: ${JSON.stringify(seen)}`);
      assert.equal(seen.state, 'connected');
      assert.deepEqual(seen.size, [640, 480]);
      assert.equal(seen.gone, 200);
      assert.ok(seen.sound > 20, 'sound goes along');
      // The goals are half a second; this machine does other work too.
      assert.ok(seen.firstFrame < 4000 && seen.rebirth < 4000, JSON.stringify(seen));
      await eventually('the camera goes with its publisher', async () => {
        const { cameras } = await server.api('GET', '/cameras');
        return cameras.length === 0;
      });
    },
  );
}

for (const codec of ['h264', 'vp9', 'av1']) {
  scene(`R-M5 without WebRTC a phone that sends ${codec} plays by MSE`, async (stage) => {
    const server = await stage.server();
    const hand = await stage.wall(server.url);
    await hand.page.evaluate(peers);
    await hand.page.evaluate(async (name) => {
      window.kept = await window.phone.publish('hand', name);
    }, codec);
    const wall = await stage.wall(server.url, { without: ['webrtc'] });
    await eventually('the wall plays it', async () => {
      const report = await wall.report('hand');
      return report?.transport === 'mse' && report.frames >= 40;
    });
  });
}

for (const codec of ['vp8', 'vp9', 'av1']) {
  scene(`R-N4 what a phone sends in ${codec} is a film that others can play`, async (stage) => {
    const server = await stage.server();
    const hand = await stage.wall(server.url, { expected: [/404/] });
    await hand.page.evaluate(peers);
    await hand.page.evaluate(async (name) => {
      window.kept = await window.phone.publish('hand', name);
    }, codec);
    const recorded = async () => (await server.api('GET', '/recordings?camera=hand')).segments;
    await eventually('it is recorded', async () => (await recorded()).length > 0);
    const frames = async () => {
      const { cameras } = await server.api('GET', '/cameras');
      return cameras.find(({ id }) => id === 'hand').stats.frames;
    };
    // What arrived before the file began may not be in it.
    const began = await frames();
    await eventually('it films', async () => (await frames()) >= began + 50, 60_000);
    await hand.page.evaluate(() => window.kept.close());
    const sealed = async () => (await recorded()).find(({ state }) => state === 'sealed');
    await server.api('POST', '/cameras/hand/recording', { on: false });
    const { id } = await eventually('the file is sealed', sealed);
    const file = await fetch(`${server.url}/api/v1/recordings/${id}.mp4`);
    const path = join(mkdtempSync(join(tmpdir(), 'nightjar-film-')), 'film');
    writeFileSync(path, Buffer.from(await file.arrayBuffer()));
    const asked = ['-v', 'error', '-count_frames', '-show_streams', '-of', 'json', path];
    const { streams } = JSON.parse(execFileSync('ffprobe', asked, { encoding: 'utf8' }));
    const video = streams.find(({ codec_type }) => codec_type === 'video');
    assert.equal(video.codec_name, codec);
    assert.deepEqual([video.width, video.height], [640, 480]);
    assert.ok(Number(video.nb_read_frames) >= 40, `${video.nb_read_frames} pictures`);
    assert.equal(streams.find(({ codec_type }) => codec_type === 'audio').codec_name, 'opus');
  });
}
