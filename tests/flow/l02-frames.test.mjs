// Malformed WebSocket frames, each with its close code, and a server that goes on.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { limit, rawSocket, startServer, until, useServer, wsFrame } from './harness.mjs';
import { expectServes, isSanitized, residentBytes } from './http.mjs';

const PING = '{"event":"pusher:ping"}';
const closePayload = (code, reason = '') => {
  const text = Buffer.isBuffer(reason) ? reason : Buffer.from(reason);
  return Buffer.concat([Buffer.from([code >> 8, code & 255]), text]);
};
// A head as it stands, with a mask of zeros behind it.
const head = (...bytes) => Buffer.from([...bytes, 0, 0, 0, 0]);
const bad = (...bytes) => Buffer.from(bytes);

// [what, bytes, close code]
const refused = [
  ['an unmasked text frame', wsFrame('text', PING, { mask: false }), 1002],
  ['an unmasked ping', wsFrame('ping', '', { mask: false }), 1002],
  ['an unmasked close', wsFrame('close', closePayload(1000), { mask: false }), 1002],
  ['an unmasked empty frame', bad(0x81, 0), 1002],
  ...[1, 2, 3, 4, 5, 6, 7].map((rsv) => [`reserved bits ${rsv}`, wsFrame('text', PING, { rsv }), 1002]),
  ['a reserved bit on a ping', wsFrame('ping', '', { rsv: 4 }), 1002],
  ['a reserved bit on a close', wsFrame('close', closePayload(1000), { rsv: 1 }), 1002],
  ...[3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map((opcode) => [`opcode ${opcode}`, wsFrame(opcode, ''), 1002]),
  ['a ping in fragments', wsFrame('ping', 'x', { fin: false }), 1002],
  ['a pong in fragments', wsFrame('pong', 'x', { fin: false }), 1002],
  ['a close in fragments', wsFrame('close', closePayload(1000), { fin: false }), 1002],
  ['a ping of 126 bytes', wsFrame('ping', 'x'.repeat(126)), 1002],
  ['a ping of 65,536 bytes', wsFrame('ping', 'x'.repeat(65536)), 1002],
  ['a pong of 126 bytes', wsFrame('pong', 'x'.repeat(126)), 1002],
  ['a close of 126 bytes', wsFrame('close', closePayload(1000, 'x'.repeat(124))), 1002],
  ['a continuation of nothing', wsFrame('continuation', 'x'), 1002],
  ['a continuation of nothing that goes on', wsFrame('continuation', 'x', { fin: false }), 1002],
  ['a continuation of what was complete', Buffer.concat([wsFrame('text', PING), wsFrame('continuation', 'x')]), 1002],
  ['a text within a text', Buffer.concat([wsFrame('text', '{', { fin: false }), wsFrame('text', '}')]), 1002],
  ['a binary within a text', Buffer.concat([wsFrame('text', '{', { fin: false }), wsFrame('binary', '}')]), 1002],
  ['incident 15: a length with its top bit set', head(0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 1), 1002],
  ['incident 15: a length of all bits', head(0x81, 0xff, 255, 255, 255, 255, 255, 255, 255, 255), 1002],
  ['a length of 125 in two bytes', head(0x81, 0xfe, 0, 125), 1002],
  ['a length of 0 in two bytes', head(0x81, 0xfe, 0, 0), 1002],
  ['a length of 65,535 in eight bytes', head(0x81, 0xff, 0, 0, 0, 0, 0, 0, 255, 255), 1002],
  ['a length of 0 in eight bytes', head(0x81, 0xff, 0, 0, 0, 0, 0, 0, 0, 0), 1002],

  // Refused at the head: the payload never comes.
  ['incident 15: 65,537 bytes declared', head(0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 1), 1009],
  ['a gibibyte declared', head(0x81, 0xff, 0, 0, 0, 0, 0x40, 0, 0, 0), 1009],
  ['2^62 bytes declared', head(0x81, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0), 1009],
  ['2^63 - 1 bytes declared', head(0x81, 0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255), 1009],
  ['a binary frame of a gibibyte declared', head(0x82, 0xff, 0, 0, 0, 0, 0x40, 0, 0, 0), 1009],
  ['fragments that add up beyond 65,536 bytes', Buffer.concat([wsFrame('text', ' '.repeat(65536), { fin: false }), head(0x80, 0x81)]), 1009],
  ['fragments whose sum would wrap', Buffer.concat([wsFrame('text', 'x', { fin: false }), head(0x80, 0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255)]), 1009],

  ['a binary frame', wsFrame('binary', PING), 1003],
  ['an empty binary frame', wsFrame('binary', ''), 1003],
  ['a binary message in fragments', Buffer.concat([wsFrame('binary', '{', { fin: false }), wsFrame('continuation', '}')]), 1003],

  ...[['a lonely continuation byte', [0x80]], ['a byte that never occurs', [0xff]], ['an overlong slash', [0xc0, 0xaf]], ['an overlong NUL', [0xc0, 0x80]], ['a surrogate', [0xed, 0xa0, 0x80]],
    ['beyond U+10FFFF', [0xf4, 0x90, 0x80, 0x80]], ['a cut sequence', [0xe2, 0x82]], ['a cut sequence before text', [0xe2, 0x82, 0x22]], ['five bytes', [0xf8, 0x88, 0x80, 0x80, 0x80]],
    ['an overlong of three', [0xe0, 0x80, 0xaf]], ['an overlong of four', [0xf0, 0x80, 0x80, 0xaf]]]
    .map(([what, bytes]) => [`${what} in a text`, wsFrame('text', Buffer.concat([Buffer.from('{"event":"'), Buffer.from(bytes), Buffer.from('"}')])), 1007]),
  ['a cut sequence at the very end', wsFrame('text', Buffer.from([0x22, 0xe2, 0x82])), 1007],
  ['bad UTF-8 in a later fragment', Buffer.concat([wsFrame('text', '{', { fin: false }), wsFrame('continuation', Buffer.from([0xff]), { fin: false })]), 1007],
  ['a sequence cut by fragments and left so', Buffer.concat([wsFrame('text', Buffer.from([0x22, 0xe2]), { fin: false }), wsFrame('continuation', Buffer.from([0x82]))]), 1007],

  ['a close of one byte', wsFrame('close', Buffer.from([3])), 1002],
  ...[0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535].map((code) => [`a close with ${code}`, wsFrame('close', closePayload(code)), 1002]),
  ['a close with a reason that is not UTF-8', wsFrame('close', closePayload(1000, Buffer.from([0xff]))), [1002, 1007]],
];

describe('malformed frames', () => {
  const ctx = useServer({ workers: 2 });
  let checked = 0;
  afterEach(async () => { if (++checked % 10 === 0) await expectServes(ctx.server); });

  // Cut says where the bytes are split on their way.
  async function expectRefused(what, bytes, code, cut) {
    const socket = await ctx.raw();
    socket.write(bytes.subarray(0, cut));
    if (cut !== undefined) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      if (!socket.closed) socket.write(bytes.subarray(cut));
    }
    await until(() => socket.closed, `close ${code} for ${what}`);
    assert.ok([code].flat().includes(socket.closed.code), `${what}, cut at ${cut}: ${socket.closed.code}`);
    await socket.expectEnd();
    socket.destroy();
  }

  for (const [what, bytes, code] of refused)
    test(`${what}: ${[code].flat().join(' or ')}`, () => expectRefused(what, bytes, code));

  test('the same at every cut', async () => {
    for (const [what, bytes, code] of refused.filter(([, b]) => b.length < 60)) {
      const cuts = [1, 2, 3, 5, 7, bytes.length - 1].filter((cut) => cut > 0 && cut < bytes.length);
      await Promise.all(cuts.map((cut) => expectRefused(what, bytes, code, cut)));
    }
  });

  test('nothing behind a bad frame is looked at', async () => {
    const socket = await ctx.raw();
    socket.write(Buffer.concat([wsFrame(3, ''), wsFrame('text', PING), wsFrame('text', '{"event":"pusher:subscribe","data":{"channel":"c"}}')]));
    await socket.expectClose(1002);
    assert.deepEqual(socket.frames, []);
  });

  test('what came before a bad frame is answered', async () => {
    const socket = await ctx.raw();
    socket.write(Buffer.concat([wsFrame('text', PING), wsFrame(3, '')]));
    await socket.expectText('{"event":"pusher:pong","data":"{}"}');
    await socket.expectClose(1002);
  });

  test('what is odd but legal is taken', async () => {
    const socket = await ctx.raw();
    const text = Buffer.from(PING);
    socket.write(wsFrame('pong', 'x'.repeat(125)));
    socket.write(Buffer.concat([wsFrame('text', '', { fin: false }), wsFrame('continuation', '', { fin: false }), wsFrame('continuation', text)]));
    await socket.expectText('{"event":"pusher:pong","data":"{}"}');
    socket.write(Buffer.concat([wsFrame('text', text.subarray(0, 5), { fin: false }), wsFrame('ping', 'middle'), wsFrame('continuation', text.subarray(5))]));
    const pong = await socket.next();
    assert.equal(pong.opcode, 10);
    assert.equal(pong.text, 'middle');
    await socket.expectText('{"event":"pusher:pong","data":"{}"}');
    // Exactly the largest message, in one frame and in many.
    const largest = PING + ' '.repeat(65536 - PING.length);
    socket.text(largest);
    await socket.expectText('{"event":"pusher:pong","data":"{}"}');
    socket.write(wsFrame('text', largest.slice(0, 1), { fin: false }));
    for (let at = 1; at < 65536; at += 1000)
      socket.write(wsFrame('continuation', largest.slice(at, at + 1000), { fin: at + 1000 >= 65536 }));
    await socket.expectText('{"event":"pusher:pong","data":"{}"}');
    for (const code of [1000, 1001, 1003, 1007, 1011, 3000, 4999]) {
      const other = await ctx.raw();
      other.close(code, 'x'.repeat(123));
      await other.expectClose(code);
    }
  });

  test('incident 13: 300 frames of random bytes end each in a close, and harm nobody', async () => {
    let seed = 99;
    const random = () => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) >>> 8;
    for (let i = 0; i < 300; i++) {
      const socket = await ctx.raw();
      socket.write(Buffer.from(Array.from({ length: 2 + (random() % 300) }, () => random() & 255)));
      // Bytes that stand for the start of a long legal frame are waited for: end those.
      socket.socket.end();
      await socket.expectEnd();
      assert.ok([null, 1002, 1003, 1007, 1009].includes(socket.closed.code), `closed with ${socket.closed.code}`);
    }
    await expectServes(ctx.server);
  });
});

describe('memory', () => {
  let server;
  before(async () => { server = await startServer({}); });
  after(() => server.stop());

  test('incident 16: declared and dripping messages cost what was sent, no more', async (t) => {
    const from = residentBytes(server.pid);
    const all = [];
    for (let i = 0; i < 300; i++) {
      const socket = await rawSocket(server);
      socket.write(head(0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 0)); // 64 KiB, the most that is legal
      socket.write(Buffer.from('{'));
      all.push(socket);
    }
    await expectServes(server);
    const grown = residentBytes(server.pid) - from;
    for (const socket of all) socket.destroy();
    if (isSanitized(server.pid)) t.diagnostic('memory is not judged under a sanitizer');
    else assert.ok(grown < 8 << 20, `grew by ${grown} bytes`);
  });

  test('incident 17: pings whose pongs nobody reads do not pile up', async (t) => {
    const from = residentBytes(server.pid);
    const socket = await rawSocket(server);
    socket.socket.pause();
    const flood = Buffer.concat(Array.from({ length: 500 }, () => wsFrame('ping', 'x'.repeat(125))));
    for (let i = 0; i < 400 && !socket.ended; i++) {
      if (!socket.socket.write(flood)) {
        const drained = new Promise((resolve) => { socket.socket.once('drain', resolve); socket.socket.once('close', resolve); });
        if (await Promise.race([drained.then(() => false), new Promise((resolve) => setTimeout(() => resolve(true), limit(300)))])) break;
      }
    }
    await expectServes(server);
    const grown = residentBytes(server.pid) - from;
    socket.destroy();
    if (isSanitized(server.pid)) t.diagnostic('memory is not judged under a sanitizer');
    else assert.ok(grown < 16 << 20, `grew by ${grown} bytes`);
  });
});
