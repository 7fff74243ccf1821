// xhr: the same session by one answer after the other.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { apiRequest, connected, forEachWorkers, limit, once, pusherClient, sleep, subscribed, until, useServer } from './harness.mjs';
import { detached, eventText, expectRise, lineOf, publish, publishAll, quick, SCRIPT, Session, sessions, succeeded } from './fallback.mjs';
import { httpSocket, requestText } from './http.mjs';

forEachWorkers('polling, as bytes', { set: quick }, (ctx) => {
  // A poll that is held: open, and known to the server.
  async function hold(session, options) {
    const http = await httpSocket(ctx.server);
    ctx.defer(() => http.destroy());
    http.write(requestText('POST', session.target('xhr'), options));
    await detached(ctx.server, 0);
    return http;
  }

  test('a new session: o and connection_established in one answer, without a preamble', async () => {
    const session = new Session(ctx);
    const { status, headers, text } = await session.poll();
    assert.equal(status, 200);
    const { date, 'content-length': length, ...others } = headers;
    assert.ok(date && Number(length) === text.length);
    assert.deepEqual(others, {
      'content-type': SCRIPT,
      'cache-control': 'no-store, no-cache, must-revalidate, max-age=0',
      'access-control-allow-origin': '*',
    });
    const lines = text.split('\n');
    assert.equal(lines.length, 3);
    assert.equal(lines[0], 'o');
    session.hello(JSON.parse(lines[1].slice(1))[0]);
    assert.equal(lines[2], '');
    assert.equal(await sessions(ctx.server, 'xhr_polling'), 1);
  });

  test('a poll is held until there is something to say', async () => {
    const session = new Session(ctx);
    await session.openPoll();
    await session.subscribe('c');
    assert.equal((await session.poll()).text, `${lineOf(succeeded('c'))}\n`);
    const http = await hold(session);
    await sleep(300);
    assert.equal(http.buffer.length, 0, 'it is held');
    await publish(ctx.server, 'c', 'now');
    assert.equal((await http.response()).text, `${lineOf(eventText('c', 'now'))}\n`);
  });

  test('a client that ends its sending side is answered, and goes on by the next poll', async () => {
    const session = new Session(ctx);
    await session.openPoll();
    await session.subscribe('c');
    await session.messages(1);
    const http = await hold(session);
    http.socket.end();
    assert.deepEqual([(await http.response()).status, http.buffer.length], [200, 0]);
    await publish(ctx.server, 'c', 'between');
    assert.equal((await session.poll()).text, `${lineOf(eventText('c', 'between'))}\n`);
  });

  test('what is said between two polls waits, in order, for one answer', async () => {
    const session = new Session(ctx);
    await session.openPoll();
    await session.subscribe('c');
    await session.messages(1);
    // One connection: all of it is there, whichever worker the channel lives on, when it is answered
    // and this subscriber has seen it.
    const watcher = await ctx.raw();
    watcher.send({ event: 'pusher:subscribe', data: { channel: 'c' } });
    await watcher.expectEvent('pusher_internal:subscription_succeeded', 'c');
    await publishAll(ctx.server, 'c', Array.from({ length: 30 }, (_, i) => String(i)));
    for (let i = 0; i < 30; i++) await watcher.expectText(eventText('c', String(i)));
    const text = Array.from({ length: 30 }, (_, i) => `${lineOf(eventText('c', String(i)))}\n`).join('');
    const got = (await session.poll()).text;
    assert.ok(text.startsWith(got) && got.length, got);
    if (got !== text) assert.equal((await session.poll()).text, text.slice(got.length));
  });

  test('a second poll displaces the first, which gets an empty 200', async () => {
    const session = new Session(ctx);
    await session.openPoll();
    await session.subscribe('c');
    await session.messages(1);
    await expectRise(ctx.server, 'carillon_displaced_receivers_total', 1, async () => {
      const first = await hold(session);
      const second = await hold(session);
      const answer = await first.response();
      assert.equal(answer.status, 200);
      assert.equal(answer.text, '');
      assert.equal(answer.headers['content-type'], SCRIPT);
      await first.expectAlive();
      await publish(ctx.server, 'c', 'x');
      assert.equal((await second.response()).text, `${lineOf(eventText('c', 'x'))}\n`);
    });
  });

  test('[] completes the poll with a[]', async () => {
    const session = new Session(ctx);
    await session.openPoll();
    const http = await hold(session);
    assert.equal((await session.send([])).status, 204);
    assert.equal((await http.response()).text, 'a[]\n');
  });

  test('polls follow each other on one connection, also when sent ahead', async () => {
    const session = new Session(ctx);
    await session.openPoll();
    await session.subscribe('c');
    await session.messages(1);
    const http = await hold(session);
    for (let i = 0; i < 5; i++) {
      await publish(ctx.server, 'c', String(i));
      assert.equal((await http.response()).text, `${lineOf(eventText('c', String(i)))}\n`);
      http.write(requestText('POST', session.target('xhr')));
    }
    // A poll and the request behind it: that waits for its turn.
    http.write(requestText('GET', '/health'));
    await sleep(100);
    assert.equal(http.buffer.length, 0);
    await publish(ctx.server, 'c', 'last');
    assert.equal((await http.response()).text, `${lineOf(eventText('c', 'last'))}\n`);
    assert.equal((await http.response()).text, 'ok\n');
  });

  test('an HTTP/1.0 poll is answered and ended', async () => {
    const session = new Session(ctx);
    await session.openPoll();
    const http = await hold(session, { version: 'HTTP/1.0' });
    await session.send([]);
    const answer = await http.response();
    assert.equal(answer.text, 'a[]\n');
    assert.equal(answer.headers.connection, 'close');
    await http.expectEnd();
  });

  test('streams and polls of one session may alternate', async () => {
    const session = new Session(ctx);
    const stream = await session.openStream();
    await session.subscribe('c');
    await stream.expectEvent(succeeded('c'));
    const http = await hold(session);
    await stream.expectEnd();
    await publish(ctx.server, 'c', 'polled');
    assert.equal((await http.response()).text, `${lineOf(eventText('c', 'polled'))}\n`);
    const again = await session.stream();
    await publish(ctx.server, 'c', 'streamed');
    await again.expectEvent(eventText('c', 'streamed'));
  });
});

describe('polling: heartbeats', () => {
  const ctx = useServer({ set: { ...quick, 'limits.heartbeat_ms': 300, 'limits.idle_ms': limit(1000), 'limits.pong_ms': limit(500) } });

  test('a poll with nothing to say ends with h, and polling is life enough', async () => {
    const session = new Session(ctx);
    await session.openPoll();
    const end = performance.now() + limit(3500);
    for (let i = 0; i < 3 || performance.now() < end; i++) {
      const answer = await session.poll();
      assert.equal(answer.status, 200);
      assert.equal(answer.text, 'h\n');
    }
  });
});

describe('polling with pusher-js', () => {
  const ctx = useServer({ set: { ...quick, 'limits.heartbeat_ms': 500 } });
  const client = (options) => {
    const made = pusherClient(ctx.server, { enabledTransports: ['xhr_polling'], ...options });
    ctx.defer(() => made.disconnect());
    return made;
  };

  test('all events arrive once and in order under continuous publishing', async () => {
    const pusher = client();
    await connected(pusher);
    const id = pusher.connection.socket_id;
    const numbers = [];
    (await subscribed(pusher, 'c')).bind('e', (data) => numbers.push(parseInt(data, 10)));
    const n = 400;
    for (let i = 0; i < n; i += 10) {
      const batch = Array.from({ length: 10 }, (_, k) => ({ channel: 'c', name: 'e', data: `${i + k} ${'é\u{1F514}'.repeat(400)}` }));
      assert.equal((await apiRequest(ctx.server, 'POST', '/apps/test-id/batch_events', { body: { batch } })).status, 200);
    }
    await until(() => numbers.length >= n, 'every event', 20000);
    assert.deepEqual(numbers, Array.from({ length: n }, (_, i) => i));
    assert.equal(pusher.connection.socket_id, id);
    assert.deepEqual(pusher.errors, []);
  });

  test('its ping completes the poll', async () => {
    const pusher = client({ activityTimeout: 200, pongTimeout: limit(1500) });
    await connected(pusher);
    const id = pusher.connection.socket_id;
    await expectRise(ctx.server, 'carillon_http_requests_total', 5, () => {}, { status: 204 });
    assert.equal(pusher.connection.socket_id, id);
    assert.deepEqual(pusher.errors, []);
  });

  test('it stays connected over heartbeats, and leaves within rejoin_ms', async () => {
    const pusher = client({ member: () => ({ user_id: 'u' }) });
    const other = client({ member: () => ({ user_id: 'v' }) });
    await connected(pusher);
    await connected(other);
    const id = pusher.connection.socket_id;
    const room = await subscribed(other, 'presence-r');
    await subscribed(pusher, 'presence-r');
    await until(() => room.members.count === 2, 'both');
    await sleep(2500); // several heartbeats
    assert.equal(room.members.count, 2);
    assert.equal(pusher.connection.socket_id, id);
    const removed = once(room, 'pusher:member_removed');
    pusher.disconnect();
    assert.equal((await removed).id, 'u');
  });
});
