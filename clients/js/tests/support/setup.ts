/* A service with a server and a backend of its own, ended with the test. */
import { onTestFinished, vi } from 'vitest';
import { createPusherService, type PusherService, type PusherServiceOptions } from '../../src/index.js';
import { FakeBackend } from './fake-backend.js';
import { FakeServer } from './fake-server.js';

export interface Bench {
  service: PusherService;
  server: FakeServer;
  backend: FakeBackend;
  faults: unknown[];
  /* Waits until the channel is subscribed. */
  subscribed(name: string): Promise<void>;
  connected(): Promise<void>;
}

export function setUp(options: Partial<PusherServiceOptions> = {}): Bench {
  const server = new FakeServer().install();
  const backend = new FakeBackend();
  const faults: unknown[] = [];
  const service = createPusherService({
    key: 'app-key',
    host: 'realtime.test',
    scheme: 'http',
    port: 6001,
    enabledTransports: ['ws'],
    fetch: backend.fetch,
    logger: { error: (_, error) => faults.push(error) },
    ...options,
  });
  onTestFinished(() => service.disconnect());
  const status = (name: string, wanted: string): Promise<void> =>
    waitFor(() => {
      if (service.channelStatus(name).status !== wanted) throw new Error(`${name} is not ${wanted}`);
    });
  return {
    service,
    server,
    backend,
    faults,
    subscribed: (name) => status(name, 'subscribed'),
    connected: () =>
      waitFor(() => {
        if (service.getState() !== 'connected') throw new Error('not connected');
      }),
  };
}

/* Waits for a condition, on a busy machine, too. */
export const waitFor = (check: () => void): Promise<void> => vi.waitFor(check, { timeout: 10000, interval: 5 });

/* Until what was deferred by one macrotask, and what follows from it, has happened. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 4; i++) await new Promise((resolve) => setTimeout(resolve, 0));
}
