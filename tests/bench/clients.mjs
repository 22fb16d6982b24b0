// A process of many clients, viewers or phones, that tells its totals when it is asked.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { built } from '../web/stage/programs.mjs';

/** A process of many clients; `ask` gives its totals. */
export async function clients(name, args) {
  const child = spawn(built(name), args.map(String), { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`${name} has ended`);
    return JSON.parse(value);
  };
  const ended = new Promise((resolve) => child.on('exit', resolve));
  await next();
  return {
    ask() {
      child.stdin.write('\n');
      return next();
    },
    async end() {
      child.stdin.end();
      const code = await ended;
      if (code !== 0) throw new Error(`${name} ended with ${code}`);
    },
  };
}
