/* A table of client addresses. */
#include "base/base.h"

#include "serve/ip.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/map.h"
#include "base/mem.h"

struct ip {
    struct map_node node;
    uint32_t n;
    size_t len;
    char address[16];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; // protects table and what is in it
static struct map table;

static size_t read_address(int fd, char out[16])
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } a;
    socklen_t len = sizeof a;
    memset(&a, 0, sizeof a);
    if (getpeername(fd, &a.any, &len) != 0)
        return 0;
    if (a.any.sa_family == AF_INET6) {
        memcpy(out, &a.v6.sin6_addr, 16);
        return 16;
    }
    memcpy(out, &a.v4.sin_addr, 4);
    return 4;
}

static struct ip *find(struct span address, uint32_t hash)
{
    for (struct map_node *n = map_first(&table, hash); n; n = map_next(n)) {
        struct ip *ip = CONTAINER_OF(n, struct ip, node);
        if (span_eq(span_of(ip->address, ip->len), address))
            return ip;
    }
    return NULL;
}

bool ip_enter(int fd, uint32_t limit, struct ip **out)
{
    char bytes[16];
    *out = NULL;
    if (!limit)
        return true;
    struct span address = span_of(bytes, read_address(fd, bytes));
    uint32_t hash = hash_bytes(0, address);
    pthread_mutex_lock(&lock);
    struct ip *ip = find(address, hash);
    if (!ip) {
        ip = mem_zero(sizeof *ip);
        ip->len = address.len;
        memcpy(ip->address, bytes, address.len);
        map_add(&table, &ip->node, hash);
    }
    bool ok = ip->n < limit;
    if (ok) {
        ip->n++;
        *out = ip;
    }
    pthread_mutex_unlock(&lock);
    return ok;
}

void ip_leave(struct ip *ip)
{
    if (!ip)
        return;
    pthread_mutex_lock(&lock);
    if (--ip->n == 0) {
        map_remove(&table, &ip->node);
        free(ip);
    }
    pthread_mutex_unlock(&lock);
}
