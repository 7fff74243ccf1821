/* listener.h - a socket that accepts. */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include "base/base.h"
#include "base/err.h"

enum listener_share {
    LISTENER_ALONE, // fails while anyone else listens on the port
    LISTENER_SHARED // SO_REUSEPORT: one per worker, the kernel spreads connections
};

/* A non-blocking listening socket, or -1 with err filled.  *port 0 is replaced by the port
 * that the kernel chose.  What it sets is inherited by accepted sockets: no delay, and a
 * bound on what the kernel queues unsent. */
int listener_open(const char *host, uint16_t *port, enum listener_share share, struct err *err);

/* The next connection, non-blocking; -1 when there is none now; -2 when descriptors are
 * spent. */
int listener_accept(int fd);

/* True when host is a name or address of this machine alone. */
bool listener_is_loopback(const char *host);

#endif
