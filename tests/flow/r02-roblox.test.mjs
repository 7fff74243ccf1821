// The Luau module, under Lua 5.4 with stand-ins for Roblox's services: by itself, and against the
// server.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { guideApp, guideFile, mint, nowS, startGuide, users } from './gateway.mjs';
import { apiClient, freePort, limit, until, useServer, within } from './harness.mjs';

const folder = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../clients/roblox/tests');
const range = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

// A Lua program: what it printed, line by line as it comes, and how it ended.
function lua(file, ...args) {
  const child = spawn('lua5.4', [path.join(folder, file), ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const lines = [];
  let errors = '';
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
  child.stderr.setEncoding('utf8').on('data', (text) => { errors += text; });
  const ended = new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, errors }));
  });
  return { lines, ended, end: () => child.kill('SIGKILL') };
}

// The module against a server.  said: all that it told; of(name): what it told by that name.
function live(ctx, plan) {
  const program = lua('live.lua', JSON.stringify({ wait: 25, tokens: [mint(users.student)], url: ctx.server.url, ...plan }));
  ctx.defer(program.end);
  const said = () => program.lines.map((line) => JSON.parse(line));
  return {
    said,
    of: (name) => said().filter((one) => one[name] !== undefined),
    opened: () => until(() => said().some(({ open }) => open), 'the module to be open'),
    over: async () => {
      const { code, errors } = await within(program.ended, 'the module to end', 30000);
      assert.equal(code, 0, errors);
      return said();
    },
  };
}

test('the module by itself', async (t) => {
  const program = lua('module.lua');
  const { code, errors } = await within(program.ended, 'the Lua tests', 60000);
  const results = program.lines.filter((line) => /^(not )?ok /.test(line));
  for (const line of results) await t.test(line.replace(/^(not )?ok /, ''), () => assert.match(line, /^ok /));
  assert.equal(errors, '');
  assert.equal(program.lines.at(-1), `${results.length} passed, 0 failed`);
  assert.equal(code, 0);
  assert.ok(results.length > 20);
});

describe('the module and the server', () => {
  const ctx = useServer({ app: null, workers: 4, config: readFileSync(guideFile, 'utf8') });
  const channels = ['private-roblox-7', 'presence-content-updates'];
  const publish = (channel, event, data) => apiClient(ctx.server, { app: guideApp }).trigger(channel, event, data);
  const finish = async (module) => {
    await publish(channels[0], 'end', {});
    return module.over();
  };
  const idle = () => until(async () => (await ctx.server.metrics()).sum('carillon_waiting_polls') === 0, 'no poll to wait');

  test('500 numbered events on two channels: each once, in order', async () => {
    const module = live(ctx, { channels });
    await module.opened();
    const send = async (channel) => { for (const n of range(1, 250)) await publish(channel, 'step', { n }); };
    await Promise.all(channels.map(send));
    const said = await finish(module);
    for (const channel of channels) {
      const heard = said.filter((one) => one.event === 'step' && one.channel === channel);
      assert.deepEqual(heard.map(({ data }) => data.n), range(1, 250));
      assert.deepEqual(heard.map(({ offset }) => offset), range(heard[0].offset, heard[0].offset + 249));
    }
    assert.deepEqual([module.of('gap'), module.of('error')], [[], []]);
    assert.ok(said.at(-1).requests < 200, `${said.at(-1).requests} requests`);
    await idle();
  });

  test('sending: the answer, and the event of it', async () => {
    const module = live(ctx, { channels, send: { channel: 'presence-content-updates', type: 'lesson', payload: { page: 3, list: [1, 2] } } });
    await until(() => module.of('sent').length && module.of('event').length, 'the message to come back');
    const said = await finish(module);
    const [{ sent, answer }] = module.of('sent');
    assert.deepEqual([sent, answer.success, answer.channel], [true, true, 'presence-content-updates']);
    const { channel, event, data } = said.find((one) => one.event === 'message');
    assert.deepEqual([channel, event, data.type, data.payload, data.user_id], ['presence-content-updates', 'message', 'lesson', { page: 3, list: [1, 2] }, '7']);
    await idle();
  });

  test('a token that runs out is replaced, and nothing is lost meanwhile', async () => {
    const late = nowS() + 2 - 30; // the server takes it for 30 s longer
    const module = live(ctx, { channels, wait: 1, tokens: [mint(users.student, { exp: late }), mint(users.student)] });
    await module.opened();
    const over = Date.now() + limit(2000) + 3000;
    let n = 0;
    await until(async () => {
      await publish(channels[1], 'tick', { n: ++n });
      return module.of('token').length === 2 && Date.now() > over - limit(2000);
    }, 'the second token');
    const said = await finish(module);
    assert.deepEqual(said.filter(({ event }) => event === 'tick').map(({ data }) => data.n), range(1, n));
    assert.deepEqual([module.of('token'), module.of('error'), module.of('gap')], [[{ token: 1 }, { token: 2 }], [], []]);
    await idle();
  });

  test('what may not be opened is said', async () => {
    const module = live(ctx, { channels: ['private-roblox-7', 'private-user-8'] });
    const said = await module.over();
    assert.deepEqual(said.find((one) => one.open !== undefined), { open: false, problem: 'open: status 403, Insufficient permissions for the channel private-user-8' });
    const plain = await live(ctx, { channels: ['private-dashboard-updates'] }).over();
    assert.match(plain.find((one) => one.open !== undefined).problem, /^open: status 422, The history of private-dashboard-updates is not kept/);
  });

  test('too many requests: the module is told, and waits', async () => {
    // Every user may poll 500 times a minute; another client of the same one has used that up.
    const module = live(ctx, { channels, wait: 0, tokens: [mint({ sub: '70', role: 'admin' })] });
    await module.opened();
    const token = mint({ sub: '70', role: 'admin' });
    const state = async () => (await fetch(`${ctx.server.url}/api/v1/pusher/poll?wait=0&session=x`, { headers: { authorization: `Bearer ${token}`, connection: 'close' } })).status;
    await until(async () => (await Promise.all(range(1, 50).map(state))).includes(429), 'the limit');
    await until(() => module.of('error').length, 'the module to be told');
    assert.match(module.of('error')[0].error, /^poll: status 429, Rate limit exceeded/);
  });
});

test('a restart is a gap that is told, and the module goes on', async () => {
  const cleanups = [];
  const ctx = { server: await startGuide({ port: await freePort() }), defer: (fn) => cleanups.push(fn) };
  const publish = (event, data) => apiClient(ctx.server, { app: guideApp }).trigger('private-roblox-7', event, data);
  try {
    const module = live(ctx, { channels: ['private-roblox-7'] });
    await module.opened();
    for (const n of range(1, 5)) await publish('step', { n });
    await until(() => module.of('event').length === 5, 'the first events');
    const { port } = ctx.server;
    await ctx.server.stop();
    ctx.server = await startGuide({ port });
    await until(() => module.of('gap').length, 'the gap');
    for (const n of range(6, 10)) await publish('step', { n });
    await publish('end', {});
    const said = await module.over();
    assert.deepEqual(said.filter(({ event }) => event === 'step').map(({ data }) => data.n), range(1, 10));
    assert.deepEqual(module.of('gap'), [{ gap: 'private-roblox-7' }]);
  } finally {
    for (const end of cleanups) end();
    await ctx.server.stop();
  }
});
