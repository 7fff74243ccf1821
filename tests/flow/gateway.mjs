// A server with the guide's configuration, its callers and their tokens.
import { createHmac } from 'node:crypto';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { pusherClient, startServer, within } from './harness.mjs';

export const guideFile = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../examples/guide/guide.yaml');
export const guideApp = { id: 'app-id', key: 'app-key', secret: 'app-secret' };
export const secret = 'guide-development-secret-change-me-0123456789';

const part = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
export const nowS = () => Math.floor(Date.now() / 1000);

// A token with these claims; header, key and hash as the test wants them.
export function mint(claims, { header = { alg: 'HS256', typ: 'JWT' }, key = secret, hash = 'sha256', exp = nowS() + 900 } = {}) {
  const text = `${part(header)}.${part(typeof claims === 'string' ? claims : { ...(exp === null ? {} : { exp }), ...claims })}`;
  return `${text}.${createHmac(hash, key).update(text).digest('base64url')}`;
}

export const users = {
  student: { sub: '7', role: 'student', name: 'Sam' },
  teacher: { sub: '8', role: 'teacher', name: 'Tea' },
  admin: { sub: '9', role: 'admin', name: 'Ada' },
};

export async function startGuide(opts = {}) {
  const server = await startServer({ app: null, ...opts, args: [...(opts.config === undefined ? ['--config', guideFile] : []), ...(opts.args ?? [])] });
  server.app = guideApp;
  return server;
}

// A configuration with a gateway of these routes and rules (YAML, indented by two).
export const gatewayConfig = (rest, auth = `jwt: {keys: [{alg: HS256, secret: ${secret}}]}`) => `
apps:
  - {id: app-id, keys: [{key: app-key, secret: app-secret}], client_events: true}
gateway:
  auth:
    ${auth}
    roles: {student: 1, teacher: 2, admin: 3}
${rest}`;

// One request.  user: claims, a token, or null for none.  { status, headers, body }
export async function call(server, user, method, target, body, headers = {}) {
  const token = user && (typeof user === 'string' ? user : mint(user));
  const answer = await fetch(`${server.url}${target}`, {
    method,
    headers: {
      ...(token ? { authorization: `Bearer ${token}` } : {}),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    body: body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body),
  });
  const text = await answer.text();
  return { status: answer.status, headers: answer.headers, text, body: text === '' ? null : JSON.parse(text) };
}

// pusher-js that asks the gateway to join; every event of the application is in client.heard as
// [channel, event, data].
export function guideClient(server, user, options = {}) {
  const ask = (target, params, done) => call(server, user, 'POST', target, params)
    .then(({ status, body, text }) => (status === 200 ? done(null, body) : done(new Error(`${status} ${text}`), null)));
  const client = pusherClient(server, {
    app: guideApp,
    channelAuthorization: { customHandler: ({ socketId, channelName }, done) => ask('/pusher/auth', { socket_id: socketId, channel_name: channelName }, done) },
    userAuthentication: { customHandler: ({ socketId }, done) => ask('/pusher/user-auth', { socket_id: socketId }, done) },
    ...options,
  });
  client.heard = [];
  client.connection.bind('message', ({ event, channel, data }) => {
    if (!event.startsWith('pusher')) client.heard.push([channel, event, data]);
  });
  return client;
}

// Resolves with the channel, or rejects with what the endpoint said.
export function join(client, name) {
  const channel = client.subscribe(name);
  return within(new Promise((resolve, reject) => {
    channel.bind('pusher:subscription_succeeded', () => resolve(channel));
    channel.bind('pusher:subscription_error', (error) => reject(new Error(JSON.stringify(error))));
  }), `joining ${name}`);
}
