/* outbound.h - every HTTP request that this server makes, over libcurl's multi interface.
 *
 * Connections are kept and shared, TLS certificates are verified, redirects are not followed,
 * nothing but http and https is spoken, and no proxy of the environment is used.  A request
 * never blocks, not even on a name that is not resolved: outbound_wait moves all of them along
 * and calls back those that have ended.
 *
 * Thread: one; the courier's.
 */
#ifndef NOTIFY_OUTBOUND_H
#define NOTIFY_OUTBOUND_H

#include "base/base.h"

struct outbound;

enum outbound_outcome {
    OUTBOUND_ANSWERED, // status says how
    OUTBOUND_TIMED_OUT,
    OUTBOUND_REFUSED,  // the address is one that is not to be asked
    OUTBOUND_FAILED,   // no connection, no answer, bad TLS
    OUTBOUND_TOO_LONG, // the answer has more bytes than were wanted
    OUTBOUND_OUTCOMES
};

struct outbound_result {
    enum outbound_outcome outcome;
    int status;        // of ANSWERED
    const char *error; // a sentence, until the callback returns; "" when there is none
    struct span body;  // likewise
    uint32_t took_ms;
    uint64_t now_ms; // monotonic: when it ended
    int64_t wall_ms; // likewise
};

struct outbound_request {
    const char *url;
    const char *const *headers; // "Name: value"; copied
    size_t n_headers;
    struct span body;      // of the POST; stays the caller's and good until done
    uint32_t timeout_ms;   // for the whole exchange
    uint32_t answer_bytes; // kept of the answer's body; more is TOO_LONG; 0 = it is thrown away
    bool refuses_private;  // addresses of this host, of private and of special networks
    void (*done)(void *ctx, const struct outbound_result *result);
    void *ctx;
};

struct outbound *outbound_new(void);
void outbound_free(struct outbound *o); // no done is called any more

/* A POST.  done is called exactly once, from outbound_wait. */
void outbound_post(struct outbound *o, const struct outbound_request *request);

/* Waits until something happens to a request, fd is readable, or the time is over. */
void outbound_wait(struct outbound *o, int fd, int timeout_ms);

/* True for an address that refuses_private refuses; bytes of an IPv4 (4) or IPv6 (16). */
bool outbound_is_private(const unsigned char *address, size_t len);

#endif
