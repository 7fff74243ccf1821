/* What a body must hold, and how it is told what it does not.
 *
 * The shape of the answers is that of FastAPI's validation errors, which the guide's own
 * backend gives: {"type","loc","msg","input"}.
 */
#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/text.h"
#include "gateway/route.h"
#include "wire/http.h"

enum { INPUT_MAX = 200 };

static const struct {
    const char *word, *fault, *message;
} types[FIELD_TYPES] = {
    [FIELD_ANY] = {"any", "value_error", "Input should be a value"},
    [FIELD_STRING] = {"string", "string_type", "Input should be a valid string"},
    [FIELD_NUMBER] = {"number", "float_type", "Input should be a valid number"},
    [FIELD_INTEGER] = {"integer", "int_type", "Input should be a valid integer"},
    [FIELD_BOOLEAN] = {"boolean", "bool_type", "Input should be a valid boolean"},
    [FIELD_OBJECT] = {"object", "dict_type", "Input should be a valid dictionary"},
    [FIELD_ARRAY] = {"array", "list_type", "Input should be a valid list"},
};

const char *field_type_word(enum field_type type)
{
    return types[type].word;
}

/* --- faults --------------------------------------------------------------------------------------- */

/* "a.b" as ,"a","b" */
static void add_location(struct buf *out, const char *name)
{
    while (*name) {
        size_t n = strcspn(name, ".");
        buf_add_char(out, ',');
        json_quote(out, span_of(name, n));
        name += n + (name[n] == '.');
    }
}

void fault_add(struct buf *out, const char *type, struct span where, const char *name,
    const char *message, const struct json *input)
{
    buf_addf(out, "%s{\"type\":\"%s\",\"loc\":[",
        out->len && out->p[out->len - 1] == '}' ? "," : "", type);
    json_quote(out, where);
    add_location(out, name);
    buf_add_str(out, "],\"msg\":");
    json_quote(out, span_str(message));
    buf_add_str(out, ",\"input\":");
    if (!input || input->kind == JSON_ABSENT || input->raw.len > INPUT_MAX)
        buf_add_str(out, "null"); // what is long is not sent back
    else
        buf_add_span(out, input->raw);
    buf_add_char(out, '}');
}

static void add_fault(struct buf *out, const struct field *f, const char *type, const char *message,
    const struct json *input)
{
    fault_add(out, type, span_str("body"), f->name, message, input);
}

/* --- checks --------------------------------------------------------------------------------------- */

static struct json find_member(struct json value, const char *path)
{
    while (*path) {
        char name[128];
        size_t n = strcspn(path, ".");
        if (value.kind != JSON_OBJECT || n >= sizeof name)
            return (struct json){0};
        memcpy(name, path, n);
        name[n] = '\0';
        struct json_field field = {name, {0}};
        json_fields(&value, &field, 1);
        value = field.value;
        path += n + (path[n] == '.');
    }
    return value;
}

static bool is_integer(const struct json *value)
{
    for (size_t i = 0; i < value->raw.len; i++)
        if (strchr(".eE", value->raw.p[i]))
            return false;
    return value->kind == JSON_NUMBER;
}

static bool has_type(const struct field *f, const struct json *value)
{
    switch (f->type) {
    case FIELD_STRING:
        return value->kind == JSON_STRING;
    case FIELD_NUMBER:
        return value->kind == JSON_NUMBER;
    case FIELD_INTEGER:
        return is_integer(value);
    case FIELD_BOOLEAN:
        return value->kind == JSON_TRUE || value->kind == JSON_FALSE;
    case FIELD_OBJECT:
        return value->kind == JSON_OBJECT;
    case FIELD_ARRAY:
        return value->kind == JSON_ARRAY;
    case FIELD_ANY:
    case FIELD_TYPES:
        break;
    }
    return true;
}

static bool is_one_of(const struct field *f, struct span text)
{
    for (size_t i = 0; i < f->n_words; i++)
        if (span_is(text, f->words[i]))
            return true;
    return f->n_words == 0;
}

static void add_words_fault(struct buf *out, const struct field *f, const struct json *value)
{
    struct buf message = {0};
    buf_add_str(&message, "Input should be ");
    for (size_t i = 0; i < f->n_words; i++)
        buf_addf(&message, "%s'%s'",
            i == 0                ? ""
            : i + 1 == f->n_words ? " or "
                                  : ", ",
            f->words[i]);
    buf_add_char(&message, '\0');
    add_fault(out, f, "enum", message.p, value);
    buf_fini(&message);
}

static size_t check_text(const struct field *f, const struct json *value, struct buf *out)
{
    struct buf scratch = {0};
    struct span text;
    char message[80];
    size_t n_faults = 1;
    if (!json_decode(value, &scratch, &text)) {
        add_fault(out, f, "string_unicode", "Input should hold whole characters", NULL);
    } else if (f->max_chars && utf8_chars(text) > f->max_chars) {
        snprintf(message, sizeof message, "String should have at most %u characters", f->max_chars);
        add_fault(out, f, "string_too_long", message, value);
    } else if (!text.len && !f->may_be_empty) {
        add_fault(out, f, "string_too_short", "String should have at least 1 character", value);
    } else if (!is_one_of(f, text)) {
        add_words_fault(out, f, value);
    } else {
        n_faults = 0;
    }
    buf_fini(&scratch);
    return n_faults;
}

static size_t check_field(const struct field *f, const struct json *body, struct buf *out)
{
    struct json value = find_member(*body, f->name);
    bool is_absent = value.kind == JSON_ABSENT || (value.kind == JSON_NULL && f->may_be_null);
    if (is_absent && f->is_required && f->instead) {
        struct json other = find_member(*body, f->instead);
        if (other.kind != JSON_ABSENT && other.kind != JSON_NULL)
            return 0;
    }
    if (is_absent && f->is_required) {
        add_fault(out, f, "missing", "Field required", body);
        return 1;
    }
    if (is_absent)
        return 0;
    if (!has_type(f, &value)) {
        add_fault(out, f, types[f->type].fault, types[f->type].message, &value);
        return 1;
    }
    return value.kind == JSON_STRING && f->type == FIELD_STRING ? check_text(f, &value, out) : 0;
}

size_t fields_check(const struct field *fields, size_t n, const struct json *body, struct buf *out)
{
    size_t n_faults = 0;
    for (size_t i = 0; i < n; i++)
        n_faults += check_field(&fields[i], body, out);
    return n_faults;
}

void fields_complete(const struct field *fields, size_t n, const struct json *json, struct buf *out)
{
    struct json name;
    struct json item;
    size_t at = 0;
    bool is_empty = !json_next_member(json, &at, &name, &item);
    buf_add(out, json->raw.p, json->raw.len - 1);
    for (size_t i = 0; i < n; i++) {
        if (!fields[i].initial || find_member(*json, fields[i].name).kind != JSON_ABSENT)
            continue;
        buf_add_str(out, is_empty ? "" : ",");
        json_quote(out, span_str(fields[i].name));
        buf_addf(out, ":%s", fields[i].initial);
        is_empty = false;
    }
    buf_add_char(out, '}');
}

/* --- forms ---------------------------------------------------------------------------------------- */

bool form_to_json(struct span form, struct buf *out)
{
    struct span name;
    struct span value;
    struct buf text = {0};
    bool ok = true;
    bool is_first = true;
    buf_add_char(out, '{');
    while (ok && http_next_param(&form, &name, &value)) {
        const struct span parts[] = {name, value};
        buf_add_str(out, is_first ? "" : ",");
        is_first = false;
        for (size_t i = 0; i < COUNT_OF(parts); i++) {
            text.len = 0;
            ok = ok && http_decode(parts[i], true, &text) && utf8_is_valid(buf_span(&text));
            if (ok)
                json_quote(out, buf_span(&text));
            buf_add_str(out, i == 0 ? ":" : "");
        }
    }
    buf_add_char(out, '}');
    buf_fini(&text);
    return ok;
}
