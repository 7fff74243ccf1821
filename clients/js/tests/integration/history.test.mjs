// History of the built package against the server's own gateway, with the guide's configuration.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { JSDOM } from 'jsdom';
import { createPusherService, PusherHistoryError } from 'carillon-js';
import { apiClient, apiRequest, until } from '../../../../tests/flow/harness.mjs';
import { guideApp, mint, startGuide, users } from '../../../../tests/flow/gateway.mjs';
import { hasStatus, startWire } from './bench.mjs';

const { window } = new JSDOM('<!doctype html><body></body>');
Object.assign(globalThis, { window, document: window.document });
const { createElement: h, StrictMode } = await import('react');
const { createRoot } = await import('react-dom/client');
const { PusherProvider, useChannelHistory } = await import('carillon-js/react');

const range = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

for (const transport of ['ws', 'xhr_streaming', 'xhr_polling'])
  describe(`history over ${transport}`, () => {
    let server;
    let wire;
    let api;
    const ends = [];
    before(async () => {
      server = await startGuide({ workers: 2 });
      wire = await startWire(server);
      api = apiClient(server, { app: guideApp });
    });
    after(async () => {
      for (const end of ends.reverse()) end();
      await wire.stop();
      await server.stop();
    });
    const makeService = (user, options = {}) => {
      const service = createPusherService({
        key: 'app-key',
        host: server.host,
        port: wire.port,
        scheme: 'http',
        apiBase: `${server.url}/api/v1/pusher`,
        enabledTransports: [transport],
        getAuthToken: () => mint(user),
        recovery: true,
        ...options,
      });
      ends.push(() => service.disconnect());
      return service;
    };
    const publish = async (channel, from, to) => {
      for (const n of range(from, to)) await api.trigger(channel, 'e', { n });
    };
    // The hook in a page; what it answered last is in `latest`.
    const show = (service, channel, options) => {
      const seen = {};
      const Probe = () => { seen.latest = useChannelHistory(channel, options); return null; };
      const root = createRoot(document.createElement('div'));
      root.render(h(StrictMode, null, h(PusherProvider, { service }, h(Probe))));
      ends.push(() => root.unmount());
      seen.numbers = () => seen.latest?.events.map(({ data }) => data.n) ?? [];
      seen.shows = (from, to) => until(() => seen.numbers().join() === range(from, to).join(), `${from} to ${to}, not ${seen.numbers()}`, 20000);
      return seen;
    };

    test('page by page, both ways', async () => {
      const service = makeService(users.student);
      await publish('public-pages', 1, 5);
      const page = await service.history('public-pages', { limit: 3 });
      assert.deepEqual([page.events.map(({ data }) => data.n), page.hasMore, page.complete, page.newest], [[5, 4, 3], true, true, 5]);
      const rest = await service.history('public-pages', { cursor: page.cursor });
      assert.deepEqual([rest.events.map(({ offset }) => offset), rest.hasMore], [[2, 1], false]);
      const { epoch } = page;
      const middle = await service.history('public-pages', { direction: 'forwards', since: { epoch, offset: 1 }, until: { epoch, offset: 3 } });
      assert.deepEqual(middle.events.map(({ id, event }) => [id, event]), [[`${epoch}:2`, 'e'], [`${epoch}:3`, 'e']]);
      assert.equal(service.getState(), 'initialized');
    });

    test('refusals come as typed errors, and a token that has expired is renewed once', async () => {
      const service = makeService(users.student);
      const refused = async (channel, options) => {
        const error = await service.history(channel, options).then(() => assert.fail('it passed'), (reason) => reason);
        assert.ok(error instanceof PusherHistoryError, String(error));
        return [error.status, error.code];
      };
      assert.deepEqual(await refused('private-user-9'), [403, 'forbidden']);
      assert.deepEqual(await refused('presence-dashboard-updates'), [404, 'not_found']);
      assert.deepEqual(await refused('public-pages', { limit: 0 }), [400, 'invalid']);
      assert.deepEqual(await refused('public-pages', { since: { epoch: 'x', offset: 1 } }), [410, 'not_found']);
      let refreshed = 0;
      const old = mint(users.student, { exp: 1000 });
      const late = makeService(users.student, { getAuthToken: () => old, refreshAuthToken: async () => { refreshed++; return mint(users.student); } });
      assert.equal((await late.history('public-empty')).events.length, 0);
      assert.equal(refreshed, 1);
    });

    test('the hook, while somebody publishes: each event once, in order', async () => {
      const service = makeService(users.student);
      await publish('private-user-7', 1, 20);
      let isDone = false;
      const busy = publish('private-user-7', 21, 120).then(() => { isDone = true; });
      const one = show(service, 'private-user-7', { limit: 10 });
      await until(() => one.latest?.events.length > 10, 'the first page');
      while (one.latest.hasMore) {
        await one.latest.loadMore();
        await until(() => !one.latest.loading, 'the next page');
      }
      const two = show(service, 'private-user-7', { limit: 50, direction: 'forwards' });
      await until(() => two.latest && !two.latest.loading, 'the other hook');
      while (two.latest.hasMore) {
        await two.latest.loadMore();
        await until(() => !two.latest.loading, 'the next page');
      }
      await busy;
      assert.ok(isDone);
      await one.shows(1, 120);
      await two.shows(1, 120);
    });

    test('a connection that is lost, and an event that leaves this socket out', async () => {
      const service = makeService(users.student);
      const seen = show(service, 'public-lost');
      await hasStatus(service, 'public-lost', 'subscribed');
      await publish('public-lost', 1, 2);
      await seen.shows(1, 2);
      await wire.cut(service);
      await publish('public-lost', 3, 5);
      await seen.shows(1, 5);
      await hasStatus(service, 'public-lost', 'subscribed', 20000);
      await api.trigger('public-lost', 'e', { n: 6 }, { socket_id: service.socketId });
      await seen.shows(1, 6);
      await publish('public-lost', 7, 7);
      await seen.shows(1, 7);
      assert.equal(new Set(seen.latest.events.map(({ id }) => id)).size, 7);
    });

    test('a page that is loaded again gets what came meanwhile; another user, and the same one after logging out, do not', async () => {
      const kept = new Map();
      const storage = { getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value) };
      const open = async (user) => {
        const service = makeService(user, { recovery: { persist: { storage, user: user.sub } } });
        const heard = [];
        service.bind('public-reload', 'e', ({ n }) => heard.push(n));
        await hasStatus(service, 'public-reload', 'subscribed');
        return { service, heard };
      };
      const first = await open(users.student);
      await publish('public-reload', 1, 2);
      await until(() => first.heard.length === 2 && [...kept.values()][0]?.endsWith(',2]]'), 'the first events, and word of them in the storage');
      first.service.pusher.disconnect();
      await publish('public-reload', 3, 5);
      const [again, other] = [await open(users.student), await open(users.teacher)];
      await publish('public-reload', 6, 6);
      await until(() => again.heard.includes(6) && other.heard.includes(6), 'the last event');
      assert.deepEqual([again.heard, other.heard], [[3, 4, 5, 6], [6]]);
      again.service.disconnect();
      await publish('public-reload', 7, 7);
      const anew = await open(users.student);
      await publish('public-reload', 8, 8);
      await until(() => anew.heard.includes(8), 'the last event');
      assert.deepEqual(anew.heard, [8]);
    });

    test('a history that is purged begins anew', async () => {
      const service = makeService(users.student);
      await publish('public-purged', 1, 3);
      const seen = show(service, 'public-purged');
      await seen.shows(1, 3);
      const { epoch } = service.position('public-purged');
      assert.equal((await apiRequest(server, 'DELETE', '/apps/app-id/channels/public-purged/history', { app: guideApp })).status, 200);
      await publish('public-purged', 4, 5);
      await seen.shows(4, 5);
      assert.deepEqual(seen.latest.events.map(({ offset }) => offset), [1, 2]);
      assert.notEqual(service.position('public-purged').epoch, epoch);
    });
  });
