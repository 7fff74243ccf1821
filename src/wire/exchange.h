/* exchange.h - an HTTP request that another thread makes, and what came of it, as letters.
 *
 * Whoever asks names the exchange by a number of its own; the answer carries it back.
 */
#ifndef WIRE_EXCHANGE_H
#define WIRE_EXCHANGE_H

#include "base/base.h"
#include "base/buf.h"
#include "base/mail.h"

/* Letters to the courier that are such questions; below MAIL_OTHER and above every fact. */
enum { EXCHANGE_ASK = MAIL_OTHER - 1 };

enum exchange_outcome {
    EXCHANGE_ANSWERED, // status and body say how
    EXCHANGE_TIMED_OUT,
    EXCHANGE_FAILED,   // no connection, or no HTTP
    EXCHANGE_TOO_LONG, // its answer has more bytes than are taken
    EXCHANGE_BUSY,     // as many as there may be are under way
    EXCHANGE_OPEN,     // it failed so often of late that it is not asked
    EXCHANGE_OUTCOMES
};

/* A POST of JSON.  Everything is owned by the letter. */
struct exchange {
    struct mail mail; // the courier's EXCHANGE_ASK
    unsigned worker;  // who asks
    uint64_t id;
    char *url, *name;    // name: of the route, for the log
    char *request_id;    // Idempotency-Key
    char *secret;        // signs the body; NULL = unsigned
    char *authorization; // forwarded; NULL = not
    struct buf body;
    uint32_t timeout_ms, retries, max_inflight, answer_bytes;
};

struct exchange_answer {
    struct mail mail; // the worker's SERVE_LETTER_EXCHANGE
    uint64_t id;
    enum exchange_outcome outcome;
    int status;
    struct buf body;
};

void exchange_free(struct exchange *x); // NULL is fine; wipes secrets
void exchange_answer_free(struct exchange_answer *a);

#endif
