/* conn.c - sockets: opening many, reading what came, losing some. */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

void conn_kill(struct load *l, struct conn *c, const char *why)
{
    if (c->state == CONN_DEAD)
        return;
    if (c->fd >= 0)
        (void)close(c->fd);
    if (c->state == CONN_READY)
        l->n_ready--;
    if (c->kind == CONN_PUBLISHER && c->busy)
        l->n_pending--;
    c->fd = -1;
    c->state = CONN_DEAD;
    l->n_dead++;
    l->tally.closed++;
    note_error(l, why, strlen(why));
}

void conn_ready(struct load *l, struct conn *c)
{
    c->state = CONN_READY;
    l->n_ready++;
}

/* Clients sit on many loopback addresses, so that ports do not run out between runs. */
static void bind_source(struct load *l, int fd)
{
    int one = 1;
    uint32_t host = 2 + (uint32_t)(l->opened++ / 4000) % 250;
    struct sockaddr_in from = {.sin_family = AF_INET};
    from.sin_addr.s_addr = htonl(0x7f000000U | host);
    (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (bind(fd, (const struct sockaddr *)&from, sizeof from))
        die("bind: %s", strerror(errno));
}

void conn_open(struct load *l, struct conn *c)
{
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        die("socket: %s (raise the limit of open files)", strerror(errno));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    bind_source(l, fd);
    c->fd = fd;
    if (!c->is_asking) // one that asks anew stays what it is
        c->state = CONN_CONNECTING;
    if (connect(fd, (const struct sockaddr *)&l->target, sizeof l->target) &&
        errno != EINPROGRESS) {
        conn_kill(l, c, strerror(errno));
        return;
    }
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET | EPOLLRDHUP};
    e.data.u32 = (uint32_t)(c - l->conns);
    if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &e))
        die("epoll_ctl: %s", strerror(errno));
}

bool conn_send(struct load *l, struct conn *c, const char *bytes, size_t len)
{
    while (len) {
        ssize_t n = send(c->fd, bytes, len, MSG_NOSIGNAL);
        if (n >= 0) {
            bytes += n;
            len -= (size_t)n;
            continue;
        }
        struct pollfd p = {.fd = c->fd, .events = POLLOUT};
        if (errno != EINTR && (errno != EAGAIN || poll(&p, 1, 2000) <= 0)) {
            conn_kill(l, c, "send failed");
            return false;
        }
    }
    return true;
}

static void on_connected(struct load *l, struct conn *c)
{
    int error = 0;
    socklen_t len = sizeof error;
    (void)getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error) {
        conn_kill(l, c, strerror(error));
        return;
    }
    /* Writability is waited for where it is needed; as an edge it would only wake. */
    struct epoll_event e = {.events = EPOLLIN | EPOLLET | EPOLLRDHUP};
    e.data.u32 = (uint32_t)(c - l->conns);
    (void)epoll_ctl(l->epoll, EPOLL_CTL_MOD, c->fd, &e);
    c->is_asking = false;
    if (c->kind == CONN_PUBLISHER)
        conn_ready(l, c);
    else if (l->opt.transport != TRANSPORT_WS)
        http_ask(l, c);
    else
        client_upgrade(l, c);
}

static void keep_tail(struct conn *c, const char *bytes, size_t len)
{
    if (len > c->tail_cap) {
        c->tail_cap = (uint32_t)len + 1024;
        c->tail = realloc(c->tail, c->tail_cap);
        if (!c->tail)
            die("out of memory");
    }
    if (len)
        memcpy(c->tail, bytes, len);
    c->tail_len = (uint32_t)len;
}

/* Reads until the socket is empty (a short read) or, at the end, closed. */
static void on_readable(struct load *l, struct conn *c, bool to_the_end)
{
    for (;;) {
        size_t have = c->tail_len;
        if (have)
            memcpy(l->scratch, c->tail, have);
        ssize_t n = recv(c->fd, l->scratch + have, LOAD_SCRATCH - have, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) {
            conn_kill(l, c, n ? strerror(errno) : "the server closed a connection");
            return;
        }
        size_t len = have + (size_t)n;
        size_t used = c->kind == CONN_PUBLISHER          ? publish_read(l, c, l->scratch, len)
                      : l->opt.transport == TRANSPORT_WS ? client_read(l, c, l->scratch, len)
                                                         : http_read(l, c, l->scratch, len);
        if (c->is_asking)
            return;
        if (c->state == CONN_DEAD)
            return;
        if (used < len && len == LOAD_SCRATCH) {
            conn_kill(l, c, "a frame larger than the read buffer");
            return;
        }
        keep_tail(c, l->scratch + used, len - used);
        if ((size_t)n < LOAD_SCRATCH - have && !to_the_end)
            return;
    }
}

int conns_pump(struct load *l, int timeout_ms)
{
    static struct epoll_event events[4096];
    int n = epoll_wait(l->epoll, events, 4096, timeout_ms);
    for (int i = 0; i < n; i++) {
        struct conn *c = &l->conns[events[i].data.u32];
        uint32_t what = events[i].events;
        if (c->state == CONN_DEAD)
            continue;
        if (c->state != CONN_CONNECTING && !c->is_asking)
            on_readable(l, c, what & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
        else if (what & (EPOLLOUT | EPOLLERR | EPOLLHUP))
            on_connected(l, c);
    }
    return n;
}

double conns_open(struct load *l, uint32_t from, uint32_t to)
{
    uint64_t start = now_ns(), limit = start + 60000000000U;
    uint32_t before = l->n_ready + l->n_dead, next = from;
    for (;;) {
        uint32_t done = l->n_ready + l->n_dead - before;
        if (done >= to - from)
            break;
        while (next < to && next - from < done + l->opt.connecting)
            conn_open(l, &l->conns[next++]);
        conns_pump(l, 20);
        if (now_ns() > limit)
            die("only %u of %u connections became ready: %s", done, to - from, l->error);
    }
    return (double)(now_ns() - start) / 1e9;
}
