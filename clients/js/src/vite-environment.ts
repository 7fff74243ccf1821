/* vite-environment.ts - what Vite tells a module at build time.
 *
 * A file of its own because CommonJS has no import.meta: there the build puts a file that knows
 * nothing in its place.
 */
export interface Environment {
  readonly [name: string]: string | boolean | undefined;
}

/* The whole object, not one name at a time: that is what Vite replaces in every mode.  Outside of
 * Vite it is undefined. */
export const viteEnvironment = (): Environment | undefined =>
  // @ts-ignore: import.meta is refused in the CommonJS pass only
  (import.meta as ImportMeta & { env?: Environment }).env;
