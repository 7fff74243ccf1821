/* Named requests: one acts, the others have its answer. */
#include "base/base.h"

#include "serve/once.h"

#include <stdlib.h>

#include "base/map.h"
#include "check_span.h"
#include "test.h"

static enum once_result begin(
    struct once *o, const char *name, uint64_t now_ms, unsigned worker, struct once_answer *answer)
{
    *answer = (struct once_answer){0};
    return once_begin(o, span_str(name), now_ms,
        &(struct once_waiter){.worker = worker, .request = {1, 2, 3}}, answer);
}

static size_t end(struct once *o, const char *name, bool is_kept)
{
    struct once_waiter *waiters;
    size_t n = once_end(o, span_str(name), 200, span_str("{\"a\":1}"), is_kept, &waiters);
    for (size_t i = 0; i < n; i++)
        CHECK_EQ(waiters[i].worker, i + 1);
    free(waiters);
    return n;
}

TEST(the_first_acts_and_the_others_wait_or_repeat)
{
    struct once_answer answer;
    struct once *o = once_new();
    CHECK_EQ(begin(o, "a", 0, 0, &answer), ONCE_FIRST);
    CHECK_EQ(begin(o, "a", 0, 1, &answer), ONCE_WAIT);
    CHECK_EQ(begin(o, "a", 0, 2, &answer), ONCE_WAIT);
    CHECK_EQ(begin(o, "b", 0, 0, &answer), ONCE_FIRST);
    CHECK_EQ(end(o, "a", true), 2);
    CHECK_EQ(begin(o, "a", 1, 0, &answer), ONCE_AGAIN);
    CHECK_EQ(answer.status, 200);
    CHECK_SPAN(buf_span(&answer.body), "{\"a\":1}");
    buf_fini(&answer.body);
    CHECK_EQ(end(o, "b", false), 0); // it failed: the name is free
    CHECK_EQ(begin(o, "b", 1, 0, &answer), ONCE_FIRST);
    CHECK_EQ(end(o, "b", true), 0);
    once_free(o); // with what is left
}

static size_t names_in(struct once *o)
{
    struct once_figures f;
    once_read(o, &f);
    return f.n;
}

TEST(long_answers_make_room_for_each_other)
{
    enum { BODY = 1024 * 1024, N = 80 };
    char name[16];
    char *body = calloc(1, BODY);
    struct once_answer answer;
    struct once_waiter *waiters;
    struct once_figures f;
    struct once *o = once_new();
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof name, "%d", i);
        CHECK_EQ(begin(o, name, 0, 0, &answer), ONCE_FIRST);
        CHECK_EQ(once_end(o, span_str(name), 200, span_of(body, BODY), true, &waiters), 0);
    }
    once_read(o, &f);
    CHECK(f.bytes <= ONCE_BYTES_MAX + BODY + 4096);
    CHECK_EQ(f.n + f.n_evicted, N);
    CHECK(f.n_evicted > 0);
    free(body);
    once_free(o);
}

TEST(a_name_is_kept_for_ten_minutes)
{
    struct once_answer answer;
    struct once *o = once_new();
    CHECK_EQ(begin(o, "a", 0, 0, &answer), ONCE_FIRST);
    CHECK_EQ(end(o, "a", true), 0);
    CHECK_EQ(begin(o, "slow", 0, 0, &answer), ONCE_FIRST);
    CHECK_EQ(begin(o, "a", ONCE_MS - 1, 0, &answer), ONCE_AGAIN);
    buf_fini(&answer.body);
    CHECK_EQ(begin(o, "a", ONCE_MS, 0, &answer), ONCE_FIRST);
    CHECK_EQ(begin(o, "slow", ONCE_MS, 1, &answer), ONCE_WAIT); // who is at work stays
    CHECK_EQ(names_in(o), 2);
    CHECK_EQ(end(o, "slow", true), 1);
    CHECK_EQ(end(o, "a", true), 0);
    once_free(o);
}

TEST(of_too_many_the_oldest_go)
{
    char name[16];
    struct once_answer answer;
    struct once *o = once_new();
    for (int i = 0; i < ONCE_NAMES_MAX + 100; i++) {
        snprintf(name, sizeof name, "%d", i);
        CHECK_EQ(begin(o, name, 0, 0, &answer), ONCE_FIRST);
        CHECK_EQ(end(o, name, true), 0);
    }
    CHECK_EQ(names_in(o), ONCE_NAMES_MAX);
    CHECK_EQ(begin(o, "0", 0, 0, &answer), ONCE_FIRST);
    CHECK_EQ(end(o, "0", true), 0);
    once_free(o);
}

int main(void)
{
    hash_init();
    RUN(the_first_acts_and_the_others_wait_or_repeat);
    RUN(a_name_is_kept_for_ten_minutes);
    RUN(of_too_many_the_oldest_go);
    RUN(long_answers_make_room_for_each_other);
    return test_end();
}
