/* facts.h - what has happened on channels, told to whoever carries it outside.
 *
 * The home of a channel tells its facts in the order in which they happened, so the facts of
 * one channel stay in order on their way through one mailbox.  A fact that no webhook of the
 * app wants (struct app: facts) is never made.
 */
#ifndef HUB_FACTS_H
#define HUB_FACTS_H

#include "base/base.h"
#include "base/counter.h"
#include "base/frame.h"
#include "base/mail.h"

enum fact_kind {
#define FACT(name, event, group, sentence) FACT_##name,
#include "hub/facts.def"
#undef FACT
    FACT_KINDS
};

/* A letter, whose kind is a fact_kind.  The spans point into it. */
struct fact {
    struct mail mail;
    uint32_t app;   // slot
    uint32_t count; // COUNT: subscribers
    struct span channel;
    struct span user;      // MEMBER_*, and CLIENT_EVENT on a presence channel: user id
    struct span socket_id; // CLIENT_EVENT
    struct frame *frame;   // CLIENT_EVENT: held
};

/* What became of a fact, once for each webhook that wanted it. */
enum fact_outcome {
    FACT_DELIVERED,
    FACT_EXPIRED,    // its receiver did not take it for too long
    FACT_OVERFLOWED, // too many were waiting
    FACT_REMOVED,    // a reload took its webhook away
    FACT_ABANDONED,  // the server stopped
    FACT_SUPPRESSED, // undone before it was told: once, whatever the webhooks
    FACT_OUTCOMES
};

enum { FACT_LATENCY_BUCKETS = 12 };

/* Upper bounds in milliseconds; the last bucket has none. */
extern const uint32_t fact_latency_ms[FACT_LATENCY_BUCKETS - 1];

/* One writer: the courier.  Read by whoever shows metrics. */
struct fact_counts {
    struct counter events[FACT_KINDS][FACT_OUTCOMES];
    struct counter attempts, failures;     // requests made, and those of them that were not taken
    struct counter waiting, waiting_bytes; // gauges
    struct counter latency[FACT_LATENCY_BUCKETS], latency_ms; // from the fact to its delivery
};

/* A worker asks what became of an app's facts; the answer is a LETTER_ANSWER with JSON. */
enum { FACT_ASK = FACT_KINDS };
struct fact_ask {
    struct mail mail;    // kind FACT_ASK
    uint32_t app;        // slot
    uint32_t request[3]; // whose HTTP request
    unsigned worker;
};

const char *fact_outcome_word(enum fact_outcome outcome);

const char *fact_event(enum fact_kind kind); // "channel_occupied"
const char *fact_group(enum fact_kind kind); // "channel_existence"

/* The kinds, as bits, that an event name or a group stands for; 0 when it is neither. */
uint32_t fact_mask(struct span name);

/* A copy on the heap of a fact whose spans and frame are borrowed. */
struct fact *fact_copy(const struct fact *f);
void fact_free(struct fact *f);

#endif
