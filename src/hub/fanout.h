/* fanout.h - from one event to many sockets: subscribers, crowds, and the flush.
 *
 * A subscriber is the outgoing half of a session: where its bytes go and what is pending.
 * A crowd is everyone in one channel who hears it in the same encoding (audience).  What is
 * published to a crowd in one tick forms one batch, encoded once; at the flush a subscriber
 * with nothing else pending is sent those bytes by one write and has no list at all.
 *
 * A subscriber for which that is not the whole truth is *split* for the rest of the tick: it
 * had a frame of its own, joined or left in mid-tick, is to be left out of an event, or hears
 * two crowds that both have something.  Its frames are then listed in its outbox as slices,
 * in the order in which they came; sub.cursor says how much of a crowd's batch is listed.
 * A subscriber whose socket could not take everything is *pending*: its list outlives the
 * tick, and each flush adds to it.
 *
 * Invariant: sub.cursor is 0 unless the subscriber is split.
 * Order: frames of one channel, and frames for one subscriber alone, keep the order in which
 * they were published; across two channels order is not promised.
 */
#ifndef HUB_FANOUT_H
#define HUB_FANOUT_H

#include "base/base.h"
#include "base/counter.h"
#include "base/frame.h"
#include "base/outbox.h"
#include "base/slab.h"
#include "hub/audience.h"

enum { CROWD_INLINE = 2, FANOUT_SOFT_BYTES = 64 * 1024, LATENCY_BUCKETS = 16 };

struct channel;

struct crowd {
    union {
        uint32_t few[CROWD_INLINE];
        uint32_t *many;
    } at;            // subscribers in order of joining; SLAB_NONE where one has left
    uint32_t n, cap; // entries, holes included; cap 0 = at.few
    uint32_t n_holes;
    uint8_t audience;
    bool is_behind;      // for those who are still being given the channel's past
    struct batch *batch; // of this tick, or NULL
    struct channel *channel;
    struct crowd *next; // of the same channel, for another audience; owned
};

struct sub {
    struct crowd *crowd;
    uint32_t at;     // index in the crowd
    uint32_t cursor; // bytes of the crowd's batch that are listed already
    char *member;    // presence: the user id, NUL-terminated; owned
};

struct identity;

struct subs {
    uint32_t n, cap;
    struct identity *who; // signed in, or NULL; the hub's
    struct sub v[];
};

enum {
    SUBSCRIBER_OPEN = 1 << 0,
    SUBSCRIBER_SPLIT = 1 << 1,
    SUBSCRIBER_PENDING = 1 << 2,
    SUBSCRIBER_BROKEN = 1 << 3,     // its socket is of no more use, or it is over its limit
    SUBSCRIBER_MOVED = 1 << 4,      // wrote something since the last look at the slow ones
    SUBSCRIBER_AUTHORISED = 1 << 5, // signed in, or joined a channel that needs a signature
    SUBSCRIBER_BEHIND = 1 << 6,     // wants to be told whenever its socket has taken everything
    SUBSCRIBER_SLOW = 1 << 7        // has its entry among the slow ones
};

/* 32 bytes: two of them in a cache line, and all that a fan-out touches. */
struct subscriber {
    uint32_t wire; // where to write: means something to the writer only
    uint8_t flags;
    uint8_t audience;
    uint16_t seen; // the tick in which a crowd of it was dirty
    struct outbox out;
    uint32_t nonce;
    struct subs *subs; // NULL while there are none
};

_Static_assert(sizeof(struct subscriber) == 32, "two to a cache line");

enum trouble { TROUBLE_BROKEN, TROUBLE_SLOW, TROUBLE_STALLED };

/* Writes to a socket.  The number of bytes taken, 0 when it takes none now, -1 when it is
 * broken. */
typedef int64_t (*write_fn)(void *ctx, uint32_t wire, const char *bytes, size_t len);

struct fanout_limits {
    uint32_t hard_bytes;
    uint32_t soft_bytes, soft_ms;
    uint32_t stall_ms;
    uint64_t total_bytes;
};

struct fanout_counts {
    struct counter frames_sent;              // frames handed to sockets or lists of sockets
    struct counter bytes_sent;               // written by the flush
    struct counter writes;                   // calls of the writer
    struct counter legacy_frames;            // of frames_sent, events to legacy clients
    struct counter latency[LATENCY_BUCKETS]; // events per bucket, accepted to flushed
    struct counter latency_us;               // their sum
};

struct slow {
    uint32_t subscriber, nonce;
    uint32_t soft_since_ms; // 0 = not over the soft limit
    uint32_t moved_ms;
};

struct fanout_event {
    uint32_t subscriber, nonce;
    enum trouble trouble;
};

struct fanout {
    struct slab subscribers;
    struct outbox_pool *pool;
    struct fanout_limits limits;
    struct fanout_counts counts;
    uint16_t tick;
    int64_t wall_ms; // what legacy clients are told
    bool is_pressed; // flush now rather than at the end of the tick
    struct crowd **dirty;
    uint32_t n_dirty, cap_dirty;
    uint32_t *split;
    uint32_t n_split, cap_split;
    uint32_t *writable;
    uint32_t n_writable, cap_writable;
    uint32_t *drained; // were pending or are behind, and have nothing left
    uint32_t n_drained, cap_drained;
    struct slow *slow; // who was pending since the last look, each once
    uint32_t n_slow, cap_slow;
    struct fanout_event *troubles;
    uint32_t n_troubles, cap_troubles;
};

void fanout_init(struct fanout *f, struct outbox_pool *pool, const struct fanout_limits *limits);
void fanout_fini(struct fanout *f);

static inline struct subscriber *fanout_at(const struct fanout *f, uint32_t index)
{
    return slab_at(&f->subscribers, index);
}

uint32_t fanout_add(struct fanout *f, uint32_t wire, enum audience audience, uint32_t nonce);

/* The subscriber has left all its crowds.  What is pending moves to *rest (the caller's);
 * rest NULL drops it. */
void fanout_remove(struct fanout *f, uint32_t index, struct outbox *rest);

/* member (may be NULL) is taken. */
void fanout_join(struct fanout *f, uint32_t index, struct crowd *crowd, char *member);

/* From one crowd of a channel to another; sub is another place afterwards. */
void fanout_move(struct fanout *f, uint32_t index, struct sub *sub, struct crowd *to);

/* Ends what the subscriber hears of sub->crowd here; sub is gone afterwards. */
void fanout_leave(struct fanout *f, uint32_t index, struct sub *sub);

struct subs *fanout_need_subs(struct subscriber *s);

/* For everyone in the crowd but except (SLAB_NONE = nobody). */
void fanout_publish(
    struct fanout *f, struct crowd *crowd, const struct frame *frame, uint32_t except);

/* For one subscriber alone. */
void fanout_direct(struct fanout *f, uint32_t index, struct span text);

/* The same as an event with an id, for one who hears an event stream. */
void fanout_direct_event(struct fanout *f, uint32_t index, struct span id, struct span text);

/* The same, the encoded bytes shared by all who get b this way. */
void fanout_direct_batch(struct fanout *f, uint32_t index, struct batch *b);

/* Bytes that are no frame of the audience: a handshake's answer. */
void fanout_raw(struct fanout *f, uint32_t index, struct span bytes);

/* One frame in the audience's encoding, appended. */
void fanout_encode(
    const struct fanout *f, enum audience audience, struct batch *b, const struct frame *frame);

void fanout_writable(struct fanout *f, uint32_t index);

/* Its socket is gone and another will take its place: a frame that was sent in part will be
 * sent again, whole. */
void fanout_rewind(struct fanout *f, uint32_t index);
void fanout_flush(struct fanout *f, uint64_t now_us, write_fn write, void *ctx);

/* Looks at the slow ones; about once a second.  now_ms may wrap. */
void fanout_check_slow(struct fanout *f, uint32_t now_ms);

/* Upper bounds of the latency buckets in microseconds; the last bucket has none. */
extern const uint32_t fanout_latency_us[LATENCY_BUCKETS - 1];

/* Frees what a crowd owns; it must be empty. */
void crowd_fini(struct crowd *c);

/* Those who are in it, one by one: at starts at 0.  False at the end. */
bool crowd_next(const struct crowd *c, uint32_t *at, uint32_t *index);

static inline uint32_t crowd_size(const struct crowd *c)
{
    return c->n - c->n_holes;
}

#endif
