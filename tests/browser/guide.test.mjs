// The guide, as written, in Chromium.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { apiClient, limit, startServer, until } from '../flow/harness.mjs';
import { launchBrowser } from './chromium.mjs';
import { app, configFile, mint, readBlocks, startApplication } from './guide.mjs';

const student = mint({ sub: '123', role: 'student', name: 'Ann' });
const other = mint({ sub: '7', role: 'student', name: 'Bob' });
const teacher = mint({ sub: 't', role: 'teacher', name: 'Eve' });
let server;
let application;
let browser;

before(async () => {
  server = await startServer({ app: null, workers: 2, args: ['--config', configFile] });
  server.app = app;
  application = await startApplication(server);
  browser = await launchBrowser();
});

after(async () => {
  await browser?.close();
  await application?.stop();
  await server?.stop();
});

// A page of the application in a context of its own; what it logs is in lines.
async function visit(t, name, token) {
  const context = await browser.newContext();
  t.after(() => context.close());
  const page = await context.newPage();
  page.lines = [];
  page.failures = [];
  page.on('console', (message) => page.lines.push(message.text()));
  page.on('pageerror', (error) => page.failures.push(String(error)));
  page.said = (what, ms = 10000) => until(() => page.lines.find((line) => line.includes(what)), `"${what}", got ${JSON.stringify(page.lines)}`, ms);
  await page.goto(application.url(name, token));
  return page;
}

const post = (path, token, body) => fetch(`${server.url}${path}`, {
  method: 'POST',
  headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
  body: JSON.stringify(body),
});

test('the guide has the blocks that are run here', () => {
  const count = (language) => readBlocks().filter((block) => block.language === language).length;
  assert.deepEqual({ javascript: count('javascript'), typescript: count('typescript'), tsx: count('tsx'), env: count('env'), bash: count('bash') },
    { javascript: 3, typescript: 6, tsx: 0, env: 1, bash: 1 });
});

describe('the blocks', () => {
  test('After (Pusher): it connects, subscribes, hears a content_update, and its message is taken', async (t) => {
    const page = await visit(t, 'after', student);
    await page.said('Connection state: connecting -> connected');
    await until(async () => (await (await fetch(`${server.url}/metrics`)).text()).match(/carillon_subscriptions\{worker="\d+"\} [1-9]/), 'a subscription');
    await apiClient(server, { app }).trigger('presence-content-updates', 'content_update', { title: 'new' });
    await page.said('handled {"title":"new"}');
    assert.deepEqual(page.failures, []);
  });

  test('its fetch to /message is answered 200', async (t) => {
    const context = await browser.newContext();
    t.after(() => context.close());
    const page = await context.newPage();
    const answer = page.waitForResponse((response) => response.url().endsWith('/api/v1/pusher/message'));
    await page.goto(application.url('after', student));
    const response = await answer;
    assert.equal(response.status(), 200);
    const body = await response.json();
    assert.equal(body.success, true);
    assert.equal(body.user_id, '123');
  });

  test('the component hears analytics again and again', async (t) => {
    const page = await visit(t, 'analytics', teacher);
    await until(() => page.lines.filter((line) => line.startsWith('analytics {')).length >= 2, 'two updates', 15000);
    const [first, second] = page.lines.filter((line) => line.startsWith('analytics {')).map((line) => JSON.parse(line.slice(10)));
    assert.ok(first.active_users >= 1);
    assert.ok(Date.parse(second.timestamp) - Date.parse(first.timestamp) >= 4900);
  });

  test('the hook: what one user sends, another hears', async (t) => {
    const [one, two] = [await visit(t, 'chat', student), await visit(t, 'chat', other)];
    const both = async () => {
      const { users } = await (await apiClient(server, { app }).get({ path: '/channels/presence-content-updates/users' })).json();
      return users.length === 2;
    };
    await until(both, 'both in the channel');
    await one.getByText('Say hello').click();
    for (const page of [one, two]) await page.locator('li', { hasText: '123: hello' }).waitFor({ timeout: limit(5000) });
    assert.deepEqual([...one.failures, ...two.failures], []);
  });

  test('an environment: started, four steps, completed, all with one request_id', async (t) => {
    const page = await visit(t, 'environment', student);
    const created = JSON.parse((await page.said('created 200')).slice(12));
    await page.said('environment_creation_completed', 15000);
    const events = page.lines.filter((line) => line.startsWith('progress ')).map((line) => JSON.parse(line.slice(9)));
    assert.deepEqual(events.map((event) => event.progress ?? event.result.status), [25, 50, 75, 100, 'ready']);
    for (const event of events) assert.equal(event.request_id, created.request_id);
  });
});

describe('Testing Pusher Implementation', () => {
  test('1. Test Connection', async (t) => {
    const page = await visit(t, 'connection', student);
    await page.said('✅ Successfully connected to Pusher');
  });

  test('2. Test Authentication, as the user whose channel it is', async (t) => {
    const page = await visit(t, 'authentication', student);
    await page.said('✅ Successfully authenticated');
  });

  test('2. Test Authentication, as another', async (t) => {
    const page = await visit(t, 'authentication', other);
    await page.said('❌ Authentication failed:');
    assert.ok(!page.lines.some((line) => line.includes('✅')));
  });

  test('3. Test Message Sending', async (t) => {
    const page = await visit(t, 'sending', student);
    await page.said('✅ Message sent:');
  });
});

test('the endpoints answer a page of another port of this machine, and no other origin', async () => {
  const preflight = (origin) => fetch(`${server.url}/api/v1/pusher/message`, {
    method: 'OPTIONS',
    headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization,content-type' },
  });
  const near = await preflight('http://localhost:5173');
  assert.equal(near.headers.get('access-control-allow-origin'), 'http://localhost:5173');
  assert.match(near.headers.get('access-control-allow-headers'), /authorization, content-type/);
  assert.equal((await preflight('https://elsewhere.example')).headers.get('access-control-allow-origin'), null);
  assert.equal((await post('/api/v1/pusher/message', student, { message_type: 'test_message' })).status, 200);
});
