// Publishers that number their events, listeners behind links that fail, a server that is stopped,
// killed, frozen and purged; and what everybody has seen in the end.
import { rmSync } from 'node:fs';
import { apiClient, apiRequest, freePort, limit, ownFolder, pusherClient, startServer, until } from '../flow/harness.mjs';
import { withRecovery } from '../flow/recovery.mjs';
import { Link } from './link.mjs';
import { encryptionMasterKeyBase64, eventsListener, pusherListener } from './listeners.mjs';
import { judgePlain, judgeRecovering } from './verdict.mjs';

const app = { id: 'a1', key: 'k1', secret: 's1' };
const channels = ['open-1', 'open-2', 'private-1', 'presence-1', 'cache-1', 'private-encrypted-1'];
const open = channels.filter((name) => /^(open|cache)-/.test(name)); // without a signature
// pusher-js gives a transport up that dies often, and takes the next one.
const transports = [['ws', 'xhr_polling'], ['ws', 'xhr_streaming'], ['xhr_streaming', 'xhr_polling'], ['xhr_polling']];
const sockjs = ['xhr-streaming', 'xhr-polling', 'websocket'];

const config = (durability, keep) => (folder) => `store: {path: ${folder}/histories}
apps:
  - id: ${app.id}
    keys: [{key: ${app.key}, secret: ${app.secret}}]
    client_events: true
    history: [{channel: "*", max_events: ${keep}, recover_max_events: ${keep}, durability: ${durability}}]
`;

const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

// Numbers from a seed: the same schedule again.
export function dice(seed) {
  let state = seed >>> 0 || 1;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

export class Scene {
  // durability: memory, async, ack.  keep: events of each channel.
  // wrap: what makes a pusher-js come back (listeners.mjs).
  constructor({ durability, workers, seed, keep = 1000, wrap }) {
    Object.assign(this, { durability, workers, keep, wrap, roll: dice(seed) });
    this.inDoubt = 0; // events whose publishers have no answer yet
    this.folder = ownFolder('chaos');
    this.numbers = Object.fromEntries(channels.map((name) => [name, 0])); // published so far
    this.listeners = [];
    this.faults = {};
    this.isOver = false;
  }

  async start() {
    this.server = await startServer({
      app: null, workers: this.workers, port: this.server?.port ?? await freePort(),
      config: () => config(this.durability, this.keep)(this.folder),
      set: { 'limits.rejoin_ms': limit(500), 'app_defaults.limits.event_data_bytes': 20000 },
    });
    this.server.app = app;
  }

  // --- publishers ---

  // A server that lives answers, or ends the connection.  A request whose server has gone meanwhile
  // may hang in its library: it is given up.
  async #answered(what, request) {
    const life = this.server;
    const silence = Symbol('silence');
    const result = await Promise.race([request, pause(limit(10000)).then(() => silence)]);
    if (result !== silence) return result;
    if (life === this.server && !life.status) this.silent = `${what} was never answered`;
    throw new Error('no answer');
  }

  // The last number of the channel's history: whether an event whose answer was lost is there.
  async #newest(channel) {
    const answer = await this.#answered('a question', apiRequest(this.server, 'GET', `/apps/${app.id}/channels/${channel}/history`, { app, params: { limit: 1 } }));
    const item = answer.json?.items?.[0];
    return item ? Number(item.name.slice(1)) : 0;
  }

  // Until it is there.  A name makes a repetition act once, as long as the process lives.
  async #publish(channel, n) {
    const api = apiClient(this.server, { app, encryptionMasterKeyBase64 });
    for (;;) {
      const life = this.server;
      try {
        await this.#answered('an event', api.post({ path: '/events', body: {
          name: `e${n}`, channel, idempotency_key: `${channel}-${n}`,
          data: channel.startsWith('private-encrypted-') ? this.#encrypted(api, channel, n) : JSON.stringify({ n }),
        } }));
        return;
      } catch {
        if (this.isGivingUp || this.silent) return;
        await pause(20);
        if (this.server !== life || this.server.status)
          await until(() => !this.server.status && this.server !== life, 'the server to be back', 30000);
        if (await this.#newest(channel).catch(() => 0) >= n) return;
      }
    }
  }

  #encrypted(api, channel, n) {
    let body;
    const spy = Object.assign(Object.create(api), { post: (options) => { body = options.body; return Promise.resolve(); } });
    void spy.trigger(channel, `e${n}`, { n });
    return body.data;
  }

  async #publisher(channel) {
    while (!this.isOver) {
      if (this.isHeld) {
        await pause(5);
        continue;
      }
      const n = this.numbers[channel] + 1;
      this.inDoubt++;
      await this.#publish(channel, n);
      this.inDoubt--;
      this.numbers[channel] = n;
      await pause(this.roll(30));
    }
  }

  // --- listeners ---

  async listen(listener) {
    this.listeners.push(listener);
    await until(() => listener.isBack(), `${listener.kind} ${listener.transport} to be subscribed`);
  }

  // pusher-js waits long behind a connection that was refused; somebody who waits for a page reloads.
  nudge() {
    for (const listener of this.listeners) if (!listener.isBack()) listener.nudge();
  }

  // --- faults ---

  #anyLink() { return this.listeners[this.roll(this.listeners.length)].link; }

  async #restart(stop) {
    await stop();
    await this.start();
    this.nudge();
  }

  actions = {
    cut: () => this.#anyLink().cut(),
    'cut all': () => { for (const { link } of this.listeners) link.cut(); },
    'half close': () => this.#anyLink().halfClose(),
    stall: async () => {
      const link = this.#anyLink();
      link.isStalled = true;
      await pause(200 + this.roll(1500));
      link.isStalled = false;
    },
    throttle: async () => {
      const link = this.#anyLink();
      link.rate = 5000;
      await pause(500);
      link.rate = 0;
    },
    away: async () => {
      const link = this.#anyLink();
      link.isDown = true;
      link.cut();
      await pause(100 + this.roll(1000));
      link.isDown = false;
      this.nudge();
    },
    freeze: async () => {
      await this.server.freeze();
      await pause(200);
      this.server.thaw();
    },
    // Not while a publisher looks there for an event whose answer it did not get.
    purge: async () => {
      this.isHeld = true;
      await until(() => !this.inDoubt, 'every publisher to have its answer', 30000);
      await this.#answered('a purge', apiRequest(this.server, 'DELETE', `/apps/${app.id}/channels/${channels[this.roll(channels.length)]}/history`, { app })).catch(() => {});
      this.isHeld = false;
    },
    restart: () => this.#restart(() => this.server.stop()),
    kill: () => this.#restart(async () => {
      this.server.signal('SIGKILL');
      await this.server.exited;
      rmSync(this.server.folder, { recursive: true, force: true });
    }),
  };

  async act(name) {
    this.faults[name] = (this.faults[name] ?? 0) + 1;
    await this.actions[name]();
  }

  // --- the whole ---

  // schedule: names of actions, with a pause behind each.
  async play(schedule, between) {
    await this.start();
    await this.#listenAll();
    const publishers = channels.map((channel) => this.#publisher(channel));
    for await (const name of schedule) {
      await this.act(name);
      await pause(between());
    }
    for (const { link } of this.listeners) Object.assign(link, { rate: 0, isStalled: false, isDown: false });
    // Behind what may be on its way.
    this.healed = Object.fromEntries(channels.map((name) => [name, this.numbers[name] + 2]));
    await this.#heard(this.healed, () => true);
    this.isOver = true;
    await Promise.all(publishers);
    if (this.silent) throw new Error(this.silent);
    await this.#heard(this.numbers, ({ kind }) => kind === 'recovering');
  }

  async #listenAll() {
    const link = () => new Link(() => this.server.port).open();
    const pusher = async (how) => this.listen(pusherListener(this, await link(), { app, channels, id: this.listeners.length, wrap: this.wrap, ...how }));
    for (const some of transports) await pusher({ transports: some });
    for (const some of sockjs) await pusher({ sockjs: some });
    await this.listen(eventsListener(this, await link(), { app, channels: open }));
    for (const some of [['ws', 'xhr_polling'], ['xhr_polling']]) await pusher({ transports: some, isPlain: true });
    await pusher({ sockjs: sockjs[0], isPlain: true });
  }

  // Waits until all those have heard an event behind these numbers, or were told what they lack.
  // The verdict says who lacks what in the end.
  async #heard(numbers, of) {
    const isThere = ({ traces, channels: names }) => names.every((name) => {
      const last = traces[name].findLast((entry) => !entry.connected);
      return last && ('told' in last || last.n >= numbers[name]);
    });
    let nudged = Date.now();
    await until(() => {
      if (Date.now() - nudged > limit(2500)) {
        nudged = Date.now();
        this.nudge();
      }
      return this.listeners.every((listener) => listener.isBack() && (!of(listener) || isThere(listener)));
    }, 'everybody to have everything', 25000).catch(() => {});
  }

  verdict() {
    const rows = [];
    for (const listener of this.listeners)
      for (const channel of listener.channels) {
        const { kind, transport, traces, recovered } = listener;
        const last = this.numbers[channel];
        const row = kind === 'recovering' ? judgeRecovering(traces[channel], last) : judgePlain(traces[channel], this.healed[channel]);
        rows.push({ durability: this.durability, kind, transport, channel, published: last, recovered, ...row,
          faults: [...row.faults, ...(listener.isBack() ? [] : ['it did not come back'])] });
      }
    return rows;
  }

  async end() {
    this.isOver = this.isGivingUp = true;
    for (const listener of this.listeners) {
      listener.end();
      listener.link.close();
    }
    await this.server.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

// Two hundred at once: everybody is cut, misses events, and comes back in the same moment.
export async function crowd({ durability, workers, seed, clients = 200, events = 50 }) {
  const scene = new Scene({ durability, workers, seed });
  await scene.start();
  const link = await new Link(() => scene.server.port).open();
  const heard = [];
  const api = apiClient(scene.server, { app });
  try {
    for (let i = 0; i < clients; i++) {
      const client = pusherClient(scene.server, { app, wsPort: link.port });
      withRecovery(client);
      const mine = [];
      client.subscribe('open-crowd').bind('e', ({ n }) => mine.push(n));
      heard.push({ client, mine });
    }
    await until(() => heard.every(({ client }) => client.channel('open-crowd').subscribed), 'the crowd', 30000);
    await api.trigger('open-crowd', 'e', { n: 1 });
    await until(() => heard.every(({ mine }) => mine.length === 1), 'the first event');
    link.isDown = true;
    link.cut();
    for (let n = 2; n <= events; n++) await api.trigger('open-crowd', 'e', { n });
    link.isDown = false;
    for (const { client } of heard) {
      client.disconnect();
      client.connect();
    }
    await until(() => heard.every(({ mine }) => mine.length >= events), 'everybody to have everything', 30000);
    return heard.map(({ mine }) => mine);
  } finally {
    for (const { client } of heard) client.disconnect();
    link.close();
    await scene.end();
  }
}
