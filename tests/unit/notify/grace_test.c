/* Facts in their grace, against a model: what is told must be what changed. */
#include "base/base.h"

#include <stdlib.h>

#include "base/mem.h"
#include "notify/grace.h"
#include "test.h"

static struct fact *make(enum fact_kind kind, uint32_t app, const char *channel, const char *user)
{
    struct fact f = {
        .mail.kind = kind, .app = app, .channel = span_str(channel), .user = span_str(user)};
    return fact_copy(&f);
}

/* The kind that is told at once, or -1. */
static int take(struct grace *g, struct fact *f, uint64_t now_ms)
{
    unsigned undone;
    struct fact *told = grace_take(g, f, now_ms, &undone);
    int kind = told ? (int)told->mail.kind : -1;
    fact_free(told);
    return kind;
}

static int next(struct grace *g, uint64_t now_ms)
{
    struct fact *f = grace_next(g, now_ms);
    int kind = f ? (int)f->mail.kind : -1;
    fact_free(f);
    return kind;
}

TEST(what_comes_is_told_at_once_and_what_goes_after_the_grace)
{
    struct grace g = {.grace_ms = 3000};
    CHECK_EQ(take(&g, make(FACT_OCCUPIED, 0, "a", ""), 100), FACT_OCCUPIED);
    CHECK_EQ(take(&g, make(FACT_CLIENT_EVENT, 0, "a", ""), 150), FACT_CLIENT_EVENT);
    CHECK_EQ(take(&g, make(FACT_VACATED, 0, "a", ""), 200), -1);
    CHECK_EQ(grace_due_ms(&g), 3200);
    CHECK_EQ(next(&g, 3199), -1);
    CHECK_EQ(next(&g, 3200), FACT_VACATED);
    CHECK_EQ(next(&g, 9000), -1);
    CHECK_EQ(grace_due_ms(&g), 0);
}

TEST(who_comes_back_in_time_causes_neither_fact)
{
    struct grace g = {.grace_ms = 3000};
    unsigned undone = 0;
    CHECK_EQ(take(&g, make(FACT_MEMBER_REMOVED, 0, "presence-a", "u"), 0), -1);
    CHECK(grace_take(&g, make(FACT_MEMBER_ADDED, 0, "presence-a", "u"), 2999, &undone) == NULL);
    CHECK_EQ(undone, 2);
    CHECK_EQ(next(&g, UINT64_MAX), -1);
    CHECK_EQ(take(&g, make(FACT_MEMBER_ADDED, 0, "presence-a", "u"), 3000), FACT_MEMBER_ADDED);
}

TEST(another_user_channel_or_app_undoes_nothing)
{
    struct grace g = {.grace_ms = 3000};
    CHECK_EQ(take(&g, make(FACT_MEMBER_REMOVED, 0, "presence-a", "u"), 0), -1);
    CHECK_EQ(take(&g, make(FACT_MEMBER_ADDED, 0, "presence-a", "v"), 1), FACT_MEMBER_ADDED);
    CHECK_EQ(take(&g, make(FACT_MEMBER_ADDED, 0, "presence-b", "u"), 1), FACT_MEMBER_ADDED);
    CHECK_EQ(take(&g, make(FACT_MEMBER_ADDED, 1, "presence-a", "u"), 1), FACT_MEMBER_ADDED);
    CHECK_EQ(take(&g, make(FACT_OCCUPIED, 0, "presence-a", ""), 1), FACT_OCCUPIED);
    CHECK_EQ(next(&g, 3000), FACT_MEMBER_REMOVED);
}

/* Users come and go at random; what was told must at any time say who is there, once all
 * graces are over, and added and removed must alternate for each. */
TEST(what_is_told_balances_under_churn)
{
    enum { USERS = 20, STEPS = 20000 };
    struct grace g = {.grace_ms = 50};
    bool is_there[USERS] = {false};
    int told[USERS] = {0};
    srand(7);
    for (uint64_t now = 0; now < STEPS; now++) {
        int u = rand() % USERS;
        char name[8];
        unsigned undone;
        snprintf(name, sizeof name, "u%d|", u);
        is_there[u] = !is_there[u];
        enum fact_kind kind = is_there[u] ? FACT_MEMBER_ADDED : FACT_MEMBER_REMOVED;
        struct fact *f = grace_take(&g, make(kind, 0, "presence-a", name), now, &undone);
        while (f) {
            int who = atoi(f->user.p + 1);
            told[who] += f->mail.kind == FACT_MEMBER_ADDED ? 1 : -1;
            CHECK(told[who] == 0 || told[who] == 1);
            fact_free(f);
            f = grace_next(&g, now);
        }
        while ((f = grace_next(&g, now))) {
            told[atoi(f->user.p + 1)]--;
            fact_free(f);
        }
    }
    for (struct fact *f; (f = grace_next(&g, UINT64_MAX)); fact_free(f))
        told[atoi(f->user.p + 1)]--;
    for (int u = 0; u < USERS; u++)
        CHECK_EQ(told[u], is_there[u]);
}

int main(void)
{
    hash_init();
    RUN(what_comes_is_told_at_once_and_what_goes_after_the_grace);
    RUN(who_comes_back_in_time_causes_neither_fact);
    RUN(another_user_channel_or_app_undoes_nothing);
    RUN(what_is_told_balances_under_churn);
    return test_end();
}
