/* channel-feed.ts - a channel's history and what comes live, as one list without hole or overlap.
 *
 * The page of history ends where the subscription begins (`until`), and every later event is known
 * by its offset: one that is there is not taken again, and what a number jumps over (an event that
 * left this socket out) is fetched.  When continuity is lost the list begins anew.  Without
 * recovery there are no positions, and only the pages.
 */
import { PusherHistoryError } from './errors/history-error.js';
import type { HistoryEvent, HistoryPage } from './history-reader.js';
import { defaultLogger } from './logger.js';
import { Notifier } from './notifier.js';
import type { PusherService } from './pusher-service.js';
import type { Position, StreamStep } from './recovery.js';
import type { ChannelSnapshot } from './shared-channel.js';

export type FeedError = PusherHistoryError | NonNullable<ChannelSnapshot['error']>;

export interface FeedOptions {
  /* Events of a page. */
  limit: number;
  direction: 'backwards' | 'forwards';
}

export interface FeedSnapshot {
  /* The oldest first, whatever the direction. */
  readonly events: ReadonlyArray<HistoryEvent>;
  readonly loading: boolean;
  readonly error: FeedError | null;
  readonly hasMore: boolean;
}

/* A list since its last beginning. */
interface List {
  /* Ends what this list has asked for. */
  readonly abort: AbortController;
  epoch: string | null;
  /* Where pages end and live events begin; null without recovery. */
  readonly join: number | null;
  /* The last offset that is known of. */
  last: number;
  pages: HistoryEvent[];
  live: HistoryEvent[];
  hasMore: boolean;
  isLoaded: boolean;
  /* What comes while a hole is being filled; null while none is. */
  waiting: StreamStep[] | null;
}

export const EMPTY_FEED: FeedSnapshot = Object.freeze({
  events: Object.freeze([]) as readonly [],
  loading: false,
  error: null,
  hasMore: false,
});
export const LOADING_FEED: FeedSnapshot = Object.freeze({ ...EMPTY_FEED, loading: true });

/* The most that a hole is filled with; behind a larger one the list begins anew. */
const HOLE_MOST = 1000;
/* Live events that are kept: a page may stay open for days.  Older ones are history's. */
const LIVE_MOST = 1000;

export class ChannelFeed {
  private readonly service: PusherService;
  private readonly channel: string;
  private readonly options: FeedOptions;
  private readonly changes = new Notifier(defaultLogger);
  private snapshot: FeedSnapshot = LOADING_FEED;
  /* What is shown, and what events go to: not the same while a list begins anew. */
  private shown: List | null = null;
  private list: List | null = null;
  private ends: Array<() => void> = [];

  constructor(service: PusherService, channel: string, options: FeedOptions) {
    this.service = service;
    this.channel = channel;
    this.options = options;
  }

  current(): FeedSnapshot {
    return this.snapshot;
  }

  watch(listener: () => void): () => void {
    return this.changes.add(listener);
  }

  start(): void {
    const { service, channel } = this;
    if (!service.recovers) {
      this.begin(null);
      return;
    }
    this.ends = [
      service.onStep(channel, (step) => this.take(step)),
      service.onChannelChange(channel, () => this.look()),
    ];
    const handle = service.retain(channel);
    this.ends.push(() => handle.release());
    this.look();
  }

  stop(): void {
    for (const end of this.ends.splice(0)) end();
    this.list?.abort.abort();
    this.list = this.shown = null;
    this.snapshot = LOADING_FEED;
  }

  /* The page behind those that are there.  Failures are in error. */
  async loadMore(): Promise<void> {
    const { list } = this;
    if (!list?.isLoaded || !list.hasMore || this.snapshot.loading) return;
    await this.load(list);
  }

  /* Begins anew. */
  async refresh(): Promise<void> {
    if (!this.service.recovers) await this.begin(null);
    else if (this.isSubscribed()) await this.begin(this.service.position(this.channel));
  }

  private isSubscribed(): boolean {
    return this.service.channelStatus(this.channel).status === 'subscribed';
  }

  /* Subscribed before this came, without a history, or refused. */
  private look(): void {
    const { status, error } = this.service.channelStatus(this.channel);
    if (error) {
      this.show({ loading: false, error });
      return;
    }
    if (status !== 'subscribed') return;
    if (!this.list) void this.begin(this.service.position(this.channel));
    else if (this.snapshot.error && !(this.snapshot.error instanceof PusherHistoryError))
      this.show({ error: null });
  }

  private begin(position: Position | null): Promise<void> {
    this.list?.abort.abort();
    const list: List = {
      abort: new AbortController(),
      epoch: position?.epoch ?? null,
      join: position?.offset ?? null,
      last: position?.offset ?? 0,
      pages: [],
      live: [],
      hasMore: false,
      isLoaded: false,
      waiting: null,
    };
    this.list = list;
    return this.load(list);
  }

  private async load(list: List): Promise<void> {
    this.show({ loading: true, error: null });
    // Who leaves at once (StrictMode's rehearsal) has asked for nothing.
    await Promise.resolve();
    if (this.list !== list) return;
    const bounds = this.bounds(list);
    try {
      const page = await this.service.history(this.channel, {
        ...this.options,
        ...bounds,
        signal: list.abort.signal,
      });
      if (this.list !== list) return;
      // Unless what it should stand beside has gone meanwhile.
      if (this.bounds(list).until?.offset === bounds.until?.offset) this.put(list, page);
      this.show({ loading: false });
    } catch (error) {
      if (this.list !== list) return;
      this.shown ??= list; // live events come all the same
      this.show({ loading: false, error: error as FeedError });
    }
  }

  private put(list: List, page: HistoryPage): void {
    list.epoch = page.epoch;
    list.hasMore = page.hasMore;
    list.isLoaded = true;
    if (this.options.direction === 'forwards') list.pages = [...list.pages, ...page.events];
    else list.pages = [...page.events].reverse().concat(list.pages);
    this.shown = list;
  }

  private bounds(list: List): { since?: Position; until?: Position } {
    const at = (offset: number): Position => ({ epoch: list.epoch ?? '', offset });
    const end = list.join === null ? {} : { until: at(list.join) };
    if (!list.isLoaded) return end;
    const last = list.pages.at(-1);
    if (this.options.direction === 'forwards')
      return last ? { ...end, since: at(last.offset) } : end;
    const first = list.pages[0] ?? list.live[0];
    return first ? { until: at(first.offset - 1) } : end;
  }

  private take(step: StreamStep): void {
    const { list } = this;
    const { epoch, offset } = step.position;
    // A list whose first page failed tries again with the next word of the server.
    const isBroken = list && !list.isLoaded && this.snapshot.error && step.event === null;
    const isFar = list && offset - list.last > HOLE_MOST;
    if (!list || list.epoch !== epoch || offset < list.last || isBroken || isFar) {
      void this.begin({ epoch, offset });
      return;
    }
    if (list.waiting) list.waiting.push(step);
    else if (offset > list.last + (step.event === null ? 0 : 1)) void this.fill(list, step);
    else this.add(list, step);
  }

  private add(list: List, { position, event, data }: StreamStep): void {
    if (event === null) return;
    list.last = position.offset;
    this.append(list, [
      {
        id: `${position.epoch}:${position.offset}`,
        offset: position.offset,
        event,
        data: this.service.decrypt(this.channel, data),
        timeMs: Date.now(),
      },
    ]);
  }

  private append(list: List, events: ReadonlyArray<HistoryEvent>): void {
    list.live = [...list.live, ...events];
    const isBackwards = this.options.direction === 'backwards';
    if (list.live.length > LIVE_MOST && list.isLoaded && (isBackwards || !list.hasMore)) {
      list.live = list.live.slice(-LIVE_MOST);
      list.pages = [];
      list.hasMore = isBackwards;
    }
    if (list === this.shown) this.show({});
  }

  /* What lies between the last event and this step, and its event. */
  private async fill(list: List, step: StreamStep): Promise<void> {
    list.waiting = [];
    const { epoch, offset } = step.position;
    let page: HistoryPage | null = null;
    try {
      page = await this.service.history(this.channel, {
        since: { epoch, offset: list.last },
        until: step.position,
        direction: 'forwards',
        limit: HOLE_MOST,
        signal: list.abort.signal,
      });
    } catch (error) {
      // The hole is found again by the next step.
      if (this.list === list) this.show({ error: error as FeedError });
    }
    if (this.list !== list) return;
    const steps = list.waiting;
    list.waiting = null;
    if (!page) return;
    if (page.events.length !== offset - list.last) {
      void this.begin(steps.at(-1)?.position ?? step.position);
      return;
    }
    list.last = offset;
    this.append(list, page.events);
    for (const each of steps) if (this.list === list) this.take(each);
  }

  private show(change: Partial<FeedSnapshot>): void {
    const { shown } = this;
    if (!shown) {
      this.become({ ...this.snapshot, ...change });
      return;
    }
    const { pages, live, hasMore } = shown;
    // Forwards, what is live comes when the pages have got there.
    const isJoined = this.options.direction === 'backwards' || !hasMore;
    this.become({
      loading: this.snapshot.loading,
      error: this.snapshot.error,
      ...change,
      events: Object.freeze(isJoined ? [...pages, ...live] : pages),
      hasMore,
    });
  }

  private become(next: FeedSnapshot): void {
    if (next === this.snapshot) return;
    this.snapshot = Object.freeze(next);
    this.changes.notify();
  }
}
