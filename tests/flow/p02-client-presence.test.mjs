// pusher-js: members of a presence channel.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { channelAuth, forEachWorkers, once, subscribed, until, within } from './harness.mjs';

const room = 'presence-room';

forEachWorkers('presence of pusher-js', {}, (ctx) => {
  const member = (id, info) => ({ member: () => ({ user_id: id, user_info: info }) });

  test('members: count, me, get and each', async () => {
    const ann = await subscribed(ctx.client(member('ann', { name: 'Ann' })), room);
    assert.equal(ann.members.count, 1);
    assert.deepEqual(ann.members.me, { id: 'ann', info: { name: 'Ann' } });
    const added = once(ann, 'pusher:member_added');
    const bob = await subscribed(ctx.client(member('bob', { name: 'Bob' })), room);
    assert.deepEqual(await added, { id: 'bob', info: { name: 'Bob' } });
    for (const channel of [ann, bob]) {
      assert.equal(channel.members.count, 2);
      assert.deepEqual(channel.members.get('ann').info, { name: 'Ann' });
      const ids = [];
      channel.members.each((m) => ids.push(m.id));
      assert.deepEqual(ids.sort(), ['ann', 'bob']);
    }
    assert.equal(bob.members.me.id, 'bob');
  });

  test('me is found with a numeric user_id too', async () => {
    const channel = await subscribed(ctx.client(member(42, { n: 1 })), room);
    assert.deepEqual(channel.members.me, { id: 42, info: { n: 1 } });
    assert.equal(channel.members.count, 1);
  });

  test('two users whose user_id is their socket_id see each other come and go', async () => {
    const own = { member: (socketId) => ({ user_id: socketId }) };
    const one = ctx.client(own);
    const first = await subscribed(one, room);
    const added = once(first, 'pusher:member_added');
    const two = ctx.client(own);
    const second = await subscribed(two, room);
    assert.equal((await added).id, two.connection.socket_id);
    assert.equal(second.members.count, 2);
    const removed = once(first, 'pusher:member_removed');
    two.disconnect();
    await removed;
    assert.equal(first.members.count, 1);
  });

  test('unsubscribe removes the member', async () => {
    const ann = await subscribed(ctx.client(member('ann')), room);
    const client = ctx.client(member('bob'));
    await subscribed(client, room);
    const removed = once(ann, 'pusher:member_removed');
    client.unsubscribe(room);
    assert.equal((await removed).id, 'bob');
  });

  test('three tabs count once', async () => {
    const watcher = await subscribed(ctx.client(member('watcher')), room);
    const events = [];
    watcher.bind_global((name, data) => { if (name.startsWith('pusher:member')) events.push([name, data.id]); });
    const tabs = [];
    for (let i = 0; i < 3; i++) {
      tabs.push(ctx.client(member('tab', { i })));
      const channel = await subscribed(tabs[i], room);
      assert.equal(channel.members.count, 2);
      assert.deepEqual(channel.members.me.info, { i: 0 });
    }
    for (const tab of tabs) tab.disconnect();
    await until(() => events.length === 2, 'in and out');
    await subscribed(ctx.client(member('last')), room);
    await until(() => events.length === 3, 'the last');
    assert.deepEqual(events, [['pusher:member_added', 'tab'], ['pusher:member_removed', 'tab'], ['pusher:member_added', 'last']]);
  });

  test('client events name their sender', async () => {
    const ann = await subscribed(ctx.client(member('ann')), room);
    const bob = await subscribed(ctx.client(member(7)), room);
    const heard = within(new Promise((resolve) => { ann.bind('client-x', (data, meta) => resolve([data, meta])); }), 'client-x');
    bob.trigger('client-x', { a: 1 });
    assert.deepEqual(await heard, [{ a: 1 }, { user_id: '7' }]);
  });

  test('after signin the auth endpoint need not give channel_data', async () => {
    const client = ctx.client({
      user: { id: 'signed', user_info: { name: 'S' } },
      channelAuthorization: {
        customHandler({ socketId, channelName }, done) { done(null, { auth: channelAuth(ctx.server.app, socketId, channelName) }); },
      },
    });
    client.signin();
    const channel = await subscribed(client, room);
    assert.deepEqual(channel.members.me, { id: 'signed', info: { name: 'S' } });
  });

  test('the server library knows the members', async () => {
    for (const id of ['a', 'b', 'a']) await subscribed(ctx.client(member(id)), room);
    const users = await (await ctx.api().get({ path: `/channels/${room}/users` })).json();
    assert.deepEqual(users.users.map((u) => u.id).sort(), ['a', 'b']);
    const channel = await (await ctx.api().get({ path: `/channels/${room}`, params: { info: 'user_count' } })).json();
    assert.deepEqual(channel, { occupied: true, user_count: 2 });
    const all = await (await ctx.api().get({ path: '/channels', params: { filter_by_prefix: 'presence-', info: 'user_count' } })).json();
    assert.deepEqual(all, { channels: { [room]: { user_count: 2 } } });
  });
});
