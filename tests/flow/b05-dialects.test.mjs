// The other official and common clients, frame by frame as they speak.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiRequest, channelAuth, forEachWorkers, rawSignin, wsFrame } from './harness.mjs';

forEachWorkers('dialects', {}, (ctx) => {
  const { stringify } = JSON;
  const open = (query, headers) => ctx.raw(`/app/test-key?${query}`, { established: true, headers });
  const sign = (socket, channel, data) => channelAuth({ key: 'test-key', secret: 'test-secret' }, socket.socketId, channel, data);
  const publish = (channel, data) => apiRequest(ctx.server, 'POST', '/apps/test-id/events', { body: { name: 'e', channel, data } });

  // What typed clients read: every data a string, ids strings, every id in hash, count a number.
  function readPresence(message) {
    assert.equal(typeof message.data, 'string');
    const { presence } = JSON.parse(message.data);
    assert.ok(Array.isArray(presence.ids) && presence.ids.every((id) => typeof id === 'string'));
    assert.equal(Object.prototype.toString.call(presence.hash), '[object Object]');
    for (const id of presence.ids) assert.ok(id in presence.hash, id);
    assert.equal(presence.count, presence.ids.length);
    return presence;
  }

  test('Java: protocol 5, no auth on public channels, a ping without data, never a pong', async () => {
    const socket = await open('client=java-client&protocol=5&version=2.4.4');
    socket.text('{"event":"pusher:subscribe","data":{"channel":"foo"}}');
    await socket.expectText('{"event":"pusher_internal:subscription_succeeded","channel":"foo","data":"{}"}');
    socket.text('{"event":"pusher:ping"}');
    await socket.expectText('{"event":"pusher:pong","data":"{}"}');
    const data = '{"user_id":"1","user_info":{"n":1}}';
    socket.text(`{"event":"pusher:subscribe","data":{"channel":"presence-foo","auth":"${sign(socket, 'presence-foo', data)}","channel_data":${stringify(data)}}}`);
    readPresence(await socket.expectEvent('pusher_internal:subscription_succeeded', 'presence-foo'));
    const other = await open('client=java-client&protocol=5&version=2.4.4');
    for (const s of [socket, other]) {
      s.text(`{"event":"pusher:subscribe","data":{"channel":"private-foo","auth":"${sign(s, 'private-foo')}"}}`);
      await s.expectEvent('pusher_internal:subscription_succeeded', 'private-foo');
    }
    socket.text('{"event":"client-x","channel":"private-foo","data":"{\\"a\\":1}"}');
    await other.expectJson({ event: 'client-x', channel: 'private-foo', data: '{"a":1}' });
    await rawSignin(other, { id: '7' });
    other.text('{"event":"pusher:subscribe","data":{"channel":"#server-to-user-7"}}');
    await other.expectEvent('pusher_internal:subscription_succeeded', '#server-to-user-7');
  });

  test('trap 45: Java: an encrypted channel gets nothing but data events and {}', async () => {
    const socket = await open('client=java-client&protocol=5&version=2.4.4');
    const channel = 'private-encrypted-cache-foo';
    socket.text(`{"event":"pusher:subscribe","data":{"channel":"${channel}","auth":"${sign(socket, channel)}"}}`);
    for (const event of ['pusher_internal:subscription_succeeded', 'pusher:cache_miss'])
      await socket.expectText(`{"event":"${event}","channel":"${channel}","data":"{}"}`);
    await socket.expectNothing();
  });

  test('.NET: protocol 5, channel_data null, a control PING every second, data always a string', async () => {
    const socket = await open('protocol=5&client=pusher-dotnet-client&version=2.3.0.0');
    socket.text(`{"event":"pusher:subscribe","data":{"channel":"private-foo","auth":"${sign(socket, 'private-foo')}","channel_data":null}}`);
    await socket.expectEvent('pusher_internal:subscription_succeeded', 'private-foo');
    for (let i = 0; i < 20; i++) {
      socket.write(wsFrame('ping'));
      assert.equal((await socket.next()).opcode, 10);
    }
    socket.text('{"event":"pusher:subscribe","data":{"channel":"private-bar","auth":"wrong","channel_data":null}}');
    const error = await socket.expectEvent('pusher:error');
    assert.equal(Object.prototype.toString.call(error.data), '[object Object]');
  });

  test('Swift: the subprotocol, control PING with control PONG, strings everywhere', async () => {
    const socket = await open('client=pusher-websocket-swift&version=10.1.10&protocol=7', { 'Sec-WebSocket-Protocol': 'pusher-channels-protocol-7' });
    assert.equal(socket.header('Sec-WebSocket-Protocol'), 'pusher-channels-protocol-7');
    socket.write(wsFrame('ping'));
    assert.equal((await socket.next()).opcode, 10);
    const data = '{"user_id":"1"}';
    socket.text(`{"data":{"channel_data":${stringify(data)},"auth":"${sign(socket, 'presence-foo', data)}","channel":"presence-foo"},"event":"pusher:subscribe"}`);
    readPresence(await socket.expectEvent('pusher_internal:subscription_succeeded', 'presence-foo'));
    const other = await open('client=pusher-websocket-swift&version=10.1.10&protocol=7');
    const second = '{"user_id":"2"}';
    other.text(`{"data":{"channel_data":${stringify(second)},"auth":"${sign(other, 'presence-foo', second)}","channel":"presence-foo"},"event":"pusher:subscribe"}`);
    readPresence(await other.expectEvent('pusher_internal:subscription_succeeded', 'presence-foo'));
    const added = await socket.expectEvent('pusher_internal:member_added');
    assert.equal(typeof added.data, 'string');
    other.text('{"data":{"a":1},"event":"client-x","channel":"presence-foo"}');
    assert.equal(typeof (await socket.expectEvent('client-x')).data, 'string');
    other.destroy();
    assert.equal(typeof (await socket.expectEvent('pusher_internal:member_removed')).data, 'string');
    const success = await rawSignin(socket, { id: '7' });
    assert.equal(typeof success.data, 'string');
  });

  test('Pysher: protocol 6, a ping with empty data before anything, errors by their event', async () => {
    const socket = await ctx.raw('/app/test-key?client=Pysher&version=1.0.7&protocol=6', { established: false });
    socket.text('{"event":"pusher:ping","data":""}');
    assert.match((await socket.next()).text, /connection_established/);
    await socket.expectText('{"event":"pusher:pong","data":"{}"}');
    socket.text('{"event":"pusher:subscribe","data":{"channel":"foo"}}');
    await socket.expectEvent('pusher_internal:subscription_succeeded', 'foo');
    await publish('foo', '{"a":1}');
    await socket.expectJson({ event: 'e', channel: 'foo', data: '{"a":1}' });
  });

  test('trap 57: Go: Origin http://localhost/, string data both ways, ids as strings', async () => {
    const socket = await open('client=pusher-http-go&version=0.5&protocol=7', { Origin: 'http://localhost/' });
    socket.text('{"event":"pusher:ping","data":"{}"}');
    await socket.expectText('{"event":"pusher:pong","data":"{}"}');
    socket.text('{"event":"pusher:pong","data":"{}"}');
    const data = '{"user_id":10,"user_info":{"name":"x"}}';
    socket.text(stringify({ event: 'pusher:subscribe', data: { channel: 'presence-foo', auth: sign(socket, 'presence-foo', data), channel_data: data } }));
    assert.deepEqual(readPresence(await socket.expectEvent('pusher_internal:subscription_succeeded', 'presence-foo')).ids, ['10']);
    await socket.expectNothing();
  });
});
