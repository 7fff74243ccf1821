/* Visits by key, channels by name. */
#include "base/base.h"

#include "gateway/ledger.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "wire/json.h"

static const char anonymous[] = "anonymous"; // as a role

struct visit {
    struct map_node node; // hash: of the key
    uint64_t key;
    enum bridge_endpoint endpoint;
    int64_t since_ms;
    char *user, *role, *client;
};

/* A name and how often it is there. */
struct entry {
    struct map_node node;
    uint32_t n;
    size_t len;
    char name[];
};

struct ledger {
    pthread_mutex_t lock; // of all below
    struct map visits;
    struct map channels, users, roles; // entries
    struct ledger_figures figures;     // but users and channels
};

struct ledger *ledger_new(void)
{
    struct ledger *l = mem_zero(sizeof *l);
    int rc = pthread_mutex_init(&l->lock, NULL);
    ENSURE(rc == 0);
    return l;
}

static void free_visit(struct visit *v)
{
    free(v->user);
    free(v->role);
    free(v->client);
    free(v);
}

static void free_entries(struct map *m)
{
    struct map_node *node;
    for (struct map_walk at = {0}; (node = map_walk(m, &at)); at = (struct map_walk){0}) {
        map_remove(m, node);
        free(CONTAINER_OF(node, struct entry, node));
    }
    map_fini(m);
}

void ledger_free(struct ledger *l)
{
    struct map_node *node;
    if (!l)
        return;
    for (struct map_walk at = {0}; (node = map_walk(&l->visits, &at)); at = (struct map_walk){0}) {
        map_remove(&l->visits, node);
        free_visit(CONTAINER_OF(node, struct visit, node));
    }
    map_fini(&l->visits);
    free_entries(&l->channels);
    free_entries(&l->users);
    free_entries(&l->roles);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

/* --- names that are counted ------------------------------------------------------------------------- */

static struct entry *find_entry(const struct map *m, struct span name)
{
    struct map_node *node = map_first(m, hash_bytes(0, name));
    for (; node; node = map_next(node)) {
        struct entry *e = CONTAINER_OF(node, struct entry, node);
        if (span_eq(span_of(e->name, e->len), name))
            return e;
    }
    return NULL;
}

static void add_entry(struct map *m, struct span name)
{
    struct entry *e = find_entry(m, name);
    if (!e) {
        e = mem_zero(sizeof *e + name.len);
        e->len = name.len;
        memcpy(e->name, name.p, name.len);
        map_add(m, &e->node, hash_bytes(0, name));
    }
    e->n++;
}

static void remove_entry(struct map *m, struct span name)
{
    struct entry *e = find_entry(m, name);
    ENSURE(e != NULL);
    if (--e->n > 0)
        return;
    map_remove(m, &e->node);
    free(e);
}

/* --- visits ------------------------------------------------------------------------------------------ */

static uint32_t hash_key(uint64_t key)
{
    return hash_bytes(0, span_of((const char *)&key, sizeof key));
}

static struct visit *find_visit(const struct ledger *l, uint64_t key)
{
    struct map_node *node = map_first(&l->visits, hash_key(key));
    for (; node; node = map_next(node)) {
        struct visit *v = CONTAINER_OF(node, struct visit, node);
        if (v->key == key)
            return v;
    }
    return NULL;
}

static char *copy(struct span text)
{
    return mem_dup(text.len ? text.p : "", text.len);
}

bool ledger_enter(struct ledger *l, uint64_t key, const struct ledger_visit *visit, uint32_t limit)
{
    pthread_mutex_lock(&l->lock);
    bool ok = l->visits.n < limit;
    if (ok) {
        struct visit *v = mem_zero(sizeof *v);
        v->key = key;
        v->endpoint = visit->endpoint;
        v->since_ms = visit->since_ms;
        v->user = copy(visit->user);
        v->role = copy(visit->role);
        v->client = copy(visit->client);
        map_add(&l->visits, &v->node, hash_key(key));
        l->figures.n[v->endpoint]++;
        l->figures.n_ever[v->endpoint]++;
        l->figures.last_ms = visit->since_ms;
        if (v->user[0])
            add_entry(&l->users, span_str(v->user));
        add_entry(&l->roles, span_str(v->role[0] ? v->role : anonymous));
    }
    pthread_mutex_unlock(&l->lock);
    return ok;
}

void ledger_leave(struct ledger *l, uint64_t key)
{
    pthread_mutex_lock(&l->lock);
    struct visit *v = find_visit(l, key);
    ENSURE(v != NULL);
    l->figures.n[v->endpoint]--;
    if (v->user[0])
        remove_entry(&l->users, span_str(v->user));
    remove_entry(&l->roles, span_str(v->role[0] ? v->role : anonymous));
    map_remove(&l->visits, &v->node);
    free_visit(v);
    pthread_mutex_unlock(&l->lock);
}

void ledger_join(struct ledger *l, struct span channel)
{
    pthread_mutex_lock(&l->lock);
    add_entry(&l->channels, channel);
    pthread_mutex_unlock(&l->lock);
}

void ledger_part(struct ledger *l, struct span channel)
{
    pthread_mutex_lock(&l->lock);
    remove_entry(&l->channels, channel);
    pthread_mutex_unlock(&l->lock);
}

/* --- what is told ------------------------------------------------------------------------------------ */

void ledger_read(struct ledger *l, struct ledger_figures *out)
{
    pthread_mutex_lock(&l->lock);
    *out = l->figures;
    out->n_users = l->users.n;
    out->n_channels = l->channels.n;
    pthread_mutex_unlock(&l->lock);
}

void ledger_add_roles(struct ledger *l, struct buf *out)
{
    struct map_walk walk = {0};
    struct map_node *node;
    pthread_mutex_lock(&l->lock);
    buf_add_char(out, '{');
    for (const char *before = ""; (node = map_walk(&l->roles, &walk)); before = ",") {
        const struct entry *e = CONTAINER_OF(node, struct entry, node);
        buf_add_str(out, before);
        json_quote(out, span_of(e->name, e->len));
        buf_addf(out, ":%u", e->n);
    }
    buf_add_char(out, '}');
    pthread_mutex_unlock(&l->lock);
}

void ledger_add_channels(struct ledger *l, struct buf *out)
{
    struct map_walk walk = {0};
    struct map_node *node;
    pthread_mutex_lock(&l->lock);
    buf_add_char(out, '[');
    for (const char *before = "{\"channel\":"; (node = map_walk(&l->channels, &walk));
         before = ",{\"channel\":") {
        const struct entry *h = CONTAINER_OF(node, struct entry, node);
        buf_add_str(out, before);
        json_quote(out, span_of(h->name, h->len));
        buf_addf(out, ",\"client_count\":%u}", h->n);
    }
    buf_add_char(out, ']');
    pthread_mutex_unlock(&l->lock);
}

void ledger_add_users(struct ledger *l, struct buf *out)
{
    struct map_walk walk = {0};
    struct map_node *node;
    pthread_mutex_lock(&l->lock);
    buf_add_char(out, '[');
    for (const char *before = "{\"user_id\":"; (node = map_walk(&l->visits, &walk));
         before = ",{\"user_id\":") {
        const struct visit *v = CONTAINER_OF(node, struct visit, node);
        char since[25];
        clock_format(v->since_ms, since);
        buf_add_str(out, before);
        if (v->user[0])
            json_quote(out, span_str(v->user));
        else
            buf_add_str(out, "null");
        buf_add_str(out, ",\"role\":");
        json_quote(out, span_str(v->role[0] ? v->role : anonymous));
        buf_add_str(out, ",\"client_id\":");
        json_quote(out, span_str(v->client));
        buf_addf(out, ",\"endpoint\":\"%s\",\"since\":\"%s\"}", bridge_path(v->endpoint), since);
    }
    buf_add_char(out, ']');
    pthread_mutex_unlock(&l->lock);
}
