/* frame.h - the canonical text of one event, shared by everyone who will send it.
 *
 * Immutable from birth; hold per holder, the last drop frees, on any thread.  Each worker
 * encodes it at most once per audience of a channel.
 */
#ifndef BASE_FRAME_H
#define BASE_FRAME_H

#include "base/base.h"

#include <stdatomic.h>

struct frame {
    atomic_uint refs;
    uint32_t len;
    uint32_t name_at, name_len; // the event's name in text, as JSON with its quotes
    uint32_t data_at, data_len; // the data member's value in text; len 0 = there is none
    uint64_t accepted_us;       // monotonic; 0 = not a published event
    struct frame *legacy;       // what flat legacy clients get instead, or NULL; owned
    uint64_t offset;            // in its channel's stream, 0 = in none; the home's to set, once,
    char epoch[16];             // before anybody else looks: and that stream's epoch
    char text[];                // no NUL
};

/* A frame of len bytes that the caller writes before anyone else sees it. */
struct frame *frame_new(size_t len);
void frame_hold(struct frame *f);
void frame_drop(struct frame *f);

static inline struct span frame_text(const struct frame *f)
{
    return span_of(f->text, f->len);
}

static inline struct span frame_data(const struct frame *f)
{
    return span_of(f->text + f->data_at, f->data_len);
}

#endif
