import { PusherMessageError } from 'carillon-js';
import { useChannelHistory, usePusherChannel, useSendMessage } from 'carillon-js/react';
import { type FormEvent, useEffect, useMemo, useRef, useState } from 'react';
import { clock, Panel } from './Panel';
import type { User } from './session';

interface Relayed {
  type: string;
  payload: { text?: string; name?: string };
  user_id: string;
  timestamp: string;
  request_id: string;
}
interface Line {
  id: string;
  from: string;
  text: string;
  at: string;
  isMine: boolean;
  state: '' | 'earlier' | 'pending';
}

const CHANNEL = 'presence-content-updates';

export function Chat({ user }: { user: User }) {
  const [text, setText] = useState('');
  const [fault, setFault] = useState<Error | null>(null);
  const [sent, setSent] = useState<Line[]>([]);
  const end = useRef<HTMLDivElement>(null);
  const { status, error } = usePusherChannel(CHANNEL, {});
  // What was said before, and what is said from now on.
  const history = useChannelHistory<Relayed>(CHANNEL, { limit: 30 });
  const said = useLines(history.events, history.loading, user);
  const lines = [...said, ...sent.filter(({ id }) => said.every((line) => line.id !== id))];
  const last = lines.at(-1)?.id;
  useEffect(() => {
    if (end.current && last) end.current.scrollTop = end.current.scrollHeight;
  }, [last]);

  const { send } = useSendMessage(CHANNEL, {
    // What was not sent goes back into the box, before what has been typed since.
    onError: (requestId, reason) => {
      const unsent = sent.find((line) => line.id === requestId)?.text ?? '';
      setSent((all) => all.filter((line) => line.id !== requestId));
      setText((typed) => (typed ? `${unsent} ${typed}` : unsent));
      setFault(new Error(`Not sent: ${why(reason)}`));
    },
    onSuccess: () => setFault(null),
  });
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    const line = text.trim();
    if (!line) return;
    const { requestId: id } = send('chat', { text: line, name: user.name });
    setText('');
    setFault(null);
    setSent((all) => [
      ...all.slice(-20),
      { id, from: user.name, text: line, at: new Date().toISOString(), isMine: true, state: 'pending' },
    ]);
  };

  const firstNew = lines.findIndex((line) => line.state !== 'earlier');
  return (
    <Panel id="chat" title="Chat" channel={CHANNEL} status={status} error={error ?? fault ?? history.error}>
      <div className="lines" ref={end} role="log" aria-live="polite" aria-label="Messages" tabIndex={0}>
        {history.hasMore ? (
          <button type="button" className="more" disabled={history.loading} onClick={() => void history.loadMore()}>
            Show earlier messages
          </button>
        ) : null}
        {lines.length === 0 && !history.loading ? (
          <p className="soft">Nothing said yet. Open a second window to answer yourself.</p>
        ) : null}
        {lines.map((line, i) => (
          <div key={line.id} className={line.isMine ? 'said mine' : 'said'}>
            {i === firstNew && i > 0 ? <p className="divider">Earlier messages above</p> : null}
            <p className={`line ${line.state}`}>
              <span className="meta">
                {line.from} <time dateTime={line.at}>{clock(line.at)}</time>
              </span>
              {line.text}
            </p>
          </div>
        ))}
        {firstNew < 0 && lines.length > 0 ? <p className="divider">Earlier messages above</p> : null}
      </div>
      <form className="row" onSubmit={submit}>
        <label className="grow">
          <span className="hidden">Your message</span>
          <input value={text} onChange={(event) => setText(event.target.value)} maxLength={500} placeholder="Say something" />
        </label>
        <button type="submit" className="primary" disabled={!text.trim()}>
          Send
        </button>
      </form>
    </Panel>
  );
}

type Events = ReturnType<typeof useChannelHistory<Relayed>>['events'];

// The chat's lines among the channel's events; what was there when the page opened is earlier.
function useLines(events: Events, isLoading: boolean, user: User): Line[] {
  const [opened, setOpened] = useState<string | null>(null);
  useEffect(() => {
    if (!isLoading) setOpened((now) => now ?? events.at(-1)?.id ?? '');
  }, [events, isLoading]);
  return useMemo(() => {
    const newest = events.findIndex(({ id }) => id === opened);
    return events.flatMap(({ event, data }, i) =>
      event === 'message' && data?.type === 'chat'
        ? {
            id: data.request_id,
            from: data.payload.name ?? data.user_id,
            text: String(data.payload.text ?? ''),
            at: data.timestamp,
            isMine: data.user_id === user.id,
            state: i <= newest ? 'earlier' : '',
          }
        : [],
    );
  }, [events, opened, user.id]);
}

function why(reason: Error): string {
  if (!(reason instanceof PusherMessageError)) return reason.message;
  if (reason.code === 'network') return 'the network is away. Your text is in the box again';
  if (reason.code === 'timeout') return 'no answer came in time. Your text is in the box again';
  return typeof reason.detail === 'string' ? reason.detail : reason.message;
}
