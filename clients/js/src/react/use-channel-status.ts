'use client';
/* use-channel-status.ts - status and error of a channel, for hooks. */
import { useCallback, useSyncExternalStore } from 'react';
import type { ChannelSnapshot } from '../index.js';
import { PENDING } from '../shared-channel.js';
import { usePusherService } from './provider.js';

const IDLE: ChannelSnapshot = Object.freeze({ status: 'idle', error: null });
const nothing = (): void => undefined;

export function useChannelStatus(channel: string | null | undefined): ChannelSnapshot {
  const service = usePusherService();
  const watch = useCallback(
    (onChange: () => void) => (channel ? service.onChannelChange(channel, onChange) : nothing),
    [service, channel],
  );
  return useSyncExternalStore(
    watch,
    () => (channel ? service.channelStatus(channel) : IDLE),
    // A server subscribes to nothing, and the first render of a page must say the same.
    () => (channel ? PENDING : IDLE),
  );
}
