// /metrics: the format, and that the numbers are those of what happened.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiRequest, forEachWorkers, Metrics, rawSignin, rawSocket, rawSubscribe, startServer, until } from './harness.mjs';
import { exchange, residentBytes, requestText } from './http.mjs';

// Prometheus text: every sample belongs to a family with HELP and TYPE that came before it, once.
function checkFormat(text) {
  assert.ok(text.endsWith('\n'));
  const types = new Map();
  const seen = new Set();
  let family;
  for (const line of text.trimEnd().split('\n')) {
    const help = /^# HELP ([a-z_]+) (.+)$/.exec(line);
    const type = /^# TYPE ([a-z_]+) (counter|gauge|histogram)$/.exec(line);
    if (help) {
      assert.ok(!types.has(help[1]), `${help[1]} comes once`);
      family = help[1];
      types.set(family, undefined);
      continue;
    }
    if (type) {
      assert.equal(type[1], family);
      types.set(family, type[2]);
      if (type[2] === 'counter') assert.match(family, /_total$/, family);
      continue;
    }
    const sample = /^([a-z_]+)(\{([a-z_]+="(\\.|[^"\\])*",?)*\})? (-?[\d.]+(e[+-]?\d+)?|\+Inf|NaN)$/.exec(line);
    assert.ok(sample, line);
    assert.ok(sample[1] === family || (types.get(family) === 'histogram' && /^(_bucket|_sum|_count)$/.test(sample[1].slice(family.length))), line);
    assert.match(sample[1], /^carillon_/);
    const key = line.slice(0, line.lastIndexOf(' '));
    assert.ok(!seen.has(key), `${key} comes once`);
    seen.add(key);
  }
  for (const [name, type] of types) assert.ok(type, `${name} has a TYPE`);
}

forEachWorkers('metrics', {}, (ctx) => {
  const publish = (channel, data = 'd') => apiRequest(ctx.server, 'POST', '/apps/test-id/events', { body: { name: 'e', data, channel } });
  // What a counter grows by while fn runs; the sum may follow a moment later.
  async function expectGrowth(name, labels, by, fn) {
    const from = (await ctx.server.metrics()).find(name, labels).reduce((total, s) => total + s.value, 0);
    await fn();
    let now;
    await until(async () => {
      now = (await ctx.server.metrics()).find(name, labels).reduce((total, s) => total + s.value, 0);
      return now - from === by;
    }, `${name}${JSON.stringify(labels)} to grow by ${by}`).catch((error) => assert.fail(`${error.message}, not ${now - from}`));
  }

  test('the text is what Prometheus reads', async () => {
    await publish('c');
    const answer = await exchange(ctx.server, requestText('GET', '/metrics'));
    assert.equal(answer.headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8');
    checkFormat(answer.text);
  });

  test('gauges follow connections, sessions, subscriptions, channels and users', async () => {
    const sum = async (name) => (await ctx.server.metrics()).sum(name);
    const becomes = (name, value) => until(async () => (await sum(name)) === value, `${name} ${value}`);
    const sockets = [];
    for (let i = 0; i < 5; i++) {
      const socket = await ctx.raw();
      await rawSubscribe(socket, 'c');
      await rawSubscribe(socket, `own-${i}`);
      sockets.push(socket);
    }
    await rawSignin(sockets[0], { id: 'u' });
    await becomes('carillon_sessions', 5);
    await becomes('carillon_subscriptions', 10);
    await becomes('carillon_home_channels', 6);
    await becomes('carillon_users', 1);
    assert.ok(await sum('carillon_connections') >= 5);
    assert.equal((await ctx.server.metrics()).sum('carillon_app_connections', { app: 'test-id' }), 5);
    sockets[0].send({ event: 'pusher:unsubscribe', data: { channel: 'c' } });
    await becomes('carillon_subscriptions', 9);
    for (const socket of sockets) socket.close();
    for (const name of ['sessions', 'subscriptions', 'home_channels', 'users', 'channels']) await becomes(`carillon_${name}`, 0);
    assert.equal((await ctx.server.metrics()).sum('carillon_app_connections', { app: 'test-id' }), 0);
  });

  test('every worker has its label', async () => {
    const metrics = await ctx.server.metrics();
    for (let worker = 0; worker < ctx.workers; worker++) assert.equal(metrics.find('carillon_connections', { worker }).length, 1);
    assert.equal(metrics.find('carillon_connections').length, ctx.workers);
    assert.equal(metrics.sum('carillon_workers'), ctx.workers);
  });

  test('events in and out are counted, by app too', async () => {
    const a = await ctx.raw();
    const b = await ctx.raw();
    await rawSubscribe(a, 'private-c');
    await rawSubscribe(b, 'private-c');
    await expectGrowth('carillon_publishes_total', {}, 3, async () => { for (let i = 0; i < 3; i++) await publish('private-c'); });
    await expectGrowth('carillon_messages_out_total', {}, 2, () => publish('private-c'));
    await expectGrowth('carillon_app_events_total', { app: 'test-id' }, 1, () => publish('nobody'));
    await expectGrowth('carillon_client_events_in_total', {}, 1, () => a.send({ event: 'client-x', channel: 'private-c', data: 1 }));
    await expectGrowth('carillon_app_client_events_total', { app: 'test-id' }, 1, () => a.send({ event: 'client-x', channel: 'private-c', data: 1 }));
    await expectGrowth('carillon_client_events_limited_total', {}, 5, () => { for (let i = 0; i < 13; i++) a.send({ event: 'client-x', channel: 'private-c', data: 1 }); });
    await expectGrowth('carillon_bad_messages_total', {}, 1, () => a.text('garbage'));
    await expectGrowth('carillon_subscriptions_refused_total', {}, 1, () => a.send({ event: 'pusher:subscribe', data: { channel: 'private-x', auth: 'x' } }));
  });

  test('requests are counted by status, closes by reason', async () => {
    await expectGrowth('carillon_http_requests_total', { status: 404 }, 3, async () => {
      for (let i = 0; i < 3; i++) await exchange(ctx.server, requestText('GET', '/nowhere'));
    });
    await expectGrowth('carillon_http_requests_total', { status: 400 }, 1, () => exchange(ctx.server, 'BAD\r\n\r\n'));
    await expectGrowth('carillon_http_requests_total', { status: 413 }, 1, () => exchange(ctx.server, requestText('POST', '/', { headers: { 'Content-Length': 99999999 } })));
    await expectGrowth('carillon_closes_total', { code: 4001 }, 1, async () => { await (await rawSocket(ctx.server, '/app/nobody?protocol=7')).expectClose(4001); });
    await expectGrowth('carillon_closes_total', { code: 1002 }, 1, async () => { (await ctx.raw()).write(Buffer.from([0x83, 0x80, 0, 0, 0, 0])); });
    await expectGrowth('carillon_closes_total', { reason: 'client_closed' }, 1, async () => { (await ctx.raw()).close(); });
    await expectGrowth('carillon_closes_total', { reason: 'peer_gone' }, 1, async () => { (await ctx.raw()).destroy(); });
  });

  test('the latency histogram counts each event once for each worker that wrote it, cumulatively', async () => {
    const socket = await ctx.raw();
    await rawSubscribe(socket, 'c');
    await expectGrowth('carillon_publish_to_flush_seconds_count', {}, 4, async () => { for (let i = 0; i < 4; i++) await publish('c'); });
    const metrics = await ctx.server.metrics();
    const buckets = metrics.find('carillon_publish_to_flush_seconds_bucket').map((s) => s.value);
    assert.deepEqual(buckets, [...buckets].sort((a, b) => a - b));
    assert.equal(buckets.at(-1), metrics.sum('carillon_publish_to_flush_seconds_count'));
    assert.ok(metrics.sum('carillon_publish_to_flush_seconds_sum') > 0);
  });

  test('the process tells its memory and its descriptors as the kernel does', async () => {
    const metrics = await ctx.server.metrics();
    const resident = residentBytes(ctx.server.pid);
    assert.ok(Math.abs(metrics.sum('carillon_process_resident_bytes') - resident) < resident / 4);
    const before = metrics.sum('carillon_process_descriptors');
    for (let i = 0; i < 20; i++) await ctx.raw();
    assert.ok((await ctx.server.metrics()).sum('carillon_process_descriptors') >= before + 19);
  });
});

test('many apps do not make the metrics grow without bound, and odd ids are escaped', async () => {
  const apps = Array.from({ length: 300 }, (_, i) => `  - id: "app${i}\\\\\\"x"\n    keys: [{key: k${i}, secret: s}]\n`).join('');
  const server = await startServer({ config: `apps:\n${apps}` });
  try {
    const { text } = await server.metrics();
    checkFormat(text);
    const labels = new Set(new Metrics(text).samples.map((s) => s.labels.app).filter((app) => app !== undefined));
    assert.ok(labels.size > 0 && labels.size <= 200, `${labels.size} apps`);
  } finally {
    await server.stop();
  }
});
