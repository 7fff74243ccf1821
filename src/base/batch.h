/* batch.h - encoded frames, one behind the other, shared by everyone who still has to send them.
 *
 * A channel's frames of one tick form one batch; what a socket could not take keeps a
 * reference and two offsets, never a copy.  A batch knows where each frame ends, so that a
 * connection can be closed at a frame boundary.
 *
 * Thread: a batch never leaves its worker, so the reference count is plain.
 * Invariant: ends[] rises strictly and its last entry is len.
 */
#ifndef BASE_BATCH_H
#define BASE_BATCH_H

#include "base/base.h"

struct batch {
    struct batch *next; // in the pool
    char *bytes;
    uint32_t *ends;
    uint32_t len, cap;
    uint32_t n_ends, cap_ends;
    uint32_t refs;
    uint32_t n_events; // of which latency is told
    uint64_t since_us; // when the oldest of them was accepted
    bool retained;     // counted in the pool's retained_bytes
};

struct batch_pool {
    struct batch *unused; // small empty ones, ready for the next tick
    uint64_t unused_bytes;
    uint64_t retained_bytes; // capacity of all batches that outlived their tick, each once
};

void batch_pool_fini(struct batch_pool *pool);

/* Frees the empty ones: a busy moment has passed. */
void batch_pool_trim(struct batch_pool *pool);

/* An empty batch with one reference. */
struct batch *batch_new(struct batch_pool *pool);
void batch_hold(struct batch *b);
void batch_drop(struct batch_pool *pool, struct batch *b);

/* Room for one frame of at most bytes; batch_end_frame says how many were written. */
char *batch_room(struct batch *b, uint32_t bytes);
void batch_end_frame(struct batch *b, uint32_t bytes);

/* The first frame boundary at or behind offset. */
uint32_t batch_boundary(const struct batch *b, uint32_t offset);

/* The last frame boundary at or before offset. */
uint32_t batch_start(const struct batch *b, uint32_t offset);

/* b outlives its tick in some outbox. */
void batch_retain(struct batch_pool *pool, struct batch *b);

#endif
