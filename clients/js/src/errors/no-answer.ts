import type { FailureCode } from './failure-code.js';

/* No answer at all. */
export class NoAnswer extends Error {
  readonly code: FailureCode;

  constructor(code: FailureCode, cause: unknown) {
    super(`no answer: ${code}`, { cause });
    this.code = code;
  }
}
