/* A socket's life: accept, read, write, end. */
#include "base/base.h"

#include "serve/conn.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "serve/call.h"
#include "serve/fallback.h"
#include "serve/ip.h"
#include "serve/poll.h"
#include "serve/session.h"

enum {
    READS_PER_TURN = 4,         // so that one busy peer does not starve the others
    FINISH_MS = 5000,           // an end that the peer does not take
    LINGER_MS = 60000,          // the same for a slow reader, who is to see where it ended
    PIPELINE_BYTES = 256 * 1024 // answers that wait: no further request is read beyond
};

static const uint8_t may_become[CONN_STATES] = {
    [CONN_HEAD] = 1 << CONN_ANSWER | 1 << CONN_STREAM | 1 << CONN_RECEIVE | 1 << CONN_CLOSING |
                  1 << CONN_DEAD,
    [CONN_ANSWER] = 1 << CONN_HEAD | 1 << CONN_CLOSING | 1 << CONN_DEAD,
    [CONN_RECEIVE] = 1 << CONN_HEAD | 1 << CONN_CLOSING | 1 << CONN_DEAD,
    [CONN_STREAM] = 1 << CONN_CLOSING | 1 << CONN_DEAD,
    [CONN_CLOSING] = 1 << CONN_DEAD,
};

void conn_become(struct serve *s, struct conn *c, enum conn_state next)
{
    ENSURE(may_become[c->state] & (1U << next));
    list_remove(&s->lists[c->state], &c->node);
    c->state = (uint8_t)next;
    list_append(&s->lists[next], &c->node);
}

static struct conn *new_conn(struct serve *s)
{
    uint32_t index = slab_take(&s->conns);
    struct conn *c = conn_at(s, index);
    static _Thread_local uint32_t stamp;
    *c = (struct conn){.index = index,
        .session = SLAB_NONE,
        .stamp = ++stamp,
        .since_ms = s->client_ms,
        .state = CONN_HEAD,
        .stream.fd = -1};
    list_append(&s->lists[CONN_HEAD], &c->node);
    return c;
}

/* Registered under a token that tells this conn from the slot's next one. */
static bool watch(struct serve *s, struct conn *c)
{
    return loop_add(&s->loop, c->stream.fd, (uint64_t)c->stamp << 32 | c->index);
}

void conn_accept(struct serve *s, int fd, bool is_tls)
{
    struct ip *ip;
    serve_count(s, COUNTER_ACCEPTED, 1);
    if (!ip_enter(fd, s->config->limits.connections_per_ip, &ip)) {
        serve_count(s, COUNTER_REFUSED_SOCKETS, 1);
        close(fd);
        return;
    }
    struct conn *c = new_conn(s);
    c->ip = ip;
    atomic_fetch_add_explicit(&s->house->n_conns, 1, memory_order_relaxed);
    stream_open(&c->stream, fd, is_tls ? s->tls : NULL);
    c->flags = is_tls ? CONN_TLS : 0;
    if (!watch(s, c))
        conn_kill(s, c);
    else
        conn_read(s, c); // a client speaks first: usually it has
}

/* --- keeping input ---------------------------------------------------------------------------- */

static struct intake *need_intake(struct conn *c)
{
    if (!c->in)
        c->in = mem_zero(sizeof *c->in);
    return c->in;
}

static void drop_intake(struct conn *c)
{
    if (!c->in)
        return;
    buf_fini(&c->in->parked);
    buf_fini(&c->in->head);
    buf_fini(&c->in->body);
    free(c->in);
    c->in = NULL;
}

static void park(struct conn *c, struct span rest)
{
    if (rest.len)
        buf_add_span(&need_intake(c)->parked, rest);
}

/* Puts what was parked at the start of the read buffer. */
static size_t unpark(struct serve *s, struct conn *c)
{
    if (!c->in || !c->in->parked.len)
        return 0;
    size_t n = c->in->parked.len;
    ENSURE(n <= CONN_INPUT_BYTES - CONN_READ_BYTES);
    memcpy(s->input, c->in->parked.p, n);
    c->in->parked.len = 0;
    return n;
}

/* --- the end -------------------------------------------------------------------------------------- */

void conn_kill(struct serve *s, struct conn *c)
{
    if (c->state == CONN_DEAD)
        return;
    bool is_answering = c->state == CONN_ANSWER;
    conn_become(s, c, CONN_DEAD); // first: what ends the session must find it dead
    if (c->flags & CONN_FALLBACK)
        fallback_lost(s, c);
    else if (c->session != SLAB_NONE)
        session_close(s, session_at(s, c->session), CLOSE_PEER_GONE, 0);
    serve_count(s, COUNTER_ABANDONED_BYTES, c->out.bytes);
    outbox_clear(&s->outboxes, &c->out);
    ws_reader_fini(&c->ws);
    drop_intake(c);
    if (is_answering)
        call_free(s, c->call);
    c->call = NULL;
}

void conn_reap(struct serve *s)
{
    struct list_node *node;
    while ((node = s->lists[CONN_DEAD].first)) {
        struct conn *c = CONTAINER_OF(node, struct conn, node);
        list_remove(&s->lists[CONN_DEAD], node);
        outbox_clear(&s->outboxes, &c->out);
        if (c->stream.fd >= 0) {
            stream_close(&c->stream);
            atomic_fetch_sub_explicit(&s->house->n_conns, 1, memory_order_relaxed);
        }
        ip_leave(c->ip);
        slab_release(&s->conns, c->index);
    }
}

/* All is written: our side ends, and the peer is read to its end, so that a reset does not
 * overtake what it has not yet read. */
static void end_output(struct serve *s, struct conn *c)
{
    c->flags |= CONN_FINISHED;
    if (c->flags & CONN_HANGUP) {
        conn_kill(s, c);
        return;
    }
    stream_finish(&c->stream);
    c->since_ms = s->client_ms;
}

void conn_finish(struct serve *s, struct conn *c)
{
    if (c->state == CONN_DEAD || c->state == CONN_CLOSING)
        return;
    conn_become(s, c, CONN_CLOSING);
    if (c->flags & CONN_FALLBACK)
        fallback_lost(s, c);
    c->since_ms = s->client_ms;
    ws_reader_fini(&c->ws);
    drop_intake(c);
    conn_touch(s, c);
    c->flags |= CONN_UNREAD; // what comes is thrown away
}

/* --- output ------------------------------------------------------------------------------------------ */

void conn_touch(struct serve *s, struct conn *c)
{
    if (c->flags & CONN_TOUCHED)
        return;
    c->flags |= CONN_TOUCHED;
    if (s->n_touched == s->cap_touched) {
        s->cap_touched = s->cap_touched ? s->cap_touched * 2 : 64;
        s->touched = mem_array(s->touched, s->cap_touched, sizeof *s->touched);
    }
    s->touched[s->n_touched++] = c->index;
}

void conn_send(struct serve *s, struct conn *c, struct span bytes)
{
    if (!bytes.len)
        return;
    char *at = outbox_room(&s->outboxes, (uint32_t)bytes.len);
    memcpy(at, bytes.p, bytes.len);
    outbox_end_frame(&s->outboxes, &c->out, (uint32_t)bytes.len);
    conn_touch(s, c);
}

void conn_send_frame(struct serve *s, struct conn *c, enum ws_kind kind, struct span payload)
{
    char *at = outbox_room(&s->outboxes, (uint32_t)(WS_HEAD_MAX + payload.len));
    size_t head = ws_head(at, kind, payload.len);
    if (payload.len)
        memcpy(at + head, payload.p, payload.len);
    outbox_end_frame(&s->outboxes, &c->out, (uint32_t)(head + payload.len));
    conn_touch(s, c);
}

/* Too much is pending.  Not where the answers of HTTP are: a peer gets the one that it has
 * asked for, however long it is, and asks for no more before it has taken it (may_read). */
static bool is_over_limit(const struct serve *s, const struct conn *c)
{
    if (c->state != CONN_STREAM)
        return false;
    return c->out.bytes > (c->flags & CONN_ECHO ? s->config->debug.echo_outbox_bytes
                                                : s->config->limits.outbox_bytes);
}

void conn_flush(struct serve *s, struct conn *c)
{
    struct span next;
    if (c->state == CONN_DEAD)
        return;
    while ((next = outbox_peek(&s->outboxes, &c->out)).len) {
        int64_t n = stream_write(&c->stream, next.p, next.len);
        if (n < 0) {
            conn_kill(s, c);
            return;
        }
        serve_count(s, COUNTER_BYTES_OUT_HTTP, (uint64_t)n);
        outbox_advance(&s->outboxes, &c->out, (uint32_t)n);
        if (n)
            c->since_ms = s->client_ms;
        if ((size_t)n < next.len) {
            c->flags |= CONN_PENDING;
            outbox_settle(&s->outboxes, &c->out);
            if (is_over_limit(s, c))
                conn_kill(s, c);
            return;
        }
    }
    bool was_pending = c->flags & CONN_PENDING;
    c->flags &= (uint16_t)~CONN_PENDING;
    if (c->state == CONN_CLOSING && !(c->flags & CONN_FINISHED))
        end_output(s, c);
    else if ((was_pending && (c->flags & CONN_UNREAD)) ||
             (c->state == CONN_HEAD && c->in && c->in->parked.len && !c->in->in_body))
        conn_resume(s, c);
}

/* --- input ---------------------------------------------------------------------------------------------- */

void conn_read_later(struct serve *s, struct conn *c)
{
    if (c->flags & CONN_AGAIN)
        return;
    c->flags |= CONN_AGAIN;
    if (s->n_again == s->cap_again) {
        s->cap_again = s->cap_again ? s->cap_again * 2 : 64;
        s->again = mem_array(s->again, s->cap_again, sizeof *s->again);
    }
    s->again[s->n_again++] = c->index;
}

/* A peer that talks but does not listen is not listened to. */
static bool may_read(const struct serve *s, const struct conn *c)
{
    switch ((enum conn_state)c->state) {
    case CONN_HEAD:
        return c->out.bytes <= PIPELINE_BYTES;
    case CONN_STREAM:
        if (c->flags & CONN_ECHO)
            return c->out.bytes <= s->config->debug.echo_outbox_bytes / 2;
        if (c->flags & CONN_FALLBACK)
            return fallback_may_read(s, fallback_at(s, c->fallback));
        return !session_is_waiting(s, session_at(s, c->session));
    case CONN_CLOSING:
        return true;
    case CONN_ANSWER:
    case CONN_RECEIVE:
    case CONN_DEAD:
    case CONN_STATES:
        break;
    }
    return false;
}

/* Pages of any origin may read why: the path may be one of theirs (pusher-protocol 3.10).
 * head is NULL when it could not be read.  Clients look at no send's answer: that a message was
 * too long for the server is told as over a WebSocket, by the end. */
static void refuse(struct serve *s, struct conn *c, const struct http_head *head, int status)
{
    char text[64];
    char headers[FALLBACK_HEADERS];
    int n = snprintf(text, sizeof text, "%s\n", http_reason(status));
    struct fallback *f = head && status == 413 ? fallback_of_send(s, head) : NULL;
    fallback_headers(head ? fallback_origin(s, head) : span_of(NULL, 0), headers);
    c->flags |= CONN_LAST;
    conn_reply(s, c,
        &(struct reply){.status = status,
            .type = "text/plain",
            .body = span_of(text, (size_t)n),
            .headers = headers});
    if (f)
        fallback_close(s, f, CLOSE_TOO_BIG);
}

static void begin_body(
    struct serve *s, struct conn *c, const struct http_head *head, struct span head_bytes)
{
    struct intake *in = need_intake(c);
    in->in_body = true;
    in->head.len = in->body.len = 0;
    in->chunked = (struct http_chunked){0};
    in->body_limit = route_body_limit(s, head);
    buf_add_span(&in->head, head_bytes);
    c->since_ms = s->client_ms;
    if (head->expects_continue)
        conn_send(s, c, span_str("HTTP/1.1 100 Continue\r\n\r\n"));
}

static void end_request(struct serve *s, struct conn *c)
{
    c->since_ms = s->client_ms;
    c->flags &= (uint16_t) ~(CONN_BEGUN);
}

static void start_request(
    struct serve *s, struct conn *c, const struct http_head *head, struct span body)
{
    static _Thread_local uint32_t serial;
    c->serial = ++serial; // never another conn's, so a late answer finds nobody
    c->flags &= (uint16_t) ~(CONN_LAST | CONN_HEAD_ONLY | CONN_HTTP10);
    c->flags |= CONN_USED;
    if (head->minor == 0)
        c->flags |= CONN_HTTP10;
    if (!head->is_keep_alive)
        c->flags |= CONN_LAST;
    if (head->method == HTTP_HEAD)
        c->flags |= CONN_HEAD_ONLY;
    end_request(s, c);
    route_request(s, c, head, body);
}

static void parse_kept_head(struct serve *s, struct conn *c, struct http_head *head)
{
    struct http_limits limits = {s->config->limits.head_bytes, s->config->limits.headers};
    size_t scanned = 0;
    size_t used;
    int status;
    enum http_result result =
        http_head(buf_span(&c->in->head), &limits, &scanned, head, &used, &status);
    ENSURE(result == HTTP_OK); // it was before
}

/* More of a body.  Returns what is left of the input. */
static struct span feed_body(struct serve *s, struct conn *c, struct span input)
{
    struct intake *in = c->in;
    struct http_head head;
    int status;
    parse_kept_head(s, c, &head);
    if (head.is_chunked) {
        enum http_result result =
            http_chunked(&in->chunked, &input, &in->body, in->body_limit, &status);
        if (result == HTTP_BAD)
            refuse(s, c, &head, status);
        if (result != HTTP_OK)
            return input;
    } else {
        size_t want = (size_t)head.length - in->body.len;
        size_t n = want < input.len ? want : input.len;
        buf_add(&in->body, input.p, n);
        input = span_from(input, n);
        if (n < want)
            return input;
    }
    /* The request owns the kept bytes while it is answered: they leave the intake. */
    struct buf kept_head = in->head;
    struct buf kept_body = in->body;
    in->head = in->body = (struct buf){0};
    in->in_body = false;
    start_request(s, c, &head, buf_span(&kept_body));
    buf_fini(&kept_head);
    buf_fini(&kept_body);
    return input;
}

/* A whole head is there.  Returns what is left of the input behind head, or behind the body
 * when that is there too. */
static struct span take_head(
    struct serve *s, struct conn *c, const struct http_head *head, struct span all, size_t used)
{
    struct span rest = span_from(all, used);
    unsigned worker = route_worker(s, head);
    if (worker != s->worker) {
        park(c, all); // with the head: the other worker reads the request anew
        conn_move(s, c, worker);
        return span_of(rest.p, 0);
    }
    size_t limit = route_body_limit(s, head);
    bool is_whole = !head->is_chunked && head->length <= rest.len;
    if (head->has_length && head->length > limit) {
        c->flags |= CONN_LAST;
        if (!endpoint_refuse(s, c, head, 413))
            refuse(s, c, head, 413);
    } else if (is_whole) {
        struct span body = span_of(rest.p, (size_t)head->length);
        rest = span_from(rest, body.len);
        start_request(s, c, head, body);
    } else {
        begin_body(s, c, head, span_of(all.p, used));
    }
    return rest;
}

/* Returns what is left; the same length when more is needed. */
static struct span feed_http(struct serve *s, struct conn *c, struct span input)
{
    struct http_limits limits = {s->config->limits.head_bytes, s->config->limits.headers};
    struct http_head head;
    size_t used = 0;
    size_t scanned = c->in ? c->in->scanned : 0;
    int status;
    if (c->in && c->in->in_body)
        return feed_body(s, c, input);
    if (!(c->flags & CONN_BEGUN)) {
        c->flags |= CONN_BEGUN;
        c->since_ms = s->client_ms;
    }
    enum http_result result = http_head(input, &limits, &scanned, &head, &used, &status);
    if (c->in)
        c->in->scanned = 0;
    switch (result) {
    case HTTP_MORE:
        need_intake(c)->scanned = scanned;
        return input;
    case HTTP_OK:
        return take_head(s, c, &head, input, used);
    case HTTP_BAD:
        refuse(s, c, NULL, status);
        break;
    }
    return span_of(input.p, 0);
}

static void answer_close(struct serve *s, struct conn *c, struct span payload)
{
    uint16_t code = 1000;
    bool is_bad = payload.len == 1;
    if (payload.len >= 2) {
        code = (uint16_t)((uint8_t)payload.p[0] << 8 | (uint8_t)payload.p[1]);
        is_bad = !ws_code_is_valid(code) || !utf8_is_valid(span_from(payload, 2));
    }
    if (is_bad)
        code = WS_PROTOCOL_ERROR;
    if (c->session != SLAB_NONE) {
        session_close(s, session_at(s, c->session),
            is_bad ? CLOSE_PROTOCOL_ERROR : CLOSE_CLIENT_CLOSED, code);
        return;
    }
    char bytes[2] = {(char)(code >> 8), (char)code};
    conn_send_frame(s, c, WS_CLOSE, span_of(bytes, payload.len || is_bad ? sizeof bytes : 0));
    conn_finish(s, c);
}

static void refuse_frame(struct serve *s, struct conn *c, uint16_t code)
{
    enum close_reason why = code == WS_TOO_BIG    ? CLOSE_TOO_BIG
                            : code == WS_BAD_DATA ? CLOSE_BAD_UTF8
                                                  : CLOSE_PROTOCOL_ERROR;
    if (c->session != SLAB_NONE) {
        session_close(s, session_at(s, c->session), why, code);
        return;
    }
    char bytes[2] = {(char)(code >> 8), (char)code};
    conn_send_frame(s, c, WS_CLOSE, span_of(bytes, sizeof bytes));
    conn_finish(s, c);
}

static void take_message(struct serve *s, struct conn *c, const struct ws_message *m)
{
    serve_count(s, COUNTER_MESSAGES_IN, 1);
    switch (m->kind) {
    case WS_PING:
        /* Pongs are few and small, but only while somebody takes them. */
        if (c->session != SLAB_NONE)
            session_pong(s, session_at(s, c->session), m->data);
        else
            conn_send_frame(s, c, WS_PONG, m->data);
        break;
    case WS_CLOSE:
        answer_close(s, c, m->data);
        break;
    case WS_TEXT:
    case WS_BINARY:
        if (c->flags & CONN_ECHO)
            conn_send_frame(s, c, m->kind, m->data);
        else if (m->kind == WS_TEXT && (c->flags & CONN_FALLBACK))
            sockjs_receive(s, c, m->data);
        else if (m->kind == WS_TEXT)
            session_message(s, session_at(s, c->session), m->data);
        else if (c->session != SLAB_NONE)
            session_close(s, session_at(s, c->session), CLOSE_BINARY, 0);
        else
            refuse_frame(s, c, WS_UNSUPPORTED);
        break;
    case WS_PONG:
    case WS_CONTINUATION:
        break;
    }
}

static struct span feed_frames(struct serve *s, struct conn *c, struct span input)
{
    size_t limit = c->flags & CONN_ECHO ? s->config->debug.echo_message_bytes
                                        : s->config->limits.message_bytes;
    while (c->state == CONN_STREAM && may_read(s, c)) {
        struct ws_message m;
        uint16_t code;
        switch (ws_next(&c->ws, &input, limit, &m, &code)) {
        case WS_MORE:
            return input;
        case WS_OK:
            take_message(s, c, &m);
            break;
        case WS_BAD:
            refuse_frame(s, c, code);
            break;
        }
    }
    return input;
}

/* Gives the input to whoever reads it in this state; keeps what must wait. */
static void feed(struct serve *s, struct conn *c, struct span input)
{
    while (input.len && may_read(s, c)) {
        size_t before = input.len;
        if (c->state == CONN_HEAD)
            input = feed_http(s, c, input);
        else if (c->state == CONN_STREAM)
            input = feed_frames(s, c, input);
        else
            return; // CLOSING: thrown away
        if (input.len == before)
            break;
    }
    if (c->state != CONN_CLOSING && c->state != CONN_DEAD)
        park(c, input);
    if (c->in && !c->in->in_body && !c->in->parked.len)
        drop_intake(c);
}

static void peer_ended(struct serve *s, struct conn *c)
{
    c->flags |= CONN_HANGUP;
    /* A peer that only half-closed may still read the answer to its last request. */
    bool owes_answer = c->state == CONN_ANSWER || (c->state == CONN_HEAD && c->out.bytes);
    if (c->state == CONN_CLOSING && !(c->flags & CONN_FINISHED) && c->out.bytes)
        return;
    if (!owes_answer)
        conn_kill(s, c);
    else if (c->state == CONN_HEAD)
        conn_finish(s, c);
    else
        c->flags |= CONN_LAST;
}

/* One read.  False when there is nothing more to read now. */
static bool read_once(struct serve *s, struct conn *c)
{
    size_t kept = unpark(s, c);
    if (kept > CONN_READ_BYTES + s->config->limits.head_bytes) {
        /* Whole requests are among them, each of which may wait for its answer: a peer that
         * sends ahead does not fill our memory with them. */
        feed(s, c, span_of(s->input, kept));
        return c->state != CONN_DEAD;
    }
    int64_t n = stream_read(&c->stream, s->input + kept, CONN_READ_BYTES);
    if (n > 0) {
        serve_count(s, COUNTER_BYTES_IN, (uint64_t)n);
        if (c->session != SLAB_NONE)
            session_heard(s, session_at(s, c->session));
    }
    if (n > 0 || kept)
        feed(s, c, span_of(s->input, kept + (n > 0 ? (size_t)n : 0)));
    if (n == STREAM_END && c->state != CONN_DEAD)
        peer_ended(s, c);
    if (n <= 0 || c->state == CONN_DEAD)
        return false;
    /* A short read has emptied a plain socket, unless the peer's end stands behind it. */
    return n == CONN_READ_BYTES || (c->flags & (CONN_TLS | CONN_HANGUP));
}

void conn_read(struct serve *s, struct conn *c)
{
    for (int i = 0; i < READS_PER_TURN; i++) {
        if (c->state == CONN_DEAD)
            return;
        if (!may_read(s, c)) {
            c->flags |= CONN_UNREAD;
            return;
        }
        if (!read_once(s, c)) {
            if (c->state != CONN_DEAD && may_read(s, c))
                c->flags &= (uint16_t)~CONN_UNREAD;
            return;
        }
    }
    conn_read_later(s, c);
}

void conn_resume(struct serve *s, struct conn *c)
{
    if (c->state == CONN_DEAD || !may_read(s, c))
        return;
    size_t kept = unpark(s, c);
    if (kept)
        feed(s, c, span_of(s->input, kept));
    if (c->state != CONN_DEAD && (c->flags & CONN_UNREAD))
        conn_read_later(s, c);
    else if (c->state == CONN_HEAD && (c->flags & CONN_HANGUP))
        peer_ended(s, c);
}

bool conn_event(struct serve *s, const struct loop_event *e)
{
    uint32_t index = (uint32_t)e->token;
    if (!slab_has(&s->conns, index))
        return false;
    struct conn *c = conn_at(s, index);
    if (c->stamp != (uint32_t)(e->token >> 32) || c->state == CONN_DEAD)
        return false;
    if (e->is_hangup)
        c->flags |= CONN_HANGUP;
    if (c->state == CONN_RECEIVE && e->is_hangup)
        fallback_hangup(s, fallback_at(s, c->fallback));
    if (c->state == CONN_ANSWER && e->is_hangup && c->call->act)
        poll_hurry(s, c->call->act);
    if (e->is_writable && c->state == CONN_RECEIVE)
        fallback_writable(s, fallback_at(s, c->fallback));
    else if (e->is_writable && c->session != SLAB_NONE)
        hub_writable(s->hub, c->session);
    else if (e->is_writable && (c->flags & CONN_PENDING))
        conn_touch(s, c);
    if (e->is_readable || (c->flags & CONN_TLS))
        conn_read(s, c);
    return true;
}

/* --- clocks ------------------------------------------------------------------------------------------------ */

/* The head has been read. */
static void refuse_body(struct serve *s, struct conn *c, int status)
{
    struct http_head head;
    parse_kept_head(s, c, &head);
    refuse(s, c, &head, status);
}

static void sweep_head(struct serve *s, struct conn *c, uint32_t waited)
{
    const struct config_limits *limits = &s->config->limits;
    if (c->out.bytes) {
        if (s->client_ms - c->since_ms >= limits->outbox_stall_ms)
            conn_kill(s, c);
    } else if (c->in && c->in->in_body) {
        if (waited >= limits->body_ms)
            refuse_body(s, c, 408);
    } else if (c->flags & CONN_BEGUN) {
        if (waited >= limits->head_ms)
            refuse(s, c, NULL, 408);
    } else if (waited >= (c->flags & CONN_USED ? limits->keepalive_ms : limits->head_ms)) {
        conn_kill(s, c);
    }
}

void conn_sweep(struct serve *s, struct conn *c)
{
    uint32_t waited = s->client_ms - c->since_ms;
    switch ((enum conn_state)c->state) {
    case CONN_HEAD:
        sweep_head(s, c, waited);
        break;
    case CONN_STREAM:
        if (c->session != SLAB_NONE && !(c->flags & CONN_FALLBACK))
            session_sweep(s, session_at(s, c->session));
        break;
    case CONN_CLOSING:
        if (waited >= (c->flags & CONN_LINGER ? LINGER_MS : FINISH_MS)) {
            if (outbox_is_mid_frame(&s->outboxes, &c->out)) {
                stream_reset(&c->stream);
                atomic_fetch_sub_explicit(&s->house->n_conns, 1, memory_order_relaxed);
            }
            conn_kill(s, c);
        }
        break;
    case CONN_ANSWER:  // another worker of this process answers: it always does
    case CONN_RECEIVE: // the fallback is looked at itself
    case CONN_DEAD:
    case CONN_STATES:
        break;
    }
}

/* --- moving -------------------------------------------------------------------------------------------------- */

struct moved_conn {
    struct mail mail;
    struct stream stream;
    struct ip *ip;
    struct buf parked;  // input that was read
    struct buf out;     // output that was not written
    uint32_t waited_ms; // the two workers' clocks differ
    uint16_t flags;
};

void conn_move(struct serve *s, struct conn *c, unsigned worker)
{
    struct moved_conn *m = mem_zero(sizeof *m);
    ENSURE(c->state == CONN_HEAD && c->session == SLAB_NONE);
    m->mail.kind = SERVE_LETTER_CONN;
    m->stream = c->stream;
    m->ip = c->ip;
    c->ip = NULL;
    m->waited_ms = s->client_ms - c->since_ms;
    m->flags = c->flags & (CONN_TLS | CONN_HANGUP);
    if (c->in) {
        m->parked = c->in->parked;
        c->in->parked = (struct buf){0};
    }
    struct span next;
    while ((next = outbox_peek(&s->outboxes, &c->out)).len) {
        buf_add_span(&m->out, next);
        outbox_advance(&s->outboxes, &c->out, (uint32_t)next.len);
    }
    loop_remove(&s->loop, c->stream.fd);
    c->stream = (struct stream){.fd = -1};
    conn_kill(s, c);
    serve_count(s, COUNTER_MOVED, 1);
    serve_post(s->house->workers[worker], &m->mail);
}

void conn_receive(struct serve *s, struct mail *letter)
{
    struct moved_conn *m = CONTAINER_OF(letter, struct moved_conn, mail);
    struct conn *c = new_conn(s);
    c->stream = m->stream;
    c->ip = m->ip;
    c->since_ms = s->client_ms - m->waited_ms;
    c->flags = m->flags | CONN_UNREAD;
    if (m->out.len)
        conn_send(s, c, buf_span(&m->out));
    park(c, buf_span(&m->parked));
    buf_fini(&m->out);
    buf_fini(&m->parked);
    free(m);
    if (!watch(s, c))
        conn_kill(s, c);
    else
        conn_resume(s, c);
}
