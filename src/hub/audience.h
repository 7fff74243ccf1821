/* audience.h - in which bytes an event's text goes to those who hear it.
 *
 * Events are encoded once per channel and audience, never per client; whatever differs
 * between two clients of one audience is not the hub's business.
 */
#ifndef HUB_AUDIENCE_H
#define HUB_AUDIENCE_H

#include "base/base.h"

enum audience {
    AUDIENCE_WS,     // a WebSocket text frame
    AUDIENCE_LINE,   // a["TEXT"] and a newline, in a chunk of HTTP (pusher-protocol 3.3)
    AUDIENCE_SOCKJS, // a["TEXT"] in a WebSocket text frame
    AUDIENCE_WS_ID,  // the same three, with its position in an event that has one
    AUDIENCE_LINE_ID,
    AUDIENCE_SOCKJS_ID,
    AUDIENCE_STREAM,       // a Server-Sent Event, in a chunk of HTTP
    AUDIENCE_STREAM_AT,    // likewise; an event's id is its position, where it has one
    AUDIENCE_STREAM_PLACE, // likewise; the id is its subscriber's own (bookmark)
    AUDIENCE_LEGACY,       // a legacy client's frame (wire/legacy.h) in a WebSocket text frame
    AUDIENCE_LEGACY_ENVELOPE,
    AUDIENCE_LEGACY_ENVIRONMENT,
    AUDIENCES
};

static inline bool audience_is_legacy(enum audience audience)
{
    return audience >= AUDIENCE_LEGACY && audience < AUDIENCES;
}

static inline bool audience_has_id(enum audience audience)
{
    return audience >= AUDIENCE_WS_ID && audience <= AUDIENCE_SOCKJS_ID;
}

/* The one with a position, of those that have one. */
static inline enum audience audience_with_id(enum audience audience)
{
    return audience <= AUDIENCE_SOCKJS ? (enum audience)(audience + AUDIENCE_WS_ID) : audience;
}

static inline bool audience_is_stream(enum audience audience)
{
    return audience >= AUDIENCE_STREAM && audience <= AUDIENCE_STREAM_PLACE;
}

/* Room that the encoded text takes at most, in bytes. */
size_t audience_room(enum audience audience, struct span text);

/* Encodes; returns the length, 0 for what this audience is not told.  wall_ms: the time that
 * legacy clients are told. */
size_t audience_encode(enum audience audience, char *out, struct span text, int64_t wall_ms);

/* The same for an event stream, with an id: room for AUDIENCE_ID and its length more. */
enum { AUDIENCE_ID = 5 };
size_t audience_encode_event(char *out, struct span id, struct span text);

/* A line that is no message (o, h, a[], c[...], or an event stream's comment), as this
 * audience has it; room for AUDIENCE_EXTRA more bytes than the line. */
enum { AUDIENCE_EXTRA = 24 };
size_t audience_line(enum audience audience, char *out, struct span line);

#endif
