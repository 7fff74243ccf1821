/* A Channels server behind a WebSocket that is none: real pusher-js talks to it.
 *
 * log holds what a test asks about: "SUB x", "UNSUB x", "SEND event".
 */
import { vi } from 'vitest';

type Frame = { event: string; data?: unknown; channel?: string };
type Verdict = 'ok' | 'hold' | { status: number; error?: string };

export class FakeSocket {
  static readonly OPEN = 1;
  readyState = 0;
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: string }) => void) | null = null;
  onclose: ((event: { code: number; reason: string; wasClean: boolean }) => void) | null = null;
  onerror: ((event: unknown) => void) | null = null;
  bufferedAmount = 0;
  readonly url: string;
  readonly server: FakeServer;

  constructor(server: FakeServer, url: string) {
    this.server = server;
    this.url = url;
    server.sockets.push(this);
    queueMicrotask(() => this.open());
  }

  send(text: string): void {
    this.server.receive(this, JSON.parse(text) as Frame);
  }

  close(): void {
    this.end(1000);
  }

  /* The server's or the network's end of it. */
  end(code = 1006, reason = ''): void {
    if (this.readyState === 3) return;
    this.readyState = 3;
    queueMicrotask(() => this.onclose?.({ code, reason, wasClean: code !== 1006 }));
  }

  deliver(frame: Frame): void {
    if (this.readyState !== 1) return;
    const data = frame.data === undefined ? undefined : JSON.stringify(frame.data);
    this.onmessage?.({ data: JSON.stringify({ ...frame, data }) });
  }

  private open(): void {
    if (this.readyState !== 0) return;
    if (this.server.down) {
      this.end();
      return;
    }
    this.readyState = 1;
    this.onopen?.();
    this.server.connections += 1;
    this.deliver({
      event: 'pusher:connection_established',
      data: { socket_id: `1.${this.server.connections}`, activity_timeout: 120 },
    });
  }
}

export class FakeServer {
  readonly sockets: FakeSocket[] = [];
  readonly log: string[] = [];
  readonly subscribes: Array<{ channel: string; auth: string }> = [];
  connections = 0;
  down = false;
  /* What happens to a subscription; members for presence channels. */
  verdict: (channel: string) => Verdict = () => 'ok';
  members: Record<string, unknown> = {};
  /* What the answer to a subscription says of recovery, and what each said itself. */
  recovery: (channel: string) => unknown = () => undefined;
  readonly asked: unknown[] = [];

  /* Takes the place of WebSocket until the test is over. */
  install(): this {
    const server = this;
    vi.stubGlobal(
      'WebSocket',
      class extends FakeSocket {
        constructor(url: string) {
          super(server, url);
        }
      },
    );
    return this;
  }

  get socket(): FakeSocket {
    const last = this.sockets.at(-1);
    if (!last) throw new Error('nobody has connected');
    return last;
  }

  receive(socket: FakeSocket, frame: Frame): void {
    const { channel, auth = '' } = (frame.data ?? {}) as { channel?: string; auth?: string };
    if (frame.event === 'pusher:subscribe' && channel) {
      this.log.push(`SUB ${channel}`);
      this.subscribes.push({ channel, auth });
      this.asked.push((frame.data as { recovery?: unknown }).recovery);
      queueMicrotask(() => this.judge(socket, channel));
    } else if (frame.event === 'pusher:unsubscribe' && channel) this.log.push(`UNSUB ${channel}`);
    else if (frame.event !== 'pusher:ping') this.log.push(`SEND ${frame.event}`);
  }

  succeed(channel: string, socket = this.socket): void {
    const hash = this.members;
    const presence = { hash, ids: Object.keys(hash), count: Object.keys(hash).length };
    const recovery = this.recovery(channel);
    const data = {
      ...(channel.startsWith('presence-') ? { presence } : {}),
      ...(recovery ? { recovery } : {}),
    };
    socket.deliver({ event: 'pusher_internal:subscription_succeeded', channel, data });
  }

  publish(channel: string, event: string, data: unknown): void {
    this.socket.deliver({ event, channel, data });
  }

  private judge(socket: FakeSocket, channel: string): void {
    const verdict = this.verdict(channel);
    if (verdict === 'ok') this.succeed(channel, socket);
    else if (verdict !== 'hold')
      socket.deliver({ event: 'pusher:subscription_error', channel, data: { type: 'AuthError', error: 'no', ...verdict } });
  }
}
