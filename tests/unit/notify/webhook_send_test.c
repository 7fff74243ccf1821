/* Requests of one URL: made, made again, given up. */
#include "asked.h"

TEST(an_event_goes_at_once_signed_over_its_bytes)
{
    stage_begin();
    stage.secret = "7ad3773142a6692b25b8";
    stage_use_one(0);
    stage_occupy("my-channel");
    CHECK_EQ(stage_run(), -1);
    CHECK_EQ(stage.outbound.n, 1);
    const struct asked *a = &stage.outbound.items[0];
    CHECK_STR(a->url, "http://h/");
    CHECK_STR(a->body, "{\"time_ms\":1700001000000,\"events\":"
                       "[{\"name\":\"channel_occupied\",\"channel\":\"my-channel\"}]}");
    CHECK_STR(a->headers, "Content-Type: application/json\nX-Pusher-Key: k1\nX-Pusher-Signature: "
                          "7d45e6d8bdda6e92e56d5722088dc049244e9d47c6ffa37bbe1097f5f9a94296\n");
    stage_answer(0, 204);
    CHECK_EQ(n_became(FACT_DELIVERED), 1);
    CHECK(webhooks_is_idle(stage.hooks));
    stage_end();
}

TEST(what_is_not_taken_is_sent_again_the_same_bytes)
{
    static const int not_taken[] = {0, 199, 302, 404, 500};
    stage_begin();
    stage_use_one(0);
    stage_occupy("c");
    (void)stage_run();
    for (unsigned i = 0; i < COUNT_OF(not_taken); i++) {
        stage_answer(i, not_taken[i]);
        stage_pass(60000);
        CHECK_EQ(stage.outbound.n, i + 2);
        CHECK_STR(stage.outbound.items[i + 1].body, stage.outbound.items[0].body);
        CHECK_STR(stage.outbound.items[i + 1].headers, stage.outbound.items[0].headers);
    }
    stage_answer_all(200);
    CHECK_EQ(n_became(FACT_DELIVERED), 1);
    CHECK_EQ(n_logged("webhook_failing"), 1);
    CHECK_EQ(n_logged("webhook_recovered"), 1);
    CHECK_EQ(counter_get(&stage.counts.attempts), COUNT_OF(not_taken) + 1);
    CHECK_EQ(counter_get(&stage.counts.failures), COUNT_OF(not_taken));
    stage_end();
}

TEST(a_pause_doubles_up_to_a_minute_and_is_shortened_by_up_to_a_half)
{
    uint64_t pause = 500;
    stage_begin();
    stage.limits.retry_ms = 86400000;
    stage_use_one(0);
    stage_occupy("c");
    (void)stage_run();
    for (unsigned i = 0; i < 12; i++, pause = pause < 30000 ? pause * 2 : 60000) {
        uint64_t from_ms = stage.now_ms;
        stage_answer(i, 500);
        stage_pass(pause / 2 - 1);
        CHECK_EQ(stage.outbound.n, i + 1);
        stage_pass(pause - pause / 2 + 1);
        CHECK_EQ(stage.outbound.n, i + 2);
        CHECK(stage.outbound.items[stage.outbound.n - 1].at_ms <= from_ms + pause);
    }
    stage_end();
}

TEST(a_batch_waits_for_its_time_or_until_it_is_full)
{
    char name[16];
    stage_begin();
    stage_use_one(50);
    stage_occupy("a");
    CHECK_EQ(stage_run(), 50);
    stage.now_ms += 20;
    stage_occupy("b");
    CHECK_EQ(stage_run(), 30);
    stage_pass(30);
    CHECK_EQ(stage.outbound.n, 1);
    CHECK(speaks_of(0, "a") && speaks_of(0, "b"));
    stage_answer_all(200);
    for (int i = 0; i < 130; i++) {
        snprintf(name, sizeof name, "c%d", i);
        stage_occupy(name);
    }
    CHECK_EQ(stage_run(), -1); // full: at once
    CHECK(speaks_of(1, "c0") && speaks_of(1, "c99") && !speaks_of(1, "c100"));
    stage_answer_all(200);
    stage_pass(50);
    CHECK(speaks_of(2, "c100") && speaks_of(2, "c129"));
    stage_answer_all(200);
    CHECK_EQ(n_became(FACT_DELIVERED), 132);
    stage_end();
}

/* The headers that the key of that name makes for request i. */
static const char *signed_by(const char *name, const char *secret, unsigned i)
{
    static char text[512];
    char hex[SIGN_HEX];
    struct sign_key key;
    struct span body = span_str(stage.outbound.items[i].body);
    sign_key_init(&key, span_str(secret));
    sign_hex(&key, &body, 1, hex);
    snprintf(text, sizeof text,
        "Content-Type: application/json\nX-Pusher-Key: %s\nX-Pusher-Signature: %.*s\n", name,
        SIGN_HEX, hex);
    return text;
}

TEST(a_key_and_its_signature_change_together)
{
    stage_begin();
    stage_use_one(0);
    stage_occupy("c");
    (void)stage_run();
    CHECK_STR(stage.outbound.items[0].headers, signed_by("k1", "s1", 0));
    stage_answer(0, 500);
    stage.key = "k2";
    stage.secret = "s2";
    stage_use_one(0);
    stage_pass(500);
    CHECK_STR(stage.outbound.items[1].body, stage.outbound.items[0].body);
    CHECK_STR(stage.outbound.items[1].headers, signed_by("k2", "s2", 1));
    stage_end();
}

TEST(of_a_batch_only_what_is_too_old_is_dropped)
{
    stage_begin();
    stage.limits.retry_ms = 10000;
    stage_use_one(9000);
    stage_occupy("old");
    stage.now_ms += 8000;
    stage_occupy("young");
    stage_pass(1000);
    CHECK(speaks_of(0, "old") && speaks_of(0, "young"));
    while (n_became(FACT_EXPIRED) == 0) {
        stage_pass(10);
        if (n_open())
            stage_answer_all(500);
    }
    CHECK_EQ(stage.now_ms, START_MS + 10000);
    CHECK_EQ(n_waiting(), 1);
    stage_answer_all(500);
    stage_pass(5000);
    CHECK_EQ(n_became(FACT_EXPIRED), 1);
    unsigned last = stage.outbound.n - 1;
    CHECK(!speaks_of(last, "old") && speaks_of(last, "young"));
    stage_answer_all(200);
    CHECK_EQ(n_became(FACT_DELIVERED), 1);
    stage_end();
}

TEST(a_body_is_made_when_it_is_due_of_all_that_waits_then)
{
    stage_begin();
    stage.limits.retry_ms = 600; // the second try comes before, the third not before 750
    stage_use_one(10);
    stage_occupy("a");
    while (n_became(FACT_EXPIRED) == 0) {
        stage_pass(10);
        if (n_open())
            stage_answer_all(500);
    }
    unsigned n = stage.outbound.n;
    stage.limits.retry_ms = 300000;
    stage_use_one(10);
    stage_occupy("b");
    stage_pass(50);
    stage_occupy("c");
    stage_pass(10000);
    CHECK_EQ(stage.outbound.n, n + 1);
    CHECK(speaks_of(n, "b") && speaks_of(n, "c"));
    stage_end();
}

TEST(an_event_is_dropped_when_it_is_too_old_not_when_its_pause_ends)
{
    stage_begin();
    stage.limits.retry_ms = 40000;
    stage_use_one(0);
    stage_occupy("c");
    (void)stage_run();
    while (stage.now_ms < START_MS + 39990) {
        stage_answer_all(500);
        stage_pass(10);
    }
    CHECK_EQ(n_became(FACT_EXPIRED), 0);
    stage_answer_all(500);
    stage_pass(10);
    CHECK_EQ(n_became(FACT_EXPIRED), 1);
    CHECK_EQ(stage_run(), -1);
    stage_end();
}

TEST(a_receiver_that_stays_dead_is_asked_ever_more_rarely)
{
    unsigned n[2];
    stage_begin();
    stage.limits.retry_ms = 100000;
    stage.limits.queue_events = 100;
    stage_use_one(0);
    for (int round = 0; round < 2; round++) {
        n[round] = stage.outbound.n;
        for (int i = 0; i < 6000; i++) {
            stage_occupy("c");
            stage_pass(100);
            if (n_open())
                stage_answer_all(503);
        }
        n[round] = stage.outbound.n - n[round];
    }
    CHECK(n_became(FACT_EXPIRED) > 100);
    CHECK(n[0] <= 30); // seven pauses of up to half a minute, then half a minute or more each
    CHECK(n[1] <= 20);
    CHECK(n[1] >= 9);
    stage_end();
}

TEST(what_was_never_tried_expires_only_when_no_receiver_would_take_it)
{
    stage_begin();
    stage.limits.retry_ms = 10000;
    stage_use_one(0);
    for (int i = 0; i < 1000; i++)
        stage_occupy("c");
    (void)stage_run();
    for (int i = 0; i < 1000; i++) {
        stage.now_ms += 50;
        stage_answer_all(200);
    }
    CHECK_EQ(n_became(FACT_DELIVERED), 1000);
    CHECK_EQ(n_became(FACT_EXPIRED), 0);
    for (int i = 0; i < 100; i++)
        stage_occupy("c");
    (void)stage_run();
    stage.now_ms += 300000;
    stage_answer_all(200);
    CHECK_EQ(n_became(FACT_DELIVERED), 1001);
    CHECK_EQ(n_became(FACT_EXPIRED), 99);
    stage_end();
}

TEST(without_retries_each_event_is_tried_once)
{
    stage_begin();
    stage.limits.retry_ms = 0;
    stage_use_one(0);
    for (int i = 0; i < 3; i++)
        stage_occupy("c");
    while (n_waiting()) {
        stage_pass(100);
        if (n_open())
            stage_answer_all(500);
    }
    CHECK_EQ(stage.outbound.n, 3);
    CHECK_EQ(n_became(FACT_EXPIRED), 3);
    stage_end();
}

static void occupy_number(const char *prefix, int n)
{
    char name[32];
    snprintf(name, sizeof name, "%s%d", prefix, n);
    stage_occupy(name);
}

TEST(channels_go_side_by_side_in_so_many_lanes)
{
    stage_begin();
    stage_use_one(0);
    for (int i = 0; i < 1000; i++)
        occupy_number("c", i);
    (void)stage_run();
    CHECK_EQ(n_open(), LANES);
    unsigned rounds = 0;
    for (; n_waiting(); rounds++) {
        stage.now_ms += 50;
        stage_answer_all(200);
    }
    CHECK(rounds < 1000 / LANES * 2);
    CHECK_EQ(n_became(FACT_DELIVERED), 1000);
    for (int i = 0; i < 3; i++)
        stage_occupy("c");
    (void)stage_run();
    CHECK_EQ(n_open(), 1); // one channel goes one way
    stage_end();
}

/* Answers come in any order, many are failures, and a reload turns batching on and off: the
 * events of each channel, told apart by their users, must arrive in order. */
TEST(each_channels_events_arrive_in_order)
{
    enum { CHANNELS = 30, EVENTS = 3000 };
    int told = 0;
    int seen[CHANNELS] = {0};
    int number[CHANNELS] = {0};
    srand(5);
    stage_begin();
    stage_use_one(0);
    while (told < EVENTS || n_waiting()) {
        char name[16];
        char user[16];
        int c = rand() % CHANNELS;
        if (told++ < EVENTS) {
            snprintf(name, sizeof name, "presence-%d", c);
            snprintf(user, sizeof user, "%d.%d", c, ++number[c]);
            struct fact f = {
                .mail.kind = FACT_MEMBER_ADDED, .channel = span_str(name), .user = span_str(user)};
            webhooks_take(stage.hooks, fact_copy(&f), stage_time());
        }
        stage_pass((unsigned)rand() % 40);
        if (rand() % 50 == 0)
            stage_use_one(rand() % 2 ? 30 : 0);
        for (unsigned i = 0; i < stage.outbound.n; i++) {
            if (!stage.outbound.items[i].done || rand() % 2)
                continue;
            bool is_taken = rand() % 20 != 0;
            const char *at = stage.outbound.items[i].body;
            while (is_taken && (at = strstr(at, "\"user_id\":\""))) {
                int n;
                at += strlen("\"user_id\":\"");
                ENSURE(sscanf(at, "%d.%d", &c, &n) == 2);
                CHECK_EQ(n, ++seen[c]);
            }
            stage_answer(i, is_taken ? 200 : 500);
        }
    }
    CHECK_EQ(n_became(FACT_DELIVERED), EVENTS);
    stage_end();
}

TEST(an_event_that_is_never_taken_holds_up_its_lane_alone)
{
    stage_begin();
    stage_use_one(0);
    stage_occupy("poison");
    for (int i = 0; i < 100; i++)
        occupy_number("c", i);
    (void)stage_run();
    for (int i = 0; i < 200; i++) {
        for (unsigned k = 0; k < stage.outbound.n; k++)
            if (stage.outbound.items[k].done)
                stage_answer(k, speaks_of(k, "poison") ? 500 : 200);
        stage_pass(50);
    }
    CHECK(n_became(FACT_DELIVERED) > 70);
    CHECK(n_became(FACT_DELIVERED) < 100);
    CHECK_EQ(n_logged("webhook_failing"), 1);
    CHECK_EQ(n_logged("webhook_recovered"), 0);
    stage_end();
}

TEST(a_receiver_that_is_back_for_one_lane_is_back_for_all)
{
    stage_begin();
    stage_use_one(0);
    for (int i = 0; i < 100; i++)
        occupy_number("c", i);
    (void)stage_run();
    for (int i = 0; i < 8 * LANES; i++) {
        stage_answer_all(500);
        while (!n_open())
            stage_pass(100);
    }
    unsigned first = 0;
    while (!stage.outbound.items[first].done)
        first++;
    stage_answer(first, 200);
    (void)stage_run();
    CHECK_EQ(n_open(), LANES);
    CHECK_EQ(n_logged("webhook_recovered"), 0); // seven wait for another try
    while (n_open())
        stage_answer_all(200);
    CHECK_EQ(n_became(FACT_DELIVERED), 100);
    CHECK_EQ(n_logged("webhook_failing"), 1);
    CHECK_EQ(n_logged("webhook_recovered"), 1);
    stage_end();
}

int main(void)
{
    hash_init();
    RUN(an_event_goes_at_once_signed_over_its_bytes);
    RUN(what_is_not_taken_is_sent_again_the_same_bytes);
    RUN(a_pause_doubles_up_to_a_minute_and_is_shortened_by_up_to_a_half);
    RUN(a_batch_waits_for_its_time_or_until_it_is_full);
    RUN(a_key_and_its_signature_change_together);
    RUN(of_a_batch_only_what_is_too_old_is_dropped);
    RUN(a_body_is_made_when_it_is_due_of_all_that_waits_then);
    RUN(an_event_is_dropped_when_it_is_too_old_not_when_its_pause_ends);
    RUN(a_receiver_that_stays_dead_is_asked_ever_more_rarely);
    RUN(what_was_never_tried_expires_only_when_no_receiver_would_take_it);
    RUN(without_retries_each_event_is_tried_once);
    RUN(channels_go_side_by_side_in_so_many_lanes);
    RUN(each_channels_events_arrive_in_order);
    RUN(an_event_that_is_never_taken_holds_up_its_lane_alone);
    RUN(a_receiver_that_is_back_for_one_lane_is_back_for_all);
    return test_end();
}
