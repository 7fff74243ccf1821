/* Request heads, chunked bodies, queries: what is read, and what is refused with which status. */
#include "base/base.h"

#include "wire/http.h"

#include "check_span.h"
#include "feed.h"
#include "test.h"

static struct http_limits limits = {.head_bytes = 4096, .headers = 20};

static void say_span(struct buf *said, const char *name, struct span s)
{
    if (s.p)
        buf_addf(said, " %s=<%.*s>", name, SPAN(s));
}

static void say_head(struct buf *said, const struct http_head *h, size_t used)
{
    static const char *const methods[] = {"GET", "HEAD", "POST", "OPTIONS", "DELETE", "OTHER"};
    buf_addf(said, "%s:%.*s %.*s ?%.*s 1.%u", methods[h->method], SPAN(h->method_name),
        SPAN(h->path), SPAN(h->query), h->minor);
    buf_add_str(said, h->is_keep_alive ? " keep" : " close");
    if (h->has_length)
        buf_addf(said, " length=%llu", (unsigned long long)h->length);
    buf_add_str(said, h->is_chunked ? " chunked" : "");
    buf_add_str(said, h->expects_continue ? " expect" : "");
    buf_add_str(said, h->wants_websocket ? " websocket" : "");
    say_span(said, "host", h->host);
    say_span(said, "origin", h->origin);
    say_span(said, "type", h->content_type);
    say_span(said, "authorization", h->authorization);
    say_span(said, "key", h->ws_key);
    say_span(said, "version", h->ws_version);
    say_span(said, "protocol", h->ws_protocol);
    say_span(said, "headers", h->request_headers);
    buf_addf(said, " used=%zu", used);
}

/* A head is always given from its start, longer each time. */
static void run_head(struct feed *f, struct buf *said)
{
    struct buf all = {0};
    struct span piece;
    size_t scanned = 0;
    enum http_result result = HTTP_MORE;
    while (result == HTTP_MORE && feed_next(f, &piece)) {
        struct http_head head;
        size_t used = 0;
        int status = 0;
        buf_add_span(&all, piece);
        char *exact = feed_exact(buf_span(&all));
        result = http_head(span_of(exact, all.len), &limits, &scanned, &head, &used, &status);
        if (result == HTTP_OK)
            say_head(said, &head, used);
        else if (result == HTTP_BAD)
            buf_addf(said, "%d", status);
        else
            CHECK_EQ(scanned, all.len);
        free(exact);
    }
    if (result == HTTP_MORE)
        buf_add_str(said, "more");
    buf_fini(&all);
}

struct row {
    struct span in;
    const char *said;
};

#define ROW(in, said)                                                                              \
    {                                                                                              \
        LITERAL(in), said                                                                          \
    }
#define GET_ROW(line, said)                                                                        \
    {                                                                                              \
        LITERAL("GET / HTTP/1.1\r\n" line "\r\n"), said                                            \
    }
#define HOST "Host: h\r\n"

static void check_heads(const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        CHECK_STR(feed_everywhere(rows[i].in, run_head), rows[i].said);
}

#define CHECK_HEADS(rows) check_heads(rows, COUNT_OF(rows))

TEST(a_request_is_read_with_everything_in_it)
{
    static const struct row rows[] = {
        ROW("GET /a/b?c=d&e HTTP/1.1\r\n" HOST "\r\n",
            "GET:GET /a/b ?c=d&e 1.1 keep host=<h> used=36"),
        ROW("POST /x HTTP/1.1\r\nhOST:  h:80 \t\r\nCONTENT-LENGTH:\t12\r\nContent-Type: "
            "application/json; charset=x\r\nOrigin: null\r\nAuthorization: Bearer t\r\n"
            "Access-Control-Request-Headers: x, y\r\nExpect: 100-Continue\r\nX-Other: "
            "\xc3\xa4\r\n\r\n",
            "POST:POST /x ? 1.1 keep length=12 expect host=<h:80> origin=<null> "
            "type=<application/json; charset=x> authorization=<Bearer t> headers=<x, y> used=210"),
        ROW("GET /app/k?protocol=7 HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\n"
            "Upgrade: WebSocket\r\nSec-WebSocket-Key: abc\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Protocol: c\r\n\r\n",
            "GET:GET /app/k ?protocol=7 1.1 keep websocket host=<h> key=<abc> version=<13> "
            "protocol=<a, b> used=204"),
        ROW("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: Chunked\r\n\r\n5\r\nhello",
            "POST:POST / ? 1.1 keep chunked host=<h> used=56"),
    };
    CHECK_HEADS(rows);
}

TEST(only_the_first_of_pipelined_requests_is_taken)
{
    static const struct row rows[] = {
        ROW("GET /1 HTTP/1.1\r\n" HOST "\r\nGET /2 HTTP/1.1\r\n" HOST "\r\n",
            "GET:GET /1 ? 1.1 keep host=<h> used=28"),
        ROW("GET /1 HTTP/1.1\r\n" HOST "\r\n\n\n\0", "GET:GET /1 ? 1.1 keep host=<h> used=28"),
    };
    CHECK_HEADS(rows);
}

TEST(an_incomplete_head_waits_for_more)
{
    static const struct row rows[] = {
        ROW("", "more"),
        ROW("G", "more"),
        ROW("GET / HTTP/1.1\r\n", "more"),
        ROW("GET / HTTP/1.1\r\n" HOST, "more"),
        ROW("GET / HTTP/1.1\r\n" HOST "\r", "more"),
        ROW("\r\n\r\n", "more"),
    };
    CHECK_HEADS(rows);
}

TEST(empty_lines_before_a_request_are_forgiven)
{
    static const struct row rows[] = {
        ROW("\r\nGET / HTTP/1.1\r\n" HOST "\r\n", "GET:GET / ? 1.1 keep host=<h> used=29"),
        ROW("\r\n\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n", "GET:GET / ? 1.1 keep host=<h> used=33"),
        ROW("\nGET / HTTP/1.1\r\n" HOST "\r\n", "400"),
        ROW("\r\n\nGET / HTTP/1.1\r\n" HOST "\r\n", "400"),
        ROW("\rGET / HTTP/1.1\r\n" HOST "\r\n", "400"),
        ROW(" \r\nGET / HTTP/1.1\r\n" HOST "\r\n", "400"),
    };
    CHECK_HEADS(rows);
}

TEST(every_method_is_known_by_its_exact_name)
{
    static const struct row rows[] = {
        ROW("HEAD / HTTP/1.0\r\n\r\n", "HEAD:HEAD / ? 1.0 close used=19"),
        ROW("DELETE / HTTP/1.0\r\n\r\n", "DELETE:DELETE / ? 1.0 close used=21"),
        ROW("OPTIONS * HTTP/1.0\r\n\r\n", "OPTIONS:OPTIONS * ? 1.0 close used=22"),
        ROW("PUT / HTTP/1.0\r\n\r\n", "OTHER:PUT / ? 1.0 close used=18"),
        ROW("get / HTTP/1.0\r\n\r\n", "OTHER:get / ? 1.0 close used=18"),
        ROW("!#$%&'*+-.^_`|~ / HTTP/1.0\r\n\r\n", "OTHER:!#$%&'*+-.^_`|~ / ? 1.0 close used=30"),
    };
    CHECK_HEADS(rows);
}

TEST(a_malformed_request_line_is_refused)
{
    static const struct row rows[] = {
        ROW("GET\r\n\r\n", "400"), ROW("GET /\r\n\r\n", "400"),
        ROW("GET  / HTTP/1.0\r\n\r\n", "400"), ROW(" GET / HTTP/1.0\r\n\r\n", "400"),
        ROW("GET / HTTP/1.0 \r\n\r\n", "400"), ROW("GET / / HTTP/1.0\r\n\r\n", "400"),
        ROW("GET\t/ HTTP/1.0\r\n\r\n", "400"), ROW("GET /\tHTTP/1.0\r\n\r\n", "400"),
        ROW("G(T / HTTP/1.0\r\n\r\n", "400"), ROW("G\0T / HTTP/1.0\r\n\r\n", "400"),
        ROW("G:T / HTTP/1.0\r\n\r\n", "400"), ROW("GET / http/1.0\r\n\r\n", "400"),
        ROW("GET / HTTP/1\r\n\r\n", "400"), ROW("GET / HTTP/1.01\r\n\r\n", "400"),
        ROW("GET / HTTP/11.1\r\n\r\n", "400"), ROW("GET / HTTP/1,1\r\n\r\n", "400"),
        ROW("GET / HTTP/x.1\r\n\r\n", "400"), ROW("GET / HTTPS1.1\r\n\r\n", "400"),
        ROW("GET / HTTP/1.x\r\n\r\n", "400"), ROW("GET / HTTP/2.0\r\n\r\n", "505"),
        ROW("GET / HTTP/0.9\r\n\r\n", "505"), ROW("GET / HTTP/1.2\r\n" HOST "\r\n", "505"),
        ROW("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505"),
        ROW("\x16\x03\x01\x02\r\n\r\n", "400"), // TLS to a port in the clear
    };
    CHECK_HEADS(rows);
}

TEST(targets_are_cut_at_the_question_mark_and_not_decoded)
{
    static const struct row rows[] = {
        ROW("GET /a%2fb%20?x=%2C?y HTTP/1.0\r\n\r\n",
            "GET:GET /a%2fb%20 ?x=%2C?y 1.0 close used=34"),
        ROW("GET /? HTTP/1.0\r\n\r\n", "GET:GET / ? 1.0 close used=19"),
        ROW("GET //x/../y HTTP/1.0\r\n\r\n", "GET:GET //x/../y ? 1.0 close used=25"),
        ROW("GET /@,;=\"<>\\^`{|} HTTP/1.0\r\n\r\n",
            "GET:GET /@,;=\"<>\\^`{|} ? 1.0 close used=31"),
        ROW("GET http://h:80/p?q HTTP/1.0\r\n\r\n", "GET:GET /p ?q 1.0 close used=32"),
        ROW("GET https://h/p HTTP/1.0\r\n\r\n", "GET:GET /p ? 1.0 close used=28"),
        ROW("GET HTTP://h/p HTTP/1.0\r\n\r\n", "GET:GET /p ? 1.0 close used=27"),
        ROW("GET http://h HTTP/1.0\r\n\r\n", "GET:GET / ? 1.0 close used=25"),
        ROW("GET http://h?x=/p HTTP/1.0\r\n\r\n", "GET:GET / ?x=/p 1.0 close used=30"),
    };
    CHECK_HEADS(rows);
}

TEST(a_malformed_target_is_refused)
{
    static const struct row rows[] = {
        ROW("GET * HTTP/1.0\r\n\r\n", "400"),
        ROW("GET x HTTP/1.0\r\n\r\n", "400"),
        ROW("GET ?x HTTP/1.0\r\n\r\n", "400"),
        ROW("GET h:80 HTTP/1.0\r\n\r\n", "400"),
        ROW("OPTIONS ** HTTP/1.0\r\n\r\n", "400"),
        ROW("GET /a#b HTTP/1.0\r\n\r\n", "400"),
        ROW("GET /\xc3\xa4 HTTP/1.0\r\n\r\n", "400"),
        ROW("GET /\x01 HTTP/1.0\r\n\r\n", "400"),
        ROW("GET /\x7f HTTP/1.0\r\n\r\n", "400"),
        ROW("GET /a\0b HTTP/1.0\r\n\r\n", "400"),
        ROW("GET http:///p HTTP/1.0\r\n\r\n", "400"),
        ROW("GET http:// HTTP/1.0\r\n\r\n", "400"),
        ROW("GET http://?x HTTP/1.0\r\n\r\n", "400"),
        ROW("GET ftp://h/p HTTP/1.0\r\n\r\n", "400"),
    };
    CHECK_HEADS(rows);
}

TEST(two_lengths_or_a_length_that_is_no_number_are_refused)
{
    static const struct row rows[] = {
        GET_ROW(HOST "Content-Length: 5\r\nContent-Length: 5\r\n", "400"),
        GET_ROW(HOST "Content-Length: 5\r\nContent-Length: 6\r\n", "400"),
        GET_ROW(HOST "Content-Length: 5, 5\r\n", "400"),
        GET_ROW(HOST "Content-Length: +5\r\n", "400"),
        GET_ROW(HOST "Content-Length: -5\r\n", "400"),
        GET_ROW(HOST "Content-Length: 0x5\r\n", "400"),
        GET_ROW(HOST "Content-Length: 5 5\r\n", "400"),
        GET_ROW(HOST "Content-Length: 5.\r\n", "400"),
        GET_ROW(HOST "Content-Length:\r\n", "400"),
        GET_ROW(HOST "Content-Length: \"5\"\r\n", "400"),
        GET_ROW(HOST "Content-Length: 18446744073709551616\r\n", "400"),
        GET_ROW(HOST "Content-Length: 0\r\n", "GET:GET / ? 1.1 keep length=0 host=<h> used=46"),
        GET_ROW(HOST "Content-Length: 18446744073709551615\r\n",
            "GET:GET / ? 1.1 keep length=18446744073709551615 host=<h> used=65"),
    };
    CHECK_HEADS(rows);
}

TEST(any_transfer_coding_but_one_chunked_is_refused)
{
    static const struct row rows[] = {
        GET_ROW(HOST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "400"),
        GET_ROW(HOST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "400"),
        GET_ROW(HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "400"),
        GET_ROW(HOST "Transfer-Encoding: gzip, chunked\r\n", "400"),
        GET_ROW(HOST "Transfer-Encoding: chunked, identity\r\n", "400"),
        GET_ROW(HOST "Transfer-Encoding: identity\r\n", "400"),
        GET_ROW(HOST "Transfer-Encoding: xchunked\r\n", "400"),
        GET_ROW(HOST "Transfer-Encoding: \"chunked\"\r\n", "400"),
        GET_ROW(HOST "Transfer-Encoding: chunked;q=1\r\n", "400"),
        GET_ROW(HOST "Transfer-Encoding:\r\n", "400"),
        GET_ROW(HOST "Transfer-Encoding: \x0b"
                     "chunked\r\n",
            "400"),
        ROW("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "400"),
    };
    CHECK_HEADS(rows);
}

TEST(lines_that_two_servers_read_differently_are_refused)
{
    static const struct row rows[] = {
        /* folded lines */
        GET_ROW(HOST "X: a\r\n b\r\n", "400"),
        GET_ROW(HOST "X: a\r\n\tb\r\n", "400"),
        ROW("GET / HTTP/1.1\r\n Host: h\r\n\r\n", "400"),
        /* a bare LF, also as a line's or the head's end */
        ROW("GET / HTTP/1.1\nHost: h\r\n\r\n", "400"),
        GET_ROW("Host: h\nX: y\r\n", "400"),
        ROW("GET / HTTP/1.1\r\nHost: h\n\n", "400"),
        ROW("GET / HTTP/1.1\r\nHost: h\r\n\n", "400"),
        ROW("GET / HTTP/1.1\r\nHost: h\r\n\n\r\n", "400"),
        /* a bare CR, at each place where a line could be thought to end */
        GET_ROW("Host: h\rX: y\r\n", "400"),
        GET_ROW("Host: h\r\r\n", "400"),
        GET_ROW("\rHost: h\r\n", "400"),
        GET_ROW(HOST "X: y\r\rContent-Length: 5\r\n", "400"),
        ROW("GET / HTTP/1.1\rXHost: h\r\n\r\n", "400"),
        ROW("GET / HTTP/1.1\r\r\nHost: h\r\n\r\n", "400"),
        ROW("GET /\rHTTP/1.1\r\nHost: h\r\n\r\n", "400"),
        ROW("GE\rT / HTTP/1.1\r\nHost: h\r\n\r\n", "400"),
        /* NUL and other controls */
        GET_ROW("Host: h\0\r\n", "400"),
        GET_ROW(HOST "X\0: y\r\n", "400"),
        GET_ROW(HOST "X: \0\r\n", "400"),
        GET_ROW(HOST "X: a\x0b"
                     "b\r\n",
            "400"),
        GET_ROW(HOST "X: a\x7f\r\n", "400"),
        GET_ROW(HOST "X: \x1b\r\n", "400"),
        /* names */
        GET_ROW(HOST "X : y\r\n", "400"),
        GET_ROW(HOST "X\t: y\r\n", "400"),
        GET_ROW(HOST ": y\r\n", "400"),
        GET_ROW(HOST "X\r\n", "400"),
        GET_ROW(HOST "X y: z\r\n", "400"),
        GET_ROW(HOST "X\xc3\xa4: y\r\n", "400"),
        GET_ROW(HOST "\"X\": y\r\n", "400"),
        GET_ROW(HOST "Content-Length : 5\r\n", "400"),
        GET_ROW(HOST "Transfer-Encoding : chunked\r\n", "400"),
    };
    CHECK_HEADS(rows);
}

TEST(there_is_one_host_and_http_1_1_needs_it)
{
    static const struct row rows[] = {
        GET_ROW("", "400"),
        GET_ROW("X: y\r\n", "400"),
        GET_ROW(HOST HOST, "400"),
        GET_ROW("Host: a\r\nHost: b\r\n", "400"),
        GET_ROW("Host: a b\r\n", "400"),
        GET_ROW("Host: a/b\r\n", "400"),
        GET_ROW("Host: u@a\r\n", "400"),
        GET_ROW("Host: a,b\r\n", "400"),
        GET_ROW("Host: a\xc3\xa4\r\n", "400"),
        GET_ROW("Host: a\\b\r\n", "400"),
        GET_ROW("Host: a?b\r\n", "400"),
        GET_ROW("Host: [::1]:6001\r\n", "GET:GET / ? 1.1 keep host=<[::1]:6001> used=36"),
        GET_ROW("Host:\r\n", "GET:GET / ? 1.1 keep host=<> used=25"),
        ROW("GET / HTTP/1.0\r\n\r\n", "GET:GET / ? 1.0 close used=18"),
    };
    CHECK_HEADS(rows);
}

TEST(a_header_that_may_come_once_is_refused_twice)
{
    static const struct row rows[] = {
        GET_ROW(HOST "Origin: a\r\nOrigin: a\r\n", "400"),
        GET_ROW(HOST "Origin:\r\nOrigin: a\r\n", "400"),
        GET_ROW(HOST "Content-Type: a\r\nContent-type: a\r\n", "400"),
        GET_ROW(HOST "Authorization: a\r\nAUTHORIZATION: a\r\n", "400"),
        GET_ROW(HOST "Sec-WebSocket-Key: a\r\nSec-WebSocket-Key: a\r\n", "400"),
        GET_ROW(HOST "Sec-WebSocket-Version: 8\r\nSec-WebSocket-Version: 13\r\n", "400"),
        GET_ROW(HOST "X-Any: a\r\nX-Any: b\r\n", "GET:GET / ? 1.1 keep host=<h> used=47"),
    };
    CHECK_HEADS(rows);
}

TEST(a_connection_is_kept_as_its_version_and_header_say)
{
    static const struct row rows[] = {
        GET_ROW(HOST "Connection: close\r\n", "GET:GET / ? 1.1 close host=<h> used=46"),
        GET_ROW(HOST "Connection: x, Close ,y\r\n", "GET:GET / ? 1.1 close host=<h> used=52"),
        GET_ROW(HOST "Connection: x\r\nConnection: close\r\n",
            "GET:GET / ? 1.1 close host=<h> used=61"),
        GET_ROW(HOST "Connection: closed\r\n", "GET:GET / ? 1.1 keep host=<h> used=47"),
        GET_ROW(HOST "Connection: keep-alive, close\r\n", "GET:GET / ? 1.1 close host=<h> used=58"),
        ROW("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "GET:GET / ? 1.0 keep used=42"),
    };
    CHECK_HEADS(rows);
}

TEST(a_websocket_needs_both_headers_and_http_1_1)
{
    static const struct row rows[] = {
        GET_ROW(HOST "Connection: Upgrade\r\nUpgrade: websocket\r\n",
            "GET:GET / ? 1.1 keep websocket host=<h> used=68"),
        GET_ROW(HOST "Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n",
            "GET:GET / ? 1.1 keep websocket host=<h> used=73"),
        GET_ROW(HOST "Upgrade: websocket\r\n", "GET:GET / ? 1.1 keep host=<h> used=47"),
        GET_ROW(HOST "Connection: Upgrade\r\n", "GET:GET / ? 1.1 keep host=<h> used=48"),
        GET_ROW(HOST "Connection: Upgrade\r\nUpgrade: websockets\r\n",
            "GET:GET / ? 1.1 keep host=<h> used=69"),
        ROW("GET / HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            "GET:GET / ? 1.0 close used=59"),
    };
    CHECK_HEADS(rows);
}

TEST(an_expectation_that_nobody_knows_is_refused)
{
    static const struct row rows[] = {
        GET_ROW(HOST "Expect: 100-continue\r\n", "GET:GET / ? 1.1 keep expect host=<h> used=49"),
        GET_ROW(HOST "Expect: 200-ok\r\n", "417"),
        GET_ROW(HOST "Expect:\r\n", "417"),
    };
    CHECK_HEADS(rows);
}

/* A head of len bytes, made so by a long target or by a long header. */
static const char *head_of(size_t len, bool is_long_line)
{
    static const char rest[] = " HTTP/1.1\r\nHost: h\r\nX: y";
    struct buf text = {0};
    size_t fill = len - strlen("GET /") - strlen(rest) - 4;
    buf_add_str(&text, "GET /");
    for (size_t i = 0; is_long_line && i < fill; i++)
        buf_add_char(&text, 'x');
    buf_add_str(&text, rest);
    for (size_t i = 0; !is_long_line && i < fill; i++)
        buf_add_char(&text, 'x');
    buf_add_str(&text, "\r\n\r\n");
    CHECK_EQ(text.len, len);
    const char *said = feed_everywhere(buf_span(&text), run_head);
    buf_fini(&text);
    return said;
}

TEST(a_head_may_be_as_long_as_the_limit)
{
    limits.head_bytes = 200;
    CHECK(strncmp(head_of(200, true), "GET:GET", 7) == 0);
    CHECK(strncmp(head_of(200, false), "GET:GET", 7) == 0);
    CHECK_STR(head_of(201, false), "431");
    CHECK_STR(head_of(300, false), "431");
    CHECK_STR(head_of(300, true), "414");
    limits.head_bytes = 4096;
}

/* What the peer never ends is refused as well, and so are empty lines without an end. */
TEST(a_head_without_an_end_is_refused_at_the_limit)
{
    static char text[300];
    limits.head_bytes = 200;
    memset(text, 'x', sizeof text);
    CHECK_STR(feed_everywhere(span_of(text, 200), run_head), "more");
    CHECK_STR(feed_everywhere(span_of(text, 201), run_head), "414");
    memcpy(text, "GET / HTTP/1.1\r\n", 16);
    CHECK_STR(feed_everywhere(span_of(text, 201), run_head), "431");
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = i % 2 ? '\n' : '\r';
    CHECK_STR(feed_everywhere(span_of(text, 200), run_head), "more");
    CHECK_STR(feed_everywhere(span_of(text, 202), run_head), "414");
    limits.head_bytes = 4096;
}

TEST(headers_are_counted)
{
    limits.headers = 2;
    static const struct row rows[] = {
        GET_ROW(HOST "X: y\r\n", "GET:GET / ? 1.1 keep host=<h> used=33"),
        GET_ROW(HOST "X: y\r\nX: y\r\n", "431"),
    };
    CHECK_HEADS(rows);
    limits.headers = 20;
}

TEST(an_absent_header_is_told_from_an_empty_one)
{
    static const char text[] = "GET / HTTP/1.1\r\nHost: h\r\nOrigin:  \r\n\r\n";
    struct http_head head;
    size_t scanned = 0;
    size_t used = 0;
    int status = 0;
    enum http_result result =
        http_head(span_of(text, sizeof text - 1), &limits, &scanned, &head, &used, &status);
    CHECK_EQ(result, HTTP_OK);
    CHECK(head.origin.p != NULL);
    CHECK_EQ(head.origin.len, 0);
    CHECK(head.content_type.p == NULL);
    CHECK(head.ws_key.p == NULL);
}

TEST(a_token_is_found_in_a_list_in_any_case)
{
    CHECK(http_has_token(span_str("upgrade"), "upgrade"));
    CHECK(http_has_token(span_str("keep-alive, Upgrade"), "upgrade"));
    CHECK(http_has_token(span_str(" ,, \tUPGRADE\t ,x"), "upgrade"));
    CHECK(!http_has_token(span_str(""), "upgrade"));
    CHECK(!http_has_token(span_str(",,"), "upgrade"));
    CHECK(!http_has_token(span_str("upgrades"), "upgrade"));
    CHECK(!http_has_token(span_str("up grade"), "upgrade"));
    CHECK(!http_has_token(span_str("upgrade;q=1"), "upgrade"));
}

/* --- chunked bodies ---------------------------------------------------------------------- */

static size_t body_limit = 100;

static void run_chunked(struct feed *f, struct buf *said)
{
    struct http_chunked c = {0};
    struct buf body = {0};
    struct buf behind = {0};
    struct span piece;
    int status = 0;
    enum http_result result = HTTP_MORE;
    while (feed_next(f, &piece)) {
        if (result == HTTP_MORE)
            result = http_chunked(&c, &piece, &body, body_limit, &status);
        if (result == HTTP_BAD)
            break;
        CHECK(result == HTTP_OK || piece.len == 0);
        buf_add_span(&behind, piece);
    }
    CHECK(body.len <= body_limit);
    if (result == HTTP_BAD)
        buf_addf(said, "%d", status);
    else
        buf_addf(said, "%s <%.*s> %.*s", result == HTTP_OK ? "ok" : "more", SPAN(buf_span(&body)),
            SPAN(buf_span(&behind)));
    buf_fini(&body);
    buf_fini(&behind);
}

static void check_chunked(const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        CHECK_STR(feed_everywhere(rows[i].in, run_chunked), rows[i].said);
}

#define CHECK_CHUNKED(rows) check_chunked(rows, COUNT_OF(rows))

TEST(chunks_are_joined_and_what_follows_is_left)
{
    static const struct row rows[] = {
        ROW("0\r\n\r\n", "ok <> "),
        ROW("5\r\nhello\r\n0\r\n\r\n", "ok <hello> "),
        ROW("5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\nGET /", "ok <hello, world> GET /"),
        ROW("0000\r\n\r\n\r\n", "ok <> \r\n"),
        ROW("00A\r\n0123456789\r\n0\r\n\r\n", "ok <0123456789> "),
        ROW("a\r\n0123456789\r\n000\r\n\r\n", "ok <0123456789> "),
        ROW("2\r\n\r\n\r\n0\r\n\r\n", "ok <\r\n> "),
        ROW("1;a=b;c=\"d \\\"\te\";f\r\nx\r\n0;z\r\n\r\n", "ok <x> "),
        ROW("1\r\nx\r\n0\r\nTrailer: y\r\nOther: \xc3\xa4\r\n\r\nrest", "ok <x> rest"),
        ROW("5\r\nhel", "more <hel> "),
        ROW("5\r\nhello\r\n0\r\n", "more <hello> "),
        ROW("", "more <> "),
        ROW("1\r\nx\r\n0\r\nTrailer: y\r\n", "more <x> "),
    };
    CHECK_CHUNKED(rows);
}

TEST(a_malformed_chunk_is_refused)
{
    static const struct row rows[] = {
        ROW("\r\n", "400"),
        ROW("g\r\n", "400"),
        ROW("-1\r\n", "400"),
        ROW("+1\r\nx", "400"),
        ROW(" 1\r\nx", "400"),
        ROW("1 \r\nx", "400"),
        ROW("0x1\r\nx", "400"),
        ROW(";a\r\n", "400"),
        ROW("1 ;a\r\nx", "400"),
        ROW("1,\r\nx", "400"),
        ROW("1\nx", "400"),
        ROW("1\rx", "400"),
        ROW("1\r\r\nx", "400"),
        ROW("1;a\nx", "400"),
        ROW("1;\r\nx", "400"),
        ROW("1;;a\r\nx", "400"),
        ROW("1;a=\r\nx", "400"),
        ROW("1;a=b=c\r\nx", "400"),
        ROW("1; a\r\nx", "400"),
        ROW("1;a =b\r\nx", "400"),
        ROW("1;a= b\r\nx", "400"),
        ROW("1;a=\xff\r\nx", "400"),
        ROW("1;a=\"b\r\nx", "400"),
        ROW("1;a=\"b\"c\r\nx", "400"),
        ROW("1;a=\"b\\\r\nx", "400"),
        ROW("1;a\0\r\nx", "400"),
        ROW("1;a\rb\r\nx", "400"),
        ROW("1\r\nxy\r\n", "400"),
        ROW("1\r\nx\n0\r\n", "400"),
        ROW("1\r\nx\r0\r\n", "400"),
        ROW("1\r\nx0\r\n\r\n", "400"),
        ROW("0\r\nX: y\n\r\n", "400"),
        ROW("0\r\n\n", "400"),
        ROW("0\r\nX: \0\r\n\r\n", "400"),
        ROW("0\r\n\rX", "400"),
        ROW("1\0\r\nx", "400"),
        ROW("fffffffffffffffff\r\n", "400"),
        ROW("10000000000000000\r\n", "400"),
        ROW("00000000000000001\r\nx", "400"),
    };
    CHECK_CHUNKED(rows);
}

TEST(a_body_longer_than_the_limit_is_refused_at_the_chunk_that_says_so)
{
    static const struct row rows[] = {
        ROW("5\r\nhello\r\n5\r\nhello\r\n0\r\n\r\n", "ok <hellohello> "),
        ROW("b\r\n", "413"),
        ROW("5\r\nhello\r\n6\r\n", "413"),
        ROW("fffffffffffffff\r\n", "413"),
        ROW("a\r\n0123456789\r\n1\r\n", "413"),
    };
    body_limit = 10;
    CHECK_CHUNKED(rows);
    body_limit = 100;
}

/* "1;xxx…" and "0\r\nxxx…": neither may go on for ever. */
TEST(an_extension_or_a_trailer_without_an_end_is_refused)
{
    static const char *const starts[] = {"1;", "0\r\n", "0\r\nX: y\r\n"};
    for (size_t i = 0; i < COUNT_OF(starts); i++) {
        struct http_chunked c = {0};
        struct buf out = {0};
        int status = 0;
        size_t n = 0;
        struct span in = span_str(starts[i]);
        enum http_result result = http_chunked(&c, &in, &out, 100, &status);
        for (; result == HTTP_MORE && n < 100000; n++) {
            in = span_of("x", 1);
            result = http_chunked(&c, &in, &out, 100, &status);
        }
        CHECK_EQ(result, HTTP_BAD);
        CHECK_EQ(status, 400);
        CHECK(n > 500 && n < 10000);
        buf_fini(&out);
    }
}

TEST(an_endless_number_of_trailer_lines_is_refused)
{
    struct http_chunked c = {0};
    struct buf out = {0};
    int status = 0;
    struct span in = span_str("0\r\n");
    enum http_result result = http_chunked(&c, &in, &out, 100, &status);
    for (int i = 0; result == HTTP_MORE && i < 100000; i++) {
        in = span_str("X: y\r\n");
        result = http_chunked(&c, &in, &out, 100, &status);
    }
    CHECK_EQ(result, HTTP_BAD);
    CHECK_EQ(status, 400);
    buf_fini(&out);
}

static const struct {
    const char *query, *said;
} params[] = {
    {"", ""},
    {"a=b", "<a><b>"},
    {"a=b&c=d", "<a><b><c><d>"},
    {"a", "<a><>"},
    {"a=", "<a><>"},
    {"=b", "<><b>"},
    {"=", "<><>"},
    {"&", ""},
    {"&&a=b&&&c&", "<a><b><c><>"},
    {"a=b=c", "<a><b=c>"},
    {"a%26=%3D+", "<a%26><%3D+>"},
    {"a?b=c;d", "<a?b><c;d>"},
    {"a=1&a=2", "<a><1><a><2>"},
};

TEST(a_query_is_cut_into_names_and_values)
{
    for (size_t i = 0; i < COUNT_OF(params); i++) {
        struct span query = span_str(params[i].query);
        struct span name;
        struct span value;
        struct buf said = {0};
        while (http_next_param(&query, &name, &value))
            buf_addf(&said, "<%.*s><%.*s>", SPAN(name), SPAN(value));
        CHECK_SPAN(buf_span(&said), params[i].said);
        buf_fini(&said);
    }
}

static const struct {
    const char *in;
    bool plus;
    struct span out; // p NULL = refused
} escapes[] = {
    {"", false, LITERAL("")},
    {"abc", false, LITERAL("abc")},
    {"a%41b", false, LITERAL("aAb")},
    {"%2f%2F", false, LITERAL("//")},
    {"%00", false, LITERAL("\0")},
    {"%ff%FF", false, LITERAL("\xff\xff")},
    {"a+b", false, LITERAL("a+b")},
    {"a+b%2B", true, LITERAL("a b+")},
    {"%2541", false, LITERAL("%41")},
    {"%", false, {NULL, 0}},
    {"%4", false, {NULL, 0}},
    {"a%", false, {NULL, 0}},
    {"%g0", false, {NULL, 0}},
    {"%0g", false, {NULL, 0}},
    {"% 1", false, {NULL, 0}},
    {"%%41", false, {NULL, 0}},
    {"%+1", false, {NULL, 0}},
    {"%u0041", false, {NULL, 0}},
};

TEST(escapes_are_decoded_once_and_bad_ones_refused)
{
    for (size_t i = 0; i < COUNT_OF(escapes); i++) {
        struct span in = span_str(escapes[i].in);
        char *exact = feed_exact(in);
        struct buf out = {0};
        buf_add_str(&out, "before");
        bool is_good = http_decode(span_of(exact, in.len), escapes[i].plus, &out);
        CHECK_EQ(is_good, escapes[i].out.p != NULL);
        if (is_good)
            CHECK_BYTES(span_from(buf_span(&out), 6), escapes[i].out);
        CHECK(span_starts(buf_span(&out), "before"));
        buf_fini(&out);
        free(exact);
    }
}

TEST(every_status_in_use_has_a_reason)
{
    CHECK_STR(http_reason(200), "OK");
    CHECK_STR(http_reason(431), "Request Header Fields Too Large");
    CHECK_STR(http_reason(505), "HTTP Version Not Supported");
    static const int others[] = {400, 401, 403, 404, 405, 408, 413, 414, 417, 426, 503};
    for (size_t i = 0; i < COUNT_OF(others); i++)
        CHECK(strcmp(http_reason(others[i]), "Unknown") != 0);
    CHECK_STR(http_reason(299), "Unknown");
}

static void run_lines(void)
{
    RUN(a_request_is_read_with_everything_in_it);
    RUN(only_the_first_of_pipelined_requests_is_taken);
    RUN(an_incomplete_head_waits_for_more);
    RUN(empty_lines_before_a_request_are_forgiven);
    RUN(every_method_is_known_by_its_exact_name);
    RUN(a_malformed_request_line_is_refused);
    RUN(targets_are_cut_at_the_question_mark_and_not_decoded);
    RUN(a_malformed_target_is_refused);
}

static void run_chunks_and_queries(void)
{
    RUN(chunks_are_joined_and_what_follows_is_left);
    RUN(a_malformed_chunk_is_refused);
    RUN(a_body_longer_than_the_limit_is_refused_at_the_chunk_that_says_so);
    RUN(an_extension_or_a_trailer_without_an_end_is_refused);
    RUN(an_endless_number_of_trailer_lines_is_refused);
    RUN(a_query_is_cut_into_names_and_values);
    RUN(escapes_are_decoded_once_and_bad_ones_refused);
    RUN(every_status_in_use_has_a_reason);
}

int main(void)
{
    run_lines();
    RUN(two_lengths_or_a_length_that_is_no_number_are_refused);
    RUN(any_transfer_coding_but_one_chunked_is_refused);
    RUN(lines_that_two_servers_read_differently_are_refused);
    RUN(there_is_one_host_and_http_1_1_needs_it);
    RUN(a_header_that_may_come_once_is_refused_twice);
    RUN(a_connection_is_kept_as_its_version_and_header_say);
    RUN(a_websocket_needs_both_headers_and_http_1_1);
    RUN(an_expectation_that_nobody_knows_is_refused);
    RUN(a_head_may_be_as_long_as_the_limit);
    RUN(a_head_without_an_end_is_refused_at_the_limit);
    RUN(headers_are_counted);
    RUN(an_absent_header_is_told_from_an_empty_one);
    RUN(a_token_is_found_in_a_list_in_any_case);
    run_chunks_and_queries();
    return test_end();
}
