// Polling: clients that can only ask, and miss nothing between two questions.
import assert from 'node:assert/strict';
import http from 'node:http';
import net from 'node:net';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { call, guideApp, guideFile, mint, nowS, users } from './gateway.mjs';
import { apiClient, apiRequest, forEachWorkers, limit, ownFolder, slowness, startServer, until, useServer } from './harness.mjs';

const agent = new http.Agent({ keepAlive: true, maxSockets: 64 });
const config = (rules = '', durability = 'memory') => `
apps:
  - id: ${guideApp.id}
    keys: [{key: ${guideApp.key}, secret: ${guideApp.secret}}]
    history:
      - {channel: "few-*", max_events: 5, durability: ${durability}}
      - {channels: ["keep-*", "private-*"], max_events: 5000, durability: ${durability}}
gateway:
  auth:
    jwt: {keys: [{alg: HS256, secret: guide-development-secret-change-me-0123456789}], leeway_s: 0}
    roles: {student: 1, teacher: 2, admin: 3}
  channels:
${rules}    - {channel: "private-user-{user.id}", join: user}
    - {channel: "private-class-*", join: teacher+}
  routes:
    - {name: open, path: /api/v1/pusher/poll/open, builtin: poll_open, every_ms: 250}
    - {name: poll, method: GET, path: /api/v1/pusher/poll, aliases: [/fallback/poll], builtin: poll, every_ms: 300, wait_s: 1}
`;
const range = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

// As call(), over connections that stay open and without fetch's own limits.
function ask(server, user, method, target, body) {
  const token = user && (typeof user === 'string' ? user : mint(user));
  return new Promise((resolve, reject) => {
    const request = http.request(`${server.url}${target}`, { method, agent, headers: { ...(token ? { authorization: `Bearer ${token}` } : {}), ...(body ? { 'content-type': 'application/json' } : {}) } }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (part) => { text += part; }).on('end', () => resolve({ status: answer.statusCode, headers: answer.headers, text, body: JSON.parse(text) }));
    });
    request.on('error', reject).end(body && JSON.stringify(body));
  });
}

const open = async (server, channels, user = users.student) => ask(server, user, 'POST', '/api/v1/pusher/poll/open', { channels });
const query = (params) => Object.entries(params).flatMap(([name, value]) => [value].flat().map((one) => `${name}=${encodeURIComponent(one)}`)).join('&');
const poll = (server, params, user = users.student) => ask(server, user, 'GET', `/api/v1/pusher/poll?${query(params)}`);
const sinceAt = (positions, name, offset) => `${name}:${positions[name].epoch}:${offset}`;
const sinceOf = (positions) => Object.entries(positions).map(([name, { offset }]) => sinceAt(positions, name, offset));
const waiting = async (server) => (await server.metrics()).sum('carillon_waiting_polls');
const numbers = ({ events }, channel) => events.filter((e) => !channel || e.channel === channel).map(({ data }) => JSON.parse(data).n);

async function publish(server, channels, from, to = from) {
  const api = apiClient(server, { app: guideApp });
  for (const n of range(from, to)) await api.trigger(channels, 'e', { n });
}

// What is in a store behaves as what is in memory.
const stored = (folder) => `store: {path: ${folder}/histories}\n${config('', 'ack')}`;

const define = (ctx) => {
  const server = () => { ctx.server.app = guideApp; return ctx.server; };
  const idle = async () => {
    agent.destroy();
    await until(async () => await waiting(server()) === 0, 'no poll to wait');
  };

  test('opening says where the channels are', async () => {
    await publish(server(), 'keep-a', 1, 3);
    const { status, body } = await open(server(), ['keep-a', 'keep-b', 'keep-a', 'private-user-7']);
    assert.equal(status, 200);
    assert.deepEqual(Object.keys(body), ['positions', 'session_id', 'poll_ms']);
    assert.deepEqual(Object.entries(body.positions).map(([name, { epoch, offset }]) => [name, epoch.length, offset]), [['keep-a', 12, 3], ['keep-b', 12, 0], ['private-user-7', 12, 0]]);
    assert.equal(body.poll_ms, 250);
    await idle();
  });

  test('what may not be opened, and why', async () => {
    const many = range(1, 51).map((n) => `keep-${n}`);
    const long = range(1, 11).map((n) => `keep-${n}-`.padEnd(200, 'x'));
    const wrong = [
      [{}, 422, /list of channels/], [{ channels: 'keep-a' }, 422, /list of channels/], [{ channels: [] }, 422, /at least one/], [{ channels: [7] }, 422, /list of channels/],
      [{ channels: [''] }, 422, /list of channels/], [{ channels: ['keep a'] }, 422, /name of a channel/], [{ channels: ['keep-a:b'] }, 422, /name of a channel/], [{ channels: ['keep-a\u0000b'] }, 422, /list of channels/],
      [{ channels: many }, 422, /at most 50 channels/], [{ channels: long }, 422, /at most 2048 characters/],
      [{ channels: ['keep-a', 'plain'] }, 422, /history of plain is not kept/],
      [{ channels: ['keep-a', 'private-user-8'] }, 403, /for the channel private-user-8/], [{ channels: ['private-class-1'] }, 403, /for the channel private-class-1/], [{ channels: ['#server-to-user-7'] }, 403, /own channel/],
    ];
    for (const [body, status, words] of wrong) {
      const answer = await call(server(), users.student, 'POST', '/api/v1/pusher/poll/open', body);
      assert.equal(answer.status, status, JSON.stringify(body));
      assert.match(answer.text, words);
    }
    assert.equal((await open(server(), many.slice(1))).status, 200);
    for (const user of [null, mint(users.student, { exp: nowS() - 1 }), 'x.y.z']) assert.equal((await open(server(), ['keep-a'], user)).status, 401);
    await idle();
  });

  test('events come in order, each once, and the positions go on', async () => {
    let { body } = await open(server(), ['keep-c', 'keep-d']);
    await publish(server(), ['keep-c', 'keep-d'], 1, 3);
    await publish(server(), 'keep-d', 4);
    const from = body.positions;
    ({ body } = await poll(server(), { session: body.session_id }));
    assert.deepEqual(Object.keys(body), ['events', 'positions', 'session_id', 'poll_ms']);
    assert.deepEqual(numbers(body, 'keep-c'), [1, 2, 3]);
    assert.deepEqual(numbers(body, 'keep-d'), [1, 2, 3, 4]);
    assert.deepEqual(body.events.find(({ channel }) => channel === 'keep-c'), { channel: 'keep-c', event: 'e', data: '{"n":1}', offset: 1, epoch: from['keep-c'].epoch });
    assert.deepEqual(body.positions, { 'keep-c': { ...from['keep-c'], offset: 3 }, 'keep-d': { ...from['keep-d'], offset: 4 } });
    assert.equal(body.poll_ms, 300);
    const again = await poll(server(), { session: body.session_id, wait: 0 });
    assert.deepEqual([again.body.events, again.body.positions], [[], body.positions]);
    await idle();
  });

  test('without a session: the positions say it all', async () => {
    const { body } = await open(server(), ['keep-e', 'keep-f,g']);
    await publish(server(), ['keep-e', 'keep-f,g'], 1, 2);
    const since = sinceOf(body.positions);
    const both = await poll(server(), { since });
    assert.deepEqual([numbers(both.body, 'keep-e'), numbers(both.body, 'keep-f,g')], [[1, 2], [1, 2]]);
    assert.deepEqual(numbers((await poll(server(), { since: sinceAt(body.positions, 'keep-e', 1) })).body), [2]);
    // Where both are given, since counts for its channels and the session for the others.
    const mixed = (await poll(server(), { session: body.session_id, since: sinceOf(both.body.positions)[0] })).body;
    assert.deepEqual([numbers(mixed, 'keep-e'), numbers(mixed, 'keep-f,g')], [[], [1, 2]]);
    await idle();
  });

  test('what is asked wrongly', async () => {
    const { body } = await open(server(), ['keep-h']);
    const { epoch } = body.positions['keep-h'];
    const session = body.session_id;
    const wrong = [
      [{}, 422, /session is needed/], [{ since: 'keep-h' }, 422, /CHANNEL:EPOCH:OFFSET/], [{ since: '' }, 422, /CHANNEL:EPOCH:OFFSET/], [{ since: `:${epoch}:1` }, 422, /CHANNEL:EPOCH:OFFSET/],
      [{ since: `keep-h:${epoch}:x` }, 422, /CHANNEL:EPOCH:OFFSET/], [{ since: `keep-h:${epoch}:-1` }, 422, /CHANNEL:EPOCH:OFFSET/], [{ since: `keep-h:${epoch}${epoch}:1` }, 422, /CHANNEL:EPOCH:OFFSET/],
      [{ since: `keep-h:${epoch}:99999999999999999999` }, 422, /CHANNEL:EPOCH:OFFSET/], [{ since: [`keep-h:${epoch}:0`, `keep-h:${epoch}:1`] }, 422, /each channel once/], [{ since: `keep h:${epoch}:0` }, 422, /name of a channel/],
      [{ since: range(1, 51).map((n) => `keep-${n}:${epoch}:0`) }, 422, /at most 50 channels/], [{ since: `plain:${epoch}:0` }, 404, /history of plain is not kept/], [{ since: `private-user-8:${epoch}:0` }, 403, /private-user-8/],
      [{ session, wait: 26 }, 422, /0 to 25/], [{ session, wait: 'x' }, 422, /0 to 25/], [{ session, wait: -1 }, 422, /0 to 25/], [{ session, wait: '99999999999999999999999' }, 422, /0 to 25/],
      [{ session: 'x' }, 404, /no such session/], [{ session: `${session.slice(0, -1)}x` }, 404, /no such session/], [{ session: `A${session}` }, 404, /no such session/], [{ session: `${'A'.repeat(8000)}.${'0'.repeat(64)}` }, 404, /no such session/],
    ];
    for (const [params, status, words] of wrong) {
      const answer = await poll(server(), { wait: 0, ...params });
      assert.equal(answer.status, status, JSON.stringify(params));
      assert.match(answer.text, words);
    }
    assert.equal((await ask(server(), users.student, 'GET', '/api/v1/pusher/poll?since=%zz')).status, 422);
    assert.equal((await ask(server(), users.student, 'GET', '/api/v1/pusher/poll?since=keep-h%00:e:0')).status, 422);
    assert.equal((await ask(server(), users.student, 'POST', '/api/v1/pusher/poll', {})).status, 405);
    assert.equal((await poll(server(), { session }, null)).status, 401);
    await idle();
  });

  test('a session is its user\'s alone, and the rules count at every poll', async () => {
    const teacher = (await open(server(), ['private-class-1'], users.teacher)).body;
    assert.equal((await poll(server(), { session: teacher.session_id, wait: 0 }, users.teacher)).status, 200);
    assert.equal((await poll(server(), { session: teacher.session_id, wait: 0 }, users.student)).status, 404);
    const demoted = await poll(server(), { session: teacher.session_id, wait: 0 }, { ...users.teacher, role: 'student' });
    assert.deepEqual([demoted.status, demoted.body], [403, { detail: 'Insufficient permissions for the channel private-class-1' }]);
    await idle();
  });

  test('a poll waits for an event', async () => {
    const { body } = await open(server(), ['keep-w', 'keep-v']);
    const answer = poll(server(), { session: body.session_id, wait: 25 });
    await until(async () => await waiting(server()) === 2, 'the poll to wait at both homes');
    const before = Date.now();
    await publish(server(), 'keep-v', 1);
    assert.deepEqual(numbers((await answer).body), [1]);
    assert.ok(Date.now() - before < limit(5000));
    await until(async () => await waiting(server()) === 0, 'the other question to be withdrawn');
    await idle();
  });

  test('the wait ends without one', async () => {
    const { body } = await open(server(), ['keep-z']);
    for (const [params, ms] of [[{ wait: 2 }, 2000], [{}, 1000]]) {
      const before = Date.now();
      const answer = await poll(server(), { session: body.session_id, ...params });
      assert.deepEqual([answer.status, answer.body.events, answer.body.positions, answer.body.gap], [200, [], body.positions, undefined]);
      assert.ok(Date.now() - before >= ms - 20, `${Date.now() - before} ms`);
    }
    await idle();
  });

  test('many wait for the same channel, and one connection asks again and again', async () => {
    const { body } = await open(server(), ['keep-m']);
    let { session_id: session } = body;
    for (const n of range(1, 5)) {
      const answers = range(1, 20).map(() => poll(server(), { session, wait: 25 }));
      await until(async () => await waiting(server()) === 20, 'all to wait');
      await publish(server(), 'keep-m', n);
      const all = await Promise.all(answers);
      for (const answer of all) assert.deepEqual(numbers(answer.body), [n]);
      session = all[0].body.session_id;
    }
    await idle();
  });

  test('fifty channels at once', async () => {
    const channels = range(1, 50).map((n) => `keep-many-${n}`);
    const { body } = await open(server(), channels);
    const answer = poll(server(), { session: body.session_id, wait: 25 });
    await until(async () => await waiting(server()) === 50, 'the poll to wait everywhere');
    for (const channel of channels) await publish(server(), channel, 1);
    let { body: { session_id: session, events } } = await answer;
    const seen = new Set(events.map(({ channel }) => channel));
    assert.ok(seen.size);
    while (seen.size < 50) {
      ({ body: { session_id: session, events } } = await poll(server(), { session, wait: 25 }));
      for (const { channel } of events) {
        assert.ok(!seen.has(channel));
        seen.add(channel);
      }
    }
    await idle();
  });

  test('who goes away while waiting leaves nothing behind', async () => {
    const { body } = await open(server(), ['keep-x', 'keep-y']);
    const token = mint(users.student);
    for (const end of ['destroy', 'resetAndDestroy', 'end']) {
      const socket = net.connect(server().port, server().host);
      socket.on('error', () => {});
      socket.write(`GET /api/v1/pusher/poll?session=${body.session_id}&wait=25 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n\r\n`);
      await until(async () => await waiting(server()) === 2, 'the poll to wait');
      socket[end]();
      await until(async () => await waiting(server()) === 0, `nothing to be left after ${end}`, 5000);
      socket.destroy();
    }
    await publish(server(), 'keep-x', 1);
    assert.deepEqual(numbers((await poll(server(), { session: body.session_id })).body), [1]);
    await idle();
  });

  test('requests sent ahead on one connection are answered in turn', async () => {
    const { body } = await open(server(), ['keep-p']);
    const token = mint(users.student);
    const socket = net.connect(server().port, server().host);
    let text = '';
    socket.setEncoding('utf8').on('data', (part) => { text += part; });
    const one = `GET /api/v1/pusher/poll?session=${body.session_id}&wait=1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n\r\n`;
    socket.write(one.repeat(3));
    await until(() => (text.match(/HTTP\/1.1 200/g) ?? []).length === 3, 'three answers');
    socket.destroy();
    await idle();
  });

  test('a gap is told: another epoch, events that have gone, an offset that was never given', async () => {
    await publish(server(), ['few-a', 'keep-g'], 1, 9);
    const { body } = await open(server(), ['few-a', 'keep-g']);
    const { epoch } = body.positions['few-a'];
    for (const [since, gap] of [[`few-a:${epoch}:4`, false], [`few-a:${epoch}:3`, true], [`few-a:${epoch}:10`, true], ['few-a:otherEpoch12:9', true], ['few-a:otherEpoch12:0', true]]) {
      const answer = (await poll(server(), { since: [since, sinceAt(body.positions, 'keep-g', 8)], wait: 0 })).body;
      assert.deepEqual(answer.gap, gap ? ['few-a'] : undefined, since);
      assert.deepEqual(answer.positions, body.positions);
      assert.deepEqual(numbers(answer, 'few-a'), gap ? [] : [5, 6, 7, 8, 9]);
      assert.deepEqual(numbers(answer, 'keep-g'), [9]);
    }
    // A purge ends the wait.
    const answer = poll(server(), { session: body.session_id, wait: 25 });
    await until(async () => await waiting(server()) === 2, 'the poll to wait');
    await apiRequest(server(), 'DELETE', `/apps/${guideApp.id}/channels/few-a/history`, { app: guideApp });
    const purged = (await answer).body;
    assert.deepEqual([purged.gap, purged.positions['few-a'].offset], [['few-a'], 0]);
    assert.notEqual(purged.positions['few-a'].epoch, epoch);
    await idle();
  });

  test('an answer has its measure; the rest comes next, at once', async () => {
    const channels = range(1, 3).map((n) => `keep-big-${n}`);
    let { body } = await open(server(), channels);
    const api = apiClient(server(), { app: guideApp });
    const size = 9000;
    for (const n of range(1, 60)) for (const channel of channels) await api.trigger(channel, 'e', { n, fill: 'x'.repeat(size) });
    const heard = Object.fromEntries(channels.map((name) => [name, []]));
    let polls = 0;
    while (Object.values(heard).some((list) => list.length < 60)) {
      const answer = await poll(server(), { session: body.session_id, wait: 0 });
      assert.ok(answer.text.length < 512 * 1024 + 2 * size, `${answer.text.length} bytes`);
      ({ body } = answer);
      for (const { channel, data } of body.events) heard[channel].push(JSON.parse(data).n);
      assert.ok(++polls < 10, 'no progress');
    }
    for (const channel of channels) assert.deepEqual(heard[channel], range(1, 60));
    assert.ok(polls >= 3);
    await idle();
  });

  test('a token that runs out during the wait opens nothing', async () => {
    const { body } = await open(server(), ['keep-t']);
    const answer = poll(server(), { session: body.session_id, wait: 25 }, mint(users.student, { exp: nowS() + 2 }));
    await until(async () => await waiting(server()) === 1, 'the poll to wait');
    const end = Date.now() + 3000;
    await until(() => Date.now() > end, 'the token to run out');
    await publish(server(), 'keep-t', 1);
    assert.deepEqual([(await answer).status, (await answer).body], [401, { detail: 'Token has expired' }]);
    await idle();
  });

  test('a stream without events is the same for who polls on', async () => {
    let { body } = await open(server(), ['keep-quiet']);
    const { epoch } = body.positions['keep-quiet'];
    const end = Date.now() + 3500; // what nobody asks for goes after a second
    while (Date.now() < end) {
      ({ body } = await poll(server(), { session: body.session_id, wait: 0 }));
      assert.deepEqual([body.gap, body.positions['keep-quiet'].epoch], [undefined, epoch]);
    }
    await idle();
  });

  test('nothing is lost under a publisher, whoever polls and however', async () => {
    const channels = ['keep-load-1', 'keep-load-2', 'private-user-7'];
    const opened = (await open(server(), channels)).body;
    const end = Date.now() + 3000;
    let published = 0;
    const publisher = (async () => {
      while (Date.now() < end) await publish(server(), channels, ++published);
    })();
    const run = async (stateless) => {
      const heard = Object.fromEntries(channels.map((name) => [name, []]));
      let body = opened;
      let done = false;
      publisher.then(() => { done = true; });
      for (;;) {
        const wasDone = done;
        const answer = await poll(server(), stateless ? { since: sinceOf(body.positions), wait: 1 } : { session: body.session_id, wait: 1 });
        assert.equal(answer.status, 200, answer.text);
        ({ body } = answer);
        assert.equal(body.gap, undefined);
        for (const { channel, data } of body.events) heard[channel].push(JSON.parse(data).n);
        if (wasDone && !body.events.length) return heard;
      }
    };
    const all = await Promise.all([run(false), run(true), run(false), run(true)]);
    assert.ok(published > 20, `${published} events`);
    for (const heard of all) for (const channel of channels) assert.deepEqual(heard[channel], range(1, published));
    await idle();
  });

  test('a poll is not a subscription', async () => {
    const { body } = await open(server(), ['keep-n']);
    const answer = poll(server(), { session: body.session_id, wait: 25 });
    await until(async () => await waiting(server()) === 1, 'the poll to wait');
    const state = await apiRequest(server(), 'GET', `/apps/${guideApp.id}/channels/keep-n`, { app: guideApp });
    assert.equal(state.json.occupied, false);
    const metrics = await server().metrics();
    assert.deepEqual([metrics.sum('carillon_sessions'), metrics.sum('carillon_subscriptions')], [0, 0]);
    await publish(server(), 'keep-n', 1);
    await answer;
    await idle();
  });
};

forEachWorkers('polling', { app: null, config: config() }, define);
describe('polling, stored first', () => define(useServer({ app: null, config: stored, workers: 4 })));

describe('polling, as the server changes', { timeout: 60000 * slowness }, () => {
  test('a reload ends the wait, and its rules count at the next poll', async () => {
    const server = await startServer({ app: null, config: config() });
    server.app = guideApp;
    const { body } = await open(server, ['private-user-7', 'keep-r']);
    const answer = poll(server, { session: body.session_id, wait: 25 });
    await until(async () => await waiting(server) === 2, 'the poll to wait');
    writeFileSync(`${server.folder}/carillon.yaml`, config('    - {channel: private-user-7, join: nobody}\n'));
    server.signal('SIGHUP');
    const ended = await answer;
    assert.deepEqual([ended.status, ended.body.events], [200, []]);
    assert.equal((await poll(server, { session: ended.body.session_id, wait: 0 })).status, 403);
    agent.destroy();
    await server.stop();
  });

  test('a rule that goes is told', async () => {
    const server = await startServer({ app: null, config: config() });
    server.app = guideApp;
    const { body } = await open(server, ['few-r']);
    const answer = poll(server, { session: body.session_id, wait: 25 });
    await until(async () => await waiting(server) === 1, 'the poll to wait');
    writeFileSync(`${server.folder}/carillon.yaml`, config().replace(/.*few-.*\n/, ''));
    server.signal('SIGHUP');
    await answer;
    const next = await poll(server, { session: body.session_id, wait: 0 });
    assert.deepEqual([next.status, next.body], [404, { detail: 'The history of few-r is not kept any more' }]);
    agent.destroy();
    await server.stop();
  });

  test('a server that stops answers who waits, and a restart is a gap', async () => {
    const server = await startServer({ app: null, config: config() });
    server.app = guideApp;
    await publish(server, 'keep-s', 1);
    const { body } = await open(server, ['keep-s']);
    const answer = poll(server, { session: body.session_id, wait: 25 });
    await until(async () => await waiting(server) === 1, 'the poll to wait');
    const before = Date.now();
    const stopped = server.stop();
    const ended = await answer;
    assert.deepEqual([ended.status, ended.body.events], [200, []]);
    await stopped;
    assert.ok(Date.now() - before < limit(10000));
    const next = await startServer({ app: null, config: config() });
    next.app = guideApp;
    const told = (await poll(next, { session: ended.body.session_id, wait: 25 })).body; // it does not wait
    assert.deepEqual([told.gap, told.events, told.positions['keep-s'].offset], [['keep-s'], [], 0]);
    agent.destroy();
    await next.stop();
  });

  test('with a store a restart is no gap, and what came while nobody polled is there', async () => {
    const folder = ownFolder('poll');
    try {
      const first = await startServer({ app: null, config: stored(folder) });
      await publish(first, 'keep-s', 1, 3);
      const { body } = await open(first, ['keep-s']);
      await publish(first, 'keep-s', 4, 5);
      agent.destroy();
      await first.stop();
      const second = await startServer({ app: null, config: stored(folder) });
      await publish(second, 'keep-s', 6);
      const answer = (await poll(second, { session: body.session_id, wait: 0 })).body;
      assert.deepEqual([numbers(answer), answer.gap], [[4, 5, 6], undefined]);
      agent.destroy();
      await second.stop();
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test('the guide\'s configuration has it, with its limits and names', async () => {
    const text = readFileSync(guideFile, 'utf8');
    const server = await startServer({ app: null, config: text.replace(/(path: \/api\/v1\/pusher\/poll\n.*\n *rate_limit: \{per_user: )500/, '$13') });
    server.app = guideApp;
    const opened = await ask(server, users.student, 'POST', '/fallback/connect', { channels: ['private-roblox-7'] });
    assert.deepEqual([opened.status, opened.body.poll_ms], [200, 250]);
    await ask(server, users.student, 'POST', '/api/v1/pusher/roblox/sync', { action: 'a' });
    const heard = await ask(server, users.student, 'GET', `/fallback/poll?${query({ session: opened.body.session_id })}`);
    assert.deepEqual(heard.body.events.map(({ event }) => event), ['sync_acknowledged', 'sync_completed']);
    for (const status of [200, 200, 429]) {
      const answer = await poll(server, { session: opened.body.session_id, wait: 0 });
      assert.equal(answer.status, status);
      if (status === 429) assert.ok(Number(answer.headers['retry-after']) > 0);
    }
    const { paths } = (await call(server, null, 'GET', '/api/v1/pusher/openapi.json')).body;
    assert.deepEqual(paths['/api/v1/pusher/poll'].get.parameters.map(({ name }) => name), ['session', 'since', 'wait']);
    agent.destroy();
    await server.stop();
  });
});
