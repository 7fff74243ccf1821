// xhr_streaming: one answer that goes on, and its rotation.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { apiRequest, connected, forEachWorkers, limit, once, pusherClient, subscribed, until, useServer } from './harness.mjs';
import { eventText, lineOf, PREAMBLE, publish, publishAll, quick, SCRIPT, Session, sessions, succeeded } from './fallback.mjs';

// Numbered events in batches, each so long; goes on until told to stop.  Answers how many.
async function publishOn(server, channel, fill, isOver) {
  let n = 0;
  while (!isOver(n)) {
    const batch = Array.from({ length: 5 }, (_, i) => ({ channel, name: 'e', data: `${n + i} ${fill}` }));
    const answer = await apiRequest(server, 'POST', `/apps/${server.app.id}/batch_events`, { body: { batch } });
    assert.equal(answer.status, 200, answer.text);
    n += batch.length;
  }
  return n;
}

const fills = { ASCII: 'x'.repeat(4000), 'non-ASCII': 'é漢\u{1F514}'.repeat(300) };

forEachWorkers('streaming, as bytes', { set: quick }, (ctx) => {
  test('the head says that nobody keeps or buffers it, and any page may read it', async () => {
    const stream = await new Session(ctx).openStream();
    const { date, ...headers } = stream.headers;
    assert.ok(!Number.isNaN(Date.parse(date)));
    assert.deepEqual(headers, {
      'content-type': SCRIPT,
      'cache-control': 'no-store, no-cache, must-revalidate, max-age=0',
      'access-control-allow-origin': '*',
      'x-accel-buffering': 'no',
      'transfer-encoding': 'chunked',
    });
  });

  test('a new session: the preamble, o, connection_established, then events line by line', async () => {
    const session = new Session(ctx);
    const stream = await session.openStream();
    await session.subscribe('c');
    await stream.expectEvent(succeeded('c'));
    await publish(ctx.server, 'c', 'é漢\u{1F514}"\\');
    const line = await stream.line();
    assert.match(line, /^[\x20-\x7e]+$/, 'every line is ASCII');
    assert.deepEqual(JSON.parse(JSON.parse(line.slice(1))[0]), { event: 'e', channel: 'c', data: 'é漢\u{1F514}"\\' });
    assert.equal(await sessions(ctx.server, 'xhr_streaming'), 1);
  });

  test('o and the preamble come once: a second receiver goes on', async () => {
    const session = new Session(ctx);
    const first = await session.openStream();
    await session.subscribe('c');
    await first.expectEvent(succeeded('c'));
    const second = await session.stream();
    await first.expectEnd();
    await publish(ctx.server, 'c', 'two');
    await second.expectEvent(eventText('c', 'two'));
    assert.equal(second.chars, lineOf(eventText('c', 'two')).length + 1, 'nothing but the event');
  });

  test('a client that ends its sending side gets the end of the answer, and goes on by the next', async () => {
    const session = new Session(ctx);
    const first = await session.openStream();
    await session.subscribe('c');
    await first.expectEvent(succeeded('c'));
    first.socket.end();
    await first.expectEnd();
    await publish(ctx.server, 'c', 'between');
    await (await session.stream()).expectEvent(eventText('c', 'between'));
  });

  test('what happens between two receivers waits for the second, in order', async () => {
    const session = new Session(ctx);
    const first = await session.openStream();
    await session.subscribe('c');
    await first.expectEvent(succeeded('c'));
    first.destroy();
    await publishAll(ctx.server, 'c', Array.from({ length: 50 }, (_, i) => String(i))); // it is to be back within rejoin_ms
    const second = await session.stream();
    // The first may have been sent some before its end was noticed: those went with it.
    const from = Number(JSON.parse(JSON.parse((await second.line()).slice(1))[0]).data);
    for (let i = from + 1; i < 50; i++) await second.expectEvent(eventText('c', String(i)));
    await publish(ctx.server, 'c', 'last');
    await second.expectEvent(eventText('c', 'last'));
  });

  test('[] is answered by a[], any number of times', async () => {
    const session = new Session(ctx);
    const stream = await session.openStream();
    for (let i = 0; i < 3; i++) {
      const answer = await session.send([]);
      assert.equal(answer.status, 204);
      await stream.expectLine('a[]');
    }
    assert.equal(stream.body, '');
  });

  test('pusher:ping is answered too', async () => {
    const session = new Session(ctx);
    const stream = await session.openStream();
    await session.send(['{"event":"pusher:ping","data":{}}']);
    await stream.expectEvent('{"event":"pusher:pong","data":"{}"}');
  });

  test('an HTTP/1.0 receiver gets the lines without chunks', async () => {
    const session = new Session(ctx);
    const stream = await session.stream({ version: 'HTTP/1.0' });
    assert.equal(stream.headers['transfer-encoding'], undefined);
    assert.equal(stream.headers.connection, 'close');
    assert.equal(`${await stream.line()}\n`, PREAMBLE);
    await stream.expectLine('o');
    session.hello(JSON.parse((await stream.line()).slice(1))[0]);
    await session.subscribe('c');
    await stream.expectEvent(succeeded('c'));
    for (let i = 0; i < 20; i++) await publish(ctx.server, 'c', `${i} ${fills['non-ASCII']}`);
    for (let i = 0; i < 20; i++) {
      const text = JSON.parse((await stream.line()).slice(1))[0];
      assert.deepEqual(JSON.parse(text), { event: 'e', channel: 'c', data: `${i} ${fills['non-ASCII']}` });
    }
  });

  test('a client that aborts at the limit and asks anew loses nothing and gets nothing twice', async () => {
    for (const [, fill] of Object.entries(fills)) {
      const session = new Session(ctx);
      let stream = await session.openStream();
      await session.subscribe('c');
      await stream.expectEvent(succeeded('c'));
      let seen = 0;
      let rotations = 0;
      const publishing = publishOn(ctx.server, 'c', fill, () => rotations >= 4);
      for (let total = Infinity; seen < total;) {
        const { data } = JSON.parse(JSON.parse((await stream.line()).slice(1))[0]);
        assert.equal(parseInt(data, 10), seen);
        seen++;
        if (stream.chars > 262144 && stream.body === '') {
          stream.destroy();
          stream = await session.stream();
          rotations++;
        }
        if (rotations >= 4) total = await publishing;
      }
      stream.destroy();
    }
  });

  test('beyond the limit nothing is sent that the client would not look at', async () => {
    const session = new Session(ctx);
    const stream = await session.openStream();
    await session.subscribe('c');
    await stream.expectEvent(succeeded('c'));
    const n = await publishOn(ctx.server, 'c', fills.ASCII, (i) => i >= 150);
    await until(() => stream.chars > 262144, 'the limit');
    const line = stream.body.slice(0, stream.body.indexOf('\n') + 1).length;
    assert.ok(stream.chars <= 262144 + line + 3, `${stream.chars} characters`);
    // It stays, and gets the rest all the same.
    let seen = 0;
    while (seen < n) {
      const { data } = JSON.parse(JSON.parse((await stream.line(10000)).slice(1))[0]);
      assert.equal(parseInt(data, 10), seen);
      seen++;
    }
    assert.equal(stream.ended, false, 'a stream is never ended');
  });
});

describe('streaming: heartbeats', () => {
  const ctx = useServer({ set: { ...quick, 'limits.heartbeat_ms': 200 } });

  test('h comes every heartbeat_ms, and a client that answers stays', async () => {
    const session = new Session(ctx);
    const stream = await session.openStream();
    for (let i = 0; i < 3; i++) {
      const from = performance.now();
      await stream.expectLine('h');
      assert.ok(performance.now() - from < limit(1700));
      await session.send([]);
      await stream.expectLine('a[]'); // and no h, which the client would answer again
    }
  });
});

describe('streaming: a silent client', () => {
  const ctx = useServer({ set: { ...quick, 'limits.heartbeat_ms': 200, 'limits.idle_ms': limit(800), 'limits.pong_ms': limit(400) } });

  test('one that never answers h is closed with 4201', async () => {
    const stream = await new Session(ctx).openStream();
    let line;
    do line = await stream.line(10000); while (line === 'h');
    assert.equal(line, 'c[4201,"Pong reply not received"]');
    await stream.expectEnd();
  });

  test('one that answers is not', async () => {
    const session = new Session(ctx);
    const stream = await session.openStream();
    const from = performance.now();
    for (let beats = 0; beats < 3 || performance.now() - from < limit(2500);) {
      const line = await stream.line();
      if (line !== 'h') { assert.equal(line, 'a[]'); continue; }
      beats++;
      await session.send([]);
    }
    assert.equal(stream.ended, false);
  });
});

describe('streaming with pusher-js', () => {
  const ctx = useServer({ set: { ...quick, 'limits.heartbeat_ms': 500 } });
  const client = (options) => {
    const made = pusherClient(ctx.server, { enabledTransports: ['xhr_streaming'], ...options });
    ctx.defer(() => made.disconnect());
    return made;
  };

  test('its ping is a [], which any line answers', async () => {
    const pusher = client({ activityTimeout: 300, pongTimeout: limit(1500) });
    await connected(pusher);
    const id = pusher.connection.socket_id;
    const before = (await ctx.server.metrics()).sum('carillon_http_requests_total', { status: 204 });
    await until(async () => (await ctx.server.metrics()).sum('carillon_http_requests_total', { status: 204 }) >= before + 5, 'five pings', 10000);
    assert.equal(pusher.connection.socket_id, id);
    assert.deepEqual(pusher.errors, []);
  });

  for (const [kind, fill] of Object.entries(fills))
    test(`it rotates under continuous publishing (${kind}): all arrive once and in order`, async () => {
      const pusher = client();
      await connected(pusher);
      const id = pusher.connection.socket_id;
      const numbers = [];
      (await subscribed(pusher, 'c')).bind('e', (data) => {
        assert.equal(data.slice(data.indexOf(' ') + 1), fill);
        numbers.push(parseInt(data, 10));
      });
      const before = await receives();
      const n = await publishOn(ctx.server, 'c', fill, (i) => i >= 500);
      await until(() => numbers.length >= n, 'every event', 30000);
      assert.deepEqual(numbers, Array.from({ length: n }, (_, i) => i));
      assert.ok(await receives() - before >= 4, 'it has rotated');
      assert.equal(pusher.connection.socket_id, id, 'the session is the same');
      assert.deepEqual(pusher.errors, []);
    });
  // Each receive begins with a 200; so does each scrape and each publish, which send nothing more.
  async function receives() {
    const metrics = await ctx.server.metrics();
    return metrics.sum('carillon_http_requests_total', { status: 200 }) - scrapes(metrics);
  }
  const scrapes = (metrics) => metrics.sum('carillon_publishes_total') / 5;

  test('disconnect() leaves within rejoin_ms, connect() comes back as another', async () => {
    const pusher = client({ member: () => ({ user_id: 'u' }) });
    const other = client({ member: () => ({ user_id: 'v' }) });
    await connected(pusher);
    await connected(other);
    const room = await subscribed(other, 'presence-r');
    const added = once(room, 'pusher:member_added');
    await subscribed(pusher, 'presence-r');
    await added;
    const id = pusher.connection.socket_id;
    const removed = once(room, 'pusher:member_removed');
    pusher.disconnect();
    assert.equal((await removed).id, 'u');
    const back = once(room, 'pusher:member_added');
    pusher.connect();
    await connected(pusher);
    assert.equal((await back).id, 'u');
    assert.notEqual(pusher.connection.socket_id, id);
  });
});
