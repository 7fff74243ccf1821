// The guide's application while the network, the token or WebSocket is gone.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { mint } from '../flow/gateway.mjs';
import { until } from '../flow/harness.mjs';
import { joined, line, say, startApplication } from './guide-app.mjs';

let app;
before(async () => { app = await startApplication(); });
after(async () => { await app?.stop(); });

describe('the guide\'s application and the network', () => {
  test('the network goes and comes back', async (t) => {
    const ada = await app.enter(t, 'Ada', 'teacher');
    const bob = await app.enter(t, 'Bob', 'student');
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
    const bob = await app.enter(t, 'Bob', 'student');
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
    const bob = await app.enter(t, 'Bob', 'student');
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

  test('a token that expires while the page is open is another at the next connection', async (t) => {
    const bob = await app.enter(t, 'Bob', 'student');
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
    const bob = await app.enter(t, 'Bob', 'student');
    const button = bob.getByRole('button', { name: 'Reconnect now' });
    assert.equal(await button.isDisabled(), true);
    app.page.goDown();
    await bob.getByTestId('state').getByText('waiting for the network').waitFor();
    app.page.isDown = false;
    await button.click();
    await bob.getByTestId('state').getByText('connected', { exact: true }).waitFor();
  });

  test('without WebSocket everything works over HTTP', async (t) => {
    app.page.webSockets = false;
    try {
      const bob = await app.enter(t, 'Bob', 'student');
      await until(async () => (await bob.getByTestId('transport').innerText()).startsWith('xhr'), 'the fallback', 20000);
      await joined(bob, 'chat');
      await say(bob, 'by HTTP');
      await line(bob, 'by HTTP').waitFor();
    } finally {
      app.page.webSockets = true;
    }
  });
});
