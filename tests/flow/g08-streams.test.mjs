// Private channels as event streams, under the gateway's rules; and who may not send client events.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { EventSource } from 'eventsource';
import { call, gatewayConfig, guideApp, guideClient, join, mint, startGuide, users } from './gateway.mjs';
import { apiClient, connected, expectIdle, limit, until } from './harness.mjs';

const { student, teacher } = users;

for (const workers of [1, 4])
  describe(`private event streams (${workers} workers)`, () => {
    let server;
    const open = [];
    before(async () => { server = await startGuide({ workers, set: { 'limits.rejoin_ms': limit(300) } }); });
    after(async () => {
      for (const each of open) each.close();
      await expectIdle(server);
      await server.stop();
    });
    const stream = (user, channels) => {
      const source = new EventSource(`${server.url}/events/app-key?channels=${channels}`, {
        fetch: (url, init) => fetch(url, { ...init, headers: { ...init.headers, ...(user ? { authorization: `Bearer ${mint(user)}` } : {}) } }),
      });
      source.heard = [];
      source.onmessage = ({ data }) => source.heard.push(JSON.parse(data));
      open.push(source);
      return source;
    };
    const ask = async (channels, authorization) => {
      const answer = await fetch(`${server.url}/events/app-key?channels=${channels}`, { headers: authorization ? { authorization } : {} });
      return [answer.status, answer.headers.get('www-authenticate'), (await answer.text()).trim()];
    };

    test('who may join hears the channel; in a presence channel the others see who it is', async () => {
      const watcher = guideClient(server, teacher);
      await connected(watcher);
      const members = await join(watcher, 'presence-content-updates');
      const source = stream(student, 'private-user-7,presence-content-updates,public-news');
      await until(() => source.heard.filter(({ event }) => event === 'pusher_internal:subscription_succeeded').length === 3, 'three subscriptions');
      await until(() => members.members.get('7'), 'the member');
      assert.deepEqual(members.members.get('7').info, { id: '7', name: 'Sam', role: 'student' });
      const api = apiClient(server, { app: guideApp });
      for (const channel of ['private-user-7', 'presence-content-updates', 'public-news', 'private-user-8']) await api.trigger(channel, 'e', { channel });
      await until(() => source.heard.filter(({ event }) => event === 'e').length === 3, 'three events');
      assert.deepEqual(source.heard.filter(({ event }) => event === 'e').map(({ channel }) => channel), ['private-user-7', 'presence-content-updates', 'public-news']);
      source.close();
      await until(() => !members.members.get('7'), 'the member to go');
      watcher.disconnect();
    });

    test('a stream ends with its token', async () => {
      const answer = await fetch(`${server.url}/events/app-key?channels=private-user-7`, { headers: { authorization: `Bearer ${mint(student, { exp: Math.floor(Date.now() / 1000) + 2 })}` } });
      assert.equal(answer.status, 200);
      assert.match(await answer.text(), /subscription_succeeded/); // to its end
      await until(async () => (await server.metrics()).sum('carillon_closes_total', { reason: 'token_expired' }) >= 1, 'the reason in the metrics');
    });

    test('the answers to who may not', async () => {
      const bearer = (user, opts) => `Bearer ${mint(user, opts)}`;
      assert.deepEqual(await ask('private-user-7'), [401, 'Bearer', "channel 'private-user-7' needs a token in an Authorization header"]);
      assert.deepEqual(await ask('public-a,private-user-8', bearer(student)), [403, null, "channel 'private-user-8' needs an authorisation, which this has not"]);
      assert.deepEqual(await ask('private-user-7', bearer(student, { exp: 1000 })), [401, 'Bearer', 'Token has expired']);
      assert.deepEqual(await ask('public-a', 'Bearer x'), [401, 'Bearer', 'Invalid token']);
      assert.deepEqual(await ask('private-encrypted-x', bearer(users.admin)), [403, null, "channel 'private-encrypted-x' needs an authorisation, which this has not"]);
      assert.equal((await ask('%23server-to-user-7', bearer(student)))[0], 403);
    });
  });

describe('client events', () => {
  test('whom the rule does not name is silent, on that channel only', async () => {
    const server = await startGuide({ workers: 2, config: gatewayConfig(`  channels:
    - {channel: "private-quiet", join: user, client_events: teacher}
    - {channel: "presence-quiet", join: user, client_events: teacher}
    - {channel: "private-open", join: user}
  routes:
    - {name: auth, path: /pusher/auth, auth: optional, builtin: auth}
`) });
    const [one, two] = [guideClient(server, student), guideClient(server, teacher)];
    const errors = [];
    one.connection.bind('error', (error) => errors.push((error.data ?? error.error.data).message));
    const channels = {};
    for (const client of [one, two]) {
      await connected(client);
      for (const name of ['private-quiet', 'presence-quiet', 'private-open']) channels[`${client === one ? 1 : 2} ${name}`] = await join(client, name);
    }
    for (const name of ['private-quiet', 'presence-quiet', 'private-open']) channels[`1 ${name}`].trigger('client-a', { n: 1 });
    await until(() => two.heard.length === 1 && errors.length === 2, 'one event and two refusals');
    assert.equal(two.heard[0][0], 'private-open');
    for (const text of errors) assert.equal(text, "Client event rejected - the channel's rules do not allow it to you");
    channels['2 private-quiet'].trigger('client-b', {});
    await until(() => one.heard.length === 1, 'the teacher\'s');
    const answer = await call(server, student, 'POST', '/pusher/auth', { socket_id: '1.2', channel_name: 'private-quiet' });
    assert.equal(answer.body.channel_data, '{"client_events":false}');
    assert.ok(!('channel_data' in (await call(server, teacher, 'POST', '/pusher/auth', { socket_id: '1.2', channel_name: 'private-quiet' })).body));
    for (const client of [one, two]) client.disconnect();
    await expectIdle(server);
    await server.stop();
  });
});
