import { usePusherChannel, usePusherService } from 'carillon-js/react';
import { useState } from 'react';
import { clock, Panel } from './Panel';
import type { User } from './session';

interface Sync {
  action: string;
  request_id: string;
  timestamp: string;
  status?: string;
}
interface Row {
  key: string;
  what: string;
  action: string;
  at: string;
}

const ACTIONS = ['sync_assets', 'sync_scripts', 'sync_players'];

export function RobloxLog({ user }: { user: User }) {
  const service = usePusherService();
  const [rows, setRows] = useState<Row[]>([]);
  const [fault, setFault] = useState<Error | null>(null);
  const [next, setNext] = useState(0);
  const channel = `private-roblox-${user.id}`;
  const add = (what: string) => (sync: Sync) =>
    setRows((all) =>
      [{ key: `${sync.request_id}-${what}`, what, action: sync.action, at: sync.timestamp }, ...all].slice(0, 30),
    );
  const { status, error } = usePusherChannel(channel, {
    sync_acknowledged: add('acknowledged'),
    sync_completed: add('completed'),
    sync_failed: add('failed'),
  });
  const sync = (): void => {
    setFault(null);
    setNext((n) => n + 1);
    service.robloxSync(ACTIONS[next % ACTIONS.length]!, { from: 'page' }).catch((reason: Error) => setFault(reason));
  };
  return (
    <Panel id="roblox" title="Roblox sync" channel={channel} status={status} error={fault ?? error}>
      <div className="row">
        <span className="soft grow">Each step is acknowledged, then completed.</span>
        <button type="button" className="primary" onClick={sync}>
          Sync
        </button>
      </div>
      <ol className="log" aria-live="polite" aria-label="Sync log" tabIndex={0}>
        {rows.map((row) => (
          <li key={row.key}>
            <time dateTime={row.at}>{clock(row.at)}</time> <code>{row.action}</code> {row.what}
          </li>
        ))}
      </ol>
    </Panel>
  );
}
