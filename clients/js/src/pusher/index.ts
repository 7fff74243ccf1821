/* carillon-js/pusher - in place of pusher-js, with the same names. */
export { default } from './pusher.js';
export type { PusherOptions, PusherOptions as Options } from './options.js';
export type {
  AuthOptions,
  Authorizer,
  AuthorizerCallback,
  AuthorizerGenerator,
  Channel,
  ChannelAuthorizationCallback,
  ChannelAuthorizationHandler,
  ChannelAuthorizationOptions,
  ChannelAuthorizerGenerator,
  ConnectionManager,
  DeprecatedAuthOptions,
  Members,
  PresenceChannel,
  Runtime,
  UserAuthenticationCallback,
  UserAuthenticationHandler,
  UserAuthenticationOptions,
} from 'pusher-js/index.js';
