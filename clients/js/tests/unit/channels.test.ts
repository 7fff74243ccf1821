/* Channels that are shared: counts, deferred release, handles. */
import { expect, test, vi } from 'vitest';
import { ChannelRegistry } from '../../src/channel-registry.js';
import { settle, setUp, waitFor } from '../support/setup.js';

test('two users of a channel: one leaves and the other still hears', async () => {
  const { service, server, subscribed } = setUp();
  const heard: unknown[] = [];
  const one = service.retain('news');
  const two = service.retain('news');
  two.bind('e', (data) => heard.push(data));
  await subscribed('news');
  one.release();
  await settle();
  server.publish('news', 'e', 1);
  expect(heard).toEqual([1]);
  expect(server.log).toEqual(['SUB news']);
});

test('the last user leaves: one unsubscribe, and the next one subscribes again', async () => {
  const { service, server, subscribed } = setUp();
  const handles = [service.retain('news'), service.retain('news'), service.retain('news')];
  await subscribed('news');
  for (const handle of handles) handle.release();
  await settle();
  expect(server.log).toEqual(['SUB news', 'UNSUB news']);
  service.retain('news');
  await subscribed('news');
  expect(server.log).toEqual(['SUB news', 'UNSUB news', 'SUB news']);
});

test('who comes back within a macrotask finds the subscription as it was', async () => {
  const { service, server, subscribed } = setUp();
  const first = service.retain('news');
  await subscribed('news');
  const { channel } = first;
  first.release();
  const second = service.retain('news');
  expect(second.channel).toBe(channel);
  await settle();
  expect(service.channelStatus('news').status).toBe('subscribed');
  expect(server.log).toEqual(['SUB news']);
});

test('release counts once however often it is called', async () => {
  const { service, server, subscribed } = setUp();
  const one = service.retain('news');
  service.retain('news');
  await subscribed('news');
  one.release();
  one.release();
  one.release();
  await settle();
  expect(service.channelUsers().get('news')).toBe(1);
  expect(server.log).toEqual(['SUB news']);
});

test('unsubscribe undoes subscribe, one for one', async () => {
  const { service, server, subscribed } = setUp();
  const channel = service.subscribe('news');
  expect(service.subscribe('news')).toBe(channel);
  await subscribed('news');
  service.unsubscribe('news');
  await settle();
  expect(server.log).toEqual(['SUB news']);
  service.unsubscribe('news');
  await settle();
  expect(server.log).toEqual(['SUB news', 'UNSUB news']);
});

test('one unsubscribe too many takes nothing from a handle', async () => {
  const { service, server, subscribed } = setUp();
  service.retain('news');
  service.subscribe('news');
  await subscribed('news');
  for (let i = 0; i < 3; i++) service.unsubscribe('news');
  service.unsubscribe('never-subscribed');
  await settle();
  expect(service.channelUsers().get('news')).toBe(1);
  expect(server.log).toEqual(['SUB news']);
});

test('after a real unsubscribe a new channel is handed out, never the old one', async () => {
  const { service, subscribed } = setUp();
  const old = service.subscribe('news');
  await subscribed('news');
  service.unsubscribe('news');
  await settle();
  const fresh = service.subscribe('news');
  expect(fresh).not.toBe(old);
  await subscribed('news');
  expect(fresh.subscribed).toBe(true);
});

test('a channel that is left while the server is still deciding is left in the end', async () => {
  const { service, server, connected } = setUp();
  server.verdict = () => 'hold';
  service.initialize();
  await connected();
  const handle = service.retain('slow');
  await waitFor(() => expect(server.log).toEqual(['SUB slow']));
  handle.release();
  await settle();
  server.succeed('slow');
  await waitFor(() => expect(server.log).toEqual(['SUB slow', 'UNSUB slow']));
});

test('left and taken again while the server is deciding: it stays', async () => {
  const { service, server, connected, subscribed } = setUp();
  server.verdict = () => 'hold';
  service.initialize();
  await connected();
  service.retain('slow').release();
  await settle();
  service.retain('slow');
  server.succeed('slow');
  await subscribed('slow');
  expect(server.log).toEqual(['SUB slow']);
});

test('a channel that was left before a refusal or a lost connection does not come back', async () => {
  const { service, server, connected } = setUp();
  server.verdict = (name) => (name === 'slow' ? 'hold' : 'ok');
  service.initialize();
  await connected();
  const handle = service.retain('slow');
  await waitFor(() => expect(server.log).toEqual(['SUB slow']));
  handle.release();
  await settle();
  service.reconnect();
  await connected();
  service.retain('other');
  await waitFor(() => expect(server.log).toContain('SUB other'));
  expect(server.log).toEqual(['SUB slow', 'SUB other']);
});

test('a refused channel that nobody wants any more is not asked for at the next connection', async () => {
  const { service, server, connected } = setUp();
  server.verdict = (name) => (name === 'slow' ? 'hold' : 'ok');
  service.initialize();
  await connected();
  const handle = service.retain('slow');
  await waitFor(() => expect(server.log).toEqual(['SUB slow']));
  handle.release();
  await settle();
  server.socket.deliver({ event: 'pusher:subscription_error', channel: 'slow', data: { type: 'X', status: 403 } });
  service.reconnect();
  await connected();
  service.retain('other');
  await waitFor(() => expect(server.log).toContain('SUB other'));
  expect(server.log).toEqual(['SUB slow', 'SUB other']);
});

test('left, refused and taken again: it is asked for anew', async () => {
  const { service, server, connected, subscribed } = setUp();
  server.verdict = () => 'hold';
  service.initialize();
  await connected();
  const handle = service.retain('slow');
  await waitFor(() => expect(server.log).toEqual(['SUB slow']));
  handle.release();
  await settle();
  server.socket.deliver({ event: 'pusher:subscription_error', channel: 'slow', data: { type: 'X', status: 403 } });
  server.verdict = () => 'ok';
  service.retain('slow');
  await subscribed('slow');
  expect(server.log).toEqual(['SUB slow', 'SUB slow']);
});

test('a channel that was subscribed on pusher-js itself starts as it is', async () => {
  const { service, server, connected } = setUp();
  server.members = { me: {}, ann: {} };
  service.initialize();
  await connected();
  const channel = service.pusher?.subscribe('presence-room');
  await waitFor(() => expect(channel?.subscribed).toBe(true));
  service.retain('presence-room');
  expect(service.channelStatus('presence-room').status).toBe('subscribed');
  expect(service.presence('presence-room').count).toBe(2);
});

test('a callback that throws costs nobody an event, and is reported', async () => {
  const { service, server, faults, subscribed } = setUp();
  const heard: unknown[] = [];
  const fault = new Error('mine');
  const handle = service.retain('news');
  handle.bind('e', () => {
    throw fault;
  });
  handle.bind('e', (data) => heard.push(data));
  await subscribed('news');
  server.publish('news', 'e', 7);
  expect(heard).toEqual([7]);
  expect(faults).toEqual([fault]);
});

test('without a logger a fault goes to the page\'s error reporting', async () => {
  const report = vi.fn();
  vi.stubGlobal('reportError', report);
  const { service, server, subscribed } = setUp({ logger: undefined });
  const fault = new Error('mine');
  service.bind('news', 'e', () => {
    throw fault;
  });
  await subscribed('news');
  server.publish('news', 'e', 7);
  expect(report).toHaveBeenCalledExactlyOnceWith(fault);
});

test('unbind and release end what was bound, and nothing else', async () => {
  const { service, server, subscribed } = setUp();
  const heard: string[] = [];
  const handle = service.retain('news');
  const unbind = handle.bind('e', () => heard.push('unbound'));
  handle.bind('e', () => heard.push('kept'));
  const stop = service.bind('news', 'e', () => heard.push('stopped'));
  await subscribed('news');
  unbind();
  stop();
  server.publish('news', 'e', 1);
  expect(heard).toEqual(['kept']);
  service.retain('news');
  handle.release();
  handle.bind('e', () => heard.push('after release'));
  server.publish('news', 'e', 2);
  expect(heard).toEqual(['kept']);
});

test('the sender of a client event on a presence channel is told in the metadata', async () => {
  const { service, server, subscribed } = setUp();
  const heard: unknown[] = [];
  service.bind('presence-room', 'client-wave', (data, metadata) => heard.push([data, metadata]));
  await subscribed('presence-room');
  server.socket.onmessage?.({
    data: JSON.stringify({ event: 'client-wave', channel: 'presence-room', data: '{"a":1}', user_id: 'u7' }),
  });
  expect(heard).toEqual([[{ a: 1 }, { user_id: 'u7' }]]);
});

test('a name that pusher-js refuses throws from subscribe and shows in the status of a handle', () => {
  const { service } = setUp();
  expect(() => service.subscribe('#users')).toThrow(/#users/);
  expect(service.channelUsers().size).toBe(0);
  service.retain('#users');
  const { status, error } = service.channelStatus('#users');
  expect([status, error?.name]).toEqual(['error', 'PusherConfigurationError']);
});

test('after a lost connection the status says pending until the channel is back', async () => {
  const { service, server, connected, subscribed } = setUp();
  service.retain('news');
  await subscribed('news');
  const seen: string[] = [];
  service.onChannelChange('news', () => seen.push(service.channelStatus('news').status));
  service.reconnect();
  await connected();
  await subscribed('news');
  expect(seen).toEqual(['pending', 'subscribed']);
  expect(server.log).toEqual(['SUB news', 'SUB news']);
});

test('a snapshot is the same object until something changes', async () => {
  const { service, server, subscribed } = setUp();
  service.retain('presence-room');
  await subscribed('presence-room');
  const [status, presence] = [service.channelStatus('presence-room'), service.presence('presence-room')];
  server.publish('presence-room', 'e', 1);
  expect(service.channelStatus('presence-room')).toBe(status);
  expect(service.presence('presence-room')).toBe(presence);
});

test('presence follows joining and leaving, and is replaced as a whole after a reconnect', async () => {
  const { service, server, connected, subscribed } = setUp();
  server.members = { me: { name: 'Me' }, ann: { name: 'Ann' } };
  service.retain('presence-room');
  await subscribed('presence-room');
  const ids = (): string[] => [...service.presence('presence-room').members.keys()].sort();
  expect(service.presence('presence-room').me).toEqual({ id: 'me', info: { name: 'Me' } });
  server.publish('presence-room', 'pusher_internal:member_added', { user_id: 'bob', user_info: { name: 'Bob' } });
  expect([ids(), service.presence('presence-room').count]).toEqual([['ann', 'bob', 'me'], 3]);
  server.publish('presence-room', 'pusher_internal:member_removed', { user_id: 'ann' });
  expect(ids()).toEqual(['bob', 'me']);
  server.members = { me: {}, zoe: {} };
  service.reconnect();
  expect(ids()).toEqual(['bob', 'me']);
  await connected();
  await subscribed('presence-room');
  expect(ids()).toEqual(['me', 'zoe']);
});

test('after logout nobody is listed', async () => {
  const { service, server, subscribed } = setUp();
  server.members = { me: {}, ann: {} };
  service.retain('presence-room');
  await subscribed('presence-room');
  service.disconnect();
  expect(service.presence('presence-room')).toMatchObject({ count: 0, me: null });
});

test('channels with generated names leave nothing behind when nobody watches them any more', () => {
  const registry = new ChannelRegistry({ logger: { error: () => undefined }, renewToken: async () => undefined });
  const { watchers } = registry as unknown as { watchers: ReadonlyMap<string, unknown> };
  const heard: string[] = [];
  for (let n = 0; n < 1000; n++) {
    const ends = [registry.watch(`room-${n}`, () => heard.push('one')), registry.watch(`room-${n}`, () => heard.push('two'))];
    ends[0]?.();
    ends[0]?.();
    expect(watchers.size).toBe(1);
    ends[1]?.();
  }
  expect(watchers.size).toBe(0);
  const end = registry.watch('room', () => heard.push('old'));
  end();
  registry.watch('room', () => heard.push('new'));
  end();
  registry.retain('room', new Error('not now'));
  expect(heard).toEqual(['new']);
});
