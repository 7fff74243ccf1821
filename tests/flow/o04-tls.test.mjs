// TLS: real clients over wss and https, a certificate that changes, and bad handshakes.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import net from 'node:net';
import path from 'node:path';
import tls from 'node:tls';
import { after, before, describe, test } from 'node:test';
import { apiClient, binary, defaultApp, freePort, limit, messagesOf, ownFolder, rawSocket, rawSubscribe, startServer, until, wsFrame } from './harness.mjs';
import { expectServes, httpSocket, requestText, signedText } from './http.mjs';

const folder = ownFolder('tls');
after(() => rmSync(folder, { recursive: true }));
const at = (name) => path.join(folder, name);

function makeCertificate(name, cn) {
  const done = spawnSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', `/CN=${cn}`,
    '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-keyout', at(`${name}.key`), '-out', at(`${name}.crt`)], { encoding: 'utf8' });
  assert.equal(done.status, 0, done.stderr);
}
function install(name) {
  writeFileSync(at('live.key'), readFileSync(at(`${name}.key`)));
  writeFileSync(at('live.crt'), readFileSync(at(`${name}.crt`)));
}

async function startTls(options = {}) {
  return startServer({ workers: 2, ...options, set: { 'tls.cert': at('live.crt'), 'tls.key': at('live.key'), 'tls.port': await freePort(), ...options.set } });
}

describe('TLS', () => {
  let server;
  const secure = () => ({ ca: readFileSync(at('live.crt')), servername: 'localhost', rejectUnauthorized: true });
  const open = () => httpSocket(server, { secure: secure(), port: server.tlsPort });
  // The subject that a new connection is shown.
  const subject = () => new Promise((resolve, reject) => {
    const socket = tls.connect({ host: server.host, port: server.tlsPort, rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate().subject.CN);
      socket.destroy();
    });
    socket.on('error', reject);
  });

  before(async () => {
    makeCertificate('first', 'first');
    makeCertificate('second', 'second');
    install('first');
    server = await startTls();
  });
  after(() => server.stop());

  test('a WebSocket over TLS subscribes and hears what is published over HTTPS', async () => {
    const socket = await rawSocket(server, undefined, { secure: secure(), port: server.tlsPort });
    await rawSubscribe(socket, 'private-c');
    const http = await open();
    http.write(signedText(defaultApp, 'POST', '/apps/test-id/events', { body: { name: 'e', data: 'd', channel: 'private-c' } }));
    assert.equal((await http.response()).text, '{}');
    await socket.expectText('{"event":"e","channel":"private-c","data":"d"}');
    http.destroy();
    socket.close();
    await socket.expectClose(1000);
    await socket.expectEnd();
  });

  test('the official server library publishes over HTTPS', async () => {
    const socket = await rawSocket(server);
    await rawSubscribe(socket, 'c');
    const agent = new https.Agent({ ca: secure().ca, servername: 'localhost' });
    const api = apiClient(server, { useTLS: true, port: String(server.tlsPort), agent });
    const answer = await api.trigger('c', 'e', { over: 'https' });
    assert.equal(await answer.text(), '{}');
    await socket.expectText('{"event":"e","channel":"c","data":"{\\"over\\":\\"https\\"}"}');
    agent.destroy();
    socket.close();
  });

  test('pages, pipelines and big answers pass, whole and in order', async () => {
    const http = await open();
    for (let i = 0; i < 200; i++) http.write(requestText('GET', i % 3 ? '/health' : '/metrics'));
    for (let i = 0; i < 200; i++) assert.match((await http.response()).text, i % 3 ? /^ok\n$/ : /^# HELP [^]*\n$/);
    http.destroy();
  });

  test('large messages pass both ways at any size of record', async () => {
    const socket = await rawSocket(server, undefined, { secure: secure(), port: server.tlsPort });
    await rawSubscribe(socket, 'c');
    for (const size of [1, 125, 126, 10240]) {
      const http = await open();
      for (let i = 0; i < 30; i++) http.write(signedText(defaultApp, 'POST', '/apps/test-id/events', { body: { name: 'e', data: 'x'.repeat(size), channel: 'c' } }));
      for (let i = 0; i < 30; i++) assert.equal((await http.response()).text, '{}');
      for (let i = 0; i < 30; i++) assert.equal(JSON.parse((await socket.next()).text).data.length, size);
      http.destroy();
    }
    socket.write(Buffer.concat(Array.from({ length: 500 }, () => wsFrame('text', '{"event":"pusher:ping"}'))));
    for (let i = 0; i < 500; i++) await socket.expectText('{"event":"pusher:pong","data":"{}"}');
    socket.close();
    await socket.expectEnd();
  });

  test('a reader over TLS that never reads is closed with 4100 or at a frame boundary, without a gap', async () => {
    const from = (await server.metrics()).sum('carillon_closes_total', { code: 4100 });
    const slow = await rawSocket(server, undefined, { secure: secure(), port: server.tlsPort });
    await rawSubscribe(slow, 'c');
    slow.socket.pause();
    const http = await httpSocket(server);
    let n = 0;
    while ((await server.metrics()).sum('carillon_closes_total', { code: 4100 }) === from) {
      assert.ok(n < 5000, 'a socket that nobody reads fills up');
      for (let i = 0; i < 50; i++) http.write(signedText(defaultApp, 'POST', '/apps/test-id/events', { body: { name: 'e', data: String(n++).padEnd(10000, '.'), channel: 'c' } }));
      for (let i = 0; i < 50; i++) assert.equal((await http.response()).text, '{}');
    }
    http.destroy();
    slow.socket.resume();
    await slow.expectEnd(15000);
    assert.equal(slow.buffer.length, 0, 'the connection ended within a frame');
    const seen = messagesOf(slow.all).filter((m) => m.event === 'e').map((m) => parseInt(m.data, 10));
    assert.ok(seen.length > 0);
    seen.forEach((number, i) => assert.equal(number, i));
    assert.ok([4100, null].includes(slow.closed.code), `closed with ${slow.closed.code}`);
  });

  test('TLS 1.2 and 1.3 are spoken, nothing older', async () => {
    for (const version of ['TLSv1.2', 'TLSv1.3']) {
      const http = await httpSocket(server, { secure: { ...secure(), minVersion: version, maxVersion: version }, port: server.tlsPort });
      await http.expectAlive();
      assert.equal(http.socket.getProtocol(), version);
      http.destroy();
    }
    for (const version of ['TLSv1', 'TLSv1.1']) {
      const http = await httpSocket(server, { secure: { ...secure(), minVersion: version, maxVersion: version, ciphers: 'ALL:@SECLEVEL=0' }, port: server.tlsPort });
      await http.expectEnd();
      assert.ok(http.error, version);
    }
  });

  test('ALPN chooses http/1.1, and does without', async () => {
    for (const [offered, chosen] of [[['http/1.1'], 'http/1.1'], [['h2', 'http/1.1'], 'http/1.1'], [undefined, false]]) {
      const http = await httpSocket(server, { secure: { ...secure(), ALPNProtocols: offered }, port: server.tlsPort });
      await http.expectAlive();
      assert.equal(http.socket.alpnProtocol, chosen);
      http.destroy();
    }
  });

  test('a session over TLS counts as secure for an app that wants that', async () => {
    const strict = await startTls({ config: 'apps:\n  - id: "safe"\n    keys: [{key: safe-key, secret: safe-secret}]\n    tls_only: true\n' });
    try {
      const plain = await rawSocket(strict, '/app/safe-key?protocol=7');
      await plain.expectClose(4000);
      const socket = await rawSocket(strict, '/app/safe-key?protocol=7', { secure: secure(), port: strict.tlsPort });
      await socket.expect((m) => m.event === 'pusher:connection_established');
      socket.close();
      await socket.expectEnd();
    } finally {
      await strict.stop();
    }
  });

  test('what is no TLS on the TLS port is ended, and harms nobody', async () => {
    for (const bytes of [requestText('GET', '/health'), '\x16\x03\x01\x00\x05hello', Buffer.alloc(2000, 0x16), Buffer.from([0x16, 3, 1, 255, 255]), '\0']) {
      const http = await httpSocket(server, { port: server.tlsPort });
      http.write(bytes);
      http.socket.end();
      await http.waitFor(() => http.ended, 'the end of the connection');
      http.destroy();
    }
    await (await open()).expectAlive();
    await expectServes(server);
  });

  test('clients that leave in the middle of a handshake, or of anything, leave nothing behind', async () => {
    const hello = await new Promise((resolve) => {
      const catcher = net.createServer((socket) => socket.once('data', (bytes) => { resolve(bytes); socket.destroy(); catcher.close(); }));
      catcher.listen(0, '127.0.0.1', () => tls.connect({ port: catcher.address().port, host: '127.0.0.1' }).on('error', () => {}));
    });
    for (let i = 0; i < 60; i++) {
      const http = await httpSocket(server, { port: server.tlsPort });
      http.write(hello.subarray(0, 1 + ((i * 37) % hello.length)));
      if (i % 2) http.socket.resetAndDestroy();
      else http.destroy();
    }
    for (let i = 0; i < 20; i++) {
      const socket = await rawSocket(server, undefined, { secure: secure(), port: server.tlsPort });
      socket.destroy();
    }
    await until(async () => {
      const metrics = await server.metrics();
      return metrics.sum('carillon_sessions') === 0 && metrics.sum('carillon_connections') <= 4;
    }, 'gauges at zero', 15000);
  });

  test('SIGHUP takes a new certificate for new connections and keeps those that are open', async () => {
    const socket = await rawSocket(server, undefined, { secure: secure(), port: server.tlsPort });
    await rawSubscribe(socket, 'c');
    assert.equal(await subject(), 'first');
    install('second');
    server.signal('SIGHUP');
    await until(() => server.logged('reloaded').length === 1, 'event=reloaded');
    await until(async () => (await subject()) === 'second', 'the new certificate');
    for (let i = 0; i < 10; i++) assert.equal(await subject(), 'second');
    await socket.expectNothing();
    socket.close();
    await socket.expectEnd();
  });

  test('a certificate that is broken, or of another key, keeps the one before', async () => {
    const breakages = [
      () => writeFileSync(at('live.crt'), 'no certificate\n'), () => writeFileSync(at('live.key'), 'no key\n'), () => writeFileSync(at('live.crt'), readFileSync(at('first.crt'))), () => rmSync(at('live.crt')), () => writeFileSync(at('live.crt'), ''),
    ];
    for (const [i, spoil] of breakages.entries()) {
      install('second');
      spoil();
      server.signal('SIGHUP');
      await until(() => server.logged('reload_failed').length === i + 1, 'event=reload_failed');
      assert.match(server.logged('reload_failed')[i].error, /cert|key/i);
      assert.equal(await subject(), 'second');
    }
    install('second');
    await expectServes(server);
  });

  test('a start with a certificate that cannot be used fails and says why', () => {
    for (const [cert, key] of [['/nowhere.crt', at('first.key')], [at('first.crt'), at('second.key')], [at('first.key'), at('first.key')]]) {
      const done = spawnSync(binary, ['serve', '--port', '0', '--app', 'a:b:c', '--set', 'tls.port=1', '--set', `tls.cert=${cert}`, '--set', `tls.key=${key}`],
        { encoding: 'utf8', timeout: limit(10000), killSignal: 'SIGKILL' });
      assert.equal(done.status, 1, done.stderr);
      assert.match(done.stderr, /tls|cert|key/i);
      assert.equal(done.stderr.trim().split('\n').length, 1);
    }
  });
});
