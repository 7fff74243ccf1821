// SIGTERM and SIGINT: draining, its pace, its end; and what the service manager is told.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { defaultApp, limit, ownFolder, rawSocket, rawSubscribe, startServer, until } from './harness.mjs';
import { exchange, httpSocket, requestText, signedText } from './http.mjs';

async function ended(server, ms = 10000) {
  await until(() => server.status, 'the end of the server', ms);
  return server.status;
}

describe('stop', () => {
  for (const signal of ['SIGTERM', 'SIGINT']) {
    test(`${signal} with nobody connected ends within 100 ms, with status 0`, async () => {
      // The machine may be busy: the best of three counts.
      let best = Infinity;
      for (let i = 0; i < 3; i++) {
        const server = await startServer({ workers: 2 });
        const from = performance.now();
        server.signal(signal);
        assert.deepEqual(await ended(server), { code: 0, signal: null });
        best = Math.min(best, performance.now() - from);
        await server.stop();
        assert.equal(server.logged('draining').length, 1);
        assert.equal(server.logged('stopped').length, 1);
      }
      assert.ok(best < limit(150), `${best} ms`);
    });
  }

  test('every connection gets 4200 and its reason, a few are sent away at once', async () => {
    const server = await startServer({ workers: 2 });
    const sockets = [];
    for (let i = 0; i < 10; i++) sockets.push(await rawSocket(server));
    const from = performance.now();
    server.signal('SIGTERM');
    for (const socket of sockets) await socket.expectClose(4200, 'Server shutting down');
    assert.deepEqual(await ended(server), { code: 0, signal: null });
    assert.ok(performance.now() - from < limit(3000));
    await server.stop();
  });

  // Stops a server with n connections; answers when each was closed, in milliseconds from then.
  async function closings(n) {
    const server = await startServer({ workers: 2 });
    const sockets = [];
    for (let i = 0; i < n; i += 50)
      sockets.push(...await Promise.all(Array.from({ length: 50 }, () => rawSocket(server))));
    const times = [];
    const from = performance.now();
    for (const socket of sockets) socket.socket.once('close', () => times.push(performance.now() - from));
    server.signal('SIGTERM');
    await until(() => times.length === n, 'every connection to be closed', 30000);
    assert.deepEqual(await ended(server), { code: 0, signal: null });
    for (const socket of sockets) assert.equal(socket.closed.code, 4200);
    await server.stop();
    return times;
  }

  test('2,000 connections are closed over about two seconds, not at once', async (t) => {
    const n = 2000;
    let isLinear = false;
    // The machine may be busy with something else: the best of three counts.
    for (let i = 0; i < 3 && !isLinear; i++) {
      const times = await closings(n);
      const end = times.at(-1);
      t.diagnostic(`quarters at ${[0.25, 0.5, 0.75, 1].map((q) => times[Math.ceil(n * q) - 1].toFixed(0)).join(', ')} ms`);
      assert.ok(end >= 1000 && end <= limit(8000), `${end} ms`);
      isLinear = times[n / 2] > end * 0.25 && times[n / 2] < end * 0.75;
    }
    assert.ok(isLinear, 'half are closed after half of the time, about');
  });

  test('the window bounds it', async () => {
    const server = await startServer({ set: { 'drain.window_ms': '200' } });
    const sockets = await Promise.all(Array.from({ length: 500 }, () => rawSocket(server)));
    const from = performance.now();
    server.signal('SIGTERM');
    for (const socket of sockets) await socket.expectClose(4200);
    await ended(server);
    assert.ok(performance.now() - from < limit(3000));
    await server.stop();
  });

  test('while it drains: /ready is 503, answers end their connection, and who is there is still served', async () => {
    const server = await startServer({ set: { 'drain.delay_ms': '1500' } });
    const keepAlive = await httpSocket(server);
    await keepAlive.expectAlive();
    const other = await httpSocket(server);
    await other.expectAlive();
    const socket = await rawSocket(server);
    await rawSubscribe(socket, 'c');
    server.signal('SIGTERM');
    await until(async () => (await exchange(server, requestText('GET', '/ready'))).status === 503, '/ready to be 503');
    assert.equal((await exchange(server, requestText('GET', '/ready'))).text, 'draining\n');
    assert.equal((await exchange(server, requestText('GET', '/health'))).status, 200);
    // New connections still come during the delay, until a balancer has noticed.
    const late = await rawSocket(server);
    keepAlive.write(signedText(defaultApp, 'POST', '/apps/test-id/events', { body: { name: 'e', data: 'in drain', channel: 'c' } }));
    const answer = await keepAlive.response();
    assert.equal(answer.text, '{}');
    assert.equal(answer.headers.connection, 'close');
    await keepAlive.expectEnd();
    await socket.expectText('{"event":"e","channel":"c","data":"in drain"}');
    await socket.expectClose(4200);
    await late.expectClose(4200);
    await other.expectEnd();
    assert.deepEqual(await ended(server), { code: 0, signal: null });
    await server.stop();
  });

  test('a request in flight is finished', async () => {
    const server = await startServer({ workers: 2 });
    const http = await httpSocket(server);
    const text = signedText(defaultApp, 'POST', '/apps/test-id/events', { body: { name: 'e', data: 'd', channel: 'c' } });
    http.write(text.slice(0, -10));
    // The server has read it when a later connection is answered.
    await exchange(server, requestText('GET', '/health'));
    server.signal('SIGTERM');
    await until(() => server.logged('draining').length, 'event=draining');
    http.write(text.slice(-10));
    const answer = await http.response();
    assert.equal(answer.text, '{}');
    assert.equal(answer.headers.connection, 'close');
    assert.deepEqual(await ended(server), { code: 0, signal: null });
    await server.stop();
  });

  test('clients that do not answer the close do not hold it up', async () => {
    const server = await startServer({});
    const sockets = [];
    for (let i = 0; i < 5; i++) {
      const socket = await rawSocket(server);
      socket.answersClose = false;
      socket.socket.pause();
      sockets.push(socket);
    }
    const hung = await httpSocket(server);
    hung.write('GET / HT');
    server.signal('SIGTERM');
    assert.deepEqual(await ended(server, 10000), { code: 0, signal: null });
    for (const socket of sockets) socket.destroy();
    hung.destroy();
    await server.stop();
  });

  test('a second signal ends it at once', async () => {
    for (const set of [{ 'drain.delay_ms': '60000' }, { 'drain.window_ms': '60000' }]) {
      const server = await startServer({ set });
      const sockets = await Promise.all(Array.from({ length: set['drain.window_ms'] ? 1000 : 1 }, () => rawSocket(server)));
      server.signal('SIGTERM');
      await until(async () => server.logged('draining').length || set['drain.delay_ms'], 'event=draining');
      if (set['drain.delay_ms']) await until(async () => (await exchange(server, requestText('GET', '/ready'))).status === 503, '/ready to be 503');
      const from = performance.now();
      server.signal('SIGINT');
      await ended(server);
      assert.ok(performance.now() - from < limit(1000));
      assert.ok(server.status.code !== null || server.status.signal !== null);
      for (const socket of sockets) socket.destroy();
      assert.doesNotMatch(server.log(), /this is a bug|Sanitizer/);
    }
  });

  test('no new connection is taken once the listeners are closed', async () => {
    const server = await startServer({ workers: 2, set: { 'drain.window_ms': '3000' } });
    const sockets = await Promise.all(Array.from({ length: 1500 }, () => rawSocket(server)));
    server.signal('SIGTERM');
    await until(() => server.logged('draining').length, 'event=draining');
    await until(async () => {
      try {
        const http = await httpSocket(server);
        const refused = http.closed;
        http.destroy();
        return refused;
      } catch {
        return true;
      }
    }, 'a connection to be refused');
    assert.equal(server.status, undefined, 'it still drains');
    for (const socket of sockets) await socket.expectClose(4200, undefined, 15000);
    await ended(server);
    await server.stop();
  });
});

// A datagram socket that prints what comes, since Node has none of that kind.
function listen(where) {
  const script = '$s = socket_create(AF_UNIX, SOCK_DGRAM, 0); socket_bind($s, $argv[1]); echo "bound\\n"; while (socket_recv($s, $text, 4096, 0) !== false) echo $text, "\\n";';
  const child = spawn('php', ['-r', script, '--', where], { stdio: ['ignore', 'pipe', 'pipe'] });
  const listener = { lines: [], child, error: '' };
  let rest = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop();
    listener.lines.push(...lines);
  });
  child.stderr.setEncoding('utf8').on('data', (text) => { listener.error += text; });
  child.on('exit', (code) => { listener.over = `php ended with ${code}: ${listener.error}`; });
  process.once('exit', () => child.kill('SIGKILL'));
  return listener;
}

test('the service manager is told READY, RELOADING and STOPPING', async () => {
  const folder = ownFolder('notify');
  const where = path.join(folder, 'socket');
  const listener = listen(where);
  try {
    await until(() => listener.over || listener.lines.includes('bound'), 'the socket', 15000);
    assert.equal(listener.over, undefined);
    const server = await startServer({ env: { NOTIFY_SOCKET: where } });
    await until(() => listener.lines.includes('READY=1'), 'READY=1');
    server.signal('SIGHUP');
    await until(() => listener.lines.some((line) => line === 'RELOADING=1') && listener.lines.filter((line) => line === 'READY=1').length === 2, 'RELOADING=1 and READY=1');
    await server.stop();
    await until(() => listener.lines.includes('STOPPING=1'), 'STOPPING=1');
    const told = listener.lines.filter((line) => /^(READY|RELOADING|STOPPING)=1$/.test(line));
    assert.deepEqual(told, ['READY=1', 'RELOADING=1', 'READY=1', 'STOPPING=1']);
  } finally {
    listener.child.kill();
    rmSync(folder, { recursive: true });
  }
});

test('a NOTIFY_SOCKET that nobody listens to does no harm', async () => {
  for (const where of ['/nowhere/at/all', 'not a path', '', `/${'x'.repeat(200)}`, '@carillon-nobody']) {
    const server = await startServer({ env: { NOTIFY_SOCKET: where } });
    await server.stop();
  }
});
