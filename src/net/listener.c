/* Listening sockets. */
#include "base/base.h"

#include "net/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BACKLOG = 4096,
    UNSENT_BYTES = 128 * 1024, // what a slow reader may pin in the kernel beside what is in flight
    DEFER_S = 1                // a client speaks first: wake up when it has
};

static bool set_option(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof value) == 0;
}

static bool prepare(int fd, const struct addrinfo *a, enum listener_share share)
{
    if (!set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1))
        return false;
    if (share == LISTENER_SHARED && !set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1))
        return false;
    (void)set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    (void)set_option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT_BYTES);
    (void)set_option(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, DEFER_S);
    return bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0;
}

static uint16_t port_of(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } a;
    socklen_t len = sizeof a;
    memset(&a, 0, sizeof a);
    if (getsockname(fd, &a.any, &len) != 0)
        return 0;
    return ntohs(a.any.sa_family == AF_INET6 ? a.v6.sin6_port : a.v4.sin_port);
}

int listener_open(const char *host, uint16_t *port, enum listener_share share, struct err *err)
{
    char service[8];
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    snprintf(service, sizeof service, "%u", *port);
    int rc = getaddrinfo(host, service, &hints, &found);
    if (rc != 0) {
        err_set(err, 0, "cannot listen on '%s': %s", host, gai_strerror(rc));
        return -1;
    }
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || !prepare(fd, found, share)) {
        err_set(err, 0, "cannot listen on %s port %u: %s", host, *port, strerror(errno));
        if (fd >= 0)
            close(fd);
        fd = -1;
    } else {
        *port = port_of(fd);
    }
    freeaddrinfo(found);
    return fd;
}

int listener_accept(int fd)
{
    for (;;) {
        int conn = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (conn >= 0)
            return conn;
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            return -2;
        /* The peer has gone before it was accepted: the next one. */
        if (errno != EINTR && errno != ECONNABORTED && errno != EPROTO)
            return -1;
    }
}

bool listener_is_loopback(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    if (inet_pton(AF_INET6, host, &v6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&v6);
    return strcmp(host, "localhost") == 0;
}
