/* What a Channels client says, and what becomes of it (pusher-protocol 2). */
#include "base/base.h"

#include "serve/session.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/text.h"
#include "serve/bridge.h"
#include "serve/notes.h"
#include "wire/pusher.h"

enum {
    GIVEN_BYTES = 200,   // of what a client sent, repeated in an error
    SIGNIN_FAILED = 4009 // pusher-protocol 9, row 6
};

/* --- errors ---------------------------------------------------------------------------------------- */

static void send_error(struct serve *s, struct session *session, int code, struct span message)
{
    struct buf *out = &s->scratch2;
    out->len = 0;
    pusher_add_error(out, code, message);
    hub_send(s->hub, session->index, buf_span(out));
}

static void PRINTF_LIKE(4, 5)
    fail(struct serve *s, struct session *session, int code, const char *format, ...)
{
    struct err err;
    va_list args;
    va_start(args, format);
    vsnprintf(err.text, sizeof err.text, format, args);
    va_end(args);
    send_error(s, session, code, span_str(err.text));
}

/* before, what the client gave, after.  Not by printf: what it gave may hold a NUL. */
static struct span join(struct serve *s, const char *before, struct span given, const char *after)
{
    struct buf *out = &s->words;
    out->len = 0;
    buf_add_str(out, before);
    buf_add_span(out, given);
    buf_add_str(out, after);
    return buf_span(out);
}

/* At most max bytes of s, cut between characters. */
static struct span clip(struct span s, size_t max)
{
    if (s.len <= max)
        return s;
    while (max && ((unsigned char)s.p[max] & 0xC0) == 0x80)
        max--;
    return span_of(s.p, max);
}

/* Both forms in which clients look for it: pusher-protocol 2.3 and 9, row 4. */
static void fail_subscribe(struct serve *s, struct session *session, struct span channel,
    const char *type, int status, struct span why)
{
    struct buf *out = &s->scratch2;
    serve_count(s, COUNTER_SUBSCRIBE_REFUSED, 1);
    send_error(s, session, PUSHER_NO_CODE, why);
    out->len = 0;
    pusher_add_subscription_error(out, channel, type, why, status); // whole: it names a channel
    hub_send(s->hub, session->index, buf_span(out));
}

/* --- signatures -------------------------------------------------------------------------------------- */

/* auth is "KEY:HEX" with a key of this app, over the parts. */
static bool is_signed(const struct app *app, const struct json *auth, struct buf *scratch,
    const struct span *parts, size_t n_parts)
{
    struct span text;
    if (auth->kind != JSON_STRING || !json_decode(auth, scratch, &text))
        return false;
    const char *colon = text.len ? memchr(text.p, ':', text.len) : NULL;
    if (!colon)
        return false;
    struct span name = span_of(text.p, (size_t)(colon - text.p));
    const struct app_key *key = app_key_find(app, name);
    return key && sign_check(&key->sign, parts, n_parts, span_from(text, name.len + 1));
}

static struct span given_signature(const struct json *auth, struct buf *scratch)
{
    struct span text;
    if (auth->kind != JSON_STRING || !json_decode(auth, scratch, &text))
        return span_str("nothing");
    const char *colon = text.len ? memchr(text.p, ':', text.len) : NULL;
    return clip(span_from(text, colon ? (size_t)(colon - text.p) + 1 : 0), GIVEN_BYTES);
}

/* --- subscribe ------------------------------------------------------------------------------------------ */

struct subscribe {
    struct span channel;
    unsigned traits;
    struct json auth, data; // data: channel_data
    struct span data_text;  // decoded; p NULL = absent
    struct span user, info; // presence
    struct recovery recovery;
};

/* False with an error sent. */
static bool check_signature(struct serve *s, struct session *session, struct subscribe *sub)
{
    const struct app *app = session_app(s, session);
    char id[SOCKET_ID_MAX];
    struct span socket = span_of(id, session_id(s, session, id));
    struct span parts[] = {socket, span_str(":"), sub->channel, span_str(":"), sub->data_text};
    if (is_signed(app, &sub->auth, &s->scratch, parts, sub->data_text.p ? 5 : 3))
        return true;
    struct span given = given_signature(&sub->auth, &s->scratch);
    struct err err;
    err_set(&err, 0,
        "Invalid signature: Expected HMAC SHA256 hex digest of %.*s:%.*s%s%.*s, but got %.*s",
        SPAN(socket), SPAN(sub->channel), sub->data_text.p ? ":" : "",
        SPAN(clip(sub->data_text, GIVEN_BYTES)), SPAN(given));
    fail_subscribe(s, session, sub->channel, "AuthError", 401, span_str(err.text));
    return false;
}

static bool fail_data(
    struct serve *s, struct session *session, const struct subscribe *sub, const char *why)
{
    struct err err;
    err_set(&err, 0, "Invalid channel_data for %.*s: %s", SPAN(sub->channel), why);
    fail_subscribe(s, session, sub->channel, "AuthError", 401, span_str(err.text));
    return false;
}

/* Who joins, from channel_data. */
static bool read_member(struct serve *s, struct session *session, struct subscribe *sub)
{
    const struct app_limits *limits = &session_app(s, session)->limits;
    struct json root;
    struct json_field fields[] = {{"user_id", {0}}, {"user_info", {0}}};
    if (!json_parse_fields(sub->data_text, &root, fields, COUNT_OF(fields)) ||
        root.kind != JSON_OBJECT)
        return fail_data(s, session, sub, "it is not a JSON object");
    const struct json *id = &fields[0].value;
    const struct json *info = &fields[1].value;
    if (id->kind == JSON_NUMBER)
        sub->user = id->raw;
    else if (id->kind != JSON_STRING || !json_decode(id, &s->scratch, &sub->user))
        return fail_data(s, session, sub, "user_id is not a string or a number");
    if (!sub->user.len || utf8_chars(sub->user) > limits->presence_user_id_chars ||
        memchr(sub->user.p, '\0', sub->user.len))
        return fail_data(s, session, sub, "user_id is empty or too long");
    if (info->kind != JSON_ABSENT && info->kind != JSON_NULL)
        sub->info = info->raw;
    if (sub->info.len > limits->presence_member_bytes) {
        fail_subscribe(s, session, sub->channel, "LimitReached", 4301,
            span_str("The maximum size of a presence channel member's user_info was exceeded"));
        return false;
    }
    return true;
}

static bool authorise_presence(struct serve *s, struct session *session, struct subscribe *sub)
{
    if (sub->data_text.p)
        return read_member(s, session, sub);
    sub->user = hub_user(s->hub, session->index);
    sub->info = hub_user_info(s->hub, session->index);
    if (sub->user.len)
        return true;
    struct err err;
    err_set(&err, 0, "%.*s is a presence channel and subscription must include channel_data",
        SPAN(sub->channel));
    fail_subscribe(s, session, sub->channel, "AuthError", 401, span_str(err.text));
    return false;
}

/* What the gateway's policy has put into the signed channel_data. */
static void read_silence(struct serve *s, struct session *session, const struct subscribe *sub)
{
    struct json root;
    struct json_field fields[] = {{"client_events", {0}}};
    bool is_silent = sub->data_text.p && json_parse_fields(sub->data_text, &root, fields, 1) &&
                     fields[0].value.kind == JSON_FALSE;
    notes_set_silent(s, session->index, sub->channel, is_silent);
}

static bool authorise(struct serve *s, struct session *session, struct subscribe *sub)
{
    if (sub->traits & CHANNEL_USER) {
        struct span id = span_from(sub->channel, strlen(PUSHER_USER_PREFIX));
        if (span_eq(id, hub_user(s->hub, session->index)))
            return true;
        fail_subscribe(s, session, sub->channel, "AuthError", 401,
            span_str("The connection is not signed in as the user of this channel"));
        return false;
    }
    if (!(sub->traits & CHANNEL_PRIVATE))
        return true;
    if (!check_signature(s, session, sub))
        return false;
    if ((sub->traits & CHANNEL_PRESENCE) && !authorise_presence(s, session, sub))
        return false;
    read_silence(s, session, sub);
    return true;
}

/* The fields of the frame; false with an error sent. */
static bool read_subscribe(
    struct serve *s, struct session *session, const struct pusher_message *m, struct subscribe *sub)
{
    struct json_field fields[] = {
        {"channel", {0}}, {"auth", {0}}, {"channel_data", {0}}, {"recovery", {0}}};
    if (!pusher_read_data(&m->data, &s->scratch, fields, COUNT_OF(fields)) ||
        fields[0].value.kind != JSON_STRING) {
        fail(s, session, PUSHER_NO_CODE, "Missing parameter: data.channel");
        return false;
    }
    sub->auth = fields[1].value;
    sub->data = fields[2].value;
    if (!json_decode(&fields[0].value, &s->scratch, &sub->channel))
        sub->channel = json_inner(&fields[0].value);
    if (!recovery_read(&fields[3].value, &s->scratch, &sub->recovery)) {
        fail_subscribe(s, session, sub->channel, "InvalidRecovery", 400,
            span_str("Invalid parameter: data.recovery must be an object with epoch and offset, "
                     "rewind or rewind_s, and inline"));
        return false;
    }
    if (sub->data.kind == JSON_ABSENT || sub->data.kind == JSON_NULL)
        return true;
    if (sub->data.kind != JSON_STRING || !json_decode(&sub->data, &s->scratch, &sub->data_text)) {
        fail_subscribe(s, session, sub->channel, "AuthError", 401,
            span_str("Invalid parameter: data.channel_data must be a string"));
        return false;
    }
    if (!sub->data_text.len)
        sub->data_text = span_of(NULL, 0); // "" is how some clients say absent
    return true;
}

static bool check_channel(struct serve *s, struct session *session, struct subscribe *sub)
{
    const struct app_limits *limits = &session_app(s, session)->limits;
    struct span member;
    struct err err;
    if (!pusher_channel(sub->channel, limits->channel_name_chars, &sub->traits)) {
        fail_subscribe(s, session, sub->channel, "InvalidChannel", 4009,
            join(s, "Invalid channel name '", clip(sub->channel, GIVEN_BYTES), "'"));
        return false;
    }
    if (hub_is_subscribed(s->hub, session->index, session->app, sub->channel, &member)) {
        fail(s, session, PUSHER_NO_CODE, "Existing subscription to channel %.*s",
            SPAN(sub->channel));
        return false;
    }
    if (hub_n_subscriptions(s->hub, session->index) >= limits->channels_per_connection) {
        err_set(
            &err, 0, "A connection may subscribe to %u channels", limits->channels_per_connection);
        fail_subscribe(s, session, sub->channel, "LimitReached", 4100, span_str(err.text));
        return false;
    }
    return true;
}

static void subscribe(struct serve *s, struct session *session, const struct pusher_message *m)
{
    struct subscribe sub = {0};
    if (!read_subscribe(s, session, m, &sub) || !check_channel(s, session, &sub) ||
        !authorise(s, session, &sub))
        return;
    struct letter ask = {.app = session->app,
        .traits = (uint8_t)sub.traits,
        .channel = sub.channel,
        .user = sub.user,
        .info_json = sub.info,
        .recovery = sub.recovery};
    if (hub_subscribe(s->hub, session->index, &ask) == HUB_WAIT)
        session->flags |= SESSION_WAITING;
}

static void unsubscribe(struct serve *s, struct session *session, const struct pusher_message *m)
{
    struct json_field fields[] = {{"channel", {0}}};
    struct span channel;
    if (!pusher_read_data(&m->data, &s->scratch, fields, COUNT_OF(fields)) ||
        fields[0].value.kind != JSON_STRING ||
        !json_decode(&fields[0].value, &s->scratch, &channel)) {
        fail(s, session, PUSHER_NO_CODE, "Missing parameter: data.channel");
        return;
    }
    if (hub_unsubscribe(s->hub, session->index, session->app, channel))
        notes_set_silent(s, session->index, channel, false);
    else
        send_error(s, session, PUSHER_NO_CODE,
            join(s, "No current subscription to channel ", clip(channel, GIVEN_BYTES),
                ", or subscription in progress"));
}

/* --- client events ---------------------------------------------------------------------------------------- */

/* When the last events came: a ring of as many as a second may hold. */
struct rate {
    uint32_t n, next, cap;
    uint32_t at_ms[];
};

static bool take_rate(struct serve *s, struct session *session, uint32_t per_s)
{
    struct rate *r = session->rate;
    if (!per_s)
        return true;
    if (!r || r->cap != per_s) {
        free(r);
        r = session->rate = mem_zero(sizeof *r + per_s * sizeof r->at_ms[0]);
        r->cap = per_s;
    }
    if (r->n == r->cap && s->now_ms - r->at_ms[r->next] < 1000)
        return false;
    r->at_ms[r->next] = s->now_ms;
    r->next = (r->next + 1) % r->cap;
    if (r->n < r->cap)
        r->n++;
    return true;
}

static bool refuse_event(struct serve *s, struct session *session, const char *why)
{
    serve_count(s, COUNTER_CLIENT_REFUSED, 1);
    fail(s, session, PUSHER_NO_CODE, "%s", why);
    return false;
}

struct client_event {
    struct span channel;
    unsigned traits;
    struct span member; // user id on a presence channel
};

/* May this session say this there?  False with an error sent. */
static bool check_event(struct serve *s, struct session *session, const struct pusher_message *m,
    struct client_event *e)
{
    const struct app *app = session_app(s, session);
    const struct app_limits *limits = &app->limits;
    if (!app->client_events)
        return refuse_event(s, session,
            "To send client events, you must enable this feature in the Settings page of your "
            "dashboard.");
    if (m->channel.kind != JSON_STRING || !json_decode(&m->channel, &s->scratch, &e->channel))
        return refuse_event(s, session, "Invalid client event (must contain channel and data)");
    if (utf8_chars(m->event) > limits->event_name_chars)
        return refuse_event(s, session, "Invalid client event (the event name is too long)");
    if (!pusher_channel(e->channel, limits->channel_name_chars, &e->traits))
        return refuse_event(s, session, "Invalid client event (the channel name is not valid)");
    if (!(e->traits & CHANNEL_PRIVATE) || (e->traits & CHANNEL_ENCRYPTED))
        return refuse_event(
            s, session, "Client event rejected - only supported on private and presence channels");
    if (!hub_is_subscribed(s->hub, session->index, session->app, e->channel, &e->member)) {
        serve_count(s, COUNTER_CLIENT_REFUSED, 1);
        fail(s, session, PUSHER_NO_CODE,
            "Cannot broadcast client event (connection not subscribed to channel %.*s)",
            SPAN(e->channel));
        return false;
    }
    if (notes_is_silent(s, session->index, e->channel))
        return refuse_event(
            s, session, "Client event rejected - the channel's rules do not allow it to you");
    size_t bytes = m->data.kind == JSON_STRING ? json_string_bytes(&m->data) : m->data.raw.len;
    if (bytes > limits->event_data_bytes) {
        serve_count(s, COUNTER_CLIENT_REFUSED, 1);
        fail(s, session, PUSHER_NO_CODE,
            "The data content of this event exceeds the allowed maximum (%u bytes)",
            limits->event_data_bytes);
        return false;
    }
    return true;
}

/* The frame is rebuilt from known fields: a client's own user_id goes nowhere. */
static void client_event(struct serve *s, struct session *session, const struct pusher_message *m)
{
    struct client_event e = {0};
    if (!check_event(s, session, m, &e))
        return;
    if (!take_rate(s, session, session_app(s, session)->limits.client_events_per_s)) {
        serve_count(s, COUNTER_CLIENT_LIMITED, 1);
        fail(s, session, PUSHER_RATE_LIMIT,
            "The rate limit for sending client events exceeded the quota");
        return;
    }
    struct buf *data = &s->scratch2;
    data->len = 0;
    if (m->data.kind != JSON_ABSENT)
        pusher_add_string_form(data, &m->data);
    struct span user = e.traits & CHANNEL_PRESENCE ? e.member : span_of(NULL, 0);
    struct frame *frame = pusher_event(m->event_json, e.channel, buf_span(data), user);
    struct hub_client_event out = {
        .app = session->app, .channel = e.channel, .user = user, .frame = frame};
    hub_client_event(s->hub, session->index, &out);
    frame_drop(frame);
    serve_count(s, COUNTER_CLIENT_EVENTS, 1);
    app_count(&app_usage(session->app)->client_events, 1);
}

/* --- signin --------------------------------------------------------------------------------------------------- */

static void refuse_signin(struct serve *s, struct session *session, const char *why)
{
    serve_count(s, COUNTER_SIGNIN_REFUSED, 1);
    fail(s, session, SIGNIN_FAILED, "%s", why);
}

/* The ids to watch, each once; false when the list is not one of strings. */
static bool read_watchlist(struct serve *s, const struct app *app, const struct json *list,
    struct span *ids, struct hub_signin *signin)
{
    size_t at = 0;
    struct json item;
    if (list->kind == JSON_ABSENT || list->kind == JSON_NULL)
        return true;
    if (list->kind != JSON_ARRAY)
        return false;
    while (json_next(list, &at, &item)) {
        struct span id;
        bool is_known = false;
        if (item.kind != JSON_STRING || !json_decode(&item, &s->scratch, &id) || !id.len ||
            memchr(id.p, '\0', id.len))
            return false;
        for (size_t i = 0; i < signin->n_watchlist; i++)
            is_known |= span_eq(ids[i], id);
        if (is_known)
            continue;
        signin->is_cut |= signin->n_watchlist == app->limits.watchlist;
        if (!signin->is_cut)
            ids[signin->n_watchlist++] = id;
    }
    return true;
}

static bool read_user(
    struct serve *s, const struct app *app, struct hub_signin *signin, struct json *watchlist)
{
    struct json root;
    struct json_field fields[] = {{"id", {0}}, {"user_info", {0}}, {"watchlist", {0}}};
    if (!json_parse_fields(signin->user_data, &root, fields, COUNT_OF(fields)) ||
        root.kind != JSON_OBJECT || fields[0].value.kind != JSON_STRING ||
        !json_decode(&fields[0].value, &s->scratch, &signin->user))
        return false;
    *watchlist = fields[2].value;
    const struct json *info = &fields[1].value;
    if (info->kind == JSON_OBJECT)
        signin->user_info = info->raw;
    else if (info->kind != JSON_ABSENT && info->kind != JSON_NULL)
        return false;
    return pusher_is_name(signin->user) && signin->user.len <= app->limits.channel_name_chars &&
           signin->user_info.len <= app->limits.presence_member_bytes;
}

static void repeat_signin(struct serve *s, struct session *session, const struct hub_signin *signin)
{
    struct buf *inner = &s->scratch2;
    inner->len = 0;
    buf_add_str(inner, "{\"user_data\":");
    json_quote(inner, signin->user_data);
    buf_add_char(inner, '}');
    struct frame *frame =
        pusher_internal("pusher:signin_success", span_of(NULL, 0), buf_span(inner));
    hub_send(s->hub, session->index, frame_text(frame));
    frame_drop(frame);
}

static void sign_in(struct serve *s, struct session *session, const struct hub_signin *given,
    const struct json *watchlist)
{
    const struct app *app = session_app(s, session);
    struct hub_signin signin = *given;
    struct span *ids = mem_array(NULL, app->limits.watchlist + 1U, sizeof *ids);
    signin.watchlist = ids;
    signin.limit = app->limits.watchlist;
    if (app->watchlist && !read_watchlist(s, app, watchlist, ids, &signin))
        refuse_signin(s, session, "Invalid user_data: watchlist is not a list of user ids");
    else if (hub_signin(s->hub, session->index, &signin) == HUB_WAIT)
        session->flags |= SESSION_WAITING;
    free(ids);
}

static void signin(struct serve *s, struct session *session, const struct pusher_message *m)
{
    const struct app *app = session_app(s, session);
    struct json_field fields[] = {{"auth", {0}}, {"user_data", {0}}};
    struct hub_signin signin = {.app = session->app};
    struct json watchlist;
    char id[SOCKET_ID_MAX];
    if (!pusher_read_data(&m->data, &s->scratch, fields, COUNT_OF(fields)) ||
        fields[1].value.kind != JSON_STRING ||
        !json_decode(&fields[1].value, &s->scratch, &signin.user_data)) {
        refuse_signin(s, session, "Missing parameter: data.user_data");
        return;
    }
    struct span parts[] = {
        span_of(id, session_id(s, session, id)), span_str("::user::"), signin.user_data};
    if (!is_signed(app, &fields[0].value, &s->scratch, parts, COUNT_OF(parts))) {
        refuse_signin(s, session, "Invalid signature: the user_data was not signed by this app");
        return;
    }
    struct span now = hub_user(s->hub, session->index);
    if (memchr(signin.user_data.p, '\0', signin.user_data.len) ||
        !read_user(s, app, &signin, &watchlist))
        refuse_signin(s, session, "Invalid user_data: it must be an object with a string id");
    else if (!now.len)
        sign_in(s, session, &signin, &watchlist);
    else if (span_eq(now, signin.user))
        repeat_signin(s, session, &signin);
    else
        refuse_signin(s, session, "The connection is signed in as another user");
}

/* --- messages ---------------------------------------------------------------------------------------------------- */

static void dispatch(struct serve *s, struct session *session, const struct pusher_message *m)
{
    if (span_starts(m->event, "client-")) {
        client_event(s, session, m);
    } else if (span_is(m->event, "pusher:ping")) {
        struct buf *out = &s->scratch2;
        out->len = 0;
        pusher_add_pong(out);
        if (hub_pending_bytes(s->hub, session->index) <= SESSION_PONG_PENDING)
            hub_send(s->hub, session->index, buf_span(out));
    } else if (span_is(m->event, "pusher:subscribe")) {
        subscribe(s, session, m);
    } else if (span_is(m->event, "pusher:unsubscribe")) {
        unsubscribe(s, session, m);
    } else if (span_is(m->event, "pusher:signin")) {
        signin(s, session, m);
    } else if (!span_is(m->event, "pusher:pong")) {
        serve_count(s, COUNTER_BAD_MESSAGES, 1);
        send_error(s, session, PUSHER_NO_CODE,
            join(s, "Unsupported event received on socket: '", clip(m->event, GIVEN_BYTES), "'"));
    }
}

void session_message(struct serve *s, struct session *session, struct span text)
{
    struct pusher_message m;
    if (!session_app(s, session)) {
        session_close(s, session, CLOSE_UNKNOWN_KEY, 0); // a reload has removed it
        return;
    }
    /* Decoded strings must not move while others are appended: one message cannot decode to
     * more than its own length, a few times over. */
    s->scratch.len = 0;
    (void)buf_room(&s->scratch, text.len * 4 + 256);
    if (session->transport == TRANSPORT_LEGACY) {
        bridge_message(s, session, text);
    } else if (pusher_read(text, &s->scratch, &m)) {
        dispatch(s, session, &m);
    } else {
        serve_count(s, COUNTER_BAD_MESSAGES, 1);
        fail(s, session, PUSHER_NO_CODE, "Invalid JSON");
    }
}
