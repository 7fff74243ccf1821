/* message-sender.ts - calls to the application's HTTP API, with retries where they do no harm. */
import { Backoff } from './backoff.js';
import { failureCode } from './errors/failure-code.js';
import { PusherMessageError } from './errors/message-error.js';
import { NoAnswer } from './errors/no-answer.js';
import { type Answer, readDetail, type Requester } from './requester.js';

export interface SendOptions {
  signal?: AbortSignal;
  /* Says that the server may see this message twice and will act once: failures whose effect is
   * not known are tried again, too. */
  idempotencyKey?: string;
  /* For everything together, retries and the waiting between them; 15000. */
  timeoutMs?: number;
  /* How many times to try again; 2. */
  retries?: number;
  /* Appears in events that the message causes; made up when it is not given. */
  requestId?: string;
}

/* What the server answers, as far as every call has it. */
export interface SendResult {
  success?: boolean;
  message?: string;
  channel?: string;
  request_id?: string;
  user_id?: string;
  timestamp?: string;
  [field: string]: unknown;
}

export interface SenderOptions {
  requester: Requester;
  socketId(): string | null;
}

const TIMEOUT_MS = 15000;
const RETRIES = 2;
/* The server has not acted on these. */
const REJECTED = [429, 503];
/* On these it may have. */
const UNCERTAIN = [0, 500, 502, 504];

export function makeRequestId(): string {
  const { crypto } = globalThis as {
    crypto?: { randomUUID?: () => string; getRandomValues(bytes: Uint8Array): Uint8Array };
  };
  // randomUUID exists on secure pages only.
  if (crypto?.randomUUID) return crypto.randomUUID();
  const bytes =
    crypto?.getRandomValues(new Uint8Array(16)) ??
    Uint8Array.from({ length: 16 }, () => Math.random() * 256);
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12})$/, '$1-$2-4$3-a$4-$5');
}

export class MessageSender {
  private readonly options: SenderOptions;

  constructor(options: SenderOptions) {
    this.options = options;
  }

  async post(
    url: string,
    fields: Record<string, unknown>,
    options: SendOptions = {},
  ): Promise<SendResult> {
    const requestId = options.requestId ?? makeRequestId();
    const end = Date.now() + (options.timeoutMs ?? TIMEOUT_MS);
    const backoff = new Backoff({ firstMs: 500, maxMs: 10000 });
    const body = JSON.stringify({
      ...fields,
      request_id: requestId,
      idempotency_key: options.idempotencyKey,
    });
    for (let left = options.retries ?? RETRIES; ; left -= 1) {
      const answer = await this.attempt(url, body, requestId, end, options);
      if (!(answer instanceof PusherMessageError)) return answer;
      const pauseMs = backoff.next(answer.retryAfter);
      const again =
        REJECTED.includes(answer.status) ||
        (options.idempotencyKey !== undefined &&
          UNCERTAIN.includes(answer.status) &&
          answer.code !== 'aborted');
      if (left <= 0 || !again || Date.now() + pauseMs >= end) throw answer;
      await this.pause(pauseMs, requestId, options.signal);
    }
  }

  private async attempt(
    url: string,
    body: string,
    requestId: string,
    end: number,
    options: SendOptions,
  ): Promise<SendResult | PusherMessageError> {
    const headers: Record<string, string> = {};
    const socketId = this.options.socketId();
    if (socketId !== null) headers['X-Socket-Id'] = socketId;
    try {
      const answer = await this.options.requester.post(url, {
        body,
        contentType: 'application/json',
        headers,
        renewOn: [401],
        timeoutMs: Math.max(0, end - Date.now()),
        signal: options.signal,
      });
      return readResult(answer, url, requestId);
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
      return new PusherMessageError({
        status: 0,
        code: error.code,
        requestId,
        cause: error.cause,
      });
    }
  }

  private pause(ms: number, requestId: string, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        clearTimeout(timer);
        reject(
          new PusherMessageError({
            status: 0,
            code: 'aborted',
            requestId,
            cause: signal?.reason,
          }),
        );
      };
      const timer = setTimeout(() => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      }, ms);
      if (signal?.aborted) onAbort();
      else signal?.addEventListener('abort', onAbort, { once: true });
    });
  }
}

function readResult(
  answer: Answer,
  url: string,
  requestId: string,
): SendResult | PusherMessageError {
  const { status, json, retryAfter } = answer;
  if (!answer.ok)
    return new PusherMessageError({
      status,
      code: failureCode(status),
      detail: readDetail(json),
      retryAfter,
      requestId,
    });
  if (json === null || typeof json !== 'object' || Array.isArray(json))
    return new PusherMessageError({
      status,
      code: 'response',
      detail: `${url} answered without a JSON object`,
      requestId,
    });
  return json as SendResult;
}
