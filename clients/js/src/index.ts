/* carillon-js - a client for Carillon and every Pusher Channels server. */
import { readEnvironment } from './environment.js';
import { PusherService, type PusherServiceOptions } from './pusher-service.js';

export type { ChannelHandle } from './channel-registry.js';
export type { ConnectionSnapshot, PusherConnectionState } from './connection-monitor.js';
export type { Scheme } from './environment.js';
export { PusherAuthError } from './errors/auth-error.js';
export { PusherConfigurationError } from './errors/configuration-error.js';
export { PusherConnectionError } from './errors/connection-error.js';
export type { FailureCode, FailureDetail, ValidationIssue } from './errors/failure-code.js';
export { PusherHistoryError } from './errors/history-error.js';
export { PusherMessageError } from './errors/message-error.js';
export type { HistoryEvent, HistoryOptions, HistoryPage } from './history-reader.js';
export type { PusherLogger } from './logger.js';
export type { SendOptions, SendResult } from './message-sender.js';
export type { PresenceMember, PresenceSnapshot } from './presence-roster.js';
export type { PusherClass } from './pusher-class.js';
// By star, so that an application can add to PusherEvents.
export * from './pusher-events.js';
export { PusherService, type PusherServiceOptions } from './pusher-service.js';
export {
  type Discontinuity,
  type PersistOptions,
  type Position,
  type PositionStorage,
  type Recovered,
  type RecoveryHandle,
  type RecoveryOptions,
  recover,
  type StreamStep,
} from './recovery.js';
export type { Fetch } from './requester.js';
export type {
  ChannelSnapshot,
  ChannelStatus,
  EventCallback,
  EventMetadata,
} from './shared-channel.js';
export type { Token, TokenProvider } from './token-source.js';

export function createPusherService(options: PusherServiceOptions): PusherService {
  return new PusherService(options);
}

/* The service of a page that needs only one, configured by VITE_PUSHER_* when it is first used;
 * pusherService.configure adds what an environment cannot hold. */
export const pusherService = /* @__PURE__ */ new PusherService(() => {
  const { development, ...settings } = readEnvironment();
  return { ...settings, logToConsole: development };
});
