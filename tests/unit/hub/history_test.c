/* Offsets, retention, and who may go on, against counts of their own. */
#include "base/base.h"

#include "hub/history.h"

#include <stdlib.h>

#include "base/rand.h"
#include "test.h"

static const struct history_rule rule = {
    .max_events = 10, .max_bytes = 1000, .ttl_s = 60, .recover_events = 6, .recover_bytes = 300};

static uint64_t append(struct history *s, size_t bytes, uint64_t now_us)
{
    struct frame *frame = frame_new(bytes);
    uint64_t offset = history_append(s, frame, now_us, 0);
    frame_drop(frame);
    return offset;
}

TEST(offsets_count_from_one_and_the_rule_bounds_what_is_kept)
{
    struct history *s = history_new(&rule, 0);
    CHECK_EQ(strlen(s->top.epoch), EPOCH_CHARS);
    CHECK_EQ(history_oldest(s), 1);
    for (uint64_t i = 1; i <= 25; i++)
        CHECK_EQ(append(s, 10, i), i);
    CHECK_EQ(history_oldest(s), 16);
    CHECK_EQ(s->bytes, 100);
    CHECK_EQ(append(s, 950, 30), 26); // fewer fit beside a large one
    CHECK_EQ(history_oldest(s), 21);
    CHECK_EQ(append(s, 2000, 30), 27); // larger than all of it: it is kept alone
    CHECK_EQ(history_oldest(s), 27);
    history_free(s);
}

TEST(time_takes_events_and_leaves_their_number)
{
    struct history *s = history_new(&rule, 0);
    append(s, 10, 1000000);
    append(s, 10, 31000000);
    history_expire(s, 61000000 - 1);
    CHECK_EQ(history_oldest(s), 1);
    history_expire(s, 61000000);
    CHECK_EQ(history_oldest(s), 2);
    history_expire(s, 91000000);
    CHECK_EQ(s->n, 0);
    CHECK_EQ(s->bytes, 0);
    CHECK_EQ(history_oldest(s), 3);
    CHECK_EQ(append(s, 10, 92000000), 3);
    history_free(s);
}

static enum history_verdict check(const struct history *s, const char *epoch, uint64_t offset)
{
    struct position at = {.offset = offset};
    snprintf(at.epoch, sizeof at.epoch, "%s", epoch);
    return history_check(s, &at);
}

TEST(who_may_go_on_and_who_may_not)
{
    struct history *s = history_new(&rule, 0);
    char epoch[EPOCH_CHARS + 1];
    snprintf(epoch, sizeof epoch, "%s", s->top.epoch);
    CHECK_EQ(check(s, epoch, 0), HISTORY_WHOLE);
    for (int i = 0; i < 15; i++)
        append(s, 20, 0);
    CHECK_EQ(check(s, epoch, 15), HISTORY_WHOLE);
    CHECK_EQ(check(s, epoch, 9), HISTORY_WHOLE);
    CHECK_EQ(check(s, epoch, 8), HISTORY_TOO_MANY);
    CHECK_EQ(check(s, epoch, 5), HISTORY_TOO_MANY);
    CHECK_EQ(check(s, epoch, 4), HISTORY_EXPIRED);
    CHECK_EQ(check(s, epoch, 16), HISTORY_AHEAD);
    CHECK_EQ(check(s, epoch, UINT64_MAX), HISTORY_AHEAD);
    CHECK_EQ(check(s, "other", 15), HISTORY_EPOCH_CHANGED);
    append(s, 290, 0);
    CHECK_EQ(check(s, epoch, 14), HISTORY_TOO_MANY); // by bytes
    CHECK_EQ(check(s, epoch, 15), HISTORY_WHOLE);
    history_reset(s);
    CHECK_EQ(check(s, epoch, 0), HISTORY_EPOCH_CHANGED);
    CHECK_EQ(s->top.offset, 0);
    history_free(s);
}

TEST(random_events_agree_with_a_model)
{
    enum { EVENTS = 3000 };
    static uint32_t sizes[EVENTS + 1];
    static uint64_t times[EVENTS + 1];
    struct history *s = history_new(&rule, 0);
    uint64_t now_us = 0;
    uint64_t oldest = 1;
    for (uint64_t i = 1; i <= EVENTS; i++) {
        now_us += rand_u32() % 20000000;
        sizes[i] = 1 + rand_u32() % 300;
        times[i] = now_us;
        append(s, sizes[i], now_us);
        uint64_t bytes = 0;
        uint64_t from = i + 1;
        while (from > oldest && i + 1 - from < rule.max_events &&
               (from == i + 1 || bytes + sizes[from - 1] <= rule.max_bytes) &&
               now_us - times[from - 1] < 60000000)
            bytes += sizes[--from];
        oldest = from;
        CHECK_EQ(history_oldest(s), oldest);
        CHECK_EQ(s->bytes, bytes);
        CHECK_EQ(history_at(s, i)->frame->len, sizes[i]);
        CHECK_EQ(history_at(s, oldest)->at_us, times[oldest]);
    }
    history_free(s);
}

int main(void)
{
    RUN(offsets_count_from_one_and_the_rule_bounds_what_is_kept);
    RUN(time_takes_events_and_leaves_their_number);
    RUN(who_may_go_on_and_who_may_not);
    RUN(random_events_agree_with_a_model);
    return test_end();
}
