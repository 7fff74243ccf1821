// Bad upgrade requests: those that are no WebSocket at all get an HTTP status, all others 101 and
// a close code.
import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import { until, useServer, wsFrame } from './harness.mjs';
import { expectServes, httpSocket, requestText } from './http.mjs';

const KEY = 'AAAAAAAAAAAAAAAAAAAAAA==';
const upgrade = { Upgrade: 'websocket', Connection: 'Upgrade', 'Sec-WebSocket-Key': KEY, 'Sec-WebSocket-Version': '13' };
const APP = '/app/test-key?protocol=7';

describe('upgrades', () => {
  const ctx = useServer({ workers: 2 });
  afterEach(() => expectServes(ctx.server));

  async function ask(text) {
    const http = await httpSocket(ctx.server);
    ctx.defer(() => http.destroy());
    http.write(text);
    return http;
  }
  const request = (headers, { method = 'GET', target = APP, ...rest } = {}) => requestText(method, target, { headers: { ...upgrade, ...headers }, ...rest });

  async function expectStatus(text, status) {
    const http = await ask(text);
    const answer = await http.response();
    assert.equal(answer.status, status);
    return answer;
  }

  test('another version is 426 and names ours', async () => {
    for (const version of ['12', '14', '8', '0', '', '13, 8', '013', 'x', '13x', '-13', '99999999999999999999']) {
      const answer = await expectStatus(request({ 'Sec-WebSocket-Version': version }), 426);
      assert.equal(answer.headers['sec-websocket-version'], '13', version);
      assert.equal(answer.headers.upgrade, 'websocket');
    }
    assert.equal((await expectStatus(request({ 'Sec-WebSocket-Version': null }), 426)).headers['sec-websocket-version'], '13');
  });

  test('a key that is not 16 bytes in base64 is 400', async () => {
    for (const key of [null, '', 'x', KEY.slice(1), `${KEY}=`, `A${KEY}`, 'AAAAAAAAAAAAAAAAAAAAAAA=', 'AAAAAAAAAAAAAAAAAAAAAA', 'AAAAAAAAAAAAAAAAAAAAA!==', 'A'.repeat(24), 'A'.repeat(1000), `${KEY}, ${KEY}`])
      await expectStatus(request({ 'Sec-WebSocket-Key': key }), 400);
  });

  test('two keys or two versions are 400', async () => {
    const text = request({});
    await expectStatus(text.replace('Sec-WebSocket-Key:', `Sec-WebSocket-Key: ${KEY}\r\nSec-WebSocket-Key:`), 400);
    await expectStatus(text.replace('Sec-WebSocket-Version:', 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version:'), 400);
  });

  test('without Upgrade or Connection it is a plain request: 426', async () => {
    for (const headers of [{ Upgrade: null }, { Connection: null }, { Upgrade: 'h2c' }, { Upgrade: 'websockets' }, { Connection: 'keep-alive' }, { Connection: 'Upgraded' }])
      await expectStatus(request(headers), 426);
  });

  test('HTTP/1.0 cannot upgrade: 426', async () => {
    await expectStatus(request({}, { version: 'HTTP/1.0' }), 426);
  });

  test('another method is 405', async () => {
    for (const method of ['POST', 'HEAD', 'PUT', 'DELETE']) {
      const http = await ask(request({}, { method }));
      const answer = await http.response({ bodiless: method === 'HEAD' });
      assert.equal(answer.status, 405, method);
    }
  });

  test('names and values in any case and in a list are understood', async () => {
    for (const headers of [{ Upgrade: 'WebSocket' }, { Connection: 'keep-alive, Upgrade' }, { Connection: 'UPGRADE' }, { Upgrade: 'h2c, websocket' }]) {
      const http = await ask(request(headers));
      assert.equal((await http.response()).status, 101);
    }
  });

  test('an unknown path gets 101, then 4005', async () => {
    for (const target of ['/', '/app', '/app/', '/app/test-key/x', '/apps/test-id/events', '/health', '/nowhere', '/App/test-key', '//app/test-key', '/app//test-key']) {
      const socket = await ctx.raw(target);
      assert.equal(socket.status, 101, target);
      const code = target === '/app/' ? 4001 : 4005;
      await socket.expectClose(code);
      await socket.expectEnd();
    }
  });

  test('an unknown key gets 101, then 4001, whatever the key is made of', async () => {
    for (const key of ['nobody', 'test-key%00', 'test-key%20', '%', '%zz', 'x'.repeat(8000), '%C3%A9', '%ff%fe', '%0d%0aX:y', "'\"<>".replace(/["<>]/g, encodeURIComponent), '..', 'TEST-KEY', 'test-key.']) {
      const socket = await ctx.raw(`/app/${key}?protocol=7`);
      assert.equal(socket.status, 101, key);
      await socket.expectClose(4001);
      assert.ok(Buffer.byteLength(socket.closed.reason) <= 123);
      assert.match(socket.closed.reason, /not in this cluster/);
    }
  });

  test('a key in percent-encoding is the key', async () => {
    const socket = await ctx.raw('/app/test%2Dkey?protocol=7', { established: true });
    await socket.expectNothing();
  });

  test('the query may hold anything', async () => {
    for (const query of ['', '?', '?&&&', '?protocol', '?protocol=', '?protocol=7&protocol=3', '?%', '?%zz=%', '?protocol=%37', `?x=${'y'.repeat(8000)}`, `?${'a&'.repeat(4000)}`, '?flash=true&version=x']) {
      const socket = await ctx.raw(`/app/test-key${query}`);
      assert.equal(socket.status, 101, query);
      await socket.expect((m) => m.event === 'pusher:connection_established').catch(() => assert.equal(socket.closed.code, 4007, query));
    }
  });

  test('incident 12: incident 14: offers of extensions and subprotocols of any shape are declined or echoed, never more', async () => {
    for (const [name, value] of [
      ['Sec-WebSocket-Extensions', 'permessage-deflate; client_max_window_bits=99999999999'], ['Sec-WebSocket-Extensions', 'permessage-deflate; server_max_window_bits="'],
      ['Sec-WebSocket-Extensions', `a; b="${'\\c'.repeat(5000)}`], ['Sec-WebSocket-Extensions', ';;;,,,==='], ['Sec-WebSocket-Extensions', `${'permessage-deflate,'.repeat(500)}x`],
      ['Sec-WebSocket-Protocol', ' , ,,, '], ['Sec-WebSocket-Protocol', '"'], ['Sec-WebSocket-Protocol', 'a'.repeat(8000)], ['Sec-WebSocket-Protocol', `${' '.repeat(10000)}x`], ['Sec-WebSocket-Protocol', ''],
      ['Cookie', 'x'.repeat(8000)],
    ]) {
      const socket = await ctx.raw(APP, { headers: { [name]: value } });
      assert.equal(socket.status, 101, `${name}: ${value.slice(0, 40)}`);
      assert.equal(socket.header('Sec-WebSocket-Extensions'), undefined);
      const chosen = socket.header('Sec-WebSocket-Protocol');
      assert.ok(chosen === undefined || (chosen.length <= 128 && /^[\w-]+$/.test(chosen)), chosen);
      await socket.expect((m) => m.event === 'pusher:connection_established');
    }
  });

  test('incident 12: 3,000 headers are refused', async () => {
    const many = Array.from({ length: 3000 }, (_, i) => `X${i}: y\r\n`).join('');
    await expectStatus(request({}).replace('\r\n\r\n', `\r\n${many}\r\n`), 431);
  });

  test('frames that come with the upgrade are read, those after a refusal are not', async () => {
    const good = await ask(Buffer.concat([Buffer.from(request({})), wsFrame('text', '{"event":"pusher:ping"}')]));
    assert.equal((await good.response()).status, 101);
    const refused = await ask(Buffer.concat([Buffer.from(request({}, { target: '/app/nobody?protocol=7' })), wsFrame('text', '{"event":"pusher:ping"}'), wsFrame(3, '')]));
    assert.equal((await refused.response()).status, 101);
  });

  test('an upgrade behind other requests of a keep-alive connection works', async () => {
    const http = await ask(requestText('GET', '/health') + request({}));
    assert.equal((await http.response()).text, 'ok\n');
    assert.equal((await http.response()).status, 101);
  });

  test('an upgrade with a body is refused or read past, never taken for frames', async () => {
    const http = await ask(request({ 'Content-Length': 5 }, { body: 'hello' }));
    const answer = await http.response();
    assert.ok([101, 400].includes(answer.status), `${answer.status}`);
    if (answer.status === 101) {
      await until(() => http.buffer.includes('connection_established'), 'connection_established');
    }
  });
});
