// What a client may send that is not a subscription: garbage, unknown events, fragments.
import { test } from 'node:test';
import { channelAuth, forEachWorkers, rawSubscribe, userAuth, wsFrame, wsOnly } from './harness.mjs';

forEachWorkers('messages', {}, (ctx) => {
  const invalid = {
    'not JSON': 'hello',
    'cut JSON': '{"event":"pusher:ping"',
    'JSON and more': '{"event":"pusher:ping"}x',
    'an array': '["pusher:ping"]',
    'a string': '"pusher:ping"',
    'a number': '7',
    null: 'null',
    'no event': '{"data":{}}',
    'an event that is a number': '{"event":7}',
    'an event that is null': '{"event":null}',
    'an event that is an object': '{"event":{"a":1}}',
    'an empty message': '',
    'a bad escape': '{"event":"\\x"}',
  };
  for (const [what, text] of Object.entries(invalid))
    test(`${what} gets pusher:error Invalid JSON and the connection stays`, async () => {
      const socket = await ctx.raw();
      socket.text(text);
      await socket.expectError(null, 'Invalid JSON');
      await socket.expectNothing();
    });

  test('trap 03: data of pusher:error is an object', async () => {
    const socket = await ctx.raw();
    socket.send({ event: 'x' });
    await socket.expectText('{"event":"pusher:error","data":{"code":null,"message":"Unsupported event received on socket: \'x\'"}}');
  });

  test('an unknown event gets an error that names it', async () => {
    const socket = await ctx.raw();
    socket.send({ event: 'x', data: {} });
    await socket.expectError(null, "Unsupported event received on socket: 'x'");
    socket.send({ event: 'pusher:nothing', data: {} });
    await socket.expectError(null, "Unsupported event received on socket: 'pusher:nothing'");
    socket.send({ event: 'a"\\\u00e9\n', data: {} });
    await socket.expectError(null, 'Unsupported event received on socket: \'a"\\\u00e9\n\'');
    await socket.expectNothing();
  });

  test('trap 56: events of the server are unknown when a client sends them', async () => {
    const socket = await ctx.raw();
    for (const event of ['pusher:connection_established', 'pusher:error', 'pusher:signin_success', 'pusher_internal:subscription_succeeded', 'pusher_internal:member_added']) {
      socket.send({ event, data: '{}', channel: 'foo' });
      await socket.expectError(null, `Unsupported event received on socket: '${event}'`);
    }
    await socket.expectNothing();
  });

  test('the names of events are compared whole', async () => {
    const socket = await ctx.raw();
    for (const event of ['pusher:pingx', 'xpusher:ping', 'Pusher:ping', 'pusher:subscribe ', 'pusher:', '']) {
      socket.send({ event, data: { channel: 'foo' } });
      await socket.expectError(null, `Unsupported event received on socket: '${event}'`);
    }
    await socket.expectNothing();
  });

  test('a message in fragments is put together, at every split point', wsOnly('frames'), async () => {
    const text = '{"event":"pusher:subscribe","data":{"channel":"caf\\u00e9"}}';
    const utf8 = Buffer.from('{"event":"pusher:subscribe","data":{"channel":"caf\u00e9"}}');
    const socket = await ctx.raw();
    for (const bytes of [Buffer.from(text), utf8])
      for (let at = 0; at <= bytes.length; at += 7) {
        socket.write(wsFrame('text', bytes.subarray(0, at), { fin: false }));
        socket.write(wsFrame('continuation', bytes.subarray(at)));
        await socket.expectError(null, "Invalid channel name 'caf\u00e9'");
        await socket.expectEvent('pusher:subscription_error');
      }
  });

  test('a message byte by byte is read', wsOnly('frames'), async () => {
    const socket = await ctx.raw();
    for (const byte of wsFrame('text', '{"event":"pusher:ping"}')) socket.write(Buffer.from([byte]));
    await socket.expectText('{"event":"pusher:pong","data":"{}"}');
  });

  test('data may be a JSON string that holds the object', async () => {
    const socket = await ctx.raw();
    socket.send({ event: 'pusher:subscribe', data: JSON.stringify({ channel: 'foo' }) });
    await socket.expectText('{"event":"pusher_internal:subscription_succeeded","channel":"foo","data":"{}"}');
    const auth = channelAuth(ctx.server.app, socket.socketId, 'private-foo');
    socket.send({ event: 'pusher:subscribe', data: JSON.stringify({ auth, channel: 'private-foo' }) });
    await socket.expectText('{"event":"pusher_internal:subscription_succeeded","channel":"private-foo","data":"{}"}');
    const user = '{"id":"7"}';
    socket.send({ event: 'pusher:signin', data: JSON.stringify({ auth: userAuth(ctx.server.app, socket.socketId, user), user_data: user }) });
    await socket.expectText('{"event":"pusher:signin_success","data":"{\\"user_data\\":\\"{\\\\\\"id\\\\\\":\\\\\\"7\\\\\\"}\\"}"}');
    socket.send({ event: 'pusher:unsubscribe', data: JSON.stringify({ channel: 'foo' }) });
    socket.send({ event: 'pusher:unsubscribe', data: JSON.stringify({ channel: 'foo' }) });
    await socket.expectError(null, 'No current subscription to channel foo, or subscription in progress');
  });

  test('keys may come in any order, with others between them, and escaped', async () => {
    const socket = await ctx.raw();
    socket.text('{"x":[{"event":"no"}],"data":{"y":{"channel":"no"},"ch\\u0061nnel":"fo\\u006f","auth":""},"\\u0065vent":"pusher:subscri\\u0062e"}');
    await socket.expectText('{"event":"pusher_internal:subscription_succeeded","channel":"foo","data":"{}"}');
  });

  test('answers keep the order of the questions', async () => {
    const socket = await ctx.raw();
    const auth = (name) => channelAuth(ctx.server.app, socket.socketId, name);
    const user = '{"id":"order","watchlist":["a","b","c"]}';
    for (let round = 0; round < 10; round++) {
      socket.send({ event: 'pusher:subscribe', data: { channel: `one-${round}` } });
      socket.send({ event: 'pusher:subscribe', data: { channel: `private-two-${round}`, auth: auth(`private-two-${round}`) } });
      socket.send({ event: 'pusher:ping' });
      socket.send({ event: 'pusher:subscribe', data: { channel: `private-three-${round}`, auth: 'wrong' } });
      socket.send({ event: 'nonsense' });
    }
    socket.send({ event: 'pusher:signin', data: { auth: userAuth(ctx.server.app, socket.socketId, user), user_data: user } });
    socket.send({ event: 'pusher:subscribe', data: { channel: '#server-to-user-order' } });
    socket.send({ event: 'pusher:ping' });
    for (let round = 0; round < 10; round++) {
      await socket.expectJson({ event: 'pusher_internal:subscription_succeeded', channel: `one-${round}`, data: '{}' });
      await socket.expectJson({ event: 'pusher_internal:subscription_succeeded', channel: `private-two-${round}`, data: '{}' });
      await socket.expectText('{"event":"pusher:pong","data":"{}"}');
      const error = JSON.parse((await socket.next()).text);
      if (error.event !== 'pusher:error') throw new Error(`${error.event} instead of pusher:error`);
      const failed = JSON.parse((await socket.next()).text);
      if (failed.event !== 'pusher:subscription_error') throw new Error(`${failed.event} instead of pusher:subscription_error`);
      await socket.expectError(null, "Unsupported event received on socket: 'nonsense'");
    }
    const signedIn = JSON.parse((await socket.next()).text);
    if (signedIn.event !== 'pusher:signin_success') throw new Error(`${signedIn.event} instead of pusher:signin_success`);
    await socket.expectJson({ event: 'pusher_internal:watchlist_events', data: '{"events":[{"name":"offline","user_ids":["a","b","c"]}]}' });
    await socket.expectJson({ event: 'pusher_internal:subscription_succeeded', channel: '#server-to-user-order', data: '{}' });
    await socket.expectText('{"event":"pusher:pong","data":"{}"}');
  });

  test('a client that fills one packet with many messages gets every answer', async () => {
    const socket = await ctx.raw();
    socket.together(() => {
      for (let i = 0; i < 200; i++) socket.send({ event: 'pusher:subscribe', data: { channel: `c${i}` } });
    });
    for (let i = 0; i < 200; i++) await socket.expectJson({ event: 'pusher_internal:subscription_succeeded', channel: `c${i}`, data: '{}' });
  });

  test('a connection that ends with subscriptions waiting leaves nothing behind', wsOnly('how a socket ends'), async () => {
    for (let round = 0; round < 20; round++) {
      const socket = await ctx.raw();
      await rawSubscribe(socket, 'before');
      const name = `private-x${round}`;
      const data = `{"user_id":"${round}"}`;
      socket.send({ event: 'pusher:subscribe', data: { channel: name, auth: channelAuth(ctx.server.app, socket.socketId, name) } });
      socket.send({ event: 'pusher:subscribe', data: { channel: 'presence-x', auth: channelAuth(ctx.server.app, socket.socketId, 'presence-x', data), channel_data: data } });
      if (round % 2) socket.socket.end(); else socket.socket.resetAndDestroy();
    }
  });
});
