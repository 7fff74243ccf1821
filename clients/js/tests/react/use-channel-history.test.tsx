/* useChannelHistory: pages and live events as one list. */
import { expect, test } from 'vitest';
import { PusherAuthError, PusherHistoryError, type PusherServiceOptions } from '../../src/index.js';
import { type ChannelHistoryOptions, type ChannelHistoryResult, useChannelHistory } from '../../src/react/index.js';
import type { BackendAnswer } from '../support/fake-backend.js';
import { FakeHistory } from '../support/fake-history.js';
import { acting, eventually, makePage } from '../support/react.js';
import { type Bench, setUp, settle } from '../support/setup.js';

interface World extends Bench {
  history: FakeHistory;
  page: ReturnType<typeof makePage>;
  /* What the hook answered last. */
  latest: () => ChannelHistoryResult<number>;
  open: (options?: ChannelHistoryOptions, channel?: string | null) => Promise<void>;
  shows: (...data: number[]) => Promise<void>;
}

function makeWorld(options: Partial<PusherServiceOptions> = { recovery: true }, strict = false): World {
  const bench = setUp(options);
  const history = new FakeHistory(bench.server, bench.backend, 'news');
  const page = makePage({ service: bench.service, strict });
  let result: ChannelHistoryResult<number> | null = null;
  const latest = (): ChannelHistoryResult<number> => {
    if (!result) throw new Error('not rendered');
    return result;
  };
  function Probe({ channel, of }: { channel: string | null; of: ChannelHistoryOptions }) {
    result = useChannelHistory<number>(channel, of);
    return <p>{result.events.map(({ data }) => data).join()}</p>;
  }
  return {
    ...bench,
    history,
    page,
    latest,
    open: (of = {}, channel = 'news') => page.render(<Probe channel={channel} of={of} />),
    shows: (...data) => eventually(() => {
      expect(latest().loading).toBe(false);
      expect(latest().events.map((event) => event.data)).toEqual(data);
    }),
  };
}

const publish = (world: World, ...data: number[]): Promise<void> =>
  acting(() => data.forEach((n) => world.history.publish(n)));

test('the newest page, then live events, then older pages', async () => {
  const world = makeWorld();
  for (let n = 1; n <= 5; n++) world.history.keep(n);
  await world.open({ limit: 2 });
  expect([world.latest().loading, world.latest().events]).toEqual([true, []]);
  await world.shows(4, 5);
  expect(world.history.asked[0]?.get('until')).toBe('e1:5');
  await publish(world, 6, 7);
  await world.shows(4, 5, 6, 7);
  expect(world.latest().events.map(({ id, event }) => [id, event]).at(-1)).toEqual(['e1:7', 'e']);
  expect(world.latest().hasMore).toBe(true);
  await acting(() => world.latest().loadMore());
  await world.shows(2, 3, 4, 5, 6, 7);
  await acting(() => world.latest().loadMore());
  await world.shows(1, 2, 3, 4, 5, 6, 7);
  expect(world.latest().hasMore).toBe(false);
  await acting(() => world.latest().loadMore());
  expect(world.history.asked).toHaveLength(3);
});

test('events that come while the page is on its way stand behind it, once', async () => {
  const world = makeWorld();
  world.history.keep(1);
  const { answer } = world.backend;
  let give = (): void => undefined;
  const gate = new Promise<void>((resolve) => { give = resolve; });
  // The server answers with what there is then.
  world.backend.answer = (call) => gate.then(() => answer(call) as BackendAnswer);
  await world.open();
  await eventually(() => expect(world.backend.calls).toHaveLength(1));
  await publish(world, 2, 3);
  await acting(give);
  await world.shows(1, 2, 3);
});

test('forwards: live events wait until the pages have got there', async () => {
  const world = makeWorld();
  for (let n = 1; n <= 3; n++) world.history.keep(n);
  await world.open({ limit: 2, direction: 'forwards' });
  await world.shows(1, 2);
  await publish(world, 4);
  await world.shows(1, 2);
  await acting(() => world.latest().loadMore());
  await world.shows(1, 2, 3, 4);
  await publish(world, 5);
  await world.shows(1, 2, 3, 4, 5);
});

test('an event that left this socket out is fetched', async () => {
  const world = makeWorld();
  await world.open();
  await world.shows();
  await publish(world, 1);
  world.history.keep(2);
  await acting(() => world.history.tellPosition());
  await world.shows(1, 2);
  expect([world.history.asked[1]?.get('since'), world.history.asked[1]?.get('until')]).toEqual(['e1:1', 'e1:2']);
  await publish(world, 3);
  await world.shows(1, 2, 3);
});

test('a hole that cannot be filled is found again with the next event', async () => {
  const world = makeWorld();
  await world.open();
  await publish(world, 1);
  await world.shows(1);
  world.history.keep(2);
  world.backend.queue.push(new TypeError('offline'));
  await acting(() => world.history.tellPosition());
  await eventually(() => expect(world.latest().error).toBeInstanceOf(PusherHistoryError));
  await publish(world, 3, 4);
  await world.shows(1, 2, 3, 4);
});

test('a drop that is recovered leaves no mark', async () => {
  const world = makeWorld();
  await world.open();
  await publish(world, 1);
  await world.shows(1);
  world.server.recovery = () => ({ epoch: 'e1', offset: 1, recovered: true, replay: 1 });
  await acting(() => world.server.socket.close());
  await eventually(() => expect(world.server.asked).toHaveLength(2));
  await eventually(() => expect(world.service.channelStatus('news').status).toBe('subscribed'));
  await publish(world, 2);
  await world.shows(1, 2);
  expect(world.history.asked).toHaveLength(1);
});

test('another epoch begins the list anew', async () => {
  const world = makeWorld();
  world.history.keep(1);
  await world.open();
  await world.shows(1);
  world.history.purge('e2');
  world.history.keep(10);
  await acting(() => world.history.tellPosition());
  await world.shows(10);
  await publish(world, 11);
  await world.shows(10, 11);
  expect(world.latest().events.map(({ id }) => id)).toEqual(['e2:1', 'e2:2']);
});

test('another part of the page has subscribed before: nothing is missing either', async () => {
  const world = makeWorld();
  world.service.retain('news');
  await world.subscribed('news');
  world.history.publish(1);
  await world.open();
  await world.shows(1);
  await publish(world, 2);
  await world.shows(1, 2);
  expect(world.server.log).toEqual(['SUB news']);
});

test('without recovery: pages, and no subscription', async () => {
  const world = makeWorld({});
  for (let n = 1; n <= 3; n++) world.history.keep(n);
  await world.open({ limit: 2 });
  await world.shows(2, 3);
  await acting(() => world.latest().loadMore());
  await world.shows(1, 2, 3);
  world.history.keep(4);
  await acting(() => world.latest().refresh());
  await world.shows(3, 4);
  expect(world.service.getState()).toBe('initialized');
});

test('refresh keeps what is there until the other page is', async () => {
  const world = makeWorld();
  world.history.keep(1);
  await world.open();
  await world.shows(1);
  world.history.items = [];
  const { latest } = world;
  await acting(() => {
    void latest().refresh();
  });
  await world.shows();
  expect(world.history.asked).toHaveLength(2);
});

for (const [status, code] of [[403, 'forbidden'], [404, 'not_found']] as const)
  test(`${status} is the hook's error, until refresh brings a page`, async () => {
    const world = makeWorld();
    world.backend.queue.push({ status, json: { detail: 'no' } });
    await world.open();
    await eventually(() => expect(world.latest().error).toBeInstanceOf(PusherHistoryError));
    const { loading, error } = world.latest();
    expect([loading, (error as PusherHistoryError).code]).toEqual([false, code]);
    await publish(world, 1, 2);
    await world.shows(1, 2); // live events come all the same
    await acting(() => world.latest().refresh());
    await world.shows(1, 2);
    expect(world.latest().error).toBe(null);
  });

test('who may not join sees that', async () => {
  const world = makeWorld();
  world.server.verdict = () => ({ status: 403 });
  await world.open();
  await eventually(() => expect(world.latest().error).toBeInstanceOf(PusherAuthError));
  expect(world.latest().loading).toBe(false);
  expect(world.history.asked).toEqual([]);
});

test('a token that was refused is renewed once', async () => {
  let refreshed = 0;
  const world = makeWorld({ recovery: true, getAuthToken: () => 'old', refreshAuthToken: async () => `new-${++refreshed}` });
  world.history.keep(1);
  world.backend.queue.push({ status: 401 });
  await world.open();
  await world.shows(1);
  expect(refreshed).toBe(1);
});

for (const recovery of [true, false])
  test(`StrictMode asks once${recovery ? ' and subscribes once' : ', without recovery too'}`, async () => {
    const world = makeWorld({ recovery }, true);
    world.history.keep(1);
    await world.open();
    await world.shows(1);
    await acting(settle);
    expect(world.history.asked).toHaveLength(1);
    expect(world.server.log).toEqual(recovery ? ['SUB news'] : []);
  });

test('unmounting gives up what is on its way and leaves the channel', async () => {
  const world = makeWorld();
  world.backend.answer = () => new Promise(() => undefined);
  await world.open();
  await eventually(() => expect(world.backend.calls).toHaveLength(1));
  await world.page.unmount();
  await acting(settle);
  expect(world.backend.calls[0]?.signal?.aborted).toBe(true);
  expect(world.server.log).toEqual(['SUB news', 'UNSUB news']);
});

test('no channel, another channel, another limit', async () => {
  const world = makeWorld();
  world.history.keep(1);
  world.history.keep(2);
  await world.open({}, null);
  expect(world.latest()).toMatchObject({ events: [], loading: false, error: null, hasMore: false });
  await world.open();
  await world.shows(1, 2);
  await world.open({ limit: 1 });
  await world.shows(2);
  expect(world.history.asked.map((query) => query.get('limit'))).toEqual(['100', '1']);
});

test('a page that stays open for days keeps the newest thousand; older ones can be asked for', async () => {
  const world = makeWorld();
  world.history.keep(0);
  await world.open();
  await world.shows(0);
  await publish(world, ...Array.from({ length: 1001 }, (_, i) => i + 1));
  const offsets = (): number[] => world.latest().events.map(({ data }) => data);
  await eventually(() => expect([offsets().length, offsets()[0], world.latest().hasMore]).toEqual([1000, 2, true]));
  await acting(() => world.latest().loadMore());
  await eventually(() => expect(offsets().slice(0, 3)).toEqual([0, 1, 2]));
});

test('between two changes the answer is the same objects', async () => {
  const world = makeWorld();
  world.history.keep(1);
  await world.open();
  await world.shows(1);
  const { events, loadMore, refresh } = world.latest();
  await world.open();
  expect(world.latest().events).toBe(events);
  expect([world.latest().loadMore, world.latest().refresh]).toEqual([loadMore, refresh]);
});
