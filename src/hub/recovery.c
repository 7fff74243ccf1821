/* Subscribers that count offsets, and come back for what they missed. */
#include "base/base.h"

#include "hub/hub_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "wire/json.h"

enum {
    CHECKPOINT_EVENTS = 256,
    CHECKPOINT_US = 30 * 1000 * 1000,
    PIECE_BYTES = 64 * 1024 // of events that a subscriber is given at a time
};

/* --- frames ------------------------------------------------------------------------------------------ */

static void add_position(struct buf *out, const struct position *at)
{
    buf_addf(out, "\"epoch\":\"%s\",\"offset\":%llu", at->epoch, (unsigned long long)at->offset);
}

static struct frame *position_frame(const struct channel *c, const struct position *at)
{
    struct buf inner = {0};
    buf_add_char(&inner, '{');
    add_position(&inner, at);
    buf_add_char(&inner, '}');
    struct frame *frame =
        pusher_internal("pusher_internal:position", channel_name(c), buf_span(&inner));
    buf_fini(&inner);
    return frame;
}

/* --- coming back ------------------------------------------------------------------------------------- */

static struct replay *new_replay(uint64_t n)
{
    ENSURE(n < UINT32_MAX);
    struct replay *r = mem_zero(sizeof *r + (size_t)n * sizeof r->frames[0]);
    return r;
}

void replay_free(struct replay *r)
{
    if (!r)
        return;
    for (uint32_t i = 0; i < r->n; i++)
        frame_drop(r->frames[i]);
    buf_fini(&r->told);
    free(r);
}

/* The events behind an offset, which are all there: as many as one piece has. */
static struct replay *take_behind(const struct history *s, uint64_t offset)
{
    uint64_t last = offset;
    size_t bytes = 0;
    while (last < s->top.offset && bytes < PIECE_BYTES)
        bytes += history_at(s, ++last)->frame->len;
    struct replay *r = new_replay(last - offset);
    for (uint64_t at = offset + 1; at <= last; at++) {
        struct frame *frame = history_at(s, at)->frame;
        frame_hold(frame);
        r->frames[r->n++] = frame;
    }
    r->upto = s->top;
    r->upto.offset = last;
    r->is_last = last == s->top.offset;
    return r;
}

static struct replay *resume(struct hub *h, const struct history *s, const struct position *from)
{
    enum history_verdict verdict = history_check(s, from);
    if (verdict == HISTORY_WHOLE) {
        struct replay *r = take_behind(s, from->offset);
        r->is_recovered = true;
        buf_add_char(&r->told, '{');
        add_position(&r->told, from);
        buf_addf(&r->told, ",\"recovered\":true,\"replay\":%llu}",
            (unsigned long long)(s->top.offset - from->offset));
        counter_add(&h->counts.recovered, 1);
        return r;
    }
    /* What the store has of that epoch nobody knows now; it begins another when it is back. */
    bool is_unknown = verdict == HISTORY_EPOCH_CHANGED && s->tier == TIER_APART;
    struct replay *r = new_replay(0);
    r->upto = s->top;
    r->is_last = true;
    buf_add_char(&r->told, '{');
    add_position(&r->told, &s->top);
    buf_addf(&r->told, ",\"recovered\":false,\"reason\":\"%s\",\"oldest\":%llu,\"newest\":%llu}",
        is_unknown ? "unavailable" : history_word(verdict),
        (unsigned long long)history_kept_from(s), (unsigned long long)s->top.offset);
    counter_add(&h->counts.unrecovered, 1);
    return r;
}

/* The offset behind which a newcomer begins. */
static uint64_t rewound(const struct hub *h, const struct history *s, const struct recovery *asked)
{
    const struct history_rule *rule = s->rule;
    uint64_t bytes = 0;
    uint64_t at = s->top.offset;
    uint64_t back_us = (uint64_t)asked->rewind_s * 1000000U;
    uint64_t since_us = h->now_us > back_us ? h->now_us - back_us : 0;
    uint32_t most = asked->rewind && asked->rewind < rule->rewind ? asked->rewind : rule->rewind;
    if (!asked->rewind && !asked->rewind_s)
        return at;
    while (at >= history_oldest(s) && s->top.offset - at < most) {
        const struct history_event *e = history_at(s, at);
        bytes += e->frame->len;
        if (bytes > rule->recover_bytes || (asked->rewind_s && e->at_us < since_us))
            break;
        at--;
    }
    return at;
}

static struct replay *replay_for(struct hub *h, struct channel *c, const struct recovery *asked)
{
    struct history *s = stream_need(h, c);
    if (!s) {
        struct replay *none = new_replay(0);
        none->is_last = true;
        buf_add_str(&none->told, "{\"recovered\":false,\"reason\":\"disabled\"}");
        return none;
    }
    stream_expire(h, s);
    stream_use(h, s);
    if (asked->from.epoch[0])
        return resume(h, s, &asked->from);
    uint64_t from = rewound(h, s, asked);
    struct replay *r = take_behind(s, from);
    struct position base = s->top;
    base.offset = from;
    buf_add_char(&r->told, '{');
    add_position(&r->told, &base);
    if (asked->rewind || asked->rewind_s)
        buf_addf(&r->told, ",\"replay\":%llu", (unsigned long long)(s->top.offset - from));
    buf_add_char(&r->told, '}');
    return r;
}

struct replay *recovery_replay(struct hub *h, struct channel *c, const struct recovery *asked)
{
    struct replay *r = replay_for(h, c, asked);
    r->is_inline = asked->is_inline;
    return r;
}

enum audience recovery_audience(const struct hub *h, uint32_t index, const struct replay *r)
{
    enum audience audience = (enum audience)fanout_at(&h->fanout, index)->audience;
    if (!r || !r->upto.epoch[0])
        return audience;
    if (audience == AUDIENCE_STREAM)
        return bookmark_audience(h, index);
    return r->is_inline ? audience_with_id(audience) : audience;
}

/* The data of the success: with the members of a presence channel, where it is one. */
static void add_success(const struct letter *l, struct buf *inner)
{
    struct buf scratch = {0};
    struct json data;
    struct span snapshot;
    buf_add_char(inner, '{');
    if (l->frame && json_parse(frame_data(l->frame), &data) &&
        json_decode(&data, &scratch, &snapshot) && snapshot.len > 2) {
        buf_add(inner, snapshot.p + 1, snapshot.len - 2);
        buf_add_char(inner, ',');
    }
    struct span told = buf_span(&l->replay->told);
    buf_addf(inner, "\"recovery\":%.*s", (int)told.len - 1, told.p);
    if (l->cached && !l->replay->is_recovered)
        buf_add_str(inner, ",\"cached\":true"); // the next event is that one, and does not count
    buf_add_str(inner, "}}");
    buf_fini(&scratch);
}

/* Clients take such a name for another client's event, and do not count it. */
static bool is_hidden(const struct frame *frame)
{
    return span_starts(span_of(frame->text + frame->name_at, frame->name_len), "\"client-");
}

static void send_position(
    struct hub *h, uint32_t index, const struct channel *c, const struct position *at)
{
    struct frame *position = position_frame(c, at);
    bookmark_send(h, index, channel_name(c), at, frame_text(position));
    frame_drop(position);
}

static void send_event(struct hub *h, uint32_t index, const struct channel *c,
    const struct frame *frame, const struct position *at, bool is_inline)
{
    struct buf text = {0};
    if (!is_inline) {
        bookmark_send(h, index, channel_name(c), at, frame_text(frame));
        return;
    }
    position_add_event(&text, frame_text(frame), at);
    hub_send(h, index, buf_span(&text));
    buf_fini(&text);
}

/* The frames of one piece, and behind the last where that is.  The client's count is right
 * behind each frame: the connection may end there. */
static void send_piece(
    struct hub *h, uint32_t index, const struct channel *c, const struct replay *r, bool is_inline)
{
    struct position at = r->upto;
    for (uint32_t i = 0; i < r->n; i++) {
        at.offset = r->upto.offset - r->n + i + 1;
        send_event(h, index, c, r->frames[i], &at, is_inline);
        if (is_hidden(r->frames[i]))
            send_position(h, index, c, &at);
    }
    if (r->is_last && r->n)
        send_position(h, index, c, &r->upto);
}

void recovery_send(struct hub *h, uint32_t index, const struct letter *l)
{
    const struct replay *r = l->replay;
    const struct channel *c = channel_find(h, l->app, l->channel, l->hash);
    struct buf inner = {0};
    add_success(l, &inner);
    struct frame *success =
        pusher_internal("pusher_internal:subscription_succeeded", l->channel, buf_span(&inner));
    struct position base = r->upto;
    base.offset -= r->n;
    bookmark_send(h, index, l->channel, &base, frame_text(success));
    frame_drop(success);
    buf_fini(&inner);
    if (l->cached && !r->is_recovered) {
        hub_send(h, index, frame_text(l->cached));
        if (base.epoch[0])
            send_position(h, index, c, &base); // it does not count
    }
    send_piece(h, index, c, r, audience_has_id(recovery_audience(h, index, r)));
}

/* --- piece by piece ------------------------------------------------------------------------------------ */

static struct cursor *find_cursor(const struct hub *h, uint32_t index, const struct channel *c)
{
    for (struct map_node *n = map_first(&h->cursors, index); n; n = map_next(n)) {
        struct cursor *cursor = CONTAINER_OF(n, struct cursor, node);
        if (cursor->index == index && cursor->channel == c)
            return cursor;
    }
    return NULL;
}

static void add_cursor(struct hub *h, struct channel *c, uint32_t index, const struct position *at)
{
    struct cursor *cursor = mem_zero(sizeof *cursor);
    cursor->index = index;
    cursor->channel = c;
    cursor->at = *at;
    map_add(&h->cursors, &cursor->node, index);
    counter_add(&h->counts.cursors, 1);
    fanout_at(&h->fanout, index)->flags |= SUBSCRIBER_BEHIND;
}

static void drop_cursor(struct hub *h, struct cursor *cursor)
{
    uint32_t index = cursor->index;
    map_remove(&h->cursors, &cursor->node);
    counter_sub(&h->counts.cursors, 1);
    free(cursor);
    if (!map_first(&h->cursors, index))
        fanout_at(&h->fanout, index)->flags &= (uint8_t)~SUBSCRIBER_BEHIND;
}

static void ask_more(struct hub *h, struct cursor *cursor)
{
    const struct channel *c = cursor->channel;
    struct letter l = {.mail.kind = LETTER_MORE,
        .from = (uint16_t)h->setup.worker,
        .app = c->app,
        .hash = c->node.hash,
        .channel = channel_name(c),
        .session = hub_ref(h, cursor->index),
        .position = cursor->at};
    cursor->is_asking = true;
    if (letter_home(h, &l) == h->setup.worker)
        recovery_more(h, &l, false);
    else
        hub_tell(h, letter_home(h, &l), &l);
}

void recovery_pull(struct hub *h, uint32_t index)
{
    /* One answer may end a cursor, so the walk begins again behind each. */
    for (struct map_node *n = map_first(&h->cursors, index); n;) {
        struct cursor *cursor = CONTAINER_OF(n, struct cursor, node);
        if (cursor->is_asking) {
            n = map_next(n);
            continue;
        }
        ask_more(h, cursor);
        if (hub_pending_bytes(h, index) >= PIECE_BYTES)
            return; // the next channel's turn comes when this has gone
        n = map_first(&h->cursors, index);
    }
}

void recovery_more(struct hub *h, struct letter *l, bool is_mail)
{
    const struct channel *c = channel_find(h, l->app, l->channel, l->hash);
    const struct history *s = c ? c->history : NULL;
    bool is_there = s && strcmp(s->top.epoch, l->position.epoch) == 0 &&
                    l->position.offset + 1 >= history_oldest(s);
    struct replay *r = is_there ? take_behind(s, l->position.offset) : new_replay(0);
    r->is_lost = !is_there;
    l->replay = r;
    l->mail.kind = LETTER_REPLAY;
    if (is_mail) {
        hub_answer(h, l, LETTER_REPLAY, true);
    } else {
        recovery_replayed(h, l);
        replay_free(r);
    }
}

void recovery_replayed(struct hub *h, const struct letter *l)
{
    uint32_t index = hub_live(h, l->session);
    struct channel *c = channel_find(h, l->app, l->channel, l->hash);
    struct cursor *cursor = c && index != SLAB_NONE ? find_cursor(h, index, c) : NULL;
    const struct replay *r = l->replay;
    if (!cursor || !cursor->is_asking)
        return;       // it has left meanwhile
    if (r->is_lost) { // and it asks no more
        counter_add(&h->counts.overtaken, 1);
        hub_push_closing(h, index, HUB_OVERTAKEN); // it comes back, and recovers or is told
        return;
    }
    cursor->is_asking = false;
    cursor->at = r->upto;
    struct sub *sub = hub_sub(h, index, c->app, channel_name(c));
    enum audience audience = (enum audience)sub->crowd->audience;
    send_piece(h, index, c, r, audience_has_id(audience));
    if (!r->is_last)
        return;
    drop_cursor(h, cursor);
    fanout_move(&h->fanout, index, sub, channel_crowd(c, audience, false));
    recovery_begin(h, c, index, r);
}

/* --- those who count ---------------------------------------------------------------------------------- */

static void watch(struct hub *h, struct channel *c, uint32_t index, const struct position *at)
{
    if (!at->epoch[0])
        return; // nothing is kept: there is nothing to count
    if (!c->watch) {
        c->watch = mem_zero(sizeof *c->watch);
        pile_push(&h->watched, c);
    }
    struct watch *w = c->watch;
    if (w->n == w->cap) {
        w->cap = w->cap ? w->cap * 2 : 4;
        w->sessions = mem_array(w->sessions, w->cap, sizeof *w->sessions);
    }
    w->sessions[w->n++] = index;
    if (position_is(&w->heard, at))
        return;     // who comes does not keep the others from being told
    w->heard = *at; // the newest that there is: events before it have gone out
    w->heard_us = h->now_us;
}

void recovery_begin(struct hub *h, struct channel *c, uint32_t index, const struct replay *r)
{
    if (r->is_last)
        watch(h, c, index, &r->upto);
    else
        add_cursor(h, c, index, &r->upto);
}

static void drop_watch(struct hub *h, struct channel *c)
{
    for (uint32_t i = 0; i < h->watched.n; i++)
        if (h->watched.items[i] == c) {
            pile_remove_at(&h->watched, i);
            break;
        }
    free(c->watch->sessions);
    free(c->watch);
    c->watch = NULL;
}

static void unwatch(struct hub *h, struct channel *c, uint32_t index)
{
    struct watch *w = c->watch;
    for (uint32_t i = 0; w && i < w->n; i++)
        if (w->sessions[i] == index) {
            w->sessions[i] = w->sessions[--w->n];
            break;
        }
    if (w && !w->n)
        drop_watch(h, c);
}

void recovery_end(struct hub *h, struct channel *c, uint32_t index)
{
    struct cursor *cursor = h->cursors.n ? find_cursor(h, index, c) : NULL;
    if (cursor)
        drop_cursor(h, cursor);
    else
        unwatch(h, c, index);
}

void recovery_tell(struct hub *h, struct channel *c, const struct position *at)
{
    if (!c->watch)
        return;
    struct frame *frame = position_frame(c, at);
    for (uint32_t i = 0; i < c->watch->n; i++)
        bookmark_send(h, c->watch->sessions[i], channel_name(c), at, frame_text(frame));
    frame_drop(frame);
    c->watch->heard = *at;
    c->watch->told_offset = at->offset;
}

static bool is_counting(const struct watch *w, uint32_t index)
{
    for (uint32_t i = 0; i < w->n; i++)
        if (w->sessions[i] == index)
            return true;
    return false;
}

void recovery_heard(struct hub *h, struct channel *c, const struct frame *frame, uint32_t except)
{
    struct watch *w = c->watch;
    if (!w || !frame->offset)
        return;
    w->heard.offset = frame->offset;
    memcpy(w->heard.epoch, frame->epoch, sizeof w->heard.epoch);
    w->heard_us = h->now_us;
    if (is_hidden(frame) || frame->offset % CHECKPOINT_EVENTS == 0) {
        struct position at = w->heard;
        recovery_tell(h, c, &at);
    } else if (except != SLAB_NONE && is_counting(w, except)) {
        send_position(h, except, c, &w->heard);
    }
}

/* --- clocks ------------------------------------------------------------------------------------------ */

void recovery_tick(struct hub *h)
{
    for (uint32_t i = 0; i < h->watched.n; i++) {
        struct channel *c = h->watched.items[i];
        struct watch *w = c->watch;
        struct position at = w->heard;
        if (w->heard.offset != w->told_offset && h->now_us - w->heard_us >= CHECKPOINT_US)
            recovery_tell(h, c, &at);
    }
}
