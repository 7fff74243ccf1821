/* Retention: what goes, when, in which steps; and random operations against a model. */
#include "base/base.h"

#include <sys/stat.h>

#include "base/rand.h"
#include "shop.h"

static struct shop h;

static void open_with(const char *channel, struct store_rule rule)
{
    shop_init(&h);
    ENSURE(shop_open(&h) && shop_reset(&h, channel, "e1", rule));
}

/* One step; true when there is more to do. */
static bool trim(int64_t now_ms, uint32_t budget)
{
    bool has_more = false;
    if (!store_trim(h.s, now_ms, budget, &has_more, &h.err)) {
        printf("# %s\n", h.err.text);
        CHECK(false);
    }
    return has_more;
}

static struct store_figures figures(void)
{
    struct store_figures f;
    store_read_figures(h.s, &f);
    return f;
}

TEST(a_stream_at_its_limit_of_events_loses_one_for_each_that_comes)
{
    open_with("a", (struct store_rule){.durability = STORE_ACK, .max_events = 10});
    CHECK(shop_fill(&h, "a", 1, 10));
    CHECK(shop_holds(&h, "a", 1, 10));
    for (uint64_t top = 11; top < 40; top++) {
        CHECK(shop_fill(&h, "a", top, top));
        CHECK(shop_holds(&h, "a", top - 9, top));
    }
    CHECK(shop_fill(&h, "a", 40, 100)); // a group larger than what is kept
    CHECK(shop_holds(&h, "a", 91, 100));
    CHECK_EQ(figures().n_events, 10);
    CHECK_EQ(figures().n_trimmed, 90);
    shop_reopen(&h, true);
    CHECK(shop_holds(&h, "a", 91, 100));
    CHECK(!trim(INT64_MAX - 1, 10)); // nothing is left to do
    CHECK(shop_holds(&h, "a", 91, 100));
    shop_fini(&h);
}

TEST(a_limit_of_bytes_keeps_the_newest_that_fit)
{
    open_with("a", (struct store_rule){.durability = STORE_ACK, .max_bytes = 500});
    for (uint64_t top = 1; top < 60; top++) {
        CHECK(shop_fill(&h, "a", top, top));
        struct store_stream a = shop_find(&h, "a");
        CHECK(a.bytes <= 500 && (a.oldest == 1 || a.bytes > 500 - 40));
        CHECK(shop_holds(&h, "a", a.oldest, top));
    }
    CHECK(shop_find(&h, "a").oldest > 30);
    shop_fini(&h);
}

/* Event n is of 1000 + 10 n. */
TEST(events_go_when_their_time_is_over)
{
    open_with("a", (struct store_rule){.durability = STORE_ACK, .ttl_ms = 100});
    CHECK(shop_reset(&h, "kept", "e1", shop_rule(STORE_ACK)));
    CHECK(shop_fill(&h, "a", 1, 20));
    CHECK(shop_fill(&h, "kept", 1, 20));
    CHECK(!trim(1109, 100));
    CHECK(shop_holds(&h, "a", 1, 20));
    CHECK(!trim(1110, 100));
    CHECK(shop_holds(&h, "a", 2, 20));
    CHECK(!trim(1155, 100));
    CHECK(shop_holds(&h, "a", 6, 20));
    shop_reopen(&h, true);
    CHECK(!trim(1200, 100));
    CHECK(shop_holds(&h, "a", 11, 20));
    CHECK(!trim(9999, 100));
    CHECK(shop_holds(&h, "a", 21, 20)); // empty, but it remembers where it was
    CHECK_EQ(shop_find(&h, "a").bytes, 0);
    shop_reopen(&h, true);
    CHECK(shop_fill(&h, "a", 21, 22));
    CHECK(shop_holds(&h, "a", 21, 22));
    CHECK(!trim(99999, 100));
    CHECK(shop_holds(&h, "kept", 1, 20));
    shop_fini(&h);
}

TEST(a_stream_that_nobody_uses_is_forgotten_in_the_end)
{
    open_with("a", (struct store_rule){.durability = STORE_ACK, .ttl_ms = 100, .forget_ms = 5000});
    CHECK(shop_fill(&h, "a", 1, 5)); // the last is of 1050
    CHECK(!trim(6049, 100));
    CHECK(shop_holds(&h, "a", 6, 5));
    CHECK(!trim(6050, 100));
    CHECK_EQ(shop_find(&h, "a").state, STORE_ABSENT);
    CHECK_EQ(figures().n_streams, 0);
    CHECK(!shop_fill(&h, "a", 6, 6));
    shop_reopen(&h, true);
    CHECK_EQ(shop_find(&h, "a").state, STORE_ABSENT);
    CHECK_EQ(figures().n_streams, 0);
    CHECK(shop_reset(&h, "a", "e2", shop_rule(STORE_ACK)));
    CHECK(shop_fill(&h, "a", 1, 5));
    CHECK(shop_holds(&h, "a", 1, 5));
    shop_fini(&h);
}

TEST(a_tighter_rule_is_enforced_in_steps)
{
    struct store_key key = shop_key("a");
    struct store_rule rule = {.durability = STORE_ACK, .max_events = 50};
    unsigned n_steps = 1;
    open_with("a", shop_rule(STORE_ACK));
    CHECK(shop_fill(&h, "a", 1, 1000));
    CHECK(store_use_rule(h.s, &key, &rule, &h.err));
    shop_reopen(&h, true); // that there is something to do is kept
    for (uint64_t before = figures().n_events; trim(5, 30); before = figures().n_events) {
        uint64_t after = figures().n_events;
        CHECK(before - after <= 30);
        CHECK(shop_holds(&h, "a", 1001 - after, 1000));
        n_steps++;
    }
    CHECK(n_steps > 30);
    CHECK(shop_holds(&h, "a", 951, 1000));
    shop_fini(&h);
}

TEST(what_was_purged_goes_in_steps_and_its_space_is_given_back)
{
    open_with("a", shop_rule(STORE_ACK));
    CHECK(shop_reset(&h, "b", "e1", shop_rule(STORE_ACK)));
    for (uint64_t i = 0; i < 40; i++)
        CHECK(shop_fill(&h, "a", i * 1000 + 1, i * 1000 + 1000));
    CHECK(shop_fill(&h, "b", 1, 10));
    uint64_t full_bytes = figures().file_bytes;
    CHECK(full_bytes > 2000000);
    CHECK(shop_reset(&h, "a", "e2", shop_rule(STORE_ACK)));
    CHECK(shop_fill(&h, "a", 1, 10));
    CHECK_EQ(figures().n_events, 20);
    unsigned n_steps = 1;
    for (; trim(5, 1000) && n_steps < 1000; n_steps++)
        if (n_steps % 8 == 0)
            shop_reopen(&h, n_steps % 16 == 0); // in the middle of it
    CHECK(n_steps > 40 && n_steps < 1000);
    CHECK(figures().file_bytes < 1500000);
    CHECK(shop_holds(&h, "a", 1, 10));
    CHECK(shop_holds(&h, "b", 1, 10));
    shop_fini(&h);
}

/* What the store should say of three streams. */
enum { MODEL_STREAMS = 3 };
static struct model {
    char name[8], epoch[STORE_EPOCH + 1];
    bool is_there;
    struct store_rule rule;
    uint64_t top, oldest;
} models[MODEL_STREAMS];
static unsigned n_epochs;
static int64_t model_now_ms;

static uint32_t below(uint32_t n)
{
    return rand_u32() % n;
}

static struct store_rule draw_rule(void)
{
    return (struct store_rule){.durability = STORE_ACK,
        .max_events = below(3) ? 0 : 5 + below(40),
        .ttl_ms = below(3) ? 0 : 50 + below(400)};
}

static void model_cut(struct model *m, int64_t now_ms)
{
    uint64_t n = m->top + 1 - m->oldest;
    if (m->rule.max_events && n > m->rule.max_events)
        m->oldest = m->top + 1 - m->rule.max_events;
    while (now_ms && m->rule.ttl_ms && m->oldest <= m->top &&
           1000 + (int64_t)m->oldest * 10 + (int64_t)m->rule.ttl_ms <= now_ms)
        m->oldest++;
}

static void do_append(struct model *m, bool is_kept)
{
    uint64_t n = 1 + below(30);
    CHECK(store_begin(h.s, STORE_ACK, &h.err));
    for (uint64_t i = 1; i <= n; i++)
        CHECK(shop_append(&h, m->name, m->top + i));
    if (!is_kept) {
        store_rollback(h.s);
        return;
    }
    CHECK(store_commit(h.s, &h.err));
    m->top += n;
    // Two for each that came and eight more is the most that a commit cuts.
    uint64_t held = m->top + 1 - m->oldest;
    uint64_t over = m->rule.max_events && held > m->rule.max_events ? held - m->rule.max_events : 0;
    m->oldest += over < 2 * n + 8 ? over : 2 * n + 8;
    if (1000 + (int64_t)m->top * 10 > model_now_ms)
        model_now_ms = 1000 + (int64_t)m->top * 10;
}

static void do_trim(void)
{
    unsigned n_steps = 0;
    model_now_ms += below(100);
    while (trim(model_now_ms, 1 + below(20)) && n_steps < 100000)
        n_steps++;
    CHECK(n_steps < 100000);
    for (size_t i = 0; i < MODEL_STREAMS; i++)
        model_cut(&models[i], model_now_ms);
}

static void do_reset(struct model *m)
{
    snprintf(m->epoch, sizeof m->epoch, "e%u", ++n_epochs);
    m->rule = draw_rule();
    m->is_there = true;
    m->top = 0;
    m->oldest = 1;
    CHECK(shop_reset(&h, m->name, m->epoch, m->rule));
}

static void do_something(void)
{
    struct model *m = &models[below(MODEL_STREAMS)];
    struct store_key key = shop_key(m->name);
    uint32_t what = below(100);
    if (!m->is_there || what < 3) {
        do_reset(m);
    } else if (what < 60) {
        do_append(m, what % 8 != 0);
    } else if (what < 80) {
        do_trim();
    } else if (what < 90) {
        m->rule = draw_rule();
        CHECK(store_use_rule(h.s, &key, &m->rule, &h.err));
    } else {
        shop_reopen(&h, what % 2);
    }
}

TEST(random_operations_agree_with_a_model)
{
    uint64_t n_events = 0;
    shop_init(&h);
    CHECK(shop_open(&h));
    for (unsigned i = 0; i < MODEL_STREAMS; i++) {
        models[i] = (struct model){.oldest = 1};
        snprintf(models[i].name, sizeof models[i].name, "m%u", i);
    }
    for (unsigned step = 0; step < 1000 && test_is_good; step++) {
        do_something();
        n_events = 0;
        for (size_t i = 0; i < MODEL_STREAMS; i++) {
            struct model *m = &models[i];
            struct store_stream found = shop_find(&h, m->name);
            CHECK_EQ(found.state, m->is_there ? STORE_WHOLE : STORE_ABSENT);
            if (!m->is_there)
                continue;
            CHECK_STR(found.epoch, m->epoch);
            CHECK_EQ(found.top, m->top);
            CHECK_EQ(found.oldest, m->oldest);
            CHECK(shop_holds(&h, m->name, m->oldest, m->top));
            n_events += m->top + 1 - m->oldest;
        }
        CHECK_EQ(figures().n_events, n_events);
    }
    shop_fini(&h);
}

static off_t log_size(void)
{
    char path[512];
    struct stat st;
    snprintf(path, sizeof path, "%s-wal", h.path);
    return stat(path, &st) == 0 ? st.st_size : 0;
}

TEST(the_log_grows_until_a_checkpoint_and_is_then_written_from_its_beginning)
{
    uint64_t top = 0;
    open_with("a", (struct store_rule){.durability = STORE_ACK});
    for (; top < 200; top++) {
        CHECK(shop_fill(&h, "a", top + 1, top + 1));
        store_checkpoint(h.s, 100000); // it is not as long as that
    }
    off_t long_one = log_size();
    CHECK(long_one > 200 * 4096); // each commit has written a page
    store_checkpoint(h.s, 200);
    for (; top < 300; top++)
        CHECK(shop_fill(&h, "a", top + 1, top + 1));
    CHECK_EQ(log_size(), long_one);
    shop_reopen(&h, true);
    CHECK(shop_holds(&h, "a", 1, 300));
    shop_fini(&h);
}

int main(void)
{
    hash_init();
    RUN(the_log_grows_until_a_checkpoint_and_is_then_written_from_its_beginning);
    RUN(a_stream_at_its_limit_of_events_loses_one_for_each_that_comes);
    RUN(a_limit_of_bytes_keeps_the_newest_that_fit);
    RUN(events_go_when_their_time_is_over);
    RUN(a_stream_that_nobody_uses_is_forgotten_in_the_end);
    RUN(a_tighter_rule_is_enforced_in_steps);
    RUN(what_was_purged_goes_in_steps_and_its_space_is_given_back);
    RUN(random_operations_agree_with_a_model);
    return test_end();
}
