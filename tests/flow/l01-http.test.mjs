// Malformed HTTP, each with its exact answer, and a server that goes on.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { defaultApp, startServer, until, useServer } from './harness.mjs';
import { exchange, expectServes, httpSocket, isSanitized, requestText, residentBytes, signedText } from './http.mjs';

const REASONS = { 400: 'Bad Request', 405: 'Method Not Allowed', 413: 'Content Too Large', 414: 'URI Too Long', 417: 'Expectation Failed',
  431: 'Request Header Fields Too Large', 505: 'HTTP Version Not Supported' };
const get = (headers, line = 'GET /health HTTP/1.1') => `${line}\r\nHost: x\r\n${headers}\r\n`;
const post = (headers, body) => `POST /apps/test-id/events HTTP/1.1\r\nHost: x\r\n${headers}\r\n${body}`;
const chunks = (body, headers = '') => post(`Transfer-Encoding: chunked\r\n${headers}`, body);
// What a smuggled request would do: if it is answered, there is an answer too many.
const NEXT = 'GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n';

// [what, bytes, status]: refused, the connection closed, nothing answered behind.
const refused = [
  // Two ways to say how long a body is.
  ['Content-Length and Transfer-Encoding', post('Content-Length: 6\r\nTransfer-Encoding: chunked\r\n', `0\r\n\r\n${NEXT}`), 400],
  ['Transfer-Encoding and Content-Length', post('Transfer-Encoding: chunked\r\nContent-Length: 6\r\n', `0\r\n\r\n${NEXT}`), 400],
  ['two Content-Length that differ', post('Content-Length: 6\r\nContent-Length: 5\r\n', 'GET / '), 400],
  ['two Content-Length that agree', post('Content-Length: 5\r\nContent-Length: 5\r\n', 'hello'), 400],
  ['Content-Length as a list', post('Content-Length: 5, 5\r\n', 'hello'), 400],
  ['Content-Length 0 with chunks', post('Content-Length: 0\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'), 400],
  ...['', '+5', '-5', '0x5', '5.0', '5 5', '5;', 'five', '1e1', '5\t5', '18446744073709551616', '99999999999999999999999', '٥', '"5"', '5,']
    .map((value) => [`Content-Length ${JSON.stringify(value)}`, post(`Content-Length: ${value}\r\n`, `hello${NEXT}`), 400]),
  ['Content-Length far beyond', post('Content-Length: 18446744073709551615\r\n', ''), 413],
  ['Content-Length of a gibibyte', post('Content-Length: 1073741824\r\n', ''), 413],
  ['Content-Length by a name with an underscore beside the real one', post('Content-Length: 0\r\nContent-Length : 5\r\n', 'hello'), 400],

  // Any coding but chunked.
  ...['gzip', 'identity', 'gzip, chunked', 'chunked, gzip', 'chunked, chunked', 'xchunked', 'chunkedx', 'chunked;q=1', '"chunked"', '', 'chunked,', ',chunked', '\x0bchunked', 'chunk\ted']
    .map((value) => [`Transfer-Encoding ${JSON.stringify(value)}`, post(`Transfer-Encoding: ${value}\r\n`, `0\r\n\r\n${NEXT}`), 400]),
  ['Transfer-Encoding twice', post('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'), 400],
  ['Transfer-Encoding twice, once as identity', post('Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n', '0\r\n\r\n'), 400],
  ['chunks under HTTP/1.0', 'POST /apps/test-id/events HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 400],

  // Chunk sizes.
  ...['', ' ', 'x', '-1', '+1', '0x1', ' 1', '1 ', '\t1', 'g', '1g', '1,', '1 ;a', ';a', '"1"', '１']
    .map((size) => [`chunk size ${JSON.stringify(size)}`, chunks(`${size}\r\nx\r\n0\r\n\r\n${NEXT}`), 400]),
  ['chunk size of 17 digits', chunks('10000000000000000\r\nx\r\n0\r\n\r\n'), 400],
  ['chunk size that wraps to 1', chunks('10000000000000001\r\nx\r\n0\r\n\r\n'), 400],
  ['chunk size of many zeros', chunks(`${'0'.repeat(100)}1\r\nx\r\n0\r\n\r\n`), 400],
  ['chunk size beyond the limit', chunks('7fffffff\r\nx'), 413],
  ['chunks that add up beyond the limit', chunks(`10000\r\n${'x'.repeat(65536)}\r\n10000\r\n${'x'.repeat(65536)}\r\n1\r\nx\r\n0\r\n\r\n`), 413],
  ['chunk size ended by LF', chunks('1\nx\r\n0\r\n\r\n'), 400],
  ['chunk size ended by CR', chunks('1\rx\r\n0\r\n\r\n'), 400],
  ['chunk shorter than its data', chunks('1\r\nxy\r\n0\r\n\r\n'), 400],
  ['chunk without its CRLF', chunks('1\r\nx0\r\n\r\n'), 400],
  ['chunk ended by LF', chunks('1\r\nx\n0\r\n\r\n'), 400],
  ['chunk ended by two other bytes', chunks('1\r\nxXX0\r\n\r\n'), 400],
  ["a request where the last chunk's CRLF should be", chunks(`0\r\n${NEXT}`), 400],
  ['a trailer without a colon', chunks('0\r\nXX\r\n\r\n'), 400],
  ['a folded trailer', chunks('0\r\nA: b\r\n c\r\n\r\n'), 400],
  ['a blank before the colon of a trailer', chunks('0\r\nA : b\r\n\r\n'), 400],
  ['chunk extension with LF', chunks('1;a\nb\r\nx\r\n0\r\n\r\n'), 400],
  ['chunk extension with a bare CR', chunks('1;a\rb\r\nx\r\n0\r\n\r\n'), 400],
  ['chunk extension with NUL', chunks('1;a\0b\r\nx\r\n0\r\n\r\n'), 400],
  ['chunk extension without end', chunks(`1;${'a'.repeat(5000)}`), 400],
  ['trailer with LF', chunks('0\r\nA: b\n\r\n'), 400],
  ['trailer with NUL', chunks('0\r\nA: \0\r\n\r\n'), 400],
  ['trailer without end', chunks(`0\r\n${`A: ${'b'.repeat(100)}\r\n`.repeat(200)}`), 400],

  // Lines.
  ['a folded header', get('A: b\r\n c\r\n'), 400],
  ['a header folded by a tab', get('A: b\r\n\tc\r\n'), 400],
  ['a folded first header', 'GET /health HTTP/1.1\r\n Host: x\r\n\r\n', 400],
  ['a header line ended by LF', get('A: b\nB: c\r\n'), 400],
  ['a request line ended by LF', 'GET /health HTTP/1.1\nHost: x\r\n\r\n', 400],
  ['a head ended by LF LF', 'GET /health HTTP/1.1\nHost: x\n\n', 400],
  ['a head ended by CRLF LF', 'GET /health HTTP/1.1\r\nHost: x\r\n\n', 400],
  ['a bare CR in a value', get('A: b\rC: d\r\n'), 400],
  ['a bare CR in the request line', 'GET /health\r HTTP/1.1\r\nHost: x\r\n\r\n', 400],
  ['a bare CR behind a value', get('A: b\r\r\n'), 400],
  ['NUL in a value', get('A: b\0c\r\n'), 400],
  ['NUL in a name', get('A\0: b\r\n'), 400],
  ['NUL in the target', 'GET /hea\0lth HTTP/1.1\r\nHost: x\r\n\r\n', 400],
  ['a control in a value', get('A: b\x01\r\n'), 400],
  ['DEL in a value', get('A: b\x7f\r\n'), 400],
  ['a blank before the colon', get('A : b\r\n'), 400],
  ['a tab before the colon', get('A\t: b\r\n'), 400],
  ['a blank before the colon of Content-Length', post('Content-Length : 5\r\n', 'hello'), 400],
  ['a blank before the colon of Transfer-Encoding', post('Transfer-Encoding : chunked\r\n', '0\r\n\r\n'), 400],
  ['a header without a colon', get('A\r\n'), 400],
  ['a header without a name', get(': b\r\n'), 400],
  ...['(', ')', '<', '>', '@', ',', ';', '\\', '"', '/', '[', ']', '?', '=', '{', '}', 'é'].map((c) => [`${c} in a header name`, get(`A${c}: b\r\n`), 400]),

  // The request line.
  ['no target', 'GET HTTP/1.1\r\nHost: x\r\n\r\n', 400],
  ['no version', 'GET /health\r\nHost: x\r\n\r\n', 400],
  ['nothing but a method', 'GET\r\n\r\n', 400],
  ['two blanks', 'GET  /health HTTP/1.1\r\nHost: x\r\n\r\n', 400],
  ['two blanks before the version', 'GET /health  HTTP/1.1\r\nHost: x\r\n\r\n', 400],
  ['a blank behind the version', 'GET /health HTTP/1.1 \r\nHost: x\r\n\r\n', 400],
  ['a blank before the method', ' GET /health HTTP/1.1\r\nHost: x\r\n\r\n', 400],
  ['a tab as separator', 'GET\t/health\tHTTP/1.1\r\nHost: x\r\n\r\n', 400],
  ['a blank in the target', 'GET /he alth HTTP/1.1\r\nHost: x\r\n\r\n', 400],
  ['bytes beyond ASCII in the target', 'GET /h\xe9 HTTP/1.1\r\nHost: x\r\n\r\n', 400],
  ['a fragment in the target', 'GET /health#x HTTP/1.1\r\nHost: x\r\n\r\n', 400],
  ['a target without a slash', 'GET health HTTP/1.1\r\nHost: x\r\n\r\n', 400],
  ['an asterisk for GET', 'GET * HTTP/1.1\r\nHost: x\r\n\r\n', 400],
  ['the authority form', 'CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80\r\n\r\n', 400],
  ['an absolute form without a host', 'GET http:///health HTTP/1.1\r\nHost: x\r\n\r\n', 400],
  ['an absolute form of another scheme', 'GET ftp://x/health HTTP/1.1\r\nHost: x\r\n\r\n', 400],
  ['a method that is no token', 'G(T /health HTTP/1.1\r\nHost: x\r\n\r\n', 400],
  ['an empty method', ' /health HTTP/1.1\r\nHost: x\r\n\r\n', 400],
  ['a TLS greeting', Buffer.from('16030100050100000100\r\n\r\n', 'latin1'), 400],
  ['a real TLS greeting', Buffer.concat([Buffer.from([0x16, 3, 1, 0, 4, 1, 0, 0, 0]), Buffer.from('\r\n\r\n')]), 400],
  ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 505],

  // Versions.
  ...['HTTP/0.9', 'HTTP/1.2', 'HTTP/1.9', 'HTTP/2.0', 'HTTP/3.0'].map((version) => [version, `GET /health ${version}\r\nHost: x\r\n\r\n`, 505]),
  ...['HTTP/1', 'HTTP/11', 'HTTP/1.10', 'HTTP/01.1', 'HTTP/1.1.1', 'http/1.1', 'HTP/1.1', 'HTTP /1.1', 'HTTP/1,1', 'HTTP/x.y', 'HTTP/1.', 'HTTP/']
    .map((version) => [version, `GET /health ${version}\r\nHost: x\r\n\r\n`, 400]),

  // Host.
  ['no Host', 'GET /health HTTP/1.1\r\n\r\n', 400],
  ['two Hosts', get('Host: y\r\n'), 400],
  ['two Hosts that agree', get('Host: x\r\n'), 400],
  ...['a b', 'a/b', 'a@b', 'a?b', 'a,b', 'a"b', '<a>', 'a\\b'].map((host) => [`Host ${host}`, `GET /health HTTP/1.1\r\nHost: ${host}\r\n\r\n`, 400]),

  // Too much.
  ['a target of 17,000 bytes', `GET /${'x'.repeat(17000)} HTTP/1.1\r\nHost: x\r\n\r\n`, 414],
  ['a request line without end', `GET /${'x'.repeat(20000)}`, 414],
  ['a head of 17,000 bytes', get(`A: ${'x'.repeat(17000)}\r\n`), 431],
  ['a header line without end', `GET /health HTTP/1.1\r\nA: ${'x'.repeat(20000)}`, 431],
  ['empty lines without end', '\r\n'.repeat(20000), 414],
  ['101 headers', get(Array.from({ length: 100 }, (_, i) => `A${i}: b\r\n`).join('')), 431],
  ['3,000 headers', get('A: b\r\n'.repeat(3000)), 431],
  ['a body one byte over the limit', post('Content-Length: 131073\r\n', ''), 413],
  ['a name of 17,000 bytes', get(`${'x'.repeat(17000)}: b\r\n`), 431],
];

describe('malformed requests', () => {
  const ctx = useServer({ workers: 2 });
  let checked = 0;
  afterEach(async () => { if (++checked % 20 === 0) await expectServes(ctx.server); });
  after(() => assert.equal(checked, refused.length + 5));

  for (const [what, bytes, status] of refused) {
    test(`${what}: ${status} and close`, async () => {
      const http = await httpSocket(ctx.server);
      ctx.defer(() => http.destroy());
      http.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
      const answer = await http.response();
      assert.equal(answer.status, status);
      assert.equal(answer.reason, REASONS[status]);
      assert.equal(answer.text, `${REASONS[status]}\n`);
      assert.match(answer.headers['content-type'], /^text\/plain/);
      assert.equal(answer.headers.connection, 'close');
      await http.expectEnd();
    });
  }

  test('the same at every cut: the answer does not depend on how bytes arrive', async () => {
    for (const [what, bytes, status] of refused.filter(([, b]) => b.length < 150).filter((_, i) => i % 4 === 0)) {
      const http = await httpSocket(ctx.server);
      ctx.defer(() => http.destroy());
      for (const byte of Buffer.from(bytes, 'latin1')) {
        if (http.ended) break;
        http.write(Buffer.from([byte]));
        await new Promise(setImmediate);
      }
      assert.equal((await http.response()).status, status, what);
    }
  });

  test('what is odd but legal is served', async () => {
    for (const [what, bytes] of [
      ['no blank behind the colon', get('A:b\r\n')], ['blanks around a value', get('A: \t b \t \r\n')], ['an empty value', get('A:\r\n')],
      ['bytes beyond ASCII in a value', get('A: \xe9\r\n')], ['100 headers', get(Array.from({ length: 99 }, (_, i) => `A${i}: b\r\n`).join(''))],
      ['a name in any case', 'GET /health HTTP/1.1\r\nhOsT: x\r\n\r\n'], ['an empty Host', 'GET /health HTTP/1.1\r\nHost:\r\n\r\n'],
      ['every token character in a name', get("!#$%&'*+-.^_`|~09azAZ: b\r\n")], ['Content-Length with zeros', get('Content-Length: 000\r\n')],
      ['a head of 16,000 bytes', get(`A: ${'x'.repeat(16000)}\r\n`)], ['the absolute form', get('', 'GET http://x/health HTTP/1.1')],
    ]) {
      const answer = await exchange(ctx.server, Buffer.from(bytes, 'latin1'));
      assert.equal(answer.status, 200, what);
    }
  });

  test('an unknown method with a body leaves the connection in step', async () => {
    const http = await httpSocket(ctx.server);
    ctx.defer(() => http.destroy());
    http.write(requestText('BREW', '/health', { body: NEXT }));
    assert.equal((await http.response()).status, 405);
    await http.expectAlive();
  });

  test('incident 27: a path that climbs finds nothing, and never a secret', async () => {
    for (const target of ['/../../etc/passwd', '/..%2f..%2fetc/passwd', '/%2e%2e/%2e%2e/etc/passwd', '/....//etc/passwd', '/..\\..\\etc\\passwd', '/%5c..%5cetc', '/./health', '/x/../health',
      '/static/../../../proc/self/environ', '/%00', '/health%00.html', '//etc/passwd', '/etc/passwd', '/proc/self/environ', '/carillon.yaml', '/.env']) {
      const answer = await exchange(ctx.server, requestText('GET', target));
      assert.equal(answer.status, 404, target);
      assert.doesNotMatch(answer.text, /root:|test-secret|CARILLON/);
    }
  });

  test('bytes of every value as a request: 400 or 414, never more', async () => {
    let seed = 12345;
    const random = () => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) >>> 8;
    for (let i = 0; i < 100; i++) {
      const bytes = Buffer.from(Array.from({ length: 200 + (random() % 400) }, () => random() & 255));
      const http = await httpSocket(ctx.server);
      http.write(Buffer.concat([bytes, Buffer.from('\n\r\n\r\n')]));
      assert.equal((await http.response()).status, 400, bytes.toString('hex'));
      await http.expectEnd();
      http.destroy();
    }
  });
});

describe('memory by declaration', () => {
  let server;
  before(async () => { server = await startServer({ workers: 2 }); });
  after(() => server.stop());

  test('incident 16: incident 17: declared gigabytes cost nothing, and sent ones are not read', async (t) => {
    const from = residentBytes(server.pid);
    const all = [];
    for (let i = 0; i < 200; i++) {
      const http = await httpSocket(server);
      all.push(http);
      http.write(i % 2 ? post('Content-Length: 1073741824\r\n', '') : chunks('3fffffff\r\n'));
    }
    for (const http of all) assert.equal((await http.response()).status, 413);
    // 100 MiB that nobody asked for: the server ends the connection and does not keep them.
    const http = await httpSocket(server);
    http.write(post('Content-Length: 104857600\r\n', ''));
    assert.equal((await http.response()).status, 413);
    const piece = Buffer.alloc(1 << 20, 'x');
    for (let i = 0; i < 100 && !http.closed; i++) {
      http.write(piece);
      await until(() => http.closed || http.socket.writableLength < 4 << 20, 'room', 15000);
    }
    for (const one of [...all, http]) one.destroy();
    await expectServes(server);
    const grown = residentBytes(server.pid) - from;
    if (isSanitized(server.pid)) t.diagnostic('memory is not judged under a sanitizer');
    else assert.ok(grown < 48 << 20, `grew by ${grown} bytes`);
  });

  test('incident 12: very many or very long headers cost nothing', async () => {
    for (const bytes of ['A: b\r\n'.repeat(100000), `Sec-WebSocket-Protocol: ${' ,'.repeat(100000)}\r\n`, `Connection: ${'close, '.repeat(50000)}\r\n`]) {
      const http = await httpSocket(server);
      http.write(get(bytes));
      assert.equal((await http.response()).status, 431);
      http.destroy();
    }
    await expectServes(server);
  });

  test('a connection that was refused does not disturb one that is in the middle of a request', async () => {
    const good = await httpSocket(server);
    const text = signedText(defaultApp, 'POST', '/apps/test-id/events', { body: { name: 'e', data: 'd', channel: 'c' } });
    good.write(text.slice(0, 40));
    for (let i = 0; i < 20; i++) assert.equal((await exchange(server, 'BAD\r\n\r\n')).status, 400);
    good.write(text.slice(40));
    assert.equal((await good.response()).text, '{}');
    good.destroy();
  });
});
