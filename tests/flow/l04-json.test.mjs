// Malformed and hostile JSON: bodies of the API and messages of clients.
import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import { apiRequest, channelAuth, defaultApp, hmac, md5, rawSubscribe, signedQuery, userAuth, useServer } from './harness.mjs';
import { exchange, expectServes, requestText } from './http.mjs';

// Not JSON, whatever is around it.
const broken = ['', ' ', '{', '}', '[', ']', '{]', '[}', '{"a"}', '{"a":}', '{"a":1,}', '{,}', '{"a":1 "b":2}', '{a:1}', "{'a':1}", '{"a":1}}', '{"a":1}{"b":2}', '{"a":01}', '{"a":1.}', '{"a":.5}',
  '{"a":+1}', '{"a":1e}', '{"a":--1}', '{"a":0x1}', '{"a":NaN}', '{"a":Infinity}', '{"a":nul}', '{"a":True}', '{"a":"\\x"}', '{"a":"\\u12"}', '{"a":"\\u12g4"}', '{"a":"\n"}', '{"a":"\t"}', '{"a":"\u0000"}', '{"a":"b}',
  '{"a":"b\\"}', '\ufeff{}', '{}\u0000', '{"a":1}x', '/**/{}', '{"a":1}//', '{"a":[1,]}', '{"a":[,1]}', '{"a" 1}', '{1:2}', '{null:1}', '{"a":1,,"b":2}', '{\u00a0}', '\u000b{}', '"', '\\', 'nul', 'tru', '-', '1e', '"\\ud8"',
  '[1', '[1,', '["a', '{"a', '{"a":', '{"a":1,'];
const notObjects = ['null', 'true', 'false', '0', '-1.5e10', '""', '"x"', '[]', '[{}]', '[null]'];
// Values of every type for a place where another is wanted.
const values = ['null', 'true', 'false', '0', '1e400', '-1', '""', '"x"', '[]', '[[]]', '{}', '{"a":1}', '[null]', '"\\u0000"', '"\\ud800"', '123456789012345678901234567890'];
const nested = (n, open, close) => open.repeat(n) + close.repeat(n);

describe('bodies of the API', () => {
  const ctx = useServer({ workers: 2 });
  afterEach(() => expectServes(ctx.server));
  const post = (route, body) => apiRequest(ctx.server, 'POST', `/apps/test-id/${route}`, { body });
  const subscriber = async () => {
    const socket = await ctx.raw();
    await rawSubscribe(socket, 'c');
    return socket;
  };

  for (const route of ['events', 'batch_events']) {
    test(`incident 06: ${route}: what is no JSON, or no object, is 400`, async () => {
      for (const body of [...broken, ...notObjects]) {
        if (body === '' && route === 'events') continue; // then the query is read
        const answer = await post(route, body);
        assert.equal(answer.status, 400, JSON.stringify(body));
        assert.equal(answer.text, 'Invalid JSON: expected an object in the body\n', JSON.stringify(body));
        assert.match(answer.type, /^text\/plain/);
      }
    });
  }

  test('incident 06: events: every field as every type', async () => {
    const good = { name: '"e"', data: '"d"', channels: '["c"]', channel: undefined, socket_id: undefined, info: undefined };
    // What each field takes; all else is 400.
    const legal = { name: ['"x"', '"\\u0000"'], data: values.filter((v) => v !== '"\\ud800"'), channels: [], channel: values, socket_id: ['null'], info: ['null', '""', '"x"', '"\\u0000"'] };
    for (const field of Object.keys(good)) {
      for (const value of values) {
        if (value === '"\\ud800"') continue; // has a test of its own
        const fields = { ...good, [field]: value };
        const text = `{${Object.entries(fields).filter(([, v]) => v !== undefined).map(([k, v]) => `"${k}":${v}`).join(',')}}`;
        const answer = await post('events', text);
        const wanted = legal[field].includes(value) ? 200 : 400;
        assert.equal(answer.status, wanted, text);
      }
    }
  });

  test('incident 06: batch_events: every field of an event as every type', async () => {
    const good = { name: '"e"', data: '"d"', channel: '"c"', socket_id: undefined, info: undefined };
    const legal = { name: ['"x"', '"\\u0000"'], data: values, channel: ['"x"'], socket_id: ['null'], info: ['null', '""', '"x"', '"\\u0000"'] };
    for (const field of Object.keys(good)) {
      for (const value of values.filter((v) => v !== '"\\ud800"')) {
        const fields = { ...good, [field]: value };
        const text = `{"batch":[{${Object.entries(fields).filter(([, v]) => v !== undefined).map(([k, v]) => `"${k}":${v}`).join(',')}}]}`;
        const answer = await post('batch_events', text);
        assert.equal(answer.status, legal[field].includes(value) ? 200 : 400, text);
      }
    }
  });

  test('a lonely surrogate: refused in names, and in data never a broken frame', async () => {
    for (const text of ['{"name":"\\ud800","data":"d","channel":"c"}', '{"name":"e","data":"d","channel":"\\udc00"}', '{"name":"e","data":"d","channels":["\\ud800x"]}'])
      assert.equal((await post('events', text)).status, 400, text);
    const socket = await subscriber();
    for (const data of ['\\ud800', 'a\\udfffb', '\\ud800\\ud800', '\\udc00\\ud800']) {
      const { status } = await post('events', `{"name":"e","data":"${data}","channel":"c"}`);
      assert.ok([200, 400].includes(status));
      if (status === 200) {
        const { text } = await socket.next();
        assert.equal(JSON.parse(text).data, JSON.parse(`"${data}"`));
      }
    }
    await socket.expectNothing();
  });

  test('bytes that are not UTF-8 are 400', async () => {
    for (const bytes of [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xe2, 0x82], [0xf5, 0x80, 0x80, 0x80]]) {
      for (const [before, behind] of [['{"name":"e","channel":"c","data":"', '"}'], ['{"name":"', '","channel":"c","data":"d"}'], ['{"name":"e","channel":"c","data":"d","', '":1}']]) {
        const body = Buffer.concat([Buffer.from(before), Buffer.from(bytes), Buffer.from(behind)]);
        const { query } = signedQuery(defaultApp, 'POST', '/apps/test-id/events', { body_md5: md5(body) });
        const head = requestText('POST', `/apps/test-id/events?${query}`, { headers: { 'Content-Length': body.length } });
        const answer = await exchange(ctx.server, Buffer.concat([Buffer.from(head), body]));
        assert.equal(answer.status, 400, body.toString('latin1'));
      }
    }
  });

  test('nesting is bounded at 64, and a very deep body is only 400', async () => {
    const deep = (n) => `{"name":"e","channel":"c","data":"d","x":${nested(n, '[', ']')}}`;
    assert.equal((await post('events', deep(50))).status, 200);
    for (const n of [70, 1000, 60000]) assert.equal((await post('events', deep(n))).status, 400, `${n}`);
    assert.equal((await post('events', `{"name":"e","channel":"c","data":"d","x":${'{"a":'.repeat(20000)}1${'}'.repeat(20000)}}`)).status, 400);
    assert.equal((await post('events', '['.repeat(100000))).status, 400);
    assert.equal((await post('batch_events', `{"batch":${'['.repeat(500000)}`)).status, 400);
  });

  test('a name given twice counts once, and never half of each', async () => {
    const socket = await subscriber();
    const answer = await post('events', '{"name":"first","name":"second","data":"1","data":"2","channel":"c","channel":"c"}');
    assert.ok([200, 400].includes(answer.status));
    if (answer.status === 200) {
      const got = JSON.parse((await socket.next()).text);
      assert.ok((got.event === 'first' && got.data === '1') || (got.event === 'second' && got.data === '2'), JSON.stringify(got));
    }
    await socket.expectNothing();
  });

  test('names of fields may be escaped, and are compared whole', async () => {
    const socket = await subscriber();
    assert.equal((await post('events', '{"\\u006eame":"e","d\\u0061ta":"d","channel":"c"}')).status, 200);
    await socket.expectText('{"event":"e","channel":"c","data":"d"}');
    for (const text of ['{"Name":"e","data":"d","channel":"c"}', '{"name ":"e","data":"d","channel":"c"}', '{"name\\u0000":"e","data":"d","channel":"c"}'])
      assert.equal((await post('events', text)).status, 400, text);
  });

  test('incident 01: a channel name with what separates in a signature is refused', async () => {
    for (const channel of ['private-a:b', 'a\n', 'a:presence-b:{}', ':', 'private-a\u0000'])
      assert.equal((await post('events', { name: 'e', data: 'd', channels: [channel] })).status, 400, channel);
  });
});

describe('messages of clients', () => {
  const ctx = useServer({ workers: 2, set: { 'app_defaults.limits.client_events_per_s': '0' } });
  afterEach(() => expectServes(ctx.server));
  const ERROR = /^\{"event":"pusher:error","data":\{"code":(null|\d+),"message":"/;

  test('incident 06: what is no JSON, or no object, gets an error each, and the connection stays', async () => {
    const socket = await ctx.raw();
    for (const text of [...broken, ...notObjects]) {
      socket.text(text);
      assert.match((await socket.next()).text, ERROR, JSON.stringify(text));
    }
    await socket.expectNothing();
  });

  // Every message of the protocol with every type in every place: an error, or a success that is
  // not one by accident; never a close, never a crash.
  const frames = (socket) => ({
    subscribe: { event: '"pusher:subscribe"', 'data.channel': '"private-c"', 'data.auth': JSON.stringify(channelAuth(defaultApp, socket.socketId, 'private-c')), 'data.channel_data': undefined },
    presence: { event: '"pusher:subscribe"', 'data.channel': '"presence-c"', 'data.auth': '"test-key:00"', 'data.channel_data': '"{\\"user_id\\":\\"1\\"}"' },
    unsubscribe: { event: '"pusher:unsubscribe"', 'data.channel': '"c"' },
    signin: { event: '"pusher:signin"', 'data.auth': '"test-key:00"', 'data.user_data': '"{\\"id\\":\\"1\\"}"' },
    'client event': { event: '"client-x"', channel: '"private-joined"', data: '{"a":1}' },
  });
  function write(fields) {
    const top = [];
    const inner = [];
    for (const [name, value] of Object.entries(fields))
      if (value !== undefined) (name.startsWith('data.') ? inner : top).push(`"${name.replace('data.', '')}":${value}`);
    if (inner.length) top.push(`"data":{${inner.join(',')}}`);
    return `{${top.join(',')}}`;
  }

  for (const name of Object.keys(frames({ socketId: '1.1' }))) {
    test(`incident 06: ${name}: every field as every type, and missing`, async () => {
      for (const field of [...Object.keys(frames({ socketId: '1.1' })[name]), 'data']) {
        const socket = await ctx.raw();
        await rawSubscribe(socket, 'private-joined');
        for (const value of [...values, undefined]) {
          const fields = { ...frames(socket)[name] };
          if (field === 'data') for (const key of Object.keys(fields)) if (key.startsWith('data.')) delete fields[key];
          fields[field] = value;
          socket.text(write(fields));
        }
        socket.text('{"event":"pusher:ping","data":{"last":true}}');
        for (;;) {
          const { text } = await socket.next();
          const message = JSON.parse(text);
          if (message.event === 'pusher:pong') break;
          assert.ok(ERROR.test(text) || ['pusher:subscription_error', 'pusher_internal:subscription_succeeded'].includes(message.event), `${name}.${field}: ${text}`);
        }
        socket.destroy();
      }
    });
  }

  test('incident 01: a signature is bound to its channel and its channel_data', async () => {
    const socket = await ctx.raw();
    const id = socket.socketId;
    const sign = (text) => `test-key:${hmac(defaultApp.secret, text)}`;
    for (const data of [
      { channel: 'private-a:b', auth: sign(`${id}:private-a:b`) },
      { channel: 'private-a', auth: sign(`${id}:private-b`) },
      { channel: 'private-a', auth: sign(`1.1:private-a`) },
      { channel: 'presence-a', channel_data: '{"user_id":"1"}', auth: sign(`${id}:presence-a`) },
      { channel: 'private-a', channel_data: 'b', auth: sign(`${id}:private-a`) },
      { channel: 'private-a', auth: sign(`${id}:private-a:b`) },
      { channel: 'private-a', auth: `test-key:${hmac(defaultApp.secret, `${id}::user::private-a`)}` },
      { channel: 'private-a', auth: `:${hmac(defaultApp.secret, `${id}:private-a`)}` },
      { channel: 'private-a', auth: `x${sign(`${id}:private-a`)}` },
      { channel: 'private-a', auth: `${sign(`${id}:private-a`)}0` },
      { channel: 'private-a\n', auth: sign(`${id}:private-a\n`) },
    ]) {
      socket.send({ event: 'pusher:subscribe', data });
      assert.match((await socket.next()).text, ERROR, JSON.stringify(data));
      assert.equal(JSON.parse((await socket.next()).text).event, 'pusher:subscription_error', JSON.stringify(data));
    }
    await socket.expectNothing();
  });

  test('a user\'s signature is bound to socket and data', async () => {
    const socket = await ctx.raw();
    const user = '{"id":"7"}';
    for (const data of [{ user_data: user, auth: userAuth(defaultApp, '1.1', user) }, { user_data: '{"id":"8"}', auth: userAuth(defaultApp, socket.socketId, user) },
      { user_data: user, auth: channelAuth(defaultApp, socket.socketId, user) }]) {
      socket.send({ event: 'pusher:signin', data });
      assert.match((await socket.next()).text, /^\{"event":"pusher:error","data":\{"code":4009,/);
    }
    await socket.expectNothing();
  });

  test('incident 29: a user\'s channel is for who signed in as that user', async () => {
    const socket = await ctx.raw();
    for (const channel of ['#server-to-user-7', '#server-to-user-', '#server-to-user-7 ', '#', '#x'])
      for (const auth of ['', channelAuth(defaultApp, socket.socketId, channel)]) {
        socket.send({ event: 'pusher:subscribe', data: { channel, auth } });
        assert.match((await socket.next()).text, ERROR, channel);
        assert.equal(JSON.parse((await socket.next()).text).event, 'pusher:subscription_error', channel);
      }
    await socket.expectNothing();
  });

  test('deep nesting is an error, in a message and in what is a string within it', async () => {
    const socket = await ctx.raw();
    await rawSubscribe(socket, 'private-joined');
    for (const n of [70, 1000, 30000]) {
      socket.text(`{"event":"client-x","channel":"private-joined","data":${nested(n, '[', ']')}}`);
      assert.match((await socket.next()).text, ERROR, `${n}`);
      const channelData = `{"user_id":"1","user_info":${nested(n, '[', ']')}}`;
      const data = { channel: 'presence-c', channel_data: channelData, auth: channelAuth(defaultApp, socket.socketId, 'presence-c', channelData) };
      if (JSON.stringify(data).length < 65000) {
        socket.send({ event: 'pusher:subscribe', data });
        assert.match((await socket.next()).text, ERROR, `${n}`);
        await socket.expectEvent('pusher:subscription_error');
      }
    }
    await socket.expectNothing();
  });

  test('1,000 messages with one byte changed, taken out or doubled harm nobody', async () => {
    let seed = 7;
    const random = (n) => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) % n;
    const templates = ['{"event":"pusher:subscribe","data":{"auth":"","channel":"foo"}}', '{"event":"pusher:unsubscribe","data":{"channel":"foo"}}', '{"event":"pusher:signin","data":{"auth":"a:b","user_data":"{\\"id\\":\\"7\\"}"}}',
      '{"event":"client-typing","data":{"a":[1,"\\u00e9",null]},"channel":"private-joined"}', '{"event":"pusher:subscribe","data":"{\\"channel\\":\\"foo\\"}"}', '{"event":"pusher:ping","data":{}}'];
    const socket = await ctx.raw();
    await rawSubscribe(socket, 'private-joined');
    for (let i = 0; i < 1000; i++) {
      const text = templates[random(templates.length)];
      const at = random(text.length);
      const kind = random(3);
      const changed = kind === 0 ? String.fromCharCode(32 + random(95)) : kind === 1 ? '' : text[at].repeat(2 + random(50));
      socket.text(text.slice(0, at) + changed + text.slice(at + 1));
    }
    socket.text('{"event":"pusher:unsubscribe","data":{"channel":"the-last"}}');
    await socket.expect((m) => m.event === 'pusher:error' && /the-last/.test(m.data.message), 'the last answer', 20000);
    assert.equal(socket.closed, null);
  });
});
