// The routes as an OpenAPI document: it is one, and it says what the routes do.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { call, gatewayConfig, startGuide, users } from './gateway.mjs';
import { judgeOpenapi } from './openapi.mjs';

const target = '/api/v1/pusher/openapi.json';
const P = '/api/v1/pusher';

test('the judge of documents finds what is wrong', () => {
  const operation = (more) => ({ operationId: 'a', responses: { 200: { description: 'done' } }, ...more });
  const judge = (paths) => judgeOpenapi(JSON.stringify({ openapi: '3.1.0', info: { title: 't', version: '1' }, paths }));
  assert.deepEqual(judge({ '/a': { get: operation() } }), []);
  const wrong = [
    [{ '/a': { get: operation() }, '/b': { get: operation() } }, 'get /b: another operation is a, too'],
    [{ '/a/{b}': { get: operation() } }, 'get /a/{b}: path b is not declared'],
    [{ '/a': { get: operation({ parameters: [{ name: 'b', in: 'path', required: true, schema: {} }] }) } }, 'get /a: path b is not in it'],
    [{ '/a': { get: operation({ parameters: [{ name: 'b', in: 'query' }] }) } }, 'get /a b: no schema'],
    [{ '/a': { get: operation({ responses: {} }) } }, 'get /a: no responses'],
    [{ '/a': { get: operation({ responses: { 200: {} } }) } }, 'get /a: 200 has no description'],
    [{ '/a': { get: operation({ security: [{ key: [] }] }) } }, 'get /a: no security scheme key'],
    [{ '/a': { get: operation({ requestBody: { content: { 'a/b': { schema: { $ref: '#/no/where' } } } } }) } }, '#/no/where leads nowhere'],
  ];
  for (const [paths, fault] of wrong) assert.deepEqual(judge(paths), [fault]);
  assert.deepEqual(judgeOpenapi('{"openapi":"3.1.0","info":{"title":"t","version":"1"},"paths":{"/a":{},"/a":{}}}'), ['"/a" is there twice']);
});

describe('the guide\'s routes as a document', () => {
  let server;
  let paths;
  before(async () => {
    server = await startGuide();
    const { text, body } = await call(server, null, 'GET', target);
    assert.deepEqual(judgeOpenapi(text), []);
    ({ paths } = body);
  });
  after(() => server.stop());
  const parameters = (method, path) => (paths[path][method].parameters ?? []).map(({ name, required }) => `${name}${required ? '' : '?'}`);
  const body = (path, type = 'application/json') => paths[path].post.requestBody.content[type].schema;

  test('an alias has a name of its own', () => {
    assert.deepEqual(['/api/v1/pusher/auth', '/pusher/auth', '/api/v1/realtime/trigger', '/realtime/trigger'].map((path) => paths[path].post.operationId),
      ['auth', 'auth_2', 'realtime_trigger', 'realtime_trigger_2']);
  });

  test('what builtins read of the query', () => {
    assert.deepEqual(parameters('post', `${P}/subscribe`), ['channel']);
    assert.deepEqual(parameters('post', `${P}/unsubscribe`), ['channel']);
    assert.deepEqual(parameters('post', `${P}/broadcast`), ['channel', 'event']);
    assert.deepEqual(parameters('get', `${P}/history`), ['channel', 'limit?', 'direction?', 'since?', 'until?', 'start_ms?', 'end_ms?', 'cursor?']);
    assert.deepEqual(parameters('get', '/fallback/poll'), ['session?', 'since?', 'wait?']);
  });

  test('what they read of the body, beside the fields of the route', () => {
    for (const type of ['application/x-www-form-urlencoded', 'application/json']) {
      assert.deepEqual(body('/pusher/auth', type).required, ['socket_id', 'channel_name'], type);
      assert.deepEqual(body(`${P}/user-auth`, type).required, ['socket_id'], type);
    }
    assert.deepEqual(Object.keys(body(`${P}/trigger`).properties), ['channel', 'event', 'data']);
    assert.deepEqual([paths[`${P}/broadcast`].post.requestBody.required, body(`${P}/broadcast`)], [false, { type: 'object' }]);
    assert.deepEqual(body(`${P}/poll/open`).required, ['channels']);
  });

  test('a parameter that must be there is missed, under its name', async () => {
    let n = 0;
    for (const [path, item] of Object.entries(paths))
      for (const [method, { parameters: all = [] }] of Object.entries(item))
        for (const missing of all.filter(({ required }) => required)) {
          const query = all.filter(({ required, name }) => required && name !== missing.name).map(({ name }) => `${name}=a`).join('&');
          const answer = await call(server, users.admin, method.toUpperCase(), `${path}?${query}`, method === 'post' ? {} : undefined);
          assert.deepEqual([answer.status, answer.body.detail[0].type, answer.body.detail[0].loc], [422, 'missing', ['query', missing.name]], path);
          n += 1;
        }
    assert.equal(n, 5);
  });

  test('answers that are no success are there where they come', async () => {
    const statuses = (method, path) => Object.keys(paths[path][method].responses).map(Number);
    const long = { pad: 'x'.repeat(70000) };
    const rows = [
      [400, 'POST', '/pusher/auth', {}], [400, 'POST', `${P}/user-auth`, '{'], [400, 'GET', `${P}/history`, undefined, '?channel=public-a&limit=x'],
      [404, 'GET', `${P}/history`, undefined, '?channel=presence-analytics-realtime'], [410, 'GET', `${P}/history`, undefined, '?channel=public-a&since=other:1'],
      [404, 'GET', `${P}/poll`, undefined, '?session=x'], [413, 'POST', `${P}/message`, { message_type: 'a', ...long }], [413, 'POST', '/pusher/auth', long],
      [413, 'POST', `${P}/trigger`, { channel: 'public-test', event: 'message', data: { pad: 'x'.repeat(11000) } }],
      [422, 'POST', `${P}/roblox/sync`, {}], [422, 'POST', `${P}/broadcast`, {}], [401, 'GET', `${P}/user/channels`], [403, 'GET', '/pusher/stats'],
    ];
    for (const [status, method, path, given, query = ''] of rows) {
      const user = status === 401 ? null : status === 403 ? users.student : users.admin;
      assert.equal((await call(server, user, method, `${path}${query}`, given)).status, status, path);
      assert.ok(statuses(method.toLowerCase(), path).includes(status), `${method} ${path}: ${status}`);
    }
    assert.deepEqual(statuses('get', '/pusher/status'), [200]);
  });
});

test('routes of all kinds are a document that is well formed', async () => {
  const server = await startGuide({ config: gatewayConfig(`  routes:
    - {name: openapi, method: GET, path: ${target}, auth: none, builtin: openapi}
    - {name: room, path: "/rooms/{room}/{part}", aliases: ["/halls/{room}", /plain, /plain], reply: {status: 202}}
    - {name: room_2, method: GET, path: "/rooms/{room}/{part}"}
    - {name: room_3, method: DELETE, path: "/rooms/{room}/{part}", body: {a: {enum: [x, y]}, b: {default: 1}, c: {type: string, nullable: true, max_len: 3, default: "q", enum: [q]}, d.e: {required: true}}}
    - {name: a "quoted" one, path: /quoted, auth: optional, builtin: trigger, body: {channel: {type: string, required: true, max_len: 9}}}
    - name: chooses
      path: /chooses
      dispatch: {field: kind, default: reject, cases: {far: {upstream: {url: "http://127.0.0.1:9/x"}}}}
`) });
  const { text, body: { paths } } = await call(server, null, 'GET', target);
  assert.deepEqual(judgeOpenapi(text), []);
  assert.deepEqual(Object.values(paths).flatMap((item) => Object.values(item).map(({ operationId }) => operationId)),
    ['openapi', 'room', 'room_2', 'room_3', 'room_2_', 'room_3_', 'a "quoted" one', 'chooses']);
  assert.deepEqual(paths['/rooms/{room}/{part}'].get.parameters.map(({ name }) => name), ['room', 'part']);
  assert.deepEqual(paths['/halls/{room}'].post.parameters.map(({ name }) => name), ['room']);
  assert.deepEqual(Object.keys(paths['/quoted'].post.requestBody.content['application/json'].schema.properties), ['channel', 'event', 'data']);
  assert.deepEqual(Object.keys(paths['/chooses'].post.responses), ['200', '401', '403', '413', '422', '502', '503', '504']);
  await server.stop();
});
