// POST events: what is accepted, what is delivered, and the exact answers.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiRequest, forEachWorkers, rawSubscribe, until } from './harness.mjs';
import { exchange, signedText } from './http.mjs';

const TOO_BIG = 'The data content of this event exceeds the allowed maximum (10240 bytes). '
  + 'See https://pusher.com/docs/channels/server_api/http-api#publishing-events for more info\n';

forEachWorkers('POST events', { set: { 'app_defaults.subscription_count': 'true' } }, (ctx) => {
  const post = (body, options) => apiRequest(ctx.server, 'POST', '/apps/test-id/events', { body, ...options });
  const event = (more) => ({ name: 'e', data: 'd', channels: ['c'], ...more });

  async function expectRefused(body, text, status = 400) {
    const answer = await post(body);
    assert.equal(answer.text, text, JSON.stringify(body).slice(0, 200));
    assert.equal(answer.status, status);
    assert.match(answer.type, /^text\/plain/);
  }

  // A subscriber of these channels, past its successes and counts.
  async function listener(...channels) {
    const socket = await ctx.raw();
    for (const channel of channels) {
      const channelData = channel.startsWith('presence-') ? JSON.stringify({ user_id: socket.socketId }) : undefined;
      await rawSubscribe(socket, channel, { channelData });
    }
    // The counts may come after the success, from another worker: what follows is an event.
    socket.event = () => socket.expect((m) => !/^pusher(_internal)?:/.test(m.event), 'an event');
    return socket;
  }

  test('trap 26: trap 48: success is 200, application/json, and exactly {}', async () => {
    const answer = await exchange(ctx.server, signedText(ctx.server.app, 'POST', '/apps/test-id/events', { body: event() }));
    assert.equal(answer.status, 200);
    assert.equal(answer.reason, 'OK');
    assert.equal(answer.headers['content-type'], 'application/json');
    assert.equal(answer.text, '{}');
  });

  test('an event goes to every channel that it names, once, and data is the text that was given', async () => {
    const socket = await listener('one', 'two');
    const data = '{"text":"\\u00e9 \\\\ \\" \\/ 🎺 \\ud83c\\udfba","n":1.10}';
    const answer = await apiRequest(ctx.server, 'POST', '/apps/test-id/events', {
      body: `{"name":"App\\\\Events\\\\Sold","channels":["one","two","one"],"data":${JSON.stringify(data)}}`,
    });
    assert.equal(answer.text, '{}');
    const got = [await socket.event(), await socket.event()];
    got.sort((a, b) => (a.channel < b.channel ? -1 : 1));
    assert.deepEqual(got, [
      { event: 'App\\Events\\Sold', channel: 'one', data },
      { event: 'App\\Events\\Sold', channel: 'two', data },
    ]);
    await post({ name: 'last', data: '', channels: ['one'] });
    assert.equal((await socket.event()).event, 'last');
  });

  test('channel, a string, is as good as channels', async () => {
    const socket = await listener('single');
    assert.equal((await post({ name: 'e', data: 'd', channel: 'single' })).text, '{}');
    assert.deepEqual(await socket.event(), { event: 'e', channel: 'single', data: 'd' });
  });

  test('trap 23: empty data is legal and arrives as an empty string', async () => {
    const socket = await listener('empty');
    assert.equal((await post(event({ data: '', channels: ['empty'] }))).text, '{}');
    assert.deepEqual(await socket.event(), { event: 'e', channel: 'empty', data: '' });
  });

  test('data that is not a string arrives as its JSON text', async () => {
    const socket = await listener('forms');
    for (const raw of ['{"a":[1,2.50,{"b":null}]}', '[]', '12', '-1.5e3', 'true', 'false']) {
      const answer = await post(`{"name":"e","channels":["forms"],"data":${raw}}`);
      assert.equal(answer.text, '{}', raw);
      assert.equal((await socket.event()).data, raw);
    }
  });

  test('trap 24: data of exactly 10,240 bytes passes however it is escaped, one byte more is 413', async () => {
    const socket = await listener('big');
    const forms = [
      ['letters', 'a'.repeat(10240), 'a'.repeat(10240)],
      ['two-byte characters', 'é'.repeat(5120), 'é'.repeat(5120)],
      ['four-byte characters', '🎺'.repeat(2560), '🎺'.repeat(2560)],
      ['quotes', '"'.repeat(10240), '\\"'.repeat(10240)],
      ['escaped letters', 'A'.repeat(10240), '\\u0041'.repeat(10240)],
      ['escaped pairs', '🎺'.repeat(2560), '\\ud83c\\udfba'.repeat(2560)],
      ['controls', '\n'.repeat(10240), '\\n'.repeat(10240)],
    ];
    for (const [what, text, raw] of forms) {
      assert.equal((await post(`{"name":"e","channels":["big"],"data":"${raw}"}`)).text, '{}', what);
      assert.equal((await socket.event()).data, text, what);
      const answer = await post(`{"name":"e","channels":["big"],"data":"${raw}x"}`);
      assert.equal(answer.status, 413, what);
      assert.equal(answer.text, TOO_BIG, what);
    }
  });

  test('name must be a string', async () => {
    const wanted = 'Expected name parameter to be a string\n';
    for (const name of [undefined, null, 1, true, {}, [], ['e']]) await expectRefused(event({ name }), wanted);
  });

  test('name has 1 to 200 characters, whatever they are', async () => {
    const socket = await listener('named');
    for (const name of ['x'.repeat(200), 'é'.repeat(200), '🎺'.repeat(200), ' ', '"\\', 'client-x', 'pusherx', '\u0000'])
      assert.equal((await post(event({ name, channels: ['named'] }))).text, '{}', name);
    for (const name of ['x'.repeat(200), 'é'.repeat(200), '🎺'.repeat(200), ' ', '"\\', 'client-x', 'pusherx', '\u0000'])
      assert.equal((await socket.event()).event, name);
    for (const name of ['', 'x'.repeat(201), 'é'.repeat(201)]) assert.equal((await post(event({ name }))).status, 400, name);
  });

  test('names of the protocol are refused', async () => {
    for (const name of ['pusher:ping', 'pusher:', 'pusher_internal:member_added', 'pusher:connection_established']) {
      const answer = await post(event({ name }));
      assert.equal(answer.status, 400, name);
      assert.match(answer.text, /reserved\n$/);
    }
  });

  test('data must be there', async () => {
    await expectRefused({ name: 'e', channels: ['c'] }, 'Expected data parameter to be a string\n');
  });

  test('channels is an array of 1 to 100 strings', async () => {
    const wanted = 'Expected channels parameter to be an array of strings\n';
    for (const channels of [undefined, null, 'c', 1, {}, true, [1], [null], ['a', ['b']], ['a', {}]])
      await expectRefused(event({ channels }), wanted);
    await expectRefused(event({ channels: undefined, channel: ['c'] }), wanted);
    await expectRefused(event({ channels: undefined, channel: 7 }), wanted);
    assert.equal((await post(event({ channels: [] }))).status, 400);
    const names = Array.from({ length: 101 }, (_, i) => `many-${i}`);
    assert.equal((await post(event({ channels: names.slice(1) }))).text, '{}');
    const answer = await post(event({ channels: names }));
    assert.equal(answer.status, 400);
    assert.match(answer.text, /100/);
  });

  test('a channel name has 1 to 200 characters of the known set', async () => {
    const set = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-=@,.;';
    for (const channel of [set, 'x'.repeat(200), '#server-to-user-7', `#server-to-user-${'a@b,c.d;e=f_g-h'}`])
      assert.equal((await post(event({ channels: [channel] }))).text, '{}', channel);
    for (const channel of ['', 'a b', 'a/b', 'a:b', 'ä', 'a\n', '\na', 'a\u0000', '#', '#x', '#server-to-user-', '#server-to-user',
      'a#', 'x'.repeat(201), 'a"b', 'a\\b', 'a+b', 'a%20b', 'a!b', 'a\u202eb']) {
      const answer = await post(event({ channels: [channel] }));
      assert.equal(answer.status, 400, channel);
      assert.match(answer.text, /^Invalid channel name '/, channel);
      assert.equal(answer.text.split('\n').length, 2, `one line for ${JSON.stringify(channel)}: ${answer.text}`);
    }
  });

  test('nothing is delivered when one of several channels is refused', async () => {
    const socket = await listener('good');
    assert.equal((await post(event({ channels: ['good', 'b ad'] }))).status, 400);
    assert.equal((await post(event({ name: 'after', channels: ['good'] }))).text, '{}');
    assert.equal((await socket.event()).event, 'after');
  });

  test('trap 35: socket_id leaves out that connection and no other, on whatever worker', async () => {
    const a = await listener('room');
    const b = await listener('room');
    assert.equal((await post(event({ name: 'first', channels: ['room'], socket_id: a.socketId }))).text, '{}');
    assert.equal((await post(event({ name: 'second', channels: ['room'], socket_id: '1.1' }))).text, '{}');
    assert.equal((await post(event({ name: 'third', channels: ['room'], socket_id: null }))).text, '{}');
    assert.deepEqual([(await a.event()).event, (await a.event()).event], ['second', 'third']);
    assert.deepEqual([(await b.event()).event, (await b.event()).event, (await b.event()).event], ['first', 'second', 'third']);
  });

  test('incident 01: socket_id is two numbers and a dot, whole', async () => {
    for (const id of ['', '1', '1.', '.1', '1.2.3', '1,2', 'a.b', '1.2\n', '\n1.2', ' 1.2', '1.2 ', '-1.2', '1.-2', '+1.2', '1e3.2', '0x1.2',
      '1.2:private-x', '1.2\u0000', '١.٢', '1.2/', 1.2, 12, true, {}, [], ['1.2']]) {
      const answer = await post(event({ socket_id: id }));
      assert.equal(answer.status, 400, JSON.stringify(id));
      assert.equal(answer.text, 'Invalid socket_id: it must be two numbers joined by a dot\n');
    }
    for (const id of ['1.2', '0.0', '4294967295.4294967295', '9007199254740991.9007199254740991'])
      assert.equal((await post(event({ socket_id: id }))).text, '{}', id);
  });

  test('info answers one key for each channel, with what applies to it', async () => {
    await listener('presence-room', 'public', 'private-x');
    await listener('public');
    const channels = ['presence-room', 'public', 'private-x', 'nobody', 'public', 'presence-nobody'];
    const both = await post(event({ channels, info: 'user_count,subscription_count' }));
    assert.equal(both.status, 200);
    assert.equal(both.type, 'application/json');
    assert.deepEqual(both.json, {
      channels: {
        'presence-room': { user_count: 1 },
        public: { subscription_count: 2 },
        'private-x': { subscription_count: 1 },
        nobody: { subscription_count: 0 },
        'presence-nobody': { user_count: 0 },
      },
    });
    const users = await post(event({ channels: ['presence-room', 'public'], info: 'user_count' }));
    assert.deepEqual(users.json, { channels: { 'presence-room': { user_count: 1 }, public: {} } });
    const none = await post(event({ channels: ['public'], info: '' }));
    assert.equal(none.text, '{}');
    const unknown = await post(event({ channels: ['public'], info: 'weather' }));
    assert.equal(unknown.status, 200);
    assert.equal((await post(event({ info: 7 }))).status, 400);
  });

  test('the parameters may stand in the query', async () => {
    const socket = await listener('one', 'two');
    const answer = await apiRequest(ctx.server, 'POST', '/apps/test-id/events', {
      params: { name: 'q', data: '{"a":"é &=+"}', 'channels[]': 'one' },
    });
    assert.equal(answer.status, 200, answer.text);
    assert.deepEqual(await socket.event(), { event: 'q', channel: 'one', data: '{"a":"é &=+"}' });
    const one = await apiRequest(ctx.server, 'POST', '/apps/test-id/events', { params: { name: 'r', data: '', channel: 'two' } });
    assert.equal(one.text, '{}');
    assert.deepEqual(await socket.event(), { event: 'r', channel: 'two', data: '' });
    const bad = await apiRequest(ctx.server, 'POST', '/apps/test-id/events', { params: { data: '', channel: 'two' } });
    assert.equal(bad.text, 'Expected name parameter to be a string\n');
  });

  test('trap 64: the body counts as it was sent, with blanks, unknown keys and any order', async () => {
    const socket = await listener('c');
    const answer = await post('\n {"zzz" : [ { } ] , "data":"d" ,\t"channels" : [ "c" ], "name":"e"}\r\n');
    assert.equal(answer.text, '{}');
    assert.deepEqual(await socket.event(), { event: 'e', channel: 'c', data: 'd' });
  });

  test('publishing to nobody is success and leaves nothing', async () => {
    assert.equal((await post(event({ channels: ['nobody-here'] }))).text, '{}');
    await until(async () => (await ctx.server.metrics()).sum('carillon_channels') === 0, 'no channel');
  });
});
