import { usePresenceChannel } from 'carillon-js/react';
import { Panel } from './Panel';

interface Info {
  id: string;
  name: string;
  role: string;
}

const CHANNEL = 'presence-content-updates';

export function People() {
  const { members, me, count, status, error } = usePresenceChannel<Info>(CHANNEL);
  return (
    <Panel id="people" title={`Present: ${count}`} channel={CHANNEL} status={status} error={error}>
      <ul className="people" aria-live="polite">
        {[...members].map(([id, info]) => (
          <li key={id}>
            <span className="avatar" aria-hidden="true">
              {[...(info.name ?? id)][0]?.toUpperCase()}
            </span>
            <span className="name">
              {info.name ?? id} {me?.id === id ? <span className="soft">(you)</span> : null}
            </span>
            <span className="tag">{info.role}</span>
          </li>
        ))}
      </ul>
    </Panel>
  );
}
