/* Ranges. */
#include "base/base.h"

#include "shop.h"

static struct shop h;

static void open_filled(uint64_t n)
{
    shop_init(&h);
    ENSURE(shop_open(&h) && shop_reset(&h, "before", "e1", shop_rule(STORE_ACK)));
    ENSURE(shop_reset(&h, "a", "e1", shop_rule(STORE_ACK)));
    ENSURE(shop_reset(&h, "behind", "e1", shop_rule(STORE_ACK)));
    ENSURE(shop_fill(&h, "before", 1, 7) && shop_fill(&h, "behind", 1, 7));
    if (n)
        ENSURE(shop_fill(&h, "a", 1, n));
}

/* The range gives first ... in its direction, n of them, and ends so. */
static bool gives(struct store_range range, uint64_t first, uint64_t n, enum store_step expected)
{
    enum store_step end;
    uint64_t found = shop_read(&h, "a", range, first, &end);
    if (found != n || end != expected)
        printf("# %llu events, ended %d\n", (unsigned long long)found, (int)end);
    return found == n && end == expected;
}

TEST(every_range_of_offsets_gives_just_that_in_both_directions)
{
    enum { N = 12 };
    open_filled(N);
    for (uint64_t from = 0; from <= N + 2; from++)
        for (uint64_t to = 0; to <= N + 2; to++) {
            uint64_t first = from ? from : 1;
            uint64_t last = to && to < N ? to : N;
            uint64_t n = first <= last ? last + 1 - first : 0;
            CHECK(gives((struct store_range){.from = from, .to = to}, first, n, STORE_END));
            CHECK(gives((struct store_range){.from = from, .to = to, .is_backwards = true}, last, n,
                STORE_END));
        }
    CHECK(gives((struct store_range){.from = UINT64_MAX, .to = UINT64_MAX}, 1, 0, STORE_END));
    shop_fini(&h);
}

TEST(a_limit_of_events_says_whether_there_are_more)
{
    open_filled(10);
    CHECK(gives((struct store_range){.max_events = 4}, 1, 4, STORE_LIMIT));
    CHECK(gives((struct store_range){.max_events = 4, .is_backwards = true}, 10, 4, STORE_LIMIT));
    CHECK(gives((struct store_range){.max_events = 10}, 1, 10, STORE_END));
    CHECK(gives((struct store_range){.from = 7, .max_events = 4}, 7, 4, STORE_END));
    CHECK(gives((struct store_range){.from = 6, .max_events = 4}, 6, 4, STORE_LIMIT));
    shop_fini(&h);
}

TEST(a_limit_of_bytes_ends_in_front_of_the_event_that_crosses_it)
{
    struct store_key key = shop_key("a");
    struct store_stream at;
    struct store_event e;
    uint64_t bytes[11] = {0};
    open_filled(10);
    CHECK(store_read(h.s, &key, &(struct store_range){0}, &at, &h.err));
    for (size_t i = 1; store_next(h.s, &e) == STORE_EVENT; i++)
        bytes[i] = bytes[i - 1] + e.name.len + e.data.len;
    CHECK_EQ(at.bytes, bytes[10]);
    for (uint64_t n = 1; n < 10; n++) {
        CHECK(gives((struct store_range){.max_bytes = bytes[n]}, 1, n, STORE_LIMIT));
        CHECK(gives((struct store_range){.max_bytes = bytes[n + 1] - 1}, 1, n, STORE_LIMIT));
    }
    CHECK(gives((struct store_range){.max_bytes = bytes[10]}, 1, 10, STORE_END));
    CHECK(gives((struct store_range){.max_bytes = 1}, 1, 1, STORE_LIMIT)); // one in any case
    CHECK(gives((struct store_range){.from = 10, .max_bytes = 1}, 10, 1, STORE_END));
    shop_fini(&h);
}

/* Event n is of 1000 + 10 n. */
TEST(times_bound_a_range_as_offsets_do)
{
    open_filled(12);
    for (int64_t start = 1000; start <= 1130; start += 5)
        for (int64_t end = 1000; end <= 1130; end += 5) {
            uint64_t first = start <= 1010 ? 1 : (uint64_t)(start - 1000 + 9) / 10;
            uint64_t last = end >= 1120 ? 12 : (uint64_t)(end - 1000) / 10;
            uint64_t n = first <= last ? last + 1 - first : 0;
            struct store_range range = {.start_ms = start, .end_ms = end};
            CHECK(gives(range, first, n, STORE_END));
            range.is_backwards = true;
            CHECK(gives(range, last, n, STORE_END));
        }
    CHECK(gives((struct store_range){.start_ms = 1050}, 5, 8, STORE_END));
    CHECK(gives((struct store_range){.end_ms = 1050}, 1, 5, STORE_END));
    CHECK(gives((struct store_range){.from = 3, .end_ms = 1050}, 3, 3, STORE_END));
    CHECK(gives((struct store_range){.to = 7, .start_ms = 1050}, 5, 3, STORE_END));
    CHECK(
        gives((struct store_range){.start_ms = INT64_MIN, .end_ms = INT64_MAX}, 1, 12, STORE_END));
    shop_fini(&h);
}

TEST(an_empty_or_unknown_stream_gives_nothing_and_says_why)
{
    struct store_key key = shop_key("a");
    struct store_stream at;
    struct store_event e;
    open_filled(0);
    CHECK(gives((struct store_range){.start_ms = 5, .end_ms = 7}, 1, 0, STORE_END));
    CHECK(store_read(h.s, &key, &(struct store_range){0}, &at, &h.err));
    CHECK_EQ(at.state, STORE_WHOLE);
    key = shop_key("nobody");
    CHECK(store_read(h.s, &key, &(struct store_range){0}, &at, &h.err));
    CHECK_EQ(at.state, STORE_ABSENT);
    CHECK_EQ(store_next(h.s, &e), STORE_END);
    shop_fini(&h);
}

/* A page ends with its last offset; the next one goes on there, whatever came meanwhile. */
TEST(pages_fit_together_while_events_are_appended)
{
    uint64_t next = 1;
    enum store_step end = STORE_LIMIT;
    open_filled(30);
    for (uint64_t top = 30; end == STORE_LIMIT; top += 2) {
        next += shop_read(&h, "a", (struct store_range){.from = next, .max_events = 7}, next, &end);
        CHECK(shop_fill(&h, "a", top + 1, top + 2));
        if (end == STORE_END)
            CHECK_EQ(next, top + 1);
    }
    CHECK(next > 35);
    shop_fini(&h);
}

TEST(a_range_may_be_left_before_its_end)
{
    struct store_key key = shop_key("a");
    struct store_stream at;
    struct store_event e;
    open_filled(10);
    CHECK(store_read(h.s, &key, &(struct store_range){0}, &at, &h.err));
    CHECK_EQ(store_next(h.s, &e), STORE_EVENT);
    CHECK(store_read(h.s, &key, &(struct store_range){.from = 5}, &at, &h.err));
    CHECK_EQ(store_next(h.s, &e), STORE_EVENT);
    CHECK(shop_is_same(&e, "a", 5));
    CHECK(shop_fill(&h, "a", 11, 12)); // ends it
    CHECK_EQ(store_next(h.s, &e), STORE_END);
    CHECK(shop_holds(&h, "a", 1, 12));
    shop_fini(&h);
}

int main(void)
{
    hash_init();
    RUN(every_range_of_offsets_gives_just_that_in_both_directions);
    RUN(a_limit_of_events_says_whether_there_are_more);
    RUN(a_limit_of_bytes_ends_in_front_of_the_event_that_crosses_it);
    RUN(times_bound_a_range_as_offsets_do);
    RUN(an_empty_or_unknown_stream_gives_nothing_and_says_why);
    RUN(pages_fit_together_while_events_are_appended);
    RUN(a_range_may_be_left_before_its_end);
    return test_end();
}
