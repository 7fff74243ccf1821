// Limits of the whole server: connections, connections of one address, descriptors.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { describe, test } from 'node:test';
import { binary, defaultApp, limit, rawSocket, slowness, startServer, until } from './harness.mjs';
import { openStream, QUERY } from './fallback.mjs';
import { exchange, expectServes, httpSocket, requestText } from './http.mjs';

describe('limits of the server', () => {
  test('limits.connections: one more is told 4100, and a place that is left is given again', async () => {
    const server = await startServer({ workers: 2, set: { 'limits.connections': '5' } });
    try {
      const sockets = [];
      for (let i = 0; i < 5; i++) sockets.push(await rawSocket(server));
      const refused = await rawSocket(server, '/app/test-key?protocol=7');
      assert.equal(refused.status, 101);
      await refused.expectClose(4100);
      await refused.expectEnd();
      for (const socket of sockets) await socket.expectNothing();
      sockets[0].close();
      await sockets[0].expectEnd();
      let again;
      await until(async () => {
        again = await rawSocket(server, '/app/test-key?protocol=7');
        await until(() => again.frames.length || again.closed, 'an answer');
        return !again.closed;
      }, 'a place');
      for (const socket of [...sockets, again]) socket.destroy();
    } finally {
      await server.stop();
    }
  });

  test('limits.connections holds for sessions over HTTP, whichever way they come', async () => {
    const server = await startServer({ workers: 2, set: { 'limits.connections': '5', 'limits.rejoin_ms': 2000 * slowness } });
    const full = 'o\nc[4100,"Over capacity"]\n';
    const open = [];
    try {
      // One socket opens what polls there may be.
      const http = await httpSocket(server);
      const poll = async (path) => {
        http.write(requestText('POST', `${path}?${QUERY}`));
        return (await http.response()).text;
      };
      const texts = [];
      for (let i = 0; i < 50; i++) texts.push(await poll(`/pusher/app/test-key/${i}/pollpoll/xhr`));
      assert.equal(texts.filter((text) => text.includes('connection_established')).length, 5);
      assert.equal(texts.filter((text) => text === full).length, 45);
      assert.equal(await poll('/pusher/1/abcdefgh/xhr'), full);
      http.write(requestText('GET', '/events/test-key?channels=a'));
      assert.equal((await http.response()).status, 503);
      http.destroy();
      assert.equal((await server.metrics()).sum('carillon_closes_total', { reason: 'over_capacity' }), 45 + 2);
      // Streams, each on a socket of its own.
      for (const [method, target, word] of [
        ['POST', `/pusher/app/test-key/1/abcdefgh/xhr_streaming?${QUERY}`, 'connection_established'],
        ['POST', '/pusher/1/abcdefgh/xhr_streaming', '\no\n'],
        ['GET', '/events/test-key?channels=a', 'connection_established'],
      ]) {
        // Sockets of before may still be on their way out.
        let i = 0;
        await until(async () => {
          const stream = await openStream(server, method, target.replace('/1/', `/${i++}/`));
          await until(() => stream.body.includes(word) || stream.headers['content-length'], word);
          if (stream.body.includes(word) && !stream.body.includes('c[4100')) open.push(stream);
          else stream.destroy();
          return open.length === 5;
        }, 'five streams', 20000);
        const answer = await exchange(server, requestText(method, target.replace('/1/', '/9/')));
        if (method === 'GET') assert.equal(answer.status, 503);
        else assert.equal(answer.text, full);
        const sockjs = await rawSocket(server, '/pusher/9/abcdefgh/websocket');
        await sockjs.expectText('o');
        await sockjs.expectText('c[4100,"Over capacity"]');
        await sockjs.expectEnd();
        for (const stream of open.splice(0)) stream.destroy();
      }
    } finally {
      for (const stream of open) stream.destroy();
      await server.stop();
    }
  });

  test('limits.connections_per_ip: one more is closed at once, and counted', async () => {
    const server = await startServer({ workers: 2, set: { 'limits.connections_per_ip': '4' } });
    try {
      const sockets = [];
      for (let i = 0; i < 4; i++) sockets.push(await rawSocket(server));
      const refused = await httpSocket(server);
      await refused.expectEnd();
      for (const socket of sockets) await socket.expectNothing();
      sockets.pop().destroy();
      // The scrape needs the place that was left.
      await until(async () => {
        try { return (await server.metrics()).sum('carillon_refused_connections_total') >= 1; } catch { return false; }
      }, 'the refusal to be counted');
      for (const socket of sockets) socket.destroy();
    } finally {
      await server.stop();
    }
  });

  for (const workers of [1, 2]) {
    test(`when descriptors run out, who is there is served, and it recovers by itself (${workers} worker${workers > 1 ? 's' : ''})`, async () => {
      const child = spawn('sh', ['-c', `ulimit -n 100 && exec "$0" "$@"`, binary, 'serve', '--port', '0', '--workers', String(workers), '--app', `${defaultApp.id}:${defaultApp.key}:${defaultApp.secret}`],
        { stdio: ['ignore', 'ignore', 'pipe'] });
      process.once('exit', () => child.kill('SIGKILL'));
      const exited = new Promise((resolve) => child.on('close', (code) => resolve(code)));
      let log = '';
      child.stderr.setEncoding('utf8').on('data', (text) => { log += text; });
      const clients = [];
      try {
        const [, port] = await until(() => /event=listening .*port=(\d+)/.exec(log), 'event=listening', 10000);
        const server = { host: '127.0.0.1', port: Number(port), url: `http://127.0.0.1:${port}`, app: defaultApp };
        const first = await rawSocket(server);
        for (let i = 0; i < 200; i++) clients.push(await httpSocket(server));
        await until(() => /event=accept_paused/.test(log), 'accepting to pause', 10000);
        for (let i = 0; i < 5; i++) await first.expectNothing();
        for (const client of clients) client.destroy();
        await until(() => expectServes(server).then(() => true, () => false), 'new clients to be served', 20000);
        await first.expectNothing();
        first.close();
        await first.expectEnd();
        assert.ok(log.split('\n').length < 100, 'the log is not flooded');
      } finally {
        for (const client of clients) client.destroy();
        child.kill('SIGTERM');
        const timer = setTimeout(() => child.kill('SIGKILL'), limit(20000));
        assert.equal(await exited, 0, log);
        clearTimeout(timer);
        assert.doesNotMatch(log, /this is a bug|Sanitizer|runtime error/);
      }
    });
  }
});
