// What alerts tell, when and of which camera: set in the page, kept by the server.

import assert from 'node:assert/strict';
import { eventually, scene } from '../stage/scene.mjs';

scene('R-N10 alert settings are kept over a reload, or refused with a word', async (stage) => {
  const server = await stage.server();
  const first = { id: 'gate', name: 'Gate' };
  await server.api('POST', '/cameras', { ...first, url: 'rtsp://127.0.0.1:1/' });
  const wall = await stage.wall(`${server.url}/#/alerts`, { expected: [/status of 422/] });
  const { page } = wall;
  const dialog = page.getByRole('dialog', { name: 'Alert settings' });
  const open = () => page.getByRole('button', { name: 'Alert settings…' }).click();
  const settings = () => server.api('GET', '/alerts/settings');
  const kept = (what, wanted) =>
    eventually(what, async () => {
      const now = await settings();
      return Object.entries(wanted).every(([name, value]) => now[name] === value);
    });

  await open();
  const quiet = dialog.getByRole('switch', { name: 'Quiet hours' });
  assert.equal(await quiet.getAttribute('aria-checked'), 'false');
  await quiet.click();
  await kept('quiet hours begin as a night', { quiet_from: '22:00', quiet_until: '07:00' });
  await dialog.getByLabel('From').fill('21:30');
  await dialog.getByLabel('From').blur();
  await kept('they begin earlier', { quiet_from: '21:30', quiet_until: '07:00' });
  await dialog.getByLabel('Alert when a loss lasts').selectOption('60');
  await kept('a loss lasts longer', { after_seconds: 60 });
  await dialog.getByLabel('Webhook').fill('https://hooks.test/secret-path');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await dialog.getByText('Posted to hooks.test').waitFor();
  const camera = dialog.getByRole('switch', { name: first.name, exact: true });
  await camera.click();
  await eventually('it says nothing', async () => {
    return (await server.api('GET', `/cameras/${first.id}`)).alerts === false;
  });

  await page.reload();
  await open();
  await dialog.getByText('Posted to hooks.test').waitFor();
  assert.equal(await quiet.getAttribute('aria-checked'), 'true');
  assert.equal(await dialog.getByLabel('From').inputValue(), '21:30');
  assert.equal(await dialog.getByLabel('Alert when a loss lasts').inputValue(), '60');
  assert.equal(await camera.getAttribute('aria-checked'), 'false');
  assert.ok(
    !(await page.content()).includes('secret-path'),
    'the address is told by its host alone',
  );

  // What the server refuses is said where one looks, and nothing of it stays.
  await dialog.getByRole('button', { name: 'Remove' }).click();
  await kept('the webhook is gone', { webhook: null });
  await dialog.getByLabel('Webhook').fill('ftp://hooks.test/');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await dialog.getByText(/^That did not work: .*http:\/\//).waitFor();
  assert.equal((await settings()).webhook ?? null, null);
  await quiet.click();
  await eventually('no quiet hours', async () => ((await settings()).quiet_from ?? null) === null);
});
