/* Names and how often each is there. */
#include "base/base.h"

#include "gateway/tally.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"

struct entry {
    struct map_node node;
    uint32_t group, n;
    size_t len;
    char name[];
};

struct tally {
    pthread_mutex_t lock; // of all below
    struct map entries;
};

struct tally *tally_new(void)
{
    struct tally *t = mem_zero(sizeof *t);
    int rc = pthread_mutex_init(&t->lock, NULL);
    ENSURE(rc == 0);
    return t;
}

void tally_free(struct tally *t)
{
    struct map_walk walk = {0};
    struct map_node *node;
    if (!t)
        return;
    struct map_node *behind = NULL;
    while ((node = map_walk(&t->entries, &walk))) {
        free(behind ? CONTAINER_OF(behind, struct entry, node) : NULL);
        behind = node; // the walk still looks at it
    }
    free(behind ? CONTAINER_OF(behind, struct entry, node) : NULL);
    map_fini(&t->entries);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

static struct entry *find(const struct tally *t, uint32_t group, struct span name)
{
    struct map_node *node = map_first(&t->entries, hash_bytes(group, name));
    for (; node; node = map_next(node)) {
        struct entry *e = CONTAINER_OF(node, struct entry, node);
        if (e->group == group && span_eq(span_of(e->name, e->len), name))
            return e;
    }
    return NULL;
}

void tally_add(struct tally *t, uint32_t group, struct span name)
{
    pthread_mutex_lock(&t->lock);
    struct entry *e = find(t, group, name);
    if (!e) {
        e = mem_zero(sizeof *e + name.len);
        e->group = group;
        e->len = name.len;
        if (name.len)
            memcpy(e->name, name.p, name.len);
        map_add(&t->entries, &e->node, hash_bytes(group, name));
    }
    e->n++;
    pthread_mutex_unlock(&t->lock);
}

void tally_remove(struct tally *t, uint32_t group, struct span name)
{
    pthread_mutex_lock(&t->lock);
    struct entry *e = find(t, group, name);
    ENSURE(e != NULL);
    if (--e->n == 0) {
        map_remove(&t->entries, &e->node);
        free(e);
    }
    pthread_mutex_unlock(&t->lock);
}

uint32_t tally_n(struct tally *t)
{
    pthread_mutex_lock(&t->lock);
    uint32_t n = t->entries.n;
    pthread_mutex_unlock(&t->lock);
    return n;
}
