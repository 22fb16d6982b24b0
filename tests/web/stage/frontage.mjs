// What stands before a relay that is alone: the phone's page, an empty one, and signaling passed through.

import { createReadStream, existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { extname, join, normalize } from 'node:path';
import { root } from './programs.mjs';

const KINDS = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css' };
const dist = join(root, 'mobile', 'web', 'dist');

export async function startFrontage(relay) {
  const { host } = new URL(relay);
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, relay);
    if (pathname === '/blank') {
      response
        .writeHead(200, { 'Content-Type': 'text/html' })
        .end('<!doctype html><link rel="icon" href="data:,">');
      return;
    }
    const inner = pathname.replace(/^\/publish\/?/, '/');
    const path = join(dist, normalize(inner === '/' ? 'index.html' : inner));
    if (!path.startsWith(dist) || !existsSync(path)) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { 'Content-Type': KINDS[extname(path)] ?? 'image/svg+xml' });
    createReadStream(path).pipe(response);
  });
  server.on('upgrade', (request, socket, head) => {
    const upstream = connect(Number(host.split(':')[1]), host.split(':')[0]);
    const headers = { ...request.headers, host, origin: `http://${host}` };
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    upstream.write(`GET ${request.url} HTTP/1.1\r\n${lines.join('')}\r\n`);
    if (head.length > 0) upstream.write(head);
    upstream.pipe(socket);
    socket.pipe(upstream);
    for (const [one, other] of [
      [upstream, socket],
      [socket, upstream],
    ]) {
      one.on('error', () => other.destroy());
      one.on('close', () => other.destroy());
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
