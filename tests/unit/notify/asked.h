/* asked.h - webhooks with neither network nor clock: requests are kept instead of made, the
 * test answers them when and how it likes, and turns the time by hand.
 *
 * The app is made anew at each stage_use and the one before is freed, as a reload does, so
 * that a sanitizer sees whoever still holds it.
 */
#ifndef ASKED_H
#define ASKED_H

#include "base/base.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "notify/webhook_priv.h" // what a queue holds has no other door
#include "test.h"

enum { ASKED_MAX = 16384, START_MS = 1000000 };

struct asked {
    char *body;
    char *headers; // one a line
    char *url;
    uint64_t at_ms;
    void (*done)(void *ctx, const struct outbound_result *result); // NULL = it has been answered
    void *ctx;
};

struct outbound {
    struct asked items[ASKED_MAX];
    unsigned n;
};

static struct {
    struct webhooks *hooks;
    struct outbound outbound;
    struct fact_counts counts;
    struct webhook_limits limits;
    uint64_t now_ms;
    struct app *app;
    const char *key, *secret; // of the next stage_use
    int log, stderr_fd;
} stage;

static inline void take_request(struct outbound *o, const struct outbound_request *r)
{
    struct buf headers = {0};
    ENSURE(o->n < ASKED_MAX);
    for (size_t i = 0; i < r->n_headers; i++)
        buf_addf(&headers, "%s\n", r->headers[i]);
    o->items[o->n++] = (struct asked){.body = mem_dup(r->body.p, r->body.len),
        .headers = mem_dup(headers.p, headers.len),
        .url = mem_dup_str(r->url),
        .at_ms = stage.now_ms,
        .done = r->done,
        .ctx = r->ctx};
    buf_fini(&headers);
}

static inline struct webhook_time stage_time(void)
{
    return (struct webhook_time){stage.now_ms, 1700000000000 + (int64_t)stage.now_ms};
}

static inline void stage_begin(void)
{
    memset(&stage, 0, sizeof stage);
    stage.now_ms = START_MS;
    stage.key = "k1";
    stage.secret = "s1";
    stage.limits = (struct webhook_limits){.timeout_ms = 4000,
        .retry_ms = 300000,
        .grace_ms = 3000,
        .queue_events = 10000,
        .queue_bytes = 1 << 24};
    stage.log = memfd_create("log", MFD_CLOEXEC);
    ENSURE(stage.log >= 0);
    log_setup(LOG_INFO, LOG_LOGFMT);
    stage.hooks = webhooks_new(take_request, &stage.outbound, &stage.counts);
}

/* Standard error goes to the stage's log only while the machine runs. */
static inline void log_here(void)
{
    fflush(stderr);
    stage.stderr_fd = dup(STDERR_FILENO);
    ENSURE(stage.stderr_fd >= 0 && dup2(stage.log, STDERR_FILENO) >= 0);
}

static inline void log_there(void)
{
    ENSURE(dup2(stage.stderr_fd, STDERR_FILENO) >= 0);
    close(stage.stderr_fd);
}

/* All that was logged so far; until the next call. */
static inline const char *stage_log(void)
{
    static char text[65536];
    ssize_t n = pread(stage.log, text, sizeof text - 1, 0);
    ENSURE(n >= 0);
    text[n] = '\0';
    return text;
}

static inline unsigned n_logged(const char *event)
{
    unsigned n = 0;
    char word[64];
    snprintf(word, sizeof word, "event=%s ", event);
    for (const char *at = stage_log(); (at = strstr(at, word)); at++)
        n++;
    return n;
}

static inline void free_stage_app(struct app *app)
{
    if (!app)
        return;
    for (size_t i = 0; i < app->n_webhooks; i++)
        free(app->webhooks[i].url);
    free(app->webhooks);
    free(app->keys[0].key);
    free(app->keys);
    free(app->id);
    free(app);
}

/* A configuration whose one app has these webhooks; of each, url, facts (0 = all) and batch_ms
 * count. */
static inline void stage_use(const struct webhook *hooks, size_t n)
{
    static char any[] = "";
    struct app *old = stage.app;
    struct app *app = mem_zero(sizeof *app);
    app->id = mem_dup_str("a1");
    app->keys = mem_zero(sizeof *app->keys);
    app->n_keys = 1;
    app->keys[0].key = mem_dup_str(stage.key);
    sign_key_init(&app->keys[0].sign, span_str(stage.secret));
    app->webhooks = mem_array(NULL, n + 1, sizeof *app->webhooks);
    app->n_webhooks = n;
    for (size_t i = 0; i < n; i++) {
        app->webhooks[i] = hooks[i];
        app->webhooks[i].url = mem_dup_str(hooks[i].url);
        app->webhooks[i].channel_prefix = app->webhooks[i].channel_suffix = any;
        if (!hooks[i].facts)
            app->webhooks[i].facts = (1U << FACT_KINDS) - 1;
    }
    stage.app = app;
    log_here();
    webhooks_use(stage.hooks, app, 1, &stage.limits, stage_time());
    log_there();
    free_stage_app(old);
}

/* One webhook, at http://h/. */
static inline void stage_use_one(uint32_t batch_ms)
{
    static char url[] = "http://h/";
    struct webhook hook = {.url = url, .batch_ms = batch_ms};
    stage_use(&hook, 1);
}

static inline int stage_run(void)
{
    log_here();
    int wait_ms = webhooks_run(stage.hooks, stage_time());
    log_there();
    return wait_ms;
}

static inline void stage_take(enum fact_kind kind, const char *channel)
{
    struct fact f = {.mail.kind = kind, .channel = span_str(channel)};
    log_here();
    webhooks_take(stage.hooks, fact_copy(&f), stage_time());
    log_there();
}

static inline void stage_occupy(const char *channel)
{
    stage_take(FACT_OCCUPIED, channel);
}

/* Time goes on, and whatever wants to be called in between is called when it wants to be. */
static inline void stage_pass(uint64_t ms)
{
    uint64_t end_ms = stage.now_ms + ms;
    for (;;) {
        int wait_ms = stage_run();
        if (wait_ms < 0 || stage.now_ms + (unsigned)wait_ms > end_ms)
            break;
        /* A machine that wants to be called at once again and again makes no progress. */
        ENSURE(wait_ms > 0 || stage.now_ms < end_ms);
        stage.now_ms += (unsigned)wait_ms;
        if (stage.now_ms == end_ms)
            break;
    }
    stage.now_ms = end_ms;
    (void)stage_run();
}

static inline unsigned n_open(void)
{
    unsigned n = 0;
    for (unsigned i = 0; i < stage.outbound.n; i++)
        n += stage.outbound.items[i].done != NULL;
    return n;
}

/* status 0: it times out. */
static inline void stage_answer(unsigned i, int status)
{
    struct asked *a = &stage.outbound.items[i];
    ENSURE(i < stage.outbound.n && a->done);
    struct outbound_result result = {.outcome = status ? OUTBOUND_ANSWERED : OUTBOUND_TIMED_OUT,
        .status = status,
        .error = status ? "" : "late",
        .took_ms = (uint32_t)(stage.now_ms - a->at_ms),
        .now_ms = stage.now_ms,
        .wall_ms = stage_time().wall_ms};
    void (*done)(void *ctx, const struct outbound_result *) = a->done;
    a->done = NULL;
    log_here();
    done(a->ctx, &result);
    log_there();
}

/* Answers all that is under way, and runs. */
static inline void stage_answer_all(int status)
{
    for (unsigned i = 0; i < stage.outbound.n; i++)
        if (stage.outbound.items[i].done)
            stage_answer(i, status);
    (void)stage_run();
}

static inline uint64_t n_became(enum fact_outcome outcome)
{
    uint64_t n = 0;
    for (int kind = 0; kind < FACT_KINDS; kind++)
        n += counter_get(&stage.counts.events[kind][outcome]);
    return n;
}

static inline uint64_t n_waiting(void)
{
    return counter_get(&stage.counts.waiting);
}

/* Request i speaks of that channel. */
static inline bool speaks_of(unsigned i, const char *channel)
{
    char text[128];
    snprintf(text, sizeof text, "\"channel\":\"%s\"", channel);
    return i < stage.outbound.n && strstr(stage.outbound.items[i].body, text);
}

static inline void stage_end(void)
{
    log_here();
    webhooks_free(stage.hooks);
    log_there();
    CHECK_EQ(n_waiting(), 0);
    CHECK_EQ(counter_get(&stage.counts.waiting_bytes), 0);
    free_stage_app(stage.app);
    for (unsigned i = 0; i < stage.outbound.n; i++) {
        free(stage.outbound.items[i].body);
        free(stage.outbound.items[i].headers);
        free(stage.outbound.items[i].url);
    }
    close(stage.log);
}

#endif
