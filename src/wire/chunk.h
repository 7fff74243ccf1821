/* chunk.h - our own output in HTTP's chunked coding (RFC 9112 7.1): one chunk a frame.
 *
 * A frame that is a chunk already needs nothing around it when it is sent, so all receivers
 * share the bytes.  The walk says what in such bytes is framing and what is body: to count
 * what a client sees, and to leave the framing out for an HTTP/1.0 client.
 */
#ifndef WIRE_CHUNK_H
#define WIRE_CHUNK_H

#include "base/base.h"

enum {
    CHUNK_HEAD_MAX = 10, // of a chunk of less than 4 GiB
    CHUNK_TAIL = 2
};

#define CHUNK_LAST "0\r\n\r\n"

/* Writes the head of a chunk; returns its length.  CRLF follows the body. */
size_t chunk_head(char *out, uint32_t body);

/* Zero-initialised: between two chunks. */
struct chunk_walk {
    uint32_t left; // of the body, or the size as far as it was read
    uint8_t state;
};

/* Takes the next run of *in that is either all framing or all body of one chunk.  False at
 * the end of *in. */
bool chunk_next(struct chunk_walk *w, struct span *in, struct span *run, bool *is_body);

static inline bool chunk_is_between(const struct chunk_walk *w)
{
    return w->state == 0;
}

#endif
