// Readers that do not read: bounded memory, nobody else slowed, and never a gap in what they saw.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { defaultApp, limit, messagesOf, rawSocket, rawSubscribe, slowness, startServer, until, wsFrame } from './harness.mjs';
import { expectServes, httpSocket, isSanitized, residentBytes, signedText } from './http.mjs';

// Numbered events of a given size, published as fast as they are taken.
async function publish(server, channel, from, n, size, each = () => {}) {
  const http = await httpSocket(server);
  for (let i = from; i < from + n; i += 10) {
    const batch = Array.from({ length: Math.min(10, from + n - i) }, (_, k) => ({ channel, name: 'e', data: String(i + k).padEnd(size, '.') }));
    http.write(signedText(defaultApp, 'POST', '/apps/test-id/batch_events', { body: { batch } }));
    assert.equal((await http.response({ ms: 30000 })).text, '{}');
    await each(i + batch.length);
  }
  http.destroy();
}

// Reads a stalled socket to its end.  Everything must be whole frames, numbered without a gap, then a
// close frame with 4100 or the bare end.
async function expectPrefix(socket, ms = 60000) {
  socket.socket.resume();
  await until(() => socket.closed || socket.ended, 'the end of a stalled reader', ms);
  await until(() => socket.ended, 'the end of its connection', ms);
  assert.equal(socket.buffer.length, 0, 'the connection ended within a frame');
  const numbers = messagesOf(socket.all).filter((m) => m.event === 'e').map((m) => parseInt(m.data, 10));
  numbers.forEach((number, i) => assert.equal(number, i, `a gap: event ${i} is missing`));
  assert.ok(socket.closed.code === 4100 || socket.closed.code === null, `closed with ${socket.closed.code}`);
  return numbers.length;
}

async function subscriber(server, channel = 'c', options) {
  const socket = await rawSocket(server, undefined, options);
  await rawSubscribe(socket, channel);
  return socket;
}

async function within(server, fn) {
  try {
    return await fn();
  } finally {
    await server.stop();
  }
}

describe('slow consumers', () => {
  for (const workers of [1, 2]) {
    test(`100 MiB past ten readers that never read (${workers} worker${workers > 1 ? 's' : ''})`, async (t) => {
      const server = await startServer({ workers });
      await within(server, async () => {
        const size = 10000;
        const n = Math.ceil((slowness > 1 ? 25 : 100) * (1 << 20) / size / 10) * 10;
        const good = await subscriber(server);
        let seen = 0;
        good.frames.push = (frame) => {
          if (frame.opcode !== 1) return 0;
          const m = JSON.parse(frame.text);
          good.all.length = 0;
          if (m.event !== 'e') return 0;
          assert.equal(parseInt(m.data, 10), seen, 'a gap at the healthy reader');
          seen++;
          return 0;
        };
        const stalled = [];
        for (let i = 0; i < 10; i++) {
          const socket = await subscriber(server);
          socket.socket.pause();
          stalled.push(socket);
        }
        const from = residentBytes(server.pid);
        let peak = from;
        await publish(server, 'c', 0, n, size, async (done) => {
          peak = Math.max(peak, residentBytes(server.pid));
          // The healthy reader shares this process with the publisher: it must get its turn.
          if (done % 100 === 0) await until(() => done - seen < 50, 'the healthy reader to keep up', 30000);
        });
        await until(() => seen === n, 'every event at the healthy reader', 30000);
        t.diagnostic(`grew by ${((peak - from) / (1 << 20)).toFixed(1)} MiB at most`);
        if (!isSanitized(server.pid)) assert.ok(peak - from < 64 << 20, `grew by ${peak - from} bytes`);
        const metrics = await server.metrics();
        assert.equal(metrics.sum('carillon_closes_total', { code: 4100 }), 10);
        assert.equal(server.logged('closed').filter((line) => line.code === '4100').length, 10, 'a log line for each');
        for (const socket of stalled) assert.ok(await expectPrefix(socket) > 0);
        await expectServes(server);
        good.close();
        await good.expectEnd();
      });
    });
  }

  test('the hard limit closes at once, the soft one after its time, and who drains in time stays', async () => {
    const server = await startServer({ set: { 'limits.outbox_bytes': 4 << 20, 'limits.outbox_soft_bytes': 100000, 'limits.outbox_soft_ms': limit(1500) } });
    await within(server, async () => {
      const slow = await subscriber(server);
      slow.socket.pause();
      const mended = await subscriber(server);
      mended.socket.pause();
      // Past the kernel's buffers and the soft limit, below the hard one.
      let n = 0;
      const pending = async () => (await server.metrics()).sum('carillon_retained_bytes');
      while (await pending() < 500000) {
        await publish(server, 'c', n, 20, 10000);
        n += 20;
        assert.ok(n < 2000, 'a socket that nobody reads fills up');
      }
      mended.socket.resume();
      await until(() => mended.all.filter((f) => f.text.startsWith('{"event":"e"')).length === n, 'the mended reader to catch up');
      await until(async () => (await server.metrics()).sum('carillon_closes_total', { code: 4100 }) === 1, 'the slow one to be closed', 15000);
      assert.equal(mended.closed, null);
      await mended.expectEvent('e', 'c');
      assert.equal(await expectPrefix(slow) > 0, true);
      mended.close();
      await mended.expectEnd();
    });
  });

  test('a reader that takes nothing for the stall time is closed, however little is pending', async () => {
    const server = await startServer({ set: { 'limits.outbox_stall_ms': 1000, 'limits.outbox_bytes': 64 << 20, 'limits.outbox_soft_bytes': 64 << 20 } });
    await within(server, async () => {
      const slow = await subscriber(server);
      slow.socket.pause();
      let n = 0;
      while ((await server.metrics()).sum('carillon_retained_bytes') === 0) {
        await publish(server, 'c', n, 20, 10000);
        n += 20;
        assert.ok(n < 2000);
      }
      await until(async () => (await server.metrics()).sum('carillon_closes_total', { reason: 'stalled_reader' }) === 1, 'the stalled one to be closed', 15000);
      assert.ok(await expectPrefix(slow) > 0);
    });
  });

  test('what all slow readers of a worker may hold together is bounded', async (t) => {
    const total = 4 << 20;
    const server = await startServer({ set: { 'limits.outbox_total_bytes': total, 'limits.outbox_bytes': 64 << 20, 'limits.outbox_soft_bytes': 64 << 20 } });
    await within(server, async () => {
      // Every one reads a channel of its own, so that nothing is shared.
      const sockets = [];
      for (let i = 0; i < 8; i++) {
        const socket = await subscriber(server, `own-${i}`);
        socket.socket.pause();
        sockets.push(socket);
      }
      let peak = 0;
      for (let round = 0; round < 10; round++)
        for (let i = 0; i < 8; i++) {
          await publish(server, `own-${i}`, round * 100, 100, 10000);
          peak = Math.max(peak, (await server.metrics()).sum('carillon_retained_bytes'));
        }
      t.diagnostic(`at most ${peak} bytes retained`);
      assert.ok(peak > 0 && peak < total * 2, `${peak} bytes retained`);
      await until(async () => (await server.metrics()).sum('carillon_closes_total', { code: 4100 }) > 0, 'somebody to be closed');
      for (const socket of sockets) socket.destroy();
    });
  });

  test('a client that talks and does not listen is no longer listened to, and gets every answer when it reads', async (t) => {
    const server = await startServer({ set: { 'limits.outbox_stall_ms': 60000, 'limits.outbox_soft_ms': 60000 } });
    await within(server, async () => {
      const from = residentBytes(server.pid);
      const socket = await rawSocket(server);
      socket.socket.pause();
      let sent = 0;
      let stuck = false;
      const flood = Buffer.concat(Array.from({ length: 1000 }, () => wsFrame('text', '{"event":"x"}')));
      while (!stuck && sent < 5000000 && !socket.ended) {
        sent += 1000;
        if (!socket.socket.write(flood))
          stuck = await Promise.race([
            new Promise((resolve) => { socket.socket.once('drain', () => resolve(false)); socket.socket.once('close', () => resolve(false)); }),
            new Promise((resolve) => { setTimeout(() => resolve(true), limit(500)); }),
          ]);
      }
      assert.ok(stuck, `the server stops to read; ${sent} sent, ended ${socket.ended}: ${server.log().slice(-300)}`);
      await expectServes(server);
      const grown = residentBytes(server.pid) - from;
      if (!isSanitized(server.pid)) assert.ok(grown < 16 << 20, `grew by ${grown} bytes`);
      t.diagnostic(`${sent} messages until the server stopped to read`);
      let answers = 0;
      socket.frames.push = (frame) => { socket.all.length = 0; answers += /Unsupported event/.test(frame.text) ? 1 : 0; return 0; };
      socket.socket.resume();
      await until(() => answers === sent, 'every answer', 60000);
      socket.close();
      await socket.expectEnd();
    });
  });

  test('pings of one who does not read are answered up to a small cap, and again when it reads', async (t) => {
    const server = await startServer({});
    await within(server, async () => {
      const from = residentBytes(server.pid);
      const socket = await rawSocket(server);
      socket.socket.pause();
      const flood = Buffer.concat(Array.from({ length: 1000 }, () => wsFrame('text', '{"event":"pusher:ping"}')));
      for (let i = 0; i < 1000; i++)
        if (!socket.socket.write(flood)) await new Promise((resolve) => { socket.socket.once('drain', resolve); });
      await expectServes(server);
      const grown = residentBytes(server.pid) - from;
      if (!isSanitized(server.pid)) assert.ok(grown < 16 << 20, `grew by ${grown} bytes`);
      t.diagnostic(`grew by ${grown} bytes`);
      socket.frames.push = (frame) => { socket.all.length = 0; socket.last = frame.text; return 0; };
      socket.socket.resume();
      socket.send({ event: 'the-last' });
      await until(() => /the-last/.test(socket.last), 'the last answer', 20000);
      socket.text('{"event":"pusher:ping"}');
      await until(() => /pusher:pong/.test(socket.last), 'a pong');
      socket.close();
      await socket.expectEnd();
    });
  });

  test('a publisher that does not read its answers slows nobody', async () => {
    const server = await startServer({});
    await within(server, async () => {
      const http = await httpSocket(server);
      http.socket.pause();
      const text = signedText(defaultApp, 'POST', '/apps/test-id/events', { body: { name: 'e', data: 'd', channel: 'c' } });
      for (let i = 0; i < 50; i++) http.write(text.repeat(200));
      for (let i = 0; i < 5; i++) await expectServes(server);
      http.destroy();
    });
  });

  test('incident 19: readers that vanish in the middle of a fan-out leave nothing behind', async () => {
    const server = await startServer({ workers: 2 });
    await within(server, async () => {
      for (let round = 0; round < 5; round++) {
        const sockets = await Promise.all(Array.from({ length: 100 }, () => subscriber(server)));
        const publishing = publish(server, 'c', 0, 200, 5000, async () => {
          for (const socket of sockets.splice(0, 6)) socket.socket.resetAndDestroy();
        });
        await publishing;
        for (const socket of sockets) socket.socket.resetAndDestroy();
      }
      await until(async () => {
        const metrics = await server.metrics();
        return ['carillon_sessions', 'carillon_subscriptions', 'carillon_channels', 'carillon_retained_bytes'].every((name) => metrics.sum(name) === 0);
      }, 'gauges at zero', 10000);
    });
  });
});
