/* Reading ranges: rows are checked one by one, and a hole is never passed over. */
#include "base/base.h"

#include "store/store_priv.h"

void reading_end(struct store *s, enum store_step end)
{
    if (s->reading.rows)
        sqlite3_reset(s->reading.rows);
    s->reading.rows = NULL;
    s->reading.end = end;
}

/* Rows are not what was written. */
static enum store_step lose(struct store *s, struct stored *st)
{
    reading_end(s, STORE_LOST);
    stored_damage(st);
    return STORE_LOST;
}

static enum store_step step_failed(struct store *s, struct stored *st)
{
    if (sql_is_corrupt(s))
        return lose(s, st);
    sql_fail(s, "reading events", &s->failure);
    reading_end(s, STORE_FAILED);
    return STORE_FAILED;
}

/* The time of one event that must be there. */
static enum store_step look_up(
    struct store *s, struct stored *st, uint64_t offset, int64_t *time_ms)
{
    struct store_event event;
    sqlite3_stmt *row = sql_use(s, SQL_FORWARDS);
    sql_bind_int(row, 1, event_key(st->id, offset));
    sql_bind_int(row, 2, event_key(st->id, offset));
    int rc = sqlite3_step(row);
    enum store_step step = STORE_EVENT;
    if (rc == SQLITE_ROW && event_of_row(st, row, &event) && event.offset == offset)
        *time_ms = event.time_ms;
    else if (rc == SQLITE_ROW || rc == SQLITE_DONE)
        step = lose(s, st);
    else
        step = step_failed(s, st);
    sqlite3_reset(row);
    return step;
}

/* The first offset of [from, to] whose event is not before time_ms; to + 1 = none. */
static enum store_step seek(
    struct store *s, struct stored *st, uint64_t from, uint64_t to, int64_t time_ms, uint64_t *out)
{
    uint64_t after = to + 1;
    while (from < after) {
        uint64_t middle = from + (after - from) / 2;
        int64_t found_ms = 0;
        enum store_step step = look_up(s, st, middle, &found_ms);
        if (step != STORE_EVENT)
            return step;
        if (found_ms < time_ms)
            from = middle + 1;
        else
            after = middle;
    }
    *out = from;
    return STORE_EVENT;
}

/* The range in offsets; from > to when it is empty. */
static enum store_step narrow(struct store *s, struct stored *st, const struct store_range *range,
    uint64_t *from, uint64_t *to)
{
    uint64_t after;
    *from = range->from > st->now.oldest ? range->from : st->now.oldest;
    *to = range->to && range->to < st->now.top ? range->to : st->now.top;
    if (range->start_ms && *from <= *to &&
        seek(s, st, *from, *to, range->start_ms, from) != STORE_EVENT)
        return s->reading.end;
    if (range->end_ms && range->end_ms < INT64_MAX && *from <= *to) {
        if (seek(s, st, *from, *to, range->end_ms + 1, &after) != STORE_EVENT)
            return s->reading.end;
        *to = after - 1;
    }
    return STORE_EVENT;
}

bool store_read(struct store *s, const struct store_key *key, const struct store_range *range,
    struct store_stream *at, struct err *err)
{
    struct stored *st;
    struct reading *r = &s->reading;
    uint64_t from;
    uint64_t to;
    ENSURE(!s->in_group); // it would be seen before it is committed
    reading_end(s, STORE_END);
    r->stream = NULL;
    if (!store_find(s, key, at, err))
        return false;
    if (at->state != STORE_WHOLE)
        return true;
    if (!stored_find(s, key, &st, err))
        return false;
    if (narrow(s, st, range, &from, &to) != STORE_EVENT) {
        at->state = st->now.state;
        *err = s->failure;
        return r->end != STORE_FAILED;
    }
    if (from > to)
        return true;
    *r = (struct reading){.stream = st,
        .rows = sql_use(s, range->is_backwards ? SQL_BACKWARDS : SQL_FORWARDS),
        .next = range->is_backwards ? to : from,
        .last = range->is_backwards ? from : to,
        .is_backwards = range->is_backwards,
        .left_events = range->max_events ? range->max_events : UINT64_MAX,
        .left_bytes = range->max_bytes ? range->max_bytes : UINT64_MAX,
        .is_first = true,
        .end = STORE_END};
    sql_bind_int(r->rows, 1, event_key(st->id, from));
    sql_bind_int(r->rows, 2, event_key(st->id, to));
    return true;
}

static bool is_over(const struct reading *r)
{
    return r->is_backwards ? r->next < r->last : r->next > r->last;
}

/* Takes the row into account. */
static enum store_step count_row(struct store *s, const struct store_event *event)
{
    struct reading *r = &s->reading;
    uint64_t bytes = event_bytes(event);
    if (bytes > r->left_bytes && !r->is_first) {
        reading_end(s, STORE_LIMIT);
        return STORE_LIMIT;
    }
    r->is_first = false;
    r->left_bytes -= bytes < r->left_bytes ? bytes : r->left_bytes;
    r->left_events--;
    r->next = r->is_backwards ? r->next - 1 : r->next + 1;
    return STORE_EVENT;
}

enum store_step store_next(struct store *s, struct store_event *out)
{
    struct reading *r = &s->reading;
    if (!r->rows)
        return r->end;
    if (is_over(r) || r->left_events == 0) {
        reading_end(s, is_over(r) ? STORE_END : STORE_LIMIT);
        return r->end;
    }
    int rc = sqlite3_step(r->rows);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return step_failed(s, r->stream);
    if (rc == SQLITE_DONE || !event_of_row(r->stream, r->rows, out) || out->offset != r->next)
        return lose(s, r->stream);
    return count_row(s, out);
}
