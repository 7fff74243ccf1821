/* A ring of frames. */
#include "base/base.h"

#include "hub/history.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/rand.h"

static void draw_epoch(char out[EPOCH_CHARS + 1])
{
    static const char letters[] = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    for (int i = 0; i < EPOCH_CHARS; i++)
        out[i] = letters[rand_u32() % (sizeof letters - 1)];
    out[EPOCH_CHARS] = '\0';
}

struct history *history_new(const struct history_rule *rule, uint64_t now_us)
{
    struct history *s = mem_zero(sizeof *s);
    s->rule = rule;
    draw_epoch(s->top.epoch);
    s->stored_from = 1;
    s->used_us = now_us;
    return s;
}

static struct history_event *event_at(const struct history *s, uint32_t i)
{
    return &s->ring[(s->first + i) % s->cap];
}

static void drop_oldest(struct history *s)
{
    struct history_event *e = event_at(s, 0);
    s->bytes -= e->frame->len;
    frame_drop(e->frame);
    e->frame = NULL;
    s->first = (s->first + 1) % s->cap;
    s->n--;
}

void history_clear(struct history *s)
{
    while (s->n)
        drop_oldest(s);
    free(s->ring);
    s->ring = NULL;
    s->first = s->cap = 0;
}

void history_free(struct history *s)
{
    if (!s)
        return;
    history_clear(s);
    free(s);
}

static void grow(struct history *s)
{
    uint32_t cap = s->cap ? s->cap * 2 : 8;
    struct history_event *ring = mem_zero(cap * sizeof *ring);
    for (uint32_t i = 0; i < s->n; i++)
        ring[i] = *event_at(s, i);
    free(s->ring);
    s->ring = ring;
    s->first = 0;
    s->cap = cap;
}

/* Of a durable stream the ring has what a client may be given back; the store has the rest. */
static uint32_t ring_events(const struct history_rule *rule)
{
    uint32_t most = rule->recover_events > rule->rewind ? rule->recover_events : rule->rewind;
    return rule->durability && most < rule->max_events ? most : rule->max_events;
}

static uint32_t ring_bytes(const struct history_rule *rule)
{
    bool is_less = rule->durability && rule->recover_bytes < rule->max_bytes;
    return is_less ? rule->recover_bytes : rule->max_bytes;
}

uint64_t history_append(struct history *s, struct frame *frame, uint64_t now_us, int64_t wall_ms)
{
    history_expire(s, now_us);
    while (s->n && (s->n >= ring_events(s->rule) || s->bytes + frame->len > ring_bytes(s->rule)))
        drop_oldest(s);
    if (s->n == s->cap)
        grow(s);
    frame_hold(frame);
    s->n++;
    *event_at(s, s->n - 1) = (struct history_event){frame, wall_ms, now_us};
    s->bytes += frame->len;
    return ++s->top.offset;
}

bool history_prepend(struct history *s, const struct history_event *e, uint64_t offset)
{
    if (!offset || offset + 1 != history_oldest(s) || s->n >= ring_events(s->rule) ||
        s->bytes + e->frame->len > ring_bytes(s->rule))
        return false;
    if (s->n == s->cap)
        grow(s);
    s->first = (s->first + s->cap - 1) % s->cap;
    s->n++;
    frame_hold(e->frame);
    *event_at(s, 0) = *e;
    s->bytes += e->frame->len;
    return true;
}

void history_expire(struct history *s, uint64_t now_us)
{
    uint64_t ttl_us = s->rule ? (uint64_t)s->rule->ttl_s * 1000000U : 0;
    while (s->n && now_us - event_at(s, 0)->at_us >= ttl_us)
        drop_oldest(s);
    if (!s->n && s->ring)
        history_clear(s);
}

void history_reset(struct history *s)
{
    history_clear(s);
    draw_epoch(s->top.epoch);
    s->top.offset = s->sent = 0;
    s->stored_from = 1;
}

uint64_t history_oldest(const struct history *s)
{
    return s->top.offset + 1 - s->n;
}

uint64_t history_kept_from(const struct history *s)
{
    uint64_t oldest = history_oldest(s);
    if (s->tier != TIER_STORED || s->stored_from >= oldest)
        return oldest;
    uint64_t most = s->rule->max_events;
    return s->top.offset - s->stored_from >= most ? s->top.offset + 1 - most : s->stored_from;
}

const struct history_event *history_at(const struct history *s, uint64_t offset)
{
    ENSURE(offset >= history_oldest(s) && offset <= s->top.offset);
    return event_at(s, (uint32_t)(offset - history_oldest(s)));
}

const char *history_word(enum history_verdict verdict)
{
    static const char *const words[] = {[HISTORY_WHOLE] = "",
        [HISTORY_EPOCH_CHANGED] = "epoch_changed",
        [HISTORY_EXPIRED] = "expired",
        [HISTORY_TOO_MANY] = "too_many",
        [HISTORY_AHEAD] = "ahead"};
    return words[verdict];
}

enum history_verdict history_check(const struct history *s, const struct position *at)
{
    const struct history_rule *rule = s->rule;
    uint64_t bytes = 0;
    if (strcmp(at->epoch, s->top.epoch) != 0)
        return HISTORY_EPOCH_CHANGED;
    if (at->offset > s->top.offset)
        return HISTORY_AHEAD;
    bool is_many = s->top.offset - at->offset > rule->recover_events;
    if (at->offset + 1 < history_kept_from(s))
        return HISTORY_EXPIRED;
    if (is_many || at->offset + 1 < history_oldest(s))
        return HISTORY_TOO_MANY; // the second: it is there, but not in the ring
    for (uint64_t offset = at->offset + 1; offset <= s->top.offset; offset++)
        bytes += history_at(s, offset)->frame->len;
    return bytes > rule->recover_bytes ? HISTORY_TOO_MANY : HISTORY_WHOLE;
}
