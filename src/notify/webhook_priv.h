/* webhook_priv.h - queues of webhooks.  Only src/notify includes it. */
#ifndef NOTIFY_WEBHOOK_PRIV_H
#define NOTIFY_WEBHOOK_PRIV_H

#include "base/list.h"
#include "notify/grace.h"
#include "notify/webhook.h"

enum { DELIVERIES_KEPT = 50, ERROR_CHARS = 120, LANES = 8 };

/* One event for one URL. */
struct event {
    struct event *next;
    uint64_t born_ms; // monotonic: when the fact was taken
    uint8_t kind;     // enum fact_kind
    bool is_tried;    // a request has spoken of it
    uint32_t len;
    char json[];
};

/* What a request came to, for people to look at. */
struct delivery {
    int64_t wall_ms; // when it was made
    char *url;
    char first[24]; // event name of the first of
    uint32_t n_events;
    uint32_t attempt; // 1 = the first
    uint32_t took_ms;
    int status; // 0 = no answer
    char error[ERROR_CHARS];
};

struct recent { // of one app, a ring
    struct delivery items[DELIVERIES_KEPT];
    uint32_t n; // ever
};

/* A part of a URL's queue: the events of some channels, sent by one request after the other,
 * which keeps each channel's order. */
struct lane {
    struct target *of;
    struct event *first, **last;
    uint32_t n, bytes; // waiting, those under way included
    bool is_sending;
    uint32_t n_sending;  // events of the body
    struct buf body;     // of the request under way, or to be made again; len 0 = none
    uint32_t attempt;    // of the body
    uint32_t n_failures; // in a row
    uint64_t due_ms;     // no attempt before
    int64_t sent_wall_ms;
};

struct target {
    struct list_node node;
    struct webhooks *owner;
    uint32_t slot;
    char *app_id, *url;            // the target's own: it may outlive its configuration
    const struct app *app;         // of the present configuration; NULL = removed
    const struct webhook *webhook; // likewise; it goes when its requests have ended
    struct lane lanes[LANES];
    uint32_t n_lanes;    // in use; changes only while nothing waits
    uint32_t n, bytes;   // of all lanes
    uint32_t n_requests; // under way
    uint64_t n_failures; // since all of it worked
    uint64_t n_lost;     // since a delivery last left nothing waiting
};

struct webhooks {
    webhook_post_fn post;
    struct outbound *outbound;
    struct fact_counts *counts;
    struct webhook_limits limits;
    struct list targets;
    struct grace grace;
    struct recent **recent; // by slot; NULL = none yet
    uint32_t n_recent;
    struct webhook_time time;
    bool is_hurried; // the server stops
};

/* --- webhook_queue.c --- */

struct target *target_new(struct webhooks *w, const struct app *app, const struct webhook *hook);
void target_free(struct target *t);

/* A reload took the webhook away: what waits is dropped, counted and logged. */
void target_remove(struct target *t);

/* json: of the fact.  False when there is no room. */
bool queue_push(struct target *t, const struct fact *f, struct span json);

/* The first n events of the lane leave, and what became of them is counted. */
void queue_drop(struct lane *l, uint32_t n, enum fact_outcome outcome);
void queue_drop_all(struct target *t, enum fact_outcome outcome);

/* --- webhook_send.c --- */

/* Makes the requests that are due; returns when it wants to be called again, or 0. */
uint64_t target_run(struct target *t);

void target_hurry(struct target *t); // no pause goes on

/* --- webhook_body.c --- */

/* The fact as the object that stands in "events". */
void event_write(const struct fact *f, struct buf *out);
bool webhook_wants(const struct webhook *hook, const struct fact *f);

/* --- webhook.c --- */
void webhooks_note(struct webhooks *w, const struct target *t, const struct delivery *d);

#endif
