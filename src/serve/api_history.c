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

/* "bEPOCH:NEXT:BOUND" or "f...": where the page before ended, and the other bound. */
static bool read_cursor(
    struct span query, struct history_query *q, struct buf *text, struct err *err)
{
    struct position next;
    uint64_t bound = 0;
    text->len = 0;
    if (!api_param(query, "cursor", text))
        return true;
    struct span cursor = buf_span(text);
    const char *colon = cursor.len ? memrchr(cursor.p, ':', cursor.len) : NULL;
    size_t n = colon ? (size_t)(colon - cursor.p) : 0;
    if (!n || (cursor.p[0] != 'b' && cursor.p[0] != 'f') ||
        !position_read(span_of(cursor.p + 1, n - 1), &next) ||
        !text_to_u64(span_from(cursor, n + 1), &bound))
        return err_set(err, 400, "Invalid cursor");
    q->is_backwards = cursor.p[0] == 'b';
    q->has_since = q->has_until = true;
    q->since = q->until = next;
    if (q->is_backwards) {
        q->until.offset = next.offset ? next.offset - 1 : 0;
        q->since.offset = bound;
    } else {
        q->until.offset = bound;
    }
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
              read_position(query, "until", &q->until, &q->has_until, &text, err) &&
              read_cursor(query, q, &text, err);
    if (ok && !limit)
        ok = err_set(err, 400, "Invalid limit: expected a number from 1 to %d", LIMIT_MAX);
    q->limit = (uint32_t)limit;
    q->start_ms = (int64_t)start;
    q->end_ms = (int64_t)end;
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
