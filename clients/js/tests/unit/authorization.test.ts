/* Private channels: who is asked, with which token, and what happens when the answer is no. */
import { expect, test, vi } from 'vitest';
import { PusherAuthError } from '../../src/index.js';
import { makeToken } from '../support/fake-backend.js';
import { settle, setUp, waitFor } from '../support/setup.js';

const errorOf = (service: ReturnType<typeof setUp>['service'], name: string): PusherAuthError => {
  const { error } = service.channelStatus(name);
  if (!(error instanceof PusherAuthError)) throw new Error(`no PusherAuthError but ${error}`);
  return error;
};
const failed = (bench: ReturnType<typeof setUp>, name: string): Promise<void> =>
  waitFor(() => expect(bench.service.channelStatus(name).status).toBe('error'));

test('the endpoint gets the form that pusher-js sends, and the token of now', async () => {
  const { service, server, backend, subscribed } = setUp({ getAuthToken: () => 'token-1' });
  service.retain('private-a b');
  service.retain('private-x');
  await subscribed('private-x');
  const call = backend.calls.find(({ body }) => body.includes('private-x'));
  expect(call?.url).toBe('/api/v1/pusher/auth');
  expect(call?.headers).toMatchObject({
    Authorization: 'Bearer token-1',
    'Content-Type': 'application/x-www-form-urlencoded',
  });
  expect(Object.fromEntries(new URLSearchParams(call?.body))).toEqual({ socket_id: '1.1', channel_name: 'private-x' });
  expect(server.subscribes.find(({ channel }) => channel === 'private-x')?.auth).toBe('key:1.1');
});

test('an asynchronous token is waited for, and asked for again at each subscription', async () => {
  let n = 0;
  const { service, backend, connected, subscribed } = setUp({
    getAuthToken: async () => {
      await settle();
      n += 1;
      return `token-${n}`;
    },
  });
  service.retain('private-x');
  await subscribed('private-x');
  service.reconnect();
  await connected();
  await subscribed('private-x');
  const sent = backend.calls.map(({ headers }) => headers.Authorization);
  expect(new Set(sent).size).toBe(2);
});

test('no token sends no header', async () => {
  const { service, backend, subscribed } = setUp({ getAuthToken: () => null });
  service.retain('private-x');
  await subscribed('private-x');
  expect(backend.calls[0]?.headers).not.toHaveProperty('Authorization');
});

test.each([401, 403])('a %i renews the token once and asks again, and nobody sees an error', async (status) => {
  const refreshAuthToken = vi.fn(async () => 'new');
  const { service, backend, subscribed } = setUp({ getAuthToken: () => 'old', refreshAuthToken });
  const errors = vi.fn();
  service.bind('private-x', 'pusher:subscription_error', errors);
  backend.queue.push({ status, json: { detail: 'Token has expired' } });
  await subscribed('private-x');
  expect(backend.calls.map(({ headers }) => headers.Authorization)).toEqual(['Bearer old', 'Bearer new']);
  expect(refreshAuthToken).toHaveBeenCalledTimes(1);
  expect(errors).not.toHaveBeenCalled();
});

test('ten channels refused at once renew the token once', async () => {
  const refreshAuthToken = vi.fn(async () => {
    await settle();
    return 'new';
  });
  const { service, backend, subscribed } = setUp({ getAuthToken: () => 'old', refreshAuthToken });
  const allow = backend.answer;
  backend.answer = (call) => (call.headers.Authorization === 'Bearer new' ? allow(call) : { status: 401 });
  const names = Array.from({ length: 10 }, (_, i) => `private-${i}`);
  for (const name of names) service.retain(name);
  await Promise.all(names.map(subscribed));
  expect(refreshAuthToken).toHaveBeenCalledTimes(1);
});

test('a refusal that another token does not change ends with a typed error, once', async () => {
  const bench = setUp({ getAuthToken: () => 'old', refreshAuthToken: async () => 'new' });
  const { service, backend } = bench;
  const errors: unknown[] = [];
  service.bind('private-x', 'pusher:subscription_error', (error) => errors.push(error));
  backend.answer = () => ({ status: 403, json: { detail: 'Insufficient permissions for this channel' } });
  await failed(bench, 'private-x');
  const error = errorOf(service, 'private-x');
  expect(error).toMatchObject({
    type: 'AuthError', channel: 'private-x', status: 403, code: 'forbidden', temporary: false,
    detail: 'Insufficient permissions for this channel',
  });
  expect(error.message).toContain('Insufficient permissions');
  expect(errors).toEqual([error]);
  expect(backend.calls).toHaveLength(2);
});

test('pusher:subscription_error on the plain channel of pusher-js carries the status, too', async () => {
  const { service, backend } = setUp();
  backend.answer = () => ({ status: 403, json: { detail: 'no' } });
  const channel = service.subscribe('private-x');
  const error = await new Promise((resolve) => channel.bind('pusher:subscription_error', resolve));
  expect(error).toMatchObject({ type: 'AuthError', status: 403, error: expect.stringContaining('no') });
});

test.each([[500, 'server'], [503, 'unavailable'], [429, 'rate_limited']])(
  'a %i is tried again until it passes',
  async (status, code) => {
    vi.useFakeTimers();
    const { service, backend, server } = setUp();
    backend.queue.push({ status }, { status });
    service.retain('private-x');
    await vi.advanceTimersByTimeAsync(10);
    expect(errorOf(service, 'private-x')).toMatchObject({ status, code, temporary: true });
    await vi.advanceTimersByTimeAsync(700);
    expect(backend.calls).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(600);
    expect(backend.calls).toHaveLength(2);
    await vi.advanceTimersByTimeAsync(2600);
    expect(service.channelStatus('private-x')).toEqual({ status: 'subscribed', error: null });
    expect(server.log).toEqual(['SUB private-x']);
    service.disconnect();
    vi.useRealTimers();
  },
);

test('the pause before the next attempt is at least what Retry-After asks', async () => {
  vi.useFakeTimers();
  const { service, backend } = setUp();
  backend.queue.push({ status: 503, headers: { 'Retry-After': '20' } });
  service.retain('private-x');
  await vi.advanceTimersByTimeAsync(19000);
  expect(errorOf(service, 'private-x').retryAfter).toBe(20);
  expect(backend.calls).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(1500);
  expect(service.channelStatus('private-x').status).toBe('subscribed');
  service.disconnect();
  vi.useRealTimers();
});

test('no answer is tried again, and says why', async () => {
  vi.useFakeTimers();
  const { service, backend } = setUp();
  const offline = new TypeError('fetch failed');
  backend.queue.push(offline);
  service.retain('private-x');
  await vi.advanceTimersByTimeAsync(10);
  expect(errorOf(service, 'private-x')).toMatchObject({ status: 0, code: 'network', temporary: true, cause: offline });
  await vi.advanceTimersByTimeAsync(1300);
  expect(service.channelStatus('private-x').status).toBe('subscribed');
  service.disconnect();
  vi.useRealTimers();
});

test.each([
  ['no JSON', { text: '<html>' }],
  ['no signature', { json: { ok: true } }],
  ['channel_data that is no JSON', { json: { auth: 'key:s', channel_data: '{' } }],
  ['channel_data that is no text', { json: { auth: 'key:s', channel_data: { user_id: 1 } } }],
])('an answer with %s is an error that is not tried again', async (_, answer) => {
  const bench = setUp();
  bench.backend.answer = () => answer;
  bench.service.retain('presence-x');
  await failed(bench, 'presence-x');
  expect(errorOf(bench.service, 'presence-x')).toMatchObject({ code: 'response', temporary: false });
  expect(bench.server.log).toEqual([]);
});

test('everybody left while the signature was on its way: the request is given up, nothing is sent', async () => {
  const { service, server, backend, connected } = setUp();
  service.initialize();
  await connected();
  backend.queue.push(new Promise(() => undefined));
  const handle = service.retain('private-x');
  await waitFor(() => expect(backend.calls).toHaveLength(1));
  handle.release();
  await settle();
  expect(backend.calls[0]?.signal?.aborted).toBe(true);
  service.reconnect();
  await connected();
  await settle();
  expect(server.log).toEqual([]);
  expect(backend.calls).toHaveLength(1);
});

test('a signature for a connection that has gone is not used', async () => {
  const { service, server, backend, connected, subscribed } = setUp();
  service.initialize();
  await connected();
  let answerLate: (answer: { json: unknown }) => void = () => undefined;
  backend.queue.push(new Promise((resolve) => (answerLate = resolve)));
  service.retain('private-x');
  await waitFor(() => expect(backend.calls).toHaveLength(1));
  service.reconnect();
  await connected();
  await subscribed('private-x');
  answerLate({ json: { auth: 'key:1.1' } });
  await settle();
  expect(server.subscribes).toEqual([{ channel: 'private-x', auth: 'key:1.2' }]);
});

test('a refusal that comes after the connection has gone is nobody\'s business', async () => {
  const { service, server, backend, connected } = setUp();
  service.initialize();
  await connected();
  let answerLate: (answer: { status: number }) => void = () => undefined;
  backend.queue.push(new Promise((resolve) => (answerLate = resolve)));
  service.retain('private-x');
  await waitFor(() => expect(backend.calls).toHaveLength(1));
  server.down = true;
  service.reconnect();
  answerLate({ status: 403 });
  await settle();
  expect(service.channelStatus('private-x')).toEqual({ status: 'pending', error: null });
});

test('a signature that the realtime server refuses: one other token, one more attempt', async () => {
  vi.useFakeTimers();
  const refreshAuthToken = vi.fn(async () => 'new');
  const { service, server, backend } = setUp({ getAuthToken: () => 'old', refreshAuthToken });
  server.verdict = () => ({ status: 401, error: 'Invalid signature' });
  service.retain('private-x');
  await vi.advanceTimersByTimeAsync(60000);
  expect(errorOf(service, 'private-x')).toMatchObject({ status: 401, code: 'unauthorized', detail: 'Invalid signature' });
  expect(refreshAuthToken).toHaveBeenCalledTimes(1);
  expect(backend.calls.map(({ headers }) => headers.Authorization)).toEqual(['Bearer old', 'Bearer new']);
  expect(server.log).toEqual(['SUB private-x', 'SUB private-x']);
  service.disconnect();
  vi.useRealTimers();
});

test('a channel that came back by itself is not disturbed by a retry that was on its way', async () => {
  vi.useFakeTimers();
  let refreshed: (token: string) => void = () => undefined;
  const { service, server } = setUp({
    getAuthToken: () => 'old',
    refreshAuthToken: () => new Promise((resolve) => (refreshed = resolve)),
  });
  server.verdict = () => ({ status: 401 });
  service.retain('private-x');
  await vi.advanceTimersByTimeAsync(100);
  server.verdict = () => 'ok';
  service.retain('private-x');
  await vi.advanceTimersByTimeAsync(100);
  refreshed('new');
  await vi.advanceTimersByTimeAsync(60000);
  expect(service.channelStatus('private-x').status).toBe('subscribed');
  service.disconnect();
  vi.useRealTimers();
});

test('logout gives up what is being asked for', async () => {
  const { service, backend } = setUp();
  backend.queue.push(new Promise(() => undefined));
  service.retain('private-x');
  await waitFor(() => expect(backend.calls).toHaveLength(1));
  service.disconnect();
  expect(backend.calls[0]?.signal?.aborted).toBe(true);
});

test('someone new on a channel in error is a reason to ask again', async () => {
  const bench = setUp();
  bench.backend.queue.push({ status: 403 });
  bench.service.retain('private-x');
  await failed(bench, 'private-x');
  bench.service.retain('private-x');
  await bench.subscribed('private-x');
});

test('signin asks the user endpoint with the token', async () => {
  const { service, server, backend, connected } = setUp({ getAuthToken: () => 'token-1' });
  backend.answer = () => ({ json: { auth: 'key:u', user_data: '{"id":"u1"}' } });
  service.initialize();
  await connected();
  service.signin();
  await waitFor(() => expect(server.log).toEqual(['SEND pusher:signin']));
  expect(backend.calls[0]).toMatchObject({ url: '/pusher/user-auth', headers: { Authorization: 'Bearer token-1' } });
});

test('a token that is about to expire is renewed before it is used', async () => {
  const old = makeToken('old', 30);
  const fresh = makeToken('fresh', 900);
  const refreshAuthToken = vi.fn(async () => fresh);
  const { service, backend, subscribed } = setUp({ getAuthToken: () => old, refreshAuthToken });
  service.retain('private-x');
  await subscribed('private-x');
  expect(backend.calls.map(({ headers }) => headers.Authorization)).toEqual([`Bearer ${fresh}`]);
  expect(refreshAuthToken).toHaveBeenCalledTimes(1);
});
