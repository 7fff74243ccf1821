/* recovery.ts - a connection that comes back for what it missed.
 *
 * Wraps an unmodified pusher-js instance at two places: what it sends, to say where each channel
 * was, and what its connection emits, to count the events of each channel before any callback runs
 * (one that throws would hide an event from a later listener).  Nothing is imported here: the build
 * makes a plain script of this file, too.
 */

/* Where a channel's stream of events is. */
export interface Position {
  epoch: string;
  offset: number;
}

/* Data of the events carillon:recovered and carillon:discontinuity, emitted on the channel. */
export interface Recovered {
  /* How many events follow that were missed. */
  replay: number;
}
export interface Discontinuity {
  /* epoch_changed, expired, too_many, ahead or disabled. */
  reason: string;
  oldest?: number;
  newest?: number;
}

/* What is used of sessionStorage. */
export interface PositionStorage {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem?(key: string): void;
}

export interface PersistOptions {
  /* A function where naming it may throw, as sessionStorage does in pages that may keep nothing. */
  storage: PositionStorage | (() => PositionStorage);
  /* Whose positions they are: of another user none are used.  Null: nobody has signed in. */
  user: string | null | (() => string | null);
}

export interface RecoveryOptions {
  /* Events to be given at the first subscription. */
  rewind?: number;
  /* A page that is loaded again goes on where it was. */
  persist?: PersistOptions;
}

/* One step of a channel's stream. */
export interface StreamStep {
  /* Where the stream is behind it. */
  readonly position: Position;
  /* Null: no event, but word of where the stream is. */
  readonly event: string | null;
  readonly data?: unknown;
}

/* What is used of pusher-js. */
export interface RecoverablePusher {
  readonly key?: string;
  send_event(event: string, data: unknown, channel?: string): boolean;
  connection: { emit(event: string, data?: unknown, metadata?: unknown): unknown };
  channel(name: string): { emit(event: string, data?: unknown): unknown } | undefined;
}

export interface RecoveryHandle {
  /* Where the channel is; null when its events are not counted. */
  position(channel: string): Position | null;
  /* As on logout: where all channels are, and what is kept of it for other pages. */
  forget(): void;
  /* The instance is done with: keeps what is to be kept, for the last time. */
  end(): void;
}

interface Told extends Position, Recovered, Discontinuity {
  recovered?: boolean;
  /* The next event is the one that the channel keeps for newcomers: it has its number already. */
  cached?: boolean;
}

interface Message {
  event: string;
  channel?: string;
  data?: unknown;
}

/* How far behind what is kept may be when a page dies without a word. */
const KEEP_MS = 200;

interface Shelf {
  /* What another page has left. */
  read(): Map<string, Position>;
  /* Soon, and when the page goes; of is asked then. */
  keep(of: () => Map<string, Position>): void;
  clear(): void;
  end(): void;
}

/* A storage that is blocked, full or holds nonsense is as good as none. */
function makeShelf(appKey: string, { storage, user }: PersistOptions): Shelf {
  const store = (): PositionStorage => (typeof storage === 'function' ? storage() : storage);
  const owner = typeof user === 'function' ? user() : user;
  const key = `carillon-positions ${JSON.stringify([appKey, owner])}`;
  const page = globalThis as Partial<EventTarget>;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let pending: (() => Map<string, Position>) | null = null;
  const write = (): void => {
    clearTimeout(timer);
    timer = undefined;
    if (!pending) return;
    const entries = [...pending()].map(([name, at]) => [name, at.epoch, at.offset]);
    pending = null;
    try {
      const shelf = store();
      if (!entries.length && shelf.removeItem) shelf.removeItem(key);
      else shelf.setItem(key, JSON.stringify(entries));
    } catch {
      // Then the next page begins anew.
    }
  };
  page.addEventListener?.('pagehide', write);
  return {
    read: () => {
      const found = new Map<string, Position>();
      try {
        const entries = JSON.parse(store().getItem(key) ?? '[]') as [unknown, unknown, unknown][];
        for (const [name, epoch, offset] of entries)
          if (typeof name === 'string' && typeof epoch === 'string' && isOffset(offset))
            found.set(name, { epoch, offset });
      } catch {
        found.clear();
      }
      return found;
    },
    keep: (of) => {
      pending = of;
      timer ??= setTimeout(write, KEEP_MS);
    },
    clear: () => {
      pending = () => new Map();
      write();
    },
    end: () => {
      write();
      page.removeEventListener?.('pagehide', write);
    },
  };
}

const isOffset = (value: unknown): value is number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;

/* Before the first subscription.  Channels of servers or rules without history are left as they
 * are.  onStep hears of each step before pusher-js does, and must not throw. */
export function recover(
  pusher: RecoverablePusher,
  options: RecoveryOptions = {},
  onStep?: (channel: string, step: StreamStep) => void,
): RecoveryHandle {
  const positions = new Map<string, Position>();
  const cached = new Set<string>();
  const shelf = options.persist ? makeShelf(pusher.key ?? '', options.persist) : null;
  // Of channels that this page has not subscribed yet.
  const left = shelf?.read() ?? new Map<string, Position>();
  const keep = (): void => shelf?.keep(() => new Map([...left, ...positions]));
  const send = pusher.send_event.bind(pusher);
  const emit = pusher.connection.emit.bind(pusher.connection);
  const uncounted = /^(pusher:|pusher_internal:|client-)/;

  pusher.send_event = (event, data, channel) => {
    const name = (data as { channel?: string } | undefined)?.channel;
    if (event === 'pusher:unsubscribe' && name) forget(name);
    if (event !== 'pusher:subscribe' || !name) return send(event, data, channel);
    const first = options.rewind ? { rewind: options.rewind } : {};
    const recovery = positions.get(name) ?? left.get(name) ?? first;
    return send(event, { ...(data as object), recovery }, channel);
  };

  function forget(channel: string): void {
    positions.delete(channel);
    left.delete(channel);
    keep();
  }

  function moveTo(channel: string, { epoch, offset }: Position): void {
    left.delete(channel);
    positions.set(channel, { epoch, offset });
    keep();
    onStep?.(channel, { position: { epoch, offset }, event: null });
  }

  /* What the channel is told when pusher-js has handled the message. */
  function count({ event, channel, data }: Message): [string, object] | null {
    if (!channel) return null;
    if (event === 'pusher_internal:subscription_succeeded') {
      const told = (data as { recovery?: Told } | undefined)?.recovery;
      if (told?.epoch) moveTo(channel, told);
      else forget(channel);
      if (told?.cached) cached.add(channel);
      else cached.delete(channel);
      if (told?.recovered === true) return ['carillon:recovered', { replay: told.replay }];
      if (told?.recovered !== false || told.reason === 'disabled') return null;
      const { reason, oldest, newest } = told;
      return ['carillon:discontinuity', { reason, oldest, newest }];
    }
    if (event === 'pusher_internal:position') {
      // A cached event whose name is not counted has not taken the mark away.
      cached.delete(channel);
      moveTo(channel, data as Position);
      return null;
    }
    const position = positions.get(channel);
    if (!position || uncounted.test(event) || cached.delete(channel)) return null;
    position.offset += 1;
    keep();
    onStep?.(channel, { position: { ...position }, event, data });
    return null;
  }

  pusher.connection.emit = (event, data, metadata) => {
    const told = event === 'message' ? count(data as Message) : null;
    const result = emit(event, data, metadata);
    if (told) pusher.channel((data as Message).channel ?? '')?.emit(...told);
    return result;
  };

  return {
    position: (channel) => {
      const position = positions.get(channel);
      return position ? { ...position } : null;
    },
    forget: () => {
      positions.clear();
      left.clear();
      cached.clear();
      shelf?.clear();
    },
    end: () => shelf?.end(),
  };
}
