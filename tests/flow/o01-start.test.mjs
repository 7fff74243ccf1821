// Starting: the banner, the ports, the default app, and what refuses to start.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import { apiRequest, binary, freePort, limit, ownFolder, rawSocket, startServer, until } from './harness.mjs';
import { exchange, expectServes, requestText } from './http.mjs';

const folder = ownFolder('start');
after(() => rmSync(folder, { recursive: true }));
const file = (name, text) => {
  const where = path.join(folder, name);
  writeFileSync(where, text);
  return where;
};

// Without what the surroundings may say about apps.
const bare = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(CARILLON|PUSHER)_/.test(name)));
function run(args, env = {}) {
  const done = spawnSync(binary, args, { encoding: 'utf8', timeout: limit(10000), killSignal: 'SIGKILL', env: { ...bare, ...env } });
  assert.equal(done.signal, null, `it ended by itself: ${args.join(' ')}`);
  return done;
}

describe('start', () => {
  test('the default app serves on a loopback address, and the banner says how', async () => {
    const server = await startServer({ app: null, env: bare });
    try {
      server.app = { id: 'app-id', key: 'app-key', secret: 'app-secret' };
      await expectServes(server);
      const banner = server.output;
      assert.match(banner, /^Carillon \d+\.\d+\.\d+ on http:\/\/127\.0\.0\.1:\d+\n/);
      for (const part of [String(server.port), 'app-id', 'app-key', 'app-secret']) assert.ok(banner.includes(part), part);
      assert.ok(banner.split('\n').length <= 12, 'short');
      // The snippet is JavaScript that names this server.
      const snippet = /new Pusher\([^]*?\}\)/.exec(banner)[0];
      const args = new Function('Pusher', `return ${snippet}`).bind(null);
      let got;
      args(function Pusher(key, options) { got = { key, options }; });
      assert.equal(got.key, 'app-key');
      assert.equal(got.options.wsPort, server.port);
      assert.equal(got.options.wsHost, '127.0.0.1');
      assert.equal(got.options.forceTLS, false);
      assert.equal(typeof got.options.cluster, 'string');
    } finally {
      await server.stop();
    }
  });

  test('an app of one\'s own replaces the default app, and its secret is not in the banner', async () => {
    const server = await startServer({});
    try {
      await expectServes(server);
      assert.ok(!server.output.includes('test-secret'));
      assert.equal((await apiRequest(server, 'GET', '/apps/app-id/channels', { app: { id: 'app-id', key: 'app-key', secret: 'app-secret' } })).status, 404);
    } finally {
      await server.stop();
    }
  });

  test('the default app is refused on any address but loopback, and it is said what to set', () => {
    for (const host of ['0.0.0.0', '::']) {
      const { status, stderr } = run(['serve', '--host', host, '--port', '0']);
      assert.notEqual(status, 0, host);
      assert.match(stderr, /app/i);
      assert.match(stderr, /--app|PUSHER_APP/);
      assert.equal(stderr.trim().split('\n').length, 1, stderr);
    }
  });

  test('with an app of one\'s own any address is fine', async () => {
    const server = await startServer({ args: ['--host', '0.0.0.0'] });
    try { await expectServes(server); } finally { await server.stop(); }
  });

  test('an IPv6 loopback address serves', { skip: !Object.values(os.networkInterfaces()).flat().some((i) => i.address === '::1') && 'this machine has no ::1' }, async () => {
    const server = await startServer({ args: ['--host', '::1'] });
    try {
      server.host = '::1';
      server.url = `http://[::1]:${server.port}`;
      await expectServes(server);
    } finally {
      await server.stop();
    }
  });

  for (const workers of [1, 4]) {
    test(`a busy port fails at start (${workers} workers), and the first server goes on`, async () => {
      const server = await startServer({ workers });
      try {
        for (const others of ['1', '4']) {
          const { status, stderr } = run(['serve', '--port', String(server.port), '--workers', others, '--app', 'a:b:c']);
          assert.equal(status, 1, `${others} workers`);
          assert.match(stderr, new RegExp(String(server.port)));
          assert.match(stderr, /in use/i);
        }
        await expectServes(server);
      } finally {
        await server.stop();
      }
    });
  }

  test('a busy TLS port fails at start', async () => {
    const taken = net.createServer();
    await new Promise((resolve) => { taken.listen(0, '127.0.0.1', resolve); });
    const key = path.join(folder, 'k.pem');
    const cert = path.join(folder, 'c.pem');
    spawnSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=x', '-keyout', key, '-out', cert]);
    const { status, stderr } = run(['serve', '--port', '0', '--workers', '2', '--app', 'a:b:c', '--set', `tls.port=${taken.address().port}`, '--set', `tls.cert=${cert}`, '--set', `tls.key=${key}`]);
    assert.equal(status, 1);
    assert.match(stderr, /in use/i);
    await new Promise((resolve) => { taken.close(resolve); });
  });

  test('a port can be taken again at once after a stop', async () => {
    const port = await freePort();
    for (let i = 0; i < 3; i++) {
      const server = await startServer({ args: ['--port', String(port)], workers: 2 });
      assert.equal(server.port, port);
      const socket = await rawSocket(server);
      await expectServes(server);
      await server.stop();
      socket.destroy();
    }
  });

  test('workers 0 is as many as the process may use', async () => {
    const server = await startServer({ workers: 0 });
    try {
      const n = (await server.metrics()).sum('carillon_workers');
      assert.equal(n, os.availableParallelism());
      assert.ok(readdirSync(`/proc/${server.pid}/task`).length >= n, 'a thread for each');
    } finally {
      await server.stop();
    }
  });

  test('a wrong command line ends with 2, a sentence on stderr and nothing on stdout', () => {
    for (const args of [['frobnicate'], ['serve', '--nothing', 'x'], ['serve', '--port'], ['serve', 'stray'], ['check', '--nothing']]) {
      const { status, stdout, stderr } = run(args);
      assert.equal(status, 2, args.join(' '));
      assert.match(stderr, /carillon: /);
      assert.equal(stdout, '');
    }
  });

  test('a wrong value ends with 1 and names the option', () => {
    for (const [args, pattern] of [
      [['--port', '65536'], /port/], [['--port', 'x'], /port/], [['--port', '-1'], /port/], [['--workers', '257'], /workers/], [['--log-level', 'loud'], /log\.level/],
      [['--set', 'limits.head_bytes=1'], /limits\.head_bytes/], [['--set', 'limits.haed_bytes=1000'], /limits\.head_bytes/], [['--set', 'nothing'], /nothing|=/], [['--set', 'app_defaults.client_events=maybe'], /client_events/],
      [['--app', 'a'], /app/i], [['--app', 'a:b'], /app/i], [['--app', ':b:c'], /app/i], [['--app', 'a:b:'], /app/i], [['--app', 'a:b:c', '--app', 'a:d:e'], /'a'/], [['--app', 'a:b:c', '--app', 'd:b:e'], /'b'/],
      [['--config', '/nowhere/carillon.yaml'], /nowhere/], [['--env-file', '/nowhere/.env'], /nowhere/], [['--host', 'no.such.host.invalid'], /no\.such\.host\.invalid|host/],
      [['--set', 'tls.port=1'], /tls\.cert/],
    ]) {
      const { status, stderr } = run(['serve', ...(args[0] === '--port' ? [] : ['--port', '0']), ...args]);
      assert.equal(status, 1, `${args.join(' ')}: ${stderr}`);
      assert.match(stderr, pattern, args.join(' '));
      assert.equal(stderr.trim().split('\n').length, 1, stderr);
    }
  });
});

describe('the other commands', () => {
  test('version', () => {
    const { status, stdout } = run(['version']);
    assert.equal(status, 0);
    assert.match(stdout, /^carillon \d+\.\d+\.\d+\n$/);
  });

  test('options lists every option with its type, default, environment name and a sentence', () => {
    const { status, stdout } = run(['options']);
    assert.equal(status, 0);
    for (const name of ['host', 'port', 'workers', 'path_prefix', 'tls.cert', 'log.level', 'drain.window_ms', 'limits.head_bytes', 'limits.outbox_bytes', 'app_defaults.client_events',
      'app_defaults.limits.event_data_bytes', 'app_defaults.authorized_connections.timeout_s', 'debug.echo_path', 'debug.worker_path']) {
      const line = stdout.split('\n').find((l) => l.startsWith(`${name} `));
      assert.ok(line, name);
      assert.ok(line.includes(`CARILLON_${name.toUpperCase().replaceAll('.', '_')}`), line);
      const sentence = stdout.split('\n')[stdout.split('\n').indexOf(line) + 1];
      assert.match(sentence, /^ +[A-Z].*\.$/);
    }
    assert.match(stdout, /10240/);
  });

  test('every listed default is what check prints for an empty configuration', () => {
    const { stdout } = run(['check']);
    assert.match(stdout, /^port: 6001$/m);
    assert.match(stdout, /event_data_bytes: 10240/);
  });

  test('check prints the effective configuration and no secret', () => {
    const config = file('good.yaml', 'port: 7001\nlimits:\n  head_bytes: 8192\napps:\n  - id: one\n    keys: [{key: k1, secret: very-secret-1}, {key: k2, secret: very-secret-2}]\n    client_events: false\n');
    const { status, stdout, stderr } = run(['check', '--config', config, '--set', 'workers=3'], { CARILLON_LIMITS_HEADERS: '50', PUSHER_APP_ID: 'two', PUSHER_APP_KEY: 'k3', PUSHER_APP_SECRET: 'very-secret-3' });
    assert.equal(status, 0, stderr);
    assert.match(stdout, /^port: 7001$/m);
    assert.match(stdout, /^workers: 3$/m);
    assert.match(stdout, /head_bytes: 8192/);
    assert.match(stdout, /headers: 50/);
    assert.match(stdout, /k1[^]*k2/);
    assert.match(stdout, /k3/);
    assert.doesNotMatch(stdout + stderr, /very-secret/);
    // What it prints is a configuration itself, but for the secrets.
    const again = run(['check', '--config', file('again.yaml', stdout.replaceAll('[redacted]', 'x'))]);
    assert.equal(again.status, 0, again.stderr);
    assert.equal(again.stdout, stdout);
  });

  test('check of a broken file names file, line and column, and the nearest known key', () => {
    for (const [text, pattern] of [
      ['prot: 6001\n', /:1:1: .*prot.*port/], ['limits:\n  haed_bytes: 1\n', /:2:3: .*head_bytes/], ['port: [1\n', /:\d+:\d+/], ['port: 99999\n', /:1:7: .*port/], ['apps: {}\n', /:1:7: .*apps/],
      ['apps:\n  - id: a\n    keys: [{key: k, secert: s}]\n', /:3:\d+: .*secret/], ['port: 1\nport: 2\n', /:2:1: .*port/], ['\tport: 1\n', /:1:\d+/], ['log:\n  level: loud\n', /:2:10: .*level/],
    ]) {
      const where = file('broken.yaml', text);
      const { status, stderr, stdout } = run(['check', '--config', where]);
      assert.equal(status, 1, text);
      assert.ok(stderr.includes('broken.yaml'), stderr);
      assert.match(stderr, pattern);
      assert.equal(stdout, '');
    }
  });

  test('flags win over the environment, which wins over the file', () => {
    const config = file('order.yaml', 'limits:\n  headers: 10\n  head_ms: 1000\n  body_ms: 1000\n');
    const { stdout } = run(['check', '--config', config, '--set', 'limits.body_ms=3000'], { CARILLON_LIMITS_HEAD_MS: '2000', CARILLON_LIMITS_BODY_MS: '2000' });
    assert.match(stdout, / headers: 10\n/);
    assert.match(stdout, / head_ms: 2000\n/);
    assert.match(stdout, / body_ms: 3000\n/);
  });

  test('the usual environment of an application defines its app, also from a file', async () => {
    for (const [names, values] of [[['PUSHER_APP_ID', 'PUSHER_APP_KEY', 'PUSHER_APP_SECRET'], ['e1', 'ek1', 'es1']], [['PUSHER_APP_ID', 'PUSHER_KEY', 'PUSHER_SECRET'], ['e2', 'ek2', 'es2']]]) {
      const env = Object.fromEntries(names.map((name, i) => [name, values[i]]));
      const app = { id: values[0], key: values[1], secret: values[2] };
      const envFile = file('app.env', `# an application's\nAPP_NAME="My App"\n${names.map((name, i) => `${name}="${values[i]}"`).join('\n')}\nexport OTHER=1\n`);
      for (const options of [{ env }, { args: ['--env-file', envFile] }]) {
        const server = await startServer({ app: null, ...options });
        try {
          server.app = app;
          await expectServes(server);
        } finally {
          await server.stop();
        }
      }
    }
  });

  test('the demo is not there without the default app, nor is its secret known', async () => {
    const server = await startServer({});
    try {
      const host = `127.0.0.1:${server.port}`;
      const answer = await exchange(server, requestText('POST', '/demo/publish', { headers: { Host: host, Origin: `http://${host}` }, body: '{"message":"x"}' }));
      assert.equal(answer.status, 404);
      await until(() => server.logged('started').length, 'event=started');
    } finally {
      await server.stop();
    }
  });
});
