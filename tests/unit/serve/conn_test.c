/* A socket's life, with a real one. */
#include "base/base.h"

#include "serve/conn.h"

#include "net/listener.h"
#include "served.h"

static const char health[] = "GET /health HTTP/1.1\r\nHost: h\r\n\r\n";

/* --- requests ---------------------------------------------------------------------------------- */

TEST(the_seven_beats_accept_and_answer)
{
    uint16_t port = 0;
    struct err err;
    struct peer p = {0};
    START(.n_workers = 1);
    struct serve *s = served.workers[0];
    int listener = listener_open("127.0.0.1", &port, LISTENER_ALONE, &err);
    struct serve_setup setup = {
        .house = &served.house, .config = served.config, .listener = listener, .tls_listener = -1};
    struct serve *listening = serve_new(&setup);
    served.workers[0] = listening;
    p.fd = connect_to(port);
    say(&p, health);
    while (!has(&p, "ok\n")) {
        serve_wait(listening);
        serve_sockets(listening);
        serve_mail(listening);
        serve_timers(listening);
        serve_settle(listening);
        serve_flush(listening);
        serve_reap(listening);
        peer_read(&p);
    }
    CHECK_EQ(count(&p, "HTTP/1.1 200 OK\r\n"), 1);
    CHECK_EQ(counter_get(&listening->stats.counters[COUNTER_ACCEPTED]), 1);
    CHECK_EQ(counter_get(&listening->stats.conns[CONN_HEAD]), 1);
    CHECK_EQ(counter_get(&listening->stats.statuses[200]), 1);
    serve_free_all(&served.house);
    CHECK_EQ(served.house.n_conns, 0);
    served.workers[0] = s;
    peer_read(&p);
    CHECK(p.has_ended);
    close(p.fd);
    buf_fini(&p.got);
    end();
}

TEST(a_connection_is_kept_for_the_next_request)
{
    struct peer p;
    START(0);
    peer_open(&p, 0);
    CHECK(asks(&p, health, "\r\n\r\nok\n"));
    CHECK(!has(&p, "Connection:"));
    CHECK(asks(&p, health, "\r\n\r\nok\n"));
    CHECK_EQ(n_in(CONN_HEAD), 1);
    peer_close(&p);
    CHECK_EQ(n_in(CONN_HEAD), 0);
    end();
}

TEST(requests_that_come_together_are_answered_in_their_order)
{
    struct peer p;
    START(0);
    peer_open(&p, 0);
    CHECK(asks(&p,
        "GET /health HTTP/1.1\r\nHost: h\r\n\r\nGET /none HTTP/1.1\r\nHost: h\r\n\r\n"
        "GET /ready HTTP/1.1\r\nHost: h\r\n\r\n",
        "ready\n"));
    CHECK(strstr(p.got.p, "ok\n") < strstr(p.got.p, "404 NOT FOUND\n"));
    CHECK(strstr(p.got.p, "404 NOT FOUND\n") < strstr(p.got.p, "ready\n"));
    CHECK_EQ(count(&p, "HTTP/1.1 "), 3);
    peer_close(&p);
    end();
}

TEST(a_request_may_come_byte_by_byte)
{
    struct peer p;
    static const char post[] = "POST /none HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";
    START(0);
    peer_open(&p, 0);
    for (size_t i = 0; i < sizeof post - 1; i++) {
        CHECK_EQ(p.got.len, 0);
        peer_send(&p, post + i, 1);
        turn();
        peer_read(&p);
    }
    CHECK(gets(&p, "404 NOT FOUND\n"));
    CHECK(asks(&p, health, "ok\n")); // nothing is left of the body
    peer_close(&p);
    end();
}

TEST(a_body_may_come_in_chunks)
{
    struct peer p;
    START(0);
    peer_open(&p, 0);
    say(&p, "POST /none HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab");
    turn();
    say(&p, "\r\n1\r\nc\r\n0\r\n");
    turn();
    peer_read(&p);
    CHECK_EQ(p.got.len, 0);
    say(&p, "\r\nGET /health HTTP/1.1\r\nHost: h\r\n\r\n");
    CHECK(gets(&p, "ok\n"));
    CHECK_EQ(count(&p, "404 NOT FOUND\n"), 1);
    peer_close(&p);
    end();
}

TEST(who_waits_for_a_100_gets_it)
{
    struct peer p;
    START(0);
    peer_open(&p, 0);
    CHECK(asks(&p,
        "POST /none HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n"));
    CHECK_EQ(count(&p, "404"), 0);
    CHECK(asks(&p, "abc", "404 NOT FOUND\n"));
    peer_close(&p);
    end();
}

/* What is refused is answered, and the connection ends. */
TEST(a_request_that_cannot_be_read_is_refused_and_ends)
{
    static const struct {
        const char *request, *answer;
    } cases[] = {
        {"nonsense\r\n\r\n", "HTTP/1.1 400 "},
        {"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "}, // no Host
        {"POST /none HTTP/1.1\r\nHost: h\r\nContent-Length: 70000\r\n\r\n", "HTTP/1.1 413 "},
        {"POST /none HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n11171\r\n",
            "HTTP/1.1 413 "},
        {"POST /none HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "HTTP/1.1 400 "},
        {"POST /none HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "HTTP/1.1 400 "},
        {"GET / HTTP/1.1\r\nHost: h\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n\r\n", "HTTP/1.1 431 "},
    };
    START(.sets = {"limits.headers=4"});
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct peer p;
        peer_open(&p, 0);
        CHECK(asks(&p, cases[i].request, cases[i].answer));
        CHECK(gets(&p, NULL));
        CHECK_EQ(count(&p, "HTTP/1.1 "), 1);
        CHECK_EQ(count(&p, "Connection: close\r\n"), 1);
        peer_close(&p);
        CHECK_EQ(n_in(CONN_CLOSING), 0);
    }
    end();
}

TEST(the_last_request_is_told_to_be_the_last)
{
    static const char *const last[] = {
        "GET /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        "GET /health HTTP/1.0\r\n\r\n"};
    for (size_t i = 0; i < COUNT_OF(last); i++) {
        struct peer p;
        START(0);
        peer_open(&p, 0);
        say(&p, last[i]);
        say(&p, health); // too late
        CHECK(gets(&p, NULL));
        CHECK_EQ(count(&p, "ok\n"), 1);
        CHECK_EQ(count(&p, "Connection: close\r\n"), 1);
        peer_close(&p);
        end();
    }
}

TEST(a_head_request_gets_the_length_without_the_body)
{
    struct peer p;
    START(0);
    peer_open(&p, 0);
    CHECK(asks(&p, "HEAD /health HTTP/1.1\r\nHost: h\r\n\r\n", "\r\n\r\n"));
    CHECK_EQ(count(&p, "Content-Length: 3\r\n"), 1);
    CHECK_EQ(count(&p, "ok\n"), 0);
    CHECK(asks(&p, health, "ok\n"));
    peer_close(&p);
    end();
}

TEST(a_peer_that_ends_its_half_still_gets_its_answer)
{
    struct peer p;
    START(0);
    peer_open(&p, 0);
    say(&p, health);
    ENSURE(shutdown(p.fd, SHUT_WR) == 0);
    CHECK(gets(&p, NULL));
    CHECK_EQ(count(&p, "ok\n"), 1);
    CHECK_EQ(n_in(CONN_CLOSING), 0);
    peer_close(&p);
    end();
}

TEST(a_peer_that_says_nothing_and_goes_leaves_nothing)
{
    struct peer p;
    START(0);
    peer_open(&p, 0);
    CHECK_EQ(n_in(CONN_HEAD), 1);
    CHECK_EQ(served.house.n_conns, 1);
    peer_close(&p);
    CHECK_EQ(n_in(CONN_HEAD), 0);
    CHECK_EQ(served.house.n_conns, 0);
    end();
}

TEST(an_address_over_its_limit_is_closed_at_once)
{
    struct peer one;
    struct peer two;
    START(.sets = {"limits.connections_per_ip=1"});
    peer_open(&one, 0);
    peer_open(&two, 0);
    CHECK(gets(&two, NULL));
    CHECK_EQ(two.got.len, 0);
    CHECK_EQ(counted(COUNTER_REFUSED_SOCKETS), 1);
    CHECK(asks(&one, health, "ok\n"));
    peer_close(&one);
    peer_close(&two);
    peer_open(&one, 0); // the place is free again
    CHECK(asks(&one, health, "ok\n"));
    peer_close(&one);
    end();
}

/* --- clocks -------------------------------------------------------------------------------------- */

static const char *const clocks[] = {
    "limits.head_ms=3000", "limits.body_ms=5000", "limits.keepalive_ms=4000"};

TEST(who_says_nothing_is_dropped_without_a_word)
{
    struct peer p;
    START(.sets = {clocks[0], clocks[1], clocks[2]});
    peer_open(&p, 0);
    pass_ms(2999);
    CHECK_EQ(n_in(CONN_HEAD), 1);
    pass_ms(1);
    CHECK(gets(&p, NULL));
    CHECK_EQ(p.got.len, 0);
    peer_close(&p);
    end();
}

TEST(a_head_that_does_not_end_is_told_so)
{
    struct peer p;
    START(.sets = {clocks[0], clocks[1], clocks[2]});
    peer_open(&p, 0);
    say(&p, "GET /he");
    turn();
    pass_ms(1500);
    say(&p, "alth HTTP"); // bytes that trickle in do not help
    turn();
    pass_ms(1499);
    peer_read(&p);
    CHECK_EQ(p.got.len, 0);
    pass_ms(1);
    CHECK(gets(&p, "HTTP/1.1 408 "));
    CHECK(gets(&p, NULL));
    peer_close(&p);
    end();
}

TEST(a_body_that_does_not_end_is_told_so)
{
    struct peer p;
    START(.sets = {clocks[0], clocks[1], clocks[2]});
    peer_open(&p, 0);
    say(&p, "POST /none HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\na");
    turn();
    pass_ms(4999);
    peer_read(&p);
    CHECK_EQ(p.got.len, 0);
    pass_ms(1);
    CHECK(gets(&p, "HTTP/1.1 408 "));
    peer_close(&p);
    end();
}

/* As after a machine that stood still: there may be more to read than one turn reads. */
TEST(what_a_late_worker_misses_is_not_held_against_the_client)
{
    struct peer p;
    START(.sets = {clocks[0], clocks[1], clocks[2]});
    struct serve *s = served.workers[0];
    peer_open(&p, 0);
    say(&p, "GET /he");
    turn();
    for (uint64_t late = 0, i = 0; i < 10; i++) {
        uint32_t before = s->client_ms;
        s->now_ms -= 60000; // the last turn began a minute ago
        serve_wait(s);
        serve_timers(s);
        CHECK_EQ(s->client_ms - before, 250);
        CHECK(counted(COUNTER_LATE) - late >= 60000 - 250);
        late = counted(COUNTER_LATE);
    }
    say(&p, "alth HTTP/1.1\r\nHost: h\r\n\r\n");
    turn();
    CHECK(gets(&p, "ok\n"));
    peer_close(&p);
    end();
}

TEST(between_two_requests_it_is_kept_for_longer)
{
    struct peer p;
    START(.sets = {clocks[0], clocks[1], clocks[2]});
    peer_open(&p, 0);
    CHECK(asks(&p, health, "ok\n"));
    pass_ms(3999);
    CHECK(asks(&p, health, "ok\n"));
    pass_ms(3999);
    CHECK_EQ(n_in(CONN_HEAD), 1);
    pass_ms(1);
    CHECK(gets(&p, NULL));
    peer_close(&p);
    end();
}

TEST(an_end_that_the_peer_does_not_take_is_not_waited_for_long)
{
    struct peer p;
    START(0);
    peer_open(&p, 0);
    CHECK(asks(&p, "GET /health HTTP/1.0\r\n\r\n", "ok\n"));
    CHECK(gets(&p, NULL)); // our side has ended, the peer's has not
    CHECK_EQ(n_in(CONN_CLOSING), 1);
    pass_ms(4999);
    CHECK_EQ(n_in(CONN_CLOSING), 1);
    pass_ms(1);
    CHECK_EQ(n_in(CONN_CLOSING), 0);
    CHECK_EQ(served.house.n_conns, 0);
    peer_close(&p);
    end();
}

/* --- sessions -------------------------------------------------------------------------------------- */

TEST(an_upgrade_makes_a_session_and_frames_are_messages)
{
    struct peer p;
    START(0);
    peer_open_session(&p, 0);
    CHECK_EQ(strncmp(p.got.p, "HTTP/1.1 101 Switching Protocols\r\n", 34), 0);
    CHECK_EQ(count(&p, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), 1);
    CHECK_EQ(n_in(CONN_STREAM), 1);
    forget(&p);
    message(&p, "{\"event\":\"pusher:subscribe\",\"data\":{\"channel\":\"news\"}}");
    CHECK(gets(&p, "pusher_internal:subscription_succeeded"));
    forget(&p);
    frame(&p, WS_PING, "beep", 4);
    CHECK(gets(&p, "\x8a\x04"
                   "beep"));
    peer_close(&p);
    CHECK_EQ(closed(CLOSE_PEER_GONE), 1);
    CHECK_EQ(n_in(CONN_STREAM), 0);
    end();
}

TEST(what_comes_behind_the_upgrade_in_one_piece_is_a_message)
{
    struct peer p;
    static const char together[] =
        UPGRADE("/app/app-key") "\x81\x97\0\0\0\0{\"event\":\"pusher:ping\"}";
    START(0);
    peer_open(&p, 0);
    peer_send(&p, together, sizeof together - 1);
    CHECK(gets(&p, "pusher:pong"));
    peer_close(&p);
    end();
}

TEST(a_frame_may_come_byte_by_byte)
{
    struct peer p;
    static const char ping[] = "\x81\x97\0\0\0\0{\"event\":\"pusher:ping\"}";
    START(0);
    peer_open_session(&p, 0);
    forget(&p);
    for (size_t i = 0; i < sizeof ping - 1; i++) {
        CHECK(!has(&p, "pusher:pong"));
        peer_send(&p, ping + i, 1);
        turn();
        peer_read(&p);
    }
    CHECK(gets(&p, "pusher:pong"));
    peer_close(&p);
    end();
}

TEST(a_close_is_answered_with_its_code_and_ends)
{
    struct peer p;
    START(0);
    peer_open_session(&p, 0);
    forget(&p);
    frame(&p, WS_CLOSE,
        "\x03\xe9"
        "going",
        7); // 1001
    CHECK(gets(&p, NULL));
    CHECK_EQ(p.got.p[0], (char)0x88);
    CHECK(memcmp(p.got.p + 2, "\x03\xe9", 2) == 0);
    CHECK_EQ(closed(CLOSE_CLIENT_CLOSED), 1);
    peer_close(&p);
    end();
}

/* The frames that end a session, and the code that tells why. */
TEST(what_is_no_frame_of_the_protocol_ends_the_session_with_a_code)
{
    static const struct {
        const char *bytes;
        size_t len;
        unsigned code;
        enum close_reason why;
    } cases[] = {
        {"\x82\x81\0\0\0\0x", 7, 1003, CLOSE_BINARY},
        {"\x81\x01x", 3, 1002, CLOSE_PROTOCOL_ERROR},         // not masked
        {"\xc1\x81\0\0\0\0x", 7, 1002, CLOSE_PROTOCOL_ERROR}, // a reserved bit
        {"\x80\x81\0\0\0\0x", 7, 1002, CLOSE_PROTOCOL_ERROR}, // goes on with nothing
        {"\x81\x81\0\0\0\0\xff", 7, 1007, CLOSE_BAD_UTF8},
        {"\x88\x81\0\0\0\0x", 7, 1002, CLOSE_PROTOCOL_ERROR},        // half a code
        {"\x88\x82\0\0\0\0\x03\xed", 8, 1002, CLOSE_PROTOCOL_ERROR}, // 1005 is never sent
        {"\x81\xff\0\0\0\0\0\1\0\0\0\0\0\0", 14, 1009, CLOSE_TOO_BIG},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct peer p;
        START(.sets = {"limits.message_bytes=65535"});
        peer_open_session(&p, 0);
        forget(&p);
        peer_send(&p, cases[i].bytes, cases[i].len);
        CHECK(gets(&p, NULL));
        CHECK_EQ(p.got.p[0], (char)0x88);
        CHECK_EQ((unsigned char)p.got.p[2] << 8 | (unsigned char)p.got.p[3], cases[i].code);
        CHECK_EQ(closed(cases[i].why), 1);
        peer_close(&p);
        end();
    }
}

TEST(the_echo_route_gives_frames_back)
{
    struct peer p;
    START(.sets = {"debug.echo_path=/echo"});
    peer_open(&p, 0);
    CHECK(asks(&p, UPGRADE("/echo"), "101"));
    forget(&p);
    frame(&p, WS_BINARY, "a\0b", 3);
    CHECK(gets(&p, "\x82\x03"
                   "a"));
    CHECK_EQ(p.got.len, 5);
    frame(&p, WS_CLOSE, "", 0);
    CHECK(gets(&p, NULL));
    CHECK_EQ(p.got.len, 7);
    CHECK(memcmp(p.got.p + 5, "\x88\x00", 2) == 0);
    peer_close(&p);
    end();
}

/* --- moving ------------------------------------------------------------------------------------------ */

TEST(a_connection_moves_to_the_worker_that_has_to_answer_with_all_it_has_said)
{
    struct peer p;
    START(.n_workers = 3, .sets = {"debug.worker_path=/worker"});
    peer_open(&p, 0);
    say(&p, health);
    say(&p, "GET /worker/2 HTTP/1.1\r\nHost: h\r\n\r\nGET /worker/1 HTTP/1.1\r\nHost: h\r\n\r\n");
    say(&p, "GET /ready HTTP/1.1\r\nHost: h\r\n\r\n");
    CHECK(gets(&p, "ready\n"));
    const char *at = strstr(p.got.p, "ok\n");
    CHECK(at && (at = strstr(at, "{\"worker\":2}")));
    CHECK(at && (at = strstr(at, "{\"worker\":1}")));
    CHECK(at && strstr(at, "ready\n"));
    CHECK_EQ(counted(COUNTER_MOVED), 2);
    CHECK_EQ(served.workers[1]->lists[CONN_HEAD].n, 1);
    CHECK_EQ(n_in(CONN_HEAD), 1);
    CHECK_EQ(served.house.n_conns, 1);
    peer_close(&p);
    CHECK_EQ(served.house.n_conns, 0);
    end();
}

TEST(a_request_cut_anywhere_moves_whole)
{
    static const char request[] = "GET /worker/1 HTTP/1.1\r\nHost: h\r\n\r\n";
    for (size_t cut = 1; cut < sizeof request - 1; cut++) {
        struct peer p;
        START(.n_workers = 2, .sets = {"debug.worker_path=/worker"});
        peer_open(&p, 0);
        peer_send(&p, request, cut);
        turn();
        peer_send(&p, request + cut, sizeof request - 1 - cut);
        CHECK(gets(&p, "{\"worker\":1}"));
        peer_close(&p);
        end();
    }
}

int main(void)
{
    served_init();
    RUN(the_seven_beats_accept_and_answer);
    RUN(a_connection_is_kept_for_the_next_request);
    RUN(requests_that_come_together_are_answered_in_their_order);
    RUN(a_request_may_come_byte_by_byte);
    RUN(a_body_may_come_in_chunks);
    RUN(who_waits_for_a_100_gets_it);
    RUN(a_request_that_cannot_be_read_is_refused_and_ends);
    RUN(the_last_request_is_told_to_be_the_last);
    RUN(a_head_request_gets_the_length_without_the_body);
    RUN(a_peer_that_ends_its_half_still_gets_its_answer);
    RUN(a_peer_that_says_nothing_and_goes_leaves_nothing);
    RUN(an_address_over_its_limit_is_closed_at_once);
    RUN(who_says_nothing_is_dropped_without_a_word);
    RUN(a_head_that_does_not_end_is_told_so);
    RUN(a_body_that_does_not_end_is_told_so);
    RUN(what_a_late_worker_misses_is_not_held_against_the_client);
    RUN(between_two_requests_it_is_kept_for_longer);
    RUN(an_end_that_the_peer_does_not_take_is_not_waited_for_long);
    RUN(an_upgrade_makes_a_session_and_frames_are_messages);
    RUN(what_comes_behind_the_upgrade_in_one_piece_is_a_message);
    RUN(a_frame_may_come_byte_by_byte);
    RUN(a_close_is_answered_with_its_code_and_ends);
    RUN(what_is_no_frame_of_the_protocol_ends_the_session_with_a_code);
    RUN(the_echo_route_gives_frames_back);
    RUN(a_connection_moves_to_the_worker_that_has_to_answer_with_all_it_has_said);
    RUN(a_request_cut_anywhere_moves_whole);
    return test_end();
}
