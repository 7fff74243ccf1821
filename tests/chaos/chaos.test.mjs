// Chaos for as long as one likes: every durability in turn, faults drawn from a seed.
//
//   CHAOS_SECONDS  of faults in all (120)
//   CHAOS_SEED     repeats a schedule
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import vm from 'node:vm';
import { builtWrap } from './listeners.mjs';
import { crowd, dice, Scene } from './scene.mjs';

const seconds = Number(process.env.CHAOS_SECONDS ?? 120);
const seed = Number(process.env.CHAOS_SEED ?? Date.now() % 1000000);
const common = ['cut', 'cut', 'cut all', 'half close', 'stall', 'throttle', 'away', 'away', 'freeze', 'purge', 'restart', 'kill'];
// The plain script of the client package: what pages without a bundler load.
vm.runInThisContext(readFileSync(new URL('../../clients/js/dist/recovery.global.js', import.meta.url), 'utf8'));
const wrap = builtWrap(globalThis.carillonRecovery);
const scenes = [
  ['memory', 1, 1000], ['memory', 4, 1000], ['async', 4, 1000], ['ack', 1, 1000], ['ack', 4, 1000],
  ['memory', 4, 30], ['ack', 4, 30], // who is away for long is told that it has missed too much
];

function* until(end, roll) {
  while (Date.now() < end) yield common[roll(common.length)];
}

// A line for each kind of listener.
function print(scene, rows) {
  const lines = new Map();
  for (const { kind, transport, published, seen, told = 0, lost = 0, twice = 0, recovered } of rows) {
    const line = lines.get(`${kind} ${transport}`) ?? { published: 0, seen: 0, told: 0, recovered: 0, lost: 0, twice: 0 };
    lines.set(`${kind} ${transport}`, { published: line.published + published, seen: line.seen + seen, told: line.told + told, recovered, lost: line.lost + lost, twice: line.twice + twice });
  }
  console.log(Object.entries(scene.faults).map(([name, n]) => `${name} ${n}`).join(', '));
  console.table(Object.fromEntries(lines));
}

console.log(`CHAOS_SEED=${seed} CHAOS_SECONDS=${seconds}`);
for (const [i, [durability, workers, keep]] of scenes.entries())
  test(`${durability}, ${workers} workers, ${keep} events kept`, async () => {
    const roll = dice(seed + i);
    const scene = new Scene({ durability, workers, keep, wrap, seed: seed + i });
    try {
      await scene.play(until(Date.now() + (seconds * 1000) / scenes.length, roll), () => 100 + roll(600));
      const rows = scene.verdict();
      print(scene, rows);
      assert.deepEqual(rows.filter((row) => row.faults.length).map(({ kind, transport, channel, faults }) => `${kind} ${transport} ${channel}: ${faults.join('; ')}`), []);
    } finally {
      await scene.end();
    }
  });

for (const durability of ['memory', 'async', 'ack'])
  test(`two hundred come back at once: ${durability}`, async () => {
    const whole = Array.from({ length: 50 }, (_, n) => n + 1);
    for (const heard of await crowd({ durability, workers: 4, seed })) assert.deepEqual(heard, whole);
  });
