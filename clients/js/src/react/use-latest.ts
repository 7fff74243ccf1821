'use client';
/* use-latest.ts - the value of the last render that was committed.
 *
 * For callbacks: an inline function is another one at each render, and neither may that subscribe
 * again nor may an old one be called.  Insertion effects run before every other effect.
 */
import { type RefObject, useInsertionEffect, useRef } from 'react';

export function useLatest<T>(value: T): RefObject<T> {
  const latest = useRef(value);
  useInsertionEffect(() => {
    latest.current = value;
  });
  return latest;
}
