/* GET and DELETE of a channel's history (docs/history.md). */
#include "base/base.h"

#include <stdlib.h>

#include "base/text.h"
#include "serve/api.h"
#include "serve/api_auth.h"
#include "serve/call.h"

enum { LIMIT_DEFAULT = 100, LIMIT_MAX = 1000 };

static bool read_number(struct span query, const char *name, uint64_t most, uint64_t *to,
    struct buf *text, struct err *err)
{
    text->len = 0;
    if (!api_param(query, name, text))
        return true;
    return (text_to_u64(buf_span(text), to) && *to <= most) ||
           err_set(err, 400, "Invalid %s: expected a number of at most %llu", name,
               (unsigned long long)most);
}

static bool read_position(struct span query, const char *name, struct position *to, bool *is_there,
    struct buf *text, struct err *err)
{
    text->len = 0;
    if (!api_param(query, name, text))
        return true;
    *is_there = true;
    return position_read(buf_span(text), to) ||
           err_set(err, 400, "Invalid %s: expected EPOCH:OFFSET", name);
}

static bool read_direction(
    struct span query, struct history_query *q, struct buf *text, struct err *err)
{
    text->len = 0;
    q->is_backwards = true;
    if (!api_param(query, "direction", text))
        return true;
    q->is_backwards = span_is(buf_span(text), "backwards");
    return q->is_backwards || span_is(buf_span(text), "forwards") ||
           err_set(err, 400, "Invalid direction: expected forwards or backwards");
}

/* The next field of a cursor as a number; false when there is none. */
static bool next_number(struct span *text, uint64_t *n)
{
    const char *colon = text->len ? memchr(text->p, ':', text->len) : NULL;
    struct span field = span_of(text->p, colon ? (size_t)(colon - text->p) : text->len);
    *text = span_from(*text, colon ? field.len + 1 : field.len);
    return text_to_u64(field, n) && *n <= INT64_MAX;
}

/* "bEPOCH:NEXT:BOUND:START:END" or "f...": where the page before ended, and its bounds. */
static bool cut_cursor(struct span text, struct position *next, uint64_t bounds[3])
{
    const char *first = text.len ? memchr(text.p, ':', text.len) : NULL;
    size_t n = first ? (size_t)(first - text.p) + 1 : 0;
    const char *second = n && n < text.len ? memchr(text.p + n, ':', text.len - n) : NULL;
    if (!second || (text.p[0] != 'b' && text.p[0] != 'f'))
        return false;
    n = (size_t)(second - text.p);
    struct span rest = span_from(text, n + 1);
    return position_read(span_of(text.p + 1, n - 1), next) && next_number(&rest, &bounds[0]) &&
           next_number(&rest, &bounds[1]) && next_number(&rest, &bounds[2]) && !rest.len;
}

/* What it says counts, whatever else the question repeats. */
static bool read_cursor(
    struct span query, struct history_query *q, struct buf *text, struct err *err)
{
    struct position next;
    uint64_t bounds[3];
    text->len = 0;
    if (!api_param(query, "cursor", text))
        return true;
    if (!cut_cursor(buf_span(text), &next, bounds))
        return err_set(err, 400, "Invalid cursor");
    q->is_backwards = text->p[0] == 'b';
    q->has_since = q->has_until = true;
    q->since = q->until = next;
    if (q->is_backwards) {
        q->until.offset = next.offset ? next.offset - 1 : 0;
        q->since.offset = bounds[0];
    } else {
        q->until.offset = bounds[0];
    }
    q->start_ms = (int64_t)bounds[1];
    q->end_ms = (int64_t)bounds[2];
    return true;
}

bool history_query_read(struct span query, struct history_query *q, struct err *err)
{
    struct buf text = {0};
    uint64_t limit = LIMIT_DEFAULT;
    uint64_t start = 0;
    uint64_t end = 0;
    *q = (struct history_query){0};
    bool ok = read_direction(query, q, &text, err) &&
              read_number(query, "limit", LIMIT_MAX, &limit, &text, err) &&
              read_number(query, "start_ms", INT64_MAX, &start, &text, err) &&
              read_number(query, "end_ms", INT64_MAX, &end, &text, err) &&
              read_position(query, "since", &q->since, &q->has_since, &text, err) &&
              read_position(query, "until", &q->until, &q->has_until, &text, err);
    q->limit = (uint32_t)limit;
    q->start_ms = (int64_t)start;
    q->end_ms = (int64_t)end;
    ok = ok && read_cursor(query, q, &text, err);
    if (ok && !limit)
        ok = err_set(err, 400, "Invalid limit: expected a number from 1 to %d", LIMIT_MAX);
    buf_fini(&text);
    return ok;
}

void api_get_history(struct serve *s, struct conn *c, const struct app *app, struct span query,
    const struct history_target *of)
{
    struct history_query q;
    struct err err;
    if (!history_query_read(query, &q, &err)) {
        conn_reply_text(s, c, err.status, "%s", err.text);
        return;
    }
    struct call *call = call_new(CALL_HISTORY, app, 1);
    struct letter ask = {.mail.kind = LETTER_ASK_HISTORY,
        .app = app->slot,
        .traits = (uint8_t)of->traits,
        .channel = of->channel,
        .info_json = span_of((const char *)&q, sizeof q)};
    call_ask(s, c, call, 0, &ask);
    call_finish(s, c, call);
}

void api_purge_history(
    struct serve *s, struct conn *c, const struct app *app, const struct history_target *of)
{
    struct call *call = call_new(CALL_HISTORY, app, 1);
    struct letter ask = {.mail.kind = LETTER_PURGE,
        .app = app->slot,
        .traits = (uint8_t)of->traits,
        .channel = of->channel};
    call_ask(s, c, call, 0, &ask);
    call_finish(s, c, call);
}
