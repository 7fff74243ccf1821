// The guide's application in Chromium, for the tests of it: a server, the built page beside it, and
// windows with somebody signed in.
import assert from 'node:assert/strict';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { startGuide } from '../flow/gateway.mjs';
import { limit } from '../flow/harness.mjs';
import { launchBrowser } from './chromium.mjs';
import { servePage } from './page.mjs';

const tree = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
export const shots = path.join(tree, 'build/screenshots');

// The page beside a server.
export const serveApplication = (server) => servePage(path.join(tree, 'examples/guide/app/dist'), server);

// { browser, server, page, enter(t, name, role, options), stop() }
export async function startApplication() {
  const server = await startGuide({ workers: 2 });
  const page = await serveApplication(server);
  const browser = await launchBrowser();

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

  return {
    browser, server, page, enter,
    stop: async () => {
      await browser.close();
      await page.stop();
      await server.stop();
    },
  };
}

export const joined = (window, panel) => window.getByTestId(panel).locator('.status', { hasText: 'subscribed' }).waitFor();
export const say = async (window, text) => {
  await window.getByLabel('Your message').fill(text);
  await window.getByRole('button', { name: 'Send' }).click();
};
export const line = (window, text) => window.getByRole('log').locator('.line:not(.pending):not(.earlier)', { hasText: text });
export const count = (window, panel, selector) => window.getByTestId(panel).locator(selector).count();
