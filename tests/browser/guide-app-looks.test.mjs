// The guide's application by keyboard, and as it looks: build/screenshots keeps the pictures.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { limit, until } from '../flow/harness.mjs';
import { joined, line, say, shots, startApplication } from './guide-app.mjs';

mkdirSync(shots, { recursive: true });

let app;
before(async () => { app = await startApplication(); });
after(async () => { await app?.stop(); });

describe('the guide\'s application, looked at', () => {
  test('a keyboard is enough', async (t) => {
    const context = await app.browser.newContext({ viewport: { width: 1000, height: 800 } });
    t.after(() => context.close());
    context.setDefaultTimeout(limit(15000));
    const window = await context.newPage();
    await window.goto(app.page.url);
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
        const context = await app.browser.newContext({ viewport, colorScheme });
        t.after(() => context.close());
        context.setDefaultTimeout(limit(15000));
        const window = await context.newPage();
        await window.goto(app.page.url);
        await window.screenshot({ path: path.join(shots, `guide-door-${size}-${colorScheme}.png`) });
        await window.getByLabel('Your name').fill('Ada Lovelace');
        await window.getByLabel('teacher').check();
        await window.getByRole('button', { name: 'Sign in' }).click();
        await joined(window, 'chat');
        await joined(window, 'environment');
        await say(window, 'Good morning! Today we build a castle, and a rather long sentence shows how lines are broken.');
        await window.getByTestId('environment').getByRole('button', { name: 'Start' }).click();
        await window.getByRole('button', { name: 'Sync' }).click();
        await window.getByRole('button', { name: 'Open the old socket' }).click();
        await window.getByTestId('job').getByText(/ready: /).waitFor(); // each step on the way is gone in a second
        await window.getByRole('button', { name: 'Publish an update' }).click();
        await window.getByTestId('half-new').locator('li').first().waitFor();
        const wide = await window.evaluate(() => document.documentElement.scrollWidth);
        assert.ok(wide <= viewport.width, `nothing stands beyond the edge: ${wide}`);
        await window.evaluate(() => scrollTo(0, 0));
        await window.screenshot({ path: path.join(shots, `guide-${size}-${colorScheme}.png`), fullPage: true });
      });
});
