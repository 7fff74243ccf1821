/* channel-registry.ts - every channel that somebody on this page uses, by name. */
import type { Channel } from 'pusher-js/index.js';
import type { ChannelAuthorizer, Pusher } from './channel-authorizer.js';
import type { PusherLogger } from './logger.js';
import { Notifier } from './notifier.js';
import { EMPTY_PRESENCE, type PresenceSnapshot } from './presence-roster.js';
import {
  type ChannelHost,
  type ChannelSnapshot,
  type EventCallback,
  forgetCancelled,
  PENDING,
  SharedChannel,
} from './shared-channel.js';

/* One user's hold on a channel. */
export interface ChannelHandle {
  readonly name: string;
  /* The channel of now: another object after a real unsubscribe or a new session, and null while
   * the service is disconnected. */
  readonly channel: Channel | null;
  /* Binds until the returned function is called or the handle released.  callback may throw. */
  bind<T = unknown>(event: string, callback: EventCallback<T>): () => void;
  /* Once is enough, more do nothing. */
  release(): void;
}

export interface RegistryOptions {
  logger: PusherLogger;
  renewToken(): Promise<unknown>;
}

export class ChannelRegistry {
  private readonly options: RegistryOptions;
  private readonly channels = new Map<string, SharedChannel>();
  private readonly watchers = new Map<string, Notifier>();
  private pusher: Pusher | null = null;
  private authorizer: ChannelAuthorizer | null = null;

  constructor(options: RegistryOptions) {
    this.options = options;
  }

  /* The channels that somebody uses, and how many do. */
  users(): ReadonlyMap<string, number> {
    return new Map([...this.channels].map(([name, shared]) => [name, shared.users]));
  }

  current(name: string): ChannelSnapshot {
    return this.channels.get(name)?.current() ?? PENDING;
  }

  presence(name: string): PresenceSnapshot {
    return this.channels.get(name)?.presence() ?? EMPTY_PRESENCE;
  }

  /* Told of each change of that channel's status or members, also before anybody uses it. */
  watch(name: string, listener: () => void): () => void {
    let notifier = this.watchers.get(name);
    if (!notifier) this.watchers.set(name, (notifier = new Notifier(this.options.logger)));
    const own = notifier;
    const unwatch = own.add(listener);
    return () => {
      unwatch();
      if (own.isEmpty && this.watchers.get(name) === own) this.watchers.delete(name);
    };
  }

  attach(pusher: Pusher, authorizer: ChannelAuthorizer): void {
    this.pusher = pusher;
    this.authorizer = authorizer;
    for (const shared of this.channels.values()) shared.attach(pusher);
  }

  /* The connection object is gone.  What handles hold is kept for the next one. */
  detach(): void {
    for (const shared of [...this.channels.values()]) {
      shared.detach();
      shared.forgetCalls();
      if (shared.users === 0) this.channels.delete(shared.name);
    }
    this.pusher = null;
    this.authorizer = null;
  }

  onDisconnected(): void {
    for (const shared of this.channels.values()) shared.onDisconnected();
    if (this.pusher) forgetCancelled(this.pusher);
  }

  /* Counts one more plain call.  Throws what pusher-js throws for a name that it does not take. */
  subscribe(name: string): Channel {
    const shared = this.find(name);
    if (!shared.channel) {
      if (shared.users === 0) this.channels.delete(name);
      throw shared.current().error ?? new Error(`${name}: not connected`);
    }
    shared.addCall();
    return shared.channel;
  }

  unsubscribe(name: string): void {
    this.channels.get(name)?.removeCall();
  }

  /* Never throws: what is wrong shows in the channel's status.  problem: why there is no connection
   * object to subscribe with. */
  retain(name: string, problem?: unknown): ChannelHandle {
    const shared = this.find(name);
    if (problem !== undefined) shared.refuse(problem);
    shared.addHandle();
    const bound = new Set<() => void>();
    let released = false;
    return {
      name,
      get channel() {
        return shared.channel;
      },
      bind: <T>(event: string, callback: EventCallback<T>) => {
        if (released) return () => undefined;
        const unbind = shared.bind(event, callback as EventCallback);
        bound.add(unbind);
        return () => {
          bound.delete(unbind);
          unbind();
        };
      },
      release: () => {
        if (released) return;
        released = true;
        for (const unbind of bound) unbind();
        shared.removeHandle();
      },
    };
  }

  private find(name: string): SharedChannel {
    const known = this.channels.get(name);
    if (known) return known;
    const shared = new SharedChannel(name, this.host());
    this.channels.set(name, shared);
    if (this.pusher) shared.attach(this.pusher);
    return shared;
  }

  private host(): ChannelHost {
    return {
      logger: this.options.logger,
      renewToken: () => this.options.renewToken(),
      cancelAuthorization: (name) => this.authorizer?.cancel(name) ?? false,
      onChange: (name) => this.watchers.get(name)?.notify(),
      onUnused: (shared) => {
        if (this.channels.get(shared.name) !== shared) return;
        this.channels.delete(shared.name);
        shared.unsubscribe();
      },
    };
  }
}
