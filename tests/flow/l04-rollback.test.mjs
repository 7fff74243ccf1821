// The drill of docs/rollback.md, command by command.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { guideApp, guideClient, guideFile, join, startGuide, users } from './gateway.mjs';
import { apiClient, connected, until } from './harness.mjs';
import { legacySocket } from './legacy.mjs';

const run = promisify(execFile);
const page = readFileSync(path.resolve(path.dirname(guideFile), '../../docs/rollback.md'), 'utf8');
const block = (name) => {
  const found = new RegExp(`\`\`\`sh ${name}\n([^]*?)\`\`\``).exec(page);
  assert.ok(found, `docs/rollback.md has a block ${name}`);
  return found[1];
};

for (const workers of [1, 4]) test(`forth and back while everybody works (${workers} workers)`, async () => {
  const config = readFileSync(guideFile, 'utf8').replace(/^( *(?:ws|client|native|roblox|analytics|environment):) true/gm, '$1 false');
  const server = await startGuide({ workers, config });
  const env = { ...process.env, URL: server.url, CONFIG: path.join(server.folder, 'carillon.yaml'), PID: String(server.child.pid), PATH: `${path.dirname(path.resolve(process.env.CARILLON_BIN))}:${process.env.PATH}` };
  const sh = async (name) => (await run('sh', ['-eu', '-c', block(name)], { env })).stdout.trim().split('\n').map((line) => line.trim());
  const api = apiClient(server, { app: guideApp });

  const guides = [guideClient(server, users.student), guideClient(server, users.teacher)];
  const states = [];
  for (const client of guides) {
    await connected(client);
    client.connection.bind('state_change', ({ current }) => states.push(current));
    await join(client, 'public-updates');
  }
  const ids = guides.map((client) => client.connection.socket_id);
  let n = 0;
  const publish = async (count) => { for (let i = 0; i < count; i++) await api.trigger('public-updates', 'content_update', { n: ++n }); };

  // 1. off
  assert.deepEqual(await sh('status-before'), ['"native":{"path":"/ws/native","enabled":false,"active":0,"total":0}', '410', 'Link: </api/v1/pusher/migration-guide>; rel="deprecation"']);
  assert.equal((await legacySocket(server, '/ws/native', { greeting: 0 })).status, 410);
  await publish(5);

  // 2. on: the old clients come
  await sh('on');
  await until(() => server.text.includes('event=reloaded'), 'the reload');
  assert.equal((await fetch(`${server.url}/ws/native`)).status, 426);
  const olds = [await legacySocket(server, '/ws/native'), await legacySocket(server, '/ws/native')];
  for (const old of olds) await old.join('updates');
  const from = n;
  await publish(20);

  // 3. both hear the same, in order
  const expected = Array.from({ length: 20 }, (_, i) => from + 1 + i);
  for (const old of olds) {
    const heard = [];
    while (heard.length < 20) heard.push((await old.frame()).data.n);
    assert.deepEqual(heard, expected);
  }
  const [parity, ...lines] = await sh('status-during');
  assert.equal(parity, '"parity":{"legacy_events":20,"on_both":20}');
  assert.equal(lines.filter((line) => line.startsWith('carillon_sessions')).reduce((sum, line) => sum + Number(line.split(' ')[1]), 0), 2);
  assert.equal(lines.at(-1), 'carillon_legacy_connections{endpoint="native"} 2');

  // 4. off: the old clients are told, nobody else notices
  await sh('off');
  for (const old of olds) await old.expectClose(1001, 'This endpoint has been switched off; use Pusher Channels instead');
  assert.deepEqual(await sh('status-after'), ['410', 'carillon_legacy_connections{endpoint="native"} 0']);
  await publish(5);
  await until(() => guides.every((client) => client.heard.length === n), 'all events on Channels');
  for (const client of guides) assert.deepEqual(client.heard.map(([, , data]) => data.n), Array.from({ length: n }, (_, i) => i + 1));
  assert.deepEqual(guides.map((client) => client.connection.socket_id), ids);
  assert.deepEqual(states, []);

  // A file that is refused changes nothing.
  await run('sh', ['-eu', '-c', 'echo "nonsense: 1" >> "$CONFIG"; ! carillon check --config "$CONFIG" 2>/dev/null; kill -HUP "$PID"'], { env });
  await until(() => server.text.includes('event=reload_failed'), 'the refusal');
  await publish(1);
  await until(() => guides.every((client) => client.heard.length === n), 'the event after it');
  for (const client of guides) client.disconnect();
  await server.stop();
});

// The home of a channel has let a socket in while a reload takes the endpoints away.
for (const what of ['the endpoints', 'the app'])
  test(`who is joining while a reload takes ${what} away ends nothing`, async () => {
    const config = readFileSync(guideFile, 'utf8');
    const without = what === 'the app'
      ? config.replace('- id: app-id', '- id: other').replace(/^( *)app: app-id/m, '$1app: other').replace('key: app-key', 'key: other-key')
      : config.slice(0, config.indexOf('  # The WebSocket endpoints that came before'));
    assert.notEqual(without, config);
    const server = await startGuide({ workers: 4, config });
    const file = path.join(server.folder, 'carillon.yaml');
    const reload = async (text) => {
      const n = server.logged('reloaded').length;
      writeFileSync(file, text);
      server.signal('SIGHUP');
      await until(() => server.logged('reloaded').length > n || server.status, 'the reload');
      assert.ok(!server.status, server.text.slice(-500));
    };
    for (let round = 0; round < 6; round++) {
      const sockets = [];
      for (let i = 0; i < 3; i++) sockets.push(await legacySocket(server, '/ws', { user: { sub: `u${round}-${i}`, role: 'admin' } }));
      for (const [i, socket] of sockets.entries()) socket.send({ type: 'subscribe', channels: Array.from({ length: 40 }, (_, k) => `r${round}-${i}-${k}`) });
      await reload(without);
      for (const socket of sockets) await until(() => socket.closed || socket.ended, 'the end of the old socket');
      await reload(config);
    }
    await until(async () => (await (await fetch(`${server.url}/ws/status`)).json()).channels.length === 0, 'the ledger to balance');
    await server.stop();
  });
