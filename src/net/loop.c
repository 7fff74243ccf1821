/* epoll. */
#include "base/base.h"

#include "net/loop.h"

#include <errno.h>
#include <unistd.h>

void loop_init(struct loop *l)
{
    l->n = l->at = 0;
    l->fd = epoll_create1(EPOLL_CLOEXEC);
    ENSURE(l->fd >= 0);
}

void loop_fini(struct loop *l)
{
    close(l->fd);
}

static bool add(struct loop *l, int fd, uint64_t token, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.u64 = token};
    return epoll_ctl(l->fd, EPOLL_CTL_ADD, fd, &e) == 0;
}

bool loop_add(struct loop *l, int fd, uint64_t token)
{
    return add(l, fd, token, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

bool loop_add_level(struct loop *l, int fd, uint64_t token)
{
    return add(l, fd, token, EPOLLIN);
}

void loop_remove(struct loop *l, int fd)
{
    epoll_ctl(l->fd, EPOLL_CTL_DEL, fd, NULL);
}

void loop_wait(struct loop *l, int timeout_ms)
{
    l->at = 0;
    l->n = epoll_wait(l->fd, l->events, LOOP_EVENTS, timeout_ms);
    /* Cut short, as by SIGCONT: what has come by now still belongs to this turn. */
    if (l->n < 0 && errno == EINTR)
        l->n = epoll_wait(l->fd, l->events, LOOP_EVENTS, 0);
    ENSURE(l->n >= 0);
}

bool loop_next(struct loop *l, struct loop_event *e)
{
    if (l->at == l->n)
        return false;
    const struct epoll_event *from = &l->events[l->at++];
    *e = (struct loop_event){.token = from->data.u64,
        .is_readable = from->events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR),
        .is_writable = from->events & EPOLLOUT,
        .is_hangup = from->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)};
    return true;
}
