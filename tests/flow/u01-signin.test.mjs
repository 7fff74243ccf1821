// Signing in as a user: the signature, the answer, and the channel that is the user's own.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiRequest, forEachWorkers, rawSignin, rawSubscribe, userAuth } from './harness.mjs';

forEachWorkers('signin', {}, (ctx) => {
  function signin(socket, userData, auth = userAuth(ctx.server.app, socket.socketId, userData)) {
    socket.send({ event: 'pusher:signin', data: { auth, user_data: userData } });
  }

  async function expectRefused(socket) {
    const error = JSON.parse((await socket.next()).text);
    assert.equal(error.event, 'pusher:error');
    assert.equal(error.data.code, 4009);
    assert.equal(typeof error.data.message, 'string');
    await socket.expectNothing();
    assert.equal(socket.closed, null);
  }

  test('trap 37: signin_success carries user_data as it came, as a string in a string', async () => {
    const socket = await ctx.raw();
    signin(socket, '{"id":"7"}');
    await socket.expectText('{"event":"pusher:signin_success","data":"{\\"user_data\\":\\"{\\\\\\"id\\\\\\":\\\\\\"7\\\\\\"}\\"}"}');
    await socket.expectNothing();
  });

  test('user_data comes back byte for byte', async () => {
    for (const data of ['{ "user_info" : {"e":"\\u00e9é/\\/"},\t"id":"1" , "more":[1e3] }', '{"id":"abc","user_info":{"name":"\\"q\\""}}']) {
      const socket = await ctx.raw();
      signin(socket, data);
      const message = JSON.parse((await socket.next()).text);
      assert.equal(message.event, 'pusher:signin_success');
      assert.equal(typeof message.data, 'string');
      assert.deepEqual(JSON.parse(message.data), { user_data: data });
    }
  });

  test('a bad signature gets pusher:error 4009 and the connection stays', async () => {
    const socket = await ctx.raw();
    const good = userAuth(ctx.server.app, socket.socketId, '{"id":"7"}');
    for (const auth of [userAuth(ctx.server.app, '1.1', '{"id":"7"}'), userAuth({ key: 'test-key', secret: 'wrong' }, socket.socketId, '{"id":"7"}'),
      good.replace('test-key', 'nobody'), good.slice(0, -1), good.slice(9), '', null, 7])
    {
      signin(socket, '{"id":"7"}', auth);
      await expectRefused(socket);
    }
    signin(socket, '{"id":"8"}', good);
    await expectRefused(socket);
    socket.send({ event: 'pusher:subscribe', data: { channel: '#server-to-user-7' } });
    await socket.expectEvent('pusher:error');
    await socket.expectEvent('pusher:subscription_error', '#server-to-user-7');
    signin(socket, '{"id":"7"}', good);
    await socket.expectEvent('pusher:signin_success');
  });

  test('user_data must be an object with an id that is a string and not empty', async () => {
    const socket = await ctx.raw();
    for (const data of ['', 'x', 'null', '[]', '"7"', '{}', '{"id":7}', '{"id":null}', '{"id":""}', '{"id":{}}', '{"id":"a b"}', '{"id":"\u00e9"}', '{"id":"7"', `{"id":"${'x'.repeat(201)}"}`]) {
      signin(socket, data);
      await expectRefused(socket);
    }
    for (const text of ['{"event":"pusher:signin"}', '{"event":"pusher:signin","data":{}}', '{"event":"pusher:signin","data":"x"}', '{"event":"pusher:signin","data":{"auth":"test-key:00","user_data":{"id":"7"}}}']) {
      socket.text(text);
      await expectRefused(socket);
    }
  });

  test('signing in again as the same user succeeds again, as another it does not', async () => {
    const socket = await ctx.raw();
    await rawSignin(socket, { id: '7' });
    await rawSignin(socket, { id: '7' });
    signin(socket, '{"id":"8"}');
    await expectRefused(socket);
    await rawSubscribe(socket, '#server-to-user-7');
    socket.send({ event: 'pusher:subscribe', data: { channel: '#server-to-user-8' } });
    await socket.expectEvent('pusher:error');
    await socket.expectEvent('pusher:subscription_error', '#server-to-user-8');
  });

  test('trap 36: only the user itself may subscribe to its channel', async () => {
    const stranger = await ctx.raw();
    const seven = await ctx.raw();
    const seventy = await ctx.raw();
    await rawSignin(seven, { id: '7' });
    await rawSignin(seventy, { id: '77' });
    for (const socket of [stranger, seventy]) {
      socket.send({ event: 'pusher:subscribe', data: { auth: '', channel: '#server-to-user-7' } });
      const error = JSON.parse((await socket.next()).text);
      assert.deepEqual([error.event, error.data.code], ['pusher:error', null]);
      assert.equal(JSON.parse((await socket.next()).text).event, 'pusher:subscription_error');
      await socket.expectNothing();
    }
    for (const data of [{ auth: '', channel: '#server-to-user-7' }]) {
      seven.send({ event: 'pusher:subscribe', data });
      await seven.expectText('{"event":"pusher_internal:subscription_succeeded","channel":"#server-to-user-7","data":"{}"}');
    }
    const answer = await apiRequest(ctx.server, 'POST', '/apps/test-id/events', { body: { name: 'note', channel: '#server-to-user-7', data: '{"k":1}' } });
    assert.equal(answer.text, '{}');
    await seven.expectText('{"event":"note","channel":"#server-to-user-7","data":"{\\"k\\":1}"}');
    await stranger.expectNothing();
    await seventy.expectNothing();
  });

  test('every connection of a user hears the user\'s events, but for the one left out', async () => {
    const sockets = [];
    for (let i = 0; i < 6; i++) {
      const socket = await ctx.raw();
      await rawSignin(socket, { id: 'many' });
      await rawSubscribe(socket, '#server-to-user-many');
      sockets.push(socket);
    }
    await apiRequest(ctx.server, 'POST', '/apps/test-id/events', { body: { name: 'e', channel: '#server-to-user-many', data: 'x', socket_id: sockets[2].socketId } });
    for (const [i, socket] of sockets.entries())
      if (i !== 2) await socket.expectJson({ event: 'e', channel: '#server-to-user-many', data: 'x' });
    await sockets[2].expectNothing();
  });

  test('the API lists no user channel', async () => {
    const socket = await ctx.raw();
    await rawSignin(socket, { id: 'hidden' });
    await rawSubscribe(socket, '#server-to-user-hidden');
    await rawSubscribe(socket, 'seen');
    const answer = await apiRequest(ctx.server, 'GET', '/apps/test-id/channels');
    assert.equal(answer.text.trim(), '{"channels":{"seen":{}}}');
  });

  test('every legal character may be in a user id', async () => {
    const socket = await ctx.raw();
    const id = 'aZ09_-=@,.;';
    await rawSignin(socket, { id });
    await rawSubscribe(socket, `#server-to-user-${id}`);
    const longest = await ctx.raw();
    await rawSignin(longest, { id: 'x'.repeat(200) });
    await rawSubscribe(longest, `#server-to-user-${'x'.repeat(200)}`);
  });
});

const authorized = { set: { 'app_defaults.authorized_connections.enabled': true, 'app_defaults.authorized_connections.timeout_s': 1 } };

forEachWorkers('authorized connections', authorized, (ctx) => {
  test('who does nothing, or only joins public channels, is closed with 4009', async () => {
    const idle = await ctx.raw();
    const open = await ctx.raw();
    await rawSubscribe(open, 'foo');
    const failed = await ctx.raw();
    failed.send({ event: 'pusher:signin', data: { auth: 'test-key:00', user_data: '{"id":"7"}' } });
    failed.send({ event: 'pusher:subscribe', data: { auth: 'test-key:00', channel: 'private-foo' } });
    const user = await ctx.raw();
    await rawSignin(user, { id: '7' });
    const member = await ctx.raw();
    await rawSubscribe(member, 'private-foo');
    const present = await ctx.raw();
    await rawSubscribe(present, 'presence-foo', { channelData: '{"user_id":"1"}' });
    for (const socket of [idle, open, failed]) {
      await socket.expectClose(4009, 'Connection not authorized within timeout', 10000);
      await socket.expectEnd();
    }
    for (const socket of [user, member, present]) await socket.expectNothing();
  });

  test('leaving the private channel again does not undo it', async () => {
    const socket = await ctx.raw();
    await rawSubscribe(socket, 'private-foo');
    socket.send({ event: 'pusher:unsubscribe', data: { channel: 'private-foo' } });
    const witness = await ctx.raw();
    await witness.expectClose(4009, undefined, 10000);
    await socket.expectNothing();
  });
});
