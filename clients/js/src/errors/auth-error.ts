import {
  describeFailure,
  type FailureCode,
  failureCode,
  type FailureDetail,
} from './failure-code.js';

export interface AuthFailure {
  channel: string;
  status: number;
  code?: FailureCode;
  detail?: FailureDetail;
  retryAfter?: number;
  cause?: unknown;
}

/* A channel that may not be joined, or could not be asked for.  type, error and status are those
 * of pusher-js's own pusher:subscription_error, so that it can be handed to who expects one. */
export class PusherAuthError extends Error {
  override readonly name = 'PusherAuthError';
  readonly type = 'AuthError';
  readonly error: string;
  readonly channel: string;
  /* The HTTP status; 0 when there was no answer. */
  readonly status: number;
  readonly code: FailureCode;
  readonly detail: FailureDetail;
  /* Seconds that the server asks to wait. */
  readonly retryAfter: number | undefined;

  constructor(failure: AuthFailure) {
    const code = failure.code ?? failureCode(failure.status);
    super(
      describeFailure(`subscription to ${failure.channel}`, code, failure.status, failure.detail),
      { cause: failure.cause },
    );
    this.error = this.message;
    this.channel = failure.channel;
    this.status = failure.status;
    this.code = code;
    this.detail = failure.detail ?? null;
    this.retryAfter = failure.retryAfter;
  }

  /* Worth another attempt without anybody doing anything. */
  get temporary(): boolean {
    return (
      this.code !== 'response' && (this.status === 0 || this.status === 429 || this.status >= 500)
    );
  }
}
