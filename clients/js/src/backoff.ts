/* backoff.ts - how long to wait before trying again: doubling, bounded, out of step. */
export interface BackoffOptions {
  firstMs?: number;
  maxMs?: number;
  random?: () => number;
}

export class Backoff {
  private readonly firstMs: number;
  private readonly maxMs: number;
  private readonly random: () => number;
  private attempts = 0;

  constructor({ firstMs = 1000, maxMs = 30000, random = Math.random }: BackoffOptions = {}) {
    this.firstMs = firstMs;
    this.maxMs = maxMs;
    this.random = random;
  }

  /* The next pause, a quarter more or less.  What the server asked for is a lower bound. */
  next(retryAfterS = 0): number {
    const pause = Math.min(this.firstMs * 2 ** this.attempts, this.maxMs);
    this.attempts += 1;
    return Math.max(pause * (0.75 + this.random() / 2), retryAfterS * 1000);
  }

  reset(): void {
    this.attempts = 0;
  }
}
