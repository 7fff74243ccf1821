/* options.ts - what `new Pusher(key, options)` may say here. */
import type { Options } from 'pusher-js/index.js';
import { addressOptions, findAddress } from '../address.js';
import { readEnvironment } from '../environment.js';

/* auth with an endpoint: what guides for Pusher show and pusher-js ignores. */
export interface PusherOptions extends Omit<Options, 'auth' | 'cluster'> {
  cluster?: string;
  auth?: {
    endpoint?: string;
    headers?: Record<string, string>;
    params?: Record<string, string>;
  };
}

const HOSTS = ['wsHost', 'httpHost'] as const;

/* Without a host the server is the one of VITE_PUSHER_HOST, PORT and SCHEME, or the page's own. */
export function completeOptions(options: PusherOptions): Options {
  const { auth, ...rest } = options;
  const complete: Options = { ...rest, cluster: options.cluster ?? 'self' };
  if (auth) {
    const { endpoint, ...headersAndParams } = auth;
    complete.auth = headersAndParams;
    if (endpoint !== undefined && options.authEndpoint === undefined)
      complete.authEndpoint = endpoint;
  }
  if (HOSTS.some((name) => options[name] !== undefined)) return complete;
  const { host, port, scheme } = readEnvironment();
  const address = findAddress({ host, port, scheme });
  return address ? { ...addressOptions(address), ...complete } : complete;
}
