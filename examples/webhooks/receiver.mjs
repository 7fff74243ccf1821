// A receiver of webhooks: checks each request's signature with the official library and prints
// what it says.
//
//   PUSHER_APP_ID=app-id PUSHER_APP_KEY=app-key PUSHER_APP_SECRET=app-secret PORT=9000 \
//     node examples/webhooks/receiver.mjs
import http from 'node:http';
import Pusher from 'pusher';

const { PUSHER_APP_ID: appId, PUSHER_APP_KEY: key, PUSHER_APP_SECRET: secret, PORT = '9000' } = process.env;
const pusher = new Pusher({ appId, key, secret, cluster: 'self' });

// The signature is over the bytes of the body: read them before anything parses them.
function readBody(request) {
  return new Promise((resolve, reject) => {
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk)).on('error', reject);
    request.on('end', () => resolve(Buffer.concat(chunks).toString()));
  });
}

const server = http.createServer(async (request, response) => {
  let rawBody;
  try {
    rawBody = await readBody(request);
  } catch { // the sender has gone: there is nobody to answer
    return;
  }
  const webhook = pusher.webhook({ headers: request.headers, rawBody });
  if (!webhook.isValid()) {
    response.writeHead(401).end();
    return;
  }
  // Answer first: the server waits a few seconds at most, and sends again what was not taken.
  response.writeHead(200).end();
  for (const event of webhook.getEvents()) console.log(`${event.name} ${event.channel} ${event.user_id ?? ''}`.trim());
});

server.listen(Number(PORT), '127.0.0.1', () => {
  console.log(`receiving at http://127.0.0.1:${server.address().port}/`);
});
