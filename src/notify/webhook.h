/* webhook.h - facts in, signed requests out (pusher-protocol 6).
 *
 * Each app and URL has a queue of its own, so that a receiver that is slow or dead delays nobody
 * else.  The queue has lanes; a channel's hash chooses one, and a lane has one request under way
 * at a time: that keeps the order of a channel's events without a further mechanism, and a
 * receiver far away still takes more than one event in each round trip.  A request that is not
 * taken is made again, the same bytes, with growing pauses until its oldest event is too old; a
 * queue has bounds.  What is not delivered is counted by its reason and logged once until the
 * URL works again.
 *
 * The seam for a durable queue: queue_push and queue_drop in webhook_queue.c are the only two
 * places where an event enters and leaves.
 *
 * Thread: one.  Time is an argument, and of an answer a part.
 */
#ifndef NOTIFY_WEBHOOK_H
#define NOTIFY_WEBHOOK_H

#include "base/buf.h"
#include "hub/app.h"
#include "hub/facts.h"
#include "notify/outbound.h"

struct webhooks;

struct webhook_limits {
    uint32_t timeout_ms; // for one request
    uint32_t retry_ms;   // how long an event is tried
    uint32_t grace_ms;
    uint32_t queue_events, queue_bytes; // of one URL
    bool refuses_private;               // as a request has it
};

struct webhook_time {
    uint64_t now_ms; // monotonic
    int64_t wall_ms;
};

/* outbound_post, or what stands for it in a test. */
typedef void (*webhook_post_fn)(struct outbound *to, const struct outbound_request *request);

struct webhooks *webhooks_new(
    webhook_post_fn post, struct outbound *to, struct fact_counts *counts);
void webhooks_free(struct webhooks *w);

/* The apps of a configuration, which must outlive the next call.  Queues of URLs that an app
 * still has are kept; the others are dropped. */
void webhooks_use(struct webhooks *w, const struct app *apps, size_t n,
    const struct webhook_limits *limits, struct webhook_time time);

/* Takes the fact. */
void webhooks_take(struct webhooks *w, struct fact *f, struct webhook_time time);

/* Makes the requests that are due.  Returns the milliseconds until it wants to be called
 * again, -1 when only a fact or an answer changes anything. */
int webhooks_run(struct webhooks *w, struct webhook_time time);

/* The server stops: nothing waits for its grace, its batch or a long pause any more. */
void webhooks_hurry(struct webhooks *w, struct webhook_time time);
bool webhooks_is_idle(const struct webhooks *w); // nothing waits

/* Drops all that waits, counted and logged as abandoned. */
void webhooks_abandon(struct webhooks *w);

/* The last deliveries of an app, newest first, and its queues, as JSON. */
void webhooks_describe(const struct webhooks *w, uint32_t slot, struct buf *out);

#endif
