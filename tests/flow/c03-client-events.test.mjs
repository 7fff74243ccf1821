// Events that clients send each other.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forEachWorkers, limit, rawSubscribe, sleep } from './harness.mjs';

const offApp = `
apps:
  - id: "quiet"
    keys: [{key: quiet-key, secret: quiet-secret}]
    client_events: false
`;
const quiet = { id: 'quiet', key: 'quiet-key', secret: 'quiet-secret' };

// Data rules need more than ten events in a second.
const fast = { config: offApp, set: { 'app_defaults.limits.client_events_per_s': 1000 } };

forEachWorkers('client events', fast, (ctx) => {
  async function pair(channel, members) {
    const sender = await ctx.raw();
    const receiver = await ctx.raw();
    for (const [i, socket] of [sender, receiver].entries())
      await rawSubscribe(socket, channel, { channelData: members?.[i] });
    if (members) await sender.expectEvent('pusher_internal:member_added', channel);
    return [sender, receiver];
  }

  test('a client event on a private channel goes to all others and never back', async () => {
    const [sender, receiver] = await pair('private-foo');
    const third = await ctx.raw();
    await rawSubscribe(third, 'private-foo');
    sender.text('{"event":"client-typing","data":{"a":1},"channel":"private-foo"}');
    for (const socket of [receiver, third])
      await socket.expectJson({ event: 'client-typing', channel: 'private-foo', data: '{"a":1}' });
    await sender.expectNothing();
  });

  test('trap 32: trap 55: data of any form arrives as a string', async () => {
    const [sender, receiver] = await pair('private-foo');
    const forms = [
      ['{"a":1}', '{"a":1}'],
      ['{"a" : [1, 2.50, "\\u00e9"]}', '{"a" : [1, 2.50, "\\u00e9"]}'],
      ['"text"', 'text'],
      ['"{\\"a\\":1}"', '{"a":1}'],
      ['""', ''],
      ['7', '7'],
      ['-1.5e3', '-1.5e3'],
      ['true', 'true'],
      ['null', 'null'],
      ['[1,"two"]', '[1,"two"]'],
      ['{}', '{}'],
      ['"\\ud83d\\ude00 \\" \\\\ \\n"', '\u{1f600} " \\ \n'],
    ];
    for (const [sent, got] of forms) {
      sender.text(`{"event":"client-x","data":${sent},"channel":"private-foo"}`);
      await receiver.expectJson({ event: 'client-x', channel: 'private-foo', data: got });
    }
    await sender.expectNothing();
  });

  test('trap 30: without data the key is left out', async () => {
    const [sender, receiver] = await pair('private-foo');
    sender.text('{"event":"client-x","channel":"private-foo"}');
    await receiver.expectText('{"event":"client-x","channel":"private-foo"}');
    const [member, other] = await pair('presence-foo', ['{"user_id":"1"}', '{"user_id":"2"}']);
    member.text('{"event":"client-x","channel":"presence-foo"}');
    await other.expectJson({ event: 'client-x', channel: 'presence-foo', user_id: '1' });
  });

  test('trap 33: on a presence channel user_id is that of the sender', async () => {
    const [sender, receiver] = await pair('presence-foo', ['{"user_id":"al\\"ice"}', '{"user_id":42,"user_info":{"n":1}}']);
    sender.text('{"event":"client-x","data":{"a":1},"channel":"presence-foo"}');
    await receiver.expectJson({ event: 'client-x', channel: 'presence-foo', data: '{"a":1}', user_id: 'al"ice' });
    receiver.text('{"event":"client-y","data":"s","channel":"presence-foo"}');
    await sender.expectJson({ event: 'client-y', channel: 'presence-foo', data: 's', user_id: '42' });
  });

  test('trap 53: user_id and other keys of the sender are not copied', async () => {
    const [sender, receiver] = await pair('private-foo');
    sender.text('{"user_id":"boss","event":"client-x","evil":{"x":1},"data":{"a":1},"channel":"private-foo","socket_id":"1.1"}');
    await receiver.expectJson({ event: 'client-x', channel: 'private-foo', data: '{"a":1}' });
    const [member, other] = await pair('presence-foo', ['{"user_id":"1"}', '{"user_id":"2"}']);
    member.text('{"event":"client-x","data":{"a":1},"channel":"presence-foo","user_id":"boss"}');
    await other.expectJson({ event: 'client-x', channel: 'presence-foo', data: '{"a":1}', user_id: '1' });
  });

  test('trap 54: a public channel refuses client events', async () => {
    const [sender, receiver] = await pair('foo');
    for (const channel of ['foo', 'cache-foo', 'private', '#server-to-user-7']) {
      sender.send({ event: 'client-x', data: { a: 1 }, channel });
      const error = JSON.parse((await sender.next()).text);
      assert.equal(error.event, 'pusher:error');
      assert.equal(error.data.code, null);
    }
    await receiver.expectNothing();
    await sender.expectNothing();
  });

  test('encrypted channels refuse client events', async () => {
    for (const channel of ['private-encrypted-foo', 'private-encrypted-cache-foo']) {
      const [sender, receiver] = await pair(channel);
      if (channel.includes('cache')) for (const s of [sender, receiver]) await s.expectEvent('pusher:cache_miss');
      sender.send({ event: 'client-x', data: { a: 1 }, channel });
      const error = JSON.parse((await sender.next()).text);
      assert.equal(error.event, 'pusher:error');
      assert.equal(error.data.code, null);
      await receiver.expectNothing();
    }
  });

  test('trap 31: who is not in the channel cannot send to it', async () => {
    const [, receiver] = await pair('private-foo');
    const stranger = await ctx.raw();
    stranger.send({ event: 'client-x', data: { a: 1 }, channel: 'private-foo' });
    await stranger.expectError(null, 'Cannot broadcast client event (connection not subscribed to channel private-foo)');
    await receiver.expectNothing();
    await rawSubscribe(stranger, 'private-foo');
    stranger.send({ event: 'pusher:unsubscribe', data: { channel: 'private-foo' } });
    stranger.send({ event: 'client-x', data: { a: 1 }, channel: 'private-foo' });
    await stranger.expectError(null, 'Cannot broadcast client event (connection not subscribed to channel private-foo)');
    await receiver.expectNothing();
  });

  test('private-cache and presence-cache channels relay, and do not keep the event', async () => {
    const [sender, receiver] = await pair('private-cache-foo');
    await sender.expectEvent('pusher:cache_miss');
    await receiver.expectEvent('pusher:cache_miss');
    sender.send({ event: 'client-x', data: { a: 1 }, channel: 'private-cache-foo' });
    await receiver.expectJson({ event: 'client-x', channel: 'private-cache-foo', data: '{"a":1}' });
    const late = await ctx.raw();
    await rawSubscribe(late, 'private-cache-foo');
    await late.expectText('{"event":"pusher:cache_miss","channel":"private-cache-foo","data":"{}"}');
  });

  test('a client event without a channel is invalid', async () => {
    const socket = await ctx.raw();
    for (const text of ['{"event":"client-x","data":{}}', '{"event":"client-x"}', '{"event":"client-x","data":{},"channel":null}', '{"event":"client-x","data":{},"channel":7}']) {
      socket.text(text);
      await socket.expectError(null, 'Invalid client event (must contain channel and data)');
    }
    await socket.expectNothing();
  });

  test('only names that begin with client- are client events', async () => {
    const [sender, receiver] = await pair('private-foo');
    for (const event of ['myclient-x', 'client', 'Client-x', 'clientx', 'xclient-']) {
      sender.send({ event, data: {}, channel: 'private-foo' });
      await sender.expectError(null, `Unsupported event received on socket: '${event}'`);
    }
    await receiver.expectNothing();
    sender.text('{"event":"client-","data":{},"channel":"private-foo"}');
    sender.text('{"event":"client-ü \\"q\\" \\\\ \\u0007","data":{},"channel":"private-foo"}');
    await receiver.expectEvent('client-');
    await receiver.expectJson({ event: 'client-ü "q" \\ \u0007', channel: 'private-foo', data: '{}' });
  });

  test('an app without client events refuses them in the words of the hosted service', async () => {
    const sockets = [];
    for (let i = 0; i < 2; i++) {
      sockets.push(await ctx.raw('/app/quiet-key?protocol=7', { established: true }));
      await rawSubscribe(sockets[i], 'private-foo', { app: quiet });
    }
    sockets[0].send({ event: 'client-x', data: {}, channel: 'private-foo' });
    await sockets[0].expectError(null, 'To send client events, you must enable this feature in the Settings page of your dashboard.');
    await sockets[1].expectNothing();
  });

  test('trap 24: data of exactly 10,240 bytes passes, escapes or not, and one byte more does not', async () => {
    const [sender, receiver] = await pair('private-foo');
    const string = (n) => 'x'.repeat(n - 2) + '\u00e9';
    sender.send({ event: 'client-x', data: string(10240), channel: 'private-foo' });
    await receiver.expectJson({ event: 'client-x', channel: 'private-foo', data: string(10240) });
    const object = JSON.stringify({ a: 'x'.repeat(10240 - 8) });
    assert.equal(object.length, 10240);
    sender.text(`{"event":"client-x","data":${object},"channel":"private-foo"}`);
    await receiver.expectJson({ event: 'client-x', channel: 'private-foo', data: object });
    // Escapes make the frame longer, not the data.
    const escaped = '\\u0041'.repeat(10240);
    sender.text(`{"event":"client-x","data":"${escaped}","channel":"private-foo"}`);
    await receiver.expectJson({ event: 'client-x', channel: 'private-foo', data: 'A'.repeat(10240) });
    for (const data of [string(10241), { a: 'x'.repeat(10240 - 7) }]) {
      sender.send({ event: 'client-x', data, channel: 'private-foo' });
      const error = JSON.parse((await sender.next()).text);
      assert.equal(error.event, 'pusher:error');
      assert.equal(error.data.code, null);
    }
    await receiver.expectNothing();
    await sender.expectNothing();
  });

  test('an event name over 200 characters is refused', async () => {
    const [sender, receiver] = await pair('private-foo');
    const name = (n) => `client-${'n'.repeat(n - 7)}`;
    sender.send({ event: name(200), data: {}, channel: 'private-foo' });
    await receiver.expectJson({ event: name(200), channel: 'private-foo', data: '{}' });
    sender.send({ event: name(201), data: {}, channel: 'private-foo' });
    const error = JSON.parse((await sender.next()).text);
    assert.deepEqual([error.event, error.data.code], ['pusher:error', null]);
    await receiver.expectNothing();
  });

  test('a sender\'s events keep their order', async () => {
    const [sender, receiver] = await pair('private-foo');
    sender.together(() => {
      for (let i = 0; i < 500; i++) sender.text(`{"event":"client-x","data":${i},"channel":"private-foo"}`);
    });
    for (let i = 0; i < 500; i++) assert.equal(JSON.parse((await receiver.next()).text).data, String(i));
  });
});

forEachWorkers('the rate of client events', {}, (ctx) => {
  test('ten events in a second pass, the rest get 4301, and the connection stays', async () => {
    const sender = await ctx.raw();
    const receiver = await ctx.raw();
    await rawSubscribe(sender, 'private-foo');
    await rawSubscribe(receiver, 'private-foo');
    sender.together(() => {
      for (let i = 0; i < 15; i++) sender.text(`{"event":"client-x","data":${i},"channel":"private-foo"}`);
    });
    for (let i = 0; i < 10; i++) assert.equal(JSON.parse((await receiver.next()).text).data, String(i));
    for (let i = 0; i < 5; i++) {
      const error = JSON.parse((await sender.next()).text);
      assert.equal(error.event, 'pusher:error');
      assert.equal(error.data.code, 4301);
      assert.equal(typeof error.data.message, 'string');
    }
    await receiver.expectNothing();
    await sender.expectNothing();
    // A second later there is room again; how much slower the machine is does no harm.
    await sleep(limit(1100));
    sender.send({ event: 'client-x', data: 'again', channel: 'private-foo' });
    await receiver.expectJson({ event: 'client-x', channel: 'private-foo', data: 'again' });
  });

  test('the limit is of a connection, not of a channel or an app', async () => {
    const receiver = await ctx.raw();
    await rawSubscribe(receiver, 'private-foo');
    const senders = [];
    for (let i = 0; i < 3; i++) {
      senders.push(await ctx.raw());
      await rawSubscribe(senders[i], 'private-foo');
    }
    for (const sender of senders)
      sender.together(() => { for (let i = 0; i < 10; i++) sender.text('{"event":"client-x","data":1,"channel":"private-foo"}'); });
    for (let i = 0; i < 30; i++) assert.equal(JSON.parse((await receiver.next()).text).event, 'client-x');
  });
});
