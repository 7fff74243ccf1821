/* The routes, described: as OpenAPI 3.1 for programs, as a table for people. */
#include "base/base.h"

#include <stdio.h>

#include "gateway/gateway.h"

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
    buf_add_char(out, '{');
    if (f->type != FIELD_ANY)
        buf_addf(out, f->may_be_null ? "\"type\":[\"%s\",\"null\"]" : "\"type\":\"%s\"",
            field_type_word(f->type));
    if (f->max_chars)
        buf_addf(out, "%s\"maxLength\":%u", f->type != FIELD_ANY ? "," : "", f->max_chars);
    if (f->initial)
        buf_addf(out, "%s\"default\":%s", f->type != FIELD_ANY ? "," : "", f->initial);
    for (size_t i = 0; i < f->n_words; i++) {
        buf_add_str(out, i ? "," : ",\"enum\":[");
        json_quote(out, span_str(f->words[i]));
    }
    buf_add_str(out, f->n_words ? "]}" : "}");
}

static void add_body(struct buf *out, const struct action *a)
{
    const char *before = "";
    buf_add_str(out,
        ",\"requestBody\":{\"required\":true,\"content\":{\"application/json\":{\"schema\":{"
        "\"type\":\"object\",\"properties\":{");
    for (size_t i = 0; i < a->n_fields; i++) {
        if (strchr(a->fields[i].name, '.'))
            continue;
        buf_add_str(out, before);
        json_quote(out, span_str(a->fields[i].name));
        buf_add_char(out, ':');
        add_type(out, &a->fields[i]);
        before = ",";
    }
    buf_add_str(out, "},\"required\":[");
    before = "";
    for (size_t i = 0; i < a->n_fields; i++) {
        if (!a->fields[i].is_required || a->fields[i].instead || strchr(a->fields[i].name, '.'))
            continue;
        buf_add_str(out, before);
        json_quote(out, span_str(a->fields[i].name));
        before = ",";
    }
    buf_add_str(out, "]}}}}");
}

static void add_response(struct buf *out, int status, const char *text)
{
    buf_addf(out, ",\"%d\":{", status);
    add_string(out, "description", text);
    buf_add_char(out, '}');
}

static void add_responses(struct buf *out, const struct route *r)
{
    buf_addf(out, ",\"responses\":{\"%d\":{", r->status);
    add_string(out, "description", "done");
    buf_add_char(out, '}');
    if (r->auth != ROUTE_NONE)
        add_response(out, 401, "no valid token");
    if (r->auth != ROUTE_NONE)
        add_response(out, 403, "the token's owner may not do this");
    if (r->action.n_fields)
        add_response(out, 422, "the body, named field by field");
    if (r->rate_limit)
        add_response(out, 429, "too often; Retry-After says when");
    if (r->action.upstream.url) {
        add_response(out, 502, "the upstream gave no good answer");
        add_response(out, 503, "the upstream is not asked for now");
        add_response(out, 504, "the upstream took too long");
    }
    buf_add_char(out, '}');
}

static void add_poll_parameters(struct buf *out)
{
    buf_add_str(out,
        ",\"parameters\":["
        "{\"name\":\"session\",\"in\":\"query\",\"schema\":{\"type\":\"string\"},"
        "\"description\":\"session_id of the last answer\"},"
        "{\"name\":\"since\",\"in\":\"query\",\"schema\":{\"type\":\"array\",\"items\":"
        "{\"type\":\"string\"}},\"description\":\"CHANNEL:EPOCH:OFFSET, repeated\"},"
        "{\"name\":\"wait\",\"in\":\"query\",\"schema\":{\"type\":\"integer\","
        "\"minimum\":0,\"maximum\":25},\"description\":\"seconds\"}]");
}

static void add_operation(struct buf *out, const struct route *r)
{
    buf_addf(out, "\"%s\":{",
        r->method == ROUTE_GET      ? "get"
        : r->method == ROUTE_DELETE ? "delete"
                                    : "post");
    add_string(out, "operationId", r->name);
    buf_add_char(out, ',');
    add_string(out, "summary", summary_of(r));
    if (r->auth == ROUTE_JWT)
        buf_add_str(out, ",\"security\":[{\"bearer\":[]}]");
    else if (r->auth == ROUTE_OPTIONAL)
        buf_add_str(out, ",\"security\":[{\"bearer\":[]},{}]");
    if (r->action.n_fields)
        add_body(out, &r->action);
    if (r->action.builtin == BUILTIN_POLL)
        add_poll_parameters(out);
    add_responses(out, r);
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
            add_operation(out, &g->routes[i]);
            before = ",";
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
    const char *before = "";
    for (size_t i = 0; i < a->n_fields; i++) {
        const struct field *f = &a->fields[i];
        buf_addf(out, "%s`%s` %s%s", before, f->name, field_type_word(f->type),
            f->is_required ? "" : "?");
        before = ", ";
    }
    if (!a->n_fields)
        buf_add_str(out, "-");
}

void gateway_add_table(const struct gateway *g, struct buf *out)
{
    buf_add_str(out, "| method | path | who | body | what it does |\n|---|---|---|---|---|\n");
    for (size_t i = 0; i < g->n_routes; i++) {
        const struct route *r = &g->routes[i];
        buf_addf(out, "| %s | ", route_method_word(r->method));
        for (size_t k = 0; k < r->n_paths; k++)
            buf_addf(out, "%s`%s`", k ? ", " : "", r->paths[k]);
        buf_add_str(out, " | ");
        add_who(out, g, r);
        buf_add_str(out, " | ");
        add_fields(out, &r->action);
        buf_addf(out, " | %s |\n", summary_of(r));
    }
}
