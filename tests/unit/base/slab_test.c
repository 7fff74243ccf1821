/* Slabs: indices, reuse, trimming, and a second slab that follows. */
#include "base/base.h"

#include "base/slab.h"

#include "test.h"

enum { ITEM = 24 };

static bool is_clear(const char *item)
{
    static const char zeros[ITEM];
    return memcmp(item, zeros, ITEM) == 0;
}

TEST(indices_are_dense_and_items_are_cleared)
{
    struct slab s;
    slab_init(&s, ITEM);
    for (uint32_t i = 0; i < 3 * SLAB_PIECE; i++) {
        CHECK_EQ(slab_take(&s), i);
        char *item = slab_at(&s, i);
        CHECK(is_clear(item));
        memset(item, 0xee, ITEM);
    }
    CHECK_EQ(s.live, 3 * SLAB_PIECE);
    CHECK_EQ(s.n_pieces, 3);
    slab_fini(&s);
    CHECK_EQ(s.live, 0);
}

TEST(an_item_never_moves)
{
    struct slab s;
    slab_init(&s, ITEM);
    const char *first = slab_at(&s, slab_take(&s));
    for (int i = 0; i < 20 * SLAB_PIECE; i++)
        slab_take(&s);
    CHECK(first == (const char *)slab_at(&s, 0));
    slab_fini(&s);
}

TEST(a_released_index_is_taken_again_and_cleared)
{
    struct slab s;
    slab_init(&s, ITEM);
    for (uint32_t i = 0; i < 10; i++)
        memset(slab_at(&s, slab_take(&s)), 0xee, ITEM);
    slab_release(&s, 3);
    slab_release(&s, 7);
    uint32_t a = slab_take(&s);
    uint32_t b = slab_take(&s);
    CHECK((a == 3 && b == 7) || (a == 7 && b == 3));
    CHECK(is_clear(slab_at(&s, 3)) && is_clear(slab_at(&s, 7)));
    CHECK_EQ(slab_take(&s), 10);
    slab_fini(&s);
}

TEST(an_early_piece_is_filled_before_a_late_one)
{
    struct slab s;
    slab_init(&s, ITEM);
    for (int i = 0; i < 4 * SLAB_PIECE; i++)
        slab_take(&s);
    slab_release(&s, 3 * SLAB_PIECE + 5);
    slab_release(&s, 2);
    CHECK_EQ(slab_take(&s), 2);
    CHECK_EQ(slab_take(&s), 3 * SLAB_PIECE + 5);
    CHECK_EQ(slab_take(&s), 4 * SLAB_PIECE);
    slab_fini(&s);
}

TEST(items_of_odd_sizes_do_not_overlap)
{
    static const size_t sizes[] = {4, 5, 8, 12, 33};
    for (size_t k = 0; k < COUNT_OF(sizes); k++) {
        struct slab s;
        slab_init(&s, sizes[k]);
        for (uint32_t i = 0; i < SLAB_PIECE + 3; i++)
            memset(slab_at(&s, slab_take(&s)), (int)(i & 255), sizes[k]);
        for (uint32_t i = 0; i < SLAB_PIECE + 3; i++) {
            const unsigned char *item = slab_at(&s, i);
            CHECK_EQ(item[0], i & 255);
            CHECK_EQ(item[sizes[k] - 1], i & 255);
        }
        slab_fini(&s);
    }
}

TEST(a_trim_unmaps_the_pieces_that_nobody_uses)
{
    struct slab s;
    slab_init(&s, ITEM);
    for (int i = 0; i < 4 * SLAB_PIECE; i++)
        slab_take(&s);
    memset(slab_at(&s, 2 * SLAB_PIECE), 0xee, ITEM);
    for (uint32_t i = 0; i < 4 * SLAB_PIECE; i++)
        if (i / SLAB_PIECE != 2)
            slab_release(&s, i);
    slab_trim(&s);
    CHECK(s.pieces[0].items == NULL);
    CHECK(s.pieces[1].items == NULL);
    CHECK(s.pieces[2].items != NULL);
    CHECK(s.pieces[3].items == NULL);
    CHECK(!is_clear(slab_at(&s, 2 * SLAB_PIECE)));
    CHECK_EQ(s.live, SLAB_PIECE);
    slab_fini(&s);
}

TEST(after_a_trim_the_lowest_index_is_given_again)
{
    struct slab s;
    slab_init(&s, ITEM);
    for (int i = 0; i < 2 * SLAB_PIECE; i++)
        memset(slab_at(&s, slab_take(&s)), 0xee, ITEM);
    for (uint32_t i = 0; i < 2 * SLAB_PIECE; i++)
        slab_release(&s, i);
    slab_trim(&s);
    for (uint32_t i = 0; i < 2 * SLAB_PIECE; i++) {
        CHECK_EQ(slab_take(&s), i);
        CHECK(is_clear(slab_at(&s, i)));
    }
    slab_fini(&s);
}

TEST(a_second_slab_follows_the_indices_of_the_first)
{
    struct slab hot;
    struct slab cold;
    slab_init(&hot, 8);
    slab_init(&cold, ITEM);
    uint32_t far = 0;
    for (int i = 0; i < 2 * SLAB_PIECE + 1; i++)
        far = slab_take(&hot);
    char *item = slab_claim(&cold, far); // pieces 0 and 1 are not needed
    CHECK(item == (char *)slab_at(&cold, far));
    CHECK(is_clear(item));
    memset(item, 0xee, ITEM);
    slab_unclaim(&cold, far);
    CHECK_EQ(cold.live, 0);
    CHECK(is_clear(slab_claim(&cold, far)));
    CHECK(cold.pieces[0].items == NULL);
    slab_unclaim(&cold, far);
    slab_trim(&cold);
    CHECK(cold.pieces[2].items == NULL);
    slab_fini(&hot);
    slab_fini(&cold);
}

/* Against a plain table of who holds what. */
TEST(no_index_is_held_twice_in_a_long_random_life)
{
    enum { ROOM = 4 * SLAB_PIECE };
    static bool is_held[ROOM];
    struct slab s;
    uint32_t x = 12345;
    uint32_t n_held = 0;
    slab_init(&s, ITEM);
    for (int step = 0; step < 100000; step++) {
        x = x * 1664525U + 1013904223U;
        bool is_growing = (step / 5000) % 2 == 0;
        if (n_held < ROOM && (x >> 16) % 4 < (is_growing ? 3U : 1U)) {
            uint32_t at = slab_take(&s);
            CHECK(at < ROOM && !is_held[at]);
            is_held[at] = true;
            n_held++;
        } else if (is_held[(x >> 8) % ROOM]) {
            slab_release(&s, (x >> 8) % ROOM);
            is_held[(x >> 8) % ROOM] = false;
            n_held--;
        }
        if (x >> 22 == 0)
            slab_trim(&s);
        CHECK_EQ(s.live, n_held);
    }
    slab_fini(&s);
}

int main(void)
{
    RUN(indices_are_dense_and_items_are_cleared);
    RUN(an_item_never_moves);
    RUN(a_released_index_is_taken_again_and_cleared);
    RUN(an_early_piece_is_filled_before_a_late_one);
    RUN(items_of_odd_sizes_do_not_overlap);
    RUN(a_trim_unmaps_the_pieces_that_nobody_uses);
    RUN(after_a_trim_the_lowest_index_is_given_again);
    RUN(a_second_slab_follows_the_indices_of_the_first);
    RUN(no_index_is_held_twice_in_a_long_random_life);
    return test_end();
}
