/* Which fact goes where, what a reload does to it, and what is shown of the past. */
#include "asked.h"

static char first_url[] = "http://first/";
static char second_url[] = "http://second/";

TEST(each_webhook_gets_what_it_wants_and_waits_for_no_other)
{
    stage_begin();
    struct webhook hooks[] = {{.url = first_url, .facts = 1U << FACT_OCCUPIED},
        {.url = second_url, .facts = 1U << FACT_CACHE_MISS | 1U << FACT_OCCUPIED}};
    stage_use(hooks, 2);
    stage_occupy("c");
    (void)stage_run();
    CHECK_EQ(stage.outbound.n, 2);
    CHECK_STR(stage.outbound.items[0].url, first_url);
    CHECK_STR(stage.outbound.items[1].url, second_url);
    stage_answer(1, 200); // the first one hangs
    stage_take(FACT_CACHE_MISS, "cache-c");
    (void)stage_run();
    CHECK_EQ(stage.outbound.n, 3);
    CHECK_STR(stage.outbound.items[2].url, second_url);
    CHECK(speaks_of(2, "cache-c"));
    stage_end();
}

TEST(who_comes_back_in_time_is_told_to_nobody_and_counted)
{
    stage_begin();
    stage_use_one(0);
    stage_take(FACT_VACATED, "c");
    CHECK_EQ(stage_run(), 3000);
    stage.now_ms += 2999;
    stage_occupy("c");
    CHECK_EQ(stage_run(), -1);
    CHECK_EQ(stage.outbound.n, 0);
    CHECK_EQ(counter_get(&stage.counts.events[FACT_VACATED][FACT_SUPPRESSED]), 1);
    CHECK_EQ(counter_get(&stage.counts.events[FACT_OCCUPIED][FACT_SUPPRESSED]), 1);
    stage_end();
}

TEST(a_hurry_ends_graces_and_batches)
{
    stage_begin();
    stage_use_one(5000);
    stage_occupy("a");
    stage_take(FACT_VACATED, "b");
    CHECK_EQ(stage_run(), 3000);
    webhooks_hurry(stage.hooks, stage_time());
    (void)stage_run();
    CHECK_EQ(stage.outbound.n, 1);
    CHECK(speaks_of(0, "a") && speaks_of(0, "b"));
    CHECK(!webhooks_is_idle(stage.hooks));
    stage_answer_all(200);
    CHECK(webhooks_is_idle(stage.hooks));
    stage_end();
}

TEST(a_hurry_tries_at_once_what_is_in_a_pause_and_again_soon)
{
    stage_begin();
    stage_use_one(0);
    stage_occupy("c");
    (void)stage_run();
    for (int i = 0; i < 6; i++) {
        stage_answer_all(500);
        while (!n_open())
            stage_pass(500);
    }
    stage_answer_all(500); // a pause of 16 s or more begins
    unsigned n = stage.outbound.n;
    webhooks_hurry(stage.hooks, stage_time());
    (void)stage_run();
    CHECK_EQ(stage.outbound.n, n + 1);
    stage_answer_all(500);
    CHECK_EQ(stage.outbound.n, n + 1);
    stage_pass(500);
    CHECK_EQ(stage.outbound.n, n + 2);
    stage_answer_all(200);
    CHECK(webhooks_is_idle(stage.hooks));
    stage_end();
}

TEST(a_reload_keeps_the_queue_of_a_url_that_stays)
{
    stage_begin();
    stage_use_one(0);
    stage_occupy("c");
    (void)stage_run();
    stage_answer(0, 500);
    stage_use_one(0);
    stage_pass(500);
    CHECK_EQ(stage.outbound.n, 2);
    CHECK(speaks_of(1, "c"));
    stage_end();
}

TEST(a_reload_drops_the_queue_of_a_url_that_goes)
{
    stage_begin();
    stage_use_one(50);
    stage_occupy("c");
    stage_use(NULL, 0);
    CHECK_EQ(n_became(FACT_REMOVED), 1);
    CHECK_EQ(n_logged("webhook_removed"), 1);
    CHECK_EQ(stage_run(), -1);
    stage_occupy("d"); // is nobody's
    CHECK_EQ(n_waiting(), 0);
    stage_end();
}

/* The app of the target is one that has been freed twice over when the answer comes. */
TEST(a_url_that_goes_while_it_is_asked_goes_with_its_answer)
{
    static const int answers[] = {200, 500, 0};
    for (size_t i = 0; i < COUNT_OF(answers); i++) {
        stage_begin();
        stage_use_one(0);
        stage_occupy("c");
        (void)stage_run();
        stage_answer(0, 500); // so that there is something to recover from
        stage_pass(500);
        stage_occupy("c");
        stage_use(NULL, 0);
        stage_use(NULL, 0);
        CHECK_EQ(n_waiting(), 2);
        stage_answer(1, answers[i]);
        CHECK_EQ(n_became(FACT_DELIVERED), answers[i] == 200);
        CHECK_EQ(n_became(FACT_REMOVED), answers[i] == 200 ? 1 : 2);
        CHECK_EQ(n_waiting(), 0);
        CHECK_EQ(n_logged("webhook_recovered"), 0);
        CHECK_EQ(n_logged("webhook_removed"), 1);
        CHECK(strstr(stage_log(), "event=webhook_removed app=a1 url="));
        CHECK(strstr(stage_log(), answers[i] == 200 ? " lost=1\n" : " lost=2\n"));
        stage_end();
    }
}

TEST(a_url_that_comes_back_before_its_answer_keeps_its_queue)
{
    stage_begin();
    stage_use_one(0);
    stage_occupy("c");
    (void)stage_run();
    stage_use(NULL, 0);
    stage_use_one(0);
    stage_answer(0, 500);
    stage_pass(500);
    stage_answer(1, 200);
    CHECK_EQ(n_became(FACT_DELIVERED), 1);
    stage_end();
}

TEST(the_last_deliveries_are_shown_newest_first)
{
    struct buf out = {0};
    stage_begin();
    stage_use_one(0);
    stage_occupy("c");
    (void)stage_run();
    stage.now_ms += 7;
    stage_answer(0, 500);
    stage_pass(500);
    stage_answer(1, 200);
    webhooks_describe(stage.hooks, 0, &out);
    buf_add_char(&out, '\0');
    CHECK(strstr(out.p, "{\"webhooks\":[{\"url\":\"http://h/\",\"waiting\":0,\"waiting_bytes\":0,"
                        "\"failures\":0,\"lost\":0}],\"deliveries\":[{\"time\":\"2023-") == out.p);
    const char *newest = strstr(out.p, "\"attempt\":2,\"status\":200");
    CHECK(newest && strstr(newest, "\"attempt\":1,\"status\":500,\"took_ms\":7"));
    buf_fini(&out);
    stage_end();
}

int main(void)
{
    hash_init();
    RUN(each_webhook_gets_what_it_wants_and_waits_for_no_other);
    RUN(who_comes_back_in_time_is_told_to_nobody_and_counted);
    RUN(a_hurry_ends_graces_and_batches);
    RUN(a_hurry_tries_at_once_what_is_in_a_pause_and_again_soon);
    RUN(a_reload_keeps_the_queue_of_a_url_that_stays);
    RUN(a_reload_drops_the_queue_of_a_url_that_goes);
    RUN(a_url_that_goes_while_it_is_asked_goes_with_its_answer);
    RUN(a_url_that_comes_back_before_its_answer_keeps_its_queue);
    RUN(the_last_deliveries_are_shown_newest_first);
    return test_end();
}
