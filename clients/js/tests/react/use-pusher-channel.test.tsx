import { startTransition, Suspense, useLayoutEffect, useState, version } from 'react';
import { expect, test, vi } from 'vitest';
import { pusherService } from '../../src/index.js';
import { usePusherChannel, usePusherService } from '../../src/react/index.js';
import { acting, eventually, makePage } from '../support/react.js';
import { settle, setUp } from '../support/setup.js';

test('this suite runs on the React that its name says', () => {
  expect(version.split('.')[0]).toBe(process.env.TEST_REACT);
});

function Listener({ channel = 'news', heard, event = 'e' }: { channel?: string | null; heard: unknown[]; event?: string }) {
  const { status, error } = usePusherChannel(channel, event, (data) => heard.push(data));
  return <p>{status}{error ? ` ${error.name}` : ''}</p>;
}

test('it subscribes, hears, and shows its status', async () => {
  const { service, server } = setUp();
  const heard: unknown[] = [];
  const page = makePage({ service });
  await page.render(<Listener heard={heard} />);
  await eventually(() => expect(page.text()).toBe('subscribed'));
  server.publish('news', 'e', { a: 1 });
  server.publish('news', 'other', 2);
  expect(heard).toEqual([{ a: 1 }]);
});

test('two components on one channel: one unmounts and the other still hears', async () => {
  const { service, server } = setUp();
  const [one, two]: unknown[][] = [[], []];
  const page = makePage({ service });
  await page.render(<><Listener key="1" heard={one!} /><Listener key="2" heard={two!} /></>);
  await eventually(() => expect(page.text()).toBe('subscribedsubscribed'));
  await page.render(<><Listener key="2" heard={two!} /></>);
  await settle();
  server.publish('news', 'e', 1);
  expect([one, two]).toEqual([[], [1]]);
  expect(server.log).toEqual(['SUB news']);
  await page.unmount();
  await settle();
  expect(server.log).toEqual(['SUB news', 'UNSUB news']);
});

test('StrictMode subscribes once and binds once', async () => {
  const { service, server } = setUp();
  const heard: unknown[] = [];
  const page = makePage({ service, strict: true });
  await page.render(<Listener heard={heard} />);
  await eventually(() => expect(page.text()).toBe('subscribed'));
  await settle();
  server.publish('news', 'e', 1);
  expect(heard).toEqual([1]);
  expect(server.log).toEqual(['SUB news']);
  expect(service.channelUsers().get('news')).toBe(1);
  await page.unmount();
  await settle();
  expect(server.log).toEqual(['SUB news', 'UNSUB news']);
});

test('an inline callback neither subscribes again nor goes stale', async () => {
  const { service, server } = setUp();
  const heard: unknown[] = [];
  function Inline({ n }: { n: number }) {
    const { status } = usePusherChannel('news', 'e', (data) => heard.push([n, data]));
    return <p>{status}</p>;
  }
  const page = makePage({ service });
  for (let n = 1; n <= 5; n++) await page.render(<Inline n={n} />);
  await eventually(() => expect(page.text()).toBe('subscribed'));
  server.publish('news', 'e', 'x');
  expect(heard).toEqual([[5, 'x']]);
  expect(server.log).toEqual(['SUB news']);
});

test('an event that arrives during the commit finds the new callback', async () => {
  const { service, server, subscribed } = setUp();
  const heard: unknown[] = [];
  function Sender({ n }: { n: number }) {
    useLayoutEffect(() => {
      if (n === 2) server.publish('news', 'e', 'now');
    }, [n]);
    return null;
  }
  function Hearer({ n }: { n: number }) {
    usePusherChannel('news', 'e', (data) => heard.push([n, data]));
    return null;
  }
  const page = makePage({ service });
  await page.render(<><Sender n={1} /><Hearer n={1} /></>);
  await acting(() => subscribed('news'));
  await page.render(<><Sender n={2} /><Hearer n={2} /></>);
  expect(heard).toEqual([[2, 'now']]);
});

test('a map of events: each to its own, changes of the map included', async () => {
  const { service, server } = setUp();
  const heard: unknown[] = [];
  function Mapped({ more }: { more: boolean }) {
    const { status } = usePusherChannel('news', {
      a: (data: number) => heard.push(['a', data]),
      ...(more ? { b: (data: number) => heard.push(['b', data]) } : {}),
    });
    return <p>{status}</p>;
  }
  const page = makePage({ service });
  await page.render(<Mapped more={false} />);
  await eventually(() => expect(page.text()).toBe('subscribed'));
  server.publish('news', 'b', 0);
  await page.render(<Mapped more />);
  await settle();
  server.publish('news', 'a', 1);
  server.publish('news', 'b', 2);
  await page.render(<Mapped more={false} />);
  server.publish('news', 'b', 3);
  expect(heard).toEqual([['a', 1], ['b', 2]]);
  expect(server.log).toEqual(['SUB news']);
});

test('another event on the same channel does not leave it', async () => {
  const { service, server } = setUp();
  const heard: unknown[] = [];
  const page = makePage({ service });
  await page.render(<Listener heard={heard} event="one" />);
  await eventually(() => expect(page.text()).toBe('subscribed'));
  await page.render(<Listener heard={heard} event="two" />);
  await settle();
  server.publish('news', 'one', 1);
  server.publish('news', 'two', 2);
  expect(heard).toEqual([2]);
  expect(server.log).toEqual(['SUB news']);
});

test('another channel: the old one is left, unless somebody shares it', async () => {
  const { service, server } = setUp();
  const page = makePage({ service });
  await page.render(<><Listener heard={[]} channel="a" /><Listener heard={[]} channel="b" /></>);
  await eventually(() => expect(page.text()).toBe('subscribedsubscribed'));
  // The two change places: neither channel may drop.
  await page.render(<><Listener heard={[]} channel="b" /><Listener heard={[]} channel="a" /></>);
  await settle();
  expect(server.log).toEqual(['SUB a', 'SUB b']);
  await page.render(<><Listener heard={[]} channel="b" /><Listener heard={[]} channel="c" /></>);
  await eventually(() => expect(page.text()).toBe('subscribedsubscribed'));
  await settle();
  expect(server.log).toEqual(['SUB a', 'SUB b', 'SUB c', 'UNSUB a']);
});

test.each([null, ''])('channel %j listens to nothing, and does not connect', async (channel) => {
  const { service, server } = setUp();
  const page = makePage({ service });
  await page.render(<Listener heard={[]} channel={channel} />);
  await settle();
  expect([page.text(), server.sockets.length]).toEqual(['idle', 0]);
  await page.render(<Listener heard={[]} channel="news" />);
  await eventually(() => expect(page.text()).toBe('subscribed'));
  await page.render(<Listener heard={[]} channel={channel} />);
  await settle();
  expect(page.text()).toBe('idle');
  expect(server.log).toEqual(['SUB news', 'UNSUB news']);
});

test('a component that joins a subscribed channel is subscribed in its first render', async () => {
  const { service, subscribed } = setUp();
  service.retain('news');
  await subscribed('news');
  const seen: string[] = [];
  function Probe() {
    seen.push(usePusherChannel('news', 'e', () => undefined).status);
    return null;
  }
  await makePage({ service }).render(<Probe />);
  expect(new Set(seen)).toEqual(new Set(['subscribed']));
});

test('a refusal shows as a typed error and calls onError once', async () => {
  const { service, backend } = setUp();
  backend.answer = () => ({ status: 403, json: { detail: 'not yours' } });
  const onError = vi.fn();
  function Private() {
    const { status, error } = usePusherChannel('private-x', 'e', () => undefined, { onError });
    return <p>{status} {error && 'status' in error ? error.status : ''}</p>;
  }
  const page = makePage({ service });
  await page.render(<Private />);
  await eventually(() => expect(page.text()).toBe('error 403'));
  await page.render(<Private />);
  expect(onError).toHaveBeenCalledTimes(1);
  expect(onError.mock.calls[0]?.[0]).toMatchObject({ name: 'PusherAuthError', status: 403, detail: 'not yours' });
});

test('a service without a key breaks no page: the hook shows the error', async () => {
  const { service } = setUp({ key: undefined });
  const onError = vi.fn();
  function Keyless() {
    return usePusherChannel('news', 'e', () => undefined, { onError }).error?.name;
  }
  const page = makePage({ service });
  await page.render(<Keyless />);
  expect(page.text()).toBe('PusherConfigurationError');
  expect(onError).toHaveBeenCalledTimes(1);
});

test('unmounted while the signature is on its way: nothing is sent, nothing is bound', async () => {
  const { service, server, backend, connected } = setUp();
  service.initialize();
  await connected();
  let answer: (value: { json: unknown }) => void = () => undefined;
  backend.queue.push(new Promise((resolve) => (answer = resolve)));
  const page = makePage({ service });
  await page.render(<Listener heard={[]} channel="private-x" />);
  await eventually(() => expect(backend.calls).toHaveLength(1));
  await page.unmount();
  await settle();
  answer({ json: { auth: 'key:late' } });
  await settle();
  expect(server.log).toEqual([]);
  expect(backend.calls[0]?.signal?.aborted).toBe(true);
  expect(service.channelUsers().size).toBe(0);
});

test('a callback that throws breaks neither the page nor the other listener', async () => {
  const { service, server, faults, subscribed } = setUp();
  const heard: unknown[] = [];
  function Thrower() {
    usePusherChannel('news', 'e', () => {
      throw new Error('mine');
    });
    return <p>here</p>;
  }
  const page = makePage({ service });
  await page.render(<><Thrower /><Listener heard={heard} /></>);
  await acting(() => subscribed('news'));
  await acting(() => server.publish('news', 'e', 1));
  expect([page.text(), heard, faults.length]).toEqual(['heresubscribed', [1], 1]);
});

test('onDiscontinuity: a gap is told to who has asked, once each, to the callback of now', async () => {
  const { service, server } = setUp({ recovery: true });
  server.recovery = () => ({ epoch: 'e1', offset: 1 });
  const told: unknown[] = [];
  function Careful({ n }: { n: number }) {
    return usePusherChannel('news', 'e', () => undefined, { onDiscontinuity: (gap) => told.push([n, gap]) }).status;
  }
  const page = makePage({ service, strict: true });
  await page.render(<><Careful n={1} /><Listener heard={[]} /></>);
  await eventually(() => expect(page.text()).toBe('subscribedsubscribed'));
  await page.render(<><Careful n={2} /><Listener heard={[]} /></>);
  expect(told).toEqual([]);
  const gap = { reason: 'expired', oldest: 40, newest: 50 };
  server.recovery = () => ({ epoch: 'e1', offset: 50, recovered: false, ...gap });
  await acting(() => server.socket.close());
  await eventually(() => expect(told).toEqual([[2, gap]]));
  server.recovery = () => ({ epoch: 'e1', offset: 50, recovered: true, replay: 0 });
  await acting(() => server.socket.close());
  await eventually(() => expect(server.asked).toHaveLength(3));
  await eventually(() => expect(page.text()).toBe('subscribedsubscribed'));
  expect(told).toEqual([[2, gap]]);
  expect(server.log).toEqual(['SUB news', 'SUB news', 'SUB news']);
});

test('onDiscontinuity beside a map of events, and of a channel that is left nobody hears', async () => {
  const { service, server } = setUp({ recovery: true });
  server.recovery = () => ({ epoch: 'e1', offset: 1 });
  const told: unknown[] = [];
  function Mapped({ channel }: { channel: string | null }) {
    return usePusherChannel(channel, { e: () => undefined }, { onDiscontinuity: ({ reason }) => told.push(reason) }).status;
  }
  const page = makePage({ service });
  await page.render(<><Mapped channel="news" /><Listener heard={[]} /></>);
  await eventually(() => expect(page.text()).toBe('subscribedsubscribed'));
  server.recovery = () => ({ epoch: 'e2', offset: 0, recovered: false, reason: 'epoch_changed' });
  await acting(() => server.socket.close());
  await eventually(() => expect(told).toEqual(['epoch_changed']));
  await page.render(<><Mapped channel={null} /><Listener heard={[]} /></>);
  await acting(() => server.socket.close());
  await eventually(() => expect(server.asked).toHaveLength(3));
  await eventually(() => expect(page.text()).toBe('idlesubscribed'));
  expect(told).toEqual(['epoch_changed']);
});

test('sendMessage names the channel, and is the same function at each render', async () => {
  const { service, backend } = setUp();
  const sends = new Set<unknown>();
  let send: ReturnType<typeof usePusherChannel>['sendMessage'] = () => Promise.reject(new Error('not rendered'));
  function Sender() {
    const { sendMessage } = usePusherChannel('news', 'e', () => undefined);
    send = sendMessage;
    sends.add(sendMessage);
    return null;
  }
  const page = makePage({ service });
  await page.render(<Sender />);
  await page.render(<Sender />);
  expect(sends.size).toBe(1);
  await send('chat', { text: 'hi' });
  expect(JSON.parse(backend.to('/message')[0]?.body ?? '')).toMatchObject({
    message_type: 'chat', payload: { text: 'hi' }, channel: 'news',
  });
});

test('a list that mounts and unmounts a hundred times leaves nothing behind', async () => {
  const { service, server } = setUp();
  const page = makePage({ service, strict: true });
  for (let i = 0; i < 100; i++)
    await page.render(<>{i % 2 ? null : Array.from({ length: 5 }, (_, k) => <Listener key={`${i}-${k}`} heard={[]} />)}</>);
  await page.render(<></>);
  await settle();
  expect(service.channelUsers().size).toBe(0);
  expect(server.log.filter((line) => line.startsWith('SUB')).length).toBe(server.log.filter((line) => line.startsWith('UNSUB')).length);
});

test('concurrent: a render that is thrown away subscribes to nothing', async () => {
  const { service, server } = setUp();
  const never = new Promise<void>(() => undefined);
  function Suspending(): null {
    usePusherChannel('suspended', 'e', () => undefined);
    throw never;
  }
  let show: (value: boolean) => void = () => undefined;
  function App() {
    const [on, setOn] = useState(false);
    show = setOn;
    return <Suspense fallback="waiting">{on ? <Suspending /> : <Listener heard={[]} />}</Suspense>;
  }
  const page = makePage({ service });
  await page.render(<App />);
  await eventually(() => expect(page.text()).toBe('subscribed'));
  await acting(() => startTransition(() => show(true)));
  await settle();
  expect(page.text()).toBe('subscribed');
  expect(server.log).toEqual(['SUB news']);
  expect([...service.channelUsers().keys()]).toEqual(['news']);
});

test('concurrent: all components of a render see the same status', async () => {
  const { service, server } = setUp();
  const torn: string[] = [];
  let show: (value: boolean) => void = () => undefined;
  function Many() {
    const [on, setOn] = useState(false);
    show = setOn;
    const statuses = [1, 2, 3].map((n) => usePusherChannel(on ? 'news' : null, `e${n}`, () => undefined).status);
    if (new Set(statuses).size > 1) torn.push(statuses.join());
    return <p>{statuses[0]}</p>;
  }
  const page = makePage({ service });
  await page.render(<Many />);
  await acting(() => startTransition(() => show(true)));
  await eventually(() => expect(page.text()).toBe('subscribed'));
  server.down = true;
  await acting(() => service.reconnect());
  expect(page.text()).toBe('pending');
  server.down = false;
  await acting(() => service.reconnect());
  await eventually(() => expect(page.text()).toBe('subscribed'));
  expect(torn).toEqual([]);
});

test('without a provider the hooks use pusherService', async () => {
  const seen: unknown[] = [];
  function Probe() {
    seen.push(usePusherService());
    return null;
  }
  await makePage().render(<Probe />);
  expect(seen[0]).toBe(pusherService);
});

test('mounted hooks come back after logout and login', async () => {
  const { service, server } = setUp();
  const heard: unknown[] = [];
  const page = makePage({ service });
  await page.render(<Listener heard={heard} />);
  await eventually(() => expect(page.text()).toBe('subscribed'));
  await acting(() => service.disconnect());
  expect(page.text()).toBe('pending');
  await acting(() => service.initialize());
  await eventually(() => expect(page.text()).toBe('subscribed'));
  server.publish('news', 'e', 1);
  expect(heard).toEqual([1]);
});
