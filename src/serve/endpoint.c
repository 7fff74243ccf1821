/* The application's endpoints: who asks, what, and which action it becomes. */
#include "base/base.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/text.h"
#include "gateway/quota.h"
#include "serve/act.h"
#include "serve/bridge.h"
#include "serve/once.h"
#include "wire/json.h"

/* --- pages of other origins ------------------------------------------------------------------------- */

void endpoint_cors(const struct gateway *g, const char *origin, char *out, size_t room)
{
    if (!origin[0])
        return;
    bool is_allowed = gateway_allows_origin(g, span_str(origin));
    snprintf(out, room, "%s%s%sVary: Origin\r\n%s",
        is_allowed ? "Access-Control-Allow-Origin: " : "", is_allowed ? origin : "",
        is_allowed ? "\r\nAccess-Control-Expose-Headers: Retry-After, WWW-Authenticate\r\n" : "",
        is_allowed && g->cors.has_credentials ? "Access-Control-Allow-Credentials: true\r\n" : "");
}

/* An origin that can be repeated in a header; "" otherwise. */
static void copy_origin(struct span origin, char out[256])
{
    out[0] = '\0';
    if (origin.len >= 256)
        return;
    for (size_t i = 0; i < origin.len; i++)
        if (origin.p[i] <= ' ' || origin.p[i] > '~')
            return;
    if (origin.len)
        memcpy(out, origin.p, origin.len);
    out[origin.len] = '\0';
}

static void preflight(
    struct serve *s, struct conn *c, const struct http_head *head, struct span path)
{
    const struct gateway *g = s->config->gateway;
    struct buf lines = {0};
    struct buf methods = {0};
    char origin[256];
    char cors[512] = "";
    copy_origin(head->origin, origin);
    route_add_methods(g->routes, g->n_routes, path, &methods);
    endpoint_cors(g, origin, cors, sizeof cors);
    buf_addf(&lines,
        "Allow: %.*s\r\n%sAccess-Control-Allow-Methods: %.*s\r\n"
        "Access-Control-Allow-Headers: %s\r\nAccess-Control-Max-Age: 600\r\n",
        SPAN(buf_span(&methods)), cors, SPAN(buf_span(&methods)), g->cors.headers);
    buf_add_char(&lines, '\0');
    conn_reply(s, c, &(struct reply){.status = 204, .headers = lines.p});
    buf_fini(&lines);
    buf_fini(&methods);
}

/* An answer to what did not become an act. */
static void reply_detail(struct serve *s, struct conn *c, const struct http_head *head, int status,
    const char *detail, const char *allow)
{
    char origin[256];
    char headers[512] = "";
    struct buf body = {0};
    copy_origin(head->origin, origin);
    size_t n = allow ? (size_t)snprintf(headers, sizeof headers, "Allow: %s\r\n", allow) : 0;
    endpoint_cors(s->config->gateway, origin, headers + n, sizeof headers - n);
    buf_add_str(&body, "{\"detail\":");
    json_quote(&body, span_str(detail));
    buf_add_char(&body, '}');
    conn_reply(s, c,
        &(struct reply){.status = status,
            .type = "application/json",
            .body = buf_span(&body),
            .headers = headers});
    buf_fini(&body);
}

/* --- who -------------------------------------------------------------------------------------------- */

enum jwt_result endpoint_caller(
    const struct gateway *g, struct span authorization, struct caller *caller)
{
    struct span token;
    *caller = (struct caller){0};
    if (!gateway_bearer(authorization, &token))
        return authorization.len ? JWT_MALFORMED : JWT_OK;
    return jwt_verify(&g->jwt, token, clock_wall_ms() / 1000, caller);
}

static bool refuse_token(struct act *a, const char *detail, const char *why)
{
    log_event(LOG_INFO, "gateway_unauthorised", "route=%s why=\"%s\"", a->route->name, why);
    return act_fail(a, 401, "%s", detail);
}

static bool check_caller(struct act *a, const struct http_head *head)
{
    if (a->route->auth == ROUTE_NONE)
        return true;
    enum jwt_result result = endpoint_caller(a->gateway, head->authorization, &a->caller);
    if (result != JWT_OK)
        return refuse_token(a, jwt_detail(result), jwt_sentence(result));
    if (!a->caller.is_known && a->route->auth == ROUTE_JWT)
        return refuse_token(a, "Authorization header missing", "there is no token");
    return true;
}

static bool check_role(struct act *a, const struct action *action)
{
    if (who_holds(&action->who, &a->gateway->policy.roles, &a->caller))
        return true;
    log_event(LOG_INFO, "gateway_denied", "route=%s action=call rule=roles", a->route->name);
    return act_fail(
        a, 403, "%s", a->route->forbidden ? a->route->forbidden : "Insufficient permissions");
}

static bool check_rate(struct serve *s, struct act *a, const struct route *r)
{
    struct buf name = {0};
    if (!r->rate_limit)
        return true;
    buf_addf(&name, "%s\n", r->name);
    buf_add_span(&name, a->caller.id);
    uint32_t wait_s = quota_take(
        s->house->quota, buf_span(&name), r->rate_limit, r->rate_window_s, s->now_us / 1000);
    buf_fini(&name);
    if (!wait_s)
        return true;
    snprintf(a->headers, sizeof a->headers, "Retry-After: %u\r\n", wait_s);
    return act_fail(a, 429, "Rate limit exceeded. Retry after %u seconds", wait_s);
}

/* --- what ------------------------------------------------------------------------------------------- */

static bool is_form(const struct http_head *head)
{
    static const char form[] = "application/x-www-form-urlencoded";
    size_t n = sizeof form - 1;
    return head->content_type.len >= n && text_eq_nocase(span_of(head->content_type.p, n), form);
}

static bool is_signing(const struct act *a)
{
    return a->action->builtin == BUILTIN_AUTH || a->action->builtin == BUILTIN_USER_AUTH;
}

static bool fail_body(struct act *a, const char *type, const char *message)
{
    struct buf list = {0};
    if (is_signing(a))
        return act_fail(a, 400, "Invalid request format");
    fault_add(&list, type, span_str("body"), "", message, NULL);
    (void)act_fail_fields(a, &list);
    buf_fini(&list);
    return false;
}

/* Takes text, an object, as the body: its defaults filled in. */
static bool take_body(struct act *a, struct span text)
{
    struct json given;
    if (!json_parse(text, &given))
        return fail_body(a, "json_invalid", "JSON decode error");
    if (given.kind != JSON_OBJECT)
        return fail_body(a, "model_attributes_type",
            "Input should be a valid dictionary or object to extract fields from");
    buf_fini(&a->body);
    fields_complete(a->action->fields, a->action->n_fields, &given, &a->body);
    bool ok = json_parse(buf_span(&a->body), &a->scene.body);
    ENSURE(ok);
    return true;
}

static bool read_body(struct act *a, const struct http_head *head, struct span body)
{
    struct buf json = {0};
    bool ok;
    if (a->route->method == ROUTE_GET)
        return true;
    /* Who forgets the header means JSON all the same; no form begins so. */
    if (is_form(head) && !span_starts(body, "{")) {
        ok = form_to_json(body, &json) ? take_body(a, buf_span(&json))
                                       : fail_body(a, "form_invalid", "The form is not UTF-8");
    } else if (body.len) {
        ok = take_body(a, body);
    } else if (a->action->n_fields && !is_signing(a)) {
        ok = fail_body(a, "missing", "Field required");
    } else {
        ok = take_body(a, span_str("{}"));
    }
    buf_fini(&json);
    return ok;
}

static bool check_fields(struct act *a, const struct action *action)
{
    struct buf list = {0};
    size_t n = fields_check(action->fields, action->n_fields, &a->scene.body, &list);
    if (n)
        (void)act_fail_fields(a, &list);
    buf_fini(&list);
    return n == 0;
}

/* A member of the body that is a string, decoded into out. */
static bool body_text(const struct act *a, const char *name, struct buf *out)
{
    struct json_field field = {name, {0}};
    struct span text;
    if (a->scene.body.kind == JSON_OBJECT)
        json_fields(&a->scene.body, &field, 1);
    if (field.value.kind != JSON_STRING || !json_decode(&field.value, out, &text))
        return false;
    if (text.p < out->p || text.p >= out->p + out->cap) { // a slice of the body
        out->len = 0;
        buf_add_span(out, text);
    }
    return true;
}

/* The caller's own name for the request, or a random UUID. */
static void name_request(struct act *a)
{
    struct buf own = {0};
    bool is_own = body_text(a, "request_id", &own) && own.len && own.len <= REQUEST_ID_MAX;
    for (size_t i = 0; i < own.len && is_own; i++)
        is_own = own.p[i] > ' ' && own.p[i] <= '~' && own.p[i] != '"' && own.p[i] != '\\';
    if (is_own) {
        memcpy(a->request_id, own.p, own.len);
    } else {
        rand_uuid(a->request_id);
    }
    a->scene.request_id = span_str(a->request_id);
    buf_fini(&own);
}

/* The socket that the caller has: X-Socket-Id, or the body's socket_id. */
static bool read_socket(struct act *a, const struct http_head *head)
{
    struct buf text = {0};
    bool ok = true;
    if (head->socket_id.len)
        ok = socket_id_read(head->socket_id, &a->except) ||
             act_fail_value(a, "header", "X-Socket-Id", "two numbers joined by a dot are needed");
    else if (!is_signing(a) && body_text(a, "socket_id", &text))
        ok = socket_id_read(buf_span(&text), &a->except) ||
             act_fail_value(a, "body", "socket_id", "two numbers joined by a dot are needed");
    buf_fini(&text);
    return ok;
}

/* --- which action --------------------------------------------------------------------------------------- */

/* The case is that of another route: its action and its limits, and a body made for it. */
static bool become(struct serve *s, struct act *a, const struct dispatch_case *one)
{
    struct buf body = {0};
    const struct route *other = &a->gateway->routes[one->route];
    a->action = &other->action;
    if (one->body.n_ops)
        template_write(&one->body, &a->scene, &body);
    else
        buf_add_str(&body, "{}");
    bool ok = check_role(a, a->action) && check_rate(s, a, other) &&
              take_body(a, buf_span(&body)) && check_fields(a, a->action);
    buf_fini(&body);
    return ok;
}

static bool choose(struct serve *s, struct act *a)
{
    struct chosen chosen = route_choose(a->route, a->gateway->is_strict, &a->scene.body);
    if (!a->route->dispatch.field)
        return true;
    if (!chosen.action)
        return act_fail_value(
            a, "body", a->route->dispatch.field, "Unknown message type: there is no such one");
    if (!check_role(a, chosen.action) || !check_fields(a, chosen.action))
        return false;
    if (chosen.one && chosen.one->has_reply)
        a->reply_form = &chosen.one->reply;
    if (chosen.one && chosen.one->route >= 0)
        return become(s, a, chosen.one);
    a->action = chosen.action;
    return true;
}

static bool run(struct serve *s, struct act *a)
{
    if (!builtin_run(s, a) || !act_publish(s, a, MOMENT_ACCEPT))
        return false;
    if (a->action->upstream.url) {
        job_ask_upstream(s, a);
        return true;
    }
    if (a->action->builtin == BUILTIN_DEMO_PROGRESS)
        job_begin_demo(s, a);
    else if (!act_publish(s, a, MOMENT_DONE))
        return false;
    return true;
}

static void set_scene(struct act *a, const struct http_head *head, struct span path)
{
    buf_add_span(&a->query, head->query);
    buf_add_span(&a->path, path);
    a->scene.query = buf_span(&a->query);
    a->scene.path = buf_span(&a->path);
    a->scene.route_path = span_str(a->route->paths[0]);
    for (size_t i = 1; i < a->route->n_paths; i++)
        if (span_eq(path, span_str(a->route->paths[i])))
            a->scene.route_path = span_str(a->route->paths[i]);
    copy_origin(head->origin, a->origin);
}

/* What its upstream is to see of the request. */
static void keep_authorization(struct act *a, const struct http_head *head)
{
    if (a->action->upstream.forwards_authorization)
        buf_add_span(&a->authorization, head->authorization);
}

/* A request that its sender has named acts once.  False when another has acted for it: the
 * connection has, or will have, that one's answer. */
static bool act_once(struct serve *s, struct act *a)
{
    struct buf key = {0};
    struct buf name = {0};
    char cors[ACT_HEADERS] = "";
    bool is_first = true;
    bool is_named = a->caller.is_known && body_text(a, "idempotency_key", &key);
    if (is_named &&
        (!key.len || utf8_chars(buf_span(&key)) > ONCE_KEY_CHARS || memchr(key.p, '\0', key.len))) {
        (void)act_fail_value(
            a, "body", "idempotency_key", "a text of 1 to 128 characters is needed");
        is_first = false;
    } else if (is_named) {
        buf_addf(&name, "user\n%u\n%s\n", a->app->slot, a->route->name);
        buf_add_span(&name, a->caller.id);
        buf_add_char(&name, '\n');
        buf_add_span(&name, buf_span(&key));
        endpoint_cors(a->gateway, a->origin, cors, sizeof cors);
        a->call->headers = mem_dup_str(cors);
        is_first = call_once(s, conn_at(s, a->conn), a->call, buf_span(&name));
    }
    buf_fini(&key);
    buf_fini(&name);
    return is_first;
}

static bool carry_out(
    struct serve *s, struct act *a, const struct http_head *head, struct span body)
{
    if (!check_caller(a, head) || !check_role(a, a->action) || !check_rate(s, a, a->route) ||
        !read_body(a, head, body))
        return false;
    name_request(a);
    if (!check_fields(a, a->action) || !read_socket(a, head) || !choose(s, a))
        return false;
    keep_authorization(a, head);
    return act_once(s, a) && run(s, a);
}

/* --- the door ------------------------------------------------------------------------------------------- */

static const struct route *find(
    const struct serve *s, const struct http_head *head, struct span path, bool *is_path)
{
    const struct gateway *g = s->config->gateway;
    *is_path = false;
    return g ? route_find(g->routes, g->n_routes, path, head->method_name, is_path) : NULL;
}

bool endpoint_request(struct serve *s, struct conn *c, const struct http_head *head,
    struct span path, struct span body)
{
    bool is_path;
    const struct route *route = find(s, head, path, &is_path);
    if (!is_path)
        return false;
    if (head->method == HTTP_OPTIONS) {
        preflight(s, c, head, path);
    } else if (!route) {
        struct buf allow = {0};
        route_add_methods(s->config->gateway->routes, s->config->gateway->n_routes, path, &allow);
        buf_add_char(&allow, '\0');
        reply_detail(s, c, head, 405, "Method Not Allowed", allow.p);
        buf_fini(&allow);
    } else if (body.len > route->max_body) {
        (void)endpoint_refuse(s, c, head, 413);
    } else {
        struct act *a = act_new(s, c, route);
        a->refs++; // it may have been answered, and dropped, when this returns
        set_scene(a, head, path);
        (void)carry_out(s, a, head, body); // the reply stands either way
        if (a->call)
            act_finish(s, c, a);
        act_drop(a);
    }
    return true;
}

void endpoint_message(struct serve *s, const struct endpoint_message *m)
{
    struct act *a = act_new(s, NULL, m->route);
    caller_copy(&a->caller, m->caller);
    a->socket = a->except = m->socket;
    a->is_quiet = m->is_quiet;
    bool ok = check_role(a, a->action) && check_rate(s, a, a->route) && take_body(a, m->body);
    if (ok) {
        name_request(a);
        ok = check_fields(a, a->action) && choose(s, a) && run(s, a);
    }
    if (!ok || !a->is_asking || a->action->upstream.is_async) {
        act_write_reply(a);
        bridge_answer(s, a);
    }
    act_drop(a);
}

bool endpoint_refuse(struct serve *s, struct conn *c, const struct http_head *head, int status)
{
    struct span path;
    bool is_path;
    if (!route_path(s, head->path, &path))
        return false;
    (void)find(s, head, path, &is_path);
    if (is_path)
        reply_detail(s, c, head, status,
            status == 413 ? "The request body is too large" : http_reason(status), NULL);
    return is_path;
}

void endpoint_not_found(struct serve *s, struct conn *c, const struct http_head *head)
{
    reply_detail(s, c, head, 404, "Not Found", NULL);
}

size_t endpoint_body_limit(const struct serve *s, const struct http_head *head, struct span path)
{
    bool is_path;
    const struct route *route = find(s, head, path, &is_path);
    return route ? route->max_body : is_path ? 1024 : 0;
}
