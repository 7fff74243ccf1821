/* The queue of one app and URL. */
#include "base/base.h"

#include "notify/webhook_priv.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/map.h"
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
    for (uint32_t i = 0; i < LANES; i++) {
        t->lanes[i].of = t;
        t->lanes[i].last = &t->lanes[i].first;
    }
    list_append(&w->targets, &t->node);
    return t;
}

void target_free(struct target *t)
{
    ENSURE(!t->n && !t->n_requests);
    list_remove(&t->owner->targets, &t->node);
    for (uint32_t i = 0; i < LANES; i++)
        buf_fini(&t->lanes[i].body);
    free(t->app_id);
    free(t->url);
    free(t);
}

void target_remove(struct target *t)
{
    if (t->n)
        log_event(
            LOG_WARN, "webhook_removed", "app=%s url=\"%s\" lost=%u", t->app_id, t->url, t->n);
    queue_drop_all(t, FACT_REMOVED);
    target_free(t);
}

/* A batch is to have as many events as it can, so there all go one way.  The number of lanes
 * must not change under events that wait: a channel's later ones could overtake them. */
static struct lane *lane_of(struct target *t, struct span channel)
{
    if (!t->n)
        t->n_lanes = t->webhook->batch_ms ? 1 : LANES;
    return &t->lanes[hash_bytes(0, channel) % t->n_lanes];
}

bool queue_push(struct target *t, const struct fact *f, struct span json)
{
    struct webhooks *w = t->owner;
    struct lane *l = lane_of(t, f->channel);
    if (t->n >= w->limits.queue_events || t->bytes + json.len > w->limits.queue_bytes)
        return false;
    struct event *e = mem_alloc(sizeof *e + json.len);
    *e = (struct event){
        .born_ms = w->time.now_ms, .kind = (uint8_t)f->mail.kind, .len = (uint32_t)json.len};
    memcpy(e->json, json.p, json.len);
    *l->last = e;
    l->last = &e->next;
    l->n++;
    l->bytes += e->len;
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

void queue_drop(struct lane *l, uint32_t n, enum fact_outcome outcome)
{
    struct target *t = l->of;
    struct webhooks *w = t->owner;
    while (n--) {
        struct event *e = l->first;
        ENSURE(e != NULL);
        l->first = e->next;
        if (!l->first)
            l->last = &l->first;
        l->n--;
        l->bytes -= e->len;
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

void queue_drop_all(struct target *t, enum fact_outcome outcome)
{
    for (uint32_t i = 0; i < LANES; i++)
        queue_drop(&t->lanes[i], t->lanes[i].n, outcome);
}
