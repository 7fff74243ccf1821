// Clients of the raw WebSocket endpoints.
import assert from 'node:assert/strict';
import { mint } from './gateway.mjs';
import { rawSocket } from './harness.mjs';

// What is different each time.  A timestamp must be one, and of now.
function plain(value, name = '') {
  if (Array.isArray(value)) return value.map((item) => plain(item));
  if (value && typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item, key)]));
  if (['timestamp', 'server_time', 'since'].includes(name) && typeof value === 'string') {
    assert.ok(Math.abs(Date.parse(value) - Date.now()) < 60000, `${name} ${value}`);
    return 'now';
  }
  return value;
}

// Opens a socket at path, with the user's token in the query.  greeting: how many frames to skip;
// they are in socket.greeting.
export async function legacySocket(server, path, { user = null, token = user && mint(user), headers = {}, greeting } = {}) {
  const skip = greeting ?? ({ '/ws/native': 1, '/ws/roblox': 1, '/ws/analytics/realtime': 1, '/api/v1/environment/create': 0 }[path] ?? (token ? 2 : 1));
  const socket = await rawSocket(server, token === null ? path : `${path}?token=${encodeURIComponent(token)}`, { headers });
  socket.frame = async (ms) => plain(JSON.parse((await socket.next(ms)).text));
  socket.expectFrame = async (expected, ms) => assert.deepEqual(await socket.frame(ms), expected);
  socket.ask = async (message, expected) => {
    if (typeof message === 'string') socket.text(message);
    else socket.send(message);
    await socket.expectFrame(expected);
  };
  // Nothing was on its way: what comes next is the answer to a ping.
  socket.expectQuiet = async () => {
    socket.send({ type: 'ping' });
    assert.equal((await socket.frame()).type, 'pong');
  };
  // The frames up to one of that type, which is returned.
  socket.until = async (type) => {
    for (;;) {
      const frame = await socket.frame();
      if (frame.type === type) return frame;
    }
  };
  socket.join = (...channels) => socket.ask({ type: 'subscribe', channels }, { type: 'subscribed', channel: channels[0], channels, total_subscriptions: socket.joined = (socket.joined ?? 0) + channels.length });
  socket.greeting = [];
  for (let i = 0; i < skip; i++) socket.greeting.push(await socket.frame());
  return socket;
}

export const error = (text) => ({ type: 'error', error: text, timestamp: 'now' });
