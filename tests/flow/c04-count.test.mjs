// subscription_count: to whom, when, and not too often.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiRequest, forEachWorkers, limit, messagesOf, once, rawSubscribe, subscribed, until } from './harness.mjs';

const counted = (channel, n) => ({ event: 'pusher_internal:subscription_count', channel, data: `{"subscription_count":${n}}` });

forEachWorkers('subscription_count', { set: { 'app_defaults.subscription_count': true } }, (ctx) => {
  test('every subscriber hears each change, the joiner after its success', async () => {
    const a = await ctx.raw();
    const b = await ctx.raw();
    await rawSubscribe(a, 'foo');
    await a.expectText('{"event":"pusher_internal:subscription_count","channel":"foo","data":"{\\"subscription_count\\":1}"}');
    await rawSubscribe(b, 'foo');
    await a.expectJson(counted('foo', 2));
    await b.expectJson(counted('foo', 2));
    b.send({ event: 'pusher:unsubscribe', data: { channel: 'foo' } });
    await a.expectJson(counted('foo', 1));
    await b.expectNothing();
    await rawSubscribe(b, 'foo');
    await a.expectJson(counted('foo', 2));
    b.destroy();
    await a.expectJson(counted('foo', 1));
  });

  test('private and cache channels are counted', async () => {
    const socket = await ctx.raw();
    await rawSubscribe(socket, 'private-foo');
    await socket.expectJson(counted('private-foo', 1));
    await rawSubscribe(socket, 'cache-foo');
    // success, then the replay or its absence, then the count
    await socket.expectText('{"event":"pusher:cache_miss","channel":"cache-foo","data":"{}"}');
    await socket.expectJson(counted('cache-foo', 1));
    await rawSubscribe(socket, 'private-cache-foo');
    await socket.expectEvent('pusher:cache_miss');
    await socket.expectJson(counted('private-cache-foo', 1));
    await socket.expectNothing();
  });

  test('trap 45: presence, encrypted and user channels are never sent a count', async () => {
    const socket = await ctx.raw();
    const other = await ctx.raw();
    for (const s of [socket, other]) {
      await rawSubscribe(s, 'presence-foo', { channelData: `{"user_id":"${s === socket ? 1 : 2}"}` });
      await rawSubscribe(s, 'private-encrypted-foo');
      await rawSubscribe(s, 'private-encrypted-cache-foo');
      await s.expectEvent('pusher:cache_miss');
    }
    await socket.expectEvent('pusher_internal:member_added');
    await socket.expectNothing();
    await other.expectNothing();
  });

  test('pusher-js reports the count and keeps it', async () => {
    const a = ctx.client();
    const channel = await subscribed(a, 'foo');
    await until(() => channel.subscriptionCount === 1, 'count 1');
    const heard = once(channel, 'pusher:subscription_count');
    const b = ctx.client();
    await subscribed(b, 'foo');
    assert.deepEqual(await heard, { subscription_count: 2 });
    assert.equal(channel.subscriptionCount, 2);
    const left = once(channel, 'pusher:subscription_count');
    b.disconnect();
    assert.deepEqual(await left, { subscription_count: 1 });
  });

  test('the API answers the same count', async () => {
    const sockets = [];
    for (let i = 0; i < 5; i++) {
      sockets.push(await ctx.raw());
      await rawSubscribe(sockets[i], 'foo');
    }
    const answer = await apiRequest(ctx.server, 'GET', '/apps/test-id/channels/foo', { params: { info: 'subscription_count' } });
    assert.deepEqual(answer.json, { occupied: true, subscription_count: 5 });
  });
});

// So many that one of them may be late with its next poll.
forEachWorkers('subscription_count of a crowd', { set: { 'app_defaults.subscription_count': true, 'limits.rejoin_ms': Math.max(5000, limit(2500)) } }, (ctx) => {
  test('above 100 subscribers a count comes at most every five seconds', async () => {
    const sockets = [];
    for (let i = 0; i < 130; i++) sockets.push(await ctx.raw());
    const start = Date.now();
    // The first joins alone, so that it hears of everybody else.
    sockets[0].send({ event: 'pusher:subscribe', data: { channel: 'crowd' } });
    await until(() => sockets[0].all.length >= 3, 'its success and its count');
    for (const socket of sockets.slice(1)) socket.send({ event: 'pusher:subscribe', data: { channel: 'crowd' } });
    const counts = () => messagesOf(sockets[0].all).filter((m) => m.event === 'pusher_internal:subscription_count').map((m) => JSON.parse(m.data).subscription_count);
    // The last count comes by itself.
    await until(() => counts().at(-1) === 130, 'the count of all', 15000);
    const many = counts().filter((n) => n > 100);
    const seconds = (Date.now() - start) / 1000;
    assert.ok(many.length <= 2 + seconds / 5, `${many.length} counts above 100 in ${seconds} s`);
    for (let i = 1; i < 100; i++) assert.equal(counts()[i - 1], i, 'below that, each change');
  });
});

forEachWorkers('subscription_count switched off', {}, (ctx) => {
  test('no count is sent', async () => {
    const a = await ctx.raw();
    const b = await ctx.raw();
    for (const socket of [a, b]) {
      await rawSubscribe(socket, 'foo');
      await rawSubscribe(socket, 'private-foo');
    }
    b.destroy();
    await until(async () => (await ctx.server.metrics()).sum('carillon_subscriptions') === 2, 'the other to be gone');
    await a.expectNothing();
  });
});
