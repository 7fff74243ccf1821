/* A configuration as data: its life, and finding an app in it. */
#include "base/base.h"

#include "serve/config.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct config_entry {
    struct span name;
    const struct app *app;
};

/* Sorted arrays: a reload builds them once, every connection and request searches them. */
struct config_index {
    struct config_entry *ids, *keys;
    size_t n_ids, n_keys;
    uint32_t *slots; // place in apps + 1; 0 where the slot's app is not in this configuration
    size_t n_slots;
};

static int compare_spans(struct span a, struct span b)
{
    int order = memcmp(a.p, b.p, a.len < b.len ? a.len : b.len);
    if (order != 0)
        return order;
    return (a.len > b.len) - (a.len < b.len);
}

static int compare_entries(const void *a, const void *b)
{
    const struct config_entry *x = a;
    const struct config_entry *y = b;
    return compare_spans(x->name, y->name);
}

static const struct app *find_entry(const struct config_entry *entries, size_t n, struct span name)
{
    struct config_entry wanted = {name.len ? name : span_of("", 0), NULL};
    if (n == 0)
        return NULL;
    const struct config_entry *found =
        bsearch(&wanted, entries, n, sizeof *entries, compare_entries);
    return found ? found->app : NULL;
}

static void free_index(struct config_index *index)
{
    if (!index)
        return;
    free(index->ids);
    free(index->keys);
    free(index->slots);
    free(index);
}

bool config_needs_store(const struct config *c)
{
    for (size_t i = 0; i < c->n_apps; i++)
        for (size_t k = 0; k < c->apps[i].n_history; k++)
            if (c->apps[i].history[k].durability)
                return true;
    return false;
}

struct config *config_new(void)
{
    struct config *c = mem_zero(sizeof *c);
    atomic_init(&c->refs, 1);
    return c;
}

void config_index_apps(struct config *c)
{
    struct config_index *index = mem_zero(sizeof *index);
    size_t n_keys = 0;
    for (size_t i = 0; i < c->n_apps; i++) {
        n_keys += c->apps[i].n_keys;
        if (c->apps[i].slot >= index->n_slots)
            index->n_slots = c->apps[i].slot + 1;
    }
    index->ids = mem_array(NULL, c->n_apps + 1, sizeof *index->ids);
    index->keys = mem_array(NULL, n_keys + 1, sizeof *index->keys);
    index->slots = mem_zero((index->n_slots + 1) * sizeof *index->slots);
    for (size_t i = 0; i < c->n_apps; i++) {
        const struct app *app = &c->apps[i];
        index->ids[index->n_ids++] = (struct config_entry){span_str(app->id), app};
        index->slots[app->slot] = (uint32_t)i + 1;
        for (size_t k = 0; k < app->n_keys; k++)
            index->keys[index->n_keys++] = (struct config_entry){span_str(app->keys[k].key), app};
    }
    qsort(index->ids, index->n_ids, sizeof *index->ids, compare_entries);
    qsort(index->keys, index->n_keys, sizeof *index->keys, compare_entries);
    free_index(c->index);
    c->index = index;
}

static void free_webhook(struct webhook *w)
{
    free(w->url);
    free(w->channel_prefix);
    free(w->channel_suffix);
    for (size_t i = 0; i < w->n_headers; i++)
        free(w->headers[i]);
    free(w->headers);
}

void config_app_fini(struct app *app)
{
    for (size_t i = 0; i < app->n_keys; i++) {
        explicit_bzero(app->keys[i].secret, strlen(app->keys[i].secret));
        free(app->keys[i].secret);
        free(app->keys[i].key);
    }
    if (app->keys)
        explicit_bzero(app->keys, app->n_keys * sizeof *app->keys);
    free(app->keys);
    for (size_t i = 0; i < app->n_allowed_origins; i++)
        free(app->allowed_origins[i]);
    free(app->allowed_origins);
    for (size_t i = 0; i < app->n_webhooks; i++)
        free_webhook(&app->webhooks[i]);
    free(app->webhooks);
    for (size_t i = 0; i < app->n_history; i++)
        free(app->history[i].pattern);
    free(app->history);
    free(app->id);
    memset(app, 0, sizeof *app);
}

void config_hold(struct config *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
}

bool config_reached(struct config *c)
{
    return atomic_fetch_sub_explicit(&c->awaited, 1, memory_order_acq_rel) == 1;
}

void config_drop(struct config *c)
{
    if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < c->n_apps; i++)
        config_app_fini(&c->apps[i]);
    free(c->apps);
    free_index(c->index);
    gateway_free(c->gateway);
    free(c->host);
    free(c->path_prefix);
    free(c->tls.cert);
    free(c->store.path);
    free(c->tls.key);
    free(c->debug.echo_path);
    free(c->debug.worker_path);
    free(c);
}

const struct app *config_app_by_id(const struct config *c, struct span id)
{
    return find_entry(c->index->ids, c->index->n_ids, id);
}

const struct app *config_app_by_key(const struct config *c, struct span key)
{
    return find_entry(c->index->keys, c->index->n_keys, key);
}

const struct app *config_app_by_slot(const struct config *c, uint32_t slot)
{
    uint32_t place = slot < c->index->n_slots ? c->index->slots[slot] : 0;
    return place ? &c->apps[place - 1] : NULL;
}
