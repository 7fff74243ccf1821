/* service.history: what is asked, what comes back, what is refused. */
import WithEncryption from 'pusher-js/with-encryption';
import nacl from 'tweetnacl';
import { expect, test } from 'vitest';
import { PusherHistoryError } from '../../src/index.js';
import { setUp, waitFor } from '../support/setup.js';

const page = (items: unknown[] = []) => ({
  channel: 'news', epoch: 'e1', oldest: 1, newest: 9, items, has_more: false, complete: true,
});
const failure = async (asked: Promise<unknown>): Promise<PusherHistoryError> => {
  const error = await asked.then(() => undefined, (reason: unknown) => reason);
  if (!(error instanceof PusherHistoryError)) throw new Error(`no PusherHistoryError but ${error}`);
  return error;
};

test('a GET with the token and every parameter that was given', async () => {
  const { service, backend } = setUp({ getAuthToken: async () => 't' });
  backend.queue.push({ json: page() });
  await service.history('private-a=b&c', {
    limit: 5, direction: 'forwards', since: { epoch: 'e1', offset: 3 }, until: { epoch: 'e1', offset: 7 }, startMs: 1, endMs: 2, cursor: 'be1:4:0',
  });
  const [call] = backend.calls;
  const url = new URL(call?.url ?? '', 'http://page.test');
  expect([call?.method, url.pathname, call?.body, call?.headers]).toEqual(
    ['GET', '/api/v1/pusher/history', '', { Accept: 'application/json', Authorization: 'Bearer t' }]);
  expect(Object.fromEntries(url.searchParams)).toEqual({
    channel: 'private-a=b&c', limit: '5', direction: 'forwards', since: 'e1:3', until: 'e1:7', start_ms: '1', end_ms: '2', cursor: 'be1:4:0',
  });
  expect(service.getState()).toBe('initialized');
});

test('events have their data as callbacks get it', async () => {
  const { service, backend } = setUp();
  const item = (offset: number, data: string, more = {}) => ({ id: `e1:${offset}`, offset, name: 'e', data, time_ms: 5, ...more });
  backend.queue.push({ json: { ...page([item(9, '{"n":1}', { user_id: 'u' }), item(8, 'no json'), item(7, '"7"')]), has_more: true, complete: false, cursor: 'c' } });
  expect(await service.history('news')).toEqual({
    channel: 'news', epoch: 'e1', oldest: 1, newest: 9, hasMore: true, complete: false, cursor: 'c',
    events: [
      { id: 'e1:9', offset: 9, event: 'e', data: { n: 1 }, timeMs: 5, userId: 'u' },
      { id: 'e1:8', offset: 8, event: 'e', data: 'no json', timeMs: 5 },
      { id: 'e1:7', offset: 7, event: 'e', data: '7', timeMs: 5 },
    ],
  });
});

test('401: one other token, once', async () => {
  let refreshed = 0;
  const { service, backend } = setUp({ getAuthToken: () => 'old', refreshAuthToken: async () => `new-${++refreshed}` });
  backend.queue.push({ status: 401 }, { json: page() });
  await service.history('news');
  expect(backend.calls.map(({ headers }) => headers.Authorization)).toEqual(['Bearer old', 'Bearer new-1']);
  backend.queue.push({ status: 401 }, { status: 401, json: { detail: 'Token has expired' } });
  const error = await failure(service.history('news'));
  expect([error.status, error.code, error.detail, refreshed]).toEqual([401, 'unauthorized', 'Token has expired', 2]);
});

for (const [status, code] of [[403, 'forbidden'], [404, 'not_found'], [410, 'not_found'], [400, 'invalid'], [503, 'unavailable']] as const)
  test(`${status} is ${code}, and asked for once`, async () => {
    const { service, backend } = setUp({ getAuthToken: () => 't', refreshAuthToken: async () => 'u' });
    backend.queue.push({ status, json: { detail: 'why' }, headers: { 'Retry-After': '2' } });
    const error = await failure(service.history('news'));
    expect([error.channel, error.status, error.code, error.detail, error.retryAfter]).toEqual(['news', status, code, 'why', 2]);
    expect(error.message).toBe(`history of news failed: ${code} (${status}): why`);
    expect(backend.calls).toHaveLength(1);
  });

test('an answer that is no page, no answer, and a caller that gives up', async () => {
  const { service, backend } = setUp();
  backend.queue.push({ text: '<html>' }, new TypeError('offline'), new Promise(() => undefined), new Promise(() => undefined));
  expect((await failure(service.history('news'))).code).toBe('response');
  expect((await failure(service.history('news'))).code).toBe('network');
  expect((await failure(service.history('news', { timeoutMs: 1 }))).code).toBe('timeout');
  const abort = new AbortController();
  const asked = failure(service.history('news', { signal: abort.signal }));
  await waitFor(() => expect(backend.calls).toHaveLength(4));
  abort.abort();
  expect((await asked).code).toBe('aborted');
  expect(backend.calls[3]?.signal?.aborted).toBe(true);
});

test('onStep: each event with its position, and word of where the stream is', async () => {
  const { service, server, faults, subscribed } = setUp({ recovery: true });
  server.recovery = () => ({ epoch: 'e1', offset: 4 });
  const steps: unknown[] = [];
  const end = service.onStep('news', (step) => steps.push(step));
  service.onStep('news', () => { throw new Error('mine'); });
  service.retain('news');
  await subscribed('news');
  server.publish('news', 'e', { n: 1 });
  server.publish('news', 'client-e', 0);
  server.publish('news', 'pusher_internal:position', { epoch: 'e1', offset: 8 });
  end();
  server.publish('news', 'e', { n: 2 });
  expect(steps).toEqual([
    { position: { epoch: 'e1', offset: 4 }, event: null },
    { position: { epoch: 'e1', offset: 5 }, event: 'e', data: { n: 1 } },
    { position: { epoch: 'e1', offset: 8 }, event: null },
  ]);
  expect(faults).toHaveLength(4);
});

test('an encrypted channel: pages say what was said once the channel is subscribed, and steps do', async () => {
  const key = new Uint8Array(32).fill(7);
  const nonce = new Uint8Array(24).fill(1);
  const base64 = (bytes: Uint8Array): string => btoa(String.fromCharCode(...bytes));
  const seal = (value: unknown): string => {
    const box = nacl.secretbox(Uint8Array.from(new TextEncoder().encode(JSON.stringify(value))), nonce, key);
    return JSON.stringify({ nonce: base64(nonce), ciphertext: base64(box) });
  };
  const name = 'private-encrypted-news';
  const { service, backend, server, subscribed } = setUp({ recovery: true, Pusher: WithEncryption });
  backend.answer = ({ url }) => (url.includes('/history?')
    ? { json: page([{ id: 'e1:1', offset: 1, name: 'e', data: seal({ text: 'é' }), time_ms: 5 }]) }
    : { json: { auth: 'key:x', shared_secret: base64(key) } });
  server.recovery = () => ({ epoch: 'e1', offset: 1 });
  const dataOf = async (): Promise<unknown> => (await service.history(name)).events[0]?.data;
  expect(await dataOf()).toEqual(JSON.parse(seal({ text: 'é' })));
  const heard: unknown[] = [];
  service.onStep(name, ({ event, data }) => event && heard.push(service.decrypt(name, data)));
  service.bind(name, 'e', (data) => heard.push(data));
  await subscribed(name);
  expect(await dataOf()).toEqual({ text: 'é' });
  server.publish(name, 'e', JSON.parse(seal({ text: 'live' })));
  expect(heard).toEqual([{ text: 'live' }, { text: 'live' }]);
  expect(service.decrypt(name, { nonce: 'x', ciphertext: 'y' })).toEqual({ nonce: 'x', ciphertext: 'y' });
});
