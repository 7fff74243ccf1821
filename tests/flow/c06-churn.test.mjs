// Many clients coming, going, joining and leaving at once; after each round the server's books must
// be those of the model, and an event must reach exactly who is there.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiRequest, channelAuth, forEachWorkers, messagesOf, rawSocket, slowness, until, userAuth } from './harness.mjs';

// Small, seeded, good enough.
function random(seed) {
  let x = seed >>> 0 || 1;
  return (n) => {
    x ^= x << 13; x >>>= 0;
    x ^= x >>> 17;
    x ^= x << 5; x >>>= 0;
    return x % n;
  };
}

const channels = ['open-a', 'open-b', 'private-a', 'private-b', 'presence-a', 'presence-b', 'cache-a', 'private-encrypted-a'];
const users = ['u0', 'u1', 'u2', 'u3', 'u4'];

forEachWorkers('churn', { set: { 'app_defaults.subscription_count': true, 'app_defaults.cache_ttl_s': 1, 'limits.rejoin_ms': Math.max(1000, 300 * slowness) } }, (ctx) => {
  class Client {
    static async open(pick) {
      const client = new Client();
      client.pick = pick;
      client.socket = await rawSocket(ctx.server);
      client.joined = new Map(); // channel -> user id or null
      client.user = null;
      return client;
    }

    // Sends a handful of messages in one go; none is waited for.
    act() {
      const { socket, pick } = this;
      socket.together(() => {
        for (let n = 1 + pick(6); n; n--) {
          const channel = channels[pick(channels.length)];
          if (pick(10) === 0 && !this.user) {
            this.user = users[pick(users.length)];
            const data = JSON.stringify({ id: this.user, watchlist: users });
            socket.send({ event: 'pusher:signin', data: { auth: userAuth(ctx.server.app, socket.socketId, data), user_data: data } });
          } else if (this.joined.has(channel) && pick(3)) {
            this.joined.delete(channel);
            socket.send({ event: 'pusher:unsubscribe', data: { channel } });
          } else if (!this.joined.has(channel)) {
            const user = channel.startsWith('presence-') ? users[pick(users.length)] : null;
            const data = { channel };
            if (user) data.channel_data = JSON.stringify({ user_id: user });
            if (/^pr/.test(channel)) data.auth = channelAuth(ctx.server.app, socket.socketId, channel, data.channel_data);
            this.joined.set(channel, user);
            socket.send({ event: 'pusher:subscribe', data });
          } else if (/^private-.$|^presence/.test(channel)) {
            socket.send({ event: 'client-x', channel, data: {} });
          }
        }
      });
    }

    async settle() {
      this.socket.text('{"event":"pusher:ping"}');
      await this.socket.expectEvent('pusher:pong');
    }
  }

  async function checkBooks(clients, round) {
    for (const channel of channels) {
      const inside = clients.filter((client) => client.joined.has(channel));
      if (channel.startsWith('presence-')) {
        const there = [...new Set(inside.map((client) => client.joined.get(channel)))].sort();
        const answer = await apiRequest(ctx.server, 'GET', `/apps/test-id/channels/${channel}/users`);
        assert.deepEqual(answer.json.users.map((u) => u.id).sort(), there, `${channel} in round ${round}`);
      } else {
        const answer = await apiRequest(ctx.server, 'GET', `/apps/test-id/channels/${channel}`, { params: { info: 'subscription_count' } });
        assert.equal(answer.json.subscription_count, inside.length, `${channel} in round ${round}`);
      }
    }
    const n = clients.reduce((sum, client) => sum + client.joined.size, 0);
    assert.equal((await ctx.server.metrics()).sum('carillon_subscriptions'), n);
  }

  async function checkDelivery(clients, round) {
    for (const client of clients) client.socket.frames.length = 0;
    for (const channel of channels) {
      const answer = await apiRequest(ctx.server, 'POST', '/apps/test-id/events', { body: { name: `round-${round}`, channel, data: channel } });
      assert.equal(answer.text, '{}');
    }
    for (const client of clients) {
      const got = () => messagesOf(client.socket.frames).filter((m) => m.event === `round-${round}`).map((m) => m.channel).sort();
      await until(() => got().length >= client.joined.size, 'every event');
      await client.settle();
      assert.deepEqual(client.socket.all.map((frame) => JSON.parse(frame.text || '{}')).filter((m) => m.event === `round-${round}`).map((m) => m.channel).sort(),
        [...client.joined.keys()].sort());
    }
  }

  // What a connection was told of a room must lead to what the room is.
  function checkMembers(clients) {
    for (const client of clients)
      for (const channel of ['presence-a', 'presence-b'].filter((name) => client.joined.has(name))) {
        let seen = new Set();
        for (const m of messagesOf(client.socket.all)) {
          if (m.channel !== channel) continue;
          if (m.event === 'pusher_internal:subscription_succeeded') seen = new Set(JSON.parse(m.data).presence.ids);
          if (m.event === 'pusher_internal:member_added') {
            const { user_id: id } = JSON.parse(m.data);
            assert.ok(!seen.has(id), `${id} was added twice`);
            seen.add(id);
          }
          if (m.event === 'pusher_internal:member_removed') assert.ok(seen.delete(JSON.parse(m.data).user_id), 'removed, but never there');
        }
        const there = new Set(clients.filter((c) => c.joined.has(channel)).map((c) => c.joined.get(channel)));
        assert.deepEqual([...seen].sort(), [...there].sort(), channel);
      }
  }

  for (const seed of [1, 2, 3])
    test(`rounds of random comings and goings, seed ${seed}`, async () => {
      const pick = random(seed * 7919);
      let clients = [];
      ctx.defer(() => { for (const client of clients) client.socket.destroy(); });
      for (let round = 0; round < 8; round++) {
        while (clients.length < 24) clients.push(await Client.open(pick));
        for (let step = 0; step < 6; step++) {
          for (const client of clients) client.act();
          // Some go in the middle of it, politely or not.
          for (let n = pick(4); n; n--) {
            const [client] = clients.splice(pick(clients.length), 1);
            if (pick(2)) client.socket.close(); else client.socket.destroy();
          }
        }
        const gone = users[pick(users.length)];
        await Promise.all(clients.map((client) => client.settle()));
        await apiRequest(ctx.server, 'POST', `/apps/test-id/users/${gone}/terminate_connections`, { body: '{}' });
        const kicked = clients.filter((client) => client.user === gone);
        for (const client of kicked) await client.socket.expectClose(4009);
        clients = clients.filter((client) => client.user !== gone);
        await until(async () => (await ctx.server.metrics()).sum('carillon_sessions') === clients.length, 'the gone to be gone');
        await checkBooks(clients, round);
        await Promise.all(clients.map((client) => client.settle()));
        checkMembers(clients);
        await checkDelivery(clients, round);
      }
    });
});
