// Event history: what is kept, how it is asked for, and clients that come back for what they missed.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { call, guideApp, startGuide, users } from './gateway.mjs';
import { apiClient, apiRequest, connected, forEachWorkers, pusherClient, rawSubscribe, startServer, subscribed, until } from './harness.mjs';
import { quick, Session } from './fallback.mjs';
import { withRecovery } from './recovery.mjs';

const app = { id: 'a1', key: 'k1', secret: 's1' };
const config = (rules = '', durability = 'memory') => `apps:
  - id: ${app.id}
    keys: [{key: ${app.key}, secret: ${app.secret}}]
    client_events: true
    history:
${rules}      - {channel: "few-*", max_events: 5, recover_max_events: 3, rewind_max: 3, durability: ${durability}}
      - {channels: ["keep-*", "private-keep-*", "presence-keep-*", "cache-keep-*"], max_events: 1000, rewind_max: 10, durability: ${durability}}
`;
const opts = { app: null, config: config(), set: quick };
// What is in a store behaves as what is in memory.
const stored = (durability) => (folder) => `store: {path: ${folder}/histories}\n${config('', durability)}`;
const range = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

for (const [topic, text] of [['history', opts.config], ['history, stored behind', stored('async')], ['history, stored first', stored('ack')]]) forEachWorkers(topic, { ...opts, config: text }, (ctx) => {
  const server = () => { ctx.server.app = app; return ctx.server; };
  const publish = async (channel, from, to = from, params = {}) => {
    const api = apiClient(server(), { app });
    for (const n of range(from, to)) await api.trigger(channel, 'e', { n }, params);
  };
  const history = (channel, params = {}) => apiRequest(server(), 'GET', `/apps/${app.id}/channels/${channel}/history`, { app, params });
  const ask = async (channel, params) => JSON.parse((await history(channel, params)).text);
  const numbers = (answer) => answer.items.map(({ data }) => JSON.parse(data).n);

  test('offsets count from one without holes; the newest come first', async () => {
    await publish('keep-a', 1, 5);
    const answer = await ask('keep-a');
    assert.match(answer.epoch, /^[a-zA-Z0-9]{12}$/);
    assert.deepEqual([answer.channel, answer.oldest, answer.newest, answer.has_more, answer.complete], ['keep-a', 1, 5, false, true]);
    assert.deepEqual(numbers(answer), [5, 4, 3, 2, 1]);
    const [item] = answer.items;
    assert.deepEqual([item.id, item.offset, item.name, item.data], [`${answer.epoch}:5`, 5, 'e', '{"n":5}']);
    assert.ok(Math.abs(item.time_ms - Date.now()) < 60000);
  });

  test('pages, in both directions, while others publish: no hole and nothing twice', async () => {
    await publish('keep-p', 1, 25);
    for (const direction of ['forwards', 'backwards']) {
      const seen = [];
      let params = { limit: 7, direction };
      for (;;) {
        const page = await ask('keep-p', params);
        seen.push(...numbers(page));
        if (!page.has_more) break;
        await publish('keep-p', 1000);
        params = { limit: 7, cursor: page.cursor };
      }
      const first = direction === 'forwards' ? range(1, 25) : range(1, 25).reverse();
      assert.deepEqual(seen.filter((n) => n < 1000), first);
    }
  });

  test('since, until and times', async () => {
    await publish('keep-b', 1, 3);
    await new Promise((resolve) => { setTimeout(resolve, 5); }); // the clock moves on
    const middle = Date.now();
    await publish('keep-b', 4, 6);
    const { epoch } = await ask('keep-b');
    assert.deepEqual(numbers(await ask('keep-b', { since: `${epoch}:2`, until: `${epoch}:4`, direction: 'forwards' })), [3, 4]);
    assert.deepEqual(numbers(await ask('keep-b', { start_ms: middle, direction: 'forwards' })), [4, 5, 6]);
    assert.deepEqual(numbers(await ask('keep-b', { end_ms: middle - 1, direction: 'forwards' })), [1, 2, 3]);
    for (const [params, wanted] of [[{ start_ms: middle }, [6, 5, 4]], [{ end_ms: middle - 1, direction: 'forwards' }, [1, 2, 3]]]) {
      const seen = [];
      for (let page = await ask('keep-b', { ...params, limit: 1 }); ; page = await ask('keep-b', { limit: 1, cursor: page.cursor })) {
        seen.push(...numbers(page));
        if (!page.has_more) break;
      }
      assert.deepEqual(seen, wanted, 'the pages behind keep to the times');
    }
    assert.deepEqual(numbers(await ask('keep-b', { since: `${epoch}:6` })), []);
    assert.deepEqual(numbers(await ask('keep-b', { until: `${epoch}:99`, limit: 1 })), [6]);
  });

  test('what is asked wrongly', async () => {
    await publish('keep-w', 1);
    const wrong = [[{ limit: 0 }, 'Invalid limit: expected a number from 1 to 1000'], [{ limit: 1001 }, 'Invalid limit: expected a number of at most 1000'], [{ limit: 'x' }, 'Invalid limit: expected a number of at most 1000'],
      [{ direction: 'up' }, 'Invalid direction: expected forwards or backwards'], [{ since: '5' }, 'Invalid since: expected EPOCH:OFFSET'], [{ until: 'e:-1' }, 'Invalid until: expected EPOCH:OFFSET'],
      [{ cursor: 'x' }, 'Invalid cursor'], [{ cursor: 'be:1' }, 'Invalid cursor'], [{ start_ms: -1 }, 'Invalid start_ms: expected a number of at most 9223372036854775807']];
    for (const [params, text] of wrong) {
      const answer = await history('keep-w', params);
      assert.deepEqual([answer.status, answer.text], [400, `${text}\n`], JSON.stringify(params));
    }
    const gone = await history('keep-w', { since: 'other:1' });
    assert.equal(gone.status, 410);
    assert.deepEqual(Object.keys(JSON.parse(gone.text)), ['channel', 'epoch', 'oldest', 'newest']);
    assert.deepEqual([(await history('other')).status, (await history('a%20b')).status], [404, 400]);
    assert.equal((await apiRequest(server(), 'GET', `/apps/${app.id}/channels/keep-w/history`, { app: { ...app, secret: 'wrong' } })).status, 401);
    assert.equal((await apiRequest(server(), 'POST', `/apps/${app.id}/channels/keep-w/history`, { app, body: {} })).status, 405);
  });

  test('retention by number; what has gone is said', async () => {
    await publish('few-a', 1, 9);
    const answer = await ask('few-a', { direction: 'forwards' });
    assert.deepEqual([answer.oldest, answer.newest, answer.complete, numbers(answer)], [5, 9, false, [5, 6, 7, 8, 9]]);
  });

  test('purge: another epoch from one on, and who counts is told', async () => {
    const client = pusherClient(server(), { app });
    ctx.defer(() => client.disconnect());
    const { positions } = withRecovery(client);
    await publish('keep-x', 1, 3);
    await subscribed(client, 'keep-x');
    const before = positions.get('keep-x');
    const answer = await apiRequest(server(), 'DELETE', `/apps/${app.id}/channels/keep-x/history`, { app });
    const { epoch } = JSON.parse(answer.text);
    assert.notEqual(epoch, before.epoch);
    await until(() => positions.get('keep-x').epoch === epoch, 'the new position');
    await publish('keep-x', 4);
    await until(() => positions.get('keep-x').offset === 1, 'the first of the new epoch');
    assert.deepEqual((await ask('keep-x')).items.map(({ offset }) => offset), [1]);
  });

  test('info=position and info=history', async () => {
    const answer = await apiRequest(server(), 'POST', `/apps/${app.id}/events`, { app, body: { name: 'e', channels: ['keep-i', 'plain'], data: '1', info: 'position' } });
    const { channels } = JSON.parse(answer.text);
    assert.equal(channels['keep-i'].offset, 1);
    assert.deepEqual(channels.plain, {});
    const state = JSON.parse((await apiRequest(server(), 'GET', `/apps/${app.id}/channels/keep-i`, { app, params: { info: 'history' } })).text);
    assert.deepEqual({ ...state.history, bytes: 0 }, { epoch: channels['keep-i'].epoch, oldest: 1, newest: 1, bytes: 0, ttl_s: 3600 });
    const none = JSON.parse((await apiRequest(server(), 'GET', `/apps/${app.id}/channels/plain`, { app, params: { info: 'history' } })).text);
    assert.equal(none.history, null);
  });

  test('who does not ask for it gets the frames of always', async () => {
    const raw = await ctx.raw(`/app/${app.key}?protocol=7`);
    await raw.next();
    raw.send({ event: 'pusher:subscribe', data: { channel: 'keep-plain' } });
    await raw.expectText('{"event":"pusher_internal:subscription_succeeded","channel":"keep-plain","data":"{}"}');
    await publish('keep-plain', 1);
    await raw.expectText('{"event":"e","channel":"keep-plain","data":"{\\"n\\":1}"}');
    await raw.expectNothing();
  });

  for (const transport of ['ws', 'xhr_streaming', 'xhr_polling'])
    test(`a lost connection loses nothing: ${transport}`, async () => {
      const client = pusherClient(server(), { app, enabledTransports: [transport] });
      ctx.defer(() => client.disconnect());
      const { positions, log } = withRecovery(client);
      const channel = `keep-${transport.replaceAll('_', '-')}`;
      await publish(channel, -1, 0);
      const heard = [];
      (await subscribed(client, channel)).bind('e', ({ n }) => heard.push(n));
      await publish(channel, 1, 3);
      await until(() => heard.length === 3, 'three events');
      client.connection.disconnect();
      await publish(channel, 4, 9);
      client.connection.connect();
      await connected(client);
      await until(() => log.some(([, what]) => what === 'recovered'), 'the recovery');
      await publish(channel, 10, 12);
      await until(() => heard.length >= 12, 'all events');
      assert.deepEqual(heard, range(1, 12));
      assert.deepEqual(log[0][2].replay, 6);
      assert.equal(positions.get(channel).offset, 14);
    });

  test('a member that comes back finds both: the members and what it missed', async () => {
    const client = pusherClient(server(), { app, member: () => ({ user_id: 'm', user_info: {} }) });
    ctx.defer(() => client.disconnect());
    const { log } = withRecovery(client);
    const channel = await subscribed(client, 'presence-keep-a');
    const heard = [];
    channel.bind('e', ({ n }) => heard.push(n));
    await publish('presence-keep-a', 1);
    await until(() => heard.length === 1, 'the first');
    client.connection.disconnect();
    await publish('presence-keep-a', 2, 4);
    client.connection.connect();
    await until(() => heard.length === 4, 'what was missed');
    assert.deepEqual([heard, channel.members.count, log[0].slice(0, 2)], [range(1, 4), 1, ['presence-keep-a', 'recovered']]);
  });

  test('positions that are no good: told why, never half of it', async () => {
    await publish('few-r', 1, 9);
    const { epoch } = await ask('few-r');
    const resume = async (recovery) => {
      const raw = await ctx.raw(`/app/${app.key}?protocol=7`);
      await raw.next();
      raw.send({ event: 'pusher:subscribe', data: { channel: 'few-r', recovery } });
      const frame = JSON.parse((await raw.next()).text);
      await raw.expectNothing();
      return frame.event === 'pusher:error' ? frame.data.message : JSON.parse(frame.data).recovery;
    };
    const refused = (reason) => ({ epoch, offset: 9, recovered: false, reason, oldest: 5, newest: 9 });
    assert.deepEqual(await resume({ epoch, offset: 5 }), refused('too_many'));
    assert.deepEqual(await resume({ epoch, offset: 3 }), refused('expired'));
    assert.deepEqual(await resume({ epoch, offset: 10 }), refused('ahead'));
    assert.deepEqual(await resume({ epoch, offset: 2 ** 53 }), refused('ahead'));
    assert.deepEqual(await resume({ epoch, offset: '18446744073709551615' }), refused('ahead'));
    assert.deepEqual(await resume({ epoch: 'x'.repeat(40), offset: 9 }), refused('epoch_changed'));
    assert.deepEqual(await resume({ epoch, offset: 9 }), { epoch, offset: 9, recovered: true, replay: 0 });
    assert.deepEqual(await resume({}), { epoch, offset: 9 });
  });

  for (const recovery of [5, 'x', [], { epoch: 'e' }, { epoch: 1, offset: 1 }, { epoch: 'e', offset: -1 }, { epoch: 'e', offset: 1.5 }, { epoch: '', offset: 1 }, { rewind: -1 }, { rewind_s: 'x' }, { inline: 1 }])
    test(`recovery that cannot be read: ${JSON.stringify(recovery)}`, async () => {
      const raw = await ctx.raw(`/app/${app.key}?protocol=7`);
      await raw.next();
      raw.send({ event: 'pusher:subscribe', data: { channel: 'keep-bad', recovery } });
      await raw.expectError(null, 'Invalid parameter: data.recovery must be an object with epoch and offset, rewind or rewind_s, and inline');
      assert.equal(JSON.parse((await raw.next()).text).event, 'pusher:subscription_error');
      await raw.expectNothing();
    });

  test('a channel without history says that it is disabled', async () => {
    const raw = await ctx.raw(`/app/${app.key}?protocol=7`);
    await raw.next();
    raw.send({ event: 'pusher:subscribe', data: { channel: 'plain', recovery: { epoch: 'e', offset: 1 } } });
    await raw.expectText('{"event":"pusher_internal:subscription_succeeded","channel":"plain","data":"{\\"recovery\\":{\\"recovered\\":false,\\"reason\\":\\"disabled\\"}}"}');
  });

  test('rewind_s: the events of the last seconds, however many there are', async () => {
    await publish('keep-rs', 1, 3);
    for (const seconds of [60, 3600, 100000000]) {
      const raw = await ctx.raw();
      raw.send({ event: 'pusher:subscribe', data: { channel: 'keep-rs', recovery: { rewind_s: seconds } } });
      const { data } = await raw.expectEvent('pusher_internal:subscription_succeeded', 'keep-rs');
      assert.equal(JSON.parse(data).recovery.replay, 3, `${seconds} s`);
      raw.close();
    }
  });

  test('rewind: the last events first, up to the rule\'s number', async () => {
    await publish('keep-r', 1, 20);
    const client = pusherClient(server(), { app });
    ctx.defer(() => client.disconnect());
    const { positions } = withRecovery(client, { rewind: 50 });
    const heard = [];
    client.connection.bind('message', ({ event, data }) => { if (event === 'e') heard.push(data.n); });
    await subscribed(client, 'keep-r');
    await until(() => heard.length === 10, 'ten events');
    assert.deepEqual([heard, positions.get('keep-r').offset], [range(11, 20), 20]);
  });

  test('inline: each event says its position, to who asked for that and to nobody else', async () => {
    await publish('keep-in', 1, 3);
    const { epoch } = await ask('keep-in');
    const plain = await ctx.raw(`/app/${app.key}?protocol=7`);
    await rawSubscribe(plain, 'keep-in');
    const event = (n, more) => ({ event: 'e', channel: 'keep-in', data: JSON.stringify({ n }), ...more });
    const id = (n) => ({ id: `${epoch}:${n}` });
    const position = (offset) => ({ event: 'pusher_internal:position', channel: 'keep-in', data: JSON.stringify({ epoch, offset }) });
    const success = (recovery) => ({ event: 'pusher_internal:subscription_succeeded', channel: 'keep-in', data: JSON.stringify({ recovery }) });
    const raw = await ctx.raw(`/app/${app.key}?protocol=7`);
    await raw.next();
    raw.send({ event: 'pusher:subscribe', data: { channel: 'keep-in', recovery: { epoch, offset: 1, inline: true } } });
    await raw.expectJson(success({ epoch, offset: 1, recovered: true, replay: 2 }));
    for (const n of [2, 3]) await raw.expectJson(event(n, id(n)));
    await raw.expectJson(position(3));
    const session = new Session(ctx, { key: app.key });
    const stream = await session.openStream();
    await session.send([JSON.stringify({ event: 'pusher:subscribe', data: { channel: 'keep-in', recovery: { rewind: 1, inline: true } } })]);
    const next = async () => JSON.parse(JSON.parse((await stream.line()).slice(1))[0]);
    assert.deepEqual(await next(), success({ epoch, offset: 2, replay: 1 }));
    assert.deepEqual(await next(), event(3, id(3)));
    assert.deepEqual(await next(), position(3));
    await publish('keep-in', 4);
    await raw.expectJson(event(4, id(4)));
    assert.deepEqual(await next(), event(4, id(4)));
    await plain.expectText(JSON.stringify(event(4)));
  });

  test('inline, piece by piece: the ids have no hole', async () => {
    const api = apiClient(server(), { app });
    for (const n of range(1, 40)) await api.trigger('keep-big', 'e', { n, fill: 'x'.repeat(9000) });
    const { epoch } = await ask('keep-big', { limit: 1 });
    const raw = await ctx.raw(`/app/${app.key}?protocol=7`);
    await raw.next();
    raw.send({ event: 'pusher:subscribe', data: { channel: 'keep-big', recovery: { epoch, offset: 1, inline: true } } });
    await raw.next();
    for (const n of range(2, 40)) assert.equal(JSON.parse((await raw.next()).text).id, `${epoch}:${n}`);
    await raw.expectEvent('pusher_internal:position', 'keep-big');
    await publish('keep-big', 41);
    assert.equal(JSON.parse((await raw.next()).text).id, `${epoch}:41`);
  });

  test('an event that leaves a socket out still counts for it', async () => {
    const client = pusherClient(server(), { app });
    ctx.defer(() => client.disconnect());
    const { positions, log } = withRecovery(client);
    const heard = [];
    (await subscribed(client, 'private-keep-e')).bind('e', ({ n }) => heard.push(n));
    await publish('private-keep-e', 1, 1, { socket_id: client.connection.socket_id });
    await publish('private-keep-e', 2);
    await until(() => positions.get('private-keep-e').offset === 2, 'both to be counted');
    assert.deepEqual([heard, log.map(([, what]) => what)], [[2], ['position']]);
    client.connection.disconnect();
    await publish('private-keep-e', 3);
    client.connection.connect();
    await until(() => heard.length === 2, 'the third');
    assert.deepEqual(heard, [2, 3]);
  });

  test('the cached event is not counted, and not sent to who recovers', async () => {
    await publish('cache-keep-a', 1, 2);
    const client = pusherClient(server(), { app });
    ctx.defer(() => client.disconnect());
    const { positions, log } = withRecovery(client);
    const heard = [];
    // The connection may end behind any frame, so the count is right behind each.
    client.connection.bind('message', ({ event, data }) => { if (event === 'e') heard.push([data.n, positions.get('cache-keep-a').offset]); });
    await subscribed(client, 'cache-keep-a');
    await until(() => heard.length === 1 && log.some(([, what]) => what === 'position'), 'the cached event and the position behind it');
    client.connection.disconnect();
    await publish('cache-keep-a', 3);
    client.connection.connect();
    await until(() => heard.length === 2, 'the one that was missed');
    assert.deepEqual([heard, positions.get('cache-keep-a').offset], [[[2, 2], [3, 3]], 3]);
  });

  test('a cached event named as clients name theirs: the next one is counted', async () => {
    const api = apiClient(server(), { app });
    await api.trigger('cache-keep-c', 'client-x', { n: 1 });
    const client = pusherClient(server(), { app });
    ctx.defer(() => client.disconnect());
    const { positions } = withRecovery(client);
    const heard = [];
    client.connection.bind('message', ({ event, data }) => { if (event === 'client-x' || event === 'e') heard.push([data.n, positions.get('cache-keep-c').offset]); });
    await subscribed(client, 'cache-keep-c');
    await publish('cache-keep-c', 2, 3);
    await until(() => heard.length === 3, 'the kept one and two more');
    client.connection.disconnect();
    await publish('cache-keep-c', 4);
    client.connection.connect();
    await until(() => heard.some(([n]) => n === 4), 'the one that was missed');
    assert.deepEqual(heard, [[1, 1], [2, 2], [3, 3], [4, 4]]);
  });

  test('a checkpoint every 256 events, and none for client events', async () => {
    const one = pusherClient(server(), { app });
    const two = pusherClient(server(), { app });
    ctx.defer(() => { one.disconnect(); two.disconnect(); });
    const { positions, log } = withRecovery(one);
    await subscribed(one, 'private-keep-c');
    (await subscribed(two, 'private-keep-c')).trigger('client-x', {});
    const api = apiClient(server(), { app });
    for (let i = 0; i < 26; i++) await api.triggerBatch(Array.from({ length: 10 }, (_, k) => ({ channel: 'private-keep-c', name: 'e', data: { n: i * 10 + k } })));
    await until(() => positions.get('private-keep-c').offset === 260, 'all to be counted');
    assert.deepEqual(log.map(([, what, at]) => [what, at.offset]), [['position', 256]]);
    await api.trigger('private-keep-c', 'client-mine', {});
    await until(() => positions.get('private-keep-c').offset === 261, 'what counting cannot see');
  });

  test('who was there alone, before any event, comes back for the first', async () => {
    const client = pusherClient(server(), { app });
    ctx.defer(() => client.disconnect());
    const { log } = withRecovery(client);
    const heard = [];
    (await subscribed(client, 'keep-alone')).bind('e', ({ n }) => heard.push(n));
    client.disconnect();
    await until(async () => (await ctx.server.metrics()).sum('carillon_sessions') === 0, 'it to be gone');
    await publish('keep-alone', 1);
    client.connect();
    await until(() => heard.length === 1, 'the event');
    assert.deepEqual(log.filter(([, what]) => what !== 'position').map(([, what]) => what), ['recovered']);
  });

  test('who only asks, for channels that there are not, leaves nothing behind', { skip: topic !== 'history' && 'it takes its time' }, async () => {
    const streams = async () => (await ctx.server.metrics()).sum('carillon_history_streams');
    const before = await streams();
    const raw = await ctx.raw(`/app/${app.key}?protocol=7`);
    await raw.next();
    for (let i = 0; i < 50; i++) raw.send({ event: 'pusher:subscribe', data: { channel: `keep-none-${i}`, recovery: { rewind: 5 } } });
    for (let i = 0; i < 50; i++) assert.equal(JSON.parse(JSON.parse((await raw.next()).text).data).recovery.offset, 0);
    for (let i = 0; i < 50; i++) await ask(`keep-nothing-${i}`);
    assert.ok(await streams() >= before + 50);
    raw.socket.destroy();
    await until(async () => await streams() <= before, 'them to go');
  });

  test('figures of what is kept', async () => {
    await publish('keep-m', 1, 3);
    const metrics = await ctx.server.metrics();
    for (const name of ['carillon_history_streams', 'carillon_history_events', 'carillon_history_bytes']) assert.ok(metrics.sum(name) > 0, name);
    assert.ok(metrics.sum('carillon_recovered_total') > 0 && metrics.sum('carillon_not_recovered_total') > 0);
  });
});

describe('a page asks for history', () => {
  let server;
  before(async () => { server = await startGuide({ workers: 2 }); });
  after(() => server.stop());
  const ask = (user, channel, query = '') => call(server, user, 'GET', `/api/v1/pusher/history?channel=${encodeURIComponent(channel)}${query}`);

  test('under the channel\'s rules', async () => {
    const api = apiClient(server, { app: guideApp });
    for (const n of range(1, 3)) await api.trigger('private-user-7', 'message', { n });
    const { status, body } = await ask(users.student, 'private-user-7', '&limit=2&direction=forwards');
    assert.deepEqual([status, body.channel, body.items.map(({ data }) => JSON.parse(data).n), body.has_more], [200, 'private-user-7', [1, 2], true]);
    const next = await ask(users.student, 'private-user-7', `&cursor=${encodeURIComponent(body.cursor)}`);
    assert.deepEqual(next.body.items.map(({ offset }) => offset), [3]);
    const answers = [[null, 'private-user-7', 401], [users.teacher, 'private-user-7', 403], [users.admin, 'private-user-7', 200], [users.student, 'presence-analytics-realtime', 403],
      [users.teacher, 'presence-analytics-realtime', 404], [users.student, 'a b', 422]];
    for (const [user, channel, expected] of answers) assert.equal((await ask(user, channel)).status, expected, `${user?.role} ${channel}`);
    assert.deepEqual([(await ask(users.student, 'private-user-7', '&limit=0')).status, (await ask(users.student, 'private-user-7', '&since=x:1')).status], [400, 410]);
  });
});

describe('retention', () => {
  for (const when of ['at the start', 'by a reload']) test(`all together, limited ${when}: the one that was used least lately is forgotten, and whoever counts is told`, async (t) => {
    const limited = `limits: {history_bytes: 65536}\n${config()}`;
    const server = await startServer({ app: null, config: when === 'at the start' ? limited : config() });
    t.after(() => server.stop());
    if (when === 'by a reload') {
      writeFileSync(path.join(server.folder, 'carillon.yaml'), limited);
      server.signal('SIGHUP');
      await until(() => server.logged('reloaded').length === 1, 'the reload');
    }
    const api = apiClient(server, { app });
    const client = pusherClient(server, { app });
    const { positions } = withRecovery(client);
    await api.trigger('keep-old', 'e', 'x'.repeat(9000));
    await subscribed(client, 'keep-old');
    const { epoch } = positions.get('keep-old');
    for (let i = 0; i < 8; i++) await api.trigger('keep-new', 'e', 'x'.repeat(9000));
    await until(() => positions.get('keep-old').epoch !== epoch, 'another epoch');
    assert.equal(positions.get('keep-old').offset, 0);
    const metrics = await server.metrics();
    assert.ok(metrics.sum('carillon_histories_evicted_total') === 1 && metrics.sum('carillon_history_bytes') < 80000);
    client.disconnect();
  });

  test('by time: events go, their number stays', async (t) => {
    const server = await startServer({ app: null, config: config('      - {channel: "short", ttl_s: 1}\n') });
    t.after(() => server.stop());
    const api = apiClient(server, { app });
    await api.trigger('short', 'e', { n: 1 });
    const ask = async () => JSON.parse((await apiRequest(server, 'GET', `/apps/${app.id}/channels/short/history`, { app })).text);
    const { epoch } = await ask();
    await until(async () => (await ask()).items.length === 0, 'the event to expire');
    await api.trigger('short', 'e', { n: 2 });
    const answer = await ask();
    assert.deepEqual([answer.epoch, answer.oldest, answer.newest, answer.items.length], [epoch, 2, 2, 1]);
  });
});
