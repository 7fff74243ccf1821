// Receivers that fail, hang, redirect, reset or are slow; batches; bounds; what the server shows.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, describe, test } from 'node:test';
import { apiRequest, limit, ownFolder, rawSocket, rawSubscribe, sleep, startServer, until } from './harness.mjs';
import { Receiver, app, configWith, impatient } from './receiver.mjs';

describe('delivery of webhooks', () => {
  let cleanups = [];
  afterEach(async () => {
    for (const fn of cleanups.splice(0).reverse()) await fn();
  });

  async function receiver() {
    const one = await new Receiver().listen();
    cleanups.push(() => one.close());
    return one;
  }

  async function start(hooks, options) {
    const server = await startServer({ app: null, config: configWith(hooks, '', options) });
    server.app = app;
    cleanups.push(() => server.stop());
    return server;
  }

  // One fact each: channels that are occupied, one after the other.
  async function occupy(server, n, prefix = 'c') {
    const socket = await rawSocket(server);
    for (let i = 0; i < n; i++) await rawSubscribe(socket, `${prefix}${i}`);
    return socket;
  }

  const occupied = ['channel_occupied'];
  const names = (hook) => hook.events().map((event) => event.channel);

  test('a failure is tried again with the same bytes, in order', async () => {
    const hook = await receiver();
    hook.answer = (request, response, n) => { response.statusCode = n < 3 ? 500 : 204; response.end(); };
    const server = await start([{ url: hook.url, events: ['channel_occupied', 'subscription_count'] }]);
    const sockets = [await occupy(server, 1), await occupy(server, 1)];
    await until(() => hook.requests.length >= 5, 'three tries and two more', 15000);
    assert.equal(hook.requests[0].body, hook.requests[1].body);
    assert.equal(hook.requests[0].headers['x-pusher-signature'], hook.requests[2].headers['x-pusher-signature']);
    assert.deepEqual(hook.events().map((event) => event.subscription_count ?? event.name), [...Array(3).fill('channel_occupied'), 1, 2]);
    assert.ok(hook.requests[1].at - hook.requests[0].at >= 240, 'the first pause is half a second, or half of it');
    assert.equal(server.logged('webhook_failing').length, 1, 'logged once');
    assert.equal(server.logged('webhook_recovered').length, 1);
    for (const socket of sockets) socket.destroy();
  });

  for (const [what, answer] of Object.entries({
    'hangs': () => {},
    'resets': (request) => request.socket.resetAndDestroy(),
    'redirects': (request, response) => { response.writeHead(302, { location: '/elsewhere' }); response.end(); },
    'says 199 bytes of nonsense': (request) => { request.socket.end('x'.repeat(199)); },
  }))
    test(`a receiver that ${what} is tried again, and delays nobody`, async () => {
      const bad = await receiver();
      const good = await receiver();
      bad.answer = answer;
      const server = await start([{ url: bad.url, events: occupied }, { url: good.url, events: occupied }], impatient);
      const socket = await occupy(server, 5);
      await good.expect(5, 'five at the good one');
      await until(() => bad.requests.length > new Set(names(bad)).size, 'a second try', 15000);
      assert.ok(bad.requests.every((request) => request.url === '/hook'), 'no redirect is followed');
      assert.deepEqual(names(good).sort(), ['c0', 'c1', 'c2', 'c3', 'c4']);
      const metrics = await server.metrics();
      assert.ok(metrics.sum('carillon_webhook_failures_total') >= 1);
      assert.equal(metrics.sum('carillon_webhook_queue_events'), 5);
      bad.answer = (request, response) => response.end();
      await until(() => new Set(names(bad)).size === 5, 'all of it in the end', 20000);
      socket.destroy();
    });

  test('a receiver far away loses nothing, at more events than one in a round trip', async () => {
    const hook = await receiver();
    let inFlight = 0;
    let most = 0;
    hook.answer = (request, response) => {
      most = Math.max(most, ++inFlight);
      setTimeout(() => { inFlight--; response.end(); }, 50);
    };
    const server = await start([{ url: hook.url, events: occupied }], ', retry_s: 1');
    const socket = await occupy(server, 200);
    await hook.expect(200, 'all of them', 20000);
    assert.equal(new Set(names(hook)).size, 200);
    assert.equal(most, 8, 'requests under way at once');
    const metrics = await server.metrics();
    for (const outcome of ['expired', 'overflowed']) assert.equal(metrics.sum('carillon_webhook_events_total', { outcome }), 0, outcome);
    socket.destroy();
  });

  test('a slow receiver that answers in time is not asked twice', async () => {
    const hook = await receiver();
    hook.answer = (request, response) => { setTimeout(() => response.end(), 200); };
    const server = await start([{ url: hook.url, events: occupied }]);
    const socket = await occupy(server, 3);
    await hook.expect(3);
    assert.deepEqual(names(hook).sort(), ['c0', 'c1', 'c2']);
    assert.equal((await server.metrics()).sum('carillon_webhook_failures_total'), 0);
    socket.destroy();
  });

  test('what nobody takes is dropped when it is too old, counted, and logged once', async () => {
    const hook = await receiver();
    hook.answer = (request, response) => { response.statusCode = 503; response.end(); };
    const server = await start([{ url: hook.url, events: occupied }], ', retry_s: 1');
    const socket = await occupy(server, 4);
    await until(async () => (await server.metrics()).sum('carillon_webhook_events_total', { outcome: 'expired' }) === 4, 'four expired', 15000);
    assert.equal(server.logged('webhook_lost').length, 1);
    assert.equal((await server.metrics()).sum('carillon_webhook_queue_events'), 0);
    socket.destroy();
  });

  test('a queue has bounds', async () => {
    const hook = await receiver();
    hook.answer = () => {};
    const server = await start([{ url: hook.url, events: occupied }], `, queue_events: 10${impatient}`);
    const socket = await occupy(server, 25);
    await until(async () => (await server.metrics()).sum('carillon_webhook_events_total', { outcome: 'overflowed' }) === 15, 'fifteen too many');
    assert.equal((await server.metrics()).sum('carillon_webhook_queue_events'), 10);
    assert.equal(server.logged('webhook_lost').length, 1);
    hook.answer = (request, response) => response.end();
    await until(() => new Set(names(hook)).size === 10, 'the ten that had room', 20000);
    socket.destroy();
  });

  test('events of a moment share a request when asked for, at most a hundred', async () => {
    const hook = await receiver();
    const server = await start([{ url: hook.url, events: occupied, batch_ms: 300 }]);
    const socket = await rawSocket(server);
    socket.together(() => {
      for (let i = 0; i < 250; i++) socket.send({ event: 'pusher:subscribe', data: { channel: `c${i}` } });
    });
    await hook.expect(250);
    assert.deepEqual(names(hook), Array.from({ length: 250 }, (_, i) => `c${i}`));
    assert.ok(hook.requests.length <= 5, `${hook.requests.length} requests`);
    assert.ok(hook.requests.every((request) => request.events.length <= 100));
    assert.ok(hook.validated(app).every((request) => request.isValid()));
    socket.destroy();
  });

  test('the last deliveries of an app can be asked for', async () => {
    const hook = await receiver();
    hook.answer = (request, response, n) => { response.statusCode = n === 1 ? 500 : 200; response.end(); };
    const server = await start([{ url: hook.url, events: ['channel_occupied', 'subscription_count'] }]);
    const socket = await occupy(server, 1);
    await hook.expect(3, 'a failure and two', 15000);
    const { status, json } = await until(async () => {
      const answer = await apiRequest(server, 'GET', `/apps/${app.id}/webhooks`);
      return answer.json.deliveries.length === 3 && answer;
    }, 'three deliveries');
    assert.equal(status, 200);
    assert.deepEqual(json.webhooks, [{ url: hook.url, waiting: 0, waiting_bytes: 0, failures: 0, lost: 0 }]);
    assert.deepEqual(json.deliveries.map((d) => [d.url, d.event, d.events, d.attempt, d.status]), [
      [hook.url, 'subscription_count', 1, 1, 200], [hook.url, 'channel_occupied', 1, 2, 200], [hook.url, 'channel_occupied', 1, 1, 500]]);
    assert.ok(json.deliveries.every((d) => d.took_ms >= 0 && !Number.isNaN(Date.parse(d.time))));
    const foreign = await apiRequest(server, 'GET', `/apps/${app.id}/webhooks`, { app: { ...app, secret: 'x' } });
    assert.equal(foreign.status, 401);
    socket.destroy();
  });

  test('private addresses can be refused', async () => {
    const hook = await receiver();
    const server = await start([{ url: hook.url, events: occupied }], ', private_addresses: false');
    const socket = await occupy(server, 1);
    await until(async () => (await server.metrics()).sum('carillon_webhook_failures_total') >= 1, 'a refusal');
    assert.equal(hook.requests.length, 0);
    socket.destroy();
  });

  test('a receiver whose certificate nobody vouches for gets nothing', async () => {
    const folder = ownFolder('hook');
    cleanups.push(() => rmSync(folder, { recursive: true }));
    const [key, cert] = ['key', 'cert'].map((name) => path.join(folder, name));
    const made = spawnSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=localhost',
      '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-keyout', key, '-out', cert], { encoding: 'utf8' });
    assert.equal(made.status, 0, made.stderr);
    const hook = await new Receiver({ key: readFileSync(key), cert: readFileSync(cert) }).listen();
    cleanups.push(() => hook.close());
    const server = await start([{ url: hook.url, events: occupied }]);
    const socket = await occupy(server, 1);
    await until(async () => (await server.metrics()).sum('carillon_webhook_failures_total') >= 2, 'two refusals');
    assert.ok(hook.connections >= 1, 'it was reached');
    assert.equal(hook.requests.length, 0);
    assert.match(server.logged('webhook_failing')[0].error, /certificate/);
    socket.destroy();
  });

  test('requests of one channel share a connection', async () => {
    const hook = await receiver();
    const server = await start([{ url: hook.url, events: ['subscription_count'] }]);
    const sockets = [];
    for (let i = 0; i < 20; i++) sockets.push(await occupy(server, 1));
    await hook.expect(20);
    assert.deepEqual(hook.events().map((event) => event.subscription_count), Array.from({ length: 20 }, (_, i) => i + 1));
    assert.equal(hook.connections, 1);
    for (const socket of sockets) socket.destroy();
  });

  test('above a hundred subscribers a count is told every five seconds at most', async () => {
    const hook = await receiver();
    const server = await start([{ url: hook.url, events: ['subscription_count'] }]);
    const sockets = [];
    for (let i = 0; i < 120; i++) sockets.push(await occupy(server, 1));
    await until(() => hook.events().some((event) => event.subscription_count === 120), 'the last count', 20000);
    const counts = hook.requests.map((request) => [request.events[0].subscription_count, request.at]);
    assert.deepEqual(counts.slice(0, 100).map(([n]) => n), Array.from({ length: 100 }, (_, i) => i + 1), 'up to a hundred, each');
    const throttled = counts.slice(100);
    assert.ok(throttled.length < 20);
    for (const [i, [, at]] of throttled.entries()) {
      const before = i ? throttled[i - 1][1] : counts[99][1];
      assert.ok(at - before > 4500, `${at - before} ms apart`); // the server's clock and a request's way are not exact
    }
    for (const socket of sockets) socket.destroy();
  });

  test('what is refused to webhooks is allowed to upstreams, and no connection of theirs is lent', async () => {
    const hook = await receiver();
    const gateway = `gateway:
  auth:
    jwt: {keys: [{alg: HS256, secret: "0123456789012345678901234567890123456789"}]}
  routes:
    - {name: sync, path: /sync, auth: optional, upstream: {url: "${hook.url}"}, reply: {body: {ok: true}}}
`;
    const config = (options) => configWith([{ url: hook.url, events: occupied }], gateway, options);
    const server = await startServer({ app: null, config: config(', private_addresses: false') });
    server.app = app;
    cleanups.push(() => server.stop());
    hook.answer = (request, response) => response.end('{}');
    const asked = await fetch(`${server.url}/sync`, { method: 'POST', body: '{}', headers: { 'content-type': 'application/json' } });
    assert.equal(asked.status, 200, 'the upstream, on a connection that stays open');
    assert.equal(hook.requests.length, 1);
    const socket = await occupy(server, 1);
    await until(async () => (await server.metrics()).sum('carillon_webhook_failures_total') >= 2, 'two refusals');
    assert.equal(hook.requests.length, 1, 'of the upstream');
    writeFileSync(path.join(server.folder, 'carillon.yaml'), config(''));
    server.signal('SIGHUP');
    await until(() => hook.requests.length === 2, 'the webhook, when it is allowed');
    assert.equal(server.logged('reload_needs_restart').length, 0);
    socket.destroy();
  });

  test('a publish is as fast while a receiver hangs', async () => {
    const hook = await receiver();
    const server = await start([{ url: hook.url }]);
    const socket = await occupy(server, 1);
    const median = async () => {
      const times = [];
      for (let i = 0; i < 60; i++) {
        const from = process.hrtime.bigint();
        const { status } = await apiRequest(server, 'POST', `/apps/${app.id}/events`, { body: { name: 'e', channels: ['c0'], data: 'x' } });
        assert.equal(status, 200);
        times.push(Number(process.hrtime.bigint() - from) / 1e6);
      }
      return times.sort((a, b) => a - b)[30];
    };
    const before = await median();
    hook.answer = () => {};
    const churn = await occupy(server, 50, 'busy');
    let during = Infinity; // the machine may be busy with something else: the best of three counts
    for (let i = 0; i < 3; i++) during = Math.min(during, await median());
    assert.ok(during < before * 2 + limit(2), `${before} ms before, ${during} ms while it hangs`);
    churn.destroy();
    socket.destroy();
    hook.answer = (request, response) => response.end();
    await sleep(0);
  });
});
