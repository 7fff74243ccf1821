'use client';
/* use-pusher-channel.ts - a component that listens to a channel, and may send to it. */
import { useCallback, useEffect } from 'react';
import type {
  ChannelSnapshot,
  Discontinuity,
  EventCallback,
  KnownChannel,
  KnownEvent,
  PusherEvents,
  SendOptions,
  SendResult,
  UnlistedChannel,
  UnlistedEvent,
} from '../index.js';
import { usePusherService } from './provider.js';
import { useChannelStatus } from './use-channel-status.js';
import { useLatest } from './use-latest.js';

export type ChannelError = NonNullable<ChannelSnapshot['error']>;

export interface PusherChannelOptions {
  /* Once for each error that status shows. */
  onError?: (error: ChannelError) => void;
  /* With the service's option recovery: events are missing and will not come, so what the page
   * shows is to be loaded again.  Once for each time that continuity is lost. */
  onDiscontinuity?: (gap: Discontinuity) => void;
}

export interface PusherChannelResult extends ChannelSnapshot {
  /* The same function for as long as the channel is the same. */
  sendMessage: (
    messageType: string,
    payload: unknown,
    options?: SendOptions,
  ) => Promise<SendResult>;
}

/* By event name.  Each callback names the type that it takes; nothing checks what arrives. */
export type EventHandlers = { readonly [event: string]: EventCallback<never> };

export type KnownHandlers<C extends KnownChannel> = {
  readonly [E in KnownEvent<C>]?: EventCallback<PusherEvents[C][E]>;
};

/* No channel (null, undefined, '') means: not now.  Callbacks may be inline. */
export function usePusherChannel<C extends KnownChannel, E extends KnownEvent<C>>(
  channel: C | null | undefined,
  event: E,
  callback: EventCallback<PusherEvents[C][E]>,
  options?: PusherChannelOptions,
): PusherChannelResult;
export function usePusherChannel<T = unknown, C extends string = string, E extends string = string>(
  channel: C | null | undefined,
  event: E & UnlistedEvent<C, E>,
  callback: EventCallback<T>,
  options?: PusherChannelOptions,
): PusherChannelResult;
export function usePusherChannel<C extends KnownChannel>(
  channel: C | null | undefined,
  handlers: KnownHandlers<C>,
  options?: PusherChannelOptions,
): PusherChannelResult;
export function usePusherChannel<C extends string>(
  channel: (C & UnlistedChannel<C>) | null | undefined,
  handlers: EventHandlers,
  options?: PusherChannelOptions,
): PusherChannelResult;
export function usePusherChannel(
  channel: string | null | undefined,
  what: string | object,
  callbackOrOptions?: unknown,
  optionsOfOne?: PusherChannelOptions,
): PusherChannelResult {
  const service = usePusherService();
  const status = useChannelStatus(channel);
  const one = typeof what === 'string';
  const handlers = (one ? { [what]: callbackOrOptions } : what) as Record<
    string,
    EventCallback | undefined
  >;
  const options = (one ? optionsOfOne : callbackOrOptions) as PusherChannelOptions | undefined;
  const { onError, onDiscontinuity } = options ?? {};
  const latest = useLatest({ handlers, onError, onDiscontinuity });
  // Names, not functions, decide whether anything has to be bound again.
  const events = JSON.stringify(Object.keys(handlers).sort());

  useEffect(() => {
    if (!channel) return undefined;
    let last: ChannelError | null = null;
    const checkError = (): void => {
      const { error } = service.channelStatus(channel);
      if (error && error !== last) latest.current.onError?.(error);
      last = error;
    };
    const unwatch = service.onChannelChange(channel, checkError);
    const handle = service.retain(channel);
    for (const event of JSON.parse(events) as string[])
      handle.bind(event, (data, metadata) => latest.current.handlers[event]?.(data, metadata));
    handle.bind<Discontinuity>('carillon:discontinuity', (gap) =>
      latest.current.onDiscontinuity?.(gap),
    );
    checkError();
    return () => {
      unwatch();
      handle.release();
    };
  }, [service, channel, events, latest]);

  const sendMessage = useCallback(
    (messageType: string, payload: unknown, sendOptions?: SendOptions) =>
      service.sendMessage(messageType, payload, channel || undefined, sendOptions),
    [service, channel],
  );
  return { ...status, sendMessage };
}
