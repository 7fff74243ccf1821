/* Channels of a legacy socket: asked for several at a time, joined one after the other,
 * because the home of each may have to answer first. */
#include "base/base.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "gateway/ledger.h"
#include "serve/bridge.h"
#include "wire/pusher.h"

struct joining {
    struct buf names; // with a NUL behind each
    size_t at;
    bool is_asked;
    bool is_trying;        // the channel's home is to answer
    struct buf channel;    // of the name at at
    struct buf ok, denied; // JSON strings with commas between them
    char first[LEGACY_NAME_CHARS + 1];
    char why[200]; // the first is denied
};

static void add_item(struct buf *list, struct span name)
{
    buf_add_str(list, list->len ? "," : "");
    json_quote(list, name);
}

static struct span name_now(const struct joining *j)
{
    return span_str(j->names.p + j->at);
}

static void free_joining(struct joining *j)
{
    buf_fini(&j->names);
    buf_fini(&j->channel);
    buf_fini(&j->ok);
    buf_fini(&j->denied);
    free(j);
}

/* --- one ---------------------------------------------------------------------------------------------- */

static void PRINTF_LIKE(2, 3) deny(struct joining *j, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (!j->why[0])
        vsnprintf(j->why, sizeof j->why, format, args);
    va_end(args);
    add_item(&j->denied, name_now(j));
}

static void deny_by_rule(struct serve *s, const struct bridge_socket *socket, struct joining *j,
    const struct decision *d)
{
    const struct policy *policy = &s->config->gateway->policy;
    const char *role =
        d->rule ? bridge_least_role(&d->rule->may[POLICY_JOIN], &policy->roles) : NULL;
    serve_count(s, COUNTER_LEGACY_DENIED, 1);
    if (role)
        deny(j, "Forbidden: channel requires role '%s'", role);
    else if (!socket->caller.is_known)
        deny(j, "Forbidden: channel requires authentication");
    else
        deny(j, "Forbidden: the channel is not open to you");
}

static void disown(struct bridge_socket *socket)
{
    free(socket->own);
    socket->own = NULL;
}

static void joined(struct serve *s, struct session *session, struct joining *j, bool is_new)
{
    struct bridge_socket *socket = session->bridge;
    bool is_own = socket->own && span_is(buf_span(&j->channel), socket->own);
    if (is_new)
        ledger_join(s->house->ledger, buf_span(&j->channel));
    if (!j->is_asked)
        return;
    socket->n_joined += is_new || is_own;
    if (is_own)
        disown(socket); // it has been asked for: from now on it is like any other
    if (!j->ok.len)
        snprintf(j->first, sizeof j->first, "%.*s", SPAN(name_now(j)));
    add_item(&j->ok, name_now(j));
}

/* The home has answered, with frames that such a client does not get. */
static void judge(struct serve *s, struct session *session, struct joining *j)
{
    struct span member;
    if (hub_is_subscribed(s->hub, session->index, session->app, buf_span(&j->channel), &member))
        joined(s, session, j, true);
    else
        deny(j, "The channel is full");
}

/* Who it is there, for the others of a presence channel. */
static void describe(struct serve *s, const struct bridge_socket *socket,
    const struct channel_rule *rule, struct buf *info)
{
    const struct gateway *g = s->config->gateway;
    struct scene scene = {.caller = &socket->caller, .now_ms = socket->opened_wall_ms};
    template_write(
        rule && rule->has_user_info ? &rule->user_info : &g->policy.user_info, &scene, info);
}

static bool check_channel(
    struct serve *s, struct session *session, struct joining *j, unsigned *traits)
{
    const struct app_limits *limits = &session_app(s, session)->limits;
    if (!pusher_channel(buf_span(&j->channel), limits->channel_name_chars, traits) ||
        (*traits & CHANNEL_USER))
        deny(j, "Invalid channel name");
    else if (*traits & CHANNEL_ENCRYPTED)
        deny(j, "Encrypted channels need a Pusher client");
    else if (hub_n_subscriptions(s->hub, session->index) >= limits->channels_per_connection)
        deny(j, "A connection may subscribe to %u channels", limits->channels_per_connection);
    else
        return true;
    return false;
}

static void try_one(struct serve *s, struct session *session, struct joining *j)
{
    struct bridge_socket *socket = session->bridge;
    struct buf info = {0};
    struct span member;
    unsigned traits = 0;
    j->channel.len = 0;
    if (j->is_asked)
        legacy_add_channel(name_now(j), bridge_in_envelope(socket), &j->channel);
    else
        buf_add_span(&j->channel, name_now(j));
    struct span channel = buf_span(&j->channel);
    if (!check_channel(s, session, j, &traits))
        return;
    struct decision d =
        policy_decide(&s->config->gateway->policy, &socket->caller, channel, POLICY_JOIN);
    if (!d.is_allowed || ((traits & CHANNEL_PRESENCE) && !socket->caller.is_known)) {
        deny_by_rule(s, socket, j, &d);
        return;
    }
    if (hub_is_subscribed(s->hub, session->index, session->app, channel, &member)) {
        joined(s, session, j, false);
        return;
    }
    struct letter ask = {.app = session->app, .traits = (uint8_t)traits, .channel = channel};
    if (traits & CHANNEL_PRESENCE) {
        describe(s, socket, d.rule, &info);
        ask.user = socket->caller.id;
        ask.info_json = buf_span(&info);
    }
    if (hub_subscribe(s->hub, session->index, &ask) == HUB_WAIT) {
        session->flags |= SESSION_WAITING;
        j->is_trying = true;
    } else {
        judge(s, session, j);
    }
    buf_fini(&info);
}

/* --- all ------------------------------------------------------------------------------------------------ */

static void tell_subscribed(struct serve *s, struct session *session, const struct joining *j)
{
    struct bridge_socket *socket = session->bridge;
    struct buf out = {0};
    if (bridge_in_envelope(socket)) {
        buf_addf(&out, "{\"type\":\"connection_ack\",\"payload\":{\"subscribed\":[%.*s]}",
            SPAN(buf_span(&j->ok)));
        bridge_end_envelope(socket, &out);
    } else {
        bridge_begin(&out, "subscribed");
        buf_add_str(&out, ",\"channel\":");
        json_quote(&out, span_str(j->first));
        buf_addf(&out, ",\"channels\":[%.*s],\"total_subscriptions\":%u", SPAN(buf_span(&j->ok)),
            socket->n_joined);
        if (j->denied.len)
            buf_addf(&out, ",\"denied\":[%.*s]", SPAN(buf_span(&j->denied)));
        buf_add_char(&out, '}');
    }
    bridge_say(s, session, &out);
    buf_fini(&out);
}

static void finish(struct serve *s, struct session *session, struct joining *j)
{
    session->bridge->joining = NULL;
    if (j->is_asked && (j->ok.len || bridge_in_envelope(session->bridge)))
        tell_subscribed(s, session, j);
    else if (j->is_asked)
        bridge_fail(s, session, "%s", j->why);
    else if (j->why[0])
        log_event(LOG_INFO, "legacy_channel_denied", "why=\"%s\"", j->why);
    free_joining(j);
}

static void go_on(struct serve *s, struct session *session)
{
    struct joining *j = session->bridge->joining;
    while (j->at < j->names.len) {
        if (j->is_trying) {
            j->is_trying = false;
            judge(s, session, j);
        } else {
            try_one(s, session, j);
            if (j->is_trying)
                return;
        }
        j->at += name_now(j).len + 1;
    }
    finish(s, session, j);
}

void bridge_join(struct serve *s, struct session *session, struct buf *names, bool is_asked)
{
    struct joining *j = mem_zero(sizeof *j);
    j->names = *names;
    j->is_asked = is_asked;
    *names = (struct buf){0};
    session->bridge->joining = j;
    go_on(s, session);
}

void bridge_resume(struct serve *s, struct session *session)
{
    /* A reload may have taken the endpoints or the app away meanwhile: the sweep ends it. */
    if (!bridge_config(s) || !session_app(s, session))
        return;
    if (session->bridge->joining)
        go_on(s, session);
    if (!(session->flags & SESSION_WAITING) && session->at != SLAB_NONE)
        conn_resume(s, conn_at(s, session->at));
}

void bridge_drop_work(struct bridge_socket *socket)
{
    if (socket->joining)
        free_joining(socket->joining);
    socket->joining = NULL;
    free(socket->asked);
    socket->asked = NULL;
}

/* --- leaving ---------------------------------------------------------------------------------------------- */

bool bridge_is_joining(const struct bridge_socket *socket, struct span channel)
{
    const struct joining *j = socket->joining;
    return j && j->is_trying && span_eq(buf_span(&j->channel), channel);
}

void bridge_left(struct serve *s, struct session *session, struct span channel)
{
    struct bridge_socket *socket = session->bridge;
    if (bridge_is_joining(socket, channel))
        return; // it has left again before it was told
    ledger_part(s->house->ledger, channel);
    if (socket->own && span_is(channel, socket->own)) {
        disown(socket); // who asks for it again gets it like any other
    } else {
        socket->n_joined--;
    }
}

void bridge_unsubscribe(struct serve *s, struct session *session, const struct buf *names)
{
    struct bridge_socket *socket = session->bridge;
    struct buf channel = {0};
    struct buf list = {0};
    struct buf out = {0};
    for (size_t at = 0; at < names->len; at += strlen(names->p + at) + 1) {
        struct span name = span_str(names->p + at);
        channel.len = 0;
        legacy_add_channel(name, bridge_in_envelope(socket), &channel);
        if (hub_unsubscribe(s->hub, session->index, session->app, buf_span(&channel)))
            bridge_left(s, session, buf_span(&channel));
        add_item(&list, name);
    }
    if (!bridge_in_envelope(socket)) {
        bridge_begin(&out, "unsubscribed");
        buf_add_str(&out, ",\"channel\":");
        json_quote(&out, span_str(names->p));
        buf_addf(&out, ",\"channels\":[%.*s],\"total_subscriptions\":%u}", SPAN(buf_span(&list)),
            socket->n_joined);
        bridge_say(s, session, &out);
    }
    buf_fini(&channel);
    buf_fini(&list);
    buf_fini(&out);
}
