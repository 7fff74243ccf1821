/* sockjs.h - the lines that pusher-js's HTTP transports and SockJS share (pusher-protocol 3.3).
 *
 * A message travels as a["TEXT"].  TEXT is escaped to plain ASCII, so a line has as many
 * bytes as the characters that the client counts: it reconnects after 262,144 of them
 * (pusher-protocol 3.5).
 */
#ifndef WIRE_SOCKJS_H
#define WIRE_SOCKJS_H

#include "base/base.h"
#include "base/buf.h"

/* Bytes of the line for that message (valid UTF-8), without its newline. */
size_t sockjs_message_bytes(struct span text);

/* Writes that line; returns its length. */
size_t sockjs_message(char *out, struct span text);

/* Appends c[CODE,"REASON"], without a newline. */
void sockjs_add_close(struct buf *out, unsigned code, struct span reason);

#endif
