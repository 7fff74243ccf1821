/* The table of options: what each is called, what it takes, and which one a typo meant. */
#include "base/base.h"

#include "config_priv.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"

#define OPTION(path, ...) OPTION_AT(path, path, __VA_ARGS__)
#define OPTION_AT(path, member, type, unit, min, max, initial, sentence)                           \
    {#path, OPTION_##type, unit, min, max, initial, sentence, offsetof(struct config, member)},

const struct option option_table[] = {
#include "options.def"
};

const size_t n_options = COUNT_OF(option_table);

/* An ENUM is stored through a uint32_t. */
_Static_assert(sizeof(enum log_level) == sizeof(uint32_t), "an enum is 32 bits");
_Static_assert(sizeof(enum log_format) == sizeof(uint32_t), "an enum is 32 bits");

static const char of_apps[] = "app_defaults.";

static const char *const type_names[OPTION_TYPES] = {
    [OPTION_U32] = "integer",
    [OPTION_BYTES] = "bytes",
    [OPTION_MS] = "time",
    [OPTION_S] = "time",
    [OPTION_STRING] = "string",
    [OPTION_FILE] = "file",
    [OPTION_PATH] = "path",
    [OPTION_BOOL] = "boolean",
    [OPTION_ENUM] = "enum",
};

const struct option *option_find(struct span path)
{
    for (size_t i = 0; i < n_options; i++)
        if (span_is(path, option_table[i].path))
            return &option_table[i];
    return NULL;
}

bool option_is_number(const struct option *o)
{
    return o->type <= OPTION_S;
}

bool option_is_of_apps(const struct option *o)
{
    return span_starts(span_str(o->path), of_apps);
}

const char *option_type_name(enum option_type type)
{
    return type_names[type];
}

void option_env_name(const struct option *o, char *out)
{
    size_t n = (size_t)snprintf(out, OPTION_NAME, "CARILLON_%s", o->path);
    ENSURE(n < OPTION_NAME);
    for (char *c = out; *c; c++)
        *c = *c == '.' ? '_' : (char)toupper((unsigned char)*c);
}

void *option_at(const struct option *o, struct config *c)
{
    return (char *)c + o->offset;
}

void *option_in_app(const struct option *o, struct app *app)
{
    ENSURE(option_is_of_apps(o));
    return (char *)app + (o->offset - offsetof(struct config, app_defaults));
}

struct span option_word(const struct option *o, unsigned n)
{
    const char *p = o->unit;
    for (; n > 0 && *p; n--) {
        p += strcspn(p, " ");
        p += strspn(p, " ");
    }
    return span_of(p, strcspn(p, " "));
}

static bool store_number(const struct option *o, struct span text, void *at, struct err *err)
{
    struct span digits = text.len && text.p[0] == '-' ? span_from(text, 1) : text;
    for (size_t i = 0; i < digits.len; i++)
        if (digits.p[i] < '0' || digits.p[i] > '9')
            digits.len = 0;
    if (digits.len == 0)
        return err_set(err, 0, "'%.*s' is not a whole number", SPAN(text));
    uint64_t n;
    if (!text_to_u64(text, &n) || n < o->min || n > o->max)
        return err_set(err, 0, "%.*s is not between %u and %u", SPAN(text), o->min, o->max);
    *(uint32_t *)at = (uint32_t)n;
    return true;
}

static bool store_bool(struct span text, void *at, struct err *err)
{
    static const char *const on[] = {"true", "yes", "on", "1"};
    static const char *const off[] = {"false", "no", "off", "0"};
    for (size_t i = 0; i < COUNT_OF(on); i++) {
        bool is_on = text_eq_nocase(text, on[i]);
        if (!is_on && !text_eq_nocase(text, off[i]))
            continue;
        *(bool *)at = is_on;
        return true;
    }
    return err_set(err, 0, "'%.*s' is neither true nor false", SPAN(text));
}

static bool store_word(const struct option *o, struct span text, void *at, struct err *err)
{
    for (unsigned n = 0; option_word(o, n).len; n++) {
        if (!span_eq(option_word(o, n), text))
            continue;
        *(uint32_t *)at = n;
        return true;
    }
    return err_set(err, 0, "'%.*s' is none of: %s", SPAN(text), o->unit);
}

static void replace(void *at, char *value)
{
    char **member = at;
    free(*member);
    *member = value;
}

/* "a/b//" is stored as "/a/b", and "/" as "". */
static bool store_path(struct span text, void *at, struct err *err)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.p[i] <= ' ' || text.p[i] > '~' || strchr("?#%\\\"", text.p[i]))
            return err_set(err, 0, "'%.*s' is not a path as in /realtime", SPAN(text));
    while (text.len && text.p[0] == '/')
        text = span_from(text, 1);
    while (text.len && text.p[text.len - 1] == '/')
        text.len--;
    char *value = mem_zero(text.len + 2);
    if (text.len) {
        value[0] = '/';
        memcpy(value + 1, text.p, text.len);
    }
    replace(at, value);
    return true;
}

bool option_store(const struct option *o, struct span text, void *at, struct err *err)
{
    if (text.len && memchr(text.p, '\0', text.len))
        return err_set(err, 0, "holds a NUL byte");
    switch (o->type) {
    case OPTION_U32:
    case OPTION_BYTES:
    case OPTION_MS:
    case OPTION_S:
        return store_number(o, text, at, err);
    case OPTION_BOOL:
        return store_bool(text, at, err);
    case OPTION_ENUM:
        return store_word(o, text, at, err);
    case OPTION_PATH:
        return store_path(text, at, err);
    case OPTION_STRING:
    case OPTION_FILE:
    case OPTION_TYPES:
        break;
    }
    replace(at, mem_dup(text.len ? text.p : "", text.len));
    return true;
}

/* Levenshtein's distance in which two neighbours that changed places count as one step. */
static unsigned distance(const char *a, const char *b)
{
    enum { LONGEST = OPTION_NAME };
    unsigned rows[3][LONGEST + 1];
    size_t a_len = strnlen(a, LONGEST);
    size_t b_len = strnlen(b, LONGEST);
    unsigned *before = rows[0];
    unsigned *last = rows[1];
    unsigned *row = rows[2];
    memset(rows, 0, sizeof rows);
    for (unsigned j = 0; j <= b_len; j++)
        last[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b_len; j++) {
            unsigned best = last[j - 1] + (a[i - 1] != b[j - 1]);
            if (last[j] + 1 < best)
                best = last[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            row[j] = best;
        }
        unsigned *spare = before;
        before = last;
        last = row;
        row = spare;
    }
    return last[b_len];
}

static const char *last_part(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot ? dot + 1 : path;
}

void nearest_init(struct nearest *n, const char *word)
{
    *n = (struct nearest){.word = word, .distance = UINT32_MAX};
}

/* What is typed wrong in the last part alone may have the wrong group as well, and half a
 * name is nearer to the whole than its missing letters say. */
void nearest_try(struct nearest *n, const char *candidate)
{
    enum { TYPO = 2, HALF = 3 };
    unsigned d = distance(n->word, candidate);
    unsigned last = distance(last_part(n->word), last_part(candidate));
    if (last <= TYPO && last + 1 < d)
        d = last + 1;
    if (d > HALF && strlen(n->word) > HALF && span_starts(span_str(candidate), n->word))
        d = HALF;
    if (d >= n->distance)
        return;
    n->distance = d;
    snprintf(n->best, sizeof n->best, "%s", candidate);
}
