/* A channel's stream as the server keeps it: what is published goes to who listens, and can be
 * asked for. */
import type { FakeBackend } from './fake-backend.js';
import type { FakeServer } from './fake-server.js';

export class FakeHistory {
  epoch = 'e1';
  items: Array<{ offset: number; name: string; data: string; time_ms: number }> = [];
  readonly asked: URLSearchParams[] = [];
  private newest = 0;
  private readonly server: FakeServer;
  private readonly channel: string;

  constructor(server: FakeServer, backend: FakeBackend, channel: string) {
    this.server = server;
    this.channel = channel;
    server.recovery = () => ({ epoch: this.epoch, offset: this.newest });
    const others = backend.answer;
    backend.answer = (call) => {
      if (!call.url.includes('/history?')) return others(call);
      const query = new URL(call.url, 'http://page.test').searchParams;
      this.asked.push(query);
      return this.answer(query);
    };
  }

  /* Nobody is connected, or the socket is left out: it is kept all the same. */
  keep(data: unknown): void {
    this.newest += 1;
    this.items.push({ offset: this.newest, name: 'e', data: JSON.stringify(data), time_ms: 1000 + this.newest });
  }

  publish(data: unknown): void {
    this.keep(data);
    this.server.publish(this.channel, 'e', data);
  }

  tellPosition(): void {
    this.server.publish(this.channel, 'pusher_internal:position', { epoch: this.epoch, offset: this.newest });
  }

  purge(epoch: string): void {
    Object.assign(this, { epoch, items: [], newest: 0 });
  }

  private answer(query: URLSearchParams): { status?: number; json: unknown } {
    const at = (name: string, other: number): number => {
      const [epoch, offset] = query.get(name)?.split(':') ?? [this.epoch, other];
      if (epoch !== this.epoch) throw new Error(`asked for ${epoch}, which is no more`);
      return Number(offset);
    };
    const limit = Number(query.get('limit') ?? 100);
    const found = this.items.filter(({ offset }) => offset > at('since', 0) && offset <= at('until', this.newest));
    if (query.get('direction') !== 'forwards') found.reverse();
    return {
      json: {
        channel: this.channel,
        epoch: this.epoch,
        oldest: this.items[0]?.offset ?? this.newest + 1,
        newest: this.newest,
        items: found.slice(0, limit).map((item) => ({ id: `${this.epoch}:${item.offset}`, ...item })),
        has_more: found.length > limit,
        complete: true,
        cursor: 'next',
      },
    };
  }
}
