// pusher-js: the signed-in user and its own events.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connected, forEachWorkers, once, subscribed, until } from './harness.mjs';

forEachWorkers('the user of pusher-js', {}, (ctx) => {
  async function signedIn(id, more = {}) {
    const client = ctx.client({ user: { id, ...more } });
    client.signin();
    await until(() => client.user.serverToUserChannel?.subscribed, `the channel of ${id}`);
    return client;
  }

  test('signin() before connecting and after it', async () => {
    const early = ctx.client({ user: { id: 'early' } });
    early.signin();
    const late = await connected(ctx.client({ user: { id: 'late' } }));
    late.signin();
    for (const client of [early, late]) {
      await until(() => client.user.serverToUserChannel?.subscribed, 'the user channel');
      assert.deepEqual(client.errors, []);
    }
    assert.deepEqual([early.user.user_data.id, late.user.user_data.id], ['early', 'late']);
  });

  test('sendToUser of the library reaches every connection of the user and nobody else', async () => {
    const mine = [await signedIn('7'), await signedIn('7'), await signedIn('7')];
    const other = await signedIn('77');
    const strays = [];
    other.user.bind('note', (data) => strays.push(data));
    const heard = mine.map((client) => once(client.user, 'note'));
    const response = await ctx.api().sendToUser('7', 'note', { k: 1 });
    assert.equal(response.status, 200);
    for (const data of await Promise.all(heard)) assert.deepEqual(data, { k: 1 });
    const last = once(other.user, 'end');
    await ctx.api().sendToUser('77', 'end', {});
    await last;
    assert.deepEqual(strays, []);
  });

  test('the user is signed in again after a reconnect', async () => {
    const client = await signedIn('again');
    client.disconnect();
    client.connect();
    await until(() => client.connection.state === 'connected' && client.user.serverToUserChannel?.subscribed, 'the user again');
    const heard = once(client.user, 'e');
    await ctx.api().sendToUser('again', 'e', 'x');
    assert.equal(await heard, 'x');
  });

  test('a user endpoint that refuses is signin_error in the client and nothing on the wire', async () => {
    const client = await connected(ctx.client({ userAuthentication: { customHandler: (_, done) => done(new Error('refused')) } }));
    const error = once(client.user, 'pusher:signin_error');
    client.signin();
    assert.equal((await error).type, 'AuthError');
    await subscribed(client, 'foo');
    assert.deepEqual(client.errors, []);
  });

  test('a bad user signature is an error of the connection, which stays', async () => {
    const client = await connected(ctx.client({
      userAuthentication: { customHandler: (_, done) => done(null, { auth: 'test-key:00', user_data: '{"id":"7"}' }) },
    }));
    const error = once(client.connection, 'error');
    client.signin();
    assert.equal((await error).data.code, 4009);
    await subscribed(client, 'foo');
    assert.equal(client.connection.state, 'connected');
  });

  test('the library signs users as pusher-js sends them', async () => {
    const client = ctx.client({
      userAuthentication: {
        customHandler: ({ socketId }, done) => done(null, ctx.api().authenticateUser(socketId, { id: 'lib', user_info: { name: 'ü "q"' }, watchlist: ['x'] })),
      },
    });
    const offline = once(client.user.watchlist, 'offline');
    client.signin();
    assert.deepEqual((await offline).user_ids, ['x']);
    assert.equal(client.user.user_data.user_info.name, 'ü "q"');
  });
});
