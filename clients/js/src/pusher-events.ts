/* pusher-events.ts - the events of an application, for who wants them checked.
 *
 *   declare module 'carillon-js' {
 *     interface PusherEvents {
 *       'presence-content-updates': { content_update: ContentUpdate };
 *     }
 *   }
 *
 * Channels that are not named here carry unknown.
 */
export interface PusherEvents {}

export type KnownChannel = keyof PusherEvents & string;
export type KnownEvent<C extends KnownChannel> = keyof PusherEvents[C] & string;

/* A channel, or an event of it, about which PusherEvents says nothing; never for the others. */
export type UnlistedChannel<C> = C extends KnownChannel ? never : C;
export type UnlistedEvent<C, E> = C extends KnownChannel
  ? E extends KnownEvent<C>
    ? never
    : E
  : E;
