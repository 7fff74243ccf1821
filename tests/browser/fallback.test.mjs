// pusher-js in Chromium behind a proxy that lets no WebSocket through, and on a healthy network.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import tls from 'node:tls';
import { after, before, test } from 'node:test';
import { apiRequest, expectIdle, freePort, limit, ownFolder, startServer, until } from '../flow/harness.mjs';
import { launchBrowser } from './chromium.mjs';

const SCRIPT = readFileSync(new URL('../../node_modules/pusher-js/dist/web/pusher.min.js', import.meta.url));
let browser;

before(async () => { browser = await launchBrowser(); });
after(() => browser?.close());

const listen = (server) => new Promise((resolve) => { server.listen(0, '127.0.0.1', () => resolve(server.address().port)); });

// A page of another origin than the server's.  Beside hosts and ports nothing is set but that it
// may do without TLS, which more replaces: undefined is pusher-js's own default.
async function startPage(t, port, more = { forceTLS: false }) {
  const options = { cluster: 'self', wsHost: '127.0.0.1', wsPort: port, wssPort: port, httpHost: '127.0.0.1', httpPort: port, httpsPort: port, ...more };
  const page = `<!doctype html><link rel="icon" href="data:,"><script src="pusher.js"></script><script>
    const from = performance.now();
    window.events = [];
    window.pusher = new Pusher('test-key', ${JSON.stringify(options)});
    pusher.connection.bind('connected', () => { window.took ??= performance.now() - from; });
    pusher.subscribe('c').bind('e', (data) => events.push(data));
  </script>`;
  const server = http.createServer((request, response) => {
    const isScript = request.url === '/pusher.js';
    response.setHeader('Content-Type', isScript ? 'text/javascript' : 'text/html');
    response.end(isScript ? SCRIPT : page);
  });
  const at = await listen(server);
  t.after(() => { server.closeAllConnections(); server.close(); });
  return `http://localhost:${at}/`;
}

// Passes everything on but the opening of WebSockets and TLS, to which block does something.
async function startProxy(t, target, block) {
  const sockets = new Set();
  let blocked = 0;
  const keep = (socket) => {
    sockets.add(socket);
    return socket.on('error', () => {}).on('close', () => sockets.delete(socket));
  };
  const proxy = net.createServer((socket) => {
    keep(socket).once('data', (first) => {
      if (first[0] === 0x16 || /^upgrade: *websocket/im.test(first.toString('latin1'))) {
        blocked++;
        block(socket);
        return;
      }
      const peer = keep(net.connect(target.port, target.host));
      peer.write(first);
      socket.on('close', () => peer.destroy()).pipe(peer);
      peer.on('close', () => socket.destroy()).pipe(socket);
    });
  });
  const port = await listen(proxy);
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    proxy.close();
  });
  return { port, blocked: () => blocked };
}

async function visit(t, url, options) {
  const context = await browser.newContext(options);
  t.after(() => context.close());
  context.setDefaultTimeout(limit(15000));
  const page = await context.newPage();
  await page.goto(url);
  return page;
}

// A server, and t.after() whose functions run before its end, the last first.
async function withServer(test, fn, set) {
  const server = await startServer({ workers: 2, set: { 'limits.rejoin_ms': 500, ...set } });
  const cleanups = [];
  try {
    await fn(server, { after: (clean) => cleanups.unshift(clean), diagnostic: (text) => test.diagnostic(text) });
    for (const clean of cleanups.splice(0)) await clean();
    await expectIdle(server);
  } finally {
    for (const clean of cleanups) await clean();
    await server.stop();
  }
}

async function expectEvents(server, page, prefix) {
  await page.waitForFunction(() => pusher.channel('c').subscribed);
  for (let i = 0; i < 10; i++) {
    const answer = await apiRequest(server, 'POST', '/apps/test-id/events', { body: { name: 'e', channel: 'c', data: `${prefix} ${i} é` } });
    assert.equal(answer.status, 200);
  }
  await page.waitForFunction(() => events.length >= 10);
  assert.deepEqual(await page.evaluate(() => events), Array.from({ length: 10 }, (_, i) => `${prefix} ${i} é`));
}

const transports = async (server) => (await server.metrics()).find('carillon_sessions').filter((s) => s.value).map((s) => s.labels.transport);

const blocks = {
  refuses: (socket) => socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'),
  drops: (socket) => socket.destroy(),
  swallows: () => {},
};
for (const [name, block] of Object.entries(blocks))
  test(`behind a proxy that ${name} the upgrade, a page connects by HTTP within seconds`, async (c) => {
    await withServer(c, async (server, t) => {
      const proxy = await startProxy(t, server, block);
      const page = await visit(t, await startPage(t, proxy.port));
      await page.waitForFunction(() => pusher.connection.state === 'connected');
      const took = await page.evaluate(() => window.took);
      t.diagnostic(`connected after ${Math.round(took)} ms`);
      assert.ok(took < limit(9000), `${took} ms`); // pusher-js waits 5 s for wss before it tries
      assert.ok(proxy.blocked() > 0);
      await until(async () => (await transports(server)).join() === 'xhr_streaming', 'a session by streaming');
      await expectEvents(server, page, name);
    });
  });

test('the same page on a healthy network uses WebSocket', async (c) => {
  await withServer(c, async (server, t) => {
    const page = await visit(t, await startPage(t, server.port));
    await page.waitForFunction(() => pusher.connection.state === 'connected');
    assert.ok(await page.evaluate(() => window.took) < limit(2000));
    assert.deepEqual(await transports(server), ['websocket']);
    await expectEvents(server, page, 'healthy');
    assert.deepEqual(await transports(server), ['websocket']);
  });
});

test('a page that goes away leaves, and one that comes back stays with what worked', async (c) => {
  await withServer(c, async (server, t) => {
    const proxy = await startProxy(t, server, blocks.refuses);
    const page = await visit(t, await startPage(t, proxy.port));
    await page.waitForFunction(() => pusher.connection.state === 'connected');
    await page.goto('about:blank');
    await until(async () => (await transports(server)).length === 0, 'the session to end');
    await page.goBack();
    await page.waitForFunction(() => pusher.connection.state === 'connected');
    await until(async () => (await transports(server)).join() === 'xhr_streaming', 'a session by streaming');
    await expectEvents(server, page, 'again');
  });
});

// A proxy that ends TLS, as a company's does, and lets no WebSocket through.
async function startTlsProxy(t, target, secure, isBlocking) {
  const sockets = new Set();
  const keep = (socket) => {
    sockets.add(socket);
    return socket.on('error', () => {}).on('close', () => sockets.delete(socket));
  };
  const proxy = tls.createServer({ ...secure, ALPNProtocols: ['http/1.1'] }, (socket) => {
    keep(socket).once('data', (first) => {
      if (isBlocking && /^upgrade: *websocket/im.test(first.toString('latin1'))) {
        blocks.refuses(socket);
        return;
      }
      const peer = keep(tls.connect({ host: target.host, port: target.tlsPort, rejectUnauthorized: false }));
      peer.write(first);
      socket.on('close', () => peer.destroy()).pipe(peer);
      peer.on('close', () => socket.destroy()).pipe(socket);
    });
  });
  const port = await listen(proxy);
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    proxy.close();
  });
  return port;
}

test('over TLS, with hosts and ports alone: WebSocket, and HTTP where that is refused', async (c) => {
  const folder = ownFolder('browser');
  const [cert, key] = ['cert.pem', 'key.pem'].map((name) => path.join(folder, name));
  const made = spawnSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2',
    '-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', cert]);
  try {
    assert.equal(made.status, 0, String(made.stderr));
    const secure = { cert: readFileSync(cert), key: readFileSync(key) };
    await withServer(c, async (server, t) => {
      for (const [isBlocking, transport] of [[false, 'websocket'], [true, 'xhr_streaming']]) {
        const port = await startTlsProxy(t, server, secure, isBlocking);
        const page = await visit(t, await startPage(t, port, {}), { ignoreHTTPSErrors: true });
        await page.waitForFunction(() => pusher.connection.state === 'connected');
        t.diagnostic(`${transport}: connected after ${Math.round(await page.evaluate(() => window.took))} ms`);
        await until(async () => (await transports(server)).join() === transport, `a session by ${transport}`);
        await expectEvents(server, page, transport);
        await page.goto('about:blank');
        await until(async () => (await transports(server)).length === 0, 'the session to end');
      }
    }, { 'tls.cert': cert, 'tls.key': key, 'tls.port': await freePort() });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
