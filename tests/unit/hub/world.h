/* world.h - several hubs in one thread: letters arrive in any interleaving that keeps each
 * pair's order, drawn from a seed.  Sessions are told apart by their wire, one number for all
 * hubs; what their sockets got is in world.got. */
#ifndef WORLD_H
#define WORLD_H

#include "base/base.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/map.h"
#include "hub/hub.h"
#include "test.h"
#include "wire/pusher.h"

enum { HUBS_MAX = 4, LETTERS = 4096, WIRES = 160 };

static unsigned world_hubs = 3; // what start makes
#define HUBS world_hubs

struct post {
    unsigned from;
    struct mail *letter;
};

struct client {
    unsigned hub;
    uint32_t index, nonce;
    bool is_open;
    bool is_slow;  // its socket takes what room says, and that once
    uint32_t room; // bytes
    struct buf got;
};

struct world {
    struct hub *hubs[HUBS_MAX];
    struct outbox_pool pools[HUBS_MAX];
    struct post box[HUBS_MAX][LETTERS]; // letters on their way to each hub, in the order of posting
    unsigned n_box[HUBS_MAX];
    unsigned posting; // the hub that is at work
    struct client clients[WIRES];
    struct mail *notes[LETTERS]; // to the store, in order
    unsigned n_notes, max_notes;
    struct letter answer; // the last one that came by mail; its cached is held
    unsigned n_answers;
    bool is_served;                      // what the hubs want done is done at once:
    unsigned closing[HUB_OVERTAKEN + 1]; // sessions that were to be closed, by reason
    uint64_t now_us;
    uint32_t last_nonce;
    unsigned seed;
};

static struct world w;

static struct app app = {.enabled = true,
    .client_events = true,
    .watchlist = true,
    .cache_ttl_s = 60,
    .limits = {.presence_members = 2, .watchlist = 10, .channel_name_chars = 200}};

static inline unsigned draw(unsigned below)
{
    w.seed = w.seed * 1103515245U + 12345U;
    return (w.seed >> 16) % below;
}

static inline void world_post(void *ctx, unsigned to, struct mail *letter)
{
    (void)ctx;
    ENSURE(w.n_box[to] < LETTERS);
    w.box[to][w.n_box[to]++] = (struct post){w.posting, letter};
}

/* A store that has room for max_notes. */
static inline bool world_store(void *ctx, struct mail *letter)
{
    (void)ctx;
    if (letter->kind == LETTER_STORE && w.n_notes >= w.max_notes)
        return false;
    ENSURE(w.n_notes < LETTERS);
    w.notes[w.n_notes++] = letter;
    return true;
}

static void (*world_on_answer)(const struct letter *l);

static inline void keep_answer(struct letter *l)
{
    w.n_answers++;
    if (world_on_answer)
        world_on_answer(l);
    frame_drop(w.answer.cached);
    w.answer = *l;
    l->cached = NULL;
    letter_free(l);
}

/* Any letter may come next whose sender has none before it in the box. */
static inline void deliver_one(unsigned to)
{
    unsigned pick = draw(w.n_box[to]);
    for (unsigned i = 0; i < pick; i++)
        if (w.box[to][i].from == w.box[to][pick].from)
            pick = i;
    struct letter *letter = CONTAINER_OF(w.box[to][pick].letter, struct letter, mail);
    for (unsigned i = pick + 1; i < w.n_box[to]; i++)
        w.box[to][i - 1] = w.box[to][i];
    w.n_box[to]--;
    w.posting = to;
    if (letter->mail.kind == LETTER_ANSWER)
        keep_answer(letter);
    else
        hub_receive(w.hubs[to], letter);
}

static inline int64_t world_write(void *ctx, uint32_t wire, const char *bytes, size_t len)
{
    struct client *c = &w.clients[wire];
    (void)ctx;
    if (c->is_slow && len > c->room)
        len = c->room;
    c->room -= c->is_slow ? (uint32_t)len : 0;
    buf_add(&c->got, bytes, len);
    return (int64_t)len;
}

/* The socket of a slow client takes so many bytes more. */
static inline void take_bytes(uint32_t wire, uint32_t bytes)
{
    struct client *c = &w.clients[wire];
    c->room += bytes;
    hub_writable(w.hubs[c->hub], c->index);
}

static inline bool has_mail(void)
{
    for (unsigned i = 0; i < HUBS; i++)
        if (w.n_box[i])
            return true;
    return false;
}

/* One beat of one hub, without its mail. */
static inline void beat(unsigned hub)
{
    uint32_t index;
    enum hub_closing why;
    w.posting = hub;
    hub_settle(w.hubs[hub]);
    while (hub_next_ready(w.hubs[hub], &index))
        ;
    hub_flush(w.hubs[hub], w.now_us, world_write, NULL);
    while (hub_next_drained(w.hubs[hub], &index))
        ;
    while (w.is_served && hub_next_closing(w.hubs[hub], &index, &why))
        w.closing[why]++;
}

static inline bool has_output(void)
{
    for (unsigned i = 0; w.is_served && i < HUBS; i++)
        if (hub_has_output(w.hubs[i]))
            return true;
    return false;
}

/* Runs every hub's beats until nobody has anything left to do. */
static inline void settle(void)
{
    do {
        while (has_mail()) {
            unsigned to = draw(HUBS);
            if (w.n_box[to])
                deliver_one(to);
        }
        for (unsigned i = 0; i < HUBS; i++)
            beat(i);
    } while (has_mail() || has_output());
}

/* Time passes, and every hub's timers run. */
static inline void pass_s(unsigned s)
{
    w.now_us += (uint64_t)s * 1000000;
    for (unsigned i = 0; i < HUBS; i++) {
        w.posting = i;
        hub_now(w.hubs[i], w.now_us, 0);
        hub_tick(w.hubs[i]);
    }
    settle();
}

static inline void start_with(unsigned seed, bool (*w_store)(void *ctx, struct mail *letter))
{
    memset(&w, 0, sizeof w);
    w.seed = seed;
    w.max_notes = LETTERS;
    w.now_us = 1;
    for (unsigned i = 0; i < HUBS; i++) {
        outbox_pool_init(&w.pools[i]);
        struct hub_setup setup = {.worker = i,
            .n_workers = HUBS,
            .outboxes = &w.pools[i],
            .limits = {1 << 20, 1 << 20, 1000, 1000, 1 << 30},
            .post = world_post,
            .store = w_store};
        w.hubs[i] = hub_new(&setup);
        hub_use_apps(w.hubs[i], &app, 1);
        hub_now(w.hubs[i], w.now_us, 0);
    }
}

static inline void start(unsigned seed)
{
    start_with(seed, NULL);
}

static inline void open_session(unsigned hub, uint32_t wire)
{
    struct client *c = &w.clients[wire];
    ENSURE(!c->is_open);
    c->hub = hub;
    c->is_open = true;
    c->got.len = 0;
    c->nonce = ++w.last_nonce;
    c->index = hub_open(w.hubs[hub], wire, AUDIENCE_WS, c->nonce);
}

static inline void close_session(uint32_t wire)
{
    struct client *c = &w.clients[wire];
    w.posting = c->hub;
    hub_close(w.hubs[c->hub], c->index, NULL);
    c->is_open = false;
}

static inline uint64_t sum_channels(void)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < HUBS; i++)
        n += counter_get(&hub_counts(w.hubs[i])->channels);
    return n;
}

static inline void finish(void)
{
    for (unsigned i = 0; i < HUBS; i++) {
        hub_free(w.hubs[i]);
        outbox_pool_fini(&w.pools[i]);
    }
    for (uint32_t wire = 0; wire < WIRES; wire++)
        buf_fini(&w.clients[wire].got);
    frame_drop(w.answer.cached);
    for (unsigned i = 0; i < w.n_notes; i++)
        letter_free(CONTAINER_OF(w.notes[i], struct letter, mail));
}

/* Everyone goes, and nothing may be left of them. */
static inline void end(void)
{
    for (uint32_t wire = 0; wire < WIRES; wire++)
        if (w.clients[wire].is_open)
            close_session(wire);
    settle();
    for (unsigned i = 0; i < HUBS; i++) {
        const struct hub_counts *counts = hub_counts(w.hubs[i]);
        CHECK_EQ(counter_get(&counts->subscriptions), 0);
        CHECK_EQ(counter_get(&counts->home_channels), 0);
        CHECK_EQ(counter_get(&counts->users), 0);
    }
    finish();
}

static inline unsigned traits_of(const char *channel)
{
    unsigned traits;
    bool ok = pusher_channel(span_str(channel), 200, &traits);
    ENSURE(ok);
    return traits;
}

static inline enum hub_result subscribe(uint32_t wire, const char *channel, const char *user)
{
    struct letter ask = {.traits = (uint8_t)traits_of(channel),
        .channel = span_str(channel),
        .user = span_str(user)};
    w.posting = w.clients[wire].hub;
    return hub_subscribe(w.hubs[w.posting], w.clients[wire].index, &ask);
}

static inline void unsubscribe(uint32_t wire, const char *channel)
{
    w.posting = w.clients[wire].hub;
    CHECK(hub_unsubscribe(w.hubs[w.posting], w.clients[wire].index, 0, span_str(channel)));
}

/* Asks from a hub and waits; what the home said is in w.answer. */
static inline void ask(unsigned hub, const struct letter *question)
{
    struct letter l = *question;
    w.posting = hub;
    if (hub_ask(w.hubs[hub], &l) == HUB_DONE) {
        frame_drop(w.answer.cached);
        w.answer = l;
    } else {
        w.answer.mail.kind = LETTER_KINDS;
        while (w.answer.mail.kind != LETTER_ANSWER)
            settle();
    }
}

static inline struct letter event_for(const char *channel, const char *data)
{
    struct letter l = {.mail.kind = LETTER_PUBLISH,
        .traits = (uint8_t)traits_of(channel),
        .channel = span_str(channel)};
    l.frame = pusher_event(span_str("\"e\""), l.channel, span_str(data), span_of(NULL, 0));
    return l;
}

static inline void publish(unsigned hub, const char *channel, const char *data)
{
    struct letter l = event_for(channel, data);
    struct frame *frame = l.frame;
    w.posting = hub;
    (void)hub_ask(w.hubs[hub], &l);
    frame_drop(frame);
}

/* How often text is in what a session's socket got. */
static inline size_t count(uint32_t wire, const char *text)
{
    const struct buf *got = &w.clients[wire].got;
    size_t n = 0;
    const char *at = got->p;
    while (at && (at = memmem(at, got->len - (size_t)(at - got->p), text, strlen(text)))) {
        at += strlen(text);
        n++;
    }
    return n;
}

static inline void forget(uint32_t wire)
{
    w.clients[wire].got.len = 0;
}

/* The next message that a session's socket got: at starts at 0. */
static inline bool next_message(uint32_t wire, size_t *at, struct span *text)
{
    struct span rest = span_from(buf_span(&w.clients[wire].got), *at);
    if (!rest.len)
        return false;
    ENSURE(rest.len >= 2 && (unsigned char)rest.p[0] == 0x81);
    size_t len = (unsigned char)rest.p[1];
    size_t head = len < 126 ? 2 : 4;
    ENSURE(len < 127 && rest.len >= head); // no test has longer messages
    if (len == 126)
        len = (size_t)(unsigned char)rest.p[2] << 8 | (unsigned char)rest.p[3];
    ENSURE(rest.len >= head + len);
    *text = span_of(rest.p + head, len);
    *at += head + len;
    return true;
}

/* One such message, read: data is the decoded string, in scratch. */
static inline struct span read_message(struct span text, struct buf *scratch, struct span *data)
{
    struct pusher_message m;
    scratch->len = 0;
    bool ok = pusher_read(text, scratch, &m);
    ENSURE(ok);
    *data = m.data.raw;
    if (m.data.kind == JSON_STRING) {
        (void)buf_room(scratch, m.data.raw.len); // the event may lie in it, too
        ok = json_decode(&m.data, scratch, data);
        ENSURE(ok);
    }
    return json_inner(&(struct json){.kind = JSON_STRING, .raw = m.event_json});
}

#endif
