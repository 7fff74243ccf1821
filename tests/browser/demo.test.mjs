// The demo page in Chromium: what a newcomer sees in the first minute.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { expectIdle, freePort, limit, startServer, until } from '../flow/harness.mjs';
import { launchBrowser } from './chromium.mjs';

let browser;

before(async () => { browser = await launchBrowser(); });
after(() => browser?.close());

// A server with the default app and a fresh browser for one test; all of it ends with the test.
async function visit(t, { prefix = '', app = null, viewport } = {}) {
  const servers = [];
  const start = async (opts) => {
    const server = await startServer({ app, set: { 'limits.rejoin_ms': 500, ...(prefix ? { path_prefix: prefix } : {}) }, ...opts });
    servers.push(server);
    return server;
  };
  const server = await start({ port: await freePort() });
  const context = await browser.newContext({ viewport: viewport ?? { width: 1000, height: 900 } });
  context.setDefaultTimeout(limit(10000));
  const seen = { faults: [], hosts: new Set() };
  context.on('console', (message) => { if (message.type() === 'error') seen.faults.push(message.text()); });
  context.on('weberror', (error) => seen.faults.push(String(error.error())));
  context.on('request', (request) => seen.hosts.add(new URL(request.url()).host));
  t.after(async () => {
    await context.close();
    try {
      for (const each of servers)
        if (!each.status) await expectIdle(each);
    } finally {
      for (const each of servers) await each.stop();
    }
  });
  const open = async () => {
    const page = await context.newPage();
    page.on('websocket', (socket) => seen.hosts.add(new URL(socket.url()).host));
    const answer = await page.goto(`${server.url}/`);
    assert.equal(answer.status(), 200);
    return page;
  };
  return { server, start, open, seen, page: await open() };
}

const text = (page, selector) => page.locator(selector).textContent();
const connected = (page, ms = 10000) =>
  page.locator('#status[data-state="connected"]').waitFor({ timeout: limit(ms) });
const arrived = (page, message) => page.locator('#log li .text', { hasText: message }).first().waitFor();

function expectClean({ server, seen }) {
  assert.deepEqual(seen.faults, []);
  assert.deepEqual([...seen.hosts], [new URL(server.url).host], 'nothing comes from another host');
}

test('a message crosses the server', async (t) => {
  const visitor = await visit(t);
  const { page } = visitor;
  await connected(page);
  assert.match(await text(page, '#socket'), /^\d+\.\d+$/);
  await until(async () => await text(page, '#count') === '1 here', 'the count of subscribers');
  await page.click('#send');
  await arrived(page, 'Hello, Carillon');
  assert.match(await text(page, '#log li .took'), /^\d+\.\d ms$/);
  assert.match(await text(page, '#trip'), /^\d+\.\d ms$/);
  assert.equal(await page.locator('#empty').isVisible(), false);
  assert.equal(await page.locator('#notice').isVisible(), false);
  expectClean(visitor);
});

test('text is shown as text, whatever it holds', async (t) => {
  const visitor = await visit(t);
  const { page } = visitor;
  await connected(page);
  const message = '<img src=x onerror=alert(1)> "quoted" \\ \u{1F514} ζ';
  await page.fill('#message', message);
  await page.click('#send');
  await arrived(page, message);
  assert.equal(await page.locator('#log img').count(), 0);
  expectClean(visitor);
});

test('every window hears every other', async (t) => {
  const visitor = await visit(t);
  const { page } = visitor;
  await connected(page);
  const other = await visitor.open();
  await connected(other);
  for (const window of [page, other])
    await until(async () => await text(window, '#count') === '2 here', 'a count of two');
  assert.notEqual(await text(page, '#socket'), await text(other, '#socket'));
  for (let i = 1; i <= 20; i++) {
    await page.fill('#message', `number ${i}.`);
    await page.click('#send');
    await arrived(page, `number ${i}.`);
  }
  await arrived(other, 'number 20.');
  const wanted = Array.from({ length: 20 }, (_, i) => `number ${20 - i}.`);
  assert.deepEqual(await other.locator('#log li .text').allTextContents(), wanted);
  await other.close();
  await until(async () => await text(page, '#count') === '1 here', 'a count of one');
  expectClean(visitor);
});

test('a phone and a keyboard are enough', async (t) => {
  const visitor = await visit(t, { viewport: { width: 360, height: 740 } });
  const { page } = visitor;
  await connected(page);
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360);
  for (let i = 0; i < 5 && await page.evaluate(() => document.activeElement.id) !== 'message'; i++)
    await page.keyboard.press('Tab');
  await page.keyboard.press('Control+A');
  await page.keyboard.type('a'.repeat(200));
  await page.keyboard.press('Enter');
  await arrived(page, 'a'.repeat(200));
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360);
  await page.locator('[role=tab]').first().focus();
  await page.keyboard.press('ArrowRight');
  assert.equal(await text(page, '[role=tab][aria-selected=true]'), 'Node');
  assert.match(await text(page, '#snippet'), new RegExp(`port: '${visitor.server.port}'`));
  expectClean(visitor);
});

test('the transport is the visitor\'s to choose, and everything works over each', async (t) => {
  const visitor = await visit(t);
  const { page, server } = visitor;
  await connected(page);
  const sessions = async (transport) => (await server.metrics()).sum('carillon_sessions', transport ? { transport } : {});
  assert.equal(await sessions('websocket'), 1, 'automatic is a WebSocket where there is one');
  for (const [choice, transport] of [['polling', 'xhr_polling'], ['streaming', 'xhr_streaming'], ['WebSocket', 'websocket'], ['automatic', 'websocket']]) {
    await page.getByLabel('Transport').selectOption({ label: choice });
    await until(async () => await sessions(transport) === 1 && await sessions() === 1, `one session by ${transport}`, 15000);
    await connected(page);
    await until(async () => await text(page, '#count') === '1 here', 'the count of subscribers');
    await page.fill('#message', `by ${choice}`);
    await page.click('#send');
    await arrived(page, `by ${choice}`);
  }
  await page.getByLabel('Transport').focus();
  await page.keyboard.press('ArrowDown');
  // Chromium complains of a socket that is closed while pusher-js is about to write.
  await until(async () => await text(page, '#count') === '1 here', 'the count of subscribers');
  await page.keyboard.press('ArrowDown');
  await until(async () => await sessions('xhr_streaming') === 1, 'streaming, by the keyboard', 10000);
  await connected(page);
  expectClean(visitor);
});

test('the page works under a path prefix', async (t) => {
  const visitor = await visit(t, { prefix: '/bells/tower' });
  const { page } = visitor;
  await connected(page);
  await page.click('#send');
  await arrived(page, 'Hello, Carillon');
  await page.getByLabel('Transport').selectOption({ label: 'polling' });
  await until(async () => (await visitor.server.metrics()).sum('carillon_sessions', { transport: 'xhr_polling' }) === 1, 'polling');
  await connected(page);
  assert.match(await text(page, '#snippet'), /wsPath: '\/bells\/tower'/);
  expectClean(visitor);
});

test('the page comes back by itself after the server was away', async (t) => {
  const visitor = await visit(t);
  const { page, server, start } = visitor;
  await connected(page);
  await server.stop();
  await page.locator('#status:not([data-state="connected"])').waitFor();
  assert.equal(await page.locator('#send').isDisabled(), true);
  await start({ port: server.port });
  await connected(page, 60000); // pusher-js may take 15 s to look again
  await until(async () => await text(page, '#count') === '1 here', 'the subscription to be back', 20000);
  await page.click('#send');
  await arrived(page, 'Hello, Carillon');
});

test('a server with apps of its own says that the demo is off', async (t) => {
  const visitor = await visit(t, { app: { id: 'mine', key: 'my-key', secret: 'my-secret' } });
  const { page } = visitor;
  await page.locator('#notice', { hasText: 'apps of its own' }).waitFor();
  assert.equal(await text(page, '#state'), 'failed');
  assert.equal(await page.locator('#send').isDisabled(), true);
  expectClean(visitor);
});
