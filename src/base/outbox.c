/* Pending output as slices of shared batches. */
#include "base/base.h"

#include "base/outbox.h"

#include <stdlib.h>

#include "base/mem.h"

enum { DIRECT_BYTES = 64 * 1024 };

void outbox_pool_init(struct outbox_pool *pool)
{
    *pool = (struct outbox_pool){.scratch = mem_alloc(OUTBOX_SCRATCH)};
}

void outbox_pool_fini(struct outbox_pool *pool)
{
    batch_drop(&pool->batches, pool->direct);
    batch_pool_fini(&pool->batches);
    free(pool->slices);
    free(pool->scratch);
}

static uint32_t take_slice(struct outbox_pool *pool)
{
    if (!pool->unused) {
        uint32_t old = pool->cap;
        pool->cap = old ? old * 2 : 64;
        pool->slices = mem_array(pool->slices, pool->cap, sizeof *pool->slices);
        for (uint32_t i = pool->cap - 1; i >= (old ? old : 1); i--) {
            pool->slices[i].next = pool->unused;
            pool->unused = i;
        }
    }
    uint32_t at = pool->unused;
    pool->unused = pool->slices[at].next;
    return at;
}

static void release_slice(struct outbox_pool *pool, uint32_t at)
{
    batch_drop(&pool->batches, pool->slices[at].batch);
    pool->slices[at].next = pool->unused;
    pool->unused = at;
}

void outbox_push(
    struct outbox_pool *pool, struct outbox *o, struct batch *b, uint32_t from, uint32_t to)
{
    if (from == to)
        return;
    ENSURE(from < to && to <= b->len);
    o->bytes += to - from;
    if (o->tail) {
        struct slice *last = &pool->slices[o->tail];
        if (last->batch == b && last->to == from) {
            last->to = to;
            return;
        }
    }
    uint32_t at = take_slice(pool);
    batch_hold(b);
    pool->slices[at] = (struct slice){.batch = b, .from = from, .to = to};
    if (o->tail)
        pool->slices[o->tail].next = at;
    else
        o->head = at;
    o->tail = at;
}

char *outbox_room(struct outbox_pool *pool, uint32_t bytes)
{
    if (pool->direct && pool->direct->len && pool->direct->len + bytes > DIRECT_BYTES)
        outbox_pool_tick(pool);
    if (!pool->direct)
        pool->direct = batch_new(&pool->batches);
    return batch_room(pool->direct, bytes);
}

void outbox_end_frame(struct outbox_pool *pool, struct outbox *o, uint32_t bytes)
{
    uint32_t from = pool->direct->len;
    batch_end_frame(pool->direct, bytes);
    outbox_push(pool, o, pool->direct, from, from + bytes);
}

struct span outbox_peek(struct outbox_pool *pool, const struct outbox *o)
{
    if (!o->head)
        return span_of(NULL, 0);
    const struct slice *s = &pool->slices[o->head];
    uint32_t len = s->to - s->from;
    if (!s->next || len >= OUTBOX_SCRATCH / 4)
        return span_of(s->batch->bytes + s->from, len);
    uint32_t n = 0;
    for (uint32_t at = o->head; at && n < OUTBOX_SCRATCH; at = pool->slices[at].next) {
        s = &pool->slices[at];
        len = s->to - s->from;
        if (len > OUTBOX_SCRATCH - n)
            len = OUTBOX_SCRATCH - n;
        memcpy(pool->scratch + n, s->batch->bytes + s->from, len);
        n += len;
    }
    return span_of(pool->scratch, n);
}

void outbox_advance(struct outbox_pool *pool, struct outbox *o, uint32_t sent)
{
    ENSURE(sent <= o->bytes);
    o->bytes -= sent;
    while (sent) {
        struct slice *s = &pool->slices[o->head];
        uint32_t len = s->to - s->from;
        if (sent < len) {
            s->from += sent;
            return;
        }
        sent -= len;
        uint32_t done = o->head;
        o->head = s->next;
        release_slice(pool, done);
    }
    if (!o->head)
        o->tail = 0;
}

void outbox_clear(struct outbox_pool *pool, struct outbox *o)
{
    outbox_advance(pool, o, o->bytes);
}

static bool is_boundary(const struct slice *s)
{
    return batch_boundary(s->batch, s->from) == s->from;
}

bool outbox_is_mid_frame(const struct outbox_pool *pool, const struct outbox *o)
{
    return o->head && !is_boundary(&pool->slices[o->head]);
}

void outbox_cut(struct outbox_pool *pool, struct outbox *o, uint32_t keep)
{
    uint32_t kept = 0;
    uint32_t at = o->head;
    uint32_t last = 0;
    while (at) {
        struct slice *s = &pool->slices[at];
        uint32_t want = keep > kept ? keep - kept : 0;
        if (want < s->to - s->from) {
            uint32_t end = batch_boundary(s->batch, s->from + want);
            if (end > s->to)
                end = s->to;
            s->to = end;
        }
        kept += s->to - s->from;
        uint32_t next = s->next;
        if (s->to == s->from)
            break;
        last = at;
        at = next;
        if (kept >= keep)
            break;
    }
    /* at is the first slice to go; last, if any, is the new tail. */
    if (last)
        pool->slices[last].next = 0;
    else
        o->head = 0;
    o->tail = last;
    o->bytes = kept;
    while (at) {
        uint32_t next = pool->slices[at].next;
        release_slice(pool, at);
        at = next;
    }
}

static void copy_direct(struct outbox_pool *pool, struct slice *s)
{
    struct batch *own = batch_new(&pool->batches);
    /* From the start of the frame, of which a part may be sent already: that part says where
     * the frame begins, and is needed again if the socket goes (outbox_rewind). */
    uint32_t from = batch_start(s->batch, s->from);
    uint32_t sent = s->from - from;
    while (from < s->to) {
        uint32_t end = batch_boundary(s->batch, from + 1);
        if (end > s->to)
            end = s->to;
        memcpy(batch_room(own, end - from), s->batch->bytes + from, end - from);
        batch_end_frame(own, end - from);
        from = end;
    }
    batch_drop(&pool->batches, s->batch);
    s->batch = own;
    s->from = sent;
    s->to = own->len;
}

void outbox_rewind(const struct outbox_pool *pool, struct outbox *o)
{
    if (!o->head)
        return;
    struct slice *s = &pool->slices[o->head];
    uint32_t start = batch_start(s->batch, s->from);
    o->bytes += s->from - start;
    s->from = start;
}

void outbox_settle(struct outbox_pool *pool, struct outbox *o)
{
    for (uint32_t at = o->head; at; at = pool->slices[at].next) {
        struct slice *s = &pool->slices[at];
        if (s->batch == pool->direct)
            copy_direct(pool, s);
        batch_retain(&pool->batches, s->batch);
    }
}

void outbox_move(struct outbox *from, struct outbox *to)
{
    ENSURE(!to->head);
    *to = *from;
    *from = (struct outbox){0};
}

void outbox_pool_tick(struct outbox_pool *pool)
{
    batch_drop(&pool->batches, pool->direct);
    pool->direct = NULL;
}
