'use client';
/* use-channel-history.ts - what a channel has published, and what it publishes from now on. */
import { useCallback, useEffect, useMemo, useSyncExternalStore } from 'react';
import type { HistoryEvent } from '../index.js';
import {
  ChannelFeed,
  EMPTY_FEED,
  type FeedError,
  type FeedSnapshot,
  LOADING_FEED,
} from '../channel-feed.js';
import { usePusherService } from './provider.js';

export interface ChannelHistoryOptions {
  /* Events of a page, at most 1000; 100. */
  limit?: number;
  /* backwards: begins with the newest, and loadMore brings older ones; forwards: begins with the
   * oldest that is kept.  backwards. */
  direction?: 'backwards' | 'forwards';
}

export interface ChannelHistoryResult<T = unknown> {
  /* The oldest first, whatever the direction.  The same array until something changes. */
  events: ReadonlyArray<HistoryEvent<T>>;
  /* Waiting for the subscription or for a page. */
  loading: boolean;
  error: FeedError | null;
  hasMore: boolean;
  /* One more page.  Does nothing while one is on its way; never rejects. */
  loadMore: () => Promise<void>;
  /* From the beginning; the events of before stay until the others are there. */
  refresh: () => Promise<void>;
}

const nothing = (): void => undefined;

/* With the service's option recovery it subscribes, and live events follow; without, it is pages
 * only.  No channel means: not now. */
export function useChannelHistory<T = unknown>(
  channel: string | null | undefined,
  { limit = 100, direction = 'backwards' }: ChannelHistoryOptions = {},
): ChannelHistoryResult<T> {
  const service = usePusherService();
  const feed = useMemo(
    () => (channel ? new ChannelFeed(service, channel, { limit, direction }) : null),
    [service, channel, limit, direction],
  );
  useEffect(() => {
    feed?.start();
    return () => feed?.stop();
  }, [feed]);
  const watch = useCallback((onChange: () => void) => feed?.watch(onChange) ?? nothing, [feed]);
  const snapshot = useSyncExternalStore(
    watch,
    () => feed?.current() ?? EMPTY_FEED,
    () => (feed ? LOADING_FEED : EMPTY_FEED),
  );
  const loadMore = useCallback(async () => feed?.loadMore(), [feed]);
  const refresh = useCallback(async () => feed?.refresh(), [feed]);
  return {
    ...(snapshot as FeedSnapshot & { events: ReadonlyArray<HistoryEvent<T>> }),
    loadMore,
    refresh,
  };
}
