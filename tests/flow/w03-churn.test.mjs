// Five hundred clients that come and go: what webhooks say must balance exactly.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { channelAuth, limit, rawSocket, sleep, startServer, until } from './harness.mjs';
import { Receiver, app, configWith } from './receiver.mjs';

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
      let seed = 11;
      const pick = (n) => { seed = (seed * 1103515245 + 12345) % 2147483648; return Math.floor((seed / 2147483648) * n); };
      const rooms = Array.from({ length: 12 }, (_, i) => `presence-${i}`);
      const join = (socket, room, user) => {
        const data = JSON.stringify({ user_id: user });
        socket.send({ event: 'pusher:subscribe', data: { channel: room, auth: channelAuth(app, socket.socketId, room, data), channel_data: data } });
      };
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
      await until(async () => {
        const metrics = await server.metrics();
        return metrics.sum('carillon_channels') === 0 && metrics.sum('carillon_webhook_queue_events') === 0
          && metrics.sum('carillon_webhook_events_total', { type: 'channel_occupied', outcome: 'delivered' })
            === metrics.sum('carillon_webhook_events_total', { type: 'channel_vacated', outcome: 'delivered' });
      }, 'the books to be closed', 15000);
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
    });
  });
