/* The configuration file: YAML, read by libyaml, whose marks say where something is wrong. */
#include "base/base.h"

#include "config_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/mem.h"

struct file {
    const char *path;
    yaml_document_t doc;
};

/* A mapping whose keys are options.  In an app, the paths that messages show and those of
 * the table differ: apps.tls_only is app_defaults.tls_only. */
struct scope {
    struct file *file;
    struct loader *loader;
    struct app *app;   // NULL = the options of the whole server
    const char *shown; // path of the mapping in messages, with a dot at the end, or ""
    const char *path;  // the same in the table
};

static bool fail_mark(const struct file *f, yaml_mark_t mark, struct err *err)
{
    return err_wrap(err, "%s:%zu:%zu", f->path, mark.line + 1, mark.column + 1);
}

static bool fail_at(const struct file *f, const yaml_node_t *node, struct err *err)
{
    return fail_mark(f, node->start_mark, err);
}

static struct span text_of(const yaml_node_t *node)
{
    return span_of((const char *)node->data.scalar.value, node->data.scalar.length);
}

static bool is_null(const yaml_node_t *node)
{
    if (node->type != YAML_SCALAR_NODE || node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    struct span text = text_of(node);
    return text.len == 0 || span_is(text, "~") || span_is(text, "null");
}

static bool expect(const struct file *f, const yaml_node_t *node, yaml_node_type_t type,
    const char *path, struct err *err)
{
    static const char *const words[] = {[YAML_SCALAR_NODE] = "one value",
        [YAML_SEQUENCE_NODE] = "a list",
        [YAML_MAPPING_NODE] = "a group of options"};
    if (node->type == type && (type != YAML_SCALAR_NODE || !is_null(node)))
        return true;
    if (type == YAML_SCALAR_NODE && is_null(node))
        (void)err_set(err, 0, "%s: has no value", path);
    else
        (void)err_set(err, 0, "%s: expected %s", path, words[type]);
    return fail_at(f, node, err);
}

/* A walk over a mapping, that refuses a key that was there before.  A mapping with no value
 * is an empty one: all that is below it may be commented out. */
struct pairs {
    struct file *file;
    const yaml_node_t *mapping;
    const char *shown; // prefix for messages
    size_t next;
    const yaml_node_t *key_node, *value;
    struct span key;
    char path[OPTION_NAME * 2]; // shown and key
};

static const yaml_node_t *node_at(struct file *f, int index)
{
    return yaml_document_get_node(&f->doc, index);
}

static bool pairs_start(struct pairs *p, const struct scope *s, const yaml_node_t *node,
    const char *path, struct err *err)
{
    *p = (struct pairs){.file = s->file, .mapping = node, .shown = s->shown};
    return is_null(node) || expect(s->file, node, YAML_MAPPING_NODE, path, err);
}

/* Sets *is_end at the end; false when the key cannot be one. */
static bool pairs_next(struct pairs *p, bool *is_end, struct err *err)
{
    const yaml_node_t *m = p->mapping;
    *is_end = m->type != YAML_MAPPING_NODE ||
              m->data.mapping.pairs.start + p->next == m->data.mapping.pairs.top;
    if (*is_end)
        return true;
    const yaml_node_pair_t *pair = m->data.mapping.pairs.start + p->next++;
    p->key_node = node_at(p->file, pair->key);
    p->value = node_at(p->file, pair->value);
    bool is_name = p->key_node->type == YAML_SCALAR_NODE && text_of(p->key_node).len > 0 &&
                   !memchr(text_of(p->key_node).p, '\0', text_of(p->key_node).len);
    if (!is_name) {
        (void)err_set(err, 0, "expected the name of an option");
        return fail_at(p->file, p->key_node, err);
    }
    p->key = text_of(p->key_node);
    snprintf(p->path, sizeof p->path, "%s%.*s", p->shown, SPAN(p->key));
    for (const yaml_node_pair_t *earlier = m->data.mapping.pairs.start; earlier < pair; earlier++)
        if (span_eq(text_of(node_at(p->file, earlier->key)), p->key)) {
            (void)err_set(err, 0, "option '%s' is given twice", p->path);
            return fail_at(p->file, p->key_node, err);
        }
    return true;
}

static bool refuse_later(const struct pairs *p, struct err *err)
{
    (void)err_set(err, 0, "'%s' is not supported by this version", p->path);
    return fail_at(p->file, p->key_node, err);
}

static bool refuse_dotted(const struct pairs *p, struct err *err)
{
    (void)err_set(
        err, 0, "'%s' has a dot: in a file, options stand below their group's name", p->path);
    return fail_at(p->file, p->key_node, err);
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
        "id", "keys", "keys.key", "keys.secret", "enabled", "allowed_origins"};
    struct nearest nearest;
    nearest_init(&nearest, p->path);
    for (size_t i = 0; i < n_options; i++)
        if (!is_in_app)
            try_path(&nearest, "", option_table[i].path);
        else if (option_is_of_apps(&option_table[i]))
            try_path(&nearest, "apps.", strchr(option_table[i].path, '.') + 1);
    if (!is_in_app)
        nearest_try(&nearest, "apps");
    for (size_t i = 0; is_in_app && i < COUNT_OF(app_words); i++)
        try_path(&nearest, "apps.", app_words[i]);
    (void)err_set(err, 0, "unknown option '%s', did you mean '%s'?", p->path, nearest.best);
    return fail_at(p->file, p->key_node, err);
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
    if (!expect(s->file, p->value, YAML_SCALAR_NODE, p->path, err))
        return false;
    struct span text = text_of(p->value);
    if (s->app ? option_store(o, text, option_in_app(o, s->app), err)
               : loader_set(s->loader, o, text, err))
        return true;
    (void)err_wrap(err, "%s", p->path);
    return fail_at(s->file, p->value, err);
}

static bool read_option(const struct scope *s, const struct pairs *p, struct err *err);

/* Groups nest as deep as the table's paths do, so this recursion is bounded by it. */
// NOLINTNEXTLINE(misc-no-recursion): see above
static bool read_group(const struct scope *s, const yaml_node_t *node, struct err *err)
{
    struct pairs p;
    bool is_end;
    if (!pairs_start(&p, s, node, s->shown, err))
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
    if (!is_null(p->value) && !expect(s->file, p->value, YAML_MAPPING_NODE, p->path, err))
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
    const struct scope scope = {s->file, s->loader, app, "apps.keys.", ""};
    struct pairs p;
    bool is_end;
    if (!expect(s->file, node, YAML_MAPPING_NODE, "apps.keys", err) ||
        !pairs_start(&p, &scope, node, "apps.keys", err))
        return false;
    while (pairs_next(&p, &is_end, err) && !is_end) {
        if (span_is(p.key, "key"))
            key = p.value;
        else if (span_is(p.key, "secret"))
            secret = p.value;
        else
            return refuse_unknown(&p, true, err);
        if (!expect(s->file, p.value, YAML_SCALAR_NODE, p.path, err))
            return false;
    }
    if (!is_end)
        return false;
    if (!key || !secret) {
        (void)err_set(err, 0, "apps.keys: the %s is missing", key ? "secret" : "key");
        return fail_at(s->file, node, err);
    }
    if (!config_app_check_name("key", text_of(key), err)) {
        (void)err_wrap(err, "apps.keys.key");
        return fail_at(s->file, key, err);
    }
    struct span text = text_of(secret);
    if (text.len == 0 || memchr(text.p, '\0', text.len)) {
        (void)err_set(
            err, 0, "apps.keys.secret: %s", text.len ? "holds a NUL byte" : "the secret is empty");
        return fail_at(s->file, secret, err);
    }
    config_app_add_key(app, text_of(key), text);
    return true;
}

static bool read_id(const struct scope *s, const struct pairs *p, struct err *err)
{
    if (!expect(s->file, p->value, YAML_SCALAR_NODE, p->path, err))
        return false;
    if (!config_app_check_name("id", text_of(p->value), err)) {
        (void)err_wrap(err, "%s", p->path);
        return fail_at(s->file, p->value, err);
    }
    s->app->id = mem_dup(text_of(p->value).p, text_of(p->value).len);
    return true;
}

/* "scheme://host" or "scheme://host:port", as a browser sends it, or "*". */
static bool is_origin(struct span text)
{
    size_t n_slashes = 0;
    if (span_is(text, "*"))
        return true;
    for (size_t i = 0; i < text.len; i++) {
        if (text.p[i] <= ' ' || text.p[i] > '~' || (text.p[i] >= 'A' && text.p[i] <= 'Z'))
            return false;
        n_slashes += text.p[i] == '/';
    }
    const char *host = text.len ? memmem(text.p, text.len, "://", 3) : NULL;
    return host && host > text.p && host + 3 < text.p + text.len && n_slashes == 2;
}

static bool read_origin(const struct scope *s, const yaml_node_t *node, struct err *err)
{
    static const char path[] = "apps.allowed_origins";
    struct app *app = s->app;
    if (!expect(s->file, node, YAML_SCALAR_NODE, path, err))
        return false;
    struct span text = text_of(node);
    if (!is_origin(text)) {
        (void)err_set(err, 0,
            "%s: '%.*s' is not an origin as in https://example.com, in lower case and without a "
            "path",
            path, SPAN(text));
        return fail_at(s->file, node, err);
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
    if (is_null(p->value))
        return true;
    if (!expect(s->file, p->value, YAML_SEQUENCE_NODE, p->path, err))
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
    if (span_is(p->key, "webhooks") || span_is(p->key, "history"))
        return refuse_later(p, err);
    if (!span_is(p->key, "enabled"))
        return read_option(s, p, err);
    static const struct option enabled = {.path = "apps.enabled", .type = OPTION_BOOL};
    if (!expect(s->file, p->value, YAML_SCALAR_NODE, p->path, err))
        return false;
    if (option_store(&enabled, text_of(p->value), &s->app->enabled, err))
        return true;
    (void)err_wrap(err, "%s", p->path);
    return fail_at(s->file, p->value, err);
}

static bool fill_app(const struct scope *s, const yaml_node_t *node, struct err *err)
{
    struct pairs p;
    bool is_end;
    if (!expect(s->file, node, YAML_MAPPING_NODE, "apps", err) ||
        !pairs_start(&p, s, node, "apps", err))
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
    return fail_at(s->file, node, err);
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
    return loader_take_app(l, &app, APP_FROM_FILE, err) || fail_at(f, node, err);
}

bool file_apps(struct file *f, struct loader *l, struct err *err)
{
    const yaml_node_t *root = yaml_document_get_root_node(&f->doc);
    if (!root || is_null(root))
        return true;
    const yaml_node_pair_t *pair = root->data.mapping.pairs.start;
    for (; pair < root->data.mapping.pairs.top; pair++) {
        const yaml_node_t *list = node_at(f, pair->value);
        if (!span_is(text_of(node_at(f, pair->key)), "apps") || is_null(list))
            continue;
        if (!expect(f, list, YAML_SEQUENCE_NODE, "apps", err))
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
    if (!pairs_start(&p, &scope, root, "the file", err))
        return false;
    while (pairs_next(&p, &is_end, err)) {
        if (is_end)
            return true;
        if (span_is(p.key, "gateway"))
            return refuse_later(&p, err);
        if (!span_is(p.key, "apps") && !read_option(&scope, &p, err))
            return false;
    }
    return false;
}

/* libyaml's own sentence.  A reader error (bad UTF-8) knows an offset only. */
static void explain(const struct file *f, const yaml_parser_t *parser, struct err *err)
{
    (void)err_set(err, 0, "%s", parser->problem ? parser->problem : "cannot be read as YAML");
    if (parser->error == YAML_READER_ERROR)
        (void)err_wrap(err, "%s: byte %zu", f->path, parser->problem_offset);
    else
        (void)fail_mark(f, parser->problem_mark, err);
}

static bool refuse_second(struct file *f, yaml_parser_t *parser, struct err *err)
{
    yaml_document_t second;
    if (!yaml_parser_load(parser, &second)) {
        explain(f, parser, err);
        return false;
    }
    const yaml_node_t *root = yaml_document_get_root_node(&second);
    bool is_alone = root == NULL;
    if (!is_alone) {
        (void)err_set(err, 0, "a second document begins here, expected one");
        (void)fail_mark(f, second.start_mark, err);
    }
    yaml_document_delete(&second);
    return is_alone;
}

struct file *file_open(const char *path, struct err *err)
{
    yaml_parser_t parser;
    size_t len;
    char *text = read_text(path, &len, err);
    if (!text)
        return NULL;
    struct file *f = mem_zero(sizeof *f);
    f->path = path;
    ENSURE(yaml_parser_initialize(&parser));
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    bool is_good = yaml_parser_load(&parser, &f->doc);
    if (!is_good)
        explain(f, &parser, err);
    else if (yaml_document_get_root_node(&f->doc))
        is_good = refuse_second(f, &parser, err);
    yaml_parser_delete(&parser);
    explicit_bzero(text, len);
    free(text);
    if (is_good)
        return f;
    file_close(f);
    return NULL;
}

void file_close(struct file *f)
{
    if (!f)
        return;
    yaml_document_delete(&f->doc);
    free(f);
}
