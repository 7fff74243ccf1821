/* The requests of pusher-js's HTTP transports and of SockJS (pusher-protocol 3.2, 3.12). */
#include "base/base.h"

#include "serve/fallback.h"

#include <stdio.h>

#include "base/rand.h"
#include "base/text.h"
#include "serve/api_auth.h"
#include "serve/conn.h"
#include "wire/json.h"
#include "wire/sockjs.h"

enum { KEY_MAX = 128, SERVER_MAX = 16, SESSION_MAX = 64 };

static const char text_plain[] = "text/plain; charset=UTF-8";
/* One request, as its parts below need it. */
struct ask {
    struct conn *c;
    const struct http_head *head;
    const struct fallback_path *path;
    struct span body;
    char headers[FALLBACK_HEADERS];
};

void fallback_headers(struct span origin, char out[FALLBACK_HEADERS])
{
    bool is_named = origin.len && origin.len <= ORIGIN_MAX;
    snprintf(out, FALLBACK_HEADERS,
        "Cache-Control: no-store, no-cache, must-revalidate, max-age=0\r\n"
        "Access-Control-Allow-Origin: %.*s\r\n%s",
        SPAN(is_named ? origin : span_str("*")),
        is_named ? "Access-Control-Allow-Credentials: true\r\nVary: Origin\r\n" : "");
}

/* --- paths --------------------------------------------------------------------------------------- */

/* The segment up to the next slash, or to the end; moves behind it. */
static struct span take_segment(struct span *path)
{
    const char *slash = path->len ? memchr(path->p, '/', path->len) : NULL;
    struct span segment = *path;
    if (slash)
        segment.len = (size_t)(slash - path->p);
    *path = span_from(*path, segment.len + (slash != NULL));
    return segment;
}

static bool is_word(struct span s, size_t max)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.p[i];
        bool is_good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '_' || c == '-';
        if (!is_good)
            return false;
    }
    return s.len > 0 && s.len <= max;
}

static bool read_verb(struct span word, struct fallback_path *out)
{
    static const struct {
        const char *word;
        enum fallback_verb verb;
    } verbs[] = {{"xhr_streaming", FALLBACK_STREAMING}, {"xhr", FALLBACK_POLL},
        {"xhr_send", FALLBACK_SEND}, {"websocket", FALLBACK_WEBSOCKET}};
    for (size_t i = 0; i < COUNT_OF(verbs); i++)
        if (span_is(word, verbs[i].word)) {
            out->verb = verbs[i].verb;
            return true;
        }
    return false;
}

/* [KEY/]SERVER/SESSION/VERB */
static bool read_names(struct span path, bool has_key, struct fallback_path *out)
{
    const char *start = path.p;
    out->key = span_of(NULL, 0);
    if (has_key) {
        out->key = take_segment(&path);
        if (!out->key.len || out->key.len > KEY_MAX)
            return false;
    }
    struct span server = take_segment(&path);
    struct span session = take_segment(&path);
    if (!is_word(server, SERVER_MAX) || !is_word(session, SESSION_MAX))
        return false;
    out->name = span_of(start, (size_t)(session.p + session.len - start));
    return read_verb(path, out) && !(has_key && out->verb == FALLBACK_WEBSOCKET);
}

/* Behind /pusher, when it begins so. */
static bool skip_pusher(struct span *path)
{
    static const char pusher[] = "/pusher";
    size_t n = sizeof pusher - 1;
    bool is_pusher = span_starts(*path, pusher) && (path->len == n || path->p[n] == '/');
    if (is_pusher)
        *path = span_from(*path, n);
    return is_pusher;
}

bool fallback_path(struct span path, struct fallback_path *out)
{
    *out = (struct fallback_path){0};
    bool is_pusher = skip_pusher(&path);
    if (span_starts(path, "/app/"))
        return read_names(span_from(path, 5), true, out);
    if (!is_pusher)
        return false;
    if (path.len <= 1 || span_is(path, "/info")) {
        out->verb = path.len <= 1 ? FALLBACK_GREETING : FALLBACK_INFO;
        return true;
    }
    return read_names(span_from(path, 1), false, out);
}

struct span fallback_origin(const struct serve *s, const struct http_head *head)
{
    struct span path;
    bool is_sockjs =
        route_path(s, head->path, &path) && skip_pusher(&path) && !span_starts(path, "/app/");
    return is_sockjs ? head->origin : span_of(NULL, 0);
}

struct fallback *fallback_of_send(const struct serve *s, const struct http_head *head)
{
    struct span path;
    struct fallback_path found;
    bool is_send = head->method == HTTP_POST && route_path(s, head->path, &path) &&
                   fallback_path(path, &found) && found.verb == FALLBACK_SEND;
    return is_send ? fallback_find(s, found.name) : NULL;
}

static uint64_t read_number(struct span query, const char *name)
{
    struct buf text = {0};
    uint64_t n = 0;
    if (!api_param(query, name, &text) || !text_to_u64(buf_span(&text), &n))
        n = 0;
    buf_fini(&text);
    return n;
}

/* --- opening ----------------------------------------------------------------------------------------- */

/* Open and closed in one answer: a status would make the client try again for ever
 * (pusher-protocol 3.4). */
static void refuse(struct serve *s, const struct ask *ask, const struct session_claim *claim,
    enum close_reason why)
{
    struct buf body = {0};
    struct buf sentence = {0};
    session_refuse(s, claim, why, &sentence);
    buf_add_str(&body, "o\n");
    sockjs_add_close(&body, close_code(why), buf_span(&sentence));
    buf_add_char(&body, '\n');
    conn_reply(s, ask->c,
        &(struct reply){.status = 200,
            .type = FALLBACK_SCRIPT,
            .body = buf_span(&body),
            .headers = ask->headers});
    buf_fini(&body);
    buf_fini(&sentence);
}

static void open_xhr(struct serve *s, const struct ask *ask, bool is_stream)
{
    char first[8 + AUDIENCE_EXTRA];
    struct session_claim claim = {.transport = is_stream ? TRANSPORT_STREAMING : TRANSPORT_POLLING,
        .is_tls = ask->c->flags & CONN_TLS};
    enum close_reason why = route_claim(s, ask->head, ask->path->key, &claim);
    if (why != CLOSE_REASONS) {
        refuse(s, ask, &claim, why);
        return;
    }
    struct fallback *f = fallback_new(s, FALLBACK_XHR, ask->path->name);
    f->last_n = read_number(ask->head->query, "n");
    fallback_attach(s, f, ask->c, is_stream);
    size_t n = audience_line(AUDIENCE_LINE, first, span_str("o"));
    fallback_open_session(s, f, &claim, span_of(first, n));
}

static void open_sockjs(struct serve *s, const struct ask *ask, bool is_stream)
{
    if (route_is_full(s)) {
        struct session_claim claim = {.transport = TRANSPORT_SOCKJS};
        refuse(s, ask, &claim, CLOSE_OVER_CAPACITY);
        return;
    }
    struct fallback *f = fallback_new(s, FALLBACK_SOCKJS, ask->path->name);
    sockjs_note(f, ask->c, ask->head->origin);
    fallback_attach(s, f, ask->c, is_stream);
    fallback_line(s, f, "o");
}

static void receive(struct serve *s, const struct ask *ask)
{
    bool is_stream = ask->path->verb == FALLBACK_STREAMING;
    struct fallback *f = fallback_find(s, ask->path->name);
    if (f) {
        bool is_open = f->state == FALLBACK_OPEN;
        fallback_attach(s, f, ask->c, is_stream);
        if (is_open)
            fallback_saw(s, f, read_number(ask->head->query, "n"));
    } else if (ask->path->key.p) {
        open_xhr(s, ask, is_stream);
    } else {
        open_sockjs(s, ask, is_stream);
    }
}

/* --- sending --------------------------------------------------------------------------------------------- */

static void answer(struct serve *s, const struct ask *ask, int status, const char *text)
{
    conn_reply(s, ask->c,
        &(struct reply){
            .status = status, .type = text_plain, .body = span_str(text), .headers = ask->headers});
}

static bool is_list_of_strings(struct serve *s, struct span body, size_t *n)
{
    struct json array;
    struct json item;
    struct span text;
    size_t at = 0;
    if (!json_parse(body, &array) || array.kind != JSON_ARRAY)
        return false;
    for (*n = 0; json_next(&array, &at, &item); (*n)++) {
        s->line.len = 0;
        if (item.kind != JSON_STRING || !json_decode(&item, &s->line, &text))
            return false;
    }
    return true;
}

/* Its number is used up all the same: the next one does not wait for it. */
static void refuse_body(struct serve *s, const struct ask *ask, struct fallback *f)
{
    serve_count(s, COUNTER_BAD_SENDS, 1);
    fallback_saw(s, f, read_number(ask->head->query, "n"));
    if (ask->path->key.p)
        answer(s, ask, 400, "the body must be a JSON array of strings\n");
    else
        answer(s, ask, 500, ask->body.len ? "Broken JSON encoding." : "Payload expected.");
}

static void take_send(struct serve *s, const struct ask *ask)
{
    size_t n;
    struct fallback *f = fallback_find(s, ask->path->name);
    if (!f || f->state == FALLBACK_ENDED) {
        serve_count(s, COUNTER_UNKNOWN_SENDS, 1);
        answer(s, ask, 404, "there is no such session\n");
        return;
    }
    if (!is_list_of_strings(s, ask->body, &n)) {
        refuse_body(s, ask, f);
        return;
    }
    if (!fallback_has_room(s, f, ask->body.len)) {
        serve_count(s, COUNTER_BAD_SENDS, 1);
        answer(s, ask, 429, "too many messages of this session are waiting\n");
        fallback_close(s, f, CLOSE_TOO_FAST); // clients look at no status: they would miss it
        return;
    }
    conn_reply(
        s, ask->c, &(struct reply){.status = 204, .type = text_plain, .headers = ask->headers});
    if (f->session != SLAB_NONE)
        session_heard(s, session_at(s, f->session));
    if (n == 0)
        fallback_line(s, f, "a[]"); // the client asks whether anyone is there (3.7)
    fallback_post(s, f, ask->body, read_number(ask->head->query, "n"));
}

/* --- the rest ---------------------------------------------------------------------------------------------- */

static void info(struct serve *s, const struct ask *ask)
{
    struct buf body = {0};
    buf_addf(&body,
        "{\"websocket\":true,\"cookie_needed\":false,\"origins\":[\"*:*\"],\"entropy\":%u}",
        rand_u32());
    conn_reply(s, ask->c,
        &(struct reply){.status = 200,
            .type = "application/json; charset=UTF-8",
            .body = buf_span(&body),
            .headers = ask->headers});
    buf_fini(&body);
}

static void refuse_method(struct serve *s, const struct ask *ask, const char *allowed)
{
    char lines[FALLBACK_HEADERS + 64];
    snprintf(lines, sizeof lines, "Allow: %s\r\n%s", allowed, ask->headers);
    conn_reply(s, ask->c,
        &(struct reply){
            .status = 405, .type = text_plain, .body = span_str("405\n"), .headers = lines});
}

static void answer_get(struct serve *s, const struct ask *ask)
{
    if (ask->head->method != HTTP_GET && ask->head->method != HTTP_HEAD)
        refuse_method(s, ask, "GET, OPTIONS");
    else if (ask->path->verb == FALLBACK_INFO)
        info(s, ask);
    else if (ask->path->verb == FALLBACK_GREETING)
        answer(s, ask, 200, "Welcome to SockJS!\n");
    else
        answer(s, ask, 400, "Can \"Upgrade\" only to \"WebSocket\".");
}

void fallback_request(struct serve *s, struct conn *c, const struct http_head *head,
    const struct fallback_path *path, struct span body)
{
    struct ask ask = {.c = c, .head = head, .path = path, .body = body};
    fallback_headers(fallback_origin(s, head), ask.headers);
    if (path->verb >= FALLBACK_WEBSOCKET)
        answer_get(s, &ask);
    else if (head->method != HTTP_POST)
        refuse_method(s, &ask, "OPTIONS, POST");
    else if (path->verb == FALLBACK_SEND)
        take_send(s, &ask);
    else
        receive(s, &ask);
}

void fallback_not_found(struct serve *s, struct conn *c, const struct http_head *head)
{
    char headers[FALLBACK_HEADERS];
    fallback_headers(fallback_origin(s, head), headers);
    conn_reply(s, c,
        &(struct reply){.status = 404,
            .type = text_plain,
            .body = span_str("404 NOT FOUND\n"),
            .headers = headers});
}

/* A preflight: what the page wants to send is allowed, whatever the path (3.10). */
void fallback_preflight(struct serve *s, struct conn *c, const struct http_head *head)
{
    struct span wanted = head->request_headers;
    char headers[FALLBACK_HEADERS];
    char lines[2 * FALLBACK_HEADERS];
    fallback_headers(fallback_origin(s, head), headers);
    for (size_t i = 0; i < wanted.len; i++)
        if (wanted.p[i] < ' ' || wanted.p[i] > '~')
            wanted.len = 0;
    if (!wanted.len || wanted.len > 200)
        wanted = span_str("content-type");
    snprintf(lines, sizeof lines,
        "Allow: GET, HEAD, POST, OPTIONS\r\n%s"
        "Access-Control-Allow-Methods: GET, HEAD, POST, OPTIONS\r\n"
        "Access-Control-Allow-Headers: %.*s\r\n"
        "Access-Control-Max-Age: 86400\r\n",
        headers, SPAN(wanted));
    conn_reply(s, c, &(struct reply){.status = 204, .headers = lines});
}
