/* Several hubs, letters between them in every order that can be. */
#include "base/base.h"

#include "hub/hub.h"

#include "world.h"

TEST(everyone_sees_one_order_wherever_they_are)
{
    for (unsigned seed = 1; seed < 40; seed++) {
        start(seed);
        for (unsigned i = 0; i < HUBS; i++) {
            open_session(i, i);
            (void)subscribe(i, "news", NULL);
        }
        settle();
        for (unsigned i = 0; i < HUBS; i++)
            forget(i);
        for (int k = 0; k < 30; k++) {
            char data[16];
            snprintf(data, sizeof data, "\"%d\"", k);
            publish(draw(HUBS), "news", data);
            if (draw(4) == 0)
                settle();
        }
        settle();
        CHECK_EQ(count(0, "\"event\":\"e\""), 30);
        for (unsigned i = 1; i < HUBS; i++)
            CHECK(span_eq(buf_span(&w.clients[0].got), buf_span(&w.clients[i].got)));
        end();
    }
}

TEST(presence_is_by_user_across_workers_and_capped)
{
    enum { A, B, C, A2 };
    for (unsigned seed = 1; seed < 40; seed++) {
        start(seed);
        open_session(0, A);
        (void)subscribe(A, "presence-room", "a");
        settle();
        open_session(1, B);
        (void)subscribe(B, "presence-room", "b");
        settle();
        open_session(2, C);
        open_session(2, A2);
        (void)subscribe(C, "presence-room", "c");  // one too many
        (void)subscribe(A2, "presence-room", "a"); // a second tab passes
        settle();
        CHECK_EQ(count(A, "member_added"), 1);
        CHECK_EQ(count(B, "member_added"), 0);
        CHECK_EQ(count(C, "LimitReached"), 1);
        CHECK_EQ(count(A2, "subscription_succeeded"), 1);
        CHECK_EQ(count(A2, "\\\"count\\\":2"), 1);
        close_session(A);
        settle();
        CHECK_EQ(count(B, "member_removed"), 0); // the other tab is still there
        close_session(A2);
        close_session(C);
        settle();
        CHECK_EQ(count(B, "member_removed"), 1);
        end();
    }
}

TEST(a_session_that_goes_before_the_answer_leaves_nothing)
{
    struct span ids[] = {span_str("friend"), span_str("other")};
    struct hub_signin signin = {
        .user = span_str("me"), .user_data = span_str("{}"), .watchlist = ids, .n_watchlist = 2};
    for (unsigned seed = 1; seed < 60; seed++) {
        start(seed);
        for (unsigned i = 0; i < HUBS; i++) {
            open_session(i, 2 * i);
            open_session(i, 2 * i + 1);
            (void)subscribe(2 * i, seed % 2 ? "presence-x" : "y", "u");
            w.posting = i;
            (void)hub_signin(w.hubs[i], w.clients[2 * i + 1].index, &signin);
            if (draw(2) && w.n_box[i])
                deliver_one(i);
            close_session(2 * i);
            close_session(2 * i + 1);
        }
        end();
    }
}

TEST(memory_is_given_back_only_when_nothing_is_listed_for_the_flush)
{
    start(5);
    uint32_t index = hub_open(w.hubs[0], 0, AUDIENCE_WS, 1);
    hub_send(w.hubs[0], index, span_str("{}"));
    hub_close(w.hubs[0], index, NULL);
    hub_trim(w.hubs[0]); // the flush still looks at the one who has gone
    hub_flush(w.hubs[0], 1, world_write, NULL);
    hub_trim(w.hubs[0]);
    CHECK(!hub_has_output(w.hubs[0]));
    end();
}

TEST(a_hub_ends_with_something_unsaid)
{
    start(1);
    open_session(0, 0);
    open_session(0, 1);
    (void)subscribe(0, "presence-room", "a");
    (void)subscribe(1, "presence-room", "b");
    settle();
    close_session(0); // the other is to hear of it
    close_session(1);
    while (has_mail()) {
        unsigned to = draw(HUBS);
        if (w.n_box[to])
            deliver_one(to);
    }
    finish();
}

TEST(a_cache_outlives_its_subscribers_and_nothing_else_does)
{
    start(5);
    publish(0, "cache-x", "\"1\"");
    publish(1, "plain", "\"1\"");
    settle();
    CHECK_EQ(sum_channels(), 1);
    open_session(2, 0);
    (void)subscribe(0, "cache-x", NULL);
    settle();
    CHECK_EQ(count(0, "\"data\":\"1\""), 1);
    end();
}

int main(void)
{
    hash_init();
    RUN(everyone_sees_one_order_wherever_they_are);
    RUN(presence_is_by_user_across_workers_and_capped);
    RUN(a_session_that_goes_before_the_answer_leaves_nothing);
    RUN(memory_is_given_back_only_when_nothing_is_listed_for_the_flush);
    RUN(a_hub_ends_with_something_unsaid);
    RUN(a_cache_outlives_its_subscribers_and_nothing_else_does);
    return test_end();
}
