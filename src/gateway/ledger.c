/* Visits by key, channels by name. */
#include "base/base.h"

#include "gateway/ledger.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/names.h"
#include "wire/json.h"

static const char anonymous[] = "anonymous"; // as a role

struct visit {
    struct map_node node; // hash: of the key
    uint64_t key;
    enum bridge_endpoint endpoint;
    int64_t since_ms;
    char *user, *role, *client;
};

struct ledger {
    pthread_mutex_t lock; // of all below
    struct map visits;
    struct names channels, users, roles;
    struct ledger_figures figures; // but users and channels
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
    names_fini(&l->channels);
    names_fini(&l->users);
    names_fini(&l->roles);
    pthread_mutex_destroy(&l->lock);
    free(l);
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
            (void)names_add(&l->users, 0, span_str(v->user));
        (void)names_add(&l->roles, 0, span_str(v->role[0] ? v->role : anonymous));
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
        (void)names_remove(&l->users, 0, span_str(v->user));
    (void)names_remove(&l->roles, 0, span_str(v->role[0] ? v->role : anonymous));
    map_remove(&l->visits, &v->node);
    free_visit(v);
    pthread_mutex_unlock(&l->lock);
}

void ledger_join(struct ledger *l, struct span channel)
{
    pthread_mutex_lock(&l->lock);
    (void)names_add(&l->channels, 0, channel);
    pthread_mutex_unlock(&l->lock);
}

void ledger_part(struct ledger *l, struct span channel)
{
    pthread_mutex_lock(&l->lock);
    (void)names_remove(&l->channels, 0, channel);
    pthread_mutex_unlock(&l->lock);
}

/* --- what is told ------------------------------------------------------------------------------------ */

void ledger_read(struct ledger *l, struct ledger_figures *out)
{
    pthread_mutex_lock(&l->lock);
    *out = l->figures;
    out->n_users = l->users.map.n;
    out->n_channels = l->channels.map.n;
    pthread_mutex_unlock(&l->lock);
}

void ledger_add_roles(struct ledger *l, struct buf *out)
{
    struct map_walk walk = {0};
    const struct name *name;
    pthread_mutex_lock(&l->lock);
    buf_add_char(out, '{');
    for (const char *before = ""; (name = names_next(&l->roles, &walk)); before = ",") {
        buf_add_str(out, before);
        json_quote(out, name_text(name));
        buf_addf(out, ":%u", name->n);
    }
    buf_add_char(out, '}');
    pthread_mutex_unlock(&l->lock);
}

void ledger_add_channels(struct ledger *l, struct buf *out)
{
    struct map_walk walk = {0};
    const struct name *name;
    pthread_mutex_lock(&l->lock);
    buf_add_char(out, '[');
    for (const char *before = "{\"channel\":"; (name = names_next(&l->channels, &walk));
         before = ",{\"channel\":") {
        buf_add_str(out, before);
        json_quote(out, name_text(name));
        buf_addf(out, ",\"client_count\":%u}", name->n);
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
