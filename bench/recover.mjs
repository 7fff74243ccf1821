// How much it costs that many come back at once: recover.mjs PORT PID CLIENTS EVENTS
//
// Each client subscribes with the position of before the events, and must get exactly those, in
// order.  One line of figures; exit status 1 when a client got anything else.
import { createHash, createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import net from 'node:net';

const [port, pid, clients, events] = process.argv.slice(2).map(Number);
const app = { id: 'app-id', key: 'app-key', secret: 'app-secret' };
const channel = 'news';
const filler = 'x'.repeat(100);

async function request(method, pathname, body = '', more = {}) {
  const query = { auth_key: app.key, auth_timestamp: Math.floor(Date.now() / 1000), auth_version: '1.0', ...more };
  if (body) query.body_md5 = createHash('md5').update(body).digest('hex');
  const text = Object.keys(query).sort().map((name) => `${name}=${query[name]}`).join('&');
  const signature = createHmac('sha256', app.secret).update(`${method}\n${pathname}\n${text}`).digest('hex');
  const answer = await fetch(`http://127.0.0.1:${port}${pathname}?${text}&auth_signature=${signature}`, { method, body: body || undefined });
  if (!answer.ok) throw new Error(`${answer.status}: ${await answer.text()}`);
  return answer.json();
}

const publish = (n) => request('POST', `/apps/${app.id}/events`, JSON.stringify({ name: 'e', channel, data: `${n} ${filler}`, info: 'position' }));

// A message in a frame that carries nothing else, masked with zeros.
function frame(text) {
  const body = Buffer.from(text);
  const head = Buffer.alloc(body.length < 126 ? 6 : 8);
  head[0] = 0x81;
  head[1] = 0x80 | Math.min(body.length, 126);
  if (body.length >= 126) head.writeUInt16BE(body.length, 2);
  return Buffer.concat([head, body]);
}

// The messages in what has come; what is left is kept.
function* messages(client) {
  for (;;) {
    const { rest } = client;
    if (rest.length < 2) return;
    const short = rest[1] & 0x7f;
    const head = short < 126 ? 2 : short === 126 ? 4 : 10;
    if (rest.length < head) return;
    const length = short < 126 ? short : short === 126 ? rest.readUInt16BE(2) : Number(rest.readBigUInt64BE(2));
    if (rest.length < head + length) return;
    client.rest = rest.subarray(head + length);
    yield rest.toString('utf8', head, head + length);
  }
}

function connect() {
  return new Promise((resolve, reject) => {
    const client = { socket: net.connect(port, '127.0.0.1'), rest: Buffer.alloc(0), heard: [], isOpen: false };
    client.socket.on('error', reject);
    client.socket.on('connect', () => client.socket.write(`GET /app/${app.key}?protocol=7 HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`));
    client.socket.on('data', (bytes) => {
      client.rest = client.rest.length ? Buffer.concat([client.rest, bytes]) : bytes;
      if (!client.isOpen) {
        const end = client.rest.indexOf('\r\n\r\n');
        if (end < 0) return;
        client.isOpen = true;
        client.rest = client.rest.subarray(end + 4);
        resolve(client);
      }
      for (const text of messages(client))
        if (text.startsWith('{"event":"e"')) {
          client.heard.push(Number(JSON.parse(text).data.split(' ')[0]));
          if (client.heard.length === events) client.done?.();
        }
    });
  });
}

const cpuUs = () => {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10000;
};
const kilobytes = (name) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]);

const { channels } = await publish(0);
const from = channels[channel];
const all = [];
while (all.length < clients) all.push(...await Promise.all(Array.from({ length: Math.min(250, clients - all.length) }, connect)));
for (let n = 1; n <= events; n++) await publish(n);
const done = all.map((client) => new Promise((resolve) => { client.done = resolve; }));
const kbBefore = kilobytes('VmRSS');
const cpuBefore = cpuUs();
const start = performance.now();
const ask = frame(JSON.stringify({ event: 'pusher:subscribe', data: { channel, recovery: { epoch: from.epoch, offset: from.offset } } }));
for (const { socket } of all) socket.write(ask);
await Promise.all(done);
const wall = performance.now() - start;
const cpu = cpuUs() - cpuBefore;
const isWhole = all.every(({ heard }) => heard.length === events && heard.every((n, i) => n === i + 1));
console.log(`mode=recover clients=${clients} events=${events} us_per_client=${(cpu / clients).toFixed(1)} cpu_ms=${(cpu / 1000).toFixed(0)} wall_ms=${wall.toFixed(0)} kb_before=${kbBefore} kb_peak=${kilobytes('VmHWM')} whole=${isWhole}`);
for (const { socket } of all) socket.destroy();
process.exit(isWhole ? 0 : 1);
