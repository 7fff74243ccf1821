// pusher-js: connecting, staying, coming back.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import net from 'node:net';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  connected, defaultApp, expectIdle, forEachWorkers, freePort, limit, once, ownFolder, pusherClient, startServer, subscribed, until, within,
} from './harness.mjs';

const apps = `
apps:
  - id: "second"
    keys: [{key: second-key, secret: second-secret}]
  - id: "off"
    keys: [{key: off-key, secret: off-secret}]
    enabled: false
`;
const secondApp = { id: 'second', key: 'second-key', secret: 'second-secret' };

// pusher-js tells an error in one of two shapes.
const codeOf = (error) => (error.data ?? error.error?.data)?.code;

forEachWorkers('pusher-js', { config: apps }, (ctx) => {
  test('it connects, whatever the cluster is called', async () => {
    for (const cluster of ['self', 'mt1', '']) {
      const client = await connected(ctx.client({ cluster }));
      assert.match(client.connection.socket_id, /^\d+\.\d+$/);
      assert.deepEqual(client.errors, []);
    }
  });

  test('state_change goes from connecting to connected', async () => {
    const client = ctx.client();
    const states = [client.connection.state];
    client.connection.bind('state_change', ({ current }) => states.push(current));
    await connected(client);
    assert.deepEqual(states.slice(-2), ['connecting', 'connected']);
  });

  test('enabledTransports of ws only, and disabledTransports of the others, use the WebSocket', async () => {
    await connected(ctx.client({ enabledTransports: ['ws'] }));
    await connected(ctx.client({ enabledTransports: undefined, disabledTransports: ['wss', 'xhr_streaming', 'xhr_polling', 'sockjs'] }));
  });

  test('wsPath with a prefix that the server does not have ends in 4005 and no retry', async () => {
    const client = ctx.client({ wsPath: '/elsewhere' });
    await until(() => client.connection.state === 'disconnected', 'disconnected');
    assert.equal(codeOf(client.errors[0]), 4005);
  });

  test('trap 08: an unknown key disconnects for good, with the code and the reason', async () => {
    const client = ctx.client({ app: { ...defaultApp, key: 'nobody' } });
    await until(() => client.connection.state === 'disconnected', 'disconnected');
    assert.deepEqual(client.errors[0].error.data, { code: 4001, message: 'App key nobody not in this cluster. Did you forget to specify the cluster?' });
  });

  test('a disabled app disconnects for good with 4003', async () => {
    const client = ctx.client({ app: { ...defaultApp, key: 'off-key' } });
    await until(() => client.connection.state === 'disconnected', 'disconnected');
    assert.equal(codeOf(client.errors[0]), 4003);
  });

  test('activityTimeout: the client pings and is answered', async () => {
    const client = ctx.client({ activityTimeout: 200, pongTimeout: limit(2000) });
    await connected(client);
    const id = client.connection.socket_id;
    for (let i = 0; i < 3; i++) {
      const message = await once(client.connection, 'message');
      assert.equal(message.event, 'pusher:pong');
    }
    assert.equal(client.connection.socket_id, id);
  });

  test('disconnect() leaves, connect() comes back under a new id and subscribes again', async () => {
    const client = ctx.client({ member: () => ({ user_id: 'me' }) });
    const channels = [await subscribed(client, 'foo'), await subscribed(client, 'private-foo'), await subscribed(client, 'presence-foo')];
    const watcher = ctx.client({ member: () => ({ user_id: 'watcher' }) });
    const room = await subscribed(watcher, 'presence-foo');
    const first = client.connection.socket_id;
    const removed = once(room, 'pusher:member_removed');
    client.disconnect();
    assert.equal((await removed).id, 'me');
    const added = once(room, 'pusher:member_added');
    client.connect();
    await connected(client);
    assert.notEqual(client.connection.socket_id, first);
    await until(() => channels.every((channel) => channel.subscribed), 'all channels again');
    assert.equal((await added).id, 'me');
    const heard = Promise.all(channels.map((channel) => once(channel, 'e')));
    await ctx.api().trigger(['foo', 'private-foo', 'presence-foo'], 'e', { n: 1 });
    assert.deepEqual(await heard, [{ n: 1 }, { n: 1 }, { n: 1 }]);
  });

  test('switchCluster closes the old connection and subscribes again with the new key', async () => {
    const client = ctx.client({
      channelAuthorization: {
        customHandler({ socketId, channelName }, done) {
          done(null, ctx.api({ app: secondApp }).authorizeChannel(socketId, channelName));
        },
      },
    });
    const channel = await subscribed(client, 'foo');
    client.switchCluster({ appKey: 'second-key', cluster: 'other' });
    const other = client.subscribe('private-foo');
    await until(() => client.connection.state === 'connected' && other.subscribed && channel.subscribed, 'all again');
    const heard = once(channel, 'e');
    await ctx.api({ app: secondApp }).trigger('foo', 'e', 'from the second app');
    assert.equal(await heard, 'from the second app');
  });

  test('send_event of an unknown event gets an error, and the connection stays', async () => {
    const client = await connected(ctx.client());
    const error = once(client.connection, 'error');
    client.send_event('x', { a: 1 });
    assert.deepEqual((await error).data, { code: null, message: "Unsupported event received on socket: 'x'" });
    assert.equal(client.connection.state, 'connected');
    await subscribed(client, 'foo');
  });

  test('the worker build connects, authorises by fetch and hears events', async () => {
    const auth = http.createServer((request, response) => {
      let body = '';
      request.on('data', (chunk) => { body += chunk; });
      request.on('end', () => {
        const form = new URLSearchParams(body);
        response.setHeader('content-type', 'application/json');
        response.end(JSON.stringify(ctx.api().authorizeChannel(form.get('socket_id'), form.get('channel_name'))));
      });
    });
    await new Promise((resolve) => { auth.listen(0, '127.0.0.1', resolve); });
    ctx.defer(() => new Promise((resolve) => { auth.closeAllConnections(); auth.close(resolve); }));
    globalThis.self ??= globalThis;
    const Client = createRequire(import.meta.url)('pusher-js/worker');
    const client = ctx.client({ Client, channelAuthorization: { transport: 'ajax', endpoint: `http://127.0.0.1:${auth.address().port}/` } });
    const channel = await subscribed(client, 'private-foo');
    const heard = once(channel, 'e');
    await ctx.api().trigger('private-foo', 'e', { n: 1 });
    assert.deepEqual(await heard, { n: 1 });
  });
});

forEachWorkers('pusher-js under a path prefix', { set: { path_prefix: '/some/prefix' } }, (ctx) => {
  test('wsPath is the prefix', async () => {
    const client = ctx.client({ wsPath: '/some/prefix' });
    const channel = await subscribed(client, 'private-foo');
    const other = await subscribed(ctx.client({ wsPath: '/some/prefix' }), 'private-foo');
    const heard = once(channel, 'client-x');
    other.trigger('client-x', { a: 1 });
    assert.deepEqual(await heard, { a: 1 });
  });
});

forEachWorkers('activity_timeout', { set: { 'limits.activity_timeout_s': 1 } }, (ctx) => {
  test('the client takes over the server\'s activity_timeout', async () => {
    const client = await connected(ctx.client());
    const message = await once(client.connection, 'message', 10000);
    assert.equal(message.event, 'pusher:pong');
  });
});

for (const workers of [1, 4])
  describe(`pusher-js and a server in trouble (${workers} workers)`, () => {
    test('pongTimeout: a mute server is left, and found again', async () => {
      const server = await startServer({ workers });
      const client = pusherClient(server, { activityTimeout: 300, pongTimeout: 300 });
      await connected(client);
      const id = client.connection.socket_id;
      await server.freeze();
      await until(() => client.connection.state !== 'connected', 'the client to give up');
      server.thaw();
      await connected(client, 20000);
      assert.notEqual(client.connection.socket_id, id);
      client.disconnect();
      await expectIdle(server);
      await server.stop();
    });

    test('unavailableTimeout: only a state, and it connects later', async () => {
      const server = await startServer({ workers });
      await server.freeze();
      const client = pusherClient(server, { unavailableTimeout: 300 });
      await once(client.connection, 'unavailable');
      server.thaw();
      await connected(client, 20000);
      client.disconnect();
      await expectIdle(server);
      await server.stop();
    });

    test('a server that goes closes with 4200, and every client is at once on the next one', async () => {
      const servers = [await startServer({ workers }), await startServer({ workers })];
      let target = servers[0].port;
      const balancer = net.createServer((from) => {
        const to = net.connect({ host: '127.0.0.1', port: target });
        from.pipe(to).pipe(from);
        for (const [socket, other] of [[from, to], [to, from]]) {
          socket.on('error', () => {});
          socket.on('close', () => other.destroy());
        }
      });
      await new Promise((resolve) => { balancer.listen(0, '127.0.0.1', resolve); });
      balancer.unref(); // a test that fails leaves it open
      const clients = Array.from({ length: 5 }, () => pusherClient(servers[0], { wsPort: balancer.address().port, member: (id) => ({ user_id: id }) }));
      for (const client of clients) await subscribed(client, 'presence-foo');
      const codes = clients.map((client) => within(new Promise((resolve) => {
        client.connection.bind('error', (error) => { if (codeOf(error) >= 4000) resolve(codeOf(error)); });
      }), 'the close code', 20000));
      const ids = clients.map((client) => client.connection.socket_id);
      target = servers[1].port;
      const stopped = servers[0].stop();
      assert.deepEqual(await Promise.all(codes), ids.map(() => 4200));
      await stopped;
      for (const [i, client] of clients.entries()) {
        // The code comes before the state changes.
        await until(() => client.connection.state === 'connected' && client.connection.socket_id !== ids[i], 'another connection');
        await until(() => client.channel('presence-foo').subscribed, 'its channel');
      }
      await until(() => clients.every((client) => client.channel('presence-foo').members.count === 5), 'five members');
      for (const client of clients) client.disconnect();
      await expectIdle(servers[1]);
      await servers[1].stop();
      await new Promise((resolve) => { balancer.close(resolve); });
    });
  });

describe('pusher-js over TLS', () => {
  let folder;
  let server;
  before(async () => {
    folder = ownFolder('tls');
    execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost',
      '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost', '-keyout', path.join(folder, 'key.pem'), '-out', path.join(folder, 'cert.pem')], { stdio: 'ignore' });
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
    server = await startServer({
      workers: 4,
      set: { 'tls.cert': path.join(folder, 'cert.pem'), 'tls.key': path.join(folder, 'key.pem'), 'tls.port': await freePort() },
      config: 'apps:\n  - id: "safe"\n    keys: [{key: safe-key, secret: safe-secret}]\n    tls_only: true\n',
    });
  });
  after(async () => {
    await expectIdle(server);
    await server.stop();
    rmSync(folder, { recursive: true });
  });

  test('forceTLS connects by wss', async () => {
    const client = pusherClient(server, { forceTLS: true, wssPort: server.tlsPort, enabledTransports: ['ws', 'wss'] });
    const channel = await subscribed(client, 'private-foo', 15000);
    assert.equal(client.connection.isUsingTLS(), true);
    const heard = once(channel, 'client-x');
    const other = pusherClient(server);
    (await subscribed(other, 'private-foo')).trigger('client-x', { over: 'tls' });
    assert.deepEqual(await heard, { over: 'tls' });
    client.disconnect();
    other.disconnect();
  });

  test('a client that came in plain to a TLS-only app goes over to wss by itself', async () => {
    const app = { id: 'safe', key: 'safe-key', secret: 'safe-secret' };
    const client = pusherClient(server, { app, wssPort: server.tlsPort, enabledTransports: ['ws', 'wss'] });
    await subscribed(client, 'private-foo', 15000);
    assert.equal(client.connection.isUsingTLS(), true);
    client.disconnect();
  });
});

