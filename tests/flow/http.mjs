// HTTP as bytes: what is sent is written by the test, and an answer is read more strictly than any
// client reads it.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import tls from 'node:tls';
import { fileURLToPath } from 'node:url';
import { limit, patience, rawSocket, signedQuery } from './harness.mjs';

const HEADER = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([\x20-\x7e]*)$/;

// One connection.  Answers are taken in the order in which they come.
export class HttpSocket {
  constructor(socket) {
    this.socket = socket;
    this.buffer = Buffer.alloc(0);
    this.ended = false;   // the server has ended its side
    this.closed = false;  // the connection is over
    this.wake = () => {};
    socket.on('data', (bytes) => { this.buffer = Buffer.concat([this.buffer, bytes]); this.wake(); });
    socket.on('end', () => { this.ended = true; this.wake(); });
    socket.on('error', (error) => { this.error = error; });
    socket.on('close', () => { this.ended = this.closed = true; this.wake(); });
    socket.on('connect', () => this.wake());
  }

  // As until(), but looks when something has happened instead of now and then.
  async waitFor(fn, what, ms = 12000) {
    let late = false;
    const timer = setTimeout(() => { late = true; this.wake(); }, patience(ms));
    try {
      for (;;) {
        const value = fn();
        if (value) return value;
        if (late) throw new Error(`waited in vain for ${what}`);
        await new Promise((resolve) => { this.wake = resolve; });
      }
    } finally {
      clearTimeout(timer);
    }
  }

  write(bytes) { this.socket.write(bytes); }
  destroy() { this.socket.destroy(); }

  // The next answer: {status, reason, headers, text}.  bodiless: it answers a HEAD.
  async response({ bodiless = false, ms = 12000 } = {}) {
    const end = await this.waitFor(() => {
      const at = this.buffer.indexOf('\r\n\r\n');
      if (at < 0 && this.ended) throw new Error(`the connection ended instead of an answer: ${JSON.stringify(this.buffer.toString('latin1'))}`);
      return at >= 0 && at + 4;
    }, 'an answer', ms);
    const lines = this.buffer.subarray(0, end - 4).toString('latin1').split('\r\n');
    const status = /^HTTP\/1\.1 (\d{3}) ([\x20-\x7e]+)$/.exec(lines.shift());
    assert.ok(status, 'a status line');
    const answer = { status: Number(status[1]), reason: status[2], headers: {} };
    for (const line of lines) {
      const header = HEADER.exec(line);
      assert.ok(header, `a header line: ${line}`);
      const name = header[1].toLowerCase();
      assert.ok(!(name in answer.headers), `${name} comes once`);
      answer.headers[name] = header[2];
    }
    this.buffer = this.buffer.subarray(end);
    await this.#body(answer, bodiless, ms);
    return answer;
  }

  async #body(answer, bodiless, ms) {
    const has = answer.status >= 200 && answer.status !== 204;
    if (has) {
      assert.match(answer.headers['content-length'] ?? '', /^\d+$/, 'Content-Length');
      assert.ok(!Number.isNaN(Date.parse(answer.headers.date)), 'Date');
    }
    const n = has && !bodiless ? Number(answer.headers['content-length']) : 0;
    await this.waitFor(() => this.buffer.length >= n || this.ended, 'the body', ms);
    assert.ok(this.buffer.length >= n, 'a whole body');
    answer.text = this.buffer.subarray(0, n).toString();
    this.buffer = this.buffer.subarray(n);
  }

  // The server ends the connection, and says nothing more before.
  async expectEnd(ms = 12000) {
    await this.waitFor(() => this.ended, 'the end of the connection', ms);
    assert.equal(this.buffer.toString('latin1'), '', 'bytes behind the last answer');
  }

  // The connection lives: it serves another request.
  async expectAlive() {
    this.write('GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n');
    const answer = await this.response();
    assert.equal(answer.status, 200);
    assert.equal(answer.text, 'ok\n');
  }
}

export async function httpSocket(server, { secure, port = server.port } = {}) {
  const where = { host: server.host, port };
  const socket = secure ? tls.connect({ rejectUnauthorized: false, ...where, ...secure }) : net.connect(where);
  socket.setNoDelay(true);
  const http = new HttpSocket(socket);
  await http.waitFor(() => !socket.connecting || http.closed, 'the connection');
  return http;
}

// One request as text.  headers replace the usual ones; null leaves one out.
export function requestText(method, target, { headers = {}, body = '', version = 'HTTP/1.1' } = {}) {
  const all = { Host: 'localhost', ...headers };
  const has = method === 'POST' || body.length > 0;
  if (has && !('Content-Length' in all)) all['Content-Length'] = Buffer.byteLength(body);
  const lines = Object.entries(all).filter(([, value]) => value !== null).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${method} ${target} ${version}\r\n${lines.join('')}\r\n${body}`;
}

// A signed request as text.
export function signedText(app, method, pathname, { params, body = '', ...rest } = {}) {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const { query } = signedQuery(app, method, pathname, params, text);
  return requestText(method, `${pathname}?${query}`, { body: text, ...rest });
}

// Sends bytes on a connection of their own and answers the first response.
export async function exchange(server, bytes, options) {
  const http = await httpSocket(server, options);
  try {
    http.write(bytes);
    return await http.response(options);
  } finally {
    http.destroy();
  }
}

// The server is sound: a clean client connects, subscribes and hears an event.
export async function expectServes(server) {
  const socket = await rawSocket(server);
  try {
    socket.send({ event: 'pusher:subscribe', data: { channel: 'sound' } });
    await socket.expectText('{"event":"pusher_internal:subscription_succeeded","channel":"sound","data":"{}"}');
    const answer = await exchange(server, signedText(server.app, 'POST', `/apps/${server.app.id}/events`, {
      body: { name: 'still', data: 'here', channels: ['sound'] },
    }));
    assert.equal(answer.status, 200, answer.text);
    const event = await socket.expectEvent('still', 'sound');
    assert.equal(event.data, 'here');
  } finally {
    socket.close();
    await socket.expectEnd();
  }
}

// Signatures by an implementation in another language that shares no code with this one.  Each
// request is {secret, method, path, params}.
const signer = path.join(path.dirname(fileURLToPath(import.meta.url)), 'sdk/sign.php');
export function phpSign(requests) {
  const run = spawnSync('php', ['-n', signer], { input: JSON.stringify(requests), encoding: 'utf8', timeout: limit(20000) });
  assert.equal(run.status, 0, `php: ${run.error || run.stderr}`);
  return JSON.parse(run.stdout);
}

// Resident memory of a process in bytes.
export function residentBytes(pid) {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) * 1024;
}

// Whether the binary is one of the sanitizers' builds, whose memory and speed say nothing.
export function isSanitized(pid) {
  return /lib[at]san/.test(readFileSync(`/proc/${pid}/maps`, 'utf8'));
}
