/* YAML nodes, and errors that say where. */
#include "base/base.h"

#include "config_yaml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "wire/json.h"

static bool fail_mark(const struct file *f, yaml_mark_t mark, struct err *err)
{
    return err_wrap(err, "%s:%zu:%zu", f->path, mark.line + 1, mark.column + 1);
}

bool node_fail(const struct file *f, const yaml_node_t *node, struct err *err)
{
    return fail_mark(f, node->start_mark, err);
}

struct span node_text(const yaml_node_t *node)
{
    return span_of((const char *)node->data.scalar.value, node->data.scalar.length);
}

bool node_is_null(const yaml_node_t *node)
{
    if (node->type != YAML_SCALAR_NODE || node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    struct span text = node_text(node);
    return text.len == 0 || span_is(text, "~") || span_is(text, "null");
}

bool node_expect(const struct file *f, const yaml_node_t *node, yaml_node_type_t type,
    const char *path, struct err *err)
{
    static const char *const words[] = {[YAML_SCALAR_NODE] = "one value",
        [YAML_SEQUENCE_NODE] = "a list",
        [YAML_MAPPING_NODE] = "a group of options"};
    if (node->type == type && (type != YAML_SCALAR_NODE || !node_is_null(node)))
        return true;
    if (type == YAML_SCALAR_NODE && node_is_null(node))
        (void)err_set(err, 0, "%s: has no value", path);
    else
        (void)err_set(err, 0, "%s: expected %s", path, words[type]);
    return node_fail(f, node, err);
}

const yaml_node_t *node_at(struct file *f, int index)
{
    return yaml_document_get_node(&f->doc, index);
}

bool pairs_start(
    struct pairs *p, struct file *f, const yaml_node_t *node, const char *shown, struct err *err)
{
    char path[OPTION_NAME];
    snprintf(path, sizeof path, "%s", shown[0] ? shown : "the file");
    size_t n = strlen(path);
    if (path[n - 1] == '.')
        path[n - 1] = '\0';
    *p = (struct pairs){.file = f, .mapping = node, .shown = shown};
    return node_is_null(node) || node_expect(f, node, YAML_MAPPING_NODE, path, err);
}

bool pairs_next(struct pairs *p, bool *is_end, struct err *err)
{
    const yaml_node_t *m = p->mapping;
    *is_end = m->type != YAML_MAPPING_NODE ||
              m->data.mapping.pairs.start + p->next == m->data.mapping.pairs.top;
    if (*is_end)
        return true;
    const yaml_node_pair_t *pair = m->data.mapping.pairs.start + p->next++;
    p->key_node = node_at(p->file, pair->key);
    p->value = node_at(p->file, pair->value);
    bool is_name = p->key_node->type == YAML_SCALAR_NODE && node_text(p->key_node).len > 0 &&
                   !memchr(node_text(p->key_node).p, '\0', node_text(p->key_node).len);
    if (!is_name) {
        (void)err_set(err, 0, "expected the name of an option");
        return node_fail(p->file, p->key_node, err);
    }
    p->key = node_text(p->key_node);
    snprintf(p->path, sizeof p->path, "%s%.*s", p->shown, SPAN(p->key));
    for (const yaml_node_pair_t *earlier = m->data.mapping.pairs.start; earlier < pair; earlier++)
        if (span_eq(node_text(node_at(p->file, earlier->key)), p->key)) {
            (void)err_set(err, 0, "option '%s' is given twice", p->path);
            return node_fail(p->file, p->key_node, err);
        }
    return true;
}

bool pairs_refuse_unknown(
    const struct pairs *p, const char *const *words, size_t n_words, struct err *err)
{
    struct nearest nearest;
    char word[OPTION_NAME];
    snprintf(word, sizeof word, "%.*s", SPAN(p->key));
    nearest_init(&nearest, word);
    for (size_t i = 0; i < n_words; i++)
        nearest_try(&nearest, words[i]);
    (void)err_set(
        err, 0, "unknown option '%s', did you mean '%s%s'?", p->path, p->shown, nearest.best);
    return node_fail(p->file, p->key_node, err);
}

bool pairs_fail(const struct pairs *p, struct err *err)
{
    (void)err_wrap(err, "%s", p->path);
    return node_fail(p->file, p->value, err);
}

bool pairs_refuse(const struct pairs *p, struct err *err, const char *why)
{
    (void)err_set(err, 0, "%s", why);
    return pairs_fail(p, err);
}

/* --- scalars ----------------------------------------------------------------------------------------- */

bool pairs_text(const struct pairs *p, char **to, struct err *err)
{
    if (!node_expect(p->file, p->value, YAML_SCALAR_NODE, p->path, err))
        return false;
    struct span text = node_text(p->value);
    if (memchr(text.p, '\0', text.len) || !text.len) {
        (void)err_set(err, 0, text.len ? "holds a NUL byte" : "is empty");
        return pairs_fail(p, err);
    }
    free(*to);
    *to = mem_dup(text.p, text.len);
    return true;
}

bool pairs_bool(const struct pairs *p, bool *to, struct err *err)
{
    static const struct option any = {.path = "", .type = OPTION_BOOL};
    return node_expect(p->file, p->value, YAML_SCALAR_NODE, p->path, err) &&
           (option_store(&any, node_text(p->value), to, err) || pairs_fail(p, err));
}

bool pairs_u32(const struct pairs *p, uint32_t min, uint32_t max, uint32_t *to, struct err *err)
{
    uint64_t n;
    if (!node_expect(p->file, p->value, YAML_SCALAR_NODE, p->path, err))
        return false;
    if (!text_to_u64(node_text(p->value), &n) || n < min || n > max) {
        (void)err_set(err, 0, "expected a number from %u to %u", min, max);
        return pairs_fail(p, err);
    }
    *to = (uint32_t)n;
    return true;
}

bool pairs_next_text(
    const struct pairs *p, size_t *at, struct span *text, bool *is_end, struct err *err)
{
    const yaml_node_t *node = p->value;
    *is_end = false;
    if (node->type == YAML_SEQUENCE_NODE) {
        const yaml_node_item_t *item = node->data.sequence.items.start + *at;
        *is_end = item >= node->data.sequence.items.top;
        node = *is_end ? NULL : node_at(p->file, *item);
    } else {
        *is_end = *at > 0;
    }
    ++*at;
    if (*is_end)
        return true;
    if (!node_expect(p->file, node, YAML_SCALAR_NODE, p->path, err))
        return false;
    *text = node_text(node);
    return true;
}

bool pairs_texts(const struct pairs *p, char ***list, size_t *n, struct err *err)
{
    struct span text;
    bool is_end;
    size_t at = 0;
    while (pairs_next_text(p, &at, &text, &is_end, err)) {
        if (is_end)
            return true;
        *list = mem_array(*list, *n + 1, sizeof **list);
        (*list)[(*n)++] = mem_dup(text.p, text.len);
    }
    return false;
}

/* --- JSON ------------------------------------------------------------------------------------------------ */

enum { JSON_NODES_DEEP = 16 };

/* A plain scalar that means the same in JSON. */
static bool is_json(const yaml_node_t *node)
{
    struct json value;
    struct span text = node_text(node);
    return node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && text.len && text.p[0] != '"' &&
           text.p[0] != '{' && text.p[0] != '[' && json_parse(text, &value);
}

static bool add_scalar(const yaml_node_t *node, struct buf *out)
{
    struct span text = node_text(node);
    if (node_is_null(node))
        buf_add_str(out, "null");
    else if (is_json(node))
        buf_add_span(out, text);
    else
        json_quote(out, text);
    return true;
}

static bool add_node(struct file *f, const yaml_node_t *node, unsigned depth, struct buf *out);

// NOLINTNEXTLINE(misc-no-recursion): depth is bounded
static bool add_sequence(struct file *f, const yaml_node_t *node, unsigned depth, struct buf *out)
{
    const yaml_node_item_t *item = node->data.sequence.items.start;
    buf_add_char(out, '[');
    for (; item < node->data.sequence.items.top; item++) {
        if (item > node->data.sequence.items.start)
            buf_add_char(out, ',');
        if (!add_node(f, node_at(f, *item), depth + 1, out))
            return false;
    }
    buf_add_char(out, ']');
    return true;
}

// NOLINTNEXTLINE(misc-no-recursion): depth is bounded
static bool add_mapping(struct file *f, const yaml_node_t *node, unsigned depth, struct buf *out)
{
    const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
    buf_add_char(out, '{');
    for (; pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = node_at(f, pair->key);
        if (key->type != YAML_SCALAR_NODE)
            return false;
        if (pair > node->data.mapping.pairs.start)
            buf_add_char(out, ',');
        json_quote(out, node_text(key));
        buf_add_char(out, ':');
        if (!add_node(f, node_at(f, pair->value), depth + 1, out))
            return false;
    }
    buf_add_char(out, '}');
    return true;
}

/* Aliases make a file's nodes a graph: what is too deep may have no end. */
// NOLINTNEXTLINE(misc-no-recursion): depth is bounded
static bool add_node(struct file *f, const yaml_node_t *node, unsigned depth, struct buf *out)
{
    enum { JSON_MAX = 1024 * 1024 };
    if (depth > JSON_NODES_DEEP || out->len > JSON_MAX)
        return false;
    if (node->type == YAML_SEQUENCE_NODE)
        return add_sequence(f, node, depth, out);
    if (node->type == YAML_MAPPING_NODE)
        return add_mapping(f, node, depth, out);
    return add_scalar(node, out);
}

bool node_json(
    struct file *f, const yaml_node_t *node, const char *path, struct buf *out, struct err *err)
{
    if (add_node(f, node, 0, out))
        return true;
    (void)err_set(err, 0, "%s: too large, deeper than %d, or with a key that is no name", path,
        JSON_NODES_DEEP);
    return node_fail(f, node, err);
}

/* --- groups ------------------------------------------------------------------------------------------ */

bool group_read(
    const struct group *g, struct file *f, const yaml_node_t *node, void *ctx, struct err *err)
{
    struct pairs p;
    bool is_end;
    if (!pairs_start(&p, f, node, g->shown, err))
        return false;
    while (pairs_next(&p, &is_end, err)) {
        const struct group_part *part = NULL;
        if (is_end)
            return true;
        for (size_t i = 0; i < g->n_parts && !part; i++)
            if (span_is(p.key, g->parts[i].word))
                part = &g->parts[i];
        if (!part) {
            const char *words[64];
            for (size_t i = 0; i < g->n_parts; i++)
                words[i] = g->parts[i].word;
            return pairs_refuse_unknown(&p, words, g->n_parts, err);
        }
        if (!part->read(ctx, &p, err))
            return false;
    }
    return false;
}

bool group_read_list(const struct group *g, const struct pairs *p, void *ctx,
    bool (*item)(
        void *ctx, const struct group *g, struct file *f, const yaml_node_t *node, struct err *err),
    struct err *err)
{
    if (node_is_null(p->value))
        return true;
    if (!node_expect(p->file, p->value, YAML_SEQUENCE_NODE, p->path, err))
        return false;
    const yaml_node_item_t *at = p->value->data.sequence.items.start;
    for (; at < p->value->data.sequence.items.top; at++)
        if (!item(ctx, g, p->file, node_at(p->file, *at), err))
            return false;
    return true;
}

/* --- addresses --------------------------------------------------------------------------------------- */

bool text_is_url(struct span url)
{
    enum { URL_MAX = 2048 };
    if (url.len > URL_MAX)
        return false;
    for (size_t i = 0; i < url.len; i++)
        if (url.p[i] <= ' ' || url.p[i] > '~')
            return false;
    if (span_starts(url, "https://"))
        url = span_from(url, 8);
    else if (span_starts(url, "http://"))
        url = span_from(url, 7);
    else
        return false;
    const char *slash = url.len ? memchr(url.p, '/', url.len) : NULL;
    struct span host = span_of(url.p, slash ? (size_t)(slash - url.p) : url.len);
    return host.len && host.p[0] != ':' && !memchr(host.p, '@', host.len) &&
           !memchr(url.p, '#', url.len);
}

bool text_is_origin(struct span text)
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

/* --- files ------------------------------------------------------------------------------------------- */

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
