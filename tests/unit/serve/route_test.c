/* Which request is answered by whom, and which upgrade is refused with which code. */
#include "base/base.h"

#include "served.h"

#define END                    " HTTP/1.1\r\nHost: 127.0.0.1:6001\r\n\r\n"
#define POST(path, more, body) "POST " path " HTTP/1.1\r\nHost: 127.0.0.1:6001\r\n" more "\r\n" body

/* --- pages ----------------------------------------------------------------------------------------- */

struct page {
    const char *request;
    int status;
    const char *part; // of the answer; NULL = whatever
};

/* Each on a connection of its own. */
static void check_pages(const struct page *pages, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct peer p;
        char want[32];
        snprintf(want, sizeof want, "HTTP/1.1 %d ", pages[i].status);
        peer_open(&p, 0);
        if (!asks(&p, pages[i].request, pages[i].part ? pages[i].part : "\r\n\r\n") ||
            strncmp(p.got.p, want, strlen(want)) != 0)
            CHECK_STR(p.got.p, pages[i].request);
        peer_close(&p);
    }
}

TEST(every_path_has_its_answer)
{
    static const struct page pages[] = {
        {"GET /health" END, 200, "\r\n\r\nok\n"},
        {"GET /ready" END, 200, "\r\n\r\nready\n"},
        {"GET /metrics" END, 200, "carillon_connections{worker=\"0\"}"},
        {"GET /metrics?x=1" END, 200, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"},
        {"HEAD /health" END, 200, "Content-Length: 3\r\n"},
        {"GET /" END, 200, NULL},
        {"GET /health/" END, 404, "404 NOT FOUND\n"},
        {"GET /HEALTH" END, 404, NULL},
        {"GET /nowhere" END, 404, "Content-Type: text/plain\r\n"},
        {"GET /app/app-key" END, 426, "Sec-WebSocket-Version: 13\r\n"},
        {"GET /worker/0" END, 404, NULL}, // off
        {"GET /echo" END, 404, NULL},
        {"GET /apps/app-id/channels" END, 401, "Missing parameter: auth_key\n"},
        {"GET /apps/nobody/channels" END, 404, NULL},
        {"GET /apps/app-id" END, 404, NULL},
        {POST("/health", "Content-Length: 0\r\n", ""), 405, "Allow: GET, HEAD\r\n"},
        {POST("/nowhere", "Content-Length: 0\r\n", ""), 404, NULL},
        {"PATCH /nowhere" END, 405, NULL},
        {"OPTIONS /apps/app-id/events" END, 204, "Access-Control-Allow-Methods: "},
    };
    START(0);
    check_pages(pages, COUNT_OF(pages));
    end();
}

TEST(an_answer_without_a_body_has_no_length)
{
    struct peer p;
    START(0);
    peer_open(&p, 0);
    CHECK(asks(&p, "OPTIONS /apps/app-id/events" END, "\r\n\r\n"));
    CHECK_EQ(count(&p, "HTTP/1.1 204 "), 1);
    CHECK_EQ(count(&p, "Content-"), 0);
    peer_close(&p);
    end();
}

TEST(ready_says_no_before_all_accept_and_while_draining)
{
    static const struct page no[] = {{"GET /ready" END, 503, "draining\n"}};
    static const struct page alive[] = {{"GET /health" END, 200, "Connection: close\r\n"}};
    START(0);
    served.house.is_ready = false;
    check_pages(no, 1);
    served.house.is_ready = true;
    served.house.is_draining = true;
    check_pages(no, 1);
    check_pages(alive, 1);
    end();
}

TEST(everything_is_below_the_prefix_when_there_is_one)
{
    static const struct page pages[] = {
        {"GET /in/side/health" END, 200, "ok\n"},
        {"GET /in/side/apps/app-id/channels" END, 401, NULL},
        {"GET /in/side" END, 308, "Location: /in/side/\r\n"},
        {"GET /in/side/" END, 200, NULL},
        {"GET /health" END, 404, NULL},
        {"GET /in/sidehealth" END, 404, NULL},
        {"GET /in/side//health" END, 404, NULL},
    };
    START(.sets = {"path_prefix=/in/side"});
    check_pages(pages, COUNT_OF(pages));
    end();
}

TEST(a_path_is_cut_at_the_prefix)
{
    static const struct {
        const char *prefix, *path, *rest; // NULL = not ours
    } cases[] = {{"", "/x", "/x"}, {"/in", "/in/x", "/x"}, {"/in", "/in", "/"},
        {"/in", "/in/", "/"}, {"/in", "/inx", NULL}, {"/in", "/x", NULL}, {"/in", "/", NULL}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct config config = {0};
        struct serve s = {.config = &config};
        struct span rest;
        config.path_prefix = mem_dup_str(cases[i].prefix);
        bool ok = route_path(&s, span_str(cases[i].path), &rest);
        CHECK_EQ(ok, cases[i].rest != NULL);
        if (ok && cases[i].rest && !span_is(rest, cases[i].rest))
            CHECK_STR(cases[i].path, cases[i].rest);
        free(config.path_prefix);
    }
}

TEST(the_demo_publishes_only_for_this_machines_own_page)
{
    static const char text[] = "Only this server's own page";
#define DEMO(more) POST("/demo/publish", more "Content-Length: 17\r\n", "{\"message\":\"hey\"}")
    static const struct page pages[] = {
        {DEMO("Origin: http://127.0.0.1:6001\r\n"), 200, "{}"},
        {DEMO("Origin: https://127.0.0.1:6001\r\n"), 200, "{}"},
        {DEMO(""), 403, text},
        {DEMO("Origin: http://127.0.0.1:6002\r\n"), 403, text},
        {DEMO("Origin: null\r\n"), 403, text},
        {"POST /demo/publish HTTP/1.1\r\nHost: example.com\r\nOrigin: http://example.com\r\n"
         "Content-Length: 17\r\n\r\n{\"message\":\"hey\"}",
            403, text},
        {"POST /demo/publish HTTP/1.1\r\nHost: [::1]:80\r\nOrigin: http://[::1]:80\r\n"
         "Content-Length: 17\r\n\r\n{\"message\":\"hey\"}",
            200, "{}"},
        {"GET /demo/publish" END, 405, "Allow: POST\r\n"},
    };
    static const struct page none[] = {{DEMO("Origin: http://127.0.0.1:6001\r\n"), 404, NULL}};
#undef DEMO
    START(0);
    check_pages(pages, COUNT_OF(pages));
    end();
    START(.app = "1:k:s"); // only the default app has a demo
    check_pages(none, 1);
    end();
}

/* --- bodies, workers, versions --------------------------------------------------------------------------- */

TEST(each_kind_of_request_has_its_longest_body)
{
    static const struct {
        const char *path;
        size_t bytes;
    } cases[] = {{"/apps/1/events", 2000}, {"/apps/1/channels/c/events", 2000},
        {"/apps/1/batch_events", 3000}, {"/apps/1/users/u/terminate_connections", 1500},
        {"/health", 1500}, {"/nowhere", 1500}};
    START(.sets = {"limits.body_bytes=1500", "limits.event_body_bytes=2000",
              "limits.batch_body_bytes=3000"});
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct http_head head = {.path = span_str(cases[i].path)};
        CHECK_EQ(route_body_limit(served.workers[0], &head), cases[i].bytes);
    }
    end();
}

TEST(a_request_stays_where_it_came_unless_its_path_says_otherwise)
{
    static const struct {
        const char *path;
        unsigned worker;
    } cases[] = {{"/health", 1}, {"/w/0", 0}, {"/w/2", 2}, {"/w/3", 1}, {"/w/", 1}, {"/w", 1},
        {"/w/x", 1}, {"/wx/0", 1}};
    START(.n_workers = 3, .sets = {"debug.worker_path=/w"});
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct http_head head = {.path = span_str(cases[i].path)};
        CHECK_EQ(route_worker(served.workers[1], &head), cases[i].worker);
    }
    end();
}

TEST(the_protocol_is_a_small_number)
{
    static const struct {
        const char *query;
        int protocol;
    } cases[] = {{"protocol=7", 7}, {"client=js&protocol=5&version=8", 5}, {"protocol=%37", 7},
        {"", -1}, {"client=js", -1}, {"protocol=", 0}, {"protocol=x", 0}, {"protocol=7.0", 0},
        {"protocol=-7", 0}, {"protocol=1001", 0}, {"protocol=1000", 1000},
        {"protocol=99999999999999999999", 0}};
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        CHECK_EQ(route_protocol(span_str(cases[i].query)), cases[i].protocol);
}

/* --- upgrades ------------------------------------------------------------------------------------------------ */

#define UPGRADE_WITH(path, more)                                                                   \
    "GET " path " HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" more "\r"  \
    "\n"
#define GOOD "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

TEST(what_is_no_handshake_is_refused_over_http)
{
    static const struct page pages[] = {
        {UPGRADE_WITH("/app/app-key", ""), 426, "Sec-WebSocket-Version: 13\r\n"},
        {UPGRADE_WITH("/app/app-key", "Sec-WebSocket-Version: 8\r\n"), 426, "Connection: close"},
        {UPGRADE_WITH("/app/app-key", "Sec-WebSocket-Version: 13\r\n"), 400, NULL},
        {UPGRADE_WITH("/app/app-key",
             "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=\r\n"),
            400, NULL},
        {UPGRADE_WITH("/app/app-key",
             "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ===\r\n"),
            400, NULL},
        {"POST /app/app-key HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: "
         "websocket\r\n" GOOD "Content-Length: 0\r\n\r\n",
            405, NULL},
    };
    START(0);
    check_pages(pages, COUNT_OF(pages));
    CHECK_EQ(counted(COUNTER_SESSIONS_OPENED), 0);
    end();
}

/* A browser is told why by a close code; a refused upgrade would tell it nothing. */
static void check_refusal(
    const char *request, enum close_reason why, unsigned code, const char *sentence)
{
    struct peer p;
    uint64_t before = closed(why);
    peer_open(&p, 0);
    say(&p, request);
    CHECK(gets(&p, NULL));
    CHECK_EQ(strncmp(p.got.p, "HTTP/1.1 101 ", 13), 0);
    const char *body = strstr(p.got.p, "\r\n\r\n");
    ENSURE(body);
    const char *end = p.got.p + p.got.len;
    CHECK_EQ(body[4], (char)0x88);
    CHECK_EQ((unsigned char)body[6] << 8 | (unsigned char)body[7], code);
    CHECK_EQ(end - body, 8 + (ptrdiff_t)strlen(sentence));
    CHECK_STR(body + 8, sentence);
    CHECK_EQ(closed(why), before + 1);
    peer_close(&p);
}

TEST(a_session_that_may_not_be_is_closed_with_its_reason)
{
    START(0);
    check_refusal(UPGRADE_WITH("/app/nobody", GOOD), CLOSE_UNKNOWN_KEY, 4001,
        "App key nobody not in this cluster. Did you forget to specify the cluster?");
    check_refusal(UPGRADE_WITH("/app/%6eobody", GOOD), CLOSE_UNKNOWN_KEY, 4001,
        "App key nobody not in this cluster. Did you forget to specify the cluster?");
    check_refusal(UPGRADE_WITH("/app/%ff", GOOD), CLOSE_UNKNOWN_KEY, 4001,
        "App key not in this cluster. Did you forget to specify the cluster?");
    check_refusal(UPGRADE_WITH("/app/app-key?protocol=8", GOOD), CLOSE_BAD_PROTOCOL, 4007,
        "Unsupported protocol version");
    check_refusal(UPGRADE_WITH("/app/a/b", GOOD), CLOSE_PATH_NOT_FOUND, 4005, "Path not found");
    check_refusal(UPGRADE_WITH("/", GOOD), CLOSE_PATH_NOT_FOUND, 4005, "Path not found");
    served.house.capacity = 0;
    check_refusal(UPGRADE_WITH("/app/app-key", GOOD), CLOSE_OVER_CAPACITY, 4100, "Over capacity");
    CHECK_EQ(n_in(CONN_STREAM), 0);
    end();
}

TEST(the_apps_settings_refuse_too)
{
    START(.sets = {"app_defaults.tls_only=true"}, .app = "1:k:s");
    check_refusal(UPGRADE_WITH("/app/k", GOOD), CLOSE_TLS_ONLY, 4000,
        "Application only accepts SSL connections, reconnect using wss://");
    end();
    START(.sets = {"app_defaults.max_connections=1"}, .app = "1:k:s");
    struct peer p;
    peer_open(&p, 0);
    CHECK(asks(&p, UPGRADE_WITH("/app/k", GOOD), "connection_established"));
    check_refusal(UPGRADE_WITH("/app/k", GOOD), CLOSE_OVER_QUOTA, 4004,
        "Application is over connection quota");
    peer_close(&p);
    peer_open(&p, 0); // the place is free again
    CHECK(asks(&p, UPGRADE_WITH("/app/k", GOOD), "connection_established"));
    peer_close(&p);
    end();
    START(.app = "1:k:s");
    struct app *app = &served.config->apps[0]; // only a file can say this
    app->allowed_origins = mem_zero(sizeof *app->allowed_origins);
    app->allowed_origins[0] = mem_dup_str("https://a.example");
    app->n_allowed_origins = 1;
    check_refusal(UPGRADE_WITH("/app/k", GOOD "Origin: https://b.example\r\n"),
        CLOSE_ORIGIN_REFUSED, 4009, "Origin not allowed");
    peer_open(&p, 0);
    CHECK(asks(&p, UPGRADE_WITH("/app/k", GOOD "Origin: https://a.example\r\n"), "established"));
    peer_close(&p);
    peer_open(&p, 0); // who is no browser sends none
    CHECK(asks(&p, UPGRADE_WITH("/app/k", GOOD), "established"));
    peer_close(&p);
    end();
}

TEST(a_protocol_that_is_old_or_no_number_is_told_by_an_event_as_well)
{
    static const char *const requests[] = {UPGRADE_WITH("/app/app-key?protocol=4", GOOD),
        UPGRADE_WITH("/app/app-key?protocol=x", GOOD)};
    START(0);
    for (size_t i = 0; i < COUNT_OF(requests); i++) {
        struct peer p;
        peer_open(&p, 0);
        say(&p, requests[i]);
        CHECK(gets(&p, NULL));
        CHECK_EQ(count(&p, "{\"event\":\"pusher:error\",\"data\":{\"code\":4007,\"message\":"), 1);
        peer_close(&p);
    }
    CHECK_EQ(closed(CLOSE_BAD_PROTOCOL), 2);
    end();
}

TEST(the_first_offered_subprotocol_is_taken)
{
    static const struct {
        const char *request, *line; // NULL = none is answered
    } cases[] = {
        {UPGRADE_WITH("/app/app-key", GOOD), NULL},
        {UPGRADE_WITH("/app/app-key", GOOD "Sec-WebSocket-Protocol: a.b, c\r\n"),
            "Sec-WebSocket-Protocol: a.b\r\n"},
        {UPGRADE_WITH("/app/app-key", GOOD "Sec-WebSocket-Protocol: , c\r\n"),
            "Sec-WebSocket-Protocol: c\r\n"},
        {UPGRADE_WITH("/app/app-key", GOOD "Sec-WebSocket-Protocol: \"a\"\r\n"), NULL},
    };
    START(0);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct peer p;
        peer_open(&p, 0);
        CHECK(asks(&p, cases[i].request, "connection_established"));
        CHECK_EQ(count(&p, "Sec-WebSocket-Protocol"), cases[i].line != NULL);
        CHECK(!cases[i].line || has(&p, cases[i].line));
        peer_close(&p);
    }
    end();
}

int main(void)
{
    served_init();
    RUN(every_path_has_its_answer);
    RUN(an_answer_without_a_body_has_no_length);
    RUN(ready_says_no_before_all_accept_and_while_draining);
    RUN(everything_is_below_the_prefix_when_there_is_one);
    RUN(a_path_is_cut_at_the_prefix);
    RUN(the_demo_publishes_only_for_this_machines_own_page);
    RUN(each_kind_of_request_has_its_longest_body);
    RUN(a_request_stays_where_it_came_unless_its_path_says_otherwise);
    RUN(the_protocol_is_a_small_number);
    RUN(what_is_no_handshake_is_refused_over_http);
    RUN(a_session_that_may_not_be_is_closed_with_its_reason);
    RUN(the_apps_settings_refuse_too);
    RUN(a_protocol_that_is_old_or_no_number_is_told_by_an_event_as_well);
    RUN(the_first_offered_subprotocol_is_taken);
    return test_end();
}
