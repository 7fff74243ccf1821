// What every flow test needs: a server of its own, the official clients, and a WebSocket client
// that hides nothing.
//
// CARILLON_BIN names the binary, TEST_SLOW stretches every time limit (sanitizers), and
// TEST_TRANSPORT (ws, xhr_streaming, xhr_polling) says what carries the clients of a test that
// does not care.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, createHmac, randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import tls from 'node:tls';
import { after, afterEach, before, describe } from 'node:test';
import { fileURLToPath } from 'node:url';
import Pusher from 'pusher-js';
import PusherApi from 'pusher';
import { withXhr } from './xhr.mjs';

const tree = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
export const binary = path.resolve(tree, process.env.CARILLON_BIN || 'build/carillon');
export const slowness = Number(process.env.TEST_SLOW || 1);

export const transport = process.env.TEST_TRANSPORT || 'ws';
export const overHttp = transport !== 'ws';

// Options of a test that is about WebSocket itself.
export const wsOnly = (why) => (overHttp ? { skip: `WebSocket only: ${why}` } : {});

// A limit in milliseconds on this machine.
export const limit = (ms) => ms * slowness;
// How long to wait for what must come: a machine that is busy with something else is no failure.
export const patience = (ms) => limit(ms) * 3;
export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// After a close by the server, the WebSocket library inside pusher-js keeps a timer of 30 s that
// nobody waits for; no timer as long as that shall keep a test's process.
const { setTimeout: plainSetTimeout } = globalThis;
globalThis.setTimeout = (fn, ms, ...rest) => {
  const timer = plainSetTimeout(fn, ms, ...rest);
  return ms >= 30000 ? timer.unref() : timer;
};

// Who finds all that it waits for at once, again and again, would keep the clients in this process
// from answering the server.
let turnedAt = Date.now();
async function letOthersRun() {
  if (Date.now() - turnedAt < 20) return;
  await new Promise((resolve) => { setImmediate(resolve); });
  turnedAt = Date.now();
}

// Waits until fn answers something true, and returns that.
export async function until(fn, what, ms = 12000) {
  const end = Date.now() + patience(ms);
  await letOthersRun();
  for (let pause = 1; ; pause = Math.min(pause * 2, 50)) {
    const value = await fn();
    if (value) return value;
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
    await sleep(pause);
  }
}

// Waits for a promise that may never be kept.
export function within(promise, what, ms = 12000) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited in vain for ${what}`)), patience(ms));
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

const folders = [];
process.once('exit', () => { for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 3 }); });

// A new folder for this process; it goes with it at the latest.
export function ownFolder(name) {
  const folder = mkdtempSync(path.join(os.tmpdir(), `carillon-${name}-`));
  folders.push(folder);
  return folder;
}

// A port for a server that must be told one, or that comes back on it.  It is none that the system
// hands out: between two servers a client's own end would take it.  Each process begins elsewhere.
let nextPort = 20000 + (process.pid % 1200) * 10;
export async function freePort() {
  for (;;) {
    const server = net.createServer();
    const port = nextPort;
    nextPort = port < 31999 ? port + 1 : 20000;
    const isFree = await new Promise((resolve) => {
      server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true));
    });
    if (!isFree) continue;
    await new Promise((resolve) => { server.close(resolve); });
    return port;
  }
}

// The app of every test server that does not name another.
export const defaultApp = { id: 'test-id', key: 'test-key', secret: 'test-secret' };

// --- the server -------------------------------------------------------------------------------

// How a log betrays a fault of ours, whatever the exit status.
const FAULT = /this is a bug|AddressSanitizer|ThreadSanitizer|LeakSanitizer|runtime error:/;

class Server {
  constructor(child, app, scheme) {
    this.child = child;
    this.pid = child.pid;
    this.app = app;
    this.host = '127.0.0.1';
    this.scheme = scheme;
    this.text = '';
    // "close", not "exit": all that it said has been read then.
    this.exited = new Promise((resolve) => child.on('close', (code, signal) => resolve({ code, signal })));
    this.exited.then((status) => { this.status = status; });
    child.stderr.setEncoding('utf8').on('data', (chunk) => { this.text += chunk; });
    this.output = '';
    child.stdout.setEncoding('utf8').on('data', (chunk) => { this.output += chunk; });
  }

  log() { return this.text; }

  // The log's lines of one event, each as an object, in either format.
  logged(event) {
    return this.text.split('\n').map(readLogLine).filter((line) => line.event === event);
  }

  async listening() {
    // "started" comes behind the last "listening": a TLS port is known by then.
    await until(() => this.status || this.logged('started').length, 'event=started', 10000);
    assert.ok(!this.status, `the server ended at start: ${this.text}`);
    const lines = this.logged('listening');
    this.port = Number(lines.find((line) => line.tls !== 'yes')?.port);
    this.tlsPort = Number(lines.find((line) => line.tls === 'yes')?.port);
    this.url = `${this.scheme}://${this.host}:${this.port}${this.prefix}`;
  }

  signal(name) {
    this.stopping ||= name === 'SIGTERM' || name === 'SIGINT';
    this.child.kill(name);
  }

  // The signal alone returns before every thread stands still.
  async freeze() {
    this.signal('SIGSTOP');
    const tasks = `/proc/${this.child.pid}/task`;
    await until(() => readdirSync(tasks).every((id) => /^State:\s+T/m.test(
      readFileSync(`${tasks}/${id}/status`, 'utf8'))), 'the server to stand still');
  }

  thaw() { this.signal('SIGCONT'); }

  async metrics() {
    const response = await fetch(`${this.url}/metrics`, { headers: { connection: 'close' } });
    assert.equal(response.status, 200);
    return new Metrics(await response.text());
  }

  // Ends the server as an operator does and checks that nothing went wrong in its life.
  // One that was told to stop is waited for: a second signal would cut its drain short.
  async stop() {
    if (!this.status) {
      if (!this.stopping) this.signal('SIGTERM');
      const timer = setTimeout(() => this.child.kill('SIGKILL'), limit(20000));
      await this.exited;
      clearTimeout(timer);
    }
    if (this.folder) rmSync(this.folder, { recursive: true, force: true });
    assert.doesNotMatch(this.text, FAULT);
    assert.deepEqual(this.status, { code: 0, signal: null }, `exit status; log ends: ${this.text.slice(-2000)}`);
  }
}

// Values of one scrape, by name and labels.
export class Metrics {
  constructor(text) {
    this.text = text;
    this.samples = [];
    for (const line of text.split('\n')) {
      const m = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
      if (!m) continue;
      const labels = {};
      for (const [, name, value] of (m[2] || '').matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) labels[name] = value;
      this.samples.push({ name: m[1], labels, value: Number(m[3]) });
    }
  }

  find(name, labels = {}) {
    return this.samples.filter((s) => s.name === name
      && Object.entries(labels).every(([k, v]) => s.labels[k] === String(v)));
  }

  // The sum over all labels that are not named.  An unknown name is an error.
  sum(name, labels = {}) {
    assert.ok(this.samples.some((s) => s.name === name), `no metric ${name}`);
    return this.find(name, labels).reduce((total, s) => total + s.value, 0);
  }
}

function readLogLine(line) {
  const out = {};
  if (line.startsWith('{') && line.endsWith('}')) return JSON.parse(line);
  for (const [, name, quoted, bare] of line.matchAll(/([\w.]+)=(?:"((?:[^"\\]|\\.)*)"|(\S*))/g)) out[name] = quoted ?? bare;
  return out;
}

// Starts `carillon serve` on a port of its own.
//   workers   number of workers (1)
//   app       {id, key, secret}; null = none given on the command line
//   set       {'option.name': value}
//   config    text of a configuration file, or what makes one for a folder of its own
//   port      (0: any)
//   under     a command, with arguments, that runs it
//   args, env more of either
// What a test that failed in the middle has left would keep its process alive.  Other hooks may
// still need it, so it has a while to go by itself.
const leftovers = [];
after(() => { setTimeout(() => { for (const end of leftovers) end(); }, limit(5000)).unref(); });

export async function startServer(opts = {}) {
  const app = opts.app === undefined ? defaultApp : opts.app;
  const args = ['serve', '--port', String(opts.port ?? 0), '--log-level', 'info', '--workers', String(opts.workers ?? 1)];
  if (app) args.push('--app', `${app.id}:${app.key}:${app.secret}`);
  // Who leaves over HTTP is gone when nobody came back for a while: a short one here.
  const quick = overHttp ? { 'limits.rejoin_ms': 300 * slowness } : {};
  for (const [name, value] of Object.entries({ ...quick, ...opts.set })) args.push('--set', `${name}=${value}`);
  let folder;
  if (opts.config !== undefined) {
    folder = ownFolder('flow');
    writeFileSync(path.join(folder, 'carillon.yaml'), typeof opts.config === 'function' ? opts.config(folder) : opts.config);
    args.push('--config', path.join(folder, 'carillon.yaml'));
  }
  args.push(...(opts.args || []));
  const [program, ...first] = [...(opts.under ?? []), binary];
  const child = spawn(program, [...first, ...args], { env: { ...process.env, ...opts.env }, stdio: ['ignore', 'pipe', 'pipe'] });
  const server = new Server(child, app, 'http');
  server.folder = folder;
  server.prefix = opts.set?.path_prefix ?? '';
  child.on('error', (error) => { server.status = { code: null, signal: String(error) }; server.text += String(error); });
  process.once('exit', () => child.kill('SIGKILL'));
  leftovers.push(() => child.kill('SIGKILL'));
  await server.listening();
  return server;
}

// Waits until nobody is connected and nothing is kept for anyone.
export async function expectIdle(server) {
  const gauges = ['carillon_connections', 'carillon_sessions', 'carillon_subscriptions', 'carillon_channels'];
  let last;
  await until(async () => {
    const metrics = await server.metrics();
    last = gauges.map((name) => [name, metrics.sum(name)]);
    last[3][1] -= metrics.sum('carillon_history_streams'); // a channel stays for its history
    // The scrape itself is one connection.
    return last.every(([name, n]) => n === 0 || (name === 'carillon_connections' && n === 1));
  }, 'gauges at zero').catch((error) => assert.fail(
    `${error.message}: ${JSON.stringify(last)}${server.status ? `; the log ends: ${server.text.slice(-2000)}` : ''}`));
}

// Defines the same tests for one worker and for four, each with a server of its own, which must
// be idle and end well when they are over.  define(ctx): ctx.server is there once tests run,
// ctx.workers always; ctx.client(), ctx.raw() and ctx.defer() clean up after each test.
export function forEachWorkers(topic, opts, define) {
  for (const workers of [1, 4])
    describe(`${topic} (${workers === 1 ? 'one worker' : `${workers} workers`})`, () => define(useServer({ ...opts, workers })));
}

// The same, once: for use inside a describe().
export function useServer(opts = {}) {
  const ctx = { server: null, workers: opts.workers ?? 1, cleanups: [] };
  ctx.defer = (fn) => { ctx.cleanups.push(fn); };
  ctx.client = (options) => {
    const client = pusherClient(ctx.server, options);
    ctx.defer(() => client.disconnect());
    return client;
  };
  ctx.raw = async (where, options) => {
    const socket = await rawSocket(ctx.server, where, options);
    ctx.defer(() => socket.destroy());
    return socket;
  };
  ctx.api = (options) => apiClient(ctx.server, options);
  before(async () => { ctx.server = await startServer(opts); });
  afterEach(async () => {
    const cleanups = ctx.cleanups.splice(0).reverse();
    for (const fn of cleanups) await fn();
    // The next test finds nobody there.
    if (cleanups.length && !ctx.server.status)
      await until(async () => (await ctx.server.metrics()).sum('carillon_sessions') === 0, 'the last session to end');
  });
  after(async () => {
    if (!ctx.server) return;
    try {
      await expectIdle(ctx.server);
    } finally {
      await ctx.server.stop();
    }
  });
  return ctx;
}

// --- signatures (pusher-protocol: keyed SHA-256, lower-case hex) -------------------------------

export const hmac = (secret, text) => createHmac('sha256', secret).update(text).digest('hex');
export const md5 = (bytes) => createHash('md5').update(bytes).digest('hex');

export function channelAuth(app, socketId, channel, channelData) {
  const text = channelData === undefined ? `${socketId}:${channel}` : `${socketId}:${channel}:${channelData}`;
  return `${app.key}:${hmac(app.secret, text)}`;
}

export function userAuth(app, socketId, userData) {
  return `${app.key}:${hmac(app.secret, `${socketId}::user::${userData}`)}`;
}

// The query string of a signed API request; extra parameters are signed with the others.
// Values are given decoded.  Also says what was signed.
export function signedQuery(app, method, pathname, params = {}, body = '') {
  const all = { auth_key: app.key, auth_timestamp: String(Math.floor(Date.now() / 1000)), auth_version: '1.0', ...params };
  if (body.length && !('body_md5' in all)) all.body_md5 = md5(body);
  const names = Object.keys(all).sort();
  const text = `${method}\n${pathname}\n${names.map((name) => `${name.toLowerCase()}=${all[name]}`).join('&')}`;
  const pairs = names.map((name) => `${name}=${encodeURIComponent(all[name])}`);
  pairs.push(`auth_signature=${hmac(app.secret, text)}`);
  return { query: pairs.join('&'), signed: text };
}

// One signed API request; answers {status, type, text, json}.
export async function apiRequest(server, method, pathname, { params, body = '', app = server.app } = {}) {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const { query } = signedQuery(app, method, decodeURIComponent(pathname), params, text);
  const response = await fetch(`${server.url}${pathname}?${query}`, {
    method,
    body: method === 'POST' ? text : undefined,
    headers: { connection: 'close', ...(method === 'POST' ? { 'content-type': 'application/json' } : {}) },
  });
  const answer = await response.text();
  let json;
  try { json = JSON.parse(answer); } catch { json = undefined; }
  return { status: response.status, type: response.headers.get('content-type'), headers: Object.fromEntries(response.headers), text: answer, json };
}

// --- the official clients ----------------------------------------------------------------------

// pusher-js, signing its own subscriptions.
//   app     the app to connect to
//   member  (socketId, channelName) => channel_data for presence channels
//   user    user_data object for signin
//   Client  another build of pusher-js
//   (the rest goes to pusher-js)
export function pusherClient(server, { app = server.app, member, user, Client = Pusher, ...options } = {}) {
  const all = {
    cluster: 'self',
    wsHost: server.host,
    wsPort: server.port,
    forceTLS: false,
    httpHost: server.host,
    httpPort: server.port,
    httpPath: `${server.prefix}/pusher`,
    enabledTransports: [transport],
    channelAuthorization: {
      customHandler({ socketId, channelName }, done) {
        const data = member && channelName.startsWith('presence-') ? JSON.stringify(member(socketId, channelName)) : undefined;
        const auth = channelAuth(app, socketId, channelName, data);
        done(null, data === undefined ? { auth } : { auth, channel_data: data });
      },
    },
    userAuthentication: {
      customHandler({ socketId }, done) {
        const data = JSON.stringify(user);
        done(null, { auth: userAuth(app, socketId, data), user_data: data });
      },
    },
    ...options,
  };
  // An option that is given as undefined is not given.
  const client = new Client(app.key, Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)));
  leftovers.push(() => client.disconnect());
  client.errors = [];
  client.connection.bind('error', (error) => client.errors.push(error));
  return client;
}

// The next time a pusher-js emitter (connection, channel, user) emits that event.
export function once(emitter, event, ms = 12000) {
  let on;
  const value = new Promise((resolve) => { on = resolve; });
  emitter.bind(event, on);
  return within(value, event, ms).finally(() => emitter.unbind(event, on));
}

export async function connected(client, ms = 12000) {
  await until(() => client.connection.state === 'connected', 'pusher-js to be connected', ms);
  return client;
}

export async function subscribed(client, name, ms = 12000) {
  const channel = client.subscribe(name);
  await until(() => channel.subscribed, `subscription to ${name}`, ms);
  return channel;
}

// The server library.
export function apiClient(server, { app = server.app, ...options } = {}) {
  // One connection per request, so that a server is idle when its tests are over.
  const agent = new (options.useTLS ? https : http).Agent({ keepAlive: false });
  return new PusherApi({
    appId: app.id, key: app.key, secret: app.secret, host: server.host, port: String(server.port), useTLS: false, agent, ...options,
  });
}

// --- a WebSocket client that hides nothing -------------------------------------------------------

const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 };

// The bytes of one client frame.  mask: false sends it unmasked, rsv sets reserved bits, length
// declares another length than the payload has.
export function wsFrame(opcode, payload = '', { fin = true, mask = true, rsv = 0, length } = {}) {
  const body = Buffer.isBuffer(payload) ? payload : Buffer.from(payload);
  const n = length ?? body.length;
  const code = typeof opcode === 'string' ? OPCODE[opcode] : opcode;
  const head = [(fin ? 0x80 : 0) | (rsv << 4) | code];
  const bit = mask ? 0x80 : 0;
  if (n < 126) head.push(bit | n);
  else if (n < 65536) head.push(bit | 126, n >> 8, n & 255);
  else {
    const long = Buffer.alloc(8);
    long.writeBigUInt64BE(BigInt(n));
    head.push(bit | 127, ...long);
  }
  if (!mask) return Buffer.concat([Buffer.from(head), body]);
  const key = randomBytes(4);
  return Buffer.concat([Buffer.from(head), key, body.map((byte, i) => byte ^ key[i & 3])]);
}

// What came, and what a test expects of it; whatever carries it.
class Reader {
  constructor() {
    this.frames = [];     // what came and was not yet taken: {opcode, fin, payload, text}
    this.all = [];        // everything that ever came
    this.closed = null;   // {code, reason} once a close came, {code: null} at a bare end
    this.ended = false;   // the connection is over
  }

  send(object) { this.text(JSON.stringify(object)); }

  // The next frame, whatever it is; pings of the server are answered and skipped.
  async next(ms = 12000) {
    for (;;) {
      await until(() => this.frames.length || this.closed, 'a frame', ms);
      if (!this.frames.length) throw new Error(`closed (${this.closed.code} ${this.closed.reason}) instead of a frame`);
      const frame = this.frames.shift();
      if (frame.opcode !== OPCODE.ping) return frame;
    }
  }

  // The next text frame must be exactly this text.
  async expectText(text, ms) {
    assert.equal((await this.next(ms)).text, text);
  }

  // The next text frame must be this object.
  async expectJson(object, ms) {
    assert.deepEqual(JSON.parse((await this.next(ms)).text), object);
  }

  // Skips frames up to the first that satisfies the predicate (given the parsed message).
  async expect(predicate, what = 'a matching frame', ms = 12000) {
    for (;;) {
      const frame = await this.next(ms).catch((error) => { throw new Error(`${what}: ${error.message}`); });
      let message;
      try { message = JSON.parse(frame.text); } catch { continue; }
      if (predicate(message)) return message;
    }
  }

  // The next frame must be this pusher:error, and nothing but its message may be written in
  // more than one way.
  async expectError(code, message, ms) {
    const { text } = await this.next(ms);
    assert.ok(text.startsWith(`{"event":"pusher:error","data":{"code":${code},"message":"`), text);
    assert.deepEqual(JSON.parse(text), { event: 'pusher:error', data: { code, message } });
  }

  expectEvent(event, channel, ms) {
    return this.expect((m) => m.event === event && (channel === undefined || m.channel === channel), `${event} on ${channel}`, ms);
  }

  // Proves that nothing was on its way: a ping is answered, and before that nothing came.
  async expectNothing() {
    this.text('{"event":"pusher:ping"}');
    await this.expectText('{"event":"pusher:pong","data":"{}"}');
  }

  async expectClose(code, reason, ms = 12000) {
    await until(() => this.closed, `close ${code}`, ms);
    assert.equal(this.closed.code, code, `closed with ${this.closed.code} ${this.closed.reason}`);
    if (reason !== undefined) assert.equal(this.closed.reason, reason);
  }

  async expectEnd(ms = 12000) {
    await until(() => this.ended, 'the end of the connection', ms);
  }
}

export class RawSocket extends Reader {
  constructor(socket) {
    super();
    this.socket = socket;
    this.head = '';       // the answer to the upgrade, without the blank line
    this.buffer = Buffer.alloc(0);
    socket.on('data', (bytes) => { this.buffer = Buffer.concat([this.buffer, bytes]); this.#read(); });
    socket.on('error', () => {});
    socket.on('close', () => { this.ended = true; this.closed ??= { code: null, reason: '' }; });
  }

  #read() {
    if (!this.upgraded) {
      const end = this.buffer.indexOf('\r\n\r\n');
      if (end < 0) return;
      this.head = this.buffer.subarray(0, end).toString('latin1');
      this.status = Number(this.head.split(' ')[1]);
      this.upgraded = true;
      this.buffer = this.buffer.subarray(end + 4);
    }
    if (this.status !== 101) return;
    while (this.buffer.length >= 2) {
      let n = this.buffer[1] & 127;
      let at = 2;
      assert.equal(this.buffer[1] & 128, 0, 'a server never masks');
      if (n === 126) { if (this.buffer.length < 4) return; n = this.buffer.readUInt16BE(2); at = 4; }
      else if (n === 127) { if (this.buffer.length < 10) return; n = Number(this.buffer.readBigUInt64BE(2)); at = 10; }
      if (this.buffer.length < at + n) return;
      const payload = Buffer.from(this.buffer.subarray(at, at + n));
      this.#take({ fin: (this.buffer[0] & 0x80) !== 0, opcode: this.buffer[0] & 15, payload });
      this.buffer = this.buffer.subarray(at + n);
    }
  }

  #take(frame) {
    if (frame.opcode === OPCODE.close) {
      this.closed = frame.payload.length >= 2
        ? { code: frame.payload.readUInt16BE(0), reason: frame.payload.subarray(2).toString() }
        : { code: 1005, reason: '' };
      if (!this.closing && this.answersClose !== false) this.write(wsFrame('close', frame.payload.subarray(0, 2)));
      return;
    }
    frame.text = frame.payload.toString();
    this.all.push(frame);
    this.frames.push(frame);
    if (frame.opcode === OPCODE.ping && this.answersPings !== false) this.write(wsFrame('pong', frame.payload));
  }

  header(name) {
    const line = this.head.split('\r\n').slice(1).find((l) => l.toLowerCase().startsWith(`${name.toLowerCase()}:`));
    return line === undefined ? undefined : line.slice(name.length + 1).trim();
  }

  write(bytes) { this.socket.write(bytes); }

  // What fn sends goes out in one piece.
  together(fn) {
    this.socket.cork();
    fn();
    this.socket.uncork();
  }

  text(text) { this.write(wsFrame('text', text)); }
  close(code = 1000, reason = '') {
    this.closing = true;
    const payload = Buffer.alloc(2 + Buffer.byteLength(reason));
    payload.writeUInt16BE(code);
    payload.write(reason, 2);
    this.write(wsFrame('close', payload));
  }
  destroy() { this.socket.destroy(); }
}

class XhrSocket extends withXhr(Reader) {}

async function xhrSocket(server, established) {
  const raw = new XhrSocket(server, transport);
  if (established) await greeted(raw);
  return raw;
}

async function greeted(raw) {
  await raw.expect((m) => {
    if (m.event !== 'pusher:connection_established') return false;
    raw.socketId = JSON.parse(m.data).socket_id;
    return true;
  }, 'pusher:connection_established');
}

// Opens a WebSocket.  where: a path, default the server's app with protocol 7.
//   headers    {name: value} added to the upgrade, or replacing its own (null = leave out)
//   secure     options of tls.connect
//   established  false: do not wait for pusher:connection_established
// The socket knows its socketId once that has come.
export async function rawSocket(server, where, { headers = {}, secure, port = server.port, established = where === undefined } = {}) {
  if (overHttp && where === undefined && !secure && !Object.keys(headers).length) return xhrSocket(server, established);
  const target = where ?? `/app/${server.app.key}?protocol=7&client=js&version=8.6.0&flash=false`;
  const socket = secure
    ? tls.connect({ host: server.host, port, rejectUnauthorized: false, ...secure })
    : net.connect({ host: server.host, port });
  const raw = new RawSocket(socket);
  const all = {
    Host: `${server.host}:${port}`,
    Upgrade: 'websocket',
    Connection: 'Upgrade',
    'Sec-WebSocket-Key': randomBytes(16).toString('base64'),
    'Sec-WebSocket-Version': '13',
    ...headers,
  };
  raw.key = all['Sec-WebSocket-Key'];
  const lines = Object.entries(all).filter(([, value]) => value !== null).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(`GET ${target} HTTP/1.1\r\n${lines.join('')}\r\n`);
  await until(() => raw.upgraded || raw.ended, 'the answer to the upgrade');
  if (established) {
    assert.equal(raw.status, 101, raw.head);
    await greeted(raw);
  }
  return raw;
}

// What frames say; a server that hears nothing for a while has sent pings between them.
export const messagesOf = (frames) => frames.filter((frame) => frame.opcode === OPCODE.text).map((frame) => JSON.parse(frame.text));

// Subscribes a raw socket and waits for its success, which is returned.
export async function rawSubscribe(socket, channel, { app = defaultApp, channelData } = {}) {
  const data = { channel };
  if (/^(private|presence)-/.test(channel)) data.auth = channelAuth(app, socket.socketId, channel, channelData);
  if (channelData !== undefined) data.channel_data = channelData;
  socket.send({ event: 'pusher:subscribe', data });
  return socket.expectEvent('pusher_internal:subscription_succeeded', channel);
}

export async function rawSignin(socket, user, { app = defaultApp } = {}) {
  const data = JSON.stringify(user);
  socket.send({ event: 'pusher:signin', data: { auth: userAuth(app, socket.socketId, data), user_data: data } });
  return socket.expectEvent('pusher:signin_success');
}
