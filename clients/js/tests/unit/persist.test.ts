/* Positions that outlive the page: a reload goes on, and nothing that is wrong with a storage hurts. */
import { expect, onTestFinished, test } from 'vitest';
import type { PersistOptions, PositionStorage } from '../../src/index.js';
import { type Bench, setUp, waitFor } from '../support/setup.js';

class Shelf implements PositionStorage {
  readonly items = new Map<string, string>();
  writes = 0;
  getItem(key: string): string | null {
    return this.items.get(key) ?? null;
  }
  setItem(key: string, value: string): void {
    this.writes += 1;
    this.items.set(key, value);
  }
  removeItem(key: string): void {
    this.items.delete(key);
  }
}

/* A page of this user, connected to a server where the stream is at e1:4. */
async function open(storage: PersistOptions['storage'], user: PersistOptions['user'] = 'ann', options = {}): Promise<Bench> {
  const bench = setUp({ recovery: { persist: { storage, user } }, ...options });
  bench.server.recovery = () => ({ epoch: 'e1', offset: 4 });
  bench.service.retain('news');
  await bench.subscribed('news');
  return bench;
}
const hide = (): boolean => window.dispatchEvent(new Event('pagehide'));

test('another page of the same user goes on behind the last event', async () => {
  const storage = new Shelf();
  const one = await open(storage);
  one.server.publish('news', 'e', 1);
  one.server.publish('news', 'e', 2);
  hide();
  const two = await open(storage);
  expect([one.server.asked, two.server.asked]).toEqual([[{}], [{ epoch: 'e1', offset: 6 }]]);
});

test('before it is subscribed again a channel has no position; one that stays away keeps its own', async () => {
  const storage = new Shelf();
  await open(storage);
  hide();
  const two = setUp({ recovery: { persist: { storage, user: 'ann' } } });
  two.server.recovery = () => ({ epoch: 'e2', offset: 9 });
  two.service.retain('other');
  await two.subscribed('other');
  expect([two.service.position('news'), two.service.position('other')]).toEqual([null, { epoch: 'e2', offset: 9 }]);
  hide();
  const three = await open(storage);
  expect(three.server.asked).toEqual([{ epoch: 'e1', offset: 4 }]);
});

test('another user, nobody, and another application have positions of their own', async () => {
  const storage = new Shelf();
  await open(storage, 'ann');
  hide();
  expect((await open(storage, 'bob')).server.asked).toEqual([{}]);
  expect((await open(storage, null)).server.asked).toEqual([{}]);
  expect((await open(storage, 'ann', { key: 'other-key' })).server.asked).toEqual([{}]);
  expect((await open(() => storage, () => 'ann')).server.asked).toEqual([{ epoch: 'e1', offset: 4 }]);
});

test('a page that dies without a word has kept them shortly before, and not at each event', async () => {
  const storage = new Shelf();
  const { server } = await open(storage);
  for (let n = 0; n < 100; n++) server.publish('news', 'e', n);
  expect(storage.writes).toBe(0);
  await waitFor(() => expect([...storage.items.values()]).toEqual(['[["news","e1",104]]']));
  expect(storage.writes).toBe(1);
});

test('who leaves a channel leaves nothing of it', async () => {
  const storage = new Shelf();
  const { service, server, subscribed } = await open(storage);
  const handle = service.retain('room');
  await subscribed('room');
  handle.release();
  await waitFor(() => expect(server.log).toContain('UNSUB room'));
  hide();
  expect([...storage.items.values()]).toEqual(['[["news","e1",4]]']);
});

test('disconnect, as on logout, forgets: what is kept, and what is about to be', async () => {
  const storage = new Shelf();
  const one = await open(storage);
  hide();
  expect([...storage.items.values()]).toEqual(['[["news","e1",4]]']);
  one.server.publish('news', 'e', 1);
  one.service.disconnect();
  expect(storage.items.size).toBe(0);
  const { writes } = storage;
  hide();
  expect(storage.writes).toBe(writes);
  one.service.initialize();
  await one.subscribed('news');
  expect(one.server.asked).toEqual([{}, {}]);
  expect((await open(storage)).server.asked).toEqual([{}]);
});

test('logging out forgets of the one who was there when it connected, also where storages can only set', async () => {
  const items = new Map<string, string>();
  const storage = { getItem: (key: string) => items.get(key) ?? null, setItem: (key: string, value: string) => void items.set(key, value) };
  await open(storage, 'bob');
  hide();
  let user: string | null = 'ann';
  const { service } = await open(storage, () => user);
  hide();
  user = null;
  service.disconnect();
  expect([...items.values()].sort()).toEqual(['[["news","e1",4]]', '[]']);
  expect((await open(storage, 'bob')).server.asked).toEqual([{ epoch: 'e1', offset: 4 }]);
});

test('a pause of the connection is no logout', async () => {
  const storage = new Shelf();
  const { service, server, subscribed } = await open(storage);
  server.publish('news', 'e', 1);
  service.pusher?.disconnect();
  hide();
  expect([...storage.items.values()]).toEqual(['[["news","e1",5]]']);
  service.reconnect();
  await subscribed('news');
  expect(server.asked).toEqual([{}, { epoch: 'e1', offset: 5 }]);
});

const fails = (): never => { throw new DOMException('denied', 'SecurityError'); };
const broken: Array<[string, PersistOptions['storage']]> = [
  ['cannot be named', fails],
  ['cannot be read', { getItem: fails, setItem: () => undefined }],
  ['cannot be written', { getItem: () => null, setItem: fails, removeItem: fails }],
  ...['', 'nonsense', '{}', '7', 'null', '[7]', '[null]', '[["news"]]', '[["news",1,2]]', '[["news","e1",-1]]', '[["news","e1",1.5]]', '[["news","e1","3"]]', '[["news","e1",1e300]]']
    .map((text): [string, PersistOptions['storage']] => [`holds ${text || 'nothing'}`, { getItem: () => text, setItem: () => undefined }]),
];
for (const [how, storage] of broken)
  test(`a storage that ${how} is as good as none`, async () => {
    const { service, server, faults } = await open(storage);
    server.publish('news', 'e', 1);
    hide();
    expect(server.asked).toEqual([{}]);
    expect(service.position('news')).toEqual({ epoch: 'e1', offset: 5 });
    expect(faults).toEqual([]);
  });

test('the storage of the page itself', async () => {
  onTestFinished(() => sessionStorage.clear());
  await open(() => sessionStorage);
  hide();
  expect((await open(() => sessionStorage)).server.asked).toEqual([{ epoch: 'e1', offset: 4 }]);
});
