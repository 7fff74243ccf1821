// The one service of the page, and the switch that takes its network away.
import { createPusherService, type PusherService } from 'carillon-js';
import Pusher from 'pusher-js';
import { makeToken, type User } from './session';

// What pusher-js logs, for the pane that shows it.
type Listener = () => void;
const lines: { id: number; text: string }[] = [];
const listeners = new Set<Listener>();
let seen: readonly { id: number; text: string }[] = [];
let count = 0;

// Where Pusher.log is set, pusher-js leaves the console to it.
Pusher.log = (message: string): void => {
  if (Pusher.logToConsole) console.log(message);
  lines.push({ id: ++count, text: String(message).replace(/^Pusher :\s*:\s*/, '') });
  if (lines.length > 200) lines.shift();
  seen = [...lines];
  for (const listener of listeners) listener();
};

export const debugLog = {
  subscribe(listener: Listener): () => void {
    listeners.add(listener);
    return () => listeners.delete(listener);
  },
  lines: () => seen,
};

// The network that can be taken away: while it is cut, what was open ends and nothing new begins,
// which is what a lost connection is to a page.  Port 9 answers nobody.
const NOWHERE = '127.0.0.1:9';
const open = new Set<() => void>(); // how to end what is open
const realFetch = window.fetch.bind(window);
let isCut = false;

window.WebSocket = class extends WebSocket {
  constructor(url: string | URL, protocols?: string | string[]) {
    super(isCut ? `ws://${NOWHERE}/` : url, protocols);
    const end = (): void => this.close();
    open.add(end);
    this.addEventListener('close', () => open.delete(end));
  }
};

window.XMLHttpRequest = class extends XMLHttpRequest {
  override open(method: string, url: string | URL): void {
    super.open(method, isCut ? `http://${NOWHERE}/` : url, true);
    const end = (): void => this.abort();
    open.add(end);
    this.addEventListener('loadend', () => open.delete(end));
  }
};

window.fetch = (input, init) => (isCut ? Promise.reject(new TypeError('Failed to fetch')) : realFetch(input, init));
Object.defineProperty(navigator, 'onLine', { get: () => !isCut });

export const network = {
  get isCut(): boolean {
    return isCut;
  },
  // Somebody else's network, which is never cut.
  elsewhere: realFetch,
  cut(): void {
    isCut = true;
    for (const end of [...open]) end();
    window.dispatchEvent(new Event('offline'));
  },
  restore(): void {
    isCut = false;
    window.dispatchEvent(new Event('online'));
  },
};

export function connect(user: User): PusherService {
  // Kept until it is refreshed, as an application does that asks a backend for it.
  let token = makeToken(user);
  const service = createPusherService({
    key: 'app-key',
    Pusher, // the one whose log is shown
    getAuthToken: () => token,
    refreshAuthToken: () => (token = makeToken(user)),
    logToConsole: false,
    recovery: true, // what is said while the network is away arrives when it is back
    pusherOptions: { activityTimeout: 30000, pongTimeout: 5000, unavailableTimeout: 5000 },
  });
  service.initialize();
  return service;
}
