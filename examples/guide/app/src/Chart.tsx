import { usePusherChannel, usePusherService } from 'carillon-js/react';
import { useState } from 'react';
import { clock, Panel } from './Panel';

interface Update {
  active_users: number;
  active_connections: number;
  subscriptions: number;
  messages_out: number;
  memory_bytes: number;
  timestamp: string;
}

const CHANNEL = 'presence-analytics-realtime';
const KEPT = 24;
const WIDTH = 480;
const HEIGHT = 120;

export function Chart() {
  const service = usePusherService();
  const [updates, setUpdates] = useState<Update[]>([]);
  const [fault, setFault] = useState<Error | null>(null);
  const { status, error } = usePusherChannel<Update>(CHANNEL, 'analytics_update', (update) =>
    setUpdates((all) => [...all, update].slice(-KEPT)),
  );
  const ask = (): void => {
    setFault(null);
    service.requestAnalytics({ metric_type: 'all' }).catch((reason: Error) => setFault(reason));
  };
  const last = updates.at(-1);
  return (
    <Panel id="analytics" title="Live analytics" channel={CHANNEL} status={status} error={fault ?? error} width="wide">
      <div className="figures">
        <Figure name="Users" value={last?.active_users} />
        <Figure name="Connections" value={last?.active_connections} />
        <Figure name="Subscriptions" value={last?.subscriptions} />
        <Figure name="Memory, MB" value={last && Math.round(last.memory_bytes / 1e5) / 10} />
      </div>
      <Lines updates={updates} />
      <div className="row">
        <span className="soft grow">
          {last ? `Last at ${clock(last.timestamp)}; the next within 5 s` : 'The first numbers come at once'}
        </span>
        <button type="button" onClick={ask}>
          Ask now
        </button>
      </div>
    </Panel>
  );
}

function Figure({ name, value }: { name: string; value: number | undefined }) {
  return (
    <div className="figure">
      <span className="number" data-testid={`figure-${name}`}>
        {value ?? '–'}
      </span>
      <span className="soft">{name}</span>
    </div>
  );
}

function points(values: number[], top: number): string {
  const step = WIDTH / (KEPT - 1);
  if (values.length === 1) return points([values[0]!, values[0]!], top); // a first stroke to see
  return values.map((value, i) => `${(i * step).toFixed(1)},${(HEIGHT - 6 - (value / top) * (HEIGHT - 16)).toFixed(1)}`).join(' ');
}

function Lines({ updates }: { updates: Update[] }) {
  const connections = updates.map((update) => update.active_connections);
  const subscriptions = updates.map((update) => update.subscriptions);
  const top = Math.max(4, ...connections, ...subscriptions);
  return (
    <figure className="chart">
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={`Connections and subscriptions over the last ${updates.length} updates, at most ${top}`} preserveAspectRatio="none">
        {[0.25, 0.5, 0.75].map((part) => (
          <line key={part} className="rule" x1="0" x2={WIDTH} y1={HEIGHT * part} y2={HEIGHT * part} />
        ))}
        <polyline className="second" points={points(subscriptions, top)} />
        <polyline className="first" points={points(connections, top)} />
      </svg>
      <figcaption>
        <span className="key first">connections</span> <span className="key second">subscriptions</span>
      </figcaption>
    </figure>
  );
}
