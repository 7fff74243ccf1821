/* The signed HTTP API: read, check, ask the homes (pusher-protocol 5). */
#include "base/base.h"

#include "serve/api.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "serve/api_auth.h"
#include "serve/call.h"
#include "serve/once.h"
#include "wire/json.h"
#include "wire/pusher.h"

/* A request under /apps/{id}, its path cut up.  Everything decoded is in own. */
struct request {
    const struct http_head *head;
    const struct app *app;
    struct span app_id; // decoded
    struct span rest;   // undecoded, behind /apps/{id}, without a slash at its start
    struct span body;
    struct buf own;
};

static void fail(struct serve *s, struct conn *c, const struct err *err)
{
    conn_reply_text(s, c, err->status, "%s", err->text);
}

/* --- one event ---------------------------------------------------------------------------------- */

struct event {
    struct span name;      // decoded
    struct span name_json; // with quotes
    struct span data_json; // a JSON string with its quotes
    struct session_ref except;
    uint8_t info;
};

static bool read_name(struct event *e, const struct app *app, const struct json *name,
    struct buf *own, struct err *err)
{
    if (name->kind != JSON_STRING || !json_decode(name, own, &e->name))
        return err_set(err, 400, "Expected name parameter to be a string");
    if (!e->name.len)
        return err_set(err, 400, "Expected name parameter not to be empty");
    if (utf8_chars(e->name) > app->limits.event_name_chars)
        return err_set(
            err, 400, "The event name is longer than %u characters", app->limits.event_name_chars);
    if (span_starts(e->name, "pusher:") || span_starts(e->name, "pusher_internal:"))
        return err_set(err, 400,
            "Event names that begin with 'pusher' and a colon or "
            "'pusher_internal:' are reserved");
    e->name_json = name->raw;
    return true;
}

static bool read_data(struct event *e, const struct app *app, const struct json *data,
    struct buf *own, struct err *err)
{
    if (data->kind == JSON_ABSENT)
        return err_set(err, 400, "Expected data parameter to be a string");
    size_t bytes = data->kind == JSON_STRING ? json_string_bytes(data) : data->raw.len;
    if (bytes > app->limits.event_data_bytes)
        return err_set(err, 413,
            "The data content of this event exceeds the allowed maximum (%u bytes). See "
            "https://pusher.com/docs/channels/server_api/http-api#publishing-events for more info",
            app->limits.event_data_bytes);
    e->data_json = data->raw;
    if (data->kind != JSON_STRING) {
        size_t from = own->len;
        json_quote(own, data->raw);
        e->data_json = span_of(own->p + from, own->len - from);
    }
    return true;
}

static bool read_socket_id(struct event *e, const struct json *id, struct buf *own, struct err *err)
{
    struct span text;
    if (id->kind == JSON_ABSENT || id->kind == JSON_NULL)
        return true;
    if (id->kind != JSON_STRING || !json_decode(id, own, &text) ||
        !socket_id_read(text, &e->except))
        return err_set(err, 400, "Invalid socket_id: it must be two numbers joined by a dot");
    return true;
}

static uint8_t read_info(struct span list)
{
    uint8_t info = 0;
    if (http_has_token(list, "user_count"))
        info |= INFO_USERS;
    if (http_has_token(list, "subscription_count"))
        info |= INFO_SUBSCRIPTIONS;
    if (http_has_token(list, "cache"))
        info |= INFO_CACHE;
    if (http_has_token(list, "position"))
        info |= INFO_POSITION;
    if (http_has_token(list, "history"))
        info |= INFO_HISTORY;
    return info;
}

static bool read_event_info(
    struct event *e, const struct json *info, struct buf *own, struct err *err)
{
    struct span text;
    if (info->kind == JSON_ABSENT || info->kind == JSON_NULL)
        return true;
    if (info->kind != JSON_STRING || !json_decode(info, own, &text))
        return err_set(err, 400, "Expected info parameter to be a string");
    e->info = read_info(text) & (INFO_USERS | INFO_SUBSCRIPTIONS | INFO_POSITION);
    return true;
}

static bool read_channel(struct span name, const struct app *app, unsigned *traits, struct err *err)
{
    if (pusher_channel(name, app->limits.channel_name_chars, traits))
        return true;
    /* Repeated in the answer, but not what would break its one line. */
    char shown[200];
    size_t n = name.len < sizeof shown ? name.len : sizeof shown;
    for (size_t i = 0; i < n; i++)
        shown[i] = (unsigned char)name.p[i] < 0x20 || name.p[i] == 0x7f ? '?' : name.p[i];
    return err_set(err, 400, "Invalid channel name '%.*s'", (int)n, shown);
}

struct target {
    struct span channel;
    unsigned traits;
};

/* item is also the target's place in the reply, where that shows it. */
static void publish(struct serve *s, struct conn *c, struct call *call, uint32_t item,
    const struct event *e, const struct target *to)
{
    const struct app *app = call->app;
    struct letter ask = {.mail.kind = LETTER_PUBLISH,
        .app = app->slot,
        .traits = (uint8_t)to->traits,
        .info = e->info,
        .session = e->except,
        .channel = to->channel};
    serve_count(s, COUNTER_PUBLISHES, 1);
    app_count(&app_usage(app->slot)->events_in, 1);
    if (call->n_items) {
        call->items[item].info = e->info;
        call->items[item].traits = (uint8_t)to->traits;
    }
    ask.frame = pusher_event(e->name_json, to->channel, e->data_json, span_of(NULL, 0));
    ask.frame->accepted_us = s->now_us;
    call_ask(s, c, call, item, &ask);
    frame_drop(ask.frame);
}

/* --- POST events -------------------------------------------------------------------------------------- */

enum { F_NAME, F_DATA, F_CHANNELS, F_CHANNEL, F_SOCKET_ID, F_INFO, F_KEY, EVENT_FIELDS };

#define EVENT_FIELD_NAMES                                                                          \
    {                                                                                              \
        {"name", {0}}, {"data", {0}}, {"channels", {0}}, {"channel", {0}}, {"socket_id", {0}},     \
            {"info", {0}}, {"idempotency_key", {0}},                                               \
    }

static bool read_event(struct event *e, const struct app *app, const struct json_field *fields,
    struct buf *own, struct err *err)
{
    return read_name(e, app, &fields[F_NAME].value, own, err) &&
           read_data(e, app, &fields[F_DATA].value, own, err) &&
           read_socket_id(e, &fields[F_SOCKET_ID].value, own, err) &&
           read_event_info(e, &fields[F_INFO].value, own, err);
}

struct targets {
    struct target *v;
    uint32_t n;
};

static bool add_target(struct targets *t, const struct app *app, const struct json *name,
    struct buf *own, struct err *err)
{
    struct span channel;
    unsigned traits;
    if (name->kind != JSON_STRING || !json_decode(name, own, &channel))
        return err_set(err, 400, "Expected channels parameter to be an array of strings");
    if (!read_channel(channel, app, &traits, err))
        return false;
    for (uint32_t i = 0; i < t->n; i++)
        if (span_eq(t->v[i].channel, channel))
            return true; // named twice: once is enough
    t->v[t->n++] = (struct target){channel, traits};
    return true;
}

static bool read_targets(struct targets *t, const struct app *app, const struct json_field *fields,
    struct buf *own, struct err *err)
{
    const struct json *list = &fields[F_CHANNELS].value;
    const struct json *one = &fields[F_CHANNEL].value;
    uint32_t max = app->limits.channels_per_event;
    size_t at = 0;
    struct json item;
    uint32_t n = 0;
    t->v = mem_array(NULL, max, sizeof *t->v);
    if (list->kind == JSON_ABSENT || list->kind == JSON_NULL) {
        if (one->kind == JSON_STRING)
            return add_target(t, app, one, own, err);
        return err_set(err, 400, "Expected channels parameter to be an array of strings");
    }
    if (list->kind != JSON_ARRAY)
        return err_set(err, 400, "Expected channels parameter to be an array of strings");
    while (json_next(list, &at, &item)) {
        if (++n > max)
            return err_set(err, 400, "An event may be published to at most %u channels", max);
        if (!add_target(t, app, &item, own, err))
            return false;
    }
    return n > 0 || err_set(err, 400, "Expected channels parameter to name a channel");
}

/* The parameters may stand in the query instead (5.4): they become JSON in own. */
static bool query_as_json(struct request *r, struct buf *json)
{
    static const char *const names[] = {"name", "data", "channel", "socket_id", "info"};
    struct span query = r->head->query;
    struct span key;
    struct span value;
    struct buf text = {0};
    bool ok = true;
    buf_add_str(json, "{\"channels\":[");
    bool is_first = true;
    while (http_next_param(&query, &key, &value)) {
        text.len = 0;
        if (!http_decode(key, false, &text) || !span_is(buf_span(&text), "channels[]"))
            continue;
        text.len = 0;
        ok &= http_decode(value, false, &text) && utf8_is_valid(buf_span(&text));
        buf_add_str(json, is_first ? "" : ",");
        json_quote(json, buf_span(&text));
        is_first = false;
    }
    buf_add_char(json, ']');
    if (is_first)
        json->len = 1; // no list at all: "channel" may name it
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        text.len = 0;
        if (!api_param(r->head->query, names[i], &text))
            continue;
        ok &= utf8_is_valid(buf_span(&text));
        buf_addf(json, "%s\"%s\":", json->len > 1 ? "," : "", names[i]);
        json_quote(json, buf_span(&text));
    }
    buf_add_char(json, '}');
    buf_fini(&text);
    return ok;
}

/* The sender's name for the request: of the body, or the header.  Appends what the table of
 * names calls it, or nothing.  False with a 400. */
static bool read_once(
    struct request *r, const struct json *field, struct buf *once, struct err *err)
{
    struct span key = r->head->idempotency_key;
    bool is_given = field->kind != JSON_ABSENT && field->kind != JSON_NULL;
    bool ok = !is_given || (field->kind == JSON_STRING && json_decode(field, &r->own, &key));
    if (!is_given && !key.p)
        return true;
    if (!ok || !key.len || !utf8_is_valid(key) || utf8_chars(key) > ONCE_KEY_CHARS ||
        memchr(key.p, '\0', key.len))
        return err_set(err, 400, "Invalid idempotency_key: expected a string of 1 to %d characters",
            ONCE_KEY_CHARS);
    buf_addf(once, "api\n%u\n", r->app->slot);
    buf_add_span(once, key);
    return true;
}

static void publish_targets(struct serve *s, struct conn *c, const struct request *r,
    const struct event *e, const struct targets *t, struct span once)
{
    struct call *call = call_new(CALL_EVENTS, r->app, e->info ? t->n : 0);
    if (once.len && !call_once(s, c, call, once))
        return;
    for (uint32_t i = 0; i < t->n; i++) {
        if (call->n_items)
            call->items[i].name = mem_dup(t->v[i].channel.p, t->v[i].channel.len);
        publish(s, c, call, i, e, &t->v[i]);
    }
    call_finish(s, c, call);
}

static void post_events(struct serve *s, struct conn *c, struct request *r)
{
    struct json_field fields[EVENT_FIELDS] = EVENT_FIELD_NAMES;
    struct event e = {0};
    struct targets t = {0};
    struct json root;
    struct err err;
    struct buf query = {0};
    struct buf once = {0};
    struct span text = r->body;
    bool ok = true;
    if (!text.len) {
        ok = query_as_json(r, &query) || err_set(&err, 400, "Invalid UTF-8 in the query");
        text = buf_span(&query);
    }
    if (ok && (!json_parse_fields(text, &root, fields, EVENT_FIELDS) || root.kind != JSON_OBJECT))
        ok = err_set(&err, 400, "Invalid JSON: expected an object in the body");
    ok = ok && read_event(&e, r->app, fields, &r->own, &err) &&
         read_targets(&t, r->app, fields, &r->own, &err) &&
         read_once(r, &fields[F_KEY].value, &once, &err);
    if (ok)
        publish_targets(s, c, r, &e, &t, buf_span(&once));
    else
        fail(s, c, &err);
    free(t.v);
    buf_fini(&query);
    buf_fini(&once);
}

/* --- POST batch_events ---------------------------------------------------------------------------------- */

struct batched {
    struct event event;
    struct target to;
};

static bool read_batched(struct batched *b, const struct app *app, const struct json *item,
    struct buf *own, struct err *err)
{
    struct json_field fields[EVENT_FIELDS] = EVENT_FIELD_NAMES;
    if (item->kind != JSON_OBJECT)
        return err_set(err, 400, "Expected batch parameter to be an array of objects");
    json_fields(item, fields, EVENT_FIELDS);
    const struct json *channel = &fields[F_CHANNEL].value;
    if (channel->kind != JSON_STRING || !json_decode(channel, own, &b->to.channel))
        return err_set(err, 400, "Expected channel parameter to be a string");
    return read_channel(b->to.channel, app, &b->to.traits, err) &&
           read_event(&b->event, app, fields, own, err);
}

/* All are checked before any is sent. */
static bool read_batch(
    struct batched *v, uint32_t *n, struct request *r, struct buf *once, struct err *err)
{
    struct json root;
    struct buf *own = &r->own;
    struct json_field fields[] = {{"batch", {0}}, {"idempotency_key", {0}}};
    size_t at = 0;
    struct json item;
    if (!json_parse_fields(r->body, &root, fields, COUNT_OF(fields)) || root.kind != JSON_OBJECT)
        return err_set(err, 400, "Invalid JSON: expected an object in the body");
    if (fields[0].value.kind != JSON_ARRAY)
        return err_set(err, 400, "Expected batch parameter to be an array of objects");
    while (json_next(&fields[0].value, &at, &item)) {
        if (*n == r->app->limits.batch_events)
            return err_set(
                err, 400, "A batch may hold at most %u events", r->app->limits.batch_events);
        if (!read_batched(&v[(*n)++], r->app, &item, own, err))
            return false;
    }
    return (*n > 0 || err_set(err, 400, "Expected batch parameter to hold an event")) &&
           read_once(r, &fields[1].value, once, err);
}

static void publish_batch(struct serve *s, struct conn *c, const struct request *r,
    const struct batched *v, uint32_t n, struct span once)
{
    bool wants_info = false;
    for (uint32_t i = 0; i < n; i++)
        wants_info |= v[i].event.info != 0;
    struct call *call = call_new(CALL_BATCH, r->app, wants_info ? n : 0);
    if (once.len && !call_once(s, c, call, once))
        return;
    for (uint32_t i = 0; i < n; i++)
        publish(s, c, call, i, &v[i].event, &v[i].to);
    call_finish(s, c, call);
}

static void post_batch(struct serve *s, struct conn *c, struct request *r)
{
    uint32_t n = 0;
    struct err err;
    struct buf once = {0};
    struct batched *v = mem_zero(r->app->limits.batch_events * sizeof *v);
    if (read_batch(v, &n, r, &once, &err))
        publish_batch(s, c, r, v, n, buf_span(&once));
    else
        fail(s, c, &err);
    buf_fini(&once);
    free(v);
}

/* --- channels ------------------------------------------------------------------------------------------------ */

static uint8_t query_info(const struct request *r)
{
    struct buf text = {0};
    uint8_t info = api_param(r->head->query, "info", &text) ? read_info(buf_span(&text)) : 0;
    buf_fini(&text);
    return info;
}

static void get_channels(struct serve *s, struct conn *c, struct request *r)
{
    struct buf prefix = {0};
    uint8_t info = query_info(r);
    if (!r->app->subscription_count)
        info &= (uint8_t)~INFO_SUBSCRIPTIONS;
    (void)api_param(r->head->query, "filter_by_prefix", &prefix); // without it: no filter
    if ((info & INFO_USERS) && !span_starts(buf_span(&prefix), "presence-")) {
        conn_reply_text(
            s, c, 400, "Cannot retrieve the user count unless the channel is a presence channel");
    } else {
        struct call *call = call_new(CALL_CHANNELS, r->app, s->house->n_workers);
        struct letter ask = {.mail.kind = LETTER_ASK_CHANNELS,
            .app = r->app->slot,
            .info = info,
            .channel = buf_span(&prefix)};
        call_ask_all(s, c, call, &ask);
        call_finish(s, c, call);
    }
    buf_fini(&prefix);
}

static void ask_channel(struct serve *s, struct conn *c, const struct app *app, enum call_kind kind,
    const struct target *of, uint8_t info)
{
    struct call *call = call_new(kind, app, 1);
    struct letter ask = {.mail.kind = kind == CALL_USERS ? LETTER_ASK_USERS : LETTER_ASK_CHANNEL,
        .app = app->slot,
        .traits = (uint8_t)of->traits,
        .info = info,
        .channel = of->channel};
    call->items[0].info = info;
    call->items[0].traits = (uint8_t)of->traits;
    call_ask(s, c, call, 0, &ask);
    call_finish(s, c, call);
}

static void get_channel(struct serve *s, struct conn *c, struct request *r, const struct target *of)
{
    unsigned traits = of->traits;
    uint8_t info = query_info(r);
    const char *why = NULL;
    if ((info & INFO_USERS) && !(traits & CHANNEL_PRESENCE))
        why = "Cannot retrieve the user count unless the channel is a presence channel";
    else if ((info & INFO_SUBSCRIPTIONS) && (traits & CHANNEL_PRESENCE))
        why = "Cannot retrieve the subscription count of a presence channel";
    else if ((info & INFO_SUBSCRIPTIONS) && !r->app->subscription_count)
        why = "Cannot retrieve the subscription count unless the feature is enabled for the app";
    else if ((info & INFO_CACHE) && !(traits & CHANNEL_CACHE))
        why = "Cannot retrieve the cache unless the channel is a cache channel";
    else if ((info & INFO_CACHE) && (info & INFO_HISTORY))
        why = "The cache and the history are asked for one at a time";
    if (why)
        conn_reply_text(s, c, 400, "%s", why);
    else
        ask_channel(s, c, r->app, CALL_CHANNEL, of, info);
}

static void get_users(struct serve *s, struct conn *c, struct request *r, const struct target *of)
{
    struct span query = r->head->query;
    struct span name;
    struct span value;
    while (http_next_param(&query, &name, &value)) {
        if (span_starts(name, "auth_") || span_is(name, "body_md5"))
            continue;
        conn_reply_text(s, c, 400, "The following query string parameters are extraneous: %.*s",
            (int)(name.len > 64 ? 64 : name.len), name.p);
        return;
    }
    if (!(of->traits & CHANNEL_PRESENCE))
        conn_reply_text(s, c, 400, "Users can only be retrieved for presence channels");
    else
        ask_channel(s, c, r->app, CALL_USERS, of, 0);
}

/* A query parameter as a JSON string in out; JSON_ABSENT when there is none, JSON_FALSE when
 * it is not UTF-8, which every reader refuses. */
static struct json param_as_json(const struct request *r, const char *name, struct buf *out)
{
    struct buf text = {0};
    struct json value = {0};
    if (api_param(r->head->query, name, &text)) {
        json_quote(out, buf_span(&text));
        if (!json_parse(buf_span(out), &value))
            value.kind = JSON_FALSE;
    }
    buf_fini(&text);
    return value;
}

/* Deprecated: the body is the data, name and socket_id are in the query.  Each becomes JSON,
 * so that the one set of rules applies. */
static void post_old_event(
    struct serve *s, struct conn *c, struct request *r, const struct target *to)
{
    struct event e = {0};
    struct err err;
    struct buf quoted[3] = {{0}, {0}, {0}};
    struct json name = param_as_json(r, "name", &quoted[0]);
    struct json id = param_as_json(r, "socket_id", &quoted[1]);
    struct json data;
    json_quote(&quoted[2], r->body);
    bool ok =
        json_parse(buf_span(&quoted[2]), &data) || err_set(&err, 400, "Invalid UTF-8 in the body");
    ok = ok && read_name(&e, r->app, &name, &r->own, &err) &&
         read_data(&e, r->app, &data, &r->own, &err) && read_socket_id(&e, &id, &r->own, &err);
    if (ok) {
        struct call *call = call_new(CALL_OLD_EVENT, r->app, 0);
        publish(s, c, call, 0, &e, to);
        call_finish(s, c, call);
    } else {
        fail(s, c, &err);
    }
    for (size_t i = 0; i < COUNT_OF(quoted); i++)
        buf_fini(&quoted[i]);
}

/* --- users ---------------------------------------------------------------------------------------------------- */

static void post_terminate(struct serve *s, struct conn *c, struct request *r, struct span user)
{
    struct call *call = call_new(CALL_TERMINATE, r->app, 0);
    struct letter ask = {.mail.kind = LETTER_TERMINATE, .app = r->app->slot, .user = user};
    /* A longer id cannot have signed in: nobody to close. */
    if (user.len <= r->app->limits.channel_name_chars)
        call_ask(s, c, call, 0, &ask);
    call_finish(s, c, call);
}

/* --- routes --------------------------------------------------------------------------------------------------- */

static void not_found(struct serve *s, struct conn *c)
{
    conn_reply_text(s, c, 404, "404 NOT FOUND");
}

static void not_allowed(struct serve *s, struct conn *c, const char *allow)
{
    char headers[64];
    snprintf(headers, sizeof headers, "Allow: %s\r\n", allow);
    conn_reply(s, c,
        &(struct reply){.status = 405,
            .type = "text/plain",
            .body = span_str("405 METHOD NOT ALLOWED\n"),
            .headers = headers});
}

static bool is_get(const struct request *r)
{
    return r->head->method == HTTP_GET || r->head->method == HTTP_HEAD;
}

static void route_history(
    struct serve *s, struct conn *c, struct request *r, const struct target *of)
{
    struct history_target target = {of->channel, of->traits};
    if (is_get(r))
        api_get_history(s, c, r->app, r->head->query, &target);
    else
        api_purge_history(s, c, r->app, &target);
}

static void route_channel(struct serve *s, struct conn *c, struct request *r, struct span rest)
{
    static const struct {
        const char *tail;
        bool is_get;
        void (*handle)(struct serve *, struct conn *, struct request *, const struct target *);
    } routes[] = {
        {"", true, get_channel},
        {"/users", true, get_users},
        {"/events", false, post_old_event},
    };
    const char *slash = memchr(rest.p, '/', rest.len);
    struct span name = span_of(rest.p, slash ? (size_t)(slash - rest.p) : rest.len);
    struct span tail = span_from(rest, name.len);
    size_t from = r->own.len;
    struct err err;
    if (!http_decode(name, false, &r->own)) {
        conn_reply_text(s, c, 400, "Invalid percent-encoding in the path");
        return;
    }
    struct target of = {.channel = span_of(r->own.p + from, r->own.len - from)};
    bool is_stats = span_is(tail, "/stats");
    if (span_is(tail, "/history")) {
        if (!is_get(r) && r->head->method != HTTP_DELETE)
            not_allowed(s, c, "GET, HEAD, DELETE");
        else if (!read_channel(of.channel, r->app, &of.traits, &err))
            fail(s, c, &err);
        else
            route_history(s, c, r, &of);
        return;
    }
    for (size_t i = 0; i < COUNT_OF(routes); i++) {
        if (!span_is(tail, routes[i].tail) && !(is_stats && i == 0))
            continue;
        if (is_get(r) != routes[i].is_get || (!routes[i].is_get && r->head->method != HTTP_POST))
            not_allowed(s, c, routes[i].is_get ? "GET, HEAD" : "POST");
        else if (!read_channel(of.channel, r->app, &of.traits, &err))
            fail(s, c, &err);
        else if (is_stats)
            ask_channel(s, c, r->app, CALL_STATS, &of, 0);
        else
            routes[i].handle(s, c, r, &of);
        return;
    }
    not_found(s, c);
}

static void route_user(struct serve *s, struct conn *c, struct request *r, struct span rest)
{
    static const char tail[] = "/terminate_connections";
    size_t n = sizeof tail - 1;
    /* The id may hold slashes, encoded or not: what counts is the end. */
    if (rest.len <= n || memcmp(rest.p + rest.len - n, tail, n) != 0) {
        not_found(s, c);
        return;
    }
    size_t from = r->own.len;
    if (!http_decode(span_of(rest.p, rest.len - n), false, &r->own))
        conn_reply_text(s, c, 400, "Invalid percent-encoding in the path");
    else if (r->head->method != HTTP_POST)
        not_allowed(s, c, "POST");
    else
        post_terminate(s, c, r, span_of(r->own.p + from, r->own.len - from));
}

/* What became of the last webhooks: the courier knows. */
static void get_webhooks(struct serve *s, struct conn *c, struct request *r)
{
    struct call *call = call_new(CALL_WEBHOOKS, r->app, 1);
    struct fact_ask *ask = mem_zero(sizeof *ask);
    ask->mail.kind = FACT_ASK;
    ask->app = r->app->slot;
    ask->worker = s->worker;
    call_expect(c, call, 0, ask->request);
    s->house->tell(s->house->courier, &ask->mail);
    call_finish(s, c, call);
}

static void route(struct serve *s, struct conn *c, struct request *r)
{
    struct span rest = r->rest;
    bool is_post = r->head->method == HTTP_POST;
    if (span_is(rest, "events"))
        is_post ? post_events(s, c, r) : not_allowed(s, c, "POST");
    else if (span_is(rest, "batch_events"))
        is_post ? post_batch(s, c, r) : not_allowed(s, c, "POST");
    else if (span_is(rest, "channels"))
        is_get(r) ? get_channels(s, c, r) : not_allowed(s, c, "GET, HEAD");
    else if (span_is(rest, "webhooks"))
        is_get(r) ? get_webhooks(s, c, r) : not_allowed(s, c, "GET, HEAD");
    else if (span_starts(rest, "channels/"))
        route_channel(s, c, r, span_from(rest, strlen("channels/")));
    else if (span_starts(rest, "users/"))
        route_user(s, c, r, span_from(rest, strlen("users/")));
    else
        not_found(s, c);
}

void api_request(struct serve *s, struct conn *c, const struct http_head *head, struct span path,
    struct span body)
{
    struct request r = {.head = head, .body = body};
    struct span rest = span_from(path, strlen("/apps/"));
    const char *slash = rest.len ? memchr(rest.p, '/', rest.len) : NULL;
    struct span id = span_of(rest.p, slash ? (size_t)(slash - rest.p) : rest.len);
    struct err err;
    if (http_decode(id, false, &r.own))
        r.app = config_app_by_id(s->config, buf_span(&r.own));
    struct api_auth auth = {.app = r.app,
        .method = head->method_name,
        .path = path,
        .full_path = head->path,
        .query = head->query,
        .body = body,
        .window_s = s->config->limits.timestamp_s,
        .now_s = clock_wall_ms() / 1000};
    r.rest = span_from(rest, id.len + 1);
    if (!slash || !r.app)
        not_found(s, c);
    else if (!api_auth_check(&auth, &s->scratch, &err))
        fail(s, c, &err);
    else if (!r.app->enabled)
        conn_reply_text(s, c, 403, "The app is disabled");
    else {
        /* Slices of own must stay where they are: what is decoded is never longer than its
         * source, and quoting raw JSON at most doubles it.  Behind the check of the signature,
         * so that nobody else has it allocated. */
        (void)buf_room(&r.own, body.len * 4 + path.len + head->query.len * 4 + 256);
        route(s, c, &r);
    }
    buf_fini(&r.own);
}

size_t api_body_limit(const struct serve *s, struct span path)
{
    const struct config_limits *limits = &s->config->limits;
    static const char batch[] = "/batch_events";
    size_t n = sizeof batch - 1;
    if (path.len > n && memcmp(path.p + path.len - n, batch, n) == 0)
        return limits->batch_body_bytes;
    n = sizeof "/events" - 1;
    if (path.len > n && memcmp(path.p + path.len - n, "/events", n) == 0)
        return limits->event_body_bytes;
    return limits->body_bytes;
}

/* --- the demo page ---------------------------------------------------------------------------------------------- */

void api_demo(struct serve *s, struct conn *c, const struct http_head *head, struct span body)
{
    const struct app *app = config_app_by_id(s->config, span_str("app-id"));
    struct json root;
    struct json_field fields[] = {{"message", {0}}};
    (void)head;
    if (!app || !json_parse_fields(body, &root, fields, 1) || root.kind != JSON_OBJECT ||
        fields[0].value.kind != JSON_STRING ||
        json_string_bytes(&fields[0].value) > app->limits.event_data_bytes / 2) {
        conn_reply_text(s, c, 400, "Expected {\"message\": a short string}");
        return;
    }
    struct buf inner = {0};
    struct buf data = {0};
    buf_add_str(&inner, "{\"message\":");
    buf_add_span(&inner, fields[0].value.raw);
    buf_addf(&inner, ",\"time_ms\":%lld}", (long long)clock_wall_ms());
    json_quote(&data, buf_span(&inner));
    struct event e = {.name_json = span_str("\"message\""), .data_json = buf_span(&data)};
    struct target to = {.channel = span_str("demo")};
    struct call *call = call_new(CALL_DEMO, app, 0);
    publish(s, c, call, 0, &e, &to);
    call_finish(s, c, call);
    buf_fini(&inner);
    buf_fini(&data);
}
