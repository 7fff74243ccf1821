// Requests that their senders name: however often they come, they act once.
import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, describe, test } from 'node:test';
import { call, guideApp, guideClient, join, startGuide, users } from './gateway.mjs';
import { apiRequest, forEachWorkers, signedQuery, subscribed, until } from './harness.mjs';

forEachWorkers('idempotency keys', { set: { 'app_defaults.subscription_count': 'true' } }, (ctx) => {
  const post = (body, target = 'events') => apiRequest(ctx.server, 'POST', `/apps/${ctx.server.app.id}/${target}`, { body });
  // Which channels have their home where, the test need not know: several of them.
  const channels = ['once-a', 'once-b', 'once-c', 'once-d'];
  const listen = async () => {
    const client = ctx.client();
    const heard = [];
    for (const name of channels) (await subscribed(client, name)).bind('e', (data) => heard.push([name, data]));
    return heard;
  };

  test('a repetition gets the first answer, and nobody hears it twice', async () => {
    const heard = await listen();
    const event = { name: 'e', channels, data: '1', info: 'subscription_count', idempotency_key: 'k-1' };
    const first = await post(event);
    const again = await post({ ...event, data: '2' });
    assert.deepEqual([again.status, again.text], [first.status, first.text]);
    assert.equal(first.json.channels['once-a'].subscription_count, 1);
    await post({ name: 'e', channels: ['once-a'], data: '"end"' });
    await until(() => heard.some(([, data]) => data === 'end'), 'the last event');
    assert.deepEqual(heard.filter(([, data]) => data !== 'end').map(([name]) => name).sort(), channels);
  });

  test('many at once: one acts, all are answered', async () => {
    const heard = await listen();
    const event = { name: 'e', channels, data: '1', idempotency_key: 'k-2' };
    const answers = await Promise.all(Array.from({ length: 20 }, () => post(event)));
    for (const { status, text } of answers) assert.deepEqual([status, text], [200, '{}']);
    await post({ name: 'e', channels, data: '"end"' });
    await until(() => heard.filter(([, data]) => data === 'end').length === 4, 'the last events');
    assert.equal(heard.length, 8);
  });

  test('a batch, a header, another app\'s key of the same name', async () => {
    const heard = await listen();
    const batch = { batch: [{ channel: 'once-a', name: 'e', data: '1' }, { channel: 'once-b', name: 'e', data: '1' }], idempotency_key: 'k-3' };
    for (let i = 0; i < 3; i++) assert.equal((await post(batch, 'batch_events')).text, '{}');
    const text = JSON.stringify({ name: 'e', channels: ['once-c'], data: '1' });
    for (let i = 0; i < 3; i++) {
      const { query } = signedQuery(ctx.server.app, 'POST', `/apps/${ctx.server.app.id}/events`, {}, text);
      const answer = await fetch(`${ctx.server.url}/apps/${ctx.server.app.id}/events?${query}`, { method: 'POST', body: text, headers: { 'x-idempotency-key': 'k-4' } });
      assert.equal(answer.status, 200);
    }
    await post({ name: 'e', channels, data: '"end"' });
    await until(() => heard.filter(([, data]) => data === 'end').length === 4, 'the last events');
    assert.equal(heard.length, 7);
  });

  test('a failure is not kept: the name is free for a better try', async () => {
    const heard = await listen();
    assert.equal((await post({ name: '', channels, data: '1', idempotency_key: 'k-5' })).status, 400);
    assert.equal((await post({ name: 'e', channels: ['once-a'], data: '1', idempotency_key: 'k-5' })).status, 200);
    await until(() => heard.length === 1, 'the event');
  });

  test('who leaves before the answer has acted all the same', async () => {
    const heard = await listen();
    const text = JSON.stringify({ name: 'e', channels, data: '1', idempotency_key: 'k-6' });
    const { query } = signedQuery(ctx.server.app, 'POST', `/apps/${ctx.server.app.id}/events`, {}, text);
    const socket = net.connect(ctx.server.port, ctx.server.host);
    socket.end(`POST /apps/${ctx.server.app.id}/events?${query} HTTP/1.1\r\nHost: x\r\nContent-Length: ${text.length}\r\n\r\n${text}`, () => socket.destroy());
    await until(() => heard.length === 4, 'the events');
    assert.equal((await post(text)).text, '{}');
    await post({ name: 'e', channels, data: '"end"' });
    await until(() => heard.filter(([, data]) => data === 'end').length === 4, 'the last events');
    assert.equal(heard.length, 8);
  });

  for (const key of [5, '', 'x'.repeat(129), {}, 'a\u0000b'])
    test(`a key that is none: ${JSON.stringify(key).slice(0, 20)}`, async () => {
      const answer = await post({ name: 'e', channels, data: '1', idempotency_key: key });
      assert.deepEqual([answer.status, answer.text], [400, 'Invalid idempotency_key: expected a string of 1 to 128 characters\n']);
    });
});

describe('idempotency keys of the application\'s endpoints', () => {
  let server;
  before(async () => { server = await startGuide({ workers: 2 }); });
  after(() => server.stop());

  test('a message is relayed once; keys are each user\'s own', async () => {
    const clients = [guideClient(server, users.student), guideClient(server, users.teacher)];
    for (const client of clients) await join(client, 'presence-content-updates');
    const message = { message_type: 'chat', payload: { text: 'hi' }, channel: 'presence-content-updates', idempotency_key: 'm-1' };
    const answers = await Promise.all(Array.from({ length: 10 }, () => call(server, users.student, 'POST', '/api/v1/pusher/message', message)));
    for (const { status, text } of answers) assert.deepEqual([status, text], [200, answers[0].text]);
    const repeated = await call(server, users.student, 'POST', '/api/v1/pusher/message', message, { origin: 'http://localhost:5173' });
    assert.deepEqual([repeated.text, repeated.headers.get('access-control-allow-origin')], [answers[0].text, 'http://localhost:5173']);
    const other = await call(server, users.teacher, 'POST', '/api/v1/pusher/message', message);
    assert.notEqual(other.text, answers[0].text);
    await until(() => clients.every(({ heard }) => heard.length === 2), 'both messages');
    assert.equal((await call(server, users.student, 'POST', '/api/v1/pusher/message', { ...message, idempotency_key: '' })).status, 422);
    for (const client of clients) client.disconnect();
    assert.equal(server.app, guideApp);
  });
});
