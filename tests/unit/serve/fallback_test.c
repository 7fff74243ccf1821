/* Sessions over HTTP: receivers come and go, the session stays. */
#include "base/base.h"

#include "serve/fallback.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

#include "posted.h"

#define BASE   "/app/app-key/12/abcdefgh/"
#define STREAM BASE "xhr_streaming?protocol=7"
#define POLL   BASE "xhr?protocol=7"
#define SEND   BASE "xhr_send"
#define PING   "\"{\\\"event\\\":\\\"pusher:ping\\\"}\""
#define PONG   "a[\"{\\\"event\\\":\\\"pusher:pong\\\",\\\"data\\\":\\\"{}\\\"}\"]\n"

enum { PREAMBLE_BYTES = 2049, ROTATE_BYTES = 256 * 1024, SOCKJS_BYTES = 128 * 1024 };

static struct fallback *fallback_of_test(void)
{
    struct fallback *f = fallback_find(served.workers[0], span_str("app-key/12/abcdefgh"));
    ENSURE(f);
    return f;
}

static void send_to_session(const char *body)
{
    struct peer p;
    peer_open(&p, 0);
    CHECK(answers(&p, SEND, body, "204", ""));
    peer_close(&p);
}

/* The body of the answer to a poll. */
static const char *body_of(const struct peer *p)
{
    const char *end = p->got.len ? strstr(p->got.p, "\r\n\r\n") : NULL;
    return end ? end + 4 : "(none)";
}

/* A session that polls: the first poll is answered. */
static void open_polling(struct peer *p)
{
    peer_open(p, 0);
    post(p, POLL, "");
    CHECK(gets(p, ESTABLISHED));
    forget(p);
}

/* --- streams ----------------------------------------------------------------------------------- */

TEST(a_stream_begins_with_its_head_a_preamble_and_o)
{
    struct peer p;
    START(0);
    open_stream(&p, STREAM);
    CHECK(has(&p, "HTTP/1.1 200 OK\r\n"));
    CHECK(has(&p, "Transfer-Encoding: chunked\r\n"));
    CHECK(has(&p, "Content-Type: application/javascript; charset=UTF-8\r\n"));
    CHECK(has(&p, "Cache-Control: no-store, no-cache, must-revalidate, max-age=0\r\n"));
    CHECK(has(&p, "X-Accel-Buffering: no\r\n"));
    CHECK(has(&p, "Access-Control-Allow-Origin: *\r\n"));
    CHECK(!has(&p, "Connection: close"));
    CHECK_EQ(strspn(lines(&p), "h"), PREAMBLE_BYTES - 1);
    CHECK(strncmp(lines(&p) + PREAMBLE_BYTES - 1, "\no\na[", 5) == 0);
    CHECK_EQ(counted(COUNTER_FALLBACKS_OPENED), 1);
    CHECK_EQ(counter_get(&served.workers[0]->stats.sessions[TRANSPORT_STREAMING]), 1);
    peer_close(&p);
    end();
}

TEST(an_http_1_0_client_is_streamed_without_chunks)
{
    struct peer p;
    START(0);
    peer_open(&p, 0);
    say(&p, "POST " STREAM " HTTP/1.0\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    CHECK(gets(&p, "\"]\n"));
    CHECK(has(&p, "Connection: close\r\n") && !has(&p, "chunked"));
    CHECK_EQ(strspn(body_of(&p), "h"), PREAMBLE_BYTES - 1);
    CHECK(strncmp(body_of(&p) + PREAMBLE_BYTES - 1, "\no\na[", 5) == 0);
    forget(&p);
    send_to_session("[" PING "]");
    CHECK(gets(&p, "\n"));
    CHECK_STR(p.got.p, PONG);
    peer_close(&p);
    end();
}

TEST(another_stream_displaces_the_first_which_ends_whole)
{
    struct peer first;
    struct peer second;
    START(0);
    open_stream(&first, STREAM);
    peer_open(&second, 0);
    post(&second, STREAM, "");
    CHECK(gets(&second, "\r\n\r\n"));
    CHECK(gets(&first, "\r\n" CHUNK_LAST));
    CHECK(gets(&first, NULL));
    send_to_session("[" PING "]");
    CHECK(streams(&second, PONG));
    CHECK_STR(lines(&second), PONG); // neither a preamble nor a second o
    CHECK_EQ(counted(COUNTER_DISPLACED), 1);
    CHECK_EQ(counted(COUNTER_FALLBACKS_OPENED), 1);
    CHECK_EQ(counter_get(&served.workers[0]->stats.detached), 0);
    peer_close(&first);
    peer_close(&second);
    end();
}

TEST(what_is_said_between_two_receivers_goes_to_the_next)
{
    struct peer p;
    START(0);
    open_stream(&p, STREAM);
    peer_close(&p);
    CHECK_EQ(counter_get(&served.workers[0]->stats.detached), 1);
    send_to_session("[" SUBSCRIBE("a") "," SUBSCRIBE("b") "]");
    send_to_session("[" PING "]");
    peer_open(&p, 0);
    post(&p, STREAM, "");
    CHECK(streams(&p, PONG));
    CHECK(comes_before(lines(&p), SUCCEEDED("a"), SUCCEEDED("b")));
    CHECK(comes_before(lines(&p), SUCCEEDED("b"), PONG));
    CHECK(!strstr(lines(&p), "o\n"));
    CHECK_EQ(counted(COUNTER_DISPLACED), 0);
    peer_close(&p);
    end();
}

/* The socket takes the beginning of a frame and no more. */
TEST(a_stream_that_breaks_within_a_line_is_followed_by_the_whole_line)
{
    static const char start[] = "a[\"{\\\"event\\\":\\\"pusher_internal:";
    static char channel[150];
    struct peer p;
    struct buf body = {0};
    START(0);
    open_stream(&p, STREAM);
    const struct fallback *f = fallback_of_test();
    int small = 1; // what the kernel makes of it is still some thousand bytes
    int fd = conn_at(served.workers[0], f->conn)->stream.fd;
    CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    CHECK_EQ(setsockopt(p.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    memset(channel, 'c', sizeof channel - 1);
    buf_add_char(&body, '[');
    for (unsigned n = 0; n < 200; n++)
        buf_addf(&body, "%s" SUBSCRIBE("%s%u"), n ? "," : "", channel, n);
    buf_add(&body, "]", 2); // with a NUL
    send_to_session(body.p);
    CHECK(!chunk_is_between(&f->walk));
    peer_close(&p);
    CHECK(chunk_is_between(&f->walk));
    send_to_session("[" PING "]");
    peer_open(&p, 0);
    post(&p, STREAM, "");
    CHECK(streams(&p, PONG));
    const char *line = lines(&p);
    while (strncmp(line, PONG, sizeof PONG - 1) != 0 && *line) {
        CHECK(strncmp(line, start, sizeof start - 1) == 0);
        line = strchr(line, '\n') + 1;
    }
    CHECK(*line);
    buf_fini(&body);
    peer_close(&p);
    end();
}

/* --- rotation ---------------------------------------------------------------------------------- */

/* Pongs until the stream has been sent more than so many characters. */
static void fill(struct peer *p, const char *send_path, uint32_t chars, const struct fallback *f)
{
    struct buf body = {0};
    struct peer sender;
    peer_open(&sender, 0);
    buf_add_char(&body, '[');
    for (int i = 0; i < 200; i++)
        buf_add_str(&body, i ? "," PING : PING);
    buf_add(&body, "]", 2); // with a NUL
    for (int i = 0; i < 100 && f->chars <= chars && f->conn != SLAB_NONE; i++) {
        forget(p);
        CHECK(answers(&sender, send_path, body.p, "204", ""));
        turn();
        peer_read(p);
    }
    peer_close(&sender);
    buf_fini(&body);
}

/* The client's kernel has everything that was sent to it. */
static void take_all(struct peer *p, const struct fallback *f)
{
    int unsent = 1;
    uint64_t until_us = clock_us() + PAIR_PATIENCE_MS * 1000ULL;
    while (unsent && clock_us() < until_us) {
        wait_a_little(p);
        peer_read(p);
        CHECK_EQ(ioctl(conn_at(served.workers[0], f->conn)->stream.fd, SIOCOUTQ, &unsent), 0);
    }
    CHECK_EQ(unsent, 0);
}

TEST(a_stream_pauses_at_the_line_at_which_the_client_asks_anew)
{
    struct peer p;
    struct peer next;
    START(0);
    open_stream(&p, STREAM);
    struct fallback *f = fallback_of_test();
    fill(&p, SEND, ROTATE_BYTES, f);
    CHECK(f->chars > ROTATE_BYTES);
    CHECK(f->chars <= ROTATE_BYTES + sizeof PONG - 1); // not a line too much
    CHECK(f->receiver & RECEIVER_PAUSED);
    CHECK(chunk_is_between(&f->walk));
    forget(&p);
    send_to_session("[" SUBSCRIBE("last") "]");
    turn();
    peer_read(&p);
    CHECK(!has(&p, "last"));
    peer_open(&next, 0);
    post(&next, STREAM, "");
    CHECK(streams(&next, SUCCEEDED("last")));
    CHECK(!(f->receiver & RECEIVER_PAUSED));
    CHECK(f->chars < ROTATE_BYTES); // it begins anew
    CHECK(gets(&p, CHUNK_LAST));
    peer_close(&p);
    peer_close(&next);
    end();
}

TEST(a_client_that_has_everything_and_stays_is_streamed_on)
{
    struct peer p;
    START(0);
    open_stream(&p, STREAM);
    struct fallback *f = fallback_of_test();
    fill(&p, SEND, ROTATE_BYTES, f);
    CHECK(f->receiver & RECEIVER_PAUSED);
    take_all(&p, f);
    pass_ms(999);
    CHECK(f->receiver & RECEIVER_PAUSED);
    pass_ms(1);
    CHECK(!(f->receiver & RECEIVER_PAUSED));
    send_to_session("[" SUBSCRIBE("last") "]");
    CHECK(gets(&p, "last"));
    fill(&p, SEND, 2 * ROTATE_BYTES, f);
    CHECK(!(f->receiver & RECEIVER_PAUSED)); // not a second time
    peer_close(&p);
    end();
}

TEST(a_stream_of_sockjs_ends_by_itself_when_it_is_long)
{
    struct peer p;
    START(0);
    peer_open(&p, 0);
    post(&p, "/pusher/1/s/xhr_streaming", "");
    CHECK(streams(&p, "o\n"));
    struct fallback *f = fallback_find(served.workers[0], span_str("1/s"));
    ENSURE(f);
    struct peer sender;
    peer_open(&sender, 0);
    CHECK(answers(&sender, "/pusher/1/s/xhr_send",
        "[\"{\\\"path\\\":\\\"/app/app-key?protocol=7\\\"}\"]", "204", ""));
    CHECK(streams(&p, ESTABLISHED));
    peer_close(&sender);
    fill(&p, "/pusher/1/s/xhr_send", SOCKJS_BYTES, f);
    CHECK(gets(&p, CHUNK_LAST));
    CHECK_EQ(f->state, FALLBACK_OPEN);
    CHECK_EQ(f->conn, SLAB_NONE);
    peer_close(&p);
    end();
}

/* --- polls ------------------------------------------------------------------------------------- */

TEST(a_poll_is_answered_with_what_there_is_or_held)
{
    struct peer p;
    START(0);
    peer_open(&p, 0);
    post(&p, POLL, "");
    CHECK(gets(&p, "\"]\n"));
    CHECK(strncmp(body_of(&p), "o\n" ESTABLISHED, 2 + sizeof ESTABLISHED - 1) == 0);
    CHECK(has(&p, "Content-Length: ") && !has(&p, "chunked"));
    forget(&p);
    post(&p, POLL, "");
    turn();
    peer_read(&p);
    CHECK_EQ(p.got.len, 0);
    send_to_session("[" PING "]");
    CHECK(gets(&p, PONG));
    CHECK_STR(body_of(&p), PONG);
    CHECK_EQ(counter_get(&served.workers[0]->stats.sessions[TRANSPORT_POLLING]), 1);
    peer_close(&p);
    end();
}

TEST(what_is_said_between_two_polls_is_one_answer_in_order)
{
    struct peer p;
    START(0);
    open_polling(&p);
    send_to_session("[" PING "]");
    send_to_session("[" SUBSCRIBE("a") "]");
    send_to_session("[]");
    post(&p, POLL, "");
    CHECK(gets(&p, "a[]\n"));
    CHECK(strncmp(body_of(&p), PONG, sizeof PONG - 1) == 0);
    CHECK(comes_before(p.got.p, PONG, SUCCEEDED("a")));
    CHECK(comes_before(p.got.p, SUCCEEDED("a"), "a[]\n"));
    peer_close(&p);
    end();
}

TEST(a_second_poll_ends_the_first_with_nothing)
{
    struct peer first;
    struct peer second;
    START(0);
    open_polling(&first);
    post(&first, POLL, "");
    turn();
    peer_open(&second, 0);
    post(&second, POLL, "");
    CHECK(gets(&first, "\r\n\r\n"));
    CHECK(has(&first, "HTTP/1.1 200 OK\r\n") && has(&first, "Content-Length: 0\r\n"));
    CHECK_STR(body_of(&first), "");
    CHECK_EQ(counted(COUNTER_DISPLACED), 1);
    send_to_session("[" PING "]");
    CHECK(gets(&second, PONG));
    peer_close(&first);
    peer_close(&second);
    end();
}

/* --- heartbeats and clocks --------------------------------------------------------------------- */

TEST(a_heartbeat_comes_every_25_seconds)
{
    struct peer p;
    START(0);
    open_stream(&p, STREAM);
    forget(&p);
    pass_ms(24999);
    CHECK(!has(&p, "h"));
    pass_ms(1);
    CHECK(gets(&p, "2\r\nh\n\r\n"));
    forget(&p);
    send_to_session("[]"); // the client answers it
    CHECK(gets(&p, "4\r\na[]\n\r\n"));
    CHECK(!has(&p, "h\n"));
    pass_ms(24999);
    peer_read(&p);
    CHECK_EQ(count(&p, "h\n"), 0);
    pass_ms(1);
    CHECK(gets(&p, "h\n"));
    peer_close(&p);
    end();
}

TEST(a_poll_is_held_for_25_seconds)
{
    struct peer p;
    START(0);
    open_polling(&p);
    post(&p, POLL, "");
    turn();
    pass_ms(24999);
    peer_read(&p);
    CHECK_EQ(p.got.len, 0);
    pass_ms(1);
    CHECK(gets(&p, "\r\n\r\nh\n"));
    CHECK_STR(body_of(&p), "h\n");
    peer_close(&p);
    end();
}

TEST(a_session_that_nobody_receives_lives_for_5_seconds)
{
    struct peer p;
    START(0);
    open_stream(&p, STREAM);
    peer_close(&p);
    send_to_session("[" PING "]"); // a send is no receiver
    pass_ms(4999);
    CHECK_EQ(served.workers[0]->fallbacks.live, 1);
    pass_ms(1);
    CHECK_EQ(served.workers[0]->fallbacks.live, 0);
    CHECK_EQ(counted(COUNTER_ORPHANS), 1);
    CHECK_EQ(closed(CLOSE_PEER_GONE), 1);
    CHECK_EQ(counter_get(&served.workers[0]->stats.sessions[TRANSPORT_STREAMING]), 0);
    CHECK(!fallback_find(served.workers[0], span_str("app-key/12/abcdefgh")));
    CHECK_EQ(counter_get(&served.workers[0]->stats.detached), 0);
    end();
}

TEST(a_receiver_in_time_saves_the_session)
{
    struct peer p;
    START(0);
    open_stream(&p, STREAM);
    for (int i = 0; i < 3; i++) {
        peer_close(&p);
        pass_ms(4999);
        peer_open(&p, 0);
        post(&p, STREAM, "");
        CHECK(gets(&p, "\r\n\r\n"));
    }
    CHECK_EQ(counted(COUNTER_ORPHANS), 0);
    CHECK_EQ(counted(COUNTER_FALLBACKS_OPENED), 1);
    peer_close(&p);
    end();
}

TEST(a_client_that_answers_no_heartbeat_is_closed)
{
    struct peer p;
    START(0);
    open_stream(&p, STREAM);
    for (int i = 0; i < 20 && !closed(CLOSE_PONG_TIMEOUT); i++)
        pass_ms(5000);
    CHECK_EQ(closed(CLOSE_PONG_TIMEOUT), 1);
    CHECK(gets(&p, CHUNK_LAST));
    CHECK(strstr(lines(&p), "\nc[4201,\"Pong reply not received\"]\n"));
    CHECK_EQ(served.workers[0]->fallbacks.live, 0);
    peer_close(&p);
    end();
}

/* --- ends -------------------------------------------------------------------------------------- */

static void close_session(enum close_reason why)
{
    struct serve *s = served.workers[0];
    session_close(s, session_at(s, fallback_of_test()->session), why, 0);
}

TEST(the_last_words_of_a_stream_are_what_was_pending_and_why)
{
    struct peer p;
    START(0);
    open_stream(&p, STREAM);
    forget(&p);
    struct serve *s = served.workers[0];
    hub_send_raw(s->hub, fallback_of_test()->session, span_str("4\r\na[]\n\r\n"));
    close_session(CLOSE_TERMINATED);
    CHECK(gets(&p, CHUNK_LAST));
    CHECK(comes_before(p.got.p, "4\r\na[]\n\r\n", "c[4009,\""));
    CHECK(gets(&p, NULL));
    CHECK_EQ(s->fallbacks.live, 0);
    peer_close(&p);
    end();
}

TEST(the_last_words_of_a_held_poll_are_its_answer)
{
    struct peer p;
    START(0);
    open_polling(&p);
    post(&p, POLL, "");
    turn();
    close_session(CLOSE_TERMINATED);
    CHECK(gets(&p, "]\n"));
    CHECK(strncmp(body_of(&p), "c[4009,\"", 8) == 0);
    CHECK_EQ(served.workers[0]->fallbacks.live, 0);
    peer_close(&p);
    end();
}

TEST(without_a_receiver_the_last_words_are_kept_for_one)
{
    struct peer p;
    struct peer sender;
    START(0);
    open_polling(&p);
    send_to_session("[" PING "]");
    close_session(CLOSE_TERMINATED);
    CHECK_EQ(fallback_of_test()->state, FALLBACK_ENDED);
    peer_open(&sender, 0);
    CHECK(answers(&sender, SEND, "[]", "404", "there is no such session\n"));
    peer_close(&sender);
    post(&p, POLL, "");
    CHECK(gets(&p, "]\n"));
    CHECK(strncmp(body_of(&p), PONG "c[4009,\"", sizeof PONG - 1 + 8) == 0);
    CHECK_EQ(served.workers[0]->fallbacks.live, 0);
    post(&p, POLL, ""); // the name is free
    CHECK(gets(&p, ESTABLISHED));
    peer_close(&p);
    end();
}

TEST(last_words_that_nobody_fetches_are_forgotten)
{
    struct peer p;
    START(0);
    open_polling(&p);
    close_session(CLOSE_TERMINATED);
    CHECK_EQ(served.workers[0]->fallbacks.live, 1);
    pass_ms(4999);
    CHECK_EQ(served.workers[0]->fallbacks.live, 1);
    pass_ms(1);
    CHECK_EQ(served.workers[0]->fallbacks.live, 0);
    CHECK(counted(COUNTER_ABANDONED_BYTES) > 0);
    peer_close(&p);
    end();
}

TEST(a_worker_that_ends_frees_every_session)
{
    struct peer p;
    struct peer other;
    START(0);
    open_stream(&p, STREAM);
    peer_open(&other, 0);
    post(&other, "/app/app-key/1/other/xhr?protocol=7", "");
    CHECK(gets(&other, ESTABLISHED));
    peer_close(&other);
    end(); // a stream, and a session between two polls; a leak would be told
    peer_read(&p);
    CHECK(p.has_ended);
    peer_drop(&p);
}

TEST(who_never_names_its_app_is_told_to_go)
{
    static const char end_line[] = "c[4100,\"No app was named in time, back off\"]";
    struct peer p;
    struct peer polls;
    struct peer socket;
    START(.sets = {"limits.head_ms=3000", "limits.heartbeat_ms=500", "limits.rejoin_ms=600"});
    peer_open(&p, 0);
    post(&p, "/pusher/1/stream/xhr_streaming", "");
    CHECK(streams(&p, "o\n"));
    peer_open(&socket, 0);
    CHECK(asks(&socket, UPGRADE("/pusher/1/socket/websocket"), "o"));
    peer_open(&polls, 0);
    post(&polls, "/pusher/1/polls/xhr", "");
    CHECK(gets(&polls, "o\n"));
    for (int i = 0; i < 5; i++) { // coming back does not give it more time
        forget(&polls);
        post(&polls, "/pusher/1/polls/xhr", "");
        turn();
        pass_ms(500);
        CHECK(gets(&polls, "\r\n\r\nh\n"));
    }
    pass_ms(500);
    CHECK(streams(&p, end_line));
    CHECK(gets(&socket, end_line) && gets(&socket, NULL));
    forget(&polls);
    post(&polls, "/pusher/1/polls/xhr", "");
    CHECK(gets(&polls, end_line));
    CHECK_EQ(closed(CLOSE_UNNAMED), 3);
    CHECK_EQ(served.workers[0]->fallbacks.live, 0);
    peer_close(&polls);
    peer_close(&socket);
    peer_close(&p);
    end();
}

TEST(who_has_named_its_app_stays)
{
    struct peer p;
    struct peer sender;
    START(.sets = {"limits.head_ms=1000"});
    peer_open(&p, 0);
    post(&p, "/pusher/1/a/xhr_streaming", "");
    CHECK(streams(&p, "o\n"));
    pass_ms(999);
    peer_open(&sender, 0);
    CHECK(answers(
        &sender, "/pusher/1/a/xhr_send", "[\"{\\\"path\\\":\\\"/app/app-key\\\"}\"]", "204", ""));
    CHECK(streams(&p, ESTABLISHED));
    pass_ms(2000);
    CHECK_EQ(closed(CLOSE_UNNAMED), 0);
    CHECK_EQ(served.workers[0]->fallbacks.live, 1);
    peer_close(&sender);
    peer_close(&p);
    end();
}

int main(void)
{
    served_init();
    RUN(a_stream_begins_with_its_head_a_preamble_and_o);
    RUN(an_http_1_0_client_is_streamed_without_chunks);
    RUN(another_stream_displaces_the_first_which_ends_whole);
    RUN(what_is_said_between_two_receivers_goes_to_the_next);
    RUN(a_stream_that_breaks_within_a_line_is_followed_by_the_whole_line);
    RUN(a_stream_pauses_at_the_line_at_which_the_client_asks_anew);
    RUN(a_client_that_has_everything_and_stays_is_streamed_on);
    RUN(a_stream_of_sockjs_ends_by_itself_when_it_is_long);
    RUN(a_poll_is_answered_with_what_there_is_or_held);
    RUN(what_is_said_between_two_polls_is_one_answer_in_order);
    RUN(a_second_poll_ends_the_first_with_nothing);
    RUN(a_heartbeat_comes_every_25_seconds);
    RUN(a_poll_is_held_for_25_seconds);
    RUN(a_session_that_nobody_receives_lives_for_5_seconds);
    RUN(a_receiver_in_time_saves_the_session);
    RUN(a_client_that_answers_no_heartbeat_is_closed);
    RUN(the_last_words_of_a_stream_are_what_was_pending_and_why);
    RUN(the_last_words_of_a_held_poll_are_its_answer);
    RUN(without_a_receiver_the_last_words_are_kept_for_one);
    RUN(last_words_that_nobody_fetches_are_forgotten);
    RUN(a_worker_that_ends_frees_every_session);
    RUN(who_never_names_its_app_is_told_to_go);
    RUN(who_has_named_its_app_stays);
    return test_end();
}
