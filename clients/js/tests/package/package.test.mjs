// What is published: the built files as Node, TypeScript and Vite find them through package.json.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const manifest = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
const require = createRequire(import.meta.url);
const entries = Object.keys(manifest.exports).filter((name) => name !== './package.json');
const nameOf = (entry) => path.posix.join('carillon-js', entry);

const node = (...args) => execFileSync(process.execPath, args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

function compile(...args) {
  try {
    node(path.join(path.dirname(require.resolve('typescript/package.json')), 'bin/tsc'), ...args);
  } catch (error) {
    assert.fail(`${error.stdout}${error.stderr}`);
  }
}

// A folder inside the package, so that its name resolves to itself.
function folder(t, files) {
  const made = mkdtempSync(path.join(root, 'tests/package/made-'));
  t.after(() => rmSync(made, { recursive: true }));
  for (const [name, text] of Object.entries(files)) writeFileSync(path.join(made, name), text);
  return made;
}

test('every path of exports is a file, types before code', () => {
  const check = (value) => {
    if (typeof value === 'string') assert.ok(existsSync(path.join(root, value)), value);
    else {
      if ('types' in value) assert.equal(Object.keys(value)[0], 'types');
      Object.values(value).forEach(check);
    }
  };
  entries.forEach((entry) => check(manifest.exports[entry]));
  [manifest.main, manifest.module, manifest.types].forEach(check);
});

test('import and require give the same names, and neither needs a page', async () => {
  for (const entry of entries) {
    const esm = Object.keys(await import(nameOf(entry))).sort();
    const cjs = Object.keys(require(nameOf(entry))).filter((name) => name !== '__esModule').sort();
    assert.deepEqual(esm, cjs);
    assert.ok(esm.length);
  }
});

test('recovery as a plain script wraps what it is given', () => {
  const text = `
    require('node:vm').runInThisContext(require('node:fs').readFileSync('dist/recovery.global.js', 'utf8'));
    const sent = [];
    const heard = [];
    const pusher = {
      send_event: (event, data) => sent.push([event, data]),
      connection: { emit: (name, data) => heard.push(data.event) },
      channel: () => ({ emit: (name, data) => heard.push([name, data]) }),
    };
    const { position } = carillonRecovery(pusher);
    pusher.send_event('pusher:subscribe', { channel: 'c' });
    pusher.connection.emit('message', { event: 'pusher_internal:subscription_succeeded', channel: 'c', data: { recovery: { epoch: 'e', offset: 4, recovered: true, replay: 1 } } });
    pusher.connection.emit('message', { event: 'x', channel: 'c' });
    const kept = new Map();
    const storage = { getItem: (name) => kept.get(name) ?? null, setItem: (name, value) => kept.set(name, value) };
    const other = () => ({ key: 'k', send_event: (event, data) => sent.push([event, data]), connection: { emit() {} }, channel() {} });
    const [one, two] = [other(), other()];
    const { end, forget } = carillonRecovery(one, { persist: { storage, user: 'u' } });
    one.connection.emit('message', { event: 'pusher_internal:position', channel: 'd', data: { epoch: 'e', offset: 7 } });
    end();
    carillonRecovery(two, { persist: { storage, user: 'u' } });
    two.send_event('pusher:subscribe', { channel: 'd' });
    forget();
    console.log(JSON.stringify([sent, heard, position('c'), [...kept.values()]]));`;
  assert.deepEqual(JSON.parse(node('-e', text)), [
    [['pusher:subscribe', { channel: 'c', recovery: {} }], ['pusher:subscribe', { channel: 'd', recovery: { epoch: 'e', offset: 7 } }]],
    ['pusher_internal:subscription_succeeded', ['carillon:recovered', { replay: 1 }], 'x'],
    { epoch: 'e', offset: 5 },
    ['[]'],
  ]);
});

test('importing does nothing: no timer, no socket, no instance', () => {
  const text = `
    for (const name of ${JSON.stringify(entries.map(nameOf))}) await import(name);
    const { default: Pusher } = await import('pusher-js');
    const open = process.getActiveResourcesInfo().filter((kind) => /Time|Immediate|TCP|HTTP/.test(kind));
    console.log(JSON.stringify([open, Pusher.instances.length, typeof window]));`;
  assert.deepEqual(JSON.parse(node('--input-type=module', '-e', text)), [[], 0, 'undefined']);
});

test('there is no runtime dependency, and the main entry does not load React', () => {
  assert.deepEqual(manifest.dependencies ?? {}, {});
  const loaded = node('-e', "require('carillon-js'); console.log(Object.keys(require.cache).join('\\n'))");
  assert.doesNotMatch(loaded, /node_modules\/react\//);
});

test('every file of the hooks is marked for the client', () => {
  for (const kind of ['esm', 'cjs']) {
    const hooks = path.join(root, 'dist', kind, 'react');
    for (const file of readdirSync(hooks).filter((name) => name.endsWith('.js')))
      assert.match(readFileSync(path.join(hooks, file), 'utf8'), /^("use strict";\n)?'use client';/, `${kind}/${file}`);
  }
});

test('no exported type says any', () => {
  const dist = path.join(root, 'dist/esm');
  for (const file of readdirSync(dist, { recursive: true }).filter((name) => name.endsWith('.d.ts'))) {
    const code = readFileSync(path.join(dist, file), 'utf8').replace(/\/\*[\s\S]*?\*\//g, '').replace(/\/\/.*/g, '');
    assert.doesNotMatch(code, /\bany\b/, file);
  }
});

for (const [name, options] of [
  ['a bundler', ['--module', 'esnext', '--moduleResolution', 'bundler']],
  ['Node', ['--module', 'nodenext', '--moduleResolution', 'nodenext']],
]) test(`an application compiles against the types, as ${name} resolves them`, () => {
  const files = readdirSync(path.join(root, 'tests/package/types')).filter((file) => /\.tsx?$/.test(file));
  const args = ['--ignoreConfig', '--noEmit', '--strict', '--target', 'es2022', '--lib', 'es2022,dom,dom.iterable', '--jsx', 'react-jsx', '--types', ''];
  compile(...args, ...options, ...files.map((file) => `tests/package/types/${file}`));
});

test('the suites of this package compile', () => {
  compile('-p', 'tests');
});

test('with paths, new Pusher takes auth.endpoint and the guide\'s types', (t) => {
  const made = folder(t, {
    'guide.ts': `
      import Pusher, { type Channel } from 'pusher-js';
      const pusher = new Pusher('key', {
        cluster: 'mt1', auth: { endpoint: '/api/v1/pusher/auth', headers: { Authorization: 'Bearer t' } },
      });
      const channel: Channel = pusher.subscribe('presence-content-updates');
      channel.bind('content_update', (data: unknown) => console.log(data));
      pusher.connection.bind('state_change', (states: { previous: string; current: string }) => console.log(states.current));
      Pusher.logToConsole = true;
      // @ts-expect-error: an option that nobody knows
      new Pusher('key', { cluster: 'mt1', clutser: 'mt1' });
    `,
    'tsconfig.json': JSON.stringify({
      compilerOptions: {
        noEmit: true, strict: true, target: 'es2022', module: 'esnext', moduleResolution: 'bundler', types: [],
        paths: { 'pusher-js': ['../../../dist/esm/pusher/index.d.ts'] },
      },
      include: ['guide.ts'],
    }),
  });
  compile('-p', made);
});

for (const [form, alias] of [
  ['by name', { 'pusher-js': 'carillon-js/pusher' }],
  ['by pattern', [{ find: /^pusher-js$/, replacement: 'carillon-js/pusher' }]],
]) test(`Vite's alias ${form}: pusher-js is the subclass, which finds the real one and the environment`, async (t) => {
  const made = folder(t, {
    'entry.js': `
      import Pusher from 'pusher-js';
      import { pusherService } from 'carillon-js';
      export const pusher = new Pusher('key', { cluster: 'mt1', auth: { endpoint: '/my/auth' } });
      export const Base = Object.getPrototypeOf(Pusher);
      export { pusherService };
    `,
    '.env': 'VITE_PUSHER_HOST=built.test\nVITE_PUSHER_PORT=6001\nVITE_PUSHER_SCHEME=http\nVITE_PUSHER_KEY=built-key\n',
  });
  const output = await build({
    root: made, configFile: false, logLevel: 'silent', resolve: { alias },
    build: { write: false, minify: false, lib: { entry: 'entry.js', formats: ['es'], fileName: 'out' } },
  });
  const { code } = (Array.isArray(output) ? output[0] : output).output[0];
  assert.doesNotMatch(code, /from\s*["']#?pusher-js/);
  assert.equal(code.match(/Pusher JavaScript Library/g)?.length, 1, 'pusher-js is bundled once');
  const file = path.join(made, 'out.mjs');
  // The web build of pusher-js asks for a page; this much of one is enough to build the object.
  writeFileSync(file, `globalThis.self = globalThis; globalThis.window = globalThis;
    globalThis.document = { body: null, addEventListener() {}, location: { protocol: 'http:' }, getElementsByTagName: () => [] };
    const { pusher, Base, pusherService } = await import('./bundle.mjs');
    pusherService.configure({ enabledTransports: ['ws'] });
    pusherService.initialize();
    console.log(JSON.stringify([pusher.config.wsHost, pusher.config.wsPort, pusher.options.authEndpoint, pusher instanceof Base,
      pusherService.pusher.key, pusherService.pusher.config.wsHost]));
    process.exit(0);`);
  writeFileSync(path.join(made, 'bundle.mjs'), code);
  assert.deepEqual(JSON.parse(node(file)), ['built.test', 6001, '/my/auth', true, 'built-key', 'built.test']);
});
