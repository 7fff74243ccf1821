// What a hostile or broken client may do with sessions over HTTP: memory stays bounded, every
// request has its answer, and others do not notice.
import assert from 'node:assert/strict';
import net from 'node:net';
import { describe, test } from 'node:test';
import { apiRequest, limit, rawSocket, rawSubscribe, slowness, startServer, until, useServer } from './harness.mjs';
import { eventText, expectRise, openStream, publish, quick, QUERY, readLines, Session, sessions, subscribeText, succeeded } from './fallback.mjs';
import { expectServes, httpSocket, isSanitized, requestText, residentBytes, signedText } from './http.mjs';

const base = '/pusher/app/test-key';
const many = (n) => (slowness > 1 ? Math.ceil(n / 4) : n);

// Sends requests over one connection, so many at a time, and calls back with each answer.
async function burst(server, requests, each) {
  const http = await httpSocket(server);
  for (let i = 0; i < requests.length; i += 50) {
    const some = requests.slice(i, i + 50);
    http.write(some.join(''));
    for (const request of some) each(await http.response({ ms: 30000 }), request);
  }
  http.destroy();
}

async function closing(server, fn) {
  try {
    return await fn();
  } finally {
    await server.stop();
  }
}

describe('sessions that nobody wants', () => {
  for (const workers of [1, 4])
    test(`orphans by the thousand are gone after rejoin_ms, with their memory (${workers} worker${workers > 1 ? 's' : ''})`, async (t) => {
      const server = await startServer({ workers, set: quick });
      await closing(server, async () => {
        const n = many(4000);
        let peak = 0;
        const round = async (k) => {
          const before = (await server.metrics()).sum('carillon_orphaned_sessions_total');
          await burst(server, Array.from({ length: n }, (_, i) => requestText('POST', `${base}/${i % 1000}/r${k}x${i}/xhr?${QUERY}&n=1`)), (answer) => {
            assert.equal(answer.status, 200);
            assert.ok(answer.text.startsWith('o\na['), answer.text);
          });
          peak = Math.max(peak, residentBytes(server.pid));
          await until(async () => await sessions(server) === 0, 'their end', 10000);
          await until(async () => (await server.metrics()).sum('carillon_orphaned_sessions_total') - before === n, 'them to be counted');
        };
        await round(0);
        const first = residentBytes(server.pid);
        for (let k = 1; k <= 4; k++) await round(k);
        const last = residentBytes(server.pid);
        t.diagnostic(`${n} orphans: ${Math.round(first / 1024)} KiB after the first round, ${Math.round(last / 1024)} KiB after the fifth, peak ${Math.round(peak / 1024)} KiB`);
        if (!isSanitized(server.pid)) assert.ok(last - first < 4 << 20, `${last - first} bytes more`);
        assert.equal((await server.metrics()).sum('carillon_subscriptions'), 0);
        await expectServes(server);
      });
    });

  test('sends to sessions that there are not leave nothing', async () => {
    const server = await startServer({ workers: 4, set: quick });
    await closing(server, async () => {
      const n = many(10000);
      const body = JSON.stringify(['x'.repeat(2000)]);
      await burst(server, Array.from({ length: 1000 }, (_, i) => requestText('POST', `${base}/${i}/warm/xhr_send`, { body })), () => {});
      const before = residentBytes(server.pid);
      await burst(server, Array.from({ length: n }, (_, i) => requestText('POST', `${base}/${i % 1000}/s${i}/xhr_send?t=1&n=${i}`, { body })), (answer) => assert.equal(answer.status, 404));
      const metrics = await server.metrics();
      assert.equal(metrics.sum('carillon_unknown_sends_total'), n + 1000);
      assert.equal(metrics.sum('carillon_sessions'), 0);
      if (!isSanitized(server.pid)) assert.ok(residentBytes(server.pid) - before < 4 << 20);
    });
  });

  test('SockJS sessions whose app is never named end as well', async () => {
    const server = await startServer({ workers: 2, set: quick });
    await closing(server, async () => {
      const n = many(2000);
      await burst(server, Array.from({ length: n }, (_, i) => requestText('POST', `/pusher/${i % 1000}/s${i}/xhr`)), (answer) => assert.equal(answer.text, 'o\n'));
      await until(async () => (await server.metrics()).sum('carillon_orphaned_sessions_total') === n, 'their end', 10000);
      assert.equal((await server.metrics()).sum('carillon_sessions_opened_total'), 0);
      await expectServes(server);
    });
  });
});

describe('polls that are held', () => {
  test('thousands of half-open polls: bounded memory each, all gone afterwards', async (t) => {
    const server = await startServer({ workers: 2, set: quick });
    await closing(server, async () => {
      const n = many(3000);
      await expectServes(server);
      const before = residentBytes(server.pid);
      const sockets = [];
      for (let i = 0; i < n; i++) {
        const socket = net.connect(server.port, server.host).on('error', () => {});
        sockets.push(socket);
        // The first opens the session; the second is held.
        socket.write(requestText('POST', `${base}/${i % 1000}/h${i}/xhr?${QUERY}&n=1`) + requestText('POST', `${base}/${i % 1000}/h${i}/xhr?${QUERY}&n=2`));
        if (i % 100 === 99) await until(async () => await sessions(server, 'xhr_polling') >= i - 99, 'sessions', 10000);
      }
      await until(async () => await sessions(server, 'xhr_polling') === n, 'all sessions', 10000);
      const each = (residentBytes(server.pid) - before) / n;
      t.diagnostic(`${Math.round(each)} bytes per held poll`);
      if (!isSanitized(server.pid)) assert.ok(each < 8192, `${each} bytes each`);
      await expectServes(server);
      for (const socket of sockets) socket.destroy();
      await until(async () => await sessions(server) === 0, 'their end', 10000);
    });
  });

  test('requests that are cut, in every place', async () => {
    const server = await startServer({ workers: 4, set: quick });
    await closing(server, async () => {
      const text = requestText('POST', `${base}/1/cut/xhr?${QUERY}&n=1`) + requestText('POST', `${base}/1/cut/xhr_send?t=1&n=2`, { body: JSON.stringify([subscribeText('c')]) })
        + requestText('POST', `${base}/1/cut/xhr_streaming?${QUERY}&n=3`);
      for (let at = 1; at < text.length; at += 3) {
        const socket = net.connect(server.port, server.host).on('error', () => {});
        await new Promise((resolve) => { socket.write(text.slice(0, at), resolve); });
        if (at % 2) socket.destroy();
        else socket.resetAndDestroy();
      }
      await until(async () => await sessions(server) === 0, 'their end', 10000);
      await expectServes(server);
    });
  });
});

describe('receivers', () => {
  const ctx = useServer({ workers: 4, set: quick });

  test('two that race over 1,000 events: nothing is lost or doubled', async () => {
    const session = new Session(ctx);
    await session.openPoll();
    await session.subscribe('c');
    await session.messages(1);
    const [one, two] = [await httpSocket(ctx.server), await httpSocket(ctx.server)];
    ctx.defer(() => { one.destroy(); two.destroy(); });
    const n = many(1000);
    const seen = new Set();
    const take = (answer) => {
      assert.equal(answer.status, 200);
      const { messages, rest } = readLines(answer.text);
      assert.deepEqual(rest, []);
      let last = -1;
      for (const text of messages) {
        const number = Number(JSON.parse(text).data);
        assert.equal(text, eventText('c', String(number)));
        assert.ok(number > last && !seen.has(number), `number ${number} once, and in order`);
        last = number;
        seen.add(number);
      }
    };
    // Each asks again as soon as it is answered: with what was published, or with nothing when
    // the other took its place.
    let isOver = false;
    const ask = async (socket) => {
      while (!isOver) {
        socket.write(requestText('POST', session.target('xhr')));
        const answer = await socket.response().catch((error) => { if (!isOver) throw error; });
        if (answer) take(answer);
      }
    };
    const asking = Promise.all([ask(one), ask(two)]);
    const http = await httpSocket(ctx.server);
    ctx.defer(() => http.destroy());
    for (let i = 0; i < n; i++) {
      http.write(signedText(ctx.server.app, 'POST', '/apps/test-id/events', { body: { name: 'e', channel: 'c', data: String(i) } }));
      assert.equal((await http.response()).status, 200);
    }
    await Promise.race([asking, until(() => seen.size === n, 'every number', 20000)]);
    isOver = true;
    one.destroy();
    two.destroy();
    await asking;
  });

  test('streams that displace each other, 300 times', async () => {
    const session = new Session(ctx);
    let stream = await session.openStream();
    await session.subscribe('c');
    await stream.expectEvent(succeeded('c'));
    await expectRise(ctx.server, 'carillon_displaced_receivers_total', many(300), async () => {
      for (let i = 0; i < many(300); i++) {
        const next = await session.stream();
        await stream.expectEnd();
        await publish(ctx.server, 'c', `number ${i}`);
        await next.expectEvent(eventText('c', `number ${i}`));
        stream.destroy();
        stream = next;
      }
    });
  });
});

describe('receivers that do not read', () => {
  test('a stream that is never read is closed, its memory bounded; a healthy one misses nothing', async (t) => {
    const server = await startServer({ workers: 2, set: { ...quick, 'limits.outbox_bytes': 262144, 'limits.outbox_soft_bytes': 131072, 'limits.outbox_soft_ms': limit(1000), 'limits.outbox_stall_ms': limit(2000) } });
    await closing(server, async () => {
      const cleanups = [];
      const ctx = { server, defer: (fn) => cleanups.push(fn) };
      const healthy = await rawSocket(server);
      await rawSubscribe(healthy, 'c');
      const stalled = [];
      for (let i = 0; i < 5; i++) {
        const session = new Session(ctx);
        const stream = await session.openStream();
        await session.subscribe('c');
        await stream.expectEvent(succeeded('c'));
        stream.socket.pause();
        stalled.push({ session, stream });
      }
      const before = residentBytes(server.pid);
      let peak = 0;
      let n = 0;
      // A socket's own buffers take some megabytes; a stream beyond 256 KiB pauses before that.
      for (; n < 4000 && await sessions(server, 'xhr_streaming') > 0; n += 10) {
        const batch = Array.from({ length: 10 }, (_, k) => ({ channel: 'c', name: 'e', data: `${n + k} ${'x'.repeat(9000)}` }));
        assert.equal((await apiRequest(server, 'POST', '/apps/test-id/batch_events', { body: { batch } })).status, 200);
        peak = Math.max(peak, residentBytes(server.pid) - before);
      }
      assert.equal(await sessions(server, 'xhr_streaming'), 0, 'all of them are closed');
      t.diagnostic(`closed after ${n} events of 9,000 bytes; at most ${Math.round(peak / 1024)} KiB more`);
      if (!isSanitized(server.pid)) assert.ok(peak < 24 << 20, `${peak} bytes`);
      for (let i = 0; i < n; i++) assert.equal(parseInt((await healthy.expectEvent('e', 'c')).data, 10), i);
      // What they had been sent is whole, in order, and ends with the reason or with the connection.
      for (const { stream } of stalled) {
        stream.socket.resume();
        await until(() => stream.ended || stream.closed, 'its end', 10000);
        const lines = stream.body.split('\n');
        lines.pop();
        const last = lines.at(-1)?.startsWith('c') ? lines.pop() : undefined;
        if (last) assert.match(last, /^c\[4100,"(Too slow to read|Stopped reading), back off"\]$/);
        lines.forEach((line, i) => assert.equal(parseInt(JSON.parse(JSON.parse(line.slice(1))[0]).data, 10), i));
      }
      assert.ok((await server.metrics()).sum('carillon_closes_total', { code: 4100 }) >= 5);
      healthy.close();
      for (const fn of cleanups) fn();
      await expectServes(server);
    });
  });

  test('a session between two polls keeps outbox_bytes at most, and is told why it was closed', async () => {
    const server = await startServer({ set: { 'limits.outbox_bytes': 65536, 'limits.rejoin_ms': limit(5000) } });
    await closing(server, async () => {
      const session = new Session({ server, defer: () => {} });
      await session.openPoll();
      await session.subscribe('c');
      await session.messages(1);
      for (let i = 0; i < 20; i++) await publish(server, 'c', `${i} ${'x'.repeat(9000)}`);
      await until(async () => await sessions(server) === 0, 'its end');
      const { messages, rest } = readLines((await session.poll()).text);
      assert.deepEqual(rest, ['c[4100,"Too slow to read, back off"]']);
      messages.forEach((text, i) => assert.equal(parseInt(JSON.parse(text).data, 10), i));
    });
  });

  test('answers to polls that are never read', async () => {
    const server = await startServer({ set: quick });
    await closing(server, async () => {
      const socket = net.connect(server.port, server.host).on('error', () => {});
      socket.pause();
      const before = residentBytes(server.pid);
      const text = requestText('POST', `${base}/1/unread/xhr?${QUERY}`) + requestText('POST', `${base}/1/unread/xhr_send`, { body: JSON.stringify([]) });
      let blocked = false;
      for (let i = 0; i < 20000 && !blocked; i++)
        if (!socket.write(text)) blocked = await Promise.race([new Promise((resolve) => { socket.once('drain', () => resolve(false)); }), new Promise((resolve) => { setTimeout(resolve, 500, true); })]);
      if (!isSanitized(server.pid)) assert.ok(residentBytes(server.pid) - before < 16 << 20);
      await expectServes(server);
      socket.destroy();
      await until(async () => await sessions(server) === 0, 'its end');
    });
  });

  test('megabytes of polls and sends, sent ahead and read, are answered one by one', async () => {
    const server = await startServer({ workers: 2, set: quick });
    await closing(server, async () => {
      const n = many(12000);
      const http = await httpSocket(server);
      const pair = requestText('POST', `${base}/1/ahead/xhr?${QUERY}`) + requestText('POST', `${base}/1/ahead/xhr_send`, { body: '[]' });
      http.write(pair.repeat(n));
      for (let i = 0; i < n; i++) {
        const poll = await http.response({ ms: 30000 });
        assert.equal(poll.status, 200);
        if (i) assert.equal(poll.text, 'a[]\n');
        assert.equal((await http.response()).status, 204);
      }
      await http.expectAlive();
      http.destroy();
      await until(async () => await sessions(server) === 0, 'its end');
    });
  });

  test('an event stream that is never read is ended', async () => {
    const server = await startServer({ set: { 'limits.outbox_bytes': 262144 } });
    await closing(server, async () => {
      const stream = await openStream(server, 'GET', '/events/test-key?channels=c');
      await until(() => stream.body.includes('succeeded'), 'the subscription');
      stream.socket.pause();
      for (let n = 0; n < 4000 && await sessions(server) > 0; n += 10) {
        const batch = Array.from({ length: 10 }, (_, k) => ({ channel: 'c', name: 'e', data: `${n + k} ${'x'.repeat(9000)}` }));
        assert.equal((await apiRequest(server, 'POST', '/apps/test-id/batch_events', { body: { batch } })).status, 200);
      }
      assert.equal(await sessions(server), 0);
      stream.destroy();
    });
  });
});
