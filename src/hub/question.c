/* Questions about a channel's history, at its home: answered from the ring, or by the store. */
#include "base/base.h"

#include "hub/hub_priv.h"

#include "hub/page.h"

/* l->cached becomes the answer's JSON. */
static void answer(struct letter *l, struct buf *out)
{
    l->cached = frame_new(out->len);
    if (out->len)
        memcpy(l->cached->text, out->p, out->len);
    buf_fini(out);
}

/* The ring lacks something that the store has. */
static bool is_in_store(const struct history *s)
{
    return s->tier == TIER_STORED && s->stored_from < history_oldest(s);
}

static struct kept kept_by(const struct history *s)
{
    return (struct kept){
        .top = s->top, .oldest = history_kept_from(s), .bytes = s->bytes, .ttl_s = s->rule->ttl_s};
}

/* --- by the store -------------------------------------------------------------------------------------- */

/* The question waits here: the store may fail to answer. */
static enum hub_result pass_to_store(
    struct hub *h, const struct history *s, struct letter *l, bool is_mail)
{
    struct letter note = *l;
    note.mail.kind = LETTER_READ;
    note.from = (uint16_t)h->setup.worker;
    note.era = h->store.era;
    note.user = span_str(hub_app(h, l->app)->id);
    note.position = s->top;
    note.ttl_s = s->rule->ttl_s;
    note.frame = note.cached = NULL;
    bool ok = h->setup.store(h->setup.ctx, &letter_copy(&note)->mail);
    ENSURE(ok);
    line_keep(&h->store.reads, l, is_mail);
    return HUB_WAIT;
}

static bool has_moved_on(const struct hub *h, const struct letter *l)
{
    const struct channel *c = channel_find(h, l->app, l->channel, l->hash);
    return !c || !c->history || strcmp(c->history->top.epoch, l->position.epoch) != 0;
}

void question_read(struct hub *h, struct letter *l)
{
    if (l->era != h->store.era)
        return; // it has been answered
    struct letter *asked = line_pop(&h->store.reads);
    ENSURE(memcmp(asked->request, l->request, sizeof l->request) == 0);
    if (l->result == LETTER_UNSTORED && has_moved_on(h, l)) {
        hub_receive(h, asked); // a purge came behind the question and before the read
        return;
    }
    asked->result = l->result;
    asked->position = l->position;
    asked->ttl_s = l->ttl_s;
    asked->cached = l->cached;
    l->cached = NULL;
    hub_answer(h, asked, LETTER_ANSWER, true);
}

void question_give_up(struct hub *h)
{
    while (h->store.reads.first) {
        struct letter *l = line_pop(&h->store.reads);
        l->result = LETTER_UNSTORED;
        hub_answer(h, l, LETTER_ANSWER, true);
    }
}

/* --- a page ------------------------------------------------------------------------------------------ */

/* Offsets of the ring that fit, from *low to *high. */
static void bound(
    const struct history *s, const struct history_query *q, uint64_t *low, uint64_t *high)
{
    uint64_t oldest = history_oldest(s);
    page_range(q, &s->top, low, high);
    if (*low < oldest)
        *low = oldest;
    while (q->start_ms && *low <= *high && history_at(s, *low)->time_ms < q->start_ms)
        ++*low;
    while (
        q->end_ms && *high >= *low && *high >= oldest && history_at(s, *high)->time_ms > q->end_ms)
        --*high;
}

static void add_items(struct page *page, const struct history *s, const struct history_query *q)
{
    uint64_t low;
    uint64_t high;
    bound(s, q, &low, &high);
    uint64_t n = high + 1 > low ? high + 1 - low : 0;
    for (uint64_t i = 0; i < n && i < q->limit; i++) {
        uint64_t offset = q->is_backwards ? high - i : low + i;
        const struct history_event *e = history_at(s, offset);
        const struct frame *f = e->frame;
        page_add(
            page, offset, span_of(f->text + f->name_at, f->name_len), frame_data(f), e->time_ms);
    }
    page_end(page, n > q->limit);
}

static bool is_stale(const struct history *s, bool is_there, const struct position *at)
{
    return is_there && strcmp(at->epoch, s->top.epoch) != 0;
}

/* All of what the question is about is in the ring. */
static bool is_covered(const struct history *s, const struct history_query *q)
{
    return !q->limit || !is_in_store(s) ||
           (q->has_since && q->since.offset + 1 >= history_oldest(s));
}

/* The channel of a question: made when a rule keeps its history, so that its epoch stays. */
static struct history *find_stream(struct hub *h, struct letter *l)
{
    if (!app_history(hub_app(h, l->app), l->channel))
        return NULL;
    struct history *s = stream_need(h, channel_need(h, l));
    if (s)
        stream_expire(h, s);
    return s;
}

enum hub_result question_ask(struct hub *h, struct letter *l, bool is_mail)
{
    struct history_query q;
    struct buf out = {0};
    struct page page;
    ENSURE(l->info_json.len == sizeof q);
    memcpy(&q, l->info_json.p, sizeof q);
    struct history *s = find_stream(h, l);
    if (!s) {
        l->result = LETTER_DISABLED;
        return HUB_DONE;
    }
    if (s->tier == TIER_APART && s->rule->durability == DURABILITY_ACK && !q.is_poll) {
        l->result = LETTER_UNSTORED; // it is all in the store; a poll has other channels, too
        return HUB_DONE;
    }
    stream_use(h, s);
    s->polled_us = q.is_poll ? h->now_us : s->polled_us;
    l->position = s->top;
    struct kept kept = kept_by(s);
    if (q.waits && position_is(&q.since, &s->top)) {
        stream_ask_later(h, s, l, is_mail);
        return HUB_WAIT;
    }
    if (is_stale(s, q.has_since, &q.since) || is_stale(s, q.has_until, &q.until)) {
        l->result = LETTER_GONE;
        page_begin(&page, &out, l->channel, &kept, NULL);
        page_end(&page, false);
    } else if (is_covered(s, &q)) {
        page_begin(&page, &out, l->channel, &kept, &q);
        add_items(&page, s, &q);
    } else {
        return pass_to_store(h, s, l, is_mail);
    }
    answer(l, &out);
    return HUB_DONE;
}

/* --- the rest ---------------------------------------------------------------------------------------- */

enum hub_result question_state(
    struct hub *h, const struct channel *c, struct letter *l, bool is_mail)
{
    struct buf out = {0};
    const struct history *s = c ? c->history : NULL;
    if (!s || !s->rule) {
        buf_add_str(&out, "null");
    } else if (is_in_store(s)) {
        return pass_to_store(h, s, l, is_mail);
    } else {
        struct kept kept = kept_by(s);
        page_add_state(&out, &kept);
    }
    answer(l, &out);
    return HUB_DONE;
}

void question_purged(struct letter *l)
{
    struct buf out = {0};
    buf_addf(&out, "{\"epoch\":\"%s\"}", l->position.epoch);
    answer(l, &out);
}

enum hub_result question_purge(struct hub *h, struct letter *l, bool is_mail)
{
    if (!find_stream(h, l)) {
        l->result = LETTER_DISABLED;
        return HUB_DONE;
    }
    struct channel *c = channel_find(h, l->app, l->channel, l->hash);
    enum hub_result result = stream_purge(h, c, l, is_mail);
    if (result == HUB_DONE && l->result == LETTER_OK)
        question_purged(l);
    return result;
}
