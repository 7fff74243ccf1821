// `carillon jws-verify`: signatures made by node:crypto, and what is wrong with others.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { constants, createHmac, generateKeyPairSync, sign } from 'node:crypto';
import { describe, test } from 'node:test';
import { binary } from './harness.mjs';

const b64 = (bytes) => Buffer.from(bytes).toString('base64url');
const header = (members) => b64(JSON.stringify(members));
const payload = b64('{"sub":"u1"}');

function verdicts(cases) {
  const input = cases.map(({ jwk, jws }) => JSON.stringify({ jwk, jws })).join('\n');
  const { status, stdout } = spawnSync(binary, ['jws-verify'], { input: `${input}\n`, encoding: 'utf8' });
  assert.equal(status, 0);
  return stdout.trim().split('\n');
}
const verdict = (jwk, jws) => verdicts([{ jwk, jws }])[0];

const secret = Buffer.from('0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef');
const oct = (alg, bytes = secret) => ({ kty: 'oct', alg, k: b64(bytes) });
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const ed = generateKeyPairSync('ed25519');
const jwkOf = (pair, more = {}) => ({ ...pair.publicKey.export({ format: 'jwk' }), ...more });

function mac(alg, bytes = secret, head = { alg }) {
  const text = `${header(head)}.${payload}`;
  return `${text}.${b64(createHmac(`sha${alg.slice(2)}`, bytes).update(text).digest())}`;
}

const signers = {
  RS256: (text) => sign('sha256', Buffer.from(text), rsa.privateKey),
  PS256: (text) => sign('sha256', Buffer.from(text),
    { key: rsa.privateKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }),
  ES256: (text) => sign('sha256', Buffer.from(text), { key: ec.privateKey, dsaEncoding: 'ieee-p1363' }),
  EdDSA: (text) => sign(null, Buffer.from(text), ed.privateKey),
};
function signed(alg, head = { alg }) {
  const text = `${header(head)}.${payload}`;
  return `${text}.${b64(signers[alg](text))}`;
}
const keys = {
  RS256: jwkOf(rsa, { alg: 'RS256' }), PS256: jwkOf(rsa, { alg: 'PS256' }),
  ES256: jwkOf(ec, { alg: 'ES256' }), EdDSA: jwkOf(ed, { alg: 'EdDSA' }),
};

describe('signatures', () => {
  for (const alg of ['HS256', 'HS384', 'HS512'])
    test(`${alg} by its secret`, () => {
      assert.equal(verdict(oct(alg), mac(alg)), 'accept');
      assert.equal(verdict(oct(alg, Buffer.concat([secret, Buffer.from('x')])), mac(alg)), 'reject');
    });

  for (const alg of Object.keys(signers))
    test(`${alg} by its key, and no other bytes`, () => {
      const jws = signed(alg);
      const [head, body, signature] = jws.split('.');
      const bytes = Buffer.from(signature, 'base64url');
      assert.equal(verdict(keys[alg], jws), 'accept');
      assert.equal(verdict(keys[alg], `${head}.${b64('{"sub":"u2"}')}.${signature}`), 'reject');
      for (const at of [0, 31, bytes.length - 1]) {
        const bent = Buffer.from(bytes);
        bent[at] ^= 1;
        assert.equal(verdict(keys[alg], `${head}.${body}.${b64(bent)}`), 'reject');
      }
      assert.equal(verdict(keys[alg], `${head}.${body}.${b64(bytes.subarray(1))}`), 'reject');
      assert.equal(verdict(keys[alg], `${head}.${body}.${b64(Buffer.concat([bytes, Buffer.alloc(1)]))}`), 'reject');
      assert.equal(verdict(keys[alg], `${head}.${body}.`), 'reject');
    });

  test('the algorithm is the key\'s, not the header\'s', () => {
    const pem = rsa.publicKey.export({ type: 'spki', format: 'pem' });
    const confused = mac('HS256', Buffer.from(pem));
    for (const jwk of Object.values(keys)) {
      assert.equal(verdict(jwk, confused), 'reject');
      for (const none of ['none', 'None', 'NONE', 'nOnE', ''])
        assert.equal(verdict(jwk, `${header({ alg: none })}.${payload}.`), 'reject');
    }
    assert.equal(verdict(keys.RS256, signed('PS256')), 'reject');
    assert.equal(verdict(keys.PS256, signed('RS256')), 'reject');
    assert.equal(verdict(oct('HS256'), mac('HS512')), 'reject');
    assert.equal(verdict(oct('HS256'), mac('HS256', secret, { alg: 'RS256' })), 'reject');
    assert.equal(verdict({ ...oct('RS256') }, mac('HS256')), 'reject');
    assert.equal(verdict({ ...keys.RS256, alg: 'HS256' }, signed('RS256')), 'reject');
    assert.equal(verdict({ ...keys.ES256, alg: 'none' }, signed('ES256')), 'reject');
  });

  test('without alg a key is for what its type says', () => {
    assert.equal(verdict(jwkOf(rsa), signed('RS256')), 'accept');
    assert.equal(verdict(jwkOf(ec), signed('ES256')), 'accept');
    assert.equal(verdict(jwkOf(ed), signed('EdDSA')), 'accept');
    assert.equal(verdict({ kty: 'oct', k: b64(secret) }, mac('HS256')), 'accept');
    assert.equal(verdict(jwkOf(rsa), signed('PS256')), 'reject');
  });

  test('weak and crooked keys are refused', () => {
    const weak = generateKeyPairSync('rsa', { modulusLength: 1024 });
    const other = generateKeyPairSync('ec', { namedCurve: 'P-384' });
    const text = `${header({ alg: 'RS256' })}.${payload}`;
    const jws = `${text}.${b64(sign('sha256', Buffer.from(text), weak.privateKey))}`;
    assert.equal(verdict(jwkOf(weak), jws), 'reject');
    assert.equal(verdict(jwkOf(other, { alg: 'ES256' }), signed('ES256')), 'reject');
    const { x, y } = jwkOf(ec);
    assert.equal(verdict({ ...keys.ES256, x: y, y: x }, signed('ES256')), 'reject');
    assert.equal(verdict({ ...keys.ES256, x: b64(Buffer.concat([Buffer.alloc(1), Buffer.from(x, 'base64url')])) }, signed('ES256')), 'reject');
    assert.equal(verdict({ ...keys.ES256, crv: 'P-384' }, signed('ES256')), 'reject');
    assert.equal(verdict({ ...keys.EdDSA, crv: 'X25519' }, signed('EdDSA')), 'reject');
    assert.equal(verdict({ ...keys.RS256, e: b64([1]) }, signed('RS256')), 'reject');
    assert.equal(verdict(oct('HS256', secret.subarray(0, 31)), mac('HS256', secret.subarray(0, 31))), 'reject');
    assert.equal(verdict({ ...keys.RS256, use: 'enc' }, signed('RS256')), 'reject');
    assert.equal(verdict({ ...keys.RS256, key_ops: ['encrypt'] }, signed('RS256')), 'reject');
    assert.equal(verdict({ ...keys.RS256, use: 'sig', key_ops: ['verify'] }, signed('RS256')), 'accept');
  });

  test('a signature of zeros is none', () => {
    const text = `${header({ alg: 'ES256' })}.${payload}`;
    assert.equal(verdict(keys.ES256, `${text}.${b64(Buffer.alloc(64))}`), 'reject');
    const order = Buffer.from('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551', 'hex');
    assert.equal(verdict(keys.ES256, `${text}.${b64(Buffer.concat([order, order]))}`), 'reject');
    assert.equal(verdict(keys.EdDSA, `${header({ alg: 'EdDSA' })}.${payload}.${b64(Buffer.alloc(64))}`), 'reject');
  });

  test('another salt, another digest of the mask', () => {
    const text = `${header({ alg: 'PS256' })}.${payload}`;
    for (const saltLength of [0, 20, 64]) {
      const bytes = sign('sha256', Buffer.from(text), { key: rsa.privateKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength });
      assert.equal(verdict(keys.PS256, `${text}.${b64(bytes)}`), 'reject');
    }
    const wrong = sign('sha384', Buffer.from(text), { key: rsa.privateKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 48 });
    assert.equal(verdict(keys.PS256, `${text}.${b64(wrong)}`), 'reject');
  });

  test('one spelling only', () => {
    const jws = mac('HS256');
    const [head, body, signature] = jws.split('.');
    const last = signature.at(-1);
    const digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    const twin = digits[digits.indexOf(last) ^ 1]; // the same bytes to a lenient reader
    for (const bad of [`${jws}=`, `${head}=.${body}.${signature}`, ` ${jws}`, `${jws} `, `${jws}.`, `.${jws}`, `${head}..${signature}`,
      `${head}.${signature}`, `${head}.${body}.${signature}.${signature}`, '', '.', '..', `${head}.${body}.${signature.slice(0, -1)}${twin}`,
      jws.replace('.', '. '), `${head}\n.${body}.${signature}`, `${head}.${body}.${signature}A`,
      JSON.stringify({ protected: head, payload: body, signature })])
      assert.equal(verdict(oct('HS256'), bad), 'reject', JSON.stringify(bad));
    assert.equal(verdict(oct('HS256'), jws), 'accept');
  });

  test('headers that are refused', () => {
    const signRaw = (json) => {
      const text = `${b64(json)}.${payload}`;
      return `${text}.${b64(createHmac('sha256', secret).update(text).digest())}`;
    };
    for (const json of ['{"alg":"HS256","crit":["b64"],"b64":false}', '{"alg":"HS256","crit":[]}', '{"alg":"HS256","b64":true}',
      '{"alg":"HS256","alg":"HS256"}', '{"alg":"HS256","\\u0061lg":"HS256"}', '{"alg":["HS256"]}', '{"alg":null}', '{}', '[]', 'null',
      '"HS256"', '{"alg":"HS256"', '{"alg":"HS256"}x', '{"alg":"hs256"}', '{"alg":"HS256","kid":1}', '\xff'])
      assert.equal(verdict(oct('HS256'), signRaw(json)), 'reject', json);
    for (const json of ['{"alg":"HS256","typ":"JOSE","cty":"x","jku":"http://127.0.0.1:1/","x5u":"http://127.0.0.1:1/","jwk":{"kty":"oct"}}',
      ' {"alg" : "HS256"} ', '{"alg":"HS256","kid":"any"}'])
      assert.equal(verdict(oct('HS256'), signRaw(json)), 'accept', json);
  });

  test('lines that are no question are answered too', () => {
    const { stdout } = spawnSync(binary, ['jws-verify'], { input: 'x\n\n{}\n{"jwk":{},"jws":1}\n[1]\n', encoding: 'utf8' });
    assert.equal(stdout, 'reject\n'.repeat(5));
    assert.equal(verdict(oct('HS256'), `${header({ alg: 'HS256' })}.${'A'.repeat(8192)}.AAAA`), 'reject');
  });
});
