// A client of the HTTP transports that hides nothing, with the same face as the raw WebSocket
// client: lines come by a stream or by polls, messages go by sends.
import assert from 'node:assert/strict';
import http from 'node:http';

const names = { xhr_streaming: 'xhr_streaming', xhr_polling: 'xhr' };

// One POST; ends with {status, headers, body}.  onStart gets the response before its body.
export function post(agent, url, { body = '', onStart, onRequest, headers = {} } = {}) {
  return new Promise((resolve, reject) => {
    const request = http.request(url, {
      method: 'POST', agent, headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), ...headers },
    }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      onStart?.(response);
      response.on('data', (chunk) => { text += chunk; });
      response.on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body: text }));
    });
    request.on('error', reject);
    onRequest?.(request);
    request.end(body);
  });
}

// Reading is the caller's: makeXhrSocket gives this class what RawSocket has for that.
export const withXhr = (Reader) => class XhrSocket extends Reader {
  constructor(server, transport, { query = 'protocol=7&client=js&version=8.6.0', key = server.app.key } = {}) {
    super();
    this.transport = transport;
    this.query = query;
    this.n = 0;
    const session = Array.from({ length: 8 }, () => '0123456789abcdefghijklmnopqrstuv'[Math.floor(Math.random() * 32)]).join('');
    this.base = `${server.url}/pusher/app/${key}/${Math.floor(Math.random() * 1000)}/${session}`;
    // Sends in one line: a message never overtakes another.
    this.agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    this.receiving = new http.Agent({ keepAlive: true });
    this.sending = Promise.resolve();
    this.#receive();
  }

  #url(name) { this.n += 1; return `${this.base}/${name}?${this.query}&t=${Date.now()}&n=${this.n}`; }

  async #receive() {
    let rest = '';
    const take = (text) => {
      rest += text;
      for (let end = rest.indexOf('\n'); end >= 0; end = rest.indexOf('\n')) {
        this.#line(rest.slice(0, end));
        rest = rest.slice(end + 1);
      }
    };
    while (!this.closed && !this.gone) {
      const answer = await post(this.receiving, this.#url(names[this.transport]), {
        onRequest: (request) => { this.request = request; },
        onStart: (response) => { this.status = response.statusCode; response.on('data', take); },
      }).catch((error) => error);
      if (!(answer instanceof Error) && answer.status === 200 && this.transport === 'xhr_polling') continue;
      this.closed ??= { code: null, reason: '' };
      this.ended = true;
    }
    this.ended = true;
    this.receiving.destroy();
    this.sending.finally(() => this.agent.destroy());
  }

  #line(line) {
    if (line === 'o') return;
    if (line.startsWith('c')) {
      const [code, reason] = JSON.parse(line.slice(1));
      this.closed = { code, reason };
    } else if (line.startsWith('a')) {
      for (const text of JSON.parse(line.slice(1))) {
        const frame = { opcode: 1, fin: true, text, payload: Buffer.from(text) };
        this.all.push(frame);
        this.frames.push(frame);
      }
    } else if (line === 'h' && this.transport === 'xhr_streaming') {
      this.#post('[]');
    } else {
      assert.match(line, /^h*$/, 'a line of the protocol');
    }
  }

  #post(body) {
    this.sending = this.sending.then(() => post(this.agent, this.#url('xhr_send'), { body })).catch(() => {});
  }

  text(text) {
    if (this.batch) this.batch.push(text);
    else this.#post(JSON.stringify([text]));
  }

  // What fn sends goes out in one piece.
  together(fn) {
    this.batch = [];
    fn();
    this.#post(JSON.stringify(this.batch));
    this.batch = undefined;
  }

  write() { throw new Error('there are no WebSocket frames over HTTP'); }
  header() { throw new Error('there is no upgrade over HTTP'); }
  close() { this.destroy(); }

  destroy() {
    this.gone = true;
    this.sending.finally(() => this.agent.destroy());
    this.request?.destroy();
  }
};
