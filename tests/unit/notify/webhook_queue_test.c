/* The bounds of a queue, and the books about what is in it. */
#include "asked.h"

TEST(a_queue_has_room_for_so_many_events_and_counts_the_others)
{
    stage_begin();
    stage.limits.queue_events = 3;
    stage_use_one(0);
    for (int i = 0; i < 5; i++)
        stage_occupy("c");
    CHECK_EQ(n_waiting(), 3);
    CHECK_EQ(n_became(FACT_OVERFLOWED), 2);
    CHECK_EQ(n_logged("webhook_lost"), 1);
    stage_end();
}

TEST(a_receiver_that_works_but_is_too_slow_is_reported_once)
{
    stage_begin();
    stage.limits.queue_events = 3;
    stage_use_one(0);
    for (int i = 0; i < 100; i++) {
        stage_occupy("c");
        stage_occupy("c");
        (void)stage_run();
        stage_answer_all(200);
    }
    CHECK(n_became(FACT_OVERFLOWED) > 50);
    CHECK_EQ(n_logged("webhook_lost"), 1);
    while (n_open()) // it catches up, which ends the episode
        stage_answer_all(200);
    for (int i = 0; i < 4; i++)
        stage_occupy("c");
    CHECK_EQ(n_logged("webhook_lost"), 2);
    stage_end();
}

TEST(a_queue_has_room_for_so_many_bytes)
{
    enum { EVENT = sizeof "{\"name\":\"channel_occupied\",\"channel\":\"c\"}" - 1 };
    stage_begin();
    stage.limits.queue_bytes = 2 * EVENT;
    stage_use_one(0);
    for (int i = 0; i < 3; i++)
        stage_occupy("c");
    CHECK_EQ(n_waiting(), 2);
    CHECK_EQ(counter_get(&stage.counts.waiting_bytes), 2 * EVENT);
    CHECK_EQ(n_became(FACT_OVERFLOWED), 1);
    (void)stage_run();
    stage_answer_all(200);
    CHECK_EQ(counter_get(&stage.counts.waiting_bytes), EVENT);
    stage_occupy("c");
    CHECK_EQ(n_waiting(), 2);
    stage_end();
}

TEST(a_delivery_is_observed_from_its_fact_on)
{
    stage_begin();
    stage_use_one(0);
    stage_occupy("c");
    (void)stage_run();
    stage.now_ms += 30;
    stage_answer(0, 200);
    CHECK_EQ(counter_get(&stage.counts.latency_ms), 30);
    CHECK_EQ(counter_get(&stage.counts.latency[3]), 1); // up to 50 ms
    stage_end();
}

int main(void)
{
    hash_init();
    RUN(a_queue_has_room_for_so_many_events_and_counts_the_others);
    RUN(a_receiver_that_works_but_is_too_slow_is_reported_once);
    RUN(a_queue_has_room_for_so_many_bytes);
    RUN(a_delivery_is_observed_from_its_fact_on);
    return test_end();
}
