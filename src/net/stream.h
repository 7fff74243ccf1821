/* stream.h - bytes in and out of one socket, in the clear or through TLS.
 *
 * A stream does not know what its bytes mean.  OpenSSL writes the bytes of a handshake by
 * itself while stream_read runs: the one exception to "sockets are written only by the
 * flush" (docs/architecture.md).
 */
#ifndef NET_STREAM_H
#define NET_STREAM_H

#include "base/base.h"
#include "net/tls.h"

struct stream {
    int fd;
    uint32_t retry;     // TLS: bytes that a refused write has promised to the record layer
    struct ssl_st *tls; // NULL in the clear
};

enum { STREAM_AGAIN = 0, STREAM_END = -1 };

/* Takes fd; with a context the peer must begin with a TLS handshake. */
void stream_open(struct stream *s, int fd, struct tls_context *tls);
void stream_close(struct stream *s);

/* A close that throws away what is on its way: the peer sees a reset. */
void stream_reset(struct stream *s);

/* Bytes read; STREAM_AGAIN when there are none now; STREAM_END when the peer has closed or
 * the connection is broken. */
int64_t stream_read(struct stream *s, char *out, size_t room);

/* Bytes taken; STREAM_AGAIN; STREAM_END when broken.  After AGAIN a TLS stream must be
 * offered at least stream_committed bytes, the same ones. */
int64_t stream_write(struct stream *s, const char *bytes, size_t len);

static inline uint32_t stream_committed(const struct stream *s)
{
    return s->retry;
}

/* Nothing more will be written: the peer reads an end. */
void stream_finish(struct stream *s);

#endif
