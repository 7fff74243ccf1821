/* http.h - HTTP/1.1 requests (RFC 9112), read strictly.
 *
 * Two servers that read one stream differently are how requests are smuggled, so whatever
 * two readings are known for is refused: both lengths, a repeated length, any transfer
 * coding but "chunked", folded lines, bare CR or LF, NUL, a blank before the colon.
 */
#ifndef WIRE_HTTP_H
#define WIRE_HTTP_H

#include "base/base.h"
#include "base/buf.h"

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_OPTIONS, HTTP_DELETE, HTTP_OTHER };

enum http_result { HTTP_MORE, HTTP_OK, HTTP_BAD };

struct http_limits {
    size_t head_bytes;
    unsigned headers;
};

/* Everything is a slice of the head's bytes; an absent header is an empty span with p NULL. */
struct http_head {
    enum http_method method;
    struct span method_name;
    struct span path;  // undecoded, before '?'
    struct span query; // undecoded, behind '?'
    unsigned minor;    // HTTP/1.minor
    bool is_keep_alive;
    bool is_chunked;
    bool has_length;
    bool expects_continue;
    bool wants_websocket; // Connection: upgrade and Upgrade: websocket
    uint64_t length;
    struct span host, origin, content_type, authorization;
    struct span ws_key, ws_version, ws_protocol;
    struct span request_headers; // Access-Control-Request-Headers
    struct span socket_id;       // X-Socket-Id
    struct span idempotency_key; // X-Idempotency-Key
    struct span last_event_id;   // Last-Event-ID
    struct span cookie;          // the first of its kind
};

/* Looks for a whole head at the start of in.  *scanned is 0 at first and remembers, between
 * calls with a longer in, what was seen already.  OK: *head is filled, *used bytes belong to
 * it.  BAD: *status is the answer, and the connection cannot go on. */
enum http_result http_head(struct span in, const struct http_limits *limits, size_t *scanned,
    struct http_head *head, size_t *used, int *status) MUST_CHECK;

/* A body in chunks.  Zero-initialised at its start. */
struct http_chunked {
    uint8_t state;
    uint32_t n_line; // bytes of the line that is being read
    uint64_t left;   // of this chunk
};

/* Moves in behind what was taken; body bytes are appended to out, at most limit in all.
 * OK: the body has ended.  BAD: *status is 400 or 413. */
enum http_result http_chunked(
    struct http_chunked *c, struct span *in, struct buf *out, size_t limit, int *status) MUST_CHECK;

/* The next name=value of a query; both undecoded.  False at the end. */
bool http_next_param(struct span *query, struct span *name, struct span *value);

/* Decodes %XX (and '+' as a blank when asked), appending to out.  False for a bad escape. */
bool http_decode(struct span in, bool plus_is_blank, struct buf *out) MUST_CHECK;

/* True when a comma-separated header value holds that token, in any case. */
bool http_has_token(struct span value, const char *lower);

const char *http_reason(int status);

/* The host and port of a page's origin; empty = it came from none, as from a file. */
struct span http_origin_host(struct span origin);

/* True when a page of that origin came from that host (and port). */
bool http_is_same_host(struct span origin, struct span host);

#endif
