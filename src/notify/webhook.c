/* Webhooks: which fact goes where, and what is known of past deliveries. */
#include "base/base.h"

#include "notify/webhook.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "notify/webhook_priv.h"
#include "wire/json.h"

struct webhooks *webhooks_new(webhook_post_fn post, struct outbound *to, struct fact_counts *counts)
{
    struct webhooks *w = mem_zero(sizeof *w);
    w->post = post;
    w->outbound = to;
    w->counts = counts;
    return w;
}

static struct target *target_at(struct list_node *node)
{
    return CONTAINER_OF(node, struct target, node);
}

void webhooks_free(struct webhooks *w)
{
    struct fact *f;
    while ((f = grace_next(&w->grace, UINT64_MAX)))
        fact_free(f);
    webhooks_abandon(w);
    while (w->targets.first) {
        struct target *t = target_at(w->targets.first);
        t->n_requests = 0; // the outbound is gone
        target_free(t);
    }
    for (uint32_t i = 0; i < w->n_recent; i++) {
        for (uint32_t k = 0; w->recent[i] && k < DELIVERIES_KEPT; k++)
            free(w->recent[i]->items[k].url);
        free(w->recent[i]);
    }
    free(w->recent);
    free(w);
}

/* --- configuration --------------------------------------------------------------------------------- */

static struct target *find_target(struct webhooks *w, uint32_t slot, const char *url)
{
    for (struct list_node *n = w->targets.first; n; n = n->next) {
        struct target *t = target_at(n);
        if (t->slot == slot && !t->webhook && strcmp(t->url, url) == 0)
            return t;
    }
    return NULL;
}

static void drop_removed(struct webhooks *w)
{
    struct list_node *next;
    for (struct list_node *n = w->targets.first; n; n = next) {
        struct target *t = target_at(n);
        next = n->next;
        if (!t->webhook && !t->n_requests) // else it goes with its last answer
            target_remove(t);
    }
}

void webhooks_use(struct webhooks *w, const struct app *apps, size_t n,
    const struct webhook_limits *limits, struct webhook_time time)
{
    w->limits = *limits;
    w->grace.grace_ms = limits->grace_ms;
    w->time = time;
    for (struct list_node *node = w->targets.first; node; node = node->next) {
        target_at(node)->app = NULL;
        target_at(node)->webhook = NULL;
    }
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < apps[i].n_webhooks; k++) {
            const struct webhook *hook = &apps[i].webhooks[k];
            struct target *t = find_target(w, apps[i].slot, hook->url);
            if (!t)
                t = target_new(w, &apps[i], hook);
            t->app = &apps[i];
            t->webhook = hook;
        }
    drop_removed(w);
}

/* --- facts -------------------------------------------------------------------------------------------- */

static void tell(struct webhooks *w, struct fact *f)
{
    struct buf json = {0};
    event_write(f, &json);
    for (struct list_node *n = w->targets.first; n; n = n->next) {
        struct target *t = target_at(n);
        if (t->slot != f->app || !t->webhook || !webhook_wants(t->webhook, f))
            continue;
        if (queue_push(t, f, buf_span(&json)))
            continue;
        if (!t->n_lost++)
            log_event(LOG_ERROR, "webhook_lost", "app=%s url=\"%s\" why=overflowed waiting=%u",
                t->app_id, t->url, t->n);
        counter_add(&w->counts->events[f->mail.kind][FACT_OVERFLOWED], 1);
    }
    buf_fini(&json);
    fact_free(f);
}

void webhooks_take(struct webhooks *w, struct fact *f, struct webhook_time time)
{
    unsigned undone;
    uint32_t kind = f->mail.kind;
    w->time = time;
    struct fact *now = grace_take(&w->grace, f, time.now_ms, &undone);
    if (now)
        tell(w, now);
    if (!undone)
        return;
    uint32_t other = kind == FACT_OCCUPIED ? FACT_VACATED : FACT_MEMBER_REMOVED;
    counter_add(&w->counts->events[kind][FACT_SUPPRESSED], 1);
    counter_add(&w->counts->events[other][FACT_SUPPRESSED], 1);
}

int webhooks_run(struct webhooks *w, struct webhook_time time)
{
    struct fact *f;
    struct list_node *next;
    w->time = time;
    while ((f = grace_next(&w->grace, time.now_ms)))
        tell(w, f);
    uint64_t due_ms = grace_due_ms(&w->grace);
    for (struct list_node *n = w->targets.first; n; n = next) {
        next = n->next;
        uint64_t t_ms = target_at(n)->webhook ? target_run(target_at(n)) : 0;
        if (t_ms && (!due_ms || t_ms < due_ms))
            due_ms = t_ms;
    }
    if (!due_ms)
        return -1;
    return due_ms <= time.now_ms ? 0 : (int)(due_ms - time.now_ms);
}

/* --- the end ------------------------------------------------------------------------------------------- */

void webhooks_hurry(struct webhooks *w, struct webhook_time time)
{
    struct fact *f;
    w->time = time;
    while ((f = grace_next(&w->grace, UINT64_MAX)))
        tell(w, f);
    w->grace.grace_ms = 0;
    w->is_hurried = true;
    for (struct list_node *n = w->targets.first; n; n = n->next)
        target_hurry(target_at(n));
}

bool webhooks_is_idle(const struct webhooks *w)
{
    return !counter_get(&w->counts->waiting) && !w->grace.order.n;
}

void webhooks_abandon(struct webhooks *w)
{
    for (struct list_node *n = w->targets.first; n; n = n->next) {
        struct target *t = target_at(n);
        if (!t->n)
            continue;
        log_event(
            LOG_ERROR, "webhook_abandoned", "app=%s url=\"%s\" events=%u", t->app_id, t->url, t->n);
        queue_drop_all(t, FACT_ABANDONED);
    }
}

/* --- past deliveries -------------------------------------------------------------------------------------- */

void webhooks_note(struct webhooks *w, const struct target *t, const struct delivery *d)
{
    if (t->slot >= w->n_recent) {
        w->recent = mem_array(w->recent, t->slot + 1, sizeof *w->recent);
        while (w->n_recent <= t->slot)
            w->recent[w->n_recent++] = NULL;
    }
    if (!w->recent[t->slot])
        w->recent[t->slot] = mem_zero(sizeof(struct recent));
    struct delivery *to = &w->recent[t->slot]->items[w->recent[t->slot]->n++ % DELIVERIES_KEPT];
    free(to->url);
    *to = *d;
    to->url = mem_dup_str(d->url);
}

static void describe_delivery(const struct delivery *d, struct buf *out)
{
    char when[25];
    clock_format(d->wall_ms, when);
    buf_addf(out, "{\"time\":\"%s\",\"url\":", when);
    json_quote(out, span_str(d->url));
    buf_addf(out,
        ",\"event\":\"%s\",\"events\":%u,\"attempt\":%u,\"status\":%d,\"took_ms\":%u,\"error\":",
        d->first, d->n_events, d->attempt, d->status, d->took_ms);
    json_quote(out, span_str(d->error));
    buf_add_char(out, '}');
}

static void describe_target(const struct target *t, struct buf *out)
{
    buf_add_str(out, "{\"url\":");
    json_quote(out, span_str(t->url));
    buf_addf(out, ",\"waiting\":%u,\"waiting_bytes\":%u,\"failures\":%llu,\"lost\":%llu}", t->n,
        t->bytes, (unsigned long long)t->n_failures, (unsigned long long)t->n_lost);
}

void webhooks_describe(const struct webhooks *w, uint32_t slot, struct buf *out)
{
    const struct recent *recent = slot < w->n_recent ? w->recent[slot] : NULL;
    uint32_t n = recent ? recent->n : 0;
    bool is_first = true;
    buf_add_str(out, "{\"webhooks\":[");
    for (struct list_node *node = w->targets.first; node; node = node->next) {
        const struct target *t = target_at(node);
        if (t->slot != slot || !t->webhook)
            continue;
        if (!is_first)
            buf_add_char(out, ',');
        is_first = false;
        describe_target(t, out);
    }
    buf_add_str(out, "],\"deliveries\":[");
    for (uint32_t i = 0; i < n && i < DELIVERIES_KEPT; i++) {
        if (i)
            buf_add_char(out, ',');
        describe_delivery(&recent->items[(n - 1 - i) % DELIVERIES_KEPT], out);
    }
    buf_add_str(out, "]}");
}
