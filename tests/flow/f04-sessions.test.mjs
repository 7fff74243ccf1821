// Sessions over HTTP from their opening to their end, wherever their requests arrive.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { apiRequest, channelAuth, connected, forEachWorkers, freePort, limit, once, ownFolder, pusherClient, rawSubscribe, signedQuery, sleep, startServer, subscribed, until, userAuth, useServer } from './harness.mjs';
import { detached, eventText, expectRise, lineOf, openStream, PREAMBLE, publish, quick, QUERY, readLines, SCRIPT, Session, sessions, Stream, subscribeText, succeeded } from './fallback.mjs';
import { exchange, httpSocket, requestText } from './http.mjs';

const named = (name) => ({ id: name, key: `${name}-key`, secret: `${name}-secret` });
const yaml = (name, more = '') => `  - id: ${name}\n    keys: [{key: ${name}-key, secret: ${name}-secret}]\n${more}`;
const verbs = ['xhr_streaming', 'xhr'];
const signinText = (app, socketId, id) => {
  const data = JSON.stringify({ id });
  return JSON.stringify({ event: 'pusher:signin', data: { auth: userAuth(app, socketId, data), user_data: data } });
};

// The answer to a receive that is refused.
const receive = (server, base, verb, query = QUERY) => exchange(server, requestText('POST', `${base}/${verb}?${query}`));

describe('errors at the opening come as o and then c', () => {
  const config = `apps:\n${yaml('one')}${yaml('off', '    enabled: false\n')}${yaml('safe', '    tls_only: true\n')}${yaml('full', '    max_connections: 1\n')}`;
  const ctx = useServer({ app: null, config, workers: 2, set: quick });
  before(() => { ctx.server.app = named('one'); });
  const cases = {
    'an unknown key': ['nobody', QUERY, 4001, 'App key nobody not in this cluster. Did you forget to specify the cluster?'],
    'a key with odd characters': ['a%22%5C%0Ab', QUERY, 4001, 'App key a"\\\nb not in this cluster. Did you forget to specify the cluster?'],
    'a disabled app': ['off-key', QUERY, 4003, 'Application disabled'],
    'an app that wants TLS': ['safe-key', QUERY, 4000, 'Application only accepts SSL connections, reconnect using wss://'],
    'a protocol of the past': ['one-key', 'protocol=4', 4007, 'Unsupported protocol version'],
    'a protocol of the future': ['one-key', 'protocol=8', 4007, 'Unsupported protocol version'],
    'a protocol that is no number': ['one-key', 'protocol=x', 4007, 'Unsupported protocol version'],
  };
  for (const [name, [key, query, code, reason]] of Object.entries(cases))
    for (const verb of verbs)
      test(`${name} (${verb})`, async () => {
        const answer = await receive(ctx.server, `/pusher/app/${key}/1/aaaaaaaa`, verb, query);
        assert.equal(answer.status, 200);
        assert.equal(answer.headers['content-type'], SCRIPT);
        assert.equal(answer.headers['access-control-allow-origin'], '*');
        assert.equal(answer.text.replace(PREAMBLE, ''), `o\nc[${code},${JSON.stringify(reason)}]\n`);
        assert.equal(await sessions(ctx.server), 0);
      });

  for (const verb of verbs)
    test(`an app that is full (${verb})`, async () => {
      const first = new Session(ctx, { key: 'full-key' });
      await first.openStream();
      const answer = await receive(ctx.server, '/pusher/app/full-key/2/bbbbbbbb', verb);
      assert.equal(answer.text.replace(PREAMBLE, ''), 'o\nc[4004,"Application is over connection quota"]\n');
    });

  test('pusher-js stops at 4001, with its code', async () => {
    for (const transport of ['xhr_streaming', 'xhr_polling']) {
      const client = pusherClient(ctx.server, { app: { ...named('one'), key: 'nobody' }, enabledTransports: [transport] });
      ctx.defer(() => client.disconnect());
      await until(() => client.connection.state === 'disconnected', 'pusher-js to give up');
      assert.ok(client.errors.some((error) => (error.error ?? error).data?.code === 4001), JSON.stringify(client.errors));
    }
  });

  test('pusher-js tries again after 4004 and gets in when there is room', async () => {
    const first = new Session(ctx, { key: 'full-key' });
    const stream = await first.openStream();
    const client = pusherClient(ctx.server, { app: { id: 'full', key: 'full-key', secret: 'full-secret' }, enabledTransports: ['xhr_polling'] });
    ctx.defer(() => client.disconnect());
    await until(() => client.connection.state === 'disconnected', 'pusher-js to stop (40xx)');
    stream.destroy();
    await until(async () => await sessions(ctx.server) === 0, 'room');
    client.connect();
    await connected(client);
  });
});

forEachWorkers('the life of a session', { set: quick }, (ctx) => {
  const api = (pathname, options) => apiRequest(ctx.server, 'POST', `/apps/test-id${pathname}`, options);

  test('an abort and a new receive within rejoin_ms keep the session; presence does not see it', async () => {
    const watcher = await ctx.raw();
    await rawSubscribe(watcher, 'presence-r', { channelData: '{"user_id":"w"}' });
    const session = new Session(ctx);
    let stream = await session.openStream();
    const channelData = '{"user_id":"u"}';
    await session.send([subscribeText('presence-r', { auth: channelAuth(ctx.server.app, session.socketId, 'presence-r', channelData), channel_data: channelData })]);
    await stream.line();
    await watcher.expectEvent('pusher_internal:member_added', 'presence-r');
    for (let i = 0; i < 5; i++) {
      stream.destroy();
      stream = await session.stream();
      await session.send([]);
      await stream.expectLine('a[]');
    }
    await watcher.expectNothing();
    stream.destroy();
    const from = performance.now();
    await expectRise(ctx.server, 'carillon_orphaned_sessions_total', 1, () => watcher.expectEvent('pusher_internal:member_removed', 'presence-r'));
    const took = performance.now() - from;
    assert.ok(took >= quick['limits.rejoin_ms'] - 50 && took < limit(quick['limits.rejoin_ms'] + 2500), `${took} ms`);
    assert.equal((await session.send([])).status, 404, 'it is unknown now');
    const again = await session.stream();
    assert.equal(`${await again.line()}\n`, PREAMBLE, 'a receive opens another');
    await again.expectLine('o');
  });

  test('who closes its sending side with each request gets what waits', async () => {
    const session = new Session(ctx);
    await session.openPoll();
    await session.subscribe('halves');
    await session.messages(1);
    for (const verb of ['xhr', 'xhr_streaming']) {
      await publish(ctx.server, 'halves', verb);
      const http = await httpSocket(ctx.server);
      await http.expectAlive(); // its request is not read with its accept
      const { socket } = http;
      const answer = new Stream(socket);
      await ctx.server.freeze();
      socket.end(requestText('POST', session.target(verb)));
      await until(() => socket.writableFinished, 'the request and its end to be sent');
      ctx.server.thaw();
      await until(() => answer.ended || answer.closed, 'the end of the answer');
      assert.equal(answer.body.replace(PREAMBLE, ''), `${lineOf(eventText('halves', verb))}\n`);
    }
  });

  test('a poll that is aborted leaves as well', async () => {
    const session = new Session(ctx);
    await session.openPoll();
    const http = await httpSocket(ctx.server);
    await expectRise(ctx.server, 'carillon_orphaned_sessions_total', 1, async () => {
      http.write(requestText('POST', session.target('xhr')));
      await sleep(quick['limits.rejoin_ms'] * 2 + 1000);
      assert.equal((await session.send([])).status, 204, 'as long as the poll is there, the session is');
      http.destroy();
    });
    assert.equal((await session.send([])).status, 404);
  });

  for (const verb of verbs)
    test(`a close by the server reaches the receiver (${verb})`, async () => {
      const session = new Session(ctx);
      if (verb === 'xhr') await session.openPoll();
      const stream = verb === 'xhr' ? null : await session.openStream();
      await session.send([signinText(ctx.server.app, session.socketId, `user-${verb}`)]);
      if (stream) await stream.line();
      else await session.messages(1);
      const http = await httpSocket(ctx.server);
      ctx.defer(() => http.destroy());
      if (!stream) http.write(requestText('POST', session.target('xhr')));
      await detached(ctx.server, 0);
      assert.equal((await api(`/users/user-${verb}/terminate_connections`)).status, 200);
      const line = 'c[4009,"You got disconnected by the app."]';
      if (stream) {
        await stream.expectLine(line);
        await stream.expectEnd();
      } else {
        assert.equal((await http.response()).text, `${line}\n`);
      }
      await until(async () => await sessions(ctx.server) === 0, 'the end of the session');
      assert.equal((await session.send([])).status, 404);
    });

  test('a close between two polls waits for the next one, behind what was pending', async () => {
    const session = new Session(ctx);
    await session.openPoll();
    await session.send([signinText(ctx.server.app, session.socketId, 'u'), subscribeText('c')]);
    await session.messages(2);
    await publish(ctx.server, 'c', 'before');
    assert.equal((await api('/users/u/terminate_connections')).status, 200);
    await until(async () => await sessions(ctx.server) === 0, 'the end of the session');
    assert.equal((await session.send([])).status, 404, 'it takes nothing any more');
    const answer = await session.poll();
    assert.equal(answer.text, `${lineOf(eventText('c', 'before'))}\nc[4009,"You got disconnected by the app."]\n`);
    assert.ok((await session.poll()).text.startsWith('o\n'), 'and then it is another');
  });

  test('the same names under another key are another session', async () => {
    const session = new Session(ctx);
    const stream = await session.openStream();
    const other = new Session(ctx, { key: 'nobody', name: session.name });
    assert.equal((await other.send([subscribeText('c')])).status, 404);
    assert.match((await other.poll()).text, /^o\nc\[4001,/);
    await session.send([]);
    await stream.expectLine('a[]');
    assert.equal(stream.body, '');
  });

  test('one session, every request on a connection of its own: all of them find it', async () => {
    const moved = (await ctx.server.metrics()).sum('carillon_moved_connections_total');
    const all = Array.from({ length: 8 }, () => new Session(ctx));
    await Promise.all(all.map(async (session, i) => {
      const stream = await session.openStream();
      for (let k = 0; k < 10; k++) {
        assert.equal((await session.send([subscribeText(`s${i}-${k}`)])).status, 204);
        await stream.expectEvent(succeeded(`s${i}-${k}`));
      }
      const polls = session.poll(); // displaces
      await stream.expectEnd();
      await session.send([]);
      assert.equal((await polls).text, 'a[]\n');
    }));
    const now = (await ctx.server.metrics()).sum('carillon_moved_connections_total') - moved;
    if (ctx.workers === 1) assert.equal(now, 0);
    else assert.ok(now > 8 * 13 / 4, `${now} moved`);
  });

  test('one connection for many sessions moves with each request', async () => {
    const all = Array.from({ length: 12 }, () => new Session(ctx));
    const http = await httpSocket(ctx.server);
    ctx.defer(() => http.destroy());
    http.write(all.map((session) => requestText('POST', session.target('xhr'))).join(''));
    for (const session of all) session.hello(readLines((await http.response()).text).messages[0]);
    http.write(all.map((session) => requestText('POST', session.target('xhr_send'), { body: JSON.stringify([subscribeText('c')]) })).join(''));
    for (const session of all) assert.equal((await http.response()).status, 204, session.name);
    http.write(all.map((session) => requestText('POST', session.target('xhr'))).join(''));
    for (const session of all) assert.equal((await http.response()).text, `${lineOf(succeeded('c'))}\n`, session.name);
    await http.expectAlive();
  });
});

forEachWorkers('a server that stands still', { set: { 'limits.rejoin_ms': limit(1000) } }, (ctx) => {
  test('what it misses meanwhile is not held against its clients', async () => {
    const crowd = Array.from({ length: 20 }, () => new Session(ctx));
    await Promise.all(crowd.map((session) => session.openPoll()));
    const before = await ctx.server.metrics();
    await ctx.server.freeze();
    const polls = crowd.map((session) => openStream(ctx.server, 'POST', session.target('xhr')));
    await sleep(limit(2000));
    ctx.server.thaw();
    for (const session of crowd) assert.equal((await session.send(['{"event":"pusher:ping"}'])).status, 204, 'it is still there');
    for (const poll of await Promise.all(polls)) {
      await poll.expectLine(lineOf('{"event":"pusher:pong","data":"{}"}'));
      poll.destroy();
    }
    const now = await ctx.server.metrics();
    const rise = (name) => now.sum(name) - before.sum(name);
    assert.equal(rise('carillon_orphaned_sessions_total'), 0);
    assert.ok(rise('carillon_late_milliseconds_total') >= limit(1000), 'the operator sees it');
  });
});

test('the defaults: 25 s and 5 s', async () => {
  const server = await startServer();
  try {
    const session = new Session({ server, defer: () => {} });
    const stream = await session.openStream();
    const from = performance.now();
    stream.destroy();
    await until(async () => await sessions(server) === 0, 'its end', 6000);
    assert.ok(performance.now() - from >= 4950, `${performance.now() - from} ms`);
  } finally {
    await server.stop();
  }
});

describe('pages of other origins', () => {
  const ctx = useServer({ set: { ...quick, 'limits.body_ms': 1000 } });
  const origin = 'https://page.example';
  const ask = (method, target, options) => exchange(ctx.server, requestText(method, target, { ...options, headers: { Origin: origin, ...options?.headers } }));

  for (const name of ['app/test-key/1/aaaaaaaa/xhr_streaming', 'app/test-key/1/aaaaaaaa/xhr', 'app/test-key/1/aaaaaaaa/xhr_send', 'app/nobody/1/a/xhr', 'info', '1/a/xhr', '1/a/xhr_send'])
    test(`a preflight for /pusher/${name}`, async () => {
      const headers = { 'Access-Control-Request-Method': 'POST', 'Access-Control-Request-Headers': 'content-type' };
      const answer = await ask('OPTIONS', `/pusher/${name}?t=1&n=2`, { headers });
      assert.ok([200, 204].includes(answer.status));
      const sockjs = !name.startsWith('app');
      assert.equal(answer.headers['access-control-allow-origin'], sockjs ? origin : '*');
      assert.equal(answer.headers['access-control-allow-credentials'], sockjs ? 'true' : undefined);
      assert.match(answer.headers['access-control-allow-methods'], /\bPOST\b.*\bOPTIONS\b/);
      assert.match(answer.headers['access-control-allow-methods'], /\bGET\b/);
      assert.equal(answer.headers['access-control-allow-headers'], 'content-type');
      assert.equal(answer.headers['access-control-max-age'], '86400');
      const bare = await exchange(ctx.server, requestText('OPTIONS', `/pusher/${name}`));
      assert.ok([200, 204].includes(bare.status));
      assert.equal(bare.headers['access-control-allow-origin'], '*');
      assert.equal(bare.headers['access-control-allow-headers'], 'content-type');
    });

  test('what a preflight asks for is allowed, but nothing odd is repeated', async () => {
    const allowed = async (value) => (await ask('OPTIONS', '/pusher/app/test-key/1/a/xhr', { headers: { 'Access-Control-Request-Headers': value } })).headers['access-control-allow-headers'];
    assert.equal(await allowed('content-type, x-socket-id'), 'content-type, x-socket-id');
    assert.equal(await allowed('x'.repeat(5000)), 'content-type');
    assert.equal(await allowed('x\ty'), 'content-type');
  });

  const answers = {
    'a poll': [200, () => ask('POST', `/pusher/app/test-key/1/${Date.now()}/xhr?${QUERY}`)],
    'a refused poll': [200, () => ask('POST', `/pusher/app/nobody/1/a/xhr?${QUERY}`)],
    'an unknown session': [404, () => ask('POST', '/pusher/app/test-key/1/nobody/xhr_send', { body: '[]' })],
    'GET for POST': [405, () => ask('GET', '/pusher/app/test-key/1/a/xhr')],
    'PUT for POST': [405, () => ask('PUT', '/pusher/app/test-key/1/a/xhr_send')],
    'a body that is too long': [413, () => ask('POST', '/pusher/app/test-key/1/a/xhr_send', { body: 'x'.repeat(140000) })],
    'a verb that there is not': [404, () => ask('POST', '/pusher/app/test-key/1/a/eventsource')],
    'chunks that are none': [400, () => ask('POST', '/pusher/app/test-key/1/a/xhr_send', { headers: { 'Content-Length': null, 'Transfer-Encoding': 'chunked' }, body: 'zz\r\n' })],
  };
  for (const [name, [status, fn]] of Object.entries(answers))
    test(`${name} (${status}) may be read`, async () => {
      const answer = await fn();
      assert.equal(answer.status, status);
      assert.equal(answer.headers['access-control-allow-origin'], '*');
      if (status === 405) assert.equal(answer.headers.allow, 'OPTIONS, POST');
    });

  // SockJS has credentials, with which a browser takes no '*'.
  const sockjs = {
    'a verb that there is not': [404, () => ask('POST', '/pusher/1/a/eventsource')],
    'a page that there is not': [404, () => ask('GET', '/pusher/iframe.html')],
    'a body that is too long': [413, () => ask('POST', '/pusher/1/a/xhr_send', { body: 'x'.repeat(140000) })],
    'a chunk that is too long': [413, () => ask('POST', '/pusher/1/a/xhr_send', { headers: { 'Content-Length': null, 'Transfer-Encoding': 'chunked' }, body: 'fffff\r\n' })],
    'chunks that are none': [400, () => ask('POST', '/pusher/1/a/xhr_send', { headers: { 'Content-Length': null, 'Transfer-Encoding': 'chunked' }, body: 'zz\r\n' })],
    'a body that does not come': [408, () => ask('POST', '/pusher/1/a/xhr_send', { headers: { 'Content-Length': 10 } })],
  };
  for (const [name, [status, fn]] of Object.entries(sockjs))
    test(`SockJS: ${name} (${status}) may be read with credentials`, async () => {
      const answer = await fn();
      assert.equal(answer.status, status);
      assert.equal(answer.headers['access-control-allow-origin'], origin);
      assert.equal(answer.headers['access-control-allow-credentials'], 'true');
      assert.equal(answer.headers.vary, 'Origin');
    });

  test('a stream may be read', async () => {
    const stream = await new Session(ctx).stream({ headers: { Origin: origin } });
    assert.equal(stream.headers['access-control-allow-origin'], '*');
  });
});

// One worker: among several, one may have looked at its sockets before the end came.
describe('one turn of a worker', () => {
  const ctx = useServer({ set: quick });

  test('an event that comes in the same turn as the end of its receiver waits for the next', async () => {
    const session = new Session(ctx);
    let stream = await session.openStream();
    await session.subscribe('rotating');
    await stream.expectEvent(succeeded('rotating'));
    for (let n = 1; n <= 10; n++) {
      const publisher = await httpSocket(ctx.server); // there already, so that both ends come at once
      const body = JSON.stringify({ name: 'e', channel: 'rotating', data: String(n) });
      const { query } = signedQuery(ctx.server.app, 'POST', `/apps/${ctx.server.app.id}/events`, {}, body);
      await ctx.server.freeze();
      stream.destroy();
      await until(() => stream.closed, 'the receiver to be gone');
      publisher.write(requestText('POST', `/apps/${ctx.server.app.id}/events?${query}`, { body }));
      ctx.server.thaw();
      stream = await session.stream();
      await stream.expectLine(lineOf({ event: 'e', channel: 'rotating', data: String(n) }));
      publisher.destroy();
    }
  });
});

describe('paths', () => {
  const ctx = useServer({ set: quick });
  const status = async (target, method = 'POST') => (await exchange(ctx.server, requestText(method, target))).status;

  test('/pusher may be left out before /app', async () => {
    const session = new Session(ctx, { prefix: '/app' });
    await session.openPoll();
    assert.equal((await session.send([])).status, 204);
    const same = new Session(ctx, { name: session.name });
    assert.equal((await same.poll()).text, 'a[]\n', 'and it is the same session');
  });

  const k = 'test-key';
  for (const target of ['/pusher/app', '/pusher/app/', `/pusher/app/${k}`, `/pusher/app/${k}/`, `/pusher/app/${k}/1/xhr`, `/pusher/app/${k}/1//xhr`, `/pusher/app/${k}//a/xhr`,
    `/pusher/app//1/a/xhr`, `/pusher/app/${k}/1/a/`, `/pusher/app/${k}/1/a`, `/pusher/app/${k}/1/a/xhr/`, `/pusher/app/${k}/1/a/xhr_`, `/pusher/app/${k}/1/a/XHR`,
    `/pusher/app/${k}/1/a/b/xhr`, `/pusher/app/${k}/1/a%2Fb/xhr`, `/pusher/app/${k}/1/a.b/xhr`, `/pusher/app/${k}/1/%61/xhr`, `/pusher/app/${k}/1/${'a'.repeat(65)}/xhr`,
    `/pusher/app/${k}/${'1'.repeat(17)}/a/xhr`, `/pusher/app/${'k'.repeat(129)}/1/a/xhr`, `/pusher/app/${k}/1/\xe9/xhr`, `/pusherapp/${k}/1/a/xhr`, `/Pusher/app/${k}/1/a/xhr`,
    '/pusher/1/a/websocket/', '/pusher/1/a.b/xhr', '/pusher/../pusher/1/a/xhr', '/pusher//1/a/xhr', `/pusher/app/${k}/1/a/websocket`])
    test(`${target.slice(0, 60)} is no route`, async () => {
      const got = await status(target);
      assert.ok([400, 404, 405].includes(got), `${got}`);
      assert.equal(await sessions(ctx.server), 0);
    });

  test('numbers and letters of any kind name a session', async () => {
    for (const name of ['0/a', '999/ABCdef_-', `${'9'.repeat(16)}/${'z'.repeat(64)}`, 'x/y']) {
      const session = new Session(ctx, { name });
      await session.openPoll();
      assert.equal((await session.send([])).status, 204);
    }
  });
});

describe('a path prefix', () => {
  const ctx = useServer({ workers: 2, set: { ...quick, path_prefix: '/bells/tower' } });

  for (const transport of ['xhr_streaming', 'xhr_polling'])
    test(`pusher-js by ${transport}`, async () => {
      const client = pusherClient(ctx.server, { enabledTransports: [transport], httpPath: '/bells/tower/pusher' });
      ctx.defer(() => client.disconnect());
      await connected(client);
      const channel = await subscribed(client, 'c');
      const got = once(channel, 'e');
      await publish(ctx.server, 'c', 'rung');
      assert.equal(await got, 'rung');
    });

  test('without the prefix there is nothing', async () => {
    assert.equal((await exchange(ctx.server, requestText('POST', '/pusher/app/test-key/1/a/xhr'))).status, 404);
  });
});

describe('over TLS', () => {
  const folder = ownFolder('tls');
  const at = (name) => path.join(folder, name);
  const done = spawnSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=localhost',
    '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-keyout', at('live.key'), '-out', at('live.crt')], { encoding: 'utf8' });
  after(() => rmSync(folder, { recursive: true }));
  const set = { ...quick, 'tls.cert': at('live.crt'), 'tls.key': at('live.key') };
  before(async () => { set['tls.port'] = await freePort(); });
  const ctx = useServer({ workers: 4, set });
  const secure = { servername: 'localhost' };

  test('a stream moves to its worker with its TLS, and goes on there', async () => {
    assert.equal(done.status, 0, done.stderr);
    for (let i = 0; i < 8; i++) {
      const session = new Session(ctx, { secure, port: ctx.server.tlsPort });
      const stream = await session.openStream();
      await session.subscribe('c');
      await stream.expectEvent(succeeded('c'));
      await publish(ctx.server, 'c', 'é'.repeat(3000));
      assert.equal(JSON.parse(JSON.parse((await stream.line()).slice(1))[0]).data.length, 3000);
      await session.send([]);
      await stream.expectLine('a[]');
      const poll = session.poll();
      await stream.expectEnd();
      await session.send([]);
      assert.equal((await poll).text, 'a[]\n');
    }
  });

  for (const transport of ['xhr_streaming', 'xhr_polling'])
    test(`pusher-js by ${transport}`, async () => {
      const before = process.env.NODE_TLS_REJECT_UNAUTHORIZED;
      process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'; // pusher-js has no option for a CA
      try {
        const client = pusherClient(ctx.server, { enabledTransports: [transport], forceTLS: true, httpsPort: ctx.server.tlsPort });
        ctx.defer(() => client.disconnect());
        await connected(client);
        const channel = await subscribed(client, 'private-c');
        for (let i = 0; i < 20; i++) {
          const got = once(channel, 'e');
          await publish(ctx.server, 'private-c', `number ${i}`);
          assert.equal(await got, `number ${i}`);
        }
      } finally {
        if (before === undefined) delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
        else process.env.NODE_TLS_REJECT_UNAUTHORIZED = before;
      }
    });
});

describe('a reload and a stop', () => {
  const config = (more = '') => `apps:\n${yaml('one')}${more}`;
  const cleanups = [];
  // A server with a file, and one session of each kind: streaming, held poll, between two polls.
  const patient = { 'limits.rejoin_ms': limit(1500) };
  async function withSessions(app, fn, options) {
    const server = await startServer({ app: null, config: config(yaml('two')), workers: 2, set: patient, ...options });
    server.app = app;
    const ctx = { server, defer: (clean) => cleanups.push(clean) };
    try {
      const all = { streaming: new Session(ctx, { key: app.key }), held: new Session(ctx, { key: app.key }), between: new Session(ctx, { key: app.key }) };
      const stream = await all.streaming.openStream();
      await all.held.openPoll();
      await all.between.openPoll();
      const http = await httpSocket(server);
      const spare = await httpSocket(server);
      await spare.expectAlive();
      http.write(requestText('POST', all.held.target('xhr')));
      await detached(server, 1);
      await fn({ server, stream, http, spare, all });
      http.destroy();
      spare.destroy();
    } finally {
      for (const clean of cleanups.splice(0)) clean();
      await server.stop();
    }
  }

  test('an app that a reload takes away tells its sessions 4001', async () => {
    await withSessions(named('two'), async ({ server, stream, http, all }) => {
      const line = 'c[4001,"App key not in this cluster. Did you forget to specify the cluster?"]';
      writeFileSync(path.join(server.folder, 'carillon.yaml'), config());
      server.signal('SIGHUP');
      await stream.expectLine(line);
      await stream.expectEnd();
      assert.equal((await http.response()).text, `${line}\n`);
      assert.equal((await all.between.poll()).text, `${line}\n`);
      assert.match((await all.between.poll()).text, /^o\nc\[4001,/);
    });
  });

  test('a reload that leaves the app alone is not seen', async () => {
    await withSessions(named('one'), async ({ server, stream, http, all }) => {
      writeFileSync(path.join(server.folder, 'carillon.yaml'), config());
      server.signal('SIGHUP');
      await until(() => server.logged('reloaded').length, 'event=reloaded');
      await all.streaming.send([]);
      await stream.expectLine('a[]');
      await all.held.send([]);
      assert.equal((await http.response()).text, 'a[]\n');
    });
  });

  test('a stop tells 4200', async () => {
    await withSessions(named('one'), async ({ server, stream, http }) => {
      const line = 'c[4200,"Server shutting down"]';
      server.signal('SIGTERM');
      await stream.expectLine(line);
      await stream.expectEnd();
      assert.equal((await http.response()).text, `${line}\n`);
      await until(() => server.status, 'the end of the server', 10000);
      assert.deepEqual(server.status, { code: 0, signal: null });
    });
  });

  test('while it drains, a new session is told 4200', async () => {
    await withSessions(named('one'), async ({ server, spare, stream }) => {
      server.signal('SIGTERM');
      await until(async () => (await exchange(server, requestText('GET', '/ready'))).status === 503, 'draining');
      spare.write(requestText('POST', `/pusher/app/one-key/5/new/xhr?${QUERY}`));
      assert.equal((await spare.response()).text, 'o\nc[4200,"Server shutting down"]\n');
      await stream.expectLine('c[4200,"Server shutting down"]', 10000);
    }, { set: { ...patient, 'drain.delay_ms': limit(1500) } });
  });

  for (const transport of ['xhr_streaming', 'xhr_polling'])
    test(`pusher-js by ${transport} is back at once after 4200`, async (t) => {
      // What stands before the servers sends newcomers to the new one.
      const first = await startServer({ set: quick });
      const second = await startServer({ set: quick });
      let target = first;
      const sockets = new Set();
      const front = net.createServer((socket) => {
        const peer = net.connect(target.port, target.host);
        for (const [one, other] of [[socket, peer], [peer, socket]]) {
          sockets.add(one);
          one.on('error', () => {}).on('close', () => other.destroy()).pipe(other);
        }
      });
      await new Promise((resolve) => { front.listen(0, '127.0.0.1', resolve); });
      const client = pusherClient(first, { enabledTransports: [transport], httpPort: front.address().port });
      t.after(async () => {
        client.disconnect();
        for (const socket of sockets) socket.destroy();
        front.close();
        await second.stop();
      });
      await connected(client);
      const id = client.connection.socket_id;
      const channel = await subscribed(client, 'c');
      target = second;
      const from = performance.now();
      first.signal('SIGTERM');
      await until(() => client.connection.state === 'connected' && client.connection.socket_id !== id, 'pusher-js to be back');
      assert.ok(performance.now() - from < limit(3000));
      await until(() => channel.subscribed, 'its subscription');
      await first.stop();
      const got = once(channel, 'e');
      await publish(second, 'c', 'there');
      assert.equal(await got, 'there');
    });
});
