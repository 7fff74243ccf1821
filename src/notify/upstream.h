/* upstream.h - questions to the operator's own backend, and what came of them.
 *
 * Each URL has a bound on how many may be under way, and a circuit: when several requests in
 * a row had no good answer it is not asked for a while, and then by one request first.  A
 * request that failed without an answer, or with 502, 503 or 504, is made once more where that
 * is configured.
 *
 * Thread: one; the courier's.  Time is an argument.
 */
#ifndef NOTIFY_UPSTREAM_H
#define NOTIFY_UPSTREAM_H

#include "notify/outbound.h"
#include "wire/exchange.h"

struct upstreams;

/* answer takes what it is given, and is called once for each question. */
struct upstreams *upstreams_new(struct outbound *outbound,
    void (*answer)(void *ctx, unsigned worker, struct exchange_answer *a), void *ctx);
void upstreams_free(struct upstreams *u); // what is under way is forgotten; NULL is fine

/* Takes the question. */
void upstreams_ask(struct upstreams *u, struct exchange *x, uint64_t now_ms, int64_t wall_ms);

/* No question waits for its answer. */
bool upstreams_is_idle(const struct upstreams *u);

#endif
