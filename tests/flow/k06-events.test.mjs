// Event streams of channels with history: ids, and who comes back with one.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import { EventSource } from 'eventsource';
import { apiClient, apiRequest, forEachWorkers, until } from './harness.mjs';
import { eventText, openStream, publish, quick, succeeded } from './fallback.mjs';

const app = { id: 'a1', key: 'k1', secret: 's1' };
const rules = '[{channels: ["keep-*", "cache-keep-*"], max_events: 1000}, {channel: "few-*", max_events: 5, recover_max_events: 3}]';
const config = (history = rules) => `apps:\n  - id: ${app.id}\n    keys: [{key: ${app.key}, secret: ${app.secret}}]\n    history: ${history}\n`;
const range = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
const target = (channels, more = '') => `/events/${app.key}?channels=${channels}${more}`;

forEachWorkers('event streams with history', { app: null, config: config(), set: { ...quick, 'app_defaults.cache_ttl_s': 2 } }, (ctx) => {
  const server = () => { ctx.server.app = app; return ctx.server; };
  const open = async (channels, { id, more } = {}) => {
    const stream = await openStream(server(), 'GET', target(channels, more), { headers: id === undefined ? {} : { 'Last-Event-ID': id } });
    ctx.defer(() => stream.destroy());
    assert.equal(stream.status, 200);
    const events = [];
    // The next event: {id, text}.
    stream.next = async () => {
      const event = {};
      for (let line; (line = await stream.line()) !== '';)
        if (line.startsWith('id: ')) event.id = line.slice(4);
        else if (line.startsWith('data: ')) event.text = line.slice(6);
        else assert.match(line, /^(retry: 3000|:h)$/);
      events.push(event);
      return event.text === undefined ? stream.next() : event;
    };
    const { text } = await stream.next();
    assert.equal(JSON.parse(text).event, 'pusher:connection_established');
    stream.socketId = JSON.parse(JSON.parse(text).data).socket_id;
    return stream;
  };
  const state = async (channel) => {
    const { history } = JSON.parse((await apiRequest(server(), 'GET', `/apps/${app.id}/channels/${channel}`, { app, params: { info: 'history' } })).text);
    return history;
  };
  const told = ({ text }) => JSON.parse(JSON.parse(text).data).recovery;
  const position = (channel, epoch, offset) => `{"event":"pusher_internal:position","channel":"${channel}","data":"{\\"epoch\\":\\"${epoch}\\",\\"offset\\":${offset}}"}`;

  test('one channel: each event has its position as the id', async () => {
    await publish(server(), 'keep-one', 'before');
    const stream = await open('keep-one');
    const first = await stream.next();
    const { epoch, newest } = await state('keep-one');
    assert.equal(newest, 1);
    assert.deepEqual([first.id, told(first)], [`${epoch}:1`, { epoch, offset: 1 }]);
    await publish(server(), 'keep-one', 'a');
    await publish(server(), 'keep-one', 'b');
    assert.deepEqual(await stream.next(), { id: `${epoch}:2`, text: eventText('keep-one', 'a') });
    assert.deepEqual(await stream.next(), { id: `${epoch}:3`, text: eventText('keep-one', 'b') });
  });

  test('who comes back gets what it missed, each with its id', async () => {
    for (const i of range(1, 5)) await publish(server(), 'keep-back', `${i}`);
    const { epoch } = await state('keep-back');
    for (const how of [{ id: `${epoch}:2` }, { more: `&lastEventId=${epoch}:2` }, { id: `${epoch}:2`, more: `&lastEventId=${epoch}:0` }]) {
      const stream = await open('keep-back', how);
      const first = await stream.next();
      assert.deepEqual([first.id, told(first)], [`${epoch}:2`, { epoch, offset: 2, recovered: true, replay: 3 }]);
      for (const i of range(3, 5)) assert.deepEqual(await stream.next(), { id: `${epoch}:${i}`, text: eventText('keep-back', `${i}`) });
      assert.deepEqual(await stream.next(), { id: `${epoch}:5`, text: position('keep-back', epoch, 5) });
      stream.destroy();
    }
    const stream = await open('keep-back', { id: `${epoch}:5` });
    assert.deepEqual(told(await stream.next()), { epoch, offset: 5, recovered: true, replay: 0 });
    await publish(server(), 'keep-back', '6');
    assert.deepEqual(await stream.next(), { id: `${epoch}:6`, text: eventText('keep-back', '6') });
  });

  test('who cannot is told why, and where the stream is', async () => {
    for (const i of range(1, 9)) await publish(server(), 'few-back', `${i}`);
    const { epoch } = await state('few-back');
    const reasons = { [`${epoch}:5`]: 'too_many', [`${epoch}:1`]: 'expired', [`${epoch}:10`]: 'ahead', 'other:9': 'epoch_changed', nonsense: 'epoch_changed',
      [`${epoch}:9,${epoch}:9`]: 'epoch_changed', [`${epoch}:-1`]: 'epoch_changed', '"}:1': 'epoch_changed', 'é:1': 'epoch_changed', ',,,': 'epoch_changed' };
    for (const [id, reason] of Object.entries(reasons)) {
      const stream = await open('few-back', { id: Buffer.from(id).toString('latin1') });
      const first = await stream.next();
      assert.deepEqual([first.id, told(first)], [`${epoch}:9`, { epoch, offset: 9, recovered: false, reason, oldest: 5, newest: 9 }], id);
      stream.destroy();
    }
    const stream = await open('few-back', { more: '&lastEventId=a%00b:1' });
    assert.equal(told(await stream.next()).reason, 'epoch_changed');
  });

  test('several channels: the id has a place for each, also for those without history', async () => {
    await publish(server(), 'keep-b', 'before');
    const stream = await open('plain,keep-a,keep-b');
    assert.deepEqual(await stream.next(), { text: succeeded('plain') });
    const a = await stream.next();
    const b = await stream.next();
    const [ea, eb] = [told(a).epoch, told(b).epoch];
    assert.deepEqual([a.id, b.id], [`,${ea}:0`, `,${ea}:0,${eb}:1`]);
    await publish(server(), 'plain', 'p');
    assert.deepEqual(await stream.next(), { text: eventText('plain', 'p') });
    await publish(server(), 'keep-a', 'a1');
    assert.deepEqual(await stream.next(), { id: `,${ea}:1,${eb}:1`, text: eventText('keep-a', 'a1') });
    await publish(server(), 'keep-b', 'b2');
    assert.deepEqual(await stream.next(), { id: `,${ea}:1,${eb}:2`, text: eventText('keep-b', 'b2') });
    stream.destroy();
    await publish(server(), 'keep-a', 'a2');
    await publish(server(), 'keep-b', 'b3');
    const again = await open('plain,keep-a,keep-b', { id: `,${ea}:1,${eb}:2` });
    assert.deepEqual(await again.next(), { text: succeeded('plain') });
    const heard = [];
    for (let i = 0; i < 6; i++) heard.push(await again.next());
    // The place of the channel whose turn has not come stays what it was.
    assert.deepEqual(heard.map(({ id }) => id), [`,${ea}:1,${eb}:2`, `,${ea}:2,${eb}:2`, `,${ea}:2,${eb}:2`, `,${ea}:2,${eb}:2`, `,${ea}:2,${eb}:3`, `,${ea}:2,${eb}:3`]);
    assert.deepEqual([told(heard[0]), told(heard[3])], [{ epoch: ea, offset: 1, recovered: true, replay: 1 }, { epoch: eb, offset: 2, recovered: true, replay: 1 }]);
    assert.deepEqual([heard[1].text, heard[4].text], [eventText('keep-a', 'a2'), eventText('keep-b', 'b3')]);
  });

  test('the first of several alone: its position, for all who hear it', async () => {
    const [one, two] = [await open('keep-first,plain'), await open('keep-first')];
    const { epoch } = told(await one.next());
    assert.deepEqual(await one.next(), { text: succeeded('plain') });
    await two.next();
    await publish(server(), 'keep-first', 'x');
    for (const stream of [one, two]) assert.deepEqual(await stream.next(), { id: `${epoch}:1`, text: eventText('keep-first', 'x') });
    const other = await open('plain,keep-first', { id: `${epoch}:0` }); // of a stream with other names
    assert.equal(told(await other.next()).reason, 'disabled');
    assert.deepEqual(told(await other.next()), { epoch, offset: 1 });
  });

  test('an event that leaves the stream out, a purge and a cached event have ids as well', async () => {
    const stream = await open('cache-keep-a');
    const { epoch } = told(await stream.next());
    assert.equal(JSON.parse((await stream.next()).text).event, 'pusher:cache_miss');
    await apiClient(server(), { app }).trigger('cache-keep-a', 'e', 'not for it', { socket_id: stream.socketId });
    assert.deepEqual(await stream.next(), { id: `${epoch}:1`, text: position('cache-keep-a', epoch, 1) });
    const late = await open('cache-keep-a');
    assert.equal((await late.next()).id, `${epoch}:1`);
    assert.deepEqual(await late.next(), { text: eventText('cache-keep-a', 'not for it') });
    assert.deepEqual(await late.next(), { id: `${epoch}:1`, text: position('cache-keep-a', epoch, 1) });
    const purged = await apiRequest(server(), 'DELETE', `/apps/${app.id}/channels/cache-keep-a/history`, { app });
    const { epoch: next } = JSON.parse(purged.text);
    for (const each of [stream, late]) assert.deepEqual(await each.next(), { id: `${next}:0`, text: position('cache-keep-a', next, 0) });
  });

  test('without history, and with more channels than an id has places: the bytes of always', async () => {
    const plain = await open('p,q', { id: 'nonsense' });
    assert.deepEqual([await plain.next(), await plain.next()], [{ text: succeeded('p') }, { text: succeeded('q') }]);
    const names = range(1, 33).map((i) => `keep-${i}`);
    const many = await open(names.join(), { id: 'x:1' });
    for (const name of names) assert.deepEqual(await many.next(), { text: succeeded(name) });
    await publish(server(), 'keep-33', 'x');
    assert.deepEqual(await many.next(), { text: eventText('keep-33', 'x') });
    const most = await open(names.slice(1).join());
    let last;
    for (let i = 1; i < names.length; i++) last = await most.next();
    assert.equal(last.id.split(',').length, 32);
  });

  for (const channels of [['keep-cut'], ['keep-cut-a', 'plain', 'keep-cut-b']])
    test(`a browser whose connection is cut again and again misses nothing and hears nothing twice: ${channels}`, async () => {
      let cuts = 0;
      // Cuts after some bytes, anywhere in an event; the client waits 30 ms instead of 3 s.
      const proxy = net.createServer((client) => {
        const upstream = net.connect({ host: server().host, port: server().port });
        let left = cuts < 25 ? 500 + ((cuts * 7919) % 1900) : Infinity;
        const end = () => { client.destroy(); upstream.destroy(); };
        for (const socket of [client, upstream]) socket.on('error', end).on('close', end);
        client.on('data', (bytes) => upstream.write(bytes));
        upstream.on('data', (bytes) => {
          const text = Buffer.from(bytes.toString('latin1').replace('retry: 3000', 'retry: 0030'), 'latin1');
          client.write(text.subarray(0, left));
          left -= text.length;
          if (left <= 0) { cuts++; left = Infinity; setImmediate(end); }
        });
      });
      await new Promise((resolve) => { proxy.listen(0, '127.0.0.1', resolve); });
      const source = new EventSource(`http://127.0.0.1:${proxy.address().port}${target(channels)}`);
      ctx.defer(() => { source.close(); proxy.close(); });
      const kept = channels.filter((name) => name !== 'plain');
      const heard = Object.fromEntries(kept.map((name) => [name, []]));
      const failed = [];
      const subscribed = new Set();
      source.onmessage = ({ data }) => {
        const { event, channel, data: inner } = JSON.parse(data);
        if (event === 'e' && channel !== 'plain') heard[channel].push(Number(inner));
        if (event !== 'pusher_internal:subscription_succeeded') return;
        subscribed.add(channel);
        if (JSON.parse(inner).recovery?.recovered === false) failed.push(data);
      };
      await until(() => subscribed.size === channels.length, 'the subscriptions');
      let n = 0;
      while (cuts < 25) {
        n++;
        for (const name of channels) await publish(server(), name, `${n}`);
        assert.ok(n < 3000, 'a stream that ends');
      }
      const all = range(1, n);
      await until(() => kept.every((name) => heard[name].length >= n), 'every event').catch(() => {});
      for (const name of kept) assert.deepEqual(heard[name], all, name);
      assert.deepEqual(failed, []);
    });

  test('a rule that a reload takes away: the stream is told', async () => {
    await publish(server(), 'keep-gone', '1');
    const { epoch } = await state('keep-gone');
    writeFileSync(path.join(ctx.server.folder, 'carillon.yaml'), config('[]'));
    ctx.server.signal('SIGHUP');
    const expected = '{"event":"pusher_internal:subscription_succeeded","channel":"keep-gone","data":"{\\"recovery\\":{\\"recovered\\":false,\\"reason\\":\\"disabled\\"}}"}';
    // Each worker has its turn to take the new rules.
    await until(async () => {
      const stream = await open('keep-gone', { id: `${epoch}:1` });
      const first = await stream.next();
      stream.destroy();
      return first.text === expected && first.id === undefined;
    }, 'the reload');
  });
});
