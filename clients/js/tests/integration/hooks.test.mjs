// The hooks of the built package in a page, against the real server.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { JSDOM } from 'jsdom';
import { until } from '../../../../tests/flow/harness.mjs';
import { makeService, startBackend, startWire, useRealtime } from './bench.mjs';

const { window } = new JSDOM('<!doctype html><body></body>');
Object.assign(globalThis, { window, document: window.document });
const { createElement: h, StrictMode } = await import('react');
const { createRoot } = await import('react-dom/client');
const { PusherProvider, usePresenceChannel, usePusherChannel, usePusherConnection } = await import('carillon-js/react');

for (const transport of ['ws', 'xhr_streaming', 'xhr_polling']) describe(`carillon-js/react over ${transport}`, () => {
  const ctx = useRealtime();

  function mount(service, element) {
    const container = document.createElement('div');
    const root = createRoot(container);
    const render = (next) => root.render(h(StrictMode, null, h(PusherProvider, { service }, next)));
    ctx.defer(() => root.unmount());
    render(element);
    return { render, shows: (text, ms) => until(() => container.textContent === text, `the page to show "${text}"`, ms) };
  }

  test('two components in StrictMode, a loss of the connection, and the last one leaving', async () => {
    const backend = await startBackend(ctx.server);
    ctx.defer(() => backend.stop());
    const wire = await startWire(ctx.server);
    ctx.defer(() => wire.stop());
    const service = makeService(ctx, backend, transport, { port: wire.port });
    const heard = [];
    const Listener = ({ name }) => {
      const { status } = usePusherChannel('presence-room', 'e', (data) => heard.push([name, data]));
      return `${name} ${status}. `;
    };
    const Who = () => [...usePresenceChannel('presence-room').members.keys()].sort().join();
    const State = () => ` ${usePusherConnection().state}`;
    const page = mount(service, [h(Listener, { key: 1, name: 'one' }), h(Listener, { key: 2, name: 'two' }), h(Who, { key: 3 }), h(State, { key: 4 })]);
    await page.shows('one subscribed. two subscribed. ann connected');
    assert.equal(backend.to('/api/v1/pusher/auth').length, 1, 'one subscription for all of them');
    await ctx.api().trigger('presence-room', 'e', 1);
    await until(() => heard.length >= 2, 'the event twice');
    assert.deepEqual(heard.splice(0).sort(), [['one', 1], ['two', 1]]);

    page.render([h(Listener, { key: 2, name: 'two' }), h(Who, { key: 3 }), h(State, { key: 4 })]);
    await page.shows('two subscribed. ann connected');
    const before = service.socketId;
    await wire.cut(service);
    await until(() => service.socketId && service.socketId !== before, 'another connection', 20000);
    await page.shows('two subscribed. ann connected');
    await ctx.api().trigger('presence-room', 'e', 2);
    await until(() => heard.length, 'the event');
    assert.deepEqual(heard, [['two', 2]]);

    page.render('gone');
    await until(async () => (await ctx.server.metrics()).sum('carillon_subscriptions') === 0, 'the channel to be left');
  });
});
