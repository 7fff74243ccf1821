/* Configurations in their turns, and the streams that they do not keep. */
#include "base/base.h"

#include "scribe_rules.h"

#include <stdlib.h>

#include "base/mem.h"

enum {
    STEP_STREAMS = 256,  // a few milliseconds, when all are forgotten
    GROUP_STREAMS = 4096 // while nobody waits
};

struct coming {
    struct coming *next;
    struct config *config; // held
};

/* What an app has that is not there at all is kept: nobody can publish to it. */
static bool is_kept(void *ctx, const struct store_key *key)
{
    const struct app *app = config_app_by_id(ctx, key->app);
    const struct history_rule *rule = app ? app_history(app, key->channel) : NULL;
    return !app || (rule && rule->durability);
}

static void begin_turn(struct rules *r, struct config *config)
{
    config_drop(r->config);
    r->config = config;
    r->walk = (struct store_walk){.is_kept = is_kept, .ctx = config};
}

void rules_init(struct rules *r, struct config *config)
{
    *r = (struct rules){.last = &r->first};
    config_hold(config);
    begin_turn(r, config);
}

static struct config *take_first(struct rules *r)
{
    struct coming *first = r->first;
    struct config *config = first->config;
    r->first = first->next;
    if (!r->first)
        r->last = &r->first;
    free(first);
    return config;
}

void rules_fini(struct rules *r)
{
    while (r->first)
        config_drop(take_first(r));
    config_drop(r->config);
}

void rules_expect(struct rules *r, struct config *config)
{
    struct coming *one = mem_zero(sizeof *one);
    one->config = config;
    config_hold(config);
    *r->last = one;
    r->last = &one->next;
}

void rules_look(struct rules *r)
{
    r->is_reached = r->first && config_is_everywhere(r->first->config);
}

void rules_turn(struct rules *r)
{
    if (r->is_reached && r->walk.is_over)
        begin_turn(r, take_first(r));
    r->is_reached = false;
}

bool rules_step(struct rules *r, struct store *store, struct err *err)
{
    return r->walk.is_over || store_sift(store, &r->walk, STEP_STREAMS, err);
}

bool rules_finish(struct rules *r, struct store *store, struct err *err)
{
    for (;;) {
        while (!r->walk.is_over)
            if (!store_sift(store, &r->walk, GROUP_STREAMS, err))
                return false;
        rules_look(r);
        if (!r->is_reached)
            return true;
        rules_turn(r);
    }
}

bool rules_open(struct rules *r, struct store *store, const struct store_key *key, struct err *err)
{
    bool is_good = r->walk.is_over || is_kept(r->config, key);
    for (const struct coming *one = r->first; one && is_good; one = one->next)
        is_good = is_kept(one->config, key);
    return is_good || store_forget(store, key, err);
}
