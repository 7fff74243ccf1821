/* bridge.h - sockets of the legacy endpoints: another transport of a session.
 *
 * Such a socket subscribes to the same channels, under the same policy, as a Channels client;
 * only its words are others (wire/legacy.h).  Private to serve.
 */
#ifndef SERVE_BRIDGE_H
#define SERVE_BRIDGE_H

#include "gateway/gateway.h"
#include "serve/conn.h"
#include "serve/session.h"
#include "wire/legacy.h"

struct act;
struct joining; // a subscribe under way

/* What a session of TRANSPORT_LEGACY has beside; session.bridge. */
struct bridge_socket {
    enum bridge_endpoint endpoint;
    uint64_t key; // in the ledger
    char *client_id;
    struct caller caller; // is_known false = came without a token
    int64_t opened_wall_ms, pinged_wall_ms;
    uint32_t said_ms, pinged_ms; // when it last said anything, and "ping"
    bool has_pinged;
    uint64_t n_messages;
    char *own;         // channel that it is in without having asked, or NULL
    uint32_t n_joined; // of what it has asked for
    struct joining *joining;
    struct asked *asked; // an event of it whose home has not answered yet
};

/* An item of a call that is none: the answer is for the bridge. */
enum { BRIDGE_ITEM = 0x7fffffff };

/* --- the door --- */

/* Takes an upgrade whose path is that of a legacy endpoint; false: it is somebody else's. */
bool bridge_upgrade(
    struct serve *s, struct conn *c, const struct http_head *head, struct span path);

/* The same for a request that is no upgrade: /ws/status, and what says that it should be. */
bool bridge_request(
    struct serve *s, struct conn *c, const struct http_head *head, struct span path);

/* For /metrics. */
void bridge_add_metrics(const struct house *house, struct buf *out);

/* --- a session's life; each may end it --- */

void bridge_message(struct serve *s, struct session *session, struct span text);
void bridge_resume(struct serve *s, struct session *session); // a wait is over
void bridge_sweep(struct serve *s, struct session *session);
void bridge_forget(struct serve *s, struct session *session); // it ends, and is in its channels yet

/* The channel's home may have let it in already, but it has not been told: the ledger does not
 * know of it. */
bool bridge_is_joining(const struct bridge_socket *socket, struct span channel);

/* It has been taken out of a channel. */
void bridge_left(struct serve *s, struct session *session, struct span channel);

/* The home of a channel has answered: takes the letter. */
void bridge_receive(struct serve *s, struct letter *letter);

/* Work that a message began is done: its reply goes to the socket, if that is still there. */
void bridge_answer(struct serve *s, struct act *a);

/* --- between its files --- */

const struct bridge *bridge_config(const struct serve *s); // NULL = switched off altogether
const struct bridge *bridge_need(const struct serve *s);   // where it has been looked at
bool bridge_in_envelope(const struct bridge_socket *socket);

/* Sends JSON. */
void bridge_say(struct serve *s, struct session *session, const struct buf *json);

/* {"type":"error","error":TEXT,"timestamp":..}, in the endpoint's form. */
void bridge_fail(struct serve *s, struct session *session, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* {"type":TYPE or, in an envelope, all that stands around a payload. */
void bridge_begin(struct buf *out, const char *type);
void bridge_add_now(struct buf *out); // ,"timestamp":".."
void bridge_end_envelope(const struct bridge_socket *socket, struct buf *out);

void bridge_add_session_id(const struct bridge_socket *socket, struct buf *out);
bool bridge_is_expired(const struct serve *s, const struct bridge_socket *socket);
void bridge_expire(struct serve *s, struct session *session); // ends it
void bridge_drop_work(struct bridge_socket *socket);

/* /ws/status: figures, and with names who is there.  Appends JSON. */
void bridge_add_status(struct serve *s, bool with_names, struct buf *out);

/* Joins these channels (names with a NUL behind each; taken), one after the other; is_asked:
 * the client has asked and is told. */
void bridge_join(struct serve *s, struct session *session, struct buf *names, bool is_asked);
void bridge_unsubscribe(struct serve *s, struct session *session, const struct buf *names);

#endif
