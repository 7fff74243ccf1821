/* Events: their rows. */
#include "base/base.h"

#include "store/store_priv.h"

uint64_t event_sum(const struct stored *st, const struct store_event *e)
{
    uint64_t sum = sum_span(3, span_str(st->now.epoch));
    sum = sum_u64(sum, (uint64_t)event_key(st->id, e->offset));
    sum = sum_u64(sum, (uint64_t)e->time_ms);
    return sum_span(sum_span(sum, e->name), e->data);
}

bool event_of_row(const struct stored *st, sqlite3_stmt *row, struct store_event *out)
{
    int64_t key = sqlite3_column_int64(row, 0);
    *out = (struct store_event){.offset = event_offset(key),
        .time_ms = sqlite3_column_int64(row, 1),
        .name = sql_span(row, 2),
        .data = sql_span(row, 3)};
    return key == event_key(st->id, out->offset) && sql_u64(row, 4) == event_sum(st, out);
}

static bool put_event(
    struct store *s, const struct stored *st, const struct store_event *e, struct err *err)
{
    sqlite3_stmt *row = sql_use(s, SQL_PUT_EVENT);
    sql_bind_int(row, 1, event_key(st->id, e->offset));
    sql_bind_int(row, 2, e->time_ms);
    sql_bind_span(row, 3, e->name);
    sql_bind_span(row, 4, e->data);
    sql_bind_u64(row, 5, event_sum(st, e));
    return sql_run(s, row, "writing an event", err);
}

static bool refuse(
    const struct store *s, const struct store_key *key, const char *why, struct err *err)
{
    return err_set(err, 503, "store %s: channel %.*s of app %.*s: %s", s->path, SPAN(key->channel),
        SPAN(key->app), why);
}

static bool check_event(const struct store *s, const struct store_key *key, const struct stored *st,
    const struct store_event *event, struct err *err)
{
    if (!st || st->now.state == STORE_ABSENT)
        return refuse(s, key, "there is no stream", err);
    if (st->now.state != STORE_WHOLE)
        return refuse(s, key, "the stream needs a new epoch", err);
    if (event->offset != st->now.top + 1 || event->offset >= STORE_OFFSETS)
        return err_set(err, 503, "store %s: channel %.*s of app %.*s: offset %llu, expected %llu",
            s->path, SPAN(key->channel), SPAN(key->app), (unsigned long long)event->offset,
            (unsigned long long)st->now.top + 1);
    if (event->data.len > STORE_DATA || event->name.len > STORE_NAME)
        return refuse(s, key, "the event is too large", err);
    ENSURE(s->mode == STORE_ACK || st->now.rule.durability == STORE_ASYNC);
    return true;
}

bool store_append(
    struct store *s, const struct store_key *key, const struct store_event *event, struct err *err)
{
    struct stored *st;
    struct store_event e = *event;
    ENSURE(s->in_group);
    if (s->has_failed) {
        *err = s->failure;
        return false;
    }
    if (!stored_find(s, key, &st, err))
        return group_fail(s, err);
    if (!check_event(s, key, st, event, err))
        return false;
    if (e.time_ms < st->now.last_ms)
        e.time_ms = st->now.last_ms; // so that a range of times is a range of offsets
    stored_touch(s, st);
    if (!put_event(s, st, &e, err))
        return group_fail(s, err);
    if (stored_events(st) == 0)
        st->oldest_ms = e.time_ms;
    st->now.top = e.offset;
    st->now.last_ms = e.time_ms;
    st->now.bytes += event_bytes(&e);
    st->gained++;
    s->more_events++;
    return true;
}
