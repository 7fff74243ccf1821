// The log: one line for each notable event, in both formats, and never a secret in it.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { apiClient, apiRequest, channelAuth, hmac, rawSignin, rawSocket, rawSubscribe, signedQuery, startServer, until, userAuth, wsFrame } from './harness.mjs';
import { exchange, httpSocket, requestText } from './http.mjs';

const app = { id: 'log-id', key: 'log-key', secret: 'SECRET-of-the-app' };
const second = { id: 'log-id', key: 'other-key', secret: 'SECRET-of-the-second-key' };
const config = `
apps:
  - id: another
    keys: [{key: another-key, secret: SECRET-from-the-file}]
    max_connections: 1
`;

// Everything that a peer can do wrong, with a note of each signature that went over the wire.
async function abuse(server, secrets) {
  const note = (text) => { secrets.push(text); return text; };
  const hex = (auth) => { note(auth.split(':')[1]); return auth; };
  const where = '/apps/log-id/events';
  for (const bad of [{ ...app, secret: 'SECRET-that-is-wrong' }, app]) {
    const { query } = signedQuery(bad, 'POST', where, {}, '{"x":1}');
    note(/auth_signature=(\w+)/.exec(query)[1]);
    await exchange(server, requestText('POST', `${where}?${query}`, { body: '{"x":1}' }));
  }
  const old = signedQuery(app, 'GET', '/apps/log-id/channels', { auth_timestamp: '1' }).query;
  note(/auth_signature=(\w+)/.exec(old)[1]);
  await exchange(server, requestText('GET', `/apps/log-id/channels?${old}`));
  const good = await apiRequest(server, 'POST', where, { app, body: { name: 'e', data: note('SECRET-data-of-an-event'), channel: 'c' } });
  assert.equal(good.status, 200);

  const socket = await rawSocket(server, '/app/log-key?protocol=7');
  const hello = await socket.expect((m) => m.event === 'pusher:connection_established');
  socket.socketId = JSON.parse(hello.data).socket_id;
  await rawSubscribe(socket, 'private-c', { app });
  note(hmac(app.secret, `${socket.socketId}:private-c`));
  await rawSignin(socket, { id: 'user', token: note('SECRET-user-info') }, { app });
  socket.send({ event: 'pusher:subscribe', data: { channel: 'private-d', auth: hex(channelAuth({ ...app, secret: 'x' }, socket.socketId, 'private-d')) } });
  socket.send({ event: 'pusher:subscribe', data: { channel: 'presence-d', auth: hex(channelAuth(app, socket.socketId, 'presence-d', 'no json')), channel_data: 'no json' } });
  socket.send({ event: 'pusher:signin', data: { user_data: '{"id":"8"}', auth: hex(userAuth({ ...app, secret: 'y' }, socket.socketId, '{"id":"8"}')) } });
  socket.send({ event: 'client-x', channel: 'private-c', data: note('SECRET-client-event') });
  socket.text(`{"event":"${note('SECRET-event-name')}"}`);
  socket.text(note('SECRET garbage'));
  await socket.expectNothing().catch(() => {});
  await apiRequest(server, 'POST', '/apps/log-id/users/user/terminate_connections', { app, body: '{}' });
  await socket.expectClose(4009);

  for (const bytes of [wsFrame(3, ''), wsFrame('text', Buffer.from([0xff])), wsFrame('binary', 'x'), wsFrame('text', 'x', { mask: false })]) {
    const bad = await rawSocket(server, '/app/log-key?protocol=7');
    bad.write(bytes);
    await bad.expectEnd();
  }
  for (const target of ['/app/nobody?protocol=7', '/app/log-key?protocol=3', '/nowhere', `/app/log-key?protocol=7&auth_signature=${note('SECRET-in-a-query')}`]) {
    const refused = await rawSocket(server, target, { headers: { Cookie: note('session=SECRET-cookie'), Authorization: `Bearer ${note('SECRET-token')}` } });
    refused.close();
    await refused.expectEnd();
  }
  const first = await rawSocket(server, '/app/another-key?protocol=7');
  await first.expect((m) => m.event === 'pusher:connection_established');
  await (await rawSocket(server, '/app/another-key?protocol=7')).expectClose(4004);
  first.close();
  await first.expectEnd();
  for (const bytes of ['BAD\r\n\r\n', requestText('POST', `/x?${note('SECRET-of-a-bad-request')}`, { headers: { 'Content-Length': 'x' } })]) await exchange(server, bytes);
}

for (const format of ['logfmt', 'json']) {
  for (const level of ['info', 'debug']) {
    test(`no secret, signature or token is in the ${format} log at level ${level}, nor in metrics and pages`, async () => {
      const server = await startServer({ app, workers: 2, config, set: { 'log.format': format }, args: ['--log-level', level, '--app', 'third:third-key:SECRET-of-the-third'] });
      const secrets = [app.secret, 'SECRET-from-the-file', 'SECRET-of-the-third', second.secret];
      try {
        await abuse(server, secrets);
        writeFileSync(path.join(server.folder, 'carillon.yaml'), 'apps:\n  - id: x\n    keys: [{key: k, secert: SECRET-in-a-broken-file}]\n');
        secrets.push('SECRET-in-a-broken-file');
        server.signal('SIGHUP');
        await until(() => /reload_failed/.test(server.log()), 'reload_failed');
        const metrics = (await server.metrics()).text;
        const root = (await exchange(server, requestText('GET', '/'))).text;
        for (const secret of secrets) {
          assert.ok(!server.log().includes(secret), `the log holds ${secret}`);
          assert.ok(!metrics.includes(secret), `the metrics hold ${secret}`);
          assert.ok(!root.includes(secret), `the page holds ${secret}`);
          assert.ok(!server.output.includes(secret), `the banner holds ${secret}`);
        }
        assert.doesNotMatch(server.log(), /SECRET/);
      } finally {
        await server.stop();
      }
      assert.doesNotMatch(server.log(), /SECRET/);
      const lines = server.log().trim().split('\n');
      for (const line of lines) {
        if (format === 'json') {
          const entry = JSON.parse(line);
          for (const field of ['time', 'level', 'event']) assert.equal(typeof entry[field], 'string', line);
        } else {
          assert.match(line, /^time=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z level=(error|warn|info|debug) event=[a-z_]+( [a-z_]+=("(\\.|[^"\\])*"|[^\s"]*))*$/);
        }
      }
    });
  }
}

test('what a peer writes cannot forge a line or a field of the log', async () => {
  for (const format of ['logfmt', 'json']) {
    const server = await startServer({ app, set: { 'log.format': format } });
    try {
      for (const key of ['x%0Aevent=forged', 'x" event=forged y="', 'x%22%20event=forged%20y=%22', "x%22,%22event%22:%22forged", 'x%5C', 'x%00y', 'x%1b[31m', 'a%20level=error', '%5C%22%20event=forged%20a=%5C%22']) {
        const refused = await rawSocket(server, `/app/${key.replaceAll(' ', '%20')}?protocol=7`);
        await refused.expectClose(4001);
      }
      await until(() => server.log().split('\n').filter((line) => /refused/.test(line)).length === 9, 'nine lines');
      for (const line of server.log().trim().split('\n')) {
        assert.doesNotMatch(line, /[\x00-\x1f\x7f]/);
        if (format === 'json') {
          const entry = JSON.parse(line);
          assert.notEqual(entry.event, 'forged');
          assert.ok(entry.level === 'info', line);
        } else {
          const unquoted = line.replace(/"(\\.|[^"\\])*"/g, '""');
          assert.doesNotMatch(unquoted, /forged|level=error/);
          assert.equal(unquoted.match(/event=/g).length, 1);
        }
      }
    } finally {
      await server.stop();
    }
  }
});

test('an opening that is refused is one line of the same form, whatever it came by', async () => {
  const server = await startServer({ app });
  try {
    const ask = (method, target) => exchange(server, requestText(method, target));
    await (await rawSocket(server, '/app/nobody?protocol=7')).expectClose(4001);
    await ask('POST', '/pusher/app/nobody/1/a/xhr_streaming?protocol=7');
    await ask('POST', '/pusher/app/nobody/1/a/xhr?protocol=7');
    const sockjs = await rawSocket(server, '/pusher/1/a/websocket');
    sockjs.text('["{\\"path\\":\\"/app/nobody?protocol=7\\"}"]');
    await sockjs.expectEnd();
    await ask('GET', '/events/nobody?channels=a');
    await until(() => server.logged('refused').length === 5, 'five lines');
    assert.deepEqual(server.logged('refused').map(({ reason, code, transport, text }) => ({ reason, code, transport, text })),
      ['websocket', 'xhr_streaming', 'xhr_polling', 'sockjs', 'events'].map((transport) => ({
        reason: 'UNKNOWN_KEY', code: '4001', transport, text: 'App key nobody not in this cluster. Did you forget to specify the cluster?',
      })));
  } finally {
    await server.stop();
  }
});

test('debug tells more than info', async () => {
  const lines = {};
  for (const level of ['info', 'debug']) {
    const server = await startServer({ app, args: ['--log-level', level] });
    const socket = await rawSocket(server, '/app/log-key?protocol=7');
    await socket.expect((m) => m.event === 'pusher:connection_established');
    socket.close();
    await socket.expectEnd();
    await apiClient(server, { app }).trigger('c', 'e', 'x');
    await server.stop();
    lines[level] = server.log().trim().split('\n').length;
  }
  assert.ok(lines.debug > lines.info, JSON.stringify(lines));
});

test('a flood of bad requests does not flood the log', async () => {
  const server = await startServer({ app });
  try {
    const http = await httpSocket(server);
    http.write(requestText('GET', '/nowhere').repeat(2000));
    for (let i = 0; i < 2000; i++) assert.equal((await http.response()).status, 404);
    http.destroy();
    assert.ok(server.log().length < 20000, `${server.log().length} bytes`);
  } finally {
    await server.stop();
  }
});
