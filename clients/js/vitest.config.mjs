// The same hooks on React 19 (this package's own) and React 18 (tests/react18), in a page (jsdom,
// the web build of pusher-js) and on a server (no DOM, its Node build).
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const here = path.dirname(fileURLToPath(import.meta.url));
const inPage = { '#pusher-js': path.join(here, 'node_modules/pusher-js/dist/web/pusher.js') };
const react18 = Object.fromEntries(
  ['react', 'react-dom'].map((name) => [name, path.join(here, 'tests/react18/node_modules', name)]),
);

const project = (name, folder, environment, alias) => ({
  resolve: { alias },
  test: {
    name,
    include: [`tests/${folder}/*.test.{ts,tsx}`],
    environment,
    testTimeout: 30000,
    restoreMocks: true,
    unstubGlobals: true,
    env: { TEST_REACT: name.replace(/\D/g, '') },
  },
});

export default defineConfig({
  root: here,
  test: {
    maxWorkers: 2,
    projects: [
      project('core', 'unit', 'jsdom', inPage),
      project('react 19', 'react', 'jsdom', inPage),
      project('react 18', 'react', 'jsdom', { ...inPage, ...react18 }),
      project('server 19', 'ssr', 'node', {}),
      project('server 18', 'ssr', 'node', react18),
    ],
  },
});
