'use client';
/* use-presence-channel.ts - who is here. */
import { useCallback, useEffect, useSyncExternalStore } from 'react';
import type { ChannelSnapshot, PresenceSnapshot } from '../index.js';
import { EMPTY_PRESENCE } from '../presence-roster.js';
import { usePusherService } from './provider.js';
import { useChannelStatus } from './use-channel-status.js';

export interface PresenceResult<Info = unknown> extends PresenceSnapshot<Info>, ChannelSnapshot {}

const nothing = (): void => undefined;

/* Subscribes, too.  While the connection is away, status is pending and the list as it was. */
export function usePresenceChannel<Info = unknown>(
  channel: string | null | undefined,
): PresenceResult<Info> {
  const service = usePusherService();
  const status = useChannelStatus(channel);
  const watch = useCallback(
    (onChange: () => void) => (channel ? service.onChannelChange(channel, onChange) : nothing),
    [service, channel],
  );
  const presence = useSyncExternalStore(
    watch,
    () => (channel ? service.presence(channel) : EMPTY_PRESENCE),
    () => EMPTY_PRESENCE,
  );
  useEffect(() => {
    if (!channel) return undefined;
    const handle = service.retain(channel);
    return () => handle.release();
  }, [service, channel]);
  return { ...status, ...(presence as PresenceSnapshot<Info>) };
}
