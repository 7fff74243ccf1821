/* Names that come and go, against counts of their own. */
#include "base/base.h"

#include "gateway/tally.h"

#include "base/map.h"
#include "base/rand.h"
#include "test.h"

TEST(a_name_counts_once_while_it_is_there)
{
    struct tally *t = tally_new();
    tally_add(t, 1, span_str("a"));
    tally_add(t, 1, span_str("a"));
    tally_add(t, 2, span_str("a"));
    CHECK_EQ(tally_n(t), 2);
    tally_remove(t, 1, span_str("a"));
    CHECK_EQ(tally_n(t), 2);
    tally_remove(t, 1, span_str("a"));
    CHECK_EQ(tally_n(t), 1);
    tally_free(t); // with what is left
}

TEST(random_comings_and_goings_agree_with_a_model)
{
    enum { NAMES = 50 };
    unsigned there[NAMES] = {0};
    struct tally *t = tally_new();
    for (int i = 0; i < 20000; i++) {
        uint32_t k = rand_u32() % NAMES;
        struct span name = span_of((const char *)&k, sizeof k);
        if (there[k] && rand_u32() % 2) {
            there[k]--;
            tally_remove(t, 0, name);
        } else {
            there[k]++;
            tally_add(t, 0, name);
        }
    }
    uint32_t n = 0;
    for (int k = 0; k < NAMES; k++)
        n += there[k] > 0;
    CHECK_EQ(tally_n(t), n);
    tally_free(t);
}

int main(void)
{
    hash_init();
    RUN(a_name_counts_once_while_it_is_there);
    RUN(random_comings_and_goings_agree_with_a_model);
    return test_end();
}
