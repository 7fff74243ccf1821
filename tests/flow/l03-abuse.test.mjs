// Old endpoints under bad clients: each costs itself something, and nobody else.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { gatewayConfig, guideApp, mint, startGuide, users } from './gateway.mjs';
import { apiClient, until } from './harness.mjs';
import { error, legacySocket } from './legacy.mjs';

const { student, teacher } = users;
const config = (legacy) => gatewayConfig(`  channels:
    - {channel: "private-user-{user.id}", join: user, publish: user}
    - {channel: "public-*", publish: user}
  routes:
    - {name: auth, path: /pusher/auth, auth: optional, builtin: auth}
  legacy:
    endpoints: {ws: true, client: true, native: true}
    roles: {broadcast: user}
${legacy}`);

for (const workers of [1, 4]) describe(`abuse of legacy endpoints (${workers} workers)`, () => {
  let server;
  let sockets = [];
  let witness;
  before(async () => {
    server = await startGuide({ workers, config: config('    connections: 40\n    messages_per_min: 30\n'), set: { 'limits.outbox_bytes': 200000, 'limits.message_bytes': 100000, 'app_defaults.limits.channels_per_connection': 100 } });
    server.app = guideApp;
    witness = await legacySocket(server, '/ws/witness', { user: teacher });
    await witness.join('calm');
  });
  const open = async (...args) => { const socket = await legacySocket(server, ...args); sockets.push(socket); return socket; };
  const count = async (name, labels) => (await server.metrics()).sum(name, labels);
  // Nobody else has noticed: an event still comes.
  afterEach(async () => {
    for (const { socket } of sockets) socket.destroy();
    sockets = [];
    await apiClient(server, { app: guideApp }).trigger('public-calm', 'still', {});
    assert.equal((await witness.frame()).type, 'still');
    await until(async () => await count('carillon_legacy_connections') === 1, 'the others to go');
  });
  after(async () => { witness.socket.destroy(); await server.stop(); });

  test('a flood is limited for each user and type, over all its sockets', async () => {
    const one = await open('/ws', { user: student });
    const two = await open('/ws', { user: student });
    const before = await count('carillon_legacy_limited_total');
    for (let i = 0; i < 40; i++) (i % 2 ? one : two).send({ type: 'auth_status' });
    const answers = [];
    for (let i = 0; i < 20; i++) answers.push(await one.frame(), await two.frame());
    const limited = answers.filter(({ type }) => type === 'error');
    assert.equal(limited.length, 10);
    for (const { error: text } of limited) assert.match(text, /^Rate limit exceeded\. Retry after ([1-9]|[1-5]\d|60) seconds$/);
    assert.equal(await count('carillon_legacy_limited_total') - before, 10);
    await one.expectQuiet(); // another type is another count
    const other = await open('/ws', { user: { sub: 'other', role: 'student' } });
    other.send({ type: 'auth_status' });
    assert.equal((await other.frame()).type, 'auth_status_response');
  });

  test('types that nobody knows share one count', async () => {
    const socket = await open('/ws');
    for (let i = 0; i < 31; i++) socket.send({ type: `t${i}` });
    for (let i = 0; i < 30; i++) await socket.expectFrame(error(`Unknown message type: t${i}`));
    assert.match((await socket.frame()).error, /^Rate limit exceeded/);
  });

  test('capacity: the next is refused, and comes in when one has left', async () => {
    for (let i = 0; i < 39; i++) await open('/ws/native');
    const late = await open('/ws/native', { greeting: 0 });
    await late.expectFrame(error('WebSocket capacity reached'));
    await late.expectClose(1001, 'Capacity reached');
    assert.ok(await count('carillon_legacy_rejected_total') > 0);
    sockets[0].socket.destroy();
    await until(async () => await count('carillon_legacy_connections') < 40, 'a free place');
    assert.equal((await open('/ws/native')).greeting[0].type, 'connected');
  });

  const frame = (first, bytes) => Buffer.concat([Buffer.from([first, 0x80 | bytes.length, 0, 0, 0, 0]), bytes]);
  const broken = [
    ['an unmasked frame', Buffer.from([0x81, 1, 0x61]), 1002],
    ['a reserved opcode', frame(0x83, Buffer.from('a')), 1002],
    ['a continuation of nothing', frame(0x80, Buffer.from('a')), 1002],
    ['bytes that are no UTF-8', frame(0x81, Buffer.from([0xff, 0xfe])), 1007],
    ['a binary message', frame(0x82, Buffer.from('{}')), 1003],
    ['a message that is too long', Buffer.concat([Buffer.from([0x81, 0xff, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0])]), 1009],
  ];
  for (const [what, bytes, code] of broken)
    test(what, async () => {
      const socket = await open('/ws', { user: student });
      socket.socket.write(bytes);
      await socket.expectClose(code);
    });

  test('JSON that goes nowhere', async () => {
    const socket = await open('/ws', { user: student });
    for (const text of ['', ' ', '{"type":"ping"', '{"type":"ping"}}', '{type:"ping"}', '{"type":"\ud800"}'.replace('\ud800', '\\ud800'), 'nul\u0000l', '{"type":"ping"} x', '['.repeat(2000)]) {
      socket.text(text);
      assert.equal((await socket.frame()).type, 'error', text.slice(0, 20));
    }
    await socket.ask({ type: '__proto__' }, error('Unknown message type: __proto__'));
    const names = Array.from({ length: 120 }, (_, i) => `c${i}`);
    const room = 99; // beside its own channel
    await socket.ask({ type: 'subscribe', channels: names }, { type: 'subscribed', channel: 'c0', channels: names.slice(0, room), total_subscriptions: room, denied: names.slice(room) });
  });

  test('who does not read is closed, and what is dropped is counted', async () => {
    const slow = await open('/ws', { user: student });
    await slow.join('flood');
    slow.socket.pause();
    const sender = await open('/ws', { user: { sub: 'sender', role: 'student' } });
    const api = apiClient(server, { app: guideApp });
    const data = 'x'.repeat(9000);
    await until(async () => {
      await Promise.all(Array.from({ length: 20 }, () => api.trigger('public-flood', 'e', data)));
      return (await count('carillon_closes_total', { reason: 'slow_reader' })) > 0;
    }, 'the slow one to be closed', 30000);
    await sender.expectQuiet();
  });

  test('no token stands in the log', async () => {
    const token = mint(student);
    await open('/ws', { token });
    const bad = await open('/ws/roblox', { token: 'secret-garbage', greeting: 0 });
    await until(() => bad.closed, 'the refusal');
    assert.ok(!server.text.includes(token) && !server.text.includes('secret-garbage'));
  });

  test('a page of any origin may come when the app names none', async () => {
    const socket = await open('/ws/native', { headers: { Origin: 'https://elsewhere.example' } });
    assert.equal(socket.greeting[0].type, 'connected');
  });

  test('upgrades of another form', async () => {
    assert.equal((await legacySocket(server, '/ws/native', { headers: { 'Sec-WebSocket-Version': '8' }, greeting: 0 })).status, 426);
    assert.equal((await legacySocket(server, '/ws/native', { headers: { 'Sec-WebSocket-Key': 'short' }, greeting: 0 })).status, 400);
    const deep = await legacySocket(server, '/ws/a/b', { greeting: 0 });
    await deep.expectClose(4005);
    const off = await legacySocket(server, '/ws/roblox', { user: student, greeting: 0 });
    assert.equal(off.status, 410);
  });
});

describe('silence', () => {
  test('who has pinged once and no more is stale; who never did is not', async () => {
    const server = await startGuide({ workers: 1, config: config('    stale_s: 1\n') });
    const pinged = await legacySocket(server, '/ws/native');
    const quiet = await legacySocket(server, '/ws/native');
    await pinged.expectQuiet();
    await pinged.expectClose(1000, 'Stale connection cleanup');
    await quiet.expectQuiet();
    await quiet.expectClose(1000, 'Stale connection cleanup');
    await server.stop();
  });

  test('a user who says nothing for long', async () => {
    const server = await startGuide({ workers: 1, config: config('    idle_s: 1\n') });
    const idle = await legacySocket(server, '/ws', { user: student });
    const anonymous = await legacySocket(server, '/ws/native');
    await idle.expectClose(1000, 'Stale connection cleanup');
    await anonymous.expectQuiet();
    for (const { socket } of [anonymous]) socket.destroy();
    await server.stop();
  });
});
