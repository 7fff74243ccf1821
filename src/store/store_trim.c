/* Retention, in small steps. */
#include "base/base.h"

#include "store/store_priv.h"

enum {
    SPARE_BYTES = 1048576, // free space that is kept for the next events
    SPARE_SHARE = 4        // or this part of the file
};

/* What a walk over the oldest events has found. */
struct cut {
    uint64_t n, bytes;
    int64_t oldest_ms; // of the first that stays
    bool has_stopped;  // there is one that stays
};

static bool is_kept(const struct stored *st, const struct cut *cut, int64_t time_ms, int64_t now_ms)
{
    const struct store_rule *rule = &st->now.rule;
    uint64_t n = stored_events(st) - cut->n;
    uint64_t bytes = st->now.bytes > cut->bytes ? st->now.bytes - cut->bytes : 0;
    int64_t end_ms;
    if ((rule->max_events && n > rule->max_events) || (rule->max_bytes && bytes > rule->max_bytes))
        return false;
    if (!now_ms || !rule->ttl_ms || rule->ttl_ms > INT64_MAX ||
        __builtin_add_overflow(time_ms, (int64_t)rule->ttl_ms, &end_ms))
        return true;
    return end_ms > now_ms;
}

/* Walks at most budget events and the one behind them.  False when reading failed. */
static bool find_cut(struct store *s, struct stored *st, int64_t now_ms, uint64_t budget,
    struct cut *cut, struct err *err)
{
    int rc = SQLITE_ROW;
    sqlite3_stmt *row = sql_use(s, SQL_SIZES);
    sql_bind_int(row, 1, event_key(st->id, st->now.oldest));
    sql_bind_int(row, 2, event_key(st->id, st->now.top));
    *cut = (struct cut){0};
    while (!cut->has_stopped && cut->n < stored_events(st)) {
        rc = sqlite3_step(row);
        if (rc != SQLITE_ROW ||
            sqlite3_column_int64(row, 0) != event_key(st->id, st->now.oldest + cut->n))
            break;
        int64_t time_ms = sqlite3_column_int64(row, 2);
        if (cut->n == budget || is_kept(st, cut, time_ms, now_ms)) {
            cut->has_stopped = true;
            cut->oldest_ms = time_ms;
        } else {
            cut->bytes += sql_u64(row, 1);
            cut->n++;
        }
    }
    bool is_damaged = rc == SQLITE_DONE || sql_is_corrupt(s) ||
                      (rc == SQLITE_ROW && !cut->has_stopped && cut->n < stored_events(st));
    bool ok = rc == SQLITE_ROW || is_damaged || sql_fail(s, "reading old events", err);
    sqlite3_reset(row);
    if (is_damaged)
        stored_damage(st);
    return ok;
}

bool stored_cut(struct store *s, struct stored *st, int64_t now_ms, uint64_t budget, uint64_t *cut,
    struct err *err)
{
    struct cut found;
    *cut = 0;
    if (st->now.state == STORE_DAMAGED || stored_events(st) == 0)
        return true;
    if (!find_cut(s, st, now_ms, budget, &found, err))
        return false;
    if (st->now.state == STORE_DAMAGED || found.n == 0)
        return true;
    sqlite3_stmt *row = sql_use(s, SQL_DELETE_EVENTS);
    sql_bind_int(row, 1, event_key(st->id, st->now.oldest));
    sql_bind_int(row, 2, event_key(st->id, st->now.oldest + found.n - 1));
    if (!sql_run(s, row, "deleting old events", err))
        return false;
    stored_touch(s, st);
    st->now.oldest += found.n;
    st->now.bytes -= found.bytes < st->now.bytes ? found.bytes : st->now.bytes;
    st->oldest_ms = found.oldest_ms;
    if (stored_events(st) == 0)
        st->now.bytes = 0;
    s->more_events -= (int64_t)found.n;
    s->more_trimmed += found.n;
    *cut = found.n;
    return true;
}

/* The stream whose time has come first; 0 = none. */
static bool find_due(struct store *s, int64_t now_ms, int64_t *id, struct err *err)
{
    sqlite3_stmt *due = sql_use(s, SQL_DUE_STREAM);
    sql_bind_int(due, 1, now_ms);
    int rc = sqlite3_step(due);
    *id = rc == SQLITE_ROW ? sqlite3_column_int64(due, 0) : 0;
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        sql_fail(s, "looking for old events", err);
    sqlite3_reset(due);
    return rc == SQLITE_ROW || rc == SQLITE_DONE;
}

static bool refuse_index(struct store *s, struct err *err)
{
    s->is_spent = true;
    return err_set(err, STORE_DAMAGE, "store %s: damaged: an index and its table differ", s->path);
}

/* *spent: of the budget; 0 = no stream is due. */
static bool trim_stream(
    struct store *s, int64_t now_ms, uint64_t budget, uint64_t *spent, struct err *err)
{
    struct stored *st;
    int64_t id;
    *spent = 0;
    if (!find_due(s, now_ms, &id, err))
        return false;
    if (id == 0)
        return true;
    if (!stored_load(s, id, &st, err))
        return false;
    if (!st || st->id != id)
        return refuse_index(s, err);
    stored_touch(s, st);
    if (!stored_cut(s, st, now_ms, budget, spent, err))
        return false;
    if (*spent == 0)
        *spent = 1;
    /* What cannot be read needs a new epoch anyway, and what nobody used for long may have one. */
    if (st->now.state == STORE_DAMAGED)
        return stored_drop(s, st, STORE_DAMAGED, err);
    stored_set_due(st);
    if (stored_events(st) == 0 && st->due_ms <= now_ms)
        return stored_drop(s, st, STORE_ABSENT, err);
    st->written_due_ms = now_ms; // whatever the file said: it is written anew
    return stored_write(s, st, err);
}

/* The key up to which to delete, if the grave holds more than budget events. */
static int find_end(struct store *s, int64_t id, uint64_t budget, int64_t *end)
{
    sqlite3_stmt *row = sql_use(s, SQL_GRAVE_END);
    sql_bind_int(row, 1, event_key(id, 0));
    sql_bind_int(row, 2, event_key(id, STORE_OFFSETS - 1));
    sql_bind_u64(row, 3, budget);
    int rc = sqlite3_step(row);
    *end = rc == SQLITE_ROW ? sqlite3_column_int64(row, 0) - 1 : event_key(id, STORE_OFFSETS - 1);
    sqlite3_reset(row);
    return rc;
}

/* Events of a stream that was reset.  A grave that is damaged is left alone. */
static bool trim_grave(struct store *s, uint64_t budget, uint64_t *spent, struct err *err)
{
    int64_t end;
    sqlite3_stmt *row = sql_use(s, SQL_GRAVE);
    sql_bind_int(row, 1, s->grave);
    int rc = sqlite3_step(row);
    int64_t id = rc == SQLITE_ROW ? sqlite3_column_int64(row, 0) : 0;
    sqlite3_reset(row);
    *spent = 0;
    if (rc == SQLITE_DONE)
        return true;
    if (rc == SQLITE_ROW) {
        rc = find_end(s, id, budget, &end);
        if (rc != SQLITE_ROW && sql_is_corrupt(s)) {
            s->grave = id;
            *spent = 1;
            return true;
        }
    }
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return sql_fail(s, "looking for purged events", err);
    sqlite3_stmt *rows = sql_use(s, SQL_DELETE_EVENTS);
    sql_bind_int(rows, 1, event_key(id, 0));
    sql_bind_int(rows, 2, end);
    if (!sql_run(s, rows, "deleting purged events", err)) {
        s->grave = id;
        return false;
    }
    *spent = (uint64_t)sqlite3_changes64(s->db);
    if (rc == SQLITE_ROW)
        return true;
    row = sql_use(s, SQL_DELETE_GRAVE);
    sql_bind_int(row, 1, id);
    *spent += 1;
    return sql_run(s, row, "deleting purged events", err);
}

static bool trim(struct store *s, int64_t now_ms, uint64_t budget, bool *has_more, struct err *err)
{
    struct store_figures figures;
    uint64_t spent = 1;
    uint64_t left = budget;
    for (; left && spent; left -= spent < left ? spent : left)
        if (!trim_stream(s, now_ms, left, &spent, err))
            return false;
    for (spent = 1; left && spent; left -= spent < left ? spent : left)
        if (!trim_grave(s, left, &spent, err))
            return false;
    store_read_figures(s, &figures);
    bool is_roomy =
        figures.free_bytes > SPARE_BYTES && figures.free_bytes > figures.file_bytes / SPARE_SHARE;
    *has_more = left == 0 || is_roomy;
    return !is_roomy || sql_run(s, sql_use(s, SQL_GIVE_BACK), "giving back pages", err);
}

bool store_trim(struct store *s, int64_t now_ms, uint32_t budget, bool *has_more, struct err *err)
{
    ENSURE(!s->in_group && budget > 0);
    *has_more = false;
    if (!store_begin(s, STORE_ASYNC, err))
        return false;
    if (!trim(s, now_ms, budget, has_more, err))
        (void)group_fail(s, err);
    return group_commit(s, err);
}

/* --- walks ------------------------------------------------------------------------------------------- */

static bool find_last(struct store *s, int64_t *id, struct err *err)
{
    sqlite3_stmt *row = sql_use(s, SQL_LAST_ID);
    bool ok = sqlite3_step(row) == SQLITE_ROW;
    if (ok)
        *id = sqlite3_column_int64(row, 0);
    else
        sql_fail(s, "listing streams", err);
    sqlite3_reset(row);
    return ok;
}

/* Looks at the next stream behind *at; *at becomes 0 when there is none.  is_kept is right only
 * where there is one. */
static bool look_at(
    struct store *s, const struct store_walk *walk, int64_t *at, bool *is_kept, struct err *err)
{
    sqlite3_stmt *row = sql_use(s, SQL_NEXT_STREAM);
    sql_bind_int(row, 1, *at);
    int rc = sqlite3_step(row);
    *at = rc == SQLITE_ROW ? sqlite3_column_int64(row, 0) : 0;
    if (*at > walk->to)
        *at = 0;
    if (*at) {
        struct store_key key = {sql_span(row, 1), sql_span(row, 2)};
        *is_kept = walk->is_kept(walk->ctx, &key);
    } else if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
        sql_fail(s, "listing streams", err);
    }
    sqlite3_reset(row);
    return rc == SQLITE_ROW || rc == SQLITE_DONE;
}

static bool forget_by_id(struct store *s, int64_t id, struct err *err)
{
    struct stored *st;
    if (!stored_load(s, id, &st, err))
        return false;
    if (!st || st->id != id)
        return refuse_index(s, err);
    return stored_drop(s, st, STORE_ABSENT, err);
}

static bool sift(
    struct store *s, const struct store_walk *walk, uint32_t streams, int64_t *at, struct err *err)
{
    for (uint32_t i = 0; i < streams; i++) {
        bool is_kept = true;
        if (!look_at(s, walk, at, &is_kept, err))
            return false;
        if (!*at)
            return true;
        if (!is_kept && !forget_by_id(s, *at, err))
            return false;
    }
    return true;
}

bool store_sift(struct store *s, struct store_walk *walk, uint32_t streams, struct err *err)
{
    int64_t at = walk->at;
    ENSURE(!s->in_group && streams > 0 && !walk->is_over);
    if (!walk->to && !find_last(s, &walk->to, err))
        return false;
    if (!store_begin(s, STORE_ACK, err))
        return false;
    if (!sift(s, walk, streams, &at, err))
        (void)group_fail(s, err);
    if (!group_commit(s, err))
        return false;
    walk->at = at;
    walk->is_over = at == 0;
    return true;
}
