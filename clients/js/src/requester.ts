/* requester.ts - a request in the name of the user: with the token of now, renewed once if refused. */
import type { FailureCode, FailureDetail, ValidationIssue } from './errors/failure-code.js';
import { NoAnswer } from './errors/no-answer.js';
import type { Token, TokenSource } from './token-source.js';

export interface Answer {
  status: number;
  ok: boolean;
  /* The body; undefined when it is no JSON. */
  json: unknown;
  /* Seconds of Retry-After. */
  retryAfter: number | undefined;
}

export interface RequestOptions {
  headers?: Record<string, string>;
  /* Statuses that mean "another token, please". */
  renewOn: ReadonlyArray<number>;
  timeoutMs: number;
  signal?: AbortSignal;
}

export interface PostOptions extends RequestOptions {
  body: string;
  contentType: string;
}

export type Fetch = (input: string, init?: RequestInit) => Promise<Response>;

/* Retry-After in seconds, given as seconds or as a date. */
export function readRetryAfter(value: string | null, now = Date.now()): number | undefined {
  if (value === null || value.trim() === '') return undefined;
  const seconds = /^\s*\d+(\.\d+)?\s*$/.test(value)
    ? Number(value)
    : (Date.parse(value) - now) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, seconds) : undefined;
}

/* The detail of {"detail": ...}: a sentence, or the list of fields of a 422. */
export function readDetail(json: unknown): FailureDetail {
  const detail = (json as { detail?: unknown } | null | undefined)?.detail;
  if (typeof detail === 'string') return detail;
  if (!Array.isArray(detail)) return null;
  return detail.map((entry: Partial<ValidationIssue> | null) => ({
    loc: Array.isArray(entry?.loc) ? entry.loc : [],
    msg: String(entry?.msg ?? ''),
    type: String(entry?.type ?? ''),
  }));
}

export class Requester {
  private readonly tokens: TokenSource;
  private readonly fetch: Fetch;

  /* fetch is looked up at each call, so that what a page installs later is used. */
  constructor(tokens: TokenSource, fetch: Fetch = (input, init) => globalThis.fetch(input, init)) {
    this.tokens = tokens;
    this.fetch = fetch;
  }

  /* Rejects with NoAnswer only; every status is an answer. */
  post(url: string, options: PostOptions): Promise<Answer> {
    const { body, contentType } = options;
    const headers = { ...options.headers, 'Content-Type': contentType };
    return this.request(url, { ...options, headers }, { method: 'POST', body });
  }

  /* The same without a body, and never out of a cache. */
  get(url: string, options: RequestOptions): Promise<Answer> {
    return this.request(url, options, { method: 'GET', cache: 'no-store' });
  }

  private async request(url: string, options: RequestOptions, init: RequestInit): Promise<Answer> {
    const abort = new AbortController();
    let code: FailureCode = 'network';
    const end = (reason: FailureCode): void => {
      code = reason;
      abort.abort();
    };
    const onAbort = (): void => end('aborted');
    if (options.signal?.aborted) onAbort();
    else options.signal?.addEventListener('abort', onAbort);
    const timer = setTimeout(() => end('timeout'), options.timeoutMs);
    try {
      return await Promise.race([
        this.ask(url, options, { ...init, signal: abort.signal }),
        rejection(abort.signal),
      ]);
    } catch (error) {
      throw new NoAnswer(code, error);
    } finally {
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', onAbort);
    }
  }

  private async ask(url: string, options: RequestOptions, init: RequestInit): Promise<Answer> {
    const token = await this.tokens.current();
    const answer = await this.askOnce(url, options, init, token);
    if (!options.renewOn.includes(answer.status)) return answer;
    const other = await this.tokens.renew(token);
    return other === token || other === null ? answer : this.askOnce(url, options, init, other);
  }

  private async askOnce(
    url: string,
    options: RequestOptions,
    init: RequestInit,
    token: Token,
  ): Promise<Answer> {
    if (init.signal?.aborted) throw init.signal.reason;
    const headers: Record<string, string> = { ...options.headers, Accept: 'application/json' };
    if (token !== null) headers.Authorization = `Bearer ${token}`;
    const response = await this.fetch(url, { ...init, headers });
    const text = await response.text();
    let json: unknown;
    try {
      json = JSON.parse(text);
    } catch {
      json = undefined;
    }
    return {
      status: response.status,
      ok: response.ok,
      json,
      retryAfter: readRetryAfter(response.headers.get('Retry-After')),
    };
  }
}

/* Rejects when the signal says so; a token provider that hangs knows no signal. */
function rejection(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const on = (): void => reject(signal.reason);
    if (signal.aborted) on();
    else signal.addEventListener('abort', on, { once: true });
  });
}
