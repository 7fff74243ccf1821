// Subscribing and unsubscribing: what the frames are, who may, and what a failure says.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiRequest, channelAuth, forEachWorkers, hmac, rawSubscribe } from './harness.mjs';

const secondKey = `
apps:
  - id: "two"
    keys:
      - {key: old-key, secret: old-secret}
      - {key: new-key, secret: new-secret}
`;

forEachWorkers('subscribe', { config: secondKey }, (ctx) => {
  const subscribe = (socket, data) => socket.send({ event: 'pusher:subscribe', data });
  // The signature without its key: what the message repeats.
  const given = (auth) => auth.slice(auth.indexOf(':') + 1);
  const success = (channel) => `{"event":"pusher_internal:subscription_succeeded","channel":"${channel}","data":"{}"}`;

  async function expectFailure(socket, channel, message, type = 'AuthError', status = 401) {
    await socket.expectError(null, message);
    const error = JSON.parse((await socket.next()).text);
    assert.deepEqual(Object.keys(error).sort(), ['channel', 'data', 'event']);
    assert.equal(error.event, 'pusher:subscription_error');
    assert.equal(error.channel, channel);
    assert.equal(error.data.type, type);
    assert.equal(error.data.status, status);
    assert.ok(typeof error.data.error === 'string' && error.data.error.length);
    await socket.expectNothing();
  }

  async function publish(channel, data = 'x', extra = {}) {
    const answer = await apiRequest(ctx.server, 'POST', '/apps/test-id/events', { body: { name: 'e', channels: [channel], data, ...extra } });
    assert.equal(answer.status, 200, answer.text);
  }

  test('trap 02: a public channel succeeds with data exactly {}', async () => {
    const socket = await ctx.raw();
    for (const data of [{ auth: '', channel: 'foo' }, { channel: 'bar' }, { auth: null, channel: 'baz' }, { channel: 'data', channel_data: null }]) {
      subscribe(socket, data);
      await socket.expectText(success(data.channel));
    }
    await socket.expectNothing();
  });

  test('an event of the API arrives as event, channel and data, data as it was given', async () => {
    const socket = await ctx.raw();
    await rawSubscribe(socket, 'foo');
    for (const data of ['{"hello":"world"}', '', 'plain text', '"quoted"', '12', 'ünïcödé \u{1f600} \u0001 \u007f </script>', '{"a" : [1,  2]}', '\\u0041 \\n', 'null']) {
      await publish('foo', data);
      assert.deepEqual(JSON.parse((await socket.next()).text), { event: 'e', channel: 'foo', data });
    }
    await publish('other');
    await socket.expectNothing();
  });

  test('a private channel succeeds with a good signature', async () => {
    const socket = await ctx.raw();
    subscribe(socket, { auth: channelAuth(ctx.server.app, socket.socketId, 'private-foo'), channel: 'private-foo' });
    await socket.expectText(success('private-foo'));
    await publish('private-foo', 'hi');
    await socket.expectJson({ event: 'e', channel: 'private-foo', data: 'hi' });
  });

  test('any key of the app may sign', async () => {
    const app = { id: 'two', key: 'old-key', secret: 'old-secret' };
    const other = { id: 'two', key: 'new-key', secret: 'new-secret' };
    const socket = await ctx.raw('/app/old-key?protocol=7', { established: true });
    for (const [i, signer] of [app, other].entries()) {
      subscribe(socket, { auth: channelAuth(signer, socket.socketId, `private-${i}`), channel: `private-${i}` });
      await socket.expectText(success(`private-${i}`));
    }
    const foreign = channelAuth(ctx.server.app, socket.socketId, 'private-x');
    subscribe(socket, { auth: foreign, channel: 'private-x' });
    await socket.expectEvent('pusher:error');
    await socket.expectEvent('pusher:subscription_error', 'private-x');
  });

  test('trap 46: a bad signature gets pusher:error, then pusher:subscription_error, and no more', async () => {
    const socket = await ctx.raw();
    const { app } = ctx.server;
    const good = channelAuth(app, socket.socketId, 'private-foo');
    const hex = good.slice(app.key.length + 1);
    const bad = {
      'one digit changed': good.slice(0, -1) + (good.endsWith('0') ? '1' : '0'),
      'cut short': good.slice(0, -1),
      'one digit more': `${good}0`,
      'another channel': channelAuth(app, socket.socketId, 'private-bar'),
      'another socket': channelAuth(app, '1.1', 'private-foo'),
      'another secret': `${app.key}:${hmac('wrong', `${socket.socketId}:private-foo`)}`,
      'an unknown key': `nobody:${hex}`,
      'no key': hex,
      'no colon': `${app.key}${hex}`,
      'nothing but the key': `${app.key}:`,
      nothing: '',
    };
    for (const auth of Object.values(bad)) {
      subscribe(socket, { auth, channel: 'private-foo' });
      await expectFailure(socket, 'private-foo',
        `Invalid signature: Expected HMAC SHA256 hex digest of ${socket.socketId}:private-foo, but got ${given(auth)}`);
    }
    await publish('private-foo');
    await socket.expectNothing();
    subscribe(socket, { auth: good, channel: 'private-foo' });
    await socket.expectText(success('private-foo'));
  });

  test('no auth, or auth of another type, is a bad signature', async () => {
    const socket = await ctx.raw();
    for (const data of [{ channel: 'private-foo' }, { channel: 'private-foo', auth: null }, { channel: 'private-foo', auth: 7 }, { channel: 'private-foo', auth: {} }]) {
      subscribe(socket, data);
      const error = JSON.parse((await socket.next()).text);
      assert.equal(error.event, 'pusher:error');
      assert.equal(error.data.code, null);
      await socket.expectEvent('pusher:subscription_error', 'private-foo');
      await socket.expectNothing();
    }
  });

  test('trap 50: channel_data of a private channel is part of the signature', async () => {
    const socket = await ctx.raw();
    const channelData = '{"user_id":"7"}';
    const auth = channelAuth(ctx.server.app, socket.socketId, 'private-foo', channelData);
    subscribe(socket, { auth, channel: 'private-foo' });
    await expectFailure(socket, 'private-foo',
      `Invalid signature: Expected HMAC SHA256 hex digest of ${socket.socketId}:private-foo, but got ${given(auth)}`);
    subscribe(socket, { auth: channelAuth(ctx.server.app, socket.socketId, 'private-foo'), channel: 'private-foo', channel_data: channelData });
    await socket.expectEvent('pusher:error');
    await socket.expectEvent('pusher:subscription_error', 'private-foo');
    subscribe(socket, { auth, channel: 'private-foo', channel_data: channelData });
    await socket.expectText(success('private-foo'));
  });

  test('trap 49: channel_data null is no channel_data', async () => {
    const socket = await ctx.raw();
    subscribe(socket, { auth: channelAuth(ctx.server.app, socket.socketId, 'private-foo'), channel: 'private-foo', channel_data: null });
    await socket.expectText(success('private-foo'));
  });

  test('subscribing twice gets an error and changes nothing', async () => {
    const socket = await ctx.raw();
    await rawSubscribe(socket, 'foo');
    subscribe(socket, { channel: 'foo' });
    await socket.expectError(null, 'Existing subscription to channel foo');
    await socket.expectNothing();
    await publish('foo');
    await socket.expectJson({ event: 'e', channel: 'foo', data: 'x' });
    await socket.expectNothing();
  });

  test('two subscribes in one packet make one subscription', async () => {
    const socket = await ctx.raw();
    for (const name of ['a', 'b', 'c', 'd', 'e', 'f']) {
      socket.together(() => {
        subscribe(socket, { channel: name });
        subscribe(socket, { channel: name });
      });
      await socket.expectText(success(name));
      await socket.expectError(null, `Existing subscription to channel ${name}`);
    }
    assert.equal((await ctx.server.metrics()).sum('carillon_subscriptions'), 6);
  });

  test('unsubscribe has no answer and ends the events', async () => {
    const socket = await ctx.raw();
    await rawSubscribe(socket, 'foo');
    socket.send({ event: 'pusher:unsubscribe', data: { channel: 'foo' } });
    await socket.expectNothing();
    await publish('foo');
    await socket.expectNothing();
  });

  test('unsubscribe from a channel that was not joined gets an error', async () => {
    const socket = await ctx.raw();
    socket.send({ event: 'pusher:unsubscribe', data: { channel: 'foo' } });
    await socket.expectError(null, 'No current subscription to channel foo, or subscription in progress');
    await socket.expectNothing();
  });

  test('unsubscribe and subscribe back to back succeed once more', async () => {
    const socket = await ctx.raw();
    await rawSubscribe(socket, 'foo');
    for (let i = 0; i < 20; i++) {
      socket.together(() => {
        socket.send({ event: 'pusher:unsubscribe', data: { channel: 'foo' } });
        subscribe(socket, { channel: 'foo' });
      });
      await socket.expectText(success('foo'));
    }
    await publish('foo');
    await socket.expectJson({ event: 'e', channel: 'foo', data: 'x' });
    await socket.expectNothing();
  });

  test('a subscribe without a channel says what is missing', async () => {
    const socket = await ctx.raw();
    for (const data of [{}, { auth: 'x' }, { channel: null }, { channel: 7 }, { channel: ['foo'] }]) {
      subscribe(socket, data);
      await socket.expectError(null, 'Missing parameter: data.channel');
    }
    for (const text of ['{"event":"pusher:subscribe"}', '{"event":"pusher:subscribe","data":null}', '{"event":"pusher:subscribe","data":[]}', '{"event":"pusher:subscribe","data":"x"}', '{"event":"pusher:unsubscribe","data":{}}']) {
      socket.text(text);
      await socket.expectError(null, 'Missing parameter: data.channel');
    }
    await socket.expectNothing();
  });

  test('a socket_id leaves out exactly that connection', async () => {
    const sockets = [];
    for (let i = 0; i < 8; i++) sockets.push(await ctx.raw());
    for (const socket of sockets) await rawSubscribe(socket, 'foo');
    for (const left of sockets) {
      await publish('foo', left.socketId, { socket_id: left.socketId });
      for (const socket of sockets)
        if (socket !== left) await socket.expectJson({ event: 'e', channel: 'foo', data: left.socketId });
      await left.expectNothing();
    }
    await publish('foo', 'all', { socket_id: '1.1' });
    for (const socket of sockets) await socket.expectJson({ event: 'e', channel: 'foo', data: 'all' });
  });

  test('no event comes before subscription_succeeded, and none after an unsubscribe', async () => {
    let publishing = true;
    const load = (async () => { for (let i = 0; publishing; i++) await publish('busy', String(i)); })();
    try {
      for (let round = 0; round < 30; round++) {
        const socket = await ctx.raw();
        subscribe(socket, { channel: 'busy' });
        await socket.expectText(success('busy'));
        const first = JSON.parse((await socket.next()).text);
        assert.equal(first.event, 'e');
        socket.send({ event: 'pusher:unsubscribe', data: { channel: 'busy' } });
        socket.send({ event: 'pusher:ping' });
        let last = Number(first.data);
        for (;;) {
          const message = JSON.parse((await socket.next()).text);
          if (message.event === 'pusher:pong') break;
          assert.equal(Number(message.data), ++last, 'in order, without a gap');
        }
        await socket.expectNothing();
        socket.destroy();
      }
    } finally {
      publishing = false;
      await load;
    }
  });

  test('apps do not hear each other', async () => {
    const one = await ctx.raw();
    const two = await ctx.raw('/app/new-key?protocol=7', { established: true });
    await rawSubscribe(one, 'foo');
    await rawSubscribe(two, 'foo');
    await publish('foo');
    await one.expectJson({ event: 'e', channel: 'foo', data: 'x' });
    await two.expectNothing();
  });
});

forEachWorkers('many channels', { set: { 'app_defaults.limits.channels_per_connection': 3 } }, (ctx) => {
  test('one connection may be in so many channels and no more', async () => {
    const socket = await ctx.raw();
    for (const name of ['a', 'b', 'c']) await rawSubscribe(socket, name);
    socket.send({ event: 'pusher:subscribe', data: { channel: 'd' } });
    assert.equal(JSON.parse((await socket.next()).text).event, 'pusher:error');
    assert.equal(JSON.parse((await socket.next()).text).data.type, 'LimitReached');
    socket.send({ event: 'pusher:unsubscribe', data: { channel: 'b' } });
    await rawSubscribe(socket, 'd');
    const other = await ctx.raw();
    await rawSubscribe(other, 'a');
  });
});
