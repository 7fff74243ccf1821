// Laravel Echo with its two broadcasters that speak the protocol.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import Echo from 'laravel-echo';
import Pusher from 'pusher-js';
import { connected, forEachWorkers, once, overHttp, pusherClient, transport, until, within } from './harness.mjs';

for (const broadcaster of ['pusher', 'reverb'])
  forEachWorkers(`laravel-echo with ${broadcaster}`, {}, (ctx) => {
    const encryptionMasterKeyBase64 = Buffer.from('0123456789abcdef0123456789abcdef').toString('base64');

    function echo(id = 'user', more = {}) {
      const api = ctx.api({ encryptionMasterKeyBase64 });
      const client = new Echo({
        broadcaster,
        Pusher,
        key: ctx.server.app.key,
        wsHost: ctx.server.host,
        wsPort: ctx.server.port,
        forceTLS: false,
        enabledTransports: overHttp ? [transport] : ['ws', 'wss'],
        httpHost: ctx.server.host,
        httpPort: ctx.server.port,
        withoutInterceptors: true,
        ...(broadcaster === 'pusher' ? { cluster: 'self' } : {}),
        channelAuthorization: {
          customHandler({ socketId, channelName }, done) {
            // Laravel signs user_id as the number that it is in the database.
            const data = channelName.startsWith('presence-') ? { user_id: id, user_info: { name: `name of ${id}` } } : undefined;
            done(null, api.authorizeChannel(socketId, channelName, data));
          },
        },
        ...more,
      });
      ctx.defer(() => client.disconnect());
      return client;
    }
    const first = (bind, what) => within(new Promise(bind), what);
    const ready = (channel) => first((resolve, reject) => { channel.subscribed(resolve); channel.error(reject); }, `subscription to ${channel.name}`);
    const heard = (channel, event) => first((resolve) => { channel.listen(event, resolve); }, event);
    const api = () => ctx.api({ encryptionMasterKeyBase64 });

    test('it connects and knows its socket id', async () => {
      const client = echo();
      await connected(client.connector.pusher);
      assert.match(client.socketId(), /^\d+\.\d+$/);
      assert.equal(client.connectionStatus(), 'connected');
    });

    test('listen hears events of Laravel by class and by name', async () => {
      const channel = echo().channel('orders');
      await ready(channel);
      const byClass = heard(channel, 'OrderShipped');
      const byName = heard(channel, '.order.shipped');
      await api().trigger('orders', 'App\\Events\\OrderShipped', { id: 1 });
      await api().trigger('orders', 'order.shipped', { id: 2 });
      assert.deepEqual(await byClass, { id: 1 });
      assert.deepEqual(await byName, { id: 2 });
    });

    test('listenToAll hears everything', async () => {
      const channel = echo().channel('orders');
      await ready(channel);
      const all = [];
      channel.listenToAll((event, data) => all.push([event, data]));
      await api().trigger('orders', 'App\\Events\\One', { n: 1 });
      await api().trigger('orders', 'two', { n: 2 });
      await until(() => all.length === 2, 'two events');
      assert.deepEqual(all.map(([, data]) => data), [{ n: 1 }, { n: 2 }]);
    });

    test('private channels, and toOthers by the socket id', async () => {
      const one = echo();
      const two = echo();
      const mine = one.private('chat');
      const theirs = two.private('chat');
      await Promise.all([ready(mine), ready(theirs)]);
      const echoes = [];
      mine.listen('Said', (data) => echoes.push(data));
      const said = heard(theirs, 'Said');
      await api().trigger('private-chat', 'App\\Events\\Said', { text: 'hi' }, { socket_id: one.socketId() });
      assert.deepEqual(await said, { text: 'hi' });
      const end = heard(mine, 'End');
      await api().trigger('private-chat', 'App\\Events\\End', {});
      await end;
      assert.deepEqual(echoes, []);
    });

    test('notifications', async () => {
      const channel = echo().private('App.Models.User.1');
      await ready(channel);
      const note = first((resolve) => { channel.notification(resolve); }, 'the notification');
      await api().trigger('private-App.Models.User.1', 'Illuminate\\Notifications\\Events\\BroadcastNotificationCreated', { type: 'x' });
      assert.deepEqual(await note, { type: 'x' });
    });

    test('trap 30: whisper with and without a payload', async () => {
      const one = echo().private('chat');
      const two = echo().private('chat');
      await Promise.all([ready(one), ready(two)]);
      let got = first((resolve) => { two.listenForWhisper('typing', (...args) => resolve(args[0])); }, 'a whisper');
      one.whisper('typing', { name: 'ann' });
      assert.deepEqual(await got, { name: 'ann' });
      got = first((resolve) => { two.listenForWhisper('stopped', (...args) => resolve(args[0])); }, 'a whisper');
      one.whisper('stopped');
      assert.equal(await got, undefined);
    });

    test('join: here, joining and leaving, with numeric ids', async () => {
      const ann = echo(1);
      const room = ann.join('room');
      const here = await first((resolve) => { room.here(resolve); }, 'here');
      assert.deepEqual(here, [{ name: 'name of 1' }]);
      const joining = first((resolve) => { room.joining(resolve); }, 'joining');
      const bob = echo(2);
      const both = await first((resolve) => { bob.join('room').here(resolve); }, 'here');
      assert.deepEqual(both.map((m) => m.name).sort(), ['name of 1', 'name of 2']);
      assert.deepEqual(await joining, { name: 'name of 2' });
      const leaving = first((resolve) => { room.leaving(resolve); }, 'leaving');
      bob.leave('room');
      assert.deepEqual(await leaving, { name: 'name of 2' });
    });

    test('whispers in a presence channel', async () => {
      const one = echo(1).join('room');
      const two = echo(2).join('room');
      await Promise.all([ready(one), ready(two)]);
      const got = first((resolve) => { two.listenForWhisper('wave', resolve); }, 'a whisper');
      one.whisper('wave', { a: 1 });
      assert.deepEqual(await got, { a: 1 });
    });

    test('encryptedPrivate', async () => {
      const channel = echo().encryptedPrivate('secret');
      await ready(channel);
      const got = heard(channel, 'Told');
      await api().trigger('private-encrypted-secret', 'App\\Events\\Told', { what: 'é' });
      assert.deepEqual(await got, { what: 'é' });
    });

    test('leave ends private and presence variants together', async () => {
      const client = echo();
      await ready(client.channel('all'));
      await ready(client.private('all'));
      await ready(client.join('all'));
      client.leave('all');
      await until(async () => (await ctx.server.metrics()).sum('carillon_subscriptions') === 0, 'nothing subscribed');
    });

    test('a failed authorisation reaches error()', async () => {
      const channel = echo('u', { channelAuthorization: { customHandler: (_, done) => done(null, { auth: 'test-key:00' }) } }).private('chat');
      const error = await first((resolve) => { channel.error(resolve); }, 'error()');
      assert.equal(error.status, 401);
    });

    test('a ready-made pusher-js works as Echo\'s client', async () => {
      const pusher = pusherClient(ctx.server);
      ctx.defer(() => pusher.disconnect());
      const client = new Echo({ broadcaster, client: pusher, key: ctx.server.app.key, withoutInterceptors: true });
      const channel = client.channel('given');
      await ready(channel);
      const got = once(pusher.channel('given'), 'App\\Events\\E');
      await api().trigger('given', 'App\\Events\\E', 1);
      assert.equal(await got, 1);
    });
  });
