/* carillon-js/pusher: the class that takes the place of pusher-js. */
import RealPusher from '#pusher-js';
import { expect, onTestFinished, test, vi } from 'vitest';
import Pusher from '../../src/pusher/index.js';
import type { PusherOptions } from '../../src/pusher/index.js';
import { FakeServer } from '../support/fake-server.js';
import { waitFor } from '../support/setup.js';

function make(options: PusherOptions): { pusher: Pusher; server: FakeServer } {
  const server = new FakeServer().install();
  const pusher = new Pusher('app-key', options);
  onTestFinished(() => pusher.disconnect());
  return { pusher, server };
}

test('it is a Pusher', () => {
  const { pusher } = make({ cluster: 'mt1' });
  expect(pusher).toBeInstanceOf(RealPusher);
  expect(Pusher.instances).toContain(pusher);
});

test('only a cluster named: the page\'s own address, over WebSocket and HTTP', () => {
  const { pusher } = make({ cluster: 'mt1' });
  const { hostname, port } = window.location;
  const number = Number(port || 80);
  expect(pusher.config).toMatchObject({
    wsHost: hostname, wsPort: number, wssPort: number, httpHost: hostname, httpPort: number, httpsPort: number, useTLS: false,
  });
});

test('VITE_PUSHER_HOST, PORT and SCHEME go before the page', () => {
  vi.stubEnv('VITE_PUSHER_HOST', 'env.test');
  vi.stubEnv('VITE_PUSHER_PORT', '8443');
  vi.stubEnv('VITE_PUSHER_SCHEME', 'https');
  onTestFinished(() => {
    vi.unstubAllEnvs();
  });
  const { pusher } = make({ cluster: 'mt1' });
  expect(pusher.config).toMatchObject({ wsHost: 'env.test', wssPort: 8443, httpHost: 'env.test', httpsPort: 8443, useTLS: true });
});

test('what the options name is left as it is', () => {
  const named = make({ cluster: 'mt1', wsHost: 'my.test', wsPort: 1 }).pusher;
  expect(named.config).toMatchObject({ wsHost: 'my.test', wsPort: 1, httpHost: 'sockjs-mt1.pusher.com' });
  const port = make({ cluster: 'mt1', wsPort: 6001 }).pusher;
  expect(port.config).toMatchObject({ wsHost: window.location.hostname, wsPort: 6001 });
});

test('auth.endpoint is where channels are asked for, with auth.headers and params', async () => {
  const sent: Array<{ url: string; headers: Record<string, string>; body: string }> = [];
  vi.stubGlobal('XMLHttpRequest', class {
    readyState = 0;
    status = 200;
    responseText = '{"auth":"app-key:signed"}';
    onreadystatechange: () => void = () => undefined;
    private url = '';
    private headers: Record<string, string> = {};
    open(_: string, url: string): void {
      this.url = url;
    }
    setRequestHeader(name: string, value: string): void {
      this.headers[name] = value;
    }
    send(body: string): void {
      sent.push({ url: this.url, headers: this.headers, body });
      this.readyState = 4;
      this.onreadystatechange();
    }
  });
  const { pusher, server } = make({
    cluster: 'mt1',
    enabledTransports: ['ws'],
    auth: { endpoint: '/api/v1/pusher/auth', headers: { Authorization: 'Bearer t' }, params: { p: '1' } },
  });
  pusher.subscribe('private-x');
  await waitFor(() => expect(server.subscribes).toEqual([{ channel: 'private-x', auth: 'app-key:signed' }]));
  expect(sent).toHaveLength(1);
  expect(sent[0]).toMatchObject({ url: '/api/v1/pusher/auth', headers: { Authorization: 'Bearer t' } });
  expect(sent[0]?.body).toContain('p=1');
});

test('authEndpoint goes before auth.endpoint', () => {
  const { pusher } = make({ authEndpoint: '/a', auth: { endpoint: '/b' } });
  expect(pusher.options.authEndpoint).toBe('/a');
});

test('logToConsole and log reach the real class', () => {
  expect(Pusher.logToConsole).toBe(false);
  const log = vi.spyOn(console, 'log').mockImplementation(() => undefined);
  Pusher.logToConsole = true;
  onTestFinished(() => {
    Pusher.logToConsole = false;
    Pusher.log = undefined as unknown as typeof Pusher.log;
  });
  expect((RealPusher as unknown as typeof Pusher).logToConsole).toBe(true);
  make({ cluster: 'mt1' });
  expect(log).toHaveBeenCalled();
  const own: unknown[] = [];
  Pusher.log = (message) => own.push(message);
  make({ cluster: 'mt1' });
  expect(own.length).toBeGreaterThan(0);
});
