/* Questions under way, by URL. */
#include "base/base.h"

#include "notify/upstream.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "wire/sign.h"

enum {
    CIRCUIT_FAILURES = 5,    // in a row
    CIRCUIT_PAUSE_MS = 5000, // before one is let through
    URLS_MAX = 256,          // that are remembered
    HEADERS_MAX = 6
};

/* A URL that is asked. */
struct target {
    char *url;
    uint32_t n_inflight, n_failures; // failures in a row
    uint64_t open_until_ms;          // the circuit; 0 = closed
};

struct upstreams {
    struct outbound *outbound;
    void (*answer)(void *ctx, unsigned worker, struct exchange_answer *a);
    void *ctx;
    struct target targets[URLS_MAX];
    size_t n_targets;
    struct list questions;
};

struct question {
    struct list_node node;
    struct upstreams *of;
    struct exchange *x;
    size_t target;
    uint32_t n_left; // tries
    uint64_t by_ms;  // all tries together
    char *headers[HEADERS_MAX];
    size_t n_headers;
};

struct upstreams *upstreams_new(struct outbound *outbound,
    void (*answer)(void *ctx, unsigned worker, struct exchange_answer *a), void *ctx)
{
    struct upstreams *u = mem_zero(sizeof *u);
    u->outbound = outbound;
    u->answer = answer;
    u->ctx = ctx;
    return u;
}

static void free_question(struct question *q)
{
    for (size_t i = 0; i < q->n_headers; i++) {
        explicit_bzero(q->headers[i], strlen(q->headers[i]));
        free(q->headers[i]);
    }
    list_remove(&q->of->questions, &q->node);
    exchange_free(q->x);
    free(q);
}

void upstreams_free(struct upstreams *u)
{
    if (!u)
        return;
    while (u->questions.first)
        free_question(CONTAINER_OF(u->questions.first, struct question, node));
    for (size_t i = 0; i < u->n_targets; i++)
        free(u->targets[i].url);
    free(u);
}

bool upstreams_is_idle(const struct upstreams *u)
{
    return u->questions.n == 0;
}

/* --- targets ---------------------------------------------------------------------------------------- */

static size_t find_target(struct upstreams *u, const char *url)
{
    size_t free_at = u->n_targets;
    for (size_t i = 0; i < u->n_targets; i++) {
        if (strcmp(u->targets[i].url, url) == 0)
            return i;
        if (!u->targets[i].n_inflight)
            free_at = i; // a URL of a configuration that has gone, perhaps
    }
    if (u->n_targets < URLS_MAX)
        free_at = u->n_targets++;
    if (free_at == URLS_MAX)
        return URLS_MAX;
    free(u->targets[free_at].url);
    u->targets[free_at] = (struct target){.url = mem_dup_str(url)};
    return free_at;
}

static void note_outcome(struct target *t, bool is_good, uint64_t now_ms, const char *name)
{
    t->n_failures = is_good ? 0 : t->n_failures + 1;
    if (is_good && t->open_until_ms)
        log_event(LOG_INFO, "upstream_back", "route=%s", name);
    if (is_good) {
        t->open_until_ms = 0;
        return;
    }
    if (t->n_failures == CIRCUIT_FAILURES)
        log_event(LOG_WARN, "upstream_paused", "route=%s failures=%u", name, t->n_failures);
    if (t->n_failures >= CIRCUIT_FAILURES)
        t->open_until_ms = now_ms + CIRCUIT_PAUSE_MS;
}

/* --- answers ------------------------------------------------------------------------------------------ */

static struct exchange_answer *new_answer(
    const struct exchange *x, enum exchange_outcome outcome, int status, struct span body)
{
    struct exchange_answer *a = mem_zero(sizeof *a);
    a->id = x->id;
    a->outcome = outcome;
    a->status = status;
    if (body.len)
        buf_add_span(&a->body, body);
    return a;
}

static enum exchange_outcome outcome_of(enum outbound_outcome outcome)
{
    switch (outcome) {
    case OUTBOUND_ANSWERED:
        return EXCHANGE_ANSWERED;
    case OUTBOUND_TIMED_OUT:
        return EXCHANGE_TIMED_OUT;
    case OUTBOUND_TOO_LONG:
        return EXCHANGE_TOO_LONG;
    case OUTBOUND_REFUSED:
    case OUTBOUND_FAILED:
    case OUTBOUND_OUTCOMES:
        break;
    }
    return EXCHANGE_FAILED;
}

static void send_question(struct question *q, uint64_t now_ms);

/* Worth another try: nothing was done, or the backend's own gateway said so. */
static bool is_retried(const struct question *q, const struct outbound_result *r)
{
    bool is_refused = r->outcome == OUTBOUND_FAILED ||
                      (r->outcome == OUTBOUND_ANSWERED && r->status >= 502 && r->status <= 504);
    return is_refused && q->n_left && r->now_ms < q->by_ms;
}

static void on_done(void *ctx, const struct outbound_result *r)
{
    struct question *q = ctx;
    struct upstreams *u = q->of;
    struct target *t = &u->targets[q->target];
    bool is_good = r->outcome == OUTBOUND_ANSWERED && r->status < 500;
    if (is_retried(q, r)) {
        send_question(q, r->now_ms);
        return;
    }
    t->n_inflight--;
    note_outcome(t, is_good, r->now_ms, q->x->name);
    struct exchange_answer *a = new_answer(q->x, outcome_of(r->outcome), r->status, r->body);
    unsigned worker = q->x->worker;
    free_question(q);
    u->answer(u->ctx, worker, a);
}

/* --- questions ----------------------------------------------------------------------------------------- */

static void add_header(struct question *q, const char *name, const char *value)
{
    struct buf line = {0};
    buf_addf(&line, "%s: %s", name, value);
    q->headers[q->n_headers++] = mem_dup(line.p, line.len);
    explicit_bzero(line.p, line.len);
    buf_fini(&line);
}

/* X-Signature: t=SECONDS,v1=HEX, the HMAC-SHA256 of SECONDS.BODY. */
static void add_signature(struct question *q, int64_t wall_ms)
{
    struct sign_key key;
    char seconds[24];
    char value[128];
    char hex[SIGN_HEX];
    snprintf(seconds, sizeof seconds, "%lld", (long long)(wall_ms / 1000));
    struct span parts[] = {span_str(seconds), span_str("."), buf_span(&q->x->body)};
    sign_key_init(&key, span_str(q->x->secret));
    sign_hex(&key, parts, COUNT_OF(parts), hex);
    explicit_bzero(&key, sizeof key);
    snprintf(value, sizeof value, "t=%s,v1=%.*s", seconds, SIGN_HEX, hex);
    add_header(q, "X-Signature", value);
}

static void send_question(struct question *q, uint64_t now_ms)
{
    struct outbound_request request = {.url = q->x->url,
        .headers = (const char *const *)q->headers,
        .n_headers = q->n_headers,
        .body = buf_span(&q->x->body),
        .timeout_ms = (uint32_t)(q->by_ms > now_ms ? q->by_ms - now_ms : 1),
        .answer_bytes = q->x->answer_bytes,
        .done = on_done,
        .ctx = q};
    q->n_left--;
    outbound_post(q->of->outbound, &request);
}

static void refuse(struct upstreams *u, struct exchange *x, enum exchange_outcome outcome)
{
    unsigned worker = x->worker;
    struct exchange_answer *a = new_answer(x, outcome, 0, span_of(NULL, 0));
    exchange_free(x);
    u->answer(u->ctx, worker, a);
}

void upstreams_ask(struct upstreams *u, struct exchange *x, uint64_t now_ms, int64_t wall_ms)
{
    size_t target = find_target(u, x->url);
    struct target *t = &u->targets[target == URLS_MAX ? 0 : target];
    if (target == URLS_MAX || t->n_inflight >= x->max_inflight) {
        refuse(u, x, EXCHANGE_BUSY);
        return;
    }
    if (t->open_until_ms && (now_ms < t->open_until_ms || t->n_inflight)) {
        refuse(u, x, EXCHANGE_OPEN);
        return;
    }
    struct question *q = mem_zero(sizeof *q);
    q->of = u;
    q->x = x;
    q->target = target;
    q->n_left = 1 + x->retries;
    q->by_ms = now_ms + x->timeout_ms;
    list_append(&u->questions, &q->node);
    t->n_inflight++;
    add_header(q, "Content-Type", "application/json");
    add_header(q, "Idempotency-Key", x->request_id);
    if (x->secret)
        add_signature(q, wall_ms);
    if (x->authorization)
        add_header(q, "Authorization", x->authorization);
    send_question(q, now_ms);
}
