// Who listens through a link that fails, and keeps a trace of each channel (verdict.mjs): pusher-js
// as it is or wrapped, over each of its transports and over SockJS; and EventSource, which comes
// back by itself.
import Pusher from 'pusher-js';
import { EventSource } from 'eventsource';
import SockJS from 'sockjs-client';
import { apiClient, limit, pusherClient } from '../flow/harness.mjs';
import { withRecovery } from '../flow/recovery.mjs';

export const encryptionMasterKeyBase64 = Buffer.from('0123456789abcdef0123456789abcdef').toString('base64');

const emptyTraces = (channels) => Object.fromEntries(channels.map((name) => [name, []]));

// --- SockJS under pusher-js ---

// pusher-js speaks SockJS in browsers only.  Here SockJS has the face of a WebSocket, and pusher-js
// looks after the connection itself: under Node, sockjs-client does not see an answer break off.
class SockJSSocket {
  constructor(url, transport) {
    const { host, pathname, search } = new URL(url);
    this.socket = new SockJS(`http://${host}/pusher`, null, { transports: [transport] });
    this.socket.onopen = () => {
      this.socket.send(JSON.stringify({ path: `${pathname}${search}` }));
      this.onopen?.();
    };
    this.socket.onmessage = ({ data }) => this.onmessage?.({ data });
    this.socket.onclose = ({ code, reason, wasClean }) => this.onclose?.({ code, reason, wasClean });
  }
  get readyState() { return this.socket.readyState; }
  send(text) { this.socket.send(text); }
  close() { this.socket.close(); }
}

const overSockJS = new Map(); // port: SockJS's transport
const { createWebSocket } = Pusher.Runtime;
Pusher.Runtime.createWebSocket = function create(url) {
  const transport = overSockJS.get(Number(new URL(url).port));
  return transport ? new SockJSSocket(url, transport) : createWebSocket.call(this, url);
};

// --- pusher-js ---

// The wrapper of the tests, which hides nothing: onTold gets 'recovered' or 'discontinuity'.
function wrap(client, channels, onTold) {
  const { log } = withRecovery(client);
  log.push = (...entries) => {
    for (const [channel, what, details] of entries) onTold(channel, what, details);
    return 0;
  };
}

// The wrapper that pages use, from the package as it was built.
export const builtWrap = (recover) => (client, channels, onTold) => {
  recover(client);
  for (const name of channels)
    for (const what of ['recovered', 'discontinuity'])
      client.subscribe(name).bind(`carillon:${what}`, (details) => onTold(name, what, details));
};

// how: {transports, sockjs, isPlain, wrap}, sockjs being one of SockJS's transports.
export function pusherListener(scene, link, { app, channels, id, transports = ['ws'], sockjs, isPlain = false, wrap: wrapped = wrap }) {
  if (sockjs) overSockJS.set(link.port, sockjs);
  const api = apiClient(scene.server, { app, encryptionMasterKeyBase64 });
  const traces = emptyTraces(channels);
  const client = pusherClient(scene.server, {
    app, wsPort: link.port, httpPort: link.port, enabledTransports: transports, activityTimeout: 1000, pongTimeout: limit(1000),
    channelAuthorization: { customHandler({ socketId, channelName }, done) {
      const member = channelName.startsWith('presence-') ? { user_id: `u${id}` } : undefined;
      done(null, api.authorizeChannel(socketId, channelName, member));
    } },
  });
  const listener = {
    kind: isPlain ? 'plain' : 'recovering', transport: sockjs ? `sockjs ${sockjs}` : transports[0], channels, link, traces, recovered: 0,
    isBack: () => client.connection.state === 'connected' && channels.every((name) => client.channel(name).subscribed),
    nudge() {
      if (client.connection.state === 'connected') return;
      client.disconnect();
      client.connect();
    },
    end: () => client.disconnect(),
  };
  if (!isPlain)
    wrapped(client, channels, (channel, what, { reason }) => {
      if (what === 'discontinuity') traces[channel].push({ told: reason });
      listener.recovered += what === 'recovered';
    });
  client.connection.bind('connected', () => { for (const name of channels) traces[name].push({ connected: true }); });
  for (const name of channels)
    client.subscribe(name).bind_global((event, data) => { if (/^e\d+$/.test(event)) traces[name].push({ n: data.n, event }); });
  return listener;
}

// --- EventSource ---

export function eventsListener(scene, link, { app, channels }) {
  const traces = emptyTraces(channels);
  const listener = { kind: 'recovering', transport: 'events', channels, link, traces, recovered: 0 };
  const subscribed = new Set();
  const source = new EventSource(`http://127.0.0.1:${link.port}/events/${app.key}?channels=${channels.join(',')}`);
  source.onerror = () => subscribed.clear();
  source.onmessage = ({ data: text }) => {
    const { event, channel, data } = JSON.parse(text);
    if (event === 'pusher_internal:subscription_succeeded') {
      subscribed.add(channel);
      const { recovered, reason } = JSON.parse(data).recovery ?? {};
      listener.recovered += recovered === true;
      if (recovered === false) traces[channel].push({ told: reason });
    } else if (/^e\d+$/.test(event)) {
      traces[channel].push({ n: JSON.parse(data).n, event });
    }
  };
  return Object.assign(listener, {
    isBack: () => subscribed.size === channels.length,
    nudge() {}, // it asks again every few seconds, as it was told to
    end: () => source.close(),
  });
}
