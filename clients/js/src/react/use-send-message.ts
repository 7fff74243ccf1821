'use client';
/* use-send-message.ts - sending, with what a form needs to show of it.
 *
 * For optimistic updates: send answers at once with the requestId that the echoed event will carry,
 * and onError(requestId) says which item to take back.
 */
import { useCallback, useEffect, useRef, useState } from 'react';
import type { SendOptions, SendResult } from '../index.js';
import { makeRequestId } from '../message-sender.js';
import { usePusherService } from './provider.js';
import { useLatest } from './use-latest.js';

export interface UseSendMessageOptions {
  /* Take back the item with this requestId.  Not called after the component has gone. */
  onError?: (requestId: string, error: Error) => void;
  onSuccess?: (requestId: string, result: SendResult) => void;
  /* Give up what is on its way when the component goes; else it is sent to its end. */
  abortOnUnmount?: boolean;
}

/* May be awaited or ignored: a failure that nobody awaits is in error, too. */
export type SentMessage = Promise<SendResult> & { readonly requestId: string };

export interface SendMessageResult {
  /* Always the same function for the same channel. */
  send: (messageType: string, payload: unknown, options?: SendOptions) => SentMessage;
  /* Whether anything is on its way. */
  pending: boolean;
  /* Of the message that ended last; a PusherMessageError unless the service is not configured. */
  error: Error | null;
  lastResult: SendResult | null;
  /* Forgets error and lastResult. */
  reset: () => void;
}

interface Outcome {
  error: Error | null;
  lastResult: SendResult | null;
}

const NOTHING: Outcome = { error: null, lastResult: null };

export function useSendMessage(
  channel?: string | null,
  options: UseSendMessageOptions = {},
): SendMessageResult {
  const service = usePusherService();
  const latest = useLatest(options);
  const [onItsWay, setOnItsWay] = useState(0);
  const [outcome, setOutcome] = useState(NOTHING);
  const mounted = useRef(false);
  const unmounting = useRef<AbortController | null>(null);

  useEffect(() => {
    mounted.current = true;
    const abort = new AbortController();
    unmounting.current = abort;
    return () => {
      mounted.current = false;
      if (latest.current.abortOnUnmount) abort.abort();
    };
  }, [latest]);

  const send = useCallback(
    (messageType: string, payload: unknown, sendOptions: SendOptions = {}): SentMessage => {
      const requestId = sendOptions.requestId ?? makeRequestId();
      const signal = bothSignals(sendOptions.signal, unmounting.current?.signal);
      const settle = (next: Outcome): void => {
        if (!mounted.current) return;
        setOnItsWay((n) => n - 1);
        setOutcome(next);
        if (next.error) latest.current.onError?.(requestId, next.error);
        else if (next.lastResult) latest.current.onSuccess?.(requestId, next.lastResult);
      };
      setOnItsWay((n) => n + 1);
      const sent = service.sendMessage(messageType, payload, channel || undefined, {
        ...sendOptions,
        requestId,
        signal,
      });
      sent.then(
        (lastResult) => settle({ error: null, lastResult }),
        (error: Error) => settle({ error, lastResult: null }),
      );
      return Object.assign(sent, { requestId });
    },
    [service, channel, latest],
  );

  const reset = useCallback(() => setOutcome(NOTHING), []);
  return { send, pending: onItsWay > 0, ...outcome, reset };
}

function bothSignals(one?: AbortSignal, other?: AbortSignal): AbortSignal | undefined {
  if (!one || !other) return one ?? other;
  const both = new AbortController();
  for (const signal of [one, other])
    if (signal.aborted) both.abort(signal.reason);
    else signal.addEventListener('abort', () => both.abort(signal.reason), { once: true });
  return both.signal;
}
