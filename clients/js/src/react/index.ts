'use client';
/* carillon-js/react - hooks. */
export { PusherProvider, type PusherProviderProps, usePusherService } from './provider.js';
export {
  type ChannelHistoryOptions,
  type ChannelHistoryResult,
  useChannelHistory,
} from './use-channel-history.js';
export { type PresenceResult, usePresenceChannel } from './use-presence-channel.js';
export {
  type ChannelError,
  type EventHandlers,
  type KnownHandlers,
  type PusherChannelOptions,
  type PusherChannelResult,
  usePusherChannel,
} from './use-pusher-channel.js';
export { type ConnectionResult, usePusherConnection } from './use-pusher-connection.js';
export {
  type SendMessageResult,
  type SentMessage,
  useSendMessage,
  type UseSendMessageOptions,
} from './use-send-message.js';
