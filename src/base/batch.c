/* Shared runs of encoded frames. */
#include "base/base.h"

#include "base/batch.h"

#include <stdlib.h>

#include "base/mem.h"

enum {
    FIRST_BYTES = 512,
    FIRST_ENDS = 8,
    KEEP_BYTES = 512 * 1024 // of empty batches in a pool
};

static void free_batch(struct batch *b)
{
    free(b->bytes);
    free(b->ends);
    free(b);
}

void batch_pool_trim(struct batch_pool *pool)
{
    while (pool->unused) {
        struct batch *b = pool->unused;
        pool->unused = b->next;
        free_batch(b);
    }
    pool->unused_bytes = 0;
}

void batch_pool_fini(struct batch_pool *pool)
{
    batch_pool_trim(pool);
}

struct batch *batch_new(struct batch_pool *pool)
{
    struct batch *b = pool->unused;
    if (b) {
        pool->unused = b->next;
        pool->unused_bytes -= b->cap;
    } else {
        b = mem_zero(sizeof *b);
        b->cap = FIRST_BYTES;
        b->bytes = mem_alloc(b->cap);
        b->cap_ends = FIRST_ENDS;
        b->ends = mem_array(NULL, b->cap_ends, sizeof *b->ends);
    }
    b->next = NULL;
    b->refs = 1;
    b->len = b->n_ends = b->n_events = 0;
    b->retained = false;
    return b;
}

void batch_hold(struct batch *b)
{
    b->refs++;
}

void batch_drop(struct batch_pool *pool, struct batch *b)
{
    if (!b)
        return;
    ENSURE(b->refs > 0);
    if (--b->refs)
        return;
    if (b->retained)
        pool->retained_bytes -= b->cap;
    if (pool->unused_bytes + b->cap > KEEP_BYTES) {
        free_batch(b);
        return;
    }
    b->next = pool->unused;
    pool->unused = b;
    pool->unused_bytes += b->cap;
}

char *batch_room(struct batch *b, uint32_t bytes)
{
    if (b->cap - b->len < bytes) {
        ENSURE(!b->retained && (uint64_t)b->len + bytes < UINT32_MAX / 2);
        while (b->cap - b->len < bytes)
            b->cap *= 2;
        b->bytes = mem_resize(b->bytes, b->cap);
    }
    return b->bytes + b->len;
}

void batch_end_frame(struct batch *b, uint32_t bytes)
{
    if (b->n_ends == b->cap_ends) {
        b->cap_ends *= 2;
        b->ends = mem_array(b->ends, b->cap_ends, sizeof *b->ends);
    }
    b->len += bytes;
    b->ends[b->n_ends++] = b->len;
}

/* The index of the first frame that ends at or behind offset. */
static uint32_t find_end(const struct batch *b, uint32_t offset)
{
    uint32_t lo = 0;
    uint32_t hi = b->n_ends;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (b->ends[mid] < offset)
            lo = mid + 1;
        else
            hi = mid;
    }
    ENSURE(lo < b->n_ends);
    return lo;
}

uint32_t batch_boundary(const struct batch *b, uint32_t offset)
{
    return offset == 0 ? 0 : b->ends[find_end(b, offset)];
}

uint32_t batch_start(const struct batch *b, uint32_t offset)
{
    if (offset == 0)
        return 0;
    uint32_t i = find_end(b, offset);
    if (b->ends[i] == offset)
        return offset;
    return i ? b->ends[i - 1] : 0;
}

void batch_retain(struct batch_pool *pool, struct batch *b)
{
    if (b->retained)
        return;
    b->retained = true;
    pool->retained_bytes += b->cap;
}
