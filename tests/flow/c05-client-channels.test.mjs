// pusher-js: channels, authorisation and client events.
import assert from 'node:assert/strict';
import http from 'node:http';
import { test } from 'node:test';
import { channelAuth, connected, forEachWorkers, once, subscribed, until } from './harness.mjs';

forEachWorkers('channels of pusher-js', {}, (ctx) => {
  // The customer's backend: signs for whoever asks, and remembers the requests.
  async function authServer(answer) {
    const requests = [];
    const server = http.createServer((request, response) => {
      let body = '';
      request.on('data', (chunk) => { body += chunk; });
      request.on('end', () => {
        const form = new URLSearchParams(body);
        requests.push({ headers: request.headers, form });
        const { status = 200, json } = answer(form, request);
        response.writeHead(status, { 'content-type': 'application/json' });
        response.end(JSON.stringify(json));
      });
    });
    await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
    ctx.defer(() => new Promise((resolve) => { server.closeAllConnections(); server.close(resolve); }));
    return { endpoint: `http://127.0.0.1:${server.address().port}/pusher/auth`, requests };
  }
  const sign = (form) => ({ json: ctx.api().authorizeChannel(form.get('socket_id'), form.get('channel_name')) });

  test('subscribe(public) succeeds and hears the API', async () => {
    const client = ctx.client();
    const channel = await subscribed(client, 'foo');
    const heard = once(channel, 'my-event');
    await ctx.api().trigger('foo', 'my-event', { hello: 'world' });
    assert.deepEqual(await heard, { hello: 'world' });
  });

  test('pusher:subscription_succeeded is emitted once for each subscription', async () => {
    const client = await connected(ctx.client());
    let n = 0;
    const channel = client.subscribe('foo');
    client.subscribe('foo');
    channel.bind('pusher:subscription_succeeded', () => { n++; });
    await until(() => channel.subscribed, 'subscribed');
    await subscribed(client, 'bar');
    assert.equal(n, 1);
    assert.deepEqual(client.errors, []);
  });

  test('unsubscribe and subscribe back to back succeed once more', async () => {
    const client = ctx.client();
    await subscribed(client, 'foo');
    client.unsubscribe('foo');
    const again = await subscribed(client, 'foo');
    const heard = once(again, 'e');
    await ctx.api().trigger('foo', 'e', 1);
    assert.equal(await heard, 1);
    assert.deepEqual(client.errors, []);
  });

  test('unsubscribe while the subscription is pending leaves it in the end', async () => {
    const client = await connected(ctx.client());
    client.subscribe('foo');
    client.unsubscribe('foo');
    await subscribed(client, 'bar');
    await until(async () => (await ctx.server.metrics()).sum('carillon_subscriptions') === 1, 'foo to be left');
    assert.deepEqual(client.errors, []);
  });

  test('unsubscribe stops delivery', async () => {
    const client = ctx.client();
    const channel = await subscribed(client, 'foo');
    const bar = await subscribed(client, 'bar');
    const heard = [];
    channel.bind('e', (data) => heard.push(data));
    client.unsubscribe('foo');
    await until(async () => (await ctx.server.metrics()).sum('carillon_subscriptions') === 1, 'foo to be left');
    const last = once(bar, 'e');
    await ctx.api().trigger(['foo', 'bar'], 'e', 1);
    await last;
    assert.deepEqual(heard, []);
  });

  test('subscribe(\'#x\') throws in the client and sends nothing', async () => {
    const client = await connected(ctx.client());
    assert.throws(() => client.subscribe('#x'));
    await subscribed(client, 'foo');
    assert.deepEqual(client.errors, []);
  });

  test('channelAuthorization by endpoint, with params, headers and providers', async () => {
    const auth = await authServer(sign);
    const client = ctx.client({
      channelAuthorization: {
        transport: 'ajax', endpoint: auth.endpoint, params: { p: 'a b&c' }, headers: { 'X-One': '1' },
        paramsProvider: () => ({ q: 'q' }), headersProvider: () => ({ 'X-Two': '2' }),
      },
    });
    await subscribed(client, 'private-foo');
    const [{ form, headers }] = auth.requests;
    assert.equal(form.get('socket_id'), client.connection.socket_id);
    assert.deepEqual([form.get('channel_name'), form.get('p'), form.get('q'), headers['x-one'], headers['x-two']], ['private-foo', 'a b&c', 'q', '1', '2']);
  });

  test('the legacy authEndpoint, auth and authorizer options', async () => {
    const auth = await authServer(sign);
    const one = ctx.client({ channelAuthorization: undefined, authEndpoint: auth.endpoint, authTransport: 'ajax', auth: { params: { p: '1' }, headers: { 'X-H': '2' } } });
    await subscribed(one, 'private-foo');
    assert.deepEqual([auth.requests[0].form.get('p'), auth.requests[0].headers['x-h']], ['1', '2']);
    const two = ctx.client({
      channelAuthorization: undefined,
      authorizer: (channel) => ({ authorize: (socketId, done) => done(null, ctx.api().authorizeChannel(socketId, channel.name)) }),
    });
    await subscribed(two, 'private-foo');
  });

  test('an endpoint that refuses makes a subscription_error of the client alone', async () => {
    const auth = await authServer(() => ({ status: 403, json: {} }));
    const client = ctx.client({ channelAuthorization: { transport: 'ajax', endpoint: auth.endpoint } });
    const error = await once(client.subscribe('private-foo'), 'pusher:subscription_error');
    assert.equal(error.status, 403);
    assert.equal((await ctx.server.metrics()).sum('carillon_subscriptions'), 0);
    assert.deepEqual(client.errors, []);
  });

  test('a bad signature: an error of the connection and a subscription_error of the channel', async () => {
    const client = ctx.client({ channelAuthorization: { customHandler: (_, done) => done(null, { auth: 'test-key:0000' }) } });
    const channel = client.subscribe('private-foo');
    const error = await once(channel, 'pusher:subscription_error');
    assert.deepEqual([error.type, error.status], ['AuthError', 401]);
    assert.equal(client.errors.length, 1);
    assert.equal(client.errors[0].data.code, null);
    assert.match(client.errors[0].data.message, /^Invalid signature: /);
    assert.equal(channel.subscribed, false);
    assert.equal(client.connection.state, 'connected');
  });

  test('a private channel with channel_data is verified with it', async () => {
    const client = ctx.client({
      channelAuthorization: {
        customHandler({ socketId, channelName }, done) {
          const data = '{"user_id":"7"}';
          done(null, { auth: channelAuth(ctx.server.app, socketId, channelName, data), channel_data: data });
        },
      },
    });
    await subscribed(client, 'presence-foo');
    // pusher-js forwards channel_data of every channel type.
    await subscribed(client, 'private-foo');
  });

  test('client events pass in both directions, and never come back to the sender', async () => {
    const one = await subscribed(ctx.client(), 'private-foo');
    const two = await subscribed(ctx.client(), 'private-foo');
    const echoes = [];
    for (const [from, to] of [[one, two], [two, one]]) {
      from.bind('client-x', (data) => echoes.push(data));
      const heard = once(to, 'client-x');
      assert.equal(from.trigger('client-x', { a: [1, 'é'] }), true);
      assert.deepEqual(await heard, { a: [1, 'é'] });
      from.unbind('client-x');
    }
    assert.deepEqual(echoes, []);
  });

  test('every JSON value arrives as the same value', async () => {
    const one = await subscribed(ctx.client(), 'private-foo');
    const two = await subscribed(ctx.client(), 'private-foo');
    for (const value of [{ a: 1 }, [1, 2], 7, true, null, 'text', '', { deep: { deeper: [null] } }]) {
      const heard = once(two, 'client-x');
      one.trigger('client-x', value);
      assert.deepEqual(await heard, value);
    }
  });

  test('trigger with undefined data arrives as undefined', async () => {
    const one = await subscribed(ctx.client(), 'private-foo');
    const other = ctx.client();
    const two = await subscribed(other, 'private-foo');
    const message = once(other.connection, 'message');
    const heard = once(two, 'client-x');
    one.trigger('client-x', undefined);
    assert.equal(await heard, undefined);
    assert.equal((await message).data, undefined);
  });

  test('trigger on a public channel, or too early, is an error of the sender and nothing else', async () => {
    const sender = ctx.client();
    const channel = await subscribed(sender, 'foo');
    const other = await subscribed(ctx.client(), 'foo');
    const heard = [];
    other.bind('client-x', (data) => heard.push(data));
    let error = once(sender.connection, 'error');
    channel.trigger('client-x', {});
    assert.equal((await error).data.code, null);
    error = once(sender.connection, 'error');
    sender.send_event('client-x', {}, 'private-never');
    assert.equal((await error).data.message, 'Cannot broadcast client event (connection not subscribed to channel private-never)');
    const last = once(other, 'e');
    await ctx.api().trigger('foo', 'e', 1);
    await last;
    assert.deepEqual(heard, []);
  });

  test('eleven triggers in a second: the excess is 4301, the others arrive', async () => {
    const sender = ctx.client();
    const channel = await subscribed(sender, 'private-foo');
    const other = await subscribed(ctx.client(), 'private-foo');
    const heard = [];
    other.bind('client-x', (data) => heard.push(data.n));
    const error = once(sender.connection, 'error');
    for (let n = 0; n < 11; n++) channel.trigger('client-x', { n });
    assert.equal((await error).data.code, 4301);
    await until(() => heard.length === 10, 'ten events');
    assert.deepEqual(heard, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert.equal(sender.connection.state, 'connected');
  });

  test('bind, bind_global and names of any text', async () => {
    const client = ctx.client();
    const channel = await subscribed(client, 'foo');
    const all = [];
    channel.bind_global((name, data) => { if (!name.startsWith('pusher:')) all.push([name, data]); });
    const names = ['App\\Events\\Shipped', 'a b', '.dot', 'ü\u{1f600}'];
    for (const name of names) await ctx.api().trigger('foo', name, { name });
    await until(() => all.length === names.length, 'all events');
    assert.deepEqual(all, names.map((name) => [name, { name }]));
  });

  test('trap 35: socket_id of the connection leaves it out of an event of the API', async () => {
    const clients = Array.from({ length: 6 }, () => ctx.client());
    const heard = [];
    for (const [i, client] of clients.entries()) {
      const channel = await subscribed(client, 'foo');
      channel.bind('e', () => heard.push(i));
      channel.bind('end', () => heard.push(`end${i}`));
    }
    await ctx.api().trigger('foo', 'e', {}, { socket_id: clients[3].connection.socket_id });
    await ctx.api().trigger('foo', 'end', {});
    await until(() => heard.filter((x) => typeof x === 'string').length === 6, 'the end');
    assert.deepEqual(heard.filter((x) => typeof x === 'number').sort(), [0, 1, 2, 4, 5]);
  });

  test('trap 23: empty data arrives', async () => {
    const client = ctx.client();
    const channel = await subscribed(client, 'foo');
    const heard = once(channel, 'e');
    await ctx.api().trigger('foo', 'e', '');
    assert.equal(await heard, '');
  });

  test('allChannels() and channel() know what was subscribed', async () => {
    const client = ctx.client();
    await subscribed(client, 'foo');
    await subscribed(client, 'private-foo');
    assert.deepEqual(client.allChannels().map((c) => c.name).sort(), ['foo', 'private-foo']);
    assert.equal(client.channel('foo').subscribed, true);
  });
});
