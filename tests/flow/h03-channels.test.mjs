// What the API tells about channels and users, terminate_connections, and the deprecated endpoints.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiRequest, forEachWorkers, md5, rawSignin, rawSubscribe, signedQuery, until } from './harness.mjs';
import { exchange, requestText, signedText } from './http.mjs';

const apps = `
apps:
  - id: plain
    keys: [{key: plain-key, secret: plain-secret}]
    subscription_count: false
  - id: "off"
    keys: [{key: off-key, secret: off-secret}]
    enabled: false
  - id: "o@d,d;=._-~!"
    keys: [{key: odd-key, secret: odd-secret}]
`;

forEachWorkers('channels and users', { config: apps, set: { 'app_defaults.subscription_count': 'true', 'app_defaults.cache_ttl_s': '3' } }, (ctx) => {
  const get = (where, params, options) => apiRequest(ctx.server, 'GET', `/apps/test-id${where}`, { params, ...options });
  const publish = (channel, data = 'd') => apiRequest(ctx.server, 'POST', '/apps/test-id/events', { body: { name: 'e', data, channel } });

  async function join(channel, userId) {
    const socket = await ctx.raw();
    await rawSubscribe(socket, channel, { channelData: userId && JSON.stringify({ user_id: userId }) });
    return socket;
  }

  async function expectRefused(answer, text, status = 400) {
    const got = await answer;
    assert.equal(got.text, `${text}\n`);
    assert.equal(got.status, status);
    assert.match(got.type, /^text\/plain/);
  }

  // --- GET channels

  test('trap 27: no channel is an empty object, byte for byte', async () => {
    const answer = await exchange(ctx.server, signedText(ctx.server.app, 'GET', '/apps/test-id/channels'));
    assert.equal(answer.status, 200);
    assert.equal(answer.headers['content-type'], 'application/json');
    assert.equal(answer.text, '{"channels":{}}');
  });

  test('only occupied channels are listed, and never those of users', async () => {
    const socket = await join('public-a');
    await join('private-b');
    await join('presence-c', '7');
    await rawSignin(socket, { id: '7' });
    await rawSubscribe(socket, '#server-to-user-7');
    await publish('cache-kept');
    assert.deepEqual((await get('/channels')).json, { channels: { 'public-a': {}, 'private-b': {}, 'presence-c': {} } });
    socket.close();
    await until(async () => !('public-a' in (await get('/channels')).json.channels), 'public-a to be left');
  });

  test('trap 28: filter_by_prefix and info', async () => {
    await join('presence-a', '1');
    await join('presence-a', '2');
    await join('presence-a', '2');
    await join('presence-b', '3');
    await join('public');
    await join('public');
    const list = async (params) => (await get('/channels', params)).json.channels;
    assert.deepEqual(await list({ filter_by_prefix: 'presence-' }), { 'presence-a': {}, 'presence-b': {} });
    assert.deepEqual(await list({ filter_by_prefix: 'presence-', info: 'user_count' }),
      { 'presence-a': { user_count: 2 }, 'presence-b': { user_count: 1 } });
    assert.deepEqual(await list({ filter_by_prefix: 'presence-b', info: 'user_count' }), { 'presence-b': { user_count: 1 } });
    assert.deepEqual(await list({ filter_by_prefix: 'pub', info: 'subscription_count' }), { public: { subscription_count: 2 } });
    assert.deepEqual(await list({ filter_by_prefix: 'x' }), {});
    assert.deepEqual(Object.keys(await list({ filter_by_prefix: '' })).sort(), ['presence-a', 'presence-b', 'public']);
    assert.deepEqual(await list({ filter_by_prefix: '"\\' }), {});
  });

  test('user_count wants a prefix of presence channels', async () => {
    const why = 'Cannot retrieve the user count unless the channel is a presence channel';
    for (const params of [{ info: 'user_count' }, { info: 'user_count', filter_by_prefix: 'presence' }, { info: 'user_count', filter_by_prefix: 'private-' },
      { info: 'subscription_count,user_count' }]) await expectRefused(get('/channels', params), why);
  });

  // --- GET channel

  test('trap 65: one channel says whether it is occupied, always', async () => {
    await join('public');
    assert.equal((await get('/channels/public')).text, '{"occupied":true}');
    const empty = await get('/channels/nobody');
    assert.equal(empty.status, 200);
    assert.equal(empty.text, '{"occupied":false}');
  });

  test('trap 16: user_count counts users, subscription_count connections', async () => {
    await join('presence-r', '1');
    await join('presence-r', '1');
    await join('presence-r', '2');
    await join('public');
    await join('public');
    assert.deepEqual((await get('/channels/presence-r', { info: 'user_count' })).json, { occupied: true, user_count: 2 });
    assert.deepEqual((await get('/channels/public', { info: 'subscription_count' })).json, { occupied: true, subscription_count: 2 });
    assert.deepEqual((await get('/channels/nobody', { info: 'subscription_count' })).json, { occupied: false, subscription_count: 0 });
    assert.deepEqual((await get('/channels/presence-none', { info: 'user_count' })).json, { occupied: false, user_count: 0 });
  });

  test('attributes that do not apply are refused', async () => {
    await expectRefused(get('/channels/public', { info: 'user_count' }),
      'Cannot retrieve the user count unless the channel is a presence channel');
    assert.equal((await get('/channels/presence-r', { info: 'subscription_count' })).status, 400);
    assert.equal((await get('/channels/public', { info: 'cache' })).status, 400);
    const plain = { id: 'plain', key: 'plain-key', secret: 'plain-secret' };
    const off = await apiRequest(ctx.server, 'GET', '/apps/plain/channels/x', { params: { info: 'subscription_count' }, app: plain });
    assert.equal(off.status, 400);
    const trigger = await apiRequest(ctx.server, 'POST', '/apps/plain/events', {
      body: { name: 'e', data: '', channel: 'x', info: 'subscription_count' }, app: plain,
    });
    assert.equal(trigger.text, '{"channels":{"x":{}}}');
  });

  test('cache tells the kept event and how long it stays, or null', async () => {
    for (const channel of ['cache-a', 'private-cache-a', 'presence-cache-a', 'private-encrypted-cache-a']) {
      assert.deepEqual((await get(`/channels/${channel}`, { info: 'cache' })).json, { occupied: false, cache: null });
      await publish(channel, '{"kept":"é"}');
      const { json } = await get(`/channels/${channel}`, { info: 'cache' });
      assert.equal(json.occupied, false);
      assert.equal(json.cache.data, '{"kept":"é"}');
      assert.ok(json.cache.ttl >= 1 && json.cache.ttl <= 3, `ttl ${json.cache.ttl}`);
    }
  });

  test('a channel that cannot exist is refused', async () => {
    for (const name of ['a%20b', '%23', '%23x', 'a%00b', `${'x'.repeat(201)}`, '%C3%A4']) {
      const answer = await get(`/channels/${name}`);
      assert.equal(answer.status, 400, name);
      assert.match(answer.text, /^Invalid channel name '/);
    }
  });

  test('trap 62: names with @ = , ; . are found raw and encoded', async () => {
    const name = 'a@b=c,d;e.f_g-h';
    await join(name);
    for (const path of [name, encodeURIComponent(name), 'a%40b%3dc%2Cd%3be%2ef_g-h'])
      assert.equal((await get(`/channels/${path}`)).text, '{"occupied":true}', path);
  });

  // --- GET users

  test('trap 16: users lists each user once, ids as strings', async () => {
    await join('presence-r', 7);
    await join('presence-r', '7');
    await join('presence-r', 'é "x"');
    const { json, status, type } = await get('/channels/presence-r/users');
    assert.equal(status, 200);
    assert.equal(type, 'application/json');
    json.users.sort((a, b) => (a.id < b.id ? -1 : 1));
    assert.deepEqual(json, { users: [{ id: '7' }, { id: 'é "x"' }] });
    assert.equal((await get('/channels/presence-empty/users')).text, '{"users":[]}');
  });

  test('users are told for presence channels only, and take no parameters', async () => {
    for (const name of ['public', 'private-x', 'cache-x', 'private-encrypted-x', 'presencex'])
      assert.equal((await get(`/channels/${name}/users`)).status, 400, name);
    assert.equal((await get('/channels/presence-cache-x/users')).text, '{"users":[]}');
    await expectRefused(get('/channels/presence-r/users', { info: 'user_count' }),
      'The following query string parameters are extraneous: info');
  });

  // --- terminate_connections

  test('terminate closes every signed-in connection of the user with 4009, and no other', async () => {
    const one = await ctx.raw();
    const two = await ctx.raw();
    const other = await ctx.raw();
    await rawSignin(one, { id: 'u1' });
    await rawSignin(two, { id: 'u1' });
    await rawSignin(other, { id: 'u2' });
    const presence = await join('presence-r', 'u1');
    const answer = await apiRequest(ctx.server, 'POST', '/apps/test-id/users/u1/terminate_connections', { body: '{}' });
    assert.equal(answer.status, 200);
    assert.equal(answer.type, 'application/json');
    assert.equal(answer.text, '{}');
    await one.expectClose(4009);
    await two.expectClose(4009);
    await other.expectNothing();
    await presence.expectNothing();
  });

  test('trap 63: the user id may hold blanks, slashes and umlauts, signed as it is or as it was sent', async () => {
    const terminate = (wire, signed) => exchange(ctx.server,
      signedText(ctx.server.app, 'POST', `/apps/test-id/users/${signed}/terminate_connections`, { body: '{}' })
        .replace(`/users/${signed}/terminate_connections?`, `/users/${wire}/terminate_connections?`));
    for (const [wire, signed] of [['user%201/%C3%A9', 'user 1/é'], ['user%201%2F%C3%A9', 'user 1/é'], ['user%201%2f%c3%a9', 'user%201%2f%c3%a9'], ['a//b', 'a//b']])
      assert.equal((await terminate(wire, signed)).text, '{}', wire);
    assert.equal((await terminate('user%201', 'user 2')).status, 401);
    for (const [id, wire, signed] of [['a@b,c', 'a@b,c', 'a@b,c'], ['a@b,c', 'a%40b%2Cc', 'a@b,c'], ['a@b,c', 'a%40b%2Cc', 'a%40b%2Cc']]) {
      const socket = await ctx.raw();
      await rawSignin(socket, { id });
      assert.equal((await terminate(wire, signed)).text, '{}');
      await socket.expectClose(4009);
    }
  });

  test('a user that nobody is, and a body that is missing, are success too', async () => {
    for (const [id, body] of [['nobody', '{}'], ['nobody', ''], ['x'.repeat(300), '{}']])
      assert.equal((await apiRequest(ctx.server, 'POST', `/apps/test-id/users/${id}/terminate_connections`, { body })).text, '{}');
  });

  // --- deprecated

  test('the old events endpoint takes the body as data and answers 202', async () => {
    const socket = await join('old');
    const ask = (params, body, channel = 'old') => apiRequest(ctx.server, 'POST', `/apps/test-id/channels/${channel}/events`, { params, body });
    const event = () => socket.expect((m) => m.event === 'e', 'an event');
    assert.equal((await ask({ name: 'e' }, '{"raw":"é\\n"}')).status, 202);
    assert.deepEqual(await event(), { event: 'e', channel: 'old', data: '{"raw":"é\\n"}' });
    assert.equal((await ask({ name: 'e' }, '')).status, 202);
    assert.equal((await event()).data, '');
    assert.equal((await ask({ name: 'e', socket_id: socket.socketId }, 'left out')).status, 202);
    assert.equal((await ask({ name: 'e' }, 'x'.repeat(10240))).status, 202);
    assert.equal((await event()).data.length, 10240);
    assert.equal((await ask({ name: 'e' }, 'x'.repeat(10241))).status, 413);
    await expectRefused(ask({}, 'x'), 'Expected name parameter to be a string');
    assert.equal((await ask({ name: 'pusher:x' }, 'x')).status, 400);
    assert.equal((await ask({ name: 'e', socket_id: 'x' }, 'x')).status, 400);
    assert.equal((await ask({ name: 'e' }, 'x', 'b%20ad')).status, 400);
  });

  test('the old events endpoint refuses a body that is not UTF-8', async () => {
    const body = Buffer.from([0xff, 0xfe]);
    const { query } = signedQuery(ctx.server.app, 'POST', '/apps/test-id/channels/old/events', { name: 'e', body_md5: md5(body) });
    const head = requestText('POST', `/apps/test-id/channels/old/events?${query}`, { headers: { 'Content-Length': 2 } });
    const answer = await exchange(ctx.server, Buffer.concat([Buffer.from(head), body]));
    assert.equal(answer.status, 400);
    assert.match(answer.text, /UTF-8/);
  });

  test('the old stats endpoint tells three numbers', async () => {
    await join('presence-r', '1');
    await join('presence-r', '1');
    const { json, status } = await get('/channels/presence-r/stats');
    assert.equal(status, 200);
    assert.deepEqual(json, { occupied: true, user_count: 1, connection_count: 2 });
    assert.deepEqual((await get('/channels/nobody/stats')).json, { occupied: false, user_count: 0, connection_count: 0 });
  });

  // --- routes

  test('unknown routes and apps are 404 404 NOT FOUND', async () => {
    for (const where of ['', '/', '/x', '/events/x', '/channelsx', '/users', '/users/7', '/users/7/x', '/channels/c/x', '/channels/c/users/x', '//events']) {
      await expectRefused(get(where), '404 NOT FOUND', 404);
    }
    for (const target of ['/apps', '/apps/', '/apps/nobody/channels', '/apps/test-id', '/nothing', '/favicon.icox'])
      await expectRefused(apiRequest(ctx.server, 'GET', target), '404 NOT FOUND', 404);
  });

  test('other methods are 405 and say which', async () => {
    for (const [method, where, allow] of [
      ['GET', '/events', 'POST'], ['GET', '/batch_events', 'POST'], ['POST', '/channels', 'GET, HEAD'], ['POST', '/channels/c', 'GET, HEAD'],
      ['POST', '/channels/presence-c/users', 'GET, HEAD'], ['GET', '/channels/c/events', 'POST'], ['GET', '/users/7/terminate_connections', 'POST'],
      ['DELETE', '/channels/c', 'GET, HEAD'], ['PUT', '/events', 'POST'], ['PATCH', '/batch_events', 'POST'],
    ]) {
      const answer = await exchange(ctx.server, signedText(ctx.server.app, method, `/apps/test-id${where}`));
      assert.equal(answer.status, 405, `${method} ${where}`);
      assert.equal(answer.headers.allow, allow);
    }
  });

  test('a disabled app is 403, and only for who knows its secret', async () => {
    const app = { id: 'off', key: 'off-key', secret: 'off-secret' };
    assert.equal((await apiRequest(ctx.server, 'GET', '/apps/off/channels', { app })).status, 403);
    assert.equal((await apiRequest(ctx.server, 'GET', '/apps/off/channels', { app: { ...app, secret: 'x' } })).status, 401);
  });

  test('an app id may hold more than letters and digits, encoded or not', async () => {
    const app = { id: 'o@d,d;=._-~!', key: 'odd-key', secret: 'odd-secret' };
    for (const id of [app.id, encodeURIComponent(app.id)])
      assert.equal((await apiRequest(ctx.server, 'GET', `/apps/${id}/channels`, { app })).text, '{"channels":{}}', id);
  });

  test('apps do not see each other\'s channels', async () => {
    await join('mine');
    const app = { id: 'plain', key: 'plain-key', secret: 'plain-secret' };
    assert.equal((await apiRequest(ctx.server, 'GET', '/apps/plain/channels', { app })).text, '{"channels":{}}');
    assert.equal((await apiRequest(ctx.server, 'GET', '/apps/plain/channels/mine', { app })).text, '{"occupied":false}');
  });

  test('HEAD is GET without the body', async () => {
    const got = await exchange(ctx.server, signedText(ctx.server.app, 'HEAD', '/apps/test-id/channels'), { bodiless: true });
    assert.equal(got.status, 200);
    assert.equal(got.headers['content-length'], String('{"channels":{}}'.length));
  });
});
