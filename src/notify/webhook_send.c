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

static void forget_body(struct lane *l)
{
    l->body.len = 0;
    l->n_sending = 0;
    l->attempt = 0;
}

/* As many of the waiting events as go into one request; they are its own until it has ended. */
static void write_body(struct lane *l)
{
    struct buf *body = &l->body;
    uint32_t most = l->of->webhook->batch_ms ? BATCH_EVENTS : 1;
    struct event *e = l->first;
    buf_addf(body, "{\"time_ms\":%lld,\"events\":[", (long long)l->of->owner->time.wall_ms);
    for (l->n_sending = 0; e && l->n_sending < most; e = e->next) {
        if (l->n_sending && body->len + e->len > BATCH_BYTES)
            break;
        if (l->n_sending++)
            buf_add_char(body, ',');
        buf_add(body, e->json, e->len);
        e->is_tried = true;
    }
    buf_add_str(body, "]}");
}

/* The key and its signature of the bytes that are sent: made together at each attempt, for a
 * reload may have changed the key since the last one. */
static void sign_body(const struct lane *l, struct buf *key, struct buf *signature)
{
    char hex[SIGN_HEX];
    const struct app_key *with = &l->of->app->keys[0];
    struct span body = buf_span(&l->body);
    sign_hex(&with->sign, &body, 1, hex);
    buf_addf(key, "X-Pusher-Key: %s", with->key);
    buf_addf(signature, "X-Pusher-Signature: %.*s", SIGN_HEX, hex);
    buf_add_char(key, '\0');
    buf_add_char(signature, '\0');
}

static void on_done(void *ctx, const struct outbound_result *result);

static void make_request(struct lane *l)
{
    struct target *t = l->of;
    struct webhooks *w = t->owner;
    const char *headers[HEADERS_MAX + 3];
    struct buf key = {0};
    struct buf signature = {0};
    size_t n = 0;
    sign_body(l, &key, &signature);
    headers[n++] = "Content-Type: application/json";
    headers[n++] = key.p;
    headers[n++] = signature.p;
    for (size_t i = 0; i < t->webhook->n_headers && i < HEADERS_MAX; i++)
        headers[n++] = t->webhook->headers[i];
    struct outbound_request request = {.url = t->url,
        .headers = headers,
        .n_headers = n,
        .body = buf_span(&l->body),
        .timeout_ms = w->limits.timeout_ms,
        .refuses_private = w->limits.refuses_private,
        .done = on_done,
        .ctx = l};
    l->is_sending = true;
    l->attempt++;
    l->sent_wall_ms = w->time.wall_ms;
    t->n_requests++;
    counter_add(&w->counts->attempts, 1);
    w->post(w->outbound, &request);
    buf_fini(&key);
    buf_fini(&signature);
}

/* --- what came of it ------------------------------------------------------------------------------ */

static void note(struct lane *l, const struct outbound_result *result)
{
    struct delivery d = {.wall_ms = l->sent_wall_ms,
        .url = l->of->url,
        .n_events = l->n_sending,
        .attempt = l->attempt,
        .took_ms = result->took_ms,
        .status = result->outcome == OUTBOUND_ANSWERED ? result->status : 0};
    snprintf(d.first, sizeof d.first, "%s", fact_event((enum fact_kind)l->first->kind));
    snprintf(d.error, sizeof d.error, "%s", result->error);
    webhooks_note(l->of->owner, l->of, &d);
}

static void log_failure(const struct target *t, const struct outbound_result *result)
{
    log_event(LOG_WARN, "webhook_failing", "app=%s url=\"%s\" status=%d error=\"%s\" waiting=%u",
        t->app_id, t->url, result->outcome == OUTBOUND_ANSWERED ? result->status : 0, result->error,
        t->n);
}

/* Something waits for another try. */
static bool is_failing(const struct target *t)
{
    for (uint32_t i = 0; i < LANES; i++)
        if (t->lanes[i].first && t->lanes[i].n_failures)
            return true;
    return false;
}

static void recover(struct target *t)
{
    log_event(LOG_INFO, "webhook_recovered", "app=%s url=\"%s\" failures=%llu lost=%llu", t->app_id,
        t->url, (unsigned long long)t->n_failures, (unsigned long long)t->n_lost);
    t->n_failures = 0;
}

static void succeed(struct lane *l)
{
    struct target *t = l->of;
    if (l->n_failures)
        target_hurry(t); // the receiver is back for the other lanes, too
    l->n_failures = 0;
    queue_drop(l, l->n_sending, FACT_DELIVERED);
    forget_body(l);
    if (t->n_failures && !is_failing(t))
        recover(t);
    if (!t->n) // an overload is not over with the first that is taken
        t->n_lost = 0;
}

/* 0.5 s, 1 s, 2 s ... 60 s by the lane's failures in a row, whatever events they were about;
 * each between half and whole: receivers that come back are not met by all at once.  None is
 * longer than an event is tried, or there would be events that are never tried. */
static uint32_t pause_of(const struct lane *l)
{
    const struct webhooks *w = l->of->owner;
    uint32_t retry_ms = w->limits.retry_ms;
    uint32_t longest = retry_ms < LONGEST_PAUSE_MS ? retry_ms : LONGEST_PAUSE_MS;
    uint32_t pause = FIRST_PAUSE_MS;
    if (w->is_hurried)
        longest = pause;
    for (uint32_t n = 1; n < l->n_failures && pause < longest; n++)
        pause = pause * 2 < longest ? pause * 2 : longest;
    return pause / 2 + rand_u32() % (pause / 2 + 1);
}

static void fail(struct lane *l, const struct outbound_result *result)
{
    struct target *t = l->of;
    if (!t->n_failures++)
        log_failure(t, result);
    counter_add(&t->owner->counts->failures, 1);
    l->n_failures++;
    l->due_ms = t->owner->time.now_ms + pause_of(l);
}

static void on_done(void *ctx, const struct outbound_result *result)
{
    struct lane *l = ctx;
    struct target *t = l->of;
    bool is_taken =
        result->outcome == OUTBOUND_ANSWERED && result->status >= 200 && result->status < 300;
    t->owner->time = (struct webhook_time){result->now_ms, result->wall_ms};
    l->is_sending = false;
    t->n_requests--;
    note(l, result);
    if (t->webhook && is_taken) {
        succeed(l);
    } else if (t->webhook) {
        fail(l, result);
    } else {
        queue_drop(l, is_taken ? l->n_sending : 0, FACT_DELIVERED);
        forget_body(l);
        if (!t->n_requests)
            target_remove(t);
    }
}

/* --- when --------------------------------------------------------------------------------------------- */

/* One that was never tried is not at fault: it goes only when receivers refuse it for its age. */
static uint64_t expires_ms(const struct lane *l, const struct event *e)
{
    uint64_t retry_ms = l->of->owner->limits.retry_ms;
    return e->born_ms + (e->is_tried || retry_ms > USEFUL_MS ? retry_ms : USEFUL_MS);
}

/* What is too old goes, and with it the body that speaks of it; what is younger goes on in a
 * body of its own. */
static void drop_expired(struct lane *l)
{
    struct target *t = l->of;
    uint32_t n = 0;
    for (const struct event *e = l->first; e; e = e->next, n++)
        if (expires_ms(l, e) > t->owner->time.now_ms)
            break;
    if (!n)
        return;
    if (!t->n_lost)
        log_event(LOG_ERROR, "webhook_lost", "app=%s url=\"%s\" why=%s events=%u waiting=%u",
            t->app_id, t->url, fact_outcome_word(FACT_EXPIRED), n, t->n);
    t->n_lost += n;
    queue_drop(l, n, FACT_EXPIRED);
    forget_body(l);
}

/* When the first of the waiting events may go, as far as its batch is concerned. */
static uint64_t ready_ms(const struct lane *l)
{
    bool is_full = l->n >= BATCH_EVENTS || l->bytes >= BATCH_BYTES;
    bool is_waiting = !is_full && !l->first->is_tried && !l->of->owner->is_hurried;
    return is_waiting ? l->first->born_ms + l->of->webhook->batch_ms : 0;
}

static uint64_t run_lane(struct lane *l)
{
    uint64_t now_ms = l->of->owner->time.now_ms;
    if (l->is_sending || !l->first)
        return 0;
    drop_expired(l);
    if (!l->first)
        return 0;
    uint64_t due_ms = l->due_ms;
    if (!l->body.len && due_ms < ready_ms(l))
        due_ms = ready_ms(l);
    if (due_ms > now_ms)
        return due_ms < expires_ms(l, l->first) ? due_ms : expires_ms(l, l->first);
    if (!l->body.len)
        write_body(l);
    make_request(l);
    return 0;
}

uint64_t target_run(struct target *t)
{
    uint64_t due_ms = 0;
    for (uint32_t i = 0; t->n && i < LANES; i++) {
        uint64_t l_ms = run_lane(&t->lanes[i]);
        if (l_ms && (!due_ms || l_ms < due_ms))
            due_ms = l_ms;
    }
    return due_ms;
}

void target_hurry(struct target *t)
{
    for (uint32_t i = 0; i < LANES; i++)
        t->lanes[i].due_ms = 0;
}
