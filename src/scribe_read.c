/* Pages and rings, from rows. */
#include "base/base.h"

#include "scribe_read.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "hub/page.h"
#include "wire/pusher.h"

static struct kept kept_in(const struct store_stream *at, uint32_t ttl_s)
{
    struct kept kept = {.oldest = at->oldest, .bytes = at->bytes, .ttl_s = ttl_s};
    kept.top.offset = at->top;
    ENSURE(strlen(at->epoch) < sizeof kept.top.epoch);
    memcpy(kept.top.epoch, at->epoch, strlen(at->epoch));
    return kept;
}

/* For who was told that the stream ends at that position: the file may be ahead of that. */
static struct kept kept_upto(
    const struct store_stream *at, const struct position *upto, uint32_t ttl_s)
{
    struct kept kept = kept_in(at, ttl_s);
    if (kept.top.offset > upto->offset)
        kept.top.offset = upto->offset;
    if (kept.oldest > kept.top.offset + 1)
        kept.oldest = kept.top.offset + 1;
    return kept;
}

static bool is_same_epoch(const struct store_stream *at, const struct position *position)
{
    return at->state == STORE_WHOLE && strcmp(at->epoch, position->epoch) == 0;
}

static bool is_readable(
    const struct store_stream *at, const struct position *position, struct err *err)
{
    return is_same_epoch(at, position) || err_set(err, 503, "the stream is not whole");
}

/* --- a page ------------------------------------------------------------------------------------------ */

static bool finish(struct store *store, enum store_step step, struct err *err)
{
    if (step == STORE_END || step == STORE_LIMIT)
        return true;
    if (step == STORE_LOST)
        return err_set(err, 503, "rows are damaged");
    *err = *store_failure(store);
    return false;
}

static bool add_rows(struct store *store, struct page *page, struct err *err)
{
    struct store_event event;
    enum store_step step;
    while ((step = store_next(store, &event)) == STORE_EVENT)
        page_add(page, event.offset, event.name, event.data, event.time_ms);
    page_end(page, step == STORE_LIMIT);
    return finish(store, step, err);
}

static bool write_page(struct store *store, const struct store_key *key, const struct letter *l,
    struct buf *out, struct err *err)
{
    struct history_query q;
    struct store_stream at;
    struct page page;
    ENSURE(l->info_json.len == sizeof q);
    memcpy(&q, l->info_json.p, sizeof q);
    struct store_range range = {.start_ms = q.start_ms,
        .end_ms = q.end_ms,
        .is_backwards = q.is_backwards,
        .max_events = q.limit};
    page_range(&q, &l->position, &range.from, &range.to);
    if (!store_find(store, key, &at, err) || !is_readable(&at, &l->position, err))
        return false;
    struct kept kept = kept_upto(&at, &l->position, l->ttl_s);
    page_begin(&page, out, l->channel, &kept, &q);
    if (range.from > range.to || range.to < at.oldest) {
        page_end(&page, false);
        return true;
    }
    return store_read(store, key, &range, &at, err) && add_rows(store, &page, err);
}

static bool write_state(struct store *store, const struct store_key *key, const struct letter *l,
    struct buf *out, struct err *err)
{
    struct store_stream at;
    if (!store_find(store, key, &at, err) || !is_readable(&at, &l->position, err))
        return false;
    struct kept kept = kept_upto(&at, &l->position, l->ttl_s);
    page_add_state(out, &kept);
    return true;
}

bool scribe_read_page(
    struct store *store, const struct store_key *key, struct letter *l, struct err *err)
{
    struct buf out = {0};
    bool ok = (l->info & INFO_HISTORY) ? write_state(store, key, l, &out, err)
                                       : write_page(store, key, l, &out, err);
    if (ok) {
        l->cached = frame_new(out.len);
        memcpy(l->cached->text, out.p, out.len);
    }
    buf_fini(&out);
    return ok;
}

/* --- a ring ------------------------------------------------------------------------------------------ */

static struct found *found_new(uint32_t n)
{
    return mem_zero(sizeof(struct found) + n * sizeof(struct history_event));
}

/* Rows come newest first; the ring wants them the other way round. */
static void turn_round(struct found *found)
{
    for (uint32_t i = 0; i < found->n / 2; i++) {
        struct history_event e = found->events[i];
        found->events[i] = found->events[found->n - 1 - i];
        found->events[found->n - 1 - i] = e;
    }
}

static struct history_event event_of(const struct letter *l, const struct store_event *row)
{
    struct history_event e = {.time_ms = row->time_ms};
    e.frame = pusher_event(row->name, l->channel, row->data, span_of(NULL, 0));
    e.frame->offset = row->offset;
    return e;
}

/* False: the stream turned out to be damaged, or cannot be read now. */
static bool read_ring(struct store *store, const struct store_key *key,
    const struct history_rule *rule, struct letter *l, struct err *err)
{
    uint32_t most = rule->recover_events > rule->rewind ? rule->recover_events : rule->rewind;
    struct store_range range = {
        .is_backwards = true, .max_events = most, .max_bytes = rule->recover_bytes};
    struct store_stream at;
    struct store_event row;
    enum store_step step;
    if (!most || !rule->recover_bytes)
        return true;
    if (!store_read(store, key, &range, &at, err))
        return false;
    while ((step = store_next(store, &row)) == STORE_EVENT) {
        ENSURE(l->found->n < most);
        l->found->events[l->found->n++] = event_of(l, &row);
    }
    for (uint32_t i = 0; i < l->found->n; i++)
        memcpy(l->found->events[i].frame->epoch, at.epoch, sizeof l->found->top.epoch);
    turn_round(l->found);
    if (step == STORE_LOST)
        l->found->is_whole = false;
    return step == STORE_LOST || finish(store, step, err);
}

bool scribe_find(struct store *store, const struct store_key *key, const struct store_rule *rule,
    struct letter *l, struct err *err)
{
    struct history_rule wanted;
    struct store_stream at;
    memcpy(&wanted, l->info_json.p, sizeof wanted);
    if (!store_find(store, key, &at, err))
        return false;
    bool is_whole = at.state == STORE_WHOLE && at.rule.durability == rule->durability &&
                    strlen(at.epoch) <= EPOCH_CHARS;
    uint64_t n = is_whole ? at.top + 1 - at.oldest : 0;
    uint32_t most = wanted.recover_events > wanted.rewind ? wanted.recover_events : wanted.rewind;
    l->found = found_new((uint32_t)(n < most ? n : most));
    l->found->is_whole = is_whole;
    l->found->is_absent = at.state == STORE_ABSENT;
    if (at.state == STORE_CUT || at.state == STORE_DAMAGED)
        log_event(LOG_WARN, "stream_begins_again", "app=%.*s channel=%.*s why=\"%s\"",
            SPAN(key->app), SPAN(key->channel),
            at.state == STORE_CUT ? "the last run ended in a crash" : "its rows are damaged");
    if (!is_whole)
        return true;
    struct kept kept = kept_in(&at, 0);
    l->found->top = kept.top;
    l->found->oldest = kept.oldest;
    return store_use_rule(store, key, rule, err) && (!n || read_ring(store, key, &wanted, l, err));
}
