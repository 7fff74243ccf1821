/* address.ts - where the server is: as named, or where the page came from. */
import type { Options } from 'pusher-js/index.js';
import { PusherConfigurationError } from './errors/configuration-error.js';
import type { Scheme } from './environment.js';

export interface AddressOptions {
  host?: string;
  port?: number;
  scheme?: Scheme;
}

export interface Address {
  host: string;
  port: number;
  tls: boolean;
}

/* The part of window.location that matters. */
export interface PageLocation {
  protocol: string;
  hostname: string;
  port: string;
}

export function currentPage(): PageLocation | undefined {
  const { location } = globalThis as { location?: PageLocation };
  return location && /^https?:$/.test(location.protocol) ? location : undefined;
}

const standardPort = (tls: boolean): number => (tls ? 443 : 80);

/* What is not named is taken from the page; without a page TLS is assumed.  Null when no host is
 * to be had. */
export function findAddress(options: AddressOptions, page = currentPage()): Address | null {
  const host = options.host ?? page?.hostname;
  if (!host) return null;
  const pageTls = page?.protocol === 'https:';
  const tls = options.scheme ? options.scheme === 'https' : page ? pageTls : true;
  let port = options.port;
  // The page's port says something about the page's own host and scheme only.
  if (port === undefined && options.host === undefined && page && tls === pageTls && page.port)
    port = Number(page.port);
  return { host, port: port ?? standardPort(tls), tls };
}

export function requireAddress(options: AddressOptions): Address {
  const address = findAddress(options);
  if (!address)
    throw new PusherConfigurationError(
      'no host: set host (or VITE_PUSHER_HOST); only a page has an address of its own',
    );
  return address;
}

/* Both families of transports, so that pusher-js can fall back from WebSocket to HTTP. */
export function addressOptions(address: Address): Partial<Options> {
  const { host, port, tls } = address;
  return {
    wsHost: host,
    wsPort: port,
    wssPort: port,
    httpHost: host,
    httpPort: port,
    httpsPort: port,
    forceTLS: tls,
  };
}

/* An endpoint as fetch can use it: a relative one belongs to the page, or without a page to the
 * server. */
export function absoluteUrl(
  endpoint: string,
  address: () => Address,
  page = currentPage(),
): string {
  if (page || /^https?:\/\//i.test(endpoint)) return endpoint;
  const { tls, host, port } = address();
  return new URL(endpoint, `${tls ? 'https' : 'http'}://${host}:${port}`).href;
}
