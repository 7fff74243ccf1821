/* The queue of one app and URL. */
#include "base/base.h"

#include "notify/webhook_priv.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"

struct target *target_new(struct webhooks *w, const struct app *app, const struct webhook *hook)
{
    struct target *t = mem_zero(sizeof *t);
    t->owner = w;
    t->slot = app->slot;
    t->app = app;
    t->webhook = hook;
    t->app_id = mem_dup_str(app->id);
    t->url = mem_dup_str(hook->url);
    t->last = &t->first;
    list_append(&w->targets, &t->node);
    return t;
}

void target_free(struct target *t)
{
    ENSURE(!t->first && !t->is_sending);
    list_remove(&t->owner->targets, &t->node);
    buf_fini(&t->body);
    free(t->app_id);
    free(t->url);
    free(t);
}

void target_remove(struct target *t)
{
    if (t->n)
        log_event(
            LOG_WARN, "webhook_removed", "app=%s url=\"%s\" lost=%u", t->app_id, t->url, t->n);
    queue_drop(t, t->n, FACT_REMOVED);
    target_free(t);
}

bool queue_push(struct target *t, uint32_t kind, struct span json)
{
    struct webhooks *w = t->owner;
    if (t->n >= w->limits.queue_events || t->bytes + json.len > w->limits.queue_bytes)
        return false;
    struct event *e = mem_alloc(sizeof *e + json.len);
    *e =
        (struct event){.born_ms = w->time.now_ms, .kind = (uint8_t)kind, .len = (uint32_t)json.len};
    memcpy(e->json, json.p, json.len);
    *t->last = e;
    t->last = &e->next;
    t->n++;
    t->bytes += e->len;
    counter_add(&w->counts->waiting, 1);
    counter_add(&w->counts->waiting_bytes, e->len);
    return true;
}

static void observe(struct fact_counts *counts, uint64_t took_ms)
{
    unsigned bucket = 0;
    while (bucket < FACT_LATENCY_BUCKETS - 1 && took_ms > fact_latency_ms[bucket])
        bucket++;
    counter_add(&counts->latency[bucket], 1);
    counter_add(&counts->latency_ms, took_ms);
}

void queue_drop(struct target *t, uint32_t n, enum fact_outcome outcome)
{
    struct webhooks *w = t->owner;
    while (n--) {
        struct event *e = t->first;
        ENSURE(e != NULL);
        t->first = e->next;
        if (!t->first)
            t->last = &t->first;
        t->n--;
        t->bytes -= e->len;
        counter_sub(&w->counts->waiting, 1);
        counter_sub(&w->counts->waiting_bytes, e->len);
        counter_add(&w->counts->events[e->kind][outcome], 1);
        if (outcome == FACT_DELIVERED)
            observe(w->counts, w->time.now_ms - e->born_ms);
        free(e);
    }
}
