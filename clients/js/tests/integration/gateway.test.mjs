// The built package against the server's own gateway, with the guide's configuration.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createPusherService, PusherMessageError } from 'carillon-js';
import { expectIdle, until } from '../../../../tests/flow/harness.mjs';
import { mint, startGuide, users } from '../../../../tests/flow/gateway.mjs';
import { hasStatus, isConnected } from './bench.mjs';

for (const transport of ['ws', 'xhr_streaming', 'xhr_polling'])
  describe(`carillon-js and the gateway, over ${transport}`, () => {
    let server;
    const services = [];
    before(async () => { server = await startGuide({ workers: 2, set: { 'limits.rejoin_ms': 500 } }); });
    after(async () => {
      for (const service of services) service.disconnect();
      await expectIdle(server);
      await server.stop();
    });
    const makeService = (user, options = {}) => {
      const service = createPusherService({
        key: 'app-key',
        host: server.host,
        port: server.port,
        scheme: 'http',
        apiBase: `${server.url}/api/v1/pusher`,
        userAuthEndpoint: `${server.url}/pusher/user-auth`,
        enabledTransports: [transport],
        getAuthToken: async () => mint(user),
        ...options,
      });
      services.push(service);
      service.initialize();
      return service;
    };
    // What comes on a channel, as [event, data].
    const listen = async (service, channel, ...events) => {
      const heard = [];
      const handle = service.retain(channel);
      for (const event of events) handle.bind(event, (data) => heard.push([event, data]));
      await hasStatus(service, channel, 'subscribed');
      return heard;
    };
    const rejects = (promise, expected) => assert.rejects(promise, (error) => {
      assert.ok(error instanceof PusherMessageError, String(error));
      const seen = Object.fromEntries(Object.keys(expected).map((name) => [name, error[name]]));
      assert.deepEqual(seen, expected);
      return true;
    });

    test('what one sends, another hears', async () => {
      const [one, two] = [makeService(users.student), makeService(users.teacher)];
      const heard = await listen(two, 'presence-content-updates', 'message');
      await listen(one, 'presence-content-updates', 'message');
      const result = await one.sendMessage('chat', { text: 'hello' }, 'presence-content-updates');
      assert.equal(result.success, true);
      await until(() => heard.length === 1, 'the message');
      assert.deepEqual([heard[0][1].type, heard[0][1].payload, heard[0][1].request_id], ['chat', { text: 'hello' }, result.request_id]);
    });

    test('refusals come as typed errors', async () => {
      const service = makeService(users.student);
      await isConnected(service);
      await rejects(service.sendMessage('chat', {}, 'private-user-9'), { status: 403, code: 'forbidden', detail: 'Insufficient permissions for this channel' });
      await rejects(service.requestAnalytics({ metric_type: 'all' }), { status: 403, detail: 'Insufficient permissions for analytics' });
      await rejects(service.sendMessage('ai_message', {}), { status: 422, code: 'invalid' });
      service.retain('private-user-9');
      await hasStatus(service, 'private-user-9', 'error', 10000);
    });

    test('an environment with its progress, a Roblox step, analytics', async () => {
      const [student, teacher] = [makeService(users.student), makeService(users.teacher)];
      const progress = await listen(student, 'private-user-7', 'environment_creation_started', 'message');
      const roblox = await listen(student, 'private-roblox-7', 'sync_acknowledged', 'sync_completed');
      const numbers = await listen(teacher, 'presence-analytics-realtime', 'analytics_update');
      const created = await student.createEnvironment({ environment_type: 'castle' });
      await student.robloxSync('push', { n: 1 });
      await teacher.requestAnalytics({ metric_type: 'all' });
      await until(() => roblox.length === 2 && numbers.length >= 1, 'both');
      await until(() => progress.length >= 6, 'the end', 10000);
      assert.deepEqual(progress.slice(1).map(([, data]) => [data.request_id, data.progress ?? data.result.status]),
        [25, 50, 75, 100, 'ready'].map((step) => [created.request_id, step]));
    });

    test('a token that has expired is refreshed once, and everything goes on', async () => {
      let refreshed = 0;
      let token = mint(users.student, { exp: 1000 });
      const service = makeService(users.student, {
        getAuthToken: async () => token,
        refreshAuthToken: async () => { refreshed++; token = mint(users.student); return token; },
      });
      await listen(service, 'private-user-7', 'message');
      assert.equal((await service.sendMessage('chat', {})).success, true);
      assert.equal(refreshed, 1);
    });

    test('sign-in', async () => {
      const service = makeService(users.student);
      await isConnected(service);
      service.signin();
      await until(() => service.pusher.user.user_data?.id === '7', 'the user');
      assert.deepEqual(service.pusher.user.user_data.user_info, { id: '7', name: 'Sam', role: 'student' });
    });
  });
