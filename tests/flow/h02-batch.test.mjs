// POST batch_events.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiRequest, forEachWorkers, rawSubscribe } from './harness.mjs';

forEachWorkers('POST batch_events', { set: { 'app_defaults.subscription_count': 'true' } }, (ctx) => {
  const post = (body) => apiRequest(ctx.server, 'POST', '/apps/test-id/batch_events', { body });
  const one = (more) => ({ channel: 'c', name: 'n', data: 'd', ...more });

  async function listener(...channels) {
    const socket = await ctx.raw();
    for (const channel of channels) {
      const channelData = channel.startsWith('presence-') ? JSON.stringify({ user_id: 'u' }) : undefined;
      await rawSubscribe(socket, channel, { channelData });
    }
    socket.event = () => socket.expect((m) => !/^pusher(_internal)?:/.test(m.event), 'an event');
    return socket;
  }

  test('ten events go out in their order, and the answer is exactly {}', async () => {
    const socket = await listener('c');
    const batch = Array.from({ length: 10 }, (_, i) => one({ data: String(i) }));
    const answer = await post({ batch });
    assert.equal(answer.status, 200);
    assert.equal(answer.type, 'application/json');
    assert.equal(answer.text, '{}');
    for (let i = 0; i < 10; i++) assert.deepEqual(await socket.event(), { event: 'n', channel: 'c', data: String(i) });
  });

  test('trap 26: with info on one event the answer is a list, aligned with the events', async () => {
    await listener('presence-r', 'c');
    const answer = await post({
      batch: [
        one({ channel: 'presence-r', info: 'user_count' }), one(), one({ info: 'subscription_count' }),
        one({ channel: 'nobody', info: 'subscription_count' }), one({ info: 'user_count' }), one({ channel: 'presence-r' }),
      ],
    });
    assert.equal(answer.text, '{"batch":[{"user_count":1},{},{"subscription_count":1},{"subscription_count":0},{},{}]}');
  });

  test('each event may leave out a connection of its own', async () => {
    const a = await listener('c');
    const b = await listener('c');
    await post({ batch: [one({ data: '1', socket_id: a.socketId }), one({ data: '2', socket_id: b.socketId }), one({ data: '3' })] });
    assert.deepEqual([(await a.event()).data, (await a.event()).data], ['2', '3']);
    assert.deepEqual([(await b.event()).data, (await b.event()).data], ['1', '3']);
  });

  test('all are checked before any is sent', async () => {
    const socket = await listener('c');
    for (const bad of [one({ name: 7 }), one({ channel: 'b ad' }), one({ data: 'x'.repeat(10241) }), one({ socket_id: 'x' }), one({ data: undefined })]) {
      const answer = await post({ batch: [one(), one(), bad] });
      assert.equal(answer.status, bad.data?.length > 10240 ? 413 : 400);
    }
    assert.equal((await post({ batch: [one({ name: 'after' })] })).text, '{}');
    assert.equal((await socket.event()).event, 'after');
  });

  test('eleven events are refused, ten of full size are not', async () => {
    const answer = await post({ batch: Array.from({ length: 11 }, () => one()) });
    assert.equal(answer.status, 400);
    assert.equal(answer.text, 'A batch may hold at most 10 events\n');
    const socket = await listener('c');
    assert.equal((await post({ batch: Array.from({ length: 10 }, () => one({ data: 'x'.repeat(10240) })) })).text, '{}');
    for (let i = 0; i < 10; i++) assert.equal((await socket.event()).data.length, 10240);
  });

  test('incident 06: a batch of another form is refused with a sentence', async () => {
    const wanted = 'Expected batch parameter to be an array of objects\n';
    for (const body of ['{}', '{"batch":{}}', '{"batch":"x"}', '{"batch":null}', '{"batch":7}', '{"batch":[null]}', '{"batch":[[]]}',
      '{"batch":["x"]}', '{"batch":[1]}', `{"batch":[${JSON.stringify(one())},null]}`]) {
      const answer = await post(body);
      assert.equal(answer.status, 400, body);
      assert.equal(answer.text, wanted, body);
    }
    for (const body of ['null', '[]', '"batch"', '7', 'true']) {
      const answer = await post(body);
      assert.equal(answer.status, 400, body);
      assert.equal(answer.text, 'Invalid JSON: expected an object in the body\n', body);
    }
    assert.equal((await post('{"batch":[]}')).status, 400);
    for (const channel of [undefined, null, 7, {}, ['c']]) {
      const answer = await post({ batch: [one({ channel })] });
      assert.equal(answer.status, 400);
      assert.equal(answer.text, 'Expected channel parameter to be a string\n');
    }
  });
});
