// The phone's page in a real browser with a camera that the browser makes up, against a relay that
// the test plays: what it does when it is told, and when it is left alone.

import assert from 'node:assert/strict';
import { ScriptedRelay } from '../stage/relay.mjs';
import { eventually, scene } from '../stage/scene.mjs';

async function publishing(stage) {
  const server = await stage.server();
  const screen = await stage.blank();
  const phone = await stage.phone({ expected: [/api\/v1\/sig/, /ERR_FAILED/] });
  const relay = await ScriptedRelay.set(phone.context, screen);
  await phone.open(`${server.url}/publish?room=hall`);
  await phone.start();
  await phone.until('connected');
  const frames = () => screen.evaluate(() => window.__receiver.frames);
  /** Waits for pictures after now. */
  const moves = async (what) => {
    const before = await frames();
    await eventually(what, async () => (await frames()) > before + 5);
  };
  await moves('pictures come');
  return { phone, relay, moves };
}

scene(
  'R-P5 a phone that is told to reconnect offers anew, and its pictures go on',
  async (stage) => {
    const { phone, relay, moves } = await publishing(stage);
    const [first] = relay.said('offer');
    assert.equal(first.gen, 1);
    assert.match(first.sdp, /a=sendonly/);
    const [video] = first.sdp.split('m=video ')[1].split('\r\n');
    const [preferred] = video.split(' ').slice(2);
    assert.match(first.sdp, new RegExp(`a=rtpmap:${preferred} (H264|VP8)/90000`));

    const track = await phone.page.evaluate(() => window.__phone.probe.camera.video.id);
    relay.say({ command: 'reconnect' });
    await phone.until('connected', 2);
    await moves('pictures come after the command');
    assert.equal(relay.said('offer').at(-1).gen, 2);
    const fresh = await phone.page.evaluate(() => window.__phone.probe.camera.video.id);
    assert.notEqual(fresh, track, 'the camera was opened anew');

    // One that is about a connection of the past changes nothing.
    relay.say({ v: 1, type: 'reconnect', command: 'reconnect', mode: 'full', gen: 1 });
    await moves('pictures go on');
    assert.equal(relay.said('offer').length, 2);
  },
);

scene('R-P10 a capture that stops while the connection stays is opened again', async (stage) => {
  const { phone, relay, moves } = await publishing(stage);
  await phone.stopCapture();
  await eventually('the camera is open again', async () => {
    const { capture } = await phone.view();
    return capture === 'live';
  });
  await moves('pictures come from the new capture');
  assert.equal(relay.said('offer').length, 1, 'nothing was negotiated for it');
});

scene(
  'a link that is lost costs no picture, and a computer that forgot gets an offer',
  async (stage) => {
    const { phone, relay, moves } = await publishing(stage);
    relay.resume = true;
    relay.up = false;
    relay.cut();
    await eventually('it is noticed', async () => !(await phone.view()).linked);
    await phone.page.getByText('Looking for it…').waitFor();
    await moves('pictures come without a link');
    relay.up = true;
    await eventually('the link is back', async () => (await phone.view()).linked);
    await moves('pictures come on');
    assert.equal(relay.said('offer').length, 1);

    relay.resume = false;
    relay.cut();
    await phone.until('connected', 2);
    await moves('pictures come by the new connection');
  },
);

scene('a page that is reloaded publishes again by itself', async (stage) => {
  const { phone, moves } = await publishing(stage);
  await phone.page.reload();
  await phone.until('connected', 2);
  await moves('pictures come from the new page');
});
