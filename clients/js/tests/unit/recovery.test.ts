/* Coming back for what was missed: counting, saying where one was, being told. */
import { expect, test } from 'vitest';
import { setUp, settle, waitFor } from '../support/setup.js';

const whole = (epoch: string, offset: number, replay: number) => ({ epoch, offset, recovered: true, replay });

test('without the option nothing is asked and nothing counted', async () => {
  const { service, server, subscribed } = setUp();
  service.subscribe('news');
  await subscribed('news');
  expect(server.asked).toEqual([undefined]);
  expect(service.position('news')).toBe(null);
});

test('the event that a cache channel keeps has its number already', async () => {
  const { service, server, subscribed } = setUp({ recovery: true });
  server.recovery = () => ({ epoch: 'e1', offset: 7, cached: true });
  service.bind('news', 'e', () => {});
  await subscribed('news');
  server.publish('news', 'e', 'kept');
  expect(service.position('news')).toEqual({ epoch: 'e1', offset: 7 });
  server.publish('news', 'e', 'new');
  expect(service.position('news')).toEqual({ epoch: 'e1', offset: 8 });
});

test('the event that a cache channel keeps may be named as clients name theirs: the next one counts', async () => {
  const { service, server, subscribed } = setUp({ recovery: true });
  server.recovery = () => ({ epoch: 'e1', offset: 1, cached: true });
  const heard: unknown[] = [];
  for (const event of ['client-x', 'e']) service.bind('news', event, (data) => heard.push(data));
  await subscribed('news');
  server.publish('news', 'client-x', 'kept');
  server.publish('news', 'pusher_internal:position', { epoch: 'e1', offset: 1 });
  server.publish('news', 'e', 2);
  server.publish('news', 'e', 3);
  expect(service.position('news')).toEqual({ epoch: 'e1', offset: 3 });
  server.socket.close();
  await waitFor(() => expect(server.asked).toEqual([{}, { epoch: 'e1', offset: 3 }]));
  expect(heard).toEqual(['kept', 2, 3]);
});

test('a drop: the position of before goes along, and what was missed is counted', async () => {
  const { service, server, subscribed } = setUp({ recovery: true });
  server.recovery = () => ({ epoch: 'e1', offset: 7 });
  const heard: unknown[] = [];
  const told: unknown[] = [];
  service.bind('news', 'e', (data) => heard.push(data));
  service.bind('news', 'carillon:recovered', (data) => told.push(data));
  await subscribed('news');
  server.publish('news', 'e', 1);
  server.publish('news', 'client-x', 0);
  server.publish('news', 'e', 2);
  expect(service.position('news')).toEqual({ epoch: 'e1', offset: 9 });
  server.recovery = () => whole('e1', 9, 1);
  server.socket.close();
  await waitFor(() => expect(server.asked).toHaveLength(2));
  await subscribed('news');
  server.publish('news', 'e', 3);
  server.publish('news', 'pusher_internal:position', { epoch: 'e1', offset: 10 });
  expect(server.asked).toEqual([{}, { epoch: 'e1', offset: 9 }]);
  expect([heard, told]).toEqual([[1, 2, 3], [{ replay: 1 }]]);
  expect(service.position('news')).toEqual({ epoch: 'e1', offset: 10 });
});

for (const reason of ['epoch_changed', 'expired', 'too_many', 'ahead'])
  test(`a gap is told: ${reason}`, async () => {
    const { service, server, subscribed } = setUp({ recovery: true });
    server.recovery = () => ({ epoch: 'e1', offset: 1 });
    const told: unknown[] = [];
    service.bind('news', 'carillon:discontinuity', (data) => told.push(data));
    await subscribed('news');
    server.recovery = () => ({ epoch: 'e2', offset: 50, recovered: false, reason, oldest: 40, newest: 50 });
    server.socket.close();
    await waitFor(() => expect(told).toEqual([{ reason, oldest: 40, newest: 50 }]));
    expect(service.position('news')).toEqual({ epoch: 'e2', offset: 50 });
  });

test('a callback that throws hides no event from the count', async () => {
  const { service, server, faults, subscribed } = setUp({ recovery: true });
  server.recovery = () => ({ epoch: 'e1', offset: 0 });
  service.bind('news', 'e', () => {
    throw new Error('mine');
  });
  await subscribed('news');
  service.pusher?.channel('news').bind('f', () => {
    throw new Error('bound at pusher-js itself');
  });
  server.publish('news', 'e', 1);
  expect(() => server.publish('news', 'f', 2)).toThrow('bound at pusher-js itself');
  expect(faults).toHaveLength(1);
  expect(service.position('news')?.offset).toBe(2);
});

test('members and recovery come in one answer', async () => {
  const { service, server, subscribed } = setUp({ recovery: true });
  server.members = { u: { name: 'U' } };
  server.recovery = () => ({ epoch: 'e1', offset: 3 });
  service.subscribe('presence-room');
  await subscribed('presence-room');
  expect(service.presence('presence-room').count).toBe(1);
  expect(service.position('presence-room')).toEqual({ epoch: 'e1', offset: 3 });
});

test('who leaves a channel begins anew, with rewind where it was asked for', async () => {
  const { service, server, subscribed } = setUp({ recovery: { rewind: 5 } });
  server.recovery = () => ({ epoch: 'e1', offset: 3 });
  const handle = service.retain('news');
  await subscribed('news');
  handle.release();
  await settle();
  expect(service.position('news')).toBe(null);
  service.retain('news');
  await subscribed('news');
  expect(server.asked).toEqual([{ rewind: 5 }, { rewind: 5 }]);
});

test('two channels count for themselves; one without history is not counted', async () => {
  const { service, server, subscribed } = setUp({ recovery: true });
  server.recovery = (channel) =>
    channel === 'plain' ? { recovered: false, reason: 'disabled' } : { epoch: channel, offset: 0 };
  const told: unknown[] = [];
  service.bind('plain', 'carillon:discontinuity', (data) => told.push(data));
  for (const name of ['a', 'b', 'plain']) {
    service.retain(name);
    await subscribed(name);
  }
  server.publish('a', 'e', 1);
  server.publish('plain', 'e', 1);
  expect(['a', 'b', 'plain'].map((name) => service.position(name))).toEqual([
    { epoch: 'a', offset: 1 },
    { epoch: 'b', offset: 0 },
    null,
  ]);
  expect(told).toEqual([]);
});
