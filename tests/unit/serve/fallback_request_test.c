/* Requests of the HTTP transports: their paths, and the answers that are no conversation. */
#include "base/base.h"

#include "serve/fallback.h"

#include "check_span.h"
#include "posted.h"

#define BASE "/app/app-key/12/abcdefgh/"

/* --- paths ------------------------------------------------------------------------------------- */

TEST(a_path_names_key_session_and_verb)
{
    static const struct {
        const char *path, *key, *name;
        enum fallback_verb verb;
    } cases[] = {{"/app/k/1/s/xhr_streaming", "k", "k/1/s", FALLBACK_STREAMING},
        {"/app/k/1/s/xhr", "k", "k/1/s", FALLBACK_POLL},
        {"/app/k/1/s/xhr_send", "k", "k/1/s", FALLBACK_SEND},
        {"/pusher/app/k/999/0v/xhr", "k", "k/999/0v", FALLBACK_POLL},
        {"/pusher/app/a%20b/0/A-_z9/xhr", "a%20b", "a%20b/0/A-_z9", FALLBACK_POLL},
        {"/pusher/1/s/xhr_streaming", "", "1/s", FALLBACK_STREAMING},
        {"/pusher/1/s/xhr", "", "1/s", FALLBACK_POLL},
        {"/pusher/1/s/xhr_send", "", "1/s", FALLBACK_SEND},
        {"/pusher/1/s/websocket", "", "1/s", FALLBACK_WEBSOCKET},
        {"/pusher/info", "", "", FALLBACK_INFO}, {"/pusher", "", "", FALLBACK_GREETING},
        {"/pusher/", "", "", FALLBACK_GREETING}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct fallback_path out;
        CHECK(fallback_path(span_str(cases[i].path), &out));
        CHECK_EQ(out.verb, cases[i].verb);
        CHECK_SPAN(out.key, cases[i].key);
        CHECK_SPAN(out.name, cases[i].name);
        CHECK_EQ(out.key.p != NULL, cases[i].key[0] != '\0');
    }
}

TEST(other_paths_are_none_of_a_fallback)
{
    static const char *const paths[] = {"", "/", "/app", "/app/", "/app/k", "/app/k/", "/app/k/1",
        "/app/k/1/s", "/app/k/1/s/", "/app/k/1/s/xhr/", "/app/k/1/s/xhr_", "/app/k/1/s/XHR",
        "/app/k/1/s/xhr_streamin", "/app/k/1/s/websocket", "/app//1/s/xhr", "/app/k//s/xhr",
        "/app/k/1//xhr", "/app/k/1/s/t/xhr", "/app/k/1/s%20/xhr", "/app/k/1.5/s/xhr",
        "/app/k/1/s/info", "/1/s/xhr", "/info", "/pusherapp/k/1/s/xhr", "/pushers", "/pusher/info/",
        "/pusher/1", "/pusher/1/s", "/pusher//s/xhr", "/pusher/1/s/eventsource",
        "/pusher/pusher/app/k/1/s/xhr", "/app/k/12345678901234567/s/xhr"};
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        struct fallback_path out;
        if (fallback_path(span_str(paths[i]), &out))
            CHECK_STR(paths[i], NULL);
    }
}

/* The path with a key, a server and a session of so many characters. */
static bool is_path(size_t key, size_t server, size_t session)
{
    char many[256];
    struct buf path = {0};
    struct fallback_path out;
    memset(many, 'x', sizeof many);
    buf_addf(
        &path, "/app/%.*s/%.*s/%.*s/xhr", (int)key, many, (int)server, many, (int)session, many);
    bool result = fallback_path(buf_span(&path), &out);
    if (result) {
        CHECK_EQ(out.key.len, key);
        CHECK_EQ(out.name.len, key + server + session + 2);
    }
    buf_fini(&path);
    return result;
}

TEST(the_parts_of_a_name_have_a_greatest_length)
{
    CHECK(is_path(128, 16, 64));
    CHECK(!is_path(129, 16, 64));
    CHECK(!is_path(128, 17, 64));
    CHECK(!is_path(128, 16, 65));
}

TEST(any_prefix_of_a_path_is_read_within_its_bounds)
{
    static const char path[] = "/pusher/app/key/12/abcdefgh/xhr_streaming";
    for (size_t n = 0; n < sizeof path; n++) {
        struct fallback_path out;
        char *exact = mem_dup(path, n); // its end is where it is read last
        bool is_ours = fallback_path(span_of(exact, n), &out);
        bool is_whole = n == sizeof path - 1 || n == sizeof "/pusher/app/key/12/abcdefgh/xhr" - 1 ||
                        n == sizeof "/pusher" - 1 || n == sizeof "/pusher/" - 1;
        CHECK_EQ(is_ours, is_whole);
        free(exact);
    }
}

/* --- header lines ------------------------------------------------------------------------------ */

TEST(an_origin_is_answered_by_name_with_credentials)
{
    char headers[FALLBACK_HEADERS];
    char origin[ORIGIN_MAX + 2];
    fallback_headers(span_str("https://a.example"), headers);
    CHECK(strstr(headers, "Access-Control-Allow-Origin: https://a.example\r\n"));
    CHECK(strstr(headers, "Access-Control-Allow-Credentials: true\r\n"));
    CHECK(strstr(headers, "Vary: Origin\r\n"));
    fallback_headers(span_of(NULL, 0), headers);
    CHECK(strstr(headers, "Access-Control-Allow-Origin: *\r\n"));
    CHECK(!strstr(headers, "Credentials"));
    memset(origin, 'o', sizeof origin);
    fallback_headers(span_of(origin, ORIGIN_MAX), headers);
    CHECK(strstr(headers, "Vary: Origin\r\n")); // all of it has room
    fallback_headers(span_of(origin, ORIGIN_MAX + 1), headers);
    CHECK(strstr(headers, "Access-Control-Allow-Origin: *\r\n"));
}

TEST(a_preflight_is_granted_what_it_asks_for)
{
    struct peer p;
    START(0);
    peer_open(&p, 0);
    CHECK(asks(&p,
        "OPTIONS " BASE "xhr_send?t=1&n=2 HTTP/1.1\r\nHost: h\r\nOrigin: http://a\r\n"
        "Access-Control-Request-Headers: content-type, x-other\r\n\r\n",
        "\r\n\r\n"));
    CHECK(has(&p, "HTTP/1.1 204 "));
    CHECK(has(&p, "Access-Control-Allow-Origin: *\r\n"));
    CHECK(has(&p, "Access-Control-Allow-Headers: content-type, x-other\r\n"));
    CHECK(has(&p, "Access-Control-Allow-Methods: GET, HEAD, POST, OPTIONS\r\n"));
    CHECK(has(&p, "Access-Control-Max-Age: 86400\r\n"));
    CHECK(asks(
        &p, "OPTIONS /pusher/1/s/xhr HTTP/1.1\r\nHost: h\r\nOrigin: http://a\r\n\r\n", "\r\n\r\n"));
    CHECK(has(&p, "Access-Control-Allow-Origin: http://a\r\n")); // SockJS has credentials
    CHECK(has(&p, "Access-Control-Allow-Headers: content-type\r\n"));
    peer_close(&p);
    end();
}

/* --- sends ------------------------------------------------------------------------------------- */

TEST(a_send_to_no_session_is_unknown)
{
    struct peer stream;
    struct peer p;
    START(0);
    open_stream(&stream, BASE "xhr_streaming?protocol=7");
    peer_open(&p, 0);
    CHECK(answers(&p, "/app/app-key/12/other/xhr_send", "[]", "404", "there is no such session\n"));
    CHECK(answers(&p, "/app/app-key/13/abcdefgh/xhr_send", "[]", "404",
        "there is no such session\n")); // the server is part of the name
    CHECK(answers(&p, "/app/no-key/12/abcdefgh/xhr_send", "[]", "404",
        "there is no such session\n")); // and so is the key
    CHECK(answers(&p, "/pusher/12/abcdefgh/xhr_send", "[]", "404", "there is no such session\n"));
    CHECK_EQ(counted(COUNTER_UNKNOWN_SENDS), 4);
    CHECK(answers(&p, BASE "xhr_send", "[]", "204", ""));
    CHECK_EQ(counted(COUNTER_BAD_SENDS), 0);
    peer_close(&p);
    peer_close(&stream);
    end();
}

TEST(a_body_that_is_no_list_of_strings_is_refused)
{
    static const char *const bodies[] = {"", " ", "[", "[]]", "[\"a\"", "[\"a\",]", "[,]", "{}",
        "\"a\"", "null", "1", "[1]", "[null]", "[[]]", "[[\"a\"]]", "[{}]", "[\"a\",1]",
        "[\"\\ud800\"]", "[\"\\x\"]", "['a']", "[\"\xff\"]"};
    struct peer stream;
    struct peer p;
    START(0);
    open_stream(&stream, BASE "xhr_streaming?protocol=7");
    peer_open(&p, 0);
    for (size_t i = 0; i < COUNT_OF(bodies); i++)
        CHECK(answers(
            &p, BASE "xhr_send", bodies[i], "400", "the body must be a JSON array of strings\n"));
    CHECK_EQ(counted(COUNTER_BAD_SENDS), COUNT_OF(bodies));
    CHECK_EQ(counted(COUNTER_MESSAGES_IN), 0);
    CHECK(answers(&p, BASE "xhr_send", " [ " SUBSCRIBE("a") " ] ", "204", ""));
    CHECK(streams(&stream, SUCCEEDED("a"))); // the session is as before
    peer_close(&p);
    peer_close(&stream);
    end();
}

TEST(sockjs_has_sentences_of_its_own_for_bad_bodies)
{
    struct peer p;
    struct peer stream;
    START(0);
    peer_open(&stream, 0);
    post(&stream, "/pusher/1/s/xhr_streaming", "");
    CHECK(streams(&stream, "o\n"));
    peer_open(&p, 0);
    CHECK(answers(&p, "/pusher/1/s/xhr_send", "", "500", "Payload expected."));
    CHECK(answers(&p, "/pusher/1/s/xhr_send", "[\"x", "500", "Broken JSON encoding."));
    CHECK_EQ(counted(COUNTER_BAD_SENDS), 2);
    peer_close(&p);
    peer_close(&stream);
    end();
}

TEST(a_body_that_is_too_long_ends_what_it_was_sent_to)
{
    struct peer p;
    struct peer stream;
    struct peer socket;
    START(.sets = {"limits.message_bytes=128", "limits.body_bytes=1024"});
    open_stream(&stream, BASE "xhr_streaming?protocol=7");
    peer_open(&socket, 0);
    post(&socket, "/pusher/1/s/xhr_streaming", "");
    CHECK(streams(&socket, "o\n"));
    peer_open(&p, 0);
    CHECK(asks(&p, "POST " BASE "xhr_send HTTP/1.1\r\nHost: h\r\nContent-Length: 2000\r\n\r\n",
        "HTTP/1.1 413 "));
    CHECK(streams(&stream, "c[1009,\"message too big\"]\n"));
    peer_close(&p);
    peer_open(&p, 0); // its app is not named yet
    CHECK(asks(&p, "POST /pusher/1/s/xhr_send HTTP/1.1\r\nHost: h\r\nContent-Length: 2000\r\n\r\n",
        "HTTP/1.1 413 "));
    CHECK(streams(&socket, "c[1009,\"message too big\"]\n"));
    CHECK_EQ(closed(CLOSE_TOO_BIG), 2);
    CHECK_EQ(served.workers[0]->fallbacks.live, 0);
    peer_close(&p);
    peer_close(&socket);
    peer_close(&stream);
    end();
}

/* --- the rest ---------------------------------------------------------------------------------- */

TEST(a_wrong_method_is_told_the_right_ones)
{
    struct peer p;
    START(0);
    peer_open(&p, 0);
    CHECK(asks(&p, "GET " BASE "xhr HTTP/1.1\r\nHost: h\r\n\r\n", "405\n"));
    CHECK(has(&p, "Allow: OPTIONS, POST\r\n"));
    CHECK(has(&p, "Access-Control-Allow-Origin: *\r\n"));
    forget(&p);
    post(&p, "/pusher/info", "");
    CHECK(gets(&p, "405\n"));
    CHECK(has(&p, "Allow: GET, OPTIONS\r\n"));
    CHECK_EQ(served.workers[0]->fallbacks.live, 0);
    peer_close(&p);
    end();
}

TEST(sockjs_is_told_what_the_server_can_do)
{
    struct peer p;
    START(0);
    peer_open(&p, 0);
    CHECK(asks(&p, "GET /pusher/info HTTP/1.1\r\nHost: h\r\nOrigin: http://a\r\n\r\n", "}"));
    CHECK(has(&p, "\r\n\r\n{\"websocket\":true,\"cookie_needed\":false,\"origins\":[\"*:*\"],"
                  "\"entropy\":"));
    CHECK(has(&p, "Access-Control-Allow-Origin: http://a\r\n"));
    CHECK(has(&p, "Cache-Control: no-store"));
    CHECK(asks(&p, "GET /pusher HTTP/1.1\r\nHost: h\r\n\r\n", "Welcome to SockJS!\n"));
    CHECK(asks(&p, "GET /pusher/1/s/websocket HTTP/1.1\r\nHost: h\r\n\r\n",
        "Can \"Upgrade\" only to \"WebSocket\"."));
    CHECK(has(&p, "HTTP/1.1 400 "));
    peer_close(&p);
    end();
}

TEST(who_may_not_open_is_opened_and_closed_at_once)
{
    struct peer p;
    START(0);
    peer_open(&p, 0);
    post(&p, "/app/none/1/s/xhr?protocol=7", "");
    CHECK(gets(&p, "\r\n\r\no\nc[4001,\""));
    CHECK(has(&p, "HTTP/1.1 200 "));
    CHECK_EQ(closed(CLOSE_UNKNOWN_KEY), 1);
    forget(&p);
    post(&p, BASE "xhr_streaming?protocol=99", "");
    CHECK(gets(&p, "\r\n\r\no\nc[4007,\""));
    served.house.capacity = 0;
    forget(&p);
    post(&p, BASE "xhr?protocol=7", "");
    CHECK(gets(&p, "\r\n\r\no\nc[4"));
    CHECK_EQ(closed(CLOSE_OVER_CAPACITY), 1);
    CHECK_EQ(served.workers[0]->fallbacks.live, 0);
    peer_close(&p);
    end();
}

TEST(a_session_between_two_polls_has_its_place)
{
    char path[100];
    unsigned n = 0;
    struct peer p;
    struct peer other;
    START(.sets = {"limits.connections=4"}, .n_workers = 3);
    peer_open(&p, 0);
    for (; n < 10; n++) {
        snprintf(path, sizeof path, "/app/app-key/%u/abcdefgh/xhr?protocol=7", n);
        forget(&p);
        post(&p, path, "");
        CHECK(gets(&p, "]\n"));
        if (!has(&p, ESTABLISHED))
            break;
    }
    CHECK_EQ(n, 4); // on whichever worker they are
    CHECK(has(&p, "\r\n\r\no\nc[4100,\"Over capacity\"]\n"));
    forget(&p);
    post(&p, "/pusher/1/a/xhr", "");
    CHECK(gets(&p, "\r\n\r\no\nc[4100,\"Over capacity\"]\n"));
    CHECK(asks(&p, "GET /events/app-key?channels=a HTTP/1.1\r\nHost: h\r\n\r\n", "Over capacity"));
    CHECK(has(&p, "HTTP/1.1 503 ") && has(&p, "Retry-After: 5\r\n"));
    peer_open(&other, 0);
    CHECK(asks(&other, UPGRADE("/pusher/1/a/websocket"), "c[4100,\"Over capacity\"]"));
    CHECK(gets(&other, NULL));
    peer_close(&other);
    peer_open(&other, 0);
    CHECK(asks(&other, UPGRADE("/app/app-key?protocol=7"), "Over capacity"));
    peer_close(&other);
    CHECK_EQ(closed(CLOSE_OVER_CAPACITY), 5);
    pass_ms(served.config->limits.rejoin_ms);
    forget(&p);
    post(&p, path, "");
    CHECK(gets(&p, ESTABLISHED)); // there is room again
    peer_close(&p);
    end();
}

TEST(who_was_let_in_may_name_its_app_when_all_is_full)
{
    struct peer p;
    struct peer sender;
    START(.sets = {"limits.connections=1"});
    peer_open(&p, 0);
    post(&p, "/pusher/1/a/xhr_streaming", "");
    CHECK(streams(&p, "o\n"));
    peer_open(&sender, 0); // one socket more than there may be
    CHECK(answers(
        &sender, "/pusher/1/a/xhr_send", "[\"{\\\"path\\\":\\\"/app/app-key\\\"}\"]", "204", ""));
    CHECK(streams(&p, ESTABLISHED));
    peer_close(&sender);
    peer_close(&p);
    end();
}

/* Why its app refuses a client is counted and said the same way, whatever it came by. */
TEST(a_refusal_is_counted_for_the_app_over_every_transport)
{
    static const char sentence[] = "Application only accepts SSL connections";
    static const char *const requests[] = {
        "POST /app/k/1/a/xhr?protocol=7 HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
        "POST /app/k/1/a/xhr_streaming HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
        "GET /events/k?channels=a HTTP/1.1\r\nHost: h\r\n\r\n", UPGRADE("/app/k?protocol=7")};
    struct peer p;
    START(.sets = {"app_defaults.tls_only=true"}, .app = "1:k:s");
    const struct app_usage *usage = app_usage(served.config->apps[0].slot);
    uint64_t before = atomic_load(&usage->refused);
    for (size_t i = 0; i < COUNT_OF(requests); i++) {
        peer_open(&p, 0);
        CHECK(asks(&p, requests[i], sentence));
        CHECK_EQ(atomic_load(&usage->refused) - before, i + 1);
        peer_close(&p);
    }
    peer_open(&p, 0);
    CHECK(asks(&p, UPGRADE("/pusher/1/a/websocket"), "o"));
    message(&p, "[\"{\\\"path\\\":\\\"/app/k?protocol=7\\\"}\"]");
    CHECK(gets(&p, sentence));
    CHECK_EQ(atomic_load(&usage->refused) - before, COUNT_OF(requests) + 1);
    CHECK_EQ(closed(CLOSE_TLS_ONLY), COUNT_OF(requests) + 1);
    peer_close(&p);
    end();
}

TEST(an_unknown_key_is_named_over_every_transport)
{
    static const char *const requests[] = {
        "POST /app/no%01%22key/1/a/xhr HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
        "GET /events/no%01%22key?channels=a HTTP/1.1\r\nHost: h\r\n\r\n"};
    static const char *const sentences[] = {
        "\"App key no\\u0001\\\"key not in this cluster", "App key no?\"key not in this cluster"};
    struct peer p;
    START(0);
    for (size_t i = 0; i < COUNT_OF(requests); i++) {
        peer_open(&p, 0);
        CHECK(asks(&p, requests[i], sentences[i]));
        peer_close(&p);
    }
    peer_open(&p, 0);
    CHECK(asks(&p, UPGRADE("/pusher/1/a/websocket"), "o"));
    message(&p, "[\"{\\\"path\\\":\\\"/app/"
                "%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01"
                "%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01\\\"}\"]");
    CHECK(gets(&p, "c[4001,\"App key \\u0001\\u0001")); // the longest there is, quoted
    CHECK_EQ(closed(CLOSE_UNKNOWN_KEY), COUNT_OF(requests) + 1);
    peer_close(&p);
    end();
}

int main(void)
{
    served_init();
    RUN(a_path_names_key_session_and_verb);
    RUN(other_paths_are_none_of_a_fallback);
    RUN(the_parts_of_a_name_have_a_greatest_length);
    RUN(any_prefix_of_a_path_is_read_within_its_bounds);
    RUN(an_origin_is_answered_by_name_with_credentials);
    RUN(a_preflight_is_granted_what_it_asks_for);
    RUN(a_send_to_no_session_is_unknown);
    RUN(a_body_that_is_no_list_of_strings_is_refused);
    RUN(sockjs_has_sentences_of_its_own_for_bad_bodies);
    RUN(a_body_that_is_too_long_ends_what_it_was_sent_to);
    RUN(a_wrong_method_is_told_the_right_ones);
    RUN(sockjs_is_told_what_the_server_can_do);
    RUN(who_may_not_open_is_opened_and_closed_at_once);
    RUN(a_session_between_two_polls_has_its_place);
    RUN(who_was_let_in_may_name_its_app_when_all_is_full);
    RUN(a_refusal_is_counted_for_the_app_over_every_transport);
    RUN(an_unknown_key_is_named_over_every_transport);
    return test_end();
}
