/* grace.h - facts that may yet be undone: a channel vacated, a member removed.
 *
 * They are told only when a while has passed without the opposite; if it comes within, both
 * are forgotten, for nothing has changed (pusher-protocol 6.3).  Facts of one channel or
 * member keep their order; a fact in its grace may be overtaken by one about another member.
 */
#ifndef NOTIFY_GRACE_H
#define NOTIFY_GRACE_H

#include "base/list.h"
#include "base/map.h"
#include "hub/facts.h"

struct grace {
    struct map waiting; // by what the fact is about
    struct list order;  // oldest first: all wait equally long
    uint32_t grace_ms;
};

/* Takes the fact.  Returns what is to be told now: the fact itself, or NULL when it waits or
 * has undone one that waited (*undone: how many facts were forgotten, 0 or 2). */
struct fact *grace_take(struct grace *g, struct fact *f, uint64_t now_ms, unsigned *undone);

/* The next fact whose grace is over, or NULL.  now_ms UINT64_MAX: all are. */
struct fact *grace_next(struct grace *g, uint64_t now_ms);

/* When that will be; 0 = none waits. */
uint64_t grace_due_ms(const struct grace *g);

#endif
