'use client';
/* use-pusher-connection.ts - the state of the connection, for a badge or a banner. */
import { useCallback, useSyncExternalStore } from 'react';
import type { ConnectionSnapshot } from '../index.js';
import { INITIAL_CONNECTION } from '../connection-monitor.js';
import { usePusherService } from './provider.js';

export interface ConnectionResult extends ConnectionSnapshot {
  /* Connects at once, or for the first time. */
  reconnect: () => void;
}

/* Looks on: it does not connect by itself. */
export function usePusherConnection(): ConnectionResult {
  const service = usePusherService();
  const watch = useCallback((onChange: () => void) => service.onStateChange(onChange), [service]);
  const connection = useSyncExternalStore(
    watch,
    () => service.getConnection(),
    () => INITIAL_CONNECTION,
  );
  const reconnect = useCallback(() => service.reconnect(), [service]);
  return { ...connection, reconnect };
}
