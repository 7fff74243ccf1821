/* Legacy sockets: who may come, what they are greeted with, when they must go. */
#include "base/base.h"

#include "serve/bridge.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/text.h"
#include "gateway/ledger.h"
#include "serve/act.h"
#include "serve/api_auth.h"
#include "serve/notes.h"

enum { ROBLOX_STALE_S = 90, CLOSE_POLICY = 1008 };

const struct bridge *bridge_config(const struct serve *s)
{
    return s->config->gateway ? s->config->gateway->bridge : NULL;
}

const struct bridge *bridge_need(const struct serve *s)
{
    const struct bridge *b = bridge_config(s);
    ENSURE(b != NULL);
    return b;
}

bool bridge_in_envelope(const struct bridge_socket *socket)
{
    return socket->endpoint == BRIDGE_ROBLOX;
}

/* --- frames ----------------------------------------------------------------------------------------- */

void bridge_begin(struct buf *out, const char *type)
{
    buf_addf(out, "{\"type\":\"%s\"", type);
}

void bridge_add_now(struct buf *out)
{
    char now[25];
    clock_format(clock_wall_ms(), now);
    buf_addf(out, ",\"timestamp\":\"%s\"", now);
}

void bridge_end_envelope(const struct bridge_socket *socket, struct buf *out)
{
    char id[RAND_UUID];
    rand_uuid(id);
    buf_addf(out, ",\"id\":\"%s\",\"client_id\":", id);
    json_quote(out, span_str(socket->client_id));
    bridge_add_now(out);
    buf_add_char(out, '}');
}

void bridge_say(struct serve *s, struct session *session, const struct buf *json)
{
    struct buf frame = {0};
    size_t head = ws_head(buf_room(&frame, WS_HEAD_MAX), WS_TEXT, json->len);
    frame.len = head;
    buf_add_span(&frame, buf_span(json));
    hub_send_raw(s->hub, session->index, buf_span(&frame));
    serve_count(s, COUNTER_LEGACY_OUT, 1);
    buf_fini(&frame);
}

/* The native endpoint calls the sentence "message", as well. */
static void add_error(const struct bridge_socket *socket, struct span text, struct buf *out)
{
    switch (socket->endpoint) {
    case BRIDGE_ROBLOX:
        buf_add_str(out, "{\"type\":\"error\",\"payload\":{\"error\":");
        json_quote(out, text);
        buf_add_char(out, '}');
        bridge_end_envelope(socket, out);
        return;
    case BRIDGE_ENVIRONMENT:
        buf_add_str(out, "{\"type\":\"environment_creation_error\",\"payload\":{\"error\":");
        json_quote(out, text);
        buf_add_char(out, '}');
        break;
    case BRIDGE_NATIVE:
    case BRIDGE_ANALYTICS:
        buf_add_str(out, "{\"type\":\"error\",\"message\":");
        json_quote(out, text);
        buf_add_str(out, ",\"error\":");
        json_quote(out, text);
        break;
    case BRIDGE_WS:
    case BRIDGE_CLIENT:
    case BRIDGE_ENDPOINTS:
        buf_add_str(out, "{\"type\":\"error\",\"error\":");
        json_quote(out, text);
        break;
    }
    bridge_add_now(out);
    buf_add_char(out, '}');
}

void bridge_fail(struct serve *s, struct session *session, const char *format, ...)
{
    struct err err;
    struct buf out = {0};
    va_list args;
    va_start(args, format);
    vsnprintf(err.text, sizeof err.text, format, args);
    va_end(args);
    size_t n = strlen(err.text);
    while (n && !utf8_is_valid(span_of(err.text, n)))
        n--; // cut in the middle of a character
    add_error(session->bridge, span_of(err.text, n), &out);
    bridge_say(s, session, &out);
    buf_fini(&out);
}

/* --- who comes ---------------------------------------------------------------------------------------- */

struct arrival {
    const struct gateway *gateway;
    enum bridge_endpoint endpoint;
    struct span client;
    struct caller caller;
};

/* The value of that cookie. */
static struct span find_cookie(struct span cookie, const char *name)
{
    size_t n = strlen(name);
    while (cookie.len) {
        const char *end = memchr(cookie.p, ';', cookie.len);
        struct span one = span_of(cookie.p, end ? (size_t)(end - cookie.p) : cookie.len);
        cookie = span_from(cookie, end ? one.len + 1 : one.len);
        while (one.len && one.p[0] == ' ')
            one = span_from(one, 1);
        if (one.len > n && one.p[n] == '=' && span_starts(one, name))
            return span_from(one, n + 1);
    }
    return span_of(NULL, 0);
}

/* A browser sends cookies along whoever's page asks: such a page must be one that may. */
static bool is_welcome(const struct gateway *g, const struct http_head *head)
{
    return !head->origin.p || gateway_allows_origin(g, head->origin) ||
           http_is_same_host(head->origin, head->host);
}

/* The query, the header, the cookie, in this order; scratch may hold it. */
static bool find_token(
    const struct gateway *g, const struct http_head *head, struct buf *scratch, struct span *token)
{
    if (api_param(head->query, "token", scratch) && scratch->len) {
        *token = buf_span(scratch);
        return true;
    }
    if (gateway_bearer(head->authorization, token))
        return true;
    *token = find_cookie(head->cookie, "access_token");
    return token->len > 0 && is_welcome(g, head);
}

static enum jwt_result read_caller(struct arrival *a, const struct http_head *head, bool *is_given)
{
    struct buf scratch = {0};
    struct span token;
    enum jwt_result result = JWT_OK;
    *is_given = a->endpoint != BRIDGE_NATIVE && find_token(a->gateway, head, &scratch, &token);
    if (*is_given)
        result = jwt_verify(&a->gateway->jwt, token, clock_wall_ms() / 1000, &a->caller);
    buf_fini(&scratch);
    return result;
}

/* --- refusing ------------------------------------------------------------------------------------------- */

/* 101, a word in the endpoint's own form, and a close code. */
static void refuse(struct serve *s, struct conn *c, const struct http_head *head,
    const struct buf *word, uint16_t code, const char *reason)
{
    char text[ROUTE_101];
    char payload[WS_CONTROL_MAX];
    size_t n = strlen(reason);
    conn_send(s, c, route_101(head, bridge_need(s)->headers, text));
    if (word->len)
        conn_send_frame(s, c, WS_TEXT, buf_span(word));
    payload[0] = (char)(code >> 8);
    payload[1] = (char)code;
    memcpy(payload + 2, reason, n);
    conn_send_frame(s, c, WS_CLOSE, span_of(payload, n + 2));
    log_event(LOG_INFO, "legacy_refused", "code=%d why=\"%s\"", code, reason);
    conn_finish(s, c);
}

static void refuse_full(struct serve *s, struct conn *c, const struct http_head *head)
{
    struct buf out = {0};
    bridge_begin(&out, "error");
    buf_add_str(&out, ",\"error\":\"WebSocket capacity reached\"");
    bridge_add_now(&out);
    buf_add_char(&out, '}');
    serve_count(s, COUNTER_LEGACY_REJECTED, 1);
    counter_add(&s->stats.closes[CLOSE_LEGACY_FULL], 1);
    refuse(s, c, head, &out, 1001, close_sentence(CLOSE_LEGACY_FULL));
    buf_fini(&out);
}

/* How each endpoint says that a token is missing or not good. */
static void refuse_caller(struct serve *s, struct conn *c, const struct http_head *head,
    const struct arrival *a, enum jwt_result result)
{
    bool is_missing = result == JWT_OK;
    struct buf out = {0};
    const char *reason = is_missing                 ? "Authentication token required"
                         : result == JWT_NO_SUBJECT ? "Invalid token payload"
                                                    : "Invalid authentication token";
    uint16_t code = CLOSE_POLICY;
    if (a->endpoint == BRIDGE_ANALYTICS) {
        reason = is_missing ? "Authentication required" : "Invalid token";
        buf_addf(&out, "{\"error\":\"%s\",\"code\":\"%s\"}", reason,
            is_missing ? "AUTH_REQUIRED" : "AUTH_INVALID");
    } else if (a->endpoint == BRIDGE_ENVIRONMENT) {
        buf_addf(&out, "{\"type\":\"error\",\"message\":\"%s\"}", reason);
    } else if (a->endpoint == BRIDGE_ROBLOX) {
        reason = is_missing ? "Authentication required" : "Invalid authentication token";
    } else {
        code = 4001;
        bridge_begin(&out, "auth_error");
        buf_addf(&out, ",\"message\":\"%s\",\"code\":4001", reason);
        bridge_add_now(&out);
        buf_add_char(&out, '}');
    }
    serve_count(s, COUNTER_LEGACY_AUTH, 1);
    counter_add(&s->stats.closes[CLOSE_LEGACY_REFUSED], 1);
    refuse(s, c, head, &out, code, reason);
    buf_fini(&out);
}

static void refuse_role(struct serve *s, struct conn *c, const struct http_head *head)
{
    struct buf out = {0};
    buf_add_str(&out,
        "{\"error\":\"Insufficient permissions\",\"code\":\"AUTH_INSUFFICIENT_PERMISSIONS\"}");
    serve_count(s, COUNTER_LEGACY_DENIED, 1);
    counter_add(&s->stats.closes[CLOSE_LEGACY_REFUSED], 1);
    refuse(s, c, head, &out, CLOSE_POLICY, "Insufficient permissions");
    buf_fini(&out);
}

static void refuse_app(
    struct serve *s, struct conn *c, const struct http_head *head, enum close_reason why)
{
    struct buf out = {0};
    bridge_begin(&out, "error");
    buf_addf(&out, ",\"error\":\"%s\"", close_sentence(why));
    bridge_add_now(&out);
    buf_add_char(&out, '}');
    counter_add(&s->stats.closes[why], 1);
    refuse(s, c, head, &out, CLOSE_POLICY, close_sentence(why));
    buf_fini(&out);
}

/* --- greeting -------------------------------------------------------------------------------------------- */

static void add_user(const struct bridge_socket *socket, struct buf *out)
{
    buf_add_str(out, ",\"user\":{\"id\":");
    json_quote(out, socket->caller.id);
    buf_add_str(out, ",\"username\":");
    json_quote(out, socket->caller.name);
    buf_add_str(out, ",\"role\":");
    json_quote(out, socket->caller.role);
    buf_add_char(out, '}');
}

void bridge_add_session_id(const struct bridge_socket *socket, struct buf *out)
{
    struct buf id = {0};
    buf_addf(
        &id, "ws_%.*s_%lld", SPAN(socket->caller.id), (long long)(socket->opened_wall_ms / 1000));
    buf_add_str(out, ",\"session_id\":");
    json_quote(out, buf_span(&id));
    buf_fini(&id);
}

static void greet_plain(struct serve *s, struct session *session, struct buf *out)
{
    const struct bridge_socket *socket = session->bridge;
    if (socket->caller.is_known) {
        bridge_begin(out, "auth_success");
        bridge_add_now(out);
        bridge_add_session_id(socket, out);
        add_user(socket, out);
        buf_add_str(
            out, ",\"features\":[\"token_refresh\",\"real_time_updates\",\"secure_messaging\"]}");
        bridge_say(s, session, out);
        out->len = 0;
    }
    bridge_begin(out, "connected");
    buf_add_str(out, ",\"client_id\":");
    json_quote(out, span_str(socket->client_id));
    bridge_add_now(out);
    buf_add_str(out, ",\"server_info\":{\"version\":\"1.0.0\",\"features\":[\"real_time_updates\","
                     "\"multi_channel\",\"user_messaging\"]}}");
}

static void greet_roblox(const struct bridge_socket *socket, struct buf *out)
{
    char now[25];
    struct json scope = jwt_claim(&socket->caller.claims, "scope");
    clock_format(clock_wall_ms(), now);
    buf_add_str(out, "{\"type\":\"connection_ack\",\"payload\":{\"client_id\":");
    json_quote(out, span_str(socket->client_id));
    buf_add_str(out, ",\"user_id\":");
    json_quote(out, socket->caller.id);
    buf_add_str(out, ",\"scope\":");
    if (scope.kind == JSON_ABSENT)
        buf_add_str(out, "null");
    else
        buf_add_span(out, scope.raw);
    buf_addf(out,
        ",\"server_time\":\"%s\",\"available_subscriptions\":[\"deployments\",\"agents\","
        "\"scripts\",\"validation\"]}",
        now);
    bridge_end_envelope(socket, out);
}

static void greet(struct serve *s, struct session *session)
{
    const struct bridge_socket *socket = session->bridge;
    struct buf out = {0};
    switch (socket->endpoint) {
    case BRIDGE_WS:
    case BRIDGE_CLIENT:
        greet_plain(s, session, &out);
        break;
    case BRIDGE_ROBLOX:
        greet_roblox(socket, &out);
        break;
    case BRIDGE_NATIVE:
    case BRIDGE_ANALYTICS:
        bridge_begin(&out, "connected");
        buf_add_str(&out, ",\"client_id\":");
        json_quote(&out, span_str(socket->client_id));
        bridge_add_now(&out);
        if (socket->endpoint == BRIDGE_NATIVE)
            buf_add_str(&out,
                ",\"authenticated\":false,\"note\":\"Without a token: public channels only\"");
        buf_add_char(&out, '}');
        break;
    case BRIDGE_ENVIRONMENT: // waits to be asked
    case BRIDGE_ENDPOINTS:
        break;
    }
    if (out.len)
        bridge_say(s, session, &out);
    buf_fini(&out);
}

/* --- opening ------------------------------------------------------------------------------------------------ */

/* The label that a client gave itself, or one of ours; never an identity. */
static char *name_client(const struct arrival *a)
{
    struct buf name = {0};
    char uuid[RAND_UUID];
    if (a->endpoint == BRIDGE_CLIENT && http_decode(a->client, false, &name) && name.len &&
        utf8_is_valid(buf_span(&name)) && !memchr(name.p, '\0', name.len)) {
        char *own = mem_dup(name.p, name.len);
        buf_fini(&name);
        return own;
    }
    name.len = 0;
    rand_uuid(uuid);
    if (a->endpoint == BRIDGE_ROBLOX)
        buf_addf(&name, "client_%.*s_%.8s", SPAN(a->caller.id), uuid);
    else
        buf_add_str(&name, uuid);
    char *made = mem_dup(name.p, name.len);
    buf_fini(&name);
    return made;
}

static struct bridge_socket *new_socket(struct serve *s, const struct arrival *a)
{
    struct bridge_socket *socket = mem_zero(sizeof *socket);
    socket->endpoint = a->endpoint;
    socket->key = (uint64_t)s->worker << 48 | ++s->n_visits_ever;
    socket->client_id = name_client(a);
    caller_copy(&socket->caller, &a->caller);
    socket->opened_wall_ms = clock_wall_ms();
    socket->said_ms = socket->pinged_ms = s->client_ms;
    return socket;
}

static void free_socket(struct bridge_socket *socket)
{
    free(socket->client_id);
    free(socket->own);
    caller_fini(&socket->caller);
    free(socket);
}

/* What the endpoint is for is joined without being asked. */
static void join_own(struct serve *s, struct session *session)
{
    const struct gateway *g = s->config->gateway;
    const struct bridge_socket *socket = session->bridge;
    struct buf names = {0};
    if (socket->endpoint == BRIDGE_ANALYTICS) {
        const struct route *route = bridge_route(g->routes, g->n_routes, g->bridge->analytics);
        buf_add_str(&names, route->action.publishes[0].channels[0].text);
    } else if (socket->caller.is_known && socket->endpoint != BRIDGE_ROBLOX) {
        buf_add_str(&names, "private-user-");
        buf_add_span(&names, socket->caller.id);
    }
    if (names.len) {
        session->bridge->own = mem_dup(names.p, names.len);
        buf_add_char(&names, '\0');
    }
    bridge_join(s, session, &names, false);
}

static enum audience audience_of(enum bridge_endpoint endpoint)
{
    return endpoint == BRIDGE_ROBLOX        ? AUDIENCE_LEGACY_ENVELOPE
           : endpoint == BRIDGE_ENVIRONMENT ? AUDIENCE_LEGACY_ENVIRONMENT
                                            : AUDIENCE_LEGACY;
}

/* True when there was room for one more. */
static bool enter(struct serve *s, const struct bridge_socket *socket)
{
    return ledger_enter(s->house->ledger, socket->key,
        &(struct ledger_visit){.endpoint = socket->endpoint,
            .user = socket->caller.id,
            .role = socket->caller.role,
            .client = span_str(socket->client_id),
            .since_ms = socket->opened_wall_ms},
        bridge_need(s)->connections);
}

static void open_socket(
    struct serve *s, struct conn *c, const struct http_head *head, const struct arrival *a)
{
    const struct app *app = config_app_by_id(s->config, span_str(a->gateway->app));
    struct session_claim claim = {
        .app = app, .origin = head->origin, .is_tls = c->flags & CONN_TLS, .protocol = -1};
    enum close_reason why = route_is_full(s) ? CLOSE_OVER_CAPACITY : session_check(&claim);
    if (why == CLOSE_OVER_CAPACITY || why == CLOSE_OVER_QUOTA) {
        refuse_full(s, c, head);
        return;
    }
    if (why != CLOSE_REASONS) {
        refuse_app(s, c, head, why);
        return;
    }
    struct bridge_socket *socket = new_socket(s, a);
    struct session_opts opts = {.app = app->slot,
        .transport = TRANSPORT_LEGACY,
        .audience = audience_of(a->endpoint),
        .protocol = 7,
        .is_tls = claim.is_tls,
        .bridge = socket};
    if (!enter(s, socket)) {
        app_disconnect(app->slot);
        refuse_full(s, c, head);
        free_socket(socket);
        return;
    }
    struct session *session = route_open_session(s, c, head, &opts, a->gateway->bridge->headers);
    if (!session) {
        ledger_leave(s->house->ledger, socket->key);
        free_socket(socket);
        return;
    }
    greet(s, session);
    if (socket->caller.is_known)
        notes_own(s,
            (struct session_ref){
                .slot = session->index, .nonce = session->nonce, .worker = (uint16_t)s->worker},
            session->app, socket->caller.id);
    join_own(s, session);
}

/* Who comes, and may they?  False with a refusal sent. */
static bool check_arrival(
    struct serve *s, struct conn *c, const struct http_head *head, struct arrival *a)
{
    const struct bridge *b = a->gateway->bridge;
    bool is_given;
    enum jwt_result result = read_caller(a, head, &is_given);
    bool is_optional =
        a->endpoint == BRIDGE_NATIVE || (a->endpoint <= BRIDGE_CLIENT && !b->needs_token);
    if (result != JWT_OK || (!is_given && !is_optional)) {
        refuse_caller(s, c, head, a, result);
        return false;
    }
    if (a->endpoint != BRIDGE_ANALYTICS)
        return true;
    const struct route *route =
        bridge_route(a->gateway->routes, a->gateway->n_routes, b->analytics);
    if (who_holds(&route->action.who, &a->gateway->policy.roles, &a->caller))
        return true;
    refuse_role(s, c, head);
    return false;
}

/* --- the door -------------------------------------------------------------------------------------------------- */

static void reply_json(
    struct serve *s, struct conn *c, int status, const struct buf *body, const char *more)
{
    struct buf headers = {0};
    if (more)
        buf_add_str(&headers, more);
    if (bridge_config(s))
        buf_add_str(&headers, bridge_need(s)->headers);
    buf_add_char(&headers, '\0');
    conn_reply(s, c,
        &(struct reply){.status = status,
            .type = "application/json",
            .body = buf_span(body),
            .headers = headers.p});
    buf_fini(&headers);
}

/* 410, and where to go instead. */
static void reply_gone(struct serve *s, struct conn *c)
{
    const struct bridge *b = bridge_need(s);
    struct buf body = {0};
    buf_add_str(&body, "{\"detail\":");
    json_quote(&body, span_str(close_sentence(CLOSE_LEGACY_OFF)));
    if (b->link) {
        buf_add_str(&body, ",\"link\":");
        json_quote(&body, span_str(b->link));
    }
    buf_add_char(&body, '}');
    serve_count(s, COUNTER_LEGACY_REJECTED, 1);
    reply_json(s, c, 410, &body, NULL);
    buf_fini(&body);
}

bool bridge_upgrade(struct serve *s, struct conn *c, const struct http_head *head, struct span path)
{
    struct arrival a = {.gateway = s->config->gateway};
    if (!bridge_config(s) || !bridge_find(path, &a.endpoint, &a.client))
        return false;
    if (!a.gateway->bridge->is_on[a.endpoint]) {
        c->flags |= CONN_LAST;
        reply_gone(s, c);
        return true;
    }
    if (check_arrival(s, c, head, &a))
        open_socket(s, c, head, &a);
    caller_fini(&a.caller);
    return true;
}

bool bridge_request(struct serve *s, struct conn *c, const struct http_head *head, struct span path)
{
    enum bridge_endpoint endpoint;
    struct span client;
    struct buf body = {0};
    if (!bridge_config(s))
        return false;
    if (span_is(path, "/ws/status") && (head->method == HTTP_GET || head->method == HTTP_HEAD)) {
        struct caller caller;
        bool is_known = endpoint_caller(s->config->gateway, head->authorization, &caller) == JWT_OK;
        bool may_see = is_known && who_holds(&bridge_need(s)->status,
                                       &s->config->gateway->policy.roles, &caller);
        bridge_add_status(s, may_see, &body);
        reply_json(s, c, 200, &body, NULL);
        caller_fini(&caller);
    } else if (!bridge_find(path, &endpoint, &client) || head->method == HTTP_OPTIONS) {
        return false;
    } else if (!bridge_need(s)->is_on[endpoint]) {
        reply_gone(s, c);
    } else {
        buf_add_str(&body, "{\"detail\":\"This endpoint speaks WebSocket\"}");
        reply_json(s, c, 426, &body, "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
    }
    buf_fini(&body);
    return true;
}

/* --- clocks ------------------------------------------------------------------------------------------------------ */

static bool is_stale(const struct serve *s, const struct bridge_socket *socket)
{
    const struct bridge *b = bridge_need(s);
    uint32_t silent_s = (s->client_ms - socket->said_ms) / 1000;
    if (socket->endpoint == BRIDGE_ROBLOX)
        return silent_s >= ROBLOX_STALE_S;
    /* Who pings is held to it; of others the network's own pings know. */
    if (socket->has_pinged && (s->client_ms - socket->pinged_ms) / 1000 >= b->stale_s)
        return true;
    return socket->caller.is_known && socket->endpoint <= BRIDGE_CLIENT && silent_s >= b->idle_s;
}

bool bridge_is_expired(const struct serve *s, const struct bridge_socket *socket)
{
    int64_t until_s = socket->caller.expires_s;
    if (!socket->caller.is_known || !until_s)
        return false;
    /* Leeway is for clocks that differ: who came by it, keeps it. */
    if (until_s <= socket->opened_wall_ms / 1000)
        until_s += s->config->gateway->jwt.leeway_s;
    return clock_wall_ms() / 1000 >= until_s;
}

void bridge_expire(struct serve *s, struct session *session)
{
    struct bridge_socket *socket = session->bridge;
    struct buf out = {0};
    if (bridge_in_envelope(socket)) {
        buf_add_str(
            &out, "{\"type\":\"error\",\"payload\":{\"error\":\"Message authentication failed\"}");
        bridge_end_envelope(socket, &out);
    } else {
        bridge_begin(&out, "error");
        buf_add_str(&out, ",\"message\":\"Message authentication failed\"");
        bridge_add_now(&out);
        buf_add_char(&out, '}');
    }
    serve_count(s, COUNTER_LEGACY_EXPIRED, 1);
    bridge_say(s, session, &out);
    buf_fini(&out);
    session_close(
        s, session, CLOSE_LEGACY_EXPIRED, socket->endpoint <= BRIDGE_CLIENT ? 0 : CLOSE_POLICY);
}

void bridge_sweep(struct serve *s, struct session *session)
{
    struct bridge_socket *socket = session->bridge;
    const struct bridge *b = bridge_config(s);
    if (!b || !b->is_on[socket->endpoint])
        session_close(s, session, CLOSE_LEGACY_OFF, 0);
    else if (bridge_is_expired(s, socket))
        bridge_expire(s, session);
    else if (is_stale(s, socket))
        session_close(s, session, CLOSE_LEGACY_STALE, 0);
    else
        session_check_silence(s, session);
}

void bridge_forget(struct serve *s, struct session *session)
{
    struct bridge_socket *socket = session->bridge;
    struct span channel;
    uint32_t at = 0;
    while (hub_next_channel(s->hub, session->index, &at, &channel))
        if (!bridge_is_joining(socket, channel)) // the home has let it in, and nobody was told
            ledger_part(s->house->ledger, channel);
    ledger_leave(s->house->ledger, socket->key);
    bridge_drop_work(socket);
    free_socket(socket);
    session->bridge = NULL;
}
