// coturn as people run it: long-term credentials of the REST form, UDP, on an address of this machine.

import { spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { accessSync, constants } from 'node:fs';
import { createServer } from 'node:net';
import { networkInterfaces } from 'node:os';

const PROGRAM = '/usr/bin/turnserver';
const SECRET = 'north star';
const START_MS = 10_000;

export function hasTurn() {
  try {
    accessSync(PROGRAM, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Browsers make no candidates of loopback where there is another network. */
function address() {
  const all = Object.values(networkInterfaces()).flat();
  return all.find((one) => one.family === 'IPv4' && !one.internal)?.address ?? '127.0.0.1';
}

async function freePort() {
  const probe = createServer();
  await new Promise((resolve) => probe.listen(0, resolve));
  const { port } = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

export async function startTurn() {
  const [ip, port] = [address(), await freePort()];
  const args = [
    ...['-n', '--no-cli', '--no-tls', '--no-dtls', '--no-multicast-peers', '--log-file=stdout'],
    ...['--pidfile=/dev/null', '--realm=nightjar', '--use-auth-secret', '--allow-loopback-peers'],
    `--static-auth-secret=${SECRET}`,
    ...[`--listening-ip=${ip}`, `--relay-ip=${ip}`, `--listening-port=${port}`, '--verbose'],
  ];
  const child = spawn(PROGRAM, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const log = [];
  const ready = new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error(`coturn: ${log.join('')}`)), START_MS).unref();
    const hear = (text) => {
      log.push(text);
      if (/(UDP|UDP\/TCP) listener opened on|IPv4\. .* listener/.test(String(text))) resolve();
    };
    child.stdout.on('data', hear);
    child.stderr.on('data', hear);
    child.on('exit', (code) => reject(new Error(`coturn ended with ${code}: ${log.join('')}`)));
  });
  await ready;
  return {
    url: `turn:${ip}:${port}?transport=udp`,
    secret: SECRET,
    /** A name and a password that are good for so many seconds. */
    credential(seconds, name = 'desk') {
      const username = `${Math.floor(Date.now() / 1000) + seconds}:${name}`;
      const mac = createHmac('sha1', SECRET).update(username).digest('base64');
      return { username, credential: mac };
    },
    get log() {
      return log.join('');
    },
    async stop() {
      const ended = new Promise((resolve) => child.on('exit', resolve));
      child.kill('SIGKILL');
      await ended;
    },
  };
}
