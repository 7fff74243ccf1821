// Pings in both directions, and who is dropped for silence.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forEachWorkers, limit, sleep, until, wsFrame } from './harness.mjs';

const PONG = '{"event":"pusher:pong","data":"{}"}';

forEachWorkers('ping and pong', {}, (ctx) => {
  for (const ping of [
    '{"event":"pusher:ping","data":{}}',
    '{"event":"pusher:ping"}',
    '{"event":"pusher:ping","data":""}',
    '{"event":"pusher:ping","data":"{}"}',
    '{"event":"pusher:ping","data":null}',
    ' { "data" : {} , "event" : "pusher:ping" } ',
  ])
    test(`trap 58: ${ping} is answered with data`, async () => {
      const socket = await ctx.raw();
      socket.text(ping);
      await socket.expectText(PONG);
    });

  test('trap 51: a ping sent together with the upgrade is answered after connection_established', async () => {
    const socket = await ctx.raw('/app/test-key?protocol=6&client=Pysher', { established: false });
    socket.text('{"event":"pusher:ping","data":""}');
    assert.match((await socket.next()).text, /connection_established/);
    await socket.expectText(PONG);
  });

  test('trap 39: a WebSocket PING is answered by a PONG with the same payload', async () => {
    const socket = await ctx.raw();
    for (const payload of ['', 'x', 'p'.repeat(125)]) {
      socket.write(wsFrame('ping', payload));
      const frame = await socket.next();
      assert.equal(frame.opcode, 10);
      assert.equal(frame.text, payload);
    }
  });

  test('an unasked PONG and a pusher:pong are taken without an answer', async () => {
    const socket = await ctx.raw();
    socket.write(wsFrame('pong', 'unasked'));
    socket.text('{"event":"pusher:pong","data":{}}');
    await socket.expectNothing();
  });

  test('a ping between the fragments of a message is answered at once', async () => {
    const socket = await ctx.raw();
    socket.write(wsFrame('text', '{"event":"pusher:', { fin: false }));
    socket.write(wsFrame('ping', 'between'));
    const pong = await socket.next();
    assert.deepEqual([pong.opcode, pong.text], [10, 'between']);
    socket.write(wsFrame('continuation', 'pi', { fin: false }));
    socket.write(wsFrame('continuation', 'ng"}'));
    await socket.expectText(PONG);
  });

  test('many pings in one packet are answered one by one, in order', async () => {
    const socket = await ctx.raw();
    socket.write(Buffer.concat(Array.from({ length: 50 }, (_, i) => wsFrame('ping', String(i)))));
    for (let i = 0; i < 50; i++) assert.equal((await socket.next()).text, String(i));
  });

  for (const code of [1000, 1001, 4900])
    test(`a close with ${code} is answered with the same code`, async () => {
      const socket = await ctx.raw();
      socket.close(code, 'bye');
      await socket.expectClose(code);
      await socket.expectEnd();
    });
  test('a close without a code is answered by a close without a code', async () => {
    const socket = await ctx.raw();
    socket.write(wsFrame('close'));
    await until(() => socket.closed, 'the close');
    assert.ok([1000, 1005].includes(socket.closed.code), `closed with ${socket.closed.code}`);
    await socket.expectEnd();
  });
});

// Short times, so that silence is cheap.
const quick = { set: { 'limits.idle_ms': limit(300), 'limits.pong_ms': limit(400) } };

forEachWorkers('silence', quick, (ctx) => {
  async function countPings(socket, n) {
    await until(() => socket.all.filter((frame) => frame.opcode === 9).length >= n, `${n} pings of the server`, 10000);
  }

  test('trap 04: a client that answers only WebSocket PINGs stays connected', async () => {
    const socket = await ctx.raw();
    await countPings(socket, 3);
    assert.equal(socket.closed, null);
    assert.equal(socket.all.some((frame) => frame.opcode === 1 && frame.text.includes('pusher:ping')), false);
  });

  test('a client that answers nothing is closed with 4201', async () => {
    const socket = await ctx.raw();
    socket.answersPings = false;
    await socket.expectClose(4201, 'Pong reply not received', 10000);
    await socket.expectEnd(10000);
    assert.ok(socket.all.some((frame) => frame.opcode === 9), 'it was asked first');
  });

  test('text, a WebSocket PONG and a WebSocket PING each prove a client alive', async () => {
    const signs = [wsFrame('text', '{"event":"pusher:pong"}'), wsFrame('pong', 'any'), wsFrame('ping', 'any')];
    const sockets = [];
    for (const _ of signs) sockets.push(await ctx.raw());
    for (const socket of sockets) socket.answersPings = false;
    const mute = await ctx.raw();
    mute.answersPings = false;
    const alive = setInterval(() => sockets.forEach((socket, i) => socket.write(signs[i])), 100);
    ctx.defer(() => clearInterval(alive));
    // For longer than one beside them needs to be dropped.
    await mute.expectClose(4201, undefined, 10000);
    await sleep(limit(1000));
    for (const socket of sockets) assert.equal(socket.closed, null);
  });

  test('trap 05: a client whose own ping interval is longer than the idle time does not flap', async () => {
    const client = ctx.client({ activityTimeout: 1000 });
    await until(() => client.connection.state === 'connected', 'connected');
    const id = client.connection.socket_id;
    let pongs = 0;
    client.connection.bind('message', (message) => { if (message.event === 'pusher:pong') pongs++; });
    await until(() => pongs >= 2, 'two pongs', 15000);
    assert.equal(client.connection.socket_id, id);
  });
});
