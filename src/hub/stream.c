/* Streams at their channels' home: offsets, epochs, and the store that some of them have.
 *
 * A durable stream is in step with the store: what the home decides it posts there, in order, and
 * the store's thread takes it in order.  With `async` an event is said at once and stored behind
 * that; with `ack` it waits in the line of the unsaid until the store has it.  Where the two fall
 * out of step the stream begins a new epoch, which is the one thing that always mends it.
 */
#include "base/base.h"

#include "hub/hub_priv.h"

#include <stdlib.h>

#include "base/mem.h"

/* In memory a durable stream that nobody wants is a copy. */
enum { IDLE_US = 60 * 1000 * 1000 };

/* A stream without an event outlives a short loss of its only subscriber's connection, but who only
 * asks for one leaves nothing for long. */
enum { EMPTY_US = 5 * 1000 * 1000 };

/* Who polls is back by then: nothing has happened meanwhile if the epoch is the same. */
enum { POLLED_US = 60 * 1000 * 1000 };

/* --- questions that wait ----------------------------------------------------------------------------- */

void stream_ask_later(struct hub *h, struct history *s, struct letter *l, bool is_mail)
{
    line_keep(&s->askers, l, is_mail);
    counter_add(&h->counts.askers, 1);
}

/* Something has happened: they are asked again, and answered. */
static void wake_askers(struct hub *h, struct history *s)
{
    struct line line = s->askers;
    s->askers = (struct line){0};
    while (line.first) {
        counter_sub(&h->counts.askers, 1);
        hub_receive(h, line_pop(&line));
    }
}

static bool is_same_request(const struct letter *a, const struct letter *b)
{
    return a->from == b->from && memcmp(a->request, b->request, sizeof a->request) == 0;
}

/* Takes the request out of the line; false when it is not there.  Those who wait for several
 * channels are withdrawn in the order in which they came, so the first is nearly always it. */
static bool strike(struct line *line, const struct letter *l)
{
    struct mail *before = NULL;
    for (struct mail *at = line->first; at; before = at, at = at->next) {
        struct letter *one = CONTAINER_OF(at, struct letter, mail);
        if (!is_same_request(one, l))
            continue;
        *(before ? &before->next : &line->first) = at->next;
        if (line->last == at)
            line->last = before;
        letter_free(one);
        return true;
    }
    return false;
}

void stream_withdraw(struct hub *h, const struct letter *l)
{
    struct channel *c = channel_find(h, l->app, l->channel, l->hash);
    if (!c || !c->history)
        return; // it has been answered
    if (strike(&c->history->askers, l))
        counter_sub(&h->counts.askers, 1);
    else
        (void)strike(&c->history->waiting, l); // where it waits to be asked at all
}

/* --- to the store ------------------------------------------------------------------------------------ */

static struct letter note_for(struct hub *h, const struct channel *c, enum letter_kind kind)
{
    return (struct letter){.mail.kind = kind,
        .from = (uint16_t)h->setup.worker,
        .app = c->app,
        .hash = c->node.hash,
        .era = h->store.era,
        .channel = channel_name(c),
        .user = span_str(hub_app(h, c->app)->id),
        .position = c->history->top};
}

/* False when too much waits there already; only an event may be refused. */
static bool post_note(struct hub *h, const struct letter *note)
{
    struct letter *copy = letter_copy(note);
    if (h->setup.store(h->setup.ctx, &copy->mail))
        return true;
    ENSURE(note->mail.kind == LETTER_STORE);
    letter_free(copy);
    counter_add(&h->counts.store_refused, 1);
    return false;
}

static void post_rule(struct hub *h, const struct channel *c, enum letter_kind kind, bool is_owed)
{
    struct letter note = note_for(h, c, kind);
    note.info_json = span_of((const char *)c->history->rule, sizeof *c->history->rule);
    note.flag = is_owed;
    note.time_ms = h->fanout.wall_ms;
    (void)post_note(h, &note);
}

/* The store hears of a stream with its first event: who only asks for one writes nothing. */
static void need_birth(struct hub *h, const struct channel *c)
{
    if (c->history->is_born)
        return;
    c->history->is_born = true;
    post_rule(h, c, LETTER_RESET, false);
}

static bool post_event(
    struct hub *h, const struct channel *c, struct frame *frame, uint64_t offset, bool is_owed)
{
    need_birth(h, c);
    struct letter note = note_for(h, c, LETTER_STORE);
    note.position.offset = offset;
    note.frame = frame;
    note.flag = is_owed;
    note.time_ms = h->fanout.wall_ms;
    return post_note(h, &note);
}

/* --- streams ----------------------------------------------------------------------------------------- */

static void open_stream(struct hub *h, struct channel *c)
{
    struct history *s = c->history;
    s->is_born = s->rule->durability != DURABILITY_MEMORY; // until it is known better
    if (!s->rule->durability) {
        s->tier = TIER_MEMORY;
    } else if (!h->store.is_up) {
        s->tier = TIER_APART;
    } else {
        s->tier = TIER_OPENING;
        post_rule(h, c, LETTER_OPEN, false);
    }
}

/* What the ring holds, before it changes and after. */
struct held {
    uint32_t n;
    uint64_t bytes; // of memory, about: a stream without an event takes some, too
};

static struct held held_by(const struct history *s)
{
    uint64_t itself = sizeof *s + sizeof *s->channel + s->cap * sizeof s->ring[0];
    return (struct held){s->n, itself + s->n * sizeof(struct frame) + s->bytes};
}

struct history *stream_need(struct hub *h, struct channel *c)
{
    if (c->history)
        return c->history->rule ? c->history : NULL;
    const struct app *app = hub_app(h, c->app);
    const struct history_rule *rule = app->n_history ? app_history(app, channel_name(c)) : NULL;
    if (!rule)
        return NULL;
    c->history = history_new(rule, h->now_us);
    c->history->channel = c;
    pile_push(&h->histories, c);
    list_append(&h->aged, &c->history->age);
    counter_add(&h->counts.histories, 1);
    counter_add(&h->counts.history_bytes, held_by(c->history).bytes);
    open_stream(h, c);
    return c->history;
}

static void count_change(struct hub *h, const struct history *s, struct held before)
{
    counter_add(&h->counts.history_events, (uint64_t)s->n - before.n);
    counter_add(&h->counts.history_bytes, held_by(s).bytes - before.bytes);
}

void stream_begin_again(struct hub *h, struct channel *c, bool is_owed)
{
    struct history *s = c->history;
    struct held before = held_by(s);
    history_reset(s);
    count_change(h, s, before);
    if (s->tier == TIER_STORED && (s->is_born || is_owed)) {
        s->is_born = true;
        post_rule(h, c, LETTER_RESET, is_owed);
    }
    recovery_tell(h, c, &s->top);
    struct letter told = {.mail.kind = LETTER_POSITION,
        .app = c->app,
        .hash = c->node.hash,
        .channel = channel_name(c),
        .position = s->top};
    for (unsigned w = 0; c->interest && w < h->setup.n_workers; w++)
        if (c->interest[w] && w != h->setup.worker)
            hub_tell(h, w, &told);
    wake_askers(h, s);
}

void stream_use(struct hub *h, struct history *s)
{
    s->used_us = h->now_us;
    if (h->aged.last == &s->age)
        return;
    list_remove(s->is_spent ? &h->spent : &h->aged, &s->age);
    list_append(&h->aged, &s->age);
    s->is_spent = false;
}

static void let_go(struct hub *h, struct history *s)
{
    struct held before = held_by(s);
    counter_add(&h->counts.histories_evicted, 1);
    if (s->tier == TIER_STORED) {
        history_clear(s); // the store has it
        count_change(h, s, before);
    } else {
        stream_begin_again(h, s->channel, false);
    }
}

/* All histories together are too much: those that were wanted least lately let go, but not the
 * one that grows now.  What is left of them goes at the next tick. */
static void evict(struct hub *h, const struct history *growing)
{
    while (counter_get(&h->counts.history_bytes) > h->history_bytes &&
           h->aged.first != &growing->age) {
        struct history *s = CONTAINER_OF(h->aged.first, struct history, age);
        list_remove(&h->aged, &s->age);
        list_append(&h->spent, &s->age);
        s->is_spent = true;
        if (s->n)
            let_go(h, s);
    }
}

void stream_expire(struct hub *h, struct history *s)
{
    struct held before = held_by(s);
    history_expire(s, h->now_us);
    count_change(h, s, before);
}

/* --- waiting for the store --------------------------------------------------------------------------- */

static bool is_blocked(const struct history *s)
{
    return s->tier == TIER_OPENING || s->waiting.first;
}

static void release_waiting(struct hub *h, struct history *s)
{
    struct line line = s->waiting;
    s->waiting = (struct line){0};
    while (line.first)
        hub_receive(h, line_pop(&line)); // may wait once more, behind each other as before
}

/* The ring lacks events that are wanted and that the store may have. */
static bool is_cold(const struct history *s, const struct letter *l)
{
    const struct recovery *asked = &l->recovery;
    uint64_t oldest = history_oldest(s);
    if (s->tier != TIER_STORED || s->stored_from >= oldest || (l->info & INFO_FILLED))
        return false;
    if (!asked->from.epoch[0]) {
        bool is_less = asked->rewind && asked->rewind < s->rule->rewind;
        uint32_t most = is_less ? asked->rewind : s->rule->rewind;
        return (asked->rewind || asked->rewind_s) && s->n < most;
    }
    return strcmp(asked->from.epoch, s->top.epoch) == 0 && asked->from.offset + 1 < oldest &&
           asked->from.offset + 1 >= s->stored_from &&
           s->top.offset - asked->from.offset <= s->rule->recover_events;
}

bool stream_hold_subscriber(struct hub *h, struct channel *c, struct letter *l, bool is_mail)
{
    struct history *s = stream_need(h, c);
    if (!s)
        return false;
    bool is_filling = !is_blocked(s) && is_cold(s, l);
    if (is_filling) {
        s->is_filling = true;
        l->info |= INFO_FILLED;
        post_rule(h, c, LETTER_OPEN, false);
    }
    if (!is_filling && !is_blocked(s))
        return false;
    line_keep(&s->waiting, l, is_mail);
    return true;
}

bool stream_hold(struct hub *h, struct letter *l, bool is_mail)
{
    const struct app *app = hub_app(h, l->app);
    if (!app->n_history)
        return false;
    struct channel *c = channel_find(h, l->app, l->channel, l->hash);
    if (!c || !c->history) {
        const struct history_rule *rule = app_history(app, l->channel);
        if (!rule || !rule->durability)
            return false;
        c = channel_need(h, l);
    }
    struct history *s = stream_need(h, c);
    if (!s || !is_blocked(s))
        return false;
    line_keep(&s->waiting, l, is_mail);
    return true;
}

/* Nobody heard of it, and nobody will. */
static void refuse_unsaid(struct hub *h, struct history *s)
{
    while (s->unsaid.first) {
        struct letter *l = line_pop(&s->unsaid);
        l->result = LETTER_UNSTORED;
        counter_add(&h->counts.unstored, 1);
        hub_answer(h, l, LETTER_ANSWER, true);
    }
    s->sent = s->top.offset;
}

/* What the store found goes into the ring, from the newest back. */
static void fill(struct hub *h, struct history *s, const struct found *found)
{
    struct held before = held_by(s);
    for (uint32_t i = found->n; i-- > 0;) {
        struct history_event e = found->events[i];
        uint64_t age_us = (uint64_t)(h->fanout.wall_ms - e.time_ms) * 1000;
        uint64_t offset = found->top.offset - (found->n - 1 - i);
        e.at_us = e.time_ms <= h->fanout.wall_ms && age_us < h->now_us ? h->now_us - age_us : 1;
        if (offset < history_oldest(s) && !history_prepend(s, &e, offset))
            break;
    }
    s->stored_from = found->oldest;
    count_change(h, s, before);
    stream_expire(h, s);
}

void stream_opened(struct hub *h, const struct letter *l)
{
    struct channel *c = channel_find(h, l->app, l->channel, l->hash);
    struct history *s = c ? c->history : NULL;
    const struct found *found = l->found;
    if (!s || l->era != h->store.era || (s->tier != TIER_OPENING && !s->is_filling))
        return;
    if (s->tier == TIER_OPENING) {
        s->tier = TIER_STORED;
        s->is_born = !found->is_absent;
        if (found->is_whole) {
            s->top = found->top;
            s->sent = found->top.offset;
        } else if (!found->is_absent) {
            stream_begin_again(h, c, false);
        }
    }
    if (found->is_whole && strcmp(found->top.epoch, s->top.epoch) == 0)
        fill(h, s, found);
    s->is_filling = false;
    release_waiting(h, s);
    stream_use(h, s);
    evict(h, s);
}

/* --- events ------------------------------------------------------------------------------------------ */

static void take(struct hub *h, struct channel *c, struct letter *l)
{
    struct history *s = c->history;
    struct held before = held_by(s);
    l->frame->offset = s->top.offset + 1;
    memcpy(l->frame->epoch, s->top.epoch, sizeof s->top.epoch);
    history_append(s, l->frame, h->now_us, h->fanout.wall_ms);
    if (!s->unsaid.first)
        s->sent = s->top.offset;
    l->position = s->top;
    count_change(h, s, before);
    stream_use(h, s);
    evict(h, s);
    wake_askers(h, s);
}

/* It is stored first and said then. */
static enum stream_result submit(struct hub *h, struct channel *c, struct letter *l, bool is_mail)
{
    struct history *s = c->history;
    if (!post_event(h, c, l->frame, s->sent + 1, true)) {
        l->result = LETTER_UNSTORED;
        counter_add(&h->counts.unstored, 1);
        return STREAM_REFUSED;
    }
    s->sent++;
    l->position = s->top;
    l->position.offset = s->sent;
    line_keep(&s->unsaid, l, is_mail);
    return STREAM_LATER;
}

enum stream_result stream_accept(struct hub *h, struct channel *c, struct letter *l, bool is_mail)
{
    struct history *s = stream_need(h, c);
    if (!s)
        return STREAM_TAKEN;
    bool is_ack = s->rule->durability == DURABILITY_ACK;
    if (s->tier == TIER_STORED && (is_ack || s->unsaid.first))
        return submit(h, c, l, is_mail); // behind a purge, or what a rule of before has left
    if (is_ack) {
        l->result = LETTER_UNSTORED;
        counter_add(&h->counts.unstored, 1);
        return STREAM_REFUSED;
    }
    if (s->tier == TIER_STORED && !post_event(h, c, l->frame, s->top.offset + 1, false)) {
        s->tier = TIER_APART; // until there is room again
        stream_begin_again(h, c, false);
    }
    take(h, c, l);
    return STREAM_TAKEN;
}

struct letter *stream_stored(struct hub *h, const struct letter *l)
{
    struct channel *c = channel_find(h, l->app, l->channel, l->hash);
    struct history *s = c ? c->history : NULL;
    struct letter *said = s ? line_first(&s->unsaid) : NULL;
    if (!said || l->era != h->store.era || said->position.offset != l->position.offset ||
        strcmp(said->position.epoch, l->position.epoch) != 0)
        return NULL; // refused meanwhile
    (void)line_pop(&s->unsaid);
    if (said->mail.kind == LETTER_PUBLISH)
        take(h, c, said);
    return said;
}

void stream_said(struct hub *h, struct channel *c)
{
    struct history *s = c->history;
    if (!s->unsaid.first && s->tier == TIER_STORED && !s->is_filling)
        release_waiting(h, s);
}

enum hub_result stream_purge(struct hub *h, struct channel *c, struct letter *l, bool is_mail)
{
    struct history *s = c->history;
    if (s->tier == TIER_APART && s->rule->durability == DURABILITY_ACK) {
        l->result = LETTER_UNSTORED;
        return HUB_DONE;
    }
    if (s->unsaid.first) {
        line_keep(&s->waiting, l, is_mail); // and with it whatever comes behind it
        return HUB_WAIT;
    }
    stream_begin_again(h, c, true);
    l->position = s->top;
    if (s->tier != TIER_STORED)
        return HUB_DONE;
    line_keep(&s->unsaid, l, is_mail);
    return HUB_WAIT;
}

/* --- falling out of step, and in again --------------------------------------------------------------- */

static void part(struct hub *h, struct channel *c)
{
    struct history *s = c->history;
    s->tier = TIER_APART;
    s->is_filling = false;
    refuse_unsaid(h, s);
    stream_begin_again(h, c, false);
    release_waiting(h, s);
}

static void rejoin(struct hub *h, struct channel *c)
{
    c->history->tier = TIER_STORED;
    stream_begin_again(h, c, false);
}

void stream_store_state(struct hub *h, const struct letter *l)
{
    h->store.is_up = l->flag;
    h->store.era = l->era;
    question_give_up(h);
    for (uint32_t i = 0; i < h->histories.n; i++) {
        struct channel *c = h->histories.items[i];
        enum history_tier tier = c->history->tier;
        if (!l->flag && (tier == TIER_OPENING || tier == TIER_STORED))
            part(h, c);
        else if (l->flag && tier == TIER_APART && c->history->rule)
            rejoin(h, c);
    }
}

void stream_lost(struct hub *h, const struct letter *l)
{
    struct channel *c = channel_find(h, l->app, l->channel, l->hash);
    struct history *s = c ? c->history : NULL;
    if (!s || s->tier != TIER_STORED || l->era != h->store.era ||
        strcmp(s->top.epoch, l->position.epoch) != 0)
        return;
    refuse_unsaid(h, s);
    stream_begin_again(h, c, false);
    stream_said(h, c);
}

/* A reload may have changed the rule of a stream, or taken it away. */
static void use_rule(struct hub *h, struct channel *c)
{
    struct history *s = c->history;
    const struct history_rule *rule = app_history(hub_app(h, c->app), channel_name(c));
    enum durability before = s->tier == TIER_MEMORY ? DURABILITY_MEMORY : DURABILITY_ASYNC;
    enum durability now = rule && rule->durability ? DURABILITY_ASYNC : DURABILITY_MEMORY;
    bool is_back = rule && !s->rule;
    s->rule = rule;
    if (!rule)
        wake_askers(h, s); // they are told that nothing is kept
    if (before == now && is_back) {
        stream_begin_again(h, c, false); // clients have counted what went by without an offset
        return;
    }
    if (before == now) {
        if (s->tier == TIER_STORED)
            post_rule(h, c, LETTER_RULE, false);
        return;
    }
    /* The store drops by itself what no rule keeps there any more. */
    s->is_filling = false;
    refuse_unsaid(h, s);
    s->tier = !now ? TIER_MEMORY : h->store.is_up ? TIER_STORED : TIER_APART;
    s->is_born = now != DURABILITY_MEMORY;
    stream_begin_again(h, c, false);
    release_waiting(h, s);
}

void stream_use_rules(struct hub *h)
{
    for (uint32_t i = 0; i < h->histories.n; i++)
        use_rule(h, h->histories.items[i]);
}

/* --- clocks ------------------------------------------------------------------------------------------ */

/* Nobody is there, and what is left is worth nothing, or is in the store. */
static bool is_over(const struct hub *h, const struct channel *c)
{
    const struct history *s = c->history;
    uint64_t idle_us = h->now_us - s->used_us;
    if (h->is_ending)
        return true;
    if (c->n_subscribers || is_blocked(s) || s->unsaid.first || s->askers.first)
        return false;
    if (s->is_spent && s->tier != TIER_APART)
        return true; // another epoch begins with the next event, or the store has this one
    if (s->polled_us && h->now_us - s->polled_us < POLLED_US)
        return false;
    if (s->tier == TIER_STORED)
        return idle_us >= (s->is_born ? IDLE_US : EMPTY_US);
    if (s->tier == TIER_APART && s->rule)
        return false; // the store has another epoch, which must never be taken for this one
    if (s->n || !s->rule)
        return !s->n;
    return idle_us >= (s->top.offset ? (uint64_t)s->rule->meta_ttl_s * 1000000U : EMPTY_US);
}

static void forget(struct hub *h, struct channel *c)
{
    struct history *s = c->history;
    struct held before = held_by(s);
    while (s->waiting.first)
        letter_free(line_pop(&s->waiting));
    while (s->unsaid.first)
        letter_free(line_pop(&s->unsaid));
    for (; s->askers.first; counter_sub(&h->counts.askers, 1))
        letter_free(line_pop(&s->askers));
    history_clear(s);
    count_change(h, s, before);
    list_remove(s->is_spent ? &h->spent : &h->aged, &s->age);
    counter_sub(&h->counts.histories, 1);
    counter_sub(&h->counts.history_bytes, held_by(s).bytes);
    history_free(s);
    c->history = NULL;
    channel_release(h, c);
}

void stream_tick(struct hub *h)
{
    for (uint32_t i = 0; i < h->histories.n;) {
        struct channel *c = h->histories.items[i];
        stream_expire(h, c->history);
        if (is_over(h, c)) {
            pile_remove_at(&h->histories, i);
            forget(h, c);
            continue;
        }
        if (c->history->tier == TIER_APART && c->history->rule && h->store.is_up)
            rejoin(h, c); // the store had been too slow for it
        i++;
    }
}
