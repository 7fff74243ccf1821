/* Counted names, against counts of their own. */
#include "base/base.h"

#include "base/names.h"

#include "base/rand.h"
#include "test.h"

TEST(a_name_is_there_once_however_often_it_comes)
{
    struct names names = {0};
    CHECK_EQ(names_add(&names, 0, span_str("a")), 1);
    CHECK_EQ(names_add(&names, 0, span_str("a")), 2);
    CHECK_EQ(names.map.n, 1);
    CHECK_EQ(names_remove(&names, 0, span_str("a")), 1);
    CHECK_EQ(names_remove(&names, 0, span_str("a")), 0);
    CHECK_EQ(names.map.n, 0);
    names_fini(&names);
}

TEST(groups_keep_equal_names_apart)
{
    struct names names = {0};
    CHECK_EQ(names_add(&names, 1, span_str("a")), 1);
    CHECK_EQ(names_add(&names, 2, span_str("a")), 1);
    CHECK_EQ(names.map.n, 2);
    CHECK_EQ(names_remove(&names, 1, span_str("a")), 0);
    CHECK_EQ(names_add(&names, 2, span_str("a")), 2);
    names_fini(&names);
}

TEST(bytes_of_any_kind_are_a_name)
{
    struct names names = {0};
    CHECK_EQ(names_add(&names, 0, span_of("a\0b", 3)), 1);
    CHECK_EQ(names_add(&names, 0, span_of("a\0c", 3)), 1);
    CHECK_EQ(names_add(&names, 0, span_of(NULL, 0)), 1);
    CHECK_EQ(names_add(&names, 0, span_of("", 0)), 2);
    names_fini(&names);
}

TEST(every_name_is_walked_once)
{
    enum { NAMES = 300 };
    struct names names = {0};
    unsigned there[NAMES] = {0};
    unsigned seen[NAMES] = {0};
    for (int i = 0; i < 2000; i++) {
        uint32_t k = rand_u32() % NAMES;
        there[k]++;
        CHECK_EQ(names_add(&names, 0, span_of((const char *)&k, sizeof k)), there[k]);
    }
    struct map_walk walk = {0};
    const struct name *name;
    while ((name = names_next(&names, &walk))) {
        uint32_t k;
        memcpy(&k, name->text, sizeof k);
        seen[k] += name->n;
    }
    for (int k = 0; k < NAMES; k++)
        CHECK_EQ(seen[k], there[k]);
    names_fini(&names);
}

int main(void)
{
    hash_init();
    RUN(a_name_is_there_once_however_often_it_comes);
    RUN(groups_keep_equal_names_apart);
    RUN(bytes_of_any_kind_are_a_name);
    RUN(every_name_is_walked_once);
    return test_end();
}
