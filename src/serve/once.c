/* Names in order of their coming, so that the oldest go first. */
#include "base/base.h"

#include "serve/once.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"

struct entry {
    struct map_node node;
    struct list_node order;
    uint64_t since_ms;
    int status; // 0 = at work
    struct buf body;
    struct once_waiter *waiters;
    size_t n_waiters;
    size_t len;
    char name[];
};

struct once {
    pthread_mutex_t lock; // of all below
    struct map entries;
    struct list order;
    uint64_t bytes; // of them
    uint64_t n_evicted;
};

struct once *once_new(void)
{
    struct once *o = mem_zero(sizeof *o);
    int rc = pthread_mutex_init(&o->lock, NULL);
    ENSURE(rc == 0);
    return o;
}

static size_t weight(const struct entry *e)
{
    return sizeof *e + e->len + e->body.len;
}

static void drop(struct once *o, struct entry *e)
{
    o->bytes -= weight(e);
    map_remove(&o->entries, &e->node);
    list_remove(&o->order, &e->order);
    buf_fini(&e->body);
    free(e->waiters);
    free(e);
}

void once_free(struct once *o)
{
    if (!o)
        return;
    while (o->order.first)
        drop(o, CONTAINER_OF(o->order.first, struct entry, order));
    map_fini(&o->entries);
    pthread_mutex_destroy(&o->lock);
    free(o);
}

static struct entry *find(const struct once *o, struct span name)
{
    struct map_node *node = map_first(&o->entries, hash_bytes(0, name));
    for (; node; node = map_next(node)) {
        struct entry *e = CONTAINER_OF(node, struct entry, node);
        if (span_eq(span_of(e->name, e->len), name))
            return e;
    }
    return NULL;
}

/* Those whose time is over, and the oldest of too many; one at work stays. */
static void make_room(struct once *o, uint64_t now_ms)
{
    struct list_node *next;
    for (struct list_node *node = o->order.first; node; node = next) {
        struct entry *e = CONTAINER_OF(node, struct entry, order);
        next = node->next;
        bool is_young = now_ms - e->since_ms < ONCE_MS;
        if (is_young && o->order.n < ONCE_NAMES_MAX && o->bytes < ONCE_BYTES_MAX)
            return;
        if (!e->status)
            continue;
        if (is_young && !o->n_evicted++)
            log_event(LOG_WARN, "idempotency_evicted", "names=%u bytes=%llu", o->order.n,
                (unsigned long long)o->bytes);
        drop(o, e);
    }
}

static enum once_result join(
    struct entry *e, const struct once_waiter *waiter, struct once_answer *answer)
{
    if (!e->status) {
        e->waiters = mem_array(e->waiters, e->n_waiters + 1, sizeof *e->waiters);
        e->waiters[e->n_waiters++] = *waiter;
        return ONCE_WAIT;
    }
    answer->status = e->status;
    buf_add_span(&answer->body, buf_span(&e->body));
    return ONCE_AGAIN;
}

enum once_result once_begin(struct once *o, struct span name, uint64_t now_ms,
    const struct once_waiter *waiter, struct once_answer *answer)
{
    enum once_result result = ONCE_FIRST;
    pthread_mutex_lock(&o->lock);
    make_room(o, now_ms);
    struct entry *e = find(o, name);
    if (e) {
        result = join(e, waiter, answer);
    } else {
        e = mem_zero(sizeof *e + name.len);
        e->since_ms = now_ms;
        e->len = name.len;
        memcpy(e->name, name.p, name.len);
        map_add(&o->entries, &e->node, hash_bytes(0, name));
        list_append(&o->order, &e->order);
        o->bytes += weight(e);
    }
    pthread_mutex_unlock(&o->lock);
    return result;
}

size_t once_end(struct once *o, struct span name, int status, struct span body, bool is_kept,
    struct once_waiter **waiters)
{
    pthread_mutex_lock(&o->lock);
    struct entry *e = find(o, name);
    ENSURE(e && !e->status);
    size_t n = e->n_waiters;
    *waiters = e->waiters;
    e->waiters = NULL;
    e->n_waiters = 0;
    e->status = status;
    if (is_kept) {
        buf_add_span(&e->body, body);
        o->bytes += body.len;
    } else {
        drop(o, e);
    }
    pthread_mutex_unlock(&o->lock);
    return n;
}

void once_read(struct once *o, struct once_figures *out)
{
    pthread_mutex_lock(&o->lock);
    *out = (struct once_figures){o->order.n, o->bytes, o->n_evicted};
    pthread_mutex_unlock(&o->lock);
}
