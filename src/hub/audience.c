/* One event's text in the encodings of the transports. */
#include "base/base.h"

#include "hub/audience.h"

#include "wire/chunk.h"
#include "wire/legacy.h"
#include "wire/sockjs.h"
#include "wire/ws.h"

static const char data_field[] = "data: ";
static const char id_field[] = "id: ";

enum { DATA_FIELD = sizeof data_field - 1, ID_FIELD = sizeof id_field - 1 };

_Static_assert(AUDIENCE_WS == 0 && AUDIENCE_SOCKJS_ID == AUDIENCE_SOCKJS + AUDIENCE_WS_ID,
    "audience_with_id adds");
_Static_assert(AUDIENCE_ID == ID_FIELD + 1, "and a line end");

size_t audience_room(enum audience audience, struct span text)
{
    switch (audience) {
    case AUDIENCE_LINE:
    case AUDIENCE_LINE_ID:
        return CHUNK_HEAD_MAX + sockjs_message_bytes(text) + 1 + CHUNK_TAIL;
    case AUDIENCE_SOCKJS:
    case AUDIENCE_SOCKJS_ID:
        return WS_HEAD_MAX + sockjs_message_bytes(text);
    case AUDIENCE_STREAM:
    case AUDIENCE_STREAM_AT:
    case AUDIENCE_STREAM_PLACE:
        return CHUNK_HEAD_MAX + DATA_FIELD + text.len + 2 + CHUNK_TAIL;
    case AUDIENCE_LEGACY:
    case AUDIENCE_LEGACY_ENVELOPE:
    case AUDIENCE_LEGACY_ENVIRONMENT:
        return WS_HEAD_MAX + legacy_room(text);
    case AUDIENCE_WS:
    case AUDIENCE_WS_ID:
    case AUDIENCES:
        break;
    }
    return WS_HEAD_MAX + text.len;
}

static size_t encode_ws(char *out, struct span text)
{
    size_t head = ws_head(out, WS_TEXT, text.len);
    memcpy(out + head, text.p, text.len);
    return head + text.len;
}

static size_t end_chunk(char *out, size_t n)
{
    out[n] = '\r';
    out[n + 1] = '\n';
    return n + 2;
}

static size_t encode_line(char *out, struct span text)
{
    size_t n = chunk_head(out, (uint32_t)sockjs_message_bytes(text) + 1);
    n += sockjs_message(out + n, text);
    out[n++] = '\n';
    return end_chunk(out, n);
}

static size_t encode_sockjs(char *out, struct span text)
{
    size_t n = ws_head(out, WS_TEXT, sockjs_message_bytes(text));
    return n + sockjs_message(out + n, text);
}

size_t audience_encode_event(char *out, struct span id, struct span text)
{
    size_t id_line = id.len ? ID_FIELD + id.len + 1 : 0;
    size_t n = chunk_head(out, (uint32_t)(id_line + DATA_FIELD + text.len + 2));
    if (id.len) {
        memcpy(out + n, id_field, ID_FIELD);
        memcpy(out + n + ID_FIELD, id.p, id.len);
        out[n + id_line - 1] = '\n';
    }
    n += id_line;
    memcpy(out + n, data_field, DATA_FIELD);
    n += DATA_FIELD;
    /* JSON may have line ends between its tokens, where a blank is as good; an event stream
     * would end the field there. */
    for (size_t i = 0; i < text.len; i++)
        out[n++] = text.p[i] == '\n' || text.p[i] == '\r' ? ' ' : text.p[i];
    out[n++] = '\n';
    out[n++] = '\n';
    return end_chunk(out, n);
}

static size_t encode_legacy(enum legacy_form form, char *out, struct span text, int64_t wall_ms)
{
    char *body = out + WS_HEAD_MAX;
    size_t n = legacy_encode(form, body, text, wall_ms);
    if (!n)
        return 0;
    size_t head = ws_head(out, WS_TEXT, n);
    memmove(out + head, body, n);
    return head + n;
}

size_t audience_encode(enum audience audience, char *out, struct span text, int64_t wall_ms)
{
    switch (audience) {
    case AUDIENCE_LINE:
    case AUDIENCE_LINE_ID:
        return encode_line(out, text);
    case AUDIENCE_SOCKJS:
    case AUDIENCE_SOCKJS_ID:
        return encode_sockjs(out, text);
    case AUDIENCE_STREAM:
    case AUDIENCE_STREAM_AT:
    case AUDIENCE_STREAM_PLACE:
        return audience_encode_event(out, span_of(NULL, 0), text);
    case AUDIENCE_LEGACY:
        return encode_legacy(LEGACY_FLAT, out, text, wall_ms);
    case AUDIENCE_LEGACY_ENVELOPE:
        return encode_legacy(LEGACY_ENVELOPE, out, text, wall_ms);
    case AUDIENCE_LEGACY_ENVIRONMENT:
        return encode_legacy(LEGACY_ENVIRONMENT, out, text, wall_ms);
    case AUDIENCE_WS:
    case AUDIENCE_WS_ID:
    case AUDIENCES:
        break;
    }
    return encode_ws(out, text);
}

size_t audience_line(enum audience audience, char *out, struct span line)
{
    if (audience == AUDIENCE_SOCKJS || audience == AUDIENCE_WS || audience_is_legacy(audience))
        return encode_ws(out, line);
    size_t ends = audience_is_stream(audience) ? 2 : 1;
    size_t n = chunk_head(out, (uint32_t)(line.len + ends));
    memcpy(out + n, line.p, line.len);
    n += line.len;
    for (size_t i = 0; i < ends; i++)
        out[n++] = '\n';
    return end_chunk(out, n);
}
