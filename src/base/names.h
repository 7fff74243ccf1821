/* names.h - different names, and how often each is there.
 *
 * A group keeps equal names apart that belong to different things (an app's slot); who needs
 * one group only says 0.  Names are copied; zeroes among their bytes are fine.
 */
#ifndef BASE_NAMES_H
#define BASE_NAMES_H

#include "base/base.h"
#include "base/map.h"

struct name {
    struct map_node node;
    uint32_t group, n; // n: how often it is there
    size_t len;
    char text[];
};

struct names {
    struct map map; // of struct name; map.n = how many different ones
};

void names_fini(struct names *names); // with what is left

/* How often it is there now: 1 = it is new. */
uint32_t names_add(struct names *names, uint32_t group, struct span text);

/* The same; it is there. */
uint32_t names_remove(struct names *names, uint32_t group, struct span text);

/* Every name, in no order: walk starts at {0}.  NULL at the end. */
const struct name *names_next(const struct names *names, struct map_walk *walk);

static inline struct span name_text(const struct name *name)
{
    return span_of(name->text, name->len);
}

#endif
