// One order of events per channel, whoever publishes and wherever subscribers, publishers and the
// channel's home live.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { defaultApp, limit, messagesOf, rawSocket, rawSubscribe, slowness, transport, until, useServer } from './harness.mjs';
import { httpSocket, requestText, signedText } from './http.mjs';

const WORKERS = 4;

describe('order across workers', () => {
  const ctx = useServer({ workers: WORKERS, set: { 'debug.worker_path': '/debug/worker', 'limits.rejoin_ms': Math.max(3000, limit(1500)) } });
  const event = (data, channels) => signedText(defaultApp, 'POST', '/apps/test-id/events', { body: { name: 'e', data, channels } });

  // A connection that publishes from the given worker.
  async function publisher(worker) {
    const http = await httpSocket(ctx.server);
    ctx.defer(() => http.destroy());
    http.write(requestText('GET', `/debug/worker/${worker}`));
    assert.equal((await http.response()).text, `{"worker":${worker}}`);
    return http;
  }

  // Subscribers until there is at least one on every worker, as the metrics tell.
  async function subscribersEverywhere(channels) {
    const sockets = [];
    const spread = async () => {
      const metrics = await ctx.server.metrics();
      return Array.from({ length: WORKERS }, (_, worker) => metrics.sum('carillon_sessions', { worker }));
    };
    while (sockets.length < 12 || (await spread()).some((n) => n === 0)) {
      assert.ok(sockets.length < 200, 'the kernel spreads connections');
      const socket = await rawSocket(ctx.server);
      ctx.defer(() => socket.destroy());
      for (const channel of channels) await rawSubscribe(socket, channel);
      sockets.push(socket);
    }
    return sockets;
  }

  const eventsOf = (socket, channel) => messagesOf(socket.all).filter((m) => m.event === 'e' && m.channel === channel).map((m) => m.data);

  test('eight publishers, several channels: every subscriber sees the same order', async () => {
    const channels = Array.from({ length: 8 }, (_, i) => `order-${i}`);
    const sockets = await subscribersEverywhere(channels);
    const before = await ctx.server.metrics();
    const perPublisher = 250;
    const publishers = await Promise.all(Array.from({ length: 8 }, (_, i) => publisher(i % WORKERS)));
    await Promise.all(publishers.map(async (http, p) => {
      // Ten in flight, some to many channels at once.
      for (let i = 0; i < perPublisher; i += 10) {
        let text = '';
        for (let k = i; k < i + 10; k++) text += event(`${p}:${k}`, k % 5 === 0 ? channels : [channels[(p + k) % channels.length]]);
        http.write(text);
        for (let k = 0; k < 10; k++) assert.equal((await http.response({ ms: 20000 })).text, '{}');
      }
    }));
    const expected = new Map(channels.map((channel) => [channel, 0]));
    for (let p = 0; p < 8; p++)
      for (let k = 0; k < perPublisher; k++)
        for (const channel of k % 5 === 0 ? channels : [channels[(p + k) % channels.length]]) expected.set(channel, expected.get(channel) + 1);
    const total = [...expected.values()].reduce((a, b) => a + b);
    await until(() => sockets.every((s) => s.all.length >= total + channels.length + 1), 'every event at every subscriber', 30000);
    for (const channel of channels) {
      const reference = eventsOf(sockets[0], channel);
      assert.equal(reference.length, expected.get(channel));
      assert.equal(new Set(reference).size, reference.length, 'no event twice');
      for (const socket of sockets) assert.deepEqual(eventsOf(socket, channel), reference);
      // And of each publisher in the order in which it sent them.
      for (let p = 0; p < 8; p++) {
        const own = reference.filter((data) => data.startsWith(`${p}:`)).map((data) => Number(data.split(':')[1]));
        assert.deepEqual(own, [...own].sort((a, b) => a - b));
      }
    }
    // It was no accident: publishers, homes and subscribers stood on all workers.
    const after = await ctx.server.metrics();
    for (let worker = 0; worker < WORKERS; worker++) {
      const grown = (name) => after.sum(name, { worker }) - before.sum(name, { worker });
      assert.ok(grown('carillon_publishes_total') > 0, `published through worker ${worker}`);
      assert.ok(after.sum('carillon_sessions', { worker }) > 0, `subscribers on worker ${worker}`);
    }
    const homes = Array.from({ length: WORKERS }, (_, worker) => after.sum('carillon_home_channels', { worker })).filter((n) => n > 0).length;
    assert.ok(homes >= 2, `${homes} workers are home of a channel`);
  });

  test('one publisher with a new connection for each event, waiting for each 200: everyone sees 1 to N', async (t) => {
    const n = transport === 'xhr_polling' ? 1000 : slowness > 1 ? 2000 : 10000; // each is a poll of every subscriber
    const sockets = await subscribersEverywhere(['serial']);
    const seen = sockets.map(() => 0);
    sockets.forEach((socket, i) => {
      // Counted as they come: nothing is kept.
      socket.frames.push = (frame) => {
        if (frame.opcode !== 1) return 0;
        const m = JSON.parse(frame.text);
        if (m.event === 'e') {
          if (Number(m.data) !== seen[i] + 1) seen[i] = NaN;
          else seen[i]++;
        }
        return 0;
      };
    });
    for (let i = 1; i <= n; i++) {
      const http = await httpSocket(ctx.server);
      http.write(event(String(i), ['serial']));
      assert.equal((await http.response({ ms: 20000 })).text, '{}');
      http.destroy();
    }
    await until(() => seen.every((k) => k === n || Number.isNaN(k)), 'every event at every subscriber', 30000);
    assert.deepEqual(seen, sockets.map(() => n));
    t.diagnostic(`${n} events, ${sockets.length} subscribers`);
  });

  test('publishers that follow each other across workers are seen in that order', async () => {
    const sockets = await subscribersEverywhere(['relay']);
    const publishers = await Promise.all(Array.from({ length: WORKERS }, (_, i) => publisher(i)));
    for (let i = 0; i < 400; i++) {
      const http = publishers[(i * 7) % WORKERS];
      http.write(event(String(i), ['relay']));
      assert.equal((await http.response()).text, '{}');
    }
    const wanted = Array.from({ length: 400 }, (_, i) => String(i));
    await until(() => sockets.every((s) => eventsOf(s, 'relay').length === 400), 'every event', 20000);
    for (const socket of sockets) assert.deepEqual(eventsOf(socket, 'relay'), wanted);
  });

  test('joining and leaving while events pass: what a subscriber sees is one piece without a gap', async () => {
    let published = 0;
    let over = false;
    const http = await publisher(1);
    const publishing = (async () => {
      while (!over) {
        let text = '';
        for (let k = 0; k < 5; k++) text += event(String(published + k), ['busy']);
        http.write(text);
        for (let k = 0; k < 5; k++) assert.equal((await http.response()).text, '{}');
        published += 5;
      }
    })();
    try {
      await Promise.all(Array.from({ length: 8 }, async () => {
        const socket = await rawSocket(ctx.server);
        ctx.defer(() => socket.destroy());
        for (let round = 0; round < 20; round++) {
          await rawSubscribe(socket, 'busy');
          const first = Number((await socket.expectEvent('e', 'busy')).data);
          for (let k = 1; k < 10; k++) assert.equal(Number((await socket.expectEvent('e', 'busy')).data), first + k);
          socket.send({ event: 'pusher:unsubscribe', data: { channel: 'busy' } });
          socket.text('{"event":"pusher:ping"}');
          let last = first + 9;
          for (;;) {
            const m = JSON.parse((await socket.next()).text);
            if (m.event === 'pusher:pong') break;
            assert.equal(Number(m.data), ++last);
          }
        }
      }));
    } finally {
      over = true;
      await publishing;
    }
  });
});
