/* YAML nodes, and errors that say where. */
#include "base/base.h"

#include "config_yaml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

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

bool pairs_refuse_later(const struct pairs *p, struct err *err)
{
    (void)err_set(err, 0, "'%s' is not supported by this version", p->path);
    return node_fail(p->file, p->key_node, err);
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
