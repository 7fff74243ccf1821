// The guide's endpoints: what they answer, what they publish, and what they refuse.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { call, gatewayConfig, guideApp, guideClient, join, mint, startGuide, users } from './gateway.mjs';
import { apiClient, connected, expectIdle, limit, until } from './harness.mjs';
import { httpSocket } from './http.mjs';

const { student, teacher, admin } = users;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00$/;
const missing = (field, input) => ({ detail: [{ type: 'missing', loc: ['body', ...field.split('.')], msg: 'Field required', input }] });
const P = '/api/v1/pusher';

for (const workers of [1, 4])
  describe(`the guide's endpoints (${workers} workers)`, () => {
    let server;
    const clients = [];
    before(async () => { server = await startGuide({ workers }); });
    after(async () => {
      for (const client of clients) client.disconnect();
      await expectIdle(server);
      await server.stop();
    });
    const connect = async (user, ...channels) => {
      const client = guideClient(server, user);
      clients.push(client);
      await connected(client);
      for (const channel of channels) await join(client, channel);
      return client;
    };
    const heard = (client, event, n = 1, ms = 5000) => until(() => {
      const found = client.heard.filter(([, name]) => name === event);
      return found.length >= n && found;
    }, `${n} ${event}`, ms);

    test('/message relays to the channel, or to the caller\'s own', async () => {
      const one = await connect(student, 'presence-content-updates', 'private-user-7');
      const two = await connect(teacher, 'presence-content-updates');
      const payload = { text: 'a "quoted" \\ text', n: 1.5, list: [null, true] };
      const answer = await call(server, student, 'POST', `${P}/message`, { message_type: 'chat', payload, channel: 'presence-content-updates' });
      assert.equal(answer.status, 200);
      const { request_id: id, timestamp, ...rest } = answer.body;
      assert.deepEqual(rest, { success: true, message: 'Message sent successfully', user_id: '7', channel: 'presence-content-updates' });
      assert.match(id, UUID);
      assert.match(timestamp, ISO);
      for (const client of [one, two]) {
        const [[channel, , data]] = await heard(client, 'message');
        assert.equal(channel, 'presence-content-updates');
        assert.deepEqual({ ...data, timestamp: '' }, { type: 'chat', payload, user_id: '7', timestamp: '', request_id: id });
      }
      const own = await call(server, student, 'POST', `${P}/message`, { message_type: 'test_message', channel: null });
      assert.equal(own.body.channel, 'private-user-7');
      const found = await heard(one, 'message', 2);
      assert.deepEqual([found[1][0], found[1][2].payload], ['private-user-7', {}]);
      assert.equal(two.heard.length, 1);
    });

    test('another\'s channel is refused, and nobody hears anything', async () => {
      const victim = await connect(admin, 'private-user-9');
      for (const channel of ['private-user-9', 'presence-analytics-realtime', 'private-admin-x', 'public-news']) {
        const answer = await call(server, student, 'POST', `${P}/message`, { message_type: 'x', channel });
        assert.deepEqual([answer.status, answer.body], [403, { detail: 'Insufficient permissions for this channel' }], channel);
      }
      await apiClient(server, { app: guideApp }).trigger('private-user-9', 'last', {});
      await heard(victim, 'last');
      assert.equal(victim.heard.length, 1);
    });

    test('an environment: started, progress and completion with one request_id, a summary for all', async () => {
      const client = await connect(student, 'private-user-7', 'presence-content-updates');
      const answer = await call(server, student, 'POST', `${P}/environment/create`, { environment_type: 'castle', request_id: 'mine-1' });
      assert.deepEqual({ ...answer.body, timestamp: '' },
        { success: true, request_id: 'mine-1', message: 'Environment creation started', channel: 'private-user-7', timestamp: '' });
      const [[, , started]] = await heard(client, 'environment_creation_started');
      assert.deepEqual({ ...started, timestamp: '' }, { request_id: 'mine-1', environment_type: 'castle', user_id: '7', timestamp: '', demo: true });
      const events = (await heard(client, 'message', 5, 9000)).map(([, , data]) => data);
      assert.deepEqual(events.map(({ type, progress, result }) => [type, progress ?? result.status]), [
        ...[25, 50, 75, 100].map((progress) => ['environment_creation_progress', progress]), ['environment_creation_completed', 'ready']]);
      for (const event of events) assert.deepEqual([event.request_id, event.demo], ['mine-1', true]);
      const [[channel, , summary]] = await heard(client, 'content_update');
      assert.deepEqual([channel, summary.environment_type], ['presence-content-updates', 'castle']);
    });

    test('analytics: at once and every 5 s while somebody is there; the numbers are those of /metrics', async () => {
      const client = await connect(teacher, 'presence-analytics-realtime');
      const answer = await call(server, teacher, 'POST', `${P}/analytics/realtime`, { metric_type: 'users' });
      assert.deepEqual({ ...answer.body, timestamp: '' },
        { success: true, channel: 'presence-analytics-realtime', message: 'Subscribed to real-time analytics', metric_type: 'users', timestamp: '' });
      const [, [, , data]] = await heard(client, 'analytics_update', 2);
      const metrics = await server.metrics();
      const { metrics: all } = data;
      for (const name of ['subscriptions', 'home_channels', 'users']) assert.equal(all[name], metrics.sum(`carillon_${name}`), name);
      assert.equal(data.active_connections, metrics.sum('carillon_sessions'));
      assert.equal(data.active_users, metrics.sum('carillon_active_users'));
      const times = (await heard(client, 'analytics_update', 3, 9000)).map(([, , { timestamp }]) => Date.parse(timestamp));
      assert.ok(times[2] - times[0] >= 4900 && times[2] - times[0] < limit(8000), `${times[2] - times[0]} ms`);
    });

    test('a Roblox step is acknowledged, completed, and told to those who watch', async () => {
      const client = await connect(student, 'private-roblox-7');
      const watcher = await connect(teacher, 'private-roblox-sync');
      const data = { parts: [1, 2] };
      const answer = await call(server, student, 'POST', `${P}/roblox/sync`, { action: 'push', data });
      const id = answer.body.request_id;
      assert.deepEqual({ ...answer.body, timestamp: '' },
        { success: true, channel: 'private-roblox-7', action: 'push', request_id: id, status: 'synchronizing', timestamp: '' });
      const [[, , acknowledged]] = await heard(client, 'sync_acknowledged');
      assert.deepEqual({ ...acknowledged, timestamp: '' }, { action: 'push', request_id: id, status: 'processing', timestamp: '' });
      const [[, , completed]] = await heard(client, 'sync_completed');
      assert.deepEqual({ ...completed, timestamp: '' }, { action: 'push', request_id: id, result: data, timestamp: '' });
      const [[, , copy]] = await heard(watcher, 'roblox_sync');
      assert.deepEqual({ ...copy, timestamp: '' }, { action: 'push', data, user_id: '7', request_id: id, timestamp: '' });
    });

    test('types of /message that are other endpoints do what those do', async () => {
      const client = await connect(student, 'private-user-7', 'private-roblox-7');
      assert.equal((await call(server, student, 'POST', `${P}/message`, { message_type: 'roblox_sync', payload: { action: 'a', x: 1 } })).status, 200);
      assert.deepEqual((await heard(client, 'sync_completed'))[0][2].result, { action: 'a', x: 1 });
      assert.equal((await call(server, student, 'POST', `${P}/message`, { message_type: 'environment_create', payload: { type: 'hut' } })).status, 200);
      assert.equal((await heard(client, 'environment_creation_started'))[0][2].environment_type, 'hut');
      const denied = await call(server, student, 'POST', `${P}/message`, { message_type: 'analytics_request' });
      assert.equal(denied.status, 403);
      assert.equal((await call(server, teacher, 'POST', `${P}/message`, { message_type: 'analytics_request' })).status, 200);
    });

    test('what a user\'s connections are in, on every worker; leaving and closing', async () => {
      const user = { sub: 'u-many', role: 'student' };
      assert.deepEqual((await call(server, user, 'GET', `${P}/user/channels`)).body,
        { success: true, user_id: 'u-many', channels: [], connections: 0, message: 'User has no connections' });
      const own = [];
      for (let i = 0; i < 6; i++) own.push(await connect(user, 'presence-content-updates', ...(i === 0 ? ['private-user-u-many'] : [])));
      const { body } = await call(server, user, 'GET', `${P}/user/channels`);
      assert.deepEqual({ ...body, channels: body.channels.sort() },
        { success: true, user_id: 'u-many', channels: ['presence-content-updates', 'private-user-u-many'], connections: 6 });
      const asked = await call(server, user, 'POST', `${P}/subscribe?channel=private-user-u-many`);
      assert.deepEqual([asked.body.success, asked.body.subscribed, asked.body.connections], [true, true, 1]);
      assert.equal((await call(server, user, 'POST', `${P}/subscribe?channel=private-user-9`)).status, 403);
      assert.deepEqual((await call(server, user, 'POST', `${P}/unsubscribe?channel=presence-content-updates`)).body,
        { success: true, user_id: 'u-many', channel: 'presence-content-updates', connections: 6, message: 'Unsubscribed' });
      assert.deepEqual((await call(server, user, 'POST', `${P}/unsubscribe?channel=presence-content-updates`)).body,
        { success: false, user_id: 'u-many', channel: 'presence-content-updates', connections: 0, message: 'User was not subscribed' });
      const other = await connect(teacher);
      assert.equal((await call(server, user, 'DELETE', `${P}/disconnect`)).body.connections, 6);
      for (const client of own) await until(() => client.connection.state === 'disconnected', 'the end'); // 4009: no return
      assert.equal(other.connection.state, 'connected');
    });

    test('trigger: the channel\'s rule and the event\'s rule', async () => {
      const client = await connect(teacher, 'presence-content-updates');
      const ask = (user, channel, event, data = {}, target = `${P}/trigger`) => call(server, user, 'POST', target, { channel, event, data });
      const rows = [
        [student, 'presence-content-updates', 'typing-indicator', 200],
        [student, 'presence-content-updates', 'badge-earned', 200],
        [student, 'presence-content-updates', 'class-announcement', 403],
        [student, 'presence-content-updates', 'anything', 403],
        [student, 'private-user-7', 'anything', 200],
        [student, 'private-user-7', 'admin-note', 403],
        [student, 'private-user-8', 'typing-indicator', 403],
        [teacher, 'presence-content-updates', 'class-announcement-x', 200],
        [teacher, 'presence-content-updates', 'badge-earned', 403],
        [teacher, 'presence-content-updates', 'delete-user', 403],
        [admin, 'presence-content-updates', 'delete-user', 200],
        [admin, 'private-user-7', 'admin-note', 200],
      ];
      for (const [user, channel, event, status] of rows)
        assert.equal((await ask(user, channel, event)).status, status, `${user.role} ${channel} ${event}`);
      const answer = await ask(teacher, 'presence-content-updates', 'lesson-started', { a: 1, _meta: 'mine' });
      assert.deepEqual(answer.body, { success: true, channel: 'presence-content-updates', event: 'lesson-started', triggered_by: '8', result: { channel: 'presence-content-updates', event: 'lesson-started' } });
      const [[, , data]] = await heard(client, 'lesson-started');
      assert.deepEqual([data.a, data._meta.triggered_by, data._meta.user_role], [1, '8', 'teacher']);
      for (const target of ['/api/v1/realtime/trigger', '/realtime/trigger']) {
        const other = await ask(student, 'presence-content-updates', 'message', { type: 't' }, target);
        assert.deepEqual({ ...other.body, data: { ...other.body.data, timestamp: '' } }, {
          status: 'success', message: 'Event triggered', data: { channel: 'presence-content-updates', event: 'message', triggered_by: '7', timestamp: '' },
          result: { channel: 'presence-content-updates', event: 'message' } });
      }
    });

    test('broadcast is for admins', async () => {
      const client = await connect(student, 'presence-content-updates');
      const target = `${P}/broadcast?channel=presence-content-updates&event=news%20flash`;
      const answer = await call(server, teacher, 'POST', target, { a: 1 });
      assert.deepEqual([answer.status, answer.body], [403, { detail: "Role 'admin' required" }]);
      const sent = await call(server, admin, 'POST', target, { a: { b: 'c' } });
      assert.deepEqual({ ...sent.body, timestamp: '' },
        { success: true, channel: 'presence-content-updates', event: 'news flash', message: 'Event broadcast', timestamp: '' });
      assert.deepEqual((await heard(client, 'news flash'))[0][2], { a: { b: 'c' } });
      const direct = `${P}/trigger`;
      assert.equal((await call(server, teacher, 'POST', direct, { channel: '#server-to-user-1', event: 'message' })).status, 403);
      assert.equal((await call(server, admin, 'POST', direct, { channel: '#server-to-user-1', event: 'message' })).status, 200);
      assert.equal((await call(server, admin, 'POST', `${P}/broadcast?event=e`, {})).status, 422);
      const open = await call(server, admin, 'POST', `${P}/broadcast?channel=private-anything&event=e`, { a: 1 });
      assert.deepEqual([open.status, open.body.event, open.body.channel], [200, 'e', 'private-anything']);
    });

    test('status, stats, and the routes as a document', async () => {
      const status = await call(server, null, 'GET', '/pusher/status');
      assert.deepEqual([status.status, status.body.connected, status.body.cluster, status.body.status], [200, true, 'self', 'healthy']);
      assert.ok(Date.parse(status.body.since) <= Date.now());
      const asked = await call(server, student, 'GET', '/api/v1/realtime/status');
      assert.deepEqual(asked.body, { status: 'active', message: 'The realtime service is up', service: 'pusher', user_access: 'student' });
      assert.deepEqual((await call(server, admin, 'GET', '/realtime/status')).body.configuration, { cluster: 'self', ssl: false, app_id: 'app-id', key: 'app-key' });
      assert.equal((await call(server, teacher, 'GET', '/pusher/stats')).status, 403);
      await connect({ sub: 'seen', role: 'student' }, 'presence-content-updates');
      const stats = await call(server, admin, 'GET', '/pusher/stats');
      assert.equal(stats.body.status, 'success');
      assert.ok(stats.body.data.users.includes('seen') && stats.body.data.connected_users >= 1);
      const { body: openapi } = await call(server, null, 'GET', `${P}/openapi.json`);
      assert.equal(openapi.openapi, '3.1.0');
      assert.deepEqual(Object.keys(openapi.paths[`${P}/message`]), ['post']);
      assert.deepEqual(openapi.paths[`${P}/message`].post.requestBody.content['application/json'].schema.required, ['message_type']);
      assert.ok(!(`${P}/webhook` in openapi.paths));
    });
  });

describe('bad input', () => {
  let server;
  before(async () => { server = await startGuide(); });
  after(() => server.stop());

  const type = (field, kind, msg, input) => ({ detail: [{ type: kind, loc: ['body', ...field.split('.')], msg, input }] });
  const rows = [
    ['/message', {}, missing('message_type', { payload: {} })],
    ['/message', { message_type: null }, type('message_type', 'string_type', 'Input should be a valid string', null)],
    ['/message', { message_type: 5 }, type('message_type', 'string_type', 'Input should be a valid string', 5)],
    ['/message', { message_type: '' }, type('message_type', 'string_too_short', 'String should have at least 1 character', '')],
    ['/message', { message_type: 'x'.repeat(101) }, type('message_type', 'string_too_long', 'String should have at most 100 characters', 'x'.repeat(101))],
    ['/message', { message_type: 'a', payload: [] }, type('payload', 'dict_type', 'Input should be a valid dictionary', [])],
    ['/message', { message_type: 'a', payload: null }, type('payload', 'dict_type', 'Input should be a valid dictionary', null)],
    ['/message', { message_type: 'a', channel: 5 }, type('channel', 'string_type', 'Input should be a valid string', 5)],
    ['/message', { message_type: 'agent_chat_user', payload: { text: 'x' } }, missing('payload.conversationId', { message_type: 'agent_chat_user', payload: { text: 'x' } })],
    ['/message', { message_type: 'ai_message', payload: { conversation_id: 1 } }, missing('payload.message', { message_type: 'ai_message', payload: { conversation_id: 1 } })],
    ['/environment/create', {}, missing('environment_type', { config: {} })],
    ['/environment/create', { environment_type: 'a', config: 'x' }, type('config', 'dict_type', 'Input should be a valid dictionary', 'x')],
    ['/analytics/realtime', { metric_type: 1 }, type('metric_type', 'string_type', 'Input should be a valid string', 1)],
    ['/analytics/realtime', { include_realtime: 'yes' }, type('include_realtime', 'bool_type', 'Input should be a valid boolean', 'yes')],
    ['/roblox/sync', { data: {} }, missing('action', { data: {} })],
    ['/roblox/sync', { action: 'a', data: 7 }, type('data', 'dict_type', 'Input should be a valid dictionary', 7)],
    ['/trigger', { channel: 'public-test' }, missing('event', { channel: 'public-test', data: {} })],
  ];
  for (const [target, body, wanted] of rows)
    test(`${target} ${JSON.stringify(body).slice(0, 70)}`, async () => {
      const answer = await call(server, teacher, 'POST', `${P}${target}`, body);
      assert.deepEqual([answer.status, answer.body], [422, wanted]);
    });

  test('bodies that are no object', async () => {
    const bodies = [['{', 'json_invalid', 'JSON decode error'], ['[1]', 'model_attributes_type', 'Input should be a valid dictionary or object to extract fields from'],
      ['"x"', 'model_attributes_type', 'Input should be a valid dictionary or object to extract fields from'], ['', 'missing', 'Field required'],
      ['{"message_type":"\xff"}', 'json_invalid', 'JSON decode error']];
    for (const [body, kind, msg] of bodies.slice(0, 4)) {
      const answer = await call(server, teacher, 'POST', `${P}/message`, body);
      assert.deepEqual([answer.status, answer.body], [422, { detail: [{ type: kind, loc: ['body'], msg, input: null }] }], body);
    }
  });

  test('names that no channel and no event has', async () => {
    for (const channel of ['a b', '', 'x'.repeat(201), 'ü', 'a\u0000b']) {
      const answer = await call(server, teacher, 'POST', `${P}/message`, { message_type: 'x', channel });
      assert.equal(answer.status, 422, channel);
      assert.deepEqual(answer.body.detail[0].loc, ['body', 'channel']);
    }
    for (const event of ['', 'pusher:x', 'pusher_internal:x', 'x'.repeat(201)]) {
      const answer = await call(server, admin, 'POST', `${P}/trigger`, { channel: 'public-test', event });
      assert.deepEqual([answer.status, answer.body.detail[0]?.loc], [422, ['body', 'event']], event);
    }
  });

  test('a user id that no channel can hold is named', async () => {
    const user = { sub: 'auth0|x', role: 'teacher' };
    for (const [target, body] of [['/message', { message_type: 'a' }], ['/environment/create', { environment_type: 'a' }], ['/roblox/sync', { action: 'a' }]]) {
      const answer = await call(server, user, 'POST', `${P}${target}`, body);
      assert.equal(answer.status, 422, target);
      assert.deepEqual(answer.body.detail[0].loc, ['token', 'sub']);
    }
    const mapped = await call(server, user, 'POST', `${P}/message`, { message_type: 'a', channel: 'public-test' });
    assert.equal(mapped.status, 200, 'where the id is only data it may be anything');
  });

  test('too large: the body, the event\'s data', async () => {
    const big = await call(server, teacher, 'POST', `${P}/message`, { message_type: 'a', payload: { x: 'y'.repeat(70000) } });
    assert.deepEqual([big.status, big.body], [413, { detail: 'The request body is too large' }]);
    const data = await call(server, teacher, 'POST', `${P}/message`, { message_type: 'a', payload: { x: 'y'.repeat(11000) } });
    assert.equal(data.status, 413);
    assert.match(data.body.detail, /^The data of this event has \d+ bytes, and at most 10240 may be sent$/);
    assert.equal((await call(server, teacher, 'POST', `${P}/message`, { message_type: 'a' })).status, 200);
  });

  test('signing: forms and JSON, and what is wrong with them', async () => {
    const ask = (body, headers, target = '/pusher/auth') => call(server, teacher, 'POST', target, body, headers);
    const form = { 'content-type': 'application/x-www-form-urlencoded' };
    const one = await ask('socket_id=1.2&channel_name=private-user-8', form);
    const two = await ask({ socket_id: '1.2', channel_name: 'private-user-8' });
    assert.deepEqual(one.body, two.body);
    assert.match(one.body.auth, /^app-key:[0-9a-f]{64}$/);
    const both = { detail: 'Missing required fields: socket_id and channel_name' };
    for (const [body, headers, status, wanted] of [
      ['', form, 400, both], ['socket_id=1.2', form, 400, both], [{ channel_name: 'private-user-8' }, {}, 400, both],
      ['{', {}, 400, { detail: 'Invalid request format' }], ['%zz=1', form, 400, { detail: 'Invalid request format' }], ['[]', {}, 400, { detail: 'Invalid request format' }],
    ]) assert.deepEqual([(await ask(body, headers)).status, (await ask(body, headers)).body], [status, wanted], JSON.stringify(body));
    for (const [body, loc] of [
      [{ socket_id: 'x', channel_name: 'private-user-8' }, 'socket_id'], [{ socket_id: '1.2:a', channel_name: 'private-user-8' }, 'socket_id'],
      [{ socket_id: 5, channel_name: 'private-user-8' }, 'socket_id'], [{ socket_id: '1.2', channel_name: 'a b' }, 'channel_name'],
      [{ socket_id: '1.2', channel_name: ['private-user-8'] }, 'channel_name'], [{ socket_id: '1.2\nx', channel_name: 'private-user-8' }, 'socket_id'],
    ]) {
      const answer = await ask(body);
      const { loc: where, input } = answer.body.detail[0];
      assert.deepEqual([answer.status, where, input], [422, ['body', loc], body[loc]], JSON.stringify(body));
    }
    const anonymous = await call(server, null, 'POST', '/pusher/auth', { socket_id: '1.2', channel_name: 'public-x' });
    assert.equal(anonymous.status, 200);
    assert.deepEqual((await ask({}, {}, '/pusher/user-auth')).body, { detail: 'Missing required field: socket_id' });
  });

  test('methods: HEAD, OPTIONS, and those that a path has not', async () => {
    const answer = await call(server, teacher, 'PUT', `${P}/message`, {});
    assert.deepEqual([answer.status, answer.headers.get('allow'), answer.body], [405, 'POST, OPTIONS', { detail: 'Method Not Allowed' }]);
    const head = await fetch(`${server.url}/pusher/status`, { method: 'HEAD' });
    assert.deepEqual([head.status, await head.text()], [200, '']);
    assert.ok(Number(head.headers.get('content-length')) > 10);
  });

  test('a path that is no route is told so in the same shape, to a page of another origin too', async () => {
    for (const [method, path] of [['GET', `${P}/nosuch`], ['POST', `${P}/mesage`], ['POST', P], ['DELETE', '/api/v2']]) {
      const answer = await call(server, teacher, method, path, method === 'POST' ? {} : undefined, { origin: 'http://localhost:5173' });
      assert.deepEqual([answer.status, answer.body, answer.headers.get('access-control-allow-origin')],
        [404, { detail: 'Not Found' }, 'http://localhost:5173'], `${method} ${path}`);
    }
    const elsewhere = await fetch(`${server.url}/nosuch`);
    assert.deepEqual([elsewhere.status, await elsewhere.text()], [404, '404 NOT FOUND\n']);
  });

  test('X-Socket-Id must be one', async () => {
    const answer = await call(server, teacher, 'POST', `${P}/message`, { message_type: 'a' }, { 'x-socket-id': 'abc' });
    assert.deepEqual([answer.status, answer.body.detail[0].loc], [422, ['header', 'X-Socket-Id']]);
    assert.equal((await call(server, teacher, 'POST', `${P}/message`, { message_type: 'a' }, { 'x-socket-id': '1.2' })).status, 200);
  });

  test('pages of other origins', async () => {
    const ask = async (origin, method = 'POST') => {
      const answer = await fetch(`${server.url}${P}/message`, { method, headers: { origin, authorization: `Bearer ${mint(teacher)}` }, body: method === 'POST' ? '{"message_type":"a"}' : undefined });
      await answer.text();
      return answer.headers;
    };
    for (const origin of ['http://localhost:5173', 'http://127.0.0.1:3000', 'https://localhost', 'http://[::1]:8080'])
      for (const method of ['POST', 'OPTIONS']) {
        const headers = await ask(origin, method);
        assert.deepEqual([headers.get('access-control-allow-origin'), headers.get('vary')], [origin, 'Origin'], `${method} ${origin}`);
      }
    for (const origin of ['https://elsewhere.example', 'http://localhost.evil.example', 'http://localhost:80x', 'null', 'file://'])
      assert.equal((await ask(origin)).get('access-control-allow-origin'), null, origin);
    const preflight = await ask('http://localhost:5173', 'OPTIONS');
    assert.equal(preflight.get('access-control-allow-headers'), 'authorization, content-type, x-socket-id');
    assert.equal(preflight.get('access-control-allow-methods'), 'POST, OPTIONS');
  });

  test('a pipeline of good and bad requests is answered in order', async () => {
    const http = await httpSocket(server);
    const token = mint(teacher);
    const text = (body) => `POST ${P}/message HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    http.write(['{"message_type":"a"}', '{', '{"message_type":"b","channel":"private-user-9x"}', '{"message_type":"c"}'].map(text).join(''));
    const statuses = [];
    for (let i = 0; i < 4; i++) statuses.push((await http.response()).status);
    assert.deepEqual(statuses, [200, 422, 403, 200]);
    http.destroy();
  });
});

describe('what a configuration may change', () => {
  const start = (rest, more) => startGuide({ workers: 4, config: gatewayConfig(rest, more) });

  test('429 with Retry-After, counted over all workers and for each user', async () => {
    const server = await start('  routes:\n    - {name: r, path: /r, rate_limit: {per_user: 5, window_s: 30}, builtin: ack}\n');
    const statuses = [];
    for (let i = 0; i < 12; i++) statuses.push((await call(server, student, 'POST', '/r', {})).status);
    assert.deepEqual(statuses, [...Array(5).fill(200), ...Array(7).fill(429)]);
    const answer = await call(server, student, 'POST', '/r', {});
    const wait = Number(answer.headers.get('retry-after'));
    assert.ok(wait >= 1 && wait <= 30);
    assert.match(answer.body.detail, /^Rate limit exceeded\. Retry after \d+ seconds$/);
    assert.equal((await call(server, teacher, 'POST', '/r', {})).status, 200);
    assert.equal((await server.metrics()).sum('carillon_gateway_limited_total'), 8);
    await server.stop();
  });

  test('strict refuses an unknown type; cases have roles of their own', async () => {
    const server = await start(`  strict: true
  routes:
    - name: m
      path: /m
      body: {t: {type: string, required: true}, payload: object}
      dispatch: {field: t, cases: {a: ack, b: {roles: teacher, builtin: ack}}}
`);
    assert.equal((await call(server, student, 'POST', '/m', { t: 'a' })).status, 200);
    assert.equal((await call(server, student, 'POST', '/m', { t: 'b' })).status, 403);
    assert.equal((await call(server, teacher, 'POST', '/m', { t: 'b' })).status, 200);
    const answer = await call(server, student, 'POST', '/m', { t: 'c' });
    assert.deepEqual([answer.status, answer.body.detail[0].loc], [422, ['body', 't']]);
    await server.stop();
  });

  test('the caller\'s own socket is left out where that is said; parts of a path, safe names', async () => {
    const server = await start(`  channels: [{channel: "room-*", publish: user}]
  routes:
    - name: say
      path: /rooms/{room}/say
      publish: [{channel: "room-{path.room}", event: said, data: "{body}", exclude_caller: true}]
    - name: own
      path: /own
      publish: [{channel: "own-{user.id|safe}", event: e, data: {id: "{user.id}"}}]
      reply: {status: 202, body: {channel: "{channel}", q: "{query.q}"}}
`);
    const [one, two] = [guideClient(server, student), guideClient(server, teacher)];
    for (const client of [one, two]) { await connected(client); await join(client, 'room-a'); await join(client, 'own-=YXV0aDB8eA'); }
    await call(server, student, 'POST', '/rooms/a/say', { n: 1 }, { 'x-socket-id': one.connection.socket_id });
    await call(server, student, 'POST', '/rooms/a/say', { n: 2, socket_id: two.connection.socket_id });
    await call(server, student, 'POST', '/rooms/a/say', { n: 3 });
    await until(() => one.heard.length === 2 && two.heard.length === 2, 'the events');
    assert.deepEqual([one.heard.map(([, , { n }]) => n), two.heard.map(([, , { n }]) => n)], [[2, 3], [1, 3]]);
    const refused = await call(server, student, 'POST', '/rooms/a%20b/say', {});
    assert.deepEqual([refused.status, refused.body.detail[0].loc[1]], [422, 'room']);
    const own = await call(server, { sub: 'auth0|x' }, 'POST', '/own?q=a+b', {});
    assert.deepEqual([own.status, own.body], [202, { channel: 'own-=YXV0aDB8eA', q: 'a b' }]);
    await until(() => one.heard.length === 3, 'the event');
    for (const client of [one, two]) client.disconnect();
    await server.stop();
  });

  test('numbers stop when nobody is there, and come at once to who comes back', async () => {
    const server = await start('  channels: [{channel: presence-n, join: user}]\n  routes:\n    - {name: auth, path: /pusher/auth, auth: optional, builtin: auth}\n    - {name: n, path: /n, builtin: server_metrics, every_ms: 300, publish: [{channel: presence-n, event: n, data: "{metrics}"}]}\n');
    const client = guideClient(server, teacher);
    await connected(client);
    await join(client, 'presence-n');
    await until(() => client.heard.length >= 3, 'three');
    client.unsubscribe('presence-n');
    const accepted = async () => (await server.metrics()).sum('carillon_events_accepted_total');
    await until(async () => (await server.metrics()).sum('carillon_home_channels') === 0, 'nobody');
    const before = await accepted();
    const from = Date.now();
    await until(() => Date.now() - from > 1200, 'four times the cadence');
    assert.equal(await accepted(), before);
    await join(client, 'presence-n');
    await until(async () => (await accepted()) > before, 'one more');
    client.disconnect();
    await server.stop();
  });

  test('origins and credentials', async () => {
    const server = await start('  cors: {origins: ["https://a.example"], credentials: true}\n  routes:\n    - {name: r, path: /r, auth: none, builtin: ack}\n');
    const ask = async (origin) => (await fetch(`${server.url}/r`, { method: 'POST', headers: { origin } })).headers;
    const near = await ask('https://a.example');
    assert.deepEqual([near.get('access-control-allow-origin'), near.get('access-control-allow-credentials')], ['https://a.example', 'true']);
    assert.equal((await ask('http://localhost:5173')).get('access-control-allow-origin'), null);
    await server.stop();
  });
});
