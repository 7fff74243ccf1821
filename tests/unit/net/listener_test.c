/* Listening sockets on loopback. */
#include "base/base.h"

#include "net/listener.h"

#include <netinet/tcp.h>
#include <sys/resource.h>

#include "pair.h"

static struct err err;

static int open_on(uint16_t *port, enum listener_share share)
{
    err.text[0] = '\0';
    return listener_open("127.0.0.1", port, share, &err);
}

static int option_of(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof value;
    ENSURE(getsockopt(fd, level, name, &value, &len) == 0);
    return value;
}

TEST(port_0_is_replaced_by_the_port_that_was_chosen)
{
    uint16_t port = 0;
    int fd = open_on(&port, LISTENER_ALONE);
    CHECK(fd >= 0);
    CHECK(port > 0);
    int client = connect_to(port);
    CHECK(client >= 0);
    close(client);
    close(fd);
}

TEST(a_busy_port_is_refused_with_a_sentence)
{
    uint16_t port = 0;
    char want[128];
    int fd = open_on(&port, LISTENER_ALONE);
    uint16_t same = port;
    CHECK_EQ(open_on(&same, LISTENER_ALONE), -1);
    snprintf(want, sizeof want, "cannot listen on 127.0.0.1 port %u: Address already in use", port);
    CHECK_STR(err.text, want);
    CHECK_EQ(same, port);
    CHECK_EQ(open_on(&same, LISTENER_SHARED), -1); // both must be willing
    close(fd);
}

TEST(two_shared_listeners_have_one_port_and_one_alone_is_refused)
{
    uint16_t port = 0;
    int one = open_on(&port, LISTENER_SHARED);
    uint16_t same = port;
    int two = open_on(&same, LISTENER_SHARED);
    CHECK(one >= 0);
    CHECK(two >= 0);
    CHECK_EQ(same, port);
    CHECK_EQ(open_on(&same, LISTENER_ALONE), -1);
    close(one);
    close(two);
}

TEST(a_host_that_is_no_address_of_this_machine_is_refused_by_name)
{
    uint16_t port = 0;
    CHECK_EQ(listener_open("192.0.2.1", &port, LISTENER_ALONE, &err), -1);
    CHECK_STR(err.text, "cannot listen on 192.0.2.1 port 0: Cannot assign requested address");
    CHECK_EQ(listener_open("no host", &port, LISTENER_ALONE, &err), -1);
    CHECK(strncmp(err.text, "cannot listen on 'no host': ", 28) == 0);
}

TEST(what_is_accepted_does_not_block_nor_delay)
{
    uint16_t port = 0;
    int fd = open_on(&port, LISTENER_ALONE);
    CHECK_EQ(listener_accept(fd), -1); // nobody yet
    int client = connect_to(port);
    CHECK_EQ(send(client, "x", 1, 0), 1); // who says nothing is not worth waking up for
    CHECK(wait_for(fd, POLLIN));
    int conn = listener_accept(fd);
    CHECK(conn >= 0);
    CHECK(fcntl(conn, F_GETFL) & O_NONBLOCK);
    CHECK(fcntl(conn, F_GETFD) & FD_CLOEXEC);
    CHECK_EQ(option_of(conn, IPPROTO_TCP, TCP_NODELAY), 1);
    CHECK(option_of(conn, IPPROTO_TCP, TCP_NOTSENT_LOWAT) <= 256 * 1024);
    CHECK_EQ(listener_accept(fd), -1);
    close(conn);
    close(client);
    close(fd);
}

TEST(spent_descriptors_are_told_apart_from_nobody)
{
    struct rlimit before;
    uint16_t port = 0;
    int fd = open_on(&port, LISTENER_ALONE);
    int client = connect_to(port);
    CHECK_EQ(send(client, "x", 1, 0), 1);
    CHECK(wait_for(fd, POLLIN));
    ENSURE(getrlimit(RLIMIT_NOFILE, &before) == 0);
    struct rlimit none = {.rlim_cur = (rlim_t)client + 1, .rlim_max = before.rlim_max};
    ENSURE(setrlimit(RLIMIT_NOFILE, &none) == 0);
    CHECK_EQ(listener_accept(fd), -2);
    ENSURE(setrlimit(RLIMIT_NOFILE, &before) == 0);
    int conn = listener_accept(fd);
    CHECK(conn >= 0);
    close(conn);
    close(client);
    close(fd);
}

TEST(loopback_is_known_in_every_spelling)
{
    static const struct {
        const char *host;
        bool is_loopback;
    } cases[] = {{"127.0.0.1", true}, {"127.8.9.1", true}, {"::1", true}, {"localhost", true},
        {"0.0.0.0", false}, {"128.0.0.1", false}, {"10.127.0.1", false}, {"::", false},
        {"localhost.example.com", false}, {"127.0.0.1.example.com", false}, {"", false}};
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        if (listener_is_loopback(cases[i].host) != cases[i].is_loopback)
            CHECK_STR(cases[i].host, "told rightly");
}

int main(void)
{
    RUN(port_0_is_replaced_by_the_port_that_was_chosen);
    RUN(a_busy_port_is_refused_with_a_sentence);
    RUN(two_shared_listeners_have_one_port_and_one_alone_is_refused);
    RUN(a_host_that_is_no_address_of_this_machine_is_refused_by_name);
    RUN(what_is_accepted_does_not_block_nor_delay);
    RUN(spent_descriptors_are_told_apart_from_nobody);
    RUN(loopback_is_known_in_every_spelling);
    return test_end();
}
