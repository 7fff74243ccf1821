// SIGHUP: apps, limits and the log level change, connections stay; a broken file changes nothing.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { apiRequest, binary, ownFolder, rawSocket, rawSubscribe, startServer, until } from './harness.mjs';
import { expectServes, httpSocket, requestText } from './http.mjs';

const app = (name, more = '') => `  - id: ${name}\n    keys: [{key: ${name}-key, secret: ${name}-secret}]\n${more}`;
const named = (name) => ({ id: name, key: `${name}-key`, secret: `${name}-secret` });

// A server with a file, and a way to change that.
async function withFile(config, fn, options) {
  const server = await startServer({ app: null, config, workers: 2, ...options });
  server.app = named('one');
  server.reload = async (text, event = 'reloaded') => {
    writeFileSync(path.join(server.folder, 'carillon.yaml'), text);
    const before = server.logged(event).length;
    server.signal('SIGHUP');
    await until(() => server.logged(event).length > before, `event=${event}`);
    return server.logged(event).at(-1);
  };
  try {
    await fn(server);
  } finally {
    await server.stop();
  }
}
const works = (server, name) => apiRequest(server, 'GET', `/apps/${name}/channels`, { app: named(name) }).then((answer) => answer.status);
// When nobody waits for the log.
const becomes = (fn, wanted, what) => until(async () => (await fn()) === wanted, what);

test('apps come, and connections of those that stay are not touched', async () => {
  await withFile(`apps:\n${app('one')}`, async (server) => {
    const socket = await rawSocket(server);
    await rawSubscribe(socket, 'private-c', { app: named('one') });
    const keepAlive = await httpSocket(server);
    await keepAlive.expectAlive();
    assert.equal(await works(server, 'two'), 404);
    await server.reload(`apps:\n${app('two')}${app('one')}`);
    assert.equal(await works(server, 'two'), 200, 'the new app');
    await keepAlive.expectAlive();
    await socket.expectNothing();
    await apiRequest(server, 'POST', '/apps/one/events', { app: named('one'), body: { name: 'e', data: 'after', channel: 'private-c' } });
    await socket.expectText('{"event":"e","channel":"private-c","data":"after"}');
    await expectServes(Object.assign(Object.create(server), { app: named('two') }));
    for (let i = 0; i < 20; i++) await server.reload(`apps:\n${app('one')}${i % 2 ? app('two') : ''}`);
    await socket.expectNothing();
    keepAlive.destroy();
    socket.close();
  });
});

test('an app that goes or is disabled takes no new connections and no requests', async () => {
  await withFile(`apps:\n${app('one')}${app('two')}${app('three')}`, async (server) => {
    await server.reload(`apps:\n${app('one')}${app('three', '    enabled: false\n')}`);
    assert.equal(await works(server, 'two'), 404, 'the app to be gone');
    assert.equal(await works(server, 'three'), 403, 'the app to be off');
    for (const [name, code] of [['two', 4001], ['three', 4003]]) {
      const refused = await rawSocket(server, `/app/${name}-key?protocol=7`);
      await refused.expectClose(code);
    }
    await server.reload(`apps:\n${app('one')}${app('two')}${app('three')}`);
    assert.equal(await works(server, 'two'), 200, 'the app to be back');
    assert.equal(await works(server, 'three'), 200, 'the app to be on');
  });
});

test('a new secret counts at once, and both of a rotation do', async () => {
  await withFile(`apps:\n${app('one')}`, async (server) => {
    const status = (secret, key = 'one-key') => apiRequest(server, 'GET', '/apps/one/channels', { app: { id: 'one', key, secret } }).then((a) => a.status);
    assert.equal(await status('one-secret'), 200);
    await server.reload('apps:\n  - id: one\n    keys: [{key: one-key, secret: one-secret}, {key: new-key, secret: new-secret}]\n');
    assert.equal(await status('new-secret', 'new-key'), 200, 'the new key');
    assert.equal(await status('one-secret'), 200);
    await server.reload('apps:\n  - id: one\n    keys: [{key: new-key, secret: new-secret}]\n');
    assert.equal(await status('one-secret'), 401, 'the old key to be refused');
    assert.equal(await status('new-secret', 'new-key'), 200);
  });
});

test('limits change for connections that are open', async () => {
  const config = (bytes, headers) => `limits:\n  headers: ${headers}\napps:\n${app('one', `    limits: {event_data_bytes: ${bytes}}\n`)}`;
  await withFile(config(100, 50), async (server) => {
    const publish = (n) => apiRequest(server, 'POST', '/apps/one/events', { app: named('one'), body: { name: 'e', data: 'x'.repeat(n), channel: 'c' } }).then((a) => a.status);
    const keepAlive = await httpSocket(server);
    const many = async (n) => {
      const http = await httpSocket(server);
      http.write(requestText('GET', '/health', { headers: Object.fromEntries(Array.from({ length: n }, (_, i) => [`A${i}`, 'b'])) }));
      const { status } = await http.response();
      http.destroy();
      return status;
    };
    assert.equal(await publish(101), 413);
    assert.equal(await many(40), 200);
    await server.reload(config(20, 10));
    assert.equal(await publish(21), 413, 'the lower limit');
    assert.equal(await publish(20), 200);
    assert.equal(await many(20), 431, 'fewer headers');
    await server.reload(config(20000, 50));
    assert.equal(await publish(20000), 200, 'the higher limit');
    await keepAlive.expectAlive();
    keepAlive.destroy();
  });
});

test('the log level changes', async (t) => {
  // Nothing on the command line: a flag would win over the file.
  const folder = ownFolder('level');
  t.after(() => rmSync(folder, { recursive: true }));
  const config = path.join(folder, 'carillon.yaml');
  const write = (level, apps) => writeFileSync(config, `port: 0\nworkers: 1\nlog: {level: ${level}}\napps:\n${apps.map((name) => app(name)).join('')}`);
  write('info', ['one']);
  const child = spawn(binary, ['serve', '--config', config], { stdio: ['ignore', 'ignore', 'pipe'] });
  const exited = new Promise((resolve) => child.on('close', resolve));
  t.after(() => child.kill('SIGKILL'));
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text) => { log += text; });
  const [, port] = await until(() => /event=listening .*port=(\d+)/.exec(log), 'event=listening');
  const server = { host: '127.0.0.1', port: Number(port), url: `http://127.0.0.1:${port}`, app: named('one') };
  const refuse = async () => { await (await rawSocket(server, '/app/nobody?protocol=7')).expectClose(4001); };
  await refuse();
  await until(() => /event=refused/.test(log), 'event=refused');
  const before = log.length;
  write('error', ['one', 'two']);
  child.kill('SIGHUP');
  await becomes(() => works(server, 'two'), 200, 'the reload');
  await refuse();
  write('info', ['one', 'three']);
  child.kill('SIGHUP');
  await becomes(() => works(server, 'three'), 200, 'the second reload');
  assert.doesNotMatch(log.slice(before), /event=refused/);
  await refuse();
  await until(() => /event=refused/.test(log.slice(before)), 'event=refused again');
  child.kill('SIGTERM');
  assert.equal(await exited, 0);
});

test('a broken file keeps the configuration before and says why, with file, line and column', async () => {
  await withFile(`apps:\n${app('one')}`, async (server) => {
    const socket = await rawSocket(server);
    for (const [text, pattern] of [['prot: 1\n', /carillon\.yaml:1:1.*prot/], ['apps: [\n', /carillon\.yaml:\d+:\d+/], ['port: 99999\n', /port/], [`apps:\n${app('one')}${app('one')}`, /one/], ['', /./]]) {
      if (text === '') continue;
      const line = await server.reload(text, 'reload_failed');
      assert.match(line.error, pattern);
      assert.equal(line.level, 'error');
      assert.equal(await works(server, 'one'), 200);
    }
    await socket.expectNothing();
    await server.reload(`apps:\n${app('one')}${app('two')}`);
    assert.equal(await works(server, 'two'), 200, 'a good file afterwards');
    socket.close();
  });
});

test('what only a restart can change is kept, and said', async () => {
  await withFile(`apps:\n${app('one')}`, async (server) => {
    await server.reload(`host: 127.0.0.2\napps:\n${app('one')}${app('two')}`);
    assert.equal(await works(server, 'two'), 200, 'the rest of the file to count');
    assert.equal(server.logged('reload_needs_restart').length, 1);
    assert.match(server.logged('reload_needs_restart')[0].option, /host/);
    await expectServes(server);
    await server.reload(`apps:\n${app('one')}${app('two')}`);
    assert.equal(server.logged('reload_needs_restart').length, 1, 'back as it was: nothing to say');
  });
});

test('signals that come in a heap end in the last file', async () => {
  await withFile(`apps:\n${app('one')}`, async (server) => {
    for (let i = 0; i < 50; i++) {
      writeFileSync(path.join(server.folder, 'carillon.yaml'), `apps:\n${app('one')}${app(`app-${i}`)}`);
      server.signal('SIGHUP');
    }
    // How many of them became a reload is not known, so neither is which line of the log is the last.
    await becomes(() => works(server, 'app-49'), 200, 'the last file');
    await becomes(() => works(server, 'app-48'), 404, 'no other one');
    await expectServes(server);
  });
});
