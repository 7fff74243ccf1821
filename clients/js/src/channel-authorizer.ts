/* channel-authorizer.ts - asks the application's endpoint whether a channel may be joined.
 *
 * pusher-js calls it for each subscription and again after each reconnect.  Its own request would
 * read headers once and synchronously; this one waits for a token and renews it.
 */
import type { Channel } from 'pusher-js/index.js';
import { PusherAuthError } from './errors/auth-error.js';
import { NoAnswer } from './errors/no-answer.js';
import { readDetail, type Requester } from './requester.js';

export type Pusher = Channel['pusher'];
type Authorize = Pusher['config']['channelAuthorizer'];
type Authenticate = Pusher['config']['userAuthenticator'];
type ChannelAuth = NonNullable<Parameters<Parameters<Authorize>[1]>[1]>;
type UserAuth = NonNullable<Parameters<Parameters<Authenticate>[1]>[1]>;

const TIMEOUT_MS = 15000;
const isText = (value: unknown): value is string => typeof value === 'string';
const isAbsentOrText = (value: unknown): boolean =>
  value === undefined || value === null || isText(value);

function isChannelAuth(json: unknown): json is ChannelAuth {
  const {
    auth,
    channel_data: data,
    shared_secret: secret,
  } = (json ?? {}) as Record<string, unknown>;
  if (!isText(auth) || !isAbsentOrText(data) || !isAbsentOrText(secret)) return false;
  try {
    return !isText(data) || JSON.parse(data) !== null;
  } catch {
    return false;
  }
}

function isUserAuth(json: unknown): json is UserAuth {
  const { auth, user_data: data } = (json ?? {}) as Record<string, unknown>;
  return isText(auth) && isText(data);
}

export interface AuthorizerOptions {
  requester: Requester;
  channelEndpoint: string;
  userEndpoint: string;
}

export class ChannelAuthorizer {
  private readonly options: AuthorizerOptions;
  private readonly asking = new Map<string, AbortController>();
  private pusher: Pusher | null = null;

  constructor(options: AuthorizerOptions) {
    this.options = options;
  }

  /* The instance whose channels are asked for. */
  attach(pusher: Pusher): void {
    this.pusher = pusher;
  }

  detach(): void {
    for (const name of [...this.asking.keys()]) this.cancel(name);
    this.pusher = null;
  }

  /* For channelAuthorization.customHandler. */
  readonly authorize: Authorize = ({ socketId, channelName }, done) => {
    this.cancel(channelName);
    const abort = new AbortController();
    this.asking.set(channelName, abort);
    this.ask(
      this.options.channelEndpoint,
      { socket_id: socketId, channel_name: channelName },
      isChannelAuth,
      abort.signal,
    )
      .then((auth) => () => done(null, auth))
      .catch((error: PusherAuthError) => () => this.fail(channelName, error))
      .then((act) => {
        // Given up meanwhile: whoever asked last is answered, for the connection of now.
        if (this.asking.get(channelName) !== abort) return;
        this.asking.delete(channelName);
        if (this.isCurrent(socketId)) act();
      });
  };

  /* For userAuthentication.customHandler. */
  readonly authenticate: Authenticate = ({ socketId }, done) => {
    this.ask(this.options.userEndpoint, { socket_id: socketId }, isUserAuth).then(
      (auth) => done(null, auth),
      (error: PusherAuthError) => done(error, null),
    );
  };

  /* Gives up the question for a channel that nobody wants any more.  False when none was open. */
  cancel(channelName: string): boolean {
    const abort = this.asking.get(channelName);
    this.asking.delete(channelName);
    abort?.abort();
    return abort !== undefined;
  }

  private isCurrent(socketId: string): boolean {
    const connection = this.pusher?.connection;
    return connection?.state === 'connected' && connection.socket_id === socketId;
  }

  /* What pusher-js does with an error, but with everything that is known: it passes on a status
   * from its own requests only. */
  private fail(channelName: string, error: PusherAuthError): void {
    const channel = this.pusher?.channel(channelName);
    if (!channel) return;
    channel.subscriptionPending = false;
    channel.emit('pusher:subscription_error', error);
  }

  private async ask<T>(
    url: string,
    fields: Record<string, string>,
    isAuth: (json: unknown) => json is T,
    signal?: AbortSignal,
  ): Promise<T> {
    const channel = fields.channel_name ?? '#server-to-user';
    try {
      const answer = await this.options.requester.post(url, {
        body: new URLSearchParams(fields).toString(),
        contentType: 'application/x-www-form-urlencoded',
        renewOn: [401, 403],
        timeoutMs: TIMEOUT_MS,
        signal,
      });
      const { status, json, retryAfter } = answer;
      if (!answer.ok)
        throw new PusherAuthError({
          channel,
          status,
          detail: readDetail(json),
          retryAfter,
        });
      if (!isAuth(json))
        throw new PusherAuthError({
          channel,
          status,
          code: 'response',
          detail: `${url} answered without a signature`,
        });
      return json;
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
      throw new PusherAuthError({ channel, status: 0, code: error.code, cause: error.cause });
    }
  }
}
