/* What an application's settings answer, and how much of it is in use. */
#include "base/base.h"

#include "hub/app.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/text.h"

const struct app_key *app_key_find(const struct app *app, struct span key)
{
    for (size_t i = 0; i < app->n_keys; i++)
        if (span_is(key, app->keys[i].key))
            return &app->keys[i];
    return NULL;
}

/* pattern with '*' for any characters, backtracking to the last one only. */
static bool fits(const char *pattern, struct span text)
{
    const char *star = NULL;
    size_t from = 0;
    size_t i = 0;
    while (i < text.len) {
        if (*pattern == '*') {
            star = pattern++;
            from = i;
        } else if (*pattern == text.p[i]) {
            pattern++;
            i++;
        } else if (star) {
            pattern = star + 1;
            i = ++from;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return !*pattern;
}

const char *durability_word(enum durability durability)
{
    static const char *const words[DURABILITIES] = {
        [DURABILITY_MEMORY] = "memory", [DURABILITY_ASYNC] = "async", [DURABILITY_ACK] = "ack"};
    return words[durability];
}

const struct history_rule *app_history(const struct app *app, struct span channel)
{
    for (size_t i = 0; i < app->n_history; i++)
        if (fits(app->history[i].pattern, channel))
            return &app->history[i];
    return NULL;
}

bool app_allows_origin(const struct app *app, struct span origin)
{
    if (!app->n_allowed_origins)
        return true;
    for (size_t i = 0; i < app->n_allowed_origins; i++)
        if (span_is(origin, app->allowed_origins[i]) || strcmp(app->allowed_origins[i], "*") == 0)
            return true;
    return false;
}

static _Atomic(struct app_usage *) usages[APP_SLOTS];

struct app_usage *app_usage(uint32_t slot)
{
    ENSURE(slot < APP_SLOTS);
    struct app_usage *usage = atomic_load_explicit(&usages[slot], memory_order_acquire);
    if (usage)
        return usage;
    struct app_usage *fresh = mem_zero(sizeof *fresh);
    if (atomic_compare_exchange_strong(&usages[slot], &usage, fresh))
        return fresh;
    free(fresh); // another thread was first
    return usage;
}

bool app_connect(const struct app *app)
{
    struct app_usage *usage = app_usage(app->slot);
    uint64_t before = atomic_fetch_add_explicit(&usage->connections, 1, memory_order_relaxed);
    if (app->max_connections == 0 || before < app->max_connections)
        return true;
    atomic_fetch_sub_explicit(&usage->connections, 1, memory_order_relaxed);
    return false;
}

void app_disconnect(uint32_t slot)
{
    atomic_fetch_sub_explicit(&app_usage(slot)->connections, 1, memory_order_relaxed);
}

void app_count(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}
