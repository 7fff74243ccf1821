/* An application that names its events; @ts-expect-error marks what must not compile. */
import {
  createPusherService, PusherAuthError, PusherHistoryError, PusherMessageError, pusherService, type PusherServiceOptions, type SendResult,
} from 'carillon-js';
import {
  PusherProvider, useChannelHistory, usePresenceChannel, usePusherChannel, usePusherConnection, useSendMessage,
} from 'carillon-js/react';

interface ContentUpdate {
  id: number;
  title: string;
}

declare module 'carillon-js' {
  interface PusherEvents {
    'presence-content-updates': { content_update: ContentUpdate; content_deleted: { id: number } };
  }
}

const options: PusherServiceOptions = { key: 'k', getAuthToken: () => null, refreshAuthToken: async () => 'new' };
const service = createPusherService(options);
// @ts-expect-error: no such option
createPusherService({ key: 'k', recvoery: true });

export function Known(): React.ReactNode {
  usePusherChannel('presence-content-updates', 'content_update', (update) => {
    const title: string = update.title;
    // @ts-expect-error: a ContentUpdate has no such field
    update.titel;
    return title;
  });
  // @ts-expect-error: content_update carries no number
  usePusherChannel('presence-content-updates', { content_update: (n: number) => n });
  // @ts-expect-error: nor here
  usePusherChannel('presence-content-updates', 'content_update', (n: number) => n);
  // An event of it that is not listed.
  usePusherChannel<{ type: string }>('presence-content-updates', 'message', ({ type }) => type);
  usePusherChannel('presence-content-updates', {
    content_update: ({ title }) => title.toUpperCase(),
    content_deleted: ({ id }) => id.toFixed(),
  }, { onDiscontinuity: ({ reason }) => reason });
  return null;
}

export function Unknown({ channel }: { channel: string | null }): React.ReactNode {
  // The guide's own form.
  const { sendMessage, status, error } = usePusherChannel(channel, 'analytics_update', (data: { users: number }) => data.users);
  usePusherChannel(channel, 'analytics_update', (data) => {
    // @ts-expect-error: nothing is known about data
    data.users;
  });
  usePusherChannel(channel, { a: (data: string) => data, b: (data: number, { user_id: sender }) => [data, sender] }, {
    onError: (problem) => problem.message,
    onDiscontinuity: ({ reason, oldest = 0, newest = 0 }) => `${reason} ${newest - oldest}`,
  });
  // @ts-expect-error: a gap has no such field
  usePusherChannel(channel, 'a', () => undefined, { onDiscontinuity: ({ replay }) => replay });
  const sent: Promise<SendResult> = sendMessage('agent_chat_user', { text: 'Hello', conversationId: '123' });
  void sent;
  if (error instanceof PusherAuthError && error.status === 403) return error.channel;
  // @ts-expect-error: no such status
  return status === 'subscribe';
}

export function Others(): React.ReactNode {
  const { members, me, count } = usePresenceChannel<{ name: string }>('presence-content-updates');
  const { state, socketId, reconnect } = usePusherConnection();
  const { send, pending } = useSendMessage('news', { onError: (requestId, problem) => [requestId.length, problem.message] });
  const { requestId } = send('chat', {});
  return (
    <PusherProvider service={service}>
      <button onClick={reconnect} disabled={pending}>{state} {socketId} {count} {me?.info.name} {requestId} {[...members.values()][0]?.name}</button>
    </PusherProvider>
  );
}

export function Past({ channel }: { channel: string | null }): React.ReactNode {
  const { events, loading, error, hasMore, loadMore, refresh } = useChannelHistory<{ text: string }>(channel, { limit: 20, direction: 'backwards' });
  // @ts-expect-error: no such direction
  useChannelHistory(channel, { direction: 'sideways' });
  const unknown = useChannelHistory(channel);
  // @ts-expect-error: nothing is known about data
  unknown.events[0]?.data.text;
  if (error instanceof PusherHistoryError && error.status === 404) return error.channel;
  return (
    <button disabled={loading || !hasMore} onClick={() => void loadMore()} onBlur={refresh}>
      {events.map(({ id, offset, event, data, timeMs }) => `${id} ${offset.toFixed()} ${event} ${data.text} ${timeMs.toFixed()}`)}
    </button>
  );
}

export async function past(): Promise<string | undefined> {
  const page = await service.history<{ text: string }>('news', { limit: 5, until: service.position('news') ?? undefined });
  return page.hasMore ? page.cursor ?? undefined : page.events[0]?.data.text;
}

/* The guide's snippets. */
export async function guide(): Promise<void> {
  pusherService.initialize();
  const channel = pusherService.subscribe('presence-analytics-realtime');
  channel.bind('analytics_update', (data: { n: number }) => data.n);
  pusherService.unsubscribe('presence-analytics-realtime');
  pusherService.disconnect();
  try {
    const result = await pusherService.sendMessage('test_message', { content: 'Hello Pusher' });
    console.log(result.success, result.anything_else);
  } catch (error) {
    if (error instanceof PusherMessageError) console.log(error.status, error.code, error.detail, error.retryAfter, error.requestId);
  }
}
