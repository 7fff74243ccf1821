// The same events twice: by the old raw WebSocket of the guide, and by Channels.
import { usePusherChannel } from 'carillon-js/react';
import { useEffect, useRef, useState } from 'react';
import { clock, Panel } from './Panel';
import { network } from './realtime';
import { makeToken } from './session';

type OldState = 'closed' | 'opening' | 'open';
interface Row {
  key: number;
  text: string;
  at: number;
}

let rows = 0;
const row = (data: unknown): Row => ({ key: ++rows, text: JSON.stringify(data), at: Date.now() });

// 1005: the page itself has closed it.
function closeReason(code: number, reason: string): string {
  if (code === 1000 || code === 1005) return '';
  if (code === 1006) return 'the connection was lost';
  return reason ? `${reason} (${code})` : `code ${code}`;
}

export function SideBySide() {
  const [old, setOld] = useState<Row[]>([]);
  const [fresh, setFresh] = useState<Row[]>([]);
  const [state, setState] = useState<OldState>('closed');
  const [why, setWhy] = useState('');
  const [fault, setFault] = useState<Error | null>(null);
  const socket = useRef<WebSocket | null>(null);
  const count = useRef(0);
  const { status, error } = usePusherChannel<unknown>('public-updates', 'content_update', (data) =>
    setFresh((all) => [row(data), ...all].slice(0, 20)),
  );
  useEffect(() => () => socket.current?.close(), []);

  const open = async (): Promise<void> => {
    setState('opening');
    setWhy('');
    // A browser does not show why an upgrade was refused: a plain request says it.
    const answer = await fetch('/ws/native').catch(() => null);
    if (answer?.status === 410) {
      setState('closed');
      setWhy('it is switched off, the server answers 410');
      return;
    }
    // From here on the guide's old code.
    const ws = new WebSocket(`${location.origin.replace(/^http/, 'ws')}/ws/native`);
    socket.current = ws;
    ws.onopen = () => {
      setState('open');
      ws.send(JSON.stringify({ type: 'subscribe', channel: 'updates' }));
    };
    ws.onmessage = (event: MessageEvent<string>) => {
      const data = JSON.parse(event.data) as { type: string; data?: unknown };
      if (data.type === 'content_update') setOld((all) => [row(data.data), ...all].slice(0, 20));
    };
    ws.onclose = ({ code, reason }) => {
      setState('closed');
      setWhy(closeReason(code, reason));
    };
  };
  const toggle = (): void => {
    if (state === 'open') socket.current?.close();
    else void open();
  };
  const publish = async (): Promise<void> => {
    setFault(null);
    count.current += 1;
    const token = await makeToken({ id: 'desk', name: 'Desk', role: 'admin' });
    const answer = await network.elsewhere('/api/v1/pusher/broadcast?channel=public-updates&event=content_update', {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
      body: JSON.stringify({ n: count.current }),
    });
    if (!answer.ok) setFault(new Error(`The server answered ${answer.status}`));
  };

  return (
    <Panel id="side" title="Before and after" channel="public-updates" status={status} error={fault ?? error} width="full">
      <div className="row">
        <button type="button" onClick={toggle} disabled={state === 'opening'}>
          {state === 'open' ? 'Close the old socket' : 'Open the old socket'}
        </button>
        <span className="grow" />
        <button type="button" className="primary" onClick={() => void publish()}>
          Publish an update
        </button>
      </div>
      <div className="halves">
        <Half title="Raw WebSocket" note={why ? `${state}: ${why}` : state} rows={old} id="old" />
        <Half title="pusher-js" note={status} rows={fresh} id="new" />
      </div>
    </Panel>
  );
}

function Half({ title, note, rows: all, id }: { title: string; note: string; rows: Row[]; id: string }) {
  return (
    <div>
      <h3>
        {title} <span className="soft">{note}</span>
      </h3>
      <ol className="log" aria-live="polite" aria-label={title} data-testid={`half-${id}`} tabIndex={0}>
        {all.map((each) => (
          <li key={each.key}>
            <time>{clock(each.at)}</time> <code>{each.text}</code>
          </li>
        ))}
      </ol>
    </div>
  );
}
