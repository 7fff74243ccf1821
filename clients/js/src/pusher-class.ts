/* pusher-class.ts - the real pusher-js.
 *
 * It is imported by a name of this package's own (imports in package.json), so that a bundler's
 * alias from pusher-js to carillon-js/pusher does not lead back here.  Its types come from
 * pusher-js/index.js for the same reason, and because Node's ESM sees no default there.
 */
import type { Options } from 'pusher-js/index.js';
import Loaded from '#pusher-js';
import type { Pusher } from './channel-authorizer.js';

export interface PusherClass {
  new (key: string, options: Options): Pusher;
  instances: Pusher[];
  logToConsole: boolean;
  log: (message: unknown) => void;
}

/* Some loaders wrap a CommonJS module in {default}. */
export const RealPusher: PusherClass = ((Loaded as unknown as { default?: unknown }).default ??
  Loaded) as PusherClass;
