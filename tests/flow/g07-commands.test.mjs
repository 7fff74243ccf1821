// The operator's commands: token, doctor, routes, check.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { binary, startServer } from './harness.mjs';
import { call, guideFile, mint, secret, startGuide, users } from './gateway.mjs';

const run = (...args) => {
  const { status, stdout, stderr } = spawnSync(binary, args, { encoding: 'utf8' });
  return { status, stdout, stderr };
};
const guide = ['--config', guideFile];
const claimsOf = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url').toString());

describe('carillon token', () => {
  test('mints what the endpoints take', async () => {
    const { status, stdout } = run('token', ...guide, '--sub', '42', '--role', 'teacher', '--name', 'Ann "A"', '--ttl', '2h');
    assert.equal(status, 0);
    const token = stdout.trim();
    const { iat, exp, ...claims } = claimsOf(token);
    assert.deepEqual(claims, { sub: '42', name: 'Ann "A"', role: 'teacher' });
    assert.equal(exp - iat, 7200);
    const server = await startGuide();
    assert.deepEqual((await call(server, token, 'GET', '/api/v1/pusher/user/channels')).body.user_id, '42');
    await server.stop();
  });

  test('lives for 15 minutes, unless told otherwise', () => {
    for (const [ttl, seconds] of [[[], 900], [['--ttl', '90'], 90], [['--ttl', '90s'], 90], [['--ttl', '15m'], 900], [['--ttl', '7d'], 604800]]) {
      const { iat, exp } = claimsOf(run('token', ...guide, '--sub', '1', ...ttl).stdout.trim());
      assert.equal(exp - iat, seconds);
    }
  });

  test('says what is wrong', () => {
    for (const [args, wanted] of [
      [guide, '--sub is missing: whose token is it?'],
      [[...guide, '--sub', ''], '--sub is missing: whose token is it?'],
      [[...guide, '--sub', '1', '--ttl', 'soon'], "--ttl: 'soon' is no duration as 90s, 15m, 2h or 7d"],
      [[...guide, '--sub', '1', '--ttl', '0'], "--ttl: '0' is no duration as 90s, 15m, 2h or 7d"],
      [[...guide, '--sub', '1', '--kid', 'x'], 'no key with a secret has that --kid'],
      [['--sub', '1'], 'the configuration has no gateway'],
      [['--config', '/nowhere.yaml', '--sub', '1'], '/nowhere.yaml: No such file or directory'],
    ]) {
      const { status, stdout, stderr } = run('token', ...args);
      assert.deepEqual([status, stdout, stderr], [1, '', `carillon: ${wanted}\n`]);
    }
    assert.equal(run('token', ...guide, '--user', '1').status, 2);
  });
});

describe('carillon doctor', () => {
  const free = [...guide, '--port', '0'];
  test('a sound configuration', () => {
    const { status, stdout } = run('doctor', ...free);
    assert.equal(status, 0);
    assert.match(stdout, /^ok {4}configuration: .*guide\.yaml$/m);
    assert.match(stdout, /^ok {4}gateway: key 1 is for HS256, kid none$/m);
    assert.match(stdout, /^warn {2}gateway: a secret stands in the file/m);
    assert.doesNotMatch(stdout, /FAIL/);
    assert.ok(!stdout.includes(secret));
  });

  test('which rule decides', () => {
    const lineOf = (pattern) => readFileSync(guideFile, 'utf8').split('\n').findIndex((line) => /^    - \{channel/.test(line) && line.includes(`"${pattern}"`)) + 1;
    const ask = (user, channel) => run('doctor', ...free, '--token', mint(user), '--channel', channel).stdout;
    assert.match(ask(users.student, 'private-user-7'), new RegExp(`join yes: allowed, by the rule of line ${lineOf('private-user-{user.id}')}, channel 'private-user-\\{user\\.id\\}'`));
    assert.match(ask(users.student, 'private-user-8'), new RegExp(`join no: denied, by the rule of line ${lineOf('private-user-*')}, channel 'private-user-\\*'`));
    assert.match(ask(users.student, 'private-user-7'), /token: of user '7', role 'student', for (899|900) more seconds/);
    assert.match(run('doctor', ...free, '--channel', 'public-x').stdout, /join yes: no rule fits|join yes: .*/);
  });

  test('a token that is not good, with the reason', () => {
    for (const [token, reason] of [
      [mint(users.student, { exp: 1000 }), 'exp has passed (a caller gets 401 "Token has expired")'],
      [mint(users.student, { key: 'x'.repeat(40) }), 'the signature is not that of the key'],
      ['x', 'the token is not three parts of base64url without padding'],
      [mint({ ...users.student, type: 'refresh' }), 'a refresh token is no access token'],
    ]) {
      const { status, stdout } = run('doctor', ...free, '--token', token);
      assert.equal(status, 1);
      assert.ok(stdout.includes(`FAIL  token: ${reason}`), stdout);
    }
  });

  test('what is broken: the file, the TLS files, a channel\'s name; a port in use is said', async () => {
    assert.deepEqual([run('doctor', '--config', '/nowhere.yaml').status, run('doctor', '--config', '/nowhere.yaml').stdout],
      [1, 'FAIL  configuration: /nowhere.yaml: No such file or directory\n']);
    const tls = run('doctor', '--set', 'tls.port=7443', '--set', `tls.cert=${guideFile}`, '--set', `tls.key=${guideFile}`);
    assert.equal(tls.status, 1);
    assert.match(tls.stdout, /^FAIL {2}tls: /m);
    assert.match(run('doctor', ...free, '--channel', 'a b').stdout, /^FAIL {2}channel: 'a b' is no channel's name/m);
    assert.match(run('doctor', '--port', '0', '--channel', 'a').stdout, /^FAIL {2}token, channel: the configuration has no gateway$/m);
    const server = await startServer();
    assert.match(run('doctor', '--port', String(server.port)).stdout, /^warn {2}port: .*\(fine when this server is running already\)$/m);
    await server.stop();
  });
});

test('carillon routes and check show the gateway, and no secret', () => {
  const routes = run('routes', ...guide);
  assert.equal(routes.status, 0);
  assert.match(routes.stdout, /^\| POST \| `\/api\/v1\/pusher\/message` \| any user \| `message_type` string, /m);
  const check = run('check', ...guide);
  assert.equal(check.status, 0);
  assert.match(check.stdout, /^gateway:$/m);
  assert.match(check.stdout, /^ {10}secret: "\[redacted\]"$/m);
  for (const text of [secret, 'Z3VpZGUt']) assert.ok(!check.stdout.includes(text) && !routes.stdout.includes(text));
  assert.deepEqual([run('routes').status, run('routes').stdout], [0, '']);
});
