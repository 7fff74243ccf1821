/* session.h - a Channels connection: identity, clocks, limits.  Private to serve.
 *
 *   OPENING ─► OPEN ─► CLOSING ─► DEAD
 *
 * OPENING lasts from the upgrade to connection_established and CLOSING from the reason to
 * the last subscription's end; both are over within one call.  A session is carried by one
 * conn for all its life, or by a fallback (fallback.h), whose conns come and go.  Its index is
 * also that of its subscriber in the hub, which owns the pending output and the subscriptions.
 */
#ifndef SERVE_SESSION_H
#define SERVE_SESSION_H

#include "serve/serve.h"
#include "wire/socket_id.h"
#include "wire/ws.h"

enum session_state { SESSION_DEAD, SESSION_OPENING, SESSION_OPEN, SESSION_CLOSING, SESSION_STATES };

enum {
    SESSION_WAITING = 1 << 0, // an answer from another worker: input waits
    SESSION_PINGED = 1 << 1,  // silent, and asked whether it is alive
    SESSION_TLS = 1 << 2,
    SESSION_FALLBACK = 1 << 3 // at is a fallback's index
};

enum { SESSION_PONG_PENDING = 64 * 1024 }; // bytes: no pongs beyond, for one who does not read

struct rate; // when the last client events came

struct session {
    uint32_t index;
    uint32_t at; // index of its conn or its fallback; SLAB_NONE = neither
    uint32_t nonce;
    uint32_t app; // slot
    uint32_t opened_ms, heard_ms, pinged_ms;
    uint8_t state, flags, protocol, transport;
    union {
        struct rate *rate;            // NULL until the first client event
        struct bridge_socket *bridge; // of TRANSPORT_LEGACY; owned
    };
};

/* What a session's transport must know about its start. */
struct session_opts {
    uint32_t app;
    uint32_t wire; // for the hub's writer
    uint32_t at;   // index of the conn or, with is_fallback, of the fallback
    bool is_fallback;
    enum transport transport;
    enum audience audience;
    uint8_t protocol;
    bool is_tls;
    struct bridge_socket *bridge; // taken; a legacy client greets otherwise
};

static inline struct session *session_at(const struct serve *s, uint32_t index)
{
    return slab_at(&s->sessions, index);
}

/* The connection counts against the app's quota already (app_connect); the session gives it
 * back.  head, when not empty, goes out before connection_established, which a legacy client
 * does not get. */
struct session *session_open(struct serve *s, const struct session_opts *opts, struct span head);

/* One message from the client.  Afterwards the session may be waiting, or gone. */
void session_message(struct serve *s, struct session *session, struct span text);

/* True when input must wait. */
bool session_is_waiting(const struct serve *s, const struct session *session);

/* Leaves everything and frees the session.  An attached conn gets what was pending, then the
 * reason, and ends; code 0 takes the reason's own. */
void session_close(struct serve *s, struct session *session, enum close_reason why, uint16_t code);

/* Looks at the session's clocks.  Afterwards it may be gone. */
void session_sweep(struct serve *s, struct session *session);
void session_check_silence(struct serve *s, struct session *session); // pings and pongs alone

/* The wait is over, or output has drained: what was kept of its input is taken up again. */
void session_resume(struct serve *s, struct session *session);

/* Answers a WebSocket ping. */
void session_pong(struct serve *s, struct session *session, struct span payload);

void session_heard(struct serve *s, struct session *session);

const struct app *session_app(const struct serve *s, const struct session *session);

/* socket_id, at most SOCKET_ID_MAX characters. */
size_t session_id(const struct serve *s, const struct session *session, char *out);

/* What a client wants to open. */
struct session_claim {
    const struct app *app; // NULL = unknown key
    struct span key;       // what the client has named the app by, decoded
    struct span origin;    // p NULL = none
    enum transport transport;
    bool is_tls;
    bool has_place; // SockJS: it was let in before it named its app
    int protocol;   // -1 = not given, 0 = not a number
};

/* Why it may not, or CLOSE_REASONS when it may.  Takes a connection of the app's quota exactly
 * when it may. */
enum close_reason session_check(const struct session_claim *claim);

/* It is not opened: this is counted and logged.  Appends the sentence for the client, which
 * each transport says in its own way. */
void session_refuse(struct serve *s, const struct session_claim *claim, enum close_reason why,
    struct buf *sentence);

const char *transport_word(enum transport transport); // for logs and metrics
const char *close_sentence(enum close_reason why);
uint16_t close_code(enum close_reason why);
const char *close_word(enum close_reason why); // lower case, for logs and metrics
enum log_level close_level(enum close_reason why);

#endif
