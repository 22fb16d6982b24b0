// A wall that is locked by a token.

import assert from 'node:assert/strict';
import { scene } from '../stage/scene.mjs';

const TOKEN = 'correct-horse-battery-staple-7';

scene('a wall with a token asks for it once, then plays over a cookie', async (stage) => {
  const server = await stage.server({ config: `[server]\ntoken = "${TOKEN}"\n`, demo: 1 });
  // The browser itself notes each refusal.
  const wall = await stage.wall(server.url, { expected: [/status of 401/, /WebSocket.*failed/] });
  const { page } = wall;
  await page.getByText('This wall is locked.').waitFor();
  assert.match(page.url(), /#\/login$/);

  await page.getByLabel('Token').fill('not-this-one-but-as-long-as-it');
  await page.getByRole('button', { name: 'Open the wall' }).click();
  await page.getByText('That token is not right.').waitFor();

  await page.getByLabel('Token').fill(TOKEN);
  await page.getByRole('button', { name: 'Open the wall' }).click();
  const auth = { Authorization: `Bearer ${TOKEN}` };
  const { cameras } = await server.api('GET', '/cameras', undefined, auth);
  await wall.playing(cameras[0].id);

  const cookies = await wall.context.cookies();
  assert.equal(cookies.length, 1);
  assert.equal(cookies[0].httpOnly, true);
  assert.equal(cookies[0].sameSite, 'Strict');
  assert.ok(!cookies[0].value.includes(TOKEN), 'the cookie is not the token');
  await page.reload();
  await wall.playing(cameras[0].id);
  assert.ok(!server.log.join('\n').includes(TOKEN), 'no token in the log');
});
