import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

// The page and the server are one origin to the browser: what is the server's goes there.
const server = process.env.CARILLON_URL ?? 'http://127.0.0.1:6001';
const proxy = Object.fromEntries(
  ['/api', '/app', '/apps', '/pusher', '/ws', '/metrics'].map((path) => [path, { target: server, ws: true }]),
);

export default defineConfig({
  plugins: [react()],
  // carillon-js is linked from its folder, which has a React of its own.
  resolve: { dedupe: ['react', 'react-dom', 'pusher-js'] },
  server: { host: '127.0.0.1', port: 5173, strictPort: false, proxy },
  preview: { host: '127.0.0.1', port: 5173, strictPort: false, proxy },
  build: { chunkSizeWarningLimit: 900 },
});
