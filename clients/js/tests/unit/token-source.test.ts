import { beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { renewalTime, TokenSource } from '../../src/token-source.js';
import { makeToken } from '../support/fake-backend.js';

beforeEach(() => {
  vi.useFakeTimers();
  onTestFinished(() => {
    vi.useRealTimers();
  });
});

test('renewal is due a minute before expiry, or at half of a short life', () => {
  const now = Math.floor(Date.now() / 1000) * 1000;
  vi.setSystemTime(now);
  expect(renewalTime(makeToken('long', 900))).toBe(now + 840000);
  expect(renewalTime(makeToken('short', 40, 40))).toBe(now + 20000);
  expect(renewalTime('no-jwt')).toBeUndefined();
  expect(renewalTime('a.%%%.c')).toBeUndefined();
  expect(renewalTime(`a.${btoa('{"exp":"soon"}')}.c`)).toBeUndefined();
  expect(renewalTime(`a.${btoa('null')}.c`)).toBeUndefined();
  expect(renewalTime(null)).toBeUndefined();
});

test('a token is renewed in time even if nobody uses it', async () => {
  const refreshAuthToken = vi.fn(async () => makeToken('fresh', 10000));
  const token = makeToken('old', 900);
  const tokens = new TokenSource({ getAuthToken: () => token, refreshAuthToken });
  tokens.start();
  await vi.advanceTimersByTimeAsync(838000);
  expect(refreshAuthToken).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(3000);
  expect(refreshAuthToken).toHaveBeenCalledTimes(1);
  tokens.stop();
});

test('nothing is renewed after stop', async () => {
  const refreshAuthToken = vi.fn(async () => 'fresh');
  const token = makeToken('old', 900);
  const tokens = new TokenSource({ getAuthToken: () => token, refreshAuthToken });
  tokens.start();
  await vi.advanceTimersByTimeAsync(1000);
  tokens.stop();
  await vi.advanceTimersByTimeAsync(1000000);
  expect(refreshAuthToken).not.toHaveBeenCalled();
});

test('what a refresh brought is used until the application has a token of its own', async () => {
  let stored = makeToken('old', 10);
  const fresh = makeToken('fresh', 900);
  const tokens = new TokenSource({ getAuthToken: () => stored, refreshAuthToken: async () => fresh });
  expect(await tokens.current()).toBe(fresh);
  expect(await tokens.current()).toBe(fresh);
  stored = makeToken('signed in anew', 900);
  expect(await tokens.current()).toBe(stored);
});

test('after stop, what a refresh brought is forgotten', async () => {
  const tokens = new TokenSource({ getAuthToken: () => 'old', refreshAuthToken: async () => 'fresh' });
  expect(await tokens.renew('old')).toBe('fresh');
  tokens.stop();
  expect(await tokens.current()).toBe('old');
});

test('renew does not refresh what somebody else has renewed already', async () => {
  const refreshAuthToken = vi.fn(async () => 'fresh');
  const tokens = new TokenSource({ getAuthToken: () => 'old', refreshAuthToken });
  expect(await Promise.all([tokens.renew('old'), tokens.renew('old'), tokens.renew('old')])).toEqual(['fresh', 'fresh', 'fresh']);
  expect(await tokens.renew('old')).toBe('fresh');
  expect(refreshAuthToken).toHaveBeenCalledTimes(1);
});

test('without refreshAuthToken there is no other token', async () => {
  const tokens = new TokenSource({ getAuthToken: () => 'only' });
  expect(await tokens.renew('only')).toBeNull();
});

test('null from a refresh means signed out', async () => {
  const tokens = new TokenSource({ getAuthToken: () => 'old', refreshAuthToken: async () => null });
  expect(await tokens.renew('old')).toBeNull();
  expect(await tokens.current()).toBeNull();
});

test('a refresh that fails leaves a token in its last minute in use, and says so after it', async () => {
  const refused = new Error('refused');
  const token = makeToken('old', 30);
  const tokens = new TokenSource({ getAuthToken: () => token, refreshAuthToken: () => Promise.reject(refused) });
  expect(await tokens.current()).toBe(token);
  await vi.advanceTimersByTimeAsync(31000);
  await expect(tokens.current()).rejects.toBe(refused);
});

test('a clock that is wrong does not refresh at every use', async () => {
  const stale = makeToken('stale', -10);
  const refreshAuthToken = vi.fn(async () => makeToken('stale, too', -5));
  const tokens = new TokenSource({ getAuthToken: () => stale, refreshAuthToken });
  for (let i = 0; i < 5; i++) await tokens.current();
  expect(refreshAuthToken).toHaveBeenCalledTimes(1);
});
