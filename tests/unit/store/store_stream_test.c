/* Streams: their epochs, rules, and what damage does to them. */
#include "base/base.h"

#include <sqlite3.h>

#include "shop.h"

static struct shop h;

static void tell(const char *sql)
{
    sqlite3 *db = NULL;
    char *why = NULL;
    ENSURE(sqlite3_open(h.path, &db) == SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK)
        printf("# %s: %s\n", sql, why);
    ENSURE(!why);
    ENSURE(sqlite3_changes(db) > 0);
    ENSURE(sqlite3_close(db) == SQLITE_OK);
}

TEST(a_reset_begins_a_new_epoch_without_the_old_events)
{
    shop_init(&h);
    CHECK(shop_open(&h));
    CHECK(shop_reset(&h, "a", "e1", shop_rule(STORE_ACK)));
    CHECK(shop_reset(&h, "b", "e1", shop_rule(STORE_ACK)));
    CHECK(shop_fill(&h, "a", 1, 30));
    CHECK(shop_fill(&h, "b", 1, 30));
    CHECK(shop_reset(&h, "a", "e2", shop_rule(STORE_ACK)));
    struct store_stream a = shop_find(&h, "a");
    CHECK_STR(a.epoch, "e2");
    CHECK(a.top == 0 && a.oldest == 1 && a.bytes == 0);
    CHECK(shop_fill(&h, "a", 1, 5));
    for (int i = 0; i < 2; i++, shop_reopen(&h, true)) {
        CHECK(shop_holds(&h, "a", 1, 5));
        CHECK(shop_holds(&h, "b", 1, 30));
    }
    shop_fini(&h);
}

TEST(a_stream_may_begin_where_another_ended)
{
    struct store_key key = shop_key("a");
    shop_init(&h);
    CHECK(shop_open(&h));
    struct store_birth birth = {.epoch = span_str("e1"), .top = 41, .now_ms = 1000};
    CHECK(store_reset(h.s, &key, &birth, &h.err));
    CHECK(!shop_fill(&h, "a", 1, 1));
    CHECK(shop_fill(&h, "a", 42, 50));
    shop_reopen(&h, true);
    CHECK(shop_holds(&h, "a", 42, 50));
    birth.top = STORE_OFFSETS - 2;
    CHECK(store_reset(h.s, &key, &birth, &h.err));
    CHECK(store_begin(h.s, STORE_ACK, &h.err));
    CHECK(shop_append(&h, "a", STORE_OFFSETS - 1));
    CHECK(!shop_append(&h, "a", STORE_OFFSETS)); // that was the last
    CHECK(store_commit(h.s, &h.err));
    CHECK(shop_reset(&h, "b", "e1", shop_rule(STORE_ACK)));
    CHECK(shop_fill(&h, "b", 1, 1));
    CHECK(shop_holds(&h, "a", STORE_OFFSETS - 1, STORE_OFFSETS - 1));
    shop_fini(&h);
}

TEST(app_and_channel_are_told_apart)
{
    struct store_key one = {span_str("ab"), span_str("c")};
    struct store_key other = {span_str("a"), span_str("bc")};
    struct store_stream found;
    struct store_birth birth = {.epoch = span_str("e1"), .now_ms = 1};
    shop_init(&h);
    CHECK(shop_open(&h));
    CHECK(store_reset(h.s, &one, &birth, &h.err));
    CHECK(store_find(h.s, &other, &found, &h.err) && found.state == STORE_ABSENT);
    birth.epoch = span_str("e2");
    CHECK(store_reset(h.s, &other, &birth, &h.err));
    shop_reopen(&h, true);
    CHECK(store_find(h.s, &one, &found, &h.err));
    CHECK_STR(found.epoch, "e1");
    CHECK(store_find(h.s, &other, &found, &h.err));
    CHECK_STR(found.epoch, "e2");
    shop_fini(&h);
}

TEST(a_rule_can_be_changed_and_is_kept)
{
    struct store_key key = shop_key("a");
    struct store_rule rule = {.durability = STORE_ACK,
        .max_events = 9,
        .max_bytes = 1000,
        .ttl_ms = 77,
        .forget_ms = UINT64_MAX};
    struct store_figures f;
    shop_init(&h);
    CHECK(shop_open(&h));
    CHECK(store_use_rule(h.s, &key, &rule, &h.err)); // nobody there: nothing to do
    CHECK(shop_reset(&h, "a", "e1", shop_rule(STORE_ASYNC)));
    CHECK(shop_fill(&h, "a", 1, 5));
    CHECK(store_use_rule(h.s, &key, &rule, &h.err));
    store_read_figures(h.s, &f);
    uint64_t n_commits = f.n_commits;
    CHECK(store_use_rule(h.s, &key, &rule, &h.err));
    store_read_figures(h.s, &f);
    CHECK_EQ(f.n_commits, n_commits);
    shop_reopen(&h, false);
    struct store_stream a = shop_find(&h, "a");
    CHECK_EQ(a.rule.durability, STORE_ACK);
    CHECK(a.rule.max_events == 9 && a.rule.max_bytes == 1000 && a.rule.ttl_ms == 77);
    CHECK(a.rule.forget_ms == UINT64_MAX);
    CHECK(shop_holds(&h, "a", 1, 5)); // it is an ack stream since before the crash
    CHECK(store_begin(h.s, STORE_ACK, &h.err));
    rule.ttl_ms = 0;
    CHECK(store_use_rule(h.s, &key, &rule, &h.err)); // in a group: with it
    store_rollback(h.s);
    CHECK_EQ(shop_find(&h, "a").rule.ttl_ms, 77);
    shop_fini(&h);
}

TEST(after_an_unclean_end_async_streams_are_cut_until_reset)
{
    struct store_key key = shop_key("was-ack");
    struct store_rule async = shop_rule(STORE_ASYNC);
    shop_init(&h);
    CHECK(shop_open(&h));
    CHECK(shop_reset(&h, "idle", "e1", shop_rule(STORE_ASYNC)));
    CHECK(shop_reset(&h, "was-ack", "e1", shop_rule(STORE_ACK)));
    shop_reopen(&h, true);
    CHECK_EQ(shop_find(&h, "idle").state, STORE_WHOLE);
    shop_reopen(&h, false); // what it accepted in that run may never have been committed
    CHECK_EQ(shop_find(&h, "idle").state, STORE_CUT);
    CHECK_EQ(shop_find(&h, "was-ack").state, STORE_WHOLE);
    CHECK(store_use_rule(h.s, &key, &async, &h.err));
    shop_reopen(&h, true);
    CHECK_EQ(shop_find(&h, "idle").state, STORE_CUT);
    CHECK_EQ(shop_find(&h, "was-ack").state, STORE_WHOLE);
    CHECK(shop_reset(&h, "idle", "e2", shop_rule(STORE_ASYNC)));
    CHECK_EQ(shop_find(&h, "idle").state, STORE_WHOLE);
    shop_reopen(&h, true);
    CHECK_EQ(shop_find(&h, "idle").state, STORE_WHOLE);
    shop_reopen(&h, false);
    CHECK_EQ(shop_find(&h, "idle").state, STORE_CUT);
    CHECK_EQ(shop_find(&h, "was-ack").state, STORE_CUT);
    shop_fini(&h);
}

/* Each of these changes one thing in the file of a stream of events 1 to 20. */
static const char *const damages[] = {
    "UPDATE streams SET top = top + 1 WHERE channel = CAST('a' AS BLOB)",
    "UPDATE streams SET top = top - 1 WHERE channel = CAST('a' AS BLOB)",
    "UPDATE streams SET oldest = 2 WHERE channel = CAST('a' AS BLOB)",
    "UPDATE streams SET bytes = -1 WHERE channel = CAST('a' AS BLOB)",
    "UPDATE streams SET epoch = 'e9' WHERE channel = CAST('a' AS BLOB)",
    "UPDATE streams SET epoch = NULL WHERE channel = CAST('a' AS BLOB)",
    "UPDATE streams SET epoch = 'longer than an epoch' WHERE channel = CAST('a' AS BLOB)",
    "UPDATE streams SET durability = 0 WHERE channel = CAST('a' AS BLOB)",
    "UPDATE streams SET id = 7 WHERE channel = CAST('a' AS BLOB)",
    "UPDATE streams SET channel = CAST('b' AS BLOB) WHERE channel = CAST('a' AS BLOB)",
    "DELETE FROM streams WHERE channel = CAST('a' AS BLOB)",
    "DELETE FROM events WHERE key & 0xffff = 1",
    "DELETE FROM events WHERE key & 0xffff = 10",
    "DELETE FROM events WHERE key & 0xffff = 20",
    "UPDATE events SET key = key + 20 WHERE key & 0xffff = 20",
    "UPDATE events SET data = data || 'x' WHERE key & 0xffff = 11",
    "UPDATE events SET data = NULL WHERE key & 0xffff = 11",
    "UPDATE events SET name = 'olds' WHERE key & 0xffff = 1",
    "UPDATE events SET time_ms = time_ms + 1 WHERE key & 0xffff = 20",
    "UPDATE events SET name = data, data = name WHERE key & 0xffff = 3",
    "UPDATE events SET sum = sum + 1 WHERE key & 0xffff = 5",
};

TEST(what_was_changed_behind_our_back_is_never_read)
{
    for (size_t i = 0; i < COUNT_OF(damages); i++) {
        enum store_step end = STORE_END;
        shop_init(&h);
        CHECK(shop_open(&h));
        CHECK(shop_reset(&h, "a", "e1", shop_rule(STORE_ACK)));
        CHECK(shop_fill(&h, "a", 1, 20));
        store_close(h.s, true);
        tell(damages[i]);
        CHECK(shop_open(&h));
        struct store_stream a = shop_find(&h, "a");
        bool is_told = a.state == STORE_DAMAGED || a.state == STORE_ABSENT;
        if (!is_told) // then the rows before it may be read, and that is all
            is_told = shop_read(&h, "a", (struct store_range){0}, 1, &end) < 20 &&
                      end == STORE_LOST && shop_find(&h, "a").state == STORE_DAMAGED;
        if (!is_told)
            printf("# after %s\n", damages[i]);
        CHECK(is_told);
        CHECK(!shop_fill(&h, "a", 21, 21));
        CHECK(!store_is_spent(h.s));
        CHECK(shop_reset(&h, "a", "e2", shop_rule(STORE_ACK))); // and a new epoch mends it
        CHECK(shop_fill(&h, "a", 1, 20));
        shop_reopen(&h, true);
        CHECK(shop_holds(&h, "a", 1, 20));
        shop_fini(&h);
    }
}

/* More than are kept in memory at once, in no good order. */
TEST(there_may_be_more_streams_than_memory_holds)
{
    enum { STREAMS = 70000 };
    char name[16];
    shop_init(&h);
    CHECK(shop_open(&h));
    for (unsigned from = 0; from < STREAMS; from += 10000) {
        CHECK(store_begin(h.s, STORE_ASYNC, &h.err));
        for (unsigned i = from; i < from + 10000; i++) {
            snprintf(name, sizeof name, "c%u", i);
            CHECK(shop_reset(&h, name, "e1", shop_rule(STORE_ASYNC)));
            CHECK(shop_append(&h, name, 1));
        }
        CHECK(store_commit(h.s, &h.err));
    }
    for (unsigned i = 0; i < STREAMS; i += 997) {
        snprintf(name, sizeof name, "c%u", i);
        CHECK(shop_holds(&h, name, 1, 1));
    }
    struct store_figures f;
    store_read_figures(h.s, &f);
    CHECK(f.n_streams == STREAMS && f.n_events == STREAMS);
    shop_fini(&h);
}

/* A search that goes on until it finds something would hold the disk's only thread for minutes. */
TEST(where_ids_are_nearly_used_up_a_new_stream_is_refused_in_good_time)
{
    shop_init(&h);
    CHECK(shop_open(&h));
    store_close(h.s, true);
    tell("WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < 25000)"
         " INSERT INTO graves SELECT id FROM n UNION ALL SELECT 8388607");
    CHECK(shop_open(&h));
    for (int i = 0; i < 2; i++) {
        CHECK(!shop_reset(&h, "a", "e1", shop_rule(STORE_ACK)));
        CHECK(strstr(h.err.text, "no room for another stream") != NULL);
    }
    CHECK(shop_reset(&h, "a", "e1", shop_rule(STORE_ACK))); // it goes on where it was
    CHECK(shop_fill(&h, "a", 1, 3));
    shop_fini(&h);
}

int main(void)
{
    hash_init();
    RUN(a_reset_begins_a_new_epoch_without_the_old_events);
    RUN(a_stream_may_begin_where_another_ended);
    RUN(app_and_channel_are_told_apart);
    RUN(a_rule_can_be_changed_and_is_kept);
    RUN(after_an_unclean_end_async_streams_are_cut_until_reset);
    RUN(what_was_changed_behind_our_back_is_never_read);
    RUN(there_may_be_more_streams_than_memory_holds);
    RUN(where_ids_are_nearly_used_up_a_new_stream_is_refused_in_good_time);
    return test_end();
}
