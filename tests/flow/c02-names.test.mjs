// What a channel may be called, and what its name makes of it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiRequest, channelAuth, forEachWorkers, rawSubscribe } from './harness.mjs';

forEachWorkers('names', {}, (ctx) => {
  const subscribe = (socket, channel, more = {}) => socket.send({ event: 'pusher:subscribe', data: { channel, ...more } });

  // Of a very long name only the beginning is repeated.
  async function expectInvalid(socket, channel, repeated = channel) {
    subscribe(socket, channel);
    await socket.expectError(null, `Invalid channel name '${repeated}'`);
    const error = JSON.parse((await socket.next()).text);
    assert.equal(error.event, 'pusher:subscription_error');
    assert.equal(error.channel, channel); // whole: its beginning may be the name of another
    assert.equal(typeof error.data.status, 'number');
    await socket.expectNothing();
  }

  test('trap 40: every legal character may be in a name', async () => {
    const socket = await ctx.raw();
    for (const name of ['abcXYZ019', '_-=@,.;', ',', ';', '.', 'a,b;c', 'x'.repeat(200)]) await rawSubscribe(socket, name);
    await socket.expectNothing();
  });

  test('other characters are refused', async () => {
    const socket = await ctx.raw();
    for (const name of ['', ' ', 'foo bar', 'foo/bar', 'foo:bar', 'foo#bar', '#foo', '#server-to-user', 'fo\u00f6', 'foo\n', '\nfoo', 'foo\u0000', 'foo\u0000bar', 'foo!', 'foo$', 'foo%', 'foo&', 'foo*', 'foo(', 'foo"', "foo'", 'foo\\', '{foo}', 'foo|', 'foo~', 'foo`', 'foo^', 'foo?', 'foo<', 'foo[', '\u{1f600}', 'private-foo bar', 'presence-\u00e9'])
      await expectInvalid(socket, name);
  });

  test('a name of 200 characters is legal, 201 are too many', async () => {
    const socket = await ctx.raw();
    await rawSubscribe(socket, `private-${'x'.repeat(192)}`);
    await expectInvalid(socket, 'x'.repeat(201), 'x'.repeat(200));
    await expectInvalid(socket, `private-${'x'.repeat(193)}`, `private-${'x'.repeat(192)}`);
    await expectInvalid(socket, `x${'\u00e9'.repeat(150)}`, `x${'\u00e9'.repeat(99)}`);
  });

  test('trap 18: trap 19: only an anchored prefix with its dash needs a signature', async () => {
    const socket = await ctx.raw();
    for (const name of ['private', 'privatefoo', 'private_foo', 'presence', 'presencefoo', 'xprivate-foo', 'x-private-foo', 'xpresence-foo', 'Private-foo', 'PRESENCE-foo', 'foo-cache-x', 'cachefoo', 'cache', 'xcache-foo', 'encrypted-foo', 'server-to-user-7'])
      await rawSubscribe(socket, name);
    await socket.expectNothing(); // no cache_miss either
    for (const name of ['private-', 'private-foo', 'private-encrypted-foo', 'private-cache-foo', 'private-encrypted-cache-foo', 'private-cache', 'private-encrypted']) {
      subscribe(socket, name);
      await socket.expectEvent('pusher:error');
      await socket.expectEvent('pusher:subscription_error', name);
      subscribe(socket, name, { auth: channelAuth(ctx.server.app, socket.socketId, name) });
      await socket.expectEvent('pusher_internal:subscription_succeeded', name);
      const isCache = /^private-(encrypted-)?cache-/.test(name);
      if (isCache) await socket.expectText(`{"event":"pusher:cache_miss","channel":"${name}","data":"{}"}`);
      await socket.expectNothing();
    }
  });

  test('the API publishes to exactly the name that was subscribed', async () => {
    const socket = await ctx.raw();
    const names = ['foo', 'Foo', 'foo.', 'foo-', '-foo', 'a=b', 'a@b', 'a,b', 'a;b', 'x'.repeat(200)];
    for (const name of names) await rawSubscribe(socket, name);
    for (const name of names) {
      const answer = await apiRequest(ctx.server, 'POST', '/apps/test-id/events', { body: { name: 'e', channel: name, data: name } });
      assert.equal(answer.text, '{}');
      await socket.expectJson({ event: 'e', channel: name, data: name });
    }
    await socket.expectNothing();
  });

  test('event names may be any text', async () => {
    const socket = await ctx.raw();
    await rawSubscribe(socket, 'foo');
    for (const name of ['App\\Events\\OrderShipped', '.dotted', 'with space', '"quoted"', '\u00fc\u{1f600}', 'client-looks-like', 'a'.repeat(200), '<b>', '\t']) {
      const answer = await apiRequest(ctx.server, 'POST', '/apps/test-id/events', { body: { name, channel: 'foo', data: 'd' } });
      assert.equal(answer.text, '{}', name);
      await socket.expectJson({ event: name, channel: 'foo', data: 'd' });
    }
  });
});

forEachWorkers('a shorter limit for names', { set: { 'app_defaults.limits.channel_name_chars': 164 } }, (ctx) => {
  test('164 characters are legal and 165 too many', async () => {
    const socket = await ctx.raw();
    await rawSubscribe(socket, 'x'.repeat(164));
    socket.send({ event: 'pusher:subscribe', data: { channel: 'x'.repeat(165) } });
    await socket.expectError(null, `Invalid channel name '${'x'.repeat(165)}'`);
  });
});
