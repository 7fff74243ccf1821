/* history.h - what a channel has published lately, by offset.
 *
 * A stream gives every event an offset: 1, 2, 3, without holes, assigned once.  Its epoch says
 * which stream that is: it changes whenever continuity cannot be proven.  A position is both.
 * The ring keeps the events of the last offsets, within the rule's limits; the newest stays
 * countable when all have gone.
 */
#ifndef HUB_HISTORY_H
#define HUB_HISTORY_H

#include "base/base.h"
#include "base/frame.h"
#include "base/list.h"
#include "base/mail.h"
#include "hub/app.h"
#include "hub/position.h"

struct history_event {
    struct frame *frame; // held
    int64_t time_ms;     // wall time of its acceptance
    uint64_t at_us;      // the same, monotonic
};

enum history_tier {
    TIER_MEMORY,  // the ring is all there is
    TIER_OPENING, // what the store has is not known yet
    TIER_STORED,  // every offset is in the store or on its way there; the ring has the last ones
    TIER_APART    // its rule is a durable one, but the store has failed: as MEMORY for now
};

/* Letters in the order in which they came. */
struct line {
    struct mail *first, *last;
};

struct channel;

struct history {
    struct channel *channel;         // whose it is
    const struct history_rule *rule; // NULL = a reload has taken it away
    enum history_tier tier;
    bool is_born;         // the store knows of it, or may
    bool is_filling;      // the store has been asked for events that the ring has dropped
    struct line waiting;  // until what the store has is known
    struct line askers;   // questions that wait for an event
    uint64_t polled_us;   // when somebody last asked who will be back; 0 = never
    struct line unsaid;   // on their way to the store: said when they are there
    uint64_t sent;        // the offset of the last of these; the top's when there are none
    uint64_t stored_from; // the store has nothing older
    struct position top;  // of the newest event; offset 0 before the first
    struct history_event *ring;
    uint32_t first, n, cap; // of the ring
    uint64_t bytes;         // of the frames
    uint64_t used_us;       // when anybody last wanted anything of it
    struct list_node age;   // among the hub's histories, by used_us
    bool is_spent;          // it has had to let go: listed apart
};

struct history *history_new(const struct history_rule *rule, uint64_t now_us);
void history_free(struct history *s); // NULL is fine

/* Takes the next offset for the event, and keeps it as long as the rule says, or in the ring of
 * a durable stream as long as a client that comes back may ask for it.  A reference of frame is
 * taken. */
uint64_t history_append(struct history *s, struct frame *frame, uint64_t now_us, int64_t wall_ms);

/* Lets go of what is older than the rule allows; without a rule, of everything. */
void history_expire(struct history *s, uint64_t now_us);

/* Puts an event before the oldest in the ring.  False when it is no neighbour of that, or there
 * is no room for it.  A reference of frame is taken. */
bool history_prepend(struct history *s, const struct history_event *e, uint64_t offset) MUST_CHECK;

/* Lets go of the ring; positions stay good. */
void history_clear(struct history *s);

/* Forgets everything; positions of before are worth nothing. */
void history_reset(struct history *s);

/* The oldest offset that is kept; top + 1 when none is. */
uint64_t history_oldest(const struct history *s);

/* The same for the ring and the store together, as far as is known here. */
uint64_t history_kept_from(const struct history *s);

/* The event of an offset from history_oldest to top. */
const struct history_event *history_at(const struct history *s, uint64_t offset);

enum history_verdict {
    HISTORY_WHOLE, // everything behind the position is there
    HISTORY_EPOCH_CHANGED,
    HISTORY_EXPIRED, // some of it has gone
    HISTORY_TOO_MANY,
    HISTORY_AHEAD // no such offset has been assigned
};
const char *history_word(enum history_verdict verdict);

/* Can who was at that position go on? */
enum history_verdict history_check(const struct history *s, const struct position *at);

#endif
