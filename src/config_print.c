/* What `carillon options` and `carillon check` say. */
#include "base/base.h"

#include "config.h"

#include <stdio.h>
#include <string.h>

#include "config_priv.h"
#include "hub/facts.h"

static void print_option(const struct option *o)
{
    char range[32] = "-";
    char name[OPTION_NAME];
    option_env_name(o, name);
    if (option_is_number(o))
        snprintf(range, sizeof range, "%u..%u", o->min, o->max);
    printf("%-48s %-7s %-12s %-18s %-10s %s\n", o->path, option_type_name(o->type),
        option_is_number(o) ? o->unit : "-", range, o->initial[0] ? o->initial : "-", name);
    if (o->type == OPTION_ENUM)
        printf("    %s One of: %s.\n", o->sentence, o->unit);
    else
        printf("    %s\n", o->sentence);
}

void config_print_options(void)
{
    printf("%-48s %-7s %-12s %-18s %-10s %s\n", "OPTION", "TYPE", "UNIT", "RANGE", "DEFAULT",
        "ENVIRONMENT");
    for (size_t i = 0; i < n_options; i++)
        print_option(&option_table[i]);
}

void config_print_quoted(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            printf("\\%c", *text);
        else if ((unsigned char)*text < ' ' || *text == 0x7f)
            printf("\\x%02x", (unsigned)(unsigned char)*text);
        else
            putchar(*text);
    }
    putchar('"');
}

static void print_value(const struct option *o, const void *at)
{
    switch (o->type) {
    case OPTION_BOOL:
        fputs(*(const bool *)at ? "true" : "false", stdout);
        break;
    case OPTION_ENUM:
        printf("%.*s", SPAN(option_word(o, *(const unsigned *)at)));
        break;
    case OPTION_STRING:
    case OPTION_FILE:
    case OPTION_PATH:
        config_print_quoted(*(char *const *)at);
        break;
    case OPTION_U32:
    case OPTION_BYTES:
    case OPTION_MS:
    case OPTION_S:
    case OPTION_TYPES:
        printf("%u", *(const uint32_t *)at);
        break;
    }
    putchar('\n');
}

/* Prints path's line, and above it those of the groups that the path before was not in. */
static void print_path(const char *path, const char *before, int indent)
{
    const char *part = path;
    for (const char *dot = strchr(part, '.'); dot; dot = strchr(part, '.')) {
        size_t len = (size_t)(dot + 1 - path);
        if (strncmp(path, before, len) != 0)
            printf("%*s%.*s:\n", indent, "", (int)(dot - part), part);
        part = dot + 1;
        indent += 2;
    }
    printf("%*s%s: ", indent, "", part);
}

static void print_app_options(struct app *app)
{
    const char *before = "";
    for (size_t i = 0; i < n_options; i++) {
        const struct option *o = &option_table[i];
        if (!option_is_of_apps(o))
            continue;
        const char *path = strchr(o->path, '.') + 1;
        print_path(path, before, 4);
        print_value(o, option_in_app(o, app));
        before = path;
    }
}

/* Header values may be credentials. */
static void print_headers(const struct webhook *hook)
{
    if (!hook->n_headers)
        return;
    printf("        headers:\n");
    for (size_t i = 0; i < hook->n_headers; i++)
        printf("          %.*s: \"[redacted]\"\n", (int)strcspn(hook->headers[i], ":"),
            hook->headers[i]);
}

static void print_history(const struct app *app)
{
    printf("    history:%s\n", app->n_history ? "" : " []");
    for (size_t i = 0; i < app->n_history; i++) {
        const struct history_rule *rule = &app->history[i];
        printf("      - channel: ");
        config_print_quoted(rule->pattern);
        printf("\n        max_events: %u\n        max_bytes: %u\n        ttl_s: %u\n",
            rule->max_events, rule->max_bytes, rule->ttl_s);
        printf("        recover_max_events: %u\n        recover_max_bytes: %u\n"
               "        rewind_max: %u\n        meta_ttl_s: %u\n        durability: %s\n",
            rule->recover_events, rule->recover_bytes, rule->rewind, rule->meta_ttl_s,
            durability_word(rule->durability));
    }
}

static void print_webhooks(const struct app *app)
{
    printf("    webhooks:%s\n", app->n_webhooks ? "" : " []");
    for (size_t i = 0; i < app->n_webhooks; i++) {
        const struct webhook *hook = &app->webhooks[i];
        const char *before = "";
        printf("      - url: ");
        config_print_quoted(hook->url);
        printf("\n        events: [");
        for (int kind = 0; kind < FACT_KINDS; kind++) {
            if (!(hook->facts & 1U << kind))
                continue;
            printf("%s%s", before, fact_event((enum fact_kind)kind));
            before = ", ";
        }
        printf("]\n        channel_prefix: ");
        config_print_quoted(hook->channel_prefix);
        printf("\n        channel_suffix: ");
        config_print_quoted(hook->channel_suffix);
        printf("\n        batch_ms: %u\n", hook->batch_ms);
        print_headers(hook);
    }
}

static void print_app(struct app *app)
{
    printf("  - id: ");
    config_print_quoted(app->id);
    printf("\n    keys:\n");
    for (size_t i = 0; i < app->n_keys; i++) {
        printf("      - key: ");
        config_print_quoted(app->keys[i].key);
        printf("\n        secret: \"[redacted]\"\n");
    }
    printf("    enabled: %s\n    allowed_origins:", app->enabled ? "true" : "false");
    if (app->n_allowed_origins == 0)
        printf(" []");
    putchar('\n');
    for (size_t i = 0; i < app->n_allowed_origins; i++) {
        printf("      - ");
        config_print_quoted(app->allowed_origins[i]);
        putchar('\n');
    }
    print_webhooks(app);
    print_history(app);
    print_app_options(app);
}

void config_print(const struct config *c)
{
    const char *before = "";
    struct config copy; // the table's look-ups are for writing too; nothing is written here
    memcpy(&copy, c, sizeof copy);
    for (size_t i = 0; i < n_options; i++) {
        print_path(option_table[i].path, before, 0);
        print_value(&option_table[i], option_at(&option_table[i], &copy));
        before = option_table[i].path;
    }
    printf(
        "apps:%s\n", c->has_default_app ? " # the default app, since no source defines one" : "");
    for (size_t i = 0; i < c->n_apps; i++)
        print_app(&c->apps[i]);
    if (c->gateway)
        config_print_gateway(c->gateway);
}
