/* The routes, described: as OpenAPI 3.1 for programs, as a table for people. */
#include "base/base.h"

#include <stdio.h>

#include "gateway/gateway.h"

/* --- what is read ------------------------------------------------------------------------------------ */

enum place { PLACE_QUERY, PLACE_BODY, PLACE_WHOLE };
enum need { NEED_OPTIONAL, NEED_REQUIRED };

struct parameter {
    enum builtin builtin;
    enum place place;
    const char *name;
    enum need need;
    enum field_type type;
    unsigned least, most; // both 0: any
    const char *sentence;
};

static const struct parameter parameters[] = {
#define PARAMETER(builtin, place, name, need, type, least, most, sentence)                         \
    {BUILTIN_##builtin, PLACE_##place, #name, NEED_##need, FIELD_##type, least, most, sentence},
#include "gateway/parameters.def"
#undef PARAMETER
};

/* The next one of that builtin behind *at; false at the end. */
static bool next_parameter(
    enum builtin builtin, enum place place, size_t *at, const struct parameter **found)
{
    while (*at < COUNT_OF(parameters)) {
        *found = &parameters[(*at)++];
        if ((*found)->builtin == builtin && (*found)->place == place)
            return true;
    }
    return false;
}

static bool has_parameter(enum builtin builtin, enum place place)
{
    const struct parameter *found;
    return next_parameter(builtin, place, &(size_t){0}, &found);
}

static bool has_field(const struct action *a, const char *name)
{
    for (size_t i = 0; i < a->n_fields; i++)
        if (strcmp(a->fields[i].name, name) == 0)
            return true;
    return false;
}

/* What the builtin reads of the body and the route does not say already. */
static bool next_of_body(const struct action *a, size_t *at, const struct parameter **found)
{
    while (next_parameter(a->builtin, PLACE_BODY, at, found))
        if (!has_field(a, (*found)->name))
            return true;
    return false;
}

/* The next part of a path that stands in braces; false at the end. */
static bool next_variable(struct span *path, struct span *name)
{
    while (path->len) {
        const char *slash = memchr(path->p, '/', path->len);
        struct span part = span_of(path->p, slash ? (size_t)(slash - path->p) : path->len);
        *path = span_from(*path, part.len + (slash != NULL));
        if (part.len > 2 && part.p[0] == '{') {
            *name = span_of(part.p + 1, part.len - 2);
            return true;
        }
    }
    return false;
}

/* --- for programs ------------------------------------------------------------------------------------ */

static void add_string(struct buf *out, const char *name, const char *text)
{
    buf_addf(out, "\"%s\":", name);
    json_quote(out, span_str(text));
}

static const char *summary_of(const struct route *r)
{
    return r->summary ? r->summary : builtin_sentence(r->action.builtin);
}

static void add_type(struct buf *out, const struct field *f)
{
    const char *before = "";
    buf_add_char(out, '{');
    if (f->type != FIELD_ANY) {
        buf_addf(out, f->may_be_null ? "\"type\":[\"%s\",\"null\"]" : "\"type\":\"%s\"",
            field_type_word(f->type));
        before = ",";
    }
    if (f->type == FIELD_ARRAY)
        buf_add_str(out, ",\"items\":{}");
    if (f->max_chars) {
        buf_addf(out, "%s\"maxLength\":%u", before, f->max_chars);
        before = ",";
    }
    if (f->initial) {
        buf_addf(out, "%s\"default\":%s", before, f->initial);
        before = ",";
    }
    for (size_t i = 0; i < f->n_words; i++) {
        buf_addf(out, "%s", i ? "," : before);
        buf_add_str(out, i ? "" : "\"enum\":[");
        json_quote(out, span_str(f->words[i]));
    }
    buf_add_str(out, f->n_words ? "]}" : "}");
}

static void add_schema(struct buf *out, const struct parameter *p)
{
    buf_add_char(out, '{');
    if (p->type != FIELD_ANY)
        buf_addf(out, "\"type\":\"%s\"", field_type_word(p->type));
    if (p->type == FIELD_ARRAY)
        buf_add_str(out, ",\"items\":{\"type\":\"string\"}");
    if (p->most)
        buf_addf(out, ",\"minimum\":%u,\"maximum\":%u", p->least, p->most);
    buf_add_char(out, '}');
}

static void add_properties(struct buf *out, const struct action *a)
{
    const struct parameter *p;
    size_t at = 0;
    const char *before = "";
    for (size_t i = 0; i < a->n_fields; i++) {
        if (strchr(a->fields[i].name, '.'))
            continue;
        buf_add_str(out, before);
        json_quote(out, span_str(a->fields[i].name));
        buf_add_char(out, ':');
        add_type(out, &a->fields[i]);
        before = ",";
    }
    while (next_of_body(a, &at, &p)) {
        buf_addf(out, "%s\"%s\":", before, p->name);
        add_schema(out, p);
        before = ",";
    }
}

static void add_required(struct buf *out, const struct action *a)
{
    const struct parameter *p;
    size_t at = 0;
    const char *before = "";
    for (size_t i = 0; i < a->n_fields; i++) {
        if (!a->fields[i].is_required || a->fields[i].instead || strchr(a->fields[i].name, '.'))
            continue;
        buf_add_str(out, before);
        json_quote(out, span_str(a->fields[i].name));
        before = ",";
    }
    while (next_of_body(a, &at, &p)) {
        if (p->need != NEED_REQUIRED)
            continue;
        buf_addf(out, "%s\"%s\"", before, p->name);
        before = ",";
    }
}

static void add_media(struct buf *out, const char *type, const struct action *a)
{
    buf_addf(out, "\"%s\":{\"schema\":{\"type\":\"object\",\"properties\":{", type);
    add_properties(out, a);
    buf_add_str(out, "},\"required\":[");
    add_required(out, a);
    buf_add_str(out, "]}}");
}

static bool is_signing(const struct action *a)
{
    return a->builtin == BUILTIN_AUTH || a->builtin == BUILTIN_USER_AUTH;
}

static void add_body(struct buf *out, const struct route *r)
{
    const struct action *a = &r->action;
    const struct parameter *whole;
    if (r->method == ROUTE_GET)
        return;
    if (next_parameter(a->builtin, PLACE_WHOLE, &(size_t){0}, &whole) && !a->n_fields) {
        buf_add_str(out, ",\"requestBody\":{\"required\":false,");
        add_string(out, "description", whole->sentence);
        buf_add_str(out, ",\"content\":{\"application/json\":{\"schema\":");
        add_schema(out, whole);
        buf_add_str(out, "}}}");
        return;
    }
    if (!a->n_fields && !has_parameter(a->builtin, PLACE_BODY))
        return;
    buf_add_str(out, ",\"requestBody\":{\"required\":true,\"content\":{");
    if (is_signing(a)) { // as pusher-js sends it
        add_media(out, "application/x-www-form-urlencoded", a);
        buf_add_char(out, ',');
    }
    add_media(out, "application/json", a);
    buf_add_str(out, "}}");
}

static void add_parameters(struct buf *out, const struct route *r, const char *path)
{
    const struct parameter *p;
    struct span rest = span_str(path);
    struct span name;
    size_t at = 0;
    const char *before = ",\"parameters\":[";
    const char *after = "";
    while (next_variable(&rest, &name)) {
        buf_addf(out, "%s{\"name\":", before);
        json_quote(out, name);
        buf_add_str(out, ",\"in\":\"path\",\"required\":true,\"schema\":{\"type\":\"string\"}}");
        before = ",";
        after = "]";
    }
    while (next_parameter(r->action.builtin, PLACE_QUERY, &at, &p)) {
        buf_addf(out, "%s{\"name\":\"%s\",\"in\":\"query\",\"required\":%s,\"schema\":", before,
            p->name, p->need == NEED_REQUIRED ? "true" : "false");
        add_schema(out, p);
        buf_add_char(out, ',');
        add_string(out, "description", p->sentence);
        buf_add_char(out, '}');
        before = ",";
        after = "]";
    }
    buf_add_str(out, after);
}

/* --- what is answered --------------------------------------------------------------------------------- */

static bool action_asks(const struct action *a)
{
    return a->upstream.url != NULL;
}

static bool action_publishes(const struct action *a)
{
    return a->n_publishes || a->builtin == BUILTIN_TRIGGER || a->builtin == BUILTIN_BROADCAST;
}

/* The route's action, or one that it may dispatch to. */
static bool has_action(
    const struct gateway *g, const struct route *r, bool (*is_one)(const struct action *))
{
    if (is_one(&r->action) || is_one(&r->dispatch.fallback))
        return true;
    for (size_t i = 0; i < r->dispatch.n_cases; i++) {
        const struct dispatch_case *c = &r->dispatch.cases[i];
        if (is_one(c->route >= 0 ? &g->routes[c->route].action : &c->action))
            return true;
    }
    return false;
}

/* Statuses that one builtin alone answers with. */
static const struct {
    enum builtin builtin;
    int status;
    const char *text;
} own_answers[] = {
    {BUILTIN_AUTH, 400, "a field is missing, or the body cannot be read"},
    {BUILTIN_USER_AUTH, 400, "a field is missing, or the body cannot be read"},
    {BUILTIN_HISTORY, 400, "a parameter is not what it should be"},
    {BUILTIN_HISTORY, 404, "the channel's history is not kept"},
    {BUILTIN_HISTORY, 410, "the epoch is no more: the body has the present one"},
    {BUILTIN_POLL, 404, "there is no such session, or a channel's history is not kept any more"},
};

static void add_response(struct buf *out, int status, const char *text)
{
    buf_addf(out, ",\"%d\":{", status);
    add_string(out, "description", text);
    buf_add_char(out, '}');
}

static void add_own_answers(struct buf *out, const struct route *r)
{
    for (size_t i = 0; i < COUNT_OF(own_answers); i++)
        if (own_answers[i].builtin == r->action.builtin)
            add_response(out, own_answers[i].status, own_answers[i].text);
}

static void add_responses(struct buf *out, const struct gateway *g, const struct route *r)
{
    bool asks = has_action(g, r, action_asks);
    bool publishes = has_action(g, r, action_publishes);
    buf_addf(out, ",\"responses\":{\"%d\":{", r->status);
    add_string(out, "description", "done");
    buf_add_char(out, '}');
    add_own_answers(out, r);
    if (r->auth != ROUTE_NONE) {
        add_response(out, 401, "no valid token");
        add_response(out, 403, "the token's owner may not do this");
    }
    if (r->method != ROUTE_GET)
        add_response(out, 413,
            publishes ? "the body is too large, or an event's data is" : "the body is too large");
    if (r->method != ROUTE_GET || has_parameter(r->action.builtin, PLACE_QUERY))
        add_response(out, 422, "what is wrong with the body or the query, field by field");
    if (r->rate_limit)
        add_response(out, 429, "too often; Retry-After says when");
    if (asks) {
        add_response(out, 502, "the upstream gave no good answer");
        add_response(out, 504, "the upstream took too long");
    }
    if (asks || publishes)
        add_response(out, 503,
            asks ? "the upstream, or the store of event histories, is not asked for now"
                 : "the store of event histories is not there, and nobody has heard the event");
    buf_add_char(out, '}');
}

/* --- operations ----------------------------------------------------------------------------------------- */

static bool is_name(const struct gateway *g, struct span text)
{
    for (size_t i = 0; i < g->n_routes; i++)
        if (span_is(text, g->routes[i].name))
            return true;
    return false;
}

/* The route's name; of its aliases the name and a number, and more when that is another's name. */
static void add_id(struct buf *out, const struct gateway *g, const struct route *r, size_t k)
{
    struct buf id = {0};
    buf_add_str(&id, r->name);
    if (k) {
        buf_addf(&id, "_%zu", k + 1);
        while (is_name(g, buf_span(&id)))
            buf_add_char(&id, '_');
    }
    buf_add_str(out, "\"operationId\":");
    json_quote(out, buf_span(&id));
    buf_fini(&id);
}

/* k: which of the route's paths. */
static void add_operation(struct buf *out, const struct gateway *g, const struct route *r, size_t k)
{
    buf_addf(out, "\"%s\":{",
        r->method == ROUTE_GET      ? "get"
        : r->method == ROUTE_DELETE ? "delete"
                                    : "post");
    add_id(out, g, r, k);
    buf_add_char(out, ',');
    add_string(out, "summary", summary_of(r));
    if (r->auth == ROUTE_JWT)
        buf_add_str(out, ",\"security\":[{\"bearer\":[]}]");
    else if (r->auth == ROUTE_OPTIONAL)
        buf_add_str(out, ",\"security\":[{\"bearer\":[]},{}]");
    add_body(out, r);
    add_parameters(out, r, r->paths[k]);
    add_responses(out, g, r);
    buf_add_char(out, '}');
}

/* True when an earlier route has that path: its methods stand together. */
static bool was_there(const struct gateway *g, size_t n_routes, size_t n_paths, const char *path)
{
    for (size_t i = 0; i <= n_routes && i < g->n_routes; i++)
        for (size_t k = 0; k < (i == n_routes ? n_paths : g->routes[i].n_paths); k++)
            if (strcmp(g->routes[i].paths[k], path) == 0)
                return true;
    return false;
}

static void add_path(struct buf *out, const struct gateway *g, const char *path)
{
    const char *before = "";
    json_quote(out, span_str(path));
    buf_add_str(out, ":{");
    for (size_t i = 0; i < g->n_routes; i++)
        for (size_t k = 0; k < g->routes[i].n_paths; k++) {
            if (strcmp(g->routes[i].paths[k], path) != 0)
                continue;
            buf_add_str(out, before);
            add_operation(out, g, &g->routes[i], k);
            before = ",";
            break;
        }
    buf_add_char(out, '}');
}

void gateway_add_openapi(const struct gateway *g, const char *version, struct buf *out)
{
    const char *before = "";
    buf_add_str(out, "{\"openapi\":\"3.1.0\",\"info\":{\"title\":\"Carillon gateway\",");
    add_string(out, "version", version);
    buf_add_str(out, "},\"components\":{\"securitySchemes\":{\"bearer\":{\"type\":\"http\","
                     "\"scheme\":\"bearer\",\"bearerFormat\":\"JWT\"}}},\"paths\":{");
    for (size_t i = 0; i < g->n_routes; i++)
        for (size_t k = 0; k < g->routes[i].n_paths; k++) {
            if (was_there(g, i, k, g->routes[i].paths[k]))
                continue;
            buf_add_str(out, before);
            add_path(out, g, g->routes[i].paths[k]);
            before = ",";
        }
    buf_add_str(out, "}}");
}

/* --- for people --------------------------------------------------------------------------------------- */

static void add_who(struct buf *out, const struct gateway *g, const struct route *r)
{
    const char *before = "";
    if (r->auth == ROUTE_NONE || r->auth == ROUTE_OPTIONAL) {
        buf_add_str(out, r->auth == ROUTE_NONE ? "anyone" : "anyone; a token counts");
        return;
    }
    if (r->action.who.is_user) {
        buf_add_str(out, "any user");
        return;
    }
    for (size_t i = 0; i < g->policy.roles.n; i++) {
        if (!(r->action.who.roles & 1U << i))
            continue;
        buf_addf(out, "%s%s", before, g->policy.roles.list[i].name);
        before = ", ";
    }
}

static void add_fields(struct buf *out, const struct action *a)
{
    const struct parameter *p;
    size_t at = 0;
    size_t from = out->len;
    for (size_t i = 0; i < a->n_fields; i++) {
        const struct field *f = &a->fields[i];
        buf_addf(out, "%s`%s` %s%s", out->len > from ? ", " : "", f->name, field_type_word(f->type),
            f->is_required ? "" : "?");
    }
    while (next_of_body(a, &at, &p))
        buf_addf(out, "%s`%s` %s%s", out->len > from ? ", " : "", p->name, field_type_word(p->type),
            p->need == NEED_REQUIRED ? "" : "?");
    if (out->len == from && has_parameter(a->builtin, PLACE_WHOLE))
        buf_add_str(out, "an object");
    else if (out->len == from)
        buf_add_str(out, "-");
}

static void add_query(struct buf *out, enum builtin builtin)
{
    const struct parameter *p;
    size_t at = 0;
    size_t from = out->len;
    while (next_parameter(builtin, PLACE_QUERY, &at, &p))
        buf_addf(out, "%s`%s`%s", out->len > from ? ", " : "", p->name,
            p->need == NEED_REQUIRED ? "" : "?");
    if (out->len == from)
        buf_add_str(out, "-");
}

void gateway_add_table(const struct gateway *g, struct buf *out)
{
    buf_add_str(
        out, "| method | path | who | body | query | what it does |\n|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < g->n_routes; i++) {
        const struct route *r = &g->routes[i];
        buf_addf(out, "| %s | ", route_method_word(r->method));
        for (size_t k = 0; k < r->n_paths; k++)
            buf_addf(out, "%s`%s`", k ? ", " : "", r->paths[k]);
        buf_add_str(out, " | ");
        add_who(out, g, r);
        buf_add_str(out, " | ");
        add_fields(out, &r->action);
        buf_add_str(out, " | ");
        add_query(out, r->action.builtin);
        buf_addf(out, " | %s |\n", summary_of(r));
    }
}
