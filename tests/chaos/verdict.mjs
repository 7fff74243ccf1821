// What a listener may see, and what it may not.  A trace is the list of what one listener saw of one
// channel: {n} an event with its number, {told} that events are missing, {connected} a connection.

// A listener that recovers sees 1..N once each and in order, or is told.
//   last  the number that was published last
//   mayRepeat  behind {told}, the event at the gap may come once more: its publisher got no answer
export function judgeRecovering(trace, last) {
  const faults = [];
  let at = 0;
  let isTold = false;
  const count = { seen: 0, told: 0, lost: 0, twice: 0 };
  for (const { n, told } of trace) {
    if (told) {
      isTold = true;
      count.told++;
    } else if (n !== undefined) {
      count.seen++;
      const isNext = n === at + 1 || (isTold && n >= at);
      if (!isNext && n > at + 1) {
        count.lost += n - at - 1;
        faults.push(`${at} was followed by ${n}, and nobody said so`);
      } else if (!isNext) {
        count.twice++;
        faults.push(`${n} came behind ${at}`);
      }
      at = n;
      isTold = false;
    }
  }
  if (at !== last && !isTold) {
    count.lost += Math.max(0, last - at);
    faults.push(`it ended with ${at}, and ${last} were published`);
  }
  return { ...count, faults };
}

// Any other listener may miss events, but none comes twice or late within a connection, and it hears
// what is published from the number healed on, when the last fault was over.
export function judgePlain(trace, healed = 0) {
  const faults = [];
  let at = 0;
  let seen = 0;
  let newest = 0; // of any connection: a slow machine may cost one more when all is heard
  for (const { n, connected } of trace) {
    if (connected) at = 0;
    if (n === undefined) continue;
    seen++;
    if (n <= at) faults.push(`${n} came behind ${at} on one connection`);
    at = n;
    newest = Math.max(newest, n);
  }
  if (newest < healed) faults.push(`it ended with ${newest}, and all was well at ${healed}`);
  return { seen, faults };
}
