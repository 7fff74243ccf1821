import type { ChannelStatus } from 'carillon-js';
import type { ReactNode } from 'react';

interface Props {
  id: string;
  title: string;
  channel?: string;
  status?: ChannelStatus;
  error?: Error | null;
  width?: 'wide' | 'full';
  children: ReactNode;
}

// A card with a heading, the channel that it listens to, and what went wrong with that.
export function Panel({ id, title, channel, status, error, width, children }: Props) {
  return (
    <section className={width ? `card ${width}` : 'card'} aria-labelledby={id} data-testid={id}>
      <h2 id={id}>{title}</h2>
      {channel ? (
        <p className="channel">
          <code>{channel}</code> {status ? <span className={`status ${status}`}>{status}</span> : null}
        </p>
      ) : null}
      {error ? (
        <p className="fault" role="alert">
          {error.message}
        </p>
      ) : null}
      {children}
    </section>
  );
}

export const clock = (time: string | number = Date.now()): string =>
  new Date(time).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', second: '2-digit' });
