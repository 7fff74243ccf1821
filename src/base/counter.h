/* counter.h - a number that one thread changes and any thread reads.
 *
 * One writer means no locked instruction: a relaxed load and a relaxed store. */
#ifndef BASE_COUNTER_H
#define BASE_COUNTER_H

#include "base/base.h"

#include <stdatomic.h>

struct counter {
    _Atomic uint64_t value;
};

static inline void counter_add(struct counter *c, uint64_t n)
{
    uint64_t now = atomic_load_explicit(&c->value, memory_order_relaxed);
    atomic_store_explicit(&c->value, now + n, memory_order_relaxed);
}

static inline void counter_sub(struct counter *c, uint64_t n)
{
    counter_add(c, (uint64_t)0 - n);
}

static inline uint64_t counter_get(const struct counter *c)
{
    return atomic_load_explicit(&c->value, memory_order_relaxed);
}

#endif
