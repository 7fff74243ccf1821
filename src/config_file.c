/* The configuration file: which keys there are, and where their values go. */
#include "base/base.h"

#include "config_yaml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* A mapping whose keys are options.  In an app, the paths that messages show and those of
 * the table differ: apps.tls_only is app_defaults.tls_only. */
struct scope {
    struct file *file;
    struct loader *loader;
    struct app *app;   // NULL = the options of the whole server
    const char *shown; // path of the mapping in messages, with a dot at the end, or ""
    const char *path;  // the same in the table
};

static bool refuse_dotted(const struct pairs *p, struct err *err)
{
    (void)err_set(
        err, 0, "'%s' has a dot: in a file, options stand below their group's name", p->path);
    return node_fail(p->file, p->key_node, err);
}

/* Every group that begins like an option is a candidate as well. */
static void try_path(struct nearest *n, const char *prefix, const char *path)
{
    char candidate[OPTION_NAME];
    for (const char *dot = strchr(path, '.'); dot; dot = strchr(dot + 1, '.')) {
        snprintf(candidate, sizeof candidate, "%s%.*s", prefix, (int)(dot - path), path);
        nearest_try(n, candidate);
    }
    snprintf(candidate, sizeof candidate, "%s%s", prefix, path);
    nearest_try(n, candidate);
}

static bool refuse_unknown(const struct pairs *p, bool is_in_app, struct err *err)
{
    static const char *const app_words[] = {
        "id", "keys", "keys.key", "keys.secret", "enabled", "allowed_origins", "webhooks"};
    struct nearest nearest;
    nearest_init(&nearest, p->path);
    for (size_t i = 0; i < n_options; i++)
        if (!is_in_app)
            try_path(&nearest, "", option_table[i].path);
        else if (option_is_of_apps(&option_table[i]))
            try_path(&nearest, "apps.", strchr(option_table[i].path, '.') + 1);
    if (!is_in_app) {
        nearest_try(&nearest, "apps");
        nearest_try(&nearest, "gateway");
    }
    for (size_t i = 0; is_in_app && i < COUNT_OF(app_words); i++)
        try_path(&nearest, "apps.", app_words[i]);
    (void)err_set(err, 0, "unknown option '%s', did you mean '%s'?", p->path, nearest.best);
    return node_fail(p->file, p->key_node, err);
}

static bool is_group(const char *path)
{
    size_t len = strlen(path);
    for (size_t i = 0; i < n_options; i++)
        if (strncmp(option_table[i].path, path, len) == 0 && option_table[i].path[len] == '.')
            return true;
    return false;
}

static bool read_value(
    const struct scope *s, const struct pairs *p, const struct option *o, struct err *err)
{
    if (!node_expect(s->file, p->value, YAML_SCALAR_NODE, p->path, err))
        return false;
    struct span text = node_text(p->value);
    if (s->app ? option_store(o, text, option_in_app(o, s->app), err)
               : loader_set(s->loader, o, text, err))
        return true;
    (void)err_wrap(err, "%s", p->path);
    return node_fail(s->file, p->value, err);
}

static bool read_option(const struct scope *s, const struct pairs *p, struct err *err);

/* Groups nest as deep as the table's paths do, so this recursion is bounded by it. */
// NOLINTNEXTLINE(misc-no-recursion): see above
static bool read_group(const struct scope *s, const yaml_node_t *node, struct err *err)
{
    struct pairs p;
    bool is_end;
    if (!pairs_start(&p, s->file, node, s->shown, err))
        return false;
    while (pairs_next(&p, &is_end, err)) {
        if (is_end)
            return true;
        if (!read_option(s, &p, err))
            return false;
    }
    return false;
}

// NOLINTNEXTLINE(misc-no-recursion): see read_group
static bool read_option(const struct scope *s, const struct pairs *p, struct err *err)
{
    char path[sizeof p->path + 1];
    char shown[sizeof p->path + 1];
    char inner_path[sizeof path + 1];
    snprintf(path, sizeof path, "%s%.*s", s->path, SPAN(p->key));
    const struct option *o = option_find(span_str(path));
    if ((o || is_group(path)) && strchr(path + strlen(s->path), '.'))
        return refuse_dotted(p, err);
    if (o)
        return read_value(s, p, o, err);
    if (!is_group(path))
        return refuse_unknown(p, s->app != NULL, err);
    if (!node_is_null(p->value) && !node_expect(s->file, p->value, YAML_MAPPING_NODE, p->path, err))
        return false;
    snprintf(shown, sizeof shown, "%s.", p->path);
    snprintf(inner_path, sizeof inner_path, "%s.", path);
    struct scope inner = {s->file, s->loader, s->app, shown, inner_path};
    return read_group(&inner, p->value, err);
}

static bool read_key(
    const struct scope *s, const yaml_node_t *node, struct app *app, struct err *err)
{
    const yaml_node_t *key = NULL;
    const yaml_node_t *secret = NULL;
    struct pairs p;
    bool is_end;
    if (!node_expect(s->file, node, YAML_MAPPING_NODE, "apps.keys", err) ||
        !pairs_start(&p, s->file, node, "apps.keys.", err))
        return false;
    while (pairs_next(&p, &is_end, err) && !is_end) {
        if (span_is(p.key, "key"))
            key = p.value;
        else if (span_is(p.key, "secret"))
            secret = p.value;
        else
            return refuse_unknown(&p, true, err);
        if (!node_expect(s->file, p.value, YAML_SCALAR_NODE, p.path, err))
            return false;
    }
    if (!is_end)
        return false;
    if (!key || !secret) {
        (void)err_set(err, 0, "apps.keys: the %s is missing", key ? "secret" : "key");
        return node_fail(s->file, node, err);
    }
    if (!config_app_check_name("key", node_text(key), err)) {
        (void)err_wrap(err, "apps.keys.key");
        return node_fail(s->file, key, err);
    }
    struct span text = node_text(secret);
    if (text.len == 0 || memchr(text.p, '\0', text.len)) {
        (void)err_set(
            err, 0, "apps.keys.secret: %s", text.len ? "holds a NUL byte" : "the secret is empty");
        return node_fail(s->file, secret, err);
    }
    config_app_add_key(app, node_text(key), text);
    return true;
}

static bool read_id(const struct scope *s, const struct pairs *p, struct err *err)
{
    if (!node_expect(s->file, p->value, YAML_SCALAR_NODE, p->path, err))
        return false;
    if (!config_app_check_name("id", node_text(p->value), err)) {
        (void)err_wrap(err, "%s", p->path);
        return node_fail(s->file, p->value, err);
    }
    s->app->id = mem_dup(node_text(p->value).p, node_text(p->value).len);
    return true;
}

static bool read_origin(const struct scope *s, const yaml_node_t *node, struct err *err)
{
    static const char path[] = "apps.allowed_origins";
    struct app *app = s->app;
    if (!node_expect(s->file, node, YAML_SCALAR_NODE, path, err))
        return false;
    struct span text = node_text(node);
    if (!text_is_origin(text)) {
        (void)err_set(err, 0,
            "%s: '%.*s' is not an origin as in https://example.com, in lower case and without a "
            "path",
            path, SPAN(text));
        return node_fail(s->file, node, err);
    }
    app->allowed_origins =
        mem_array(app->allowed_origins, app->n_allowed_origins + 1, sizeof *app->allowed_origins);
    app->allowed_origins[app->n_allowed_origins++] = mem_dup(text.p, text.len);
    return true;
}

/* keys and allowed_origins. */
static bool read_list(const struct scope *s, const struct pairs *p, struct err *err)
{
    bool is_keys = span_is(p->key, "keys");
    if (node_is_null(p->value))
        return true;
    if (!node_expect(s->file, p->value, YAML_SEQUENCE_NODE, p->path, err))
        return false;
    const yaml_node_item_t *item = p->value->data.sequence.items.start;
    for (; item < p->value->data.sequence.items.top; item++) {
        const yaml_node_t *node = node_at(s->file, *item);
        if (!(is_keys ? read_key(s, node, s->app, err) : read_origin(s, node, err)))
            return false;
    }
    return true;
}

static bool read_app_part(const struct scope *s, const struct pairs *p, struct err *err)
{
    if (span_is(p->key, "id"))
        return read_id(s, p, err);
    if (span_is(p->key, "keys") || span_is(p->key, "allowed_origins"))
        return read_list(s, p, err);
    if (span_is(p->key, "webhooks"))
        return file_webhooks(s->file, s->app, p, err);
    if (span_is(p->key, "history"))
        return file_history(s->app, p, err);
    if (!span_is(p->key, "enabled"))
        return read_option(s, p, err);
    static const struct option enabled = {.path = "apps.enabled", .type = OPTION_BOOL};
    if (!node_expect(s->file, p->value, YAML_SCALAR_NODE, p->path, err))
        return false;
    if (option_store(&enabled, node_text(p->value), &s->app->enabled, err))
        return true;
    (void)err_wrap(err, "%s", p->path);
    return node_fail(s->file, p->value, err);
}

static bool fill_app(const struct scope *s, const yaml_node_t *node, struct err *err)
{
    struct pairs p;
    bool is_end;
    if (!node_expect(s->file, node, YAML_MAPPING_NODE, "apps", err) ||
        !pairs_start(&p, s->file, node, s->shown, err))
        return false;
    while (pairs_next(&p, &is_end, err)) {
        if (is_end)
            break;
        if (!read_app_part(s, &p, err))
            return false;
    }
    if (!is_end)
        return false;
    if (s->app->id && s->app->n_keys)
        return true;
    (void)err_set(err, 0, "apps: the app has no %s", s->app->id ? "keys" : "id");
    return node_fail(s->file, node, err);
}

static bool read_app(struct file *f, struct loader *l, const yaml_node_t *node, struct err *err)
{
    struct app app;
    config_app_init(&app, l->config);
    struct scope scope = {f, l, &app, "apps.", "app_defaults."};
    if (!fill_app(&scope, node, err)) {
        config_app_fini(&app);
        return false;
    }
    return loader_take_app(l, &app, APP_FROM_FILE, err) || node_fail(f, node, err);
}

bool file_apps(struct file *f, struct loader *l, struct err *err)
{
    const yaml_node_t *root = yaml_document_get_root_node(&f->doc);
    if (!root || node_is_null(root))
        return true;
    const yaml_node_pair_t *pair = root->data.mapping.pairs.start;
    for (; pair < root->data.mapping.pairs.top; pair++) {
        const yaml_node_t *list = node_at(f, pair->value);
        if (!span_is(node_text(node_at(f, pair->key)), "apps") || node_is_null(list))
            continue;
        if (!node_expect(f, list, YAML_SEQUENCE_NODE, "apps", err))
            return false;
        const yaml_node_item_t *item = list->data.sequence.items.start;
        for (; item < list->data.sequence.items.top; item++)
            if (!read_app(f, l, node_at(f, *item), err))
                return false;
    }
    return true;
}

bool file_options(struct file *f, struct loader *l, struct err *err)
{
    const yaml_node_t *root = yaml_document_get_root_node(&f->doc);
    struct scope scope = {f, l, NULL, "", ""};
    struct pairs p;
    bool is_end;
    if (!root)
        return true;
    if (!pairs_start(&p, f, root, "", err))
        return false;
    while (pairs_next(&p, &is_end, err)) {
        if (is_end)
            return true;
        bool is_elsewhere = span_is(p.key, "apps") || span_is(p.key, "gateway");
        if (!is_elsewhere && !read_option(&scope, &p, err))
            return false;
    }
    return false;
}
