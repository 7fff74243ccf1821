/* logger.ts - where faults go that nobody can catch. */
export interface PusherLogger {
  error(message: string, error: unknown): void;
}

/* The page's own error event where there is one, so that error reporting sees them. */
export const defaultLogger: PusherLogger = {
  error(message, error) {
    const { reportError } = globalThis as { reportError?: (error: unknown) => void };
    if (reportError) reportError(error);
    else console.error(message, error);
  },
};
