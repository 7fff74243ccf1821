// The HTTP server: connections that stay, pipelines, bodies, methods, pages, clocks.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { defaultApp, limit, rawSocket, rawSubscribe, signedQuery, sleep, startServer, until, useServer } from './harness.mjs';
import { exchange, expectServes, httpSocket, requestText, signedText } from './http.mjs';

const HEALTH = 'GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n';
const publish = (data, options) => signedText(defaultApp, 'POST', '/apps/test-id/events', { body: { name: 'e', data, channel: 'c' }, ...options });

// A signed event in chunks, cut as given.
function chunked(data, sizes, { extension = '', trailer = '' } = {}) {
  const body = Buffer.from(JSON.stringify({ name: 'e', data, channel: 'c' }));
  const { query } = signedQuery(defaultApp, 'POST', '/apps/test-id/events', {}, body);
  let text = requestText('POST', `/apps/test-id/events?${query}`, { headers: { 'Content-Length': null, 'Transfer-Encoding': 'chunked' } });
  let at = 0;
  for (let i = 0; at < body.length; i++) {
    const piece = body.subarray(at, at + sizes[i % sizes.length]);
    text += `${piece.length.toString(16)}${extension}\r\n${piece.toString('latin1')}\r\n`;
    at += piece.length;
  }
  return Buffer.from(`${text}0${extension}\r\n${trailer}\r\n`, 'latin1');
}

describe('connections and bodies', () => {
  const ctx = useServer({ workers: 4 });
  const open = async () => {
    const http = await httpSocket(ctx.server);
    ctx.defer(() => http.destroy());
    return http;
  };
  const listener = async () => {
    const socket = await ctx.raw();
    await rawSubscribe(socket, 'c');
    return socket;
  };

  test('a connection serves many requests, one after the other', async () => {
    const http = await open();
    for (let i = 0; i < 50; i++) {
      http.write(i % 2 ? HEALTH : publish(String(i)));
      const answer = await http.response();
      assert.equal(answer.status, 200);
      assert.equal(answer.headers.connection, undefined);
    }
  });

  test('pipelined requests are answered in their order, and publish in it', async () => {
    const socket = await listener();
    const http = await open();
    let text = '';
    for (let i = 0; i < 200; i++) text += i % 10 === 9 ? `GET /not-${i} HTTP/1.1\r\nHost: x\r\n\r\n` : publish(String(i));
    http.write(text);
    for (let i = 0; i < 200; i++) assert.equal((await http.response()).status, i % 10 === 9 ? 404 : 200, `answer ${i}`);
    for (let i = 0; i < 200; i++)
      if (i % 10 !== 9) assert.equal(JSON.parse((await socket.next()).text).data, String(i));
  });

  test('a pipeline longer than the server cares to hold is answered when its answers are read', async () => {
    const http = await open();
    const n = 20000;
    http.socket.pause();
    http.write(HEALTH.repeat(n));
    await sleep(limit(100));
    http.socket.resume();
    for (let i = 0; i < n; i++) assert.equal((await http.response({ ms: 20000 })).status, 200);
  });

  test('a pipeline whose answers are many times larger than its requests is answered to its end', async () => {
    const http = await open();
    const n = 300;
    http.write('GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(n));
    for (let i = 0; i < n; i++) assert.equal((await http.response()).status, 200, `answer ${i}`);
    await http.expectAlive();
  });

  test('a request is read at any cut, byte by byte', async () => {
    const http = await open();
    for (const byte of Buffer.from(publish('slow'))) {
      http.write(Buffer.from([byte]));
      await new Promise(setImmediate);
    }
    assert.equal((await http.response()).text, '{}');
    for (const byte of chunked('slow', [3], { extension: ';a=b', trailer: 'T: v\r\n' })) {
      http.write(Buffer.from([byte]));
      await new Promise(setImmediate);
    }
    assert.equal((await http.response()).text, '{}');
  });

  test('empty lines before a request are forgiven', async () => {
    const http = await open();
    http.write(`\r\n\r\n${HEALTH}\r\n${HEALTH}`);
    assert.equal((await http.response()).status, 200);
    assert.equal((await http.response()).status, 200);
  });

  test('Connection: close is answered and done, whatever else is in the pipe', async () => {
    const http = await open();
    http.write(requestText('GET', '/health', { headers: { Connection: 'close' } }) + HEALTH);
    const answer = await http.response();
    assert.equal(answer.headers.connection, 'close');
    await http.expectEnd();
    for (const value of ['keep-alive, close', 'CLOSE', 'foo,close', 'close, foo']) {
      const other = await open();
      other.write(requestText('GET', '/health', { headers: { Connection: value } }));
      assert.equal((await other.response()).headers.connection, 'close', value);
      await other.expectEnd();
    }
  });

  test('HTTP/1.0 ends the connection unless it asks for it', async () => {
    const http = await open();
    http.write('GET /health HTTP/1.0\r\n\r\n');
    assert.equal((await http.response()).headers.connection, 'close');
    await http.expectEnd();
    const kept = await open();
    kept.write('GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n');
    assert.equal((await kept.response()).status, 200);
    await kept.expectAlive();
  });

  test('a client that half-closes still gets the answers that it is owed, then the end', async () => {
    const socket = await listener();
    const http = await open();
    http.write(publish('1') + publish('2') + HEALTH);
    http.socket.end();
    for (let i = 0; i < 3; i++) assert.equal((await http.response()).status, 200);
    await http.expectEnd();
    await socket.expectText('{"event":"e","channel":"c","data":"1"}');
    await socket.expectText('{"event":"e","channel":"c","data":"2"}');
  });

  test('a body may come in chunks of any size, with extensions and trailers', async () => {
    const socket = await listener();
    const http = await open();
    const data = 'é🎺 chunked '.repeat(50);
    for (const [sizes, options] of [[[1]], [[7, 1, 64]], [[100000]], [[16], { extension: ';name="v"', trailer: 'X-Check: 1\r\nY: 2\r\n' }]]) {
      http.write(chunked(data, sizes, options));
      assert.equal((await http.response()).text, '{}');
      assert.equal(JSON.parse((await socket.next()).text).data, data);
    }
    http.write(chunked('upper', [0x1f]).toString('latin1').replace(/\r\n1f\r\n/, '\r\n01F\r\n'));
    assert.equal((await http.response()).text, '{}');
    await http.expectAlive();
  });

  test('Expect: 100-continue gets its 100, a body that is too long does not', async () => {
    const http = await open();
    const [head, body] = publish('expected', { headers: { Expect: '100-continue' } }).split(/(?<=\r\n\r\n)/);
    http.write(head);
    const first = await http.response();
    assert.equal(first.status, 100);
    http.write(body);
    assert.equal((await http.response()).text, '{}');
    http.write(requestText('POST', '/apps/test-id/events', { headers: { Expect: '100-continue', 'Content-Length': 131073 } }));
    assert.equal((await http.response()).status, 413);
    await http.expectEnd();
  });

  test('a body that came with its head needs no 100', async () => {
    const http = await open();
    http.write(publish('at once', { headers: { Expect: '100-continue' } }));
    let answer = await http.response();
    if (answer.status === 100) answer = await http.response();
    assert.equal(answer.text, '{}');
    await http.expectAlive();
  });

  test('another expectation is 417', async () => {
    const answer = await exchange(ctx.server, publish('x', { headers: { Expect: 'the-unexpected' } }));
    assert.equal(answer.status, 417);
  });

  test('a body on a GET is read and left', async () => {
    const http = await open();
    http.write(requestText('GET', '/health', { body: 'GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n' }));
    assert.equal((await http.response()).text, 'ok\n');
    await http.expectAlive();
  });

  test('limits of bodies: 128 KiB for events, 1 MiB for a batch, 64 KiB elsewhere', async () => {
    for (const [path, max] of [['/apps/test-id/events', 131072], ['/apps/test-id/batch_events', 1048576], ['/apps/test-id/users/7/terminate_connections', 65536],
      ['/apps/test-id/channels/c/events', 131072], ['/nowhere', 65536]]) {
      // Unsigned: what is within the limit is read whole and refused by its signature or route.
      const within = await exchange(ctx.server, requestText('POST', path, { body: 'x'.repeat(max) }));
      assert.ok([401, 404].includes(within.status), `${path}: ${within.status}`);
      const http = await open();
      http.write(requestText('POST', path, { headers: { 'Content-Length': max + 1 } }));
      const over = await http.response();
      assert.equal(over.status, 413, path);
      assert.equal(over.headers.connection, 'close');
      await http.expectEnd();
    }
  });

  test('a batch of ten events of full size passes in chunks', async () => {
    const body = JSON.stringify({ batch: Array.from({ length: 10 }, () => ({ channel: 'c', name: 'n', data: '"'.repeat(10240) })) });
    assert.ok(body.length > 200000);
    const { query } = signedQuery(defaultApp, 'POST', '/apps/test-id/batch_events', {}, body);
    const http = await open();
    http.write(requestText('POST', `/apps/test-id/batch_events?${query}`, { headers: { 'Content-Length': null, 'Transfer-Encoding': 'Chunked' } }));
    http.write(`${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`);
    assert.equal((await http.response()).text, '{}');
  });
});

describe('methods and pages', () => {
  const ctx = useServer({});
  const ask = (method, target, options) => exchange(ctx.server, requestText(method, target, options), options);

  test('/health, /ready, /metrics and / answer', async () => {
    const health = await ask('GET', '/health');
    assert.equal(health.text, 'ok\n');
    const ready = await ask('GET', '/ready');
    assert.equal(ready.status, 200);
    assert.equal(ready.text, 'ready\n');
    const metrics = await ask('GET', '/metrics');
    assert.match(metrics.headers['content-type'], /^text\/plain; version=0\.0\.4/);
    assert.match(metrics.text, /^carillon_connections\{worker="0"\} \d+$/m);
    const root = await ask('GET', '/');
    assert.equal(root.status, 200);
    assert.match(root.headers['content-type'], /^text\/(html|plain)/);
    for (const page of ['/health?x=1', '/?a', 'http://localhost/health', 'https://other.example:99/health'])
      assert.equal((await ask('GET', page)).status, 200, page);
  });

  test('HEAD answers as GET does, without the body', async () => {
    const http = await httpSocket(ctx.server);
    ctx.defer(() => http.destroy());
    for (const page of ['/health', '/ready', '/', '/nowhere']) {
      http.write(requestText('GET', page));
      const got = await http.response();
      http.write(requestText('HEAD', page));
      const head = await http.response({ bodiless: true });
      delete got.headers.date;
      delete head.headers.date;
      assert.deepEqual({ ...head, text: got.text }, got, page);
    }
    await http.expectAlive();
  });

  test('OPTIONS says what is allowed, also to a browser elsewhere', async () => {
    for (const target of ['*', '/health', '/apps/test-id/events', '/nowhere']) {
      const answer = await ask('OPTIONS', target, { headers: { Origin: 'https://elsewhere.example', 'Access-Control-Request-Method': 'POST' } });
      assert.equal(answer.status, 204, target);
      assert.match(answer.headers.allow, /GET/);
      assert.equal(answer.headers['access-control-allow-origin'], '*');
      assert.equal(answer.headers['access-control-allow-credentials'], undefined);
    }
  });

  test('methods that a page does not know are 405 and name those it does', async () => {
    for (const method of ['POST', 'DELETE', 'PUT', 'PATCH', 'TRACE', 'PROPFIND', 'get', 'X']) {
      const answer = await ask(method, '/health');
      assert.equal(answer.status, 405, method);
      assert.equal(answer.headers.allow, 'GET, HEAD');
    }
  });

  test('a path that nobody knows is 404, and only exact names are pages', async () => {
    for (const target of ['/healthx', '/health/', '//health', '/Health', '/health%20', '/metrics/', '/demo', '/demo/publish', '/index.htm', '/.', '/..'])
      assert.equal((await ask('GET', target)).status, 404, target);
  });

  test('GET of /app/KEY without an upgrade is 426', async () => {
    const answer = await ask('GET', '/app/test-key?protocol=7');
    assert.equal(answer.status, 426);
    assert.equal(answer.headers.upgrade, 'websocket');
    assert.equal((await ask('POST', '/app/test-key')).status, 405);
  });

  test('/demo/publish is not there without the default app', async () => {
    const headers = { Host: '127.0.0.1:6001', Origin: 'http://127.0.0.1:6001', 'Content-Type': 'application/json' };
    assert.equal((await ask('POST', '/demo/publish', { headers, body: '{"message":"x"}' })).status, 404);
  });
});

describe('the demo page', () => {
  const app = { id: 'app-id', key: 'app-key', secret: 'app-secret' };
  let server;
  before(async () => {
    server = await startServer({ app: null });
    server.app = app;
  });
  after(() => server.stop());
  const ask = (options) => exchange(server, requestText('POST', '/demo/publish', { body: '{"message":"hello"}', ...options }));
  const own = (host, more) => ({ headers: { Host: host, Origin: `http://${host}`, 'Content-Type': 'application/json', ...more } });

  test('it exists with the default app, for POST', async () => {
    await expectServes(server);
    assert.equal((await exchange(server, requestText('GET', '/demo/publish'))).status, 405);
  });

  test('a loopback Host with its own Origin may publish, to one channel', async () => {
    const socket = await rawSocket(server);
    await rawSubscribe(socket, 'demo', { app });
    for (const host of [`127.0.0.1:${server.port}`, `localhost:${server.port}`, `[::1]:${server.port}`, 'localhost']) {
      const answer = await ask(own(host));
      assert.equal(answer.status, 200, `${host}: ${answer.text}`);
      const got = await socket.expectEvent('message', 'demo');
      assert.equal(JSON.parse(got.data).message, 'hello');
    }
    const answer = await ask({ ...own(`127.0.0.1:${server.port}`), body: '{"message":"\\u00e9\\"","channel":"private-x","name":"x"}' });
    assert.equal(answer.status, 200);
    assert.equal(JSON.parse((await socket.expectEvent('message', 'demo')).data).message, 'é"');
    socket.close();
    await socket.expectEnd();
  });

  test('incident 25: another Host or Origin may not', async () => {
    const here = `127.0.0.1:${server.port}`;
    for (const headers of [
      { Host: here, Origin: null }, { Host: here, Origin: 'http://evil.example' }, { Host: here, Origin: 'null' },
      { Host: here, Origin: `http://localhost:${server.port}` }, { Host: here, Origin: 'http://127.0.0.1' }, { Host: here, Origin: `http://${here}.evil.example` },
      { Host: 'evil.example', Origin: 'http://evil.example' }, { Host: `evil.example:${server.port}`, Origin: `http://evil.example:${server.port}` },
      { Host: '127.0.0.1.evil.example', Origin: 'http://127.0.0.1.evil.example' }, { Host: 'localhost.evil.example', Origin: 'http://localhost.evil.example' },
      { Host: '10.0.0.1', Origin: 'http://10.0.0.1' }, { Host: here, Origin: here }, { Host: here, Origin: `ftp://${here}` }, { Host: '[::1', Origin: 'http://[::1' },
    ]) {
      const answer = await ask({ headers });
      assert.ok([400, 403].includes(answer.status), `${JSON.stringify(headers)}: ${answer.status}`);
    }
  });

  test('a body of another form is refused', async () => {
    const here = `127.0.0.1:${server.port}`;
    for (const body of ['', '{}', 'null', '[]', '{"message":7}', '{"message":null}', '{"message":"x"', `{"message":"${'x'.repeat(10000)}"}`])
      assert.equal((await ask({ ...own(here), body })).status, 400, body.slice(0, 30));
    await expectServes(server);
  });
});

describe('clocks', () => {
  const ctx = useServer({ set: { 'limits.head_ms': limit(400), 'limits.body_ms': limit(400), 'limits.keepalive_ms': limit(400) } });
  const open = async () => {
    const http = await httpSocket(ctx.server);
    ctx.defer(() => http.destroy());
    return http;
  };

  test('a head that does not end is 408, however it drips', async () => {
    const http = await open();
    http.write('GET /health HT');
    const timer = setInterval(() => http.write('x'), 50);
    ctx.defer(() => clearInterval(timer));
    const answer = await http.response({ ms: 10000 });
    assert.equal(answer.status, 408);
    await http.expectEnd();
  });

  test('a body that does not end is 408, however it drips', async () => {
    for (const headers of [{ 'Content-Length': 1000 }, { 'Content-Length': null, 'Transfer-Encoding': 'chunked' }]) {
      const http = await open();
      http.write(requestText('POST', '/apps/test-id/events', { headers }) + (headers['Transfer-Encoding'] ? '400\r\n' : ''));
      const timer = setInterval(() => http.write('x'), 50);
      ctx.defer(() => clearInterval(timer));
      assert.equal((await http.response({ ms: 10000 })).status, 408);
      await http.expectEnd();
    }
  });

  test('a connection that says nothing is closed without a word', async () => {
    const http = await open();
    await http.expectEnd(10000);
  });

  test('a connection that stays silent after a request is closed without a word', async () => {
    const http = await open();
    await http.expectAlive();
    await http.expectEnd(10000);
  });

  test('requests in time keep it open', async () => {
    const http = await open();
    for (let i = 0; i < 10; i++) {
      await http.expectAlive();
      await sleep(100);
    }
  });

  test('a WebSocket is not bound by them', async () => {
    const socket = await ctx.raw();
    await sleep(1500);
    await socket.expectNothing();
  });

  test('many at once are all sent away, and the server serves', async () => {
    const all = [];
    for (let i = 0; i < 200; i++) {
      const http = await open();
      http.write('GET /');
      all.push(http);
    }
    await until(() => all.every((http) => http.ended), 'all to be ended', 15000);
    await expectServes(ctx.server);
  });
});
