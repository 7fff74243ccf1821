// A keep-alive connection that is handed from worker to worker at a request boundary.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { defaultApp, rawSubscribe, useServer } from './harness.mjs';
import { exchange, httpSocket, requestText, signedText } from './http.mjs';

describe('moving a connection', () => {
  const ctx = useServer({ workers: 4, set: { 'debug.worker_path': '/debug/worker' } });
  const go = (worker) => requestText('GET', `/debug/worker/${worker}`);
  const publish = (data) => signedText(defaultApp, 'POST', '/apps/test-id/events', { body: { name: 'e', data, channel: 'c' } });
  const open = async () => {
    const http = await httpSocket(ctx.server);
    ctx.defer(() => http.destroy());
    return http;
  };

  test('one connection visits every worker and publishes from each', async () => {
    const socket = await ctx.raw();
    await rawSubscribe(socket, 'c');
    const http = await open();
    for (let round = 0; round < 5; round++) {
      for (const worker of [2, 0, 3, 1, 1]) {
        http.write(go(worker));
        assert.equal((await http.response()).text, `{"worker":${worker}}`);
        http.write(publish(`${round}-${worker}`));
        assert.equal((await http.response()).text, '{}');
        await socket.expectText(`{"event":"e","channel":"c","data":"${round}-${worker}"}`);
      }
    }
    const metrics = await ctx.server.metrics();
    assert.ok(metrics.sum('carillon_moved_connections_total') >= 15);
    for (let worker = 0; worker < 4; worker++) assert.ok(metrics.sum('carillon_moved_connections_total', { worker }) > 0, `from worker ${worker}`);
  });

  test('a pipeline moves too, and nothing of it is lost, doubled or out of order', async () => {
    const socket = await ctx.raw();
    await rawSubscribe(socket, 'c');
    const http = await open();
    let text = '';
    for (let i = 0; i < 200; i++) text += go(i % 4) + publish(String(i));
    http.write(text);
    for (let i = 0; i < 200; i++) {
      assert.equal((await http.response()).text, `{"worker":${i % 4}}`);
      assert.equal((await http.response()).text, '{}');
    }
    for (let i = 0; i < 200; i++) await socket.expectText(`{"event":"e","channel":"c","data":"${i}"}`);
  });

  test('a request that is cut anywhere moves whole', async () => {
    const http = await open();
    const text = go(3) + publish('cut') + go(1);
    for (let at = 1; at < text.length; at += 7) {
      http.write(text.slice(0, at));
      await new Promise((resolve) => setTimeout(resolve, 1));
      http.write(text.slice(at));
      assert.equal((await http.response()).text, '{"worker":3}');
      assert.equal((await http.response()).text, '{}');
      assert.equal((await http.response()).text, '{"worker":1}');
    }
  });

  test('a client that leaves while its connection moves leaves nothing behind', async () => {
    for (let i = 0; i < 100; i++) {
      const http = await httpSocket(ctx.server);
      http.write(go(i % 4) + go((i + 1) % 4) + go((i + 2) % 4));
      if (i % 2) http.socket.resetAndDestroy();
      else http.destroy();
    }
    await (await open()).expectAlive();
  });

  test('only workers that exist are visited', async () => {
    for (const worker of ['4', '-1', 'x', '', '01x', '99999999999999999999'])
      assert.equal((await exchange(ctx.server, go(worker))).status, 404, worker);
  });
});

describe('without the option', () => {
  const ctx = useServer({ workers: 2 });

  test('the route does not exist', async () => {
    assert.equal((await exchange(ctx.server, requestText('GET', '/debug/worker/0'))).status, 404);
  });
});
