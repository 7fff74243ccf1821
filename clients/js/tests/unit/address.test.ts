import { expect, test, vi } from 'vitest';
import { absoluteUrl, findAddress, type PageLocation } from '../../src/address.js';
import { readEnvironment } from '../../src/environment.js';

const http: PageLocation = { protocol: 'http:', hostname: 'page.test', port: '5173' };
const https: PageLocation = { protocol: 'https:', hostname: 'page.test', port: '' };

test.each([
  ['nothing named: the page', {}, http, ['page.test', 5173, false]],
  ['nothing named: the page over TLS', {}, https, ['page.test', 443, true]],
  ['a port on the page\'s host', { port: 6001 }, http, ['page.test', 6001, false]],
  ['another scheme than the page\'s', { scheme: 'https' as const }, http, ['page.test', 443, true]],
  ['a host with the page\'s scheme', { host: 'rt.test' }, http, ['rt.test', 80, false]],
  ['a host on a page over TLS', { host: 'rt.test' }, https, ['rt.test', 443, true]],
  ['everything named', { host: 'rt.test', port: 1, scheme: 'http' as const }, https, ['rt.test', 1, false]],
  ['no page: TLS', { host: 'rt.test' }, null, ['rt.test', 443, true]],
])('%s', (_, options, page, wanted) => {
  vi.stubGlobal('location', page ?? undefined);
  const address = findAddress(options);
  expect([address?.host, address?.port, address?.tls]).toEqual(wanted);
});

test('no host and no page is no address; a page from a file has none either', () => {
  for (const page of [undefined, { protocol: 'file:', hostname: '', port: '' }]) {
    vi.stubGlobal('location', page);
    expect(findAddress({ port: 6001 })).toBeNull();
  }
});

test('an endpoint without a page belongs to the server', () => {
  const address = () => ({ host: 'rt.test', port: 6001, tls: false });
  expect(absoluteUrl('/a/b', address, http)).toBe('/a/b');
  vi.stubGlobal('location', undefined);
  expect(absoluteUrl('/a/b', address)).toBe('http://rt.test:6001/a/b');
  expect(absoluteUrl('https://app.test/a', address)).toBe('https://app.test/a');
});

test('the environment: the first source that has a name, empty means not set', () => {
  const { key, host, port, scheme, development } = readEnvironment([
    { VITE_PUSHER_KEY: 'one', VITE_PUSHER_HOST: '', DEV: true },
    { VITE_PUSHER_KEY: 'two', VITE_PUSHER_HOST: 'h', VITE_PUSHER_PORT: '6001', VITE_PUSHER_SCHEME: 'http' },
  ]);
  expect([key, host, port, scheme, development]).toEqual(['one', 'h', 6001, 'http', true]);
  expect(readEnvironment([undefined, {}])).toEqual({ development: false });
});

test.each([
  ['VITE_PUSHER_PORT', '70000'],
  ['VITE_PUSHER_PORT', '60x'],
  ['VITE_PUSHER_SCHEME', 'ws'],
])('%s=%s is refused by its name', (name, value) => {
  expect(() => readEnvironment([{ [name]: value }])).toThrow(name);
});
