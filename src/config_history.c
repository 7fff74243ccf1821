/* The history rules of an app, as the file has them. */
#include "base/base.h"

#include "config_yaml.h"

#include <stdlib.h>

#include "base/mem.h"

enum { RULES_MAX = 200, PATTERN_BYTES = 200 };

struct history_reader {
    struct app *app;
    struct history_rule rule;
    char **patterns;
    size_t n_patterns;
};

#define IN(ctx) ((struct history_reader *)(ctx))

static bool read_channels(void *ctx, const struct pairs *p, struct err *err)
{
    struct history_reader *in = ctx;
    if (!pairs_texts(p, &in->patterns, &in->n_patterns, err))
        return false;
    for (size_t i = 0; i < in->n_patterns; i++)
        if (!in->patterns[i][0] || strlen(in->patterns[i]) > PATTERN_BYTES)
            return pairs_refuse(
                p, err, "expected a channel or a pattern of at most 200 characters");
    return true;
}

static bool read_max_events(void *ctx, const struct pairs *p, struct err *err)
{
    return pairs_u32(p, 1, 1000000, &IN(ctx)->rule.max_events, err);
}

static bool read_max_bytes(void *ctx, const struct pairs *p, struct err *err)
{
    return pairs_u32(p, 1024, 1 << 30, &IN(ctx)->rule.max_bytes, err);
}

static bool read_ttl(void *ctx, const struct pairs *p, struct err *err)
{
    return pairs_u32(p, 1, 365 * 86400, &IN(ctx)->rule.ttl_s, err);
}

static bool read_recover_events(void *ctx, const struct pairs *p, struct err *err)
{
    return pairs_u32(p, 0, 1000000, &IN(ctx)->rule.recover_events, err);
}

static bool read_recover_bytes(void *ctx, const struct pairs *p, struct err *err)
{
    return pairs_u32(p, 0, 1 << 30, &IN(ctx)->rule.recover_bytes, err);
}

static bool read_rewind(void *ctx, const struct pairs *p, struct err *err)
{
    return pairs_u32(p, 0, 100000, &IN(ctx)->rule.rewind, err);
}

static bool read_meta_ttl(void *ctx, const struct pairs *p, struct err *err)
{
    return pairs_u32(p, 1, 365 * 86400, &IN(ctx)->rule.meta_ttl_s, err);
}

static bool read_durability(void *ctx, const struct pairs *p, struct err *err)
{
    if (!node_expect(p->file, p->value, YAML_SCALAR_NODE, p->path, err))
        return false;
    for (int i = 0; i < DURABILITIES; i++) {
        if (!span_is(node_text(p->value), durability_word((enum durability)i)))
            continue;
        IN(ctx)->rule.durability = (enum durability)i;
        return true;
    }
    return pairs_refuse(p, err, "expected memory, async or ack");
}

/* A rule for several patterns is as many rules. */
static bool add_rules(
    struct history_reader *in, struct file *f, const yaml_node_t *node, struct err *err)
{
    struct app *app = in->app;
    if (!in->n_patterns || app->n_history + in->n_patterns > RULES_MAX) {
        (void)err_set(err, 0, "apps.history: %s",
            in->n_patterns ? "more than 200 rules" : "the rule names no channels");
        return node_fail(f, node, err);
    }
    app->history = mem_array(app->history, app->n_history + in->n_patterns, sizeof *app->history);
    for (size_t i = 0; i < in->n_patterns; i++) {
        struct history_rule *rule = &app->history[app->n_history++];
        *rule = in->rule;
        rule->pattern = in->patterns[i];
    }
    in->n_patterns = 0; // taken
    return true;
}

static bool read_rule(
    void *ctx, const struct group *group, struct file *f, const yaml_node_t *node, struct err *err)
{
    struct history_reader in = {.app = ctx,
        .rule = {.max_events = 1000,
            .max_bytes = 1 << 20,
            .ttl_s = 3600,
            .recover_events = 1000,
            .recover_bytes = 1 << 20,
            .rewind = 100,
            .meta_ttl_s = 86400}};
    bool ok = group_read(group, f, node, &in, err) && add_rules(&in, f, node, err);
    for (size_t i = 0; i < in.n_patterns; i++)
        free(in.patterns[i]);
    free(in.patterns);
    return ok;
}

bool file_history(struct app *app, const struct pairs *p, struct err *err)
{
    static const struct group_part parts[] = {{"channel", read_channels},
        {"channels", read_channels}, {"max_events", read_max_events}, {"max_bytes", read_max_bytes},
        {"ttl_s", read_ttl}, {"recover_max_events", read_recover_events},
        {"recover_max_bytes", read_recover_bytes}, {"rewind_max", read_rewind},
        {"meta_ttl_s", read_meta_ttl}, {"durability", read_durability}};
    static const struct group group = {"apps.history.", parts, COUNT_OF(parts)};
    return node_is_null(p->value) || group_read_list(&group, p, app, read_rule, err);
}
