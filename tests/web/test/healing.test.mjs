// Cameras that fail and come back while somebody looks.

import assert from 'node:assert/strict';
import { behind, longestGap, strayed } from '../stage/browser.mjs';
import { eventually, scene } from '../stage/scene.mjs';

scene('a camera that freezes, dies and returns moves again without a reload', async (stage) => {
  const server = await stage.server();
  const [gate, yard] = await Promise.all([stage.camera(), stage.camera({ sound: 'pcmu' })]);
  await server.api('POST', '/cameras', { id: 'gate', name: 'Gate', url: gate.url });
  await server.api('POST', '/cameras', { id: 'yard', name: 'Yard', url: yard.url });
  const wall = await stage.wall(server.url);
  await wall.playing('gate');
  await wall.playing('yard');
  const mark = await wall.page.evaluate(() => {
    window.sameDocument = crypto.randomUUID();
    return window.sameDocument;
  });
  const untouched = (await wall.frames('yard')).length;

  // Frozen: the connection stays, nothing comes. Nothing is torn down.
  gate.freeze();
  const stopped = Date.now();
  const words = wall.tile('gate').getByText(/^No picture for \d+ s$/);
  await words.waitFor();
  const told = Number.parseInt((await words.textContent()).replace(/\D+/, ''), 10);
  const passed = (Date.now() - stopped) / 1000;
  assert.ok(told <= passed + 0.5, `${told} s without a picture after ${passed} s`);
  assert.equal(await wall.tile('gate').getAttribute('data-state'), 'stalled');
  gate.thaw();
  await wall.tile('gate').and(wall.page.locator('[data-state="live"]')).waitFor();
  await wall.more('gate', 10);

  // Dead: the last picture stays, dimmed, with its time and what is being done.
  const last = (await wall.frames('gate')).at(-1).number;
  await gate.kill();
  const killed = Date.now();
  await wall.tile('gate').and(wall.page.locator('[data-state="reconnecting"]')).waitFor();
  await wall
    .tile('gate')
    .getByText(/^Trying again/)
    .waitFor();
  const of = async (pattern) => {
    const text = await wall.tile('gate').getByText(pattern).textContent();
    const [, hours, minutes, seconds] = /(\d\d):(\d\d):(\d\d)/.exec(text).map(Number);
    return new Date(killed).setHours(hours, minutes, seconds, 0);
  };
  const since = await of(/^No picture since \d/);
  assert.ok(Math.abs(killed - since) < 2000, `no picture since ${since}, killed at ${killed}`);
  const taken = await of(/^Picture of \d/);
  assert.ok(taken <= since && since - taken < 2000, `the picture is of ${taken}, gone at ${since}`);
  const kept = await wall.page.evaluate(() => window.__eye.shown('gate'));
  assert.notEqual(kept, null, 'the last picture stays');
  const onward = (kept - last + 200) % 200;
  assert.ok(onward < 100, `the kept picture ${kept} is not older than the last one seen ${last}`);
  const dimmed = await wall
    .tile('gate')
    .locator('.picture')
    .evaluate((node) => {
      return getComputedStyle(node).filter;
    });
  assert.match(dimmed, /brightness\(0\.32\)/);

  // Back on the same port: it moves by itself.
  const shown = (await wall.frames('gate')).length;
  await stage.camera({ port: gate.port });
  await wall.until(
    'the gate moves again',
    (before) => window.__eye.frames('gate').length >= before + 10,
    shown,
  );
  await wall.tile('gate').and(wall.page.locator('[data-viewer="playing"]')).waitFor();
  await wall
    .tile('gate')
    .getByText(/^Picture of /)
    .waitFor({ state: 'detached' });
  assert.equal(await wall.page.evaluate(() => window.sameDocument), mark, 'no reload');

  // The other one never noticed.
  const others = await wall.frames('yard', untouched);
  assert.ok(strayed(others) < 1000, `off by ${strayed(others)} ms`);
  const gap = longestGap(others);
  assert.ok(gap < 1500, `the yard stood still for ${Math.round(gap)} ms`);
  assert.equal((await wall.report('yard')).redials, 0);
});

scene('R-K2 viewers keep their connection while the camera is away for 10 s', async (stage) => {
  const server = await stage.server();
  const clip = 'builtin:living-room';
  const gate = await stage.camera({ clip });
  await server.api('POST', '/cameras', { id: 'gate', name: 'Gate', url: gate.url });
  const walls = {
    webrtc: await stage.wall(server.url),
    mse: await stage.wall(server.url, { without: ['webrtc'] }),
  };
  for (const [transport, wall] of Object.entries(walls)) await wall.playing('gate', transport);
  const state = (name) =>
    eventually(name, async () => (await server.api('GET', '/cameras/gate')).state.name === name);

  gate.freeze();
  const from = Date.now();
  await state('stalled');
  await state('reconnecting');
  // Longer than a picture that stands is waited for where the camera is well.
  await new Promise((resolve) => setTimeout(resolve, 10_000 - (Date.now() - from)));
  await gate.kill();
  const again = await stage.camera({ clip, port: gate.port });

  for (const [transport, wall] of Object.entries(walls)) {
    const frames = (await wall.more('gate', 40)).filter((frame) => frame.number !== null);
    const seen = (await wall.frames('gate')).filter(
      (frame) => frame.at > again.schedule.first && frame.number !== null,
    );
    const late = behind(again.schedule, seen[0]);
    assert.ok(late < 1000, `${transport}: the first picture came ${Math.round(late)} ms late`);
    assert.ok(new Set(frames.map((frame) => frame.number)).size > 30, `${transport}: it moves`);
    assert.equal(frames.at(-1).dialled, 1, `${transport}: one connection`);
    assert.equal((await wall.report('gate')).redials, 0, `${transport}: no redial`);
  }
});

scene('a wrong password is refused with its remedy, and plays once it is right', async (stage) => {
  const server = await stage.server();
  const source = await stage.camera({ user: 'viewer', password: 'right-one' });
  const wrong = { username: 'viewer', password: 'wrong-one' };
  await server.api('POST', '/cameras', { id: 'cam', name: 'Gate', url: source.url, ...wrong });
  // Asked with the stored password, the camera refuses once more.
  const wall = await stage.wall(server.url, { expected: [/status of 502.*\/cameras\/probe$/] });
  await wall.tile('cam').getByText('Wrong user name or password').waitFor();
  await wall
    .tile('cam')
    .getByText(/some cameras lock/)
    .waitFor();
  assert.equal(await wall.tile('cam').getAttribute('data-state'), 'refused');

  await wall.tile('cam').getByRole('button', { name: 'Edit' }).click();
  const password = wall.page.getByLabel('Password', { exact: true });
  await password.fill('right-one');
  await password.press('Enter');
  await wall.page.getByText('The camera answers').waitFor();
  await wall.page.getByRole('button', { name: 'Save' }).click();
  await wall.page.getByRole('heading', { name: 'Cameras' }).waitFor();
  await wall.page.getByRole('link', { name: 'Wall' }).click();
  await wall.playing('cam');

  const told = JSON.stringify(await server.api('GET', '/cameras')) + server.log.join('\n');
  assert.ok(!/right-one|wrong-one/.test(told), 'no password in the interface or the log');
  await eventually('live', async () => {
    const { state } = await server.api('GET', '/cameras/cam');
    return state.name === 'live';
  });
});
