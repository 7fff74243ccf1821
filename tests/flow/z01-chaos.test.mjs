// Links and servers that fail while events are published: the short form of `make chaos`.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { crowd, dice, Scene } from '../chaos/scene.mjs';
import { judgePlain, judgeRecovering } from '../chaos/verdict.mjs';

describe('the judge', () => {
  const n = (...numbers) => numbers.map((number) => ({ n: number }));
  const cases = [
    ['all of it', n(1, 2, 3), 3, 0],
    ['a hole', n(1, 3), 3, 1],
    ['twice', n(1, 2, 2, 3), 3, 1],
    ['a swap', n(1, 3, 2, 4), 4, 3],
    ['silence at the end', n(1, 2), 3, 1],
    ['nothing at all', [], 3, 1],
    ['a hole of which it was told', [...n(1), { told: 'expired' }, ...n(4, 5)], 5, 0],
    ['told, and the same once more', [...n(1, 2), { told: 'epoch_changed' }, ...n(2, 3)], 3, 0],
    ['told, and back to the beginning', [...n(1, 2, 3), { told: 'epoch_changed' }, ...n(2, 3)], 3, 1],
    ['told last', [...n(1), { told: 'too_many' }], 9, 0],
  ];
  for (const [what, trace, last, faults] of cases)
    test(`${what}: ${faults ? 'a fault' : 'good'}`, () => { assert.equal(judgeRecovering(trace, last).faults.length, faults); });
  test('who does not recover may miss, but not hear twice', () => {
    assert.deepEqual(judgePlain([{ n: 1 }, { n: 5 }, { connected: true }, { n: 5 }]).faults, []);
    assert.equal(judgePlain([{ n: 1 }, { n: 5 }, { n: 5 }]).faults.length, 1);
    assert.deepEqual(judgePlain([{ n: 8 }, { connected: true }], 8).faults, []);
    assert.equal(judgePlain([{ n: 7 }, { connected: true }], 8).faults.length, 1);
  });
});

const schedule = ['cut', 'stall', 'cut all', 'throttle', 'kill', 'half close', 'away', 'purge', 'restart', 'freeze', 'cut all'];

for (const [durability, workers] of [['memory', 4], ['async', 1], ['ack', 4]])
  test(`nothing is lost unsaid: ${durability}, ${workers} workers`, async () => {
    const scene = new Scene({ durability, workers, seed: 1 });
    try {
      const roll = dice(7);
      await scene.play(schedule, () => 100 + roll(200));
      const rows = scene.verdict();
      const faults = rows.filter((row) => row.faults.length).map(({ kind, transport, channel, faults: [first] }) => `${kind} ${transport} ${channel}: ${first}`);
      assert.deepEqual(faults, []);
      assert.ok(rows.some(({ recovered }) => recovered > 0), 'somebody recovered');
      for (const row of rows) assert.ok(row.seen > 0 && row.published > 20, JSON.stringify(row));
      // A store that has what was answered leaves only the purge to be told.
      if (durability === 'ack') for (const { kind, told } of rows) assert.ok(kind === 'plain' || told <= 1);
    } finally {
      await scene.end();
    }
  });

test('two hundred come back at once', async () => {
  const all = await crowd({ durability: 'async', workers: 4, seed: 3 });
  const whole = Array.from({ length: 50 }, (_, i) => i + 1);
  assert.equal(all.length, 200);
  for (const heard of all) assert.deepEqual(heard, whole);
});
