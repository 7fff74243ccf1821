/* connection-monitor.ts - the state of the connection, as values that stay the same object until
 * something changes. */
import type { Pusher } from './channel-authorizer.js';
import { PusherConnectionError } from './errors/connection-error.js';
import type { PusherLogger } from './logger.js';
import { Notifier } from './notifier.js';

/* The states of pusher-js. */
export type PusherConnectionState =
  | 'initialized' // nobody has asked for a connection yet
  | 'connecting'
  | 'connected'
  | 'unavailable' // not connected for a while; attempts go on
  | 'failed' // no transport works here
  | 'disconnected'; // by the application, or refused by the server

export interface ConnectionSnapshot {
  readonly state: PusherConnectionState;
  readonly socketId: string | null;
  /* What went wrong last; cleared by the next connection. */
  readonly error: PusherConnectionError | null;
  /* ws, wss, xhr_streaming or xhr_polling, while connected. */
  readonly transport: string | null;
}

export const INITIAL_CONNECTION: ConnectionSnapshot = Object.freeze({
  state: 'initialized',
  socketId: null,
  error: null,
  transport: null,
});

export class ConnectionMonitor {
  private readonly changes: Notifier;
  private snapshot: ConnectionSnapshot = INITIAL_CONNECTION;
  private pusher: Pusher | null = null;

  constructor(logger: PusherLogger) {
    this.changes = new Notifier(logger);
  }

  current(): ConnectionSnapshot {
    return this.snapshot;
  }

  watch(listener: () => void): () => void {
    return this.changes.add(listener);
  }

  attach(pusher: Pusher): void {
    this.pusher = pusher;
    pusher.connection.bind('state_change', this.onState);
    pusher.connection.bind('error', this.onError);
    this.onState();
  }

  /* The end of a session: what its connection reports on its way out is nobody's business. */
  detach(): void {
    this.pusher?.connection.unbind('state_change', this.onState);
    this.pusher?.connection.unbind('error', this.onError);
    this.pusher = null;
    this.become({ ...INITIAL_CONNECTION, state: 'disconnected' });
  }

  private readonly onState = (): void => {
    if (!this.pusher) return;
    const { connection } = this.pusher;
    const state = connection.state as PusherConnectionState;
    const connected = state === 'connected';
    this.become({
      state,
      socketId: connected ? connection.socket_id : null,
      error: connected ? null : this.snapshot.error,
      transport: connected ? transportName(connection) : null,
    });
  };

  private readonly onError = (reported: unknown): void => {
    this.become({ ...this.snapshot, error: PusherConnectionError.from(reported) });
  };

  private become(next: ConnectionSnapshot): void {
    this.snapshot = Object.freeze(next);
    this.changes.notify();
  }
}

function transportName(connection: Pusher['connection']): string | null {
  const { connection: protocol } = connection as {
    connection?: { transport?: { name?: string } } | null;
  };
  return protocol?.transport?.name ?? null;
}
