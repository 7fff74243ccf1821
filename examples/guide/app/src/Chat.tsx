import { PusherMessageError } from 'carillon-js';
import { usePusherChannel, useSendMessage } from 'carillon-js/react';
import { type FormEvent, useEffect, useRef, useState } from 'react';
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
  isPending: boolean;
}

const CHANNEL = 'presence-content-updates';

function why(reason: Error): string {
  if (!(reason instanceof PusherMessageError)) return reason.message;
  if (reason.code === 'network') return 'the network is away. Your text is in the box again';
  if (reason.code === 'timeout') return 'no answer came in time. Your text is in the box again';
  return typeof reason.detail === 'string' ? reason.detail : reason.message;
}

export function Chat({ user }: { user: User }) {
  const [lines, setLines] = useState<Line[]>([]);
  const [text, setText] = useState('');
  const end = useRef<HTMLDivElement>(null);
  const [fault, setFault] = useState<Error | null>(null);
  const { send } = useSendMessage(CHANNEL, {
    // What was not sent goes back into the box, before what has been typed since.
    onError: (requestId, reason) => {
      const said = lines.find((line) => line.id === requestId)?.text ?? '';
      setLines((all) => all.filter((line) => line.id !== requestId));
      setText((typed) => (typed ? `${said} ${typed}` : said));
      setFault(new Error(`Not sent: ${why(reason)}`));
    },
    onSuccess: () => setFault(null),
  });
  const { status, error } = usePusherChannel<Relayed>(CHANNEL, 'message', (message) => {
    if (message.type !== 'chat') return;
    const line: Line = {
      id: message.request_id,
      from: message.payload.name ?? message.user_id,
      text: String(message.payload.text ?? ''),
      at: message.timestamp,
      isMine: message.user_id === user.id,
      isPending: false,
    };
    setLines((all) => [...all.filter(({ id }) => id !== line.id), line].slice(-100));
  });
  useEffect(() => {
    if (end.current) end.current.scrollTop = end.current.scrollHeight;
  }, [lines]);

  const submit = (event: FormEvent): void => {
    event.preventDefault();
    const said = text.trim();
    if (!said) return;
    const sent = send('chat', { text: said, name: user.name });
    setText('');
    setFault(null);
    setLines((all) => [
      ...all,
      { id: sent.requestId, from: user.name, text: said, at: new Date().toISOString(), isMine: true, isPending: true },
    ]);
  };

  return (
    <Panel id="chat" title="Chat" channel={CHANNEL} status={status} error={error ?? fault}>
      <div className="lines" ref={end} role="log" aria-live="polite" aria-label="Messages" tabIndex={0}>
        {lines.length === 0 ? <p className="soft">Nothing said yet. Open a second window to answer yourself.</p> : null}
        {lines.map((line) => (
          <p key={line.id} className={`line ${line.isMine ? 'mine' : ''} ${line.isPending ? 'pending' : ''}`}>
            <span className="meta">
              {line.from} <time dateTime={line.at}>{clock(line.at)}</time>
            </span>
            {line.text}
          </p>
        ))}
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
