import { usePusherConnection } from 'carillon-js/react';
import { useEffect, useRef, useState } from 'react';
import { network } from './realtime';

const WORDS: Record<string, string> = {
  initialized: 'not connected yet',
  connecting: 'connecting',
  connected: 'connected',
  unavailable: 'waiting for the network',
  failed: 'this browser cannot connect',
  disconnected: 'disconnected',
};

export function ConnectionBar() {
  const { state, transport, socketId, reconnect } = usePusherConnection();
  const [isCut, setIsCut] = useState(network.isCut);
  const reconnects = useReconnects(state);
  const toggle = (): void => {
    if (network.isCut) network.restore();
    else network.cut();
    setIsCut(network.isCut);
  };
  return (
    <section className="bar" aria-label="Connection">
      <span className={`light ${state}`} aria-hidden="true" />
      <span role="status" data-testid="state">
        {WORDS[state] ?? state}
      </span>
      <dl>
        <div>
          <dt>Transport</dt>
          <dd data-testid="transport">{transport ?? 'none'}</dd>
        </div>
        <div>
          <dt>Reconnects</dt>
          <dd data-testid="reconnects">{reconnects}</dd>
        </div>
        <div className="wide">
          <dt>Socket</dt>
          <dd className="mono">{socketId ?? 'none'}</dd>
        </div>
      </dl>
      <span className="space" />
      <button type="button" aria-pressed={isCut} onClick={toggle}>
        {isCut ? 'Give the network back' : 'Cut the network'}
      </button>
      <button type="button" onClick={reconnect} disabled={state === 'connected' || isCut}>
        Reconnect now
      </button>
    </section>
  );
}

// How often a connection came after the first.
function useReconnects(state: string): number {
  const [count, setCount] = useState(0);
  const connections = useRef(0);
  const last = useRef('');
  useEffect(() => {
    if (state === 'connected' && last.current !== 'connected') {
      connections.current += 1;
      setCount(connections.current - 1);
    }
    last.current = state;
  }, [state]);
  return count;
}
