/* pusher.ts - pusher-js for a server of one's own: an alias for `pusher-js` in a bundler. */
import type { Options } from 'pusher-js/index.js';
import type { Pusher as Instance } from '../channel-authorizer.js';
import { RealPusher } from '../pusher-class.js';
import { completeOptions, type PusherOptions } from './options.js';

/* What the real class has besides the two settings below. */
interface Base {
  new (key: string, options: Options): Instance;
  instances: Instance[];
}

const RealBase: Base = RealPusher;

export default class Pusher extends RealBase {
  /* Settings live on the real class: its logger reads them there. */
  static get logToConsole(): boolean {
    return RealPusher.logToConsole;
  }

  static set logToConsole(value: boolean) {
    RealPusher.logToConsole = value;
  }

  static get log(): (message: unknown) => void {
    return RealPusher.log;
  }

  static set log(value: (message: unknown) => void) {
    RealPusher.log = value;
  }

  constructor(key: string, options: PusherOptions) {
    super(key, completeOptions(options));
  }
}
