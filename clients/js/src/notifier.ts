/* notifier.ts - who wants to hear that something changed. */
import type { PusherLogger } from './logger.js';

export class Notifier {
  private readonly listeners = new Set<() => void>();
  private readonly logger: PusherLogger;

  constructor(logger: PusherLogger) {
    this.logger = logger;
  }

  get isEmpty(): boolean {
    return this.listeners.size === 0;
  }

  /* Answers how to stop listening.  The same function may listen twice. */
  add(listener: () => void): () => void {
    const own = (): void => listener();
    this.listeners.add(own);
    return () => {
      this.listeners.delete(own);
    };
  }

  notify(): void {
    for (const listener of [...this.listeners])
      try {
        listener();
      } catch (error) {
        this.logger.error('a listener threw', error);
      }
  }
}
