// A disk that refuses to flush, or does not answer at all, below histories that outlive the process.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { mint, secret, users } from './gateway.mjs';
import { apiRequest, freePort, limit, ownFolder, pusherClient, startServer, subscribed, until } from './harness.mjs';
import { withRecovery } from './recovery.mjs';

const app = { id: 'a1', key: 'k1', secret: 's1' };
const rules = `
      - {channel: "ack-few-*", max_events: 2000, recover_max_events: 5, rewind_max: 5, durability: ack}
      - {channel: "ack-*", durability: ack}
      - {channel: "async-*", durability: async}
      - {channel: "memory-*"}`;
const text = (folder, history = rules) => `store: {path: ${folder}/histories, stall_ms: ${limit(1000)}}
apps:
  - id: ${app.id}
    keys: [{key: ${app.key}, secret: ${app.secret}}]
    history: ${history}
gateway:
  auth:
    jwt: {keys: [{alg: HS256, secret: ${secret}}]}
    roles: {student: 1}
  channels:
    - {channel: "ack-*", join: student+}
  routes:
    - {name: open, path: /open, builtin: poll_open}
    - {name: poll, method: GET, path: /poll, builtin: poll, wait_s: 1}
`;

const library = path.join(ownFolder('disk'), 'disk.so');
before(() => {
  const source = path.join(path.dirname(fileURLToPath(import.meta.url)), 'disk.c');
  execFileSync(process.env.CC ?? 'cc', ['-D_GNU_SOURCE', '-O1', '-fPIC', '-shared', '-o', library, source, '-ldl']);
});
after(() => rmSync(path.dirname(library), { recursive: true }));

for (const workers of [1, 4]) describe(`the disk (${workers} workers)`, () => {
  let folder;
  let server;
  let clients;
  const setDisk = (state) => {
    writeFileSync(path.join(folder, 'state.new'), state);
    renameSync(path.join(folder, 'state.new'), path.join(folder, 'state'));
  };
  const start = async () => {
    const env = {
      LD_PRELOAD: library,
      CARILLON_TEST_DISK: path.join(folder, 'state'),
      ASAN_OPTIONS: `${process.env.ASAN_OPTIONS ?? ''}:verify_asan_link_order=0`,
    };
    server = await startServer({ app: null, workers, port: server?.port ?? await freePort(), config: text(folder), env });
    server.app = app;
  };
  const crash = async () => {
    server.signal('SIGKILL');
    await server.exited;
    rmSync(server.folder, { recursive: true });
  };
  const publish = (channel, n) => apiRequest(server, 'POST', `/apps/${app.id}/events`, { body: { name: 'e', channel, data: JSON.stringify({ n }) } });
  const accepted = async (channel, from, to = from) => {
    for (let n = from; n <= to; n++) assert.equal((await publish(channel, n)).status, 200);
  };
  const history = (channel, params = {}) => apiRequest(server, 'GET', `/apps/${app.id}/channels/${channel}/history`, { params });
  const purge = (channel) => apiRequest(server, 'DELETE', `/apps/${app.id}/channels/${channel}/history`);
  const numbers = (answer) => answer.json.items.map(({ data }) => JSON.parse(data).n);
  const gateway = async (method, target, body) => {
    const headers = { authorization: `Bearer ${mint(users.student)}`, ...(body ? { 'content-type': 'application/json' } : {}) };
    const response = await fetch(`${server.url}${target}`, { method, headers, body: body && JSON.stringify(body) });
    return { status: response.status, headers: Object.fromEntries(response.headers), json: await response.json() };
  };
  const isUp = (up) => until(async () => (await server.metrics()).sum('carillon_store_up') === up, up ? 'the store to be back' : 'the failure to be seen', limit(20000));
  const listen = async (channel) => {
    const client = pusherClient(server, { activityTimeout: 3000 });
    clients.push(client);
    const { log, positions } = withRecovery(client);
    const heard = [];
    (await subscribed(client, channel)).bind('e', ({ n }) => heard.push(n));
    return { client, heard, positions, told: () => log.filter(([name, what]) => name === channel && what !== 'position').map(([, what, { reason }]) => reason ?? what) };
  };
  const reload = async (history) => {
    const n = server.logged('reloaded').length;
    writeFileSync(path.join(server.folder, 'carillon.yaml'), text(folder, history));
    server.signal('SIGHUP');
    await until(() => server.logged('reloaded').length > n, 'the reload');
  };

  beforeEach(async () => {
    folder = ownFolder('flow');
    clients = [];
    setDisk('well');
    server = undefined;
    await start();
  });
  afterEach(async () => {
    setDisk('well');
    for (const client of clients) client.disconnect();
    await server.stop();
    rmSync(folder, { recursive: true });
  });

  test('an event that was refused does not come back after a crash', async () => {
    await accepted('ack-a', 1, 3);
    const listener = await listen('ack-a');
    listener.client.disconnect();
    setDisk('refusing');
    const refused = await publish('ack-a', 4);
    assert.deepEqual([refused.status, refused.headers['retry-after']], [503, '1']);
    await crash();
    setDisk('well');
    await start();
    assert.deepEqual(numbers(await history('ack-a', { direction: 'forwards' })), [1, 2, 3]);
    await accepted('ack-a', 4);
    listener.client.connect();
    await until(() => listener.heard.length, 'the event');
    assert.deepEqual([listener.heard, listener.told()], [[4], ['recovered']]);
  });

  test('a rule that is taken away while the disk fails, and comes back: positions of before are no good', async () => {
    await accepted('ack-a', 1, 3);
    const listener = await listen('ack-a');
    listener.client.disconnect();
    await crash();
    await start(); // nobody has asked for the channel in this run
    setDisk('refusing');
    assert.equal((await publish('ack-other', 1)).status, 503);
    await isUp(0);
    await reload('[{channel: "memory-*"}]');
    await accepted('ack-a', 4); // is kept nowhere
    await reload(rules);
    setDisk('well');
    await isUp(1);
    listener.client.connect();
    await until(() => listener.told().length, 'the verdict');
    assert.deepEqual([listener.heard, listener.told()], [[], ['epoch_changed']]);
  });

  test('a disk that does not answer: nobody waits longer than store.stall_ms', async () => {
    for (const channel of ['ack-a', 'ack-few-a', 'ack-purge', 'async-known']) await accepted(channel, 1, 8);
    const listener = await listen('ack-a');
    const away = await listen('ack-a');
    away.client.disconnect();
    const opened = await gateway('POST', '/open', { channels: ['ack-few-a'] });
    const { epoch } = opened.json.positions['ack-few-a'];
    const stuck = [publish('ack-a', 9)];
    await Promise.all(stuck); // the last that is stored
    setDisk('stuck');
    stuck.push(publish('ack-a', 10));
    await until(async () => (await server.metrics()).sum('carillon_store_up') === 1, 'metrics, which wait for nothing');
    const waiting = [
      stuck[1],
      purge('ack-purge'),
      history('ack-few-a'), // more than the ring has
      history('ack-new'),
      publish('ack-new', 1),
    ];
    const poll = gateway('GET', `/poll?wait=0&since=${encodeURIComponent(`ack-few-a:${epoch}:1`)}`);
    const other = publish('async-new', 1);
    away.client.connect();
    for (const answer of [...await Promise.all(waiting), await poll])
      assert.deepEqual([answer.status, answer.headers['retry-after']], [503, '1']);
    assert.equal((await other).status, 200);
    await isUp(0);
    assert.equal(server.logged('store_stalled').length, 1);
    await until(() => away.told().length, 'the verdict');
    await accepted('async-known', 9);
    assert.equal((await history('ack-a')).status, 503);
    assert.deepEqual(listener.heard, [9]);
    setDisk('well');
    await isUp(1);
    await until(async () => (await publish('ack-a', 10)).status === 200, 'an event to be taken');
    await until(() => listener.heard.length === 2, 'it to be heard');
    assert.deepEqual(listener.heard, [9, 10]);
    await accepted('async-new', 2);
    await crash();
    await start();
    assert.deepEqual(numbers(await history('ack-a')), [10]); // once
  });

  test('who comes back to a channel that was not opened yet is told that it is unavailable', async () => {
    await accepted('ack-a', 1, 3);
    const listener = await listen('ack-a');
    listener.client.disconnect();
    await crash();
    await start();
    setDisk('stuck');
    const stuck = publish('ack-b', 1);
    await until(async () => (await server.metrics()).sum('carillon_connections') >= 1, 'the request');
    listener.client.connect();
    assert.equal((await stuck).status, 503);
    await until(() => listener.told().length, 'the verdict');
    assert.deepEqual(listener.told(), ['unavailable']);
    setDisk('well');
    await isUp(1);
    await accepted('ack-a', 4);
    await until(() => listener.heard.length, 'the event');
    assert.deepEqual(listener.heard, [4]);
  });
});
