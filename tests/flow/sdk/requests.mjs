// The requests of each server library, as bytes.  Debian has none of these libraries, so what
// each puts on the wire is written down here: its headers in its order, its way to write the
// query, its JSON.  The signature is not ours: sign.php makes it.
//
// A row:
//   sdk, does   who and what
//   method, path            the request line's path, as on the wire
//   signedPath              what the library signs, when it is another text
//   params                  all parameters that are signed, decoded; lists are joined by commas
//   query                   how the query is written: (pairs, signature) => text
//   headers                 those before the body, Host as {host}
//   body
//   status, answer          200 and the exact body, or a function that checks it
//   delivers                the event that a subscriber of channel-1 must see, if any
const percent = (text) => encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
const raw = (text) => text;
const write = (pairs, encode) => pairs.map(([name, value]) => `${encode(name)}=${encode(Array.isArray(value) ? value.join(',') : value)}`).join('&');
const sorted = (pairs) => [...pairs].sort((a, b) => (a[0] < b[0] ? -1 : 1));

// Ways to write a query.
const signatureLast = (encode) => (pairs, signature) => `${write(sorted(pairs), encode)}&auth_signature=${signature}`;
const signatureSorted = (encode) => (pairs, signature) => write(sorted([...pairs, ['auth_signature', signature]]), encode);
const asGiven = (encode) => (pairs, signature) => write([...pairs, ['auth_signature', signature]], encode);

const node = {
  sdk: 'Node 5.3.4',
  query: signatureLast(raw),
  headers: (body) => ['x-pusher-library: pusher-http-node 5.3.4', ...(body === undefined ? [] : ['content-type: application/json']), 'Accept: */*',
    ...(body === undefined ? [] : [`Content-Length: ${Buffer.byteLength(body)}`]),
    'User-Agent: node-fetch/1.0 (+https://github.com/bitinn/node-fetch)', 'Accept-Encoding: gzip,deflate', 'Host: {host}', 'Connection: keep-alive'],
};
const php = {
  sdk: 'PHP 7.2',
  query: asGiven(percent),
  headers: (body) => [...(body === undefined ? [] : [`Content-Length: ${Buffer.byteLength(body)}`]), 'User-Agent: GuzzleHttp/7', 'Host: {host}',
    'Content-Type: application/json', 'X-Pusher-Library: pusher-http-php 7.2.7'],
};
const python = {
  sdk: 'Python 3.3',
  query: signatureLast(raw),
  headers: (body) => ['Host: {host}', 'User-Agent: python-requests/2.32.3', 'Accept-Encoding: gzip, deflate', 'Accept: */*', 'Connection: keep-alive',
    'X-Pusher-Library: pusher-http-python 3.3.2', 'Content-Type: application/json', `Content-Length: ${Buffer.byteLength(body ?? '')}`],
};
const ruby = {
  sdk: 'Ruby 2.0',
  query: asGiven(percent),
  headers: (body) => ['X-Pusher-Library: pusher-http-ruby 2.0.3', 'Content-Type: application/json',
    'User-Agent: HTTPClient/1.0 (2.8.3, ruby 3.1.2 (2022-04-12))', 'Accept: */*', 'Date: Mon, 01 Jan 2024 00:00:00 GMT',
    ...(body === undefined ? [] : [`Content-Length: ${Buffer.byteLength(body)}`]), 'Host: {host}'],
};
const go = {
  sdk: 'Go 5.1',
  query: signatureSorted(raw),
  headers: (body) => ['Host: {host}', 'User-Agent: Go-http-client/1.1', ...(body === undefined ? [] : [`Content-Length: ${Buffer.byteLength(body)}`]),
    'Content-Type: application/json', 'X-Pusher-Library: pusher-http-go 5.1.1', 'Accept-Encoding: gzip'],
};
const java = {
  sdk: 'Java 1.3',
  query: signatureSorted(percent),
  headers: (body) => [...(body === undefined ? [] : [`Content-Length: ${Buffer.byteLength(body)}`, 'Content-Type: application/json; charset=UTF-8']),
    'X-Pusher-Library: pusher-http-java 1.3.1', 'Host: {host}', 'Connection: Keep-Alive', 'User-Agent: Apache-HttpClient/4.5.13 (Java/17.0.10)',
    'Accept-Encoding: gzip,deflate'],
};
const dotnet = {
  sdk: '.NET 5.0',
  query: signatureLast((text) => percent(text).replace(/%2C/g, '%2c')),
  headers: (body) => ['Host: {host}', 'Pusher-Library-Name: pusher-http-dotnet', 'Pusher-Library-Version: 5.0.0', 'Accept: application/json',
    ...(body === undefined ? [] : ['Content-Type: application/json; charset=utf-8', `Content-Length: ${Buffer.byteLength(body)}`])],
};

const events = { method: 'POST', path: '/apps/3/events', answer: '{}' };
const batch = { method: 'POST', path: '/apps/3/batch_events', answer: '{}' };
const channels = { method: 'GET', path: '/apps/3/channels' };
const info = 'user_count,subscription_count';
const EMPTY_MD5 = 'd41d8cd98f00b204e9800998ecf8427e';
const listed = (answer) => answer === '{"channels":{"presence-room":{"user_count":1}}}';

export const requests = [
  // Node: the path and the query go out unescaped.
  { ...node, ...events, does: 'trigger', body: '{"name":"my-event","data":"{\\"x\\":\\"é\\"}","channels":["channel-1","channel-2"]}', delivers: { event: 'my-event', data: '{"x":"é"}' } },
  { ...node, ...events, does: 'trigger with info and socket_id', answer: (text) => text === '{"channels":{"channel-1":{"subscription_count":1},"presence-room":{"user_count":1}}}',
    body: '{"name":"my-event","data":"{}","channels":["channel-1","presence-room"],"info":"user_count,subscription_count","socket_id":"1.2"}', delivers: { event: 'my-event', data: '{}' } },
  { ...node, ...batch, does: 'triggerBatch', body: '{"batch":[{"channel":"channel-1","name":"n","data":"d"}]}', delivers: { event: 'n', data: 'd' } },
  { ...node, method: 'GET', path: '/apps/3/channels/a@b=c,d;e.f', does: 'get of a channel with every legal character', params: { info: 'subscription_count' },
    answer: '{"occupied":false,"subscription_count":0}' },
  { ...node, ...channels, does: 'get of channels', params: { filter_by_prefix: 'presence-', info }, answer: listed },
  { ...node, method: 'POST', path: '/apps/3/users/user%201/%C3%A9/terminate_connections', signedPath: '/apps/3/users/user 1/é/terminate_connections',
    does: 'terminateUserConnections of an id that it does not encode', body: '{}', answer: '{}' },
  { ...node, ...events, does: 'sendToUser', body: '{"name":"e","data":"{\\"a\\":1}","channels":["#server-to-user-7"]}' },

  // PHP: one channel as "channel", lists joined by commas, the URL prefix outside of the signature.
  { ...php, ...events, does: 'trigger of one channel', body: '{"name":"my-event","data":"{\\"text\\":\\"\\\\u00e9\\\\\\/\\"}","channel":"channel-1"}',
    delivers: { event: 'my-event', data: '{"text":"\\u00e9\\/"}' } },
  { ...php, ...events, does: 'trigger of many channels', body: '{"name":"my-event","data":"[]","channels":["channel-1","channel-2"]}', delivers: { event: 'my-event', data: '[]' } },
  { ...php, ...batch, does: 'triggerBatch', body: '{"batch":[{"channel":"channel-1","name":"n","data":"{\\"hello\\":\\"world\\"}"}]}', delivers: { event: 'n', data: '{"hello":"world"}' } },
  { ...php, ...channels, does: 'getChannels with a list of attributes', params: { filter_by_prefix: 'presence-', info: ['user_count', 'subscription_count'] }, answer: listed },
  { ...php, method: 'GET', path: '/apps/3/channels/presence-room/users', does: 'getPresenceUsers', answer: '{"users":[{"id":"7"}]}' },
  { ...php, method: 'POST', path: '/apps/3/users/7%20x/terminate_connections', signedPath: '/apps/3/users/7%20x/terminate_connections', does: 'terminateUserConnections', body: '{}', answer: '{}' },
  { ...php, ...events, does: 'trigger under a path prefix', prefix: '/realtime', body: '{"name":"my-event","data":"1","channel":"channel-1"}' },
  { ...php, ...channels, does: 'getChannels under a path prefix', prefix: '/realtime', answer: '{"channels":{}}' },

  // Python: the MD5 of the empty body on every GET, blanks and \u escapes in its JSON.
  { ...python, ...events, does: 'trigger', body: '{"name": "my-event", "channels": ["channel-1"], "data": "{\\"x\\": \\"\\\\u00e9\\"}"}', delivers: { event: 'my-event', data: '{"x": "\\u00e9"}' } },
  { ...python, ...batch, does: 'trigger_batch', body: '{"batch": [{"channel": "channel-1", "name": "n", "data": "\\ud83c\\udfba"}]}', delivers: { event: 'n', data: '🎺' } },
  { ...python, ...channels, does: 'channels_info', params: { body_md5: EMPTY_MD5, filter_by_prefix: 'presence-', info }, answer: listed },
  { ...python, method: 'GET', path: '/apps/3/channels/presence-room', does: 'channel_info', params: { body_md5: EMPTY_MD5, info: 'user_count' }, answer: '{"occupied":true,"user_count":1}' },
  { ...python, method: 'GET', path: '/apps/3/channels/presence-room/users', does: 'users_info', params: { body_md5: EMPTY_MD5 }, answer: '{"users":[{"id":"7"}]}' },
  { ...python, method: 'POST', path: '/apps/3/users/7x/terminate_connections', does: 'terminate_user_connections', body: '{}', answer: '{}' },

  // Ruby: body_md5 first, in the order of its hash.
  { ...ruby, ...events, does: 'trigger', md5First: true, body: '{"name":"my-event","channels":["channel-1"],"data":"{\\"x\\":1}"}', delivers: { event: 'my-event', data: '{"x":1}' } },
  { ...ruby, ...batch, does: 'trigger_batch', md5First: true, body: '{"batch":[{"channel":"channel-1","name":"n","data":"{}"}]}', delivers: { event: 'n', data: '{}' } },
  { ...ruby, ...channels, does: 'channels', params: { filter_by_prefix: 'presence-', info }, answer: listed },
  { ...ruby, method: 'GET', path: '/apps/3/channels/presence-room/users', does: 'channel_users', answer: '{"users":[{"id":"7"}]}' },

  // Go: the signature sorted among the others, commas as they are.
  { ...go, ...events, does: 'Trigger', body: '{"name":"my-event","channels":["channel-1"],"data":"{\\"x\\":\\"\\\\u003cb\\\\u003e\\"}"}', delivers: { event: 'my-event', data: '{"x":"\\u003cb\\u003e"}' } },
  { ...go, ...batch, does: 'TriggerBatch', body: '{"batch":[{"channel":"channel-1","name":"n","data":"d"}]}', delivers: { event: 'n', data: 'd' } },
  { ...go, ...channels, does: 'Channels', params: { filter_by_prefix: 'presence-', info }, answer: listed },
  { ...go, method: 'GET', path: '/apps/3/channels/a@b=c,d;e.f', does: 'Channel', answer: (text) => JSON.parse(text).occupied === false },
  { ...go, method: 'GET', path: '/apps/3/channels/presence-room/users', does: 'GetChannelUsers', answer: '{"users":[{"id":"7"}]}' },

  // Java: %2C in the query and encoded names in the path.
  { ...java, ...events, does: 'trigger', body: '{"name":"my-event","channels":["channel-1"],"data":"{\\"x\\":1.0}"}', delivers: { event: 'my-event', data: '{"x":1.0}' } },
  { ...java, ...channels, does: 'get of channels', params: { filter_by_prefix: 'presence-', info }, answer: listed },
  { ...java, method: 'GET', path: '/apps/3/channels/a%40b%3Dc%2Cd%3Be.f', signedPath: '/apps/3/channels/a%40b%3Dc%2Cd%3Be.f', does: 'get of an encoded channel', answer: '{"occupied":false}' },

  // .NET: lower-case percent-encoding.
  { ...dotnet, ...events, does: 'TriggerAsync', body: '{"name":"my-event","data":"{\\"x\\":1}","channels":["channel-1"],"socket_id":null}', delivers: { event: 'my-event', data: '{"x":1}' } },
  { ...dotnet, ...batch, does: 'TriggerAsync of a batch', body: '{"batch":[{"name":"n","channel":"channel-1","data":"d","socket_id":null}]}', delivers: { event: 'n', data: 'd' } },
  { ...dotnet, ...channels, does: 'GetAsync of channels', params: { filter_by_prefix: 'presence-', info }, answer: listed },
  { ...dotnet, method: 'GET', path: '/apps/3/channels/presence-room/users', does: 'FetchUsersFromPresenceChannelAsync', answer: '{"users":[{"id":"7"}]}' },
];
