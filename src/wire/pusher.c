/* Channels messages in and out. */
#include "base/base.h"

#include "wire/pusher.h"

#include "base/text.h"

bool pusher_is_name(struct span name)
{
    /* ^[A-Za-z0-9_\-=@,.;]+$, pusher-protocol 2.4 */
    static const bool legal[256] = {['_'] = 1,
        ['-'] = 1,
        ['='] = 1,
        ['@'] = 1,
        [','] = 1,
        ['.'] = 1,
        [';'] = 1,
        ['0'] = 1,
        ['1'] = 1,
        ['2'] = 1,
        ['3'] = 1,
        ['4'] = 1,
        ['5'] = 1,
        ['6'] = 1,
        ['7'] = 1,
        ['8'] = 1,
        ['9'] = 1};
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.p[i];
        unsigned char lower = c | 0x20;
        if (!legal[c] && (lower < 'a' || lower > 'z'))
            return false;
    }
    return name.len > 0;
}

bool pusher_channel(struct span name, size_t max_chars, unsigned *traits)
{
    static const struct {
        const char *prefix;
        unsigned traits;
    } kinds[] = {
        {"private-encrypted-cache-", CHANNEL_PRIVATE | CHANNEL_ENCRYPTED | CHANNEL_CACHE},
        {"private-encrypted-", CHANNEL_PRIVATE | CHANNEL_ENCRYPTED},
        {"private-cache-", CHANNEL_PRIVATE | CHANNEL_CACHE},
        {"private-", CHANNEL_PRIVATE},
        {"presence-cache-", CHANNEL_PRIVATE | CHANNEL_PRESENCE | CHANNEL_CACHE},
        {"presence-", CHANNEL_PRIVATE | CHANNEL_PRESENCE},
        {"cache-", CHANNEL_CACHE},
    };
    *traits = 0;
    if (span_starts(name, PUSHER_USER_PREFIX)) {
        struct span id = span_from(name, strlen(PUSHER_USER_PREFIX));
        *traits = CHANNEL_USER;
        return id.len <= max_chars && pusher_is_name(id);
    }
    if (name.len > max_chars)
        return false;
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        if (span_starts(name, kinds[i].prefix)) {
            *traits = kinds[i].traits;
            break;
        }
    }
    return pusher_is_name(name);
}

bool pusher_read(struct span text, struct buf *scratch, struct pusher_message *out)
{
    struct json root;
    struct json_field fields[] = {{"event", {0}}, {"data", {0}}, {"channel", {0}}};
    if (!json_parse_fields(text, &root, fields, COUNT_OF(fields)) || root.kind != JSON_OBJECT)
        return false;
    if (fields[0].value.kind != JSON_STRING)
        return false;
    out->event_json = fields[0].value.raw;
    out->data = fields[1].value;
    out->channel = fields[2].value;
    return json_decode(&fields[0].value, scratch, &out->event);
}

bool pusher_read_data(
    const struct json *data, struct buf *scratch, struct json_field *fields, size_t n_fields)
{
    struct json root = *data;
    if (data->kind == JSON_STRING) {
        struct span text;
        if (!json_decode(data, scratch, &text))
            return false;
        return json_parse_fields(text, &root, fields, n_fields) && root.kind == JSON_OBJECT;
    }
    if (data->kind != JSON_OBJECT)
        return false;
    json_fields(data, fields, n_fields);
    return true;
}

static char *put(char *at, const char *p, size_t len)
{
    memcpy(at, p, len);
    return at + len;
}

static char *put_span(char *at, struct span s)
{
    return s.len ? put(at, s.p, s.len) : at;
}

#define PUT_LITERAL(at, literal) put(at, literal, sizeof(literal) - 1)

struct frame *pusher_event(
    struct span event, struct span channel, struct span data, struct span user_id)
{
    static const char head[] = "{\"event\":";
    static const char to[] = ",\"channel\":\"";
    static const char with[] = "\",\"data\":";
    static const char from[] = ",\"user_id\":";
    struct buf user = {0};
    if (user_id.p)
        json_quote(&user, user_id);
    size_t len = sizeof head - 1 + event.len + sizeof to - 1 + channel.len +
                 (data.len ? sizeof with - 1 + data.len : 1) +
                 (user.len ? sizeof from - 1 + user.len : 0) + 1;
    struct frame *f = frame_new(len);
    char *at = PUT_LITERAL(f->text, head);
    f->name_at = (uint32_t)(at - f->text);
    f->name_len = (uint32_t)event.len;
    at = PUT_LITERAL(put_span(at, event), to);
    at = put_span(at, channel);
    if (data.len) {
        at = PUT_LITERAL(at, with);
        f->data_at = (uint32_t)(at - f->text);
        f->data_len = (uint32_t)data.len;
        at = put_span(at, data);
    } else {
        *at++ = '"';
    }
    if (user.len)
        at = put_span(PUT_LITERAL(at, from), buf_span(&user));
    *at++ = '}';
    ENSURE((size_t)(at - f->text) == len);
    buf_fini(&user);
    return f;
}

struct frame *pusher_internal(const char *event, struct span channel, struct span inner)
{
    struct buf out = {0};
    buf_add_str(&out, "{\"event\":\"");
    buf_add_str(&out, event);
    if (channel.p) {
        buf_add_str(&out, "\",\"channel\":\"");
        buf_add_span(&out, channel);
    }
    buf_add_str(&out, "\",\"data\":");
    size_t data_at = out.len;
    json_quote(&out, inner);
    size_t data_len = out.len - data_at;
    buf_add_char(&out, '}');
    struct frame *f = frame_new(out.len);
    memcpy(f->text, out.p, out.len);
    f->data_at = (uint32_t)data_at;
    f->data_len = (uint32_t)data_len;
    buf_fini(&out);
    return f;
}

void pusher_add_established(struct buf *out, struct span socket_id, uint32_t activity_timeout_s)
{
    buf_add_str(
        out, "{\"event\":\"pusher:connection_established\",\"data\":\"{\\\"socket_id\\\":\\\"");
    buf_add_span(out, socket_id);
    buf_add_str(out, "\\\",\\\"activity_timeout\\\":");
    buf_add_u64(out, activity_timeout_s);
    buf_add_str(out, "}\"}");
}

void pusher_add_error(struct buf *out, int code, struct span message)
{
    buf_add_str(out, "{\"event\":\"pusher:error\",\"data\":{\"code\":");
    if (code == PUSHER_NO_CODE)
        buf_add_str(out, "null");
    else
        buf_add_u64(out, (uint64_t)code);
    buf_add_str(out, ",\"message\":");
    json_quote(out, message);
    buf_add_str(out, "}}");
}

void pusher_add_subscription_error(
    struct buf *out, struct span channel, const char *type, struct span error, int status)
{
    buf_add_str(out, "{\"event\":\"pusher:subscription_error\",\"channel\":");
    json_quote(out, channel);
    buf_add_str(out, ",\"data\":{\"type\":\"");
    buf_add_str(out, type);
    buf_add_str(out, "\",\"error\":");
    json_quote(out, error);
    buf_add_str(out, ",\"status\":");
    buf_add_u64(out, (uint64_t)status);
    buf_add_str(out, "}}");
}

void pusher_add_pong(struct buf *out)
{
    buf_add_str(out, "{\"event\":\"pusher:pong\",\"data\":\"{}\"}");
}

void pusher_add_string_form(struct buf *out, const struct json *value)
{
    if (value->kind == JSON_STRING)
        buf_add_span(out, value->raw);
    else
        json_quote(out, value->raw);
}
