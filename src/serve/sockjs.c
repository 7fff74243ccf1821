/* SockJS: the app is named by the first message, not by the path (pusher-protocol 3.12). */
#include "base/base.h"

#include "serve/fallback.h"

#include "base/mem.h"
#include "serve/conn.h"
#include "wire/json.h"

/* Ends a conversation that has no session yet. */
static void refuse(
    struct serve *s, struct fallback *f, const struct session_claim *claim, enum close_reason why)
{
    struct outbox nothing = {0};
    struct buf sentence = {0};
    session_refuse(s, claim, why, &sentence);
    fallback_end(s, f,
        &(struct fallback_end){.why = why,
            .code = close_code(why),
            .sentence = buf_span(&sentence),
            .rest = &nothing});
    buf_fini(&sentence);
}

/* /app/KEY?QUERY, as in a request's line. */
static bool read_path(struct span path, struct span *key, struct http_head *head)
{
    if (!span_starts(path, "/app/"))
        return false;
    path = span_from(path, 5);
    const char *mark = path.len ? memchr(path.p, '?', path.len) : NULL;
    *key = mark ? span_of(path.p, (size_t)(mark - path.p)) : path;
    head->query = mark ? span_from(path, key->len + 1) : span_of(NULL, 0);
    return key->len > 0;
}

void sockjs_open(struct serve *s, struct fallback *f, struct span text)
{
    struct json root;
    struct json_field fields[] = {{"path", {0}}};
    struct http_head head = {0};
    struct session_claim claim = {
        .transport = TRANSPORT_SOCKJS, .is_tls = f->is_tls, .has_place = true};
    struct span path;
    struct span key;
    if (!json_parse_fields(text, &root, fields, COUNT_OF(fields)) ||
        fields[0].value.kind != JSON_STRING || !json_decode(&fields[0].value, &s->scratch, &path) ||
        !read_path(path, &key, &head)) {
        refuse(s, f, &claim, CLOSE_PATH_NOT_FOUND);
        return;
    }
    head.origin = span_str(f->origin);
    enum close_reason why = route_claim(s, &head, key, &claim);
    if (why == CLOSE_REASONS)
        fallback_open_session(s, f, &claim, span_of(NULL, 0));
    else
        refuse(s, f, &claim, why);
}

void sockjs_close(struct serve *s, struct fallback *f, enum close_reason why)
{
    refuse(s, f, &(struct session_claim){.transport = TRANSPORT_SOCKJS}, why);
}

/* A client names its app at once; one that does not would stay for as long as its socket. */
void sockjs_sweep(struct serve *s, struct fallback *f)
{
    if (s->client_ms - f->new_ms >= s->config->limits.head_ms)
        sockjs_close(s, f, CLOSE_UNNAMED);
}

void sockjs_note(struct fallback *f, const struct conn *c, struct span origin)
{
    enum { KEPT = 512 }; // one longer than any of a list stays so
    f->is_tls = c->flags & CONN_TLS;
    if (origin.len)
        f->origin = mem_dup(origin.p, origin.len < KEPT ? origin.len : KEPT);
}

void sockjs_begin(struct serve *s, struct conn *c, struct span origin)
{
    bool is_full = route_is_full(s);
    struct fallback *f = fallback_new(s, FALLBACK_SOCKJS_WS, span_of(NULL, 0));
    sockjs_note(f, c, origin);
    conn_become(s, c, CONN_STREAM);
    c->flags |= CONN_FALLBACK;
    c->fallback = f->index;
    f->conn = c->index;
    counter_sub(&s->stats.detached, 1);
    fallback_line(s, f, "o");
    if (is_full)
        sockjs_close(s, f, CLOSE_OVER_CAPACITY);
}

/* A SockJS client sends a list of messages, or one alone. */
void sockjs_receive(struct serve *s, struct conn *c, struct span text)
{
    struct json value;
    struct json item;
    struct span decoded;
    size_t at = 0;
    struct fallback *f = fallback_at(s, c->fallback);
    bool ok = json_parse(text, &value) && (value.kind == JSON_ARRAY || value.kind == JSON_STRING);
    while (ok && value.kind == JSON_ARRAY && json_next(&value, &at, &item)) {
        s->line.len = 0;
        ok = item.kind == JSON_STRING && json_decode(&item, &s->line, &decoded);
    }
    if (!ok) {
        serve_count(s, COUNTER_BAD_SENDS, 1);
        fallback_close(s, f, CLOSE_BAD_MESSAGE);
        return;
    }
    if (value.kind == JSON_ARRAY) {
        fallback_post(s, f, text, 0);
        return;
    }
    struct buf list = {0};
    buf_addf(&list, "[%.*s]", SPAN(value.raw));
    fallback_post(s, f, buf_span(&list), 0);
    buf_fini(&list);
}
