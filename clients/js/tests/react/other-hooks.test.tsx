/* usePresenceChannel, usePusherConnection, useSendMessage. */
import { useState } from 'react';
import { renderToString } from 'react-dom/server';
import { expect, test, vi } from 'vitest';
import {
  PusherProvider, type SendMessageResult, type UseSendMessageOptions, usePresenceChannel, usePusherChannel, usePusherConnection,
  useSendMessage,
} from '../../src/react/index.js';
import { acting, eventually, makePage } from '../support/react.js';
import { settle, setUp } from '../support/setup.js';

function Room({ channel = 'presence-room' }: { channel?: string | null }) {
  const { members, me, count, status } = usePresenceChannel<{ name: string }>(channel);
  const names = [...members].map(([id, info]) => `${id}:${info.name}`).sort();
  return <p>{status} {count} {me?.id ?? '-'} {names.join()}</p>;
}

test('presence: the list, me, and who comes and goes', async () => {
  const { service, server } = setUp();
  server.members = { me: { name: 'Me' }, ann: { name: 'Ann' } };
  const page = makePage({ service, strict: true });
  await page.render(<Room />);
  await eventually(() => expect(page.text()).toBe('subscribed 2 me ann:Ann,me:Me'));
  await acting(() =>
    server.publish('presence-room', 'pusher_internal:member_added', { user_id: 'bob', user_info: { name: 'Bob' } }));
  expect(page.text()).toBe('subscribed 3 me ann:Ann,bob:Bob,me:Me');
  await acting(() => server.publish('presence-room', 'pusher_internal:member_removed', { user_id: 'ann' }));
  expect(page.text()).toBe('subscribed 2 me bob:Bob,me:Me');
  expect(server.log).toEqual(['SUB presence-room']);
});

test('presence: a component that joins later starts with everybody', async () => {
  const { service, server, subscribed } = setUp();
  server.members = { me: { name: 'Me' } };
  service.retain('presence-room');
  await subscribed('presence-room');
  const page = makePage({ service });
  await page.render(<Room />);
  expect(page.text()).toBe('subscribed 1 me me:Me');
});

test('presence: while the connection is away the list stays, and is replaced afterwards', async () => {
  const { service, server } = setUp();
  server.members = { me: { name: 'Me' }, ann: { name: 'Ann' } };
  const page = makePage({ service });
  await page.render(<Room />);
  await eventually(() => expect(page.text()).toBe('subscribed 2 me ann:Ann,me:Me'));
  server.members = { me: { name: 'Me' }, zoe: { name: 'Zoe' } };
  await acting(() => service.reconnect());
  await eventually(() => expect(page.text()).toBe('subscribed 2 me me:Me,zoe:Zoe'));
  const texts: string[] = [];
  const observer = new MutationObserver(() => texts.push(page.text()));
  observer.observe(page.container, { subtree: true, characterData: true, childList: true });
  server.down = true;
  await acting(() => service.reconnect());
  expect(page.text()).toBe('pending 2 me me:Me,zoe:Zoe');
  observer.disconnect();
});

test('presence: no channel is nobody', async () => {
  const { service, server } = setUp();
  const page = makePage({ service });
  await page.render(<Room channel={null} />);
  expect(page.text()).toBe('idle 0 - ');
  expect(server.sockets).toHaveLength(0);
});

function Badge() {
  const { state, socketId, transport, error, reconnect } = usePusherConnection();
  return <button onClick={reconnect}>{[state, socketId, transport, error?.code].join(' ')}</button>;
}

test('connection: state, socket id, transport, error, and a way back', async () => {
  const { service, server } = setUp();
  const page = makePage({ service });
  await page.render(<Badge />);
  expect(page.text()).toBe('initialized   ');
  expect(server.sockets).toHaveLength(0);
  const press = () => acting(() => page.container.querySelector('button')?.dispatchEvent(new MouseEvent('click', { bubbles: true })));
  document.body.append(page.container);
  await press();
  await eventually(() => expect(page.text()).toBe('connected 1.1 ws '));
  await acting(() => server.socket.end(4001, 'App key not in this cluster'));
  await eventually(() => expect(page.text()).toBe('disconnected   4001'));
  await press();
  await eventually(() => expect(page.text()).toBe('connected 1.2 ws '));
  page.container.remove();
});

function Form({ out, channel, options }: { out: { hook?: SendMessageResult }; channel?: string; options?: UseSendMessageOptions }) {
  const hook = useSendMessage(channel, options);
  out.hook = hook;
  return <p>{hook.pending ? 'pending' : 'still'} {hook.error?.message ?? ''} {JSON.stringify(hook.lastResult)}</p>;
}
const hookOf = (out: { hook?: SendMessageResult }): SendMessageResult => {
  if (!out.hook) throw new Error('not rendered');
  return out.hook;
};

test('send: pending, then the result; the request id is known at once', async () => {
  const { service, backend } = setUp();
  const out: { hook?: SendMessageResult } = {};
  const onSuccess = vi.fn();
  const page = makePage({ service, strict: true });
  await page.render(<Form out={out} channel="news" options={{ onSuccess }} />);
  const { send } = hookOf(out);
  let answer: (value: { json: unknown }) => void = () => undefined;
  backend.queue.push(new Promise((resolve) => (answer = resolve)));
  let requestId = '';
  await acting(() => {
    ({ requestId } = send('chat', { text: 'hi' }));
  });
  expect(page.text()).toBe('pending  null');
  expect(JSON.parse(backend.calls[0]?.body ?? '')).toMatchObject({ request_id: requestId, channel: 'news', message_type: 'chat' });
  await acting(() => answer({ json: { success: true } }));
  await eventually(() => expect(page.text()).toBe('still  {"success":true}'));
  expect(onSuccess).toHaveBeenCalledExactlyOnceWith(requestId, { success: true });
  expect(hookOf(out).send).toBe(send);
});

test('send: an optimistic item is taken back by its request id; reset forgets the error', async () => {
  const { service, backend } = setUp();
  const unhandled = vi.fn();
  process.on('unhandledRejection', unhandled);
  function Chat() {
    const [items, setItems] = useState<string[]>([]);
    const { send, error, reset } = useSendMessage('news', {
      onError: (requestId) => setItems((list) => list.filter((id) => id !== requestId)),
    });
    const add = (): void => {
      const { requestId } = send('chat', {});
      setItems((list) => [...list, requestId]);
    };
    return <><button onClick={add}>{items.length}</button><i onClick={reset}>{error?.name}</i></>;
  }
  backend.queue.push({}, { status: 403, json: { detail: 'no' } });
  const page = makePage({ service });
  document.body.append(page.container);
  await page.render(<Chat />);
  const press = (tag: string) => acting(() => page.container.querySelector(tag)?.dispatchEvent(new MouseEvent('click', { bubbles: true })));
  await press('button');
  await press('button');
  await eventually(() => expect(page.text()).toBe('1PusherMessageError'));
  await press('i');
  expect(page.text()).toBe('1');
  await settle();
  process.off('unhandledRejection', unhandled);
  expect(unhandled).not.toHaveBeenCalled();
  page.container.remove();
});

test('send may be awaited, and rejects as sendMessage does', async () => {
  const { service, backend } = setUp();
  const out: { hook?: SendMessageResult } = {};
  const page = makePage({ service });
  await page.render(<Form out={out} />);
  backend.queue.push({ json: { n: 1 } }, { status: 422, json: { detail: 'bad' } });
  await acting(async () => {
    await expect(hookOf(out).send('t', {})).resolves.toEqual({ n: 1 });
    await expect(hookOf(out).send('t', {})).rejects.toMatchObject({ status: 422, code: 'invalid' });
  });
});

test('send: what ends after unmount changes nothing, and is not cut off', async () => {
  const { service, backend } = setUp();
  const complaints = vi.spyOn(console, 'error');
  const onError = vi.fn();
  const out: { hook?: SendMessageResult } = {};
  const page = makePage({ service });
  await page.render(<Form out={out} options={{ onError }} />);
  let answer: (value: { status: number }) => void = () => undefined;
  backend.queue.push(new Promise((resolve) => (answer = resolve)));
  let sent: Promise<unknown> = Promise.resolve();
  await acting(() => {
    sent = hookOf(out).send('t', {});
  });
  await page.unmount();
  expect(backend.calls[0]?.signal?.aborted).toBe(false);
  answer({ status: 403 });
  await expect(sent).rejects.toMatchObject({ status: 403 });
  expect(onError).not.toHaveBeenCalled();
  expect(complaints).not.toHaveBeenCalled();
});

test('send: abortOnUnmount cuts it off', async () => {
  const { service, backend } = setUp();
  const out: { hook?: SendMessageResult } = {};
  const page = makePage({ service, strict: true });
  await page.render(<Form out={out} options={{ abortOnUnmount: true }} />);
  backend.queue.push(new Promise(() => undefined));
  let sent: Promise<unknown> = Promise.resolve();
  await acting(() => {
    sent = hookOf(out).send('t', {});
  });
  await page.unmount();
  await expect(sent).rejects.toMatchObject({ code: 'aborted' });
});

test('send: the caller\'s own signal works beside it', async () => {
  const { service, backend } = setUp();
  const out: { hook?: SendMessageResult } = {};
  const page = makePage({ service });
  await page.render(<Form out={out} />);
  backend.queue.push(new Promise(() => undefined));
  const abort = new AbortController();
  await acting(async () => {
    const sent = hookOf(out).send('t', {}, { signal: abort.signal });
    abort.abort();
    await expect(sent).rejects.toMatchObject({ code: 'aborted' });
  });
});

test('a page that a server rendered hydrates without a word, even on a channel that is subscribed', async () => {
  const { service, server, subscribed } = setUp();
  server.members = { me: { name: 'Me' } };
  service.retain('presence-room');
  await subscribed('presence-room');
  function App() {
    const { status } = usePusherChannel('presence-room', 'e', () => undefined);
    return <div><i>{status}</i><Badge /><Room /></div>;
  }
  const html = renderToString(<PusherProvider service={service}><App /></PusherProvider>);
  expect(html).toContain('<i>pending</i>');
  const complaints = vi.spyOn(console, 'error');
  const onRecoverableError = vi.fn();
  const page = makePage({ service, html, onRecoverableError });
  await page.render(<App />);
  await eventually(() => expect(page.text()).toBe('subscribedconnected 1.1 ws subscribed 1 me me:Me'));
  expect(onRecoverableError).not.toHaveBeenCalled();
  expect(complaints).not.toHaveBeenCalled();
});
