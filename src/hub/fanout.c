/* Crowds, batches and the flush: the hot path. */
#include "base/base.h"

#include "hub/fanout.h"

#include <stdlib.h>

#include "base/mem.h"
#include "hub/position.h"

enum { MIN_HOLES = 16 };

const uint32_t fanout_latency_us[LATENCY_BUCKETS - 1] = {50, 100, 250, 500, 1000, 2500, 5000, 10000,
    25000, 50000, 100000, 250000, 500000, 1000000, 2500000};

void fanout_init(struct fanout *f, struct outbox_pool *pool, const struct fanout_limits *limits)
{
    *f = (struct fanout){.pool = pool, .limits = *limits, .tick = 1};
    slab_init(&f->subscribers, sizeof(struct subscriber));
}

void fanout_fini(struct fanout *f)
{
    slab_fini(&f->subscribers);
    free(f->dirty);
    free(f->split);
    free(f->writable);
    free(f->slow);
    free(f->drained);
    free(f->troubles);
}

/* Room for one more item in a growing array. */
static void *grow(void *items, uint32_t n, uint32_t *cap, size_t item_bytes)
{
    if (n < *cap)
        return items;
    *cap = *cap ? *cap * 2 : 64;
    return mem_array(items, *cap, item_bytes);
}

static void push_index(uint32_t **items, uint32_t *n, uint32_t *cap, uint32_t index)
{
    *items = grow(*items, *n, cap, sizeof **items);
    (*items)[(*n)++] = index;
}

/* --- encoding --------------------------------------------------------------------------- */

static struct position position_of(const struct frame *frame)
{
    struct position at = {.offset = frame->offset};
    memcpy(at.epoch, frame->epoch, sizeof at.epoch);
    return at;
}

static void encode(
    const struct fanout *f, enum audience audience, struct batch *b, struct span text)
{
    char *at = batch_room(b, (uint32_t)audience_room(audience, text));
    uint32_t n = (uint32_t)audience_encode(audience, at, text, f->wall_ms);
    if (n)
        batch_end_frame(b, n);
}

/* An event of a stream, with its position in it. */
static void encode_with_id(
    const struct fanout *f, enum audience audience, struct batch *b, const struct frame *frame)
{
    struct buf text = {0};
    struct position at = position_of(frame);
    position_add_event(&text, frame_text(frame), &at);
    encode(f, audience, b, buf_span(&text));
    buf_fini(&text);
}

/* The same, beside it. */
static void encode_at(struct batch *b, const struct frame *frame)
{
    char text[POSITION_CHARS];
    struct buf id = {text, 0, sizeof text};
    struct position at = position_of(frame);
    position_add(&id, &at);
    size_t room = audience_room(AUDIENCE_STREAM_AT, frame_text(frame)) + AUDIENCE_ID + id.len;
    char *out = batch_room(b, (uint32_t)room);
    batch_end_frame(b, (uint32_t)audience_encode_event(out, buf_span(&id), frame_text(frame)));
}

void fanout_encode(
    const struct fanout *f, enum audience audience, struct batch *b, const struct frame *frame)
{
    if (audience == AUDIENCE_STREAM_AT && frame->offset) {
        encode_at(b, frame);
        return;
    }
    if (audience_has_id(audience) && frame->offset) {
        encode_with_id(f, audience, b, frame);
        return;
    }
    bool is_made = audience == AUDIENCE_LEGACY && frame->legacy; // its text is what they get
    if (is_made)
        encode(f, AUDIENCE_WS, b, frame_text(frame->legacy));
    else
        encode(f, audience, b, frame_text(frame));
}

/* --- crowds ------------------------------------------------------------------------------ */

static uint32_t *members_of(struct crowd *c)
{
    return c->cap ? c->at.many : c->at.few;
}

void crowd_fini(struct crowd *c)
{
    ENSURE(crowd_size(c) == 0 && !c->batch);
    if (c->cap)
        free(c->at.many);
    c->n = c->cap = c->n_holes = 0;
}

bool crowd_next(const struct crowd *c, uint32_t *at, uint32_t *index)
{
    const uint32_t *members = c->cap ? c->at.many : c->at.few;
    while (*at < c->n)
        if ((*index = members[(*at)++]) != SLAB_NONE)
            return true;
    return false;
}

static struct sub *find_sub(const struct subscriber *s, const struct crowd *crowd)
{
    for (uint32_t i = 0; s->subs && i < s->subs->n; i++)
        if (s->subs->v[i].crowd == crowd)
            return &s->subs->v[i];
    return NULL;
}

/* Closes the holes: each one who moves is told its new place. */
static void compact(struct fanout *f, struct crowd *c)
{
    uint32_t *members = members_of(c);
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        if (members[i] == SLAB_NONE)
            continue;
        if (n != i) {
            members[n] = members[i];
            struct sub *sub = find_sub(fanout_at(f, members[n]), c);
            ENSURE(sub != NULL);
            sub->at = n;
        }
        n++;
    }
    c->n = n;
    c->n_holes = 0;
    if (c->cap > CROWD_INLINE * 4 && n < c->cap / 4) {
        c->cap /= 2;
        c->at.many = mem_array(c->at.many, c->cap, sizeof *c->at.many);
    }
}

static void add_member(struct crowd *c, uint32_t index)
{
    if (c->n == (c->cap ? c->cap : CROWD_INLINE)) {
        uint32_t cap = c->n * 2;
        uint32_t *many = mem_array(c->cap ? c->at.many : NULL, cap, sizeof *many);
        if (!c->cap)
            memcpy(many, c->at.few, sizeof c->at.few);
        c->at.many = many;
        c->cap = cap;
    }
    members_of(c)[c->n++] = index;
}

struct subs *fanout_need_subs(struct subscriber *s)
{
    uint32_t cap = s->subs ? s->subs->cap : 0;
    if (s->subs && s->subs->n < cap)
        return s->subs;
    uint32_t more = cap ? cap * 2 : 1;
    struct subs *subs = mem_resize(s->subs, sizeof *subs + more * sizeof subs->v[0]);
    if (!s->subs) {
        subs->n = 0;
        subs->who = NULL;
    }
    subs->cap = more;
    s->subs = subs;
    return subs;
}

/* --- splitting ---------------------------------------------------------------------------- */

/* Lists what the crowd's batch holds and the subscriber has not yet listed. */
static void list_batch(struct fanout *f, struct subscriber *s, struct sub *sub)
{
    struct batch *b = sub->crowd->batch;
    if (!b || sub->cursor == b->len)
        return;
    outbox_push(f->pool, &s->out, b, sub->cursor, b->len);
    sub->cursor = b->len;
}

static void mark_split(struct fanout *f, struct subscriber *s, uint32_t index)
{
    if (s->flags & SUBSCRIBER_SPLIT)
        return;
    s->flags |= SUBSCRIBER_SPLIT;
    push_index(&f->split, &f->n_split, &f->cap_split, index);
}

/* Everything published so far is listed, so that what follows keeps its place. */
static void sync(struct fanout *f, struct subscriber *s, uint32_t index)
{
    mark_split(f, s, index);
    if (!f->n_dirty || !s->subs)
        return;
    for (uint32_t i = 0; i < s->subs->n; i++)
        list_batch(f, s, &s->subs->v[i]);
}

/* --- subscribers --------------------------------------------------------------------------- */

uint32_t fanout_add(struct fanout *f, uint32_t wire, enum audience audience, uint32_t nonce)
{
    uint32_t index = slab_take(&f->subscribers);
    struct subscriber *s = fanout_at(f, index);
    *s = (struct subscriber){
        .wire = wire, .flags = SUBSCRIBER_OPEN, .audience = (uint8_t)audience, .nonce = nonce};
    return index;
}

void fanout_remove(struct fanout *f, uint32_t index, struct outbox *rest)
{
    struct subscriber *s = fanout_at(f, index);
    ENSURE(!s->subs || s->subs->n == 0);
    if (rest)
        outbox_move(&s->out, rest);
    else
        outbox_clear(f->pool, &s->out);
    free(s->subs);
    *s = (struct subscriber){0};
    slab_release(&f->subscribers, index);
}

void fanout_join(struct fanout *f, uint32_t index, struct crowd *crowd, char *member)
{
    struct subscriber *s = fanout_at(f, index);
    struct subs *subs = fanout_need_subs(s);
    mark_split(f, s, index);
    add_member(crowd, index);
    subs->v[subs->n++] = (struct sub){.crowd = crowd,
        .at = crowd->n - 1,
        .cursor = crowd->batch ? crowd->batch->len : 0,
        .member = member};
}

void fanout_leave(struct fanout *f, uint32_t index, struct sub *sub)
{
    struct subscriber *s = fanout_at(f, index);
    struct crowd *c = sub->crowd;
    if (c->batch) {
        mark_split(f, s, index);
        list_batch(f, s, sub);
    }
    members_of(c)[sub->at] = SLAB_NONE;
    c->n_holes++;
    free(sub->member);
    *sub = s->subs->v[--s->subs->n];
    if (c->n_holes >= MIN_HOLES && c->n_holes > c->n / 2)
        compact(f, c);
    else if (c->n_holes == c->n || !c->cap)
        compact(f, c);
}

void fanout_move(struct fanout *f, uint32_t index, struct sub *sub, struct crowd *to)
{
    char *member = sub->member;
    sub->member = NULL;
    fanout_leave(f, index, sub);
    fanout_join(f, index, to, member);
}

/* --- publishing ------------------------------------------------------------------------------ */

static void make_dirty(struct fanout *f, struct crowd *c)
{
    c->batch = batch_new(&f->pool->batches);
    f->dirty = grow(f->dirty, f->n_dirty, &f->cap_dirty, sizeof(struct crowd *));
    f->dirty[f->n_dirty++] = c;
}

void fanout_publish(
    struct fanout *f, struct crowd *crowd, const struct frame *frame, uint32_t except)
{
    if (crowd_size(crowd) == 0)
        return;
    struct subscriber *s = except == SLAB_NONE ? NULL : fanout_at(f, except);
    struct sub *skip = s ? find_sub(s, crowd) : NULL;
    if (!crowd->batch)
        make_dirty(f, crowd);
    if (skip) {
        mark_split(f, s, except);
        list_batch(f, s, skip);
    }
    struct batch *b = crowd->batch;
    fanout_encode(f, (enum audience)crowd->audience, b, frame);
    if (skip)
        skip->cursor = b->len;
    if (frame->accepted_us) {
        if (!b->n_events++)
            b->since_us = frame->accepted_us;
    }
    f->is_pressed |= b->len >= FANOUT_SOFT_BYTES;
}

void fanout_direct(struct fanout *f, uint32_t index, struct span text)
{
    struct subscriber *s = fanout_at(f, index);
    sync(f, s, index);
    enum audience audience = (enum audience)s->audience;
    char *at = outbox_room(f->pool, (uint32_t)audience_room(audience, text));
    uint32_t n = (uint32_t)audience_encode(audience, at, text, f->wall_ms);
    if (!n)
        return;
    outbox_end_frame(f->pool, &s->out, n);
    counter_add(&f->counts.frames_sent, 1);
}

void fanout_direct_event(struct fanout *f, uint32_t index, struct span id, struct span text)
{
    struct subscriber *s = fanout_at(f, index);
    sync(f, s, index);
    size_t room = audience_room(AUDIENCE_STREAM, text) + AUDIENCE_ID + id.len;
    char *at = outbox_room(f->pool, (uint32_t)room);
    outbox_end_frame(f->pool, &s->out, (uint32_t)audience_encode_event(at, id, text));
    counter_add(&f->counts.frames_sent, 1);
    f->is_pressed |= s->out.bytes >= FANOUT_SOFT_BYTES && !(s->flags & SUBSCRIBER_PENDING);
}

void fanout_direct_batch(struct fanout *f, uint32_t index, struct batch *b)
{
    struct subscriber *s = fanout_at(f, index);
    if (!b->len)
        return;
    sync(f, s, index);
    outbox_push(f->pool, &s->out, b, 0, b->len);
    counter_add(&f->counts.frames_sent, b->n_ends);
}

void fanout_raw(struct fanout *f, uint32_t index, struct span bytes)
{
    struct subscriber *s = fanout_at(f, index);
    sync(f, s, index);
    memcpy(outbox_room(f->pool, (uint32_t)bytes.len), bytes.p, bytes.len);
    outbox_end_frame(f->pool, &s->out, (uint32_t)bytes.len);
}

/* --- slow ones ------------------------------------------------------------------------------- */

static void tell_trouble(
    struct fanout *f, struct subscriber *s, uint32_t index, enum trouble trouble)
{
    if (s->flags & SUBSCRIBER_BROKEN)
        return;
    s->flags |= SUBSCRIBER_BROKEN;
    f->troubles = grow(f->troubles, f->n_troubles, &f->cap_troubles, sizeof *f->troubles);
    f->troubles[f->n_troubles++] = (struct fanout_event){index, s->nonce, trouble};
}

static void check_limit(struct fanout *f, struct subscriber *s, uint32_t index)
{
    if (s->out.bytes > f->limits.hard_bytes)
        tell_trouble(f, s, index, TROUBLE_SLOW);
}

static void become_pending(struct fanout *f, struct subscriber *s, uint32_t index)
{
    if (!(s->flags & SUBSCRIBER_PENDING))
        s->flags |= SUBSCRIBER_PENDING | SUBSCRIBER_MOVED;
    if (!(s->flags & SUBSCRIBER_SLOW)) {
        s->flags |= SUBSCRIBER_SLOW;
        f->slow = grow(f->slow, f->n_slow, &f->cap_slow, sizeof *f->slow);
        f->slow[f->n_slow++] = (struct slow){.subscriber = index, .nonce = s->nonce};
    }
    outbox_settle(f->pool, &s->out);
    check_limit(f, s, index);
}

/* Too much is retained for all: the one with the most is let go. */
static void relieve(struct fanout *f)
{
    uint32_t worst = SLAB_NONE;
    uint32_t most = 0;
    if (f->pool->batches.retained_bytes <= f->limits.total_bytes)
        return;
    for (uint32_t i = 0; i < f->n_slow; i++) {
        const struct subscriber *s = fanout_at(f, f->slow[i].subscriber);
        if (s->nonce == f->slow[i].nonce && !(s->flags & SUBSCRIBER_BROKEN) &&
            s->out.bytes > most) {
            most = s->out.bytes;
            worst = f->slow[i].subscriber;
        }
    }
    if (worst != SLAB_NONE)
        tell_trouble(f, fanout_at(f, worst), worst, TROUBLE_SLOW);
}

/* False when it is no longer pending, and has no entry any more. */
static bool check_one(struct fanout *f, struct slow *slow, uint32_t now_ms)
{
    struct subscriber *s = fanout_at(f, slow->subscriber);
    if (s->nonce != slow->nonce)
        return false;
    if (!(s->flags & SUBSCRIBER_PENDING)) {
        s->flags &= (uint8_t)~SUBSCRIBER_SLOW;
        return false;
    }
    if ((s->flags & SUBSCRIBER_MOVED) || !slow->moved_ms)
        slow->moved_ms = now_ms;
    s->flags &= (uint8_t)~SUBSCRIBER_MOVED;
    if (s->out.bytes <= f->limits.soft_bytes)
        slow->soft_since_ms = 0;
    else if (!slow->soft_since_ms)
        slow->soft_since_ms = now_ms;
    if (slow->soft_since_ms && now_ms - slow->soft_since_ms >= f->limits.soft_ms)
        tell_trouble(f, s, slow->subscriber, TROUBLE_SLOW);
    else if (now_ms - slow->moved_ms >= f->limits.stall_ms)
        tell_trouble(f, s, slow->subscriber, TROUBLE_STALLED);
    return true;
}

void fanout_check_slow(struct fanout *f, uint32_t now_ms)
{
    for (uint32_t i = 0; i < f->n_slow;) {
        if (check_one(f, &f->slow[i], now_ms))
            i++;
        else
            f->slow[i] = f->slow[--f->n_slow];
    }
    relieve(f);
}

void fanout_writable(struct fanout *f, uint32_t index)
{
    if (fanout_at(f, index)->flags & SUBSCRIBER_PENDING)
        push_index(&f->writable, &f->n_writable, &f->cap_writable, index);
}

void fanout_rewind(struct fanout *f, uint32_t index)
{
    outbox_rewind(f->pool, &fanout_at(f, index)->out);
}

/* --- the flush ---------------------------------------------------------------------------------- */

/* Who hears two crowds that both have something is split: one write for both. */
static void split_shared(struct fanout *f)
{
    for (uint32_t i = 0; i < f->n_dirty; i++) {
        const uint32_t *members = members_of(f->dirty[i]);
        for (uint32_t k = 0; k < f->dirty[i]->n; k++) {
            if (members[k] == SLAB_NONE)
                continue;
            struct subscriber *s = fanout_at(f, members[k]);
            if (s->seen == f->tick)
                mark_split(f, s, members[k]);
            s->seen = f->tick;
        }
    }
}

/* The writer did not take the whole batch. */
static void keep_rest(
    struct fanout *f, struct subscriber *s, uint32_t index, struct batch *b, int64_t sent)
{
    if (sent < 0) {
        tell_trouble(f, s, index, TROUBLE_BROKEN);
        return;
    }
    outbox_push(f->pool, &s->out, b, (uint32_t)sent, b->len);
    become_pending(f, s, index);
}

static void flush_crowd(struct fanout *f, struct crowd *c, write_fn write, void *ctx)
{
    struct batch *b = c->batch;
    if (!b->len)
        return; // nothing of it was for this audience
    const uint32_t *members = members_of(c);
    uint64_t n_sent = 0;
    uint64_t bytes = 0;
    for (uint32_t k = 0; k < c->n; k++) {
        if (members[k] == SLAB_NONE)
            continue;
        struct subscriber *s = fanout_at(f, members[k]);
        if (s->flags & (SUBSCRIBER_SPLIT | SUBSCRIBER_BROKEN))
            continue;
        if (s->flags & SUBSCRIBER_PENDING) {
            /* Not become_pending: that walks the whole list, at every tick. */
            outbox_push(f->pool, &s->out, b, 0, b->len);
            batch_retain(&f->pool->batches, b);
            check_limit(f, s, members[k]);
            continue;
        }
        int64_t sent = write(ctx, s->wire, b->bytes, b->len);
        n_sent++;
        bytes += sent > 0 ? (uint64_t)sent : 0;
        if (sent != (int64_t)b->len)
            keep_rest(f, s, members[k], b, sent);
    }
    counter_add(&f->counts.writes, n_sent);
    counter_add(&f->counts.bytes_sent, bytes);
    counter_add(&f->counts.frames_sent, (uint64_t)b->n_ends * crowd_size(c));
    if (audience_is_legacy((enum audience)c->audience))
        counter_add(&f->counts.legacy_frames, (uint64_t)b->n_ends * crowd_size(c));
}

static void drain(struct fanout *f, struct subscriber *s, uint32_t index, write_fn write, void *ctx)
{
    struct span next;
    bool was_over = s->out.bytes > f->limits.soft_bytes;
    while (!(s->flags & SUBSCRIBER_BROKEN) && (next = outbox_peek(f->pool, &s->out)).len) {
        int64_t sent = write(ctx, s->wire, next.p, next.len);
        counter_add(&f->counts.writes, 1);
        if (sent < 0) {
            tell_trouble(f, s, index, TROUBLE_BROKEN);
            return;
        }
        counter_add(&f->counts.bytes_sent, (uint64_t)sent);
        outbox_advance(f->pool, &s->out, (uint32_t)sent);
        if (sent)
            s->flags |= SUBSCRIBER_MOVED;
        if ((size_t)sent < next.len) {
            become_pending(f, s, index);
            return;
        }
    }
    if ((s->flags & (SUBSCRIBER_PENDING | SUBSCRIBER_BEHIND)) || was_over)
        push_index(&f->drained, &f->n_drained, &f->cap_drained, index);
    s->flags &= (uint8_t) ~(SUBSCRIBER_PENDING | SUBSCRIBER_MOVED);
}

static void flush_split(struct fanout *f, uint32_t index, write_fn write, void *ctx)
{
    struct subscriber *s = fanout_at(f, index);
    if (!(s->flags & SUBSCRIBER_SPLIT))
        return; // closed meanwhile, or flushed as the slot's next session
    s->flags &= (uint8_t)~SUBSCRIBER_SPLIT;
    for (uint32_t i = 0; s->subs && i < s->subs->n; i++) {
        list_batch(f, s, &s->subs->v[i]);
        s->subs->v[i].cursor = 0;
    }
    if (s->flags & SUBSCRIBER_PENDING)
        become_pending(f, s, index);
    else
        drain(f, s, index, write, ctx);
}

static void observe(struct fanout *f, const struct batch *b, uint64_t now_us)
{
    if (!b->n_events)
        return;
    uint64_t took = now_us > b->since_us ? now_us - b->since_us : 0;
    unsigned bucket = 0;
    while (bucket < LATENCY_BUCKETS - 1 && took > fanout_latency_us[bucket])
        bucket++;
    counter_add(&f->counts.latency[bucket], b->n_events);
    counter_add(&f->counts.latency_us, took * b->n_events);
}

void fanout_flush(struct fanout *f, uint64_t now_us, write_fn write, void *ctx)
{
    if (f->n_dirty > 1)
        split_shared(f);
    for (uint32_t i = 0; i < f->n_dirty; i++)
        flush_crowd(f, f->dirty[i], write, ctx);
    for (uint32_t i = 0; i < f->n_split; i++)
        flush_split(f, f->split[i], write, ctx);
    for (uint32_t i = 0; i < f->n_writable; i++) {
        struct subscriber *s = fanout_at(f, f->writable[i]);
        if (s->flags & SUBSCRIBER_PENDING)
            drain(f, s, f->writable[i], write, ctx);
    }
    for (uint32_t i = 0; i < f->n_dirty; i++) {
        struct crowd *c = f->dirty[i];
        observe(f, c->batch, now_us);
        batch_drop(&f->pool->batches, c->batch);
        c->batch = NULL;
    }
    f->n_dirty = f->n_split = f->n_writable = 0;
    f->is_pressed = false;
    f->tick++;
    outbox_pool_tick(f->pool);
    relieve(f);
}
