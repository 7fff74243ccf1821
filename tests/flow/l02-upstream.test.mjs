// An application's own messages, from an old socket to its backend and back.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { gatewayConfig, guideApp, guideClient, join, startGuide, users } from './gateway.mjs';
import { limit, until } from './harness.mjs';
import { error, legacySocket } from './legacy.mjs';
import { Receiver } from './receiver.mjs';

const { student, teacher } = users;
const json = (value, status = 200) => (request, response) => {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(value));
};

describe('old messages and a backend', () => {
  let backend;
  let server;
  before(async () => {
    backend = await new Receiver().listen();
    server = await startGuide({ workers: 2, config: gatewayConfig(`  channels:
    - {channel: "private-user-{user.id}", join: user, publish: user}
    - {channel: room, publish: user}
  routes:
    - {name: auth, path: /pusher/auth, auth: optional, builtin: auth}
    - name: message
      path: /message
      body: {message_type: {type: string, required: true}, payload: {type: object, default: {}}}
      dispatch:
        field: message_type
        cases:
          quiz_response: {upstream: {url: "${backend.url}", timeout_ms: ${limit(800)}}}
          content_request:
            min_role: teacher
            upstream: {url: "${backend.url}", mode: async}
            reply: {type: content_response, request_id: "{request_id}", status: processing}
          user_list: {builtin: user_channels}
  legacy:
    endpoints: {ws: true, client: true}
`) });
    server.app = guideApp;
  });
  after(async () => { backend.close(); await server.stop(); });
  let sockets = [];
  const open = async (...args) => { const socket = await legacySocket(server, ...args); sockets.push(socket); return socket; };
  afterEach(() => { for (const { socket } of sockets) socket.destroy(); sockets = []; });

  test('what the backend replies is the frame when it says its type', async () => {
    backend.answer = json({ reply: { type: 'quiz_feedback', quiz_id: 'q', correct: true, score: 1 } });
    const socket = await open('/ws', { user: student });
    await socket.ask({ type: 'quiz_response', data: { quiz_id: 'q', answer: 2 } }, { type: 'quiz_feedback', quiz_id: 'q', correct: true, score: 1 });
    const asked = JSON.parse(backend.requests.at(-1).body);
    assert.deepEqual([asked.route, asked.user.id, asked.body], ['message', '7', { message_type: 'quiz_response', payload: { quiz_id: 'q', answer: 2 } }]);
  });

  test('and goes into an ack when not; later words arrive on the user\'s channel', async () => {
    backend.answer = json({ reply: { got: 1 } });
    const socket = await open('/ws', { user: student });
    socket.send({ type: 'quiz_response', request_id: 'r-1', answer: 3 });
    assert.deepEqual(await socket.frame(), { type: 'ack', message: 'ok', request_id: 'r-1', data: { got: 1 } });
    assert.deepEqual(JSON.parse(backend.requests.at(-1).body).body.payload, { request_id: 'r-1', answer: 3 });
    backend.answer = json({ publish: [{ channel: 'private-user-8', event: 'message', data: { type: 'content_response', status: 'completed', content: 'c' } }] });
    const desk = await open('/ws/desk', { user: teacher });
    const pusher = guideClient(server, teacher);
    await join(pusher, 'private-user-8');
    desk.send({ type: 'content_request', request_id: 'r-2', data: {} });
    const frames = [await desk.frame(), await desk.frame()];
    assert.deepEqual(frames.find(({ status }) => status), { type: 'content_response', request_id: 'r-2', status: 'processing' });
    assert.equal(frames.find(({ data }) => data).data.content, 'c');
    await until(() => pusher.heard.length === 1, 'the same on Channels');
    pusher.disconnect();
  });

  test('its faults are errors on the socket, which stays', async () => {
    const socket = await open('/ws', { user: student });
    backend.answer = json({}, 500);
    await socket.ask({ type: 'quiz_response' }, error('The upstream answered with status 500'));
    backend.answer = () => {};
    await socket.ask({ type: 'quiz_response' }, error('The upstream did not answer in time'));
    backend.answer = json({ error: 'too late', status: 409 });
    await socket.ask({ type: 'quiz_response' }, error('too late'));
    await socket.ask({ type: 'user_list' }, error('Only an HTTP request can ask for this'));
    await socket.expectQuiet();
  });

  test('who has left is not waited for', async () => {
    let release;
    backend.answer = (request, response) => { release = () => json({ reply: {} })(request, response); };
    const socket = await open('/ws', { user: student });
    socket.send({ type: 'quiz_response' });
    await until(() => release, 'the question');
    socket.socket.destroy();
    await until(async () => (await server.metrics()).sum('carillon_legacy_connections', { endpoint: 'ws' }) === 0, 'it to be gone');
    release();
    const other = await open('/ws', { user: student });
    backend.answer = json({ reply: { type: 'fine' } });
    await other.ask({ type: 'quiz_response' }, { type: 'fine' });
  });
});
