// Laravel Echo around a pusher-js that the plain script has wrapped: what was missed comes.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import vm from 'node:vm';
import Echo from 'laravel-echo';
import Pusher from 'pusher-js';
import { apiClient, channelAuth, until } from '../../../../tests/flow/harness.mjs';
import { guideApp, startGuide } from '../../../../tests/flow/gateway.mjs';
import { startWire } from './bench.mjs';

vm.runInThisContext(readFileSync(new URL('../../dist/recovery.global.js', import.meta.url), 'utf8'));
const { carillonRecovery } = globalThis;

// pusher-js waits for ten seconds before it tries again, so they wait together.
describe('laravel-echo', { concurrency: true }, () => {
  let server;
  let api;
  before(async () => {
    server = await startGuide({ workers: 2 });
    api = apiClient(server, { app: guideApp });
  });
  after(() => server.stop());

  for (const broadcaster of ['pusher', 'reverb']) {
    const options = (wire) => ({
      cluster: 'self',
      wsHost: server.host,
      wsPort: wire.port,
      forceTLS: false,
      enabledTransports: ['ws'],
      channelAuthorization: {
        customHandler: ({ socketId, channelName }, done) => done(null, { auth: channelAuth(guideApp, socketId, channelName) }),
      },
    });
    const makers = {
      'given as its client': (wire) => {
        const client = new Pusher(guideApp.key, options(wire));
        carillonRecovery(client);
        return new Echo({ broadcaster, client, key: guideApp.key, withoutInterceptors: true });
      },
      'made by it': (wire) => {
        const echo = new Echo({ broadcaster, Pusher, key: guideApp.key, withoutInterceptors: true, ...options(wire) });
        carillonRecovery(echo.connector.pusher);
        return echo;
      },
    };
    for (const [how, makeEcho] of Object.entries(makers))
      test(`${broadcaster}, a pusher-js ${how}: a lost connection misses nothing`, async (t) => {
        const wire = await startWire(server);
        t.after(() => wire.stop());
        const echo = makeEcho(wire);
        t.after(() => echo.disconnect());
        const { pusher } = echo.connector;
        const heard = [];
        const told = [];
        const names = [`public-${broadcaster}-${how.length}`, `private-user-${broadcaster}-${how.length}`];
        const channels = [echo.channel(names[0]), echo.private(names[1].replace('private-', ''))];
        for (const channel of channels) {
          channel.listen('OrderShipped', ({ n }) => heard.push([channel.name, n]));
          channel.subscription.bind('carillon:recovered', ({ replay }) => told.push([channel.name, replay]));
        }
        await until(() => names.every((name) => pusher.channel(name)?.subscribed), 'both subscriptions');
        const publish = async (...numbers) => {
          for (const n of numbers) for (const name of names) await api.trigger(name, 'App\\Events\\OrderShipped', { n });
        };
        const sees = (...numbers) => until(() => names.every((name) =>
          heard.filter(([channel]) => channel === name).map(([, n]) => n).join() === numbers.join()), `${numbers} on both`, 20000);
        await publish(1, 2);
        await sees(1, 2);
        const before = pusher.connection.socket_id;
        const gone = new Promise((resolve) => { pusher.connection.bind('state_change', resolve); });
        wire.goDown();
        await gone;
        await publish(3, 4, 5);
        wire.mend();
        await until(() => pusher.connection.socket_id && pusher.connection.socket_id !== before, 'another connection', 20000);
        await sees(1, 2, 3, 4, 5);
        await publish(6);
        await sees(1, 2, 3, 4, 5, 6);
        assert.deepEqual(told.sort(), names.map((name) => [name, 3]).sort());
      });
  }
});
