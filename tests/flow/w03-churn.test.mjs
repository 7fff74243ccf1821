// Clients that come and go by the hundred: what webhooks say must balance exactly.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Session, readLines, subscribeText } from './fallback.mjs';
import { channelAuth, limit, rawSocket, slowness, sleep, startServer, until } from './harness.mjs';
import { Receiver, app, configWith } from './receiver.mjs';

// Waits until nobody is there any more and all is told, then looks at what was told.
async function expectBalance(server, hook) {
  await until(async () => {
    const metrics = await server.metrics();
    return metrics.sum('carillon_channels') === 0 && metrics.sum('carillon_webhook_queue_events') === 0
      && metrics.sum('carillon_webhook_events_total', { type: 'channel_occupied', outcome: 'delivered' })
        === metrics.sum('carillon_webhook_events_total', { type: 'channel_vacated', outcome: 'delivered' });
  }, 'the books to be closed', 40000);
  const state = new Map();
  const opposite = { channel_occupied: 1, channel_vacated: 0, member_added: 1, member_removed: 0 };
  for (const { name, channel, user_id: user } of hook.events()) {
    const key = user === undefined ? channel : `${channel} ${user}`;
    assert.notEqual(state.get(key) ?? 0, opposite[name], `${name} of ${key} twice in a row`);
    state.set(key, opposite[name]);
  }
  assert.ok(state.size > 100, 'something happened');
  for (const [key, now] of state) assert.equal(now, 0, `${key} is gone in the end`);
  assert.ok(hook.validated(app).every((request) => request.isValid()));
  const metrics = await server.metrics();
  for (const outcome of ['expired', 'overflowed', 'removed', 'abandoned'])
    assert.equal(metrics.sum('carillon_webhook_events_total', { outcome }), 0, outcome);
}

function numbers(seed) {
  let state = seed;
  return (n) => { state = (state * 1103515245 + 12345) % 2147483648; return Math.floor((state / 2147483648) * n); };
}

const subscription = (socketId, channel, user) => {
  const data = JSON.stringify({ user_id: user });
  return { channel, auth: channelAuth(app, socketId, channel, data), channel_data: data };
};

for (const workers of [1, 4])
  describe(`webhooks under churn (${workers} workers)`, () => {
    let hook;
    let server;
    before(async () => {
      hook = await new Receiver().listen();
      server = await startServer({ workers, app: null, config: configWith([{ url: hook.url, events: ['channel_existence', 'presence'], batch_ms: 20 }]) });
      server.app = app;
    });
    after(async () => {
      hook.close();
      await server.stop();
    });

    test('occupied and vacated, added and removed balance, in turn', async () => {
      const pick = numbers(11);
      const rooms = Array.from({ length: 12 }, (_, i) => `presence-${i}`);
      const join = (socket, room, user) => socket.send({ event: 'pusher:subscribe', data: subscription(socket.socketId, room, user) });
      for (let wave = 0; wave < 5; wave++) {
        const sockets = await Promise.all(Array.from({ length: 100 }, () => rawSocket(server)));
        for (const socket of sockets) {
          const user = `u${pick(60)}`;
          for (let i = 0; i < 3; i++) {
            const room = rooms[pick(rooms.length)];
            join(socket, room, user);
            if (pick(3) === 0) socket.send({ event: 'pusher:unsubscribe', data: { channel: room } });
          }
        }
        await sleep(limit(pick(150)));
        for (const socket of sockets) if (pick(2)) socket.close(); else socket.destroy();
      }
      await expectBalance(server, hook);
    });
  });

describe('webhooks under churn of five hundred at once, half of them over polls', () => {
  let hook;
  let server;
  before(async () => {
    hook = await new Receiver().listen();
    server = await startServer({
      workers: 4,
      app: null,
      set: { 'limits.rejoin_ms': 4000 * slowness },
      config: configWith([{ url: hook.url, events: ['channel_existence', 'presence'] }]),
    });
    server.app = app;
  });
  after(async () => {
    hook.close();
    await server.stop();
  });

  test('occupied and vacated, added and removed balance, in turn', async () => {
    const pick = numbers(12);
    const ctx = { server, defer() {} };
    const room = () => `presence-${pick(40)}`;

    async function churnSocket(socket, user) {
      for (let i = 0; i < 3; i++) {
        const channel = room();
        socket.send({ event: 'pusher:subscribe', data: subscription(socket.socketId, channel, user) });
        if (pick(3) === 0) socket.send({ event: 'pusher:unsubscribe', data: { channel } });
      }
      await sleep(limit(pick(300)));
      if (pick(2)) socket.close(); else socket.destroy();
    }

    // It ends by not coming back.
    async function churnSession(session, user) {
      const list = [room(), room()].map((channel) => subscribeText(channel, subscription(session.socketId, channel, user)));
      assert.equal((await session.send(list)).status, 204);
      const { text } = await session.poll();
      assert.ok(readLines(text).messages.length >= 1, 'a success');
    }

    const polls = Array.from({ length: 250 }, () => new Session(ctx));
    const [sockets] = await Promise.all([
      Promise.all(Array.from({ length: 250 }, () => rawSocket(server))),
      ...polls.map((session) => session.openPoll()),
    ]);
    assert.equal((await server.metrics()).sum('carillon_sessions'), 500);
    await Promise.all([
      ...sockets.map((socket) => churnSocket(socket, `u${pick(120)}`)),
      ...polls.map((session) => churnSession(session, `u${pick(120)}`)),
    ]);
    await expectBalance(server, hook);
    assert.equal((await server.metrics()).sum('carillon_webhook_failures_total'), 0);
  });
});
