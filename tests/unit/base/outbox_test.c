/* Outboxes: slices of shared batches, in the order of the pushes, cut only between frames. */
#include "base/base.h"

#include "base/outbox.h"

#include "base/buf.h"
#include "check_span.h"
#include "test.h"

static struct outbox_pool pool;

/* A batch of frames: "ab" and "cde" for "ab|cde|". */
static struct batch *make_batch(const char *frames)
{
    struct batch *b = batch_new(&pool.batches);
    for (const char *end; (end = strchr(frames, '|')); frames = end + 1) {
        uint32_t n = (uint32_t)(end - frames);
        memcpy(batch_room(b, n), frames, n);
        batch_end_frame(b, n);
    }
    return b;
}

static void push_all(struct outbox *o, struct batch *b)
{
    outbox_push(&pool, o, b, 0, b->len);
}

static void push_direct(struct outbox *o, const char *text)
{
    uint32_t n = (uint32_t)strlen(text);
    memcpy(outbox_room(&pool, n + 14), text, n);
    outbox_end_frame(&pool, o, n);
}

static unsigned count_slices(const struct outbox *o)
{
    unsigned n = 0;
    for (uint32_t at = o->head; at; at = pool.slices[at].next)
        n++;
    return n;
}

static uint32_t sum_slices(const struct outbox *o)
{
    uint32_t n = 0;
    for (uint32_t at = o->head; at; at = pool.slices[at].next)
        n += pool.slices[at].to - pool.slices[at].from;
    return n;
}

/* All that the outbox holds, sent n bytes at a time; NUL-terminated until the next call. */
static const char *drain(struct outbox *o, uint32_t n)
{
    static struct buf sent;
    sent.len = 0;
    while (o->bytes) {
        struct span next = outbox_peek(&pool, o);
        ENSURE(next.len > 0 && next.len <= o->bytes);
        uint32_t now = next.len < n ? (uint32_t)next.len : n;
        buf_add(&sent, next.p, now);
        outbox_advance(&pool, o, now);
    }
    CHECK_EQ(o->head, 0);
    CHECK_EQ(o->tail, 0);
    buf_add_char(&sent, '\0');
    return sent.p;
}

/* Nothing is left behind: every slice is free again, every batch in the pool. */
static void end_pool(void)
{
    uint32_t n = 0;
    outbox_pool_tick(&pool);
    for (uint32_t at = pool.unused; at; at = pool.slices[at].next)
        n++;
    CHECK_EQ(n, pool.cap ? pool.cap - 1 : 0);
    CHECK_EQ(pool.batches.retained_bytes, 0);
    outbox_pool_fini(&pool);
}

TEST(an_empty_outbox_has_nothing_to_send)
{
    struct outbox o = {0};
    outbox_pool_init(&pool);
    CHECK_EQ(outbox_peek(&pool, &o).len, 0);
    CHECK(!outbox_is_mid_frame(&pool, &o));
    outbox_cut(&pool, &o, 0);
    outbox_settle(&pool, &o);
    outbox_clear(&pool, &o);
    CHECK_EQ(o.bytes, 0);
    CHECK_EQ(sizeof o, 12);
    end_pool();
}

TEST(bytes_leave_in_the_order_in_which_they_came)
{
    outbox_pool_init(&pool);
    for (uint32_t n = 1; n < 16; n++) {
        struct outbox o = {0};
        struct batch *a = make_batch("ab|cde|");
        struct batch *b = make_batch("f|gh|");
        push_all(&o, a);
        push_direct(&o, "1");
        push_direct(&o, "23");
        push_all(&o, b);
        push_direct(&o, "4");
        push_all(&o, a);
        CHECK_EQ(o.bytes, 17);
        batch_drop(&pool.batches, a);
        batch_drop(&pool.batches, b);
        CHECK_STR(drain(&o, n), "abcde123fgh4abcde");
        outbox_pool_tick(&pool);
    }
    end_pool();
}

TEST(a_slice_that_continues_the_last_is_merged_with_it)
{
    struct outbox o = {0};
    outbox_pool_init(&pool);
    struct batch *b = make_batch("ab|cde|fg|");
    outbox_push(&pool, &o, b, 0, 2);
    outbox_push(&pool, &o, b, 2, 5);
    CHECK_EQ(count_slices(&o), 1);
    CHECK_EQ(b->refs, 2);
    outbox_push(&pool, &o, b, 5, 5); // nothing
    CHECK_EQ(count_slices(&o), 1);
    outbox_push(&pool, &o, b, 0, 2); // does not continue it
    CHECK_EQ(count_slices(&o), 2);
    CHECK_EQ(b->refs, 3);
    batch_drop(&pool.batches, b);
    CHECK_STR(drain(&o, 3), "abcdeab");
    end_pool();
}

TEST(direct_frames_of_one_socket_are_one_slice)
{
    struct outbox o = {0};
    struct outbox other = {0};
    outbox_pool_init(&pool);
    push_direct(&o, "a");
    push_direct(&o, "b");
    CHECK_EQ(count_slices(&o), 1);
    push_direct(&other, "x");
    push_direct(&o, "c");
    CHECK_EQ(count_slices(&o), 2);
    CHECK_STR(drain(&o, 100), "abc");
    CHECK_STR(drain(&other, 100), "x");
    end_pool();
}

TEST(one_whole_batch_is_sent_without_a_copy)
{
    struct outbox o = {0};
    outbox_pool_init(&pool);
    struct batch *b = make_batch("ab|cde|");
    push_all(&o, b);
    CHECK(outbox_peek(&pool, &o).p == b->bytes);
    CHECK_SPAN(outbox_peek(&pool, &o), "abcde");
    outbox_advance(&pool, &o, 3);
    CHECK(outbox_peek(&pool, &o).p == b->bytes + 3);
    batch_drop(&pool.batches, b);
    CHECK_STR(drain(&o, 100), "de");
    end_pool();
}

/* More than the scratch buffer holds, in slices that never continue each other. */
TEST(what_does_not_fit_into_the_scratch_buffer_is_gathered_in_turns)
{
    enum { FRAME = 1000, N = 200 };
    struct outbox o = {0};
    struct buf want = {0};
    outbox_pool_init(&pool);
    struct batch *b = batch_new(&pool.batches);
    for (int i = 0; i < N; i++) {
        memset(batch_room(b, FRAME), 'a' + i % 26, FRAME);
        batch_end_frame(b, FRAME);
    }
    for (int i = N - 1; i >= 0; i--) {
        outbox_push(&pool, &o, b, (uint32_t)i * FRAME, (uint32_t)(i + 1) * FRAME);
        buf_add(&want, b->bytes + i * FRAME, FRAME);
    }
    CHECK_EQ(count_slices(&o), N);
    CHECK_EQ(outbox_peek(&pool, &o).len, OUTBOX_SCRATCH);
    CHECK(outbox_peek(&pool, &o).p == pool.scratch);
    batch_drop(&pool.batches, b);
    buf_add_char(&want, '\0');
    CHECK(strcmp(drain(&o, 70001), want.p) == 0);
    buf_fini(&want);
    end_pool();
}

TEST(a_long_slice_is_not_gathered_with_others)
{
    enum { LONG = OUTBOX_SCRATCH };
    struct outbox o = {0};
    outbox_pool_init(&pool);
    struct batch *b = batch_new(&pool.batches);
    memset(batch_room(b, LONG), 'x', LONG);
    batch_end_frame(b, LONG);
    push_all(&o, b);
    push_direct(&o, "y");
    CHECK(outbox_peek(&pool, &o).p == b->bytes);
    CHECK_EQ(outbox_peek(&pool, &o).len, LONG);
    outbox_advance(&pool, &o, LONG - 10); // now it is short
    CHECK_SPAN(outbox_peek(&pool, &o), "xxxxxxxxxxy");
    batch_drop(&pool.batches, b);
    CHECK_STR(drain(&o, 100), "xxxxxxxxxxy");
    end_pool();
}

/* What "ab|cde|f|" + "gh|" + "1|" leaves when sent bytes are gone and keep may stay. */
static const char *cut_at(uint32_t sent, uint32_t keep)
{
    struct outbox o = {0};
    struct batch *a = make_batch("ab|cde|f|");
    struct batch *b = make_batch("gh|");
    push_all(&o, a);
    push_all(&o, b);
    push_direct(&o, "1");
    batch_drop(&pool.batches, a);
    batch_drop(&pool.batches, b);
    outbox_advance(&pool, &o, sent);
    outbox_cut(&pool, &o, keep);
    CHECK_EQ(o.bytes, sum_slices(&o));
    CHECK_EQ(o.tail != 0, o.bytes != 0);
    push_direct(&o, "."); // the tail is where the next one goes
    return drain(&o, 100);
}

TEST(a_cut_falls_behind_a_whole_frame_at_every_offset)
{
    static const char all[] = "abcdefgh1";
    static const uint32_t ends[] = {0, 2, 5, 6, 8, 9};
    outbox_pool_init(&pool);
    for (uint32_t sent = 0; sent < 9; sent++) {
        for (uint32_t keep = 0; keep < 12; keep++) {
            size_t e = 0;
            while (e < COUNT_OF(ends) - 1 && ends[e] < sent + keep)
                e++;
            char want[16];
            snprintf(want, sizeof want, "%.*s.", (int)(ends[e] - sent), all + sent);
            CHECK_STR(cut_at(sent, keep), want);
        }
    }
    end_pool();
}

TEST(the_middle_of_a_frame_is_told_from_its_start)
{
    static const bool is_mid[] = {false, true, false, true, true, false, false, true, false};
    outbox_pool_init(&pool);
    for (uint32_t sent = 0; sent < COUNT_OF(is_mid); sent++) {
        struct outbox o = {0};
        struct batch *a = make_batch("ab|cde|f|");
        push_all(&o, a);
        push_direct(&o, "gh");
        push_direct(&o, "i");
        batch_drop(&pool.batches, a);
        outbox_advance(&pool, &o, sent);
        CHECK_EQ(outbox_is_mid_frame(&pool, &o), is_mid[sent]);
        outbox_settle(&pool, &o);
        CHECK_EQ(outbox_is_mid_frame(&pool, &o), is_mid[sent]);
        outbox_clear(&pool, &o);
        outbox_pool_tick(&pool);
    }
    end_pool();
}

TEST(a_frame_that_was_sent_in_part_is_rewound_to_its_start)
{
    static const char all[] = "abcdefgh1";
    static const uint32_t starts[] = {0, 0, 2, 2, 2, 5, 6, 6, 8};
    outbox_pool_init(&pool);
    for (uint32_t sent = 0; sent < COUNT_OF(starts); sent++) {
        for (int is_settled = 0; is_settled < 2; is_settled++) {
            struct outbox o = {0};
            struct batch *a = make_batch("ab|cde|f|");
            push_all(&o, a);
            push_direct(&o, "gh");
            push_direct(&o, "1");
            batch_drop(&pool.batches, a);
            outbox_advance(&pool, &o, sent);
            if (is_settled)
                outbox_settle(&pool, &o);
            outbox_rewind(&pool, &o);
            CHECK(!outbox_is_mid_frame(&pool, &o));
            CHECK_EQ(o.bytes, sum_slices(&o));
            outbox_rewind(&pool, &o); // at a start there is nothing to do
            CHECK_STR(drain(&o, 3), all + starts[sent]);
            outbox_rewind(&pool, &o); // nor when all has gone
            CHECK_EQ(o.bytes, 0);
            outbox_pool_tick(&pool);
        }
    }
    end_pool();
}

TEST(settling_copies_direct_frames_so_that_they_pin_nothing)
{
    struct outbox o = {0};
    struct outbox other = {0};
    outbox_pool_init(&pool);
    push_direct(&other, "of somebody else");
    push_direct(&o, "abc");
    push_direct(&o, "de");
    const struct batch *shared = pool.direct;
    CHECK_EQ(shared->refs, 3);
    outbox_advance(&pool, &o, 1);
    outbox_settle(&pool, &o);
    CHECK_EQ(shared->refs, 2);
    CHECK(!shared->retained);
    CHECK(pool.slices[o.head].batch != shared);
    CHECK(pool.slices[o.head].batch->retained);
    CHECK(pool.batches.retained_bytes > 0);
    outbox_cut(&pool, &o, 1); // the boundary between "abc" and "de" is still known
    CHECK_STR(drain(&o, 100), "bc");
    CHECK_STR(drain(&other, 100), "of somebody else");
    end_pool();
}

TEST(settling_twice_changes_nothing)
{
    struct outbox o = {0};
    outbox_pool_init(&pool);
    struct batch *b = make_batch("ab|cd|");
    push_all(&o, b);
    batch_drop(&pool.batches, b);
    push_direct(&o, "ef");
    outbox_settle(&pool, &o);
    uint64_t retained = pool.batches.retained_bytes;
    outbox_pool_tick(&pool);
    outbox_settle(&pool, &o);
    CHECK_EQ(pool.batches.retained_bytes, retained);
    CHECK_STR(drain(&o, 1), "abcdef");
    end_pool();
}

TEST(a_batch_that_many_could_not_take_is_counted_once)
{
    struct outbox o[10] = {{0}};
    outbox_pool_init(&pool);
    struct batch *b = make_batch("ab|cd|");
    for (size_t i = 0; i < COUNT_OF(o); i++) {
        push_all(&o[i], b);
        outbox_settle(&pool, &o[i]);
    }
    CHECK_EQ(pool.batches.retained_bytes, b->cap);
    batch_drop(&pool.batches, b);
    for (size_t i = 0; i < COUNT_OF(o); i++) {
        CHECK(pool.batches.retained_bytes > 0);
        CHECK_STR(drain(&o[i], 100), "abcd");
    }
    end_pool();
}

TEST(moving_an_outbox_leaves_an_empty_one)
{
    struct outbox o = {0};
    struct outbox to = {0};
    outbox_pool_init(&pool);
    push_direct(&o, "abc");
    outbox_move(&o, &to);
    CHECK_EQ(o.bytes, 0);
    CHECK_EQ(o.head, 0);
    CHECK_EQ(to.bytes, 3);
    push_direct(&o, "x");
    CHECK_STR(drain(&o, 100), "x");
    CHECK_STR(drain(&to, 100), "abc");
    end_pool();
}

TEST(the_direct_batch_of_a_busy_tick_does_not_grow_without_end)
{
    enum { N = 300 };
    static char text[1001];
    struct outbox o = {0};
    memset(text, 'x', 1000);
    outbox_pool_init(&pool);
    for (int i = 0; i < N; i++)
        push_direct(&o, text);
    CHECK(count_slices(&o) > 3);
    for (uint32_t at = o.head; at; at = pool.slices[at].next)
        CHECK(pool.slices[at].batch->len <= 128 * 1024);
    CHECK_EQ(strlen(drain(&o, 100000)), N * 1000);
    end_pool();
}

/* --- a long random life against a plain list of bytes ---------------------------------- */

enum { BOXES = 5, MODEL = 1 << 20 };

struct model {
    struct outbox box;
    size_t from, to; // in bytes
    char bytes[MODEL];
    bool is_end[MODEL]; // a frame ends with this byte
};

static struct model models[BOXES];
static uint32_t seed = 2026;

static uint32_t draw(uint32_t below)
{
    seed = seed * 1664525U + 1013904223U;
    return (seed >> 8) % below;
}

static void expect(struct model *m, const char *frame, uint32_t len)
{
    ENSURE(m->to + len <= MODEL);
    memcpy(m->bytes + m->to, frame, len);
    memset(m->is_end + m->to, 0, len);
    m->to += len;
    m->is_end[m->to - 1] = true;
}

static bool is_start(const struct model *m, size_t at)
{
    return at == 0 || m->is_end[at - 1];
}

static void check_model(struct model *m)
{
    CHECK_EQ(m->box.bytes, m->to - m->from);
    CHECK_EQ(sum_slices(&m->box), m->box.bytes);
    CHECK_EQ(outbox_is_mid_frame(&pool, &m->box), m->to > m->from && !is_start(m, m->from));
}

static uint32_t draw_frame(char *out)
{
    uint32_t n = 1 + draw(draw(8) ? 80 : draw(4) ? 3000 : 20000);
    for (uint32_t i = 0; i < n; i++)
        out[i] = (char)draw(256);
    return n;
}

static void publish(struct batch *channel)
{
    static char frame[20000];
    uint32_t n = draw_frame(frame);
    uint32_t from = channel->len;
    memcpy(batch_room(channel, n), frame, n);
    batch_end_frame(channel, n);
    for (int i = 0; i < BOXES; i++) {
        if (draw(3) == 0)
            continue; // left out
        outbox_push(&pool, &models[i].box, channel, from, from + n);
        expect(&models[i], frame, n);
    }
}

static void answer(struct model *m)
{
    static char frame[20000];
    uint32_t n = draw_frame(frame);
    memcpy(outbox_room(&pool, n + 10), frame, n);
    outbox_end_frame(&pool, &m->box, n);
    expect(m, frame, n);
}

static void cut(struct model *m)
{
    size_t keep = draw((uint32_t)(m->to - m->from) + 10);
    outbox_cut(&pool, &m->box, (uint32_t)keep);
    size_t end = m->from + keep;
    while (end < m->to && !is_start(m, end))
        end++;
    if (end < m->to)
        m->to = end;
}

/* One flush: some sockets take all, some a part, some nothing. */
static void flush(struct model *m)
{
    uint32_t appetite = draw(3) == 0 ? 0 : draw(4) == 0 ? UINT32_MAX : draw(5000);
    while (m->box.bytes && appetite) {
        struct span next = outbox_peek(&pool, &m->box);
        CHECK(next.len > 0 && next.len <= m->to - m->from);
        CHECK(memcmp(next.p, m->bytes + m->from, next.len) == 0);
        uint32_t n = next.len < appetite ? (uint32_t)next.len : appetite;
        outbox_advance(&pool, &m->box, n);
        m->from += n;
        appetite -= n;
    }
    if (m->box.bytes)
        outbox_settle(&pool, &m->box);
    check_model(m);
    if (m->from == m->to || m->to > MODEL / 2) {
        outbox_clear(&pool, &m->box);
        m->from = m->to = 0;
    }
}

/* Another socket takes over: it gets the frame from its start. */
static void replace_socket(struct model *m)
{
    outbox_rewind(&pool, &m->box);
    while (m->from < m->to && !is_start(m, m->from))
        m->from--;
    check_model(m);
}

static void tick(void)
{
    struct batch *channels[2] = {batch_new(&pool.batches), batch_new(&pool.batches)};
    for (uint32_t n = draw(12); n > 0; n--) {
        if (draw(2))
            publish(channels[draw(2)]);
        else
            answer(&models[draw(BOXES)]);
        if (draw(40) == 0)
            cut(&models[draw(BOXES)]);
        if (draw(20) == 0)
            replace_socket(&models[draw(BOXES)]);
    }
    for (int i = 0; i < BOXES; i++)
        check_model(&models[i]);
    for (int i = 0; i < BOXES; i++)
        flush(&models[i]);
    batch_drop(&pool.batches, channels[0]);
    batch_drop(&pool.batches, channels[1]);
    outbox_pool_tick(&pool);
}

TEST(a_long_random_life_is_that_of_a_plain_list_of_frames)
{
    outbox_pool_init(&pool);
    for (int i = 0; i < 2000 && test_is_good; i++)
        tick();
    for (int i = 0; i < BOXES; i++)
        outbox_clear(&pool, &models[i].box);
    end_pool();
}

int main(void)
{
    RUN(an_empty_outbox_has_nothing_to_send);
    RUN(bytes_leave_in_the_order_in_which_they_came);
    RUN(a_slice_that_continues_the_last_is_merged_with_it);
    RUN(direct_frames_of_one_socket_are_one_slice);
    RUN(one_whole_batch_is_sent_without_a_copy);
    RUN(what_does_not_fit_into_the_scratch_buffer_is_gathered_in_turns);
    RUN(a_long_slice_is_not_gathered_with_others);
    RUN(a_cut_falls_behind_a_whole_frame_at_every_offset);
    RUN(the_middle_of_a_frame_is_told_from_its_start);
    RUN(a_frame_that_was_sent_in_part_is_rewound_to_its_start);
    RUN(settling_copies_direct_frames_so_that_they_pin_nothing);
    RUN(settling_twice_changes_nothing);
    RUN(a_batch_that_many_could_not_take_is_counted_once);
    RUN(moving_an_outbox_leaves_an_empty_one);
    RUN(the_direct_batch_of_a_busy_tick_does_not_grow_without_end);
    RUN(a_long_random_life_is_that_of_a_plain_list_of_frames);
    return test_end();
}
