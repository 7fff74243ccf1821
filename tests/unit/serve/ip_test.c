/* Connections counted by client address. */
#include "base/base.h"

#include "serve/ip.h"

#include <pthread.h>

#include "base/map.h"
#include "net/pair.h"

/* The near end of a connection that comes from 127.0.0.LAST (or ::1 for 0). */
struct peer {
    int fd, far;
};

static void listen_at(int listener, struct sockaddr *at, socklen_t len)
{
    ENSURE(listener >= 0 && bind(listener, at, len) == 0);
    ENSURE(listen(listener, 1) == 0);
    ENSURE(getsockname(listener, at, &len) == 0);
}

static struct peer come_from(uint8_t last)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in from = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK - 1U + last)};
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    listen_at(listener, (struct sockaddr *)(void *)&at, sizeof at);
    struct peer p = {.far = socket(AF_INET, SOCK_STREAM, 0)};
    ENSURE(bind(p.far, (struct sockaddr *)(void *)&from, sizeof from) == 0);
    ENSURE(connect(p.far, (struct sockaddr *)(void *)&at, sizeof at) == 0);
    p.fd = accept(listener, NULL, NULL);
    ENSURE(p.fd >= 0);
    close(listener);
    return p;
}

/* From 127.0.0.3 where this machine has no IPv6. */
static struct peer come_from_v6(void)
{
    struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int listener = socket(AF_INET6, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)(void *)&at, sizeof at) != 0) {
        close(listener);
        return come_from(3);
    }
    close(listener);
    listener = socket(AF_INET6, SOCK_STREAM, 0);
    listen_at(listener, (struct sockaddr *)(void *)&at, sizeof at);
    struct peer p = {.far = socket(AF_INET6, SOCK_STREAM, 0)};
    ENSURE(connect(p.far, (struct sockaddr *)(void *)&at, sizeof at) == 0);
    p.fd = accept(listener, NULL, NULL);
    ENSURE(p.fd >= 0);
    close(listener);
    return p;
}

static void go(struct peer p)
{
    close(p.fd);
    close(p.far);
}

TEST(without_a_limit_nothing_is_counted)
{
    struct peer p = come_from(1);
    struct ip *none;
    struct ip *one;
    for (int i = 0; i < 100; i++) {
        CHECK(ip_enter(p.fd, 0, &none));
        CHECK(none == NULL);
    }
    ip_leave(NULL);
    CHECK(ip_enter(p.fd, 1, &one)); // the others did not count
    ip_leave(one);
    go(p);
}

TEST(an_address_has_its_limit_and_gets_a_place_back_when_one_leaves)
{
    struct peer p = come_from(1);
    struct ip *ip[3];
    CHECK(ip_enter(p.fd, 2, &ip[0]));
    CHECK(ip_enter(p.fd, 2, &ip[1]));
    CHECK(ip[0] != NULL && ip[0] == ip[1]);
    CHECK(!ip_enter(p.fd, 2, &ip[2]));
    CHECK(ip[2] == NULL);
    CHECK(!ip_enter(p.fd, 2, &ip[2])); // a refusal takes nothing
    ip_leave(ip[0]);
    CHECK(ip_enter(p.fd, 2, &ip[2]));
    ip_leave(ip[1]);
    ip_leave(ip[2]);
    CHECK(ip_enter(p.fd, 1, &ip[0])); // all have left
    ip_leave(ip[0]);
    go(p);
}

TEST(each_address_counts_for_itself)
{
    struct peer peers[] = {come_from(1), come_from(2), come_from_v6()};
    struct ip *ip[COUNT_OF(peers)];
    struct ip *more;
    for (size_t i = 0; i < COUNT_OF(peers); i++)
        CHECK(ip_enter(peers[i].fd, 1, &ip[i]));
    for (size_t i = 0; i < COUNT_OF(peers); i++) {
        CHECK(!ip_enter(peers[i].fd, 1, &more));
        ip_leave(ip[i]);
        CHECK(ip_enter(peers[i].fd, 1, &ip[i])); // its own place, not another's
    }
    for (size_t i = 0; i < COUNT_OF(peers); i++) {
        ip_leave(ip[i]);
        go(peers[i]);
    }
}

/* --- two threads ------------------------------------------------------------------------------- */

enum { ROUNDS = 20000, LIMIT = 3 };

static pthread_barrier_t both_there;

static void *enter_and_leave(void *arg)
{
    int fd = *(int *)arg;
    uintptr_t n_refused = 0;
    pthread_barrier_wait(&both_there);
    for (int i = 0; i < ROUNDS; i++) {
        struct ip *ip[2];
        for (int k = 0; k < 2; k++)
            n_refused += !ip_enter(fd, LIMIT, &ip[k]);
        ip_leave(ip[0]);
        ip_leave(ip[1]);
    }
    return (void *)n_refused;
}

TEST(two_threads_leave_nothing_behind)
{
    struct peer p = come_from(1);
    pthread_t threads[2];
    void *n_refused[2];
    struct ip *ip[LIMIT];
    pthread_barrier_init(&both_there, NULL, 2);
    for (int i = 0; i < 2; i++)
        ENSURE(pthread_create(&threads[i], NULL, enter_and_leave, &p.fd) == 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], &n_refused[i]);
    for (int i = 0; i < 2; i++)
        CHECK((uintptr_t)n_refused[i] <= ROUNDS); // the other has two at most: one is left
    for (int i = 0; i < LIMIT; i++)
        CHECK(ip_enter(p.fd, LIMIT, &ip[i]));
    CHECK(!ip_enter(p.fd, LIMIT, &(struct ip *){NULL}));
    for (int i = 0; i < LIMIT; i++)
        ip_leave(ip[i]);
    pthread_barrier_destroy(&both_there);
    go(p);
}

int main(void)
{
    hash_init();
    RUN(without_a_limit_nothing_is_counted);
    RUN(an_address_has_its_limit_and_gets_a_place_back_when_one_leaves);
    RUN(each_address_counts_for_itself);
    RUN(two_threads_leave_nothing_behind);
    return test_end();
}
