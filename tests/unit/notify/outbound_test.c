/* Which addresses are private. */
#include "base/base.h"

#include <arpa/inet.h>

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

int main(void)
{
    RUN(addresses_that_are_not_public_are_known);
    RUN(public_addresses_are_not);
    return test_end();
}
