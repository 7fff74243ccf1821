// The upgrade, the first frame, protocol versions, and every refusal by close code.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { forEachWorkers, rawSocket } from './harness.mjs';

const ESTABLISHED = /^\{"event":"pusher:connection_established","data":"\{\\"socket_id\\":\\"(\d+\.\d+)\\",\\"activity_timeout\\":120\}"\}$/;

const extraApps = `
apps:
  - id: "off"
    keys: [{key: off-key, secret: off-secret}]
    enabled: false
  - id: "tls"
    keys: [{key: tls-key, secret: tls-secret}]
    tls_only: true
  - id: "small"
    keys: [{key: small-key, secret: small-secret}]
    max_connections: 2
  - id: "origin"
    keys: [{key: origin-key, secret: origin-secret}]
    allowed_origins: ["https://good.example"]
`;

forEachWorkers('handshake', { config: extraApps }, (ctx) => {
  const open = (where, options) => ctx.raw(where, options);
  const url = (query, key = 'test-key') => `/app/${key}?${query}`;

  async function expectEstablished(where, options) {
    const socket = await open(where, options);
    assert.equal(socket.status, 101, socket.head);
    const frame = await socket.next();
    assert.equal(frame.opcode, 1);
    assert.match(frame.text, ESTABLISHED);
    socket.socketId = ESTABLISHED.exec(frame.text)[1];
    return socket;
  }

  // Always 101 first, then the code, and nothing before it.
  async function expectRefused(where, code, reason, options) {
    const socket = await open(where, { established: false, ...options });
    assert.equal(socket.status, 101, socket.head);
    await socket.expectClose(code, reason);
    assert.deepEqual(socket.all.map((frame) => frame.text), []);
    await socket.expectEnd();
  }

  test('the answer to the upgrade is 101 with the right accept key and no extension', async () => {
    const socket = await open(url('protocol=7'), { headers: { 'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits' } });
    assert.equal(socket.status, 101);
    const accept = createHash('sha1').update(`${socket.key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
    assert.equal(socket.header('Sec-WebSocket-Accept'), accept);
    assert.equal(socket.header('Upgrade').toLowerCase(), 'websocket');
    assert.equal(socket.header('Connection').toLowerCase(), 'upgrade');
    assert.equal(socket.header('Sec-WebSocket-Extensions'), undefined);
  });

  test('trap 06: the first frame is connection_established, byte for byte, and comes unasked', async () => {
    const socket = await expectEstablished(url('protocol=7&client=js&version=8.6.0&flash=false'));
    await socket.expectNothing(); // and it comes once
  });

  test('trap 07: trap 60: activity_timeout is there, a number, and not zero', async () => {
    const socket = await open(url('protocol=7'));
    const data = JSON.parse(JSON.parse((await socket.next()).text).data);
    assert.equal(data.activity_timeout, 120);
    assert.equal(typeof data.activity_timeout, 'number');
  });

  test('trap 59: the first frame is one unfragmented frame', async () => {
    const socket = await open(url('protocol=7'));
    const frame = await socket.next();
    assert.equal(frame.fin, true);
    assert.ok(frame.payload.length < 126);
  });

  test('socket ids are two numbers below 2^53 and differ', async () => {
    const seen = new Set();
    for (let i = 0; i < 20; i++) {
      const socket = await ctx.raw();
      assert.match(socket.socketId, /^\d+\.\d+$/);
      for (const half of socket.socketId.split('.')) assert.ok(Number.isSafeInteger(Number(half)));
      seen.add(socket.socketId);
    }
    assert.equal(seen.size, 20);
  });

  const sdkQueries = {
    'pusher-js': 'protocol=7&client=js&version=8.6.0&flash=false',
    Java: 'client=java-client&protocol=5&version=2.4.4',
    Swift: 'client=pusher-websocket-swift&version=10.1.10&protocol=7',
    '.NET': 'protocol=5&client=pusher-dotnet-client&version=2.3.0.0',
    Pysher: 'client=Pysher&version=1.0.7&protocol=6',
    'an unknown client': 'x=1&protocol=7&client=%C3%A9%20%26&version=not-a-version&y',
  };
  for (const [name, query] of Object.entries(sdkQueries))
    test(`the URL of ${name} is accepted`, async () => { await expectEstablished(url(query)); });

  for (const version of ['5', '6', '7', '%37'])
    test(`protocol ${version} is accepted`, async () => { await expectEstablished(url(`protocol=${version}`)); });
  test('a missing protocol is accepted', async () => {
    await expectEstablished('/app/test-key');
    await expectEstablished(url('client=js'));
  });
  for (const version of ['8', '77'])
    test(`protocol ${version} is closed with 4007`, async () => {
      await expectRefused(url(`protocol=${version}`), 4007, 'Unsupported protocol version');
    });
  // These may be told by pusher:error too, as the oldest clients expect.
  for (const version of ['0', '1', '3', '4', '-7', 'seven', '7x', '7.5', '4294967303', '99999999999999999999'])
    test(`protocol ${version} is closed with 4007`, async () => {
      const socket = await open(url(`protocol=${version}`));
      assert.equal(socket.status, 101);
      await socket.expectClose(4007, 'Unsupported protocol version');
    });

  test('trap 09: an unknown key gets 101, then 4001 with the words of the hosted service', async () => {
    await expectRefused(url('protocol=7', 'nobody'), 4001, 'App key nobody not in this cluster. Did you forget to specify the cluster?');
  });
  test('a very long unknown key still gets a legal close frame', async () => {
    const socket = await open(url('protocol=7', 'k'.repeat(500)));
    await socket.expectClose(4001);
    assert.ok(Buffer.byteLength(socket.closed.reason) <= 123);
  });
  test('protocol 5 is told by pusher:error before the close', async () => {
    const socket = await open(url('protocol=5', 'nobody'));
    await socket.expectError(4001, 'App key nobody not in this cluster. Did you forget to specify the cluster?');
    await socket.expectClose(4001, 'App key nobody not in this cluster. Did you forget to specify the cluster?');
  });
  test('a disabled app is closed with 4003', async () => {
    await expectRefused(url('protocol=7', 'off-key'), 4003, 'Application disabled');
  });
  test('a TLS-only app on the plain listener is closed with 4000', async () => {
    await expectRefused(url('protocol=7', 'tls-key'), 4000, 'Application only accepts SSL connections, reconnect using wss://');
  });
  test('another path is closed with 4005', async () => {
    for (const where of ['/', '/nothing', '/app', '/apps/test-id/events', '/app/test-key/more'])
      await expectRefused(where, 4005, 'Path not found');
  });
  test('one connection over the quota is closed with 4004, and a place that is left is given again', async () => {
    const first = await expectEstablished(url('protocol=7', 'small-key'));
    await expectEstablished(url('protocol=7', 'small-key'));
    await expectRefused(url('protocol=7', 'small-key'), 4004, 'Application is over connection quota');
    first.close();
    await first.expectEnd();
    const deadline = Date.now() + 5000;
    for (;;) {
      const again = await open(url('protocol=7', 'small-key'));
      const frame = await again.next().catch(() => null);
      if (frame) { assert.match(frame.text, ESTABLISHED); break; }
      assert.ok(Date.now() < deadline, 'the place was never given again');
    }
  });

  test('trap 01: Sec-WebSocket-Protocol is echoed when offered, and absent otherwise', async () => {
    const name = 'pusher-channels-protocol-7';
    const one = await expectEstablished(url('protocol=7'), { headers: { 'Sec-WebSocket-Protocol': name } });
    assert.equal(one.header('Sec-WebSocket-Protocol'), name);
    const several = await expectEstablished(url('protocol=7'), { headers: { 'Sec-WebSocket-Protocol': `first-one, ${name}` } });
    assert.equal(several.header('Sec-WebSocket-Protocol'), 'first-one');
    const none = await expectEstablished(url('protocol=7'));
    assert.equal(none.header('Sec-WebSocket-Protocol'), undefined);
    const refused = await open(url('protocol=7', 'nobody'), { headers: { 'Sec-WebSocket-Protocol': name } });
    assert.equal(refused.header('Sec-WebSocket-Protocol'), name);
    await refused.expectClose(4001);
  });

  test('trap 52: any Origin is accepted, and none', async () => {
    for (const origin of ['http://localhost/', 'null', 'https://elsewhere.example', undefined])
      await expectEstablished(url('protocol=7'), { headers: origin === undefined ? {} : { Origin: origin } });
  });
  test('an app with an allow-list closes other origins with 4009 after 101', async () => {
    await expectEstablished(url('protocol=7', 'origin-key'), { headers: { Origin: 'https://good.example' } });
    await expectRefused(url('protocol=7', 'origin-key'), 4009, undefined, { headers: { Origin: 'https://bad.example' } });
  });
});

forEachWorkers('path prefix', { set: { path_prefix: '/ws' } }, (ctx) => {
  test('a WebSocket opens under the prefix', async () => {
    const socket = await ctx.raw('/ws/app/test-key?protocol=7');
    assert.match((await socket.next()).text, ESTABLISHED);
  });
  test('without the prefix the path is not found', async () => {
    const socket = await rawSocket(ctx.server, '/app/test-key?protocol=7');
    await socket.expectClose(4005, 'Path not found');
    socket.destroy();
  });
});
