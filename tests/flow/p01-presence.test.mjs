// Presence: who is there, by user and not by connection.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiRequest, channelAuth, forEachWorkers, rawSignin, rawSubscribe, until } from './harness.mjs';

const room = 'presence-room';
const sort = (list) => [...list].sort();

forEachWorkers('presence', { set: { 'app_defaults.limits.presence_members': 5 } }, (ctx) => {
  const memberAdded = (id, info = {}, channel = room) => ({
    event: 'pusher_internal:member_added', channel, data: JSON.stringify({ user_id: id, user_info: info }),
  });
  const memberRemoved = (id, channel = room) => ({
    event: 'pusher_internal:member_removed', channel, data: JSON.stringify({ user_id: id }),
  });

  function subscribe(socket, channel, channelData) {
    const data = { channel, auth: channelAuth(ctx.server.app, socket.socketId, channel, channelData) };
    if (channelData !== undefined) data.channel_data = channelData;
    socket.send({ event: 'pusher:subscribe', data });
  }

  async function join(user, info, channel = room) {
    const socket = await ctx.raw();
    const channelData = JSON.stringify(info === undefined ? { user_id: user } : { user_id: user, user_info: info });
    const success = await rawSubscribe(socket, channel, { channelData });
    socket.presence = JSON.parse(success.data).presence;
    return socket;
  }

  async function expectFailure(socket, message, type, status, channel = room) {
    const error = JSON.parse((await socket.next()).text);
    assert.equal(error.event, 'pusher:error');
    assert.equal(error.data.code, null);
    if (message !== undefined) assert.equal(error.data.message, message);
    const failed = JSON.parse((await socket.next()).text);
    assert.equal(failed.event, 'pusher:subscription_error');
    assert.equal(failed.channel, channel);
    assert.equal(failed.data.type, type);
    assert.equal(failed.data.status, status);
    await socket.expectNothing();
  }

  test('trap 10: trap 14: the first member sees itself, byte for byte', async () => {
    const socket = await ctx.raw();
    subscribe(socket, room, '{"user_id":"42","user_info":{"name":"A"}}');
    await socket.expectText('{"event":"pusher_internal:subscription_succeeded","channel":"presence-room","data":"{\\"presence\\":{\\"ids\\":[\\"42\\"],\\"hash\\":{\\"42\\":{\\"name\\":\\"A\\"}},\\"count\\":1}}"}');
    await socket.expectNothing();
  });

  test('trap 11: user_info is passed on as it was signed', async () => {
    const infos = ['{"name":"M\\u00fcller","n":[1,2.50,{"deep":null}]}', '{ "spaced" : true }', '"just text"', '[1,2]', '7', '{"quote":"\\"\\\\"}'];
    const watcher = await join('watcher');
    for (const [i, info] of infos.entries()) {
      const socket = await ctx.raw();
      subscribe(socket, room, `{"user_id":"u${i}","user_info":${info}}`);
      const success = await socket.expectEvent('pusher_internal:subscription_succeeded', room);
      assert.deepEqual(JSON.parse(success.data).presence.hash[`u${i}`], JSON.parse(info));
      assert.deepEqual(JSON.parse((await watcher.expectEvent('pusher_internal:member_added', room)).data), { user_id: `u${i}`, user_info: JSON.parse(info) });
      socket.destroy();
      await watcher.expectJson(memberRemoved(`u${i}`));
    }
  });

  test('without user_info the hash holds {} and so does member_added', async () => {
    const a = await join('a');
    assert.deepEqual(a.presence, { ids: ['a'], hash: { a: {} }, count: 1 });
    await join('b');
    await a.expectText('{"event":"pusher_internal:member_added","channel":"presence-room","data":"{\\"user_id\\":\\"b\\",\\"user_info\\":{}}"}');
  });

  test('trap 15: trap 34: others hear of a joiner and of its leaving, data as a string', async () => {
    const a = await join('1', { name: 'A' });
    const b = await join('2', { name: 'B' });
    assert.deepEqual(sort(b.presence.ids), ['1', '2']);
    assert.deepEqual(b.presence.hash, { 1: { name: 'A' }, 2: { name: 'B' } });
    assert.equal(b.presence.count, 2);
    await a.expectText('{"event":"pusher_internal:member_added","channel":"presence-room","data":"{\\"user_id\\":\\"2\\",\\"user_info\\":{\\"name\\":\\"B\\"}}"}');
    await b.expectNothing();
    const c = await join('3', { name: 'C' });
    assert.equal(c.presence.count, 3);
    await a.expectJson(memberAdded('3', { name: 'C' }));
    await b.expectJson(memberAdded('3', { name: 'C' }));
    b.send({ event: 'pusher:unsubscribe', data: { channel: room } });
    await a.expectText('{"event":"pusher_internal:member_removed","channel":"presence-room","data":"{\\"user_id\\":\\"2\\"}"}');
    await c.expectJson(memberRemoved('2'));
    await b.expectNothing();
    c.destroy();
    await a.expectJson(memberRemoved('3'));
    const d = await join('4');
    assert.deepEqual(sort(d.presence.ids), ['1', '4']);
  });

  test('trap 17: trap 57: a numeric user_id is a string everywhere', async () => {
    const a = await join(7, { n: 1 });
    assert.deepEqual(a.presence, { ids: ['7'], hash: { 7: { n: 1 } }, count: 1 });
    const b = await join(8);
    await a.expectText('{"event":"pusher_internal:member_added","channel":"presence-room","data":"{\\"user_id\\":\\"8\\",\\"user_info\\":{}}"}');
    const tab = await join('7'); // the same user as the number
    assert.equal(tab.presence.count, 2);
    await a.expectNothing();
    const users = await apiRequest(ctx.server, 'GET', `/apps/test-id/channels/${room}/users`);
    assert.deepEqual(sort(users.json.users.map((u) => u.id)), ['7', '8']);
    b.destroy();
    await a.expectJson(memberRemoved('8'));
  });

  test('trap 12: trap 16: tabs of one user are one member', async () => {
    const other = await join('other');
    const first = await join('u', { tab: 1 });
    await other.expectJson(memberAdded('u', { tab: 1 }));
    const second = await join('u', { tab: 2 });
    const third = await join('u', { tab: 3 });
    assert.equal(third.presence.count, 2);
    // user_info stays that of the first connection.
    assert.deepEqual(third.presence.hash.u, { tab: 1 });
    for (const socket of [other, first, second, third]) await socket.expectNothing();
    const users = await apiRequest(ctx.server, 'GET', `/apps/test-id/channels/${room}/users`);
    assert.deepEqual(sort(users.json.users.map((u) => u.id)), ['other', 'u']);
    const info = await apiRequest(ctx.server, 'GET', `/apps/test-id/channels/${room}`, { params: { info: 'user_count' } });
    assert.deepEqual(info.json, { occupied: true, user_count: 2 });
    first.destroy();
    second.send({ event: 'pusher:unsubscribe', data: { channel: room } });
    await second.expectNothing();
    const late = await join('late');
    assert.deepEqual(late.presence.hash.u, { tab: 1 });
    await other.expectJson(memberAdded('late'));
    await other.expectNothing();
    third.destroy();
    await other.expectJson(memberRemoved('u'));
    await join('u', { tab: 4 });
    await other.expectJson(memberAdded('u', { tab: 4 }));
  });

  test('one connection that leaves and comes back is a new member each time', async () => {
    const watcher = await join('watcher');
    const socket = await ctx.raw();
    for (let i = 0; i < 10; i++) {
      socket.together(() => {
        subscribe(socket, room, `{"user_id":"u","user_info":{"i":${i}}}`);
        socket.send({ event: 'pusher:unsubscribe', data: { channel: room } });
      });
      await watcher.expectJson(memberAdded('u', { i }));
      await watcher.expectJson(memberRemoved('u'));
      await socket.expectEvent('pusher_internal:subscription_succeeded', room);
    }
    await socket.expectNothing();
  });

  test('joiners who come together each see all, and nobody twice', async () => {
    for (let round = 0; round < 10; round++) {
      const channel = `presence-rush-${round}`;
      const first = await join('first', undefined, channel);
      const sockets = await Promise.all([1, 2, 3, 4].map(() => ctx.raw()));
      sockets.forEach((socket, i) => subscribe(socket, channel, `{"user_id":"${i}"}`));
      for (const [i, socket] of sockets.entries()) {
        const success = JSON.parse((await socket.next()).text);
        assert.equal(success.event, 'pusher_internal:subscription_succeeded', 'success comes first');
        const seen = JSON.parse(success.data).presence.ids;
        assert.ok(seen.includes(String(i)) && seen.includes('first'));
        while (seen.length < 5) {
          const message = JSON.parse((await socket.next()).text);
          assert.equal(message.event, 'pusher_internal:member_added');
          seen.push(JSON.parse(message.data).user_id);
        }
        assert.deepEqual(sort(seen), ['0', '1', '2', '3', 'first']);
        await socket.expectNothing();
      }
      const told = [];
      for (let i = 0; i < 4; i++) told.push(JSON.parse((await first.expectEvent('pusher_internal:member_added', channel)).data).user_id);
      assert.deepEqual(sort(told), ['0', '1', '2', '3']);
      await first.expectNothing();
      for (const socket of [...sockets, first]) socket.destroy();
    }
  });

  test('trap 13: over the cap a new user is refused, another tab of a member is not', async () => {
    const members = [];
    for (let i = 0; i < 5; i++) members.push(await join(String(i)));
    for (const [i, socket] of members.entries())
      for (let j = i + 1; j < 5; j++) await socket.expectJson(memberAdded(String(j)));
    const extra = await ctx.raw();
    subscribe(extra, room, '{"user_id":"5"}');
    await expectFailure(extra, undefined, 'LimitReached', 4100);
    for (const socket of members) await socket.expectNothing();
    const tab = await join('3');
    assert.equal(tab.presence.count, 5);
    subscribe(extra, room, '{"user_id":"5"}');
    await expectFailure(extra, undefined, 'LimitReached', 4100);
    members[0].destroy();
    await members[1].expectJson(memberRemoved('0'));
    subscribe(extra, room, '{"user_id":"5"}');
    await extra.expectEvent('pusher_internal:subscription_succeeded', room);
    await members[1].expectJson(memberAdded('5'));
  });

  test('the signature covers channel_data', async () => {
    const socket = await ctx.raw();
    const signed = '{"user_id":"1"}';
    const auth = channelAuth(ctx.server.app, socket.socketId, room, signed);
    const forged = '{"user_id":"2"}';
    socket.send({ event: 'pusher:subscribe', data: { channel: room, auth, channel_data: forged } });
    await expectFailure(socket, `Invalid signature: Expected HMAC SHA256 hex digest of ${socket.socketId}:${room}:${forged}, but got ${auth.slice('test-key:'.length)}`, 'AuthError', 401);
    socket.send({ event: 'pusher:subscribe', data: { channel: room, auth, channel_data: signed } });
    await socket.expectEvent('pusher_internal:subscription_succeeded', room);
  });

  test('the signature is over the bytes as they were received', async () => {
    const socket = await ctx.raw();
    const data = '{ "user_info" : {"e":"\\u00e9","raw":"é/\\/"},\t"user_id":"1" , "more":[1e3] }';
    subscribe(socket, room, data);
    const success = await socket.expectEvent('pusher_internal:subscription_succeeded', room);
    assert.deepEqual(JSON.parse(success.data).presence.hash, { 1: { e: 'é', raw: 'é//' } });
  });

  test('without channel_data and without a user the subscription says what it needs', async () => {
    const socket = await ctx.raw();
    subscribe(socket, room);
    await expectFailure(socket, `${room} is a presence channel and subscription must include channel_data`, 'AuthError', 401);
  });

  test('channel_data must be an object with a user_id', async () => {
    const socket = await ctx.raw();
    for (const data of ['', 'x', '7', 'null', '[]', '"1"', '{}', '{"user_id":null}', '{"user_id":""}', '{"user_id":true}', '{"user_id":{}}', '{"user_id":["1"]}', '{"user_info":{}}', '{"user_id":"1"', '{"user_id":"1"}x']) {
      subscribe(socket, room, data);
      await socket.expectEvent('pusher:error');
      await socket.expectEvent('pusher:subscription_error', room);
      await socket.expectNothing();
    }
    for (const data of [7, {}, { user_id: '1' }, []]) {
      socket.send({ event: 'pusher:subscribe', data: { channel: room, auth: channelAuth(ctx.server.app, socket.socketId, room, JSON.stringify(data)), channel_data: data } });
      await socket.expectEvent('pusher:error');
      await socket.expectEvent('pusher:subscription_error', room);
    }
    const watcher = await join('watcher');
    assert.equal(watcher.presence.count, 1);
  });

  test('user_info of 1,024 bytes passes, more is refused', async () => {
    const info = (n) => JSON.stringify({ a: 'x'.repeat(n - 8) });
    const socket = await ctx.raw();
    assert.equal(info(1024).length, 1024);
    subscribe(socket, room, `{"user_id":"1","user_info":${info(1025)}}`);
    await expectFailure(socket, undefined, 'LimitReached', 4301);
    subscribe(socket, room, `{"user_id":"1","user_info":${info(1024)}}`);
    await socket.expectEvent('pusher_internal:subscription_succeeded', room);
  });

  test('a user_id of 128 characters passes, 129 are refused', async () => {
    const socket = await ctx.raw();
    subscribe(socket, room, JSON.stringify({ user_id: 'x'.repeat(129) }));
    await socket.expectEvent('pusher:error');
    await socket.expectEvent('pusher:subscription_error', room);
    subscribe(socket, room, JSON.stringify({ user_id: 'x'.repeat(128) }));
    await socket.expectEvent('pusher_internal:subscription_succeeded', room);
  });

  test('user ids may be any text', async () => {
    const ids = ['é"\\', 'a b/c:d', '\u{1f600}'];
    const sockets = [];
    for (const id of ids) sockets.push(await join(id, { id }));
    assert.deepEqual(sort(sockets.at(-1).presence.ids), sort(ids));
    for (const id of ids) assert.deepEqual(sockets.at(-1).presence.hash[id], { id });
    sockets[0].send({ event: 'pusher:unsubscribe', data: { channel: room } });
    await sockets[2].expectJson(memberRemoved(ids[0]));
  });

  test('large numbers as user_id keep their digits', async () => {
    const socket = await ctx.raw();
    subscribe(socket, room, '{"user_id":12345678901234567890}');
    const success = await socket.expectEvent('pusher_internal:subscription_succeeded', room);
    assert.deepEqual(JSON.parse(success.data).presence.ids, ['12345678901234567890']);
  });

  test('a signed-in user needs no channel_data', async () => {
    const watcher = await join('watcher');
    const socket = await ctx.raw();
    await rawSignin(socket, { id: 'signed', user_info: { name: 'S' } });
    subscribe(socket, room);
    const { presence } = JSON.parse((await socket.expectEvent('pusher_internal:subscription_succeeded', room)).data);
    assert.deepEqual(presence.hash, { watcher: {}, signed: { name: 'S' } });
    await watcher.expectJson(memberAdded('signed', { name: 'S' }));
    socket.send({ event: 'client-x', data: {}, channel: room });
    assert.equal((await watcher.expectEvent('client-x', room)).user_id, 'signed');
    // channel_data, when given, says who it is
    subscribe(socket, 'presence-two', '{"user_id":"as-given"}');
    const two = JSON.parse((await socket.expectEvent('pusher_internal:subscription_succeeded', 'presence-two')).data).presence;
    assert.deepEqual(two.ids, ['as-given']);
    socket.destroy();
    await watcher.expectJson(memberRemoved('signed'));
  });

  test('a signed-in user without user_info has {}', async () => {
    const socket = await ctx.raw();
    await rawSignin(socket, { id: 'plain' });
    subscribe(socket, room);
    const { presence } = JSON.parse((await socket.expectEvent('pusher_internal:subscription_succeeded', room)).data);
    assert.deepEqual(presence, { ids: ['plain'], hash: { plain: {} }, count: 1 });
  });

  test('no member_removed for a connection that never was in', async () => {
    const watcher = await join('watcher');
    const socket = await ctx.raw();
    subscribe(socket, room, '{"user_id":1,"user_info":{}');
    await socket.expectEvent('pusher:subscription_error');
    socket.destroy();
    const last = await join('last');
    await watcher.expectJson(memberAdded('last'));
    assert.equal(last.presence.count, 2);
  });

  test('members come and go in a crowd, and the books balance', async () => {
    const watcher = await join('watcher');
    const gone = [];
    for (let i = 0; i < 60; i++) {
      const socket = await ctx.raw();
      const user = `u${i % 4}`;
      subscribe(socket, room, JSON.stringify({ user_id: user }));
      if (i % 3) await socket.expectEvent('pusher_internal:subscription_succeeded', room);
      if (i % 2) socket.destroy(); else gone.push(socket);
    }
    for (const socket of gone) socket.destroy();
    // What the watcher was told adds up to an empty room, whatever the order was.
    const told = new Map();
    await until(async () => (await ctx.server.metrics()).sum('carillon_sessions') === 1, 'all others to be gone');
    await until(async () => (await apiRequest(ctx.server, 'GET', `/apps/test-id/channels/${room}/users`)).json.users.length === 1, 'an empty room');
    watcher.send({ event: 'pusher:ping' });
    for (;;) {
      const message = JSON.parse((await watcher.next()).text);
      if (message.event === 'pusher:pong') break;
      const id = JSON.parse(message.data).user_id;
      const now = (told.get(id) ?? 0) + (message.event === 'pusher_internal:member_added' ? 1 : -1);
      assert.ok(now === 0 || now === 1, `${message.event} of ${id} out of turn`);
      told.set(id, now);
    }
    for (const [id, n] of told) assert.equal(n, 0, id);
  });
});
