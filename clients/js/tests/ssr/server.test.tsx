/* On a server, without a DOM: rendering subscribes to nothing and connects to nothing. */
import { renderToString } from 'react-dom/server';
import { expect, test, vi } from 'vitest';
import { createPusherService, pusherService } from '../../src/index.js';
import {
  PusherProvider, useChannelHistory, usePresenceChannel, usePusherChannel, usePusherConnection, useSendMessage,
} from '../../src/react/index.js';

function App() {
  const channel = usePusherChannel('news', 'e', () => undefined);
  const none = usePusherChannel(null, { e: () => undefined });
  const { count, me } = usePresenceChannel('presence-room');
  const { state, socketId } = usePusherConnection();
  const { pending, error } = useSendMessage('news');
  const history = useChannelHistory('news');
  return <p>{[channel.status, none.status, count, me, state, socketId, pending, error, history.events.length, history.loading].map(String).join(' ')}</p>;
}

const EXPECTED = '<p>pending idle 0 null initialized null false null 0 true</p>';

test('there is no DOM here', () => {
  expect([typeof window, typeof document, typeof location]).toEqual(['undefined', 'undefined', 'undefined']);
});

test('every hook renders, with one and the same output each time', () => {
  const complaints = vi.spyOn(console, 'error');
  const getAuthToken = vi.fn(() => null);
  const fetch = vi.fn();
  const service = createPusherService({ key: 'k', host: 'realtime.test', getAuthToken, fetch, recovery: true });
  for (let i = 0; i < 3; i++)
    expect(renderToString(<PusherProvider service={service}><App /></PusherProvider>)).toBe(EXPECTED);
  expect(service.getState()).toBe('initialized');
  expect(service.channelUsers().size).toBe(0);
  expect(getAuthToken).not.toHaveBeenCalled();
  expect(fetch).not.toHaveBeenCalled();
  expect(complaints).not.toHaveBeenCalled();
});

test('the page\'s own service needs no environment to render', () => {
  vi.stubEnv('VITE_PUSHER_PORT', 'no port at all');
  expect(renderToString(<App />)).toBe(EXPECTED);
  vi.unstubAllEnvs();
  expect(pusherService.getState()).toBe('initialized');
});

test('what was rendered keeps no timers', () => {
  vi.useFakeTimers();
  renderToString(<App />);
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});
