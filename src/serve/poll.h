/* poll.h - events for clients that can only ask: each poll says where the client is in its
 * channels, and is answered when there is something behind that (docs/poll.md).
 *
 *   asked ─► all homes have answered ─┬─ something is there, or no wait ─► reply
 *                                     └─► WAITING ─ an event, or the wait's end ─► reply
 *
 * A waiting poll is a question at each channel's home that is answered at the next event; the
 * first answer ends the wait, and the other questions are withdrawn.  Private to serve.
 */
#ifndef SERVE_POLL_H
#define SERVE_POLL_H

#include "serve/act.h"
#include "serve/poll_list.h"

enum { POLL_WAIT_S = 25 }; // at most

struct poll {
    struct poll_list list;
    uint32_t wait_ms;
    bool is_waiting;
    bool has_waited;
};

void poll_free(struct poll *p); // NULL is fine

/* The builtins. */
bool poll_run_open(struct serve *s, struct act *a);
bool poll_run(struct serve *s, struct act *a);
void poll_gather_open(struct act *a, const struct call *call);
void poll_gather(struct serve *s, struct act *a, const struct call *call);

/* All have answered: true when the poll goes on to wait, and the call with it. */
bool poll_waits(struct serve *s, struct conn *c, struct call *call);

/* The call is a poll that waits, so one answer is enough. */
bool poll_is_waiting(const struct call *call);

/* The wait is over, or nobody waits any more. */
void poll_stop(struct serve *s, struct act *a);

/* Its end has come, or should: the next turn of jobs_run replies. */
void poll_hurry(struct serve *s, struct act *a);

#endif
