// The signature of API requests: what verifies, what does not, and what is said.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { hmac, md5, startServer, useServer } from './harness.mjs';
import { exchange, phpSign, requestText } from './http.mjs';

const app = { id: '3', key: '278d425bdf160c739803', secret: '7ad3773142a6692b25b8' };
const other = { id: '4', key: 'other-key', secret: 'other-secret' };
const config = `
apps:
  - id: "4"
    keys: [{key: other-key, secret: other-secret}]
  - id: "5"
    keys: [{key: first, secret: first-secret}, {key: second, secret: second-secret}]
`;
const now = () => Math.floor(Date.now() / 1000);

// The query of a request: params as given, signed over exactly those (by name, names in lower case).
function sign(method, path, params, { secret = app.secret, encode = encodeURIComponent } = {}) {
  const names = Object.keys(params).sort((a, b) => (a.toLowerCase() < b.toLowerCase() ? -1 : 1));
  const text = `${method}\n${path}\n${names.map((name) => `${name.toLowerCase()}=${params[name]}`).join('&')}`;
  const pairs = Object.entries(params).map(([name, value]) => `${encode(name)}=${encode(value)}`);
  return { text, query: `${pairs.join('&')}&auth_signature=${hmac(secret, text)}` };
}

const auth = (more) => ({ auth_key: app.key, auth_timestamp: String(now()), auth_version: '1.0', ...more });

describe('worked examples', () => {
  const ctx = useServer({ app, set: { 'limits.timestamp_s': '0' } });
  const old = { auth_key: app.key, auth_timestamp: '1353088179', auth_version: '1.0' };
  const query = (params, signature) => `${Object.entries(params).map(([n, v]) => `${n}=${v}`).join('&')}&auth_signature=${signature}`;

  test('A: an event', async () => {
    const body = '{"name":"foo","channels":["project-3"],"data":"{\\"some\\":\\"data\\"}"}';
    assert.equal(Buffer.byteLength(body), 68);
    const params = { ...old, body_md5: 'ec365a775a4cd0599faeb73354201b6f' };
    const signature = 'da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c';
    const answer = await exchange(ctx.server, requestText('POST', `/apps/3/events?${query(params, signature)}`, { body }));
    assert.equal(answer.text, '{}');
  });

  test('B: a list with a filter', async () => {
    const params = { ...old, filter_by_prefix: 'presence-', info: 'user_count' };
    const signature = '16819168891cb5dfd72b5c7a5d3d602605b26c6ba1930033b5e2eeeb65010291';
    const answer = await exchange(ctx.server, requestText('GET', `/apps/3/channels?${query(params, signature)}`));
    assert.equal(answer.text, '{"channels":{}}');
  });

  test('trap 63: C: a user id with a blank, signed as text', async () => {
    const params = { ...old, body_md5: '99914b932bd37a50b983c5e7c90ae93b' };
    const signature = '8b02fa5c413c4f47396086c5df755ac659b1097ae2b97cca6bd583d925d5699d';
    const target = `/apps/3/users/u%201/terminate_connections?${query(params, signature)}`;
    assert.equal((await exchange(ctx.server, requestText('POST', target, { body: '{}' }))).text, '{}');
  });

  test('trap 22: D: a GET with the MD5 of no body', async () => {
    const params = { ...old, body_md5: 'd41d8cd98f00b204e9800998ecf8427e' };
    const signature = '5c3cd75022c4f62c35ad22f6a9cce366c860477a3b7092ca790ecfc17e6af302';
    assert.equal((await exchange(ctx.server, requestText('GET', `/apps/3/channels?${query(params, signature)}`))).text, '{"channels":{}}');
  });

  test('the second implementation agrees with all of them', () => {
    const answers = phpSign([
      { secret: app.secret, method: 'POST', path: '/apps/3/events', params: { ...old, body_md5: 'ec365a775a4cd0599faeb73354201b6f' } },
      { secret: app.secret, method: 'GET', path: '/apps/3/channels', params: { ...old, filter_by_prefix: 'presence-', info: 'user_count' } },
      { secret: app.secret, method: 'POST', path: '/apps/3/users/u 1/terminate_connections', params: { ...old, body_md5: '99914b932bd37a50b983c5e7c90ae93b' } },
      { secret: app.secret, method: 'GET', path: '/apps/3/channels', params: { ...old, body_md5: 'd41d8cd98f00b204e9800998ecf8427e' } },
    ]);
    assert.deepEqual(answers.map((a) => a.signature.slice(0, 8)), ['da454824', '16819168', '8b02fa5c', '5c3cd750']);
  });

  test('any timestamp is taken when the window is switched off', async () => {
    for (const at of ['0', '1', '99999999999']) {
      const { query: q } = sign('GET', '/apps/3/channels', auth({ auth_timestamp: at }));
      assert.equal((await exchange(ctx.server, requestText('GET', `/apps/3/channels?${q}`))).status, 200, at);
    }
  });
});

describe('verification', () => {
  const ctx = useServer({ app, config });
  const get = (query, path = '/apps/3/channels') => exchange(ctx.server, requestText('GET', `${path}?${query}`));
  const post = (query, body, path = '/apps/3/events') => exchange(ctx.server, requestText('POST', `${path}?${query}`, { body }));
  const event = '{"name":"e","data":"d","channel":"c"}';

  async function expectRefused(answer, pattern, status = 401) {
    const got = await answer;
    assert.equal(got.status, status, got.text);
    assert.match(got.headers['content-type'], /^text\/plain/);
    if (pattern instanceof RegExp) assert.match(got.text, pattern);
    else assert.equal(got.text, pattern);
  }

  test('a bad signature is answered with the text that should have been signed', async () => {
    const params = auth();
    const { text } = sign('GET', '/apps/3/channels', params);
    const bad = 'f'.repeat(64);
    const pairs = Object.entries(params).map(([n, v]) => `${n}=${v}`).join('&');
    await expectRefused(get(`${pairs}&auth_signature=${bad}`),
      `Invalid signature: you should have sent HmacSHA256Hex("${text.replaceAll('\n', '\\n')}", your_secret_key), but you sent "${bad}"\n`);
  });

  test('signatures of another form do not verify', async () => {
    const { query } = sign('GET', '/apps/3/channels', auth());
    const [front, signature] = query.split('&auth_signature=');
    const flipped = signature.slice(0, -1) + (signature.endsWith('0') ? '1' : '0');
    for (const bad of ['x', signature.slice(1), signature.slice(0, -1), `${signature}0`, `${signature}%00`, `%20${signature}`, flipped,
      'g'.repeat(64), '0'.repeat(64), Buffer.from(signature, 'hex').toString('base64url'), signature.replace(/^./, '%30')])
      if (decodeURIComponent(bad) !== signature) await expectRefused(get(`${front}&auth_signature=${bad}`), /^Invalid signature: /);
  });

  test('upper-case hex verifies too', async () => {
    const { query } = sign('GET', '/apps/3/channels', auth());
    const [front, signature] = query.split('&auth_signature=');
    assert.equal((await get(`${front}&auth_signature=${signature.toUpperCase()}`)).status, 200);
  });

  test('a missing or empty parameter is named', async () => {
    for (const name of ['auth_key', 'auth_timestamp', 'auth_version', 'auth_signature']) {
      const params = auth({ auth_signature: '0'.repeat(64) });
      const without = Object.entries(params).filter(([n]) => n !== name).map(([n, v]) => `${n}=${v}`).join('&');
      await expectRefused(get(without), `Missing parameter: ${name}\n`);
      await expectRefused(get(`${without}&${name}=`), `Missing parameter: ${name}\n`);
    }
    await expectRefused(exchange(ctx.server, requestText('GET', '/apps/3/channels')), 'Missing parameter: auth_key\n');
  });

  test('incident 08: an unknown key is refused, whoever\'s secret signed', async () => {
    await expectRefused(get(sign('GET', '/apps/3/channels', auth({ auth_key: 'nobody' })).query), 'Unknown auth_key\n');
    await expectRefused(get(sign('GET', '/apps/3/channels', auth({ auth_key: other.key })).query), 'Unknown auth_key\n');
    await expectRefused(get(sign('GET', '/apps/3/channels', auth({ auth_key: other.key }), { secret: other.secret }).query), 'Unknown auth_key\n');
    await expectRefused(get(sign('GET', '/apps/3/channels', auth(), { secret: other.secret }).query), /^Invalid signature/);
    for (const key of ['', `${app.key}x`, app.key.slice(1), app.key.toUpperCase()])
      assert.equal((await get(sign('GET', '/apps/3/channels', auth({ auth_key: key })).query)).status, 401, key);
  });

  test('every key of an app signs with its own secret and no other', async () => {
    for (const [key, secret, status] of [['first', 'first-secret', 200], ['second', 'second-secret', 200], ['first', 'second-secret', 401], ['second', 'first-secret', 401]])
      assert.equal((await get(sign('GET', '/apps/5/channels', auth({ auth_key: key }), { secret }).query, '/apps/5/channels')).status, status);
  });

  test('incident 08: auth_version is 1.0', async () => {
    for (const version of ['2.0', '1', '1.00', '01.0', '1.0 '])
      await expectRefused(get(sign('GET', '/apps/3/channels', auth({ auth_version: version })).query), /auth_version/);
  });

  test('trap 21: incident 07: a timestamp is good for 600 s on either side', async () => {
    const at = (offset) => get(sign('GET', '/apps/3/channels', auth({ auth_timestamp: String(now() + offset) })).query);
    for (const offset of [-590, 0, 590]) assert.equal((await at(offset)).status, 200, `${offset}`);
    for (const offset of [-700, 700, -86400, 86400 * 365])
      await expectRefused(at(offset), /^Timestamp expired: Given timestamp \(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\) not within 600s of server time \(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\)\n$/);
    const { query } = sign('GET', '/apps/3/channels', auth({ auth_timestamp: '1380444393' }));
    await expectRefused(get(query), /^Timestamp expired: Given timestamp \(2013-09-29T08:46:33Z\) not within 600s of server time /);
  });

  test('incident 07: a timestamp is a number of seconds', async () => {
    const seconds = String(now());
    for (const bad of ['x', `${seconds}.0`, ` ${seconds}`, `${seconds} `, `-${seconds}`, `+${seconds}`, `${seconds}000`, `0x${now().toString(16)}`, '1e9', '9'.repeat(40), `${seconds}\u0000`])
      await expectRefused(get(sign('GET', '/apps/3/channels', auth({ auth_timestamp: bad })).query), /timestamp/i);
  });

  test('incident 07: a captured publish has an end: an old one does not verify with a new timestamp', async () => {
    const params = auth({ auth_timestamp: String(now() - 3600), body_md5: md5(event) });
    const { query } = sign('POST', '/apps/3/events', params);
    await expectRefused(post(query, event), /^Timestamp expired/);
    await expectRefused(post(query.replace(/auth_timestamp=\d+/, `auth_timestamp=${now()}`), event), /^Invalid signature/);
  });

  test('a body wants its MD5, in hex of either case', async () => {
    const path = '/apps/3/events';
    assert.equal((await post(sign('POST', path, auth({ body_md5: md5(event) })).query, event)).text, '{}');
    assert.equal((await post(sign('POST', path, auth({ body_md5: md5(event).toUpperCase() })).query, event)).text, '{}');
    await expectRefused(post(sign('POST', path, auth()).query, event), /body_md5/);
    for (const bad of ['', md5(`${event} `), md5(''), md5(event).slice(1), `${md5(event)}0`, 'x'])
      await expectRefused(post(sign('POST', path, auth({ body_md5: bad })).query, event), /body_md5/);
  });

  test('incident 08: a body that was changed under a good signature is refused', async () => {
    const { query } = sign('POST', '/apps/3/events', auth({ body_md5: md5(event) }));
    for (const changed of [event.replace('"d"', '"x"'), `${event} `, event.slice(0, -1), ''])
      await expectRefused(post(query, changed), /body_md5/);
  });

  test('trap 22: the MD5 of an empty body on a GET is part of the signature, and must be true', async () => {
    assert.equal((await get(sign('GET', '/apps/3/channels', auth({ body_md5: md5('') })).query)).status, 200);
    await expectRefused(get(sign('GET', '/apps/3/channels', auth({ body_md5: md5('x') })).query), /body_md5/);
    const unsigned = `${sign('GET', '/apps/3/channels', auth()).query}&body_md5=${md5('')}`;
    await expectRefused(get(unsigned), /^Invalid signature/);
  });

  test('method, path and every parameter are signed', async () => {
    const signed = (method, path, params) => sign(method, path, auth(params)).query;
    await expectRefused(get(signed('POST', '/apps/3/channels')), /^Invalid signature/);
    await expectRefused(get(signed('get', '/apps/3/channels')), /^Invalid signature/);
    await expectRefused(get(signed('GET', '/apps/3/channels/'), '/apps/3/channels'), /^Invalid signature/);
    await expectRefused(get(signed('GET', '/apps/3/channels'), '/apps/3/channels/c'), /^Invalid signature/);
    await expectRefused(get(signed('GET', '/apps/4/channels'), '/apps/3/channels'), /^Invalid signature/);
    await expectRefused(get(`${signed('GET', '/apps/3/channels')}&info=x`), /^Invalid signature/);
    await expectRefused(get(signed('GET', '/apps/3/channels', { info: 'a' }).replace('info=a', 'info=b')), /^Invalid signature/);
    await expectRefused(get(signed('GET', '/apps/3/channels', { info: 'a' }).replace('info=a&', '')), /^Invalid signature/);
  });

  test('values are signed decoded, whatever their encoding on the wire', async () => {
    const params = auth({ info: 'subscription_count,weather', filter_by_prefix: 'a b@c=é' });
    const names = (text) => text.replaceAll('_', '%5F');
    for (const encode of [encodeURIComponent, (text) => encodeURI(text).replaceAll('=', '%3d'),
      (text) => encodeURIComponent(text).replace(/%../g, (m) => m.toLowerCase()), (text) => names(encodeURIComponent(text))])
      assert.equal((await get(sign('GET', '/apps/3/channels', params, { encode }).query)).text, '{"channels":{}}');
  });

  test('a plus is a plus, or a blank when only that verifies', async () => {
    const plus = sign('GET', '/apps/3/channels', auth({ filter_by_prefix: 'a+b' }), { encode: (text) => text });
    assert.equal((await get(plus.query)).status, 200);
    const blank = sign('GET', '/apps/3/channels', auth({ filter_by_prefix: 'a b' }), { encode: (text) => text.replaceAll(' ', '+') });
    assert.equal((await get(blank.query)).status, 200);
  });

  test('names are signed in lower case, sorted by bytes', async () => {
    const { query } = sign('GET', '/apps/3/channels', auth({ Zebra: '1', apple: '2', auth: '3', auth_: '4' }));
    assert.equal((await get(query)).status, 200);
  });

  test('unknown and repeated parameters count as they came', async () => {
    const base = `auth_key=${app.key}&auth_timestamp=${now()}&auth_version=1.0&same=2&same=1`;
    const twice = hmac(app.secret, `GET\n/apps/3/channels\n${base}`);
    assert.equal((await get(`${base}&auth_signature=${twice}`)).status, 200);
    const once = hmac(app.secret, `GET\n/apps/3/channels\n${base.replace('&same=1', '')}`);
    await expectRefused(get(`${base}&auth_signature=${once}`), /^Invalid signature/);
  });

  test('auth_key given twice cannot choose another secret than that of the key that counts', async () => {
    for (const [a, b] of [[app.key, other.key], [other.key, app.key]]) {
      const base = `auth_key=${a}&auth_key=${b}&auth_timestamp=${now()}&auth_version=1.0`;
      const forged = hmac(other.secret, `GET\n/apps/3/channels\n${base}`);
      assert.equal((await get(`${base}&auth_signature=${forged}`)).status, 401);
    }
  });

  test('a query that cannot be decoded is 400', async () => {
    for (const bad of ['%', '%x', '%zz', '%4', 'a=%', 'a=%g0', '%=1'])
      await expectRefused(get(`${sign('GET', '/apps/3/channels', auth()).query}&${bad}`), 'Invalid query string\n', 400);
  });

  test('a query of very many parameters is refused and does no harm', async () => {
    const many = Array.from({ length: 1000 }, (_, i) => `p${i}=1`).join('&');
    await expectRefused(get(`${sign('GET', '/apps/3/channels', auth()).query}&${many}`), /./, 400);
    assert.equal((await get(sign('GET', '/apps/3/channels', auth()).query)).status, 200);
  });

  test('the answer to a long bad query stays short and one line', async () => {
    const { query } = sign('GET', '/apps/3/channels', auth({ info: 'x'.repeat(8000), b: 'a\nb' }), { secret: 'wrong' });
    const answer = await get(query);
    assert.equal(answer.status, 401);
    assert.ok(answer.text.length < 2000);
    assert.equal(answer.text.indexOf('\n'), answer.text.length - 1);
  });
});

test('trap 25: under a prefix the path is signed without it, or with it', async (t) => {
  const server = await startServer({ app, set: { path_prefix: '/realtime' } });
  t.after(() => server.stop());
  const get = (target) => exchange(server, requestText('GET', target));
  for (const signed of ['/apps/3/channels', '/realtime/apps/3/channels'])
    assert.equal((await get(`/realtime/apps/3/channels?${sign('GET', signed, auth()).query}`)).text, '{"channels":{}}', signed);
  assert.equal((await get(`/realtime/apps/3/channels?${sign('GET', '/other/apps/3/channels', auth()).query}`)).status, 401);
  assert.equal((await get(`/apps/3/channels?${sign('GET', '/apps/3/channels', auth()).query}`)).status, 404);
  for (const page of ['/health', '/ready', '/metrics', '/']) assert.equal((await get(`/realtime${page}`)).status, 200, page);
  const bare = await get('/realtime'); // the page's links are relative: they need the slash
  assert.equal(bare.status, 308);
  assert.equal(bare.headers.location, '/realtime/');
  for (const target of ['/health', '/realtimehealth', '/', '/realtim']) assert.equal((await get(target)).status, 404, target);
});

test('a window of another length', async (t) => {
  const server = await startServer({ app, set: { 'limits.timestamp_s': '10' } });
  t.after(() => server.stop());
  const at = (offset) => exchange(server, requestText('GET', `/apps/3/channels?${sign('GET', '/apps/3/channels', auth({ auth_timestamp: String(now() + offset) })).query}`));
  assert.equal((await at(-5)).status, 200);
  const late = await at(-30);
  assert.equal(late.status, 401);
  assert.match(late.text, /not within 10s of/);
});
