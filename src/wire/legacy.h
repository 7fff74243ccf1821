/* legacy.h - what clients of the raw WebSocket endpoints say and hear.
 *
 * They name channels otherwise, and an event reaches them as {"type":...} (docs/legacy.md).
 * These are texts only: who may do what is not known here.
 */
#ifndef WIRE_LEGACY_H
#define WIRE_LEGACY_H

#include "base/base.h"
#include "base/buf.h"
#include "wire/json.h"

/* The forms that one event takes. */
enum legacy_form {
    LEGACY_FLAT,        // {"type","channel","data","payload","timestamp"}
    LEGACY_ENVELOPE,    // {"id","type":"broadcast","payload":{"channel","data"},...}
    LEGACY_ENVIRONMENT, // only the steps of a creation, as they were called
    LEGACY_FORMS
};

enum { LEGACY_NAME_CHARS = 100 };

/* --- names of channels --- */

/* What the client's name stands for; appended.  A name that already is a Channels name with
 * its kind in front is itself.  topics: the endpoint's own four names come first. */
void legacy_add_channel(struct span name, bool topics, struct buf *out);

/* The other way. */
void legacy_add_name(struct span channel, struct buf *out);

/* deployments, agents, scripts or validation. */
bool legacy_is_topic(struct span name);

/* --- what they hear --- */

/* Room that legacy_encode needs at most. */
size_t legacy_room(struct span text);

/* text is an event in its canonical form; wall_ms is the timestamp.  The length, or 0 when
 * clients of that form are not told of it. */
size_t legacy_encode(enum legacy_form form, char *out, struct span text, int64_t wall_ms);

/* --- what they say --- */

enum legacy_fault {
    LEGACY_OK,
    LEGACY_NOT_JSON,
    LEGACY_NOT_OBJECT,
    LEGACY_NO_TYPE // or it is no string
};

struct legacy_message {
    struct span type; // decoded
    struct json root; // the object
    struct json payload, data, channel, channels, id;
};
enum legacy_fault legacy_read(struct span text, struct buf *scratch, struct legacy_message *out);

/* The names that a message lists, in any of the forms of which clients are known: channels,
 * channel, payload.channels, payload.channel, or payload itself.  Appends each with a NUL
 * behind it.  *n is their number. */
enum legacy_list { LIST_OK, LIST_BAD_FORM, LIST_BAD_NAME };
enum legacy_list legacy_read_names(
    const struct legacy_message *m, struct buf *scratch, struct buf *names, size_t *n);

#endif
