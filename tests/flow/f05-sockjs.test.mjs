// SockJS: the app is named by the first message; the real client, and bytes.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import SockJS from 'sockjs-client';
import { apiRequest, channelAuth, forEachWorkers, limit, rawSubscribe, until, userAuth, useServer } from './harness.mjs';
import { eventText, expectRise, lineOf, publish, quick, readLines, Session, sessions, subscribeText, succeeded } from './fallback.mjs';
import { exchange, requestText } from './http.mjs';

const pathText = (key = 'test-key', query = 'protocol=7&client=js&version=8.6.0') => JSON.stringify({ path: `/app/${key}?${query}` });
const transports = ['websocket', 'xhr-streaming', 'xhr-polling'];

// The real client of npm: it names the app, then speaks the protocol.
function connect(ctx, transport, first = pathText()) {
  const socket = new SockJS(`${ctx.server.url}/pusher`, null, { transports: [transport] });
  const all = [];
  const client = { socket, all, next: 0 };
  socket.onopen = () => { if (first !== null) socket.send(first); };
  socket.onmessage = ({ data }) => all.push(data);
  socket.onclose = ({ code, reason }) => { client.closed = { code, reason }; };
  client.take = async (ms) => {
    await until(() => all.length > client.next || client.closed, 'a message', ms);
    assert.ok(all.length > client.next, `closed instead: ${JSON.stringify(client.closed)}`);
    return all[client.next++];
  };
  client.open = async () => {
    const { event, data } = JSON.parse(await client.take());
    assert.equal(event, 'pusher:connection_established');
    client.socketId = JSON.parse(data).socket_id;
    assert.equal(socket.transport, transport);
    return client;
  };
  ctx.defer(() => socket.close());
  return client;
}

forEachWorkers('sockjs-client', { set: quick }, (ctx) => {
  for (const transport of transports) {
    test(`${transport}: subscribe, events, client events, in order`, async () => {
      const client = await connect(ctx, transport).open();
      assert.equal(await sessions(ctx.server, 'sockjs'), 1);
      const auth = channelAuth(ctx.server.app, client.socketId, 'private-c');
      client.socket.send(subscribeText('private-c', { auth }));
      assert.equal(await client.take(), succeeded('private-c'));
      const peer = await ctx.raw();
      await rawSubscribe(peer, 'private-c');
      client.socket.send(JSON.stringify({ event: 'client-x', channel: 'private-c', data: 'é\u{1F514}"' }));
      await peer.expectJson({ event: 'client-x', channel: 'private-c', data: 'é\u{1F514}"' });
      for (let i = 0; i < 60; i += 10) {
        const batch = Array.from({ length: 10 }, (_, k) => ({ channel: 'private-c', name: 'e', data: `${i + k} ${'é漢'.repeat(500)}` }));
        assert.equal((await apiRequest(ctx.server, 'POST', '/apps/test-id/batch_events', { body: { batch } })).status, 200);
      }
      for (let i = 0; i < 60; i++) assert.equal(JSON.parse(await client.take()).data, `${i} ${'é漢'.repeat(500)}`);
    });

    test(`${transport}: a close by the client ends the session`, async () => {
      const client = await connect(ctx, transport).open();
      const peer = await ctx.raw();
      await rawSubscribe(peer, 'presence-r', { channelData: '{"user_id":"w"}' });
      const channelData = '{"user_id":"u"}';
      client.socket.send(subscribeText('presence-r', { auth: channelAuth(ctx.server.app, client.socketId, 'presence-r', channelData), channel_data: channelData }));
      await peer.expectEvent('pusher_internal:member_added', 'presence-r');
      client.socket.close();
      await peer.expectEvent('pusher_internal:member_removed', 'presence-r');
    });

    test(`${transport}: an error has its code`, async () => {
      for (const [first, code, reason] of [
        [pathText('nobody'), 4001, 'App key nobody not in this cluster. Did you forget to specify the cluster?'],
        [pathText('test-key', 'protocol=3'), 4007, 'Unsupported protocol version'],
        ['{"path":"/"}', 4005, 'Path not found'], ['{}', 4005, 'Path not found'], ['no JSON', 4005, 'Path not found'],
        ['{"path":7}', 4005, 'Path not found'], ['{"path":"/app/"}', 4005, 'Path not found'],
      ]) {
        const client = connect(ctx, transport, first);
        await until(() => client.closed, 'a close');
        assert.deepEqual({ first, ...client.closed }, { first, code, reason });
        assert.deepEqual(client.all, []);
      }
    });
  }

  test('xhr-streaming: more than an answer holds arrives whole over several', async () => {
    const client = await connect(ctx, 'xhr-streaming').open();
    client.socket.send(subscribeText('c'));
    assert.equal(await client.take(), succeeded('c'));
    for (let i = 0; i < 100; i += 5) {
      const batch = Array.from({ length: 5 }, (_, k) => ({ channel: 'c', name: 'e', data: `${i + k} ${'x'.repeat(9000)}` }));
      assert.equal((await apiRequest(ctx.server, 'POST', '/apps/test-id/batch_events', { body: { batch } })).status, 200);
    }
    for (let i = 0; i < 100; i++) assert.equal(parseInt(JSON.parse(await client.take()).data, 10), i);
    assert.equal(client.closed, undefined);
  });
});

describe('SockJS, as bytes', () => {
  const ctx = useServer({ workers: 2, set: { ...quick, 'limits.heartbeat_ms': 500, 'limits.idle_ms': limit(700), 'limits.pong_ms': limit(300) } });
  const session = () => new Session(ctx, { prefix: '/pusher', key: null });
  const origin = 'https://page.example';

  // First: an orphan of another test would be counted as this one.
  test('a session whose app is never named is an orphan when its receiver goes', async () => {
    const one = session();
    const stream = await one.stream();
    await stream.line();
    await expectRise(ctx.server, 'carillon_orphaned_sessions_total', 1, () => stream.destroy());
    assert.equal((await one.send([pathText()])).status, 404);
  });

  test('info', async () => {
    const seen = new Set();
    for (let i = 0; i < 3; i++) {
      const answer = await exchange(ctx.server, requestText('GET', '/pusher/info?t=1', { headers: { Origin: origin } }));
      assert.equal(answer.status, 200);
      assert.equal(answer.headers['content-type'], 'application/json; charset=UTF-8');
      assert.equal(answer.headers['cache-control'], 'no-store, no-cache, must-revalidate, max-age=0');
      assert.equal(answer.headers['access-control-allow-origin'], origin);
      assert.equal(answer.headers['access-control-allow-credentials'], 'true');
      assert.match(answer.headers.vary, /Origin/);
      const { entropy, ...others } = JSON.parse(answer.text);
      assert.deepEqual(others, { websocket: true, cookie_needed: false, origins: ['*:*'] });
      assert.ok(Number.isInteger(entropy) && entropy >= 0 && entropy < 2 ** 32);
      seen.add(entropy);
    }
    assert.equal(seen.size, 3);
    assert.equal((await exchange(ctx.server, requestText('POST', '/pusher/info'))).status, 405);
  });

  test('the greeting', async () => {
    for (const target of ['/pusher', '/pusher/']) {
      const answer = await exchange(ctx.server, requestText('GET', target));
      assert.deepEqual([answer.status, answer.text], [200, 'Welcome to SockJS!\n']);
    }
  });

  test('polls: o, then nothing until the app is named', async () => {
    const polls = session();
    const answer = await polls.poll();
    assert.equal(answer.text, 'o\n');
    assert.equal(await sessions(ctx.server), 0, 'this is no session of the protocol yet');
    assert.equal((await polls.send([pathText(), subscribeText('c')])).status, 204);
    const [hello, success] = await polls.messages(2);
    polls.hello(hello);
    assert.equal(success, succeeded('c'));
    await publish(ctx.server, 'c', 'x');
    assert.equal((await polls.poll()).text, `${lineOf(eventText('c', 'x'))}\n`);
    await until(async () => (await polls.poll()).text === 'h\n', 'a heartbeat');
  });

  test('a page\'s origin may use credentials on every answer of its session', async () => {
    const { base } = session();
    for (const [verb, body, status] of [['xhr', '', 200], ['xhr_send', JSON.stringify([pathText()]), 204], ['xhr', '', 200], ['xhr_send', 'bad', 500]]) {
      const answer = await exchange(ctx.server, requestText('POST', `${base}/${verb}`, { body, headers: { Origin: origin } }));
      assert.equal(answer.status, status);
      assert.equal(answer.headers['access-control-allow-origin'], origin, verb);
      assert.equal(answer.headers['access-control-allow-credentials'], 'true');
    }
    ctx.defer(() => {});
  });

  test('bad bodies of sends have the answers that SockJS wants', async () => {
    const polls = session();
    await polls.poll();
    await expectRise(ctx.server, 'carillon_bad_sends_total', 3, async () => {
      for (const [body, text] of [['', 'Payload expected.'], ['["a', 'Broken JSON encoding.'], ['[1]', 'Broken JSON encoding.']]) {
        const answer = await polls.sendBody(body);
        assert.deepEqual([answer.status, answer.text], [500, text]);
      }
    });
    assert.equal((await session().send([])).status, 404);
  });

  test('a stream: preamble and o, and its end after 128 KiB, between two lines', async () => {
    const one = session();
    const stream = await one.stream();
    await stream.expectLine('h'.repeat(2048));
    await stream.expectLine('o');
    await one.send([pathText()]);
    one.hello(JSON.parse((await stream.line()).slice(1))[0]);
    await one.send([subscribeText('c')]);
    await stream.expectEvent(succeeded('c'));
    for (let i = 0; i < 20; i++) await publish(ctx.server, 'c', `${i} ${'x'.repeat(9000)}`);
    await until(() => stream.ended, 'the end of the stream');
    const { messages } = readLines(stream.body);
    assert.ok(stream.chars > 131072 && stream.chars < 131072 + 10000, `${stream.chars}`);
    const next = await one.stream();
    for (let i = messages.length; i < 20; i++) assert.equal(parseInt(JSON.parse(JSON.parse((await next.line()).slice(1))[0]).data, 10), i);
    assert.ok(messages.every((text, i) => parseInt(JSON.parse(text).data, 10) === i));
  });

  async function websocket(first = true) {
    const socket = await ctx.raw(`/pusher/${session().name}/websocket`);
    assert.equal(socket.status, 101);
    await socket.expectText('o');
    if (!first) return socket;
    socket.text(JSON.stringify([pathText()]));
    const { text } = await socket.next();
    assert.match(text, /^a\[".*"\]$/);
    socket.socketId = JSON.parse(JSON.parse(JSON.parse(text.slice(1))[0]).data).socket_id;
    return socket;
  }

  test('websocket: frames are lines without their ends', async () => {
    const socket = await websocket();
    socket.text(JSON.stringify([subscribeText('c'), subscribeText('d')]));
    await socket.expectText(lineOf(succeeded('c')));
    await socket.expectText(lineOf(succeeded('d')));
    socket.text(JSON.stringify(subscribeText('e'))); // one message alone
    await socket.expectText(lineOf(succeeded('e')));
    await publish(ctx.server, 'c', 'x');
    await socket.expectText(lineOf(eventText('c', 'x')));
  });

  test('websocket: h comes, and a peer that only answers pings of WebSocket stays', async () => {
    const socket = await websocket();
    const end = performance.now() + 2500;
    while (performance.now() < end) await socket.expectText('h');
    assert.equal(socket.closed, null);
  });

  test('websocket: frames that are no lists of strings end it', async () => {
    for (const named of [true, false])
      for (const text of ['{}', '[1]', 'x', '["a"', 'null', '["a",{}]']) {
        const socket = await websocket(named);
        await expectRise(ctx.server, 'carillon_bad_sends_total', 1, async () => {
          socket.text(text);
          await socket.expectText('c[1007,"Broken JSON encoding."]');
          await socket.expectClose(1000);
        });
        await socket.expectEnd();
      }
  });

  test('websocket: a termination is told by c, then by a close frame', async () => {
    const socket = await websocket();
    const data = '{"id":"u"}';
    socket.text(JSON.stringify([JSON.stringify({ event: 'pusher:signin', data: { auth: userAuth(ctx.server.app, socket.socketId, data), user_data: data } })]));
    assert.match((await socket.next()).text, /signin_success/);
    await apiRequest(ctx.server, 'POST', '/apps/test-id/users/u/terminate_connections');
    await socket.expectText('c[4009,"You got disconnected by the app."]');
    await socket.expectClose(1000);
    await socket.expectEnd();
  });

  test('without an upgrade its path says so', async () => {
    const answer = await exchange(ctx.server, requestText('GET', '/pusher/1/aaaaaaaa/websocket'));
    assert.deepEqual([answer.status, answer.text], [400, 'Can "Upgrade" only to "WebSocket".']);
  });
});

describe('SockJS: an app that is never named', () => {
  const ctx = useServer({ workers: 2, set: { ...quick, 'limits.head_ms': limit(500) } });

  for (const transport of transports)
    test(`${transport}: the client is told so, and nothing is left`, async () => {
      const client = connect(ctx, transport, null);
      await until(() => client.closed, 'a close');
      assert.deepEqual(client.closed, { code: 4100, reason: 'No app was named in time, back off' });
      assert.deepEqual(client.all, []);
    });
});

describe('SockJS: what an app minds', () => {
  const yaml = (name, more) => `  - id: ${name}\n    keys: [{key: ${name}-key, secret: ${name}-secret}]\n    ${more}\n`;
  const config = `apps:\n${yaml('picky', 'allowed_origins: ["https://good.example"]')}${yaml('safe', 'tls_only: true')}`;
  const ctx = useServer({ app: null, config, set: quick });
  before(() => { ctx.server.app = { id: 'picky', key: 'picky-key', secret: 'picky-secret' }; });
  const refused = 'c[4009,"Origin not allowed"]';
  const long = `https://${'long.'.repeat(130)}example`;

  for (const origin of ['https://bad.example', long, 'null'])
    test(`${origin.slice(0, 30)} is not on its list: by polls, also when the app is named between two`, async () => {
      for (const held of [true, false]) {
        const polls = new Session(ctx, { prefix: '/pusher', key: null });
        const poll = () => exchange(ctx.server, requestText('POST', polls.target('xhr'), { headers: { Origin: origin } }));
        assert.equal((await poll()).text, 'o\n');
        const next = held ? poll() : null;
        if (held) await new Promise((resolve) => { setTimeout(resolve, 50); });
        assert.equal((await polls.send([pathText('picky-key')])).status, 204);
        assert.equal((await (next ?? poll())).text, `${refused}\n`);
      }
    });

  test('the list holds for a WebSocket as well', async () => {
    for (const [origin, expected] of [['https://bad.example', refused], [long, refused], ['https://good.example', null]]) {
      const socket = await ctx.raw('/pusher/1/aaaaaaaa/websocket', { headers: { Origin: origin } });
      await socket.expectText('o');
      socket.text(JSON.stringify([pathText('picky-key')]));
      const { text } = await socket.next();
      if (expected) assert.equal(text, expected);
      else assert.match(text, /connection_established/);
    }
  });

  test('an app that wants TLS is told 4000, between two polls too', async () => {
    const polls = new Session(ctx, { prefix: '/pusher', key: null });
    assert.equal((await polls.poll()).text, 'o\n');
    await polls.send([pathText('safe-key')]);
    assert.equal((await polls.poll()).text, 'c[4000,"Application only accepts SSL connections, reconnect using wss://"]\n');
  });
});
