/* outbox.h - what one socket still has to send, as slices of batches.
 *
 * A first-in first-out list of [from, to) pieces of batches, each slice holding one
 * reference.  The slices of all outboxes of a worker live in one pool, so an outbox is
 * twelve bytes and an empty one owns nothing.
 *
 * Frames for one socket alone (answers, errors, pongs) are written into the pool's direct
 * batch of the tick, which all sockets share; outbox_settle copies what is left of them when
 * a socket was too slow, so that a few bytes never pin the whole tick.
 *
 * Invariant: bytes == sum of (to - from) over the list.
 */
#ifndef BASE_OUTBOX_H
#define BASE_OUTBOX_H

#include "base/base.h"
#include "base/batch.h"

struct slice {
    struct batch *batch;
    uint32_t from, to;
    uint32_t next; // index in the pool, 0 = last
};

struct outbox {
    uint32_t head, tail; // indices in the pool, 0 = empty
    uint32_t bytes;
};

struct outbox_pool {
    struct slice *slices; // [0] is never used
    uint32_t cap, unused;
    struct batch_pool batches;
    struct batch *direct; // of this tick, or NULL
    char *scratch;        // OUTBOX_SCRATCH bytes, where several slices are gathered
};

/* Gathering by copy up to this size beats writev by a tenth (bench/README.md). */
enum { OUTBOX_SCRATCH = 64 * 1024 };

void outbox_pool_init(struct outbox_pool *pool);
void outbox_pool_fini(struct outbox_pool *pool);

/* Holds b.  A slice that continues the last one is merged with it. */
void outbox_push(
    struct outbox_pool *pool, struct outbox *o, struct batch *b, uint32_t from, uint32_t to);

/* Room for one frame in the direct batch; outbox_end_frame puts it into o. */
char *outbox_room(struct outbox_pool *pool, uint32_t bytes);
void outbox_end_frame(struct outbox_pool *pool, struct outbox *o, uint32_t bytes);

/* What to send next: the first slice itself when it is alone or long, else as many as fit
 * gathered in scratch.  Empty when nothing is left.  Good until the pool is used again. */
struct span outbox_peek(struct outbox_pool *pool, const struct outbox *o);

void outbox_advance(struct outbox_pool *pool, struct outbox *o, uint32_t sent);
void outbox_clear(struct outbox_pool *pool, struct outbox *o);

/* Drops everything behind the first frame boundary at or behind keep bytes. */
void outbox_cut(struct outbox_pool *pool, struct outbox *o, uint32_t keep);

/* True when the head of the list is not the start of a frame. */
bool outbox_is_mid_frame(const struct outbox_pool *pool, const struct outbox *o);

/* What was sent of a frame that is not yet sent whole is to be sent again: to another socket,
 * because the one that has it is gone. */
void outbox_rewind(const struct outbox_pool *pool, struct outbox *o);

/* o outlives the tick: its batches count as retained, its direct frames are copied. */
void outbox_settle(struct outbox_pool *pool, struct outbox *o);

/* Moves everything; to must be empty. */
void outbox_move(struct outbox *from, struct outbox *to);

/* The tick is over: the next direct frame begins a new batch. */
void outbox_pool_tick(struct outbox_pool *pool);

#endif
