// A built page, served as Vite's proxy would: what is not its own goes on to the server.
import { existsSync, readFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';

const types = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css' };

// { url, webSockets, isDown, stop() }; webSockets false: upgrades are answered 403, as some proxies
// do; isDown: nobody gets through to the server, and goDown() ends who had.
export async function servePage(folder, server) {
  const page = { webSockets: true, isDown: false };
  const open = new Set();
  page.goDown = () => {
    page.isDown = true;
    for (const socket of open) socket.destroy();
  };
  const proxy = http.createServer((request, response) => {
    const name = new URL(request.url, 'http://x').pathname;
    const file = path.join(folder, name === '/' ? 'index.html' : name);
    if (!name.includes('..') && existsSync(file)) {
      response.writeHead(200, { 'content-type': types[path.extname(file)] ?? 'application/octet-stream' });
      response.end(readFileSync(file));
      return;
    }
    if (page.isDown) {
      response.destroy();
      return;
    }
    const onward = http.request({ host: server.host, port: server.port, path: request.url, method: request.method, headers: request.headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    onward.on('error', () => response.destroy());
    response.on('close', () => onward.destroy());
    request.pipe(onward);
  });
  proxy.on('upgrade', (request, socket, first) => {
    socket.on('error', () => {});
    open.add(socket);
    socket.on('close', () => open.delete(socket));
    if (page.isDown) {
      socket.destroy();
      return;
    }
    if (!page.webSockets) {
      socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
      return;
    }
    const onward = net.connect(server.port, server.host, () => {
      const lines = [`${request.method} ${request.url} HTTP/1.1`];
      for (let i = 0; i < request.rawHeaders.length; i += 2) lines.push(`${request.rawHeaders[i]}: ${request.rawHeaders[i + 1]}`);
      onward.write(`${lines.join('\r\n')}\r\n\r\n`);
      onward.write(first);
      onward.pipe(socket).pipe(onward);
    });
    onward.on('error', () => {});
    for (const [one, other] of [[socket, onward], [onward, socket]]) one.on('close', () => other.destroy());
  });
  await new Promise((resolve) => { proxy.listen(0, '127.0.0.1', resolve); });
  page.url = `http://127.0.0.1:${proxy.address().port}/`;
  page.stop = async () => {
    page.goDown();
    proxy.closeAllConnections();
    await new Promise((resolve) => { proxy.close(resolve); });
  };
  return page;
}
