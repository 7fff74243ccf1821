/* quota.h - how often each user has called, per route and window.
 *
 * Requests of one user come in on any worker, so this is one table for all of them, behind a
 * mutex that is held for a look-up and never together with another lock.
 *
 * Thread: any.
 */
#ifndef GATEWAY_QUOTA_H
#define GATEWAY_QUOTA_H

#include "base/base.h"

struct quota;

struct quota *quota_new(void);
void quota_free(struct quota *q);

/* Counts one call of that name (a route and a user).  0 when it is one of the first limit in
 * its window; else the seconds until the window ends, at least 1. */
uint32_t quota_take(
    struct quota *q, struct span name, uint32_t limit, uint32_t window_s, uint64_t now_ms);

size_t quota_n(struct quota *q); // windows that are kept

#endif
