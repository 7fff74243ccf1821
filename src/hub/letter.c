/* Letters between hubs: copied, mailed, answered. */
#include "base/base.h"

#include "hub/hub_priv.h"

#include <stdlib.h>

#include "base/mem.h"

/* The hash's high bits choose the home; its low ones the bucket. */
unsigned letter_home(const struct hub *h, const struct letter *l)
{
    return (unsigned)((uint64_t)l->hash * h->setup.n_workers >> 32);
}

static void move_span(struct span *s, char **at)
{
    if (!s->p)
        return;
    if (s->len)
        memcpy(*at, s->p, s->len);
    s->p = *at;
    *at += s->len;
}

struct letter *letter_copy(const struct letter *l)
{
    size_t bytes = sizeof *l + l->channel.len + l->user.len + l->info_json.len;
    struct letter *copy = mem_alloc(bytes);
    ENSURE(!l->replay && !l->found); // which only an answer on its way has
    *copy = *l;
    char *at = (char *)(copy + 1);
    move_span(&copy->channel, &at);
    move_span(&copy->user, &at);
    move_span(&copy->info_json, &at);
    if (copy->frame)
        frame_hold(copy->frame);
    if (copy->cached)
        frame_hold(copy->cached);
    return copy;
}

static void found_free(struct found *found)
{
    for (uint32_t i = 0; found && i < found->n; i++)
        frame_drop(found->events[i].frame);
    free(found);
}

void letter_free(struct letter *letter)
{
    if (!letter)
        return;
    frame_drop(letter->frame);
    frame_drop(letter->cached);
    replay_free(letter->replay);
    found_free(letter->found);
    free(letter);
}

void line_push(struct line *line, struct letter *l)
{
    l->mail.next = NULL;
    if (line->last)
        line->last->next = &l->mail;
    else
        line->first = &l->mail;
    line->last = &l->mail;
}

struct letter *line_first(const struct line *line)
{
    return line->first ? CONTAINER_OF(line->first, struct letter, mail) : NULL;
}

struct letter *line_pop(struct line *line)
{
    struct letter *l = line_first(line);
    line->first = l->mail.next;
    if (!line->first)
        line->last = NULL;
    return l;
}

void line_keep(struct line *line, struct letter *l, bool is_mail)
{
    line_push(line, is_mail ? l : letter_copy(l));
}

static void post(struct hub *h, unsigned to, struct letter *letter)
{
    counter_add(&h->counts.letters, 1);
    h->setup.post(h->setup.ctx, to, &letter->mail);
}

static void terminate(struct hub *h, const struct letter *l)
{
    uint32_t index = hub_live(h, l->session);
    if (index != SLAB_NONE)
        hub_push_closing(h, index, HUB_TERMINATED);
}

/* EVENT or POSITION, to the sessions of this worker. */
static void pass_on(struct hub *h, const struct letter *l)
{
    struct channel *c = channel_find(h, l->app, l->channel, l->hash);
    if (c && l->mail.kind == LETTER_EVENT)
        channel_fan_out(h, c, l->frame, hub_live(h, l->session));
    else if (c)
        recovery_tell(h, c, &l->position);
}

/* What is told or asked of this hub; what it answers to itself comes back the same way. */
static void handle(struct hub *h, struct letter *l, bool is_mail)
{
    switch ((enum letter_kind)l->mail.kind) {
    case LETTER_UNSUBSCRIBE:
        channel_unsubscribe(h, l);
        break;
    case LETTER_CLIENT_EVENT:
        channel_client_event(h, l);
        break;
    case LETTER_SIGNED_IN:
        user_signed_in(h, l);
        break;
    case LETTER_SIGNOUT:
        user_signout(h, l);
        break;
    case LETTER_WATCHED:
        user_watched(h, l);
        break;
    case LETTER_UNWATCH:
        user_unwatch(h, l);
        break;
    case LETTER_FLIP:
        user_flip(h, l);
        break;
    case LETTER_CLOSE:
        terminate(h, l);
        break;
    case LETTER_EVENT:
    case LETTER_POSITION:
        pass_on(h, l);
        break;
    case LETTER_REPLAY:
        recovery_replayed(h, l);
        break;
    case LETTER_WITHDRAW:
        stream_withdraw(h, l);
        break;
    case LETTER_STORED:
        channel_stored(h, l);
        break;
    case LETTER_OPENED:
        stream_opened(h, l);
        break;
    case LETTER_PAGE:
        question_read(h, l);
        break;
    case LETTER_LOST:
        stream_lost(h, l);
        break;
    case LETTER_STORE_UP:
        stream_store_state(h, l);
        break;
    case LETTER_PUBLISH: // requests: handle_request
    case LETTER_TERMINATE:
    case LETTER_ASK_CHANNEL:
    case LETTER_ASK_USERS:
    case LETTER_ASK_CHANNELS:
    case LETTER_ASK_HISTORY:
    case LETTER_PURGE:
    case LETTER_STORE: // to the store
    case LETTER_OPEN:
    case LETTER_RESET:
    case LETTER_RULE:
    case LETTER_READ:
    case LETTER_SUBSCRIBE: // these answer by themselves, perhaps later
    case LETTER_MORE:
    case LETTER_SIGNIN:
    case LETTER_WATCH:
    case LETTER_SUBSCRIBED:
    case LETTER_ANSWER:
    case LETTER_KINDS:
        ENSURE(!is_mail);
        break;
    }
}

/* WAIT: the letter is kept, or a copy of it, and an answer will be mailed. */
static enum hub_result handle_request(struct hub *h, struct letter *l, bool is_mail)
{
    enum letter_kind kind = (enum letter_kind)l->mail.kind;
    bool is_of_stream = kind == LETTER_PUBLISH || kind == LETTER_ASK_HISTORY ||
                        kind == LETTER_PURGE || (l->info & INFO_HISTORY);
    if (is_of_stream && stream_hold(h, l, is_mail))
        return HUB_WAIT;
    if (kind == LETTER_PUBLISH)
        return channel_publish(h, l, is_mail);
    if (kind == LETTER_ASK_HISTORY)
        return question_ask(h, l, is_mail);
    if (kind == LETTER_PURGE)
        return question_purge(h, l, is_mail);
    if (kind == LETTER_TERMINATE)
        user_terminate(h, l);
    else if (kind == LETTER_ASK_CHANNELS)
        channel_ask_all(h, l);
    else
        return channel_ask(h, l, is_mail);
    return HUB_DONE;
}

void hub_tell(struct hub *h, unsigned to, struct letter *l)
{
    if (to == h->setup.worker)
        handle(h, l, false);
    else
        post(h, to, letter_copy(l));
}

void hub_answer(struct hub *h, struct letter *l, enum letter_kind kind, bool is_mail)
{
    l->mail.kind = kind;
    /* What a request gets goes by mail even here: who asked has gone on meanwhile. */
    if (l->from != h->setup.worker || kind == LETTER_ANSWER) {
        post(h, l->from, is_mail ? l : letter_copy(l));
        return;
    }
    hub_receive_answer(h, l, is_mail);
    if (is_mail)
        letter_free(l);
}

enum hub_result hub_ask_worker(struct hub *h, unsigned worker, struct letter *ask)
{
    ask->from = (uint16_t)h->setup.worker;
    if (worker == h->setup.worker)
        return handle_request(h, ask, false);
    post(h, worker, letter_copy(ask));
    return HUB_WAIT;
}

enum hub_result hub_ask(struct hub *h, struct letter *ask)
{
    struct span name = ask->channel;
    char user_channel[sizeof PUSHER_USER_PREFIX + 256];
    if (ask->mail.kind == LETTER_TERMINATE) {
        ENSURE(ask->user.len <= 256);
        size_t prefix = sizeof PUSHER_USER_PREFIX - 1;
        memcpy(user_channel, PUSHER_USER_PREFIX, prefix);
        memcpy(user_channel + prefix, ask->user.p, ask->user.len);
        name = span_of(user_channel, prefix + ask->user.len);
    }
    ask->hash = hash_bytes(ask->app, name);
    return hub_ask_worker(h, letter_home(h, ask), ask);
}

void hub_withdraw(struct hub *h, struct letter *ask)
{
    ask->mail.kind = LETTER_WITHDRAW;
    ask->from = (uint16_t)h->setup.worker;
    ask->hash = hash_bytes(ask->app, ask->channel);
    hub_tell(h, letter_home(h, ask), ask);
}

void hub_receive(struct hub *h, struct letter *l)
{
    enum letter_kind kind = (enum letter_kind)l->mail.kind;
    if (kind == LETTER_SUBSCRIBE) {
        (void)channel_subscribe(h, l, true);
    } else if (kind == LETTER_MORE) {
        recovery_more(h, l, true);
    } else if (kind == LETTER_SIGNIN) {
        user_signin(h, l, true);
    } else if (kind == LETTER_WATCH) {
        user_watch(h, l, true);
    } else if (kind == LETTER_SUBSCRIBED) {
        hub_receive_answer(h, l, true);
        letter_free(l);
    } else if (kind >= LETTER_PUBLISH) {
        if (handle_request(h, l, true) == HUB_DONE)
            hub_answer(h, l, LETTER_ANSWER, true);
    } else {
        handle(h, l, true);
        letter_free(l);
    }
}
