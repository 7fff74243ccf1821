/* Numbers that nobody can guess: here only that they differ and are never 0. */
#include "base/base.h"

#include "base/rand.h"

#include <pthread.h>
#include <stdlib.h>

#include "test.h"

enum { DRAWS = 20000 };

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void *draw(void *arg)
{
    uint32_t *v = arg;
    for (int i = 0; i < DRAWS; i++)
        v[i] = rand_u32();
    return NULL;
}

/* Of 40,000 numbers below 2^32 about 0.2 pairs are equal by chance; hundreds are a fault. */
TEST(two_threads_draw_different_numbers_and_never_0)
{
    static uint32_t v[2 * DRAWS];
    pthread_t threads[2];
    unsigned n_equal = 0;
    uint32_t any = 0;
    uint32_t all = UINT32_MAX;
    for (int i = 0; i < 2; i++)
        if (pthread_create(&threads[i], NULL, draw, v + i * DRAWS) != 0)
            abort();
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    qsort(v, COUNT_OF(v), sizeof *v, by_value);
    for (size_t i = 0; i < COUNT_OF(v); i++) {
        CHECK(v[i] != 0);
        n_equal += i && v[i] == v[i - 1];
        any |= v[i];
        all &= v[i];
    }
    CHECK(n_equal < 10);
    CHECK(any == UINT32_MAX); // every bit is now 1 and now 0
    CHECK(all == 0);
}

TEST(all_bytes_that_were_asked_for_are_drawn_and_no_others)
{
    unsigned char seen[40] = {0};
    for (int i = 0; i < 100; i++) {
        unsigned char bytes[42] = {0};
        rand_bytes(bytes + 1, 40);
        CHECK_EQ(bytes[0], 0);
        CHECK_EQ(bytes[41], 0);
        for (int k = 0; k < 40; k++)
            seen[k] |= bytes[k + 1];
    }
    for (int k = 0; k < 40; k++)
        CHECK(seen[k] != 0);
}

int main(void)
{
    RUN(two_threads_draw_different_numbers_and_never_0);
    RUN(all_bytes_that_were_asked_for_are_drawn_and_no_others);
    return test_end();
}
