// The guide's application in Chromium: two users in two windows, every control, a lost network,
// no WebSocket, and how it looks.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { call, guideFile, mint, startGuide } from '../flow/gateway.mjs';
import { limit, until } from '../flow/harness.mjs';
import { servePage } from './page.mjs';

const tree = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const shots = path.join(tree, 'build/screenshots');
mkdirSync(shots, { recursive: true });
let browser;
let server;
let page;

before(async () => {
  server = await startGuide({ workers: 2 });
  page = await servePage(path.join(tree, 'examples/guide/app/dist'), server);
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
    timeout: limit(30000),
    args: ['--no-sandbox', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
});
after(async () => {
  await browser?.close();
  await page?.stop();
  await server?.stop();
});

// A window with somebody signed in.
async function enter(t, name, role, { url = page.url, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  context.setDefaultTimeout(limit(15000));
  const window = await context.newPage();
  const faults = [];
  window.on('pageerror', (error) => faults.push(String(error)));
  t.after(async () => { await context.close(); assert.deepEqual(faults, []); });
  await window.goto(url);
  await window.getByLabel('Your name').fill(name);
  await window.getByLabel(role).check();
  await window.getByRole('button', { name: 'Sign in' }).click();
  await window.getByTestId('state').getByText('connected', { exact: true }).waitFor();
  return window;
}
const joined = (window, panel) => window.getByTestId(panel).locator('.status', { hasText: 'subscribed' }).waitFor();
const say = async (window, text) => {
  await window.getByLabel('Your message').fill(text);
  await window.getByRole('button', { name: 'Send' }).click();
};
const line = (window, text) => window.getByRole('log').locator('.line:not(.pending):not(.earlier)', { hasText: text });
const count = (window, panel, selector) => window.getByTestId(panel).locator(selector).count();

describe('the guide\'s application', () => {
  test('two users see each other, talk, and leave', async (t) => {
    const ada = await enter(t, 'Ada', 'teacher');
    const bob = await enter(t, 'Bob', 'student');
    for (const window of [ada, bob]) await window.getByRole('heading', { name: 'Present: 2' }).waitFor();
    await ada.getByTestId('people').getByText('Bob').waitFor();
    await joined(ada, 'chat');
    await joined(bob, 'chat');
    await say(ada, 'Good morning <b>all</b>');
    await line(bob, 'Good morning <b>all</b>').waitFor();
    await line(ada, 'Good morning').waitFor();
    await say(bob, 'Hello Ada');
    await line(ada, 'Hello Ada').waitFor();
    assert.equal(await ada.getByRole('log').locator('.line:not(.earlier)').count(), 2); // an own line is there once
    await bob.getByRole('button', { name: 'Sign out' }).click();
    await ada.getByRole('heading', { name: 'Present: 1' }).waitFor();
    await bob.getByRole('button', { name: 'Sign in' }).waitFor();
  });

  test('names in any script are users of their own, the same each time', async (t) => {
    const names = ['Анна', 'Иван', '李雷', 'José', 'Jose', '😀 x'.repeat(10), 'A-b', 'A b'];
    const windows = [];
    for (const name of names) windows.push(await enter(t, name, 'student'));
    const [anna] = windows;
    await anna.getByRole('heading', { name: `Present: ${names.length}` }).waitFor();
    const shown = await anna.getByTestId('people').locator('li .name').allInnerTexts();
    assert.deepEqual(shown.map((name) => name.replace(' (you)', '')).sort(), [...names].sort());
    for (const window of windows) await joined(window, 'environment'); // an id is legal in a channel's name
    await enter(t, 'АННА', 'student');
    await enter(t, 'Новый', 'student');
    await anna.getByRole('heading', { name: `Present: ${names.length + 1}` }).waitFor();
  });

  test('an environment, step by step', async (t) => {
    const bob = await enter(t, 'Bob', 'student');
    await joined(bob, 'environment');
    await bob.getByLabel('Kind of environment').selectOption('castle');
    await bob.getByTestId('environment').getByRole('button', { name: 'Start' }).click();
    const job = bob.getByTestId('job');
    await job.getByText('25 %').waitFor();
    await job.getByText(/ready: env_castle_/).waitFor();
    assert.equal(await job.locator('progress').getAttribute('value'), '100');
  });

  test('analytics for who may see them; a sync and its log', async (t) => {
    const bob = await enter(t, 'Bob', 'student');
    assert.equal(await bob.getByTestId('analytics').count(), 0);
    const ada = await enter(t, 'Ada', 'admin');
    await joined(ada, 'analytics');
    const users = ada.getByTestId('figure-Users');
    await until(async () => await users.innerText() === '2', 'two users', 12000);
    await ada.getByRole('button', { name: 'Ask now' }).click();
    await until(async () => ((await ada.locator('polyline.first').getAttribute('points')) ?? '').split(' ').length >= 2, 'two points');
    await joined(ada, 'roblox');
    await ada.getByRole('button', { name: 'Sync' }).click();
    await ada.getByTestId('roblox').locator('li', { hasText: 'completed' }).waitFor();
    assert.equal(await count(ada, 'roblox', 'li'), 2);
  });

  test('before and after: the old socket and Channels show the same', async (t) => {
    const ada = await enter(t, 'Ada', 'teacher');
    await joined(ada, 'side');
    await ada.getByRole('button', { name: 'Open the old socket' }).click();
    await ada.getByRole('button', { name: 'Close the old socket' }).waitFor();
    await until(async () => (await (await fetch(`${server.url}/ws/status`)).json()).channels.some(({ channel }) => channel === 'public-updates'), 'the old subscription');
    for (let i = 0; i < 3; i++) await ada.getByRole('button', { name: 'Publish an update' }).click();
    for (const half of ['half-old', 'half-new']) {
      await ada.getByTestId(half).getByText('{"n":3}').waitFor();
      assert.deepEqual(await ada.getByTestId(half).locator('code').allInnerTexts(), ['{"n":3}', '{"n":2}', '{"n":1}']);
    }
    await ada.getByRole('button', { name: 'Close the old socket' }).click();
    await ada.getByRole('button', { name: 'Open the old socket' }).waitFor();
    assert.equal(await ada.getByTestId('side').getByText('closed', { exact: true }).count(), 1);
  });

  test('the old endpoint is switched off: the pane says why its socket went', async (t) => {
    const own = await startGuide({ config: readFileSync(guideFile, 'utf8') });
    const served = await servePage(path.join(tree, 'examples/guide/app/dist'), own);
    t.after(async () => { await served.stop(); await own.stop(); });
    const ada = await enter(t, 'Ada', 'teacher', { url: served.url });
    await ada.getByRole('button', { name: 'Open the old socket' }).click();
    await ada.getByRole('button', { name: 'Close the old socket' }).waitFor();
    const file = path.join(own.folder, 'carillon.yaml');
    writeFileSync(file, readFileSync(file, 'utf8').replace('native: true', 'native: false'));
    own.signal('SIGHUP');
    await ada.getByText('closed: This endpoint has been switched off; use Pusher Channels instead (1001)').waitFor();
    await ada.getByRole('button', { name: 'Open the old socket' }).click();
    await ada.getByText('closed: it is switched off, the server answers 410').waitFor();
  });

  test('the debug pane', async (t) => {
    const ada = await enter(t, 'Ada', 'teacher');
    await ada.getByTestId('debug').getByText('connecting -> connected').first().waitFor();
    await ada.getByLabel('Show').uncheck();
    assert.equal(await count(ada, 'debug', 'ol'), 0);
    const logged = ada.waitForEvent('console', { predicate: (message) => message.text().includes('Pusher') });
    await ada.getByLabel('Pusher.logToConsole').check();
    await say(ada, 'to the console');
    await logged;
    await ada.getByLabel('Show').check();
    await ada.getByTestId('debug').locator('ol').waitFor();
  });

  test('the network goes and comes back', async (t) => {
    const ada = await enter(t, 'Ada', 'teacher');
    const bob = await enter(t, 'Bob', 'student');
    await joined(bob, 'chat');
    assert.equal(await bob.getByTestId('transport').innerText(), 'ws');
    await bob.getByRole('button', { name: 'Cut the network' }).click();
    await bob.getByTestId('state').getByText('waiting for the network').waitFor();
    await ada.getByRole('heading', { name: 'Present: 1' }).waitFor();
    await joined(ada, 'chat');
    for (const text of ['missed one', 'missed two', 'missed three']) await say(ada, text);
    await line(ada, 'missed three').waitFor();
    await bob.getByRole('button', { name: 'Give the network back' }).click();
    await bob.getByTestId('state').getByText('connected', { exact: true }).waitFor();
    assert.equal(await bob.getByTestId('reconnects').innerText(), '1');
    await ada.getByRole('heading', { name: 'Present: 2' }).waitFor();
    await joined(bob, 'chat');
    await say(ada, 'welcome back');
    await line(bob, 'welcome back').waitFor();
    const heard = await bob.getByRole('log').locator('.line:not(.earlier)').allInnerTexts();
    assert.deepEqual(heard.map((text) => text.split('\n').at(-1)), ['missed one', 'missed two', 'missed three', 'welcome back']);
  });

  test('what cannot be sent stays in the box, and why is said', async (t) => {
    const bob = await enter(t, 'Bob', 'student');
    await joined(bob, 'chat');
    await bob.getByRole('button', { name: 'Cut the network' }).click();
    const box = bob.getByLabel('Your message');
    const fault = bob.getByTestId('chat').getByRole('alert');
    await say(bob, 'kept for later');
    await fault.getByText('Not sent: the network is away').waitFor();
    assert.equal(await box.inputValue(), 'kept for later');
    assert.equal(await line(bob, 'kept for later').count(), 0);
    await bob.getByRole('button', { name: 'Give the network back' }).click();
    await bob.getByTestId('state').getByText('connected', { exact: true }).waitFor();
    await joined(bob, 'chat');
    await bob.getByRole('button', { name: 'Send' }).click();
    await line(bob, 'kept for later').waitFor();
    assert.equal(await box.inputValue(), '');
    await fault.waitFor({ state: 'detached' });
  });

  test('what was typed meanwhile is kept, too', async (t) => {
    const bob = await enter(t, 'Bob', 'student');
    await joined(bob, 'chat');
    let refuse;
    const asked = new Promise((resolve) => { refuse = resolve; });
    await bob.route('**/api/v1/pusher/message', (route) => refuse(route));
    await say(bob, 'first');
    const route = await asked;
    const box = bob.getByLabel('Your message');
    assert.equal(await box.inputValue(), '');
    await box.fill('second');
    await route.fulfill({ status: 403, json: { detail: 'Insufficient permissions for this channel' } });
    await bob.getByTestId('chat').getByText('Not sent: Insufficient permissions for this channel').waitFor();
    assert.equal(await box.inputValue(), 'first second');
  });

  test('what was said before is there when a page opens, page by page', async (t) => {
    const own = await startGuide();
    const served = await servePage(path.join(tree, 'examples/guide/app/dist'), own);
    t.after(async () => { await served.stop(); await own.stop(); });
    const ada = await enter(t, 'Ada', 'teacher', { url: served.url });
    await joined(ada, 'chat');
    const numbers = Array.from({ length: 40 }, (_, i) => `number ${i + 1}.`);
    for (const text of numbers) await call(own, { sub: 'x', role: 'teacher' }, 'POST', '/api/v1/pusher/message', { message_type: 'chat', payload: { text, name: 'Xi' }, channel: 'presence-content-updates' });
    await line(ada, 'number 40.').waitFor();
    const bob = await enter(t, 'Bob', 'student', { url: served.url });
    const earlier = bob.getByRole('log').locator('.line.earlier');
    const texts = async () => (await earlier.allInnerTexts()).map((text) => text.split('\n').at(-1));
    await earlier.filter({ hasText: 'number 40.' }).waitFor();
    assert.deepEqual(await texts(), numbers.slice(10));
    await say(ada, 'and now');
    await line(bob, 'and now').waitFor();
    await bob.getByRole('button', { name: 'Show earlier messages' }).click();
    await earlier.filter({ hasText: 'number 1.' }).waitFor();
    assert.deepEqual(await texts(), numbers);
    assert.equal(await bob.getByRole('log').locator('.line').count(), 41);
    assert.equal(await bob.getByRole('button', { name: 'Show earlier messages' }).count(), 0);
  });

  test('a token that expires while the page is open is another at the next connection', async (t) => {
    const bob = await enter(t, 'Bob', 'student');
    await joined(bob, 'chat');
    const sleptMs = 16 * 60000;
    const asked = [];
    // The server's clock goes with the page's: it refuses the old token and takes the new one.
    await bob.route('**/api/v1/pusher/**', async (route) => {
      const headers = await route.request().allHeaders();
      const { iat, exp, ...claims } = JSON.parse(Buffer.from(headers.authorization.split('.')[1], 'base64url'));
      const isGood = exp * 1000 > Date.now() + sleptMs;
      if (route.request().url().endsWith('/auth')) asked.push(isGood);
      if (isGood) await route.continue({ headers: { ...headers, authorization: `Bearer ${mint(claims)}` } });
      else await route.fulfill({ status: 401, json: { detail: 'Token has expired' } });
    });
    // As a machine that slept: the time has gone on and no timer has.
    await bob.clock.setSystemTime(Date.now() + sleptMs);
    await bob.getByRole('button', { name: 'Cut the network' }).click();
    await bob.getByTestId('state').getByText('connected', { exact: true }).waitFor({ state: 'detached' });
    await bob.getByRole('button', { name: 'Give the network back' }).click();
    await until(() => asked.length >= 3, 'the channels to be asked for', 20000);
    for (const panel of ['chat', 'environment', 'roblox']) await joined(bob, panel);
    assert.ok(asked.every(Boolean), 'no channel was asked for with the old token');
    await say(bob, 'awake again');
    await line(bob, 'awake again').waitFor();
  });

  test('a server that was away is asked again at the press of a button', async (t) => {
    const bob = await enter(t, 'Bob', 'student');
    const button = bob.getByRole('button', { name: 'Reconnect now' });
    assert.equal(await button.isDisabled(), true);
    page.goDown();
    await bob.getByTestId('state').getByText('waiting for the network').waitFor();
    page.isDown = false;
    await button.click();
    await bob.getByTestId('state').getByText('connected', { exact: true }).waitFor();
  });

  test('without WebSocket everything works over HTTP', async (t) => {
    page.webSockets = false;
    try {
      const bob = await enter(t, 'Bob', 'student');
      await until(async () => (await bob.getByTestId('transport').innerText()).startsWith('xhr'), 'the fallback', 20000);
      await joined(bob, 'chat');
      await say(bob, 'by HTTP');
      await line(bob, 'by HTTP').waitFor();
    } finally {
      page.webSockets = true;
    }
  });

  test('a keyboard is enough', async (t) => {
    const context = await browser.newContext({ viewport: { width: 1000, height: 800 } });
    t.after(() => context.close());
    context.setDefaultTimeout(limit(15000));
    const window = await context.newPage();
    await window.goto(page.url);
    const has = (box) => box.evaluate((each) => each === document.activeElement);
    await until(() => has(window.getByLabel('Your name')), 'the name to have the focus');
    await window.keyboard.type('Key');
    await window.keyboard.press('Tab');
    await until(() => has(window.getByLabel('student')), 'the roles to have it');
    await window.keyboard.press('ArrowDown');
    await until(() => window.getByLabel('teacher').isChecked(), 'the next role');
    await window.keyboard.press('Enter');
    await window.getByTestId('state').getByText('connected', { exact: true }).waitFor();
    assert.equal(await window.locator('.who .tag').innerText(), 'teacher');
    await joined(window, 'chat');
    const box = window.getByLabel('Your message');
    for (let i = 0; i < 12 && !await has(box); i++) await window.keyboard.press('Tab');
    await window.keyboard.type('typed');
    await window.keyboard.press('Enter');
    await line(window, 'typed').waitFor();
    const outline = await box.evaluate((each) => getComputedStyle(each).outlineStyle);
    assert.equal(outline, 'solid', 'the focus is seen');
  });

  for (const [size, viewport] of [['phone', { width: 360, height: 740 }], ['desktop', { width: 1280, height: 900 }]])
    for (const colorScheme of ['light', 'dark'])
      test(`it fits: ${size}, ${colorScheme}`, async (t) => {
        const context = await browser.newContext({ viewport, colorScheme });
        t.after(() => context.close());
        context.setDefaultTimeout(limit(15000));
        const window = await context.newPage();
        await window.goto(page.url);
        await window.screenshot({ path: path.join(shots, `guide-door-${size}-${colorScheme}.png`) });
        await window.getByLabel('Your name').fill('Ada Lovelace');
        await window.getByLabel('teacher').check();
        await window.getByRole('button', { name: 'Sign in' }).click();
        await joined(window, 'chat');
        await say(window, 'Good morning! Today we build a castle, and a rather long sentence shows how lines are broken.');
        await window.getByTestId('environment').getByRole('button', { name: 'Start' }).click();
        await window.getByRole('button', { name: 'Sync' }).click();
        await window.getByRole('button', { name: 'Open the old socket' }).click();
        await window.getByTestId('job').getByText('25 %').waitFor();
        await window.getByRole('button', { name: 'Publish an update' }).click();
        await window.getByTestId('half-new').locator('li').first().waitFor();
        const wide = await window.evaluate(() => document.documentElement.scrollWidth);
        assert.ok(wide <= viewport.width, `nothing stands beyond the edge: ${wide}`);
        await window.evaluate(() => scrollTo(0, 0));
        await window.screenshot({ path: path.join(shots, `guide-${size}-${colorScheme}.png`), fullPage: true });
      });
});
