// The built package against the real server, over one transport.  Each transport has a file of its
// own that calls this, so that they run beside each other.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { PusherAuthError, PusherMessageError } from 'carillon-js';
import { until } from '../../../../tests/flow/harness.mjs';
import { hasStatus, isConnected, makeService, startBackend, startWire, useRealtime } from './bench.mjs';

// pusher-js looks again a second after a loss.
const RETURN_MS = 20000;

export const testService = (transport) => describe(`carillon-js over ${transport}`, () => {
  const ctx = useRealtime();
  const begin = async () => {
    const backend = await startBackend(ctx.server);
    ctx.defer(() => backend.stop());
    return backend;
  };
  const subscriptions = async () => (await ctx.server.metrics()).sum('carillon_subscriptions');

  test('state, socket id and transport of a connection', async () => {
    const service = makeService(ctx, await begin(), transport);
    const states = [];
    service.onStateChange(({ state }) => states.push(state));
    service.initialize();
    await isConnected(service);
    assert.match(service.socketId, /^\d+\.\d+$/);
    assert.equal(service.transport, transport);
    service.disconnect();
    assert.deepEqual(states, ['connecting', 'connected', 'disconnected']);
  });

  test('a public channel that two share: the server knows one subscription, until both have left', async () => {
    const service = makeService(ctx, await begin(), transport);
    const heard = [];
    const [one, two] = [service.retain('public-updates'), service.retain('public-updates')];
    two.bind('update', (data) => heard.push(data));
    await hasStatus(service, 'public-updates', 'subscribed');
    assert.equal(await subscriptions(), 1);
    one.release();
    await ctx.api().trigger('public-updates', 'update', { n: 1 });
    await until(() => heard.length === 1, 'the event');
    assert.deepEqual(heard, [{ n: 1 }]);
    assert.equal(await subscriptions(), 1);
    two.release();
    await until(async () => await subscriptions() === 0, 'the channel to be left');
  });

  test('subscribe and unsubscribe as the guide has them', async () => {
    const service = makeService(ctx, await begin(), transport);
    const heard = [];
    const channel = service.subscribe('public-test');
    channel.bind('e', (data) => heard.push(data));
    await new Promise((resolve) => { channel.bind('pusher:subscription_succeeded', resolve); });
    await ctx.api().trigger('public-test', 'e', 'hello');
    await until(() => heard.length === 1, 'the event');
    service.unsubscribe('public-test');
    await until(async () => await subscriptions() === 0, 'the channel to be left');
  });

  test('a private channel: the endpoint signs for its user, and refuses with its reason', async () => {
    const backend = await begin();
    const service = makeService(ctx, backend, transport);
    const heard = [];
    service.bind('private-user-ann', 'message', (data) => heard.push(data));
    service.retain('private-user-bob');
    await hasStatus(service, 'private-user-ann', 'subscribed');
    await hasStatus(service, 'private-user-bob', 'error');
    const { error } = service.channelStatus('private-user-bob');
    assert.ok(error instanceof PusherAuthError);
    assert.deepEqual([error.status, error.code, error.detail], [403, 'forbidden', 'Insufficient permissions for this channel']);
    await ctx.api().trigger(['private-user-ann', 'private-user-bob'], 'message', 'for her');
    await until(() => heard.length === 1, 'the event');
    assert.equal(await subscriptions(), 1);
  });

  test('a token that the application refuses is renewed, once for all channels', async () => {
    const backend = await begin();
    const service = makeService(ctx, backend, transport);
    backend.good.clear();
    const names = ['private-a', 'private-b', 'private-c', 'presence-d'];
    for (const name of names) service.retain(name);
    for (const name of names) await hasStatus(service, name, 'subscribed');
    assert.deepEqual(service.issued, ['ann-1', 'ann-2']);
  });

  test('an endpoint that is down: the channel comes as soon as it is back', async () => {
    const backend = await begin();
    const service = makeService(ctx, backend, transport);
    backend.down = true;
    service.retain('private-a');
    await hasStatus(service, 'private-a', 'error');
    assert.equal(service.channelStatus('private-a').error.code, 'unavailable');
    backend.down = false;
    await hasStatus(service, 'private-a', 'subscribed', RETURN_MS);
  });

  test('presence: who comes and who goes', async () => {
    const backend = await begin();
    const [ann, bob] = [makeService(ctx, backend, transport), makeService(ctx, backend, transport, { user: 'bob' })];
    const name = 'presence-content-updates';
    ann.retain(name);
    await hasStatus(ann, name, 'subscribed');
    assert.deepEqual(ann.presence(name).me, { id: 'ann', info: { id: 'ann', name: 'ANN' } });
    const handle = bob.retain(name);
    await until(() => ann.presence(name).count === 2, 'bob to appear');
    assert.deepEqual(ann.presence(name).members.get('bob'), { id: 'bob', name: 'BOB' });
    await hasStatus(bob, name, 'subscribed'); // which ann may hear of earlier
    assert.deepEqual([...bob.presence(name).members.keys()].sort(), ['ann', 'bob']);
    handle.release();
    await until(() => ann.presence(name).count === 1, 'bob to go');
  });

  test('client events go to the others, with their sender', async () => {
    const backend = await begin();
    const [ann, bob] = [makeService(ctx, backend, transport), makeService(ctx, backend, transport, { user: 'bob' })];
    const heard = [];
    for (const service of [ann, bob])
      service.bind('presence-room', 'client-wave', (data, { user_id: from }) => heard.push([data, from]));
    for (const service of [ann, bob]) await hasStatus(service, 'presence-room', 'subscribed');
    const channel = ann.subscribe('presence-room');
    channel.trigger('client-wave', { hand: 'left' });
    await until(() => heard.length, 'the wave');
    assert.deepEqual(heard, [[{ hand: 'left' }, 'ann']]);
  });

  test('events to a user after signin', async () => {
    const service = makeService(ctx, await begin(), transport);
    service.initialize();
    const heard = [];
    service.pusher.user.bind('notice', (data) => heard.push(data));
    service.signin();
    await until(() => service.pusher.user.serverToUserChannel?.subscribed, 'signin');
    await ctx.api().sendToUser('ann', 'notice', { n: 1 });
    await until(() => heard.length, 'the event');
    assert.deepEqual(heard, [{ n: 1 }]);
  });

  test('sendMessage: the others hear it and the sender gets the answer', async () => {
    const backend = await begin();
    const [ann, bob] = [makeService(ctx, backend, transport), makeService(ctx, backend, transport, { user: 'bob' })];
    const heard = [];
    for (const [who, service] of [['ann', ann], ['bob', bob]]) {
      service.bind('presence-room', 'message', (data) => heard.push([who, data.type, data.payload, data.request_id]));
      await hasStatus(service, 'presence-room', 'subscribed');
    }
    backend.good.delete(ann.issued[0]); // and the token needs renewing on the way
    const result = await ann.sendMessage('chat', { text: 'hi' }, 'presence-room', { requestId: 'r-1' });
    assert.deepEqual([result.success, result.user_id, result.request_id], [true, 'ann', 'r-1']);
    await until(() => heard.length, 'the event');
    assert.deepEqual(heard, [['bob', 'chat', { text: 'hi' }, 'r-1']]);
    assert.equal(backend.to('/api/v1/pusher/message').at(-1).headers['x-socket-id'], ann.socketId);
    assert.deepEqual(ann.issued, ['ann-1', 'ann-2']);
  });

  test('sendMessage: failures keep what the application said', async () => {
    const backend = await begin();
    const service = makeService(ctx, backend, transport);
    const failed = (sent) => sent.then(() => assert.fail('it passed'), (error) => error);
    const forbidden = await failed(service.sendMessage('chat', {}, 'private-user-bob'));
    assert.ok(forbidden instanceof PusherMessageError);
    assert.deepEqual([forbidden.status, forbidden.detail], [403, 'Insufficient permissions for this channel']);
    const invalid = await failed(service.sendMessage(undefined, {}));
    assert.deepEqual([invalid.status, invalid.detail[0].loc], [422, ['body', 'message_type']]);
    const missing = await failed(service.post('/nowhere', {}));
    assert.deepEqual([missing.status, missing.code], [404, 'not_found']);
    backend.down = true;
    const down = await failed(service.sendMessage('chat', {}, undefined, { retries: 0 }));
    assert.deepEqual([down.status, down.code, down.retryAfter], [503, 'unavailable', 1]);
    setTimeout(() => { backend.down = false; }, 300);
    assert.equal((await service.sendMessage('chat', {})).success, true);
  });

  test('a key that the server does not know ends as its error', async () => {
    const service = makeService(ctx, await begin(), transport, { key: 'nobody' });
    service.initialize();
    await until(() => service.getState() === 'disconnected' || service.getState() === 'failed', 'the refusal');
    assert.equal(service.lastError.code, 4001);
  });

  test('a connection that is cut comes back with every channel, member and callback, and a new signature', async () => {
    const backend = await begin();
    const wire = await startWire(ctx.server);
    ctx.defer(() => wire.stop());
    const service = makeService(ctx, backend, transport, { port: wire.port });
    const names = ['public-a', 'private-user-ann', 'presence-room'];
    const heard = [];
    for (const name of names) service.bind(name, 'e', (data) => heard.push([name, data]));
    for (const name of names) await hasStatus(service, name, 'subscribed');
    const before = service.socketId;
    backend.good.delete(service.issued[0]); // the token has expired meanwhile
    await wire.cut(service);
    await until(() => service.getState() === 'connected' && service.socketId !== before, 'another connection', RETURN_MS);
    for (const name of names) await hasStatus(service, name, 'subscribed');
    for (const name of names) await ctx.api().trigger(name, 'e', 1);
    await until(() => heard.length === 3, 'the events');
    assert.deepEqual(heard.sort(), names.map((name) => [name, 1]).sort());
    assert.equal(service.presence('presence-room').count, 1);
    assert.deepEqual(service.issued, ['ann-1', 'ann-2']);
    assert.equal(await subscriptions(), 3);
  });

  test('subscribing and leaving at once, a hundred times, leaves nothing behind', async () => {
    const backend = await begin();
    const service = makeService(ctx, backend, transport);
    service.initialize();
    await isConnected(service);
    for (let i = 0; i < 100; i++) {
      const handles = ['public-a', 'private-b', 'presence-c'].map((name) => service.retain(name));
      if (i % 3) await new Promise((resolve) => { setImmediate(resolve); });
      for (const handle of handles) handle.release();
      if (i % 2) await new Promise((resolve) => { setImmediate(resolve); });
    }
    service.retain('public-last');
    await hasStatus(service, 'public-last', 'subscribed');
    await until(async () => await subscriptions() === 1, 'all others to be left');
    assert.deepEqual([...service.channelUsers().keys()], ['public-last']);
  });
});
