/* Old names, old frames. */
#include "base/base.h"

#include "wire/legacy.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/rand.h"

/* --- names ------------------------------------------------------------------------------------------ */

static const struct {
    const char *name, *channel;
} fixed[] = {
    {"content_updates", "presence-content-updates"},
    {"roblox_events", "private-roblox-sync"},
};

/* With something behind it. */
static const struct {
    const char *name, *channel;
} prefixes[] = {
    {"teacher_", "private-teacher-"},
    {"admin_", "private-admin-"},
    {"user_", "private-user-"},
};

static const char topic_prefix[] = "private-roblox-";
static const char public_prefix[] = "public-";

bool legacy_is_topic(struct span name)
{
    return span_is(name, "deployments") || span_is(name, "agents") || span_is(name, "scripts") ||
           span_is(name, "validation");
}

static bool begins(struct span text, const char *prefix)
{
    return text.len > strlen(prefix) && span_starts(text, prefix);
}

static void add_swapped(struct span text, const char *from, const char *to, struct buf *out)
{
    buf_add_str(out, to);
    buf_add_span(out, span_from(text, strlen(from)));
}

void legacy_add_channel(struct span name, bool topics, struct buf *out)
{
    if (topics && legacy_is_topic(name)) {
        add_swapped(name, "", topic_prefix, out);
        return;
    }
    for (size_t i = 0; i < COUNT_OF(fixed); i++)
        if (span_is(name, fixed[i].name)) {
            buf_add_str(out, fixed[i].channel);
            return;
        }
    for (size_t i = 0; i < COUNT_OF(prefixes); i++)
        if (begins(name, prefixes[i].name)) {
            add_swapped(name, prefixes[i].name, prefixes[i].channel, out);
            return;
        }
    if (begins(name, public_prefix) || begins(name, "private-") || begins(name, "presence-"))
        buf_add_span(out, name);
    else
        add_swapped(name, "", public_prefix, out);
}

void legacy_add_name(struct span channel, struct buf *out)
{
    for (size_t i = 0; i < COUNT_OF(fixed); i++)
        if (span_is(channel, fixed[i].channel)) {
            buf_add_str(out, fixed[i].name);
            return;
        }
    for (size_t i = 0; i < COUNT_OF(prefixes); i++)
        if (begins(channel, prefixes[i].channel)) {
            add_swapped(channel, prefixes[i].channel, prefixes[i].name, out);
            return;
        }
    if (begins(channel, public_prefix))
        buf_add_span(out, span_from(channel, strlen(public_prefix)));
    else
        buf_add_span(out, channel);
}

/* --- what they hear ----------------------------------------------------------------------------------- */

/* An event, taken apart.  All spans are JSON but channel, and good while scratch is. */
struct event {
    struct span type;    // the event's name, or what its data says of itself
    struct span channel; // the client's name for it
    struct span value;   // of data: the value, or the string where it is no JSON
    struct json data;    // value, when it is JSON
    struct span sender;  // a member's id; p NULL = unknown
    struct buf names, scratch;
};

/* data is a string that carries JSON, or is the text itself. */
static void read_value(struct event *e, const struct json *data)
{
    struct span inner;
    e->value = data->kind == JSON_ABSENT ? span_str("null") : data->raw;
    e->data = (struct json){0};
    if (data->kind == JSON_STRING) {
        if (!json_decode(data, &e->scratch, &inner) || !json_parse(inner, &e->data))
            e->data = (struct json){0};
        else
            e->value = e->data.raw;
    } else if (data->kind != JSON_ABSENT) {
        e->data = *data;
    }
}

/* What only the server says, of who a socket is: a publisher does not put it into its mouth. */
static bool is_reserved(struct span type)
{
    static const char *const words[] = {"\"auth_success\"", "\"auth_error\"", "\"connected\"",
        "\"connection_ack\"", "\"token_refreshed\"", "\"auth_status_response\""};
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (span_is(type, words[i]))
            return true;
    return memchr(type.p, '\\', type.len) != NULL; // escapes spell any of them
}

/* On a user's own channel everything is called "message"; its data says what it is. */
static void read_type(struct event *e)
{
    static const char message[] = "\"message\"";
    struct json_field type = {"type", {0}};
    if (span_is(e->type, message) && e->data.kind == JSON_OBJECT) {
        json_fields(&e->data, &type, 1);
        if (type.value.kind == JSON_STRING && type.value.raw.len > 2)
            e->type = type.value.raw;
    }
    if (is_reserved(e->type))
        e->type = span_str(message);
}

static bool read_event(struct span text, struct event *e)
{
    struct json root;
    struct span channel;
    struct json_field fields[] = {
        {"event", {0}}, {"channel", {0}}, {"data", {0}}, {"user_id", {0}}};
    (void)buf_room(&e->scratch, 2 * text.len + 16); // what is decoded stays where it is
    if (!json_parse_fields(text, &root, fields, COUNT_OF(fields)) ||
        fields[0].value.kind != JSON_STRING || span_starts(fields[0].value.raw, "\"pusher:") ||
        span_starts(fields[0].value.raw, "\"pusher_internal:"))
        return false;
    e->type = fields[0].value.raw;
    /* A channel's name needs no escapes, so that quoting it again never makes it longer. */
    if (fields[1].value.kind == JSON_STRING &&
        json_decode(&fields[1].value, &e->scratch, &channel) &&
        channel.len + 2 == fields[1].value.raw.len)
        legacy_add_name(channel, &e->names);
    e->channel = buf_span(&e->names);
    if (fields[3].value.kind == JSON_STRING)
        e->sender = fields[3].value.raw;
    read_value(e, &fields[2].value);
    read_type(e);
    return true;
}

static void add_time(struct buf *out, int64_t wall_ms)
{
    char when[25];
    clock_format(wall_ms, when);
    buf_addf(out, ",\"timestamp\":\"%s\"", when);
}

static void add_flat(const struct event *e, int64_t wall_ms, struct buf *out)
{
    buf_add_str(out, "{\"type\":");
    buf_add_span(out, e->type);
    buf_add_str(out, ",\"channel\":");
    json_quote(out, e->channel);
    buf_add_str(out, ",\"data\":");
    buf_add_span(out, e->value);
    buf_add_str(out, ",\"payload\":");
    buf_add_span(out, e->value);
    if (e->sender.p) {
        buf_add_str(out, ",\"sender\":");
        buf_add_span(out, e->sender);
    }
    add_time(out, wall_ms);
    buf_add_char(out, '}');
}

static void add_envelope(const struct event *e, int64_t wall_ms, struct buf *out)
{
    char id[RAND_UUID];
    struct span name = e->channel;
    if (begins(name, topic_prefix) && legacy_is_topic(span_from(name, strlen(topic_prefix))))
        name = span_from(name, strlen(topic_prefix));
    rand_uuid(id);
    buf_addf(out, "{\"id\":\"%s\",\"type\":\"broadcast\",\"payload\":{\"channel\":", id);
    json_quote(out, name);
    buf_add_str(out, ",\"event\":");
    buf_add_span(out, e->type);
    buf_add_str(out, ",\"data\":");
    buf_add_span(out, e->value);
    buf_add_char(out, '}');
    add_time(out, wall_ms);
    buf_add_str(out, ",\"client_id\":null}");
}

static void add_member(struct buf *out, const char *before, const struct json *value)
{
    buf_add_str(out, before);
    if (value->kind == JSON_ABSENT)
        buf_add_str(out, "null");
    else
        buf_add_span(out, value->raw);
}

/* What the old page read of the end: the environment's id and where it is. */
static void add_complete(const struct event *e, struct buf *out)
{
    struct json_field data[] = {{"result", {0}}, {"message", {0}}, {"request_id", {0}}};
    struct json_field result[] = {
        {"id", {0}}, {"previewUrl", {0}}, {"downloadUrl", {0}}, {"status", {0}}};
    json_fields(&e->data, data, COUNT_OF(data));
    if (data[0].value.kind == JSON_OBJECT)
        json_fields(&data[0].value, result, COUNT_OF(result));
    add_member(out, "{\"environmentId\":", &result[0].value);
    add_member(out, ",\"previewUrl\":", &result[1].value);
    add_member(out, ",\"downloadUrl\":", &result[2].value);
    if (data[1].value.kind == JSON_STRING)
        add_member(out, ",\"message\":", &data[1].value);
    else
        buf_add_str(out, ",\"message\":\"The environment is ready\"");
    add_member(out, ",\"status\":", &result[3].value);
    add_member(out, ",\"request_id\":", &data[2].value);
    buf_add_char(out, '}');
}

static void add_progress(const struct event *e, struct buf *out)
{
    struct json_field data[] = {
        {"progress", {0}}, {"status", {0}}, {"message", {0}}, {"request_id", {0}}};
    json_fields(&e->data, data, COUNT_OF(data));
    add_member(out, "{\"progress\":", &data[0].value);
    if (data[1].value.kind == JSON_STRING)
        add_member(out, ",\"status\":", &data[1].value);
    else
        buf_add_str(out, ",\"status\":\"in_progress\"");
    if (data[2].value.kind == JSON_STRING)
        add_member(out, ",\"message\":", &data[2].value);
    else
        buf_add_str(out, ",\"message\":\"The environment is being created\"");
    add_member(out, ",\"request_id\":", &data[3].value);
    buf_add_char(out, '}');
}

static void add_error(const struct event *e, struct buf *out)
{
    struct json_field data[] = {{"error", {0}}, {"request_id", {0}}};
    json_fields(&e->data, data, COUNT_OF(data));
    add_member(out, "{\"error\":", &data[0].value);
    add_member(out, ",\"request_id\":", &data[1].value);
    buf_add_char(out, '}');
}

static void add_environment(const struct event *e, int64_t wall_ms, struct buf *out)
{
    static const struct {
        const char *type, *was;
        void (*add)(const struct event *e, struct buf *out);
    } steps[] = {
        {"\"environment_creation_progress\"", "environment_creation_progress", add_progress},
        {"\"environment_creation_completed\"", "environment_creation_complete", add_complete},
        {"\"error\"", "environment_creation_error", add_error},
    };
    for (size_t i = 0; i < COUNT_OF(steps) && e->data.kind == JSON_OBJECT; i++) {
        if (!span_is(e->type, steps[i].type))
            continue;
        buf_addf(out, "{\"type\":\"%s\",\"payload\":", steps[i].was);
        steps[i].add(e, out);
        add_time(out, wall_ms);
        buf_add_char(out, '}');
    }
}

size_t legacy_room(struct span text)
{
    return 3 * text.len + 512;
}

size_t legacy_encode(enum legacy_form form, char *out, struct span text, int64_t wall_ms)
{
    static void (*const adds[LEGACY_FORMS])(const struct event *, int64_t, struct buf *) = {
        [LEGACY_FLAT] = add_flat,
        [LEGACY_ENVELOPE] = add_envelope,
        [LEGACY_ENVIRONMENT] = add_environment,
    };
    struct event e = {0};
    struct buf made = {0};
    if (read_event(text, &e))
        adds[form](&e, wall_ms, &made);
    ENSURE(made.len <= legacy_room(text));
    size_t n = made.len;
    if (n)
        memcpy(out, made.p, n);
    buf_fini(&made);
    buf_fini(&e.names);
    buf_fini(&e.scratch);
    return n;
}

/* --- what they say --------------------------------------------------------------------------------------- */

enum legacy_fault legacy_read(struct span text, struct buf *scratch, struct legacy_message *out)
{
    struct json_field fields[] = {{"type", {0}}, {"payload", {0}}, {"data", {0}}, {"channel", {0}},
        {"channels", {0}}, {"id", {0}}};
    *out = (struct legacy_message){0};
    if (!json_parse_fields(text, &out->root, fields, COUNT_OF(fields)))
        return LEGACY_NOT_JSON;
    if (out->root.kind != JSON_OBJECT)
        return LEGACY_NOT_OBJECT;
    out->payload = fields[1].value;
    out->data = fields[2].value;
    out->channel = fields[3].value;
    out->channels = fields[4].value;
    out->id = fields[5].value;
    if (fields[0].value.kind != JSON_STRING ||
        !json_decode(&fields[0].value, scratch, &out->type) || !out->type.len)
        return LEGACY_NO_TYPE;
    return LEGACY_OK;
}

static enum legacy_list add_one(
    const struct json *item, struct buf *scratch, struct buf *names, size_t *n)
{
    struct span name;
    if (item->kind != JSON_STRING)
        return LIST_BAD_FORM;
    if (!json_decode(item, scratch, &name) || !name.len || name.len > LEGACY_NAME_CHARS ||
        memchr(name.p, '\0', name.len))
        return LIST_BAD_NAME;
    buf_add_span(names, name);
    buf_add_char(names, '\0');
    ++*n;
    return LIST_OK;
}

static enum legacy_list add_all(
    const struct json *list, struct buf *scratch, struct buf *names, size_t *n)
{
    struct json item;
    size_t at = 0;
    enum legacy_list result = LIST_OK;
    if (list->kind != JSON_ARRAY)
        return LIST_BAD_FORM;
    while (result == LIST_OK && json_next(list, &at, &item))
        result = add_one(&item, scratch, names, n);
    return result;
}

static bool is_there(const struct json *value)
{
    return value->kind != JSON_ABSENT && value->kind != JSON_NULL;
}

enum legacy_list legacy_read_names(
    const struct legacy_message *m, struct buf *scratch, struct buf *names, size_t *n)
{
    struct json_field inner[] = {{"channels", {0}}, {"channel", {0}}};
    *n = 0;
    if (is_there(&m->channels))
        return add_all(&m->channels, scratch, names, n);
    if (is_there(&m->channel))
        return add_one(&m->channel, scratch, names, n);
    if (m->payload.kind == JSON_STRING)
        return add_one(&m->payload, scratch, names, n);
    if (m->payload.kind == JSON_OBJECT)
        json_fields(&m->payload, inner, COUNT_OF(inner));
    else if (is_there(&m->payload))
        return LIST_BAD_FORM;
    if (is_there(&inner[0].value))
        return add_all(&inner[0].value, scratch, names, n);
    if (is_there(&inner[1].value))
        return add_one(&inner[1].value, scratch, names, n);
    return LIST_OK;
}
