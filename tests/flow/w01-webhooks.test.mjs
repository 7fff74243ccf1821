// What webhooks say: each type, whole; who gets which.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { channelAuth, pusherClient, rawSocket, rawSubscribe, startServer, subscribed, until } from './harness.mjs';
import { Receiver, app, configWith } from './receiver.mjs';

for (const workers of [1, 4])
  describe(`webhooks (${workers} workers)`, () => {
    const hooks = {};
    let server;

    before(async () => {
      for (const name of ['all', 'existence', 'named', 'prefix', 'suffix', 'other']) hooks[name] = await new Receiver().listen();
      server = await startServer({
        workers,
        app: null,
        config: configWith([
          { url: hooks.all.url, headers: { 'X-Extra': 'one two' } },
          { url: hooks.existence.url, events: ['channel_existence'] },
          { url: hooks.named.url, events: ['member_removed', 'cache_miss'] },
          { url: hooks.prefix.url, events: ['channel_occupied'], channel_prefix: 'presence-' },
          { url: hooks.suffix.url, events: ['channel_occupied'], channel_suffix: '-eu' },
        ], `  - id: a2
    keys: [{key: k2, secret: s2}]
    webhooks:
      - {url: "${hooks.other.url}"}
`),
      });
      server.app = app;
    });

    after(async () => {
      for (const hook of Object.values(hooks)) hook.close();
      await server.stop();
    });

    const clear = () => { for (const hook of Object.values(hooks)) hook.requests.length = 0; };
    // What begins also ends: one that waits for its grace, or is on its way, is not yet anywhere.
    const ended = (begin, end) => {
      const count = (name) => hooks.all.events().filter((event) => event.name === name).length;
      return count(begin) === count(end);
    };
    const settled = () => until(async () => {
      const isEnded = ended('channel_occupied', 'channel_vacated') && ended('member_added', 'member_removed');
      const metrics = await server.metrics();
      return isEnded && metrics.sum('carillon_channels') === 0 && metrics.sum('carillon_webhook_queue_events') === 0;
    }, 'channels to be gone and webhooks sent');

    test('a public channel: occupied, counts, vacated', async () => {
      clear();
      const socket = await rawSocket(server);
      await rawSubscribe(socket, 'foo');
      const second = await rawSocket(server);
      await rawSubscribe(second, 'foo');
      second.destroy();
      await hooks.all.expect(4);
      socket.destroy();
      const events = await hooks.all.expect(6);
      assert.deepEqual(events, [
        { name: 'channel_occupied', channel: 'foo' },
        { name: 'subscription_count', channel: 'foo', subscription_count: 1 },
        { name: 'subscription_count', channel: 'foo', subscription_count: 2 },
        { name: 'subscription_count', channel: 'foo', subscription_count: 1 },
        { name: 'subscription_count', channel: 'foo', subscription_count: 0 },
        { name: 'channel_vacated', channel: 'foo' },
      ]);
      assert.equal(hooks.other.requests.length, 0, 'another app hears nothing');
    });

    test('every request is signed, and the official library takes it', async () => {
      for (const request of hooks.all.requests) {
        assert.equal(request.method, 'POST');
        assert.equal(request.headers['content-type'], 'application/json');
        assert.equal(request.headers['x-pusher-key'], app.key);
        assert.match(request.headers['x-pusher-signature'], /^[0-9a-f]{64}$/);
        assert.equal(request.headers['x-extra'], 'one two');
        assert.match(request.body, /^\{"time_ms":\d{13},"events":\[\{.*\}\]\}$/);
        assert.equal(request.events.length, 1, 'one event a request without batching');
        assert.ok(Math.abs(JSON.parse(request.body).time_ms - request.at) < 60000);
      }
      assert.ok(hooks.all.validated(app).every((hook) => hook.isValid()));
      assert.ok(hooks.all.validated({ ...app, secret: 'other' }).every((hook) => !hook.isValid()));
    });

    test('a presence channel: members by user, client events with their sender', async () => {
      await settled();
      clear();
      const member = (id) => ({ member: () => ({ user_id: id, user_info: { n: 1 } }) });
      const ann = pusherClient(server, member('ann'));
      const channel = await subscribed(ann, 'presence-room');
      const tab = pusherClient(server, member('ann'));
      await subscribed(tab, 'presence-room');
      const bob = pusherClient(server, member('bob'));
      await subscribed(bob, 'presence-room');
      channel.trigger('client-hi', { a: [1, 'x'] });
      await hooks.all.expect(4);
      tab.disconnect();
      bob.disconnect();
      await hooks.all.expect(5);
      const socketId = ann.connection.socket_id;
      ann.disconnect();
      const events = await hooks.all.expect(7);
      assert.deepEqual(events, [
        { name: 'channel_occupied', channel: 'presence-room' },
        { name: 'member_added', channel: 'presence-room', user_id: 'ann' },
        { name: 'member_added', channel: 'presence-room', user_id: 'bob' },
        { name: 'client_event', channel: 'presence-room', event: 'client-hi', data: '{"a":[1,"x"]}', socket_id: socketId, user_id: 'ann' },
        { name: 'member_removed', channel: 'presence-room', user_id: 'bob' },
        { name: 'member_removed', channel: 'presence-room', user_id: 'ann' },
        { name: 'channel_vacated', channel: 'presence-room' },
      ]);
    });

    test('a cache channel: one miss for an empty episode', async () => {
      await settled();
      clear();
      const sockets = [];
      for (let i = 0; i < 3; i++) {
        sockets.push(await rawSocket(server));
        await rawSubscribe(sockets[i], 'cache-x').catch(() => {});
      }
      await until(() => hooks.named.events().length >= 1, 'a miss');
      for (const socket of sockets) socket.destroy();
      await settled();
      const again = await rawSocket(server);
      await rawSubscribe(again, 'cache-x').catch(() => {});
      await until(() => hooks.named.events().length >= 2, 'another miss');
      again.destroy();
      await settled();
      assert.deepEqual(hooks.named.events(), Array.from({ length: 2 }, () => ({ name: 'cache_miss', channel: 'cache-x' })));
    });

    test('filters: group, name, prefix, suffix', async () => {
      await settled();
      clear();
      const socket = await rawSocket(server);
      const data = '{"user_id":"u"}';
      const auth = (channel, channelData) => ({ auth: channelAuth(app, socket.socketId, channel, channelData), channel_data: channelData });
      for (const channel of ['news', 'news-eu'])
        await rawSubscribe(socket, channel);
      socket.send({ event: 'pusher:subscribe', data: { channel: 'presence-eu', ...auth('presence-eu', data) } });
      await socket.expectEvent('pusher_internal:subscription_succeeded', 'presence-eu');
      socket.destroy();
      await settled();
      await until(() => hooks.existence.events().length >= 6, 'six of existence');
      const occupied = (channel) => ({ name: 'channel_occupied', channel });
      assert.deepEqual(hooks.prefix.events(), [occupied('presence-eu')]);
      assert.deepEqual(hooks.suffix.events().sort((a, b) => (a.channel < b.channel ? -1 : 1)), [occupied('news-eu'), occupied('presence-eu')]);
      assert.deepEqual(hooks.named.events(), [{ name: 'member_removed', channel: 'presence-eu', user_id: 'u' }]);
      assert.ok(hooks.existence.events().every((event) => /^channel_(occupied|vacated)$/.test(event.name)));
      for (const hook of Object.values(hooks)) assert.ok(hook.validated(app).every((request) => request.isValid()));
    });

    test('who comes back within the grace causes nothing', async () => {
      await settled();
      clear();
      const first = await rawSocket(server);
      await rawSubscribe(first, 'brief');
      await hooks.existence.expect(1);
      for (let i = 0; i < 10; i++) {
        first.send({ event: 'pusher:unsubscribe', data: { channel: 'brief' } });
        await rawSubscribe(first, 'brief');
      }
      first.destroy();
      await hooks.existence.expect(2);
      assert.deepEqual(hooks.existence.events().map((event) => event.name), ['channel_occupied', 'channel_vacated']);
      const metrics = await server.metrics();
      assert.ok(metrics.sum('carillon_webhook_events_total', { type: 'channel_vacated', outcome: 'suppressed' }) >= 10);
    });

    test('channels of users tell nothing', async () => {
      await settled();
      clear();
      const client = pusherClient(server, { user: { id: 'u9' } });
      client.signin();
      await subscribed(client, 'marker');
      await until(() => client.user.user_data, 'signed in');
      client.disconnect();
      await hooks.existence.expect(2);
      assert.ok(hooks.all.events().every((event) => event.channel === 'marker'));
    });
  });
