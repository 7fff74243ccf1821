// The demo page: an ordinary pusher-js client of the server that sent it.
'use strict';

(() => {
  const APP_KEY = 'app-key';
  const CHANNEL = 'demo';
  const EVENT = 'message';
  const KEPT_EVENTS = 50;
  const UNKNOWN_APP = 4001;

  const $ = (id) => document.getElementById(id);
  const secure = location.protocol === 'https:';
  const prefix = location.pathname.replace(/\/[^/]*$/, '');
  const port = Number(location.port) || (secure ? 443 : 80);

  // --- bells: the same words ring the same bell in every window -------------------------------

  const NOTES = [523.25, 587.33, 659.25, 783.99, 880, 1046.5, 1174.66];
  const calm = matchMedia('(prefers-reduced-motion: reduce)');
  const bells = NOTES.map((_, i) => hangBell(58 - i * 4.5));
  let audio = null;

  function hangBell(width) {
    const ns = 'http://www.w3.org/2000/svg';
    const svg = document.createElementNS(ns, 'svg');
    const use = document.createElementNS(ns, 'use');
    use.setAttribute('href', '#bell');
    svg.setAttribute('viewBox', '0 0 40 48');
    svg.style.width = `min(${width}px, ${width / 5.2}vw)`;
    svg.append(use);
    $('belfry').append(svg);
    return svg;
  }

  function ring(text) {
    let hash = 7;
    for (const c of text) hash = (hash * 31 + c.codePointAt(0)) >>> 0;
    const i = hash % bells.length;
    if (!calm.matches) {
      bells[i].animate(
        [0, 24, -20, 15, -10, 6, -3, 0].map((angle) => ({ transform: `rotate(${angle}deg)` })),
        { duration: 1400, easing: 'ease-in-out' });
    }
    if (audio) strike(NOTES[i]);
  }

  // A bell is a fundamental and a few partials that die away at different speeds.
  function strike(pitch) {
    const now = audio.currentTime;
    for (const [ratio, loudness, seconds] of [[0.5, 0.1, 2.2], [1, 0.16, 1.8], [1.2, 0.07, 1.1], [2, 0.08, 0.9], [2.76, 0.04, 0.5]]) {
      const tone = audio.createOscillator();
      const gain = audio.createGain();
      tone.frequency.value = pitch * ratio;
      gain.gain.setValueAtTime(loudness, now);
      gain.gain.exponentialRampToValueAtTime(0.0001, now + seconds);
      tone.connect(gain).connect(audio.destination);
      tone.start(now);
      tone.stop(now + seconds);
    }
  }

  $('sound').addEventListener('change', (event) => {
    audio = event.target.checked ? new AudioContext() : null;
    if (audio) strike(NOTES[0]);
  });

  // --- the connection -------------------------------------------------------------------------

  const websocket = secure ? 'wss' : 'ws';
  let pusher = null;
  const pending = []; // what this window published and has not heard yet
  let refused = false;

  function notify(text) {
    $('notice').textContent = text;
    $('notice').hidden = !text;
  }

  function showState(state) {
    $('state').textContent = state;
    $('status').dataset.state = state;
    $('send').disabled = state !== 'connected';
    $('socket').textContent = state === 'connected' ? pusher.connection.socket_id : '–';
    if (state !== 'connected') $('count').textContent = '–';
    if (state === 'connected') notify('');
  }

  // Automatic is a WebSocket, and streaming or polling where none comes up.
  function transports(choice) {
    if (choice === 'ws') return [websocket];
    return choice ? [choice] : [websocket, 'xhr_streaming', 'xhr_polling'];
  }

  function connect(choice) {
    pusher?.connection.unbind_all();
    pusher?.disconnect();
    refused = false;
    pusher = new Pusher(APP_KEY, {
      cluster: 'self',
      wsHost: location.hostname,
      wsPort: port,
      wssPort: port,
      wsPath: prefix,
      httpHost: location.hostname,
      httpPort: port,
      httpsPort: port,
      httpPath: `${prefix}/pusher`,
      forceTLS: secure,
      enabledTransports: transports(choice),
    });
    pusher.connection.bind('state_change', ({ current }) => {
      showState(refused ? 'failed' : current);
      if (current === 'unavailable') notify('The server cannot be reached. This page keeps trying.');
    });
    pusher.connection.bind('error', (error) => {
      const reason = error?.error?.data ?? error?.data;
      if (reason?.code !== UNKNOWN_APP) return;
      refused = true;
      showState('failed');
      notify('This server has apps of its own, so the demo app is off. Connect with your own key instead.');
    });
    listen(pusher.subscribe(CHANNEL));
    showState(pusher.connection.state);
  }

  function listen(channel) {
    channel.bind('pusher:subscription_count', (data) => {
      $('count').textContent = `${data.subscription_count} here`;
    });
    channel.bind(EVENT, (data) => {
      const message = String(data?.message ?? '');
      ring(message);
      showEvent(message, timeTaken(message, data?.time_ms));
    });
  }

  $('transport').addEventListener('change', (event) => connect(event.target.value));

  // A message of this window is timed from the click; one from elsewhere from the server's clock,
  // which is this machine's too.
  function timeTaken(message, serverTime) {
    const i = pending.findIndex((sent) => sent.message === message);
    if (i >= 0) {
      const [sent] = pending.splice(i, 1);
      const took = `${(performance.now() - sent.at).toFixed(1)} ms`;
      $('trip').textContent = took;
      return took;
    }
    return typeof serverTime === 'number' ? `${Math.max(0, Date.now() - serverTime)} ms` : '';
  }

  function showEvent(message, took) {
    const time = document.createElement('time');
    const text = document.createElement('span');
    const speed = document.createElement('span');
    const now = new Date();
    time.dateTime = now.toISOString();
    time.textContent = now.toLocaleTimeString([], { hour12: false });
    text.className = 'text';
    text.textContent = message;
    speed.className = 'took';
    speed.textContent = took;
    const item = document.createElement('li');
    item.append(time, text, speed);
    $('log').prepend(item);
    while ($('log').children.length > KEPT_EVENTS) $('log').lastChild.remove();
    $('empty').hidden = true;
  }

  // --- publishing -----------------------------------------------------------------------------

  $('form').addEventListener('submit', async (event) => {
    event.preventDefault();
    const message = $('message').value.trim();
    if (!message || $('send').disabled) return;
    const sent = { message, at: performance.now() };
    pending.push(sent);
    const failure = await publish(message).catch((error) => error.message);
    notify(failure ? `Not published: ${failure}` : '');
    if (failure && pending.includes(sent)) pending.splice(pending.indexOf(sent), 1);
    $('message').select();
  });

  // What went wrong, or nothing.
  async function publish(message) {
    const answer = await fetch(`${prefix}/demo/publish`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ message }),
    });
    if (answer.ok) return '';
    return (await answer.text()).trim().slice(0, 200) || `status ${answer.status}`;
  }

  // --- snippets -------------------------------------------------------------------------------

  const host = location.hostname;
  const scheme = secure ? 'https' : 'http';
  const SNIPPETS = {
    'Browser': `import Pusher from 'pusher-js';

const pusher = new Pusher('${APP_KEY}', {
  cluster: 'self', // any word: pusher-js asks for one and ignores it here
  wsHost: '${host}',
  wsPort: ${port},
  wssPort: ${port},
  httpHost: '${host}',
  httpPort: ${port},
  httpsPort: ${port},${prefix ? `\n  wsPath: '${prefix}',\n  httpPath: '${prefix}',` : ''}
  forceTLS: ${secure},
});

pusher.subscribe('${CHANNEL}').bind('${EVENT}', (data) => console.log(data));
`,
    'Node': `import Pusher from 'pusher';

const pusher = new Pusher({
  appId: 'app-id',
  key: '${APP_KEY}',
  secret: 'app-secret',
  host: '${host}',
  port: '${port}',
  useTLS: ${secure},
});

await pusher.trigger('${CHANNEL}', '${EVENT}', { message: 'Hello from Node' });
`,
    'PHP': `$pusher = new Pusher\\Pusher('${APP_KEY}', 'app-secret', 'app-id', [
    'host' => '${host}',
    'port' => ${port},
    'scheme' => '${scheme}',${prefix ? `\n    'path' => '${prefix}',` : ''}
]);

$pusher->trigger('${CHANNEL}', '${EVENT}', ['message' => 'Hello from PHP']);
`,
    'Python': `import pusher

client = pusher.Pusher(
    app_id='app-id', key='${APP_KEY}', secret='app-secret',
    host='${host}', port=${port}, ssl=${secure ? 'True' : 'False'},
)
client.trigger('${CHANNEL}', '${EVENT}', {'message': 'Hello from Python'})
`,
    'Laravel': `# .env
BROADCAST_CONNECTION=pusher
PUSHER_APP_ID=app-id
PUSHER_APP_KEY=${APP_KEY}
PUSHER_APP_SECRET=app-secret
PUSHER_HOST=${host}
PUSHER_PORT=${port}
PUSHER_SCHEME=${scheme}
`,
  };

  const tabs = Object.keys(SNIPPETS).map((name) => {
    const tab = document.createElement('button');
    tab.type = 'button';
    tab.id = `tab-${name}`;
    tab.textContent = name;
    tab.setAttribute('role', 'tab');
    tab.setAttribute('aria-controls', 'panel');
    tab.addEventListener('click', () => choose(tab));
    $('tabs').append(tab);
    return tab;
  });

  function choose(tab) {
    for (const other of tabs) {
      other.setAttribute('aria-selected', String(other === tab));
      other.tabIndex = other === tab ? 0 : -1;
    }
    $('panel').setAttribute('aria-labelledby', tab.id);
    $('snippet').textContent = SNIPPETS[tab.textContent].trimEnd();
  }

  $('tabs').addEventListener('keydown', (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const next = tabs[(tabs.indexOf(document.activeElement) + step + tabs.length) % tabs.length];
    choose(next);
    next.focus();
  });

  $('copy').addEventListener('click', async () => {
    const done = await copy($('snippet')).catch(() => false);
    $('copy').textContent = done ? 'Copied' : 'Press Ctrl+C';
    setTimeout(() => { $('copy').textContent = 'Copy'; }, 1500);
  });

  // Without the clipboard's permission the text is selected for the visitor's own Ctrl+C.
  async function copy(element) {
    if (navigator.clipboard) {
      await navigator.clipboard.writeText(element.textContent);
      return true;
    }
    getSelection().selectAllChildren(element);
    return false;
  }

  choose(tabs[0]);
  connect($('transport').value);
})();
