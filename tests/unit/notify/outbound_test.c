/* Which addresses are private, and that a name nobody resolves holds up nothing else. */
#include "base/base.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <unistd.h>

#include "base/clock.h"
#include "notify/outbound.h"
#include "test.h"

static bool is_private(const char *text)
{
    unsigned char address[16];
    if (inet_pton(AF_INET, text, address) == 1)
        return outbound_is_private(address, 4);
    ENSURE(inet_pton(AF_INET6, text, address) == 1);
    return outbound_is_private(address, 16);
}

TEST(addresses_that_are_not_public_are_known)
{
    static const char *const private[] = {"127.0.0.1", "127.9.9.9", "10.0.0.1", "172.16.0.1",
        "172.31.255.255", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "198.18.0.1", "192.0.0.8", "::", "::1", "::ffff:10.0.0.1",
        "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::10.0.0.1", "2002:0a00:0001::", "fc00::1",
        "fd12::1", "fe80::1", "fec0::1", "ff02::1"};
    for (size_t i = 0; i < COUNT_OF(private); i++) {
        if (!is_private(private[i]))
            printf("%s\n", private[i]);
        CHECK(is_private(private[i]));
    }
}

TEST(public_addresses_are_not)
{
    static const char *const public[] = {"1.1.1.1", "8.8.8.8", "172.15.0.1", "172.32.0.1",
        "100.63.0.1", "100.128.0.1", "192.167.0.1", "198.17.0.1", "198.20.0.1", "223.255.255.255",
        "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:0808:0808::"};
    for (size_t i = 0; i < COUNT_OF(public); i++) {
        if (is_private(public[i]))
            printf("%s\n", public[i]);
        CHECK(!is_private(public[i]));
    }
}

/* --- a name server that does not answer ------------------------------------------------------- */

static pthread_mutex_t lookup_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t lookup_change = PTHREAD_COND_INITIALIZER;
static unsigned n_lookups, n_lookups_ended;
static bool is_answering;

static void end_lookups(unsigned *n)
{
    ++*n;
    pthread_cond_broadcast(&lookup_change);
}

/* Stands in for the C library's, in this program and in what it is linked with: it hangs, for
 * ten seconds at most, until the test lets it go. */
int getaddrinfo(const char *restrict name, const char *restrict service,
    const struct addrinfo *restrict hints, struct addrinfo **restrict found)
{
    struct timespec end = {.tv_sec = clock_wall_ms() / 1000 + 10};
    (void)name, (void)service, (void)hints, (void)found;
    pthread_mutex_lock(&lookup_lock);
    end_lookups(&n_lookups);
    while (!is_answering)
        if (pthread_cond_timedwait(&lookup_change, &lookup_lock, &end))
            break;
    end_lookups(&n_lookups_ended);
    pthread_mutex_unlock(&lookup_lock);
    return EAI_AGAIN;
}

static void take_result(void *ctx, const struct outbound_result *result)
{
    enum outbound_outcome *outcome = ctx;
    *outcome = result->outcome;
}

TEST(a_name_that_is_not_resolved_holds_up_nothing)
{
    enum outbound_outcome outcome = OUTBOUND_OUTCOMES;
    int pipes[2];
    struct outbound *o = outbound_new();
    struct outbound_request request = {.url = "http://hanging.example/",
        .body = span_str("{}"),
        .timeout_ms = 200,
        .done = take_result,
        .ctx = &outcome};
    ENSURE(pipe(pipes) == 0); // the end that is never readable
    outbound_post(o, &request);
    while (outcome == OUTBOUND_OUTCOMES)
        outbound_wait(o, pipes[0], 1000);
    CHECK_EQ(outcome, OUTBOUND_TIMED_OUT);
    outbound_free(o);
    pthread_mutex_lock(&lookup_lock);
    CHECK_EQ(n_lookups, 1);
    CHECK_EQ(n_lookups_ended, 0); // the request did not wait for it
    is_answering = true;
    pthread_cond_broadcast(&lookup_change);
    while (n_lookups_ended < n_lookups)
        pthread_cond_wait(&lookup_change, &lookup_lock);
    pthread_mutex_unlock(&lookup_lock);
    close(pipes[0]);
    close(pipes[1]);
}

int main(void)
{
    RUN(addresses_that_are_not_public_are_known);
    RUN(public_addresses_are_not);
    RUN(a_name_that_is_not_resolved_holds_up_nothing);
    return test_end();
}
