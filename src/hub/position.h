/* position.h - where somebody is in a channel's stream, and how clients write it.
 *
 * "EPOCH:OFFSET"; an epoch is letters and digits.  A list has commas between, and nothing where
 * there is no position.
 */
#ifndef HUB_POSITION_H
#define HUB_POSITION_H

#include "base/base.h"
#include "base/buf.h"
#include "wire/json.h"

enum { EPOCH_CHARS = 12, POSITION_CHARS = EPOCH_CHARS + 1 + 20 };

struct position {
    char epoch[EPOCH_CHARS + 1]; // "" = none
    uint64_t offset;
};

/* What a subscriber says of recovery (docs/history.md). */
struct recovery {
    bool is_asked;        // it counts offsets
    bool is_inline;       // it wants the position in each event, too
    struct position from; // epoch "": it comes for the first time
    uint32_t rewind;      // then: so many of the last events,
    uint32_t rewind_s;    // or those of so many seconds
};

/* The same place of the same stream. */
bool position_is(const struct position *a, const struct position *b);

/* False when the text is none. */
bool position_read(struct span text, struct position *out) MUST_CHECK;

/* Appends it; nothing for none. */
void position_add(struct buf *out, const struct position *at);

/* A list: to[0..n) are filled, with none where the list has nothing.  False when it is no list
 * of at most n positions. */
bool positions_read(struct span list, struct position *to, size_t n) MUST_CHECK;

/* Appends the list, without the commas at its end. */
void positions_add(struct buf *out, const struct position *at, size_t n);

/* Appends an event's text with its position as one member more. */
void position_add_event(struct buf *out, struct span text, const struct position *at);

/* None that was ever given: who says it was there is told that it cannot go on. */
struct position position_unknown(void);

/* The member "recovery" of a subscription; absent and null ask for nothing.  False when it is no
 * such object.  scratch has room for what is decoded. */
bool recovery_read(const struct json *value, struct buf *scratch, struct recovery *out) MUST_CHECK;

#endif
