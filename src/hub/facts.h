/* facts.h - what has happened on channels, told to whoever carries it outside.
 *
 * The home of a channel tells its facts in the order in which they happened, so the facts of
 * one channel stay in order on their way through one mailbox.  A fact that no webhook of the
 * app wants (struct app: facts) is never made.
 */
#ifndef HUB_FACTS_H
#define HUB_FACTS_H

#include "base/base.h"
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

const char *fact_event(enum fact_kind kind); // "channel_occupied"
const char *fact_group(enum fact_kind kind); // "channel_existence"

/* The kinds, as bits, that an event name or a group stands for; 0 when it is neither. */
uint32_t fact_mask(struct span name);

/* A copy on the heap of a fact whose spans and frame are borrowed. */
struct fact *fact_copy(const struct fact *f);
void fact_free(struct fact *f);

#endif
