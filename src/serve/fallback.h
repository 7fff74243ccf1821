/* fallback.h - a session that is carried by HTTP requests (pusher-protocol 3).  Private to serve.
 *
 *   NEW ─► OPEN ─► ENDED ─► DEAD        (NEW: SockJS, before the client has named its app)
 *
 * The client has at most one request open, the receiver, by which the session's output goes
 * to it: streamed, or as the answer to a poll.  What the client says comes by requests of
 * their own.  Between two receivers the hub keeps the output, as for a slow socket; without a
 * receiver for limits.rejoin_ms the session ends.  A stream of Server-Sent Events and SockJS
 * over WebSocket are fallbacks too, whose one receiver is the whole conversation.
 *
 * A fallback lives on the worker that the hash of its name chooses; requests that arrive
 * elsewhere are handed over whole (conn_move).
 */
#ifndef SERVE_FALLBACK_H
#define SERVE_FALLBACK_H

#include "base/map.h"
#include "serve/serve.h"
#include "serve/session.h"
#include "wire/chunk.h"
#include "wire/http.h"

struct conn;

enum fallback_kind { FALLBACK_XHR, FALLBACK_SOCKJS, FALLBACK_SOCKJS_WS, FALLBACK_EVENTS };

enum fallback_state { FALLBACK_DEAD, FALLBACK_NEW, FALLBACK_OPEN, FALLBACK_ENDED };

/* Of the present receiver. */
enum {
    RECEIVER_STREAM = 1 << 0, // the answer goes on; otherwise it ends with what there is
    RECEIVER_PLAIN = 1 << 1,  // HTTP/1.0: no chunks
    RECEIVER_PAUSED = 1 << 2, // the client is about to ask anew
    RECEIVER_STAYS = 1 << 3,  // it was paused and did not
    RECEIVER_LISTED = 1 << 4, // to be looked at after the flush
    RECEIVER_LEAVES = 1 << 5  // its end has come: what it might not get is the next one's
};

/* A request's body that waits: for the session, or for requests with lower numbers. */
struct post {
    struct post *next;
    uint64_t n;      // the client's counter; 0 = none
    uint32_t due_ms; // when it no longer waits for others
    uint32_t len;
    size_t at; // JSON items before here are done
    char text[];
};

struct fallback {
    struct map_node node; // by name; not in the map for kinds without one
    char *name;           // "KEY/server/session", or "server/session" for SockJS
    char *origin;         // SockJS: the page's, whose credentials are allowed; NULL = any
    uint32_t name_len;
    uint32_t index;
    uint32_t conn;    // the receiver; SLAB_NONE = none
    uint32_t session; // SLAB_NONE = none
    uint8_t kind, state, receiver;
    bool is_tls;                // SockJS: the first request came that way
    struct chunk_walk walk;     // where in the chunks the receiver is
    uint32_t chars;             // of the present answer, as the client counts them
    uint32_t since_ms;          // the receiver went, or the session ended, or a pause began
    uint32_t beat_ms;           // last heartbeat
    uint32_t new_ms;            // it was made; NEW: its app is to be named within limits.head_ms
    struct buf body;            // the answer to a poll; ENDED: the last words
    struct post *inbox, *early; // in order of arrival; in order of n
    uint32_t inbox_bytes;       // of both
    union {
        uint64_t last_n; // all up to here have come
        int64_t until_s; // FALLBACK_EVENTS: wall time at which its token expires; 0 = it has none
    };
    uint64_t seen_n; // the greatest of a request that is no post: beyond last_n it overtook some
};

static inline struct fallback *fallback_at(const struct serve *s, uint32_t index)
{
    return slab_at(&s->fallbacks, index);
}

/* --- the conversation --- */

struct fallback *fallback_find(const struct serve *s, struct span name); // or NULL

/* name empty = it cannot be found. */
struct fallback *fallback_new(struct serve *s, enum fallback_kind kind, struct span name);

/* The conn's request becomes the receiver; one before it is let go. */
void fallback_attach(struct serve *s, struct fallback *f, struct conn *c, bool is_stream);

/* Opens the session; the claim stands (session_check).  first goes out before
 * connection_established. */
void fallback_open_session(
    struct serve *s, struct fallback *f, const struct session_claim *claim, struct span first);

/* A line that is no message. */
void fallback_line(struct serve *s, struct fallback *f, const char *line);

/* The body of a send: a checked JSON array of strings. */
void fallback_post(struct serve *s, struct fallback *f, struct span body, uint64_t n);

/* Room for so many more bytes of waiting posts; the longest body that a send may have. */
bool fallback_has_room(const struct serve *s, const struct fallback *f, size_t bytes);
size_t fallback_body_limit(const struct serve *s);

/* The number of a receive: what waits for it goes on. */
void fallback_saw(struct serve *s, struct fallback *f, uint64_t n);

/* The session may go on with what waits. */
void fallback_resume(struct serve *s, struct fallback *f);
bool fallback_may_read(const struct serve *s, const struct fallback *f);

/* The receiver's socket is writable; or its peer is gone, which conn_kill also says. */
void fallback_writable(struct serve *s, struct fallback *f);
void fallback_hangup(struct serve *s, struct fallback *f);
void fallback_lost(struct serve *s, struct conn *c);

/* The session has ended for a reason that the client is told; rest is what was pending. */
struct fallback_end {
    enum close_reason why;
    uint16_t code;
    struct span sentence; // p NULL = the reason's own
    struct outbox *rest;
};
void fallback_end(struct serve *s, struct fallback *f, const struct fallback_end *end);

/* Ends the conversation, whether it has a session yet or not. */
void fallback_close(struct serve *s, struct fallback *f, enum close_reason why);

/* A client that answers each heartbeat, or asks anew, is heard; others are known to live by
 * what their sockets take. */
static inline bool fallback_proves_life(const struct fallback *f)
{
    return f->kind == FALLBACK_XHR;
}

/* hub_flush's writer for wires with SERVE_WIRE_FALLBACK. */
int64_t fallback_write(struct serve *s, uint32_t index, const char *bytes, size_t len);

/* After the flush: answers the polls that got something. */
void fallback_answer(struct serve *s);

void fallback_sweep(struct serve *s, struct fallback *f);
void fallback_sweep_early(struct serve *s); // posts that have waited long enough
void fallback_free_all(struct serve *s);

/* --- requests --- */

/* The Content-Type of a receiver that is no stream of events. */
#define FALLBACK_SCRIPT "application/javascript; charset=UTF-8"

/* Header lines of every answer: not to be kept by caches, open to pages of other origins.
 * origin, when not empty, is answered by name, for requests with credentials. */
enum { FALLBACK_HEADERS = 512, ORIGIN_MAX = 200 };
void fallback_headers(struct span origin, char out[FALLBACK_HEADERS]);

/* The origin that the answer to this request names: SockJS clients send credentials.  Empty for
 * other requests. */
struct span fallback_origin(const struct serve *s, const struct http_head *head);

/* For who sends none. */
#define FALLBACK_ANY_ORIGIN "Access-Control-Allow-Origin: *\r\n"

enum fallback_verb {
    FALLBACK_STREAMING,
    FALLBACK_POLL,
    FALLBACK_SEND,
    FALLBACK_WEBSOCKET,
    FALLBACK_INFO,
    FALLBACK_GREETING
};

struct fallback_path {
    enum fallback_verb verb;
    struct span key;  // undecoded; p NULL = SockJS
    struct span name; // of the fallback
};

/* False when path (behind the prefix) is none of this. */
bool fallback_path(struct span path, struct fallback_path *out);

void fallback_request(struct serve *s, struct conn *c, const struct http_head *head,
    const struct fallback_path *path, struct span body);

/* The conversation that this request sends to, or NULL. */
struct fallback *fallback_of_send(const struct serve *s, const struct http_head *head);

/* A path that is nearly one of these: pages of other origins may read that it is not. */
void fallback_not_found(struct serve *s, struct conn *c, const struct http_head *head);

void fallback_preflight(struct serve *s, struct conn *c, const struct http_head *head);

/* --- SockJS --- */

/* Whose first request it is: the app, which is named later, may mind. */
void sockjs_note(struct fallback *f, const struct conn *c, struct span origin);

/* The 101 has been sent. */
void sockjs_begin(struct serve *s, struct conn *c, struct span origin);
void sockjs_receive(struct serve *s, struct conn *c, struct span text);

/* NEW: it ends. */
void sockjs_close(struct serve *s, struct fallback *f, enum close_reason why);

/* NEW: its time may be over, and then it has ended. */
void sockjs_sweep(struct serve *s, struct fallback *f);

/* The first message of a SockJS client: {"path":"/app/KEY?..."}. */
void sockjs_open(struct serve *s, struct fallback *f, struct span text);

/* --- Server-Sent Events --- */

void events_request(struct serve *s, struct conn *c, const struct http_head *head, struct span key);

#endif
