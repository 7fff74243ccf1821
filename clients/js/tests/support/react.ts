/* Just enough of a testing library: one root, and act around what changes it.  Works on React 18
 * and 19 alike. */
import { act, createElement, type ReactElement, StrictMode } from 'react';
import { createRoot, hydrateRoot, type Root } from 'react-dom/client';
import { onTestFinished } from 'vitest';
import type { PusherService } from '../../src/index.js';
import { PusherProvider } from '../../src/react/index.js';

(globalThis as { IS_REACT_ACT_ENVIRONMENT?: boolean }).IS_REACT_ACT_ENVIRONMENT = true;

export interface Page {
  container: HTMLElement;
  render(element: ReactElement): Promise<void>;
  unmount(): Promise<void>;
  text(): string;
}

export interface PageOptions {
  service?: PusherService;
  strict?: boolean;
  /* HTML of a server to hydrate; the first render must be the one that made it. */
  html?: string;
  onRecoverableError?: (error: unknown) => void;
}

export function makePage({ service, strict, html, onRecoverableError }: PageOptions = {}): Page {
  const container = document.createElement('div');
  container.innerHTML = html ?? '';
  let root: Root | null = html === undefined ? createRoot(container) : null;
  const dress = (element: ReactElement): ReactElement => {
    const provided = service ? createElement(PusherProvider, { service }, element) : element;
    return strict ? createElement(StrictMode, null, provided) : provided;
  };
  const page: Page = {
    container,
    render: (element) =>
      act(async () => {
        if (root) root.render(dress(element));
        else root = hydrateRoot(container, dress(element), { onRecoverableError });
      }),
    unmount: () =>
      act(async () => {
        root?.unmount();
        root = null;
      }),
    text: () => container.textContent ?? '',
  };
  onTestFinished(() => page.unmount());
  return page;
}

/* Waits for a condition; React renders between the looks. */
export async function eventually(check: () => void): Promise<void> {
  for (const end = Date.now() + 10000; ; ) {
    await act(async () => {
      await new Promise((resolve) => setTimeout(resolve, 5));
    });
    try {
      check();
      return;
    } catch (error) {
      if (Date.now() > end) throw error;
    }
  }
}

export const acting = (fn: () => unknown): Promise<void> =>
  act(async () => {
    await fn();
  });
