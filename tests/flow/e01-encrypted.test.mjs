// Encrypted channels: opaque to the server, readable for who has the secret.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiRequest, channelAuth, forEachWorkers, once, rawSubscribe, subscribed } from './harness.mjs';

const encryptionMasterKeyBase64 = Buffer.from('0123456789abcdef0123456789abcdef').toString('base64');

forEachWorkers('encrypted channels', { set: { 'app_defaults.cache_ttl_s': 2 } }, (ctx) => {
  const api = () => ctx.api({ encryptionMasterKeyBase64 });
  const client = () => ctx.client({
    channelAuthorization: {
      customHandler({ socketId, channelName }, done) { done(null, api().authorizeChannel(socketId, channelName)); },
    },
  });

  test('what the library encrypts, pusher-js decrypts', async () => {
    const channel = await subscribed(client(), 'private-encrypted-foo');
    const heard = once(channel, 'e');
    await api().trigger('private-encrypted-foo', 'e', { secret: 'é' });
    assert.deepEqual(await heard, { secret: 'é' });
  });

  test('an encrypted cache channel replays what it holds, still encrypted', async () => {
    const name = 'private-encrypted-cache-foo';
    const one = client();
    await once(one.subscribe(name), 'pusher:cache_miss');
    const heard = once(one.channel(name), 'e');
    await api().trigger(name, 'e', { n: 1 });
    assert.deepEqual(await heard, { n: 1 });
    const two = client();
    assert.deepEqual(await once(two.subscribe(name), 'e'), { n: 1 });
  });

  test('the data passes byte for byte', async () => {
    const socket = await ctx.raw();
    await rawSubscribe(socket, 'private-encrypted-foo');
    const data = '{"nonce":"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH","ciphertext":"gUVJ64VO/oweinSLlkNXAPIzQFGtHxzXXzUBk6aTo/xG"}';
    const answer = await apiRequest(ctx.server, 'POST', '/apps/test-id/events', { body: { name: 'e', channels: ['private-encrypted-foo'], data } });
    assert.equal(answer.text, '{}');
    await socket.expectJson({ event: 'e', channel: 'private-encrypted-foo', data });
  });

  test('an encrypted channel needs a signature', async () => {
    const socket = await ctx.raw();
    for (const channel of ['private-encrypted-foo', 'private-encrypted-cache-foo'])
      for (const auth of ['', channelAuth({ key: 'test-key', secret: 'wrong' }, socket.socketId, channel)]) {
        socket.send({ event: 'pusher:subscribe', data: { channel, auth } });
        await socket.expectEvent('pusher:error');
        await socket.expectEvent('pusher:subscription_error', channel);
      }
    await socket.expectNothing();
  });
});
