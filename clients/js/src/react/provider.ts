'use client';
/* provider.ts - which service the hooks below it use; without a provider the page's own. */
import { createContext, createElement, type ReactElement, type ReactNode, useContext } from 'react';
import { type PusherService, pusherService } from '../index.js';

const ServiceContext = createContext<PusherService | null>(null);

export interface PusherProviderProps {
  service: PusherService;
  children?: ReactNode;
}

export function PusherProvider({ service, children }: PusherProviderProps): ReactElement {
  return createElement(ServiceContext.Provider, { value: service }, children);
}

export function usePusherService(): PusherService {
  return useContext(ServiceContext) ?? pusherService;
}
