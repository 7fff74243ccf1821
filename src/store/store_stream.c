/* Streams: their rows, and the copies of them in memory. */
#include "base/base.h"

#include "store/store_priv.h"

#include <stdlib.h>

#include "base/mem.h"

enum {
    MAX_CACHED = 65536,
    ID_TRIES = 10000 // some tens of milliseconds
};

struct store_key stored_key(const struct stored *st)
{
    return (struct store_key){
        span_of(st->key, st->app_len), span_of(st->key + st->app_len, st->channel_len)};
}

static uint32_t hash_key(const struct store_key *key)
{
    return hash_bytes(hash_bytes(0, key->app), key->channel);
}

void stored_forget(struct store *s, struct stored *st)
{
    map_remove(&s->streams, &st->node);
    list_remove(&s->recent, &st->recent);
    if (s->reading.stream == st)
        s->reading.stream = NULL;
    free(st);
}

static void evict(struct store *s)
{
    while (s->recent.n > MAX_CACHED) {
        struct stored *st = CONTAINER_OF(s->recent.first, struct stored, recent);
        if (st->is_touched || s->reading.stream == st)
            return;
        stored_forget(s, st);
    }
}

static struct stored *new_stored(struct store *s, const struct store_key *key)
{
    evict(s);
    struct stored *st = mem_zero(sizeof *st + key->app.len + key->channel.len + 1);
    st->app_len = key->app.len;
    st->channel_len = key->channel.len;
    if (key->app.len)
        memcpy(st->key, key->app.p, key->app.len);
    if (key->channel.len)
        memcpy(st->key + key->app.len, key->channel.p, key->channel.len);
    map_add(&s->streams, &st->node, hash_key(key));
    list_append(&s->recent, &st->recent);
    return st;
}

static struct stored *find_cached(struct store *s, const struct store_key *key)
{
    for (struct map_node *n = map_first(&s->streams, hash_key(key)); n; n = map_next(n)) {
        struct stored *st = CONTAINER_OF(n, struct stored, node);
        struct store_key other = stored_key(st);
        if (span_eq(other.app, key->app) && span_eq(other.channel, key->channel)) {
            list_remove(&s->recent, &st->recent);
            list_append(&s->recent, &st->recent);
            return st;
        }
    }
    return NULL;
}

void stored_damage(struct stored *st)
{
    st->now = (struct store_stream){.state = STORE_DAMAGED, .oldest = 1};
    st->due_ms = NEVER_MS;
}

void stored_touch(struct store *s, struct stored *st)
{
    ENSURE(s->in_group);
    if (st->is_touched)
        return;
    st->is_touched = true;
    st->next_touched = s->touched;
    s->touched = st;
}

static int64_t add_ms(int64_t a, uint64_t b)
{
    int64_t sum;
    return b > INT64_MAX || __builtin_add_overflow(a, (int64_t)b, &sum) ? NEVER_MS : sum;
}

void stored_set_due(struct stored *st)
{
    const struct store_rule *rule = &st->now.rule;
    uint64_t n = stored_events(st);
    st->due_ms = NEVER_MS;
    if (n == 0 && rule->forget_ms)
        st->due_ms = add_ms(st->now.last_ms, rule->forget_ms);
    else if ((rule->max_events && n > rule->max_events) ||
             (rule->max_bytes && n && st->now.bytes > rule->max_bytes))
        st->due_ms = INT64_MIN;
    else if (n && rule->ttl_ms)
        st->due_ms = add_ms(st->oldest_ms, rule->ttl_ms);
}

static uint64_t sum_stream(const struct stored *st)
{
    const struct store_stream *now = &st->now;
    struct store_key key = stored_key(st);
    const uint64_t words[] = {(uint64_t)st->id, now->rule.durability, now->rule.max_events,
        now->rule.max_bytes, now->rule.ttl_ms, now->rule.forget_ms, st->run, now->top, now->oldest,
        now->bytes, (uint64_t)now->created_ms, (uint64_t)now->last_ms, (uint64_t)st->oldest_ms};
    uint64_t sum = 2;
    for (size_t i = 0; i < COUNT_OF(words); i++)
        sum = sum_u64(sum, words[i]);
    sum = sum_span(sum, span_str(now->epoch));
    return sum_span(sum_span(sum, key.app), key.channel);
}

/* The order is that of the columns in statements.def. */
enum column {
    COLUMN_ID,
    COLUMN_APP,
    COLUMN_CHANNEL,
    COLUMN_EPOCH,
    COLUMN_DURABILITY,
    COLUMN_MAX_EVENTS,
    COLUMN_MAX_BYTES,
    COLUMN_TTL,
    COLUMN_FORGET,
    COLUMN_RUN,
    COLUMN_TOP,
    COLUMN_OLDEST,
    COLUMN_BYTES,
    COLUMN_CREATED,
    COLUMN_LAST,
    COLUMN_OLDEST_TIME,
    COLUMN_DUE,
    COLUMN_SUM
};

/* False when the row is not what was written. */
static bool fill_stored(struct stored *st, sqlite3_stmt *row)
{
    struct store_key key = stored_key(st);
    struct store_stream *now = &st->now;
    struct span epoch = sql_span(row, COLUMN_EPOCH);
    uint64_t durability = sql_u64(row, COLUMN_DURABILITY);
    if (epoch.len == 0 || epoch.len > STORE_EPOCH || durability >= STORE_DURABILITIES ||
        !span_eq(sql_span(row, COLUMN_APP), key.app) ||
        !span_eq(sql_span(row, COLUMN_CHANNEL), key.channel))
        return false;
    memcpy(now->epoch, epoch.p, epoch.len);
    now->rule = (struct store_rule){.durability = (enum store_durability)durability,
        .max_events = sql_u64(row, COLUMN_MAX_EVENTS),
        .max_bytes = sql_u64(row, COLUMN_MAX_BYTES),
        .ttl_ms = sql_u64(row, COLUMN_TTL),
        .forget_ms = sql_u64(row, COLUMN_FORGET)};
    st->run = sql_u64(row, COLUMN_RUN);
    now->top = sql_u64(row, COLUMN_TOP);
    now->oldest = sql_u64(row, COLUMN_OLDEST);
    now->bytes = sql_u64(row, COLUMN_BYTES);
    now->created_ms = sqlite3_column_int64(row, COLUMN_CREATED);
    now->last_ms = sqlite3_column_int64(row, COLUMN_LAST);
    st->oldest_ms = sqlite3_column_int64(row, COLUMN_OLDEST_TIME);
    st->due_ms = st->written_due_ms = sqlite3_column_int64(row, COLUMN_DUE);
    return sql_u64(row, COLUMN_SUM) == sum_stream(st) && st->id > 0 && st->id <= MAX_ID &&
           now->oldest > 0 && now->oldest <= now->top + 1 && now->top < STORE_OFFSETS;
}

/* The ends of the stream's events are where its row says. */
static bool check_ends(struct store *s, struct stored *st, bool *are_right, struct err *err)
{
    sqlite3_stmt *ends = sql_use(s, SQL_ENDS);
    sql_bind_int(ends, 1, event_key(st->id, 0));
    sql_bind_int(ends, 2, event_key(st->id, STORE_OFFSETS - 1));
    bool ok = sqlite3_step(ends) == SQLITE_ROW;
    *are_right = false;
    if (ok && stored_events(st) == 0)
        *are_right = sqlite3_column_type(ends, 0) == SQLITE_NULL &&
                     sqlite3_column_type(ends, 1) == SQLITE_NULL;
    else if (ok)
        *are_right = sqlite3_column_int64(ends, 0) == event_key(st->id, st->now.oldest) &&
                     sqlite3_column_int64(ends, 1) == event_key(st->id, st->now.top);
    else
        ok = sql_is_corrupt(s) || sql_fail(s, "looking for a stream's events", err);
    sqlite3_reset(ends);
    return ok;
}

static bool judge(struct store *s, struct stored *st, bool is_filled, struct err *err)
{
    bool are_right = false;
    if (is_filled && !check_ends(s, st, &are_right, err))
        return false;
    if (!are_right) {
        stored_damage(st);
    } else if (st->now.rule.durability == STORE_ASYNC && st->run <= s->unclean_run) {
        st->now.state = STORE_CUT;
    } else {
        st->now.state = STORE_WHOLE;
    }
    return true;
}

/* Reads the row that the statement finds.  key: NULL when the row says whose it is. */
static bool load(struct store *s, sqlite3_stmt *row, const struct store_key *key,
    struct stored **out, struct err *err)
{
    int rc = sqlite3_step(row);
    bool ok = true;
    *out = NULL;
    if (rc == SQLITE_ROW) {
        struct store_key own = {sql_span(row, COLUMN_APP), sql_span(row, COLUMN_CHANNEL)};
        struct stored *st = key ? NULL : find_cached(s, &own);
        if (!st) {
            st = new_stored(s, key ? key : &own);
            st->id = sqlite3_column_int64(row, COLUMN_ID);
            ok = judge(s, st, fill_stored(st, row), err);
        }
        *out = st;
    } else if (rc != SQLITE_DONE) {
        ok = sql_is_corrupt(s) && key;
        if (ok) {
            *out = new_stored(s, key);
            ok = judge(s, *out, false, err);
        } else {
            sql_fail(s, "looking for a stream", err);
        }
    }
    sqlite3_reset(row);
    if (!ok && *out)
        stored_forget(s, *out);
    return ok;
}

bool stored_find(struct store *s, const struct store_key *key, struct stored **out, struct err *err)
{
    *out = find_cached(s, key);
    if (*out)
        return true;
    sqlite3_stmt *row = sql_use(s, SQL_STREAM);
    sql_bind_span(row, 1, key->app);
    sql_bind_span(row, 2, key->channel);
    return load(s, row, key, out, err);
}

bool stored_load(struct store *s, int64_t id, struct stored **out, struct err *err)
{
    sqlite3_stmt *row = sql_use(s, SQL_STREAM_BY_ID);
    sql_bind_int(row, 1, id);
    return load(s, row, NULL, out, err);
}

bool stored_write(struct store *s, struct stored *st, struct err *err)
{
    sqlite3_stmt *row = sql_use(s, SQL_UPDATE_STREAM);
    if (st->now.state != STORE_WHOLE && st->now.state != STORE_CUT)
        return true;
    sql_bind_int(row, 1, st->id);
    sql_bind_u64(row, 2, st->now.top);
    sql_bind_u64(row, 3, st->now.oldest);
    sql_bind_u64(row, 4, st->now.bytes);
    sql_bind_int(row, 5, st->now.last_ms);
    sql_bind_int(row, 6, st->oldest_ms);
    sql_bind_u64(row, 7, sum_stream(st));
    if (!sql_run(s, row, "writing a stream", err))
        return false;
    if (st->due_ms == st->written_due_ms)
        return true;
    row = sql_use(s, SQL_UPDATE_DUE);
    sql_bind_int(row, 1, st->id);
    sql_bind_int(row, 2, st->due_ms);
    st->written_due_ms = st->due_ms;
    return sql_run(s, row, "writing a stream", err);
}

/* The whole row, for a stream that is new or has another rule. */
static bool put_stream(struct store *s, struct stored *st, struct err *err)
{
    struct store_key key = stored_key(st);
    sqlite3_stmt *row = sql_use(s, SQL_PUT_STREAM);
    stored_set_due(st);
    st->written_due_ms = st->due_ms;
    sql_bind_int(row, COLUMN_ID + 1, st->id);
    sql_bind_span(row, COLUMN_APP + 1, key.app);
    sql_bind_span(row, COLUMN_CHANNEL + 1, key.channel);
    sql_bind_span(row, COLUMN_EPOCH + 1, span_str(st->now.epoch));
    sql_bind_int(row, COLUMN_DURABILITY + 1, (int64_t)st->now.rule.durability);
    sql_bind_u64(row, COLUMN_MAX_EVENTS + 1, st->now.rule.max_events);
    sql_bind_u64(row, COLUMN_MAX_BYTES + 1, st->now.rule.max_bytes);
    sql_bind_u64(row, COLUMN_TTL + 1, st->now.rule.ttl_ms);
    sql_bind_u64(row, COLUMN_FORGET + 1, st->now.rule.forget_ms);
    sql_bind_u64(row, COLUMN_RUN + 1, st->run);
    sql_bind_u64(row, COLUMN_TOP + 1, st->now.top);
    sql_bind_u64(row, COLUMN_OLDEST + 1, st->now.oldest);
    sql_bind_u64(row, COLUMN_BYTES + 1, st->now.bytes);
    sql_bind_int(row, COLUMN_CREATED + 1, st->now.created_ms);
    sql_bind_int(row, COLUMN_LAST + 1, st->now.last_ms);
    sql_bind_int(row, COLUMN_OLDEST_TIME + 1, st->oldest_ms);
    sql_bind_int(row, COLUMN_DUE + 1, st->due_ms);
    sql_bind_u64(row, COLUMN_SUM + 1, sum_stream(st));
    return sql_run(s, row, "writing a stream", err);
}

/* Ids go round, because those of streams that were reset are soon free again.  The next attempt
 * goes on behind the last: a file that is nearly full must not hold everything else up. */
static bool choose_id(struct store *s, int64_t *id, struct err *err)
{
    for (int tries = 0; tries < ID_TRIES; tries++) {
        sqlite3_stmt *st = sql_use(s, SQL_IS_TAKEN);
        *id = s->last_id >= 0 && s->last_id < MAX_ID ? s->last_id + 1 : 1;
        s->last_id = *id;
        sql_bind_int(st, 1, *id);
        sql_bind_int(st, 2, event_key(*id, 0));
        sql_bind_int(st, 3, event_key(*id, STORE_OFFSETS - 1));
        bool ok = sqlite3_step(st) == SQLITE_ROW;
        bool is_taken = ok && sqlite3_column_int(st, 0);
        if (!ok)
            sql_fail(s, "looking for a free id", err);
        sqlite3_reset(st);
        if (!ok || !is_taken)
            return ok;
    }
    return err_set(
        err, 503, "store %s: full: no room for another stream among %d", s->path, (int)MAX_ID);
}

/* The old events are deleted later, in small steps. */
static bool bury(struct store *s, const struct stored *st, struct err *err)
{
    sqlite3_stmt *grave = sql_use(s, SQL_PUT_GRAVE);
    sqlite3_stmt *row = sql_use(s, SQL_DELETE_STREAM);
    sql_bind_int(grave, 1, st->id);
    sql_bind_int(row, 1, st->id);
    return sql_run(s, grave, "purging a stream", err) && sql_run(s, row, "purging a stream", err);
}

bool stored_remove(struct store *s, struct stored *st, struct err *err)
{
    if (st->id == 0)
        return true;
    s->more_streams--;
    s->more_events -= (int64_t)stored_events(st);
    if (!bury(s, st, err))
        return false;
    st->id = 0;
    return true;
}

static bool reset(
    struct store *s, const struct store_key *key, const struct store_birth *birth, struct err *err)
{
    struct stored *st;
    if (!stored_find(s, key, &st, err))
        return false;
    if (st) {
        stored_touch(s, st);
        if (!stored_remove(s, st, err))
            return false;
    } else {
        st = new_stored(s, key);
        stored_touch(s, st);
    }
    if (!choose_id(s, &st->id, err))
        return false;
    st->now = (struct store_stream){.state = STORE_WHOLE,
        .rule = birth->rule,
        .top = birth->top,
        .oldest = birth->top + 1,
        .created_ms = birth->now_ms,
        .last_ms = birth->now_ms};
    memcpy(st->now.epoch, birth->epoch.p, birth->epoch.len);
    st->run = s->run;
    st->oldest_ms = 0;
    st->gained = 0;
    s->more_streams++;
    return put_stream(s, st, err);
}

bool stored_drop(struct store *s, struct stored *st, enum store_state state, struct err *err)
{
    stored_touch(s, st);
    if (!stored_remove(s, st, err))
        return false;
    stored_damage(st);
    st->now.state = state;
    return true;
}

static bool use_rule(
    struct store *s, const struct store_key *key, const struct store_rule *rule, struct err *err)
{
    struct stored *st;
    if (!stored_find(s, key, &st, err))
        return false;
    if (!st || st->now.state != STORE_WHOLE)
        return true;
    stored_touch(s, st);
    st->now.rule = *rule;
    st->run = s->run; // it is whole now, so only this run's end can cut it
    return put_stream(s, st, err);
}

static bool is_same_rule(const struct store_rule *a, const struct store_rule *b)
{
    return a->durability == b->durability && a->max_events == b->max_events &&
           a->max_bytes == b->max_bytes && a->ttl_ms == b->ttl_ms && a->forget_ms == b->forget_ms;
}

bool store_find(
    struct store *s, const struct store_key *key, struct store_stream *out, struct err *err)
{
    struct stored *st;
    if (!stored_find(s, key, &st, err))
        return false;
    *out = st ? st->now : (struct store_stream){.state = STORE_ABSENT};
    return true;
}

bool store_reset(
    struct store *s, const struct store_key *key, const struct store_birth *birth, struct err *err)
{
    bool is_alone = !s->in_group;
    ENSURE(birth->epoch.len > 0 && birth->epoch.len <= STORE_EPOCH);
    ENSURE(
        birth->top < STORE_OFFSETS && key->app.len <= STORE_NAME && key->channel.len <= STORE_NAME);
    if (is_alone && !store_begin(s, STORE_ACK, err))
        return false;
    bool ok = reset(s, key, birth, err) || group_fail(s, err);
    return is_alone ? store_commit(s, err) : ok;
}

bool store_forget(struct store *s, const struct store_key *key, struct err *err)
{
    bool is_alone = !s->in_group;
    struct stored *st;
    if (!stored_find(s, key, &st, err))
        return s->in_group ? group_fail(s, err) : false;
    if (!st || st->now.state == STORE_ABSENT)
        return true;
    if (is_alone && !store_begin(s, STORE_ACK, err))
        return false;
    bool ok = stored_drop(s, st, STORE_ABSENT, err) || group_fail(s, err);
    return is_alone ? store_commit(s, err) : ok;
}

bool store_use_rule(
    struct store *s, const struct store_key *key, const struct store_rule *rule, struct err *err)
{
    bool is_alone = !s->in_group;
    struct stored *st;
    if (!stored_find(s, key, &st, err))
        return false;
    if (!st || st->now.state != STORE_WHOLE || is_same_rule(&st->now.rule, rule))
        return true;
    if (is_alone && !store_begin(s, STORE_ACK, err))
        return false;
    bool ok = use_rule(s, key, rule, err) || group_fail(s, err);
    return is_alone ? store_commit(s, err) : ok;
}
