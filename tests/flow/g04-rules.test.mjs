// The guide's channel rules, role by role, and encrypted channels from end to end.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import PusherApi from 'pusher';
import { call, guideApp, guideClient, join, mint, startGuide, users } from './gateway.mjs';
import { apiClient, pusherClient, subscribed, until } from './harness.mjs';

const { student, teacher, admin } = users;
const parent = { sub: '6', role: 'parent' };
const classmate = { sub: '7', role: 'student', classes: ['5b', '6a'], conversations: ['c1'] };

describe('who may join what', () => {
  let server;
  before(async () => { server = await startGuide({ workers: 2 }); });
  after(() => server.stop());
  const join1 = async (user, channel) => (await call(server, user, 'POST', '/pusher/auth', { socket_id: '1.1', channel_name: channel })).status;

  // The answers to: nobody, parent, student 7, the same with claims, teacher 8, admin 9.
  const rows = [
    ['public-updates', [200, 200, 200, 200, 200, 200]],
    ['any-name', [200, 200, 200, 200, 200, 200]],
    ['private-user-7', [401, 403, 200, 200, 403, 200]],
    ['private-user-8', [401, 403, 403, 403, 200, 200]],
    ['presence-user-7', [401, 403, 200, 200, 403, 200]],
    ['private-roblox-7', [401, 403, 200, 200, 403, 200]],
    ['private-roblox-sync', [401, 403, 403, 403, 200, 200]],
    ['private-roblox-scripts', [401, 200, 200, 200, 200, 200]],
    ['presence-roblox-workspace-1', [401, 403, 403, 403, 200, 200]],
    ['private-conversation-c1', [401, 403, 403, 200, 200, 200]],
    ['private-conversation-c2', [401, 403, 403, 403, 200, 200]],
    ['presence-content-updates', [401, 200, 200, 200, 200, 200]],
    ['presence-agent-status', [401, 200, 200, 200, 200, 200]],
    ['private-dashboard-updates', [401, 200, 200, 200, 200, 200]],
    ['presence-analytics-realtime', [401, 403, 403, 403, 200, 200]],
    ['private-class-5b', [401, 403, 403, 200, 200, 200]],
    ['presence-classroom-6a', [401, 403, 403, 200, 200, 200]],
    ['private-class-7c', [401, 403, 403, 403, 200, 200]],
    ['private-admin-broadcast', [401, 403, 403, 403, 403, 200]],
    ['private-student', [401, 403, 200, 200, 403, 200]],
    ['presence-teacher', [401, 403, 403, 403, 200, 200]],
    ['private-teacher-updates', [401, 403, 403, 403, 200, 200]],
    ['private-anything', [401, 403, 403, 403, 403, 200]],
    ['private-encrypted-plans', [401, 403, 403, 403, 403, 200]],
  ];
  for (const [channel, expected] of rows)
    test(channel, async () => {
      const answers = [];
      for (const user of [null, parent, student, classmate, teacher, admin]) answers.push(await join1(user, channel));
      assert.deepEqual(answers, expected);
    });

  test('nobody joins a user\'s own channel', async () => {
    for (const user of [student, admin]) assert.equal(await join1(user, '#server-to-user-7'), 403);
  });

  test('sign-in by the endpoint: the user hears what is sent to it', async () => {
    const client = guideClient(server, student);
    client.signin();
    await client.user.signinDonePromise;
    const heard = [];
    client.user.bind('note', (data) => heard.push(data));
    await until(async () => {
      await apiClient(server, { app: guideApp }).sendToUser('7', 'note', { n: 1 });
      return heard.length;
    }, 'the event');
    assert.deepEqual([client.user.user_data.id, heard[0]], ['7', { n: 1 }]);
    assert.equal((await call(server, null, 'POST', '/pusher/user-auth', { socket_id: '1.1' })).status, 401);
    client.disconnect();
  });

  test('an encrypted channel: the server library writes, pusher-js reads, the server cannot', async () => {
    const api = new PusherApi({ appId: guideApp.id, key: guideApp.key, secret: guideApp.secret, host: server.host, port: String(server.port), useTLS: false, encryptionMasterKeyBase64: Buffer.from('guide-development-encryption-key').toString('base64') });
    const asked = [];
    const client = pusherClient(server, {
      app: guideApp,
      channelAuthorization: {
        customHandler({ socketId, channelName }, done) {
          void call(server, mint(admin), 'POST', '/pusher/auth', { socket_id: socketId, channel_name: channelName }).then(({ body }) => { asked.push({ ...body }); done(null, body); });
        },
      },
    });
    const heard = [];
    (await subscribed(client, 'private-encrypted-plans')).bind('plan', (data) => heard.push(data));
    const frames = [];
    client.connection.bind('message', ({ event, data }) => { if (event === 'plan') frames.push(JSON.stringify(data)); });
    await api.trigger('private-encrypted-plans', 'plan', { secret: 'castle' });
    await until(() => heard.length === 1, 'the event');
    assert.deepEqual(heard, [{ secret: 'castle' }]);
    assert.match(asked[0].shared_secret, /^[A-Za-z0-9+/]{43}=$/);
    assert.ok(frames[0].includes('ciphertext') && !frames[0].includes('castle'));
    client.disconnect();
  });

  test('who is in a presence channel shows itself as the rules say', async () => {
    const client = guideClient(server, { ...teacher, email: 'tea@example.com' });
    const channel = await join(client, 'presence-content-updates');
    assert.deepEqual(channel.members.me, { id: '8', info: { id: '8', name: 'Tea', role: 'teacher' } });
    client.disconnect();
  });
});
