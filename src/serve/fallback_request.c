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
static const char open_to_all[] =
    "Cache-Control: no-store, no-cache, must-revalidate, max-age=0\r\n"
    "Access-Control-Allow-Origin: *\r\n";

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

bool fallback_path(struct span path, struct fallback_path *out)
{
    static const char pusher[] = "/pusher";
    *out = (struct fallback_path){0};
    bool is_pusher = span_starts(path, pusher) && (path.len == 7 || path.p[7] == '/');
    if (is_pusher)
        path = span_from(path, sizeof pusher - 1);
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

enum close_reason fallback_check(struct serve *s, struct conn *c, const struct http_head *head,
    struct span key_text, struct session_claim *claim)
{
    struct buf key = {0};
    if (!http_decode(key_text, false, &key))
        key.len = 0;
    *claim = (struct session_claim){.app = config_app_by_key(s->config, buf_span(&key)),
        .origin = head->origin,
        .is_tls = c->flags & CONN_TLS,
        .protocol = route_protocol(head->query)};
    buf_fini(&key);
    if (route_is_full(s) || s->fallbacks.live >= s->house->capacity)
        return CLOSE_OVER_CAPACITY;
    if (atomic_load(&s->house->is_draining))
        return CLOSE_SHUTDOWN;
    return session_check(claim);
}

/* Open and closed in one answer: a status would make the client try again for ever
 * (pusher-protocol 3.4). */
static void refuse(struct serve *s, struct conn *c, enum close_reason why)
{
    struct buf body = {0};
    buf_add_str(&body, "o\n");
    sockjs_add_close(&body, close_code(why), span_str(close_sentence(why)));
    buf_add_char(&body, '\n');
    counter_add(&s->stats.closes[why], 1);
    log_event(close_level(why), "refused", "reason=%s code=%d transport=xhr", close_word(why),
        close_code(why));
    conn_reply(s, c,
        &(struct reply){.status = 200,
            .type = "application/javascript; charset=UTF-8",
            .body = buf_span(&body),
            .headers = open_to_all});
    buf_fini(&body);
}

static void open_xhr(struct serve *s, struct conn *c, const struct http_head *head,
    const struct fallback_path *path, bool is_stream)
{
    char first[8 + AUDIENCE_EXTRA];
    struct session_claim claim;
    enum close_reason why = fallback_check(s, c, head, path->key, &claim);
    if (why != CLOSE_REASONS) {
        if (claim.app)
            app_count(&app_usage(claim.app->slot)->refused, 1);
        refuse(s, c, why);
        return;
    }
    struct fallback *f = fallback_new(s, FALLBACK_XHR, path->name);
    f->last_n = read_number(head->query, "n");
    fallback_attach(s, f, c, is_stream);
    size_t n = audience_line(AUDIENCE_LINE, first, span_str("o"));
    fallback_open_session(s, f, &claim, span_of(first, n));
}

static void open_sockjs(
    struct serve *s, struct conn *c, const struct fallback_path *path, bool is_stream)
{
    if (s->fallbacks.live >= s->house->capacity) {
        refuse(s, c, CLOSE_OVER_CAPACITY);
        return;
    }
    struct fallback *f = fallback_new(s, FALLBACK_SOCKJS, path->name);
    fallback_attach(s, f, c, is_stream);
    fallback_line(s, f, "o");
}

static void receive(
    struct serve *s, struct conn *c, const struct http_head *head, const struct fallback_path *path)
{
    bool is_stream = path->verb == FALLBACK_STREAMING;
    struct fallback *f = fallback_find(s, path->name);
    if (f) {
        uint64_t n = read_number(head->query, "n");
        bool is_open = f->state == FALLBACK_OPEN;
        fallback_attach(s, f, c, is_stream);
        if (is_open)
            fallback_saw(s, f, n);
    } else if (path->key.p) {
        open_xhr(s, c, head, path, is_stream);
    } else {
        open_sockjs(s, c, path, is_stream);
    }
}

/* --- sending --------------------------------------------------------------------------------------------- */

static void answer(struct serve *s, struct conn *c, int status, const char *text)
{
    conn_reply(s, c,
        &(struct reply){
            .status = status, .type = text_plain, .body = span_str(text), .headers = open_to_all});
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

static void take_send(struct serve *s, struct conn *c, const struct http_head *head,
    const struct fallback_path *path, struct span body)
{
    size_t n;
    bool is_sockjs = !path->key.p;
    struct fallback *f = fallback_find(s, path->name);
    if (!f || f->state == FALLBACK_ENDED) {
        serve_count(s, COUNTER_UNKNOWN_SENDS, 1);
        answer(s, c, 404, "there is no such session\n");
        return;
    }
    if (!body.len || !is_list_of_strings(s, body, &n)) {
        serve_count(s, COUNTER_BAD_SENDS, 1);
        if (is_sockjs)
            answer(s, c, 500, body.len ? "Broken JSON encoding." : "Payload expected.");
        else
            answer(s, c, 400, "the body must be a JSON array of strings\n");
        return;
    }
    if (!fallback_has_room(s, f, body.len)) {
        serve_count(s, COUNTER_BAD_SENDS, 1);
        answer(s, c, 429, "too many messages of this session are waiting\n");
        return;
    }
    conn_reply(s, c, &(struct reply){.status = 204, .type = text_plain, .headers = open_to_all});
    if (f->session != SLAB_NONE)
        session_heard(s, session_at(s, f->session));
    if (n == 0)
        fallback_line(s, f, "a[]"); // the client asks whether anyone is there (3.7)
    fallback_post(s, f, body, read_number(head->query, "n"));
}

/* --- the rest ---------------------------------------------------------------------------------------------- */

static void info(struct serve *s, struct conn *c)
{
    struct buf body = {0};
    buf_addf(&body,
        "{\"websocket\":true,\"cookie_needed\":false,\"origins\":[\"*:*\"],\"entropy\":%u}",
        rand_u32());
    conn_reply(s, c,
        &(struct reply){.status = 200,
            .type = "application/json; charset=UTF-8",
            .body = buf_span(&body),
            .headers = open_to_all});
    buf_fini(&body);
}

static void refuse_method(struct serve *s, struct conn *c, const char *allowed)
{
    char lines[256];
    snprintf(lines, sizeof lines, "Allow: %s\r\n%s", allowed, open_to_all);
    conn_reply(s, c,
        &(struct reply){
            .status = 405, .type = text_plain, .body = span_str("405\n"), .headers = lines});
}

void fallback_request(struct serve *s, struct conn *c, const struct http_head *head,
    const struct fallback_path *path, struct span body)
{
    bool is_get = head->method == HTTP_GET || head->method == HTTP_HEAD;
    if (path->verb >= FALLBACK_WEBSOCKET) {
        if (!is_get)
            refuse_method(s, c, "GET, OPTIONS");
        else if (path->verb == FALLBACK_INFO)
            info(s, c);
        else if (path->verb == FALLBACK_GREETING)
            answer(s, c, 200, "Welcome to SockJS!\n");
        else
            answer(s, c, 400, "Can \"Upgrade\" only to \"WebSocket\".");
    } else if (head->method != HTTP_POST) {
        refuse_method(s, c, "OPTIONS, POST");
    } else if (path->verb == FALLBACK_SEND) {
        take_send(s, c, head, path, body);
    } else {
        receive(s, c, head, path);
    }
}
