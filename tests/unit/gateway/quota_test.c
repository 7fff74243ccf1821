/* Windows of calls. */
#include "base/base.h"

#include "gateway/quota.h"

#include "base/map.h"
#include "test.h"

TEST(the_first_calls_of_a_window_are_free)
{
    struct quota *q = quota_new();
    for (int i = 0; i < 3; i++)
        CHECK_EQ(quota_take(q, span_str("a"), 3, 10, 1000), 0);
    CHECK_EQ(quota_take(q, span_str("a"), 3, 10, 1000), 10);
    CHECK_EQ(quota_take(q, span_str("a"), 3, 10, 10500), 1);
    CHECK_EQ(quota_take(q, span_str("a"), 3, 10, 11000), 0); // the next window
    CHECK_EQ(quota_take(q, span_str("b"), 3, 10, 1000), 0);  // another's
    quota_free(q);
}

TEST(windows_that_are_over_are_forgotten)
{
    struct quota *q = quota_new();
    for (unsigned i = 0; i < 1000; i++)
        CHECK_EQ(quota_take(q, span_of((const char *)&i, sizeof i), 1, 1, 20000), 0);
    CHECK_EQ(quota_n(q), 1000);
    CHECK_EQ(quota_take(q, span_str("x"), 1, 60, 40000), 0);
    CHECK_EQ(quota_n(q), 1);
    quota_free(q);
}

int main(void)
{
    hash_init();
    RUN(the_first_calls_of_a_window_are_free);
    RUN(windows_that_are_over_are_forgotten);
    return test_end();
}
