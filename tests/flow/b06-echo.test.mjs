// The echo route that conformance suites are pointed at: frames come back as they were, up to 16 MiB.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import WebSocket from 'ws';
import { forEachWorkers, startServer, within } from './harness.mjs';
import { expectServes } from './http.mjs';

const MOST = 16 << 20;

async function open(server, path = '/echo') {
  const socket = new WebSocket(`ws://${server.host}:${server.port}${path}`, { perMessageDeflate: false });
  socket.heard = [];
  socket.on('message', (data, isBinary) => socket.heard.push({ data, isBinary }));
  socket.ended = once(socket, 'close').then(([code]) => code);
  await within(once(socket, 'open'), 'the upgrade');
  return socket;
}

async function expectEcho(socket, data) {
  const back = within(once(socket, 'message'), 'the echo', 20000);
  socket.send(data);
  const [bytes, isBinary] = await back;
  assert.equal(isBinary, typeof data !== 'string');
  assert.ok(bytes.equals(Buffer.from(data)), `${bytes.length} bytes came back`);
}

forEachWorkers('the echo route', { set: { 'debug.echo_path': '/echo' } }, (ctx) => {
  test('text and binary come back as they were, of every kind of length, and nothing else does', async () => {
    const socket = await open(ctx.server);
    const lengths = [0, 1, 125, 126, 65535, 65536, MOST];
    for (const n of lengths) {
      await expectEcho(socket, 'x'.repeat(n));
      await expectEcho(socket, Buffer.alloc(n, 0xff));
    }
    await expectEcho(socket, '\u{1f514} é');
    assert.equal(socket.heard.length, 2 * lengths.length + 1);
    socket.close(1000);
    assert.equal(await socket.ended, 1000);
  });

  test('pieces come back as one message', async () => {
    const socket = await open(ctx.server);
    const back = within(once(socket, 'message'), 'the echo');
    for (const piece of ['a', '', 'b']) socket.send(piece, { fin: false });
    socket.send('c', { fin: true });
    assert.equal(String((await back)[0]), 'abc');
    socket.close();
    await socket.ended;
  });

  test('a byte more than the limit is 1009, and costs nobody else anything', async () => {
    const socket = await open(ctx.server);
    const length = Buffer.alloc(8);
    length.writeBigUInt64BE(BigInt(MOST + 1));
    socket._socket.write(Buffer.concat([Buffer.from([0x82, 0xff]), length, Buffer.alloc(4)])); // the head is enough
    assert.equal(await within(socket.ended, 'the close'), 1009);
    await expectServes(ctx.server);
  });
});

test('without the option there is no such route', async () => {
  const server = await startServer({});
  const socket = await open(server);
  assert.equal(await within(socket.ended, 'the close'), 4005);
  await server.stop();
});
