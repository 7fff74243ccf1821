/* shared-channel.ts - one channel, however many parts of a page use it.
 *
 * It is subscribed while it has users: handles (each releases itself once) and plain calls of
 * subscribe, counted.  When the last one leaves, the real unsubscribe waits for one macrotask, so
 * that who comes back within it (StrictMode, a list that mounts again) finds the subscription as it
 * was.
 */
import type { Channel } from 'pusher-js/index.js';
import { Backoff } from './backoff.js';
import type { Pusher } from './channel-authorizer.js';
import { PusherAuthError } from './errors/auth-error.js';
import { PusherConfigurationError } from './errors/configuration-error.js';
import type { PusherLogger } from './logger.js';
import { EMPTY_PRESENCE, PresenceRoster, type PresenceSnapshot } from './presence-roster.js';

export type ChannelStatus = 'idle' | 'pending' | 'subscribed' | 'error';

export interface ChannelSnapshot {
  readonly status: ChannelStatus;
  readonly error: PusherAuthError | PusherConfigurationError | null;
}

/* What the server knows about an event: user_id of a client event's sender on presence channels. */
export interface EventMetadata {
  user_id?: string;
}

export type EventCallback<T = unknown> = (data: T, metadata: EventMetadata) => void;

interface Listener {
  event: string;
  call: (data: unknown, metadata?: EventMetadata) => void;
}

/* What a shared channel needs of the service it belongs to. */
export interface ChannelHost {
  readonly logger: PusherLogger;
  /* Gives up the question for a signature; false when none was open. */
  cancelAuthorization(name: string): boolean;
  /* Tries to have another token than the one that was refused. */
  renewToken(): Promise<unknown>;
  onChange(name: string): void;
  /* The last user has left and has not come back. */
  onUnused(channel: SharedChannel): void;
}

export const PENDING: ChannelSnapshot = Object.freeze({ status: 'pending', error: null });
const SUBSCRIBED: ChannelSnapshot = Object.freeze({ status: 'subscribed', error: null });

export class SharedChannel {
  readonly name: string;
  private readonly host: ChannelHost;
  private readonly listeners = new Set<Listener>();
  private readonly roster: PresenceRoster | null;
  private readonly backoff = new Backoff();
  private handles = 0;
  private calls = 0;
  private pusher: Pusher | null = null;
  private live: Channel | null = null;
  private snapshot: ChannelSnapshot = PENDING;
  private renewedToken = false;
  private retryTimer: ReturnType<typeof setTimeout> | undefined;
  private unusedTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(name: string, host: ChannelHost) {
    this.name = name;
    this.host = host;
    this.roster = name.startsWith('presence-')
      ? new PresenceRoster(() => host.onChange(name))
      : null;
  }

  /* The channel of pusher-js, or null while there is no connection object. */
  get channel(): Channel | null {
    return this.live;
  }

  get users(): number {
    return this.handles + this.calls;
  }

  current(): ChannelSnapshot {
    return this.snapshot;
  }

  presence(): PresenceSnapshot {
    return this.roster?.current() ?? EMPTY_PRESENCE;
  }

  addHandle(): void {
    this.handles += 1;
    this.onUser();
  }

  removeHandle(): void {
    this.handles -= 1;
    this.onLeave();
  }

  addCall(): void {
    this.calls += 1;
    this.onUser();
  }

  /* A call too many is not taken from somebody else's handle. */
  removeCall(): void {
    if (this.calls === 0) return;
    this.calls -= 1;
    this.onLeave();
  }

  /* The session ends: plain calls end with it, handles wait for the next one. */
  forgetCalls(): void {
    this.calls = 0;
  }

  /* Binds a callback that may throw: within pusher-js that would cost others the event. */
  bind(event: string, callback: EventCallback): () => void {
    const call = (data: unknown, metadata?: EventMetadata): void => {
      try {
        callback(data, metadata ?? {});
      } catch (error) {
        this.host.logger.error(`a callback of ${event} on ${this.name} threw`, error);
      }
    };
    const listener = { event, call };
    this.listeners.add(listener);
    this.live?.bind(event, call);
    return () => {
      this.listeners.delete(listener);
      this.live?.unbind(event, call);
    };
  }

  /* Subscribes.  A name that pusher-js does not take shows as an error. */
  attach(pusher: Pusher): void {
    this.pusher = pusher;
    try {
      this.live = pusher.subscribe(this.name);
    } catch (error) {
      this.refuse(error);
      return;
    }
    this.live.bind('pusher:subscription_succeeded', this.onSucceeded);
    this.live.bind('pusher:subscription_error', this.onError);
    this.roster?.attach(this.live);
    for (const { event, call } of this.listeners) this.live.bind(event, call);
    this.become(this.live.subscribed ? SUBSCRIBED : PENDING);
  }

  /* There is nothing to subscribe with. */
  refuse(error: unknown): void {
    const known = error instanceof PusherConfigurationError;
    const message = error instanceof Error ? error.message : String(error);
    this.become({
      status: 'error',
      error: known ? error : new PusherConfigurationError(message),
    });
  }

  /* Lets go of pusher-js's channel, which stays subscribed there. */
  detach(): void {
    clearTimeout(this.retryTimer);
    const { live } = this;
    if (live) {
      live.unbind('pusher:subscription_succeeded', this.onSucceeded);
      live.unbind('pusher:subscription_error', this.onError);
      for (const { event, call } of this.listeners) live.unbind(event, call);
    }
    this.roster?.detach();
    this.live = null;
    this.pusher = null;
    this.backoff.reset();
    this.renewedToken = false;
    this.become(PENDING);
  }

  unsubscribe(): void {
    const { live, pusher } = this;
    this.detach();
    if (!live || !pusher) return;
    // Nothing was sent to the server yet, and now nothing will be.
    if (this.host.cancelAuthorization(this.name)) live.subscriptionPending = false;
    if (live.subscriptionPending) forgetOnRefusal(pusher, live);
    pusher.unsubscribe(this.name);
  }

  /* Not connected any more; pusher-js subscribes again by itself when it is. */
  onDisconnected(): void {
    clearTimeout(this.retryTimer);
    if (this.live) this.become(PENDING);
  }

  private onUser(): void {
    clearTimeout(this.unusedTimer);
    // Someone new is a reason to ask again.
    if (this.live && this.snapshot.status === 'error') this.retry();
  }

  private onLeave(): void {
    if (this.users > 0) return;
    clearTimeout(this.unusedTimer);
    this.unusedTimer = setTimeout(() => {
      if (this.users === 0) this.host.onUnused(this);
    }, 0);
  }

  private readonly onSucceeded = (): void => {
    this.backoff.reset();
    this.renewedToken = false;
    this.become(SUBSCRIBED);
  };

  private readonly onError = (reported: unknown): void => {
    const error = reported instanceof PusherAuthError ? reported : this.readServerError(reported);
    clearTimeout(this.retryTimer);
    // pusher-js goes on waiting after a refusal by the server.
    if (this.live) this.live.subscriptionPending = false;
    this.become({ status: 'error', error });
    if (error.temporary)
      this.retryTimer = setTimeout(() => this.retry(), this.backoff.next(error.retryAfter));
    else if (error !== reported && (error.status === 401 || error.status === 403))
      this.retryWithOtherToken();
  };

  /* What the realtime server itself says about a signature, unlike the endpoint that made it. */
  private readServerError(reported: unknown): PusherAuthError {
    const { status, error } = (reported ?? {}) as { status?: unknown; error?: unknown };
    const detail = typeof error === 'string' ? error : null;
    return new PusherAuthError({
      channel: this.name,
      status: typeof status === 'number' ? status : 400,
      detail,
    });
  }

  /* The endpoint signed and the server refused: once, with another token, it may sign better. */
  private retryWithOtherToken(): void {
    if (this.renewedToken) return;
    this.renewedToken = true;
    this.host.renewToken().then(
      () => {
        this.retryTimer = setTimeout(() => this.retry(), this.backoff.next());
      },
      () => undefined,
    );
  }

  private retry(): void {
    clearTimeout(this.retryTimer);
    if (this.snapshot.status !== 'error' || this.pusher?.connection.state !== 'connected') return;
    this.become(PENDING);
    this.pusher.subscribe(this.name);
  }

  private become(next: ChannelSnapshot): void {
    if (next.status === this.snapshot.status && next.error === this.snapshot.error) return;
    this.snapshot = Object.freeze(next);
    this.host.onChange(this.name);
  }
}

/* An unsubscribe that comes before the server's answer is kept by pusher-js until the subscription
 * succeeds.  If it is refused instead, the channel would stay and be asked for again and again. */
function forgetOnRefusal(pusher: Pusher, channel: Channel): void {
  const onRefused = (): void => {
    channel.unbind('pusher:subscription_error', onRefused);
    if (channel.subscriptionCancelled) forget(pusher, channel);
  };
  channel.bind('pusher:subscription_error', onRefused);
}

/* The same for a connection that ends before the answer: called for each channel when it does. */
export function forgetCancelled(pusher: Pusher): void {
  for (const channel of pusher.allChannels())
    if (channel.subscriptionCancelled) forget(pusher, channel);
}

function forget(pusher: Pusher, channel: Channel): void {
  channel.subscriptionPending = false;
  if (pusher.channel(channel.name) === channel) pusher.unsubscribe(channel.name);
}
