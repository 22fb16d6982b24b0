// Waiting for the server to be where a measurement begins.

import { pause } from './load.mjs';

const PATIENCE_MS = 60_000;

/** Waits until these cameras are live. */
export async function live(server, ids) {
  const until = Date.now() + PATIENCE_MS;
  for (;;) {
    const { cameras } = await server.api('GET', '/cameras');
    const states = ids.map((id) => cameras.find((one) => one.id === id)?.state.name);
    if (states.every((state) => state === 'live')) return;
    if (Date.now() > until)
      throw new Error(`not live: ${ids.map((id, i) => `${id} ${states[i]}`)}`);
    await pause(100);
  }
}
