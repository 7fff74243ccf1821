/* Channels at their home: order, counts, the cached event, who is told. */
#include "base/base.h"

#include "hub/hub_priv.h"

#include <stdlib.h>

#include "base/mem.h"

enum {
    COUNT_THROTTLED_ABOVE = 100, // subscribers (pusher-protocol 2.10)
    COUNT_INTERVAL_US = 5 * 1000 * 1000
};

struct channel *channel_find(const struct hub *h, uint32_t app, struct span name, uint32_t hash)
{
    for (struct map_node *n = map_first(&h->channels, hash); n; n = map_next(n)) {
        struct channel *c = CONTAINER_OF(n, struct channel, node);
        if (c->app == app && span_eq(channel_name(c), name))
            return c;
    }
    return NULL;
}

struct channel *channel_need(struct hub *h, const struct letter *l)
{
    struct channel *c = channel_find(h, l->app, l->channel, l->hash);
    if (c)
        return c;
    ENSURE(l->channel.len <= UINT8_MAX);
    c = mem_zero(sizeof *c + l->channel.len);
    c->app = l->app;
    c->traits = l->traits;
    c->name_len = (uint8_t)l->channel.len;
    memcpy(c->name, l->channel.p, l->channel.len);
    c->crowd.audience = AUDIENCE_WS;
    c->crowd.channel = c;
    if (h->setup.n_workers > 1)
        c->interest = mem_zero(h->setup.n_workers * sizeof *c->interest);
    map_add(&h->channels, &c->node, l->hash);
    counter_add(&h->counts.channels, 1);
    return c;
}

struct crowd *channel_crowd(struct channel *c, enum audience audience, bool is_behind)
{
    struct crowd *crowd = &c->crowd;
    while (crowd->audience != audience || crowd->is_behind != is_behind) {
        if (!crowd->next) {
            crowd->next = mem_zero(sizeof *crowd);
            crowd->next->audience = (uint8_t)audience;
            crowd->next->is_behind = is_behind;
            crowd->next->channel = c;
        }
        crowd = crowd->next;
    }
    return crowd;
}

/* Nobody here hears it, and nothing of this tick is still to be written. */
static bool is_quiet(const struct channel *c, bool *has_output)
{
    bool is_empty = true;
    *has_output = false;
    for (const struct crowd *crowd = &c->crowd; crowd; crowd = crowd->next) {
        is_empty &= crowd_size(crowd) == 0;
        *has_output |= crowd->batch != NULL;
    }
    return is_empty;
}

static void free_crowds(struct channel *c)
{
    struct crowd *next;
    crowd_fini(&c->crowd);
    for (struct crowd *crowd = c->crowd.next; crowd; crowd = next) {
        next = crowd->next;
        crowd_fini(crowd);
        free(crowd);
    }
}

void channel_fan_out(struct hub *h, struct channel *c, const struct frame *frame, uint32_t except)
{
    for (struct crowd *crowd = &c->crowd; crowd; crowd = crowd->next) {
        if (crowd->is_behind && frame->offset)
            continue; // who is behind gets it when its turn comes
        if (crowd->audience == AUDIENCE_STREAM_PLACE && frame->offset)
            bookmark_publish(h, crowd, frame, except);
        else
            fanout_publish(&h->fanout, crowd, frame, except);
    }
    if (c->watch)
        recovery_heard(h, c, frame, except);
}

static void list_idle(struct hub *h, struct channel *c)
{
    if (c->is_idle)
        return;
    c->is_idle = true;
    pile_push(&h->idle, c);
}

void channel_release(struct hub *h, struct channel *c)
{
    bool has_output;
    if (c->n_subscribers || c->cached || c->history || c->is_settling || c->is_count_due ||
        !is_quiet(c, &has_output))
        return;
    if (has_output || c->is_idle) {
        list_idle(h, c); // what it published in this tick is still to be written
        return;
    }
    ENSURE(!c->presence || c->presence->members.n == 0);
    free(c->presence);
    free(c->interest);
    free_crowds(c);
    map_remove(&h->channels, &c->node);
    counter_sub(&h->counts.channels, 1);
    free(c);
}

void channel_release_idle(struct hub *h)
{
    for (uint32_t i = 0; i < h->idle.n; i++) {
        struct channel *c = h->idle.items[i];
        c->is_idle = false;
        channel_release(h, c);
    }
    h->idle.n = 0;
}

void channel_deliver(
    struct hub *h, struct channel *c, struct frame *frame, struct session_ref except)
{
    channel_fan_out(h, c, frame, hub_live(h, except));
    if (!c->interest)
        return;
    struct letter l = {.mail.kind = LETTER_EVENT,
        .app = c->app,
        .hash = c->node.hash,
        .channel = channel_name(c),
        .session = except,
        .frame = frame};
    for (unsigned w = 0; w < h->setup.n_workers; w++)
        if (c->interest[w] && w != h->setup.worker)
            hub_tell(h, w, &l);
}

/* --- subscription_count ------------------------------------------------------------------- */

static void send_count(struct hub *h, struct channel *c)
{
    char inner[64] = "{\"subscription_count\":";
    struct buf text = {inner, strlen(inner), sizeof inner};
    buf_add_u64(&text, c->n_subscribers);
    buf_add_char(&text, '}');
    struct frame *frame =
        pusher_internal("pusher_internal:subscription_count", channel_name(c), buf_span(&text));
    channel_deliver(h, c, frame, (struct session_ref){0});
    frame_drop(frame);
}

static void tell_count(struct hub *h, struct channel *c)
{
    c->count_sent_us = h->now_us;
    c->told_count = c->n_subscribers;
    hub_tell_fact(h, FACT_COUNT, c, &(struct fact){.count = c->n_subscribers});
    if (c->n_subscribers && hub_app(h, c->app)->subscription_count)
        send_count(h, c);
}

static void count_changed(struct hub *h, struct channel *c)
{
    const unsigned without = CHANNEL_PRESENCE | CHANNEL_ENCRYPTED | CHANNEL_USER;
    const struct app *app = hub_app(h, c->app);
    bool is_wanted = app->subscription_count || (app->facts & 1U << FACT_COUNT);
    if (!is_wanted || (c->traits & without))
        return;
    bool is_throttled = c->n_subscribers > COUNT_THROTTLED_ABOVE &&
                        h->now_us - c->count_sent_us < COUNT_INTERVAL_US;
    if (!is_throttled) {
        tell_count(h, c);
    } else if (!c->is_count_due) {
        c->is_count_due = true;
        pile_push(&h->due, c);
    }
}

void channel_send_counts(struct hub *h)
{
    for (uint32_t i = 0; i < h->due.n;) {
        struct channel *c = h->due.items[i];
        if (c->n_subscribers && h->now_us - c->count_sent_us < COUNT_INTERVAL_US) {
            i++;
            continue;
        }
        pile_remove_at(&h->due, i);
        c->is_count_due = false;
        if (c->n_subscribers && c->n_subscribers != c->told_count)
            tell_count(h, c);
        channel_release(h, c);
    }
}

/* --- the cached event ------------------------------------------------------------------------ */

static void forget_cached(struct channel *c)
{
    frame_drop(c->cached->frame);
    free(c->cached);
    c->cached = NULL;
}

static void remember(struct hub *h, struct channel *c, struct frame *frame)
{
    if (!c->cached) {
        c->cached = mem_zero(sizeof *c->cached);
        pile_push(&h->caches, c);
    }
    frame_hold(frame);
    frame_drop(c->cached->frame);
    c->cached->frame = frame;
    c->is_missed = false;
    c->cached->expires_us = h->now_us + (uint64_t)hub_app(h, c->app)->cache_ttl_s * 1000000U;
}

/* The event that a subscriber is to get now; held for the caller, or NULL. */
static struct frame *recall(const struct hub *h, const struct channel *c)
{
    if (!c->cached || c->cached->expires_us <= h->now_us)
        return NULL;
    frame_hold(c->cached->frame);
    return c->cached->frame;
}

void channel_expire_caches(struct hub *h)
{
    for (uint32_t i = 0; i < h->caches.n;) {
        struct channel *c = h->caches.items[i];
        if (c->cached->expires_us > h->now_us) {
            i++;
            continue;
        }
        pile_remove_at(&h->caches, i);
        forget_cached(c);
        channel_release(h, c);
    }
}

/* --- coming and going --------------------------------------------------------------------------- */

void channel_admit(struct hub *h, struct channel *c, const struct letter *l)
{
    if (c->n_subscribers++ == 0) {
        counter_add(&h->counts.home_channels, 1);
        hub_tell_fact(h, FACT_OCCUPIED, c, NULL);
    }
    c->n_legacy += l->flag;
    if (c->interest)
        c->interest[l->from]++;
}

static void dismiss(struct hub *h, struct channel *c, const struct letter *l)
{
    ENSURE(c->n_subscribers > 0);
    if (--c->n_subscribers == 0)
        counter_sub(&h->counts.home_channels, 1);
    c->n_legacy -= l->flag;
    if (c->interest)
        c->interest[l->from]--;
}

/* Whether both kinds of client hear the same, while there are both. */
static void note_parity(struct hub *h, const struct channel *c)
{
    if (!c->n_legacy)
        return;
    counter_add(&h->counts.legacy_events, 1);
    if (c->n_subscribers > c->n_legacy)
        counter_add(&h->counts.parity_events, 1);
}

void channel_answer_subscribe(struct hub *h, struct channel *c, struct letter *l, bool is_mail)
{
    l->result = LETTER_OK;
    if (l->recovery.is_asked)
        l->replay = recovery_replay(h, c, &l->recovery);
    l->cached = recall(h, c);
    struct frame *cached = l->cached;
    struct replay *replay = l->replay;
    if (!cached && (c->traits & CHANNEL_CACHE) && !c->is_missed) {
        c->is_missed = true;
        hub_tell_fact(h, FACT_CACHE_MISS, c, NULL);
    }
    hub_answer(h, l, LETTER_SUBSCRIBED, is_mail);
    if (!is_mail) {
        frame_drop(cached);
        replay_free(replay);
    }
}

enum hub_result channel_subscribe(struct hub *h, struct letter *l, bool is_mail)
{
    struct channel *c = channel_need(h, l);
    if (l->recovery.is_asked && stream_hold_subscriber(h, c, l, is_mail))
        return HUB_WAIT;
    if (c->traits & CHANNEL_PRESENCE) {
        if (presence_join(h, c, l, is_mail))
            return HUB_WAIT;
        l->result = LETTER_FULL;
        hub_answer(h, l, LETTER_SUBSCRIBED, is_mail);
        channel_release(h, c);
        return HUB_DONE;
    }
    channel_admit(h, c, l);
    channel_answer_subscribe(h, c, l, is_mail);
    count_changed(h, c);
    return HUB_DONE;
}

void channel_unsubscribe(struct hub *h, const struct letter *l)
{
    struct channel *c = channel_find(h, l->app, l->channel, l->hash);
    ENSURE(c != NULL); // who subscribed keeps it alive
    dismiss(h, c, l);
    if (c->presence)
        presence_leave(h, c, l->user);
    if (!c->n_subscribers) {
        if (c->history)
            stream_use(h, c->history);
        c->is_missed = false;
        hub_tell_fact(h, FACT_VACATED, c, NULL);
    }
    count_changed(h, c);
    channel_release(h, c);
}

/* --- events ---------------------------------------------------------------------------------------- */

void channel_client_event(struct hub *h, struct letter *l)
{
    struct channel *c = channel_find(h, l->app, l->channel, l->hash);
    if (!c)
        return; // the sender's unsubscribe cannot have overtaken it: a closed session's last words
    counter_add(&h->counts.client_events, 1);
    note_parity(h, c);
    channel_deliver(h, c, l->frame, l->session);
    if (!(hub_app(h, c->app)->facts & 1U << FACT_CLIENT_EVENT))
        return;
    char id[SOCKET_ID_MAX];
    size_t n = socket_id_write(l->session, id);
    hub_tell_fact(h, FACT_CLIENT_EVENT, c,
        &(struct fact){.user = l->user, .socket_id = span_of(id, n), .frame = l->frame});
}

static void count_for(const struct channel *c, struct letter *l)
{
    l->n_subscriptions = c ? c->n_subscribers : 0;
    l->n_users = c && c->presence ? presence_users(c) : 0;
}

bool hub_is_deaf(struct hub *h, uint32_t app, struct span channel, unsigned traits)
{
    struct letter l = {.hash = hash_bytes(app, channel)};
    if ((traits & CHANNEL_CACHE) || letter_home(h, &l) != h->setup.worker ||
        app_history(hub_app(h, app), channel))
        return false;
    return !channel_find(h, app, channel, l.hash);
}

bool hub_is_occupied(const struct hub *h, uint32_t app, struct span channel)
{
    const struct letter l = {.hash = hash_bytes(app, channel)};
    if (letter_home(h, &l) != h->setup.worker)
        return false;
    const struct channel *c = channel_find(h, app, channel, l.hash);
    return c && c->n_subscribers > 0 && !c->is_settling;
}

/* It has its offset, if it is to have one. */
static void say(struct hub *h, struct channel *c, struct letter *l)
{
    counter_add(&h->counts.events, 1);
    count_for(c, l);
    if (!c)
        return; // nobody would notice: no channel is made for it
    if (l->traits & CHANNEL_CACHE)
        remember(h, c, l->frame);
    note_parity(h, c);
    channel_deliver(h, c, l->frame, l->session);
}

enum hub_result channel_publish(struct hub *h, struct letter *l, bool is_mail)
{
    struct channel *c = channel_find(h, l->app, l->channel, l->hash);
    const struct app *app = hub_app(h, l->app);
    bool is_kept = (l->traits & CHANNEL_CACHE) || (app->n_history && app_history(app, l->channel));
    if (!c && is_kept)
        c = channel_need(h, l);
    enum stream_result result =
        c && app->n_history ? stream_accept(h, c, l, is_mail) : STREAM_TAKEN;
    if (result == STREAM_TAKEN)
        say(h, c, l);
    return result == STREAM_LATER ? HUB_WAIT : HUB_DONE;
}

void channel_stored(struct hub *h, const struct letter *l)
{
    struct letter *said = stream_stored(h, l);
    if (!said)
        return;
    struct channel *c = channel_find(h, l->app, l->channel, l->hash);
    if (said->mail.kind == LETTER_PUBLISH)
        say(h, c, said);
    else
        question_purged(said);
    hub_answer(h, said, LETTER_ANSWER, true);
    stream_said(h, c);
}

enum hub_result channel_ask(struct hub *h, struct letter *l, bool is_mail)
{
    struct channel *c = channel_find(h, l->app, l->channel, l->hash);
    frame_drop(l->frame);
    l->frame = NULL;
    count_for(c, l);
    if (l->mail.kind == LETTER_ASK_USERS) {
        struct buf out = {0};
        if (c && c->presence)
            presence_list(c, &out);
        l->cached = frame_new(out.len);
        if (out.len)
            memcpy(l->cached->text, out.p, out.len);
        buf_fini(&out);
    } else if (l->info & INFO_HISTORY) {
        return question_state(h, c, l, is_mail);
    } else if (c && (l->info & INFO_CACHE)) {
        l->cached = recall(h, c);
        if (l->cached)
            l->ttl_s = (uint32_t)((c->cached->expires_us - h->now_us + 999999) / 1000000);
    }
    return HUB_DONE;
}

static void describe(const struct channel *c, unsigned info, struct buf *out)
{
    if (out->len)
        buf_add_char(out, ',');
    json_quote(out, channel_name(c));
    buf_add_str(out, ":{");
    bool has_users = (info & INFO_USERS) && c->presence;
    if (has_users)
        buf_addf(out, "\"user_count\":%u", presence_users(c));
    if ((info & INFO_SUBSCRIPTIONS) && !(c->traits & CHANNEL_PRESENCE))
        buf_addf(out, "%s\"subscription_count\":%u", has_users ? "," : "", c->n_subscribers);
    buf_add_char(out, '}');
}

/* l->channel is the prefix that names must have. */
void channel_ask_all(struct hub *h, struct letter *l)
{
    struct buf out = {0};
    struct map_walk walk = {0};
    struct map_node *n;
    while ((n = map_walk(&h->channels, &walk))) {
        const struct channel *c = CONTAINER_OF(n, struct channel, node);
        struct span name = channel_name(c);
        if (c->app != l->app || !c->n_subscribers || (c->traits & CHANNEL_USER))
            continue;
        if (name.len < l->channel.len || !span_eq(span_of(name.p, l->channel.len), l->channel))
            continue;
        describe(c, l->info, &out);
    }
    l->cached = frame_new(out.len);
    if (out.len)
        memcpy(l->cached->text, out.p, out.len);
    buf_fini(&out);
}
