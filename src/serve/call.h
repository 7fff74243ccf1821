/* call.h - an HTTP API request that is being answered by the homes of its channels.
 *
 * Each home answers for itself, here or by mail; when the last one has, the reply is
 * written.  Private to serve.
 */
#ifndef SERVE_CALL_H
#define SERVE_CALL_H

#include "serve/conn.h"

enum call_kind {
    CALL_EVENTS,    // POST events
    CALL_BATCH,     // POST batch_events
    CALL_TERMINATE, // POST users/ID/terminate_connections
    CALL_CHANNELS,  // GET channels
    CALL_CHANNEL,   // GET channels/C
    CALL_USERS,     // GET channels/C/users
    CALL_STATS,     // GET channels/C/stats, deprecated
    CALL_OLD_EVENT, // POST channels/C/events, deprecated
    CALL_WEBHOOKS,  // GET webhooks
    CALL_DEMO,      // POST /demo/publish
    CALL_HISTORY,   // GET and DELETE channels/C/history
    CALL_AGAIN,     // waits for the answer to another request of the same name
    CALL_ACT        // an application's endpoint: act.h
};

/* What one home said. */
struct call_item {
    char *name;   // the channel; only where the reply shows it
    uint8_t info; // INFO_*: what was asked for it
    uint8_t traits;
    uint8_t result; // enum letter_result
    uint32_t n_users, n_subscriptions, ttl_s;
    struct position position;
    struct frame *frame; // held
};

struct call {
    enum call_kind kind;
    uint32_t n_left;          // answers still to come
    uint32_t n_items;         // 0 when the reply shows nothing of them
    uint32_t n_unstored;      // homes that could not store what they were to
    bool shows_subscriptions; // the app counts subscriptions
    const struct app *app;    // only while asking: a reload may replace it
    struct call_item *items;
    struct act *act; // ACT: held
    char *once;      // the request's name, while its answer is owed to others; NULL = none
    char *headers;   // of the reply when it is another's; NULL = none
};

/* An empty call with room for n items. */
struct call *call_new(enum call_kind kind, const struct app *app, uint32_t n_items);
void call_free(struct serve *s, struct call *call); // NULL is fine

/* Room for n items instead; nothing has been asked. */
void call_resize(struct call *call, uint32_t n_items);

/* Names the request, so that it acts once: name is one of once.h's table.  True: go on with the
 * call.  False: the request has been answered, or waits, and the call is gone. */
bool call_once(struct serve *s, struct conn *c, struct call *call, struct span name) MUST_CHECK;

/* Asks one thing: takes the answer at once, or counts it as outstanding. */
void call_ask(
    struct serve *s, struct conn *c, struct call *call, uint32_t item, struct letter *ask);

/* LETTER_ASK_CHANNELS, asked of every worker. */
void call_ask_all(struct serve *s, struct conn *c, struct call *call, struct letter *ask);

/* A question that no hub answers went out: a LETTER_ANSWER will come for it. */
void call_expect(struct conn *c, struct call *call, uint32_t item, uint32_t request[3]);

/* An answer that was found here. */
void call_give(struct call *call, uint32_t item, uint32_t count, struct span text);

/* One answer that was outstanding has come otherwise: the conn's call may be complete. */
void call_settle(struct serve *s, struct conn *c);

/* All has been asked: replies now, or lets the conn wait.  Takes the call. */
void call_finish(struct serve *s, struct conn *c, struct call *call);

/* An answer by mail; takes the letter. */
void call_receive(struct serve *s, struct letter *letter);

#endif
