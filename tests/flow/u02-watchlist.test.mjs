// Who is online, told to those who asked.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forEachWorkers, once, rawSignin, userAuth, until, connected } from './harness.mjs';

const watchlist = (...events) => ({
  event: 'pusher_internal:watchlist_events',
  data: JSON.stringify({ events: events.map(([name, ...user_ids]) => ({ name, user_ids })) }),
});

forEachWorkers('watchlist', {}, (ctx) => {
  async function signedIn(id, watch, more = {}) {
    const socket = await ctx.raw();
    await rawSignin(socket, { id, ...(watch ? { watchlist: watch } : {}), ...more });
    return socket;
  }

  test('trap 38: the status of all comes after signin_success, in one frame', async () => {
    await signedIn('u2');
    const socket = await ctx.raw();
    const data = '{"id":"u1","watchlist":["u2","u3"]}';
    socket.send({ event: 'pusher:signin', data: { auth: userAuth(ctx.server.app, socket.socketId, data), user_data: data } });
    assert.equal(JSON.parse((await socket.next()).text).event, 'pusher:signin_success');
    await socket.expectText('{"event":"pusher_internal:watchlist_events","data":"{\\"events\\":[{\\"name\\":\\"online\\",\\"user_ids\\":[\\"u2\\"]},{\\"name\\":\\"offline\\",\\"user_ids\\":[\\"u3\\"]}]}"}');
    await socket.expectNothing();
  });

  test('a status that nobody has is left out, and an empty list gets no frame', async () => {
    const offline = await signedIn('w1', ['a', 'b']);
    await offline.expectJson(watchlist(['offline', 'a', 'b']));
    await signedIn('a');
    await offline.expectJson(watchlist(['online', 'a']));
    const online = await signedIn('w2', ['a']);
    await online.expectJson(watchlist(['online', 'a']));
    const empty = await signedIn('w3', []);
    await empty.expectNothing();
  });

  test('online at the first connection of a user, offline at the last', async () => {
    const watcher = await signedIn('watcher', ['u']);
    await watcher.expectJson(watchlist(['offline', 'u']));
    const tabs = [];
    for (let i = 0; i < 4; i++) tabs.push(await signedIn('u'));
    await watcher.expectJson(watchlist(['online', 'u']));
    await watcher.expectNothing();
    for (const tab of tabs.slice(0, 3)) {
      tab.close();
      await tab.expectEnd();
    }
    await watcher.expectNothing();
    tabs[3].destroy();
    await watcher.expectText('{"event":"pusher_internal:watchlist_events","data":"{\\"events\\":[{\\"name\\":\\"offline\\",\\"user_ids\\":[\\"u\\"]}]}"}');
    await signedIn('u');
    await watcher.expectJson(watchlist(['online', 'u']));
  });

  test('an unsigned or failed connection makes nobody online', async () => {
    const watcher = await signedIn('watcher', ['u']);
    await watcher.expectJson(watchlist(['offline', 'u']));
    const failed = await ctx.raw();
    failed.send({ event: 'pusher:signin', data: { auth: 'test-key:00', user_data: '{"id":"u"}' } });
    await failed.expectEvent('pusher:error');
    await watcher.expectNothing();
  });

  test('many watchers of many users each hear all', async () => {
    const ids = Array.from({ length: 12 }, (_, i) => `user-${i}`);
    const watchers = [];
    for (let i = 0; i < 6; i++) {
      const socket = await signedIn(`watcher-${i}`, ids);
      await socket.expectJson(watchlist(['offline', ...ids]));
      watchers.push(socket);
    }
    const users = [];
    for (const id of ids) users.push(await signedIn(id));
    for (const watcher of watchers) {
      const heard = [];
      for (let i = 0; i < ids.length; i++) {
        const { events } = JSON.parse((await watcher.expectEvent('pusher_internal:watchlist_events')).data);
        for (const { name, user_ids: list } of events) { assert.equal(name, 'online'); heard.push(...list); }
      }
      assert.deepEqual(heard.sort(), [...ids].sort());
    }
    for (const user of users) user.destroy();
    for (const watcher of watchers) {
      const heard = [];
      while (heard.length < ids.length) {
        const { events } = JSON.parse((await watcher.expectEvent('pusher_internal:watchlist_events')).data);
        for (const { name, user_ids: list } of events) { assert.equal(name, 'offline'); heard.push(...list); }
      }
      assert.deepEqual(heard.sort(), [...ids].sort());
      await watcher.expectNothing();
    }
  });

  test('an id that is listed twice is told once', async () => {
    const watcher = await signedIn('watcher', ['u', 'u', 'v', 'u']);
    await watcher.expectJson(watchlist(['offline', 'u', 'v']));
    await signedIn('u');
    await watcher.expectJson(watchlist(['online', 'u']));
    await watcher.expectNothing();
  });

  test('watching oneself is being online', async () => {
    const socket = await signedIn('me', ['me']);
    await socket.expectJson(watchlist(['online', 'me']));
    const tab = await signedIn('me');
    tab.destroy();
    await until(async () => (await ctx.server.metrics()).sum('carillon_sessions') === 1, 'the tab to be gone');
    await socket.expectNothing();
  });

  test('more than 100 ids: the first 100 are kept and 4302 says so', async () => {
    const ids = Array.from({ length: 105 }, (_, i) => `id-${i}`);
    const watcher = await signedIn('watcher', ids);
    const got = [JSON.parse((await watcher.next()).text), JSON.parse((await watcher.next()).text)];
    const list = got.find((m) => m.event === 'pusher_internal:watchlist_events');
    const error = got.find((m) => m.event === 'pusher:error');
    assert.deepEqual(JSON.parse(list.data), { events: [{ name: 'offline', user_ids: ids.slice(0, 100) }] });
    assert.equal(error.data.code, 4302);
    assert.match(error.data.message, /id-99\b/);
    await watcher.expectNothing();
    await signedIn('id-104');
    await watcher.expectNothing();
    await signedIn('id-99');
    await watcher.expectJson(watchlist(['online', 'id-99']));
  });

  test('exactly 100 ids are no error', async () => {
    const ids = Array.from({ length: 100 }, (_, i) => `id-${i}`);
    const watcher = await signedIn('watcher', ids);
    await watcher.expectJson(watchlist(['offline', ...ids]));
    await watcher.expectNothing();
  });

  test('a watcher that has gone is told nothing, and one that comes again sees the present', async () => {
    for (let round = 0; round < 10; round++) {
      const watcher = await signedIn('watcher', ['u']);
      await watcher.expectJson(watchlist(['offline', 'u']));
      const user = await signedIn('u');
      watcher.destroy();
      const again = await signedIn('watcher', ['u']);
      await again.expectJson(watchlist(['online', 'u']));
      user.destroy();
      await again.expectJson(watchlist(['offline', 'u']));
      again.destroy();
    }
  });

  test('pusher-js tells its user\'s watchlist', async () => {
    const ann = ctx.client({ user: { id: 'ann', watchlist: ['bob', 'cid'] } });
    const offline = once(ann.user.watchlist, 'offline');
    ann.signin();
    assert.deepEqual((await offline).user_ids, ['bob', 'cid']);
    const online = once(ann.user.watchlist, 'online');
    const bob = ctx.client({ user: { id: 'bob' } });
    bob.signin();
    assert.deepEqual((await online).user_ids, ['bob']);
    const gone = once(ann.user.watchlist, 'offline');
    bob.disconnect();
    assert.deepEqual((await gone).user_ids, ['bob']);
    await connected(ann);
  });
});

forEachWorkers('watchlist switched off', { set: { 'app_defaults.watchlist': false } }, (ctx) => {
  test('no frame is sent', async () => {
    const watcher = await ctx.raw();
    await rawSignin(watcher, { id: 'watcher', watchlist: ['u'] });
    const user = await ctx.raw();
    await rawSignin(user, { id: 'u' });
    await watcher.expectNothing();
  });
});
