// A link between clients and a server that can fail in the ways in which links do.
import net from 'node:net';

const TICK_MS = 10;

export class Link {
  // target: () => port, asked for each connection.
  constructor(target) {
    this.target = target;
    this.pairs = new Set();
    this.rate = 0; // bytes a second towards the clients; 0 = as fast as it goes
    this.isStalled = false;
    this.isDown = false; // new connections end at once
    this.server = net.createServer((from) => this.#join(from));
  }

  async open() {
    await new Promise((resolve) => { this.server.listen(0, '127.0.0.1', resolve); });
    this.port = this.server.address().port;
    this.server.unref(); // a test that fails leaves it open
    return this;
  }

  close() {
    this.cut();
    this.server.close();
  }

  #join(from) {
    from.on('error', () => {});
    if (this.isDown) return void from.destroy();
    const to = net.connect({ host: '127.0.0.1', port: this.target() });
    const pair = { from, to };
    this.pairs.add(pair);
    const end = () => {
      clearInterval(pair.timer);
      this.pairs.delete(pair);
      from.destroy();
      to.destroy();
    };
    for (const socket of [from, to]) socket.on('close', end).on('error', () => {});
    from.on('data', (bytes) => { to.write(bytes); });
    from.on('end', () => to.end());
    to.on('end', () => from.end());
    pair.timer = setInterval(() => this.#pass(pair), TICK_MS);
  }

  // What has come from the server since the last tick, as far as the link takes it.
  #pass({ from, to }) {
    if (this.isStalled) return;
    const most = this.rate ? Math.max(1, Math.floor((this.rate * TICK_MS) / 1000)) : to.readableLength;
    const bytes = to.read(Math.min(most, to.readableLength));
    if (bytes) from.write(bytes);
  }

  cut() {
    for (const { from, to } of this.pairs) {
      from.resetAndDestroy();
      to.resetAndDestroy();
    }
  }

  // The server hears no more, but may go on talking.
  halfClose() {
    for (const { to } of this.pairs) to.end();
  }
}
