/* Posts: in the order in which they were sent, whatever way they came. */
#include "base/base.h"

#include "serve/fallback.h"

#include "posted.h"

#define BASE "/app/app-key/12/abcdefgh/"

static struct peer stream;
static struct peer sender;

static struct fallback *session_of_test(void)
{
    struct fallback *f = NULL;
    for (unsigned i = 0; !f && i < served.house.n_workers; i++)
        f = fallback_find(served.workers[i], span_str("app-key/12/abcdefgh"));
    ENSURE(f);
    return f;
}

static void begin(unsigned long n)
{
    char path[100];
    snprintf(path, sizeof path, BASE "xhr_streaming?protocol=7&n=%lu", n);
    open_stream(&stream, path);
    forget(&stream);
    peer_open(&sender, 0);
}

static void finish(void)
{
    peer_close(&sender);
    peer_close(&stream);
    end();
}

static const char *path_of(unsigned long n)
{
    static char path[100];
    snprintf(path, sizeof path, BASE "xhr_send?t=1&n=%lu", n);
    return path;
}

/* A send with that number: a subscription to a channel cN. */
static void subscribe_as(unsigned long n)
{
    char body[200];
    snprintf(body, sizeof body,
        "[\"{\\\"event\\\":\\\"pusher:subscribe\\\",\\\"data\\\":{\\\"channel\\\":\\\"c%lu\\\"}}"
        "\"]",
        n);
    CHECK(answers(&sender, path_of(n), body, "204", ""));
}

/* The numbers of the channels, as the stream told them: "2 3 4 ". */
static const char *told(void)
{
    static char text[2000];
    static const char start[] = "subscription_succeeded\\\",\\\"channel\\\":\\\"c";
    size_t len = 0;
    static struct buf all;
    peer_read(&stream);
    all.len = 0;
    buf_add_str(&all, "HTTP\r\n\r\n"); // what came since the last look is chunks alone
    buf_add_span(&all, buf_span(&stream.got));
    const struct peer shown = {.got = all};
    text[0] = '\0';
    for (const char *at = lines(&shown); (at = strstr(at, start));) {
        at += sizeof start - 1;
        int digits = (int)strspn(at, "0123456789");
        len += (size_t)snprintf(text + len, sizeof text - len, "%.*s ", digits, at);
    }
    return text;
}

/* Runs until nothing more is to be told. */
static void run_out(void)
{
    for (int i = 0; i < 3; i++) {
        turn();
        (void)wait_for_workers(2);
    }
}

TEST(posts_in_order_are_taken_at_once)
{
    START(0);
    begin(1);
    for (unsigned long n = 2; n < 6; n++)
        subscribe_as(n);
    run_out();
    CHECK_STR(told(), "2 3 4 5 ");
    CHECK_EQ(session_of_test()->last_n, 5);
    CHECK_EQ(served.workers[0]->n_early, 0);
    CHECK_EQ(counted(COUNTER_HELD_SENDS), 0);
    finish();
}

TEST(a_post_that_overtook_waits_for_the_one_before)
{
    START(0);
    begin(1);
    subscribe_as(4);
    subscribe_as(3);
    run_out();
    CHECK_STR(told(), "");
    CHECK_EQ(served.workers[0]->n_early, 1);
    CHECK(session_of_test()->inbox_bytes > 0);
    subscribe_as(2);
    run_out();
    CHECK_STR(told(), "2 3 4 ");
    CHECK_EQ(session_of_test()->inbox_bytes, 0);
    CHECK_EQ(session_of_test()->last_n, 4);
    CHECK_EQ(counted(COUNTER_HELD_SENDS), 2);
    finish();
}

TEST(a_gap_is_waited_for_fifty_ms)
{
    START(0);
    begin(1);
    subscribe_as(9);
    subscribe_as(7);
    pass_ms(49);
    run_out();
    CHECK_STR(told(), "");
    pass_ms(1);
    run_out();
    CHECK_STR(told(), "7 9 ");
    CHECK_EQ(served.workers[0]->n_early, 0);
    subscribe_as(10); // the count goes on from there
    run_out();
    CHECK_STR(told(), "7 9 10 ");
    finish();
}

TEST(who_waits_longest_does_not_hold_up_those_that_are_next)
{
    START(0);
    begin(1);
    subscribe_as(3);
    pass_ms(40);
    subscribe_as(6);
    pass_ms(10); // 3 is due, 6 is not
    run_out();
    CHECK_STR(told(), "3 ");
    CHECK_EQ(served.workers[0]->n_early, 1);
    subscribe_as(4);
    subscribe_as(5);
    run_out();
    CHECK_STR(told(), "3 4 5 6 ");
    finish();
}

TEST(late_and_uncounted_posts_are_taken_at_once)
{
    START(0);
    begin(10);
    subscribe_as(11);
    subscribe_as(4);  // of long ago
    subscribe_as(11); // again: subscribed already
    CHECK(answers(&sender, BASE "xhr_send", "[" SUBSCRIBE("c77") "]", "204", ""));
    CHECK(answers(&sender, BASE "xhr_send?n=x", "[" SUBSCRIBE("c78") "]", "204", ""));
    CHECK(answers(&sender, BASE "xhr_send?n=-1", "[" SUBSCRIBE("c79") "]", "204", ""));
    CHECK(answers(
        &sender, BASE "xhr_send?n=99999999999999999999", "[" SUBSCRIBE("c80") "]", "204", ""));
    run_out();
    CHECK_STR(told(), "11 4 77 78 79 80 ");
    CHECK_EQ(session_of_test()->last_n, 11);
    finish();
}

TEST(the_greatest_number_waits_its_time_and_no_longer)
{
    START(0);
    begin(1);
    CHECK(answers(
        &sender, BASE "xhr_send?n=18446744073709551615", "[" SUBSCRIBE("c1") "]", "204", ""));
    run_out();
    CHECK_STR(told(), "");
    pass_ms(50);
    subscribe_as(5); // smaller than that: late
    pass_ms(50);
    run_out();
    CHECK_STR(told(), "1 5 ");
    CHECK_EQ(session_of_test()->inbox_bytes, 0);
    finish();
}

TEST(a_receive_and_a_refused_body_use_up_their_numbers)
{
    struct peer next;
    START(0);
    begin(1);
    subscribe_as(4);
    CHECK(answers(&sender, path_of(2), "{}", "400", "the body must be a JSON array of strings\n"));
    run_out();
    CHECK_STR(told(), "");
    peer_open(&next, 0);
    post(&next, BASE "xhr_streaming?protocol=7&n=3", "");
    CHECK(streams(&next, SUCCEEDED("c4")));
    CHECK_EQ(session_of_test()->last_n, 4);
    peer_close(&next);
    finish();
}

TEST(a_receive_that_overtook_sends_does_not_make_them_late)
{
    struct peer next;
    START(0);
    begin(1);
    peer_open(&next, 0);
    post(&next, BASE "xhr_streaming?protocol=7&n=4", "");
    CHECK(gets(&next, "\r\n\r\n"));
    subscribe_as(3);
    subscribe_as(2);
    CHECK(streams(&next, SUCCEEDED("c3")));
    CHECK(comes_before(lines(&next), SUCCEEDED("c2"), SUCCEEDED("c3")));
    peer_close(&next);
    finish();
}

TEST(what_comes_behind_a_receive_that_overtook_does_not_wait_for_it)
{
    struct peer next;
    START(0);
    begin(1);
    peer_open(&next, 0);
    post(&next, BASE "xhr_streaming?protocol=7&n=3", "");
    CHECK(gets(&next, "\r\n\r\n"));
    subscribe_as(5);
    subscribe_as(2);
    CHECK_EQ(session_of_test()->last_n, 3);
    subscribe_as(4);
    CHECK(streams(&next, SUCCEEDED("c5"))); // without any time passing
    CHECK(comes_before(lines(&next), SUCCEEDED("c4"), SUCCEEDED("c5")));
    CHECK_EQ(session_of_test()->last_n, 5);
    CHECK_EQ(served.workers[0]->n_early, 1); // its place in the list goes at the next sweep
    pass_ms(50);
    CHECK_EQ(served.workers[0]->n_early, 0);
    peer_close(&next);
    finish();
}

TEST(what_waited_in_vain_makes_a_receive_before_it_old)
{
    struct peer next;
    START(0);
    begin(1);
    peer_open(&next, 0);
    post(&next, BASE "xhr_streaming?protocol=7&n=3", "");
    CHECK(gets(&next, "\r\n\r\n"));
    subscribe_as(6);
    pass_ms(50); // 2, 4 and 5 never come
    CHECK(streams(&next, SUCCEEDED("c6")));
    CHECK_EQ(session_of_test()->last_n, 6);
    subscribe_as(7);
    CHECK(streams(&next, SUCCEEDED("c7")));
    peer_close(&next);
    finish();
}

static uint32_t seed = 7;

static uint32_t draw(uint32_t below)
{
    seed = seed * 1664525U + 1013904223U;
    return (seed >> 8) % below;
}

TEST(any_order_of_arrival_becomes_the_order_of_sending)
{
    enum { N = 12 };
    for (int round = 0; round < 40; round++) {
        unsigned long order[N];
        START(0);
        begin(1);
        for (unsigned long i = 0; i < N; i++)
            order[i] = i + 2;
        for (uint32_t i = N - 1; i > 0; i--) {
            uint32_t other = draw(i + 1);
            unsigned long n = order[i];
            order[i] = order[other];
            order[other] = n;
        }
        for (int i = 0; i < N; i++)
            subscribe_as(order[i]);
        run_out();
        CHECK_STR(told(), "2 3 4 5 6 7 8 9 10 11 12 13 ");
        CHECK_EQ(session_of_test()->inbox_bytes, 0);
        finish();
    }
}

/* With several workers a subscription waits for its channel's home, and what was said behind
 * it waits, too. */
TEST(the_messages_of_posts_are_taken_one_after_the_other)
{
    START(.n_workers = 3);
    begin(1);
    for (unsigned long n = 2; n < 9; n++) {
        char body[600];
        snprintf(body, sizeof body,
            "[" SUBSCRIBE("c%lu0") "," SUBSCRIBE("c%lu1") ",\"nonsense\"," SUBSCRIBE("c%lu2") "]",
            n, n, n);
        CHECK(answers(&sender, path_of(n), body, "204", ""));
    }
    CHECK(gets(&stream, "c82"));
    CHECK_STR(told(), "20 21 22 30 31 32 40 41 42 50 51 52 60 61 62 70 71 72 80 81 82 ");
    CHECK_EQ(session_of_test()->inbox_bytes, 0);
    CHECK(!session_of_test()->inbox);
    finish();
}

TEST(what_waits_is_bounded)
{
    static char body[1000];
    unsigned n = 0;
    START(.sets = {"limits.message_bytes=128", "limits.body_bytes=1024"});
    begin(1);
    snprintf(body, sizeof body, "[%*s]", (int)sizeof body - 3, "");
    while (n < 100) {
        forget(&sender);
        post(&sender, path_of(1000 + n), body);
        CHECK(gets(&sender, "\r\n\r\n"));
        if (!has(&sender, "HTTP/1.1 204 "))
            break;
        n++;
    }
    CHECK_EQ(n, 4 * fallback_body_limit(served.workers[0]) / (sizeof body - 1));
    CHECK(has(&sender, "HTTP/1.1 429 "));
    CHECK(gets(&sender, "too many messages of this session are waiting\n"));
    CHECK_EQ(counted(COUNTER_BAD_SENDS), 1);
    CHECK(gets(&stream, "c[4100,\"Too many messages were waiting, back off\"]"));
    CHECK_EQ(closed(CLOSE_TOO_FAST), 1);
    CHECK_EQ(served.workers[0]->fallbacks.live, 0);
    pass_ms(50); // nothing is left that would be due
    CHECK_EQ(served.workers[0]->n_early, 0);
    finish();
}

TEST(a_message_that_is_too_long_ends_the_session_and_its_posts)
{
    char body[400];
    START(.sets = {"limits.message_bytes=128"});
    begin(1);
    subscribe_as(5); // still waits
    snprintf(body, sizeof body, "[" SUBSCRIBE("c1") ",\"%0129d\"," SUBSCRIBE("c2") "]", 0);
    CHECK(answers(&sender, path_of(2), body, "204", ""));
    CHECK(gets(&stream, "c[1009,\""));
    CHECK_EQ(closed(CLOSE_TOO_BIG), 1);
    CHECK_EQ(served.workers[0]->fallbacks.live, 0);
    pass_ms(50); // nothing is left that would be due
    CHECK_EQ(served.workers[0]->n_early, 0);
    CHECK(!has(&stream, "c2"));
    CHECK(answers(&sender, path_of(3), "[]", "404", "there is no such session\n"));
    finish();
}

TEST(a_session_that_goes_takes_its_waiting_posts_along)
{
    START(0);
    begin(1);
    subscribe_as(5);
    peer_close(&stream);
    pass_ms(49); // within one turn both the post and the session are overdue, next
    pass_ms(served.config->limits.rejoin_ms);
    CHECK_EQ(served.workers[0]->fallbacks.live, 0);
    CHECK_EQ(counted(COUNTER_ORPHANS), 1);
    peer_open(&stream, 0);
    post(&stream, BASE "xhr_streaming?protocol=7&n=30", "");
    CHECK(streams(&stream, ESTABLISHED)); // a new one
    CHECK(!has(&stream, "c5"));
    finish();
}

int main(void)
{
    served_init();
    RUN(posts_in_order_are_taken_at_once);
    RUN(a_post_that_overtook_waits_for_the_one_before);
    RUN(a_gap_is_waited_for_fifty_ms);
    RUN(who_waits_longest_does_not_hold_up_those_that_are_next);
    RUN(late_and_uncounted_posts_are_taken_at_once);
    RUN(the_greatest_number_waits_its_time_and_no_longer);
    RUN(a_receive_and_a_refused_body_use_up_their_numbers);
    RUN(a_receive_that_overtook_sends_does_not_make_them_late);
    RUN(what_comes_behind_a_receive_that_overtook_does_not_wait_for_it);
    RUN(what_waited_in_vain_makes_a_receive_before_it_old);
    RUN(any_order_of_arrival_becomes_the_order_of_sending);
    RUN(the_messages_of_posts_are_taken_one_after_the_other);
    RUN(what_waits_is_bounded);
    RUN(a_message_that_is_too_long_ends_the_session_and_its_posts);
    RUN(a_session_that_goes_takes_its_waiting_posts_along);
    return test_end();
}
