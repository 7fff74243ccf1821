/* Positions and what is asked by them, as text. */
#include "base/base.h"

#include "hub/position.h"

#include "base/text.h"

static bool is_epoch(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.p[i];
        if ((c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z'))
            return false;
    }
    return text.len && text.len <= EPOCH_CHARS;
}

bool position_is(const struct position *a, const struct position *b)
{
    return a->offset == b->offset && strcmp(a->epoch, b->epoch) == 0;
}

bool position_read(struct span text, struct position *out)
{
    const char *colon = text.len ? memchr(text.p, ':', text.len) : NULL;
    *out = (struct position){0};
    if (!colon)
        return false;
    struct span epoch = span_of(text.p, (size_t)(colon - text.p));
    if (!is_epoch(epoch) || !text_to_u64(span_from(text, epoch.len + 1), &out->offset))
        return false;
    memcpy(out->epoch, epoch.p, epoch.len);
    return true;
}

void position_add(struct buf *out, const struct position *at)
{
    if (!at->epoch[0])
        return;
    buf_add_str(out, at->epoch);
    buf_add_char(out, ':');
    buf_add_u64(out, at->offset);
}

bool positions_read(struct span list, struct position *to, size_t n)
{
    memset(to, 0, n * sizeof *to);
    for (size_t i = 0; i < n; i++) {
        const char *comma = list.len ? memchr(list.p, ',', list.len) : NULL;
        struct span item = comma ? span_of(list.p, (size_t)(comma - list.p)) : list;
        if (item.len && !position_read(item, &to[i]))
            return false;
        if (!comma)
            return true;
        list = span_from(list, item.len + 1);
    }
    return false; // more than so many
}

void positions_add(struct buf *out, const struct position *at, size_t n)
{
    while (n && !at[n - 1].epoch[0])
        n--;
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_add_char(out, ',');
        position_add(out, &at[i]);
    }
}

void position_add_event(struct buf *out, struct span text, const struct position *at)
{
    ENSURE(text.len > 2 && text.p[text.len - 1] == '}');
    buf_add(out, text.p, text.len - 1);
    buf_add_str(out, ",\"id\":\"");
    position_add(out, at);
    buf_add_str(out, "\"}");
}

struct position position_unknown(void)
{
    return (struct position){.epoch = "?"};
}

/* A count or an offset: a number, or a string of digits where it is too large for one. */
static bool read_count(const struct json *value, struct buf *scratch, uint64_t *to)
{
    struct span text = value->raw;
    *to = 0;
    if (value->kind == JSON_ABSENT || value->kind == JSON_NULL)
        return true;
    if (value->kind == JSON_STRING && !json_decode(value, scratch, &text))
        return false;
    return (value->kind == JSON_NUMBER || value->kind == JSON_STRING) && text_to_u64(text, to);
}

static bool read_flag(const struct json *value, bool *to)
{
    *to = value->kind == JSON_TRUE;
    return *to || value->kind == JSON_FALSE || value->kind == JSON_ABSENT ||
           value->kind == JSON_NULL;
}

static uint32_t at_most_u32(uint64_t n)
{
    return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

bool recovery_read(const struct json *value, struct buf *scratch, struct recovery *out)
{
    struct json_field fields[] = {
        {"epoch", {0}}, {"offset", {0}}, {"rewind", {0}}, {"rewind_s", {0}}, {"inline", {0}}};
    const struct json *given = &fields[0].value;
    const struct json *wish = &fields[4].value;
    struct span epoch = span_of(NULL, 0);
    uint64_t rewind;
    uint64_t rewind_s;
    *out = (struct recovery){0};
    if (value->kind == JSON_ABSENT || value->kind == JSON_NULL)
        return true;
    if (value->kind != JSON_OBJECT)
        return false;
    json_fields(value, fields, COUNT_OF(fields));
    bool has_epoch = given->kind != JSON_ABSENT && given->kind != JSON_NULL;
    if (has_epoch && (given->kind != JSON_STRING || !json_decode(given, scratch, &epoch) ||
                         !epoch.len || fields[1].value.kind == JSON_ABSENT))
        return false;
    if (!read_count(&fields[1].value, scratch, &out->from.offset) ||
        !read_count(&fields[2].value, scratch, &rewind) ||
        !read_count(&fields[3].value, scratch, &rewind_s) || !read_flag(wish, &out->is_inline))
        return false;
    out->is_asked = true;
    out->rewind = at_most_u32(rewind);
    out->rewind_s = at_most_u32(rewind_s);
    if (epoch.len && is_epoch(epoch))
        memcpy(out->from.epoch, epoch.p, epoch.len);
    else if (epoch.len)
        memcpy(out->from.epoch, position_unknown().epoch, sizeof out->from.epoch);
    return true;
}
