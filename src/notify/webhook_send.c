/* Requests of one app and URL: made, made again, given up. */
#include "base/base.h"

#include "notify/webhook_priv.h"

#include <stdio.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"

enum {
    BATCH_EVENTS = 100,
    BATCH_BYTES = 256 * 1024,
    FIRST_PAUSE_MS = 500,
    LONGEST_PAUSE_MS = 60 * 1000,
    USEFUL_MS = 300 * 1000, // older ones are refused by the libraries' validators
    HEADERS_MAX = 40
};

/* --- the request ------------------------------------------------------------------------------- */

static void forget_body(struct target *t)
{
    t->body.len = 0;
    t->n_sending = 0;
    t->attempt = 0;
}

/* As many of the waiting events as go into one request; they are its own until it has ended. */
static void write_body(struct target *t)
{
    struct buf *body = &t->body;
    uint32_t most = t->webhook->batch_ms ? BATCH_EVENTS : 1;
    struct event *e = t->first;
    buf_addf(body, "{\"time_ms\":%lld,\"events\":[", (long long)t->owner->time.wall_ms);
    for (t->n_sending = 0; e && t->n_sending < most; e = e->next) {
        if (t->n_sending && body->len + e->len > BATCH_BYTES)
            break;
        if (t->n_sending++)
            buf_add_char(body, ',');
        buf_add(body, e->json, e->len);
        e->is_tried = true;
    }
    buf_add_str(body, "]}");
}

/* The key and its signature of the bytes that are sent: made together at each attempt, for a
 * reload may have changed the key since the last one. */
static void sign_body(const struct target *t, struct buf *key, struct buf *signature)
{
    char hex[SIGN_HEX];
    struct span body = buf_span(&t->body);
    sign_hex(&t->app->keys[0].sign, &body, 1, hex);
    buf_addf(key, "X-Pusher-Key: %s", t->app->keys[0].key);
    buf_addf(signature, "X-Pusher-Signature: %.*s", SIGN_HEX, hex);
    buf_add_char(key, '\0');
    buf_add_char(signature, '\0');
}

static void on_done(void *ctx, const struct outbound_result *result);

static void make_request(struct target *t)
{
    const char *headers[HEADERS_MAX + 3];
    struct buf key = {0};
    struct buf signature = {0};
    size_t n = 0;
    sign_body(t, &key, &signature);
    headers[n++] = "Content-Type: application/json";
    headers[n++] = key.p;
    headers[n++] = signature.p;
    for (size_t i = 0; i < t->webhook->n_headers && i < HEADERS_MAX; i++)
        headers[n++] = t->webhook->headers[i];
    struct outbound_request request = {.url = t->url,
        .headers = headers,
        .n_headers = n,
        .body = buf_span(&t->body),
        .timeout_ms = t->owner->limits.timeout_ms,
        .done = on_done,
        .ctx = t};
    t->is_sending = true;
    t->attempt++;
    t->sent_ms = t->owner->time.now_ms;
    t->sent_wall_ms = t->owner->time.wall_ms;
    counter_add(&t->owner->counts->attempts, 1);
    t->owner->post(t->owner->outbound, &request);
    buf_fini(&key);
    buf_fini(&signature);
}

/* --- what came of it ------------------------------------------------------------------------------ */

static void note(struct target *t, const struct outbound_result *result)
{
    struct delivery d = {.wall_ms = t->sent_wall_ms,
        .url = t->url,
        .n_events = t->n_sending,
        .attempt = t->attempt,
        .took_ms = result->took_ms,
        .status = result->outcome == OUTBOUND_ANSWERED ? result->status : 0};
    snprintf(d.first, sizeof d.first, "%s", fact_event((enum fact_kind)t->first->kind));
    snprintf(d.error, sizeof d.error, "%s", result->error);
    webhooks_note(t->owner, t, &d);
}

static void log_failure(const struct target *t, const struct outbound_result *result)
{
    log_event(LOG_WARN, "webhook_failing", "app=%s url=\"%s\" status=%d error=\"%s\" waiting=%u",
        t->app_id, t->url, result->outcome == OUTBOUND_ANSWERED ? result->status : 0, result->error,
        t->n);
}

static void succeed(struct target *t)
{
    if (t->n_failures)
        log_event(LOG_INFO, "webhook_recovered", "app=%s url=\"%s\" failures=%llu lost=%llu",
            t->app_id, t->url, (unsigned long long)t->n_failures, (unsigned long long)t->n_lost);
    t->n_failures = 0;
    queue_drop(t, t->n_sending, FACT_DELIVERED);
    if (!t->n) // an overload is not over with the first that is taken
        t->n_lost = 0;
    forget_body(t);
}

/* 0.5 s, 1 s, 2 s ... 60 s by the failures in a row, whatever events they were about; each
 * between half and whole: receivers that come back are not met by all at once.  None is longer
 * than an event is tried, or there would be events that are never tried. */
static uint32_t pause_of(const struct target *t)
{
    uint32_t retry_ms = t->owner->limits.retry_ms;
    uint32_t longest = retry_ms < LONGEST_PAUSE_MS ? retry_ms : LONGEST_PAUSE_MS;
    uint32_t pause = FIRST_PAUSE_MS;
    if (t->owner->is_hurried)
        longest = pause;
    for (uint64_t n = 1; n < t->n_failures && pause < longest; n++)
        pause = pause * 2 < longest ? pause * 2 : longest;
    return pause / 2 + rand_u32() % (pause / 2 + 1);
}

static void fail(struct target *t, const struct outbound_result *result)
{
    if (!t->n_failures++)
        log_failure(t, result);
    counter_add(&t->owner->counts->failures, 1);
    t->due_ms = t->owner->time.now_ms + pause_of(t);
}

static void on_done(void *ctx, const struct outbound_result *result)
{
    struct target *t = ctx;
    t->owner->time = (struct webhook_time){result->now_ms, result->wall_ms};
    t->is_sending = false;
    note(t, result);
    bool is_taken =
        result->outcome == OUTBOUND_ANSWERED && result->status >= 200 && result->status < 300;
    if (!t->webhook) {
        queue_drop(t, is_taken ? t->n_sending : 0, FACT_DELIVERED);
        target_remove(t);
    } else if (is_taken) {
        succeed(t);
    } else {
        fail(t, result);
    }
}

/* --- when --------------------------------------------------------------------------------------------- */

/* One that was never tried is not at fault: it goes only when receivers refuse it for its age. */
static uint64_t expires_ms(const struct target *t, const struct event *e)
{
    uint64_t retry_ms = t->owner->limits.retry_ms;
    return e->born_ms + (e->is_tried || retry_ms > USEFUL_MS ? retry_ms : USEFUL_MS);
}

/* What is too old goes, and with it the body that speaks of it; what is younger goes on in a
 * body of its own. */
static void drop_expired(struct target *t)
{
    uint32_t n = 0;
    for (const struct event *e = t->first; e; e = e->next, n++)
        if (expires_ms(t, e) > t->owner->time.now_ms)
            break;
    if (!n)
        return;
    if (!t->n_lost)
        log_event(LOG_ERROR, "webhook_lost", "app=%s url=\"%s\" why=%s events=%u waiting=%u",
            t->app_id, t->url, fact_outcome_word(FACT_EXPIRED), n, t->n);
    t->n_lost += n;
    queue_drop(t, n, FACT_EXPIRED);
    forget_body(t);
}

/* When the first of the waiting events may go, as far as its batch is concerned. */
static uint64_t ready_ms(const struct target *t)
{
    bool is_full = t->n >= BATCH_EVENTS || t->bytes >= BATCH_BYTES;
    return is_full || t->owner->is_hurried || t->first->is_tried
               ? 0
               : t->first->born_ms + t->webhook->batch_ms;
}

uint64_t target_run(struct target *t)
{
    uint64_t now_ms = t->owner->time.now_ms;
    if (t->is_sending)
        return 0;
    drop_expired(t);
    if (!t->first)
        return 0;
    uint64_t due_ms = t->due_ms;
    if (!t->body.len && due_ms < ready_ms(t))
        due_ms = ready_ms(t);
    if (due_ms > now_ms)
        return due_ms < expires_ms(t, t->first) ? due_ms : expires_ms(t, t->first);
    if (!t->body.len)
        write_body(t);
    make_request(t);
    return 0;
}
