/* The service itself: sessions, connection state, where it connects to. */
import { expect, test, vi } from 'vitest';
import { createPusherService, PusherConfigurationError, pusherService } from '../../src/index.js';
import { RealPusher } from '../../src/pusher-class.js';
import { FakeServer } from '../support/fake-server.js';
import { settle, setUp, waitFor } from '../support/setup.js';

test('nothing happens before it is asked for', () => {
  const { service, server } = setUp();
  const before = RealPusher.instances.length;
  expect([service.getState(), service.socketId, service.transport, service.lastError]).toEqual(['initialized', null, null, null]);
  expect([server.sockets.length, RealPusher.instances.length]).toEqual([0, before]);
});

test('initialize connects once', async () => {
  const { service, server, connected } = setUp();
  service.initialize();
  service.initialize();
  await connected();
  service.initialize();
  expect(server.sockets.map(({ url }) => url)).toEqual([expect.stringMatching(/^ws:\/\/realtime\.test:6001\/app\/app-key\?/)]);
  expect([service.getState(), service.socketId, service.transport]).toEqual(['connected', '1.1', 'ws']);
});

test('the state is told to who asked, with the same object until it changes', async () => {
  const { service, connected } = setUp();
  const seen: string[] = [];
  const stop = service.onStateChange(({ state }) => seen.push(state));
  service.initialize();
  await connected();
  expect(service.getConnection()).toBe(service.getConnection());
  service.disconnect();
  stop();
  service.initialize();
  expect(seen).toEqual(['connecting', 'connected', 'disconnected']);
});

test('a listener that throws stops no other', async () => {
  const { service, faults, connected } = setUp();
  const seen: string[] = [];
  const fault = new Error('mine');
  service.onStateChange(() => {
    throw fault;
  });
  service.onStateChange(({ state }) => seen.push(state));
  service.initialize();
  await connected();
  expect(seen).toEqual(['connecting', 'connected']);
  expect(faults).toEqual([fault, fault]);
});

test('what the server says when it closes is the last error, until the next connection', async () => {
  const { service, server, connected } = setUp();
  service.initialize();
  await connected();
  server.socket.end(4004, 'over quota');
  await waitFor(() => expect(service.getState()).toBe('disconnected'));
  expect(service.lastError).toMatchObject({ name: 'PusherConnectionError', code: 4004, message: 'over quota' });
  expect([service.socketId, service.transport]).toEqual([null, null]);
  service.reconnect();
  await connected();
  expect(service.lastError).toBeNull();
});

test('a connection that is lost comes back by pusher-js alone, with its channels', async () => {
  const { service, server, subscribed } = setUp();
  const heard: unknown[] = [];
  service.bind('news', 'e', (data) => heard.push(data));
  await subscribed('news');
  server.socket.end();
  await waitFor(() => expect(server.connections).toBe(2));
  await subscribed('news');
  server.publish('news', 'e', 'again');
  expect(heard).toEqual(['again']);
  expect(server.log).toEqual(['SUB news', 'SUB news']);
});

test('disconnect ends the session and leaves no instance behind', async () => {
  const { service, server, connected } = setUp();
  const before = RealPusher.instances.length;
  service.initialize();
  await connected();
  expect(RealPusher.instances.length).toBe(before + 1);
  service.disconnect();
  service.disconnect();
  expect(RealPusher.instances.length).toBe(before);
  expect([service.getState(), service.socketId]).toEqual(['disconnected', null]);
  expect(server.socket.readyState).toBe(3);
});

test('the next session has what handles hold, with their callbacks, and no plain subscriptions', async () => {
  const { service, server, connected, subscribed } = setUp();
  const heard: unknown[] = [];
  const handle = service.retain('kept');
  handle.bind('e', (data) => heard.push(data));
  service.subscribe('called');
  await subscribed('called');
  const old = handle.channel;
  service.disconnect();
  expect(handle.channel).toBeNull();
  expect(service.channelUsers()).toEqual(new Map([['kept', 1]]));
  server.log.length = 0;
  service.initialize();
  await connected();
  await subscribed('kept');
  expect(server.log).toEqual(['SUB kept']);
  expect(handle.channel).not.toBe(old);
  server.publish('kept', 'e', 1);
  expect(heard).toEqual([1]);
});

test('releasing between two sessions is not forgotten', async () => {
  const { service, server, connected, subscribed } = setUp();
  const handle = service.retain('news');
  await subscribed('news');
  service.disconnect();
  handle.release();
  await settle();
  server.log.length = 0;
  service.initialize();
  await connected();
  await settle();
  expect(server.log).toEqual([]);
});

test('without a host the server is the page\'s own', async () => {
  const { service, server, connected } = setUp({ host: undefined, port: undefined, scheme: undefined });
  service.initialize();
  await connected();
  const { hostname, port } = window.location;
  expect(server.socket.url).toMatch(new RegExp(`^ws://${hostname}:${port || 80}/app/app-key`));
});

test('fallbacks to HTTP stay possible, on the same host, unless transports are named', () => {
  const made: Array<Record<string, unknown>> = [];
  class Spy extends RealPusher {
    constructor(key: string, options: ConstructorParameters<typeof RealPusher>[1]) {
      made.push({ ...options });
      super(key, options);
    }
  }
  for (const enabledTransports of [undefined, ['xhr_polling' as const]])
    setUp({ Pusher: Spy, enabledTransports, pusherOptions: { activityTimeout: 5000 } }).service.initialize();
  expect(made[0]).toMatchObject({
    cluster: 'self', wsHost: 'realtime.test', httpHost: 'realtime.test', wsPort: 6001, httpPort: 6001, wssPort: 6001,
    httpsPort: 6001, forceTLS: false, activityTimeout: 5000,
  });
  expect(made[0]).not.toHaveProperty('enabledTransports');
  expect(made[1]).toHaveProperty('enabledTransports', ['xhr_polling']);
});

test('a missing key is an error of the configuration, for hooks in the status', () => {
  const service = createPusherService({ host: 'realtime.test' });
  expect(() => service.initialize()).toThrow(PusherConfigurationError);
  service.retain('news');
  expect(service.channelStatus('news')).toMatchObject({ status: 'error', error: { name: 'PusherConfigurationError' } });
});

test.each([
  ['port', { port: 0 }, /port: '0'/],
  ['scheme', { scheme: 'ftp' as 'http' }, /'ftp' is neither http nor https/],
])('a wrong %s is an error of the configuration', (_, options, message) => {
  const { service } = setUp(options);
  expect(() => service.initialize()).toThrow(message);
});

test('configure adds options until the service is connected', async () => {
  const { service, backend, subscribed } = setUp();
  service.configure({ getAuthToken: () => 'configured' });
  service.retain('private-x');
  await subscribed('private-x');
  expect(backend.calls[0]?.headers.Authorization).toBe('Bearer configured');
  expect(() => service.configure({ key: 'other' })).toThrow(/too late/);
  service.disconnect();
  service.configure({ getAuthToken: () => 'next user' });
  service.initialize();
  await subscribed('private-x');
  expect(backend.calls.at(-1)?.headers.Authorization).toBe('Bearer next user');
});

test('pusherService reads VITE_PUSHER_* when it is first used', async () => {
  const server = new FakeServer().install();
  const settings = { KEY: 'env-key', CLUSTER: 'mt1', HOST: 'env.test', PORT: '8443', SCHEME: 'https', AUTH_ENDPOINT: '/my/auth' };
  for (const [name, value] of Object.entries(settings)) vi.stubEnv(`VITE_PUSHER_${name}`, value);
  const asked: string[] = [];
  pusherService.configure({
    enabledTransports: ['ws', 'wss'],
    logToConsole: false,
    fetch: async (url) => {
      asked.push(url);
      return new Response('{"auth":"key:sig"}');
    },
  });
  pusherService.retain('private-x');
  await waitFor(() => expect(pusherService.channelStatus('private-x').status).toBe('subscribed'));
  expect(server.socket.url).toMatch(/^wss:\/\/env\.test:8443\/app\/env-key\?/);
  expect(asked).toEqual(['/my/auth']);
  pusherService.disconnect();
  vi.unstubAllEnvs();
});

test('several services live side by side', async () => {
  const one = setUp();
  const two = setUp({ key: 'other-key' });
  one.service.retain('news');
  two.service.retain('news');
  await Promise.all([one.subscribed('news'), two.subscribed('news')]);
  one.service.disconnect();
  expect(two.service.channelStatus('news').status).toBe('subscribed');
});
