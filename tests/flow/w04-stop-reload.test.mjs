// A stop sends what waits; a reload adds and takes away; the sample receiver.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { afterEach, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { rawSocket, rawSubscribe, startServer, until } from './harness.mjs';
import { Receiver, app, configWith } from './receiver.mjs';

const tree = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');

describe('webhooks at a stop and a reload', () => {
  const cleanups = [];
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

  test('a stop tells that channels are vacated, without their grace', async () => {
    const hook = await receiver();
    const server = await start([{ url: hook.url, events: ['channel_existence'], batch_ms: 5000 }], '');
    const socket = await rawSocket(server);
    for (const name of ['a', 'b', 'c']) await rawSubscribe(socket, name);
    assert.equal(hook.requests.length, 0, 'the batch still waits');
    await server.stop();
    assert.deepEqual(hook.events().map((event) => `${event.name} ${event.channel}`).sort(),
      ['a', 'b', 'c'].flatMap((name) => [`channel_occupied ${name}`, `channel_vacated ${name}`]).sort());
    assert.ok(hook.validated(app).every((request) => request.isValid()));
  });

  test('what a stop has to abandon is logged with its number', async () => {
    const hook = await receiver();
    hook.answer = () => {};
    const server = await start([{ url: hook.url, events: ['channel_occupied'] }]);
    const socket = await rawSocket(server);
    for (const name of ['a', 'b', 'c']) await rawSubscribe(socket, name);
    await until(() => hook.requests.length, 'a request that hangs');
    await server.stop();
    assert.deepEqual(server.logged('webhook_abandoned').map((line) => [line.app, line.events]), [[app.id, '3']]);
  });

  test('a reload adds URLs, keeps the queues of those that stay, and drops the others', async () => {
    const [stays, goes, comes] = [await receiver(), await receiver(), await receiver()];
    stays.answer = (request, response) => { response.statusCode = 500; response.end(); };
    goes.answer = stays.answer;
    const events = ['channel_occupied'];
    const server = await start([{ url: stays.url, events }, { url: goes.url, events }]);
    const socket = await rawSocket(server);
    await rawSubscribe(socket, 'before');
    await until(() => stays.requests.length && goes.requests.length, 'a first try');
    writeFileSync(path.join(server.folder, 'carillon.yaml'), configWith([{ url: comes.url, events }, { url: stays.url, events }]));
    server.signal('SIGHUP');
    await until(() => server.logged('reloaded').length, 'the reload');
    await until(async () => (await server.metrics()).sum('carillon_webhook_events_total', { outcome: 'removed' }) === 1, 'one removed');
    stays.answer = (request, response) => response.end();
    await rawSubscribe(socket, 'after');
    await comes.expect(1);
    await until(() => stays.events().some((event) => event.channel === 'after'), 'the one that stays goes on', 15000);
    assert.deepEqual(comes.events().map((event) => event.channel), ['after']);
    assert.ok(!goes.events().some((event) => event.channel === 'after'));
    socket.destroy();
  });

  test('the sample receiver takes what is signed and nothing else, and outlives who breaks off', async () => {
    const child = spawn(process.execPath, [path.join(tree, 'examples/webhooks/receiver.mjs')], {
      env: { ...process.env, PORT: '0', PUSHER_APP_ID: app.id, PUSHER_APP_KEY: app.key, PUSHER_APP_SECRET: app.secret },
    });
    cleanups.push(() => child.kill());
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (chunk) => { output += chunk; });
    await until(() => /http:\/\/\S+/.test(output), 'the receiver');
    const [url] = output.match(/http:\/\/\S+/);
    const broken = net.connect(Number(new URL(url).port), '127.0.0.1');
    broken.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc');
    await new Promise((resolve) => { broken.once('connect', resolve); });
    const got = await fetch(url, { method: 'POST', body: 'x' }); // what was sent before has been read
    assert.equal(got.status, 401);
    broken.resetAndDestroy();
    const server = await start([{ url, events: ['channel_occupied'] }]);
    const socket = await rawSocket(server);
    await rawSubscribe(socket, 'foo');
    await until(() => output.includes('channel_occupied foo'), 'the event');
    const forged = await fetch(url, {
      method: 'POST', body: '{"events":[]}', headers: { 'content-type': 'application/json', 'x-pusher-key': app.key, 'x-pusher-signature': '00' },
    });
    assert.equal(forged.status, 401);
    socket.destroy();
  });
});
