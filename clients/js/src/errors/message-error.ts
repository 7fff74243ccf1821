import { describeFailure, type FailureCode, type FailureDetail } from './failure-code.js';

export interface MessageFailure {
  status: number;
  code: FailureCode;
  detail?: FailureDetail;
  retryAfter?: number;
  requestId: string;
  cause?: unknown;
}

/* A message, or another call to the application, that did not succeed. */
export class PusherMessageError extends Error {
  override readonly name = 'PusherMessageError';
  /* The HTTP status; 0 when there was no answer. */
  readonly status: number;
  readonly code: FailureCode;
  readonly detail: FailureDetail;
  /* Seconds that the server asks to wait. */
  readonly retryAfter: number | undefined;
  readonly requestId: string;

  constructor(failure: MessageFailure) {
    super(describeFailure('message', failure.code, failure.status, failure.detail), {
      cause: failure.cause,
    });
    this.status = failure.status;
    this.code = failure.code;
    this.detail = failure.detail ?? null;
    this.retryAfter = failure.retryAfter;
    this.requestId = failure.requestId;
  }
}
