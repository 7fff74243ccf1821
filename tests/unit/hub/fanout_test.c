/* The flush against a model that keeps one list of frames per subscriber. */
#include "base/base.h"

#include "hub/fanout.h"

#include <stdio.h>

#include "base/buf.h"
#include "test.h"

enum { SUBSCRIBERS = 12, CROWDS = 4, STEPS = 4000, SEEDS = 60 };

/* What one subscriber's socket got, and what the model says that it must get. */
struct socket {
    uint32_t index;
    bool is_narrow; // takes a byte a write
    bool is_in[CROWDS];
    struct buf got;              // bytes as written
    struct buf want[CROWDS + 1]; // frames of each crowd, and direct ones, each in order
};

struct world {
    struct fanout fanout;
    struct outbox_pool pool;
    struct crowd crowds[CROWDS];
    struct socket sockets[SUBSCRIBERS];
    unsigned seed;
    uint32_t next;  // number of the next frame
    bool is_choked; // sockets take a random part, or nothing
};

static unsigned draw(struct world *w, unsigned below)
{
    w->seed = w->seed * 1103515245U + 12345U;
    return (w->seed >> 16) % below;
}

static int64_t write_socket(void *ctx, uint32_t wire, const char *bytes, size_t len)
{
    struct world *w = ctx;
    struct socket *s = &w->sockets[wire];
    size_t n = len;
    if (w->is_choked && draw(w, 3) == 0)
        n = draw(w, (unsigned)len + 1);
    if (s->is_narrow)
        n = 1;
    buf_add(&s->got, bytes, n);
    return (int64_t)n;
}

static struct frame *make_frame(struct world *w, unsigned crowd, char text[64])
{
    int n = snprintf(text, 64, "<%u:%u:%.*s>", crowd, w->next++, (int)draw(w, 30),
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    struct frame *f = frame_new((size_t)n);
    memcpy(f->text, text, (size_t)n);
    return f;
}

static struct sub *sub_of(struct world *w, const struct socket *s, unsigned crowd)
{
    struct subs *subs = fanout_at(&w->fanout, s->index)->subs;
    for (uint32_t i = 0; subs && i < subs->n; i++)
        if (subs->v[i].crowd == &w->crowds[crowd])
            return &subs->v[i];
    return NULL;
}

static void publish(struct world *w, unsigned crowd, const struct socket *except)
{
    char text[64];
    struct frame *f = make_frame(w, crowd, text);
    fanout_publish(&w->fanout, &w->crowds[crowd], f, except ? except->index : SLAB_NONE);
    for (unsigned i = 0; i < SUBSCRIBERS; i++) {
        struct socket *s = &w->sockets[i];
        if (s->is_in[crowd] && s != except)
            buf_add_span(&s->want[crowd], frame_text(f));
    }
    frame_drop(f);
}

static void direct(struct world *w, struct socket *s)
{
    char text[64];
    struct frame *f = make_frame(w, CROWDS, text);
    fanout_direct(&w->fanout, s->index, frame_text(f));
    buf_add_span(&s->want[CROWDS], frame_text(f));
    frame_drop(f);
}

static void join_or_leave(struct world *w, struct socket *s, unsigned crowd)
{
    if (s->is_in[crowd])
        fanout_leave(&w->fanout, s->index, sub_of(w, s, crowd));
    else
        fanout_join(&w->fanout, s->index, &w->crowds[crowd], NULL);
    s->is_in[crowd] = !s->is_in[crowd];
}

static void flush(struct world *w)
{
    for (unsigned i = 0; i < SUBSCRIBERS; i++)
        if (draw(w, 2))
            fanout_writable(&w->fanout, w->sockets[i].index);
    fanout_flush(&w->fanout, 0, write_socket, w);
    w->fanout.n_drained = 0;
}

static void step(struct world *w)
{
    struct socket *s = &w->sockets[draw(w, SUBSCRIBERS)];
    unsigned crowd = draw(w, CROWDS);
    switch (draw(w, 8)) {
    case 0:
        join_or_leave(w, s, crowd);
        break;
    case 1:
        direct(w, s);
        break;
    case 2:
        flush(w);
        break;
    case 3:
        publish(w, crowd, s);
        break;
    default:
        publish(w, crowd, NULL);
        break;
    }
}

/* Cuts the stream into frames and sorts their texts by crowd.  False when a frame is torn. */
static bool sort_frames(const struct buf *got, struct buf by_crowd[CROWDS + 1])
{
    size_t at = 0;
    while (at < got->len) {
        size_t len = (unsigned char)got->p[at + 1];
        const char *text = got->p + at + 2;
        if ((unsigned char)got->p[at] != 0x81 || len > 125 || at + 2 + len > got->len ||
            text[0] != '<' || text[len - 1] != '>')
            return false;
        unsigned crowd = (unsigned)(text[1] - '0');
        if (crowd > CROWDS)
            return false;
        buf_add(&by_crowd[crowd], text, len);
        at += 2 + len;
    }
    return true;
}

static void check_socket(const struct socket *s)
{
    struct buf got[CROWDS + 1] = {{0}};
    CHECK(sort_frames(&s->got, got));
    for (unsigned i = 0; i <= CROWDS; i++) {
        CHECK(span_eq(buf_span(&got[i]), buf_span(&s->want[i])));
        buf_fini(&got[i]);
    }
}

static void start(struct world *w, unsigned seed)
{
    static const struct fanout_limits limits = {.hard_bytes = 1 << 30,
        .soft_bytes = 1 << 30,
        .soft_ms = 1000,
        .stall_ms = 1000,
        .total_bytes = UINT64_MAX};
    memset(w, 0, sizeof *w);
    w->seed = seed;
    outbox_pool_init(&w->pool);
    fanout_init(&w->fanout, &w->pool, &limits);
    for (unsigned i = 0; i < SUBSCRIBERS; i++)
        w->sockets[i].index = fanout_add(&w->fanout, i, AUDIENCE_WS, i + 1);
}

static void end(struct world *w)
{
    for (unsigned i = 0; i < SUBSCRIBERS; i++) {
        struct socket *s = &w->sockets[i];
        for (unsigned c = 0; c < CROWDS; c++)
            if (s->is_in[c])
                join_or_leave(w, s, c);
        fanout_remove(&w->fanout, s->index, NULL);
        buf_fini(&s->got);
        for (unsigned c = 0; c <= CROWDS; c++)
            buf_fini(&s->want[c]);
    }
    for (unsigned c = 0; c < CROWDS; c++)
        crowd_fini(&w->crowds[c]);
    CHECK_EQ(w->pool.batches.retained_bytes, 0);
    fanout_fini(&w->fanout);
    outbox_pool_fini(&w->pool);
}

static void drain_all(struct world *w)
{
    w->is_choked = false;
    for (int round = 0; round < 2; round++) {
        for (unsigned i = 0; i < SUBSCRIBERS; i++)
            fanout_writable(&w->fanout, w->sockets[i].index);
        fanout_flush(&w->fanout, 0, write_socket, w);
        w->fanout.n_drained = 0;
    }
}

TEST(any_interleaving_gives_every_subscriber_its_frames_in_order)
{
    static struct world w;
    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        start(&w, seed);
        w.is_choked = seed % 2;
        for (int i = 0; i < STEPS; i++)
            step(&w);
        drain_all(&w);
        for (unsigned i = 0; i < SUBSCRIBERS; i++)
            check_socket(&w.sockets[i]);
        end(&w);
    }
}

TEST(one_crowd_with_nothing_else_pending_makes_no_list)
{
    static struct world w;
    start(&w, 1);
    join_or_leave(&w, &w.sockets[0], 0);
    join_or_leave(&w, &w.sockets[1], 0);
    fanout_flush(&w.fanout, 0, write_socket, &w);
    publish(&w, 0, NULL);
    publish(&w, 0, NULL);
    fanout_flush(&w.fanout, 0, write_socket, &w);
    CHECK_EQ(w.fanout.counts.writes.value, 2); // one for each, for both events
    CHECK_EQ(w.pool.cap, 0);                   // no slice was ever needed
    check_socket(&w.sockets[0]);
    check_socket(&w.sockets[1]);
    end(&w);
}

/* Where the bytes of each socket's last write lay. */
static int64_t write_noting_where(void *ctx, uint32_t wire, const char *bytes, size_t len)
{
    const char **where = ctx;
    where[wire] = bytes;
    return (int64_t)len;
}

TEST(an_event_is_encoded_once_for_all_who_get_the_same_bytes)
{
    static struct world w;
    const char *where[SUBSCRIBERS] = {NULL};
    start(&w, 1);
    w.crowds[1].audience = AUDIENCE_LINE;
    for (unsigned i = 0; i < SUBSCRIBERS; i++)
        join_or_leave(&w, &w.sockets[i], i % 2);
    publish(&w, 0, NULL);
    publish(&w, 1, NULL);
    fanout_flush(&w.fanout, 0, write_noting_where, where);
    for (unsigned i = 2; i < SUBSCRIBERS; i++)
        CHECK(where[i] && where[i] == where[i % 2]);
    CHECK(where[0] != where[1]);
    end(&w);
}

TEST(what_is_pending_beyond_the_hard_limit_is_trouble)
{
    static struct world w;
    start(&w, 7);
    w.fanout.limits.hard_bytes = 100;
    join_or_leave(&w, &w.sockets[0], 0);
    fanout_flush(&w.fanout, 0, write_socket, &w);
    fanout_at(&w.fanout, w.sockets[0].index)->flags |= SUBSCRIBER_PENDING;
    for (int i = 0; i < 20 && !w.fanout.n_troubles; i++) {
        publish(&w, 0, NULL);
        fanout_flush(&w.fanout, 0, write_socket, &w);
    }
    CHECK_EQ(w.fanout.n_troubles, 1);
    CHECK_EQ(w.fanout.troubles[0].trouble, TROUBLE_SLOW);
    CHECK_EQ(w.fanout.troubles[0].subscriber, w.sockets[0].index);
    end(&w);
}

/* Pending and drained in turn between two looks, as who is given what it missed. */
TEST(a_reader_that_moves_is_never_taken_for_stalled)
{
    static struct world w;
    start(&w, 7);
    w.fanout.limits.stall_ms = 3000;
    join_or_leave(&w, &w.sockets[0], 0);
    fanout_flush(&w.fanout, 0, write_socket, &w);
    struct subscriber *s = fanout_at(&w.fanout, w.sockets[0].index);
    for (uint32_t now_ms = 1000; now_ms < 20000; now_ms += 1000) {
        for (int i = 0; i < 3; i++) {
            w.sockets[0].is_narrow = true;
            publish(&w, 0, NULL);
            fanout_flush(&w.fanout, 0, write_socket, &w);
            CHECK(s->flags & SUBSCRIBER_PENDING);
            if (i == 2)
                break;
            w.sockets[0].is_narrow = false;
            fanout_writable(&w.fanout, w.sockets[0].index);
            fanout_flush(&w.fanout, 0, write_socket, &w);
            CHECK(!(s->flags & SUBSCRIBER_PENDING));
        }
        CHECK_EQ(w.fanout.n_slow, 1);
        fanout_check_slow(&w.fanout, now_ms);
        CHECK_EQ(w.fanout.n_troubles, 0);
        w.sockets[0].is_narrow = false;
        fanout_writable(&w.fanout, w.sockets[0].index);
        fanout_flush(&w.fanout, 0, write_socket, &w);
    }
    end(&w);
}

int main(void)
{
    RUN(any_interleaving_gives_every_subscriber_its_frames_in_order);
    RUN(one_crowd_with_nothing_else_pending_makes_no_list);
    RUN(an_event_is_encoded_once_for_all_who_get_the_same_bytes);
    RUN(what_is_pending_beyond_the_hard_limit_is_trouble);
    RUN(a_reader_that_moves_is_never_taken_for_stalled);
    return test_end();
}
