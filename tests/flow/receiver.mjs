// What receives webhooks in the tests: it keeps what came and answers as it is told.
import http from 'node:http';
import https from 'node:https';
import PusherApi from 'pusher';
import { limit, until } from './harness.mjs';

export class Receiver {
  // identity: {key, cert}, for one that is reached over TLS
  constructor(identity) {
    this.requests = []; // {headers, body, events, at}
    this.connections = 0;
    this.answer = (request, response) => response.end(); // or another behaviour
    const take = (request, response) => {
      let body = '';
      request.setEncoding('utf8').on('data', (chunk) => { body += chunk; }).on('end', () => {
        let events;
        try { ({ events } = JSON.parse(body)); } catch { events = []; }
        this.requests.push({ headers: request.headers, url: request.url, method: request.method, body, events, at: Date.now() });
        this.answer(request, response, this.requests.length);
      });
    };
    this.server = identity ? https.createServer(identity, take) : http.createServer(take);
    this.scheme = identity ? 'https' : 'http';
    this.server.on('connection', () => { this.connections++; });
  }

  async listen() {
    await new Promise((resolve) => { this.server.listen(0, '127.0.0.1', resolve); });
    this.url = `${this.scheme}://127.0.0.1:${this.server.address().port}/hook`;
    return this;
  }

  close() { this.server.close(); this.server.closeAllConnections(); }

  // Every event so far, in order.
  events() { return this.requests.flatMap((request) => request.events); }

  async expect(n, what = `${n} events`, ms = 8000) {
    await until(() => this.events().length >= n, what, ms);
    return this.events();
  }

  // What the official library makes of each request.
  validated(app) {
    const api = new PusherApi({ appId: app.id, key: app.key, secret: app.secret, cluster: 'self' });
    return this.requests.map((request) => api.webhook({ headers: request.headers, rawBody: request.body }));
  }
}

export const app = { id: 'a1', key: 'k1', secret: 's1' };

// For receivers that hang: the next try comes soon.  An answer that is later than this is asked for
// again, which is no fault, but not what a test of a good receiver expects on a busy machine.
export const impatient = `, timeout_ms: ${limit(500)}`;

// A configuration with one app and these webhooks, and short times.
export function configWith(hooks, more = '', options = '') {
  return `drain: {window_ms: 500}
webhooks: {grace_ms: 200${options.includes('timeout_ms') ? '' : ', timeout_ms: 60000'}${options}}
apps:
  - id: ${app.id}
    keys: [{key: ${app.key}, secret: ${app.secret}}]
    webhooks:
${hooks.map((hook) => `      - ${JSON.stringify(hook)}`).join('\n')}
${more}`;
}
