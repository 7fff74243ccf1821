// The endpoints that came before Channels: what each is told, answer by answer.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import WebSocket from 'ws';
import { guideApp, guideClient, join, mint, nowS, startGuide, users } from './gateway.mjs';
import { apiClient, connected, until, within } from './harness.mjs';
import { error, legacySocket } from './legacy.mjs';

const { student, teacher, admin } = users;
const sockets = [];
let server;

for (const workers of [1, 4]) describe(`legacy endpoints (${workers} workers)`, () => {
  let api;
  before(async () => { server = await startGuide({ workers }); api = apiClient(server, { app: guideApp }); });
  after(() => server.stop());
  afterEach(async () => {
    for (const { socket } of sockets.splice(0)) socket.destroy();
    await until(async () => (await server.metrics()).sum('carillon_legacy_connections') === 0, 'the sockets to go');
  });
  const open = async (...args) => { const socket = await legacySocket(server, ...args); sockets.push(socket); return socket; };

  test('the guide\'s old code runs as it stands', async () => {
    const ws = new WebSocket(`${server.url.replace('http', 'ws')}/ws/native`);
    const heard = [];
    ws.onmessage = (event) => { heard.push(JSON.parse(event.data)); };
    await within(new Promise((resolve) => { ws.onopen = resolve; }), 'the connection');
    ws.send(JSON.stringify({ type: 'subscribe', channel: 'updates' }));
    await until(() => heard.some(({ type }) => type === 'subscribed'), 'the subscription');
    await api.trigger('public-updates', 'content_update', { id: 5 });
    await until(() => heard.some(({ type }) => type === 'content_update'), 'the event');
    const { timestamp, ...rest } = heard.find(({ type }) => type === 'content_update');
    assert.deepEqual(rest, { type: 'content_update', channel: 'updates', data: { id: 5 }, payload: { id: 5 } });
    assert.ok(Date.parse(timestamp));
    ws.close();
  });

  describe('greetings', () => {
    const info = { version: '1.0.0', features: ['real_time_updates', 'multi_channel', 'user_messaging'] };
    test('/ws: a user is told who it is, then the connection', async () => {
      const socket = await open('/ws', { user: teacher });
      const [auth, welcome] = socket.greeting;
      assert.match(auth.session_id, /^ws_8_\d+$/);
      assert.deepEqual({ ...auth, session_id: '' }, { type: 'auth_success', timestamp: 'now', session_id: '', user: { id: '8', username: 'Tea', role: 'teacher' }, features: ['token_refresh', 'real_time_updates', 'secure_messaging'] });
      assert.match(welcome.client_id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
      assert.deepEqual({ ...welcome, client_id: '' }, { type: 'connected', client_id: '', timestamp: 'now', server_info: info });
    });
    test('/ws/{client_id}: the label is the client\'s own', async () => {
      assert.deepEqual((await open('/ws/my%20tab')).greeting, [{ type: 'connected', client_id: 'my tab', timestamp: 'now', server_info: info }]);
    });
    test('/ws/native: no token is looked at', async () => {
      const { greeting: [welcome] } = await open('/ws/native', { token: 'garbage' });
      assert.deepEqual(Object.keys(welcome), ['type', 'client_id', 'timestamp', 'authenticated', 'note']);
      assert.equal(welcome.authenticated, false);
    });
    test('/ws/roblox: an envelope', async () => {
      const { greeting: [ack] } = await open('/ws/roblox', { token: mint({ ...student, scope: ['a'] }) });
      const { id, client_id: client, payload, ...rest } = ack;
      assert.match(client, /^client_7_[0-9a-f]{8}$/);
      assert.match(id, /^[0-9a-f-]{36}$/);
      assert.deepEqual(rest, { type: 'connection_ack', timestamp: 'now' });
      assert.deepEqual(payload, { client_id: client, user_id: '7', scope: ['a'], server_time: 'now', available_subscriptions: ['deployments', 'agents', 'scripts', 'validation'] });
    });
    test('the 101 and every other answer says that the endpoint will end', async () => {
      const socket = await open('/ws/native');
      const said = (head, name) => new RegExp(`^${name}: (.*)$`, 'im').exec(head)?.[1].trim();
      const expected = { Deprecation: 'true', Sunset: 'Fri, 31 Dec 2027 00:00:00 GMT', Link: '</api/v1/pusher/migration-guide>; rel="deprecation"', 'X-Deprecated': 'true', 'X-Alternative': 'pusher:/app/app-key', 'X-Migration-Guide': '/api/v1/pusher/migration-guide' };
      for (const [name, value] of Object.entries(expected)) assert.equal(said(socket.head, name), value, name);
      for (const path of ['/ws', '/ws/me', '/ws/native', '/ws/roblox', '/ws/analytics/realtime', '/api/v1/environment/create']) {
        const answer = await fetch(server.url + path);
        assert.equal(answer.status, 426, path);
        for (const [name, value] of Object.entries(expected)) assert.equal(answer.headers.get(name), value, name);
        assert.deepEqual(await answer.json(), { detail: 'This endpoint speaks WebSocket' });
      }
    });
  });

  test('the link leads to what replaces each of them, without a token', async () => {
    const { headers } = await fetch(`${server.url}/ws/native`);
    for (const link of [headers.get('x-migration-guide'), /^<(.*)>/.exec(headers.get('link'))[1]]) {
      const answer = await fetch(new URL(link, `${server.url}/ws/native`));
      assert.equal(answer.status, 200);
      const { replaced_by: by, guide, openapi } = await answer.json();
      assert.match(guide, /docs\/guide\.md/);
      const { endpoints } = await (await fetch(`${server.url}/ws/status`)).json();
      for (const { path } of Object.values(endpoints)) assert.ok(by[path.replace('{client_id}', 'CLIENT_ID')], path);
      const { paths } = await (await fetch(new URL(openapi, server.url))).json();
      for (const [, path] of Object.values(by).map((text) => /^POST (\S+?);?(?: |$)/.exec(text)).filter(Boolean)) assert.ok(paths[path]?.post, path);
    }
  });

  describe('tokens', () => {
    const bad = {
      garbage: 'garbage',
      expired: mint(student, { exp: nowS() - 3600 }),
      'a refresh token': mint({ ...student, type: 'refresh' }),
      'another key': mint(student, { key: 'another' }),
      unsigned: `${mint(student, { header: { alg: 'none' } }).split('.').slice(0, 2).join('.')}.`,
    };
    for (const [what, token] of Object.entries(bad)) {
      for (const path of ['/ws', '/ws/me'])
        test(`${what} at ${path}`, async () => {
          const socket = await open(path, { token, greeting: 0 });
          await socket.expectFrame({ type: 'auth_error', message: 'Invalid authentication token', code: 4001, timestamp: 'now' });
          await socket.expectClose(4001, 'Invalid authentication token');
        });
      test(`${what} at the others`, async () => {
        const roblox = await open('/ws/roblox', { token, greeting: 0 });
        await roblox.expectClose(1008, 'Invalid authentication token');
        const analytics = await open('/ws/analytics/realtime', { token, greeting: 0 });
        await analytics.expectFrame({ error: 'Invalid token', code: 'AUTH_INVALID' });
        await analytics.expectClose(1008, 'Invalid token');
        const environment = await open('/api/v1/environment/create', { token });
        await environment.expectFrame({ type: 'error', message: 'Invalid authentication token' });
        await environment.expectClose(1008, 'Invalid authentication token');
      });
    }
    test('a token without a subject', async () => {
      const socket = await open('/ws', { token: mint({ role: 'student' }), greeting: 0 });
      await socket.expectFrame({ type: 'auth_error', message: 'Invalid token payload', code: 4001, timestamp: 'now' });
      await socket.expectClose(4001, 'Invalid token payload');
    });
    test('none', async () => {
      await (await open('/ws/roblox', { greeting: 0 })).expectClose(1008, 'Authentication required');
      const analytics = await open('/ws/analytics/realtime', { greeting: 0 });
      await analytics.expectFrame({ error: 'Authentication required', code: 'AUTH_REQUIRED' });
      await analytics.expectClose(1008, 'Authentication required');
      const environment = await open('/api/v1/environment/create');
      await environment.expectFrame({ type: 'error', message: 'Authentication token required' });
      await environment.expectClose(1008, 'Authentication token required');
      assert.equal((await open('/ws')).greeting[0].type, 'connected');
    });
    test('numbers are for teachers', async () => {
      const socket = await open('/ws/analytics/realtime', { user: student, greeting: 0 });
      await socket.expectFrame({ error: 'Insufficient permissions', code: 'AUTH_INSUFFICIENT_PERMISSIONS' });
      await socket.expectClose(1008, 'Insufficient permissions');
    });
    test('a header or a cookie will do; the query counts first', async () => {
      const header = await open('/ws', { headers: { Authorization: `Bearer ${mint(teacher)}` }, greeting: 2 });
      assert.equal(header.greeting[0].user.id, '8');
      const cookie = await open('/ws', { headers: { Cookie: `a=1; access_token=${mint(teacher)}; b=2` }, greeting: 2 });
      assert.equal(cookie.greeting[0].user.id, '8');
      const own = await open('/ws', { headers: { Cookie: `access_token=${mint(teacher)}`, Origin: 'http://localhost:5173' }, greeting: 2 });
      assert.equal(own.greeting[0].user.id, '8');
      const stranger = await open('/ws', { headers: { Cookie: `access_token=${mint(teacher)}`, Origin: 'https://evil.example' }, greeting: 1 });
      assert.equal(stranger.greeting[0].type, 'connected', 'a page of strangers does not come by somebody\'s cookie');
      const query = await open('/ws', { user: student, headers: { Authorization: `Bearer ${mint(teacher)}` } });
      assert.equal(query.greeting[0].user.id, '7');
    });
    test('one that expires ends the session, with or without a message', async () => {
      const silent = await open('/ws', { token: mint(student, { exp: nowS() + 2 }) });
      const roblox = await open('/ws/roblox', { token: mint(student, { exp: nowS() + 2 }) });
      await silent.expectFrame({ type: 'error', message: 'Message authentication failed', timestamp: 'now' });
      await silent.expectClose(4001, 'Message authentication failed');
      assert.deepEqual((await roblox.frame()).payload, { error: 'Message authentication failed' });
      await roblox.expectClose(1008, 'Message authentication failed');
    });
    test('a new one in time keeps it', async () => {
      const socket = await open('/ws', { token: mint(student, { exp: nowS() + 2 }) });
      socket.send({ type: 'refresh_token', token: mint(student, { exp: 1900000000 }) });
      const answer = await socket.frame();
      assert.match(answer.session_id, /^ws_7_\d+$/);
      assert.deepEqual({ ...answer, session_id: '' }, { type: 'token_refreshed', timestamp: 'now', session_id: '', success: true, expires_at: '2030-03-17T17:46:40.000Z' });
      const end = nowS() + 3;
      await until(() => nowS() >= end, 'the old one to expire');
      await socket.expectQuiet();
    });
    test('a refresh that is none', async () => {
      const socket = await open('/ws', { user: student });
      await socket.ask({ type: 'refresh_token' }, error('New token required for refresh'));
      await socket.ask({ type: 'refresh_token', token: 5 }, error('New token required for refresh'));
      await socket.ask({ type: 'refresh_token', token: 'x' }, error('Invalid authentication token'));
      await socket.ask({ type: 'refresh_token', token: mint(teacher) }, { type: 'auth_error', message: 'Token user mismatch', code: 4001, timestamp: 'now' });
      await socket.expectClose(4001, 'Token user mismatch');
      const nobody = await open('/ws');
      await nobody.ask({ type: 'refresh_token', token: mint(teacher) }, { type: 'auth_error', message: 'Token user mismatch', code: 4001, timestamp: 'now' });
    });
    test('a new token without the role leaves what it no longer opens', async () => {
      const socket = await open('/ws', { user: teacher });
      await socket.join('teacher_updates', 'news');
      socket.send({ type: 'refresh_token', token: mint({ ...teacher, role: 'student' }) });
      assert.equal((await socket.frame()).type, 'token_refreshed');
      await api.trigger('private-teacher-updates', 'secret', {});
      await api.trigger('public-news', 'open', {});
      assert.equal((await socket.frame()).type, 'open');
    });
  });

  describe('channels', () => {
    test('five forms of asking, one answer', async () => {
      const socket = await open('/ws');
      let n = 0;
      for (const form of [{ channels: ['c0'] }, { channel: 'c1' }, { payload: { channels: ['c2'] } }, { payload: { channel: 'c3' } }, { payload: 'c4' }]) {
        const name = `c${n++}`;
        await socket.ask({ type: 'subscribe', ...form }, { type: 'subscribed', channel: name, channels: [name], total_subscriptions: n });
      }
      await socket.ask({ type: 'subscribe', channel: 'c1' }, { type: 'subscribed', channel: 'c1', channels: ['c1'], total_subscriptions: 5 });
      await socket.ask({ type: 'unsubscribe', channels: ['c0', 'c1', 'never'] }, { type: 'unsubscribed', channel: 'c0', channels: ['c0', 'c1', 'never'], total_subscriptions: 3 });
      await api.trigger('public-c0', 'e', {});
      await socket.expectQuiet();
    });
    const refused = [
      [null, 'content_updates', "Forbidden: channel requires role 'student'"],
      [null, 'teacher_updates', "Forbidden: channel requires role 'teacher'"],
      [null, 'user_7', "Forbidden: channel requires role 'admin'"],
      [student, 'teacher_updates', "Forbidden: channel requires role 'teacher'"],
      [student, 'admin_log', "Forbidden: channel requires role 'admin'"],
      [student, 'user_8', "Forbidden: channel requires role 'admin'"],
      [student, 'private-user-8', "Forbidden: channel requires role 'admin'"],
      [student, 'roblox_events', "Forbidden: channel requires role 'teacher'"],
      [teacher, 'admin_log', "Forbidden: channel requires role 'admin'"],
      [admin, 'private-encrypted-x', 'Encrypted channels need a Pusher client'],
      [student, 'a b', 'Invalid channel name'],
      [student, '#server-to-user-7', 'Invalid channel name'],
      [student, 'x'.repeat(101), 'Invalid channel name'],
      [student, '', 'Invalid channel name'],
      [student, 5, 'Invalid channels format'],
    ];
    for (const [user, channel, text] of refused)
      test(`${user?.role ?? 'nobody'} in ${String(channel).slice(0, 30)}`, async () => {
        const socket = await open('/ws', { user });
        await socket.ask({ type: 'subscribe', channels: [channel] }, error(text));
        await socket.ask({ type: 'subscribe', channel }, error(text));
      });
    test('what is allowed of several is joined, the rest is named', async () => {
      const socket = await open('/ws', { user: student });
      await socket.ask({ type: 'subscribe', channels: ['news', 'teacher_updates', 'content_updates', 'user_9'] }, { type: 'subscribed', channel: 'news', channels: ['news', 'content_updates'], total_subscriptions: 2, denied: ['teacher_updates', 'user_9'] });
    });
    test('no channels, or no list of them', async () => {
      const socket = await open('/ws');
      for (const type of ['subscribe', 'unsubscribe']) {
        await socket.ask({ type }, error('No channels provided'));
        await socket.ask({ type, channels: [] }, error('No channels provided'));
        await socket.ask({ type, channels: 'a' }, error('Invalid channels format'));
        await socket.ask({ type, channels: { a: 1 } }, error('Invalid channels format'));
        await socket.ask({ type, payload: 7 }, error('Invalid channels format'));
      }
    });
    test('a user hears its own channel without asking', async () => {
      const socket = await open('/ws/tab', { user: student });
      await api.trigger('private-user-7', 'message', { type: 'agent_response', text: 'x' });
      await socket.expectFrame({ type: 'agent_response', channel: 'user_7', data: { type: 'agent_response', text: 'x' }, payload: { type: 'agent_response', text: 'x' }, timestamp: 'now' });
    });
  });

  test('what was not asked for is not counted, coming or going', async () => {
    const socket = await open('/ws', { user: student });
    await socket.join('a', 'b');
    await socket.ask({ type: 'unsubscribe', channel: 'user_7' }, { type: 'unsubscribed', channel: 'user_7', channels: ['user_7'], total_subscriptions: 2 });
    await socket.ask({ type: 'unsubscribe', channels: ['a', 'b'] }, { type: 'unsubscribed', channel: 'a', channels: ['a', 'b'], total_subscriptions: 0 });
    await socket.ask({ type: 'subscribe', channel: 'user_7' }, { type: 'subscribed', channel: 'user_7', channels: ['user_7'], total_subscriptions: 1 });
  });

  describe('messages', () => {
    test('errors of form', async () => {
      const socket = await open('/ws');
      await socket.ask('{', error('Invalid JSON format'));
      await socket.ask('hello', error('Invalid JSON format'));
      await socket.ask('[1]', error('Invalid message format'));
      await socket.ask('"ping"', error('Invalid message format'));
      await socket.ask('{}', error('Invalid message type'));
      await socket.ask({ type: 5 }, error('Invalid message type'));
      await socket.ask({ type: 'nonsense' }, error('Unknown message type: nonsense'));
      await socket.ask({ type: 'heartbeat' }, error('Unknown message type: heartbeat'));
    });
    test('ping and auth_status', async () => {
      const socket = await open('/ws/me', { user: student });
      socket.send({ type: 'auth_status' });
      const before = await socket.frame();
      await socket.ask({ type: 'ping' }, { type: 'pong', timestamp: 'now', client_id: 'me', payload: { timestamp: 'now', server_time: 'now' } });
      await socket.join('news');
      socket.send({ type: 'auth_status' });
      const { connected_at: at, last_ping: ping, ...status } = await socket.frame();
      assert.equal(before.last_ping, null);
      assert.ok(Date.parse(at) <= Date.parse(ping));
      assert.deepEqual(status, { type: 'auth_status_response', authenticated: true, client_id: 'me', user_id: '7', message_count: 4, subscriptions: ['user_7', 'news'] });
      const nobody = await open('/ws/you');
      nobody.send({ type: 'auth_status' });
      const { connected_at: _, ...rest } = await nobody.frame();
      assert.deepEqual(rest, { type: 'auth_status_response', authenticated: false, client_id: 'you', user_id: null, last_ping: null, message_count: 1, subscriptions: [] });
    });
    test('broadcast: others hear it, the sender is told how many', async () => {
      const sender = await open('/ws/desk', { user: teacher });
      const listener = await open('/ws', { user: student });
      const pusher = guideClient(server, student);
      await sender.join('content_updates');
      await listener.join('content_updates');
      await join(pusher, 'presence-content-updates');
      await sender.ask({ type: 'broadcast', channel: 'content_updates', data: { a: [1, null] } }, { type: 'broadcast_sent', channel: 'content_updates', recipients: 2 });
      await listener.expectFrame({ type: 'broadcast', channel: 'content_updates', data: { a: [1, null] }, sender: 'desk', timestamp: 'now' });
      await until(() => pusher.heard.length === 1, 'the event');
      assert.deepEqual(pusher.heard[0], ['presence-content-updates', 'broadcast', { a: [1, null] }]);
      await sender.ask({ type: 'broadcast', channel: 'nobody-there', data: 'x' }, { type: 'broadcast_sent', channel: 'nobody-there', recipients: 0 });
      pusher.disconnect();
    });
    test('broadcast refused', async () => {
      const socket = await open('/ws', { user: teacher });
      await socket.ask({ type: 'broadcast', data: 1 }, error('Channel required for broadcast'));
      await socket.ask({ type: 'broadcast', channel: 'a b', data: 1 }, error('Invalid channel name'));
      await socket.ask({ type: 'broadcast', channel: 'admin_log', data: 1 }, error("Forbidden: channel requires role 'admin'"));
      await socket.ask({ type: 'broadcast', channel: 'news', data: 'x'.repeat(11000) }, error('The data of this event has 11002 bytes, and at most 10240 may be sent'));
      await (await open('/ws', { user: student })).ask({ type: 'broadcast', channel: 'news', data: 1 }, error("Forbidden: requires role 'teacher'"));
      await (await open('/ws')).ask({ type: 'broadcast', channel: 'news', data: 1 }, error("Forbidden: requires role 'teacher'"));
    });
    test('user_message reaches every socket of the user, of either kind', async () => {
      const sender = await open('/ws', { user: student });
      const target = await open('/ws', { user: teacher });
      const pusher = guideClient(server, teacher);
      await join(pusher, 'private-user-8');
      await sender.ask({ type: 'user_message', target_user: '8', data: { text: 'hi' } }, { type: 'message_sent', target_user: '8', delivered: true });
      await target.expectFrame({ type: 'user_message', from: '7', data: { text: 'hi' }, timestamp: 'now' });
      await until(() => pusher.heard.length === 1, 'the event');
      const [channel, event, { timestamp, ...data }] = pusher.heard[0];
      assert.ok(Date.parse(timestamp));
      assert.deepEqual([channel, event, data], ['private-user-8', 'message', { type: 'user_message', from: '7', data: { text: 'hi' } }]);
      await sender.ask({ type: 'user_message', target_user: 'nobody', data: 1 }, { type: 'message_sent', target_user: 'nobody', delivered: false });
      await sender.ask({ type: 'user_message', data: 1 }, error('Target user required'));
      await sender.ask({ type: 'user_message', target_user: 'a b' }, error('Invalid target user'));
      await (await open('/ws')).ask({ type: 'user_message', target_user: '8' }, error('Forbidden: authentication required'));
      pusher.disconnect();
    });
    test('the dispatch table\'s types, with their roles and fields', async () => {
      const socket = await open('/ws', { user: student });
      await socket.ask({ type: 'progress_update', data: { lesson: 3 } }, { type: 'progress_updated', status: 'success', timestamp: 'now' });
      await socket.ask({ type: 'content_request', data: {} }, error("Forbidden: requires role 'teacher'"));
      await socket.ask({ type: 'agent_chat_user', payload: { conversationId: 'c' } }, error('payload: text: Field required'));
      socket.send({ type: 'agent_chat_user', payload: { conversationId: 'c', text: 'x' }, request_id: 'r-9' });
      const frames = [await socket.frame(), await socket.frame()];
      const ack = frames.find(({ type }) => type === 'ack');
      const relayed = frames.find(({ type }) => type === 'agent_chat_user');
      assert.deepEqual([ack.message, ack.request_id, ack.data.channel], ['ok', 'r-9', 'private-user-7']);
      assert.deepEqual(relayed.data.payload, { conversationId: 'c', text: 'x' });
      const desk = await open('/ws', { user: teacher });
      await desk.join('teacher_updates');
      await desk.ask({ type: 'content_request', request_id: 'r-1', data: { topic: 'x' } }, { type: 'content_response', request_id: 'r-1', status: 'processing', timestamp: 'now' });
      await socket.ask({ type: 'progress_update', data: { lesson: 4 } }, { type: 'progress_updated', status: 'success', timestamp: 'now' });
      const heard = await desk.frame();
      assert.deepEqual([heard.type, heard.channel, heard.data.student_id, heard.data.progress], ['student_progress', 'teacher_updates', '7', { lesson: 4 }]);
      const nobody = await open('/ws');
      await nobody.ask({ type: 'progress_update', data: {} }, error('Forbidden: authentication required'));
    });
  });

  test('/ws/native: an echo of what it does not know', async () => {
    const socket = await open('/ws/native');
    const [{ client_id: id }] = socket.greeting;
    await socket.ask({ any: ['thing'] }, { type: 'echo', original_message: { any: ['thing'] }, timestamp: 'now', client_id: id });
    await socket.ask('[1]', { type: 'echo', original_message: [1], timestamp: 'now', client_id: id });
    await socket.ask({ type: 'broadcast', channel: 'x' }, { type: 'echo', original_message: { type: 'broadcast', channel: 'x' }, timestamp: 'now', client_id: id });
    await socket.ask('nope', { type: 'error', message: 'Invalid JSON format', error: 'Invalid JSON format', timestamp: 'now' });
    await socket.ask({ type: 'subscribe', channel: 'content_updates' }, { type: 'error', message: "Forbidden: channel requires role 'student'", error: "Forbidden: channel requires role 'student'", timestamp: 'now' });
  });

  test('/ws/roblox: topics, heartbeats, scripts', async () => {
    const socket = await open('/ws/roblox', { user: student });
    const said = async () => { const { id, client_id: client, timestamp, ...rest } = await socket.frame(); assert.ok(id && client !== undefined && timestamp === 'now'); return rest; };
    socket.send({ id: 'x', type: 'heartbeat', payload: {} });
    assert.deepEqual(await said(), { type: 'heartbeat', payload: { status: 'alive' } });
    socket.send({ type: 'subscribe', payload: { channels: ['scripts', 'validation', 'nothing'] } });
    assert.deepEqual(await said(), { type: 'connection_ack', payload: { subscribed: ['scripts', 'validation'] } });
    socket.send({ type: 'script_update', payload: { script_id: 's1', script_type: 'Local', content: 'print()' } });
    const both = [await said(), await said()];
    assert.deepEqual(both.find(({ type }) => type === 'script_generated').payload, { status: 'received', script_id: 's1' });
    const { payload } = both.find(({ type }) => type === 'broadcast');
    assert.deepEqual([payload.channel, payload.event, payload.data.content], ['scripts', 'script_update', 'print()']);
    socket.send({ type: 'unsubscribe', payload: { channels: ['scripts'] } });
    await api.trigger('private-roblox-scripts', 'script_update', {});
    await api.trigger('private-roblox-validation', 'checked', { ok: true });
    assert.deepEqual((await said()).payload, { channel: 'validation', event: 'checked', data: { ok: true } });
    socket.send({ type: 'deployment_request', payload: { content_type: 'place' } });
    const queued = await said();
    assert.deepEqual([queued.type, queued.payload.status], ['deployment_status', 'queued']);
    socket.send({ type: 'nonsense', payload: {} });
    assert.deepEqual(await said(), { type: 'error', payload: { error: 'Unknown message type: nonsense' } });
    socket.text('{');
    assert.deepEqual(await said(), { type: 'error', payload: { error: 'Invalid JSON format' } });
  });

  test('/ws/analytics/realtime: the same numbers as Channels clients get', async () => {
    const pusher = guideClient(server, teacher);
    await join(pusher, 'presence-analytics-realtime');
    const socket = await open('/ws/analytics/realtime', { user: teacher });
    const frame = await socket.until('analytics_update');
    await until(() => pusher.heard.some(([, , data]) => data.timestamp && data.events_accepted === frame.data.events_accepted), 'the same event', 12000);
    assert.ok(frame.data.active_users >= 1 && Array.isArray(frame.data.course_progress) && frame.data.system_metrics.active_connections >= 2);
    assert.deepEqual(frame.data, frame.payload);
    await socket.ask({ type: 'subscribe', channel: 'x' }, { type: 'error', message: 'Unknown message type: subscribe', error: 'Unknown message type: subscribe', timestamp: 'now' });
    pusher.disconnect();
  });

  test('/api/v1/environment/create: the old steps', async () => {
    const socket = await open('/api/v1/environment/create', { user: student });
    const pusher = guideClient(server, student);
    await join(pusher, 'private-user-7');
    socket.send({ type: 'environment_create_request', message: 'a maze' });
    const frames = [];
    while (frames.at(-1)?.type !== 'environment_creation_complete') frames.push(await socket.frame());
    assert.deepEqual(frames.map(({ type, payload }) => [type, payload.progress]), [...[25, 50, 75, 100].map((n) => ['environment_creation_progress', n]), ['environment_creation_complete', undefined]]);
    assert.equal(new Set(frames.map(({ payload }) => payload.request_id)).size, 1);
    assert.match(frames.at(-1).payload.environmentId, /^env_/);
    await until(() => pusher.heard.some(([, , data]) => data.type === 'environment_creation_completed'), 'the same on Channels');
    socket.send({ type: 'other' });
    assert.deepEqual(await socket.frame(), { type: 'environment_creation_error', payload: { error: 'Unknown message type: other' }, timestamp: 'now' });
    pusher.disconnect();
  });

  test('one subscription model: presence counts an old client, both hear the same', async () => {
    const pusher = guideClient(server, teacher);
    await connected(pusher);
    const channel = await join(pusher, 'presence-content-updates');
    const old = await open('/ws', { user: student });
    await old.join('content_updates');
    await until(() => channel.members.get('7'), 'the member');
    assert.deepEqual(channel.members.get('7').info, { id: '7', name: 'Sam', role: 'student' });
    for (const data of [{ deep: { a: [1.5, 'é'] } }, 'plain text', '"quoted"', [], null, 12]) {
      await api.trigger('presence-content-updates', 'content_update', data);
      const frame = await old.frame();
      const decoded = data === '"quoted"' ? 'quoted' : data;
      assert.deepEqual([frame.data, frame.payload], [decoded, decoded]);
    }
    await channel.trigger('client-typing', { on: true });
    await old.expectFrame({ type: 'client-typing', channel: 'content_updates', data: { on: true }, payload: { on: true }, sender: '8', timestamp: 'now' });
    await old.ask({ type: 'unsubscribe', channel: 'content_updates' }, { type: 'unsubscribed', channel: 'content_updates', channels: ['content_updates'], total_subscriptions: 0 });
    await until(() => !channel.members.get('7'), 'the member to go');
    pusher.disconnect();
  });

  test('who is ended by its own words or by the server is ended here too', async () => {
    const old = await open('/ws', { user: { sub: 'kick', role: 'student' } });
    const answer = await fetch(`${server.url}/api/v1/pusher/disconnect`, { method: 'DELETE', headers: { authorization: `Bearer ${mint({ sub: 'kick', role: 'student' })}` } });
    assert.equal((await answer.json()).connections, 1);
    await old.expectClose(4009);
  });

  test('an admin says something to all, of either kind', async () => {
    const old = await open('/ws');
    await old.join('system');
    const say = (user) => fetch(`${server.url}/admin/broadcast`, { method: 'POST', headers: { authorization: `Bearer ${mint(user)}`, 'content-type': 'application/json' }, body: '{"message":"Lunch","level":"warning"}' });
    assert.equal((await say(teacher)).status, 403);
    assert.equal((await say(admin)).status, 200);
    const frame = await old.frame();
    assert.deepEqual([frame.type, frame.channel, frame.data], ['admin_broadcast', 'system', { message: 'Lunch', level: 'warning', from: 'Ada', timestamp: 'now' }]);
  });

  test('/ws/status: figures for all, names for those who may', async () => {
    const socket = await open('/ws/desk', { user: teacher });
    await socket.join('quizzes');
    const ask = async (user) => (await fetch(`${server.url}/ws/status`, user ? { headers: { authorization: `Bearer ${mint(user)}` } } : {})).json();
    const status = await ask(null);
    assert.equal(status.status, 'ok');
    assert.ok(status.stats.active_connections >= 1 && status.stats.total_connections >= status.stats.active_connections);
    assert.ok(status.stats.messages_received > 0 && status.stats.messages_sent > 0 && status.stats.rbac_denied > 0 && status.stats.auth_errors > 0);
    assert.deepEqual(status.channels.find(({ channel }) => channel === 'public-quizzes'), { channel: 'public-quizzes', client_count: 1 });
    assert.deepEqual([status.days_since_last_connection, status.endpoints.client.enabled], [0, true]);
    assert.equal(status.users, undefined);
    assert.equal((await ask(teacher)).users, undefined);
    const desk = (await ask(admin)).users.find(({ client_id: id }) => id === 'desk');
    assert.deepEqual({ ...desk, since: '' }, { user_id: '8', role: 'teacher', client_id: 'desk', endpoint: '/ws/{client_id}', since: '' });
  });

  test('metrics by transport and endpoint, and parity', async () => {
    const old = await open('/ws/native');
    const pusher = guideClient(server, student);
    await old.join('parity');
    await join(pusher, 'public-parity');
    const before = await server.metrics();
    for (let i = 0; i < 3; i++) await api.trigger('public-parity', 'e', { i });
    for (let i = 0; i < 3; i++) assert.deepEqual((await old.frame()).data, { i });
    const metrics = await server.metrics();
    const grown = (name) => metrics.sum(name) - before.sum(name);
    assert.deepEqual(['carillon_legacy_events_total', 'carillon_legacy_parity_events_total', 'carillon_legacy_messages_out_total'].map(grown), [3, 3, 3]);
    assert.ok(metrics.sum('carillon_sessions', { transport: 'legacy' }) >= 1);
    assert.ok(metrics.sum('carillon_legacy_connections', { endpoint: 'native' }) >= 1);
    assert.ok(metrics.sum('carillon_legacy_last_connection_seconds') > nowS() - 60);
    pusher.disconnect();
  });
});
