/* pair.h - two ends of a TCP connection on loopback, both non-blocking, in one thread. */
#ifndef PAIR_H
#define PAIR_H

#include "base/base.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "test.h"

enum { PAIR_PATIENCE_MS = 10000 }; // for what the kernel does at once

/* True when fd is ready for one of events. */
static inline bool wait_for(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};
    return poll(&p, 1, PAIR_PATIENCE_MS) == 1;
}

/* A connection to port on 127.0.0.1; -1 when it was refused. */
static inline int connect_to(uint16_t port)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ENSURE(fd >= 0);
    if (connect(fd, (struct sockaddr *)(void *)&to, sizeof to) == 0) {
        ENSURE(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
        return fd;
    }
    close(fd);
    return -1;
}

static inline void open_pair(int fd[2])
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ENSURE(listener >= 0 && bind(listener, (struct sockaddr *)(void *)&at, sizeof at) == 0);
    ENSURE(listen(listener, 1) == 0);
    ENSURE(getsockname(listener, (struct sockaddr *)(void *)&at, &len) == 0);
    fd[1] = connect_to(ntohs(at.sin_port));
    fd[0] = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    ENSURE(fd[0] >= 0 && fd[1] >= 0);
    close(listener);
}

#endif
