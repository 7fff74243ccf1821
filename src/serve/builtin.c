/* What routes can do by themselves: each either does it and returns true, or has failed the
 * reply.  What other workers have to say is gathered when all have. */
#include "base/base.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "gateway/tally.h"
#include "serve/api.h"
#include "serve/metrics.h"
#include "serve/notes.h"
#include "serve/poll.h"
#include "wire/json.h"
#include "wire/pusher.h"
#include "wire/sign.h"

/* --- reading ---------------------------------------------------------------------------------------- */

static struct json body_field(const struct act *a, const char *name)
{
    struct json_field field = {name, {0}};
    if (a->scene.body.kind == JSON_OBJECT)
        json_fields(&a->scene.body, &field, 1);
    return field.value;
}

/* A string of the body; false with a 422. */
static bool need_text(struct act *a, const char *name, struct buf *scratch, struct span *text)
{
    struct json value = body_field(a, name);
    return (value.kind == JSON_STRING && json_decode(&value, scratch, text)) ||
           act_fail_value(a, "body", name, "Input should be a valid string");
}

/* A parameter of the query; false with a 422. */
static bool need_param(struct act *a, const char *name, struct buf *scratch, struct span *text)
{
    struct err err;
    struct variable v;
    char word[40];
    snprintf(word, sizeof word, "query.%s", name);
    bool ok = variable_read(&v, span_str(word), &err);
    ENSURE(ok);
    struct scene_value value = scene_find(&a->scene, &v, scratch);
    variable_fini(&v);
    *text = value.text;
    if (value.is_text)
        return true;
    struct buf list = {0};
    fault_add(&list, "missing", span_str("query"), name, "Field required", NULL);
    (void)act_fail_fields(a, &list);
    buf_fini(&list);
    return false;
}

/* --- signatures ------------------------------------------------------------------------------------- */

struct signing {
    struct buf scratch, data, shown;
    struct span socket, channel;
    struct session_ref ref;
    unsigned traits;
    bool is_silent;
};

static void add_signature(struct act *a, const struct span *parts, size_t n)
{
    char hex[SIGN_HEX];
    const struct app_key *key = &a->app->keys[0];
    sign_hex(&key->sign, parts, n, hex);
    buf_add_str(&a->reply, "{\"auth\":\"");
    json_escape(&a->reply, span_str(key->key));
    buf_addf(&a->reply, ":%.*s\"", SIGN_HEX, hex);
}

static bool read_signing(struct act *a, struct signing *x, bool has_channel)
{
    struct json socket = body_field(a, "socket_id");
    struct json channel = body_field(a, "channel_name");
    (void)buf_room(&x->scratch, 2 * a->body.len + 16); // so that slices of it stay where they are
    if (socket.kind == JSON_ABSENT || (has_channel && channel.kind == JSON_ABSENT))
        return act_fail(a, 400,
            has_channel ? "Missing required fields: socket_id and channel_name"
                        : "Missing required field: socket_id");
    if (!need_text(a, "socket_id", &x->scratch, &x->socket))
        return false;
    if (!socket_id_read(x->socket, &x->ref) || x->socket.len > 64)
        return act_fail_value(
            a, "body", "socket_id", "Input should be a socket id: two numbers joined by a dot");
    if (!has_channel)
        return true;
    return need_text(a, "channel_name", &x->scratch, &x->channel) &&
           act_channel(a, x->channel, "body", "channel_name", &x->traits);
}

/* May they join, and what are they told to be? */
static bool authorise(struct act *a, struct signing *x)
{
    if (x->traits & CHANNEL_USER)
        return act_fail(a, 403, "Nobody joins a user's own channel: sign in instead");
    if (!act_may(a, x->channel, POLICY_JOIN))
        return false;
    if ((x->traits & CHANNEL_ENCRYPTED) && !a->gateway->has_channel_key)
        return act_fail(a, 403, "Encrypted channels need gateway.auth.encryption_key");
    if (!(x->traits & CHANNEL_PRIVATE))
        return true;
    x->is_silent = !policy_decide(&a->gateway->policy, &a->caller, x->channel, POLICY_CLIENT_EVENTS)
                        .is_allowed;
    return true;
}

static bool make_member(struct act *a, struct signing *x)
{
    const struct app_limits *limits = &a->app->limits;
    struct decision d = policy_decide(&a->gateway->policy, &a->caller, x->channel, POLICY_JOIN);
    if (!(x->traits & CHANNEL_PRESENCE)) {
        if (x->is_silent)
            buf_add_str(&x->data, "{\"client_events\":false}");
        return true;
    }
    if (utf8_chars(a->caller.id) > limits->presence_user_id_chars)
        return act_fail_value(a, "token", a->gateway->jwt.id_claims[0],
            "The id is too long for a member of a presence channel");
    gateway_add_member(a->gateway, d.rule, &a->scene, x->is_silent, &x->data);
    if (x->data.len > limits->presence_member_bytes + a->caller.id.len * 6 + 64)
        return act_fail_value(
            a, "token", "user_info", "What the member would show of itself is too long");
    return true;
}

static bool sign_channel(struct serve *s, struct act *a, struct signing *x)
{
    if (!read_signing(a, x, true) || !authorise(a, x) || !make_member(a, x))
        return false;
    struct span parts[] = {x->socket, span_str(":"), x->channel, span_str(":"), buf_span(&x->data)};
    add_signature(a, parts, x->data.len ? 5 : 3);
    if (x->data.len) {
        buf_add_str(&a->reply, ",\"channel_data\":");
        json_quote(&a->reply, buf_span(&x->data));
    }
    if (x->traits & CHANNEL_ENCRYPTED) {
        buf_add_str(&a->reply, ",\"shared_secret\":\"");
        gateway_add_shared_secret(a->gateway, x->channel, &a->reply);
        buf_add_char(&a->reply, '"');
    }
    buf_add_char(&a->reply, '}');
    if (a->caller.is_known)
        notes_own(s, x->ref, a->app->slot, a->caller.id);
    return true;
}

static bool sign_user(struct serve *s, struct act *a, struct signing *x)
{
    if (!read_signing(a, x, false))
        return false;
    gateway_add_user(a->gateway, &a->scene, &x->data);
    struct span parts[] = {x->socket, span_str("::user::"), buf_span(&x->data)};
    add_signature(a, parts, COUNT_OF(parts));
    buf_add_str(&a->reply, ",\"user_data\":");
    json_quote(&a->reply, buf_span(&x->data));
    buf_add_char(&a->reply, '}');
    notes_own(s, x->ref, a->app->slot, a->caller.id);
    return true;
}

static bool run_signing(
    struct serve *s, struct act *a, bool (*sign)(struct serve *, struct act *, struct signing *))
{
    struct signing x = {0};
    bool ok = sign(s, a, &x);
    buf_fini(&x.scratch);
    buf_fini(&x.data);
    return ok;
}

static bool run_auth(struct serve *s, struct act *a)
{
    return run_signing(s, a, sign_channel);
}

static bool run_user_auth(struct serve *s, struct act *a)
{
    return run_signing(s, a, sign_user);
}

/* --- events ------------------------------------------------------------------------------------------- */

static bool send_checked(struct serve *s, struct act *a, const struct act_event *e)
{
    unsigned traits;
    if (!act_check_event(a, e, &traits) || !act_may(a, e->channel, POLICY_PUBLISH))
        return false;
    if (!policy_allows_event(&a->gateway->policy, &a->caller, e->channel, e->name))
        return act_fail(a, 403, "Not authorized to trigger this event");
    buf_add_span(&a->channel, e->channel);
    act_send_event(s, a, e, traits);
    return true;
}

/* The object, and who sent it. */
static void add_meta(struct act *a, const struct json *data, struct buf *out)
{
    struct json name;
    struct json item;
    size_t at = 0;
    struct buf when = {0};
    struct variable now = {.root = SCENE_NOW};
    bool is_empty = !json_next_member(data, &at, &name, &item);
    struct scene_value value = scene_find(&a->scene, &now, &when);
    buf_add(out, data->raw.p, data->raw.len - 1);
    buf_addf(out, "%s\"_meta\":{\"triggered_by\":", is_empty ? "" : ",");
    json_quote(out, a->caller.id);
    buf_add_str(out, ",\"user_role\":");
    json_quote(out, a->caller.role);
    buf_add_str(out, ",\"timestamp\":");
    json_quote(out, value.text);
    buf_add_str(out, "}}");
    buf_fini(&when);
}

static bool run_trigger(struct serve *s, struct act *a)
{
    struct buf scratch = {0};
    struct buf data = {0};
    struct act_event e = {.except = a->except};
    struct json given = body_field(a, "data");
    (void)buf_room(&scratch, 2 * a->body.len + 16);
    bool ok =
        need_text(a, "channel", &scratch, &e.channel) && need_text(a, "event", &scratch, &e.name);
    if (given.kind == JSON_OBJECT)
        add_meta(a, &given, &data);
    else
        buf_add_str(&data, "{}");
    e.data = buf_span(&data);
    ok = ok && send_checked(s, a, &e);
    buf_fini(&scratch);
    buf_fini(&data);
    return ok;
}

static bool run_broadcast(struct serve *s, struct act *a)
{
    struct buf scratch = {0};
    struct act_event e = {.except = a->except, .data = buf_span(&a->body)};
    (void)buf_room(&scratch, 2 * a->query.len + 64);
    bool ok = need_param(a, "channel", &scratch, &e.channel) &&
              need_param(a, "event", &scratch, &e.name) && send_checked(s, a, &e);
    buf_fini(&scratch);
    return ok;
}

/* --- a user's sessions ---------------------------------------------------------------------------------- */

/* Asks every worker; what they say is in the call's items. */
static void scan(struct serve *s, struct act *a, const struct scan *scan)
{
    struct conn *c = conn_at(s, a->conn);
    ENSURE(a->call != NULL); // needs_call has been looked at
    for (unsigned w = 0; w < s->house->n_workers; w++) {
        uint32_t request[3];
        if (w != s->worker) {
            call_expect(c, a->call, w, request);
            notes_ask(s, w, scan, request);
            continue;
        }
        struct buf found = {0};
        uint32_t n = notes_scan(s, scan, &found);
        call_give(a->call, w, n, buf_span(&found));
        buf_fini(&found);
    }
}

static bool run_on_channel(struct serve *s, struct act *a, enum scan_kind kind)
{
    struct buf scratch = {0};
    struct scan x = {.kind = kind, .app = a->app->slot, .user = a->caller.id};
    unsigned traits;
    bool ok = need_param(a, "channel", &scratch, &x.channel) &&
              act_channel(a, x.channel, "query", "channel", &traits) &&
              (kind == SCAN_LEAVE || act_may(a, x.channel, POLICY_JOIN));
    if (ok) {
        buf_add_span(&a->channel, x.channel);
        scan(s, a, &x);
    }
    buf_fini(&scratch);
    return ok;
}

static bool run_subscribe(struct serve *s, struct act *a)
{
    return run_on_channel(s, a, SCAN_IS_IN);
}

static bool run_unsubscribe(struct serve *s, struct act *a)
{
    return run_on_channel(s, a, SCAN_LEAVE);
}

static bool run_scan(struct serve *s, struct act *a, enum scan_kind kind)
{
    scan(s, a, &(struct scan){.kind = kind, .app = a->app->slot, .user = a->caller.id});
    return true;
}

static bool run_user_channels(struct serve *s, struct act *a)
{
    return run_scan(s, a, SCAN_CHANNELS);
}

static bool run_disconnect(struct serve *s, struct act *a)
{
    return run_scan(s, a, SCAN_CLOSE);
}

/* --- what a channel has published ---------------------------------------------------------------------- */

static bool run_history(struct serve *s, struct act *a)
{
    struct buf scratch = {0};
    struct history_query q;
    struct span channel;
    struct err err;
    unsigned traits;
    bool ok = need_param(a, "channel", &scratch, &channel) &&
              act_channel(a, channel, "query", "channel", &traits) &&
              act_may(a, channel, POLICY_HISTORY);
    if (ok && !history_query_read(buf_span(&a->query), &q, &err))
        ok = act_fail(a, err.status, "%s", err.text);
    if (ok) {
        struct letter ask = {.mail.kind = LETTER_ASK_HISTORY,
            .app = a->app->slot,
            .traits = (uint8_t)traits,
            .channel = channel,
            .info_json = span_of((const char *)&q, sizeof q)};
        call_ask(s, conn_at(s, a->conn), a->call, 0, &ask);
    }
    buf_fini(&scratch);
    return ok;
}

static void gather_history(struct act *a, const struct call *call)
{
    const struct call_item *item = &call->items[0];
    if (item->result == LETTER_DISABLED) {
        (void)act_fail(a, 404, "The history of this channel is not kept");
        return;
    }
    a->status = item->result == LETTER_GONE ? 410 : 200;
    buf_add_span(&a->reply, frame_text(item->frame));
}

/* --- the server itself ------------------------------------------------------------------------------------ */

static bool run_stats(struct serve *s, struct act *a)
{
    metrics_add_json(s, &a->metrics);
    return run_scan(s, a, SCAN_USERS);
}

static bool is_highest(const struct act *a)
{
    const struct roles *roles = &a->gateway->policy.roles;
    uint32_t top = 0;
    bool is_it = false;
    for (size_t i = 0; i < roles->n; i++)
        top = roles->list[i].level > top ? roles->list[i].level : top;
    for (size_t i = 0; i < roles->n; i++)
        is_it |= roles->list[i].level == top && span_is(a->caller.role, roles->list[i].name);
    return is_it;
}

static bool run_realtime_status(struct serve *s, struct act *a)
{
    buf_add_str(&a->reply,
        "{\"status\":\"active\",\"message\":\"The realtime service is up\",\"service\":\"pusher\","
        "\"user_access\":");
    json_quote(&a->reply, a->caller.role);
    if (is_highest(a)) {
        buf_addf(&a->reply, ",\"configuration\":{\"cluster\":\"self\",\"ssl\":%s,\"app_id\":",
            s->tls ? "true" : "false");
        json_quote(&a->reply, span_str(a->app->id));
        buf_add_str(&a->reply, ",\"key\":");
        json_quote(&a->reply, span_str(a->app->keys[0].key));
        buf_add_char(&a->reply, '}');
    }
    buf_add_char(&a->reply, '}');
    return true;
}

static bool run_status(struct serve *s, struct act *a)
{
    char since[25];
    bool is_ready = atomic_load(&s->house->is_ready) && !atomic_load(&s->house->is_draining);
    clock_format((int64_t)s->house->started_wall_s * 1000, since);
    buf_addf(&a->reply,
        "{\"status\":\"%s\",\"connected\":%s,\"cluster\":\"self\",\"channel\":null,"
        "\"since\":\"%s\",\"data\":",
        is_ready ? "healthy" : "draining", is_ready ? "true" : "false", since);
    metrics_add_json(s, &a->reply);
    buf_addf(&a->reply, ",\"message\":\"%s\"}", is_ready ? "The server is up" : "The server stops");
    return true;
}

static bool run_server_metrics(struct serve *s, struct act *a)
{
    bool ok;
    metrics_add_json(s, &a->metrics);
    ok = json_parse(buf_span(&a->metrics), &a->scene.metrics);
    ENSURE(ok);
    return true;
}

static bool run_openapi(struct serve *s, struct act *a)
{
    (void)s;
    buf_add_span(&a->reply, buf_span(&a->gateway->openapi));
    return true;
}

/* --- the table ---------------------------------------------------------------------------------------------- */

static bool run_nothing(struct serve *s, struct act *a)
{
    (void)s;
    (void)a;
    return true;
}

/* What is gathered from all workers is gathered in a request's call. */
static bool needs_call(enum builtin builtin)
{
    return builtin == BUILTIN_SUBSCRIBE || builtin == BUILTIN_UNSUBSCRIBE ||
           builtin == BUILTIN_USER_CHANNELS || builtin == BUILTIN_DISCONNECT ||
           builtin == BUILTIN_STATS || builtin == BUILTIN_HISTORY || builtin == BUILTIN_POLL_OPEN ||
           builtin == BUILTIN_POLL;
}

bool builtin_run(struct serve *s, struct act *a)
{
    static bool (*const runs[BUILTINS])(struct serve *, struct act *) = {
        [BUILTIN_NONE] = run_nothing,
        [BUILTIN_AUTH] = run_auth,
        [BUILTIN_USER_AUTH] = run_user_auth,
        [BUILTIN_ACK] = run_nothing,
        [BUILTIN_RELAY] = run_nothing,
        [BUILTIN_ECHO] = run_nothing,
        [BUILTIN_TRIGGER] = run_trigger,
        [BUILTIN_BROADCAST] = run_broadcast,
        [BUILTIN_SUBSCRIBE] = run_subscribe,
        [BUILTIN_UNSUBSCRIBE] = run_unsubscribe,
        [BUILTIN_USER_CHANNELS] = run_user_channels,
        [BUILTIN_DISCONNECT] = run_disconnect,
        [BUILTIN_REALTIME_STATUS] = run_realtime_status,
        [BUILTIN_STATS] = run_stats,
        [BUILTIN_STATUS] = run_status,
        [BUILTIN_SERVER_METRICS] = run_server_metrics,
        [BUILTIN_DEMO_PROGRESS] = run_nothing,
        [BUILTIN_OPENAPI] = run_openapi,
        [BUILTIN_HISTORY] = run_history,
        [BUILTIN_POLL_OPEN] = poll_run_open,
        [BUILTIN_POLL] = poll_run,
    };
    if (!a->call && needs_call(a->action->builtin))
        return act_fail(a, 400, "Only an HTTP request can ask for this");
    return runs[a->action->builtin](s, a);
}

/* --- what all workers said ------------------------------------------------------------------------------------ */

static uint32_t sum_items(const struct call *call)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < call->n_items; i++)
        n += call->items[i].n_subscriptions;
    return n;
}

/* The workers' lists as one, each item once. */
static void add_list(struct buf *out, const struct call *call)
{
    struct names seen = {0};
    for (uint32_t i = 0; i < call->n_items; i++) {
        struct span list =
            call->items[i].frame ? frame_text(call->items[i].frame) : span_of(NULL, 0);
        while (list.len) { // strings with commas between them
            size_t n = 1;
            while (list.p[n] != '"')
                n += list.p[n] == '\\' ? 2 : 1;
            struct span item = span_of(list.p, n + 1);
            list = span_from(list, n + 2);
            if (names_add(&seen, 0, item) == 1)
                buf_addf(out, "%s%.*s", seen.map.n > 1 ? "," : "", SPAN(item));
        }
    }
    names_fini(&seen);
}

static void begin_reply(struct act *a, bool is_success)
{
    buf_addf(&a->reply, "{\"success\":%s,\"user_id\":", is_success ? "true" : "false");
    json_quote(&a->reply, a->caller.id);
    if (a->channel.len) {
        buf_add_str(&a->reply, ",\"channel\":");
        json_quote(&a->reply, buf_span(&a->channel));
    }
}

static void gather_subscribe(struct act *a, const struct call *call)
{
    uint32_t n = sum_items(call);
    begin_reply(a, true);
    buf_addf(&a->reply, ",\"subscribed\":%s,\"connections\":%u,\"message\":\"%s\"}",
        n ? "true" : "false", n,
        n ? "Subscribed"
          : "The channel may be joined; no connection of the user has joined it yet");
}

static void gather_unsubscribe(struct act *a, const struct call *call)
{
    uint32_t n = sum_items(call);
    begin_reply(a, n > 0);
    buf_addf(&a->reply, ",\"connections\":%u,\"message\":\"%s\"}", n,
        n ? "Unsubscribed" : "User was not subscribed");
}

static void gather_user_channels(struct act *a, const struct call *call)
{
    uint32_t n = sum_items(call);
    begin_reply(a, true);
    buf_add_str(&a->reply, ",\"channels\":[");
    add_list(&a->reply, call);
    buf_addf(&a->reply, "],\"connections\":%u%s}", n,
        n ? "" : ",\"message\":\"User has no connections\"");
}

static void gather_disconnect(struct act *a, const struct call *call)
{
    uint32_t n = sum_items(call);
    begin_reply(a, true);
    buf_addf(&a->reply, ",\"connections\":%u,\"message\":\"%s\"}", n,
        n ? "Disconnected" : "User has no connections");
}

static void gather_stats(struct act *a, const struct call *call)
{
    struct json metrics;
    struct json_field fields[] = {{"active_users", {0}}, {"channels", {0}}, {"home_channels", {0}}};
    bool ok = json_parse_fields(buf_span(&a->metrics), &metrics, fields, COUNT_OF(fields));
    ENSURE(ok);
    buf_addf(&a->reply,
        "{\"status\":\"success\",\"data\":{\"status\":\"active\",\"connected_users\":%.*s,"
        "\"total_channels\":%.*s,\"active_channels\":%.*s,\"server\":",
        SPAN(fields[0].value.raw), SPAN(fields[1].value.raw), SPAN(fields[2].value.raw));
    buf_add_span(&a->reply, buf_span(&a->metrics));
    buf_add_str(&a->reply, ",\"users\":[");
    add_list(&a->reply, call);
    buf_add_str(&a->reply, "]},\"message\":\"Statistics of this server\"}");
}

void builtin_gather(struct serve *s, struct act *a, const struct call *call)
{
    switch ((int)a->action->builtin) {
    case BUILTIN_SUBSCRIBE:
        gather_subscribe(a, call);
        break;
    case BUILTIN_UNSUBSCRIBE:
        gather_unsubscribe(a, call);
        break;
    case BUILTIN_USER_CHANNELS:
        gather_user_channels(a, call);
        break;
    case BUILTIN_DISCONNECT:
        gather_disconnect(a, call);
        break;
    case BUILTIN_STATS:
        gather_stats(a, call);
        break;
    case BUILTIN_HISTORY:
        gather_history(a, call);
        break;
    case BUILTIN_POLL_OPEN:
        poll_gather_open(a, call);
        break;
    case BUILTIN_POLL:
        poll_gather(s, a, call);
        break;
    default: // the others have written theirs
        break;
    }
}
