/* The hub: sessions of this worker, and the beats. */
#include "base/base.h"

#include "hub/hub.h"

#include <stdlib.h>

#include "base/mem.h"
#include "hub/hub_priv.h"

void pile_push(struct pile *p, void *item)
{
    if (p->n == p->cap) {
        p->cap = p->cap ? p->cap * 2 : 16;
        p->items = mem_array(p->items, p->cap, sizeof *p->items);
    }
    p->items[p->n++] = item;
}

void pile_remove_at(struct pile *p, uint32_t at)
{
    p->items[at] = p->items[--p->n];
}

struct hub *hub_new(const struct hub_setup *setup)
{
    struct hub *h = mem_zero(sizeof *h);
    h->setup = *setup;
    h->last_fact = &h->facts;
    h->store.is_up = setup->store != NULL;
    fanout_init(&h->fanout, setup->outboxes, &setup->limits);
    return h;
}

static void free_facts(struct hub *h)
{
    struct mail *next;
    for (struct mail *mail = hub_take_facts(h); mail; mail = next) {
        next = mail->next;
        fact_free(CONTAINER_OF(mail, struct fact, mail));
    }
}

void hub_free(struct hub *h)
{
    if (!h)
        return;
    fanout_flush(&h->fanout, h->now_us, NULL, NULL); // to nobody: they have gone
    h->now_us = UINT64_MAX;                          // every cached event has expired
    h->is_ending = true;
    channel_expire_caches(h);
    stream_tick(h);
    channel_send_counts(h);
    channel_release_idle(h);
    ENSURE(h->channels.n == 0 && h->users.n == 0 && h->cursors.n == 0 && h->bookmarks.n == 0);
    free_facts(h);
    while (h->store.reads.first)
        letter_free(line_pop(&h->store.reads));
    fanout_fini(&h->fanout);
    map_fini(&h->channels);
    map_fini(&h->users);
    map_fini(&h->cursors);
    map_fini(&h->bookmarks);
    free(h->idle.items);
    free(h->settling.items);
    free(h->due.items);
    free(h->caches.items);
    free(h->histories.items);
    free(h->watched.items);
    free(h->ready);
    free(h->closing);
    free(h->apps);
    free(h);
}

void hub_use_apps(struct hub *h, const struct app *apps, size_t n)
{
    uint32_t slots = 0;
    for (size_t i = 0; i < n; i++)
        if (apps[i].slot >= slots)
            slots = apps[i].slot + 1;
    if (slots < h->n_apps)
        slots = h->n_apps;
    h->apps = mem_array(h->apps, slots, sizeof *h->apps);
    memset(h->apps, 0, slots * sizeof *h->apps);
    h->n_apps = slots;
    for (size_t i = 0; i < n; i++)
        h->apps[apps[i].slot] = &apps[i];
    stream_use_rules(h);
}

void hub_use_limits(struct hub *h, const struct fanout_limits *limits)
{
    h->fanout.limits = *limits;
}

const struct app *hub_app(const struct hub *h, uint32_t slot)
{
    /* An app that a reload has removed: its sessions are being closed. */
    static const struct app gone = {0};
    const struct app *app = slot < h->n_apps ? h->apps[slot] : NULL;
    return app ? app : &gone;
}

void hub_use_history(struct hub *h, uint64_t bytes)
{
    h->history_bytes = bytes;
}

const struct hub_counts *hub_counts(const struct hub *h)
{
    return &h->counts;
}

const struct fanout_counts *hub_fanout_counts(const struct hub *h)
{
    return &h->fanout.counts;
}

/* --- sessions ------------------------------------------------------------------------------ */

uint32_t hub_live(const struct hub *h, struct session_ref ref)
{
    if (!ref.nonce || ref.worker != h->setup.worker || !slab_has(&h->fanout.subscribers, ref.slot))
        return SLAB_NONE;
    const struct subscriber *sub = fanout_at(&h->fanout, ref.slot);
    return (sub->flags & SUBSCRIBER_OPEN) && sub->nonce == ref.nonce ? ref.slot : SLAB_NONE;
}

struct session_ref hub_ref(const struct hub *h, uint32_t index)
{
    return (struct session_ref){.slot = index,
        .nonce = fanout_at(&h->fanout, index)->nonce,
        .worker = (uint16_t)h->setup.worker};
}

uint32_t hub_open(struct hub *h, uint32_t wire, enum audience audience, uint32_t nonce)
{
    return fanout_add(&h->fanout, wire, audience, nonce);
}

static bool is_legacy(const struct hub *h, uint32_t index)
{
    return audience_is_legacy((enum audience)fanout_at(&h->fanout, index)->audience);
}

static void leave(struct hub *h, uint32_t index, struct sub *sub)
{
    struct channel *c = sub->crowd->channel;
    struct letter l = {.mail.kind = LETTER_UNSUBSCRIBE,
        .from = (uint16_t)h->setup.worker,
        .app = c->app,
        .hash = c->node.hash,
        .traits = c->traits,
        .channel = channel_name(c),
        .session = hub_ref(h, index),
        .flag = is_legacy(h, index),
        .user = span_str(sub->member)};
    /* The letter still needs the member's name; the channel outlives the letter when its
     * home is here, because it is released behind both. */
    struct letter *copy = letter_copy(&l);
    recovery_end(h, c, index);
    fanout_leave(&h->fanout, index, sub);
    counter_sub(&h->counts.subscriptions, 1);
    hub_tell(h, letter_home(h, copy), copy);
    struct channel *left = channel_find(h, copy->app, copy->channel, copy->hash);
    if (left)
        channel_release(h, left);
    letter_free(copy);
}

void hub_close(struct hub *h, uint32_t index, struct outbox *rest)
{
    struct subscriber *s = fanout_at(&h->fanout, index);
    identity_close(h, index);
    while (s->subs && s->subs->n)
        leave(h, index, &s->subs->v[s->subs->n - 1]);
    bookmark_drop(h, index);
    fanout_remove(&h->fanout, index, rest);
}

void hub_send(struct hub *h, uint32_t index, struct span text)
{
    fanout_direct(&h->fanout, index, text);
}

void hub_send_raw(struct hub *h, uint32_t index, struct span bytes)
{
    fanout_raw(&h->fanout, index, bytes);
}

bool hub_is_authorised(const struct hub *h, uint32_t index)
{
    return fanout_at(&h->fanout, index)->flags & SUBSCRIBER_AUTHORISED;
}

uint32_t hub_pending_bytes(const struct hub *h, uint32_t index)
{
    return fanout_at(&h->fanout, index)->out.bytes;
}

uint32_t hub_n_subscriptions(const struct hub *h, uint32_t index)
{
    const struct subscriber *s = fanout_at(&h->fanout, index);
    return s->subs ? s->subs->n : 0;
}

/* --- subscriptions --------------------------------------------------------------------------- */

struct sub *hub_sub(struct hub *h, uint32_t index, uint32_t app, struct span channel)
{
    struct subs *subs = fanout_at(&h->fanout, index)->subs;
    for (uint32_t i = 0; subs && i < subs->n; i++) {
        const struct channel *c = subs->v[i].crowd->channel;
        if (c->app == app && span_eq(channel_name(c), channel))
            return &subs->v[i];
    }
    return NULL;
}

bool hub_is_subscribed(
    struct hub *h, uint32_t index, uint32_t app, struct span channel, struct span *member)
{
    const struct sub *sub = hub_sub(h, index, app, channel);
    *member = sub ? span_str(sub->member) : span_of(NULL, 0);
    return sub != NULL;
}

bool hub_next_channel(const struct hub *h, uint32_t index, uint32_t *at, struct span *channel)
{
    const struct subs *subs = fanout_at(&h->fanout, index)->subs;
    if (!subs || *at >= subs->n)
        return false;
    *channel = channel_name(subs->v[(*at)++].crowd->channel);
    return true;
}

enum hub_result hub_subscribe(struct hub *h, uint32_t index, const struct letter *ask)
{
    struct letter l = *ask;
    l.mail.kind = LETTER_SUBSCRIBE;
    l.from = (uint16_t)h->setup.worker;
    l.session = hub_ref(h, index);
    l.flag = is_legacy(h, index);
    l.hash = hash_bytes(l.app, l.channel);
    if (letter_home(h, &l) == h->setup.worker)
        return channel_subscribe(h, &l, false);
    hub_tell(h, letter_home(h, &l), &l);
    return HUB_WAIT;
}

bool hub_unsubscribe(struct hub *h, uint32_t index, uint32_t app, struct span channel)
{
    struct sub *sub = hub_sub(h, index, app, channel);
    if (!sub)
        return false;
    leave(h, index, sub);
    return true;
}

static void forget_shared(struct hub *h)
{
    if (!h->shared.frame)
        return;
    for (int i = 0; i < AUDIENCES; i++) {
        batch_drop(&h->setup.outboxes->batches, h->shared.batches[i]);
        h->shared.batches[i] = NULL;
    }
    frame_drop(h->shared.frame);
    h->shared.frame = NULL;
}

/* The snapshot that many joiners get in one beat is encoded once and shared. */
static void send_shared(struct hub *h, uint32_t index, struct frame *frame)
{
    if (h->shared.frame != frame) {
        forget_shared(h);
        frame_hold(frame); // so that its address cannot become another frame's
        h->shared.frame = frame;
    }
    enum audience audience = (enum audience)fanout_at(&h->fanout, index)->audience;
    struct batch **batch = &h->shared.batches[audience];
    if (!*batch) {
        *batch = batch_new(&h->setup.outboxes->batches);
        fanout_encode(&h->fanout, audience, *batch, frame);
    }
    fanout_direct_batch(&h->fanout, index, *batch);
}

static void send_internal(struct hub *h, uint32_t index, const char *event, struct span channel)
{
    struct frame *frame = pusher_internal(event, channel, span_str("{}"));
    hub_send(h, index, frame_text(frame));
    frame_drop(frame);
}

static void refuse_full(struct hub *h, uint32_t index, const struct letter *l)
{
    struct buf out = {0};
    struct span why = span_str("The maximum members per presence channel limit was reached");
    pusher_add_error(&out, PUSHER_NO_CODE, why);
    hub_send(h, index, buf_span(&out));
    out.len = 0;
    pusher_add_subscription_error(&out, l->channel, "LimitReached", why, 4100);
    hub_send(h, index, buf_span(&out));
    buf_fini(&out);
}

/* The joiner hears of its success first, then what the channel had cached, then the rest. */
static void join(struct hub *h, uint32_t index, const struct letter *l)
{
    struct channel *c = channel_need(h, l);
    char *member = l->traits & CHANNEL_PRESENCE ? mem_dup(l->user.p, l->user.len) : NULL;
    bool is_recovered = l->replay && l->replay->is_recovered;
    if (l->replay)
        recovery_send(h, index, l);
    else if (l->frame)
        send_shared(h, index, l->frame);
    else
        send_internal(h, index, "pusher_internal:subscription_succeeded", l->channel);
    if (l->cached && !l->replay)
        hub_send(h, index, frame_text(l->cached));
    else if (!l->cached && (l->traits & CHANNEL_CACHE) && !is_recovered)
        send_internal(h, index, "pusher:cache_miss", l->channel);
    enum audience audience = recovery_audience(h, index, l->replay);
    bool is_behind = l->replay && !l->replay->is_last;
    fanout_join(&h->fanout, index, channel_crowd(c, audience, is_behind), member);
    if (l->replay)
        recovery_begin(h, c, index, l->replay);
    counter_add(&h->counts.subscriptions, 1);
    if (l->traits & CHANNEL_PRIVATE)
        fanout_at(&h->fanout, index)->flags |= SUBSCRIBER_AUTHORISED;
}

void hub_receive_answer(struct hub *h, struct letter *l, bool was_waiting)
{
    if (l->mail.kind == LETTER_SIGNED_IN) {
        user_signed_in(h, l);
        return;
    }
    if (l->mail.kind == LETTER_WATCHED) {
        user_watched(h, l);
        return;
    }
    uint32_t index = hub_live(h, l->session);
    if (index == SLAB_NONE) {
        /* It went while the letter was on its way: what the home counted is undone. */
        struct letter undo = *l;
        undo.mail.kind = LETTER_UNSUBSCRIBE;
        undo.frame = undo.cached = NULL;
        undo.replay = NULL;
        if (l->result == LETTER_OK)
            hub_tell(h, letter_home(h, l), &undo);
        return;
    }
    if (l->result == LETTER_OK)
        join(h, index, l);
    else
        refuse_full(h, index, l);
    if (was_waiting)
        hub_push_ready(h, index);
}

void hub_client_event(struct hub *h, uint32_t index, const struct hub_client_event *e)
{
    struct letter l = {.mail.kind = LETTER_CLIENT_EVENT,
        .from = (uint16_t)h->setup.worker,
        .app = e->app,
        .hash = hash_bytes(e->app, e->channel),
        .channel = e->channel,
        .user = e->user,
        .session = hub_ref(h, index),
        .frame = e->frame};
    hub_tell(h, letter_home(h, &l), &l);
}

/* --- facts ------------------------------------------------------------------------------------- */

void hub_tell_fact(
    struct hub *h, enum fact_kind kind, const struct channel *c, const struct fact *f)
{
    if (!(hub_app(h, c->app)->facts & 1U << kind) || (c->traits & CHANNEL_USER))
        return;
    struct fact fact = f ? *f : (struct fact){0};
    fact.mail = (struct mail){.kind = kind};
    fact.app = c->app;
    fact.channel = channel_name(c);
    struct fact *told = fact_copy(&fact);
    *h->last_fact = &told->mail;
    h->last_fact = &told->mail.next;
    counter_add(&h->counts.facts, 1);
}

struct mail *hub_take_facts(struct hub *h)
{
    struct mail *first = h->facts;
    h->facts = NULL;
    h->last_fact = &h->facts;
    return first;
}

/* --- what the worker asks for ------------------------------------------------------------------ */

void hub_push_ready(struct hub *h, uint32_t index)
{
    if (h->n_ready == h->cap_ready) {
        h->cap_ready = h->cap_ready ? h->cap_ready * 2 : 64;
        h->ready = mem_array(h->ready, h->cap_ready, sizeof *h->ready);
    }
    h->ready[h->n_ready++] = index;
}

bool hub_next_ready(struct hub *h, uint32_t *index)
{
    while (h->at_ready < h->n_ready) {
        *index = h->ready[h->at_ready++];
        if (fanout_at(&h->fanout, *index)->flags & SUBSCRIBER_OPEN)
            return true;
    }
    h->at_ready = h->n_ready = 0;
    return false;
}

bool hub_next_drained(struct hub *h, uint32_t *index)
{
    struct fanout *f = &h->fanout;
    while (f->n_drained) {
        *index = f->drained[--f->n_drained];
        const struct subscriber *s = fanout_at(f, *index);
        if (!(s->flags & SUBSCRIBER_OPEN))
            continue;
        if (s->flags & SUBSCRIBER_BEHIND)
            recovery_pull(h, *index);
        return true;
    }
    return false;
}

void hub_push_closing(struct hub *h, uint32_t index, enum hub_closing why)
{
    if (h->n_closing == h->cap_closing) {
        h->cap_closing = h->cap_closing ? h->cap_closing * 2 : 16;
        h->closing = mem_array(h->closing, h->cap_closing, sizeof *h->closing);
    }
    h->closing[h->n_closing].index = index;
    h->closing[h->n_closing].nonce = fanout_at(&h->fanout, index)->nonce;
    h->closing[h->n_closing++].why = why;
}

static void take_troubles(struct hub *h)
{
    static const enum hub_closing why[] = {
        [TROUBLE_BROKEN] = HUB_BROKEN, [TROUBLE_SLOW] = HUB_SLOW, [TROUBLE_STALLED] = HUB_STALLED};
    for (uint32_t i = 0; i < h->fanout.n_troubles; i++) {
        const struct fanout_event *e = &h->fanout.troubles[i];
        if (fanout_at(&h->fanout, e->subscriber)->nonce == e->nonce)
            hub_push_closing(h, e->subscriber, why[e->trouble]);
    }
    h->fanout.n_troubles = 0;
}

bool hub_next_closing(struct hub *h, uint32_t *index, enum hub_closing *why)
{
    take_troubles(h);
    while (h->at_closing < h->n_closing) {
        uint32_t at = h->at_closing++;
        *index = h->closing[at].index;
        *why = h->closing[at].why;
        const struct subscriber *s = fanout_at(&h->fanout, *index);
        if ((s->flags & SUBSCRIBER_OPEN) && s->nonce == h->closing[at].nonce)
            return true;
    }
    h->at_closing = h->n_closing = 0;
    return false;
}

/* --- beats ----------------------------------------------------------------------------------------- */

void hub_now(struct hub *h, uint64_t now_us, int64_t wall_ms)
{
    h->now_us = now_us;
    h->fanout.wall_ms = wall_ms;
}

void hub_settle(struct hub *h)
{
    for (uint32_t i = 0; i < h->settling.n; i++)
        presence_settle(h, h->settling.items[i]);
    h->settling.n = 0;
    forget_shared(h);
}

void hub_tick(struct hub *h)
{
    channel_send_counts(h);
    channel_expire_caches(h);
    stream_tick(h);
    recovery_tick(h);
}

uint64_t hub_next_due_us(const struct hub *h)
{
    /* Counts are due within seconds and caches within minutes: once a second is soon enough. */
    return h->due.n || h->caches.n || h->histories.n || h->watched.n ? h->now_us + 1000000 : 0;
}

void hub_check_slow(struct hub *h, uint32_t now_ms)
{
    fanout_check_slow(&h->fanout, now_ms);
}

void hub_trim(struct hub *h)
{
    /* What is listed for the flush may be subscribers that have gone meanwhile: their places
     * must still be there to be looked at. */
    if (!hub_has_output(h))
        slab_trim(&h->fanout.subscribers);
}

bool hub_is_unsettled(const struct hub *h)
{
    return h->settling.n || h->n_ready;
}

bool hub_is_pressed(const struct hub *h)
{
    return h->fanout.is_pressed;
}

bool hub_has_output(const struct hub *h)
{
    const struct fanout *f = &h->fanout;
    return f->n_dirty || f->n_split || f->n_writable || f->n_troubles || h->n_closing || h->facts ||
           hub_is_unsettled(h);
}

void hub_writable(struct hub *h, uint32_t index)
{
    fanout_writable(&h->fanout, index);
}

void hub_rewind(struct hub *h, uint32_t index)
{
    fanout_rewind(&h->fanout, index);
}

void hub_flush(struct hub *h, uint64_t now_us, write_fn write, void *ctx)
{
    forget_shared(h);
    fanout_flush(&h->fanout, now_us, write, ctx);
    channel_release_idle(h);
}
