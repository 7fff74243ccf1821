/* What the connection reported last: the server's code and sentence, or that of the transport. */
export class PusherConnectionError extends Error {
  override readonly name = 'PusherConnectionError';
  /* A close code of the protocol (4000 to 4299), or null. */
  readonly code: number | null;

  constructor(message: string, code: number | null, cause: unknown) {
    super(message, { cause });
    this.code = code;
  }

  /* pusher-js nests what it knows in several ways: {error: {data: {code, message}}},
   * {data: {code, message}}, {type, error}. */
  static from(reported: unknown): PusherConnectionError {
    const { type, data, error } = (reported ?? {}) as {
      type?: unknown;
      data?: unknown;
      error?: unknown;
    };
    const inner = (data ?? (error as { data?: unknown } | undefined)?.data ?? {}) as {
      code?: unknown;
      message?: unknown;
    };
    const code = typeof inner.code === 'number' ? inner.code : null;
    let message = typeof type === 'string' ? type : 'connection error';
    if (typeof inner.message === 'string') message = inner.message;
    else if (error instanceof Error || typeof error === 'string') message = String(error);
    return new PusherConnectionError(message, code, reported);
  }
}
