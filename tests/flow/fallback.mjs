// The HTTP transports as bytes: sessions by name, receivers that are read more strictly than any
// client reads them.
import assert from 'node:assert/strict';
import net from 'node:net';
import tls from 'node:tls';
import { apiRequest, channelAuth, limit, slowness, until } from './harness.mjs';
import { exchange, httpSocket, requestText, signedText } from './http.mjs';

const DIGITS = '0123456789abcdefghijklmnopqrstuv';
export const QUERY = 'protocol=7&client=js&version=8.6.0';
export const PREAMBLE = `${'h'.repeat(2048)}\n`;
export const SCRIPT = 'application/javascript; charset=UTF-8';

// The line that carries one event.
export const lineOf = (object) => `a[${JSON.stringify(typeof object === 'string' ? object : JSON.stringify(object))}]`;
export const subscribeText = (channel, more = {}) => JSON.stringify({ event: 'pusher:subscribe', data: { channel, ...more } });
export const succeeded = (channel) => `{"event":"pusher_internal:subscription_succeeded","channel":"${channel}","data":"{}"}`;
export const eventText = (channel, data, name = 'e') => JSON.stringify({ event: name, channel, data });

// The messages of an answer's lines, and the lines that carry none.
export function readLines(text) {
  assert.ok(text === '' || text.endsWith('\n'), 'whole lines');
  assert.ok(!text.includes('\r'), 'no carriage returns');
  const messages = [];
  const rest = [];
  for (const line of text.split('\n').slice(0, -1)) {
    if (line.startsWith('a')) messages.push(...JSON.parse(line.slice(1)));
    else rest.push(line);
  }
  return { messages, rest };
}

// One streaming answer.  Its body comes whole chunks at a time; over HTTP/1.0 as it is.
export class Stream {
  constructor(socket) {
    this.socket = socket;
    this.buffer = Buffer.alloc(0);
    this.body = '';        // what was not yet taken by line()
    this.chars = 0;        // of the whole body
    this.ended = false;    // by its last chunk, or over HTTP/1.0 with the connection
    this.closed = false;   // the connection is over
    socket.on('data', (bytes) => { this.buffer = this.buffer.length ? Buffer.concat([this.buffer, bytes]) : bytes; this.#read(); });
    socket.on('error', () => {});
    socket.on('close', () => { this.closed = true; if (this.headers && !this.chunked) this.ended = true; });
  }

  #read() {
    if (!this.headers) {
      const end = this.buffer.indexOf('\r\n\r\n');
      if (end < 0) return;
      const [first, ...lines] = this.buffer.subarray(0, end).toString('latin1').split('\r\n');
      this.status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(first)[1]);
      this.headers = Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 2)]));
      this.chunked = this.headers['transfer-encoding'] === 'chunked';
      this.buffer = this.buffer.subarray(end + 4);
    }
    if (!this.chunked) {
      this.#take(this.buffer);
      this.buffer = Buffer.alloc(0);
      return;
    }
    for (;;) {
      const end = this.buffer.indexOf('\r\n');
      if (end < 0) return;
      const size = this.buffer.subarray(0, end).toString('latin1');
      assert.match(size, /^(0|[1-9a-f][0-9a-f]{0,7})$/, 'the size of a chunk');
      const n = parseInt(size, 16);
      if (this.buffer.length < end + 2 + n + 2) return;
      assert.equal(this.buffer.subarray(end + 2 + n, end + 4 + n).toString('latin1'), '\r\n', 'the end of a chunk');
      this.#take(this.buffer.subarray(end + 2, end + 2 + n));
      this.buffer = this.buffer.subarray(end + 4 + n);
      if (n === 0) { this.ended = true; return; }
    }
  }

  #take(bytes) {
    this.body += bytes.toString();
    this.chars += bytes.length;
  }

  // The next line without its end.
  async line(ms = 12000) {
    await until(() => this.body.includes('\n') || this.ended || this.closed, 'a line', ms);
    const end = this.body.indexOf('\n');
    assert.ok(end >= 0, `the stream ended instead of a line: ${JSON.stringify(this.body)}`);
    const line = this.body.slice(0, end);
    this.body = this.body.slice(end + 1);
    return line;
  }

  async expectLine(text, ms) { assert.equal(await this.line(ms), text); }
  expectEvent(object, ms) { return this.expectLine(lineOf(object), ms); }
  async expectEnd(ms = 12000) {
    await until(() => this.ended, 'the end of the stream', ms);
    assert.equal(this.body, '', 'bytes behind the last line');
  }
  async head(ms = 12000) {
    await until(() => this.headers || this.closed, 'the head of an answer', ms);
    assert.ok(this.headers, 'the connection ended instead of an answer');
    return this;
  }
  destroy() { this.socket.destroy(); }
}

// Sends one request and reads the answer as a stream.
export async function openStream(server, method, target, { version = 'HTTP/1.1', headers, secure, port = server.port, body } = {}) {
  const socket = secure
    ? tls.connect({ host: server.host, port, rejectUnauthorized: false, ...secure })
    : net.connect({ host: server.host, port });
  socket.setNoDelay(true);
  const stream = new Stream(socket);
  socket.write(requestText(method, target, { version, headers, body }));
  return stream.head();
}

// A session by its name, on connections of its own for every request.
export class Session {
  constructor(ctx, { key = ctx.server.app.key, prefix = '/pusher/app', name, secure, port } = {}) {
    this.ctx = ctx;
    this.server = ctx.server;
    this.options = { secure, port: port ?? ctx.server.port };
    this.name = name ?? `${Math.floor(Math.random() * 1000)}/${Array.from({ length: 8 }, () => DIGITS[Math.floor(Math.random() * 32)]).join('')}`;
    this.base = `${prefix}${key === null ? '' : `/${key}`}/${this.name}`;
    this.n = 0;
  }

  target(verb, n = ++this.n) { return `${this.base}/${verb}?${verb === 'xhr_send' ? '' : `${QUERY}&`}t=${Date.now()}&n=${n}`; }

  async stream(options) {
    const stream = await openStream(this.server, 'POST', this.target('xhr_streaming'), { ...this.options, ...options });
    this.ctx.defer(() => stream.destroy());
    assert.equal(stream.status, 200);
    return stream;
  }

  // One poll: {status, headers, text}.
  poll(ms = 10000) {
    return exchange(this.server, requestText('POST', this.target('xhr')), { ...this.options, ms });
  }

  // What polls bring until there are so many messages.
  async messages(n) {
    const all = [];
    while (all.length < n) all.push(...readLines((await this.poll()).text).messages);
    assert.equal(all.length, n);
    return all;
  }

  // Messages in one body; answers the response.
  send(messages, n = ++this.n) { return this.sendBody(JSON.stringify(messages), n); }
  sendBody(body, n = ++this.n) {
    return exchange(this.server, requestText('POST', this.target('xhr_send', n), { body, headers: { 'Content-Type': 'application/json' } }), this.options);
  }
  async subscribe(...channels) {
    const list = channels.map((channel) => {
      const auth = /^private-/.test(channel) ? { auth: channelAuth(this.server.app, this.socketId, channel) } : {};
      return subscribeText(channel, auth);
    });
    assert.equal((await this.send(list)).status, 204);
  }

  hello(text) {
    const { event, data } = JSON.parse(text);
    assert.equal(event, 'pusher:connection_established');
    this.socketId = JSON.parse(data).socket_id;
    assert.equal(text, `{"event":"pusher:connection_established","data":"{\\"socket_id\\":\\"${this.socketId}\\",\\"activity_timeout\\":120}"}`);
  }

  // Opens by a stream, which has said all that a new one says.
  async openStream(options) {
    const stream = await this.stream(options);
    assert.equal(`${await stream.line()}\n`, PREAMBLE);
    await stream.expectLine('o');
    this.hello(JSON.parse((await stream.line()).slice(1))[0]);
    return stream;
  }

  // Opens by a poll.
  async openPoll() {
    this.ctx.defer(() => {}); // the test's end waits for the session's
    const { status, text } = await this.poll();
    assert.equal(status, 200);
    const [first, ...rest] = text.split('\n');
    assert.equal(first, 'o');
    this.hello(readLines(rest.join('\n')).messages[0]);
  }
}

// Publishes one event and checks that it was taken.
export async function publish(server, channel, data, name = 'e') {
  const answer = await apiRequest(server, 'POST', `/apps/${server.app.id}/events`, { body: { name, data, channel } });
  assert.equal(answer.status, 200, answer.text);
}

// The same for many in order, sent ahead on one connection: for what must not take long.
export async function publishAll(server, channel, all) {
  const http = await httpSocket(server);
  http.write(all.map((data) => signedText(server.app, 'POST', `/apps/${server.app.id}/events`, { body: { name: 'e', data, channel } })).join(''));
  for (const _ of all) assert.equal((await http.response()).status, 200);
  http.destroy();
}

export async function sessions(server, transport) {
  return (await server.metrics()).sum('carillon_sessions', transport ? { transport } : {});
}

// How much a metric rises while fn runs, at least: waits for that.
export async function expectRise(server, metric, by, fn, labels) {
  const before = (await server.metrics()).sum(metric, labels);
  const value = await fn();
  let now;
  await until(async () => (now = (await server.metrics()).sum(metric, labels)) - before >= by, `${metric} to rise by ${by}`)
    .catch((error) => assert.fail(`${error.message}: ${before} to ${now}`));
  return value;
}

// Waits until all sessions over HTTP are being received but so many.
export const detached = (server, n) => until(
  async () => (await server.metrics()).sum('carillon_detached_sessions') === n, `all but ${n} to be received`);

// The worker's clock ticks now and then: how long a wait of ms may take.
export const atMost = (ms) => limit(ms + 1500);

// Who leaves over HTTP is gone when nobody came back for so long: short, for tests that leave.
export const quick = { 'limits.rejoin_ms': 400 * slowness };
