/* The gateway's routes, as the file has them. */
#include "base/base.h"

#include "config_yaml.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/text.h"
#include "wire/json.h"

enum { ROUTES_MAX = 200, PATH_MAX_BYTES = 200, MAX_BODY = 1024 * 1024 };

struct route_reader {
    struct gateway_reader *r;
    struct route *route;
    struct action *action; // that is being read: the route's, or a case's
    struct dispatch_case *one;
    struct field *field;
    struct publish *publish;
    bool has_who;
};

#define IN(ctx) ((struct route_reader *)(ctx))

/* A scalar that is one of words; its index. */
static bool read_word(
    const struct pairs *p, const char *const *words, size_t n, unsigned *to, struct err *err)
{
    struct nearest nearest;
    char word[OPTION_NAME];
    if (!node_expect(p->file, p->value, YAML_SCALAR_NODE, p->path, err))
        return false;
    snprintf(word, sizeof word, "%.*s", SPAN(node_text(p->value)));
    nearest_init(&nearest, word);
    for (unsigned i = 0; i < n; i++) {
        if (strcmp(word, words[i]) == 0) {
            *to = i;
            return true;
        }
        nearest_try(&nearest, words[i]);
    }
    (void)err_set(err, 0, "unknown word '%s', did you mean '%s'?", word, nearest.best);
    return pairs_fail(p, err);
}

/* --- fields of a body --------------------------------------------------------------------------------- */

static bool field_type(void *ctx, const struct pairs *p, struct err *err)
{
    const char *words[FIELD_TYPES];
    unsigned i = 0;
    for (int k = 0; k < FIELD_TYPES; k++)
        words[k] = field_type_word((enum field_type)k);
    if (!read_word(p, words, FIELD_TYPES, &i, err))
        return false;
    IN(ctx)->field->type = (enum field_type)i;
    return true;
}

static bool field_required(void *ctx, const struct pairs *p, struct err *err)
{
    return pairs_bool(p, &IN(ctx)->field->is_required, err);
}

static bool field_nullable(void *ctx, const struct pairs *p, struct err *err)
{
    return pairs_bool(p, &IN(ctx)->field->may_be_null, err);
}

static bool field_empty(void *ctx, const struct pairs *p, struct err *err)
{
    return pairs_bool(p, &IN(ctx)->field->may_be_empty, err);
}

static bool field_or(void *ctx, const struct pairs *p, struct err *err)
{
    return pairs_text(p, &IN(ctx)->field->instead, err);
}

static bool field_max(void *ctx, const struct pairs *p, struct err *err)
{
    return pairs_u32(p, 1, MAX_BODY, &IN(ctx)->field->max_chars, err);
}

static bool field_default(void *ctx, const struct pairs *p, struct err *err)
{
    struct buf json = {0};
    bool ok = node_json(p->file, p->value, p->path, &json, err);
    free(IN(ctx)->field->initial);
    IN(ctx)->field->initial = mem_dup(json.p ? json.p : "", json.len);
    buf_fini(&json);
    return ok;
}

static bool field_enum(void *ctx, const struct pairs *p, struct err *err)
{
    return pairs_texts(p, &IN(ctx)->field->words, &IN(ctx)->field->n_words, err);
}

static bool read_field(struct route_reader *in, const struct pairs *p, struct err *err)
{
    static const struct group_part parts[] = {{"type", field_type}, {"required", field_required},
        {"nullable", field_nullable}, {"allow_empty", field_empty}, {"or", field_or},
        {"max_len", field_max}, {"default", field_default}, {"enum", field_enum}};
    static const struct group group = {"gateway.routes.body.", parts, COUNT_OF(parts)};
    struct action *a = in->action;
    if (p->key.len >= 128)
        return pairs_refuse(p, err, "the name is too long");
    a->fields = mem_array(a->fields, a->n_fields + 1, sizeof *a->fields);
    in->field = &a->fields[a->n_fields++];
    *in->field = (struct field){.name = mem_dup(p->key.p, p->key.len), .may_be_empty = true};
    if (p->value->type != YAML_MAPPING_NODE)
        return field_type(in, p, err); // "name: string" for short
    if (!group_read(&group, p->file, p->value, in, err))
        return false;
    if (in->field->initial && (in->field->is_required || memchr(p->key.p, '.', p->key.len)))
        return pairs_refuse(p, err, "a default is for an optional field of the body itself");
    return true;
}

static bool read_body(void *ctx, const struct pairs *of, struct err *err)
{
    struct pairs p;
    bool is_end;
    if (!pairs_start(&p, of->file, of->value, "gateway.routes.body.", err))
        return false;
    while (pairs_next(&p, &is_end, err)) {
        if (is_end)
            return true;
        if (!read_field(IN(ctx), &p, err))
            return false;
    }
    return false;
}

/* --- events ----------------------------------------------------------------------------------------------- */

static bool publish_when(void *ctx, const struct pairs *p, struct err *err)
{
    static const char *const words[] = {
        "accept", "step", "done", "failed", "upstream_ok", "upstream_error"};
    static const enum moment moments[] = {
        MOMENT_ACCEPT, MOMENT_STEP, MOMENT_DONE, MOMENT_FAILED, MOMENT_DONE, MOMENT_FAILED};
    unsigned i = 0;
    if (!read_word(p, words, COUNT_OF(words), &i, err))
        return false;
    IN(ctx)->publish->when = moments[i];
    return true;
}

static bool publish_channel(void *ctx, const struct pairs *p, struct err *err)
{
    struct publish *to = IN(ctx)->publish;
    struct span text;
    bool is_end;
    size_t at = 0;
    while (pairs_next_text(p, &at, &text, &is_end, err)) {
        if (is_end)
            return true;
        to->channels = mem_array(to->channels, to->n_channels + 1, sizeof *to->channels);
        if (!name_compile(&to->channels[to->n_channels], text, err))
            return pairs_fail(p, err);
        to->n_channels++;
    }
    return false;
}

static bool publish_event(void *ctx, const struct pairs *p, struct err *err)
{
    if (!node_expect(p->file, p->value, YAML_SCALAR_NODE, p->path, err))
        return false;
    return name_compile(&IN(ctx)->publish->event, node_text(p->value), err) || pairs_fail(p, err);
}

static bool publish_data(void *ctx, const struct pairs *p, struct err *err)
{
    return gateway_template(p->file, p, &IN(ctx)->publish->data, err);
}

static bool publish_exclude(void *ctx, const struct pairs *p, struct err *err)
{
    return pairs_bool(p, &IN(ctx)->publish->excludes_caller, err);
}

static struct publish *add_publish(struct action *a)
{
    a->publishes = mem_array(a->publishes, a->n_publishes + 1, sizeof *a->publishes);
    a->publishes[a->n_publishes] = (struct publish){0};
    return &a->publishes[a->n_publishes++];
}

static bool read_publish_item(
    void *ctx, const struct group *group, struct file *f, const yaml_node_t *node, struct err *err)
{
    struct route_reader *in = ctx;
    struct publish *p = in->publish = add_publish(in->action);
    if (!group_read(group, f, node, in, err))
        return false;
    if (p->n_channels && p->event.n_ops && p->data.n_ops)
        return true;
    (void)err_set(err, 0, "gateway.routes.publish: expected channel, event and data");
    return node_fail(f, node, err);
}

static bool read_publish(void *ctx, const struct pairs *p, struct err *err)
{
    static const struct group_part parts[] = {{"when", publish_when}, {"channel", publish_channel},
        {"event", publish_event}, {"data", publish_data}, {"exclude_caller", publish_exclude}};
    static const struct group group = {"gateway.routes.publish.", parts, COUNT_OF(parts)};
    return group_read_list(&group, p, ctx, read_publish_item, err);
}

/* What relay and echo are short for; field is the body's that names the type. */
static void add_relay(struct action *a, bool is_echo, const char *field)
{
    static const char *const channels[] = {"{body.channel}", "private-user-{user.id}"};
    struct publish *p = add_publish(a);
    struct buf data = {0};
    struct err err;
    bool ok = true;
    for (size_t i = is_echo; i < COUNT_OF(channels); i++) {
        p->channels = mem_array(p->channels, p->n_channels + 1, sizeof *p->channels);
        ok &= name_compile(&p->channels[p->n_channels++], span_str(channels[i]), &err);
    }
    ok &= name_compile(&p->event, span_str("message"), &err);
    buf_addf(&data,
        "{\"type\":\"{body.%s}\",\"payload\":\"{body.payload}\",\"user_id\":\"{user.id}\","
        "\"timestamp\":\"{now}\",\"request_id\":\"{request_id}\"}",
        field);
    ok &= template_compile(&p->data, buf_span(&data), &err);
    ENSURE(ok); // dispatch_field has looked at the name
    buf_fini(&data);
}

/* Once the whole route is known: the field may stand behind the cases. */
static void add_relays(struct route *r)
{
    struct dispatch *d = &r->dispatch;
    const char *field = d->field ? d->field : "message_type";
    if (r->action.builtin == BUILTIN_RELAY || r->action.builtin == BUILTIN_ECHO)
        add_relay(&r->action, r->action.builtin == BUILTIN_ECHO, field);
    for (size_t i = 0; i < d->n_cases; i++) {
        struct action *a = &d->cases[i].action;
        if (a->builtin == BUILTIN_RELAY || a->builtin == BUILTIN_ECHO)
            add_relay(a, a->builtin == BUILTIN_ECHO, field);
    }
    if (d->field && d->otherwise != DISPATCH_REJECT)
        add_relay(&d->fallback, d->otherwise == DISPATCH_ECHO, field);
}

/* --- upstreams ------------------------------------------------------------------------------------------- */

static bool upstream_url(void *ctx, const struct pairs *p, struct err *err)
{
    struct upstream *u = &IN(ctx)->action->upstream;
    if (!pairs_text(p, &u->url, err))
        return false;
    return text_is_url(span_str(u->url)) ||
           pairs_refuse(
               p, err, "expected http:// or https:// with a host, and neither credentials nor #");
}

static bool upstream_timeout(void *ctx, const struct pairs *p, struct err *err)
{
    return pairs_u32(p, 1, 600000, &IN(ctx)->action->upstream.timeout_ms, err);
}

static bool upstream_retries(void *ctx, const struct pairs *p, struct err *err)
{
    return pairs_u32(p, 0, 1, &IN(ctx)->action->upstream.retries, err);
}

static bool upstream_inflight(void *ctx, const struct pairs *p, struct err *err)
{
    return pairs_u32(p, 1, 10000, &IN(ctx)->action->upstream.max_inflight, err);
}

static bool upstream_bytes(void *ctx, const struct pairs *p, struct err *err)
{
    return pairs_u32(p, 1, 16 * MAX_BODY, &IN(ctx)->action->upstream.reply_bytes, err);
}

static bool upstream_mode(void *ctx, const struct pairs *p, struct err *err)
{
    static const char *const words[] = {"sync", "async"};
    unsigned i = 0;
    if (!read_word(p, words, COUNT_OF(words), &i, err))
        return false;
    IN(ctx)->action->upstream.is_async = i == 1;
    return true;
}

static bool upstream_secret(void *ctx, const struct pairs *p, struct err *err)
{
    size_t len;
    return gateway_secret(IN(ctx)->r, p, "secret", &IN(ctx)->action->upstream.secret, &len, err);
}

static bool upstream_forward(void *ctx, const struct pairs *p, struct err *err)
{
    struct span text;
    bool is_end;
    size_t at = 0;
    while (pairs_next_text(p, &at, &text, &is_end, err)) {
        if (is_end)
            return true;
        if (!span_is(text, "authorization"))
            return pairs_refuse(p, err, "only 'authorization' can be forwarded");
        IN(ctx)->action->upstream.forwards_authorization = true;
    }
    return false;
}

static bool read_upstream(void *ctx, const struct pairs *p, struct err *err)
{
    static const struct group_part parts[] = {{"url", upstream_url},
        {"timeout_ms", upstream_timeout}, {"mode", upstream_mode}, {"retries", upstream_retries},
        {"max_inflight", upstream_inflight}, {"reply_bytes", upstream_bytes},
        {"secret", upstream_secret}, {"secret_env", upstream_secret},
        {"secret_file", upstream_secret}, {"forward", upstream_forward}};
    static const struct group group = {"gateway.routes.upstream.", parts, COUNT_OF(parts)};
    struct upstream *u = &IN(ctx)->action->upstream;
    *u = (struct upstream){
        .timeout_ms = 10000, .retries = 1, .max_inflight = 64, .reply_bytes = 256 * 1024};
    return group_read(&group, p->file, p->value, ctx, err) &&
           (u->url || pairs_refuse(p, err, "url is missing"));
}

/* --- demonstrations, metrics ------------------------------------------------------------------------- */

static bool demo_every(void *ctx, const struct pairs *p, struct err *err)
{
    return pairs_u32(p, 10, 600000, &IN(ctx)->action->demo.every_ms, err);
}

static bool demo_steps(void *ctx, const struct pairs *p, struct err *err)
{
    struct demo *demo = &IN(ctx)->action->demo;
    struct span text;
    bool is_end;
    size_t at = 0;
    while (pairs_next_text(p, &at, &text, &is_end, err)) {
        uint64_t n;
        if (is_end)
            return true;
        if (!text_to_u64(text, &n) || n > 100 || demo->n_steps == 100)
            return pairs_refuse(p, err, "expected percentages, at most 100 of them");
        demo->steps = mem_array(demo->steps, demo->n_steps + 1, sizeof *demo->steps);
        demo->steps[demo->n_steps++] = (uint32_t)n;
    }
    return false;
}

static bool read_demo(void *ctx, const struct pairs *p, struct err *err)
{
    static const struct group_part parts[] = {{"every_ms", demo_every}, {"steps", demo_steps}};
    static const struct group group = {"gateway.routes.demo.", parts, COUNT_OF(parts)};
    return group_read(&group, p->file, p->value, ctx, err);
}

static bool read_every(void *ctx, const struct pairs *p, struct err *err)
{
    return pairs_u32(p, 250, 3600000, &IN(ctx)->action->every_ms, err);
}

static bool read_wait(void *ctx, const struct pairs *p, struct err *err)
{
    return pairs_u32(p, 0, 25, &IN(ctx)->action->wait_s, err);
}

static bool read_builtin(void *ctx, const struct pairs *p, struct err *err)
{
    const char *words[BUILTINS];
    unsigned i = 0;
    for (int k = 0; k < BUILTINS; k++)
        words[k] = builtin_word((enum builtin)k);
    if (!read_word(p, words, BUILTINS, &i, err))
        return false;
    IN(ctx)->action->builtin = (enum builtin)i;
    return true;
}

/* --- who -------------------------------------------------------------------------------------------------- */

static bool read_roles(void *ctx, const struct pairs *p, struct err *err)
{
    IN(ctx)->has_who = true;
    return gateway_who(IN(ctx)->r->gateway, p, &IN(ctx)->action->who, err);
}

static bool read_min_role(void *ctx, const struct pairs *p, struct err *err)
{
    char word[OPTION_NAME];
    if (!node_expect(p->file, p->value, YAML_SCALAR_NODE, p->path, err))
        return false;
    snprintf(word, sizeof word, "%.*s+", SPAN(node_text(p->value)));
    IN(ctx)->has_who = true;
    return who_add(
               &IN(ctx)->action->who, &IN(ctx)->r->gateway->policy.roles, span_str(word), err) ||
           pairs_fail(p, err);
}

/* --- dispatch ------------------------------------------------------------------------------------------------ */

static bool case_route(void *ctx, const struct pairs *p, struct err *err)
{
    return pairs_text(p, &IN(ctx)->one->route_name, err);
}

static bool case_request(void *ctx, const struct pairs *p, struct err *err)
{
    return gateway_template(p->file, p, &IN(ctx)->one->body, err);
}

static bool case_reply(void *ctx, const struct pairs *p, struct err *err)
{
    IN(ctx)->one->has_reply = true;
    return gateway_template(p->file, p, &IN(ctx)->one->reply, err);
}

static bool read_case(struct route_reader *in, const struct pairs *p, struct err *err)
{
    static const struct group_part parts[] = {{"body", read_body}, {"publish", read_publish},
        {"upstream", read_upstream}, {"builtin", read_builtin}, {"demo", read_demo},
        {"roles", read_roles}, {"min_role", read_min_role}, {"route", case_route},
        {"request", case_request}, {"reply", case_reply}};
    static const struct group group = {"gateway.routes.dispatch.cases.", parts, COUNT_OF(parts)};
    struct dispatch *d = &in->route->dispatch;
    d->cases = mem_array(d->cases, d->n_cases + 1, sizeof *d->cases);
    in->one = &d->cases[d->n_cases++];
    *in->one = (struct dispatch_case){.value = mem_dup(p->key.p, p->key.len), .route = -1};
    in->action = &in->one->action;
    in->action->who.is_user = true; // who may call the route may send this type
    in->has_who = false;
    if (p->value->type == YAML_SCALAR_NODE)
        return read_builtin(in, p, err); // "type: relay" for short
    struct who any = in->action->who;
    in->action->who = (struct who){0};
    if (!group_read(&group, p->file, p->value, in, err))
        return false;
    if (!in->has_who)
        in->action->who = any;
    return true;
}

static bool dispatch_cases(void *ctx, const struct pairs *of, struct err *err)
{
    struct pairs p;
    bool is_end;
    struct action *action = IN(ctx)->action;
    bool has_who = IN(ctx)->has_who;
    if (!pairs_start(&p, of->file, of->value, "gateway.routes.dispatch.cases.", err))
        return false;
    while (pairs_next(&p, &is_end, err) && !is_end)
        if (!read_case(IN(ctx), &p, err))
            return false;
    IN(ctx)->action = action;
    IN(ctx)->has_who = has_who;
    return is_end;
}

static bool dispatch_field(void *ctx, const struct pairs *p, struct err *err)
{
    char **to = &IN(ctx)->route->dispatch.field;
    if (!pairs_text(p, to, err))
        return false;
    size_t n = strspn(*to, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
    return (n && !(*to)[n]) || pairs_refuse(p, err, "expected a name of letters, digits, _ and -");
}

static bool dispatch_default(void *ctx, const struct pairs *p, struct err *err)
{
    static const char *const words[] = {"relay", "echo", "reject"};
    unsigned i = 0;
    if (!read_word(p, words, COUNT_OF(words), &i, err))
        return false;
    IN(ctx)->route->dispatch.otherwise = (enum dispatch_default)i;
    return true;
}

static bool read_dispatch(void *ctx, const struct pairs *p, struct err *err)
{
    static const struct group_part parts[] = {
        {"field", dispatch_field}, {"cases", dispatch_cases}, {"default", dispatch_default}};
    static const struct group group = {"gateway.routes.dispatch.", parts, COUNT_OF(parts)};
    struct dispatch *d = &IN(ctx)->route->dispatch;
    if (!group_read(&group, p->file, p->value, ctx, err))
        return false;
    d->fallback.who.is_user = true;
    return d->field || pairs_refuse(p, err, "field is missing");
}

/* --- routes ----------------------------------------------------------------------------------------------------- */

static bool route_name(void *ctx, const struct pairs *p, struct err *err)
{
    return pairs_text(p, &IN(ctx)->route->name, err);
}

static bool route_summary(void *ctx, const struct pairs *p, struct err *err)
{
    return pairs_text(p, &IN(ctx)->route->summary, err);
}

static bool route_forbidden(void *ctx, const struct pairs *p, struct err *err)
{
    return pairs_text(p, &IN(ctx)->route->forbidden, err);
}

static bool route_method(void *ctx, const struct pairs *p, struct err *err)
{
    const char *words[ROUTE_METHODS];
    unsigned i = 0;
    for (int k = 0; k < ROUTE_METHODS; k++)
        words[k] = route_method_word((enum route_method)k);
    if (!read_word(p, words, ROUTE_METHODS, &i, err))
        return false;
    IN(ctx)->route->method = (enum route_method)i;
    return true;
}

/* What the server's own routes are found by. */
static bool is_taken(struct span path)
{
    static const char *const prefixes[] = {"/apps/", "/app/", "/events/"};
    static const char *const paths[] = {"/", "/health", "/ready", "/metrics"};
    for (size_t i = 0; i < COUNT_OF(prefixes); i++)
        if (span_starts(path, prefixes[i]))
            return true;
    for (size_t i = 0; i < COUNT_OF(paths); i++)
        if (span_is(path, paths[i]))
            return true;
    return false;
}

static bool route_path(void *ctx, const struct pairs *p, struct err *err)
{
    struct route *route = IN(ctx)->route;
    struct span text;
    bool is_end;
    size_t at = 0;
    while (pairs_next_text(p, &at, &text, &is_end, err)) {
        if (is_end)
            return true;
        bool ok = text.len && text.p[0] == '/' && text.len <= PATH_MAX_BYTES && !is_taken(text);
        for (size_t i = 0; i < text.len; i++)
            ok &= text.p[i] > ' ' && text.p[i] <= '~' && !strchr("?#\"%\\", text.p[i]);
        if (!ok)
            return pairs_refuse(
                p, err, "expected a path as /api/name that is not the server's own");
        route->paths = mem_array(route->paths, route->n_paths + 1, sizeof *route->paths);
        route->paths[route->n_paths++] = mem_dup(text.p, text.len);
    }
    return false;
}

static bool route_auth(void *ctx, const struct pairs *p, struct err *err)
{
    static const char *const words[] = {"jwt", "none", "optional"};
    unsigned i = 0;
    if (!read_word(p, words, COUNT_OF(words), &i, err))
        return false;
    IN(ctx)->route->auth = (enum route_auth)i;
    return true;
}

static bool rate_limit(void *ctx, const struct pairs *p, struct err *err)
{
    return pairs_u32(p, 1, 1000000, &IN(ctx)->route->rate_limit, err);
}

static bool rate_window(void *ctx, const struct pairs *p, struct err *err)
{
    return pairs_u32(p, 1, 86400, &IN(ctx)->route->rate_window_s, err);
}

static bool route_rate(void *ctx, const struct pairs *p, struct err *err)
{
    static const struct group_part parts[] = {{"per_user", rate_limit}, {"window_s", rate_window}};
    static const struct group group = {"gateway.routes.rate_limit.", parts, COUNT_OF(parts)};
    return group_read(&group, p->file, p->value, ctx, err);
}

static bool route_max_body(void *ctx, const struct pairs *p, struct err *err)
{
    return pairs_u32(p, 1, MAX_BODY, &IN(ctx)->route->max_body, err);
}

static bool reply_status(void *ctx, const struct pairs *p, struct err *err)
{
    uint32_t status;
    if (!pairs_u32(p, 200, 299, &status, err))
        return false;
    IN(ctx)->route->status = (int)status;
    return true;
}

static bool reply_body(void *ctx, const struct pairs *p, struct err *err)
{
    IN(ctx)->route->has_reply = true;
    return gateway_template(p->file, p, &IN(ctx)->route->reply, err);
}

static bool route_reply(void *ctx, const struct pairs *p, struct err *err)
{
    static const struct group_part parts[] = {{"status", reply_status}, {"body", reply_body}};
    static const struct group group = {"gateway.routes.reply.", parts, COUNT_OF(parts)};
    return group_read(&group, p->file, p->value, ctx, err);
}

/* What is missing, or does not go together; NULL when all is well. */
static const char *fault_of(const struct route *r)
{
    const struct action *a = &r->action;
    if (!r->name)
        return "name is missing";
    if (!r->n_paths)
        return "path is missing";
    if (r->auth != ROUTE_JWT && r->rate_limit)
        return "rate_limit.per_user needs auth: jwt";
    if (r->has_reply && (r->status == 204 || r->status == 205))
        return "a reply with status 204 or 205 has no body";
    if (a->builtin == BUILTIN_DEMO_PROGRESS && !a->demo.n_steps)
        return "builtin demo_progress needs demo.steps";
    if (a->builtin != BUILTIN_SERVER_METRICS)
        return NULL;
    for (size_t i = 0; i < a->n_publishes; i++)
        for (size_t k = 0; k < a->publishes[i].n_channels; k++)
            if (!name_is_fixed(&a->publishes[i].channels[k]))
                return "with builtin server_metrics a channel holds no variables";
    return NULL;
}

static bool read_route(
    void *ctx, const struct group *group, struct file *f, const yaml_node_t *node, struct err *err)
{
    struct gateway_reader *r = ctx;
    struct gateway *g = r->gateway;
    g->routes = mem_array(g->routes, g->n_routes + 1, sizeof *g->routes);
    struct route *route = &g->routes[g->n_routes++];
    *route = (struct route){.method = ROUTE_POST,
        .status = 200,
        .max_body = 65536,
        .rate_window_s = 60,
        .action = {.every_ms = 5000, .wait_s = 25, .demo.every_ms = 1000}};
    struct route_reader in = {.r = r, .route = route, .action = &route->action};
    if (!group_read(group, f, node, &in, err))
        return false;
    if (!in.has_who)
        route->action.who = (struct who){.is_user = true, .is_anyone = route->auth != ROUTE_JWT};
    add_relays(route);
    const char *fault = g->n_routes > ROUTES_MAX ? "there are more than 200" : fault_of(route);
    if (!fault)
        return true;
    (void)err_set(err, 0, "gateway.routes: %s", fault);
    return node_fail(f, node, err);
}

/* A case may name a route that stands further down. */
static bool find_routes(struct gateway *g, const struct pairs *p, struct err *err)
{
    for (size_t i = 0; i < g->n_routes; i++)
        for (size_t k = 0; k < g->routes[i].dispatch.n_cases; k++) {
            struct dispatch_case *c = &g->routes[i].dispatch.cases[k];
            for (size_t n = 0; c->route_name && n < g->n_routes; n++)
                if (strcmp(g->routes[n].name, c->route_name) == 0 && !g->routes[n].dispatch.field)
                    c->route = (int)n;
            if (c->route_name && c->route < 0) {
                (void)err_set(err, 0,
                    "dispatch: there is no route '%s' without a dispatch of its own",
                    c->route_name);
                return pairs_fail(p, err);
            }
        }
    return true;
}

static bool refuse_twins(const struct gateway *g, const struct pairs *p, struct err *err)
{
    for (size_t i = 0; i < g->n_routes; i++)
        for (size_t k = 0; k < i; k++) {
            bool has_path = false;
            for (size_t n = 0; n < g->routes[i].n_paths; n++) {
                struct span method = span_str(route_method_word(g->routes[i].method));
                has_path |= route_find(&g->routes[k], 1, span_str(g->routes[i].paths[n]), method,
                                &(bool){false}) != NULL;
            }
            if (has_path || strcmp(g->routes[i].name, g->routes[k].name) == 0) {
                (void)err_set(err, 0, "'%s' and '%s' have one name, or one method and path",
                    g->routes[k].name, g->routes[i].name);
                return pairs_fail(p, err);
            }
        }
    return true;
}

bool file_routes(struct gateway_reader *r, const struct pairs *p, struct err *err)
{
    static const struct group_part parts[] = {{"name", route_name}, {"summary", route_summary},
        {"method", route_method}, {"path", route_path}, {"aliases", route_path},
        {"auth", route_auth}, {"roles", read_roles}, {"min_role", read_min_role},
        {"forbidden", route_forbidden}, {"rate_limit", route_rate}, {"body", read_body},
        {"max_body", route_max_body}, {"publish", read_publish}, {"dispatch", read_dispatch},
        {"upstream", read_upstream}, {"builtin", read_builtin}, {"demo", read_demo},
        {"every_ms", read_every}, {"wait_s", read_wait}, {"reply", route_reply}};
    static const struct group group = {"gateway.routes.", parts, COUNT_OF(parts)};
    return group_read_list(&group, p, r, read_route, err) && find_routes(r->gateway, p, err) &&
           refuse_twins(r->gateway, p, err);
}
