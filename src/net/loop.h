/* loop.h - waiting for many descriptors (epoll, edge-triggered).
 *
 * A descriptor is registered once, for everything; after that epoll_ctl is never called
 * again.  Whoever reads or writes must go on until the kernel says that it is enough.
 */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include "base/base.h"

#include <sys/epoll.h>

enum { LOOP_EVENTS = 1024 };

struct loop {
    int fd;
    int n, at; // events of the last wait, and how many were handed out
    struct epoll_event events[LOOP_EVENTS];
};

struct loop_event {
    uint64_t token;
    bool is_readable, is_writable;
    bool is_hangup; // the peer has closed, at least its sending half
};

void loop_init(struct loop *l);
void loop_fini(struct loop *l);

/* False when the kernel will not watch it. */
bool loop_add(struct loop *l, int fd, uint64_t token) MUST_CHECK;

/* For descriptors that are told to read only, as long as there is something (level). */
bool loop_add_level(struct loop *l, int fd, uint64_t token) MUST_CHECK;
void loop_remove(struct loop *l, int fd); // closing it does the same

void loop_wait(struct loop *l, int timeout_ms); // -1 = for ever
bool loop_next(struct loop *l, struct loop_event *e);

#endif
