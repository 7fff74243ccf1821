// Every endpoint and every token that is not good: the exact answer, and a good call behind it.
import assert from 'node:assert/strict';
import { createPublicKey, createSign, generateKeyPairSync } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { call, gatewayConfig, mint, nowS, secret, startGuide, users } from './gateway.mjs';
import { ownFolder, until } from './harness.mjs';

const { teacher, admin } = users;
// Method, target, body, and who may call when it is not a teacher.
const endpoints = [
  ['POST', '/api/v1/pusher/auth', { socket_id: '1.2', channel_name: 'private-user-8' }],
  ['POST', '/pusher/auth', { socket_id: '1.2', channel_name: 'presence-content-updates' }],
  ['POST', '/pusher/user-auth', { socket_id: '1.2' }],
  ['POST', '/api/v1/pusher/user-auth', { socket_id: '1.2' }],
  ['POST', '/api/v1/pusher/message', { message_type: 'test_message' }],
  ['POST', '/api/v1/pusher/environment/create', { environment_type: 'x' }],
  ['POST', '/api/v1/pusher/analytics/realtime', {}],
  ['POST', '/api/v1/pusher/roblox/sync', { action: 'x' }],
  ['POST', '/api/v1/pusher/subscribe?channel=public-a'],
  ['POST', '/api/v1/pusher/unsubscribe?channel=public-a'],
  ['GET', '/api/v1/pusher/user/channels'],
  ['POST', '/api/v1/pusher/trigger', { channel: 'public-test', event: 'message' }],
  ['POST', '/api/v1/realtime/trigger', { channel: 'public-test', event: 'message' }],
  ['POST', '/realtime/trigger', { channel: 'public-test', event: 'message' }],
  ['GET', '/api/v1/realtime/status'],
  ['GET', '/realtime/status'],
  ['POST', '/api/v1/pusher/broadcast?channel=public-a&event=e', {}, admin],
  ['POST', '/admin/broadcast', { message: 'x' }, admin],
  ['GET', '/pusher/stats', undefined, admin],
  ['GET', '/api/v1/pusher/stats', undefined, admin],
  ['GET', '/api/v1/pusher/history?channel=public-a'],
  ['POST', '/api/v1/pusher/poll/open', { channels: ['public-a'] }],
  ['POST', '/fallback/connect', { channels: ['public-a'] }],
  ['GET', '/api/v1/pusher/poll?session=SESSION&wait=0'],
  ['GET', '/fallback/poll?session=SESSION&wait=0'],
  ['DELETE', '/api/v1/pusher/disconnect'],
];
const pair = generateKeyPairSync('rsa', { modulusLength: 2048 });
const publicPem = pair.publicKey.export({ type: 'spki', format: 'pem' });

const part = (value) => Buffer.from(value).toString('base64url');
function signed(claims, header) {
  const text = `${part(JSON.stringify(header))}.${part(JSON.stringify({ exp: nowS() + 900, ...claims }))}`;
  return `${text}.${createSign('RSA-SHA256').update(text).sign(pair.privateKey, 'base64url')}`;
}

const good = () => mint(teacher);
const INVALID = 'Invalid token';
const PAYLOAD = 'Invalid token payload';
const tokens = [
  ['no token', () => null, 'Authorization header missing'],
  ['garbage', () => 'garbage', INVALID],
  ['three parts of garbage', () => 'a.b.c', INVALID],
  ['an expired one', () => mint(teacher, { exp: nowS() - 31 }), 'Token has expired'],
  ['one that is not yet valid', () => mint({ ...teacher, nbf: nowS() + 100 }), INVALID],
  ['a refresh token', () => mint({ ...teacher, type: 'refresh' }), INVALID],
  ['another algorithm of the family', () => mint(teacher, { header: { alg: 'HS512' }, hash: 'sha512' }), INVALID],
  ['none', () => `${part('{"alg":"none"}')}.${part(JSON.stringify({ ...teacher, exp: nowS() + 900 }))}.`, INVALID],
  ['none, with another case', () => mint(teacher, { header: { alg: 'NonE' } }), INVALID],
  ['RS256', () => signed(teacher, { alg: 'RS256' }), INVALID],
  ['another secret', () => mint(teacher, { key: `${secret}!` }), INVALID],
  ['the parts of two tokens', () => { const [a, b] = [good(), mint(users.admin)]; return [...a.split('.').slice(0, 2), b.split('.')[2]].join('.'); }, INVALID],
  ['padding', () => `${good()}=`, INVALID],
  ['a fourth part', () => `${good()}.x`, INVALID],
  ['crit', () => mint(teacher, { header: { alg: 'HS256', crit: ['x'], x: 1 } }), INVALID],
  ['alg twice', () => mint(teacher, { header: '{"alg":"HS256","alg":"HS256"}' }), INVALID],
  ['more than 8 KiB', () => mint({ ...teacher, pad: 'x'.repeat(8000) }), INVALID],
  ['no sub', () => mint({ role: 'teacher' }), PAYLOAD],
  ['an empty sub', () => mint({ ...teacher, sub: '' }), PAYLOAD],
  ['no exp', () => mint(teacher, { exp: null }), PAYLOAD],
  ['exp as text', () => mint({ ...teacher, exp: String(nowS() + 900) }), PAYLOAD],
  ['a payload that is a list', () => mint('[1]'), PAYLOAD],
];

describe('tokens that are not good', () => {
  let server;
  let session;
  before(async () => {
    server = await startGuide({ workers: 2 });
    session = (await call(server, teacher, 'POST', '/api/v1/pusher/poll/open', { channels: ['public-a'] })).body.session_id;
  });
  after(() => server.stop());
  const ask = (token, method, target, body) => call(server, token, method, target.replace('SESSION', session), body);
  for (const [what, token, detail] of tokens)
    test(`${what}: every endpoint answers 401`, async () => {
      for (const [method, target, body] of endpoints) {
        const answer = await ask(token(), method, target, body);
        assert.equal(answer.status, 401, `${method} ${target}: ${answer.text}`);
        assert.deepEqual(answer.body, { detail });
        assert.equal(answer.headers.get('www-authenticate'), 'Bearer');
        assert.equal(answer.headers.get('content-type'), 'application/json');
      }
      for (const [method, target, body, user = teacher] of endpoints) {
        const answer = await ask(mint(user), method, target, body);
        assert.equal(answer.status, 200, `${method} ${target}: ${answer.text}`);
      }
    });

  for (const [what, token, detail] of tokens)
    test(`${what}: a private channel is no event stream`, async () => {
      const stream = (authorization) => fetch(`${server.url}/events/app-key?channels=public-a,private-user-8`, { headers: authorization ? { authorization } : {} });
      const bad = token();
      const answer = await stream(bad && `Bearer ${bad}`);
      assert.deepEqual([answer.status, answer.headers.get('www-authenticate')], [401, 'Bearer']);
      assert.equal((await answer.text()).trim(), bad ? detail : 'channel \'private-user-8\' needs a token in an Authorization header');
      const open = await stream(`Bearer ${good()}`);
      assert.deepEqual([open.status, open.headers.get('content-type')], [200, 'text/event-stream']);
      await open.body.cancel();
    });

  test('the table has every route that a token opens', async () => {
    const { paths } = (await call(server, null, 'GET', '/api/v1/pusher/openapi.json')).body;
    const named = endpoints.map(([method, target]) => `${method} ${target.split('?')[0]}`);
    const all = Object.entries(paths).flatMap(([path, item]) => Object.entries(item)
      .filter(([, { security }]) => security).map(([method]) => `${method.toUpperCase()} ${path}`));
    assert.deepEqual(all.filter((one) => !named.includes(one)), []);
  });

  test('another scheme is no token of ours', async () => {
    for (const authorization of ['Basic dTpw', 'Bearer', 'Bearer ', 'bearer', `Token ${good()}`]) {
      const answer = await call(server, null, 'POST', '/api/v1/pusher/message', { message_type: 'a' }, { authorization });
      assert.deepEqual([answer.status, answer.body], [401, { detail: INVALID }], authorization);
    }
    const lower = await call(server, null, 'POST', '/api/v1/pusher/message', { message_type: 'a' }, { authorization: `bearer ${good()}` });
    assert.equal(lower.status, 200);
  });

  test('a good one within the leeway is taken', async () => {
    const many = Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`c${i}`, i]));
    assert.equal((await call(server, mint({ ...many, ...teacher }), 'GET', '/api/v1/pusher/user/channels')).status, 200, 'with as many claims as fit');
    assert.equal((await call(server, mint(teacher, { exp: nowS() - 20 }), 'GET', '/api/v1/pusher/user/channels')).status, 200);
  });

  test('a token in the query is none', async () => {
    const answer = await call(server, null, 'GET', `/api/v1/pusher/user/channels?token=${good()}`);
    assert.deepEqual([answer.status, answer.body], [401, { detail: 'Authorization header missing' }]);
    assert.ok(!server.text.includes(good().split('.')[2]));
  });
});

test('tokens never get into the log', async () => {
  const server = await startGuide({ args: ['--log-level', 'debug'] });
  const token = good();
  const bad = `${token.slice(0, -3)}xxx`;
  await call(server, token, 'POST', '/api/v1/pusher/message', { message_type: 'a', channel: 'private-user-1' });
  await call(server, bad, 'POST', '/api/v1/pusher/message', { message_type: 'a' });
  await until(() => server.text.includes('gateway_unauthorised'), 'a line');
  for (const text of [token, bad, secret, token.split('.')[1]]) assert.ok(!server.text.includes(text));
  await server.stop();
});

describe('which key', () => {
  const folder = ownFolder('keys');
  const jwks = path.join(folder, 'jwks.json');
  const pem = path.join(folder, 'key.pem');
  after(() => rmSync(folder, { recursive: true }));
  writeFileSync(pem, publicPem);
  const routes = '  routes:\n    - {name: who, method: GET, path: /who, reply: {body: {id: "{user.id}", role: "{user.role}", name: "{user.name}"}}}\n';
  const who = async (server, token) => { const { status, body } = await call(server, token, 'GET', '/who'); return status === 200 ? body.id : status; };

  test('kid chooses, and the algorithm is the key\'s', async () => {
    const auth = `jwt: {keys: [{alg: HS256, kid: one, secret: ${secret}}, {alg: HS512, kid: two, secret: ${secret.repeat(2)}}, {alg: RS256, kid: three, pem_file: ${pem}}]}`;
    const server = await startGuide({ config: gatewayConfig(routes, auth) });
    const two = { key: secret.repeat(2), hash: 'sha512' };
    assert.equal(await who(server, mint(teacher, { header: { alg: 'HS256', kid: 'one' } })), '8');
    assert.equal(await who(server, mint(teacher, { header: { alg: 'HS512', kid: 'two' }, ...two })), '8');
    assert.equal(await who(server, signed(teacher, { alg: 'RS256', kid: 'three' })), '8');
    assert.equal(await who(server, mint(teacher)), '8', 'without a kid every key of the algorithm is tried');
    assert.equal(await who(server, mint(teacher, { header: { alg: 'HS256', kid: 'two' } })), 401);
    assert.equal(await who(server, mint(teacher, { header: { alg: 'HS256', kid: 'four' } })), 401);
    // The public key as if it were a secret: the classic confusion.
    assert.equal(await who(server, mint(teacher, { header: { alg: 'HS256', kid: 'three' }, key: publicPem })), 401);
    await server.stop();
  });

  test('a JWK set is read again with a reload', async () => {
    const write = (kid, key) => writeFileSync(jwks, JSON.stringify({ keys: [{ kty: 'oct', alg: 'HS256', kid, k: Buffer.from(key).toString('base64url') }] }));
    write('a', secret);
    const server = await startGuide({ config: gatewayConfig(routes, `jwt: {jwks_file: ${jwks}}`) });
    const [first, second] = [mint(teacher, { header: { alg: 'HS256', kid: 'a' } }), mint(teacher, { header: { alg: 'HS256', kid: 'b' }, key: secret.repeat(2) })];
    assert.deepEqual([await who(server, first), await who(server, second)], ['8', 401]);
    write('b', secret.repeat(2));
    server.signal('SIGHUP');
    await until(async () => (await who(server, second)) === '8', 'the new key');
    assert.equal(await who(server, first), 401);
    writeFileSync(jwks, '{"keys":[{"kty":"oct","alg":"HS256","k":"c2hvcnQ"}]}');
    server.signal('SIGHUP');
    await until(() => server.text.includes('reload_failed'), 'the refusal');
    assert.equal(await who(server, second), '8', 'the configuration before is kept');
    await server.stop();
  });

  test('keys of a set that are for something else are left out', async () => {
    const own = { kty: 'oct', alg: 'HS256', kid: 'own', k: Buffer.from(secret).toString('base64url') };
    const others = [{ kty: 'RSA', use: 'enc', alg: 'RSA-OAEP', n: 'AQAB', e: 'AQAB' }, { kty: 'new', alg: 'XX1' }, { ...own, kid: 'other', key_ops: ['sign'] }];
    writeFileSync(jwks, JSON.stringify({ keys: [others[0], own, others[1], others[2]] }));
    const server = await startGuide({ config: gatewayConfig(routes, `jwt: {jwks_file: ${jwks}}`) });
    assert.equal(await who(server, mint(teacher, { header: { alg: 'HS256', kid: 'own' } })), '8');
    assert.equal(await who(server, mint(teacher, { header: { alg: 'HS256', kid: 'other' } })), 401);
    assert.match(server.text, /event=jwks_key_ignored key=1 why="the key's use or key_ops does not allow verifying"/);
    await server.stop();
    writeFileSync(jwks, JSON.stringify({ keys: others }));
    await assert.rejects(startGuide({ config: gatewayConfig(routes, `jwt: {jwks_file: ${jwks}}`) }), /none of the set's keys is for signatures/);
  });

  test('RSA keys with which anybody can sign are refused, in whatever form they come', async () => {
    const { n } = pair.publicKey.export({ format: 'jwk' });
    const one = createPublicKey({ key: { kty: 'RSA', n, e: 'AQ' }, format: 'jwk' }).export({ type: 'spki', format: 'pem' });
    const even = createPublicKey({ key: { kty: 'RSA', n, e: 'Ag' }, format: 'jwk' }).export({ type: 'spki', format: 'pem' });
    for (const text of [one, even]) {
      writeFileSync(pem, text);
      await assert.rejects(startGuide({ config: gatewayConfig(routes, `jwt: {keys: [{alg: RS256, pem_file: ${pem}}]}`) }), /the RSA key's modulus or exponent is none/);
    }
    writeFileSync(pem, publicPem);
  });

  test('issuer, audience and the claims that say who', async () => {
    const auth = `jwt: {keys: [{alg: HS256, secret: ${secret}}], issuer: me, audience: us, claims: {id: [uid, user_id], name: label, role: kind}, default_role: teacher}`;
    const server = await startGuide({ config: gatewayConfig(routes, auth) });
    const more = { iss: 'me', aud: ['others', 'us'] };
    const asked = async (claims) => { const { status, body } = await call(server, mint(claims), 'GET', '/who'); return status === 200 ? body : status; };
    assert.deepEqual(await asked({ ...more, user_id: 5, label: 'L', kind: 'admin' }), { id: '5', role: 'admin', name: 'L' });
    assert.deepEqual(await asked({ ...more, uid: 'u', user_id: 'v' }), { id: 'u', role: 'teacher', name: 'u' });
    assert.equal(await asked({ ...more, sub: 'u' }), 401);
    assert.equal(await asked({ ...more, iss: 'you', uid: 'u' }), 401);
    assert.equal(await asked({ iss: 'me', uid: 'u' }), 401);
    assert.equal(await asked({ iss: 'me', aud: 'them', uid: 'u' }), 401);
    await server.stop();
  });
});
