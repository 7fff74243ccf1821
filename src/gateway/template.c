/* Templates: compiled into pieces, and written out. */
#include "base/base.h"

#include "gateway/template.h"

#include <stdlib.h>

#include "base/mem.h"
#include "wire/pusher.h"

struct ops {
    struct template_op *v;
    size_t n;
};

static void free_ops(struct template_op *ops, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(ops[i].text);
        variable_fini(&ops[i].variable);
    }
    free(ops);
}

static struct template_op *add_op(struct ops *ops, enum template_op_kind kind)
{
    ops->v = mem_array(ops->v, ops->n + 1, sizeof *ops->v);
    ops->v[ops->n] = (struct template_op){.kind = kind};
    return &ops->v[ops->n++];
}

/* What was gathered becomes one piece. */
static void close_text(struct ops *ops, struct buf *text)
{
    if (text->len) {
        struct template_op *op = add_op(ops, TEMPLATE_TEXT);
        op->text = mem_dup(text->p, text->len);
        op->len = text->len;
    }
    text->len = 0;
}

static bool add_variable(
    struct ops *ops, enum template_op_kind kind, struct span name, struct err *err)
{
    struct variable v;
    if (!variable_read(&v, name, err))
        return false;
    add_op(ops, kind)->variable = v;
    return true;
}

/* Text with variables; *text gathers what lies between them. */
static bool cut(struct ops *ops, struct buf *text, struct span in, struct err *err)
{
    while (in.len) {
        const char *brace = memchr(in.p, '{', in.len);
        size_t n = brace ? (size_t)(brace - in.p) : in.len;
        buf_add(text, in.p, n);
        in = span_from(in, n);
        if (!in.len)
            break;
        if (span_starts(in, "{{")) {
            buf_add_char(text, '{');
            in = span_from(in, 2);
            continue;
        }
        const char *end = memchr(in.p, '}', in.len);
        if (!end)
            return err_set(err, 0, "a '{' has no '}'; write '{{' for a brace");
        close_text(ops, text);
        n = (size_t)(end - in.p);
        if (!add_variable(ops, TEMPLATE_INSIDE, span_of(in.p + 1, n - 1), err))
            return false;
        in = span_from(in, n + 1);
    }
    return true;
}

/* The one variable that the string consists of; false when it is something else. */
static bool is_variable(struct span inner, struct span *name)
{
    if (inner.len < 3 || inner.p[0] != '{' || inner.p[1] == '{' || inner.p[inner.len - 1] != '}')
        return false;
    *name = span_of(inner.p + 1, inner.len - 2);
    return !memchr(name->p, '}', name->len);
}

/* In valid JSON: from a string's first quote to behind its last. */
static size_t string_end(struct span in)
{
    size_t i = 1;
    while (i < in.len && in.p[i] != '"')
        i += in.p[i] == '\\' ? 2 : 1;
    return i + 1 < in.len ? i + 1 : in.len;
}

static bool add_string(
    struct ops *ops, struct buf *text, struct span string, bool is_name, struct err *err)
{
    struct span inner = span_of(string.p + 1, string.len - 2);
    struct span name;
    if (is_name) { // of a member: stays as it is
        buf_add_span(text, string);
        return true;
    }
    if (is_variable(inner, &name)) {
        close_text(ops, text);
        return add_variable(ops, TEMPLATE_VALUE, name, err);
    }
    buf_add_char(text, '"');
    if (!cut(ops, text, inner, err))
        return false;
    buf_add_char(text, '"');
    return true;
}

static bool is_member_name(struct span behind)
{
    for (size_t i = 0; i < behind.len; i++)
        if (!strchr(" \t\r\n", behind.p[i]))
            return behind.p[i] == ':';
    return false;
}

bool template_compile(struct template *t, struct span json, struct err *err)
{
    struct ops ops = {0};
    struct buf text = {0};
    struct json root;
    bool ok = json_parse(json, &root) || err_set(err, 0, "not JSON");
    struct span in = json;
    while (ok && in.len) {
        const char *quote = memchr(in.p, '"', in.len);
        size_t n = quote ? (size_t)(quote - in.p) : in.len;
        buf_add(&text, in.p, n);
        in = span_from(in, n);
        if (!in.len)
            break;
        n = string_end(in);
        ok = add_string(&ops, &text, span_of(in.p, n), is_member_name(span_from(in, n)), err);
        in = span_from(in, n);
    }
    close_text(&ops, &text);
    buf_fini(&text);
    *t = (struct template){ops.v, ops.n};
    if (!ok)
        template_fini(t);
    return ok;
}

void template_fini(struct template *t)
{
    free_ops(t->ops, t->n_ops);
    *t = (struct template){0};
}

static void write_value(struct buf *out, const struct scene_value *value)
{
    if (value->is_text)
        json_quote(out, value->text);
    else if (value->json.kind == JSON_ABSENT)
        buf_add_str(out, "null");
    else
        buf_add_span(out, value->json.raw);
}

static void write_inside(struct buf *out, const struct scene_value *value)
{
    if (value->is_text)
        json_escape(out, value->text);
    else if (value->json.kind == JSON_STRING)
        buf_add_span(out, json_inner(&value->json)); // escaped already
    else if (value->json.kind != JSON_ABSENT && value->json.kind != JSON_NULL)
        json_escape(out, value->json.raw);
}

void template_write(const struct template *t, const struct scene *scene, struct buf *out)
{
    struct buf scratch = {0};
    for (size_t i = 0; i < t->n_ops; i++) {
        const struct template_op *op = &t->ops[i];
        if (op->kind == TEMPLATE_TEXT) {
            buf_add(out, op->text, op->len);
            continue;
        }
        scratch.len = 0;
        struct scene_value value = scene_find(scene, &op->variable, &scratch);
        if (op->kind == TEMPLATE_VALUE)
            write_value(out, &value);
        else
            write_inside(out, &value);
    }
    buf_fini(&scratch);
}

/* --- names ---------------------------------------------------------------------------------------- */

bool name_compile(struct name_template *t, struct span text, struct err *err)
{
    struct ops ops = {0};
    struct buf gathered = {0};
    bool ok = cut(&ops, &gathered, text, err);
    close_text(&ops, &gathered);
    buf_fini(&gathered);
    *t = (struct name_template){ops.v, ops.n, mem_dup(text.p ? text.p : "", text.len)};
    if (!ok)
        name_fini(t);
    return ok;
}

void name_fini(struct name_template *t)
{
    free_ops(t->ops, t->n_ops);
    free(t->text);
    *t = (struct name_template){0};
}

static bool write_name(const struct name_template *t, const struct scene *scene, struct buf *out,
    bool is_channel, const struct variable **culprit)
{
    for (size_t i = 0; i < t->n_ops; i++) {
        const struct template_op *op = &t->ops[i];
        if (op->kind == TEMPLATE_TEXT) {
            buf_add(out, op->text, op->len);
            continue;
        }
        size_t from = out->len;
        *culprit = &op->variable;
        if (!scene_add_name(scene, &op->variable, out))
            return false;
        if (is_channel && !pusher_is_name(span_of(out->p + from, out->len - from)))
            return false;
    }
    *culprit = NULL;
    return true;
}

bool name_write(const struct name_template *t, const struct scene *scene, struct buf *out,
    const struct variable **culprit)
{
    return write_name(t, scene, out, false, culprit);
}

bool name_write_channel(const struct name_template *t, const struct scene *scene, struct buf *out,
    const struct variable **culprit)
{
    return write_name(t, scene, out, true, culprit);
}

bool name_is_trusted(const struct name_template *t)
{
    for (size_t i = 0; i < t->n_ops; i++)
        if (t->ops[i].kind != TEMPLATE_TEXT && !variable_is_trusted(&t->ops[i].variable))
            return false;
    return true;
}

bool name_is_fixed(const struct name_template *t)
{
    for (size_t i = 0; i < t->n_ops; i++)
        if (t->ops[i].kind != TEMPLATE_TEXT)
            return false;
    return true;
}
