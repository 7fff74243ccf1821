/* Facts that wait whether they are undone. */
#include "base/base.h"

#include "notify/grace.h"

#include <stdlib.h>

#include "base/mem.h"

struct waiting {
    struct map_node node;
    struct list_node order;
    struct fact *fact;
    uint64_t due_ms;
};

/* What undoes a fact of that kind, or FACT_KINDS. */
static enum fact_kind opposite_of(uint32_t kind)
{
    if (kind == FACT_OCCUPIED)
        return FACT_VACATED;
    return kind == FACT_MEMBER_ADDED ? FACT_MEMBER_REMOVED : FACT_KINDS;
}

static uint32_t hash_of(const struct fact *f, uint32_t kind)
{
    return hash_bytes(hash_bytes(f->app * FACT_KINDS + kind, f->channel), f->user);
}

static struct waiting *find(const struct grace *g, const struct fact *f, uint32_t kind)
{
    for (struct map_node *n = map_first(&g->waiting, hash_of(f, kind)); n; n = map_next(n)) {
        struct waiting *w = CONTAINER_OF(n, struct waiting, node);
        if (w->fact->mail.kind == kind && w->fact->app == f->app &&
            span_eq(w->fact->channel, f->channel) && span_eq(w->fact->user, f->user))
            return w;
    }
    return NULL;
}

static struct fact *release(struct grace *g, struct waiting *w)
{
    struct fact *f = w->fact;
    map_remove(&g->waiting, &w->node);
    list_remove(&g->order, &w->order);
    free(w);
    return f;
}

static void hold_back(struct grace *g, struct fact *f, uint64_t now_ms)
{
    struct waiting *w = mem_zero(sizeof *w);
    w->fact = f;
    w->due_ms = now_ms + g->grace_ms;
    map_add(&g->waiting, &w->node, hash_of(f, f->mail.kind));
    list_append(&g->order, &w->order);
}

struct fact *grace_take(struct grace *g, struct fact *f, uint64_t now_ms, unsigned *undone)
{
    uint32_t kind = f->mail.kind;
    *undone = 0;
    if (kind == FACT_VACATED || kind == FACT_MEMBER_REMOVED) {
        hold_back(g, f, now_ms);
        return NULL;
    }
    struct waiting *w = opposite_of(kind) == FACT_KINDS ? NULL : find(g, f, opposite_of(kind));
    if (!w)
        return f;
    fact_free(release(g, w));
    fact_free(f);
    *undone = 2;
    return NULL;
}

struct fact *grace_next(struct grace *g, uint64_t now_ms)
{
    if (!g->order.first || grace_due_ms(g) > now_ms)
        return NULL;
    return release(g, CONTAINER_OF(g->order.first, struct waiting, order));
}

uint64_t grace_due_ms(const struct grace *g)
{
    struct list_node *first = g->order.first;
    return first ? CONTAINER_OF(first, struct waiting, order)->due_ms : 0;
}
