/* history-reader.ts - what a channel has published, page by page (GET {apiBase}/history). */
import type { Channel } from 'pusher-js/index.js';
import { failureCode } from './errors/failure-code.js';
import { PusherHistoryError } from './errors/history-error.js';
import { NoAnswer } from './errors/no-answer.js';
import type { Position } from './recovery.js';
import { type Answer, readDetail, type Requester } from './requester.js';

export interface HistoryOptions {
  /* Events of a page, at most 1000; 100. */
  limit?: number;
  /* From the newest to the oldest, or the other way; backwards. */
  direction?: 'backwards' | 'forwards';
  /* Only what is behind this position. */
  since?: Position;
  /* Only what is up to this position, and the event there. */
  until?: Position;
  /* Times of the server, in milliseconds since 1970. */
  startMs?: number;
  endMs?: number;
  /* Of the page before: its direction and bounds go on. */
  cursor?: string;
  signal?: AbortSignal;
  /* 15000. */
  timeoutMs?: number;
}

export interface HistoryEvent<T = unknown> {
  /* "EPOCH:OFFSET", of which there is one. */
  readonly id: string;
  readonly offset: number;
  readonly event: string;
  readonly data: T;
  /* When the server took it; of an event that came live, when it came. */
  readonly timeMs: number;
  readonly userId?: string;
}

export interface HistoryPage<T = unknown> {
  readonly channel: string;
  readonly epoch: string;
  /* The offsets of what is kept. */
  readonly oldest: number;
  readonly newest: number;
  /* In the direction that was asked for. */
  readonly events: ReadonlyArray<HistoryEvent<T>>;
  readonly hasMore: boolean;
  /* False: some of what was asked for is no longer kept. */
  readonly complete: boolean;
  readonly cursor: string | null;
}

export interface ReaderOptions {
  requester: Requester;
  /* pusher-js's channel, if it is subscribed. */
  channel(name: string): Channel | undefined;
}

interface Item {
  id: string;
  offset: number | string;
  name: string;
  data: unknown;
  time_ms: number;
  user_id?: string;
}

interface Body {
  channel: string;
  epoch: string;
  oldest: number | string;
  newest: number | string;
  items: Item[];
  has_more: boolean;
  complete: boolean;
  cursor?: string;
}

/* What pusher-js's channels with encryption have. */
interface Opener {
  key?: Uint8Array | null;
  nacl?: {
    secretbox: { open(box: Uint8Array, nonce: Uint8Array, key: Uint8Array): Uint8Array | null };
  };
}

const TIMEOUT_MS = 15000;

export class HistoryReader {
  private readonly options: ReaderOptions;

  constructor(options: ReaderOptions) {
    this.options = options;
  }

  async read(url: string, channel: string, options: HistoryOptions = {}): Promise<HistoryPage> {
    let answer: Answer;
    try {
      answer = await this.options.requester.get(`${url}?${query(channel, options)}`, {
        renewOn: [401],
        timeoutMs: options.timeoutMs ?? TIMEOUT_MS,
        signal: options.signal,
      });
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
      throw new PusherHistoryError({ channel, status: 0, code: error.code, cause: error.cause });
    }
    const { status, json, retryAfter } = answer;
    if (!answer.ok)
      throw new PusherHistoryError({
        channel,
        status,
        code: failureCode(status),
        detail: readDetail(json),
        retryAfter,
      });
    const body = json as Partial<Body> | null | undefined;
    if (!Array.isArray(body?.items) || typeof body.epoch !== 'string')
      throw new PusherHistoryError({
        channel,
        status,
        code: 'response',
        detail: `${url} answered without a page of events`,
      });
    return this.pageOf(channel, body as Body);
  }

  /* What was encrypted, where there is a key; everything else, and what cannot be opened, as it is. */
  decrypt(channel: string, data: unknown): unknown {
    if (!channel.startsWith('private-encrypted-')) return data;
    return decrypt(data, this.options.channel(channel) as Opener | undefined);
  }

  private pageOf(channel: string, body: Body): HistoryPage {
    return {
      channel,
      epoch: body.epoch,
      oldest: Number(body.oldest),
      newest: Number(body.newest),
      events: body.items.map((item) => ({
        id: item.id,
        offset: Number(item.offset),
        event: item.name,
        data: this.decrypt(channel, parse(item.data)),
        timeMs: item.time_ms,
        ...(item.user_id === undefined ? {} : { userId: item.user_id }),
      })),
      hasMore: body.has_more,
      complete: body.complete,
      cursor: body.cursor ?? null,
    };
  }
}

function query(channel: string, options: HistoryOptions): string {
  const { limit, direction, since, until, startMs, endMs, cursor } = options;
  const text = (position?: Position): string | undefined =>
    position && `${position.epoch}:${position.offset}`;
  const fields = {
    channel,
    limit,
    direction,
    since: text(since),
    until: text(until),
    start_ms: startMs,
    end_ms: endMs,
    cursor,
  };
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(fields))
    if (value !== undefined) params.set(name, String(value));
  return params.toString();
}

function parse(data: unknown): unknown {
  if (typeof data !== 'string') return data;
  try {
    return JSON.parse(data) as unknown;
  } catch {
    return data;
  }
}

const bytesOf = (base64: string): Uint8Array =>
  Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));

function decrypt(value: unknown, opener: Opener | undefined): unknown {
  const { ciphertext, nonce } = (value ?? {}) as { ciphertext?: unknown; nonce?: unknown };
  if (typeof ciphertext !== 'string' || typeof nonce !== 'string') return value;
  if (!opener?.key || !opener.nacl) return value;
  try {
    const open = opener.nacl.secretbox.open(bytesOf(ciphertext), bytesOf(nonce), opener.key);
    return open ? parse(new TextDecoder().decode(open)) : value;
  } catch {
    return value;
  }
}
