// Cache channels: the last event for who comes late.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiRequest, forEachWorkers, once, rawSubscribe, subscribed, until } from './harness.mjs';

const kinds = ['cache-foo', 'private-cache-foo', 'presence-cache-foo', 'private-encrypted-cache-foo'];
const TTL_S = 3;

forEachWorkers('cache channels', { set: { 'app_defaults.cache_ttl_s': TTL_S } }, (ctx) => {
  let serial = 0;
  // A name that no earlier test has filled.
  const fresh = (kind) => `${kind}-${++serial}`;
  const miss = (channel) => `{"event":"pusher:cache_miss","channel":"${channel}","data":"{}"}`;

  async function publish(channel, name, data, extra = {}) {
    const answer = await apiRequest(ctx.server, 'POST', '/apps/test-id/events', { body: { name, channel, data, ...extra } });
    assert.equal(answer.text, '{}');
  }

  let users = 0;
  async function join(channel) {
    const socket = await ctx.raw();
    const channelData = channel.startsWith('presence-') ? `{"user_id":"${++users}"}` : undefined;
    await rawSubscribe(socket, channel, { channelData });
    return socket;
  }

  for (const kind of kinds) {
    test(`trap 45: ${kind}: a miss is said with data exactly {}`, async () => {
      const channel = fresh(kind);
      const socket = await join(channel);
      await socket.expectText(miss(channel));
      await socket.expectNothing();
    });

    test(`trap 20: ${kind}: the last event is replayed, also after the channel was empty`, async () => {
      const channel = fresh(kind);
      await publish(channel, 'first', 'one');
      await publish(channel, 'second', '{"n":2}');
      const socket = await join(channel);
      await socket.expectText(`{"event":"second","channel":"${channel}","data":"{\\"n\\":2}"}`);
      await socket.expectNothing();
      socket.destroy();
      await until(async () => (await ctx.server.metrics()).sum('carillon_subscriptions') === 0, 'an empty channel');
      const later = await join(channel);
      await later.expectJson({ event: 'second', channel, data: '{"n":2}' });
      await publish(channel, 'third', '3');
      await later.expectJson({ event: 'third', channel, data: '3' });
      const last = await join(channel);
      await last.expectJson({ event: 'third', channel, data: '3' });
    });
  }

  test('the one who was left out of an event has it replayed', async () => {
    const channel = fresh('cache-foo');
    const socket = await ctx.raw();
    await publish(channel, 'e', 'x', { socket_id: socket.socketId });
    await rawSubscribe(socket, channel);
    await socket.expectJson({ event: 'e', channel, data: 'x' });
  });

  test('a batch fills the cache too', async () => {
    const channel = fresh('cache-foo');
    const answer = await apiRequest(ctx.server, 'POST', '/apps/test-id/batch_events', { body: { batch: [{ channel, name: 'a', data: '1' }, { channel, name: 'b', data: '2' }] } });
    assert.equal(answer.text, '{}');
    const socket = await join(channel);
    await socket.expectJson({ event: 'b', channel, data: '2' });
  });

  test('a second subscribe replays nothing', async () => {
    const channel = fresh('cache-foo');
    await publish(channel, 'e', 'x');
    const socket = await join(channel);
    await socket.expectJson({ event: 'e', channel, data: 'x' });
    socket.send({ event: 'pusher:subscribe', data: { channel } });
    await socket.expectError(null, `Existing subscription to channel ${channel}`);
    await socket.expectNothing();
  });

  test('an event is forgotten after its time', async () => {
    const channel = fresh('cache-foo');
    await publish(channel, 'e', 'x');
    const info = () => apiRequest(ctx.server, 'GET', `/apps/test-id/channels/${channel}`, { params: { info: 'cache' } });
    const { cache } = (await info()).json;
    assert.equal(cache.data, 'x');
    assert.ok(Number.isInteger(cache.ttl) && cache.ttl > 0 && cache.ttl <= TTL_S);
    await until(async () => (await info()).json.cache === null, 'the cache to be empty', TTL_S * 1000 + 3000);
    const socket = await join(channel);
    await socket.expectText(miss(channel));
  });

  test('a name that only holds the word is no cache channel', async () => {
    for (const channel of ['foo-cache-x', 'cachefoo', 'presence-foo-cache-', 'private-foo-cache-x']) {
      await publish(channel, 'e', 'x');
      const socket = await join(channel);
      await socket.expectNothing();
    }
  });

  test('presence: success, then the replay, and others hear member_added', async () => {
    const channel = fresh('presence-cache-foo');
    await publish(channel, 'e', 'x');
    const a = await join(channel);
    await a.expectJson({ event: 'e', channel, data: 'x' });
    const b = await join(channel);
    await b.expectJson({ event: 'e', channel, data: 'x' });
    assert.equal(JSON.parse((await a.next()).text).event, 'pusher_internal:member_added');
    await a.expectNothing();
    await b.expectNothing();
  });

  test('pusher-js: cache_miss, the event, and the replay for a second client', async () => {
    const name = fresh('private-cache-foo');
    const one = ctx.client();
    const missed = once(one.subscribe(name), 'pusher:cache_miss');
    await missed;
    await ctx.api().trigger(name, 'e', { n: 1 });
    const two = ctx.client();
    assert.deepEqual(await once(two.subscribe(name), 'e'), { n: 1 });
    await subscribed(two, name);
  });
});
