/* One socket, with or without TLS. */
#include "base/base.h"

#include "net/stream.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

void stream_open(struct stream *s, int fd, struct tls_context *tls)
{
    *s = (struct stream){.fd = fd, .tls = tls ? tls_accept(tls, fd) : NULL};
}

void stream_close(struct stream *s)
{
    if (s->tls)
        SSL_free(s->tls);
    if (s->fd >= 0)
        close(s->fd);
    *s = (struct stream){.fd = -1};
}

void stream_reset(struct stream *s)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    stream_close(s);
}

static int64_t tls_result(struct stream *s, int rc)
{
    int why = SSL_get_error(s->tls, rc);
    ERR_clear_error();
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? STREAM_AGAIN : STREAM_END;
}

int64_t stream_read(struct stream *s, char *out, size_t room)
{
    if (s->tls) {
        ERR_clear_error();
        int n = SSL_read(s->tls, out, room > INT32_MAX ? INT32_MAX : (int)room);
        return n > 0 ? n : tls_result(s, n);
    }
    for (;;) {
        ssize_t n = recv(s->fd, out, room, 0);
        if (n > 0)
            return n;
        if (n < 0 && errno == EINTR)
            continue;
        return n < 0 && errno == EAGAIN ? STREAM_AGAIN : STREAM_END;
    }
}

static int64_t tls_write_some(struct stream *s, const char *bytes, size_t len)
{
    ENSURE(len >= s->retry);
    int want = len > INT32_MAX ? INT32_MAX : (int)len;
    ERR_clear_error();
    int n = SSL_write(s->tls, bytes, want);
    if (n > 0) {
        s->retry = 0;
        return n;
    }
    int64_t result = tls_result(s, n);
    /* The record layer has taken up to one record of it and wants to see it again. */
    if (result == STREAM_AGAIN)
        s->retry = (uint32_t)(want > SSL3_RT_MAX_PLAIN_LENGTH ? SSL3_RT_MAX_PLAIN_LENGTH : want);
    return result;
}

static int64_t tls_write(struct stream *s, const char *bytes, size_t len)
{
    size_t done = 0;
    while (done < len) {
        int64_t n = tls_write_some(s, bytes + done, len - done);
        if (n <= 0)
            return done ? (int64_t)done : n;
        done += (size_t)n;
    }
    return (int64_t)done;
}

int64_t stream_write(struct stream *s, const char *bytes, size_t len)
{
    if (!len)
        return 0;
    if (s->tls)
        return tls_write(s, bytes, len);
    for (;;) {
        ssize_t n = send(s->fd, bytes, len, MSG_NOSIGNAL);
        if (n >= 0)
            return n;
        if (errno != EINTR)
            return errno == EAGAIN ? STREAM_AGAIN : STREAM_END;
    }
}

void stream_finish(struct stream *s)
{
    if (s->tls) {
        ERR_clear_error();
        if (SSL_is_init_finished(s->tls))
            (void)SSL_shutdown(s->tls); // one way: the peer's answer is not waited for
        ERR_clear_error();
    }
    shutdown(s->fd, SHUT_WR);
}
