// What went wrong in other servers of this kind, where no test elsewhere bears the incident's number.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { apiRequest, expectIdle, forEachWorkers, rawSocket, rawSubscribe, slowness, startServer, until, wsFrame, wsOnly } from './harness.mjs';
import { expectServes, httpSocket, isSanitized, requestText, residentBytes, signedText } from './http.mjs';

const tree = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');

test('incident 03: trap 29: signatures are compared in constant time, in one place', () => {
  const sources = readdirSync(path.join(tree, 'src'), { recursive: true }).filter((name) => /\.[ch]$/.test(name)).map((name) => [name, readFileSync(path.join(tree, 'src', name), 'utf8')]);
  assert.ok(sources.length > 30);
  const using = (pattern) => sources.filter(([, text]) => pattern.test(text)).map(([name]) => name).sort();
  assert.deepEqual(using(/CRYPTO_memcmp\(/), ['gateway/jwk.c', 'wire/sign.c'], 'one for requests, one for tokens');
  // What a signature should be is made for nobody else to compare.
  assert.deepEqual(using(/\bSHA256(_\w+)?\(|\bHMAC(_\w+)?\(|EVP_MAC_/), ['wire/sign.c']);
  assert.deepEqual(using(/\bsign_hex\(/), ['notify/upstream.c', 'notify/webhook_send.c', 'serve/builtin.c', 'serve/events.c', 'serve/poll_list.c', 'wire/sign.c', 'wire/sign.h'], 'only what we say ourselves is signed');
  for (const [name, text] of sources.filter(([file]) => /^(serve|hub|wire)\//.test(file)))
    for (const line of text.split('\n'))
      assert.ok(!/\b(memcmp|strcmp|strncmp|span_eq)\s*\([^;]*(secret|signature|digest|hmac)/i.test(line), `${name}: ${line.trim()}`);
});

forEachWorkers('incidents', {}, (ctx) => {
  test('incident 04: who is not, or no longer, in a private channel cannot write to it', async () => {
    const member = await ctx.raw();
    const other = await ctx.raw();
    await rawSubscribe(member, 'private-c');
    const attempt = async () => {
      other.send({ event: 'client-x', channel: 'private-c', data: 'forged' });
      assert.match((await other.next()).text, /^\{"event":"pusher:error"/);
    };
    await attempt();
    await rawSubscribe(other, 'private-c');
    other.send({ event: 'pusher:unsubscribe', data: { channel: 'private-c' } });
    await attempt();
    other.send({ event: 'pusher:subscribe', data: { channel: 'private-c', auth: 'test-key:00' } });
    await other.expectEvent('pusher:subscription_error');
    await attempt();
    await member.expectNothing();
  });

  test('incident 05: client events on public channels, or with names that only look like them, reach nobody', async () => {
    const a = await ctx.raw();
    const b = await ctx.raw();
    for (const socket of [a, b]) {
      await rawSubscribe(socket, 'public');
      await rawSubscribe(socket, 'private-c');
    }
    for (const event of ['client-x', ' client-x', 'Client-x', 'xclient-x', 'client', 'pusher:x', 'pusher_internal:member_added', 'pusher:error', 'e', '', '\u0000client-x', '\nclient-x'])
      for (const channel of ['public', 'private-c']) {
        if (event === 'client-x' && channel === 'private-c') continue;
        a.send({ event, channel, data: 'forged' });
        assert.match((await a.next()).text, /^\{"event":"pusher:error"/, event);
      }
    await b.expectNothing();
  });

  test('incident 22: presence is of users, not of connections, also when they break off', wsOnly('it resets sockets'), async () => {
    const member = (socket, id) => rawSubscribe(socket, 'presence-r', { channelData: JSON.stringify({ user_id: id }) });
    const watcher = await ctx.raw();
    await member(watcher, 'watcher');
    const tabs = [];
    for (let i = 0; i < 6; i++) {
      const tab = await ctx.raw();
      await member(tab, 'tabs');
      tabs.push(tab);
    }
    await watcher.expectText('{"event":"pusher_internal:member_added","channel":"presence-r","data":"{\\"user_id\\":\\"tabs\\",\\"user_info\\":{}}"}');
    const endings = [(s) => s.close(), (s) => s.destroy(), (s) => s.socket.resetAndDestroy(), (s) => s.write(wsFrame(3, '')), (s) => s.send({ event: 'pusher:unsubscribe', data: { channel: 'presence-r' } })];
    for (const [i, end] of endings.entries()) {
      end(tabs[i]);
      await watcher.expectNothing();
    }
    tabs[5].socket.resetAndDestroy();
    await watcher.expectText('{"event":"pusher_internal:member_removed","channel":"presence-r","data":"{\\"user_id\\":\\"tabs\\"}"}');
    const { json } = await apiRequest(ctx.server, 'GET', '/apps/test-id/channels/presence-r/users');
    assert.deepEqual(json, { users: [{ id: 'watcher' }] });
  });

  test('incident 20: what one request hides behind its body is not a second one', async () => {
    // Each is one legal request with something that looks like another inside; one answer is right.
    const inner = 'POST /apps/test-id/events HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n';
    for (const text of [requestText('POST', '/nowhere', { body: inner }), requestText('GET', '/nowhere', { body: inner }),
      `POST /nowhere HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${inner.length.toString(16)}\r\n${inner}\r\n0\r\n\r\n`]) {
      const http = await httpSocket(ctx.server);
      ctx.defer(() => http.destroy());
      http.write(text);
      assert.equal((await http.response()).status, 404);
      await http.expectAlive();
      assert.equal(http.buffer.length, 0);
    }
  });
});

// One round of everything that comes and goes.
async function round(server, n) {
  const sockets = await Promise.all(Array.from({ length: n }, () => rawSocket(server)));
  await Promise.all(sockets.map(async (socket, i) => {
    await rawSubscribe(socket, 'c');
    await rawSubscribe(socket, `private-${i}`);
    await rawSubscribe(socket, 'presence-r', { channelData: JSON.stringify({ user_id: `u${i % 90}`, user_info: { name: 'x'.repeat(100) } }) });
    socket.text('garbage');
    socket.write(wsFrame('text', '{"event":', { fin: false }));
    socket.frames.push = () => 0;
    socket.all.push = () => 0;
  }));
  const http = await httpSocket(server);
  const event = (channel) => signedText(server.app, 'POST', '/apps/test-id/events', { body: { name: 'e', data: 'x'.repeat(1000), channels: [channel] } });
  for (let i = 0; i < 20; i++) {
    http.write(event('c') + event(`nobody-${Math.floor(Math.random() * 1e9)}`) + requestText('GET', '/nowhere'));
    for (let k = 0; k < 3; k++) await http.response({ ms: 20000 });
  }
  http.destroy();
  for (const [i, socket] of sockets.entries()) {
    if (i % 3 === 0) socket.close();
    else if (i % 3 === 1) socket.destroy();
    else socket.socket.resetAndDestroy();
  }
  await expectIdle(server);
}

test('incident 21: rounds of clients, events and garbage leave nothing behind', wsOnly('its garbage is frames'), async (t) => {
  const server = await startServer({ workers: 2 });
  try {
    const n = slowness > 1 ? 60 : 200;
    for (let i = 0; i < 4; i++) await round(server, n);
    const after = residentBytes(server.pid);
    for (let i = 0; i < 8; i++) await round(server, n);
    const grown = residentBytes(server.pid) - after;
    t.diagnostic(`grew by ${grown} bytes over eight rounds`);
    if (!isSanitized(server.pid)) assert.ok(grown < 2 << 20, `grew by ${grown} bytes`);
    const descriptors = (await server.metrics()).sum('carillon_process_descriptors');
    assert.ok(descriptors < 40, `${descriptors} descriptors`);
  } finally {
    await server.stop();
  }
});

test('incident 21: publishing to nobody leaves nothing', async (t) => {
  const server = await startServer({ workers: 2 });
  try {
    const http = await httpSocket(server);
    const publish = async (from, n) => {
      for (let i = from; i < from + n; i += 50) {
        let text = '';
        for (let k = i; k < i + 50; k++) text += signedText(server.app, 'POST', '/apps/test-id/events', { body: { name: 'e', data: 'd', channels: [`nobody-${k}`, `private-nobody-${k}`] } });
        http.write(text);
        for (let k = 0; k < 50; k++) assert.equal((await http.response({ ms: 20000 })).text, '{}');
      }
    };
    await publish(0, 2000);
    const from = residentBytes(server.pid);
    await publish(2000, 5000);
    const grown = residentBytes(server.pid) - from;
    t.diagnostic(`grew by ${grown} bytes`);
    if (!isSanitized(server.pid)) assert.ok(grown < 1 << 20, `grew by ${grown} bytes`);
    http.destroy();
    await expectIdle(server);
  } finally {
    await server.stop();
  }
});

test('incident 18: abuse of every kind at once, while clean clients are served', wsOnly('its garbage is frames'), async () => {
  const server = await startServer({ workers: 2 });
  let seed = 4711;
  const random = (n) => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) % n;
  const bytes = (n) => Buffer.from(Array.from({ length: n }, () => random(256)));
  const abuses = [
    async () => { const s = await rawSocket(server); s.write(wsFrame(random(16), bytes(random(300)), { fin: random(2) === 0, rsv: random(8) === 0 ? 1 : 0 })); s.socket.end(); },
    async () => { const s = await rawSocket(server); await rawSubscribe(s, 'flood'); s.socket.resetAndDestroy(); },
    async () => { const h = await httpSocket(server); h.write(bytes(random(500))); h.socket.end(); },
    async () => { const h = await httpSocket(server); h.write(requestText('POST', '/apps/test-id/events', { headers: { 'Content-Length': 100 + random(1000000) } })); h.write(bytes(99)); h.destroy(); },
    async () => { const h = await httpSocket(server); h.write(signedText(server.app, 'POST', '/apps/test-id/events', { body: { name: 'e', data: 'x'.repeat(random(10000)), channel: 'flood' } })); h.socket.resetAndDestroy(); },
    async () => { const s = await rawSocket(server, `/app/${random(2) ? 'test-key' : 'nobody'}?protocol=${random(10)}`, { established: false }); s.text('{"event":"pusher:subscribe","data":{"channel":"flood"}}'); s.destroy(); },
  ];
  try {
    const n = slowness > 1 ? 20 : 60;
    let over = false;
    const clean = (async () => { while (!over) await expectServes(server); })();
    for (let i = 0; i < n; i++) await Promise.all(Array.from({ length: 12 }, () => abuses[random(abuses.length)]().catch(() => {})));
    over = true;
    await clean;
    await until(async () => (await server.metrics()).sum('carillon_sessions') === 0, 'every session to end', 20000);
  } finally {
    await server.stop();
  }
});
