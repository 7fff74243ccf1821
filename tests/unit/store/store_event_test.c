/* What goes into a stream, and in which order. */
#include "base/base.h"

#include "shop.h"

static struct shop h;

TEST(what_was_committed_is_read_as_it_was_written)
{
    shop_init(&h);
    CHECK(shop_open(&h));
    CHECK_EQ(shop_find(&h, "a").state, STORE_ABSENT);
    CHECK(shop_reset(&h, "a", "k3Jd", shop_rule(STORE_ACK)));
    CHECK(shop_fill(&h, "a", 1, 50));
    CHECK(shop_holds(&h, "a", 1, 50));
    struct store_stream a = shop_find(&h, "a");
    CHECK_STR(a.epoch, "k3Jd");
    CHECK_EQ(a.created_ms, 1000);
    CHECK_EQ(a.last_ms, 1500);
    CHECK(a.bytes > 50 * 20);
    shop_reopen(&h, true);
    CHECK(shop_holds(&h, "a", 1, 50));
    CHECK_EQ(shop_find(&h, "a").bytes, a.bytes);
    shop_fini(&h);
}

TEST(any_bytes_are_kept)
{
    static char all[300000];
    struct store_key key = {span_of("\0app", 4), span_of("a\0'\xff", 4)};
    struct store_stream at;
    struct store_event e;
    shop_init(&h);
    CHECK(shop_open(&h));
    for (size_t i = 0; i < sizeof all; i++)
        all[i] = (char)(i * 7 + i / 256);
    struct store_birth birth = {.epoch = span_str("0123456789abcdef"), .now_ms = 5};
    CHECK(store_reset(h.s, &key, &birth, &h.err));
    CHECK(store_begin(h.s, STORE_ASYNC, &h.err));
    struct store_event event = {
        .offset = 1, .time_ms = 9, .name = span_of("\0", 1), .data = span_of(all, sizeof all)};
    CHECK(store_append(h.s, &key, &event, &h.err));
    event = (struct store_event){.offset = 2, .time_ms = 9};
    CHECK(store_append(h.s, &key, &event, &h.err));
    CHECK(store_commit(h.s, &h.err));
    shop_reopen(&h, true);
    CHECK(store_read(h.s, &key, &(struct store_range){0}, &at, &h.err));
    CHECK_EQ(at.state, STORE_WHOLE);
    CHECK_STR(at.epoch, "0123456789abcdef");
    CHECK_EQ(at.bytes, sizeof all + 1);
    CHECK_EQ(store_next(h.s, &e), STORE_EVENT);
    CHECK(span_eq(e.data, span_of(all, sizeof all)) && span_eq(e.name, span_of("\0", 1)));
    CHECK_EQ(store_next(h.s, &e), STORE_EVENT);
    CHECK(e.name.len == 0 && e.data.len == 0);
    CHECK_EQ(store_next(h.s, &e), STORE_END);
    CHECK_EQ(store_next(h.s, &e), STORE_END);
    shop_fini(&h);
}

TEST(a_hole_or_a_repetition_is_refused_and_the_group_goes_on)
{
    shop_init(&h);
    CHECK(shop_open(&h));
    CHECK(shop_reset(&h, "a", "e1", shop_rule(STORE_ACK)));
    CHECK(store_begin(h.s, STORE_ACK, &h.err));
    CHECK(shop_append(&h, "a", 1));
    CHECK(!shop_append(&h, "a", 1));
    CHECK(strstr(h.err.text, "offset 1, expected 2") && strstr(h.err.text, h.path));
    CHECK(!shop_append(&h, "a", 3));
    CHECK(strstr(h.err.text, "offset 3, expected 2") != NULL);
    CHECK(!shop_append(&h, "a", 0));
    CHECK(!shop_append(&h, "unknown", 1));
    CHECK(strstr(h.err.text, "there is no stream") && strstr(h.err.text, "unknown"));
    CHECK(shop_append(&h, "a", 2));
    CHECK(store_commit(h.s, &h.err));
    CHECK(shop_holds(&h, "a", 1, 2));
    shop_fini(&h);
}

TEST(a_group_of_many_streams_is_stored_or_not_as_one)
{
    char name[16];
    shop_init(&h);
    CHECK(shop_open(&h));
    for (int round = 0; round < 3; round++) { // stored, rolled back, stored
        CHECK(store_begin(h.s, STORE_ACK, &h.err));
        for (int i = 0; i < 20; i++) {
            snprintf(name, sizeof name, "c%d", i);
            if (shop_find(&h, name).state == STORE_ABSENT)
                CHECK(shop_reset(&h, name, "e1", shop_rule(STORE_ACK)));
            uint64_t top = shop_find(&h, name).top;
            CHECK(shop_append(&h, name, top + 1));
            CHECK(shop_append(&h, name, top + 2));
        }
        if (round == 1)
            store_rollback(h.s);
        else
            CHECK(store_commit(h.s, &h.err));
    }
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "c%d", i);
        CHECK(shop_holds(&h, name, 1, 4));
    }
    struct store_figures f;
    store_read_figures(h.s, &f);
    CHECK_EQ(f.n_events, 80);
    CHECK_EQ(f.n_streams, 20);
    CHECK_EQ(f.n_commits, 2);
    CHECK_EQ(f.n_failures, 0);
    CHECK(f.file_bytes > 8192 && f.last_commit_us > 0);
    shop_reopen(&h, true);
    store_read_figures(h.s, &f);
    CHECK_EQ(f.n_events, 80);
    CHECK_EQ(f.n_streams, 20);
    shop_fini(&h);
}

TEST(time_does_not_go_back_in_a_stream)
{
    struct store_key key = shop_key("a");
    struct store_stream at;
    struct store_event e;
    shop_init(&h);
    CHECK(shop_open(&h));
    CHECK(shop_reset(&h, "a", "e1", shop_rule(STORE_ACK))); // at 1000
    CHECK(store_begin(h.s, STORE_ACK, &h.err));
    static const int64_t given[] = {900, 1500, 1400, 1500, 2000};
    for (size_t i = 0; i < COUNT_OF(given); i++)
        CHECK(store_append(
            h.s, &key, &(struct store_event){.offset = i + 1, .time_ms = given[i]}, &h.err));
    CHECK(store_commit(h.s, &h.err));
    static const int64_t kept[] = {1000, 1500, 1500, 1500, 2000};
    CHECK(store_read(h.s, &key, &(struct store_range){0}, &at, &h.err));
    for (size_t i = 0; i < COUNT_OF(kept); i++) {
        CHECK_EQ(store_next(h.s, &e), STORE_EVENT);
        CHECK_EQ(e.time_ms, kept[i]);
    }
    CHECK_EQ(store_next(h.s, &e), STORE_END);
    shop_fini(&h);
}

TEST(what_is_too_large_is_refused)
{
    struct store_key key = shop_key("a");
    static char name[STORE_NAME + 1];
    shop_init(&h);
    CHECK(shop_open(&h));
    CHECK(shop_reset(&h, "a", "e1", shop_rule(STORE_ACK)));
    CHECK(store_begin(h.s, STORE_ACK, &h.err));
    memset(name, 'n', sizeof name);
    struct store_event event = {.offset = 1, .name = span_of(name, sizeof name)};
    CHECK(!store_append(h.s, &key, &event, &h.err));
    CHECK(strstr(h.err.text, "too large") != NULL);
    event.name.len--;
    CHECK(store_append(h.s, &key, &event, &h.err));
    CHECK(store_commit(h.s, &h.err));
    CHECK_EQ(shop_find(&h, "a").top, 1);
    shop_fini(&h);
}

int main(void)
{
    hash_init();
    RUN(what_was_committed_is_read_as_it_was_written);
    RUN(any_bytes_are_kept);
    RUN(a_hole_or_a_repetition_is_refused_and_the_group_goes_on);
    RUN(a_group_of_many_streams_is_stored_or_not_as_one);
    RUN(time_does_not_go_back_in_a_stream);
    RUN(what_is_too_large_is_refused);
    return test_end();
}
