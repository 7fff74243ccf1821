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
