// The guide's application: two users in two windows, and every control.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { call, guideFile, startGuide } from '../flow/gateway.mjs';
import { until } from '../flow/harness.mjs';
import { count, joined, line, say, serveApplication, startApplication } from './guide-app.mjs';

let app;
before(async () => { app = await startApplication(); });
after(async () => { await app?.stop(); });

describe('the guide\'s application', () => {
  test('two users see each other, talk, and leave', async (t) => {
    const ada = await app.enter(t, 'Ada', 'teacher');
    const bob = await app.enter(t, 'Bob', 'student');
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
    for (const name of names) windows.push(await app.enter(t, name, 'student'));
    const [anna] = windows;
    await anna.getByRole('heading', { name: `Present: ${names.length}` }).waitFor();
    const shown = await anna.getByTestId('people').locator('li .name').allInnerTexts();
    assert.deepEqual(shown.map((name) => name.replace(' (you)', '')).sort(), [...names].sort());
    for (const window of windows) await joined(window, 'environment'); // an id is legal in a channel's name
    await app.enter(t, 'АННА', 'student');
    await app.enter(t, 'Новый', 'student');
    await anna.getByRole('heading', { name: `Present: ${names.length + 1}` }).waitFor();
  });

  test('an environment, step by step', async (t) => {
    const bob = await app.enter(t, 'Bob', 'student');
    await joined(bob, 'environment');
    await bob.getByLabel('Kind of environment').selectOption('castle');
    const seen = await bob.getByTestId('environment').evaluateHandle((panel) => {
      const texts = new Set(); // each is there for a second, which a look from outside may miss
      new MutationObserver(() => texts.add(panel.querySelector('[role=status]')?.textContent))
        .observe(panel, { childList: true, characterData: true, subtree: true });
      return texts;
    });
    await bob.getByTestId('environment').getByRole('button', { name: 'Start' }).click();
    const job = bob.getByTestId('job');
    await job.getByText(/ready: env_castle_/).waitFor();
    const texts = await seen.evaluate((all) => [...all].filter((text) => text?.endsWith('%')));
    assert.deepEqual(texts.slice(0, 4), ['0 %', '25 %', '50 %', '75 %']); // 100 % and ready may come as one
    assert.equal(await job.locator('progress').getAttribute('value'), '100');
  });

  test('analytics for who may see them; a sync and its log', async (t) => {
    const bob = await app.enter(t, 'Bob', 'student');
    assert.equal(await bob.getByTestId('analytics').count(), 0);
    const ada = await app.enter(t, 'Ada', 'admin');
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
    const ada = await app.enter(t, 'Ada', 'teacher');
    await joined(ada, 'side');
    await ada.getByRole('button', { name: 'Open the old socket' }).click();
    await ada.getByRole('button', { name: 'Close the old socket' }).waitFor();
    await until(async () => (await (await fetch(`${app.server.url}/ws/status`)).json()).channels.some(({ channel }) => channel === 'public-updates'), 'the old subscription');
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
    const served = await serveApplication(own);
    t.after(async () => { await served.stop(); await own.stop(); });
    const ada = await app.enter(t, 'Ada', 'teacher', { url: served.url });
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
    const ada = await app.enter(t, 'Ada', 'teacher');
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

  test('what was said before is there when a page opens, page by page', async (t) => {
    const own = await startGuide();
    const served = await serveApplication(own);
    t.after(async () => { await served.stop(); await own.stop(); });
    const ada = await app.enter(t, 'Ada', 'teacher', { url: served.url });
    await joined(ada, 'chat');
    const numbers = Array.from({ length: 40 }, (_, i) => `number ${i + 1}.`);
    for (const text of numbers) await call(own, { sub: 'x', role: 'teacher' }, 'POST', '/api/v1/pusher/message', { message_type: 'chat', payload: { text, name: 'Xi' }, channel: 'presence-content-updates' });
    await line(ada, 'number 40.').waitFor();
    const bob = await app.enter(t, 'Bob', 'student', { url: served.url });
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
});
