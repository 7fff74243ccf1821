/* Which request is answered by whom, and how an answer looks on the wire. */
#include "base/base.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/text.h"
#include "net/listener.h"
#include "serve/act.h"
#include "serve/api.h"
#include "serve/api_auth.h"
#include "serve/assets.h"
#include "serve/bridge.h"
#include "serve/conn.h"
#include "serve/fallback.h"
#include "serve/metrics.h"
#include "serve/session.h"
#include "wire/pusher.h"

static const char text_plain[] = "text/plain; charset=utf-8";

/* --- answers ------------------------------------------------------------------------------------- */

const char *serve_date(struct serve *s)
{
    int64_t now_s = clock_wall_ms() / 1000;
    if (now_s != s->date_s) {
        clock_format_http(now_s, s->date);
        s->date_s = now_s;
    }
    return s->date;
}

void conn_reply(struct serve *s, struct conn *c, const struct reply *r)
{
    char head[1536];
    bool is_last = (c->flags & CONN_LAST) || atomic_load(&s->house->is_draining);
    bool has_content = r->status != 204 && r->status != 205; // RFC 9110 15.3.5, 15.3.6
    char length[48] = "";
    if (r->status != 204) // RFC 9110 8.6: never there
        snprintf(length, sizeof length, "Content-Length: %zu\r\n", has_content ? r->body.len : 0);
    const char *type = has_content || !r->body.len ? r->type : NULL; // SockJS says one of nothing
    int n = snprintf(head, sizeof head, "HTTP/1.1 %d %s\r\nDate: %s\r\n%s%s%s%s%s%s\r\n", r->status,
        http_reason(r->status), serve_date(s), length, type ? "Content-Type: " : "",
        type ? type : "", type ? "\r\n" : "", r->headers ? r->headers : "",
        is_last ? "Connection: close\r\n" : "");
    ENSURE(n > 0 && (size_t)n < sizeof head);
    conn_send(s, c, span_of(head, (size_t)n));
    if (r->body.len && has_content && !(c->flags & CONN_HEAD_ONLY))
        conn_send(s, c, r->body);
    counter_add(&s->stats.statuses[r->status], 1);
    if (is_last)
        conn_finish(s, c);
}

void conn_reply_text(struct serve *s, struct conn *c, int status, const char *format, ...)
{
    struct err err;
    va_list args;
    va_start(args, format);
    vsnprintf(err.text, sizeof err.text - 1, format, args);
    va_end(args);
    size_t n = strlen(err.text);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)err.text[i] < 0x20)
            err.text[i] = '?'; // what a client sent does not break the one line
    err.text[n] = '\n';
    conn_reply(s, c,
        &(struct reply){.status = status, .type = "text/plain", .body = span_of(err.text, n + 1)});
}

static void reply_with(struct serve *s, struct conn *c, int status, const char *headers)
{
    struct buf body = {0};
    buf_addf(&body, "%d %s\n", status, http_reason(status));
    conn_reply(s, c,
        &(struct reply){
            .status = status, .type = text_plain, .body = buf_span(&body), .headers = headers});
    buf_fini(&body);
}

/* --- paths ---------------------------------------------------------------------------------------- */

bool route_path(const struct serve *s, struct span path, struct span *rest)
{
    const char *prefix = s->config->path_prefix;
    *rest = path;
    if (!prefix[0])
        return true;
    if (!span_starts(path, prefix))
        return false;
    *rest = span_from(path, strlen(prefix));
    if (!rest->len)
        *rest = span_str("/");
    return rest->p[0] == '/';
}

static bool is_worker_path(const struct serve *s, struct span path, uint64_t *worker)
{
    const char *prefix = s->config->debug.worker_path;
    size_t n = strlen(prefix);
    return n && span_starts(path, prefix) && path.len > n + 1 && path.p[n] == '/' &&
           text_to_u64(span_from(path, n + 1), worker) && *worker < s->house->n_workers;
}

unsigned route_worker(const struct serve *s, const struct http_head *head)
{
    uint64_t worker;
    struct span path;
    struct fallback_path fallback;
    if (!route_path(s, head->path, &path))
        return s->worker;
    if (is_worker_path(s, path, &worker))
        return (unsigned)worker;
    if (!head->wants_websocket && fallback_path(path, &fallback) && fallback.name.len)
        return (unsigned)((uint64_t)hash_bytes(0, fallback.name) * s->house->n_workers >> 32);
    return s->worker;
}

size_t route_body_limit(const struct serve *s, const struct http_head *head)
{
    struct span path;
    struct fallback_path fallback;
    if (!route_path(s, head->path, &path))
        return s->config->limits.body_bytes;
    if (span_starts(path, "/apps/"))
        return api_body_limit(s, path);
    size_t limit = endpoint_body_limit(s, head, path);
    if (limit)
        return limit;
    if (fallback_path(path, &fallback) && fallback.verb == FALLBACK_SEND)
        return fallback_body_limit(s);
    return s->config->limits.body_bytes;
}

/* --- WebSocket upgrades ------------------------------------------------------------------------------- */

static bool is_key(struct span key)
{
    /* Base64 of 16 bytes (RFC 6455 4.1). */
    for (size_t i = 0; i < key.len; i++) {
        char c = key.p[i];
        bool is_digit = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                        (c >= '0' && c <= '9') || c == '+' || c == '/';
        if (i < 22 ? !is_digit : c != '=')
            return false;
    }
    return key.len == 24;
}

/* The first offered subprotocol, verbatim: Swift's network stack insists on one
 * (pusher-protocol 1.1).  Empty when none was offered, or none that is a token. */
static struct span offered_protocol(const struct http_head *head)
{
    struct span offer = head->ws_protocol;
    size_t n = 0;
    while (offer.len && (offer.p[0] == ' ' || offer.p[0] == ','))
        offer = span_from(offer, 1);
    while (n < offer.len && offer.p[n] > ' ' && offer.p[n] < 0x7f &&
           !strchr("\"(),/:;<=>?@[\\]{}", offer.p[n]))
        n++;
    return n > 0 && n <= 128 ? span_of(offer.p, n) : span_of(NULL, 0);
}

struct span route_101(const struct http_head *head, const char *more, char out[ROUTE_101])
{
    char accept[WS_ACCEPT];
    struct span protocol = offered_protocol(head);
    ws_accept(head->ws_key, accept);
    int n = snprintf(out, ROUTE_101,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: %.*s\r\n%s%.*s%s%s\r\n",
        WS_ACCEPT, accept, protocol.len ? "Sec-WebSocket-Protocol: " : "", SPAN(protocol),
        protocol.len ? "\r\n" : "", more ? more : "");
    ENSURE(n > 0 && n < ROUTE_101);
    return span_of(out, (size_t)n);
}

/* 101 and then a close code: a refused upgrade would tell a client nothing (1.1). */
static void refuse_session(struct serve *s, struct conn *c, const struct http_head *head,
    const struct session_claim *claim, enum close_reason why)
{
    char text[ROUTE_101];
    char payload[WS_CONTROL_MAX];
    struct buf sentence = {0};
    uint16_t code = close_code(why);
    session_refuse(s, claim, why, &sentence);
    if (sentence.len > sizeof payload - 2)
        sentence.len = sizeof payload - 2;
    conn_send(s, c, route_101(head, NULL, text));
    if (claim->protocol >= 0 && claim->protocol < 6) {
        struct buf *out = &s->scratch;
        out->len = 0;
        pusher_add_error(out, code, buf_span(&sentence));
        conn_send_frame(s, c, WS_TEXT, buf_span(out));
    }
    payload[0] = (char)(code >> 8);
    payload[1] = (char)code;
    memcpy(payload + 2, sentence.p, sentence.len);
    conn_send_frame(s, c, WS_CLOSE, span_of(payload, sentence.len + 2));
    buf_fini(&sentence);
    conn_finish(s, c);
}

int route_protocol(struct span query)
{
    struct buf text = {0};
    uint64_t version = 0;
    bool is_given = api_param(query, "protocol", &text);
    if (!text_to_u64(buf_span(&text), &version) || version > 1000)
        version = 0;
    buf_fini(&text);
    return is_given ? (int)version : -1;
}

struct session *route_open_session(struct serve *s, struct conn *c, const struct http_head *head,
    struct session_opts *opts, const char *more)
{
    char text[ROUTE_101];
    /* Answers to requests before this one leave first: the session has an outbox of its own. */
    conn_flush(s, c);
    if (c->out.bytes || c->state != CONN_HEAD) {
        app_disconnect(opts->app);
        conn_kill(s, c);
        return NULL;
    }
    conn_become(s, c, CONN_STREAM);
    opts->wire = conn_wire(c);
    opts->at = c->index;
    struct session *session = session_open(s, opts, route_101(head, more, text));
    c->session = session->index;
    return session;
}

/* A session over HTTP keeps its place between two receiving requests, when no socket stands
 * for it. */
bool route_is_full(const struct serve *s)
{
    uint64_t most =
        s->config->limits.connections ? s->config->limits.connections : s->house->capacity;
    uint64_t n = atomic_load_explicit(&s->house->n_conns, memory_order_relaxed);
    for (unsigned i = 0; i < s->house->n_workers; i++)
        n += counter_get(&s->house->workers[i]->stats.detached);
    return n > most;
}

enum close_reason route_claim(struct serve *s, const struct http_head *head, struct span key_text,
    struct session_claim *claim)
{
    struct buf *key = &s->words;
    key->len = 0;
    if (!http_decode(key_text, false, key))
        key->len = 0;
    claim->key = buf_span(key);
    claim->app = config_app_by_key(s->config, claim->key);
    claim->origin = head->origin;
    claim->protocol = route_protocol(head->query);
    if (!claim->has_place && route_is_full(s))
        return CLOSE_OVER_CAPACITY;
    /* A WebSocket that is there is served to the end; over HTTP the next request would find
     * nobody. */
    if (claim->transport != TRANSPORT_WS && atomic_load(&s->house->is_draining))
        return CLOSE_SHUTDOWN;
    return session_check(claim);
}

static void upgrade_app(
    struct serve *s, struct conn *c, const struct http_head *head, struct span key)
{
    struct session_claim claim = {.transport = TRANSPORT_WS, .is_tls = c->flags & CONN_TLS};
    enum close_reason why = route_claim(s, head, key, &claim);
    if (why != CLOSE_REASONS) {
        refuse_session(s, c, head, &claim, why);
        return;
    }
    struct session_opts opts = {.app = claim.app->slot,
        .audience = AUDIENCE_WS,
        .protocol = (uint8_t)(claim.protocol == -1 ? 7 : claim.protocol),
        .is_tls = claim.is_tls};
    (void)route_open_session(s, c, head, &opts, NULL);
}

static void upgrade(struct serve *s, struct conn *c, const struct http_head *head, struct span path)
{
    char text[ROUTE_101];
    struct fallback_path fallback;
    c->flags &= (uint16_t)~CONN_LAST;
    if (!span_is(head->ws_version, "13")) {
        c->flags |= CONN_LAST;
        reply_with(s, c, 426, "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
    } else if (head->method != HTTP_GET || !is_key(head->ws_key)) {
        c->flags |= CONN_LAST;
        reply_with(s, c, head->method != HTTP_GET ? 405 : 400, NULL);
    } else if (s->config->debug.echo_path[0] && span_is(path, s->config->debug.echo_path)) {
        conn_send(s, c, route_101(head, NULL, text));
        conn_become(s, c, CONN_STREAM);
        c->flags |= CONN_ECHO;
    } else if (fallback_path(path, &fallback) && fallback.verb == FALLBACK_WEBSOCKET) {
        conn_send(s, c, route_101(head, NULL, text));
        sockjs_begin(s, c, head->origin);
    } else if (span_starts(path, "/app/") && !memchr(path.p + 5, '/', path.len - 5)) {
        upgrade_app(s, c, head, span_from(path, 5));
    } else if (!bridge_upgrade(s, c, head, path)) {
        struct session_claim claim = {.transport = TRANSPORT_WS, .protocol = -1};
        refuse_session(s, c, head, &claim, CLOSE_PATH_NOT_FOUND);
    }
}

/* --- pages --------------------------------------------------------------------------------------------- */

static void page_health(struct serve *s, struct conn *c)
{
    conn_reply(s, c, &(struct reply){.status = 200, .type = text_plain, .body = span_str("ok\n")});
}

static void page_ready(struct serve *s, struct conn *c)
{
    bool is_ready = atomic_load(&s->house->is_ready) && !atomic_load(&s->house->is_draining);
    conn_reply(s, c,
        &(struct reply){.status = is_ready ? 200 : 503,
            .type = text_plain,
            .body = span_str(is_ready ? "ready\n" : "draining\n")});
}

static void page_metrics(struct serve *s, struct conn *c)
{
    struct buf body = {0};
    metrics_write(s, &body);
    conn_reply(s, c,
        &(struct reply){.status = 200,
            .type = "text/plain; version=0.0.4; charset=utf-8",
            .body = buf_span(&body)});
    buf_fini(&body);
}

static bool page_asset(struct serve *s, struct conn *c, struct span path)
{
    const struct asset *asset = asset_find(path);
    if (!asset) {
        if (!span_is(path, "/"))
            return false;
        conn_reply(s, c,
            &(struct reply){.status = 200,
                .type = text_plain,
                .body = span_str("Carillon is running. This build has no demo page.\n")});
        return true;
    }
    conn_reply(s, c,
        &(struct reply){.status = 200,
            .type = asset->type,
            .body = span_of((const char *)asset->bytes, asset->len),
            .headers = "Cache-Control: no-cache\r\nX-Content-Type-Options: nosniff\r\n"
                       "Content-Security-Policy: default-src 'self'; connect-src 'self' ws: wss:; "
                       "frame-ancestors 'none'\r\n"});
    return true;
}

static void page_worker(struct serve *s, struct conn *c)
{
    struct buf body = {0};
    buf_addf(&body, "{\"worker\":%u}", s->worker);
    conn_reply(
        s, c, &(struct reply){.status = 200, .type = "application/json", .body = buf_span(&body)});
    buf_fini(&body);
}

/* The host of a Host header, without its port. */
static bool is_loopback_host(struct span host)
{
    char name[64];
    if (host.len && host.p[0] == '[') {
        const char *end = memchr(host.p, ']', host.len);
        host = end ? span_of(host.p + 1, (size_t)(end - host.p) - 1) : host;
    } else {
        const char *colon = host.len ? memchr(host.p, ':', host.len) : NULL;
        host.len = colon ? (size_t)(colon - host.p) : host.len;
    }
    if (!host.len || host.len >= sizeof name)
        return false;
    memcpy(name, host.p, host.len);
    name[host.len] = '\0';
    return listener_is_loopback(name);
}

/* No credentials guard the demo: only a page that this server sent, to a browser on this
 * machine, may use it. */
static bool is_own_page(const struct http_head *head)
{
    return is_loopback_host(head->host) && http_is_same_host(head->origin, head->host);
}

static void page_demo(
    struct serve *s, struct conn *c, const struct http_head *head, struct span body)
{
    if (head->method != HTTP_POST)
        reply_with(s, c, 405, "Allow: POST\r\n");
    else if (!is_own_page(head))
        conn_reply_text(s, c, 403, "Only this server's own page on this machine may publish here");
    else
        api_demo(s, c, head, body);
}

/* --- the table ------------------------------------------------------------------------------------------- */

static void route_get(struct serve *s, struct conn *c, struct span path)
{
    uint64_t worker;
    if (span_is(path, "/health"))
        page_health(s, c);
    else if (span_is(path, "/ready"))
        page_ready(s, c);
    else if (span_is(path, "/metrics"))
        page_metrics(s, c);
    else if (is_worker_path(s, path, &worker))
        page_worker(s, c);
    else if (span_starts(path, "/app/"))
        reply_with(s, c, 426, "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
    else if (!page_asset(s, c, path))
        conn_reply_text(s, c, 404, "404 NOT FOUND");
}

static bool is_get_path(const struct serve *s, struct span path)
{
    uint64_t worker;
    static const char *const names[] = {"/", "/health", "/ready", "/metrics"};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (span_is(path, names[i]))
            return true;
    return span_starts(path, "/app/") || asset_find(path) || is_worker_path(s, path, &worker);
}

/* The page's own links are relative: they need the slash. */
static void redirect_to_prefix(struct serve *s, struct conn *c)
{
    struct buf header = {0};
    buf_addf(&header, "Location: %s/\r\n", s->config->path_prefix);
    buf_add_char(&header, '\0');
    reply_with(s, c, 308, header.p);
    buf_fini(&header);
}

void route_request(struct serve *s, struct conn *c, const struct http_head *head, struct span body)
{
    struct span path;
    struct fallback_path fallback;
    bool is_get = head->method == HTTP_GET || head->method == HTTP_HEAD;
    bool is_ours = route_path(s, head->path, &path);
    if (head->wants_websocket)
        upgrade(s, c, head, is_ours ? path : span_str("/"));
    else if (is_ours && endpoint_request(s, c, head, path, body))
        return;
    else if (is_ours && bridge_request(s, c, head, path))
        return;
    else if (head->method == HTTP_OPTIONS)
        fallback_preflight(s, c, head);
    else if (!is_ours)
        conn_reply_text(s, c, 404, "404 NOT FOUND");
    else if (is_get && s->config->path_prefix[0] && span_is(head->path, s->config->path_prefix))
        redirect_to_prefix(s, c);
    else if (fallback_path(path, &fallback))
        fallback_request(s, c, head, &fallback, body);
    else if (span_starts(path, "/pusher/"))
        fallback_not_found(s, c, head);
    else if (span_starts(path, "/events/"))
        events_request(s, c, head, span_from(path, 8));
    else if (span_starts(path, "/apps/"))
        api_request(s, c, head, path, body);
    else if (s->config->has_default_app && span_is(path, "/demo/publish"))
        page_demo(s, c, head, body);
    else if (s->config->gateway && span_starts(path, "/api/"))
        endpoint_not_found(s, c, head);
    else if (is_get)
        route_get(s, c, path);
    else if (head->method == HTTP_OTHER || is_get_path(s, path))
        reply_with(s, c, 405, "Allow: GET, HEAD\r\n");
    else
        conn_reply_text(s, c, 404, "404 NOT FOUND");
}
