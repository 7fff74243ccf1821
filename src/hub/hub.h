/* hub.h - channels and who hears them: the door.
 *
 * One hub per worker.  It has two halves.  The *local* half knows the sessions of its worker:
 * what each is subscribed to, and how an event reaches their sockets (fanout.h).  The *home*
 * half is the authority for its share of the channels and users: it orders events, counts
 * subscribers, keeps presence and the cached event, and mails events to the workers that have
 * subscribers (docs/decisions/0001).  Where both halves are the same hub, a letter is a call.
 *
 * A hub has no socket, no thread and no clock: time is an argument, and what it produces are
 * plain values: letters (through post), frames (written by hub_flush), facts (hub_take_facts),
 * sessions that may go on (hub_next_ready) and sessions to be closed (hub_next_closing).
 *
 * Thread: a hub and everything in it belong to one worker.
 */
#ifndef HUB_HUB_H
#define HUB_HUB_H

#include "base/base.h"
#include "base/buf.h"
#include "base/counter.h"
#include "base/frame.h"
#include "base/mail.h"
#include "base/outbox.h"
#include "hub/app.h"
#include "hub/fanout.h"
#include "hub/history.h"
#include "wire/socket_id.h"

struct hub;

enum hub_result {
    HUB_DONE, // it has happened
    HUB_WAIT  // another beat or worker will answer; the session or request waits
};

/* Letters between hubs.  Asks are answered by the same letter sent back with the next kind;
 * which are not answered, and why, stands in docs/decisions/0001. */
enum letter_kind {
    LETTER_SUBSCRIBE,
    LETTER_SUBSCRIBED,
    LETTER_UNSUBSCRIBE,  // no answer
    LETTER_CLIENT_EVENT, // no answer
    LETTER_EVENT,        // home to a worker with subscribers; no answer
    LETTER_SIGNIN,
    LETTER_SIGNED_IN,
    LETTER_SIGNOUT, // no answer
    LETTER_WATCH,
    LETTER_WATCHED,
    LETTER_UNWATCH,  // no answer
    LETTER_FLIP,     // home of a user to a watcher: online or offline; no answer
    LETTER_CLOSE,    // home of a user to a session's worker: terminate; no answer
    LETTER_POSITION, // home to a worker with subscribers: where the stream is now; no answer
    LETTER_MORE,     // a subscriber that is behind: what comes behind position?
    LETTER_REPLAY,   // its answer
    LETTER_WITHDRAW, // a question that waits for an event is not wanted any more; no answer
    LETTER_STORE,    // home to the store: an event
    LETTER_OPEN,     // what is there of this stream?
    LETTER_RESET,    // another epoch
    LETTER_RULE,     // other limits; no answer
    LETTER_READ,     // a page of history
    LETTER_STORED,   // the store to a home: an event or a reset that is owed an answer is there
    LETTER_OPENED,   // this is there
    LETTER_PAGE,     // what was read, for who asked
    LETTER_LOST,     // this stream is not what the home thinks it is
    LETTER_STORE_UP, // to all: the store works (flag), or it does not
    LETTER_PUBLISH,  // from here on: asked by the HTTP API, answered to it
    LETTER_TERMINATE,
    LETTER_ASK_CHANNEL,
    LETTER_ASK_USERS,
    LETTER_ASK_CHANNELS,
    LETTER_ASK_HISTORY,
    LETTER_PURGE,
    LETTER_ANSWER,
    LETTER_KINDS
};

enum letter_result {
    LETTER_OK,
    LETTER_FULL,
    LETTER_DISABLED, // history: no rule fits the channel
    LETTER_GONE,     // history: that epoch is no more
    LETTER_UNSTORED  // the store failed: nothing has happened
};

/* Which counts an asker wants. */
enum {
    INFO_USERS = 1,
    INFO_SUBSCRIPTIONS = 2,
    INFO_CACHE = 4,
    INFO_POSITION = 8, // of the event that was published
    INFO_HISTORY = 16,
    INFO_FILLED = 32 // SUBSCRIBE: the store has been asked for what was missed
};

/* What it is to be told, and given: all of it, or the first piece. */
struct replay {
    struct buf told; // JSON: the member "recovery"; nothing in a later piece
    bool is_recovered;
    bool is_inline;       // its subscriber wants positions in the events, too
    bool is_lost;         // a later piece: what comes next is no longer there
    bool is_last;         // live events follow
    struct position upto; // of the last frame
    uint32_t n;
    struct frame *frames[]; // held
};

/* What the store has of a stream; the newest of its events. */
struct found {
    bool is_whole;  // else it needs another epoch
    bool is_absent; // there was nothing
    struct position top;
    uint64_t oldest; // offset that is kept
    uint32_t n;
    struct history_event events[]; // frames held; contiguous up to top
};

/* A question for a channel's history; travels as bytes in info_json. */
struct history_query {
    bool is_backwards, has_since, has_until;
    struct position since, until; // exclusive, inclusive
    int64_t start_ms, end_ms;     // wall time; 0 = unbounded
    uint32_t limit;               // 0: only where the stream is
    bool is_poll; // who asks comes back within a minute: until then the stream stays
    bool waits;   // with since: answered when there is something behind it
};

/* One struct for all kinds: a kind uses the members that its name suggests.  Spans are
 * borrowed in a letter on the stack and point into the letter itself once it is mailed. */
struct letter {
    struct mail mail;           // kind: enum letter_kind
    uint16_t from;              // worker that asked
    uint8_t traits;             // enum channel_trait of channel
    uint8_t result;             // enum letter_result
    uint8_t info;               // INFO_*
    bool flag;                  // WATCHED, FLIP: online.  (UN)SUBSCRIBE: a legacy client
    uint32_t app;               // slot
    uint32_t hash;              // of (app, channel) or (app, user channel)
    struct session_ref session; // who asked, or who is left out
    uint32_t request[3];        // whose HTTP request: conn index, its serial, which item of it
    struct span channel;
    struct span user;         // user id; the app's id, to the store
    struct span info_json;    // presence: user_info, as JSON.  A rule or a question, as bytes
    struct frame *frame;      // event; SUBSCRIBED: the success frame of a presence channel
    struct frame *cached;     // SUBSCRIBED: what the cache channel holds.  Answers: JSON text
    struct position position; // PUBLISH: what the event got.  POSITION, MORE
    struct recovery recovery; // SUBSCRIBE
    struct replay *replay;    // SUBSCRIBED, when recovery was asked, and REPLAY; owned
    uint32_t n_users, n_subscriptions;
    uint32_t ttl_s;      // of the cached event
    uint32_t era;        // to and from the store: how often it had failed
    int64_t time_ms;     // STORE and RESET: wall time
    struct found *found; // OPENED; owned
};

struct hub_counts {
    struct counter channels;       // entries here, home or local
    struct counter home_channels;  // channels whose home is here and that have a subscriber
    struct counter subscriptions;  // of sessions of this worker
    struct counter users;          // signed-in users whose home is here
    struct counter events;         // API events accepted by channels whose home is here
    struct counter client_events;  // likewise
    struct counter letters;        // mailed to other workers
    struct counter histories;      // histories whose home is here
    struct counter history_events; // events that they hold
    struct counter history_bytes;
    struct counter histories_evicted; // forgotten because all together were too much
    struct counter recovered;         // subscriptions that went on where they were
    struct counter unrecovered;       // and that were told that they could not
    struct counter unstored;          // events that were refused because they could not be stored
    struct counter store_refused;     // not posted to the store: too much was waiting there
    struct counter overtaken;         // closed: what they were being given was gone
    struct counter askers;            // questions that wait for an event
    struct counter cursors;           // subscriptions that are still being given it
    struct counter legacy_events;     // events of channels that legacy clients hear
    struct counter parity_events;     // of these, heard by Channels clients as well
    struct counter facts;             // told
};

struct hub_setup {
    unsigned worker, n_workers;
    struct outbox_pool *outboxes;
    struct fanout_limits limits;
    /* Mails to another worker's hub; takes the letter. */
    void (*post)(void *ctx, unsigned to, struct mail *letter);
    /* Mails to the store; takes the letter, unless too much waits there: then false.  Only a
     * LETTER_STORE may be refused.  NULL = there is no store, and no durable rule. */
    bool (*store)(void *ctx, struct mail *letter);
    void *ctx;
};

struct hub *hub_new(const struct hub_setup *setup);
void hub_free(struct hub *h);

/* The apps of a configuration; they outlive the next call. */
void hub_use_apps(struct hub *h, const struct app *apps, size_t n);
void hub_use_limits(struct hub *h, const struct fanout_limits *limits);

/* How much event history is kept here. */
void hub_use_history(struct hub *h, uint64_t bytes);

const struct hub_counts *hub_counts(const struct hub *h);
const struct fanout_counts *hub_fanout_counts(const struct hub *h);

/* --- sessions of this worker ------------------------------------------------------------- */

/* A subscriber; the index is the session's until hub_close.  wire is what hub_flush's writer
 * is given. */
uint32_t hub_open(struct hub *h, uint32_t wire, enum audience audience, uint32_t nonce);

/* An event stream of several channels: each event's id says where it is in all of them, in the
 * order of names.  at: where it was, or none.  Before it subscribes. */
void hub_use_bookmark(
    struct hub *h, uint32_t index, const struct span *names, const struct position *at, uint32_t n);

/* Leaves every channel, signs out.  What is pending moves to *rest, or is dropped. */
void hub_close(struct hub *h, uint32_t index, struct outbox *rest);

void hub_send(struct hub *h, uint32_t index, struct span text);
void hub_send_raw(struct hub *h, uint32_t index, struct span bytes);

bool hub_is_authorised(const struct hub *h, uint32_t index); // pusher-protocol 1.9
uint32_t hub_pending_bytes(const struct hub *h, uint32_t index);
uint32_t hub_n_subscriptions(const struct hub *h, uint32_t index);

/* True when the session is in that channel; *member is its user id there, or empty. */
bool hub_is_subscribed(
    struct hub *h, uint32_t index, uint32_t app, struct span channel, struct span *member);

/* The channels that the session is in: at starts at 0.  False at the end. */
bool hub_next_channel(const struct hub *h, uint32_t index, uint32_t *at, struct span *channel);

/* All checks that need no other worker have been made; user and info_json only with
 * CHANNEL_PRESENCE.  The frames that the client gets are sent by the hub. */
enum hub_result hub_subscribe(struct hub *h, uint32_t index, const struct letter *ask);

/* False when the session is not in that channel. */
bool hub_unsubscribe(struct hub *h, uint32_t index, uint32_t app, struct span channel);

/* frame is for everyone in the channel but the sender, who is in it.  user is the sender's id
 * there; empty on a channel without presence. */
struct hub_client_event {
    uint32_t app;
    struct span channel, user;
    struct frame *frame;
};
void hub_client_event(struct hub *h, uint32_t index, const struct hub_client_event *e);

struct hub_signin {
    uint32_t app;
    struct span user;
    struct span user_info; // JSON, or empty
    struct span user_data; // as signed: goes back in signin_success
    const struct span *watchlist;
    size_t n_watchlist;
    bool is_cut; // the list was longer than the limit
    uint32_t limit;
};
enum hub_result hub_signin(struct hub *h, uint32_t index, const struct hub_signin *signin);

/* The user that the session is signed in as; empty when it is not. */
struct span hub_user(const struct hub *h, uint32_t index);
struct span hub_user_info(const struct hub *h, uint32_t index);

/* Sessions whose wait is over, one by one. */
bool hub_next_ready(struct hub *h, uint32_t *index);

/* Sessions whose socket has taken all that was pending.  Who is behind is given more. */
bool hub_next_drained(struct hub *h, uint32_t *index);

/* Sessions that must go: terminated, too slow, or broken. */
enum hub_closing { HUB_TERMINATED, HUB_SLOW, HUB_STALLED, HUB_BROKEN, HUB_OVERTAKEN };
bool hub_next_closing(struct hub *h, uint32_t *index, enum hub_closing *why);

/* --- requests ------------------------------------------------------------------------------- */

/* Asks the home of ask->channel, or of ask->user for LETTER_TERMINATE.  DONE: the answer is
 * in *ask (its cached is the caller's to drop).  WAIT: a letter of kind LETTER_ANSWER will
 * come for ask->request.  frame stays the caller's. */
enum hub_result hub_ask(struct hub *h, struct letter *ask);

/* The same, asked of one worker: LETTER_ASK_CHANNELS. */
enum hub_result hub_ask_worker(struct hub *h, unsigned worker, struct letter *ask);

/* Takes back a LETTER_ASK_HISTORY that waits.  ask names the same channel and request; an answer
 * may be on its way already. */
void hub_withdraw(struct hub *h, struct letter *ask);

/* Nobody but a subscriber or a cache would notice an event on this channel, and its home is
 * here and has neither: publishing can be skipped. */
bool hub_is_deaf(struct hub *h, uint32_t app, struct span channel, unsigned traits);

/* The channel's home is here, and it has subscribers, none of whom is still to be answered. */
bool hub_is_occupied(const struct hub *h, uint32_t app, struct span channel);

/* A letter from another hub; takes it. */
void hub_receive(struct hub *h, struct letter *letter);
void letter_free(struct letter *letter);

/* --- facts ---------------------------------------------------------------------------------- */

/* What has happened since the last call, oldest first, linked by next: struct fact, the
 * caller's to free. */
struct mail *hub_take_facts(struct hub *h);

/* --- beats ------------------------------------------------------------------------------------ */

/* At the start of a tick; wall_ms is since 1970. */
void hub_now(struct hub *h, uint64_t now_us, int64_t wall_ms);

/* Answers the presence joins of this beat, each channel's snapshot encoded once. */
void hub_settle(struct hub *h);
bool hub_is_unsettled(const struct hub *h); // joins have come since

/* Timers; when hub_next_due (0 = never) has come. */
void hub_tick(struct hub *h);
uint64_t hub_next_due_us(const struct hub *h);
void hub_check_slow(struct hub *h, uint32_t now_ms); // about once a second; it may wrap
void hub_trim(struct hub *h); // gives memory back, unless the flush has something to do

/* Much has been published: flush before reading on. */
bool hub_is_pressed(const struct hub *h);
bool hub_has_output(const struct hub *h); // the next beats have something to do
void hub_writable(struct hub *h, uint32_t index);
void hub_rewind(struct hub *h, uint32_t index); // fanout_rewind
void hub_flush(struct hub *h, uint64_t now_us, write_fn write, void *ctx);

#endif
