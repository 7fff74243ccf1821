// Work that an operator's own backend does: what it is asked, what it may answer, and its faults.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import net from 'node:net';
import { after, before, describe, test } from 'node:test';
import { call, gatewayConfig, guideApp, guideClient, join, mint, startGuide, users } from './gateway.mjs';
import { apiClient, connected, limit, until } from './harness.mjs';
import { Receiver } from './receiver.mjs';

const { student, teacher } = users;
const SECRET = 'upstream-secret';

// The backend, and a server that asks it at /sync, /async and /own (with a body of its own).
async function start({ more = '', workers = 2, timeout = limit(800) } = {}) {
  const backend = await new Receiver().listen();
  const server = await startGuide({ workers, config: gatewayConfig(`  channels:
    - {channel: "private-user-{user.id}", join: user, publish: user}
    - {channel: "room", publish: user}
  routes:
    - {name: auth, path: /pusher/auth, auth: optional, builtin: auth}
    - name: sync
      path: /sync
      body: {n: number, text: string}
      upstream: {url: "${backend.url}", secret: ${SECRET}, timeout_ms: ${timeout}, max_inflight: 3, reply_bytes: 2000, forward: authorization}
      publish:
        - {when: upstream_ok, channel: "private-user-{user.id}", event: done, data: {got: "{upstream.value}", n: "{body.n}"}}
        - {when: upstream_error, channel: "private-user-{user.id}", event: failed, data: {error: "{error}"}}
      reply: {body: {ok: true, value: "{upstream.value}", request_id: "{request_id}"}}
    - name: async
      path: /async
      upstream: {url: "${backend.url}", mode: async, timeout_ms: ${timeout}}
      publish: [{when: accept, channel: "private-user-{user.id}", event: accepted, data: {id: "{request_id}"}}]
      reply: {status: 202, body: {request_id: "{request_id}"}}
${more}`) });
  server.app = guideApp;
  return { backend, server, stop: async () => { backend.close(); await server.stop(); } };
}

const json = (value, status = 200) => (request, response) => {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(typeof value === 'string' ? value : JSON.stringify(value));
};
const count = async (server, name) => (await server.metrics()).sum(`carillon_upstream_${name}_total`);

describe('an upstream', () => {
  let backend;
  let server;
  let stop;
  let client;
  before(async () => {
    ({ backend, server, stop } = await start());
    client = guideClient(server, student);
    await connected(client);
    await join(client, 'private-user-7');
    await join(client, 'room');
  });
  after(async () => { client.disconnect(); await stop(); });
  const fresh = (answer) => { backend.requests.length = 0; client.heard.length = 0; backend.answer = answer; };

  test('is asked with who, what and a signature; its value goes into the reply and the event', async () => {
    fresh(json({ value: { a: [1] } }));
    const token = mint({ ...student, team: 'red' });
    const answer = await call(server, token, 'POST', '/sync', { n: 5, request_id: 'r-1', extra: true }, { 'x-socket-id': client.connection.socket_id });
    assert.deepEqual([answer.status, answer.body], [200, { ok: true, value: { a: [1] }, request_id: 'r-1' }]);
    const [request] = backend.requests;
    assert.equal(request.method, 'POST');
    assert.equal(request.headers['content-type'], 'application/json');
    assert.equal(request.headers['idempotency-key'], 'r-1');
    assert.equal(request.headers.authorization, `Bearer ${token}`);
    const [, t, v1] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(request.headers['x-signature']);
    assert.equal(v1, createHmac('sha256', SECRET).update(`${t}.${request.body}`).digest('hex'));
    assert.ok(Math.abs(Number(t) - Date.now() / 1000) < 30);
    const { received_at: at, user: { claims, ...user }, ...rest } = JSON.parse(request.body);
    assert.deepEqual(rest, { route: 'sync', request_id: 'r-1', body: { n: 5, request_id: 'r-1', extra: true }, socket_id: client.connection.socket_id });
    assert.deepEqual(user, { id: '7', role: 'student', name: 'Sam' });
    assert.equal(claims.team, 'red');
    assert.ok(Math.abs(Date.parse(at) - Date.now()) < 30000);
    await until(() => client.heard.length === 1, 'the event');
    assert.deepEqual(client.heard[0], ['private-user-7', 'done', { got: { a: [1] }, n: 5 }]);
  });

  test('may answer by itself, with a status, and publish', async () => {
    fresh(json({ reply: { mine: 1 }, status: 201, publish: [{ channel: 'room', event: 'e', data: { x: 1 } }, { channel: 'room', event: 'f', data: 'text' }] }));
    const answer = await call(server, student, 'POST', '/sync', {});
    assert.deepEqual([answer.status, answer.body], [201, { mine: 1 }]);
    await until(() => client.heard.length === 3, 'the events');
    assert.deepEqual(client.heard.filter(([channel]) => channel === 'room').map(([, event, data]) => [event, data]), [['e', { x: 1 }], ['f', 'text']]);
  });

  test('a status without content stays without: the next answer is read as it is', async () => {
    fresh(json({ reply: { mine: 1 }, status: 204 }));
    const socket = net.connect(server.port, server.host);
    let text = '';
    socket.on('data', (bytes) => { text += bytes; });
    const ask = `POST /sync HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${mint(student)}\r\nContent-Length: 2\r\n\r\n{}`;
    socket.write(ask);
    await until(() => text.includes('\r\n\r\n'), 'the first answer');
    backend.answer = json({ value: 1 });
    socket.write(ask);
    await until(() => text.endsWith('}'), 'the second answer');
    assert.match(text, /^HTTP\/1\.1 204 No Content\r\n(?:[^\r]+\r\n)+\r\nHTTP\/1\.1 200 OK\r\n/);
    assert.doesNotMatch(text.slice(0, text.indexOf('HTTP/1.1 200')), /content-length|content-type/i);
    socket.destroy();
    await until(() => client.heard.length === 2, 'the events');
  });

  for (const error of [false, '', null])
    test(`an error that is none, ${JSON.stringify(error)}, is none`, async () => {
      fresh(json({ error, value: 5 }));
      assert.deepEqual((await call(server, student, 'POST', '/sync', {})).body.value, 5);
      await until(() => client.heard.length === 1, 'the event'); // or the next test hears it
    });

  test('may answer nothing', async () => {
    fresh((request, response) => { response.writeHead(204); response.end(); });
    assert.equal((await call(server, student, 'POST', '/sync', {})).status, 200);
    await until(() => client.heard.length === 1, 'the event');
    assert.deepEqual(client.heard[0].slice(1), ['done', { got: null, n: null }]);
  });

  test('may not know who asks', async () => {
    fresh(json({ error: 'who are you?', status: 401 }));
    const answer = await call(server, student, 'POST', '/sync', {});
    assert.deepEqual([answer.status, answer.body, answer.headers.get('www-authenticate')], [401, { detail: 'who are you?' }, 'Bearer']);
    await until(() => client.heard.length === 1, 'the event');
  });

  test('may refuse, with its own words', async () => {
    fresh(json({ error: 'no such room', status: 404 }));
    const answer = await call(server, student, 'POST', '/sync', {});
    assert.deepEqual([answer.status, answer.body], [404, { detail: 'no such room' }]);
    await until(() => client.heard.length === 1, 'the event');
    assert.deepEqual(client.heard[0].slice(1), ['failed', { error: 'no such room' }]);
  });

  const faults = [
    ['an error status', json('', 500), 502, 'The upstream answered with status 500'],
    ['invalid JSON', json('{'), 502, "The upstream's answer is not a JSON object"],
    ['JSON that is no object', json([1]), 502, "The upstream's answer is not a JSON object"],
    ['a huge answer', json({ value: 'x'.repeat(3000) }), 502, "The upstream's answer is too large"],
    ['a redirect', (request, response) => { response.writeHead(302, { location: backend.url }); response.end(); }, 502, 'The upstream answered with status 302'],
    ['an event that cannot be', json({ publish: [{ channel: 'a b', event: 'e', data: 1 }] }), 502, "The upstream's answer has an event that cannot be published"],
    ['a reset', (request, response) => response.socket.destroy(), 502, 'The upstream could not be reached'],
    ['silence', () => {}, 504, 'The upstream did not answer in time'],
  ];
  for (const [what, answer, status, detail] of faults)
    test(`${what}: ${status}, and the next request is served`, async () => {
      fresh(answer);
      const got = await call(server, student, 'POST', '/sync', {});
      assert.deepEqual([got.status, got.body], [status, { detail }]);
      await until(() => client.heard.length === 1, 'the failure\'s event');
      assert.deepEqual(client.heard[0].slice(1), ['failed', { error: detail }]);
      fresh(json({}));
      assert.equal((await call(server, student, 'POST', '/sync', {})).status, 200);
      await until(() => client.heard.length === 1, 'the event of the next');
    });

  test('is asked once more after 503, with the same key', async () => {
    fresh((request, response, n) => json(n === 1 ? '' : { value: 2 }, n === 1 ? 503 : 200)(request, response));
    const answer = await call(server, student, 'POST', '/sync', {});
    assert.deepEqual([answer.status, answer.body.value], [200, 2]);
    assert.equal(backend.requests.length, 2);
    assert.equal(backend.requests[0].headers['idempotency-key'], backend.requests[1].headers['idempotency-key']);
    fresh(json('', 502));
    assert.equal((await call(server, student, 'POST', '/sync', {})).status, 502);
    assert.equal(backend.requests.length, 2);
  });

  test('with nobody waiting: accepted at once, its events later, a failure as a message', async () => {
    let release;
    fresh((request, response) => { release = () => json({ publish: [{ channel: 'room', event: 'late', data: {} }] })(request, response); });
    const answer = await call(server, student, 'POST', '/async', {});
    assert.equal(answer.status, 202);
    await until(() => release, 'the question');
    release();
    await until(() => client.heard.some(([, event]) => event === 'late'), 'the event');
    fresh(json('', 500));
    const second = await call(server, student, 'POST', '/async', {});
    assert.equal(second.status, 202);
    await until(() => client.heard.some(([, event]) => event === 'message'), 'the failure');
    const [, , data] = client.heard.find(([, event]) => event === 'message');
    assert.deepEqual(data, { type: 'error', request_id: second.body.request_id, error: 'The upstream answered with status 500' });
  });

  test('no more than max_inflight at a time: 503 with Retry-After', async () => {
    const waiting = [];
    fresh((request, response) => waiting.push(() => json({})(request, response)));
    const calls = Array.from({ length: 3 }, () => call(server, student, 'POST', '/sync', {}));
    await until(() => waiting.length === 3, 'three questions');
    const fourth = await call(server, student, 'POST', '/sync', {});
    assert.deepEqual([fourth.status, fourth.body, fourth.headers.get('retry-after')], [503, { detail: 'Too many requests are with the upstream' }, '1']);
    for (const release of waiting) release();
    for (const answer of await Promise.all(calls)) assert.equal(answer.status, 200);
  });

  test('a caller that leaves costs nothing; the work is done all the same', async () => {
    let release;
    fresh((request, response) => { release = () => json({ value: 1 })(request, response); });
    const socket = net.connect(server.port, server.host);
    socket.write(`POST /sync HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${mint(student)}\r\nContent-Length: 2\r\n\r\n{}`);
    await until(() => release, 'the question');
    socket.destroy();
    release();
    await until(() => client.heard.some(([, event]) => event === 'done'), 'the event');
  });

  test('while it hangs, a publisher does not notice', async () => {
    const api = apiClient(server, { app: guideApp });
    const median = async () => {
      const times = [];
      for (let i = 0; i < 20; i++) {
        const from = process.hrtime.bigint();
        await api.trigger('room', 'tick', {});
        times.push(Number(process.hrtime.bigint() - from) / 1e6);
      }
      return times.sort((a, b) => a - b)[10];
    };
    fresh(() => {});
    const before = await median();
    const calls = Array.from({ length: 3 }, () => call(server, student, 'POST', '/sync', {}));
    await until(() => backend.requests.length === 3, 'the questions');
    let during = Infinity; // the machine may be busy with something else: the best of three counts
    for (let i = 0; i < 3; i++) during = Math.min(during, await median());
    for (const answer of await Promise.all(calls)) assert.equal(answer.status, 504);
    assert.ok(during < before * 2 + limit(10), `${before} ms before, ${during} ms meanwhile`);
  });

  test('the metrics say what became of them', async () => {
    for (const name of ['answers', 'failures', 'timeouts', 'refused']) assert.ok(await count(server, name) > 0, name);
  });
});

test('a case has what its own upstream asks for, and the limits of the route that it is', async () => {
  const { backend, server, stop } = await start({ more: `    - {name: few, path: /few, rate_limit: {per_user: 2, window_s: 600}, reply: {body: {few: true}}}
    - name: cases
      path: /cases
      dispatch:
        field: kind
        cases:
          far: {upstream: {url: "http://127.0.0.1:1/", forward: authorization}}
          few: {route: few}
        default: relay
` });
  const seen = await call(server, student, 'POST', '/cases', { kind: 'far' });
  assert.equal(seen.status, 502);
  const client = guideClient(server, student);
  await connected(client);
  await join(client, 'private-user-7');
  assert.equal((await call(server, student, 'POST', '/cases', { kind: 'other', payload: { a: 1 } })).status, 200);
  await until(() => client.heard.length === 1, 'the relay');
  assert.equal(client.heard[0][2].type, 'other', 'the field that was configured names the type');
  const statuses = [];
  for (let i = 0; i < 3; i++) statuses.push((await call(server, student, 'POST', '/cases', { kind: 'few' })).status);
  assert.deepEqual(statuses, [200, 200, 429]);
  client.disconnect();
  backend.close();
  await stop();
});

test('the header goes to the upstream of a case', async () => {
  const backend = await new Receiver().listen();
  backend.answer = json({});
  const server = await startGuide({ config: gatewayConfig(`  routes:
    - name: cases
      path: /cases
      dispatch: {field: kind, cases: {far: {upstream: {url: "${backend.url}", forward: authorization}}, near: {upstream: {url: "${backend.url}"}}}}
`) });
  const token = mint(student);
  for (const kind of ['far', 'near']) assert.equal((await call(server, token, 'POST', '/cases', { kind })).status, 200);
  assert.deepEqual(backend.requests.map(({ headers }) => headers.authorization), [`Bearer ${token}`, undefined]);
  await server.stop();
  backend.close();
});

test('a long answer is given whole, however slowly it is taken', async () => {
  const backend = await new Receiver().listen();
  backend.answer = json({ reply: { text: 'x'.repeat(6000000) } });
  const server = await startGuide({ config: gatewayConfig(`  routes:
    - {name: long, path: /long, upstream: {url: "${backend.url}", reply_bytes: 10000000}}
`) });
  const answer = await fetch(`${server.url}/long`, { method: 'POST', headers: { authorization: `Bearer ${mint(student)}` } });
  await until(async () => (await server.metrics()).sum('carillon_upstream_answers_total') === 1, 'the answer to be under way');
  assert.equal((await answer.json()).text.length, 6000000);
  await server.stop();
  backend.close();
});

describe('an upstream that keeps failing', () => {
  test('is left alone for a while after five failures, and found again', async () => {
    const { backend, server, stop } = await start();
    backend.answer = json('', 500);
    for (let i = 0; i < 5; i++) assert.equal((await call(server, student, 'POST', '/sync', {})).status, 502);
    const refused = await call(server, student, 'POST', '/sync', {});
    assert.deepEqual([refused.status, refused.body, refused.headers.get('retry-after')], [503, { detail: 'The upstream fails and is not asked for now' }, '5']);
    assert.equal(backend.requests.length, 5);
    assert.match(server.text, /event=upstream_paused route=sync failures=5/);
    backend.answer = json({});
    await until(async () => (await call(server, student, 'POST', '/sync', {})).status === 200, 'it to be asked again', 8000);
    assert.equal((await call(server, student, 'POST', '/sync', {})).status, 200);
    await stop();
  });

  test('that is down: 502', async () => {
    const { backend, server, stop } = await start();
    backend.close();
    assert.deepEqual((await call(server, student, 'POST', '/sync', {})).body, { detail: 'The upstream could not be reached' });
    await stop();
  });
});

describe('while an upstream is asked', () => {
  test('a reload changes nothing for the request; the next has the new configuration', async () => {
    const { backend, server, stop } = await start({ timeout: limit(5000) });
    let release;
    backend.answer = (request, response) => { release = () => json({ value: 'late' })(request, response); };
    const first = call(server, student, 'POST', '/sync', {});
    await until(() => release, 'the question');
    server.signal('SIGHUP');
    await until(() => server.text.includes('event=reloaded'), 'the reload');
    release();
    assert.equal((await first).body.value, 'late');
    await stop();
  });

  test('a stop waits for the answer', async () => {
    const { backend, server } = await start({ timeout: limit(5000) });
    let release;
    backend.answer = (request, response) => { release = () => json({ value: 'last' })(request, response); };
    const first = call(server, teacher, 'POST', '/sync', {});
    await until(() => release, 'the question');
    server.signal('SIGTERM');
    await until(() => server.text.includes('event=draining'), 'the drain');
    release();
    assert.equal((await first).body.value, 'last');
    await until(() => server.status, 'the end');
    assert.equal(server.status.code, 0);
    backend.close();
  });

  test('work that nobody waits for and that a stop cuts off is counted and logged', async () => {
    const { backend, server } = await start({ timeout: 60000 });
    backend.answer = () => {};
    assert.equal((await call(server, student, 'POST', '/async', { request_id: 'lost-1' })).status, 202);
    await until(() => backend.requests.length === 1, 'the question');
    server.signal('SIGTERM');
    await until(() => server.status, 'the end', 10000);
    assert.equal(server.status.code, 0);
    assert.match(server.text, /event=gateway_abandoned route=async request=lost-1/);
    backend.close();
  });
});
