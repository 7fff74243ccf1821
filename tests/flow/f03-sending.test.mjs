// xhr_send: bodies, order, limits.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forEachWorkers, limit, rawSubscribe, startServer } from './harness.mjs';
import { eventText, expectRise, lineOf, publish, quick, Session, subscribeText, succeeded } from './fallback.mjs';
import { exchange, httpSocket, requestText } from './http.mjs';

const BAD = 'the body must be a JSON array of strings\n';
const unsubscribeText = (channel) => JSON.stringify({ event: 'pusher:unsubscribe', data: { channel } });

forEachWorkers('sending', { set: quick }, (ctx) => {
  const open = async () => {
    const session = new Session(ctx);
    return { session, stream: await session.openStream() };
  };

  test('a send is answered 204, without a body', async () => {
    const { session, stream } = await open();
    const { status, headers, text } = await session.send([subscribeText('c')]);
    assert.equal(status, 204);
    assert.equal(text, '');
    const { date, ...others } = headers;
    assert.deepEqual(others, {
      'content-type': 'text/plain; charset=UTF-8',
      'cache-control': 'no-store, no-cache, must-revalidate, max-age=0',
      'access-control-allow-origin': '*',
    });
    await stream.expectEvent(succeeded('c'));
  });

  test('several messages in one body are taken in order', async () => {
    const { session, stream } = await open();
    const names = Array.from({ length: 50 }, (_, i) => `c${i}`);
    await session.send(names.map((name) => subscribeText(name)));
    for (const name of names) await stream.expectEvent(succeeded(name));
  });

  test('a client event goes from one transport to the others', async () => {
    const { session, stream } = await open();
    const socket = await ctx.raw();
    await rawSubscribe(socket, 'private-c');
    await session.subscribe('private-c');
    await stream.expectEvent(succeeded('private-c'));
    await session.send([JSON.stringify({ event: 'client-x', channel: 'private-c', data: 'é "q"' })]);
    await socket.expectJson({ event: 'client-x', channel: 'private-c', data: 'é "q"' });
    socket.send({ event: 'client-y', channel: 'private-c', data: 'back' });
    await stream.expectEvent('{"event":"client-y","channel":"private-c","data":"back"}');
    assert.equal(stream.body, '', 'no echo');
  });

  test('a message that is no JSON is an error, and the session stays', async () => {
    const { session, stream } = await open();
    await expectRise(ctx.server, 'carillon_bad_messages_total', 2, async () => {
      assert.equal((await session.send(['{', ''])).status, 204);
    });
    for (let i = 0; i < 2; i++) {
      const { event, data } = JSON.parse(JSON.parse((await stream.line()).slice(1))[0]);
      assert.equal(event, 'pusher:error');
      assert.equal(data.code, null);
    }
    await session.send([]);
    await stream.expectLine('a[]');
  });

  const bodies = ['', ' ', '{}', 'null', '1', '"text"', '["a"', '"a"]', '[1]', '[null]', '["{}",1]', '[["a"]]', '[{}]', '["a"]x', '["a",]', "['a']",
    '["\x01"]', '[undefined]', 'event=1', '\u{FEFF}["a"]', `${'['.repeat(500)}`];
  test('bodies that are no arrays of strings are answered 400, counted, and nothing of them is taken', async () => {
    const { session, stream } = await open();
    await expectRise(ctx.server, 'carillon_bad_sends_total', bodies.length, async () => {
      for (const body of bodies) {
        const answer = await session.sendBody(body);
        assert.deepEqual({ body, status: answer.status, text: answer.text }, { body, status: 400, text: BAD });
        assert.equal(answer.headers['access-control-allow-origin'], '*');
      }
    });
    // What comes behind one does not wait for its number.
    let best = Infinity;
    for (let i = 0; i < 5; i++) {
      await session.sendBody('bad');
      const from = performance.now();
      await session.send(['no JSON']);
      assert.match(await stream.line(), /pusher:error/);
      best = Math.min(best, performance.now() - from);
    }
    assert.ok(best < limit(40), `${best} ms`);
    await session.send([]);
    await stream.expectLine('a[]');
    assert.equal(stream.body, '');
  });

  test('bytes that are no UTF-8 are answered 400', async () => {
    const { session } = await open();
    const http = await httpSocket(ctx.server);
    ctx.defer(() => http.destroy());
    http.write(requestText('POST', session.target('xhr_send'), { headers: { 'Content-Length': 5 } }));
    http.write(Buffer.from([0x5b, 0x22, 0xff, 0x22, 0x5d]));
    const answer = await http.response();
    assert.equal(answer.status, 400);
    assert.equal(answer.text, BAD);
  });

  test('sends to a session that there is not are answered 404 and counted', async () => {
    const session = new Session(ctx);
    const targets = [session.target('xhr_send'), `/pusher/app/no-such-key/1/aaaaaaaa/xhr_send`, `/app/${ctx.server.app.key}/1/aaaaaaaa/xhr_send`];
    await expectRise(ctx.server, 'carillon_unknown_sends_total', 2 * targets.length, async () => {
      for (const target of targets)
        for (const body of ['[]', 'bad']) {
          const answer = await exchange(ctx.server, requestText('POST', target, { body }));
          assert.deepEqual([answer.status, answer.text], [404, 'there is no such session\n']);
          assert.equal(answer.headers['access-control-allow-origin'], '*');
        }
    });
  });

  test('a send that overtook another waits for it', async () => {
    const { session, stream } = await open();
    await session.subscribe('c');
    await stream.expectEvent(succeeded('c'));
    for (let i = 0; i < 20; i++) {
      const first = ++session.n;
      const second = ++session.n;
      const late = session.send([subscribeText('c')], second); // on a connection of its own
      const early = session.send([unsubscribeText('c')], first);
      for (const answer of await Promise.all([late, early])) assert.equal(answer.status, 204);
      // In the other order the subscription would be refused as a second one.
      await stream.expectEvent(succeeded('c'));
    }
    await publish(ctx.server, 'c', 'still');
    await stream.expectEvent(eventText('c', 'still'));
  });

  test('three that come backwards are taken forwards', async () => {
    const { session, stream } = await open();
    const http = await httpSocket(ctx.server);
    ctx.defer(() => http.destroy());
    const n = session.n;
    const text = (i, channel) => requestText('POST', session.target('xhr_send', n + i), { body: JSON.stringify([subscribeText(channel)]) });
    http.write(text(3, 'three') + text(2, 'two') + text(1, 'one'));
    for (let i = 0; i < 3; i++) assert.equal((await http.response()).status, 204);
    for (const name of ['one', 'two', 'three']) await stream.expectEvent(succeeded(name));
  });

  test('a receive has a number of the same counter', async () => {
    const session = new Session(ctx);
    await session.openPoll();
    let best = Infinity; // of three rounds, as above
    for (let round = 0; round < 3; round++) {
      const from = performance.now();
      for (let i = 0; i < 10; i++) {
        assert.equal((await session.send([subscribeText(`c${round}-${i}`)])).status, 204);
        assert.equal((await session.poll()).text, `${lineOf(succeeded(`c${round}-${i}`))}\n`);
      }
      best = Math.min(best, performance.now() - from);
    }
    assert.ok(best < limit(450), 'none has waited for a number that a poll had');
  });

  test('a gap in the numbers holds a message only for a moment', async () => {
    const { session, stream } = await open();
    const from = performance.now();
    await session.send([subscribeText('c')], session.n + 1000);
    await stream.expectEvent(succeeded('c'));
    assert.ok(performance.now() - from >= 20, 'it has waited');
    await session.send([subscribeText('d')], 3); // late, and taken
    await stream.expectEvent(succeeded('d'));
  });

  test('numbers that are none, or huge, take nothing away', async () => {
    const { session, stream } = await open();
    const odd = ['-1', '-5', 'x', '', '0', '1e3', '0x10', '%00', '1.5', '9007199254740993', '18446744073709551615', '18446744073709551616',
      '99999999999999999999999999', '1', '2', '3', '18446744073709551615', '1'];
    for (const [i, n] of odd.entries()) {
      assert.equal((await session.send([subscribeText(`c${i}`)], n)).status, 204);
      await stream.expectEvent(succeeded(`c${i}`));
    }
    for (const query of ['', '?', '?n', '?n=1&n=2', '?&&', '?t=1;n=7'])
      assert.equal((await exchange(ctx.server, requestText('POST', `${session.base}/xhr_send${query}`, { body: '[]' }))).status, 204, query);
    for (let i = 0; i < 6; i++) await stream.expectLine('a[]');
  });

  test('a message of the greatest length is taken, a longer one closes with 1009', async () => {
    const { session, stream } = await open();
    const fill = (n) => `{"event":"pusher:ping","data":"${'x'.repeat(n - 33)}"}`;
    assert.equal(fill(65536).length, 65536);
    await session.send([fill(65536)]);
    await stream.expectEvent('{"event":"pusher:pong","data":"{}"}');
    assert.equal((await session.send([fill(65537)])).status, 204);
    await stream.expectLine('c[1009,"message too big"]');
    await stream.expectEnd();
  });

  test('a message of the greatest length fits when every character of it is quoted', async () => {
    const { session, stream } = await open();
    const text = `{"event":"pusher:ping","data":[${'""'}${',""'.repeat(20000)}]}`;
    assert.ok(text.length < 65536 && JSON.stringify([text]).length > 65536);
    assert.equal((await session.send([text])).status, 204);
    await stream.expectEvent('{"event":"pusher:pong","data":"{}"}');
  });

  test('a longer body is answered 413, and ends the session by 1009', async () => {
    for (const options of [{}, { headers: { 'Content-Length': null, 'Transfer-Encoding': 'chunked' }, body: 'fffff\r\n' }]) {
      const { session, stream } = await open();
      const body = JSON.stringify(['x'.repeat(140000)]);
      const answer = await exchange(ctx.server, requestText('POST', session.target('xhr_send'), { body, ...options }));
      assert.equal(answer.status, 413);
      assert.equal(answer.headers['access-control-allow-origin'], '*');
      await stream.expectLine('c[1009,"message too big"]');
      await stream.expectEnd();
      assert.equal((await session.send([])).status, 404);
    }
  });

  test('between two polls, too: the next one is told', async () => {
    const session = new Session(ctx);
    await session.openPoll();
    assert.equal((await session.sendBody(JSON.stringify(['x'.repeat(140000)]))).status, 413);
    assert.equal((await session.poll()).text, 'c[1009,"message too big"]\n');
  });

  test('a body that is too long for no session ends none', async () => {
    const { session, stream } = await open();
    const body = JSON.stringify(['x'.repeat(140000)]);
    assert.equal((await exchange(ctx.server, requestText('POST', `${session.base}x/xhr_send`, { body }))).status, 413);
    assert.equal((await exchange(ctx.server, requestText('POST', session.target('xhr'), { body }))).status, 413);
    await session.send([]);
    await stream.expectLine('a[]');
  });

  test('too many that wait for earlier ones are answered 429, counted, and end the session by 4100', async () => {
    // Short ones are many in no time, however slow the machine.
    const server = await startServer({ workers: ctx.workers, set: { ...quick, 'limits.message_bytes': 1024, 'limits.body_bytes': 256 } });
    const session = new Session({ server, defer: ctx.defer });
    const stream = await session.openStream();
    const long = JSON.stringify({ event: 'pusher:ping', data: 'x'.repeat(900) });
    const statuses = [];
    await expectRise(server, 'carillon_bad_sends_total', 1, async () => {
      // They wait for 50 ms only, so that a slow machine may need a second try.
      for (let round = 0; !statuses.includes(429) && !statuses.includes(404); round++) {
        assert.ok(round < 20, 'never too many');
        const http = await httpSocket(server);
        const body = JSON.stringify([long, long]);
        const base = session.n + 1000 * (round + 1);
        http.write(Array.from({ length: 8 }, (_, i) => requestText('POST', session.target('xhr_send', base + 2 * i), { body })).join(''));
        for (let i = 0; i < 8; i++) {
          const { status, text } = await http.response();
          if (status === 429) assert.equal(text, 'too many messages of this session are waiting\n');
          else assert.equal(status, statuses.includes(429) ? 404 : 204);
          statuses.push(status);
        }
        http.destroy();
      }
    });
    // What was taken before arrives; what waited goes with the session.
    let line;
    while ((line = await stream.line()).startsWith('a')) assert.equal(line, lineOf('{"event":"pusher:pong","data":"{}"}'));
    assert.equal(line, 'c[4100,"Too many messages were waiting, back off"]');
    await stream.expectEnd();
    await server.stop();
  });
});
