// Histories that outlive the process: restarts, crashes, a disk that takes nothing, and what is read
// back from the store.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { apiClient, apiRequest, freePort, ownFolder, pusherClient, startServer, subscribed, until } from './harness.mjs';
import { withRecovery } from './recovery.mjs';

const app = { id: 'a1', key: 'k1', secret: 's1' };
const range = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
const rules = `
      - {channel: "ack-few-*", max_events: 2000, recover_max_events: 10, durability: ack}
      - {channel: "ack-*", durability: ack}
      - {channel: "async-*", durability: async}
      - {channel: "memory-*"}`;
const text = (folder, history = rules) => `store: {path: ${folder}/histories}
apps:
  - id: ${app.id}
    keys: [{key: ${app.key}, secret: ${app.secret}}]
    client_events: true
    history: ${history}
`;

for (const workers of [1, 4]) describe(`the store (${workers} workers)`, () => {
  let folder;
  let server;
  const clients = [];
  const start = async (opts = {}) => {
    server = await startServer({ app: null, workers, port: server?.port ?? await freePort(), config: text(folder), ...opts });
    server.app = app;
    return server;
  };
  const crash = async () => {
    server.signal('SIGKILL');
    await server.exited;
    rmSync(server.folder, { recursive: true });
  };
  const publish = async (channel, from, to = from) => {
    const api = apiClient(server, { app });
    for (const n of range(from, to)) await api.trigger(channel, 'e', { n });
  };
  const history = async (channel, params = {}) => {
    const answer = await apiRequest(server, 'GET', `/apps/${app.id}/channels/${channel}/history`, { app, params });
    assert.equal(answer.status, 200, answer.text);
    return JSON.parse(answer.text);
  };
  const numbers = (answer) => answer.items.map(({ data }) => JSON.parse(data).n);
  // A client that recovers; heard: the numbers, in the order in which they came.
  const listen = async (...channels) => {
    const client = pusherClient(server, { activityTimeout: 3000 });
    clients.push(client);
    const { log, positions } = withRecovery(client);
    const heard = Object.fromEntries(channels.map((channel) => [channel, []]));
    for (const channel of channels) (await subscribed(client, channel)).bind('e', ({ n }) => heard[channel].push(n));
    const told = (channel) => log.filter(([name, what]) => name === channel && what !== 'position').map(([, what, { reason }]) => reason ?? what);
    return { client, heard, told, positions };
  };
  const hears = (listener, channel, to) => until(() => listener.heard[channel].at(-1) === to, `${to} on ${channel}`);

  before(async () => {
    folder = ownFolder('flow');
    await start();
  });
  after(async () => {
    for (const client of clients) client.disconnect();
    await server.stop();
    rmSync(folder, { recursive: true });
  });

  test('a restart: durable streams go on, the others are told', async () => {
    const listener = await listen('ack-r', 'async-r', 'memory-r');
    for (const channel of Object.keys(listener.heard)) {
      await publish(channel, 1, 3);
      await hears(listener, channel, 3);
    }
    listener.client.disconnect();
    await server.stop();
    await start();
    for (const channel of ['ack-r', 'async-r']) await publish(channel, 4, 6);
    listener.client.connect();
    await until(() => listener.told('memory-r').length, 'the verdict');
    assert.deepEqual(listener.told('memory-r'), ['epoch_changed']);
    for (const channel of ['ack-r', 'async-r']) {
      await hears(listener, channel, 6);
      assert.deepEqual(listener.heard[channel], range(1, 6));
      assert.deepEqual(listener.told(channel), ['recovered']);
      assert.deepEqual(numbers(await history(channel, { direction: 'forwards' })), range(1, 6));
    }
    listener.client.disconnect();
  });

  test('a crash: with ack everything is there and goes on, with async clients are told', async () => {
    const listener = await listen('ack-c', 'async-c');
    for (const channel of Object.keys(listener.heard)) {
      await publish(channel, 1, 3);
      await hears(listener, channel, 3);
    }
    await crash();
    await start();
    for (const channel of Object.keys(listener.heard)) await publish(channel, 4);
    await hears(listener, 'ack-c', 4);
    assert.deepEqual(listener.heard['ack-c'], range(1, 4));
    assert.deepEqual(listener.told('ack-c'), ['recovered']);
    await until(() => listener.told('async-c').length, 'the verdict');
    assert.deepEqual(listener.told('async-c'), ['epoch_changed']);
    assert.deepEqual(numbers(await history('async-c')), [4]);
    listener.client.disconnect();
  });

  test('with ack every answer is kept, however many ask at once and whenever the crash comes', async () => {
    const api = apiClient(server, { app });
    const answered = [];
    const asked = range(1, 400).map((n) => api.trigger('ack-many', 'e', { n }).then(() => answered.push(n), () => {}));
    await until(() => answered.length > 50, 'the first answers');
    await crash();
    await Promise.all(asked);
    await start();
    const { items, newest } = await history('ack-many', { limit: 1000, direction: 'forwards' });
    const kept = items.map(({ data }) => JSON.parse(data).n);
    assert.deepEqual(items.map(({ offset }) => offset), range(1, newest), 'without holes');
    assert.equal(new Set(kept).size, kept.length, 'nothing twice');
    for (const n of answered) assert.ok(kept.includes(n), `${n} was answered`);
  });

  test('more than the ring has is read from the store: pages, bounds, times, figures', async () => {
    const api = apiClient(server, { app });
    for (let n = 1; n <= 300; n += 10)
      await api.triggerBatch(range(n, n + 9).map((i) => ({ channel: 'ack-few-p', name: 'e', data: { n: i } })));
    for (const direction of ['forwards', 'backwards']) {
      const seen = [];
      let params = { limit: 70, direction };
      for (;;) {
        const page = await history('ack-few-p', params);
        assert.deepEqual([page.oldest, page.newest, page.complete], [1, 300, true]);
        seen.push(...numbers(page));
        if (!page.has_more) break;
        params = { limit: 70, cursor: page.cursor };
      }
      assert.deepEqual(seen, direction === 'forwards' ? range(1, 300) : range(1, 300).reverse());
    }
    const { epoch, items } = await history('ack-few-p', { limit: 1000, direction: 'forwards' });
    assert.deepEqual(numbers(await history('ack-few-p', { since: `${epoch}:100`, until: `${epoch}:105`, direction: 'forwards' })), range(101, 105));
    assert.deepEqual(numbers(await history('ack-few-p', { since: `${epoch}:300` })), []);
    const { time_ms } = items[150];
    assert.deepEqual(numbers(await history('ack-few-p', { start_ms: time_ms, direction: 'forwards', limit: 1000 })),
      items.filter((item) => item.time_ms >= time_ms).map(({ data }) => JSON.parse(data).n));
    assert.deepEqual(numbers(await history('ack-few-p', { end_ms: time_ms - 1, limit: 1000 })),
      items.filter((item) => item.time_ms < time_ms).map(({ data }) => JSON.parse(data).n).reverse());
    const state = await apiRequest(server, 'GET', `/apps/${app.id}/channels/ack-few-p`, { app, params: { info: 'history' } });
    const { history: kept } = JSON.parse(state.text);
    assert.deepEqual([kept.oldest, kept.newest, kept.bytes > 3000, kept.ttl_s], [1, 300, true, 3600]);
    const gone = await apiRequest(server, 'GET', `/apps/${app.id}/channels/ack-few-p/history`, { app, params: { since: 'nosuchepoch:5' } });
    assert.equal(gone.status, 410);
  });

  test('who missed more than may be given back is told, with what is kept', async () => {
    const listener = await listen('ack-few-t');
    await publish('ack-few-t', 1);
    await hears(listener, 'ack-few-t', 1);
    listener.client.disconnect();
    await publish('ack-few-t', 2, 12);
    listener.client.connect();
    await until(() => listener.told('ack-few-t').length, 'the verdict');
    assert.deepEqual(listener.told('ack-few-t'), ['too_many']);
    listener.client.disconnect();
  });

  test('a purge outlives a crash', async () => {
    await publish('ack-purge', 1, 3);
    const { epoch } = await history('ack-purge');
    const answer = await apiRequest(server, 'DELETE', `/apps/${app.id}/channels/ack-purge/history`, { app });
    assert.equal(answer.status, 200);
    await crash();
    await start();
    const now = await history('ack-purge');
    assert.equal(now.epoch, JSON.parse(answer.text).epoch);
    assert.notEqual(now.epoch, epoch);
    assert.deepEqual([now.newest, now.items], [0, []]);
  });

  test('a rule that is taken away and comes back: positions of before are no good', async () => {
    const listener = await listen('ack-rule');
    await publish('ack-rule', 1, 3);
    await hears(listener, 'ack-rule', 3);
    listener.client.disconnect();
    const reload = async (history) => {
      const n = server.logged('reloaded').length;
      writeFileSync(path.join(server.folder, 'carillon.yaml'), text(folder, history));
      server.signal('SIGHUP');
      await until(() => server.logged('reloaded').length > n, 'the reload');
    };
    await reload('[{channel: "async-*", durability: async}]');
    await publish('ack-rule', 4);
    await reload(rules);
    listener.client.connect();
    await until(() => listener.told('ack-rule').length, 'the verdict');
    assert.deepEqual(listener.told('ack-rule'), ['epoch_changed']);
    listener.client.disconnect();
  });

  test('memory may be too little for all: the store has what the rings have dropped', async () => {
    await server.stop();
    await start({ set: { 'limits.history_bytes': 65536 } });
    const listener = await listen('ack-e');
    await publish('ack-e', 1, 2);
    await hears(listener, 'ack-e', 2);
    listener.client.disconnect();
    await publish('ack-e', 3, 5);
    const api = apiClient(server, { app });
    const big = 'x'.repeat(9000);
    for (const n of range(1, 4 * workers * 8)) await api.trigger(`ack-big-${n % 16}`, 'e', { n, big });
    await until(async () => (await server.metrics()).sum('carillon_histories_evicted_total') > 0, 'rings to be dropped');
    listener.client.connect();
    await hears(listener, 'ack-e', 5);
    assert.deepEqual([listener.heard['ack-e'], listener.told('ack-e')], [range(1, 5), ['recovered']]);
    listener.client.disconnect();
    await server.stop();
    await start();
  });

  test('a disk that takes nothing: ack is refused and heard by nobody, the others go on', async () => {
    const listener = await listen('ack-d', 'async-d');
    for (const channel of Object.keys(listener.heard)) {
      await publish(channel, 1);
      await hears(listener, channel, 1);
    }
    const epochs = () => Object.fromEntries(['ack-d', 'async-d'].map((channel) => [channel, listener.positions.get(channel).epoch]));
    const first = epochs();
    const limitFile = (bytes) => execFileSync('prlimit', ['--pid', String(server.child.pid), `--fsize=${bytes}:`]);
    limitFile(1);
    const post = () => apiRequest(server, 'POST', `/apps/${app.id}/events`, { app, body: { name: 'e', channel: 'ack-d', data: '{"n":2}' } });
    const refused = await post();
    assert.deepEqual([refused.status, refused.headers['retry-after']], [503, '1']);
    await until(async () => (await server.metrics()).sum('carillon_store_up') === 0, 'the failure to be seen');
    for (const n of [2, 3]) await publish('async-d', n);
    await hears(listener, 'async-d', 3);
    const second = epochs();
    for (const channel of Object.keys(first)) assert.notEqual(second[channel], first[channel], 'another epoch');
    assert.equal((await post()).status, 503);
    assert.deepEqual(listener.heard['ack-d'], [1]);
    limitFile('unlimited');
    await until(async () => (await server.metrics()).sum('carillon_store_up') === 1, 'the store to be back');
    await until(async () => (await post()).status === 200, 'an event to be taken');
    await hears(listener, 'ack-d', 2);
    assert.deepEqual(listener.heard['ack-d'], [1, 2]);
    await publish('async-d', 4);
    await hears(listener, 'async-d', 4);
    const third = epochs();
    for (const channel of Object.keys(first)) assert.notEqual(third[channel], second[channel], 'yet another');
    assert.deepEqual(listener.heard['async-d'], range(1, 4));
    const metrics = await server.metrics();
    assert.ok(metrics.sum('carillon_unstored_total') >= 2 && metrics.sum('carillon_store_failures_total') >= 1);
    assert.equal(server.logged('store_failed').length, 1);
    assert.equal(server.logged('store_back').length, 1);
    await crash();
    await start();
    assert.deepEqual(numbers(await history('ack-d')), [2]);
    listener.client.disconnect();
  });

  test('a file that cannot be used is said at the start', async () => {
    await assert.rejects(startServer({ app: null, workers, config: text(folder) }), /store .*histories/);
    await assert.rejects(startServer({ app: null, workers, config: text(`${folder}/no/such/folder`) }), /No such file or directory/);
    writeFileSync(path.join(folder, 'other'), 'this is not a database, but long enough to look at: '.repeat(40));
    await assert.rejects(startServer({ app: null, workers, config: text(folder).replace('/histories', '/other') }), /not a database/);
  });
});
