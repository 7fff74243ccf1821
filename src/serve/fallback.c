/* Sessions over HTTP: receivers come and go, the session stays. */
#include "base/base.h"

#include "serve/fallback.h"

#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "base/clock.h"
#include "base/mem.h"
#include "serve/conn.h"
#include "wire/sockjs.h"

enum {
    ROTATE_CHARS = 256 * 1024, // beyond, pusher-js asks anew (pusher-protocol 3.5)
    SOCKJS_CHARS = 128 * 1024, // beyond, the answer ends and a SockJS client asks anew
    ROTATE_MS = 1000,          // for the client to do so, once it has everything
    PREAMBLE = 2048,           // a line of that many h: some clients hold back the first bytes
    END_EARLY = 32             // bytes of framing around a close line, at most
};

/* --- names ------------------------------------------------------------------------------------- */

struct fallback *fallback_find(const struct serve *s, struct span name)
{
    uint32_t hash = hash_bytes(0, name);
    for (struct map_node *n = map_first(&s->fallback_names, hash); n; n = map_next(n)) {
        struct fallback *f = CONTAINER_OF(n, struct fallback, node);
        if (span_eq(span_of(f->name, f->name_len), name))
            return f;
    }
    return NULL;
}

struct fallback *fallback_new(struct serve *s, enum fallback_kind kind, struct span name)
{
    uint32_t index = slab_take(&s->fallbacks);
    struct fallback *f = fallback_at(s, index);
    *f = (struct fallback){.index = index,
        .conn = SLAB_NONE,
        .session = SLAB_NONE,
        .kind = (uint8_t)kind,
        .state = FALLBACK_NEW,
        .since_ms = s->client_ms,
        .beat_ms = s->now_ms,
        .new_ms = s->client_ms};
    if (name.len) {
        f->name = mem_dup(name.p, name.len);
        f->name_len = (uint32_t)name.len;
        map_add(&s->fallback_names, &f->node, hash_bytes(0, name));
    }
    counter_add(&s->stats.detached, 1);
    return f;
}

static void free_posts(struct post *p)
{
    struct post *next;
    for (; p; p = next) {
        next = p->next;
        free(p);
    }
}

static void free_fallback(struct serve *s, struct fallback *f)
{
    ENSURE(f->conn == SLAB_NONE && f->session == SLAB_NONE);
    if (f->name) {
        map_remove(&s->fallback_names, &f->node);
        free(f->name);
    }
    counter_sub(&s->stats.detached, 1);
    free(f->origin);
    free_posts(f->inbox);
    free_posts(f->early);
    serve_count(s, COUNTER_ABANDONED_BYTES, f->body.len);
    buf_fini(&f->body);
    f->state = FALLBACK_DEAD;
    slab_release(&s->fallbacks, f->index);
}

/* --- receivers -------------------------------------------------------------------------------------- */

static struct conn *conn_of(const struct serve *s, const struct fallback *f)
{
    return f->conn == SLAB_NONE ? NULL : conn_at(s, f->conn);
}

/* Where there is known to be one. */
static struct conn *receiver_of(const struct serve *s, const struct fallback *f)
{
    ENSURE(f->conn != SLAB_NONE);
    return conn_at(s, f->conn);
}

/* The receiver is one no more; its conn is the caller's to end. */
static void detach(struct serve *s, struct fallback *f, struct conn *c)
{
    c->flags &= (uint16_t)~CONN_FALLBACK;
    c->call = NULL; // the member that c->fallback shares its place with
    f->conn = SLAB_NONE;
    counter_add(&s->stats.detached, 1);
    f->receiver &= RECEIVER_LISTED;
    f->since_ms = s->client_ms;
    if (f->session != SLAB_NONE && !chunk_is_between(&f->walk))
        hub_rewind(s->hub, f->session);
    f->walk = (struct chunk_walk){0};
}

static void reply_poll(struct serve *s, struct conn *c, const struct fallback *f)
{
    char headers[FALLBACK_HEADERS];
    fallback_headers(span_str(f->origin), headers);
    conn_become(s, c, CONN_HEAD);
    conn_reply(s, c,
        &(struct reply){.status = 200,
            .type = FALLBACK_SCRIPT,
            .body = buf_span(&f->body),
            .headers = headers});
    conn_read_later(s, c);
}

static void end_stream(struct serve *s, struct conn *c, bool is_plain)
{
    if (!is_plain)
        conn_send(s, c, span_str(CHUNK_LAST));
    conn_finish(s, c);
}

/* The client has made another request, or its stream has become too long: this one ends. */
static void let_go(struct serve *s, struct fallback *f)
{
    struct conn *c = receiver_of(s, f);
    bool is_stream = f->receiver & RECEIVER_STREAM;
    bool is_plain = f->receiver & RECEIVER_PLAIN;
    bool is_between = chunk_is_between(&f->walk);
    detach(s, f, c);
    if (!is_stream) {
        reply_poll(s, c, f);
        buf_fini(&f->body);
    } else if (is_between) {
        end_stream(s, c, is_plain);
    } else {
        conn_kill(s, c);
    }
}

static void send_preamble(struct serve *s, struct fallback *f, struct conn *c)
{
    char line[PREAMBLE + 1];
    char head[CHUNK_HEAD_MAX];
    bool is_plain = f->receiver & RECEIVER_PLAIN;
    memset(line, 'h', PREAMBLE);
    line[PREAMBLE] = '\n';
    if (!is_plain)
        conn_send(s, c, span_of(head, chunk_head(head, sizeof line)));
    conn_send(s, c, span_of(line, sizeof line));
    if (!is_plain)
        conn_send(s, c, span_str("\r\n"));
    f->chars = sizeof line;
}

static void begin_stream(struct serve *s, struct fallback *f, struct conn *c)
{
    char head[FALLBACK_HEADERS + 256];
    char headers[FALLBACK_HEADERS];
    bool is_plain = f->receiver & RECEIVER_PLAIN;
    fallback_headers(span_str(f->origin), headers);
    const char *type = f->kind == FALLBACK_EVENTS ? "text/event-stream" : FALLBACK_SCRIPT;
    int n = snprintf(head, sizeof head,
        "HTTP/1.1 200 OK\r\nDate: %s\r\nContent-Type: %s\r\n%sX-Accel-Buffering: no\r\n%s\r\n",
        serve_date(s), type, headers,
        is_plain ? "Connection: close\r\n" : "Transfer-Encoding: chunked\r\n");
    conn_send(s, c, span_of(head, (size_t)n));
    counter_add(&s->stats.statuses[200], 1);
    if (f->state == FALLBACK_NEW && f->kind != FALLBACK_EVENTS)
        send_preamble(s, f, c);
    /* What is pending for the session follows from an outbox of its own: this goes first. */
    conn_flush(s, c);
    if (c->state != CONN_DEAD && c->out.bytes)
        conn_kill(s, c);
}

static void list_for_answer(struct serve *s, struct fallback *f)
{
    if (f->receiver & RECEIVER_LISTED)
        return;
    f->receiver |= RECEIVER_LISTED;
    if (s->n_answered == s->cap_answered) {
        s->cap_answered = s->cap_answered ? s->cap_answered * 2 : 64;
        s->answered = mem_array(s->answered, s->cap_answered, sizeof *s->answered);
    }
    s->answered[s->n_answered++] = f->index;
}

void fallback_attach(struct serve *s, struct fallback *f, struct conn *c, bool is_stream)
{
    if (f->conn != SLAB_NONE) {
        serve_count(s, COUNTER_DISPLACED, 1);
        let_go(s, f);
    }
    if (f->session != SLAB_NONE)
        session_heard(s, session_at(s, f->session));
    conn_become(s, c, CONN_RECEIVE);
    if (f->state == FALLBACK_ENDED) {
        reply_poll(s, c, f);
        buf_fini(&f->body);
        free_fallback(s, f);
        return;
    }
    c->flags |= CONN_FALLBACK;
    c->fallback = f->index;
    f->conn = c->index;
    counter_sub(&s->stats.detached, 1);
    f->receiver |= is_stream ? RECEIVER_STREAM : 0;
    f->receiver |= c->flags & CONN_HTTP10 ? RECEIVER_PLAIN : 0;
    f->chars = 0;
    f->beat_ms = s->now_ms;
    if (is_stream)
        begin_stream(s, f, c);
    if (c->state == CONN_RECEIVE && (c->flags & CONN_HANGUP))
        list_for_answer(s, f);
    if (f->session != SLAB_NONE)
        hub_writable(s->hub, f->session);
}

void fallback_lost(struct serve *s, struct conn *c)
{
    struct fallback *f = fallback_at(s, c->fallback);
    detach(s, f, c);
    serve_count(s, COUNTER_ABANDONED_BYTES, f->body.len);
    buf_fini(&f->body);
    if (f->kind != FALLBACK_EVENTS && f->kind != FALLBACK_SOCKJS_WS)
        return; // another receiver may come
    c->session = SLAB_NONE;
    if (f->session != SLAB_NONE)
        session_close(s, session_at(s, f->session), CLOSE_PEER_GONE, 0);
    else
        free_fallback(s, f);
}

void fallback_hangup(struct serve *s, struct fallback *f)
{
    f->receiver |= RECEIVER_LEAVES;
    list_for_answer(s, f);
}

void fallback_writable(struct serve *s, struct fallback *f)
{
    struct conn *c = receiver_of(s, f);
    if (c->out.bytes)
        conn_touch(s, c);
    else if (f->session != SLAB_NONE)
        hub_writable(s->hub, f->session);
}

/* --- output -------------------------------------------------------------------------------------------- */

static void add_bodies(struct chunk_walk *walk, struct span in, struct buf *out)
{
    struct span run;
    bool is_body;
    while (chunk_next(walk, &in, &run, &is_body))
        if (is_body)
            buf_add_span(out, run);
}

static uint32_t limit_of(const struct fallback *f)
{
    if (f->kind == FALLBACK_SOCKJS)
        return SOCKJS_CHARS;
    return f->kind == FALLBACK_XHR && !(f->receiver & RECEIVER_STAYS) ? ROTATE_CHARS : UINT32_MAX;
}

/* How much of in goes to this receiver: up to the end of the line at which the client, having
 * seen too much, asks anew.  What it would be sent behind that it would never look at. */
static size_t until_rotation(const struct fallback *f, struct span in)
{
    struct chunk_walk walk = f->walk;
    struct span rest = in;
    struct span run;
    bool is_body;
    uint32_t limit = limit_of(f);
    uint32_t chars = f->chars;
    if (limit == UINT32_MAX || chars + in.len <= limit)
        return in.len;
    while (chunk_next(&walk, &rest, &run, &is_body)) {
        chars += is_body ? (uint32_t)run.len : 0;
        if (chunk_is_between(&walk) && chars > limit)
            break;
    }
    return in.len - rest.len;
}

static void advance(struct serve *s, struct fallback *f, struct span sent)
{
    struct span run;
    bool is_body;
    while (chunk_next(&f->walk, &sent, &run, &is_body))
        f->chars += is_body ? (uint32_t)run.len : 0;
    if (!chunk_is_between(&f->walk) || f->chars <= limit_of(f))
        return;
    f->receiver |= RECEIVER_PAUSED;
    f->since_ms = s->client_ms;
    if (f->kind == FALLBACK_SOCKJS)
        list_for_answer(s, f);
}

/* For HTTP/1.0, without the chunks' framing: as much of in as the socket took of its bodies. */
static int64_t write_bodies(const struct fallback *f, struct conn *c, struct span in)
{
    struct chunk_walk walk = f->walk;
    struct span rest = in;
    struct span run;
    bool is_body;
    while (chunk_next(&walk, &rest, &run, &is_body)) {
        if (!is_body)
            continue;
        int64_t n = stream_write(&c->stream, run.p, run.len);
        if (n < 0)
            return n;
        if ((size_t)n < run.len)
            return run.p + n - in.p;
    }
    return (int64_t)in.len;
}

static int64_t stream_to(struct serve *s, struct fallback *f, struct span in)
{
    struct conn *c = receiver_of(s, f);
    if (c->out.bytes || (f->receiver & RECEIVER_PAUSED) || (c->flags & CONN_BROKEN))
        return 0;
    in.len = until_rotation(f, in);
    int64_t n = f->receiver & RECEIVER_PLAIN ? write_bodies(f, c, in)
                                             : stream_write(&c->stream, in.p, in.len);
    if (n < 0) {
        /* The session stays: another receiver may come. */
        c->flags |= CONN_BROKEN;
        list_for_answer(s, f);
        return 0;
    }
    advance(s, f, span_of(in.p, (size_t)n));
    return n;
}

int64_t fallback_write(struct serve *s, uint32_t index, const char *bytes, size_t len)
{
    struct fallback *f = fallback_at(s, index);
    if (f->conn == SLAB_NONE)
        return 0;
    if (f->name && (f->receiver & RECEIVER_LEAVES))
        return 0;
    if (f->receiver & RECEIVER_STREAM)
        return stream_to(s, f, span_of(bytes, len));
    add_bodies(&f->walk, span_of(bytes, len), &f->body);
    list_for_answer(s, f);
    return (int64_t)len;
}

static void answer_one(struct serve *s, struct fallback *f)
{
    struct conn *c = conn_of(s, f);
    f->receiver &= (uint8_t)~RECEIVER_LISTED;
    if (!c)
        return;
    if (!(f->receiver & RECEIVER_STREAM) && f->body.len)
        let_go(s, f);
    else if ((c->flags & CONN_BROKEN) || ((c->flags & CONN_HANGUP) && !f->name))
        conn_kill(s, c);
    else if ((c->flags & CONN_HANGUP) ||
             (f->kind == FALLBACK_SOCKJS && (f->receiver & RECEIVER_PAUSED)))
        let_go(s, f); // only its sending side may be closed: it is told to ask anew
}

void fallback_answer(struct serve *s)
{
    for (uint32_t i = 0; i < s->n_answered; i++) {
        struct fallback *f = fallback_at(s, s->answered[i]);
        if (f->state != FALLBACK_DEAD && (f->receiver & RECEIVER_LISTED))
            answer_one(s, f);
    }
    s->n_answered = 0;
}

static enum audience audience_of(const struct fallback *f)
{
    if (f->kind == FALLBACK_SOCKJS_WS)
        return AUDIENCE_SOCKJS;
    return f->kind == FALLBACK_EVENTS ? AUDIENCE_STREAM : AUDIENCE_LINE;
}

/* Before there is a session, lines go straight to the receiver. */
static void line_without_session(struct serve *s, struct fallback *f, struct span bytes)
{
    struct conn *c = conn_of(s, f);
    if (!c)
        return;
    if (f->kind == FALLBACK_SOCKJS_WS) {
        conn_send(s, c, bytes);
    } else if ((f->receiver & (RECEIVER_STREAM | RECEIVER_PLAIN)) == RECEIVER_STREAM) {
        conn_send(s, c, bytes);
    } else {
        add_bodies(&f->walk, bytes, &f->body);
        if (f->receiver & RECEIVER_STREAM) {
            conn_send(s, c, buf_span(&f->body));
            buf_fini(&f->body);
        } else {
            list_for_answer(s, f);
        }
    }
}

void fallback_line(struct serve *s, struct fallback *f, const char *line)
{
    char bytes[64 + AUDIENCE_EXTRA];
    ENSURE(strlen(line) <= 64);
    size_t n = audience_line(audience_of(f), bytes, span_str(line));
    if (f->session == SLAB_NONE)
        line_without_session(s, f, span_of(bytes, n));
    else
        hub_send_raw(s->hub, f->session, span_of(bytes, n));
}

/* --- the session ------------------------------------------------------------------------------------------ */

void fallback_open_session(
    struct serve *s, struct fallback *f, const struct session_claim *claim, struct span first)
{
    bool is_direct = f->kind == FALLBACK_SOCKJS_WS ||
                     (f->kind == FALLBACK_EVENTS && !(f->receiver & RECEIVER_PLAIN));
    struct session_opts opts = {.app = claim->app->slot,
        .wire = is_direct ? conn_wire(receiver_of(s, f)) : SERVE_WIRE_FALLBACK | f->index,
        .at = f->index,
        .is_fallback = true,
        .transport = claim->transport,
        .audience = audience_of(f),
        .protocol = (uint8_t)(claim->protocol == -1 ? 7 : claim->protocol),
        .is_tls = claim->is_tls};
    f->state = FALLBACK_OPEN;
    f->session = session_open(s, &opts, first)->index;
    if (is_direct)
        receiver_of(s, f)->session = f->session;
    serve_count(s, COUNTER_FALLBACKS_OPENED, 1);
}

/* The last words: what was pending, and why. */
static void add_end(
    struct serve *s, const struct fallback *f, const struct fallback_end *end, struct buf *out)
{
    struct span next;
    char line[512];
    while ((next = outbox_peek(&s->outboxes, end->rest)).len) {
        buf_add_span(out, next);
        outbox_advance(&s->outboxes, end->rest, (uint32_t)next.len);
    }
    if (f->kind == FALLBACK_EVENTS)
        return; // a stream of events has no word for its end
    struct buf close = {0};
    sockjs_add_close(
        &close, end->code, end->sentence.p ? end->sentence : span_str(close_sentence(end->why)));
    ENSURE(close.len + END_EARLY < sizeof line);
    size_t n = audience_line(audience_of(f), line, buf_span(&close));
    buf_add(out, line, n);
    buf_fini(&close);
}

/* A frame for each of the last words, and one that closes. */
static void end_websocket(struct serve *s, struct conn *c, bool is_told, struct span words)
{
    char payload[2] = {(char)(1000 >> 8), (char)(1000 & 0xff)};
    if (is_told)
        conn_send(s, c, words);
    conn_send_frame(s, c, WS_CLOSE, span_of(payload, sizeof payload));
    conn_finish(s, c);
}

/* To the receiver that is there. */
static void say_end(
    struct serve *s, struct fallback *f, struct conn *c, const struct fallback_end *end)
{
    struct buf words = {0};
    bool is_stream = f->receiver & RECEIVER_STREAM;
    bool is_plain = f->receiver & RECEIVER_PLAIN;
    struct chunk_walk walk = f->walk;
    detach(s, f, c);
    c->session = SLAB_NONE;
    add_end(s, f, end, &words);
    if (f->kind == FALLBACK_SOCKJS_WS) {
        end_websocket(s, c, end->why != CLOSE_CLIENT_CLOSED, buf_span(&words));
    } else if (is_stream && !is_plain) {
        conn_send(s, c, buf_span(&words));
        end_stream(s, c, false);
    } else {
        add_bodies(&walk, buf_span(&words), &f->body);
        if (is_stream) {
            conn_send(s, c, buf_span(&f->body));
            end_stream(s, c, true);
        } else {
            reply_poll(s, c, f);
        }
        buf_fini(&f->body);
    }
    buf_fini(&words);
    free_fallback(s, f);
}

/* For the next receiver: it waits for it as a session does. */
static void keep_end(struct serve *s, struct fallback *f, const struct fallback_end *end)
{
    struct buf words = {0};
    add_end(s, f, end, &words);
    add_bodies(&f->walk, buf_span(&words), &f->body);
    buf_fini(&words);
    f->state = FALLBACK_ENDED;
    f->since_ms = s->client_ms;
}

void fallback_end(struct serve *s, struct fallback *f, const struct fallback_end *end)
{
    struct conn *c = conn_of(s, f);
    bool is_silent = end->why == CLOSE_PEER_GONE || end->why == CLOSE_BROKEN;
    f->session = SLAB_NONE;
    if (end->why == CLOSE_SLOW_READER || end->why == CLOSE_STALLED_READER) {
        uint32_t before = end->rest->bytes;
        outbox_cut(&s->outboxes, end->rest, c ? stream_committed(&c->stream) : 0);
        serve_count(s, COUNTER_ABANDONED_BYTES, before - end->rest->bytes);
    }
    if (!is_silent && (c || f->name)) {
        if (c)
            say_end(s, f, c, end);
        else
            keep_end(s, f, end);
        return;
    }
    serve_count(s, COUNTER_ABANDONED_BYTES, end->rest->bytes);
    outbox_clear(&s->outboxes, end->rest);
    if (c) {
        detach(s, f, c);
        c->session = SLAB_NONE;
        conn_kill(s, c);
    }
    free_fallback(s, f);
}

void fallback_close(struct serve *s, struct fallback *f, enum close_reason why)
{
    if (f->session != SLAB_NONE)
        session_close(s, session_at(s, f->session), why, 0);
    else if (f->state == FALLBACK_NEW)
        sockjs_close(s, f, why);
}

/* --- clocks --------------------------------------------------------------------------------------------------- */

static void beat(struct serve *s, struct fallback *f)
{
    f->beat_ms = s->now_ms;
    fallback_line(s, f, f->kind == FALLBACK_EVENTS ? ":h" : "h");
}

/* A client that has everything and did not ask anew is none that counts. */
static void sweep_pause(struct serve *s, struct fallback *f)
{
    int unsent = 0;
    struct conn *c = receiver_of(s, f);
    (void)ioctl(c->stream.fd, SIOCOUTQ, &unsent);
    if (unsent)
        f->since_ms = s->client_ms;
    if (s->client_ms - f->since_ms < ROTATE_MS)
        return;
    f->receiver &= (uint8_t)~RECEIVER_PAUSED;
    f->receiver |= RECEIVER_STAYS;
    hub_writable(s->hub, f->session);
}

/* An event stream that came by a token ends with it. */
static bool is_expired(const struct fallback *f)
{
    return f->kind == FALLBACK_EVENTS && f->until_s && clock_wall_ms() / 1000 >= f->until_s;
}

void fallback_sweep(struct serve *s, struct fallback *f)
{
    const struct config_limits *limits = &s->config->limits;
    if (f->conn == SLAB_NONE && s->client_ms - f->since_ms >= limits->rejoin_ms) {
        serve_count(s, COUNTER_ORPHANS, 1);
        if (f->session != SLAB_NONE)
            session_close(s, session_at(s, f->session), CLOSE_PEER_GONE, 0);
        else
            free_fallback(s, f);
        return;
    }
    if (f->conn != SLAB_NONE && s->now_ms - f->beat_ms >= limits->heartbeat_ms)
        beat(s, f);
    if (f->receiver & RECEIVER_PAUSED)
        sweep_pause(s, f);
    if (f->session != SLAB_NONE && is_expired(f))
        session_close(s, session_at(s, f->session), CLOSE_TOKEN_EXPIRED, 0);
    else if (f->session != SLAB_NONE)
        session_sweep(s, session_at(s, f->session));
    else if (f->state == FALLBACK_NEW)
        sockjs_sweep(s, f);
}

void fallback_free_all(struct serve *s)
{
    for (uint32_t p = 0; p < s->fallbacks.n_pieces; p++)
        for (uint32_t i = 0; s->fallbacks.pieces[p].items && i < s->fallbacks.pieces[p].fresh;
             i++) {
            struct fallback *f = fallback_at(s, p << SLAB_SHIFT | i);
            if (f->state == FALLBACK_DEAD)
                continue;
            if (f->session != SLAB_NONE)
                session_close(s, session_at(s, f->session), CLOSE_PEER_GONE, 0);
            else if (f->conn == SLAB_NONE)
                free_fallback(s, f);
        }
}
