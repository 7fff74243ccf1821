/* What a legacy client says, and what becomes of it. */
#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "gateway/quota.h"
#include "serve/act.h"
#include "serve/bridge.h"
#include "wire/pusher.h"

enum { MINUTE_S = 60, SHOWN_BYTES = 100 };

/* An event whose channel's home is asked how many heard it. */
struct asked {
    bool is_broadcast; // or a message to a user
    bool is_among;     // the sender would be counted
    char name[];       // the channel as the client calls it, or the user
};

static struct session_ref ref_of(const struct serve *s, const struct session *session)
{
    return (struct session_ref){
        .slot = session->index, .nonce = session->nonce, .worker = (uint16_t)s->worker};
}

/* --- small talk --------------------------------------------------------------------------------------- */

static void say_pong(struct serve *s, struct session *session)
{
    struct bridge_socket *socket = session->bridge;
    struct buf out = {0};
    char now[25];
    socket->has_pinged = true;
    socket->pinged_ms = s->client_ms;
    socket->pinged_wall_ms = clock_wall_ms();
    clock_format(socket->pinged_wall_ms, now);
    bridge_begin(&out, "pong");
    buf_addf(&out, ",\"timestamp\":\"%s\",\"client_id\":", now);
    json_quote(&out, span_str(socket->client_id));
    buf_addf(&out, ",\"payload\":{\"timestamp\":\"%s\",\"server_time\":\"%s\"}}", now, now);
    bridge_say(s, session, &out);
    buf_fini(&out);
}

static void say_heartbeat(struct serve *s, struct session *session)
{
    struct buf out = {0};
    buf_add_str(&out, "{\"type\":\"heartbeat\",\"payload\":{\"status\":\"alive\"}");
    bridge_end_envelope(session->bridge, &out);
    bridge_say(s, session, &out);
    buf_fini(&out);
}

static void say_echo(struct serve *s, struct session *session, const struct json *root)
{
    struct buf out = {0};
    bridge_begin(&out, "echo");
    buf_add_str(&out, ",\"original_message\":");
    buf_add_span(&out, root->raw);
    bridge_add_now(&out);
    buf_add_str(&out, ",\"client_id\":");
    json_quote(&out, span_str(session->bridge->client_id));
    buf_add_char(&out, '}');
    bridge_say(s, session, &out);
    buf_fini(&out);
}

static void add_when(struct buf *out, const char *name, int64_t wall_ms)
{
    char when[25];
    clock_format(wall_ms, when);
    buf_addf(out, ",\"%s\":", name);
    if (wall_ms)
        buf_addf(out, "\"%s\"", when);
    else
        buf_add_str(out, "null");
}

static void say_status(struct serve *s, struct session *session)
{
    const struct bridge_socket *socket = session->bridge;
    struct buf out = {0};
    struct buf name = {0};
    struct span channel;
    uint32_t at = 0;
    bridge_begin(&out, "auth_status_response");
    buf_addf(
        &out, ",\"authenticated\":%s,\"client_id\":", socket->caller.is_known ? "true" : "false");
    json_quote(&out, span_str(socket->client_id));
    buf_add_str(&out, ",\"user_id\":");
    if (socket->caller.is_known)
        json_quote(&out, socket->caller.id);
    else
        buf_add_str(&out, "null");
    add_when(&out, "connected_at", socket->opened_wall_ms);
    add_when(&out, "last_ping", socket->pinged_wall_ms);
    buf_addf(&out, ",\"message_count\":%llu,\"subscriptions\":[",
        (unsigned long long)socket->n_messages);
    for (const char *before = ""; hub_next_channel(s->hub, session->index, &at, &channel);
         before = ",") {
        name.len = 0;
        legacy_add_name(channel, &name);
        buf_add_str(&out, before);
        json_quote(&out, buf_span(&name));
    }
    buf_add_str(&out, "]}");
    bridge_say(s, session, &out);
    buf_fini(&name);
    buf_fini(&out);
}

/* --- tokens ------------------------------------------------------------------------------------------------ */

/* What another token no longer allows is left. */
static void leave_forbidden(struct serve *s, struct session *session)
{
    struct span channel;
    uint32_t at = 0;
    while (hub_next_channel(s->hub, session->index, &at, &channel)) {
        struct decision d = policy_decide(
            &s->config->gateway->policy, &session->bridge->caller, channel, POLICY_JOIN);
        if (d.is_allowed)
            continue;
        char *name = mem_dup(channel.p, channel.len);
        if (hub_unsubscribe(s->hub, session->index, session->app, span_str(name)))
            bridge_left(s, session, span_str(name));
        free(name);
        at = 0; // the list has changed
    }
}

static void end_mismatch(struct serve *s, struct session *session)
{
    struct buf out = {0};
    bridge_begin(&out, "auth_error");
    buf_add_str(&out, ",\"message\":\"Token user mismatch\",\"code\":4001");
    bridge_add_now(&out);
    buf_add_char(&out, '}');
    serve_count(s, COUNTER_LEGACY_AUTH, 1);
    bridge_say(s, session, &out);
    buf_fini(&out);
    session_close(s, session, CLOSE_LEGACY_MISMATCH, 0);
}

static void refresh(struct serve *s, struct session *session, const struct legacy_message *m)
{
    struct bridge_socket *socket = session->bridge;
    struct json_field field = {"token", {0}};
    struct json_field inside = {"token", {0}};
    struct span token;
    struct caller caller;
    struct buf out = {0};
    json_fields(&m->root, &field, 1);
    if (field.value.kind == JSON_ABSENT && m->payload.kind == JSON_OBJECT) {
        json_fields(&m->payload, &inside, 1);
        field.value = inside.value;
    }
    if (field.value.kind != JSON_STRING || !json_decode(&field.value, &s->scratch, &token) ||
        !token.len) {
        bridge_fail(s, session, "New token required for refresh");
        return;
    }
    if (jwt_verify(&s->config->gateway->jwt, token, clock_wall_ms() / 1000, &caller) != JWT_OK) {
        serve_count(s, COUNTER_LEGACY_AUTH, 1);
        bridge_fail(s, session, "Invalid authentication token");
        return;
    }
    if (!socket->caller.is_known || !span_eq(caller.id, socket->caller.id)) {
        caller_fini(&caller);
        end_mismatch(s, session);
        return;
    }
    caller_fini(&socket->caller);
    caller_copy(&socket->caller, &caller);
    caller_fini(&caller);
    leave_forbidden(s, session);
    bridge_begin(&out, "token_refreshed");
    bridge_add_now(&out);
    bridge_add_session_id(socket, &out);
    buf_add_str(&out, ",\"success\":true");
    add_when(&out, "expires_at", socket->caller.expires_s * 1000);
    buf_add_char(&out, '}');
    bridge_say(s, session, &out);
    buf_fini(&out);
}

/* --- channels -------------------------------------------------------------------------------------------------- */

static bool read_names(
    struct serve *s, struct session *session, const struct legacy_message *m, struct buf *names)
{
    size_t n;
    switch (legacy_read_names(m, &s->scratch, names, &n)) {
    case LIST_BAD_FORM:
        bridge_fail(s, session, "Invalid channels format");
        return false;
    case LIST_BAD_NAME:
        bridge_fail(s, session, "Invalid channel name");
        return false;
    case LIST_OK:
        break;
    }
    if (!n)
        bridge_fail(s, session, "No channels provided");
    return n > 0;
}

/* Of the names only those that the endpoint has. */
static void keep_topics(struct buf *names)
{
    struct buf kept = {0};
    for (size_t at = 0; at < names->len; at += strlen(names->p + at) + 1)
        if (legacy_is_topic(span_str(names->p + at)))
            buf_add(&kept, names->p + at, strlen(names->p + at) + 1);
    buf_fini(names);
    *names = kept;
}

static void subscribe(struct serve *s, struct session *session, const struct legacy_message *m)
{
    struct buf names = {0};
    if (read_names(s, session, m, &names)) {
        if (bridge_in_envelope(session->bridge))
            keep_topics(&names);
        bridge_join(s, session, &names, true);
    }
    buf_fini(&names);
}

static void unsubscribe(struct serve *s, struct session *session, const struct legacy_message *m)
{
    struct buf names = {0};
    if (read_names(s, session, m, &names))
        bridge_unsubscribe(s, session, &names);
    buf_fini(&names);
}

/* --- events of a client ------------------------------------------------------------------------------------------ */

static void tell_heard(
    struct serve *s, struct session *session, const struct asked *asked, const struct letter *l)
{
    struct buf out = {0};
    uint32_t n = l->n_subscriptions;
    if (l->result == LETTER_UNSTORED) {
        bridge_fail(s, session, "The event could not be stored: try again");
        return;
    }
    n -= n && asked->is_among;
    if (asked->is_broadcast) {
        bridge_begin(&out, "broadcast_sent");
        buf_add_str(&out, ",\"channel\":");
        json_quote(&out, span_str(asked->name));
        buf_addf(&out, ",\"recipients\":%u}", n);
    } else {
        bridge_begin(&out, "message_sent");
        buf_add_str(&out, ",\"target_user\":");
        json_quote(&out, span_str(asked->name));
        buf_addf(&out, ",\"delivered\":%s}", n ? "true" : "false");
    }
    bridge_say(s, session, &out);
    buf_fini(&out);
}

/* An event on its way: what Channels clients get, and what legacy clients do. */
struct sending {
    bool is_broadcast;
    struct span name; // as in struct asked
    struct buf channel, data, legacy;
    unsigned traits;
};

static void send_event(
    struct serve *s, struct session *session, const struct sending *x, const char *event)
{
    struct bridge_socket *socket = session->bridge;
    struct buf string = {0};
    struct span member;
    struct asked *asked = mem_zero(sizeof *asked + x->name.len + 1);
    memcpy(asked->name, x->name.p, x->name.len);
    asked->is_broadcast = x->is_broadcast;
    asked->is_among =
        hub_is_subscribed(s->hub, session->index, session->app, buf_span(&x->channel), &member);
    if (x->data.p[0] == '"')
        buf_add_span(&string, buf_span(&x->data));
    else
        json_quote(&string, buf_span(&x->data));
    struct frame *frame =
        pusher_event(span_str(event), buf_span(&x->channel), buf_span(&string), span_of(NULL, 0));
    frame->accepted_us = s->now_us;
    frame->legacy = frame_new(x->legacy.len);
    memcpy(frame->legacy->text, x->legacy.p, x->legacy.len);
    struct letter ask = {.mail.kind = LETTER_PUBLISH,
        .app = session->app,
        .traits = (uint8_t)x->traits,
        .info = INFO_SUBSCRIPTIONS,
        .session = ref_of(s, session),
        .channel = buf_span(&x->channel),
        .frame = frame,
        .request = {session->index, session->nonce, BRIDGE_ITEM}};
    app_count(&app_usage(session->app)->events_in, 1);
    if (hub_ask(s->hub, &ask) == HUB_WAIT) {
        socket->asked = asked;
        session->flags |= SESSION_WAITING;
    } else {
        frame_drop(ask.cached);
        tell_heard(s, session, asked, &ask);
        free(asked);
    }
    frame_drop(frame);
    buf_fini(&string);
}

void bridge_receive(struct serve *s, struct letter *letter)
{
    uint32_t index = letter->request[0];
    struct session *session = slab_has(&s->sessions, index) ? session_at(s, index) : NULL;
    if (session && session->state == SESSION_OPEN && session->nonce == letter->request[1] &&
        session->transport == TRANSPORT_LEGACY && session->bridge->asked) {
        struct asked *asked = session->bridge->asked;
        session->bridge->asked = NULL;
        session->flags &= (uint8_t)~SESSION_WAITING;
        tell_heard(s, session, asked, letter);
        free(asked);
        bridge_resume(s, session);
    }
    letter_free(letter);
}

static void free_sending(struct sending *x)
{
    buf_fini(&x->channel);
    buf_fini(&x->data);
    buf_fini(&x->legacy);
}

/* The message's data or payload; null when it has neither. */
static struct span value_of(const struct legacy_message *m)
{
    const struct json *value = m->data.kind != JSON_ABSENT ? &m->data : &m->payload;
    return value->kind == JSON_ABSENT ? span_str("null") : value->raw;
}

static bool check_size(struct serve *s, struct session *session, struct span data)
{
    uint32_t most = session_app(s, session)->limits.event_data_bytes;
    if (data.len <= most)
        return true;
    bridge_fail(s, session, "The data of this event has %zu bytes, and at most %u may be sent",
        data.len, most);
    return false;
}

/* Who may do this at all?  False with an error sent. */
static bool check_role(struct serve *s, struct session *session, const struct who *who)
{
    const struct roles *roles = &s->config->gateway->policy.roles;
    const struct caller *caller = &session->bridge->caller;
    if (who_holds(who, roles, caller))
        return true;
    const char *role = bridge_least_role(who, roles);
    serve_count(s, COUNTER_LEGACY_DENIED, 1);
    if (!role && !caller->is_known)
        bridge_fail(s, session, "Forbidden: authentication required");
    else
        bridge_fail(s, session, "Forbidden: requires role '%s'", role ? role : "none");
    return false;
}

/* The channel that a broadcast names; false with an error sent. */
static bool read_target(
    struct serve *s, struct session *session, const struct legacy_message *m, struct sending *x)
{
    const struct gateway *g = s->config->gateway;
    struct json_field inside = {"channel", {0}};
    struct json name = m->channel;
    if (name.kind == JSON_ABSENT && m->payload.kind == JSON_OBJECT) {
        json_fields(&m->payload, &inside, 1);
        name = inside.value;
    }
    if (name.kind != JSON_STRING || !json_decode(&name, &s->scratch, &x->name) || !x->name.len) {
        bridge_fail(s, session, "Channel required for broadcast");
        return false;
    }
    if (x->name.len <= LEGACY_NAME_CHARS)
        legacy_add_channel(x->name, false, &x->channel);
    if (!pusher_channel(buf_span(&x->channel), session_app(s, session)->limits.channel_name_chars,
            &x->traits)) {
        bridge_fail(s, session, "Invalid channel name");
        return false;
    }
    struct decision d =
        policy_decide(&g->policy, &session->bridge->caller, buf_span(&x->channel), POLICY_PUBLISH);
    if (d.is_allowed)
        return true;
    const char *role =
        d.rule ? bridge_least_role(&d.rule->may[POLICY_PUBLISH], &g->policy.roles) : NULL;
    serve_count(s, COUNTER_LEGACY_DENIED, 1);
    if (role)
        bridge_fail(s, session, "Forbidden: channel requires role '%s'", role);
    else
        bridge_fail(s, session, "Forbidden: the channel is not open to you");
    return false;
}

static void broadcast(struct serve *s, struct session *session, const struct legacy_message *m)
{
    struct sending x = {.is_broadcast = true};
    struct span data = value_of(m);
    if (check_role(s, session, &bridge_need(s)->broadcast) && read_target(s, session, m, &x) &&
        check_size(s, session, data)) {
        buf_add_span(&x.data, data);
        bridge_begin(&x.legacy, "broadcast");
        buf_add_str(&x.legacy, ",\"channel\":");
        json_quote(&x.legacy, x.name);
        buf_add_str(&x.legacy, ",\"data\":");
        buf_add_span(&x.legacy, data);
        buf_add_str(&x.legacy, ",\"sender\":");
        json_quote(&x.legacy, span_str(session->bridge->client_id));
        bridge_add_now(&x.legacy);
        buf_add_char(&x.legacy, '}');
        send_event(s, session, &x, "\"broadcast\"");
    }
    free_sending(&x);
}

/* A user's name, also as a number. */
static bool read_user(
    struct serve *s, struct session *session, const struct legacy_message *m, struct sending *x)
{
    struct json_field field = {"target_user", {0}};
    json_fields(&m->root, &field, 1);
    if (field.value.kind == JSON_ABSENT && m->payload.kind == JSON_OBJECT)
        json_fields(&m->payload, &field, 1);
    if (field.value.kind == JSON_NUMBER)
        x->name = field.value.raw;
    else if (field.value.kind != JSON_STRING || !json_decode(&field.value, &s->scratch, &x->name) ||
             !x->name.len) {
        bridge_fail(s, session, "Target user required");
        return false;
    }
    if (x->name.len <= LEGACY_NAME_CHARS) {
        buf_add_str(&x->channel, "private-user-");
        buf_add_span(&x->channel, x->name);
    }
    if (pusher_channel(
            buf_span(&x->channel), session_app(s, session)->limits.channel_name_chars, &x->traits))
        return true;
    bridge_fail(s, session, "Invalid target user");
    return false;
}

static void user_message(struct serve *s, struct session *session, const struct legacy_message *m)
{
    const struct bridge_socket *socket = session->bridge;
    struct sending x = {0};
    struct span data = value_of(m);
    if (check_role(s, session, &bridge_need(s)->user_message) && read_user(s, session, m, &x) &&
        check_size(s, session, data)) {
        bridge_begin(&x.data, "user_message");
        buf_add_str(&x.data, ",\"from\":");
        json_quote(
            &x.data, socket->caller.is_known ? socket->caller.id : span_str(socket->client_id));
        buf_add_str(&x.data, ",\"data\":");
        buf_add_span(&x.data, data);
        bridge_add_now(&x.data);
        buf_add_char(&x.data, '}');
        buf_add_span(&x.legacy, buf_span(&x.data));
        send_event(s, session, &x, "\"message\"");
    }
    free_sending(&x);
}

/* --- the application's own messages ------------------------------------------------------------------------------ */

static void add_payload(const struct legacy_message *m, struct buf *out)
{
    struct json name;
    struct json item;
    size_t at = 0;
    const char *before = "";
    if (m->payload.kind == JSON_OBJECT || m->data.kind == JSON_OBJECT) {
        buf_add_span(out, m->payload.kind == JSON_OBJECT ? m->payload.raw : m->data.raw);
        return;
    }
    buf_add_char(out, '{'); // what stands beside the type
    while (json_next_member(&m->root, &at, &name, &item)) {
        if (span_is(name.raw, "\"type\""))
            continue;
        buf_add_str(out, before);
        buf_add_span(out, name.raw);
        buf_add_char(out, ':');
        buf_add_span(out, item.raw);
        before = ",";
    }
    buf_add_char(out, '}');
}

/* The body that POST would have had. */
static void add_body(
    struct serve *s, const struct route *route, const struct legacy_message *m, struct buf *out)
{
    struct json_field id = {"request_id", {0}};
    struct buf channel = {0};
    struct span name;
    json_fields(&m->root, &id, 1);
    buf_add_str(out, "{\"");
    json_escape(out, span_str(route->dispatch.field));
    buf_add_str(out, "\":");
    json_quote(out, m->type);
    buf_add_str(out, ",\"payload\":");
    add_payload(m, out);
    if (m->channel.kind == JSON_STRING && json_decode(&m->channel, &s->scratch, &name) &&
        name.len) {
        legacy_add_channel(name, false, &channel);
        buf_add_str(out, ",\"channel\":");
        json_quote(out, buf_span(&channel));
    }
    if (id.value.kind == JSON_STRING) {
        buf_add_str(out, ",\"request_id\":");
        buf_add_span(out, id.value.raw);
    }
    buf_add_char(out, '}');
    buf_fini(&channel);
}

static const struct route *message_route(const struct serve *s)
{
    const struct gateway *g = s->config->gateway;
    const struct route *route = bridge_route(g->routes, g->n_routes, g->bridge->message);
    return route && route->dispatch.field ? route : NULL;
}

/* Of a type that the route knows. */
static void dispatch(struct serve *s, struct session *session, const struct legacy_message *m)
{
    const struct route *route = message_route(s);
    const struct dispatch_case *one = bridge_case(route, m->type);
    struct buf body = {0};
    if (!check_role(s, session, &one->action.who))
        return;
    add_body(s, route, m, &body);
    endpoint_message(s, &(struct endpoint_message){.route = route,
                            .caller = &session->bridge->caller,
                            .socket = ref_of(s, session),
                            .body = buf_span(&body)});
    buf_fini(&body);
}

static void create_environment(
    struct serve *s, struct session *session, const struct legacy_message *m)
{
    const struct gateway *g = s->config->gateway;
    struct json_field fields[] = {{"environment_type", {0}}, {"message", {0}}, {"config", {0}}};
    struct buf body = {0};
    json_fields(&m->root, fields, COUNT_OF(fields));
    for (size_t i = 0; i < COUNT_OF(fields) && m->payload.kind == JSON_OBJECT; i++)
        if (fields[i].value.kind == JSON_ABSENT)
            json_fields(&m->payload, &fields[i], 1);
    buf_add_str(&body, "{\"environment_type\":");
    buf_add_span(
        &body, fields[0].value.kind == JSON_STRING ? fields[0].value.raw : span_str("\"default\""));
    if (fields[1].value.kind != JSON_ABSENT)
        buf_addf(&body, ",\"spec\":{\"message\":%.*s}", SPAN(fields[1].value.raw));
    if (fields[2].value.kind == JSON_OBJECT)
        buf_addf(&body, ",\"config\":%.*s", SPAN(fields[2].value.raw));
    buf_add_char(&body, '}');
    endpoint_message(s, &(struct endpoint_message){
                            .route = bridge_route(g->routes, g->n_routes, g->bridge->environment),
                            .caller = &session->bridge->caller,
                            .socket = ref_of(s, session),
                            .body = buf_span(&body),
                            .is_quiet = true});
    buf_fini(&body);
}

/* --- what came of it -------------------------------------------------------------------------------------------- */

/* The words of {"detail":"TEXT"} or {"detail":[{"loc":[..,"NAME"],"msg":"TEXT"},..]}. */
static void add_detail(struct span reply, struct buf *out)
{
    struct json root;
    struct json item;
    struct json_field detail = {"detail", {0}};
    struct json_field msg = {"msg", {0}};
    struct json_field loc = {"loc", {0}};
    struct buf scratch = {0};
    struct span text;
    size_t at = 0;
    (void)buf_room(&scratch, 4 * reply.len + 16);
    if (!json_parse_fields(reply, &root, &detail, 1))
        return;
    if (detail.value.kind == JSON_STRING && json_decode(&detail.value, &scratch, &text))
        buf_add_span(out, text);
    while (detail.value.kind == JSON_ARRAY && json_next(&detail.value, &at, &item)) {
        json_fields(&item, &msg, 1);
        json_fields(&item, &loc, 1);
        buf_add_str(out, out->len ? "; " : "");
        size_t k = 0;
        for (struct json part; loc.value.kind == JSON_ARRAY && json_next(&loc.value, &k, &part);)
            if (part.kind == JSON_STRING && json_decode(&part, &scratch, &text) &&
                !span_is(text, "body"))
                buf_addf(out, "%.*s: ", SPAN(text));
        if (msg.value.kind == JSON_STRING && json_decode(&msg.value, &scratch, &text))
            buf_add_span(out, text);
    }
    buf_fini(&scratch);
}

/* A reply that says its own type is the frame; another goes into an "ack". */
static void add_reply(const struct bridge_socket *socket, const struct act *a, struct buf *out)
{
    struct json root;
    struct json_field fields[] = {{"type", {0}}, {"payload", {0}}};
    bool ok = json_parse_fields(buf_span(&a->reply), &root, fields, COUNT_OF(fields));
    bool has_type = ok && root.kind == JSON_OBJECT && fields[0].value.kind == JSON_STRING;
    struct span type = has_type ? fields[0].value.raw : span_str("\"ack\"");
    if (bridge_in_envelope(socket)) {
        buf_addf(out, "{\"type\":%.*s,\"payload\":", SPAN(type));
        buf_add_span(out, has_type && fields[1].value.kind != JSON_ABSENT ? fields[1].value.raw
                                                                          : buf_span(&a->reply));
        bridge_end_envelope(socket, out);
    } else if (has_type) {
        buf_add_span(out, buf_span(&a->reply));
    } else {
        buf_addf(out,
            "{\"type\":\"ack\",\"message\":\"ok\",\"request_id\":\"%s\",\"data\":", a->request_id);
        buf_add_span(out, buf_span(&a->reply));
        buf_add_char(out, '}');
    }
}

void bridge_answer(struct serve *s, struct act *a)
{
    uint32_t index = a->socket.slot;
    struct session *session = slab_has(&s->sessions, index) ? session_at(s, index) : NULL;
    struct buf out = {0};
    if (!session || session->state != SESSION_OPEN || session->nonce != a->socket.nonce)
        return;
    if (a->status >= 400) {
        if (a->status == 403)
            serve_count(s, COUNTER_LEGACY_DENIED, 1);
        add_detail(buf_span(&a->reply), &out);
        bridge_fail(s, session, "%.*s", SPAN(buf_span(&out)));
    } else if (!a->is_quiet) {
        add_reply(session->bridge, a, &out);
        bridge_say(s, session, &out);
    }
    buf_fini(&out);
}

/* --- the table ---------------------------------------------------------------------------------------------------- */

typedef void (*answer_fn)(struct serve *, struct session *, const struct legacy_message *);

static void on_ping(struct serve *s, struct session *session, const struct legacy_message *m)
{
    (void)m;
    say_pong(s, session);
}

static void on_heartbeat(struct serve *s, struct session *session, const struct legacy_message *m)
{
    (void)m;
    say_heartbeat(s, session);
}

static void on_status(struct serve *s, struct session *session, const struct legacy_message *m)
{
    (void)m;
    say_status(s, session);
}

enum {
    PLAIN = 1 << BRIDGE_WS | 1 << BRIDGE_CLIENT,
    NATIVE = 1 << BRIDGE_NATIVE,
    ROBLOX = 1 << BRIDGE_ROBLOX,
    LISTENING = 1 << BRIDGE_ANALYTICS,
    CREATING = 1 << BRIDGE_ENVIRONMENT
};

static const struct {
    const char *type;
    unsigned endpoints; // that know it
    answer_fn answer;
} answers[] = {
    {"ping", PLAIN | NATIVE | LISTENING | CREATING, on_ping},
    {"heartbeat", ROBLOX, on_heartbeat},
    {"subscribe", PLAIN | NATIVE | ROBLOX, subscribe},
    {"unsubscribe", PLAIN | NATIVE | ROBLOX, unsubscribe},
    {"broadcast", PLAIN, broadcast},
    {"user_message", PLAIN, user_message},
    {"refresh_token", PLAIN | ROBLOX | LISTENING | CREATING, refresh},
    {"auth_status", PLAIN, on_status},
    {"environment_create_request", CREATING, create_environment},
};

static answer_fn find_answer(enum bridge_endpoint endpoint, struct span type)
{
    for (size_t i = 0; i < COUNT_OF(answers); i++)
        if ((answers[i].endpoints & 1U << endpoint) && span_is(type, answers[i].type))
            return answers[i].answer;
    return NULL;
}

/* Counted for each user, or connection without one, and type. */
static bool take_rate(struct serve *s, struct session *session, struct span type, bool is_known)
{
    const struct bridge_socket *socket = session->bridge;
    struct buf name = {0};
    buf_add_str(&name, "legacy\n");
    buf_add_span(&name, is_known ? type : span_str("?"));
    if (socket->caller.is_known)
        buf_addf(&name, "\nuser\n%.*s", SPAN(socket->caller.id));
    else
        buf_addf(&name, "\n%llu", (unsigned long long)socket->key);
    uint32_t wait_s = quota_take(s->house->quota, buf_span(&name), bridge_need(s)->messages_per_min,
        MINUTE_S, s->now_us / 1000);
    buf_fini(&name);
    if (!wait_s)
        return true;
    serve_count(s, COUNTER_LEGACY_LIMITED, 1);
    bridge_fail(s, session, "Rate limit exceeded. Retry after %u seconds", wait_s);
    return false;
}

static void refuse_form(struct serve *s, struct session *session, enum legacy_fault fault,
    const struct legacy_message *m)
{
    if (session->bridge->endpoint == BRIDGE_NATIVE && fault != LEGACY_NOT_JSON) {
        say_echo(s, session, &m->root);
        return;
    }
    serve_count(s, COUNTER_BAD_MESSAGES, 1);
    bridge_fail(s, session, "%s",
        fault == LEGACY_NOT_JSON     ? "Invalid JSON format"
        : fault == LEGACY_NOT_OBJECT ? "Invalid message format"
                                     : "Invalid message type");
}

static void refuse_type(struct serve *s, struct session *session, struct span type)
{
    serve_count(s, COUNTER_BAD_MESSAGES, 1);
    bridge_fail(s, session, "Unknown message type: %.*s",
        (int)(type.len < SHOWN_BYTES ? type.len : SHOWN_BYTES), type.p);
}

void bridge_message(struct serve *s, struct session *session, struct span text)
{
    struct bridge_socket *socket = session->bridge;
    struct legacy_message m;
    serve_count(s, COUNTER_LEGACY_IN, 1);
    socket->said_ms = s->client_ms;
    socket->n_messages++;
    if (!bridge_config(s))
        return; // a reload has just switched it off: the next sweep ends it
    if (bridge_is_expired(s, socket)) {
        bridge_expire(s, session);
        return;
    }
    enum legacy_fault fault = legacy_read(text, &s->scratch, &m);
    answer_fn answer = fault == LEGACY_OK ? find_answer(socket->endpoint, m.type) : NULL;
    const struct route *route = message_route(s);
    bool is_case = fault == LEGACY_OK && ((1U << socket->endpoint) & (PLAIN | ROBLOX)) && route &&
                   bridge_case(route, m.type);
    if (!take_rate(s, session, m.type, answer || is_case))
        return;
    if (fault != LEGACY_OK)
        refuse_form(s, session, fault, &m);
    else if (answer)
        answer(s, session, &m);
    else if (socket->endpoint == BRIDGE_NATIVE)
        say_echo(s, session, &m.root);
    else if (is_case)
        dispatch(s, session, &m);
    else
        refuse_type(s, session, m.type);
}
