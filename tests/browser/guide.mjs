// The guide's code as an application: its blocks are taken from examples/guide/GUIDE.md as they
// stand, put into the files that the guide names, compiled, bundled and served beside a Carillon.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { ownFolder } from '../flow/harness.mjs';
import { servePage } from './page.mjs';

const tree = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const client = path.join(tree, 'clients/js');
export const configFile = path.join(tree, 'examples/guide/guide.yaml');
export const app = { id: 'app-id', key: 'app-key', secret: 'app-secret' };

// Every fenced block: { heading, language, text }.
export function readBlocks() {
  const blocks = [];
  let heading = '';
  let block = null;
  for (const line of readFileSync(path.join(tree, 'examples/guide/GUIDE.md'), 'utf8').split('\n')) {
    const fence = /^```(\w*)$/.exec(line);
    if (fence && block) {
      blocks.push({ ...block, text: `${block.lines.join('\n')}\n` });
      block = null;
    } else if (fence) {
      block = { heading, language: fence[1], lines: [] };
    } else if (block) {
      block.lines.push(line);
    } else if (/^#+ /.test(line)) {
      heading = line.replace(/^#+ /, '');
    }
  }
  return blocks;
}

const blockOf = (blocks, heading, language) => {
  const found = blocks.filter((block) => block.heading === heading && block.language === language);
  assert.equal(found.length, 1, `the guide has one ${language} block under "${heading}"`);
  return found[0].text;
};

// What stands around the blocks: what the guide leaves to the reader's own application.
function writeSources(folder, blocks) {
  const write = (name, text) => {
    const file = path.join(folder, name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, text);
  };
  const service = "import { pusherService } from './services/pusher';\n";
  write('src/services/auth.ts', "export function getAuthToken(): string {\n  return decodeURIComponent(location.hash.slice(1));\n}\n");
  write('src/services/pusher.ts', blockOf(blocks, '3. Create Pusher Service', 'typescript'));
  write('src/hooks/usePusher.ts', blockOf(blocks, 'React Hook for Pusher', 'typescript'));
  write('src/after.js', [
    "import { getAuthToken } from './services/auth';\nconst handleMessage = (data) => console.log(`handled ${JSON.stringify(data)}`);\n",
    blockOf(blocks, 'After (Pusher)', 'javascript'),
    blockOf(blocks, 'Connection Issues', 'javascript'),
  ].join(''));
  write('src/analytics.tsx', [
    "import { useEffect, useState } from 'react';\n", service,
    'export function Page() {\nconst [analytics, setAnalytics] = useState<any>(null);\n',
    blockOf(blocks, '4. Replace WebSocket Usage in Components', 'typescript'),
    'useEffect(() => { if (analytics) console.log(`analytics ${JSON.stringify(analytics)}`); }, [analytics]);\n',
    'return <pre>{JSON.stringify(analytics)}</pre>;\n}\n',
  ].join(''));
  write('src/chat.tsx', `import { useCallback, useState } from 'react';
import { usePusherChannel } from './hooks/usePusher';
export function Page() {
  const [lines, setLines] = useState<string[]>([]);
  const onMessage = useCallback((data: any) => setLines((all) => [...all, \`\${data.user_id}: \${data.payload.text}\`]), []);
  const { sendMessage } = usePusherChannel('presence-content-updates', 'message', onMessage);
  return <><button onClick={() => { void sendMessage('chat', { text: 'hello' }); }}>Say hello</button><ul>{lines.map((line, i) => <li key={i}>{line}</li>)}</ul></>;
}
`);
  write('src/connection.ts', service + blockOf(blocks, '1. Test Connection', 'typescript'));
  write('src/authentication.ts', service + blockOf(blocks, '2. Test Authentication', 'typescript'));
  write('src/sending.ts', `${service}${blockOf(blocks, '3. Test Message Sending', 'typescript')}void testSendMessage();\nexport {};\n`);
  write('src/environment.ts', `${service}import { getAuthToken } from './services/auth';
const user = JSON.parse(atob(getAuthToken().split('.')[1].replaceAll('-', '+').replaceAll('_', '/'))).sub;
const channel = pusherService.subscribe(\`private-user-\${user}\`);
channel.bind('message', (data: any) => console.log(\`progress \${JSON.stringify(data)}\`));
channel.bind('pusher:subscription_succeeded', async () => {
  const response = await fetch('/api/v1/pusher/environment/create', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', 'Authorization': \`Bearer \${getAuthToken()}\` },
    body: JSON.stringify({ environment_type: 'castle' }),
  });
  console.log(\`created \${response.status} \${JSON.stringify(await response.json())}\`);
});
`);
  write('src/main.tsx', `import { createRoot } from 'react-dom/client';
const pages: Record<string, () => Promise<any>> = {
  after: () => import('./after.js'),
  analytics: () => import('./analytics'),
  chat: () => import('./chat'),
  connection: () => import('./connection'),
  authentication: () => import('./authentication'),
  sending: () => import('./sending'),
  environment: () => import('./environment'),
};
void pages[location.search.slice(1)]().then(({ Page }) => {
  if (Page) createRoot(document.getElementById('root')!).render(<Page />);
});
`);
  write('src/env.d.ts', '/// <reference types="vite/client" />\ndeclare module \'./after.js\';\n');
  write('index.html', '<!doctype html><title>guide</title><div id="root"></div><script type="module" src="/src/main.tsx"></script>\n');
  write('.env.local', blockOf(blocks, '2. Update Environment Variables', 'env').replace('your_pusher_key', app.key).replace('your_cluster', 'self'));
}

function compile(folder) {
  writeFileSync(path.join(folder, 'tsconfig.json'), JSON.stringify({
    compilerOptions: {
      strict: true, noEmit: true, skipLibCheck: true, target: 'es2022', module: 'esnext', moduleResolution: 'bundler',
      lib: ['es2022', 'dom', 'dom.iterable'], jsx: 'react-jsx', allowJs: true, types: ['vite/client', 'react'],
      paths: { 'pusher-js': [path.join(client, 'dist/esm/pusher/index.d.ts')] },
    },
    include: ['src'],
  }));
  try {
    execFileSync(process.execPath, [path.join(client, 'node_modules/typescript/bin/tsc'), '-p', folder], { encoding: 'utf8' });
  } catch (error) {
    assert.fail(`the guide's blocks do not compile:\n${error.stdout}`);
  }
}

async function bundle(folder) {
  const { build } = await import(pathToFileURL(createRequire(path.join(client, 'package.json')).resolve('vite')));
  await build({
    root: folder,
    logLevel: 'error',
    envDir: folder,
    mode: 'development',
    resolve: { alias: [{ find: /^pusher-js$/, replacement: path.join(client, 'dist/esm/pusher/index.js') }] },
    define: { 'process.env.VITE_PUSHER_KEY': JSON.stringify(app.key), 'process.env.VITE_PUSHER_CLUSTER': '"self"' },
    build: { outDir: path.join(folder, 'dist'), minify: false },
  });
}

// The application, built: serves itself and hands what is not its own to the server, as Vite's
// proxy does.  { url(page, token), stop() }
export async function startApplication(server) {
  const folder = ownFolder('guide');
  symlinkSync(path.join(client, 'node_modules'), path.join(folder, 'node_modules'));
  writeSources(folder, readBlocks());
  compile(folder);
  await bundle(folder);
  const page = await servePage(path.join(folder, 'dist'), server);
  return {
    url: (name, token) => `${page.url}?${name}#${encodeURIComponent(token)}`,
    stop: async () => {
      await page.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

// A token as the guide's own backend would mint it.
export function mint(claims) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ exp: Math.floor(Date.now() / 1000) + 900, ...claims })}`;
  return `${text}.${createHmac('sha256', 'guide-development-secret-change-me-0123456789').update(text).digest('base64url')}`;
}
