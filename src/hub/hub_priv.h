/* hub_priv.h - what the hub's files share.  Only src/hub includes it. */
#ifndef HUB_HUB_PRIV_H
#define HUB_HUB_PRIV_H

#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "hub/facts.h"
#include "hub/hub.h"
#include "wire/pusher.h"

/* What a cache channel last published.  Survives the channel becoming empty. */
struct cached {
    struct frame *frame;
    uint64_t expires_us;
};

struct member {
    struct map_node node;
    struct list_node order; // of joining
    char *info;             // user_info as JSON, "{}" when there was none
    uint32_t info_len;
    uint32_t n_connections;
    bool is_new; // joined in this beat: nobody has been told
    uint32_t id_len;
    char id[];
};

struct presence {
    struct map members;
    struct list order;
    struct letter *joiners, *last_joiner; // SUBSCRIBE letters to answer at hub_settle
};

/* A channel as one worker knows it.  The local half is the crowd; the home half counts only
 * where this worker is the channel's home. */
struct channel {
    struct map_node node;
    uint32_t app;
    uint8_t traits;
    uint8_t name_len;
    bool is_idle;      // listed to be looked at after the flush
    bool is_settling;  // has joiners
    bool is_count_due; // a throttled subscription_count is to be sent
    bool is_missed;    // cache_miss was told and nothing has been stored since
    struct crowd crowd;
    uint32_t n_subscribers;  // of all workers, joiners included
    uint32_t n_legacy;       // of these, legacy clients
    struct history *history; // what it has published, where a rule says so
    struct watch *watch;     // sessions of this worker that count offsets, or NULL
    uint32_t *interest;      // subscribers by worker; NULL with a single worker
    struct presence *presence;
    struct cached *cached;
    uint64_t count_sent_us;
    uint32_t told_count; // the last subscription_count
    char name[];
};

/* Sessions of this worker in a channel that count its offsets: they are told where the stream
 * is when counting would not tell them. */
struct watch {
    struct position heard; // of the last event that came here
    uint64_t told_offset;
    uint64_t heard_us;
    uint32_t *sessions;
    uint32_t n, cap;
};

/* A subscription that is being given what it missed, piece by piece as its socket takes it. */
struct cursor {
    struct map_node node; // by session
    uint32_t index;
    struct channel *channel; // which the subscription keeps
    struct position at;
    bool is_asking; // the home owes an answer
};

/* A list of pointers or indices that only grows within a beat. */
struct pile {
    void **items;
    uint32_t n, cap;
};

struct hub {
    struct fanout fanout;
    struct map channels;
    struct map users;
    struct hub_setup setup;
    struct hub_counts counts;
    const struct app **apps; // by slot; NULL = unknown
    uint32_t n_apps;
    uint64_t now_us;
    struct pile idle;      // channels that may have become empty
    struct pile settling;  // channels with joiners
    struct pile due;       // channels whose count is to be sent
    struct pile caches;    // channels with a cached event
    struct pile histories; // channels with a stream
    struct list aged;      // these streams, the one that was wanted least lately first
    struct list spent;     // those that had to let go for want of room
    struct {
        bool is_up;
        uint32_t era;      // how often it has failed
        struct line reads; // what it has been asked, in the order in which it answers
    } store;
    bool is_ending;      // hub_free: nobody comes back
    struct pile watched; // channels with a watch
    struct map cursors;
    struct map bookmarks;
    uint64_t history_bytes; // at most
    uint32_t *ready;        // sessions whose wait is over
    uint32_t n_ready, cap_ready, at_ready;
    struct {
        uint32_t index, nonce;
        enum hub_closing why;
    } * closing;
    uint32_t n_closing, cap_closing, at_closing;
    struct mail *facts, **last_fact; // of this beat, oldest first
    struct {
        struct frame *frame; // the snapshot that the batches hold, for one beat; held
        struct batch *batches[AUDIENCES];
    } shared;
};

void pile_push(struct pile *p, void *item);
void pile_remove_at(struct pile *p, uint32_t at);

const struct app *hub_app(const struct hub *h, uint32_t slot); // never NULL

/* The index of a session of this worker, or SLAB_NONE when it has gone. */
uint32_t hub_live(const struct hub *h, struct session_ref ref);
struct session_ref hub_ref(const struct hub *h, uint32_t index);
/* What the session hears of that channel, or NULL. */
struct sub *hub_sub(struct hub *h, uint32_t index, uint32_t app, struct span channel);

void hub_push_ready(struct hub *h, uint32_t index);
void hub_push_closing(struct hub *h, uint32_t index, enum hub_closing why);

/* Tells a fact of a channel whose home is here, if a webhook of its app wants it.  f says
 * what the kind needs beyond app and channel. */
void hub_tell_fact(
    struct hub *h, enum fact_kind kind, const struct channel *c, const struct fact *f);

/* --- letters --- */

unsigned letter_home(const struct hub *h, const struct letter *l); // by hash
struct letter *letter_copy(const struct letter *l);

/* A line owns its letters; line_keep takes l when it is mail, else a copy.  line_pop: of one that has
 * any. */
void line_push(struct line *line, struct letter *l);
struct letter *line_first(const struct line *line);
struct letter *line_pop(struct line *line);
void line_keep(struct line *line, struct letter *l, bool is_mail);

/* A letter that wants no answer: handled here, or a copy is mailed. */
void hub_tell(struct hub *h, unsigned to, struct letter *l);

/* Sends l back to l->from as kind.  is_mail: l is on the heap and is taken. */
void hub_answer(struct hub *h, struct letter *l, enum letter_kind kind, bool is_mail);

/* SUBSCRIBED, at the worker that asked.  was_waiting: the session may go on now. */
void hub_receive_answer(struct hub *h, struct letter *l, bool was_waiting);

/* --- channels, home half --- */

struct channel *channel_find(const struct hub *h, uint32_t app, struct span name, uint32_t hash);
struct channel *channel_need(struct hub *h, const struct letter *l);

/* Those in the channel who hear it in that encoding; made when there are none yet.  is_behind:
 * who is still being given the channel's past, and hears only what is not of its stream. */
struct crowd *channel_crowd(struct channel *c, enum audience audience, bool is_behind);

/* To the subscribers of this worker but except. */
void channel_fan_out(struct hub *h, struct channel *c, const struct frame *frame, uint32_t except);

/* Frees the channel when nobody and nothing is left in it, now or after the flush. */
void channel_release(struct hub *h, struct channel *c);
void channel_release_idle(struct hub *h);

static inline struct span channel_name(const struct channel *c)
{
    return span_of(c->name, c->name_len);
}

/* To everyone in the channel, on every worker, but except. */
void channel_deliver(
    struct hub *h, struct channel *c, struct frame *frame, struct session_ref except);

void channel_admit(struct hub *h, struct channel *c, const struct letter *l);
enum hub_result channel_subscribe(struct hub *h, struct letter *l, bool is_mail);
void channel_answer_subscribe(struct hub *h, struct channel *c, struct letter *l, bool is_mail);
void channel_unsubscribe(struct hub *h, const struct letter *l);
void channel_client_event(struct hub *h, struct letter *l);
enum hub_result channel_publish(struct hub *h, struct letter *l, bool is_mail);
void channel_stored(struct hub *h, const struct letter *l); // STORED
enum hub_result channel_ask(struct hub *h, struct letter *l, bool is_mail);
void channel_ask_all(struct hub *h, struct letter *l);
void channel_send_counts(struct hub *h);
void channel_expire_caches(struct hub *h);

/* --- streams --- */

/* The channel's stream, made when a rule wants one; NULL = nothing is kept. */
struct history *stream_need(struct hub *h, struct channel *c);

/* Waits for the store, with this letter: true, and it is taken or copied.  A subscriber that
 * counts, or a request (PUBLISH, or about history). */
bool stream_hold_subscriber(struct hub *h, struct channel *c, struct letter *l, bool is_mail);
bool stream_hold(struct hub *h, struct letter *l, bool is_mail);

enum stream_result {
    STREAM_TAKEN,  // it has its offset, if the channel has a stream: say it
    STREAM_LATER,  // when it is stored; the letter is taken or copied
    STREAM_REFUSED // never; l->result says why
};
enum stream_result stream_accept(struct hub *h, struct channel *c, struct letter *l, bool is_mail);

/* STORED: the letter that waited for it, which is the caller's to act upon and to answer, and
 * then to call stream_said.  NULL when none does. */
struct letter *stream_stored(struct hub *h, const struct letter *l);
void stream_said(struct hub *h, struct channel *c);

/* The question waits, with this letter, for the stream's next event or epoch. */
void stream_ask_later(struct hub *h, struct history *s, struct letter *l, bool is_mail);
void stream_withdraw(struct hub *h, const struct letter *l); // WITHDRAW

/* Another epoch begins: whoever counts is told.  is_owed: the store is to answer. */
void stream_begin_again(struct hub *h, struct channel *c, bool is_owed);

/* A purge.  DONE: l->position is the new one.  WAIT: it will be, once that is stored. */
enum hub_result stream_purge(struct hub *h, struct channel *c, struct letter *l, bool is_mail);

void stream_opened(struct hub *h, const struct letter *l);      // OPENED
void stream_lost(struct hub *h, const struct letter *l);        // LOST
void stream_store_state(struct hub *h, const struct letter *l); // STORE_UP
void stream_use_rules(struct hub *h);                           // after a reload
void stream_use(struct hub *h, struct history *s);              // somebody wants something of it
void stream_expire(struct hub *h, struct history *s);
void stream_tick(struct hub *h); // retention; about once a second

/* --- questions about history --- */

/* DONE: the answer is in l->cached.  WAIT: the store will answer, or an answer is owed; l is
 * taken when it is mail. */
enum hub_result question_ask(struct hub *h, struct letter *l, bool is_mail);
enum hub_result question_purge(struct hub *h, struct letter *l, bool is_mail);
enum hub_result question_state(
    struct hub *h, const struct channel *c, struct letter *l, bool is_mail);
void question_read(struct hub *h, struct letter *l); // PAGE
void question_give_up(struct hub *h);                // the store will not answer any more
void question_purged(struct letter *l); // l->position is the new one: writes the answer

/* --- recovery --- */

/* What one who subscribes so is to be told; the caller's. */
struct replay *recovery_replay(struct hub *h, struct channel *c, const struct recovery *asked);
void replay_free(struct replay *r); // NULL is fine

/* In which encoding it hears a channel that it joins with that; r NULL: it does not count. */
enum audience recovery_audience(const struct hub *h, uint32_t index, const struct replay *r);

/* The success, what was missed, the position; before the joiner is in a crowd. */
void recovery_send(struct hub *h, uint32_t index, const struct letter *l);

/* It has joined: from now on it counts, or waits for the next piece. */
void recovery_begin(struct hub *h, struct channel *c, uint32_t index, const struct replay *r);
void recovery_end(struct hub *h, struct channel *c, uint32_t index);

/* The session's socket has taken everything: asks for the next pieces. */
void recovery_pull(struct hub *h, uint32_t index);
void recovery_more(struct hub *h, struct letter *l, bool is_mail); // MORE, at the home
void recovery_replayed(struct hub *h, const struct letter *l);     // REPLAY

/* An event has been fanned out here: who cannot count it is told. */
void recovery_heard(struct hub *h, struct channel *c, const struct frame *frame, uint32_t except);
void recovery_tell(struct hub *h, struct channel *c, const struct position *at);

void recovery_tick(struct hub *h); // checkpoints; about once a second

/* --- event streams --- */

/* In which encoding it hears a channel in which it counts. */
enum audience bookmark_audience(const struct hub *h, uint32_t index);

/* Behind this text the session is there in the channel: an event stream is told so by an id. */
void bookmark_send(struct hub *h, uint32_t index, struct span channel, const struct position *at,
    struct span text);

/* To each stream of a crowd its own. */
void bookmark_publish(
    struct hub *h, const struct crowd *crowd, const struct frame *frame, uint32_t except);
void bookmark_drop(struct hub *h, uint32_t index);

/* --- presence --- */

/* False when the channel is full. */
bool presence_join(struct hub *h, struct channel *c, struct letter *l, bool is_mail);
void presence_leave(struct hub *h, struct channel *c, struct span user);
void presence_settle(struct hub *h, struct channel *c);
uint32_t presence_users(const struct channel *c);
void presence_list(const struct channel *c, struct buf *out); // {"id":"1"},{"id":"2"}

/* --- users --- */

void user_signin(struct hub *h, struct letter *l, bool is_mail);
void user_signed_in(struct hub *h, struct letter *l);
void user_signout(struct hub *h, const struct letter *l);
void user_watch(struct hub *h, struct letter *l, bool is_mail);
void user_watched(struct hub *h, struct letter *l);
void user_unwatch(struct hub *h, const struct letter *l);
void user_flip(struct hub *h, const struct letter *l);
void user_terminate(struct hub *h, struct letter *l);

/* Signs the session out and stops watching. */
void identity_close(struct hub *h, uint32_t index);

#endif
