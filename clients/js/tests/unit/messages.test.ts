/* sendMessage and the other calls: what is sent, what comes back, what is tried again. */
import { beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { PusherMessageError, type SendOptions } from '../../src/index.js';
import type { Bench } from '../support/setup.js';
import { setUp } from '../support/setup.js';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

beforeEach(() => {
  vi.useFakeTimers();
  onTestFinished(() => {
    vi.useRealTimers();
  });
});

const failure = async (sent: Promise<unknown>): Promise<PusherMessageError> => {
  const error = await sent.then(() => undefined, (reason: unknown) => reason);
  if (!(error instanceof PusherMessageError)) throw new Error(`no PusherMessageError but ${error}`);
  return error;
};
/* Sends and lets all timers run until it has ended. */
async function send({ service }: Bench, options?: SendOptions): Promise<unknown> {
  const sent = service.sendMessage('chat', { text: 'hi' }, 'private-x', options);
  const ended = sent.catch(() => undefined);
  await vi.advanceTimersByTimeAsync(60000);
  await ended;
  return sent;
}

test('the guide\'s body, the token and the answer as it came', async () => {
  const bench = setUp({ getAuthToken: () => 'token-1' });
  bench.backend.queue.push({ json: { success: true, message: 'Message sent successfully', user_id: 'u1' } });
  expect(await send(bench)).toEqual({ success: true, message: 'Message sent successfully', user_id: 'u1' });
  const [call] = bench.backend.calls;
  expect(call?.url).toBe('/api/v1/pusher/message');
  expect(call?.headers).toMatchObject({ 'Content-Type': 'application/json', Authorization: 'Bearer token-1' });
  expect(JSON.parse(call?.body ?? '')).toEqual({
    message_type: 'chat', payload: { text: 'hi' }, channel: 'private-x', request_id: expect.stringMatching(UUID),
  });
});

test('without a channel none is named', async () => {
  const { service, backend } = setUp();
  await service.sendMessage('test_message', { content: 'Hello' });
  expect(JSON.parse(backend.calls[0]?.body ?? '')).not.toHaveProperty('channel');
});

test('the socket id goes along while there is one', async () => {
  const bench = setUp();
  await send(bench);
  bench.service.initialize();
  await vi.advanceTimersByTimeAsync(10);
  await send(bench);
  expect(bench.backend.calls.map(({ headers }) => headers['X-Socket-Id'])).toEqual([undefined, '1.1']);
});

test('a page without randomUUID makes request ids all the same', async () => {
  vi.stubGlobal('crypto', { getRandomValues: (bytes: Uint8Array) => bytes.fill(0xff) });
  const { service, backend } = setUp();
  await service.sendMessage('t', {});
  expect(JSON.parse(backend.calls[0]?.body ?? '').request_id).toMatch(UUID);
});

test.each([
  [400, { detail: 'Invalid request format' }, 'invalid', 'Invalid request format'],
  [403, { detail: 'Insufficient permissions' }, 'forbidden', 'Insufficient permissions'],
  [404, { nothing: true }, 'not_found', null],
  [500, { detail: 'Failed to send message' }, 'server', 'Failed to send message'],
  [502, undefined, 'unavailable', null],
  [418, { detail: 'teapot' }, 'refused', 'teapot'],
])('%i is a typed error and is not tried again', async (status, json, code, detail) => {
  const bench = setUp();
  bench.backend.queue.push(json ? { status, json } : { status, text: '<html>' });
  const error = await failure(send(bench, { requestId: 'r-1' }));
  expect(error).toMatchObject({ name: 'PusherMessageError', status, code, detail, requestId: 'r-1' });
  expect(error.message).toContain(String(status));
  expect(bench.backend.calls).toHaveLength(1);
});

test('the fields of a 422 are kept, and told in the message', async () => {
  const bench = setUp();
  const detail = [{ type: 'missing', loc: ['body', 'message_type'], msg: 'Field required', input: {} }];
  bench.backend.queue.push({ status: 422, json: { detail } });
  const error = await failure(send(bench));
  expect(error.detail).toEqual([{ type: 'missing', loc: ['body', 'message_type'], msg: 'Field required' }]);
  expect(error.message).toContain('body.message_type: Field required');
});

test('a 2xx that is no JSON object is an error', async () => {
  const bench = setUp();
  bench.backend.queue.push({ text: 'OK' });
  expect(await failure(send(bench))).toMatchObject({ status: 200, code: 'response' });
});

test('401: the token is renewed and the message sent once more, with the same request id', async () => {
  const refreshAuthToken = vi.fn(async () => 'new');
  const bench = setUp({ getAuthToken: () => 'old', refreshAuthToken });
  bench.backend.queue.push({ status: 401, json: { detail: 'Token has expired' } });
  await send(bench, { retries: 0 });
  const { calls } = bench.backend;
  expect(calls.map(({ headers }) => headers.Authorization)).toEqual(['Bearer old', 'Bearer new']);
  expect(calls[0]?.body).toBe(calls[1]?.body);
  expect(refreshAuthToken).toHaveBeenCalledTimes(1);
});

test('401 twice ends as unauthorized', async () => {
  const bench = setUp({ getAuthToken: () => 'old', refreshAuthToken: async () => 'new' });
  bench.backend.answer = () => ({ status: 401, json: { detail: 'Invalid token' } });
  expect(await failure(send(bench))).toMatchObject({ status: 401, code: 'unauthorized', detail: 'Invalid token' });
  expect(bench.backend.calls).toHaveLength(2);
});

test('a 401 is not tried again when nobody can renew the token, nor a 403 ever', async () => {
  const one = setUp({ getAuthToken: () => 'only' });
  one.backend.answer = () => ({ status: 401 });
  await failure(send(one));
  expect(one.backend.calls).toHaveLength(1);
  const two = setUp({ getAuthToken: () => 'old', refreshAuthToken: async () => 'new' });
  two.backend.answer = () => ({ status: 403 });
  await failure(send(two));
  expect(two.backend.calls).toHaveLength(1);
});

test.each([429, 503])('%i waits as long as Retry-After says', async (status) => {
  const { service, backend } = setUp();
  backend.queue.push({ status, headers: { 'Retry-After': '4' } });
  const sent = service.sendMessage('chat', {});
  await vi.advanceTimersByTimeAsync(3900);
  expect(backend.calls).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(200);
  expect(await sent).toMatchObject({ success: true });
  expect(backend.calls).toHaveLength(2);
});

test('a Retry-After beyond the time limit is not waited for but told', async () => {
  const { service, backend } = setUp();
  backend.queue.push({ status: 429, headers: { 'Retry-After': '60' }, json: { detail: 'Rate limit exceeded' } });
  const error = await failure(service.sendMessage('chat', {}, undefined, { timeoutMs: 5000 }));
  expect(error).toMatchObject({ status: 429, code: 'rate_limited', retryAfter: 60 });
  expect(backend.calls).toHaveLength(1);
});

test('Retry-After may be a date', async () => {
  const bench = setUp();
  vi.setSystemTime(new Date('2026-01-01T00:00:00Z'));
  bench.backend.answer = () => ({ status: 503, headers: { 'Retry-After': 'Thu, 01 Jan 2026 00:02:00 GMT' } });
  expect((await failure(bench.service.sendMessage('chat', {}))).retryAfter).toBe(120);
});

test('retries end, and the last failure is the one that is told', async () => {
  const bench = setUp();
  bench.backend.answer = () => ({ status: 503 });
  expect(await failure(send(bench))).toMatchObject({ status: 503, code: 'unavailable' });
  expect(bench.backend.calls).toHaveLength(3);
  bench.backend.calls.length = 0;
  await failure(send(bench, { retries: 0 }));
  expect(bench.backend.calls).toHaveLength(1);
});

test('no answer: tried again only with an idempotency key, which goes along', async () => {
  const offline = new TypeError('fetch failed');
  const plain = setUp();
  plain.backend.queue.push(offline);
  expect(await failure(send(plain))).toMatchObject({ status: 0, code: 'network', cause: offline });
  expect(plain.backend.calls).toHaveLength(1);
  const keyed = setUp();
  keyed.backend.queue.push(offline, { status: 502 });
  expect(await send(keyed, { idempotencyKey: 'k-1' })).toMatchObject({ success: true });
  expect(keyed.backend.calls.map(({ body }) => JSON.parse(body).idempotency_key)).toEqual(['k-1', 'k-1', 'k-1']);
});

test('a time limit covers everything together', async () => {
  const { service, backend } = setUp();
  backend.answer = () => new Promise(() => undefined);
  const sent = failure(service.sendMessage('chat', {}, undefined, { timeoutMs: 2000, idempotencyKey: 'k' }));
  await vi.advanceTimersByTimeAsync(1900);
  expect(backend.calls[0]?.signal?.aborted).toBe(false);
  await vi.advanceTimersByTimeAsync(200);
  expect(await sent).toMatchObject({ status: 0, code: 'timeout' });
  expect(backend.calls[0]?.signal?.aborted).toBe(true);
});

test('a token provider that hangs is within the time limit, too', async () => {
  const { service } = setUp({ getAuthToken: () => new Promise(() => undefined) });
  const sent = failure(service.sendMessage('chat', {}, undefined, { timeoutMs: 2000 }));
  await vi.advanceTimersByTimeAsync(2100);
  expect(await sent).toMatchObject({ code: 'timeout' });
});

test('the caller may give up: before, during, and while waiting to try again', async () => {
  const { service, backend } = setUp();
  expect(await failure(service.sendMessage('chat', {}, undefined, { signal: AbortSignal.abort() }))).toMatchObject({ code: 'aborted' });
  expect(backend.calls).toHaveLength(0);
  const during = new AbortController();
  backend.queue.push(new Promise(() => undefined));
  const sent = failure(service.sendMessage('chat', {}, undefined, { signal: during.signal, idempotencyKey: 'k' }));
  await vi.advanceTimersByTimeAsync(10);
  during.abort();
  expect(await sent).toMatchObject({ code: 'aborted' });
  expect(backend.calls).toHaveLength(1);
  const waiting = new AbortController();
  backend.queue.push({ status: 503 });
  const later = failure(service.sendMessage('chat', {}, undefined, { signal: waiting.signal }));
  await vi.advanceTimersByTimeAsync(100);
  waiting.abort();
  expect(await later).toMatchObject({ code: 'aborted' });
  expect(backend.calls).toHaveLength(2);
});

test('each named call has its path and body', async () => {
  const { service, backend } = setUp({ apiBase: 'https://app.test/base/' });
  await service.createEnvironment({ environment_type: 'classroom', config: { size: 1 } }, { requestId: 'r' });
  await service.requestAnalytics({ metric_type: 'all' }, { requestId: 'r' });
  await service.robloxSync('push', { a: 1 }, { requestId: 'r' });
  await service.post('/user/thing', { b: 2 }, { requestId: 'r' });
  expect(backend.calls.map(({ url, body }) => [url, JSON.parse(body)])).toEqual([
    ['https://app.test/base/environment/create', { environment_type: 'classroom', config: { size: 1 }, request_id: 'r' }],
    ['https://app.test/base/analytics/realtime', { metric_type: 'all', request_id: 'r' }],
    ['https://app.test/base/roblox/sync', { action: 'push', data: { a: 1 }, request_id: 'r' }],
    ['https://app.test/base/user/thing', { b: 2, request_id: 'r' }],
  ]);
});
