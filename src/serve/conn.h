/* conn.h - a socket: what it is reading, what it has to send.  Private to serve.
 *
 * A conn is not a session: it carries HTTP requests, or it is attached to one session
 * (session.h), which may outlive it.
 */
#ifndef SERVE_CONN_H
#define SERVE_CONN_H

#include "serve/serve.h"
#include "wire/http.h"
#include "wire/ws.h"

struct call;
struct ip;

/* What is kept of a request that has not arrived whole, or of input that must wait. */
struct intake {
    struct buf parked; // input that was read and not yet taken
    size_t scanned;    // of parked: no head ends before here
    bool in_body;
    struct buf head; // the head's bytes, while the body is read
    struct http_chunked chunked;
    struct buf body;
    size_t body_limit;
};

enum {
    CONN_TLS = 1 << 0,
    CONN_UNREAD = 1 << 1,     // the socket may hold input that was not read
    CONN_HANGUP = 1 << 2,     // the peer has ended its side
    CONN_PENDING = 1 << 3,    // the socket did not take everything of out
    CONN_TOUCHED = 1 << 4,    // listed for the flush
    CONN_AGAIN = 1 << 5,      // listed to be read again
    CONN_ECHO = 1 << 6,       // the echo route: frames go back as they came
    CONN_FINISHED = 1 << 7,   // our side has ended
    CONN_BEGUN = 1 << 8,      // some bytes of the next request are here
    CONN_LINGER = 1 << 9,     // CLOSING: a slow reader gets longer to take the end
    CONN_LAST = 1 << 10,      // no request after this one
    CONN_HEAD_ONLY = 1 << 11, // the request is HEAD: the answer has no body
    CONN_USED = 1 << 12,      // it has carried a request
    CONN_FALLBACK = 1 << 13,  // it is the receiver of a fallback
    CONN_HTTP10 = 1 << 14,    // the request is HTTP/1.0: the answer has no chunks
    CONN_BROKEN = 1 << 15     // writing failed
};

/* The read buffer: the longest parked head there can be, and one read. */
enum { CONN_READ_BYTES = 64 * 1024, CONN_INPUT_BYTES = CONN_READ_BYTES + 1200 * 1024 };

struct conn {
    struct list_node node;
    struct stream stream;
    struct outbox out;
    uint32_t index;    // of this conn in serve.conns
    uint32_t session;  // SLAB_NONE = none
    uint32_t stamp;    // tells this conn from the slot's next one, in the loop's tokens
    uint32_t serial;   // of the request
    uint32_t since_ms; // when the present wait began: for a head, a body, the next request, an end
    uint16_t flags;
    uint8_t state;
    struct ws_reader ws;
    struct intake *in; // NULL while there is nothing to keep
    union {
        struct call *call; // ANSWER: what the answers are gathered in
        uint32_t fallback; // with CONN_FALLBACK: its index
    };
    struct ip *ip; // NULL unless connections are counted by address
};

static inline struct conn *conn_at(const struct serve *s, uint32_t index)
{
    return slab_at(&s->conns, index);
}

/* Where hub_flush writes for a session that this conn alone carries. */
static inline uint32_t conn_wire(const struct conn *c)
{
    return c->stream.tls ? SERVE_WIRE_CONN | c->index : (uint32_t)c->stream.fd;
}

void conn_accept(struct serve *s, int fd, bool is_tls);
void conn_become(struct serve *s, struct conn *c, enum conn_state next);

/* The socket is readable, or may be read again. */
void conn_read(struct serve *s, struct conn *c);

/* The same in the next turn: for whoever is in the middle of another conn's input. */
void conn_read_later(struct serve *s, struct conn *c);

/* What was parked is taken up again: the session or request it waited for is done. */
void conn_resume(struct serve *s, struct conn *c);

/* Bytes for the peer, written at the flush. */
void conn_send(struct serve *s, struct conn *c, struct span bytes);
void conn_send_frame(struct serve *s, struct conn *c, enum ws_kind kind, struct span payload);
void conn_touch(struct serve *s, struct conn *c);
void conn_flush(struct serve *s, struct conn *c);

/* Nothing is read any more; when out is empty the connection ends. */
void conn_finish(struct serve *s, struct conn *c);

/* Ends at once; with an attached session, that ends too. */
void conn_kill(struct serve *s, struct conn *c);
void conn_reap(struct serve *s);

/* Looks at one conn's clocks. */
void conn_sweep(struct serve *s, struct conn *c);

/* An event of the loop; false when its conn has gone. */
bool conn_event(struct serve *s, const struct loop_event *e);

/* At a request boundary: the whole conn goes to another worker. */
void conn_move(struct serve *s, struct conn *c, unsigned worker);
void conn_receive(struct serve *s, struct mail *letter);

/* --- HTTP --- */

struct reply {
    int status;
    const char *type; // Content-Type; NULL = no body
    struct span body;
    const char *headers; // more header lines, each with CRLF; NULL = none
};

/* Answers the present request and goes on with the next, or ends. */
void conn_reply(struct serve *s, struct conn *c, const struct reply *r);
void conn_reply_text(struct serve *s, struct conn *c, int status, const char *format, ...)
    PRINTF_LIKE(4, 5);

/* A request is whole.  The spans of head and body are good until this returns. */
void route_request(struct serve *s, struct conn *c, const struct http_head *head, struct span body);

/* The worker that has to handle it: usually this one. */
unsigned route_worker(const struct serve *s, const struct http_head *head);

/* How many body bytes the request may have. */
size_t route_body_limit(const struct serve *s, const struct http_head *head);

/* Fills the claim, which has its transport, is_tls and has_place, and says why the session may not be
 * opened (session_check).  The claim's key is good until the request or message is done. */
struct session_claim;
enum close_reason route_claim(
    struct serve *s, const struct http_head *head, struct span key, struct session_claim *claim);

/* The protocol that a query names: -1 = none, 0 = not a number. */
int route_protocol(struct span query);

/* The answer to an upgrade; more: further header lines, or NULL. */
enum { ROUTE_101 = 2048 };
struct span route_101(const struct http_head *head, const char *more, char out[ROUTE_101]);

/* The conn carries a session from now on; opts lacks wire and at.  NULL when it could not: it
 * has ended then, and the app's connection is given back. */
struct session_opts;
struct session *route_open_session(struct serve *s, struct conn *c, const struct http_head *head,
    struct session_opts *opts, const char *more);

/* True when no further session is to be opened. */
bool route_is_full(const struct serve *s);

/* The path behind the configured prefix; false when it does not begin with it. */
bool route_path(const struct serve *s, struct span path, struct span *rest);

#endif
