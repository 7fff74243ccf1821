/* once.h - requests that their senders name, so that a repetition acts once (history 3.1).
 *
 * The first answer to a name is kept for ten minutes and given to whoever repeats it; who comes
 * while the first is still at work waits for its answer.  One table for all workers, behind a
 * mutex that is held for a look-up and never together with another lock.  Thread: any.
 */
#ifndef SERVE_ONCE_H
#define SERVE_ONCE_H

#include "base/base.h"
#include "base/buf.h"

enum {
    ONCE_KEY_CHARS = 128,
    ONCE_MS = 10 * 60 * 1000,
    ONCE_NAMES_MAX = 100000,
    ONCE_BYTES_MAX = 64 * 1024 * 1024 // of names and answers: the oldest go before their time
};

struct once;

struct once *once_new(void);
void once_free(struct once *o); // NULL is fine

enum once_result {
    ONCE_FIRST, // nobody has used the name: once_end must follow
    ONCE_AGAIN, // *answer is the first one's
    ONCE_WAIT   // the first is at work: the waiter will be in once_end's list
};

struct once_answer {
    int status;
    struct buf body; // the caller's
};

struct once_waiter {
    unsigned worker;
    uint32_t request[3];
};

enum once_result once_begin(struct once *o, struct span name, uint64_t now_ms,
    const struct once_waiter *waiter, struct once_answer *answer);

/* The first one's answer; is_kept false: the name is free again.  *waiters are the caller's to
 * answer and to free; returns their number. */
size_t once_end(struct once *o, struct span name, int status, struct span body, bool is_kept,
    struct once_waiter **waiters);

struct once_figures {
    size_t n;           // names that are kept
    uint64_t bytes;     // of them and their answers
    uint64_t n_evicted; // that went before their time, ever
};
void once_read(struct once *o, struct once_figures *out);

#endif
