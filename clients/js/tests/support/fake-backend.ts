/* The application's HTTP API as a function: answers are taken from a queue, or made by answer(). */
export interface BackendCall {
  method: string;
  url: string;
  headers: Record<string, string>;
  body: string;
  signal: AbortSignal | undefined;
}

export interface BackendAnswer {
  status?: number;
  json?: unknown;
  text?: string;
  headers?: Record<string, string>;
}

type Reply = BackendAnswer | Error | Promise<BackendAnswer>;

export class FakeBackend {
  readonly calls: BackendCall[] = [];
  readonly queue: Reply[] = [];
  answer: (call: BackendCall) => Reply = (call) => {
    const form = new URLSearchParams(call.body);
    if (!call.url.endsWith('/auth')) return { json: { success: true, url: call.url } };
    const presence = form.get('channel_name')?.startsWith('presence-');
    return { json: { auth: `key:${form.get('socket_id')}`, ...(presence ? { channel_data: '{"user_id":"me"}' } : {}) } };
  };

  readonly fetch = async (url: string, init: RequestInit = {}): Promise<Response> => {
    const call: BackendCall = {
      method: init.method ?? 'GET',
      url,
      headers: { ...(init.headers as Record<string, string>) },
      body: String(init.body ?? ''),
      signal: init.signal ?? undefined,
    };
    this.calls.push(call);
    const reply = this.queue.shift() ?? this.answer(call);
    const answer = await Promise.race([
      reply,
      new Promise<never>((_, reject) => {
        init.signal?.addEventListener('abort', () => reject(new DOMException('aborted', 'AbortError')));
      }),
    ]);
    if (answer instanceof Error) throw answer;
    const text = answer.text ?? JSON.stringify(answer.json ?? {});
    return new Response(text, { status: answer.status ?? 200, headers: answer.headers });
  };

  /* Calls of one endpoint. */
  to(path: string): BackendCall[] {
    return this.calls.filter((call) => call.url.endsWith(path));
  }
}

/* A JWT whose times are given in seconds from now; nobody checks its signature. */
export function makeToken(name: string, expiresInS: number, lifeS = 900): string {
  const now = Math.floor(Date.now() / 1000);
  const claims = { sub: name, exp: now + expiresInS, iat: now + expiresInS - lifeS };
  const encode = (value: unknown): string =>
    btoa(JSON.stringify(value)).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
  return `${encode({ alg: 'HS256' })}.${encode(claims)}.${encode(name)}`;
}
