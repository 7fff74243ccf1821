// GET /events: public channels as Server-Sent Events.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { EventSource } from 'eventsource';
import { apiRequest, forEachWorkers, rawSubscribe, until, useServer } from './harness.mjs';
import { eventText, openStream, publish, quick, sessions, succeeded } from './fallback.mjs';
import { exchange, requestText } from './http.mjs';

const target = (channels, key = 'test-key', more = '') => `/events/${key}?channels=${channels}${more}`;

// One event's text from the stream: a data line and a blank one.
async function next(stream, ms) {
  const line = await stream.line(ms);
  assert.ok(line.startsWith('data: '), line);
  await stream.expectLine('');
  return line.slice(6);
}

forEachWorkers('event streams', { set: { ...quick, 'app_defaults.cache_ttl_s': 2 } }, (ctx) => {
  const open = async (channels, options) => {
    const stream = await openStream(ctx.server, 'GET', target(channels), options);
    ctx.defer(() => stream.destroy());
    return stream;
  };
  const begin = async (stream) => {
    await stream.expectLine('retry: 3000');
    await stream.expectLine('');
    const { event, data } = JSON.parse(await next(stream));
    assert.equal(event, 'pusher:connection_established');
    assert.match(JSON.parse(data).socket_id, /^\d+\.\d+$/);
  };

  test('as bytes: the head, retry, connection_established, subscriptions, events', async () => {
    const stream = await open('a,b');
    assert.equal(stream.status, 200);
    const { date, ...headers } = stream.headers;
    assert.ok(!Number.isNaN(Date.parse(date)));
    assert.deepEqual(headers, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-store, no-cache, must-revalidate, max-age=0',
      'access-control-allow-origin': '*',
      'x-accel-buffering': 'no',
      'transfer-encoding': 'chunked',
    });
    await begin(stream);
    assert.equal(await next(stream), succeeded('a'));
    assert.equal(await next(stream), succeeded('b'));
    assert.equal(await sessions(ctx.server, 'events'), 1);
    await publish(ctx.server, 'b', 'é漢\u{1F514}\n"');
    assert.equal(await next(stream), eventText('b', 'é漢\u{1F514}\n"'));
    await publish(ctx.server, 'c', 'not for it');
    await publish(ctx.server, 'a', 'for it');
    assert.equal(await next(stream), eventText('a', 'for it'));
    assert.equal(stream.body, '');
  });

  test('over HTTP/1.0 the same, without chunks', async () => {
    const stream = await open('a', { version: 'HTTP/1.0' });
    assert.equal(stream.headers['transfer-encoding'], undefined);
    await begin(stream);
    assert.equal(await next(stream), succeeded('a'));
    for (let i = 0; i < 20; i++) await publish(ctx.server, 'a', `${i} ${'é'.repeat(4000)}`);
    for (let i = 0; i < 20; i++) assert.equal(JSON.parse(await next(stream)).data, `${i} ${'é'.repeat(4000)}`);
  });

  test('EventSource gets every event once and in order, past any length', async () => {
    const source = new EventSource(`${ctx.server.url}${target('c')}`);
    ctx.defer(() => source.close());
    const all = [];
    source.onmessage = ({ data }) => all.push(JSON.parse(data));
    await until(() => all.some((m) => m.event === 'pusher_internal:subscription_succeeded'), 'the subscription');
    all.length = 0;
    const n = 100;
    for (let i = 0; i < n; i += 10) {
      const batch = Array.from({ length: 10 }, (_, k) => ({ channel: 'c', name: 'e', data: `${i + k} ${'x'.repeat(9000)}` }));
      assert.equal((await apiRequest(ctx.server, 'POST', '/apps/test-id/batch_events', { body: { batch } })).status, 200);
    }
    await until(() => all.length >= n, 'every event');
    assert.deepEqual(all.map((m) => parseInt(m.data, 10)), Array.from({ length: n }, (_, i) => i));
  });

  test('curl -N shows a channel', async () => {
    const child = spawn('curl', ['-sN', `${ctx.server.url}${target('c')}`], { stdio: ['ignore', 'pipe', 'pipe'] });
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (chunk) => { text += chunk; });
    const exited = new Promise((resolve) => child.on('close', resolve));
    child.on('error', (error) => { text += `\n\n${error}`; });
    ctx.defer(() => child.kill());
    await until(() => text.includes('subscription_succeeded'), 'the subscription');
    await publish(ctx.server, 'c', 'hello');
    await until(() => text.endsWith(`data: ${eventText('c', 'hello')}\n\n`), 'the event as curl prints it');
    child.kill();
    await exited;
  });

  test('it is a subscriber like any other, and gone with its connection', async () => {
    const stream = await open('c');
    await begin(stream);
    await next(stream);
    const isOccupied = async () => (await apiRequest(ctx.server, 'GET', '/apps/test-id/channels/c')).json.occupied;
    assert.equal(await isOccupied(), true);
    stream.destroy();
    await until(async () => (await sessions(ctx.server)) === 0, 'the end of its session', 2000);
    assert.equal(await isOccupied(), false);
  });

  test('a cache channel tells what it has', async () => {
    const socket = await ctx.raw();
    await rawSubscribe(socket, 'cache-c');
    await publish(ctx.server, 'cache-c', 'kept');
    const stream = await open('cache-c');
    await begin(stream);
    assert.equal(await next(stream), succeeded('cache-c'));
    assert.equal(await next(stream), eventText('cache-c', 'kept'));
  });

  test('line ends inside an event are no line ends of the stream', async () => {
    const stream = await open('c');
    await begin(stream);
    await next(stream);
    const body = '{"name":"e","channel":"c","data":"one\\r\\ntwo\\u2028three"}';
    assert.equal((await apiRequest(ctx.server, 'POST', '/apps/test-id/events', { body })).status, 200);
    assert.equal(JSON.parse(await next(stream)).data, 'one\r\ntwo\u2028three');
    assert.equal(stream.body, '');
  });
});

describe('event streams: answers', () => {
  const app = (name, more = '') => `  - id: ${name}\n    keys: [{key: ${name}-key, secret: ${name}-secret}]\n${more}`;
  const config = `apps:\n${app('one')}${app('off', '    enabled: false\n')}${app('safe', '    tls_only: true\n')}${app('full', '    max_connections: 1\n')}${app('picky', '    allowed_origins: ["https://good.example"]\n')}`;
  const ctx = useServer({ app: null, config, set: { ...quick, 'limits.heartbeat_ms': 300 } });
  before(() => { ctx.server.app = { id: 'one', key: 'one-key', secret: 'one-secret' }; });
  const ask = (where, { method = 'GET', ...options } = {}) => exchange(ctx.server, requestText(method, where, options));

  const cases = {
    'no channels': ['/events/one-key', 400, /parameter 'channels' is missing/],
    'empty channels': ['/events/one-key?channels=', 400, /parameter 'channels' is missing/],
    'an empty name': [target('a,,b', 'one-key'), 400, /^'' is not the name of a channel\n$/],
    'a name at the end': [target('a,', 'one-key'), 400, /^'' is not the name of a channel\n$/],
    'a name with a space': [target('a%20b', 'one-key'), 400, /^'a b' is not the name of a channel\n$/],
    'a name with a line end': [target('a%0Ab', 'one-key'), 400, /^'a\?b' is not the name of a channel\n$/],
    'a name that is too long': [target('x'.repeat(300), 'one-key'), 400, /is not the name of a channel\n$/],
    'a private channel': [target('a,private-b', 'one-key'), 403, /^channel 'private-b' needs an authorisation/],
    'a presence channel': [target('presence-b', 'one-key'), 403, /needs an authorisation/],
    'an encrypted channel': [target('private-encrypted-b', 'one-key'), 403, /needs an authorisation/],
    'a private cache channel': [target('private-cache-b', 'one-key'), 403, /needs an authorisation/],
    'a user\'s channel': [target('%23server-to-user-1', 'one-key'), 403, /needs an authorisation/],
    'an unknown key': [target('a', 'nobody'), 404, /not in this cluster/],
    'no key': ['/events/?channels=a', 404, /./],
    'a disabled app': [target('a', 'off-key'), 403, /Application disabled/],
    'an app that wants TLS': [target('a', 'safe-key'), 403, /SSL/],
    'another protocol': [target('a', 'one-key', '&protocol=4'), 400, /Unsupported protocol version/],
  };
  for (const [name, [where, status, text]] of Object.entries(cases))
    test(name, async () => {
      const answer = await ask(where);
      assert.equal(answer.status, status, answer.text);
      assert.match(answer.text, text);
      assert.equal(answer.headers['access-control-allow-origin'], '*');
      assert.equal(await sessions(ctx.server), 0);
    });

  test('another method', async () => {
    for (const method of ['POST', 'PUT', 'HEAD']) {
      const answer = await exchange(ctx.server, requestText(method, target('a', 'one-key')), { bodiless: method === 'HEAD' });
      assert.equal(answer.status, 405);
      assert.equal(answer.headers.allow, 'GET, OPTIONS');
      assert.equal(answer.headers['access-control-allow-origin'], '*');
    }
  });

  test('another page\'s origin', async () => {
    const refused = await ask(target('a', 'picky-key'), { headers: { Origin: 'https://bad.example' } });
    assert.equal(refused.status, 403);
    const stream = await openStream(ctx.server, 'GET', target('a', 'picky-key'), { headers: { Origin: 'https://good.example' } });
    ctx.defer(() => stream.destroy());
    assert.equal(stream.status, 200);
  });

  test('a full app is 503, with a time to come back, and what was refused leaves no connection counted', async () => {
    for (let i = 0; i < 3; i++) assert.equal((await ask(target('private-a', 'full-key'))).status, 403);
    const stream = await openStream(ctx.server, 'GET', target('a', 'full-key'));
    assert.equal(stream.status, 200);
    const answer = await ask(target('a', 'full-key'));
    assert.equal(answer.status, 503);
    assert.equal(answer.headers['retry-after'], '5');
    stream.destroy();
    await until(async () => await sessions(ctx.server) === 0, 'room');
    const again = await openStream(ctx.server, 'GET', target('a', 'full-key'));
    assert.equal(again.status, 200);
    ctx.defer(() => again.destroy());
  });

  test('a comment comes every heartbeat_ms', async () => {
    const stream = await openStream(ctx.server, 'GET', target('a', 'one-key'));
    ctx.defer(() => stream.destroy());
    for (let beats = 0; beats < 2;) if (await stream.line() === ':h') { beats++; await stream.expectLine(''); }
  });

  test('a reload that takes the app away, and a stop, end the stream', async () => {
    const going = await openStream(ctx.server, 'GET', target('a', 'off-key'));
    assert.equal(going.status, 403);
    const stream = await openStream(ctx.server, 'GET', target('a', 'picky-key'));
    assert.equal(stream.status, 200);
    await until(() => stream.body.includes('subscription_succeeded'), 'the subscription');
    writeFileSync(path.join(ctx.server.folder, 'carillon.yaml'), `apps:\n${app('one')}`);
    ctx.server.signal('SIGHUP');
    await until(() => stream.ended, 'the end of the stream');
    assert.doesNotMatch(stream.body, /\bc\[/);
  });
});
