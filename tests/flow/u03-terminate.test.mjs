// Terminating a user's connections.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiRequest, connected, forEachWorkers, rawSignin, rawSubscribe, until } from './harness.mjs';

forEachWorkers('terminate', {}, (ctx) => {
  async function terminate(id) {
    const answer = await apiRequest(ctx.server, 'POST', `/apps/test-id/users/${encodeURIComponent(id)}/terminate_connections`, { body: '{}' });
    assert.deepEqual([answer.status, answer.text], [200, '{}']);
  }

  test('every connection of the user is closed with 4009, and no other', async () => {
    const mine = [];
    for (let i = 0; i < 8; i++) {
      mine.push(await ctx.raw());
      await rawSignin(mine[i], { id: 'u' });
    }
    const other = await ctx.raw();
    await rawSignin(other, { id: 'uu' });
    const unsigned = await ctx.raw();
    await terminate('u');
    for (const socket of mine) {
      await socket.expectClose(4009);
      assert.ok(socket.closed.reason.length > 0);
      await socket.expectEnd();
    }
    await other.expectNothing();
    await unsigned.expectNothing();
  });

  test('a presence identity is no user', async () => {
    const socket = await ctx.raw();
    await rawSubscribe(socket, 'presence-room', { channelData: '{"user_id":"u"}' });
    await terminate('u');
    await socket.expectNothing();
  });

  test('who is terminated leaves its channels', async () => {
    const watcher = await ctx.raw();
    await rawSignin(watcher, { id: 'watcher', watchlist: ['u'] });
    await watcher.expectEvent('pusher_internal:watchlist_events');
    await rawSubscribe(watcher, 'presence-room', { channelData: '{"user_id":"watcher"}' });
    const socket = await ctx.raw();
    await rawSignin(socket, { id: 'u' });
    await rawSubscribe(socket, 'presence-room', { channelData: '{"user_id":"u"}' });
    await watcher.expectJson({ event: 'pusher_internal:watchlist_events', data: '{"events":[{"name":"online","user_ids":["u"]}]}' });
    await watcher.expectEvent('pusher_internal:member_added');
    await terminate('u');
    const got = [JSON.parse((await watcher.next()).text), JSON.parse((await watcher.next()).text)].sort((a, b) => (a.event < b.event ? -1 : 1));
    assert.deepEqual(got, [
      { event: 'pusher_internal:member_removed', channel: 'presence-room', data: '{"user_id":"u"}' },
      { event: 'pusher_internal:watchlist_events', data: '{"events":[{"name":"offline","user_ids":["u"]}]}' },
    ]);
    await watcher.expectNothing();
  });

  test('a user nobody is signed in as is no error', async () => {
    for (const id of ['nobody', 'a b', 'é', 'x/y']) await terminate(id);
  });

  test('terminate by the library: pusher-js ends disconnected, and connect() brings it back', async () => {
    const client = ctx.client({ user: { id: 'kicked' } });
    await connected(client);
    client.signin();
    await until(() => client.user.serverToUserChannel?.subscribed, 'signin');
    const response = await ctx.api().terminateUserConnections('kicked');
    assert.equal(response.status, 200);
    await until(() => client.connection.state === 'disconnected', 'disconnected');
    assert.equal((client.errors[0].data ?? client.errors[0].error.data).code, 4009);
    client.connect();
    await connected(client);
  });
});
