/* pusher.h - the messages of the Channels protocol, version 7 (pusher-protocol 2).
 *
 * What comes in is cut into slices; what goes out is appended to a buf or made a frame.
 * data of an outgoing event is always a JSON string, except in pusher:error (2.1).
 */
#ifndef WIRE_PUSHER_H
#define WIRE_PUSHER_H

#include "base/base.h"
#include "base/buf.h"
#include "base/frame.h"
#include "wire/json.h"

/* What a channel's name says about it (2.4). */
enum channel_trait {
    CHANNEL_PRIVATE = 1 << 0, // a signature is needed: private, presence and encrypted
    CHANNEL_PRESENCE = 1 << 1,
    CHANNEL_CACHE = 1 << 2,
    CHANNEL_ENCRYPTED = 1 << 3,
    CHANNEL_USER = 1 << 4 // #server-to-user-ID
};

#define PUSHER_USER_PREFIX "#server-to-user-"

enum {
    PUSHER_NO_CODE = 0, // "code":null
    PUSHER_RATE_LIMIT = 4301,
    PUSHER_WATCHLIST_LIMIT = 4302
};

/* True when name is a channel's name of at most max_chars; *traits says which kind. */
bool pusher_channel(struct span name, size_t max_chars, unsigned *traits) MUST_CHECK;

/* True for the characters a channel's name may have.  Not empty. */
bool pusher_is_name(struct span name);

/* A message from a client.  False when it is not an object with a string "event". */
struct pusher_message {
    struct span event;      // decoded
    struct span event_json; // as it came, with quotes
    struct json data;
    struct json channel;
};
bool pusher_read(struct span text, struct buf *scratch, struct pusher_message *out) MUST_CHECK;

/* The object that a pusher:* event carries: data itself, or the object in a JSON string
 * (2.1).  False when it is neither. */
bool pusher_read_data(const struct json *data, struct buf *scratch, struct json_field *fields,
    size_t n_fields) MUST_CHECK;

/* {"event":E,"channel":C,"data":D,"user_id":U}.  event and data are JSON; data.len 0 and
 * user_id.p NULL leave those members out.  One reference. */
struct frame *pusher_event(
    struct span event, struct span channel, struct span data, struct span user_id);

/* An event named by us whose data is the string form of inner (JSON text).  channel.p NULL =
 * no channel. */
struct frame *pusher_internal(const char *event, struct span channel, struct span inner);

void pusher_add_established(struct buf *out, struct span socket_id, uint32_t activity_timeout_s);
void pusher_add_error(struct buf *out, int code, struct span message);
void pusher_add_subscription_error(
    struct buf *out, struct span channel, const char *type, struct span error, int status);
void pusher_add_pong(struct buf *out);

/* Any JSON value as the JSON string that carries it: a string stays what it is. */
void pusher_add_string_form(struct buf *out, const struct json *value);

#endif
