/* act.h - a request to one of the application's endpoints, while it is being carried out.
 *
 * An act outlives its connection where its work does: an upstream that is asked without
 * anybody waiting, a demonstration that goes on step by step.  It holds the configuration that
 * it began with, so a reload does not change it halfway.  Private to serve.
 *
 * References: the connection's call has one while the reply is owed, and serve.acts has one
 * while there is work left.
 */
#ifndef SERVE_ACT_H
#define SERVE_ACT_H

#include "gateway/gateway.h"
#include "serve/call.h"
#include "serve/conn.h"
#include "wire/exchange.h"

enum { REQUEST_ID_MAX = 64, ACT_HEADERS = 1024 };

struct poll;

struct act {
    struct list_node node; // in serve.acts, while is_listed
    struct map_node by_id; // in serve.acts_by_id, likewise
    uint32_t refs;
    uint64_t id;
    struct config *config; // held
    const struct gateway *gateway;
    const struct app *app;
    const struct route *route;
    const struct action *action;
    struct caller caller;
    struct scene scene;
    struct buf body, query, path, metrics, authorization; // what the scene looks at
    char request_id[REQUEST_ID_MAX + 1];
    struct buf channel;                // of the first event
    struct session_ref except;         // the caller's own socket; nonce 0 = none named
    uint32_t conn, serial;             // who is to be answered
    struct call *call;                 // NULL once it has been, or the connection has gone
    struct session_ref socket;         // a legacy client that is to be answered; nonce 0 = none
    const struct template *reply_form; // of the case; NULL = the route's
    int status;                        // of the reply
    struct buf reply;
    char headers[ACT_HEADERS];
    char origin[256];          // of the page that asks; "" = none
    bool is_listed, is_asking; // asking: an upstream owes an answer
    bool is_quiet;             // the socket is told of a failure only
    uint32_t step, due_ms;     // of a demonstration; due_ms: of a poll that waits (act_is_due)
    struct poll *poll;         // poll.h; owned, NULL = it is none
};

struct act *act_new(struct serve *s, struct conn *c, const struct route *route);
void act_drop(struct act *a); // NULL is fine
void act_list(struct serve *s, struct act *a);
struct act *act_find(const struct serve *s, uint64_t id); // of the listed ones, or NULL

/* jobs_run is to look at it then. */
void act_is_due(struct serve *s, struct act *a, uint32_t due_ms);
void act_unlist(struct serve *s, struct act *a);

/* --- replies; each is the reply in the making, sent by act_answer --- */

/* {"detail":TEXT} */
bool act_fail(struct act *a, int status, const char *format, ...) PRINTF_LIKE(3, 4);

/* 422 with the faults that are gathered in list. */
bool act_fail_fields(struct act *a, const struct buf *list);

/* 422 for one value. */
bool act_fail_value(struct act *a, const char *where, const char *name, const char *message);

/* --- events --- */

/* Publishes what the action has for this moment.  False, with the reply failed, when one of
 * them may not be: then none is. */
bool act_publish(struct serve *s, struct act *a, enum moment when);

/* One event.  name and data are plain text and JSON. */
struct act_event {
    struct span channel, name, data;
    struct session_ref except;
};
bool act_check_event(struct act *a, const struct act_event *e, unsigned *traits);
void act_send_event(struct serve *s, struct act *a, const struct act_event *e, unsigned traits);

/* The policy's answer; false with the reply failed. */
bool act_may(struct act *a, struct span channel, enum policy_action action);

/* The channel's kind; false with a 422 that names where it came from. */
bool act_channel(
    struct act *a, struct span channel, const char *where, const char *name, unsigned *traits);

/* --- steps --- */

/* What is built in; false with the reply failed.  May add to the call's answers. */
bool builtin_run(struct serve *s, struct act *a);

/* All answers that the call waited for are there. */
void builtin_gather(struct serve *s, struct act *a, const struct call *call);

/* Hands the work to the upstream; false with the reply failed. */
void job_ask_upstream(struct serve *s, struct act *a);
void job_begin_demo(struct serve *s, struct act *a);

/* The reply, from the route's template. */
void act_write_reply(struct act *a);

/* Everything has been asked: answers now, or lets the connection wait.  Takes the call. */
void act_finish(struct serve *s, struct conn *c, struct act *a);

/* The call is complete: answers. */
void act_answer(struct serve *s, struct conn *c, struct call *call);

/* --- beats --- */

void jobs_receive(struct serve *s, struct exchange_answer *answer); // takes it
void jobs_run(struct serve *s);                                     // steps that are due
uint32_t jobs_wait_ms(const struct serve *s); // until then; UINT32_MAX = nothing is due ever
void jobs_hurry(struct serve *s);             // polls are answered in the next turn
void jobs_sweep(struct serve *s);             // server metrics, about eight times a second
void jobs_free_all(struct serve *s);
void jobs_use_config(struct serve *s); // another configuration is in use

/* --- the door --- */

/* Takes the request when its path is that of a route.  False: it is somebody else's. */
bool endpoint_request(struct serve *s, struct conn *c, const struct http_head *head,
    struct span path, struct span body);

/* What a legacy client says, to a route; bridge_answer hears of the outcome. */
struct endpoint_message {
    const struct route *route;
    const struct caller *caller;
    struct session_ref socket;
    struct span body; // JSON
    bool is_quiet;    // only a failure is told
};
void endpoint_message(struct serve *s, const struct endpoint_message *m);

/* A body that is too large; false when the path is no route's. */
bool endpoint_refuse(struct serve *s, struct conn *c, const struct http_head *head, int status);

/* A path beside the routes, said in their shape: a page of another origin may read that, too. */
void endpoint_not_found(struct serve *s, struct conn *c, const struct http_head *head);

/* The body limit, 0 when the path is no route's. */
size_t endpoint_body_limit(const struct serve *s, const struct http_head *head, struct span path);

/* Appends the header lines that let a page of that origin read the answer.  out has room for
 * ACT_HEADERS less what is used. */
void endpoint_cors(const struct gateway *g, const char *origin, char *out, size_t room);

/* Who calls, from an Authorization header; JWT_OK with is_known false when there is none. */
enum jwt_result endpoint_caller(
    const struct gateway *g, struct span authorization, struct caller *caller);

#endif
