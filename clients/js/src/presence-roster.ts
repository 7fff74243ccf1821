/* presence-roster.ts - who is in a presence channel.
 *
 * Kept from the channel's own events, never polled.  While a connection is away the list stays as
 * it was; the next success replaces it as a whole.
 */
import type { Channel, PresenceChannel } from 'pusher-js/index.js';

export interface PresenceMember<Info = unknown> {
  readonly id: string;
  readonly info: Info;
}

export interface PresenceSnapshot<Info = unknown> {
  readonly members: ReadonlyMap<string, Info>;
  readonly me: PresenceMember<Info> | null;
  readonly count: number;
}

export const EMPTY_PRESENCE: PresenceSnapshot<never> = Object.freeze({
  members: new Map<string, never>(),
  me: null,
  count: 0,
});

export class PresenceRoster {
  private snapshot: PresenceSnapshot = EMPTY_PRESENCE;
  private channel: PresenceChannel | null = null;
  private readonly onChange: () => void;

  constructor(onChange: () => void) {
    this.onChange = onChange;
  }

  current(): PresenceSnapshot {
    return this.snapshot;
  }

  attach(channel: Channel): void {
    this.channel = channel as PresenceChannel;
    channel.bind('pusher:subscription_succeeded', this.read);
    channel.bind('pusher:member_added', this.read);
    channel.bind('pusher:member_removed', this.read);
    if (channel.subscribed) this.read();
  }

  detach(): void {
    this.channel?.unbind('pusher:subscription_succeeded', this.read);
    this.channel?.unbind('pusher:member_added', this.read);
    this.channel?.unbind('pusher:member_removed', this.read);
    this.channel = null;
    this.snapshot = EMPTY_PRESENCE;
  }

  private readonly read = (): void => {
    if (!this.channel) return;
    const { members, me } = this.channel.members as {
      members: Record<string, unknown>;
      me: PresenceMember | null;
    };
    const map = new Map(Object.entries(members));
    this.snapshot = Object.freeze({
      members: map,
      me: me ? { id: String(me.id), info: me.info } : null,
      count: map.size,
    });
    this.onChange();
  };
}
