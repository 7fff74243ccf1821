// Who comes back over a slow link is given what it missed as fast as the link takes it.
import assert from 'node:assert/strict';
import net from 'node:net';
import { test } from 'node:test';
import { apiClient, forEachWorkers, limit, pusherClient, subscribed, until } from './harness.mjs';
import { withRecovery } from './recovery.mjs';

const app = { id: 'a1', key: 'k1', secret: 's1' };
const most = 100; // events of 9,000 bytes: 9 s of a link that takes 100 KB a second
const config = `apps:
  - id: ${app.id}
    keys: [{key: ${app.key}, secret: ${app.secret}}]
    history: [{channel: "*", max_events: 1000, max_bytes: 16777216, recover_max_events: ${most}, recover_max_bytes: 16777216}]
`;

// A link: what the server sends goes through at most so fast.
async function slowLink(port, bytesPerSecond) {
  const slice = bytesPerSecond / 50;
  const server = net.createServer((from) => {
    const to = net.connect({ host: '127.0.0.1', port, highWaterMark: slice });
    from.pipe(to);
    const timer = setInterval(() => {
      const piece = to.read(Math.min(slice, to.readableLength));
      if (piece) from.write(piece);
    }, 20);
    for (const [socket, other] of [[from, to], [to, from]]) {
      socket.on('error', () => {});
      socket.on('close', () => { clearInterval(timer); other.destroy(); });
    }
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  return server;
}

forEachWorkers('a slow link', { app: null, config, set: { 'limits.outbox_bytes': 262144, 'limits.outbox_soft_bytes': 131072, 'limits.outbox_soft_ms': limit(500), 'limits.outbox_stall_ms': limit(2000) } }, (ctx) => {
  test('exactly as much as may be given back, over 100 KB/s', async () => {
    ctx.server.app = app;
    const link = await slowLink(ctx.server.port, 100 * 1000);
    ctx.defer(() => link.close());
    const client = pusherClient(ctx.server, { wsPort: link.address().port });
    ctx.defer(() => client.disconnect());
    const { log, positions } = withRecovery(client);
    const heard = [];
    (await subscribed(client, 'slow')).bind('e', ({ n }) => heard.push(n));
    const api = apiClient(ctx.server, { app });
    await api.trigger('slow', 'e', { n: 0 });
    await until(() => heard.length === 1, 'the first');
    client.disconnect();
    const big = 'x'.repeat(8900);
    for (let n = 1; n <= most; n++) await api.trigger('slow', 'e', { n, big });
    client.connect();
    await until(() => heard.length > 20, 'a part of it');
    await api.trigger('slow', 'e', { n: most + 1 }); // behind the others
    await until(() => heard.at(-1) === most + 1, 'all of it', 30000);
    assert.deepEqual(heard, Array.from({ length: most + 2 }, (_, n) => n));
    await until(() => positions.get('slow').offset === most + 2, 'the position');
    assert.deepEqual(log.filter(([, what]) => what !== 'position').map(([, what, { replay }]) => [what, replay]), [['recovered', most]]);
    const metrics = await ctx.server.metrics();
    assert.equal(metrics.sum('carillon_catching_up') + metrics.sum('carillon_overtaken_total'), 0);
  });
});
