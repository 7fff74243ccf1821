/* Routes: which one it is, and which of its actions. */
#include "base/base.h"

#include "gateway/route.h"

#include <stdlib.h>

#include "base/mem.h"

const char *route_method_word(enum route_method method)
{
    static const char *const words[ROUTE_METHODS] = {
        [ROUTE_GET] = "GET", [ROUTE_POST] = "POST", [ROUTE_DELETE] = "DELETE"};
    return words[method];
}

static const struct {
    const char *word, *sentence;
} builtins[BUILTINS] = {
#define BUILTIN(name, word, sentence) {#word, sentence},
#include "gateway/builtins.def"
#undef BUILTIN
};

const char *builtin_word(enum builtin builtin)
{
    return builtins[builtin].word;
}

const char *builtin_sentence(enum builtin builtin)
{
    return builtins[builtin].sentence;
}

/* --- its life ------------------------------------------------------------------------------------- */

static void free_words(char **words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(words[i]);
    free(words);
}

static void free_publish(struct publish *p)
{
    for (size_t i = 0; i < p->n_channels; i++)
        name_fini(&p->channels[i]);
    free(p->channels);
    name_fini(&p->event);
    template_fini(&p->data);
}

static void free_action(struct action *a)
{
    for (size_t i = 0; i < a->n_fields; i++) {
        struct field *f = &a->fields[i];
        free(f->name);
        free(f->instead);
        free(f->initial);
        free_words(f->words, f->n_words);
    }
    free(a->fields);
    for (size_t i = 0; i < a->n_publishes; i++)
        free_publish(&a->publishes[i]);
    free(a->publishes);
    if (a->upstream.secret)
        explicit_bzero(a->upstream.secret, strlen(a->upstream.secret));
    free(a->upstream.secret);
    free(a->upstream.url);
    free(a->demo.steps);
}

void route_fini(struct route *r)
{
    free(r->name);
    free(r->summary);
    free(r->forbidden);
    free_words(r->paths, r->n_paths);
    free_action(&r->action);
    for (size_t i = 0; i < r->dispatch.n_cases; i++) {
        struct dispatch_case *c = &r->dispatch.cases[i];
        free(c->value);
        free(c->route_name);
        template_fini(&c->body);
        template_fini(&c->reply);
        free_action(&c->action);
    }
    free(r->dispatch.cases);
    free(r->dispatch.field);
    free_action(&r->dispatch.fallback);
    template_fini(&r->reply);
}

/* --- paths ---------------------------------------------------------------------------------------- */

static struct span next_segment(struct span *path)
{
    const char *slash = path->len ? memchr(path->p, '/', path->len) : NULL;
    struct span segment = span_of(path->p, slash ? (size_t)(slash - path->p) : path->len);
    *path = slash ? span_from(*path, segment.len + 1) : span_of(NULL, 0);
    return segment;
}

/* A segment in braces stands for any that is not empty. */
static bool path_fits(struct span pattern, struct span path)
{
    while (pattern.p && path.p) {
        struct span wanted = next_segment(&pattern);
        struct span given = next_segment(&path);
        bool is_variable = wanted.len > 2 && wanted.p[0] == '{';
        if (is_variable ? given.len == 0 : !span_eq(wanted, given))
            return false;
    }
    return !pattern.p && !path.p;
}

static bool has_path(const struct route *r, struct span path)
{
    for (size_t i = 0; i < r->n_paths; i++)
        if (path_fits(span_str(r->paths[i]), path))
            return true;
    return false;
}

const struct route *route_find(
    const struct route *routes, size_t n, struct span path, struct span method, bool *is_path)
{
    bool is_head = span_is(method, "HEAD");
    *is_path = false;
    for (size_t i = 0; i < n; i++) {
        if (!has_path(&routes[i], path))
            continue;
        *is_path = true;
        if (span_is(method, route_method_word(routes[i].method)) ||
            (is_head && routes[i].method == ROUTE_GET))
            return &routes[i];
    }
    return NULL;
}

void route_add_methods(const struct route *routes, size_t n, struct span path, struct buf *out)
{
    for (size_t i = 0; i < n; i++)
        if (has_path(&routes[i], path))
            buf_addf(out, "%s, ", route_method_word(routes[i].method));
    buf_add_str(out, "OPTIONS");
}

/* --- dispatch -------------------------------------------------------------------------------------- */

struct chosen route_choose(const struct route *r, bool is_strict, const struct json *body)
{
    const struct dispatch *d = &r->dispatch;
    struct chosen chosen = {&r->action, NULL};
    if (!d->field)
        return chosen;
    struct json_field field = {d->field, {0}};
    struct buf scratch = {0};
    struct span value = span_of("", 0);
    json_fields(body, &field, 1);
    bool is_text = field.value.kind == JSON_STRING && json_decode(&field.value, &scratch, &value);
    for (size_t i = 0; is_text && i < d->n_cases && !chosen.one; i++)
        if (span_is(value, d->cases[i].value))
            chosen.one = &d->cases[i];
    buf_fini(&scratch);
    if (chosen.one)
        chosen.action = &chosen.one->action;
    else
        chosen.action = is_strict || d->otherwise == DISPATCH_REJECT ? NULL : &d->fallback;
    return chosen;
}
