// build - ESM and CommonJS with their types, from one source.
//
// The one difference between the two: CommonJS has no import.meta, so that its vite-environment.js
// is written here.
import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));
const tsc = path.join(path.dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin/tsc');

rmSync(path.join(here, 'dist'), { recursive: true, force: true });
for (const project of ['tsconfig.json', 'tsconfig.cjs.json'])
  execFileSync(process.execPath, [tsc, '-p', project], { cwd: here, stdio: 'inherit' });

// The folder's own package.json ends the search for the other one, so it repeats what is looked up.
const { imports, sideEffects } = JSON.parse(readFileSync(path.join(here, 'package.json'), 'utf8'));
writeFileSync(path.join(here, 'dist/cjs/package.json'), JSON.stringify({ type: 'commonjs', imports, sideEffects }));
writeFileSync(path.join(here, 'dist/cjs/vite-environment.js'), `"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.viteEnvironment = void 0;
const viteEnvironment = () => undefined;
exports.viteEnvironment = viteEnvironment;
`);
rmSync(path.join(here, 'dist/cjs/vite-environment.js.map'));

// For pages without a bundler: the same wrapper as a script, carillonRecovery(pusher, options).
const recovery = readFileSync(path.join(here, 'dist/esm/recovery.js'), 'utf8');
if (/^import /m.test(recovery)) throw new Error('recovery.ts imports something: it cannot be a plain script');
writeFileSync(path.join(here, 'dist/recovery.global.js'), `(() => {
${recovery.replace(/^export /gm, '').replace(/^\/\/# sourceMappingURL.*$/m, '').trim()}
globalThis.carillonRecovery = recover;
})();
`);
