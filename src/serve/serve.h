/* serve.h - a connection's life, and what HTTP answers: the door.
 *
 * A struct serve is everything that one worker needs to serve: its loop, its hub, its
 * connections and sessions.  worker.c runs its beats.
 *
 * Thread: one worker's, except serve_post (any thread) and the counters (read by any).
 */
#ifndef SERVE_SERVE_H
#define SERVE_SERVE_H

#include "base/base.h"
#include "base/buf.h"
#include "base/counter.h"
#include "base/err.h"
#include "base/list.h"
#include "base/map.h"
#include "base/outbox.h"
#include "base/slab.h"
#include "hub/facts.h"
#include "hub/hub.h"
#include "net/loop.h"
#include "net/mailbox.h"
#include "net/stream.h"
#include "serve/config.h"

enum close_reason {
#define CLOSE(name, code, level, sentence) CLOSE_##name,
#include "serve/close_reasons.def"
#undef CLOSE
    CLOSE_REASONS
};

enum counter_name {
#define COUNTER(name, metric, sentence) COUNTER_##name,
#include "serve/counters.def"
#undef COUNTER
    COUNTERS
};

/*
 *   HEAD ──► ANSWER, RECEIVE ──► HEAD …    (keep-alive)
 *     │              └────────┐
 *     └──► STREAM ─► CLOSING ─┴─► DEAD
 *
 * Each state is a list in the worker; a conn is on exactly one of them, so the lengths of
 * the lists are the gauges.
 */
enum conn_state {
    CONN_HEAD,    // reading an HTTP request
    CONN_ANSWER,  // waiting for other workers to answer it
    CONN_STREAM,  // attached to a session, or the echo route
    CONN_RECEIVE, // the answer is a session's output, now or when there is some
    CONN_CLOSING, // last bytes are on their way; input is thrown away
    CONN_DEAD,    // freed at the end of this tick
    CONN_STATES
};

/* Letters to a worker that are not the hub's. */
enum serve_letter_kind {
    SERVE_LETTER_CONN = MAIL_OTHER, // a connection moves here: struct moved_conn
    SERVE_LETTER_CONFIG,            // struct new_config
    SERVE_LETTER_DRAIN,             // struct drain
    SERVE_LETTER_STOP,              // struct mail: the worker ends
    SERVE_LETTER_EXCHANGE,          // struct exchange_answer
    SERVE_LETTER_OWNER,             // notes.h
    SERVE_LETTER_SCAN
};

/* What carries a session, as /metrics tells it; a conversation over HTTP is what its first receiver was. */
enum transport {
    TRANSPORT_WS,
    TRANSPORT_STREAMING,
    TRANSPORT_POLLING,
    TRANSPORT_SOCKJS,
    TRANSPORT_EVENTS,
    TRANSPORT_LEGACY,
    TRANSPORTS
};

enum { HTTP_STATUS_SLOTS = 600, SWEEP_PHASES = 8 };

struct serve_stats {
    struct counter counters[COUNTERS];
    struct counter closes[CLOSE_REASONS];
    struct counter statuses[HTTP_STATUS_SLOTS]; // answers by HTTP status
    struct counter conns[CONN_STATES];          // gauges, published once a tick
    struct counter sessions[TRANSPORTS];        // gauge
    struct counter retained_bytes;              // gauge: output that waits for slow readers
    struct counter detached;                    // gauge: fallbacks without a receiver
};

/* The store of durable histories.  Written by its thread. */
struct store_counts {
    struct counter is_up;                       // gauge: 1 or 0
    struct counter commits;                     // groups
    struct counter events;                      // stored since the start
    struct counter failures;                    // of the disk
    struct counter lost;                        // streams that had to begin again
    struct counter dropped;                     // events that a failure found on their way
    struct counter streams, stored, file_bytes; // gauges: what is in the file
    struct counter commit_us;                   // gauge: how long the last one took
};

struct conn;
struct session;
struct serve;

/* Shared by all workers of a process.  The plain members do not change while they run. */
struct house {
    unsigned n_workers;
    struct serve **workers;
    const char *version;
    uint64_t started_wall_s;
    uint64_t capacity;       // sockets that the descriptor limit leaves room for
    atomic_bool is_ready;    // every worker accepts
    atomic_bool is_draining; // /ready says no, and no connection is kept alive
    atomic_uint n_drained;   // workers that have let everyone go
    atomic_ulong n_conns;    // of all workers
    /* Takes a struct fact, or a struct fact_ask.  Thread: any worker.  NULL = nobody wants any. */
    void (*tell)(void *courier, struct mail *fact);
    void *courier;
    /* hub_setup's store.  NULL = there is none. */
    bool (*record)(void *scribe, struct mail *letter);
    void *scribe;
    const struct store_counts *store_counts;
    const struct fact_counts *fact_counts; // the courier's
    struct quota *quota;                   // calls of the application's endpoints
    struct tally *users;                   // whom the gateway has authorised and who is here
    struct ledger *ledger;                 // who is on the legacy endpoints
    struct once *once;                     // requests that their senders have named
};

/* A wire handle (hub_flush) is a descriptor, or with this bit the index of a conn whose bytes
 * go through TLS. */
#define SERVE_WIRE_CONN 0x80000000U

/* With this bit it is the index of a fallback. */
#define SERVE_WIRE_FALLBACK 0x40000000U

struct serve {
    unsigned worker;
    struct house *house;
    struct loop loop;
    struct mailbox mailbox;
    struct outbox_pool outboxes;
    struct hub *hub;
    struct config *config;   // held
    struct tls_context *tls; // held; NULL without TLS
    struct slab conns, sessions, fallbacks;
    struct map fallback_names;
    struct map notes; // notes.h
    struct list acts; // act.h: those with work left
    struct map acts_by_id;
    bool has_due;    // one of them waits for a time, the first for
    uint32_t due_ms; // this one; it may have gone meanwhile
    uint64_t n_acts_ever, n_visits_ever;
    uint32_t *numbers_ms; // by route: when server metrics were last published
    struct list lists[CONN_STATES];
    struct serve_stats stats;
    uint64_t now_us;
    uint32_t now_ms; // of the monotonic clock; wraps, so compare differences only
    /* By which clients are held to their time limits: it stands still while the worker is late. */
    uint32_t client_ms;
    int listeners[2];
    bool is_accept_paused;
    bool is_rung;              // the mailbox's bell was heard in this turn
    char *input;               // the one read buffer
    uint32_t *again, *touched; // conns to read again, conns with output to flush
    uint32_t n_again, cap_again, n_touched, cap_touched;
    uint32_t *answered; // fallbacks to look at after the flush
    uint32_t n_answered, cap_answered;
    uint32_t *early; // fallbacks with posts that wait for others
    uint32_t n_early, cap_early;
    unsigned sweep_phase;
    uint32_t swept_ms;
    uint32_t peak_conns; // since memory was last given back
    struct {
        bool is_on, is_over;
        uint32_t from_ms, window_ms;
        uint32_t n_then; // sessions when it began
        uint32_t n_gone; // of which have been sent away
    } drain;
    bool is_stopped;
    char date[32]; // the Date header's value
    int64_t date_s;
    struct buf scratch, scratch2, words; // valid within one message or request
    struct buf line;                     // a message that came in a post
};

struct serve_setup {
    unsigned worker;
    struct house *house;
    struct config *config;      // held by the serve
    struct tls_context *tls;    // held
    int listener, tls_listener; // taken; -1 = none
};

struct serve *serve_new(const struct serve_setup *setup);

/* After the threads have ended, and for all workers together: ends every connection and lets
 * the hubs exchange their last letters, then frees them. */
void serve_free_all(struct house *house);

/* --- the beats, in this order; worker.c --- */

void serve_wait(struct serve *s);    // 1. sleep: the only blocking call
void serve_sockets(struct serve *s); // 2. sockets in: read, decode, act
void serve_mail(struct serve *s);    // 3. other threads in
void serve_timers(struct serve *s);  // 4. time in
void serve_settle(struct serve *s);  // 5. what the hub has decided: joins answered, waits ended
void serve_flush(struct serve *s);   // 6. sockets out: the only write
void serve_reap(struct serve *s);    // 7. the only free

/* Takes the letter.  Thread: any. */
void serve_post(struct serve *s, struct mail *letter);

const char *serve_date(struct serve *s); // the Date header's value now

struct new_config {
    struct mail mail;
    struct config *config;   // held for the receiver
    struct tls_context *tls; // likewise
};
struct drain_letter {
    struct mail mail;
    uint32_t window_ms;
};

static inline void serve_count(struct serve *s, enum counter_name name, uint64_t n)
{
    counter_add(&s->stats.counters[name], n);
}

#endif
