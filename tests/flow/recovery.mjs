// A client that comes back for what it missed: pusher-js as it is, with three functions wrapped.
// It counts before callbacks run, because a callback may throw.
export function withRecovery(pusher, { rewind } = {}) {
  const positions = new Map(); // channel: {epoch, offset}
  const log = []; // [channel, what, details]
  const cached = new Set(); // channels whose next event has its number already
  const send = pusher.send_event.bind(pusher);
  pusher.send_event = (event, data, channel) => {
    if (event === 'pusher:subscribe') {
      const at = positions.get(data.channel);
      data = { ...data, recovery: at ?? (rewind ? { rewind } : {}) };
    }
    return send(event, data, channel);
  };
  const emit = pusher.connection.emit.bind(pusher.connection);
  pusher.connection.emit = (name, message) => {
    if (name === 'message') count(message);
    return emit(name, message);
  };
  function count({ event, channel, data }) {
    if (event === 'pusher_internal:subscription_succeeded') {
      const { recovery } = data ?? {};
      if (!recovery) return;
      if (recovery.epoch) positions.set(channel, { epoch: recovery.epoch, offset: recovery.offset });
      if (recovery.cached) cached.add(channel);
      else cached.delete(channel);
      if (recovery.recovered !== undefined) log.push([channel, recovery.recovered ? 'recovered' : 'discontinuity', recovery]);
    } else if (event === 'pusher_internal:position') {
      cached.delete(channel); // the kept event may have a name that is not counted
      positions.set(channel, { ...data });
      log.push([channel, 'position', data]);
    } else if (positions.has(channel) && !/^(pusher:|pusher_internal:|client-)/.test(event) && !cached.delete(channel)) {
      positions.get(channel).offset++;
    }
  }
  return { positions, log };
}
