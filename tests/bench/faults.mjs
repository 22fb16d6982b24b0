// The faults of phones, in namespaces of their own; the table is a report of its own.

import { join } from 'node:path';
import { ask, root, run } from '../../scripts/machine.mjs';

const SPACES = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];

export async function faults({ quick }) {
  const user = process.getuid() === 0 ? [] : ['--user', '--map-root-user'];
  const spaces = [...user, ...SPACES];
  if (ask('unshare', [...spaces, 'true']) === null) {
    throw new Error('no namespaces can be made here');
  }
  const out = join(root, 'bench', ...(quick ? ['out'] : []));
  const flags = typeof WebSocket === 'undefined' ? ['--experimental-websocket'] : [];
  const program = join(root, 'tests', 'bench', 'phone-faults.mjs');
  const more = ['--runs', quick ? '4' : '10', '--phones', quick ? '2' : '5', '--out', out];
  const play = [process.execPath, ...flags, program, ...more];
  const code = await run('unshare', [...spaces, ...play]);
  if (code !== 0) throw new Error(`the faults of phones ended with ${code}`);
  return [];
}
