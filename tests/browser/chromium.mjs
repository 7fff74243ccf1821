// Debian's Chromium.  Its headless shell is the same engine without the program around it, and
// opens a window in half the time.  CHROMIUM names another.
import { chromium } from 'playwright-core';
import { limit } from '../flow/harness.mjs';

// The caller closes it.
export const launchBrowser = () => chromium.launch({
  executablePath: process.env.CHROMIUM || '/usr/bin/chromium-headless-shell',
  timeout: limit(30000),
  args: ['--no-sandbox', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
