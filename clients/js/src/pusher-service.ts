/* pusher-service.ts - the page's one way to the realtime server.
 *
 * Holds one instance of pusher-js and what a page needs around it: shared channels, the token of
 * now, the application's HTTP API, and the connection's state.  Nothing happens, and nothing of
 * the page or its environment is read, before initialize or the first subscription.  pusher-js
 * reconnects by itself; there is no second loop here.
 */
import type { Channel, Options } from 'pusher-js/index.js';
import { absoluteUrl, type Address, addressOptions, requireAddress } from './address.js';
import { ChannelAuthorizer, type Pusher } from './channel-authorizer.js';
import { type ChannelHandle, ChannelRegistry } from './channel-registry.js';
import {
  ConnectionMonitor,
  type ConnectionSnapshot,
  type PusherConnectionState,
} from './connection-monitor.js';
import { readPort, readScheme, type Scheme } from './environment.js';
import { PusherConfigurationError } from './errors/configuration-error.js';
import type { PusherConnectionError } from './errors/connection-error.js';
import { type HistoryOptions, type HistoryPage, HistoryReader } from './history-reader.js';
import { defaultLogger, type PusherLogger } from './logger.js';
import { MessageSender, type SendOptions, type SendResult } from './message-sender.js';
import type { PresenceSnapshot } from './presence-roster.js';
import { type PusherClass, RealPusher } from './pusher-class.js';
import {
  type Position,
  type RecoverablePusher,
  type RecoveryHandle,
  type RecoveryOptions,
  recover,
  type StreamStep,
} from './recovery.js';
import { type Fetch, Requester } from './requester.js';
import type { ChannelSnapshot, EventCallback } from './shared-channel.js';
import { type TokenProvider, TokenSource } from './token-source.js';

export interface PusherServiceOptions extends TokenProvider {
  /* The application's key. */
  key?: string;
  /* Any text; pusher-js asks for one.  'self'. */
  cluster?: string;
  /* The server; without it the page's own host, port and scheme. */
  host?: string;
  port?: number;
  scheme?: Scheme;
  /* The application's API; /api/v1/pusher. */
  apiBase?: string;
  /* apiBase + /auth. */
  authEndpoint?: string;
  /* /pusher/user-auth. */
  userAuthEndpoint?: string;
  enabledTransports?: Options['enabledTransports'];
  /* A connection that comes back gets the events that it missed, from servers that keep them: see
   * carillon:recovered and carillon:discontinuity. */
  recovery?: boolean | RecoveryOptions;
  /* Everything else that pusher-js takes. */
  pusherOptions?: Partial<Options>;
  /* pusher-js's debug output; the class's own setting, so of all instances. */
  logToConsole?: boolean;
  /* Another build of pusher-js, such as the one with encryption. */
  Pusher?: PusherClass;
  fetch?: Fetch;
  logger?: PusherLogger;
}

/* Everything that lasts from initialize to disconnect. */
interface Session {
  pusher: Pusher;
  Class: PusherClass;
  authorizer: ChannelAuthorizer;
  recovery: RecoveryHandle | null;
}

const API_BASE = '/api/v1/pusher';
const USER_AUTH = '/pusher/user-auth';

export class PusherService {
  private readonly monitor: ConnectionMonitor;
  private readonly registry: ChannelRegistry;
  private readonly tokens: TokenSource;
  private readonly requester: Requester;
  private readonly sender: MessageSender;
  private readonly reader: HistoryReader;
  private readonly steps = new Map<string, Set<(step: StreamStep) => void>>();
  private readonly given: PusherServiceOptions | (() => PusherServiceOptions);
  private configured: Partial<PusherServiceOptions> = {};
  private resolved: PusherServiceOptions | null = null;
  private session: Session | null = null;

  /* A function is asked once, when the options are needed first. */
  constructor(options: PusherServiceOptions | (() => PusherServiceOptions)) {
    this.given = options;
    const logger: PusherLogger = {
      error: (...fault) => (this.options().logger ?? defaultLogger).error(...fault),
    };
    this.tokens = new TokenSource(this.tokenProvider());
    this.requester = new Requester(this.tokens, (input, init) =>
      (this.options().fetch ?? globalThis.fetch)(input, init),
    );
    this.monitor = new ConnectionMonitor(logger);
    this.registry = new ChannelRegistry({ logger, renewToken: () => this.renewToken() });
    this.sender = new MessageSender({
      requester: this.requester,
      socketId: () => this.socketId,
    });
    this.reader = new HistoryReader({
      requester: this.requester,
      channel: (name) => this.session?.pusher.channel(name),
    });
    this.monitor.watch(() => {
      if (this.session && this.getState() !== 'connected') this.registry.onDisconnected();
    });
  }

  /* Adds options, or replaces them, while there is no session. */
  configure(options: Partial<PusherServiceOptions>): void {
    if (this.session)
      throw new PusherConfigurationError('configure comes too late: the service is connected');
    this.configured = { ...this.configured, ...options };
    this.resolved = null;
  }

  /* Connects.  Again and again does no harm. */
  initialize(): void {
    if (this.session) return;
    this.session = this.open();
    this.monitor.attach(this.session.pusher);
    this.registry.attach(this.session.pusher, this.session.authorizer);
    this.tokens.start();
  }

  /* Ends the session, as on logout: positions are forgotten, those of recovery.persist, too.
   * Handles (and so mounted hooks) stay, and are subscribed again by the next initialize. */
  disconnect(): void {
    const { session } = this;
    if (!session) return;
    this.session = null;
    this.tokens.stop();
    session.authorizer.detach();
    this.registry.detach();
    this.monitor.detach();
    session.pusher.disconnect();
    session.recovery?.forget();
    session.recovery?.end();
    const at = session.Class.instances.indexOf(session.pusher);
    if (at >= 0) session.Class.instances.splice(at, 1);
  }

  /* Connects at once instead of when pusher-js would look again; after a refusal, too. */
  reconnect(): void {
    if (!this.session) {
      this.initialize();
      return;
    }
    this.session.pusher.disconnect();
    this.session.pusher.connect();
  }

  /* pusher-js's own instance, for what has no name here; another one after disconnect, null while
   * there is none. */
  get pusher(): Pusher | null {
    return this.session?.pusher ?? null;
  }

  /* Every call needs one of unsubscribe.  The channel is pusher-js's own. */
  subscribe(channelName: string): Channel {
    this.initialize();
    return this.registry.subscribe(channelName);
  }

  unsubscribe(channelName: string): void {
    this.registry.unsubscribe(channelName);
  }

  /* A hold on a channel that is released once.  Never throws: see channelStatus. */
  retain(channelName: string): ChannelHandle {
    try {
      this.initialize();
    } catch (error) {
      return this.registry.retain(channelName, error);
    }
    return this.registry.retain(channelName);
  }

  /* Subscribes and binds in one; the returned function undoes both. */
  bind<T = unknown>(channelName: string, event: string, callback: EventCallback<T>): () => void {
    const handle = this.retain(channelName);
    handle.bind(event, callback);
    return () => handle.release();
  }

  /* Signs the user in with the server, for events to a user and watchlists. */
  signin(): void {
    this.initialize();
    this.session?.pusher.signin();
  }

  /* POST {apiBase}/message.  Rejects with PusherMessageError. */
  sendMessage(
    messageType: string,
    payload: unknown,
    channel?: string,
    options?: SendOptions,
  ): Promise<SendResult> {
    return this.post('/message', { message_type: messageType, payload, channel }, options);
  }

  /* POST {apiBase}/environment/create: progress arrives on private-user-{id}. */
  createEnvironment(
    environment: { environment_type: string; config?: object; spec?: object },
    options?: SendOptions,
  ): Promise<SendResult> {
    return this.post('/environment/create', environment, options);
  }

  /* POST {apiBase}/analytics/realtime: figures arrive on presence-analytics-realtime. */
  requestAnalytics(
    request: { metric_type?: string; include_realtime?: boolean } = {},
    options?: SendOptions,
  ): Promise<SendResult> {
    return this.post('/analytics/realtime', request, options);
  }

  /* POST {apiBase}/roblox/sync: the answer arrives on private-roblox-{id}. */
  robloxSync(action: string, data: object = {}, options?: SendOptions): Promise<SendResult> {
    return this.post('/roblox/sync', { action, data }, options);
  }

  /* Any other endpoint below apiBase. */
  async post(path: string, fields: object, options?: SendOptions): Promise<SendResult> {
    return this.sender.post(this.url(`${this.apiBase()}${path}`), { ...fields }, options);
  }

  getState(): PusherConnectionState {
    return this.monitor.current().state;
  }

  get socketId(): string | null {
    return this.monitor.current().socketId;
  }

  get transport(): string | null {
    return this.monitor.current().transport;
  }

  get lastError(): PusherConnectionError | null {
    return this.monitor.current().error;
  }

  /* State, socket id, transport and error as one value: the same object until one changes. */
  getConnection(): ConnectionSnapshot {
    return this.monitor.current();
  }

  /* Told of each change of what getConnection answers. */
  onStateChange(callback: (connection: ConnectionSnapshot) => void): () => void {
    return this.monitor.watch(() => callback(this.monitor.current()));
  }

  channelStatus(channelName: string): ChannelSnapshot {
    return this.registry.current(channelName);
  }

  /* Who is in a presence channel that somebody on this page uses. */
  presence(channelName: string): PresenceSnapshot {
    return this.registry.presence(channelName);
  }

  /* Told of each change of channelStatus or presence. */
  onChannelChange(channelName: string, callback: () => void): () => void {
    return this.registry.watch(channelName, callback);
  }

  /* Where the channel's stream of events is, with the option recovery; null where none is kept. */
  position(channelName: string): Position | null {
    return this.session?.recovery?.position(channelName) ?? null;
  }

  /* Whether this service counts its channels' events, and so whether onStep ever calls. */
  get recovers(): boolean {
    return Boolean(this.options().recovery);
  }

  /* Told of each event of a channel's stream with its position, and of each word of the server
   * about where the stream is.  Nobody subscribes by this. */
  onStep(channelName: string, callback: (step: StreamStep) => void): () => void {
    const own = (step: StreamStep): void => callback(step);
    const all = this.steps.get(channelName) ?? new Set();
    this.steps.set(channelName, all.add(own));
    return () => {
      all.delete(own);
      if (all.size === 0 && this.steps.get(channelName) === all) this.steps.delete(channelName);
    };
  }

  /* GET {apiBase}/history: a page of what the channel has published, if the server keeps it.
   * Rejects with PusherHistoryError. */
  async history<T = unknown>(
    channelName: string,
    options?: HistoryOptions,
  ): Promise<HistoryPage<T>> {
    const url = this.url(`${this.apiBase()}/history`);
    return (await this.reader.read(url, channelName, options)) as HistoryPage<T>;
  }

  /* What an encrypted channel's event says, once that channel is subscribed; else data as it is. */
  decrypt(channelName: string, data: unknown): unknown {
    return this.reader.decrypt(channelName, data);
  }

  /* How many users each channel has. */
  channelUsers(): ReadonlyMap<string, number> {
    return this.registry.users();
  }

  private options(): PusherServiceOptions {
    this.resolved ??= {
      ...(typeof this.given === 'function' ? this.given() : this.given),
      ...this.configured,
    };
    return this.resolved;
  }

  private tokenProvider(): TokenProvider {
    const service = this;
    return {
      getAuthToken: () => service.options().getAuthToken?.() ?? null,
      // Whether there is one decides whether tokens are refreshed at all.
      get refreshAuthToken() {
        return service.options().refreshAuthToken;
      },
    };
  }

  private async renewToken(): Promise<void> {
    await this.tokens.renew(await this.tokens.current());
  }

  private apiBase(): string {
    return (this.options().apiBase ?? API_BASE).replace(/\/$/, '');
  }

  private address(): Address {
    const { host, port, scheme } = this.options();
    return requireAddress({
      host,
      port: port === undefined ? undefined : readPort(port, 'port'),
      scheme: scheme === undefined ? undefined : readScheme(scheme, 'scheme'),
    });
  }

  private url(endpoint: string): string {
    return absoluteUrl(endpoint, () => this.address());
  }

  private tellStep(channel: string, step: StreamStep): void {
    for (const listener of [...(this.steps.get(channel) ?? [])])
      try {
        listener(step);
      } catch (error) {
        (this.options().logger ?? defaultLogger).error('a listener threw', error);
      }
  }

  private open(): Session {
    const options = this.options();
    if (!options.key)
      throw new PusherConfigurationError('no application key: set key (or VITE_PUSHER_KEY)');
    const Class = options.Pusher ?? RealPusher;
    if (options.logToConsole) Class.logToConsole = true;
    const authorizer = new ChannelAuthorizer({
      requester: this.requester,
      channelEndpoint: this.url(options.authEndpoint ?? `${this.apiBase()}/auth`),
      userEndpoint: this.url(options.userAuthEndpoint ?? USER_AUTH),
    });
    const pusher = new Class(options.key, {
      cluster: options.cluster ?? 'self',
      ...addressOptions(this.address()),
      // Naming transports ends the fallback from WebSocket to HTTP: only when asked to.
      ...(options.enabledTransports ? { enabledTransports: options.enabledTransports } : {}),
      ...options.pusherOptions,
      channelAuthorization: { customHandler: authorizer.authorize },
      userAuthentication: { customHandler: authorizer.authenticate },
    });
    authorizer.attach(pusher);
    const { recovery = false } = options;
    const handle = recovery
      ? recover(
          pusher as RecoverablePusher,
          recovery === true ? {} : recovery,
          (channel, step) => this.tellStep(channel, step),
        )
      : null;
    return { pusher, Class, authorizer, recovery: handle };
  }
}
