/* environment.ts - settings from VITE_PUSHER_*, read when they are asked for. */
import { PusherConfigurationError } from './errors/configuration-error.js';
import { type Environment, viteEnvironment } from './vite-environment.js';

export type Scheme = 'http' | 'https';

export interface EnvironmentSettings {
  key?: string;
  cluster?: string;
  host?: string;
  port?: number;
  scheme?: Scheme;
  authEndpoint?: string;
  development: boolean;
}

const NAMES = ['KEY', 'CLUSTER', 'HOST', 'PORT', 'SCHEME', 'AUTH_ENDPOINT'] as const;

/* Bundlers that are not Vite, and Node, have process.env at best. */
function processEnvironment(): Environment | undefined {
  return (globalThis as { process?: { env?: Environment } }).process?.env;
}

export function readPort(value: string | number, where: string): number {
  const port = Number(value);
  if (!Number.isInteger(port) || port < 1 || port > 65535)
    throw new PusherConfigurationError(`${where}: '${value}' is not a port between 1 and 65535`);
  return port;
}

export function readScheme(value: string, where: string): Scheme {
  if (value !== 'http' && value !== 'https')
    throw new PusherConfigurationError(`${where}: '${value}' is neither http nor https`);
  return value;
}

export function readEnvironment(
  sources: ReadonlyArray<Environment | undefined> = [viteEnvironment(), processEnvironment()],
): EnvironmentSettings {
  const found: Partial<Record<(typeof NAMES)[number], string>> = {};
  for (const name of NAMES)
    for (const source of sources) {
      const value = source?.[`VITE_PUSHER_${name}`];
      // An empty value is how an .env file says "not set".
      if (found[name] === undefined && typeof value === 'string' && value !== '')
        found[name] = value;
    }
  return {
    key: found.KEY,
    cluster: found.CLUSTER,
    host: found.HOST,
    port: found.PORT === undefined ? undefined : readPort(found.PORT, 'VITE_PUSHER_PORT'),
    scheme: found.SCHEME === undefined ? undefined : readScheme(found.SCHEME, 'VITE_PUSHER_SCHEME'),
    authEndpoint: found.AUTH_ENDPOINT,
    development: sources.some((source) => source?.DEV === true),
  };
}
