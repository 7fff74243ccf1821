// A presence channel as large as it may be.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiRequest, channelAuth, forEachWorkers, limit, until } from './harness.mjs';

const room = 'presence-full';

// Over HTTP a hundred sessions at once may be late to receive again; none of them is gone.
forEachWorkers('a full room', { set: { 'limits.rejoin_ms': Math.max(5000, limit(2500)) } }, (ctx) => {
  test('100 users with a kilobyte each: everybody sees all, the 101st does not come in', async () => {
    const info = (i) => ({ name: `\u00e9${i}`, text: 'x'.repeat(970) });
    const sockets = [];
    for (let i = 0; i < 100; i++) sockets.push(await ctx.raw());
    sockets.forEach((socket, i) => {
      const data = JSON.stringify({ user_id: i, user_info: info(i) });
      socket.send({ event: 'pusher:subscribe', data: { channel: room, auth: channelAuth(ctx.server.app, socket.socketId, room, data), channel_data: data } });
    });
    for (const socket of sockets) {
      const seen = {};
      const success = await socket.expectEvent('pusher_internal:subscription_succeeded', room);
      const { presence } = JSON.parse(success.data);
      Object.assign(seen, presence.hash);
      assert.equal(presence.count, presence.ids.length);
      while (Object.keys(seen).length < 100) {
        const added = JSON.parse((await socket.expectEvent('pusher_internal:member_added', room)).data);
        assert.equal(added.user_id in seen, false, 'nobody twice');
        seen[added.user_id] = added.user_info;
      }
      for (let i = 0; i < 100; i++) assert.deepEqual(seen[i], info(i));
    }
    const extra = await ctx.raw();
    const data = '{"user_id":"one more"}';
    extra.send({ event: 'pusher:subscribe', data: { channel: room, auth: channelAuth(ctx.server.app, extra.socketId, room, data), channel_data: data } });
    assert.equal(JSON.parse((await extra.next()).text).event, 'pusher:error');
    assert.equal(JSON.parse((await extra.next()).text).data.status, 4100);
    const late = await ctx.raw();
    const tab = JSON.stringify({ user_id: '7' });
    late.send({ event: 'pusher:subscribe', data: { channel: room, auth: channelAuth(ctx.server.app, late.socketId, room, tab), channel_data: tab } });
    const { presence } = JSON.parse((await late.expectEvent('pusher_internal:subscription_succeeded', room)).data);
    assert.equal(presence.count, 100);
    assert.deepEqual(presence.hash[99], info(99));
    for (const socket of sockets.slice(1)) socket.destroy();
    late.destroy();
    const gone = new Set();
    while (gone.size < 99) gone.add(JSON.parse((await sockets[0].expectEvent('pusher_internal:member_removed', room)).data).user_id);
    await until(async () => (await apiRequest(ctx.server, 'GET', `/apps/test-id/channels/${room}/users`)).text.trim() === '{"users":[{"id":"0"}]}', 'one user left');
    await sockets[0].expectNothing();
  });
});
