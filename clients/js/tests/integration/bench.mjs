// What the integration tests need: an application with an HTTP API beside the realtime server, a
// wire that can be cut, and services of the built package.
import http from 'node:http';
import net from 'node:net';
import { createPusherService } from 'carillon-js';
import { apiClient, channelAuth, limit, until, userAuth, useServer } from '../../../../tests/flow/harness.mjs';

// For a describe(): a server that ends a session over HTTP soon after its client has gone.
export const useRealtime = () => useServer({ set: { 'limits.rejoin_ms': String(limit(100)) } });

const listen = (server) => new Promise((resolve) => { server.listen(0, '127.0.0.1', () => resolve(server.address().port)); });

// The application: bearer tokens are "<user>-<serial>", and only those in `good` are.  It answers
// as the gateway's endpoints do.
export async function startBackend(realtime) {
  const backend = { requests: [], good: new Set(), down: false };
  const api = apiClient(realtime);
  const refuse = (status, detail, headers = {}) => ({ status, json: { detail }, headers });
  const mayJoin = (user, channel) => !/^private-user-/.test(channel) || channel === `private-user-${user}`;

  function authorize(user, fields) {
    const { socket_id: socketId, channel_name: channel } = fields;
    if (!mayJoin(user, channel)) return refuse(403, 'Insufficient permissions for this channel');
    if (!channel.startsWith('presence-')) return { json: { auth: channelAuth(realtime.app, socketId, channel) } };
    const data = JSON.stringify({ user_id: user, user_info: { id: user, name: user.toUpperCase() } });
    return { json: { auth: channelAuth(realtime.app, socketId, channel, data), channel_data: data } };
  }

  async function relay(user, fields, request) {
    const { message_type: type, payload = {}, channel = `private-user-${user}`, request_id: requestId } = fields;
    if (typeof type !== 'string') {
      const detail = [{ type: 'missing', loc: ['body', 'message_type'], msg: 'Field required', input: fields }];
      return refuse(422, detail);
    }
    if (!mayJoin(user, channel)) return refuse(403, 'Insufficient permissions for this channel');
    const socketId = request.headers['x-socket-id'];
    await api.trigger(channel, 'message', { type, payload, user_id: user, request_id: requestId }, socketId ? { socket_id: socketId } : {});
    return { json: { success: true, message: 'Message sent successfully', user_id: user, channel, request_id: requestId } };
  }

  async function answer(request, body) {
    if (backend.down) return refuse(503, 'Pusher service unavailable', { 'Retry-After': '1' });
    const token = /^Bearer (.*)$/.exec(request.headers.authorization ?? '')?.[1];
    if (!backend.good.has(token))
      return refuse(401, token ? 'Token has expired' : 'Authorization header missing', { 'WWW-Authenticate': 'Bearer' });
    const user = token.split('-')[0];
    const form = request.headers['content-type'] === 'application/x-www-form-urlencoded';
    const fields = form ? Object.fromEntries(new URLSearchParams(body)) : JSON.parse(body);
    switch (request.url) {
      case '/api/v1/pusher/auth': return authorize(user, fields);
      case '/pusher/user-auth': {
        const data = JSON.stringify({ id: user });
        return { json: { auth: userAuth(realtime.app, fields.socket_id, data), user_data: data } };
      }
      case '/api/v1/pusher/message': return relay(user, fields, request);
      default: return refuse(404, 'Not Found');
    }
  }

  const server = http.createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => { body += chunk; });
    request.on('end', async () => {
      backend.requests.push({ path: request.url, headers: request.headers, body });
      const { status = 200, json, headers = {} } = await answer(request, body);
      response.writeHead(status, { 'content-type': 'application/json', ...headers });
      response.end(JSON.stringify(json));
    });
  });
  const port = await listen(server);
  backend.url = `http://127.0.0.1:${port}`;
  backend.to = (path) => backend.requests.filter((request) => request.path === path);
  backend.stop = () => new Promise((resolve) => { server.closeAllConnections(); server.close(resolve); });
  return backend;
}

// A wire to the server that can be cut.
export async function startWire(realtime) {
  const ends = new Set();
  let isDown = false;
  const server = net.createServer((near) => {
    if (isDown) {
      near.destroy();
      return;
    }
    const far = net.connect(realtime.port, realtime.host);
    for (const [from, to] of [[near, far], [far, near]]) {
      ends.add(from);
      from.on('error', () => to.destroy()).on('close', () => { ends.delete(from); to.destroy(); });
      from.pipe(to);
    }
  });
  const end = () => { for (const each of ends) each.destroy(); };
  return {
    port: await listen(server),
    // Until the service has noticed: between two requests of polling there is nothing to cut.
    cut: (service) => until(() => {
      end();
      return service.lastError;
    }, 'the loss to be noticed'),
    // Until mend().
    goDown: () => { isDown = true; end(); },
    mend: () => { isDown = false; },
    stop: () => new Promise((resolve) => { end(); server.close(resolve); }),
  };
}

// A service of one user.  Its token is the newest of `issued`; refreshing makes another good one.
export function makeService(ctx, backend, transport, { user = 'ann', port, ...options } = {}) {
  const issued = [`${user}-1`];
  backend.good.add(issued[0]);
  const service = createPusherService({
    key: ctx.server.app.key,
    host: ctx.server.host,
    port: port ?? ctx.server.port,
    scheme: 'http',
    apiBase: `${backend.url}/api/v1/pusher`,
    userAuthEndpoint: `${backend.url}/pusher/user-auth`,
    enabledTransports: [transport],
    getAuthToken: async () => issued.at(-1),
    refreshAuthToken: async () => {
      issued.push(`${user}-${issued.length + 1}`);
      backend.good.add(issued.at(-1));
      return issued.at(-1);
    },
    ...options,
  });
  service.issued = issued;
  ctx.defer(() => service.disconnect());
  return service;
}

export const isConnected = (service, ms) => until(() => service.getState() === 'connected', 'the service to be connected', ms);

export const hasStatus = (service, name, status, ms) =>
  until(() => service.channelStatus(name).status === status, `${name} to be ${status}`, ms);
