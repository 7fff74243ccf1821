/* Counting windows; those that are over are swept out as others come. */
#include "base/base.h"

#include "gateway/quota.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"

enum { SWEEP_MS = 10000 };

struct window {
    struct map_node node;
    uint64_t until_ms;
    uint32_t n;
    size_t name_len;
    char name[];
};

struct quota {
    pthread_mutex_t lock; // of all below
    struct map windows;
    uint64_t swept_ms;
};

struct quota *quota_new(void)
{
    struct quota *q = mem_zero(sizeof *q);
    int rc = pthread_mutex_init(&q->lock, NULL);
    ENSURE(rc == 0);
    return q;
}

/* Gathered first: a walk bears no removal. */
static void sweep(struct quota *q, uint64_t now_ms)
{
    struct map_walk walk = {0};
    struct map_node *node;
    struct window **over = mem_array(NULL, q->windows.n + 1, sizeof(struct window *));
    size_t n = 0;
    while ((node = map_walk(&q->windows, &walk))) {
        struct window *w = CONTAINER_OF(node, struct window, node);
        if (w->until_ms <= now_ms)
            over[n++] = w;
    }
    for (size_t i = 0; i < n; i++) {
        map_remove(&q->windows, &over[i]->node);
        free(over[i]);
    }
    free(over);
    q->swept_ms = now_ms;
}

static struct window *find(const struct quota *q, uint32_t hash, struct span name)
{
    for (struct map_node *node = map_first(&q->windows, hash); node; node = map_next(node)) {
        struct window *w = CONTAINER_OF(node, struct window, node);
        if (span_eq(span_of(w->name, w->name_len), name))
            return w;
    }
    return NULL;
}

static struct window *open_window(struct quota *q, uint32_t hash, struct span name)
{
    struct window *w = mem_zero(sizeof *w + name.len);
    w->name_len = name.len;
    if (name.len)
        memcpy(w->name, name.p, name.len);
    map_add(&q->windows, &w->node, hash);
    return w;
}

static uint32_t take(struct window *w, uint32_t limit, uint32_t window_s, uint64_t now_ms)
{
    if (now_ms >= w->until_ms) {
        w->until_ms = now_ms + (uint64_t)window_s * 1000;
        w->n = 0;
    }
    if (w->n < limit) {
        w->n++;
        return 0;
    }
    return (uint32_t)((w->until_ms - now_ms + 999) / 1000);
}

uint32_t quota_take(
    struct quota *q, struct span name, uint32_t limit, uint32_t window_s, uint64_t now_ms)
{
    uint32_t hash = hash_bytes(0, name);
    pthread_mutex_lock(&q->lock);
    if (now_ms - q->swept_ms >= SWEEP_MS)
        sweep(q, now_ms);
    struct window *w = find(q, hash, name);
    uint32_t wait_s = take(w ? w : open_window(q, hash, name), limit, window_s, now_ms);
    pthread_mutex_unlock(&q->lock);
    return wait_s;
}

size_t quota_n(struct quota *q)
{
    pthread_mutex_lock(&q->lock);
    size_t n = q->windows.n;
    pthread_mutex_unlock(&q->lock);
    return n;
}

void quota_free(struct quota *q)
{
    if (!q)
        return;
    sweep(q, UINT64_MAX);
    map_fini(&q->windows);
    pthread_mutex_destroy(&q->lock);
    free(q);
}
