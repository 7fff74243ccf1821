// Much at once, from clients that behave.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forEachWorkers, rawSubscribe, until, wsFrame } from './harness.mjs';

forEachWorkers('bursts', { set: { 'app_defaults.limits.client_events_per_s': '0' } }, (ctx) => {
  // Counts instead of keeping.
  function count(socket, pattern) {
    let n = 0;
    socket.frames.push = (frame) => { socket.all.length = 0; if (pattern.test(frame.text)) n++; return 0; };
    return () => n;
  }

  test('a burst whose answers pass the soft limit in one turn is answered to its end', async () => {
    const socket = await ctx.raw();
    const answers = count(socket, /Unsupported event/);
    const n = 50000;
    socket.write(Buffer.concat(Array.from({ length: n }, () => wsFrame('text', '{"event":"x"}'))));
    await until(() => answers() === n, `${n} answers`, 20000).catch((error) => assert.fail(`${error.message}: ${answers()}`));
    socket.text('{"event":"the-last"}');
    await until(() => answers() === n + 1, 'the last answer');
  });

  test('a burst of subscriptions and leaves is answered to its end', async () => {
    const socket = await ctx.raw();
    const answers = count(socket, /subscription_succeeded/);
    const n = 2000;
    const bytes = [];
    for (let i = 0; i < n; i++) {
      bytes.push(wsFrame('text', `{"event":"pusher:subscribe","data":{"channel":"burst-${i}"}}`));
      bytes.push(wsFrame('text', `{"event":"pusher:unsubscribe","data":{"channel":"burst-${i}"}}`));
    }
    socket.write(Buffer.concat(bytes));
    await until(() => answers() === n, `${n} successes`, 20000).catch((error) => assert.fail(`${error.message}: ${answers()}`));
  });

  test('a burst of client events arrives whole and in order', async () => {
    const a = await ctx.raw();
    const b = await ctx.raw();
    await rawSubscribe(a, 'private-burst');
    await rawSubscribe(b, 'private-burst');
    let next = 0;
    b.frames.push = (frame) => {
      b.all.length = 0;
      if (frame.opcode !== 1) return 0;
      const m = JSON.parse(frame.text);
      if (m.event === 'client-x') assert.equal(Number(m.data), next++);
      return 0;
    };
    const n = 8000; // half of outbox_bytes: more at once may rightly be too much for a busy reader
    a.write(Buffer.concat(Array.from({ length: n }, (_, i) => wsFrame('text', `{"event":"client-x","channel":"private-burst","data":${i}}`))));
    await until(() => next === n, `${n} events`, 20000)
      .catch((error) => assert.fail(`${error.message}: ${next}; ${JSON.stringify(ctx.server.logged('closed'))}`));
  });
});
