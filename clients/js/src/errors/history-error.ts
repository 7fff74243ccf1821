import { describeFailure, type FailureCode, type FailureDetail } from './failure-code.js';

export interface HistoryFailure {
  channel: string;
  status: number;
  code: FailureCode;
  detail?: FailureDetail;
  retryAfter?: number;
  cause?: unknown;
}

/* A channel's history that was not given: 403, not for this user; 404, not kept; 410, the epoch
 * that was asked for is no more. */
export class PusherHistoryError extends Error {
  override readonly name = 'PusherHistoryError';
  readonly channel: string;
  /* The HTTP status; 0 when there was no answer. */
  readonly status: number;
  readonly code: FailureCode;
  readonly detail: FailureDetail;
  /* Seconds that the server asks to wait. */
  readonly retryAfter: number | undefined;

  constructor(failure: HistoryFailure) {
    super(
      describeFailure(
        `history of ${failure.channel}`,
        failure.code,
        failure.status,
        failure.detail,
      ),
      { cause: failure.cause },
    );
    this.channel = failure.channel;
    this.status = failure.status;
    this.code = failure.code;
    this.detail = failure.detail ?? null;
    this.retryAfter = failure.retryAfter;
  }
}
