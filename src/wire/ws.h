/* ws.h - WebSocket frames (RFC 6455): a reader of client frames, a writer of server frames.
 *
 * The reader does no I/O.  It is given bytes as they come and unmasks them in place; a
 * message that lies whole in those bytes costs no copy and no allocation.  What is left of a
 * message that does not is kept in ws_partial, so an idle reader is one NULL pointer.
 *
 * UTF-8 of text is checked as it arrives: a bad byte fails at once, not at the message's end.
 */
#ifndef WIRE_WS_H
#define WIRE_WS_H

#include "base/base.h"

enum ws_kind { WS_CONTINUATION = 0, WS_TEXT = 1, WS_BINARY = 2, WS_CLOSE = 8, WS_PING, WS_PONG };

enum {
    WS_HEAD_MAX = 10,     // of a server frame
    WS_CONTROL_MAX = 125, // bytes in a control frame
    WS_ACCEPT = 28,       // characters of Sec-WebSocket-Accept
    WS_PROTOCOL_ERROR = 1002,
    WS_UNSUPPORTED = 1003,
    WS_BAD_DATA = 1007,
    WS_TOO_BIG = 1009
};

enum ws_result {
    WS_MORE, // everything was taken; come again with more
    WS_OK,   // *out is the next message: handle it, then call again
    WS_BAD   // close with *code; the reader is of no more use
};

struct ws_message {
    enum ws_kind kind; // text and binary are whole messages, never fragments
    struct span data;  // until the next call
};

struct ws_partial;

struct ws_reader {
    struct ws_partial *partial; // NULL exactly between two messages
};

void ws_reader_fini(struct ws_reader *r);

/* Takes bytes from *in (they are changed: unmasked) and moves in behind them.  A message of
 * more than limit bytes is refused at the header that announces it. */
enum ws_result ws_next(struct ws_reader *r, struct span *in, size_t limit, struct ws_message *out,
    uint16_t *code) MUST_CHECK;

/* Writes the head of a final server frame; returns 2, 4 or 10. */
size_t ws_head(char *out, enum ws_kind kind, size_t payload);

/* True for a code that a close frame may carry on the wire. */
bool ws_code_is_valid(uint16_t code);

/* Sec-WebSocket-Accept for a client's key: WS_ACCEPT characters. */
void ws_accept(struct span key, char out[WS_ACCEPT]);

#endif
