// The server libraries: the official Node library itself, and the bytes of all of them.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import Pusher from 'pusher';
import { apiClient, md5, rawSignin, rawSubscribe, startServer, useServer } from './harness.mjs';
import { httpSocket, phpSign } from './http.mjs';
import { requests } from './sdk/requests.mjs';

const app = { id: '3', key: '278d425bdf160c739803', secret: '7ad3773142a6692b25b8' };
const set = { 'app_defaults.subscription_count': 'true' };

function paramsOf(row, now) {
  const auth = { auth_key: app.key, auth_timestamp: String(now), auth_version: '1.0' };
  const body = row.body === undefined ? {} : { body_md5: md5(row.body) };
  return row.md5First ? { ...body, auth_version: auth.auth_version, ...auth } : { ...auth, ...body, ...row.params };
}

describe('bytes of the libraries, signed in PHP', () => {
  const ctx = useServer({ app, set });
  let prefixed;
  let signed;
  after(() => prefixed.stop());
  before(async () => {
    prefixed = await startServer({ app, set: { ...set, path_prefix: '/realtime' } });
    const now = Math.floor(Date.now() / 1000);
    const answers = phpSign(requests.map((row) => ({
      secret: app.secret, method: row.method, path: row.signedPath ?? row.path, params: paramsOf(row, now),
    })));
    signed = new Map(requests.map((row, i) => [row, { params: paramsOf(row, now), signature: answers[i].signature }]));
  });

  for (const row of requests) {
    test(`${row.sdk}: ${row.does}`, async () => {
      const server = row.prefix ? prefixed : ctx.server;
      const listener = await ctx.raw();
      await rawSubscribe(listener, 'channel-1', { app });
      const member = await ctx.raw();
      await rawSubscribe(member, 'presence-room', { app, channelData: '{"user_id":7}' });
      const { params, signature } = signed.get(row);
      const target = `${row.prefix ?? ''}${row.path}?${row.query(Object.entries(params), signature)}`;
      const head = row.headers(row.body).map((line) => `${line.replace('{host}', `127.0.0.1:${server.port}`)}\r\n`).join('');
      const http = await httpSocket(server);
      http.write(`${row.method} ${target} HTTP/1.1\r\n${head}\r\n${row.body ?? ''}`);
      const answer = await http.response();
      http.destroy();
      assert.equal(answer.status, 200, answer.text);
      assert.equal(answer.headers['content-type'], 'application/json');
      if (typeof row.answer === 'function') assert.ok(row.answer(answer.text), answer.text);
      else assert.equal(answer.text, row.answer);
      if (row.delivers) {
        const got = await listener.expect((m) => m.channel === 'channel-1' && !/^pusher/.test(m.event));
        assert.deepEqual(got, { channel: 'channel-1', ...row.delivers });
      }
    });
  }

});

describe('the official Node library', () => {
  const ctx = useServer({ app, set, workers: 4 });
  const api = (options) => apiClient(ctx.server, options);

  async function listener(...channels) {
    const socket = await ctx.raw();
    for (const channel of channels)
      await rawSubscribe(socket, channel, { app, channelData: channel.startsWith('presence-') ? '{"user_id":"7"}' : undefined });
    socket.event = () => socket.expect((m) => !/^pusher/.test(m.event));
    return socket;
  }

  test('trigger, to one and to many channels, with info and socket_id', async () => {
    const a = await listener('room', 'presence-r');
    const b = await listener('room');
    let answer = await api().trigger(['room', 'presence-r'], 'e', { x: 'é' }, { socket_id: b.socketId, info: 'user_count,subscription_count' });
    assert.equal(answer.status, 200);
    assert.deepEqual(await answer.json(), { channels: { room: { subscription_count: 2 }, 'presence-r': { user_count: 1 } } });
    const got = [await a.event(), await a.event()].map((m) => m.channel).sort();
    assert.deepEqual(got, ['presence-r', 'room']);
    answer = await api().trigger('room', 'last', '');
    assert.equal(await answer.text(), '{}');
    assert.deepEqual(await b.event(), { event: 'last', channel: 'room', data: '' });
  });

  test('triggerBatch', async () => {
    const a = await listener('room');
    const answer = await api().triggerBatch([{ channel: 'room', name: 'n', data: { y: 1 } }, { channel: 'room', name: 'm', data: 'text', info: 'subscription_count' }]);
    assert.deepEqual(await answer.json(), { batch: [{}, { subscription_count: 1 }] });
    assert.deepEqual([await a.event(), await a.event()],
      [{ event: 'n', channel: 'room', data: '{"y":1}' }, { event: 'm', channel: 'room', data: 'text' }]);
  });

  test('get of channels, a channel and its users', async () => {
    await listener('a@b=c,d;e.f', 'presence-r');
    const get = async (path, params) => (await api().get({ path, params })).json();
    assert.deepEqual(await get('/channels'), { channels: { 'a@b=c,d;e.f': {}, 'presence-r': {} } });
    assert.deepEqual(await get('/channels', { filter_by_prefix: 'presence-', info: 'user_count' }), { channels: { 'presence-r': { user_count: 1 } } });
    assert.deepEqual(await get('/channels/a@b=c,d;e.f', { info: 'subscription_count' }), { occupied: true, subscription_count: 1 });
    assert.deepEqual(await get('/channels/presence-r/users'), { users: [{ id: '7' }] });
  });

  test('sendToUser and terminateUserConnections', async () => {
    const socket = await ctx.raw();
    await rawSignin(socket, { id: '7' }, { app });
    await rawSubscribe(socket, '#server-to-user-7', { app });
    assert.equal((await api().sendToUser('7', 'hello', { a: 1 })).status, 200);
    await socket.expectJson({ event: 'hello', channel: '#server-to-user-7', data: '{"a":1}' });
    assert.equal((await api().terminateUserConnections('user 1/é')).status, 200);
    assert.equal((await api().terminateUserConnections('7')).status, 200);
    await socket.expectClose(4009);
  });

  test('an encrypted channel', async () => {
    const socket = await listener('private-encrypted-x');
    const secretive = api({ encryptionMasterKeyBase64: Buffer.alloc(32, 7).toString('base64') });
    assert.equal((await secretive.trigger('private-encrypted-x', 'e', { secret: true })).status, 200);
    const sealed = JSON.parse((await socket.event()).data);
    assert.deepEqual(Object.keys(sealed).sort(), ['ciphertext', 'nonce']);
  });

  test('an error of the server is thrown with its text', async () => {
    const wrong = apiClient(ctx.server, { app: { ...app, secret: 'wrong' } });
    await assert.rejects(wrong.trigger('room', 'e', {}), (error) => error instanceof Pusher.RequestError
      && error.status === 401 && /^Invalid signature: you should have sent HmacSHA256Hex\("POST\\n\/apps\/3\/events\\n/.test(error.body));
    await assert.rejects(api().trigger('room', 'e', 'x'.repeat(10241)), (error) => error.status === 413 && /exceeds the allowed maximum/.test(error.body));
    await assert.rejects(api().get({ path: '/channels/room/users' }), (error) => error.status === 400);
  });
});
