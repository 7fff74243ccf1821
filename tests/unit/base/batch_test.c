/* Batches: frames and their ends, references, the pool and what it counts. */
#include "base/base.h"

#include "base/batch.h"

#include "test.h"

static void add_frame(struct batch *b, char fill, uint32_t bytes)
{
    memset(batch_room(b, bytes + 10), fill, bytes); // a head's room may stay unused
    batch_end_frame(b, bytes);
}

TEST(a_batch_knows_where_each_frame_ends)
{
    struct batch_pool pool = {0};
    struct batch *b = batch_new(&pool);
    CHECK_EQ(b->len, 0);
    CHECK_EQ(b->n_ends, 0);
    for (uint32_t i = 1; i <= 100; i++)
        add_frame(b, (char)i, i);
    CHECK_EQ(b->len, 5050);
    CHECK_EQ(b->n_ends, 100);
    for (uint32_t i = 1; i <= 100; i++) {
        uint32_t end = i * (i + 1) / 2;
        CHECK_EQ(b->ends[i - 1], end);
        CHECK_EQ(b->bytes[end - 1], (char)i);
        CHECK_EQ(b->bytes[end - i], (char)i);
    }
    batch_drop(&pool, b);
    batch_pool_fini(&pool);
}

TEST(the_boundary_of_every_offset_is_the_next_end)
{
    struct batch_pool pool = {0};
    struct batch *b = batch_new(&pool);
    static const uint32_t lengths[] = {1, 5, 2, 300, 1, 1, 7};
    uint32_t from = 0;
    for (size_t i = 0; i < COUNT_OF(lengths); i++)
        add_frame(b, 'x', lengths[i]);
    CHECK_EQ(batch_boundary(b, 0), 0);
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        for (uint32_t at = from + 1; at <= from + lengths[i]; at++)
            CHECK_EQ(batch_boundary(b, at), from + lengths[i]);
        from += lengths[i];
    }
    batch_drop(&pool, b);
    batch_pool_fini(&pool);
}

TEST(a_batch_lives_until_its_last_holder_drops_it)
{
    struct batch_pool pool = {0};
    struct batch *b = batch_new(&pool);
    add_frame(b, 'x', 3);
    batch_hold(b);
    batch_drop(&pool, b);
    CHECK(pool.unused == NULL);
    CHECK_EQ(b->len, 3);
    batch_drop(&pool, b);
    CHECK(pool.unused == b);
    batch_drop(&pool, NULL);
    batch_pool_fini(&pool);
}

TEST(a_dropped_batch_comes_back_empty)
{
    struct batch_pool pool = {0};
    struct batch *b = batch_new(&pool);
    add_frame(b, 'x', 3);
    b->n_events = 4;
    batch_retain(&pool, b);
    batch_drop(&pool, b);
    CHECK(pool.unused_bytes > 0);
    struct batch *again = batch_new(&pool);
    CHECK(again == b);
    CHECK_EQ(again->len, 0);
    CHECK_EQ(again->n_ends, 0);
    CHECK_EQ(again->n_events, 0);
    CHECK_EQ(again->refs, 1);
    CHECK(!again->retained);
    CHECK_EQ(pool.unused_bytes, 0);
    batch_drop(&pool, again);
    batch_pool_trim(&pool);
    CHECK(pool.unused == NULL);
    CHECK_EQ(pool.unused_bytes, 0);
    batch_pool_fini(&pool);
}

TEST(retained_bytes_count_a_batch_once)
{
    struct batch_pool pool = {0};
    struct batch *a = batch_new(&pool);
    struct batch *b = batch_new(&pool);
    add_frame(a, 'a', 5000);
    batch_retain(&pool, a);
    uint64_t of_a = pool.retained_bytes;
    CHECK(of_a >= 5000);
    batch_retain(&pool, a);
    CHECK_EQ(pool.retained_bytes, of_a);
    batch_retain(&pool, b);
    CHECK(pool.retained_bytes > of_a);
    batch_drop(&pool, b);
    CHECK_EQ(pool.retained_bytes, of_a);
    batch_hold(a);
    batch_drop(&pool, a);
    CHECK_EQ(pool.retained_bytes, of_a);
    batch_drop(&pool, a);
    CHECK_EQ(pool.retained_bytes, 0);
    batch_pool_fini(&pool);
}

TEST(the_pool_keeps_a_bounded_number_of_bytes)
{
    enum { N = 40 };
    struct batch_pool pool = {0};
    struct batch *all[N];
    for (int i = 0; i < N; i++) {
        all[i] = batch_new(&pool);
        add_frame(all[i], 'x', 60000);
    }
    for (int i = 0; i < N; i++)
        batch_drop(&pool, all[i]);
    uint64_t kept = 0;
    for (const struct batch *b = pool.unused; b; b = b->next)
        kept += b->cap;
    CHECK_EQ(pool.unused_bytes, kept);
    CHECK(kept > 0 && kept <= 1024 * 1024);
    batch_pool_fini(&pool);
}

int main(void)
{
    RUN(a_batch_knows_where_each_frame_ends);
    RUN(the_boundary_of_every_offset_is_the_next_end);
    RUN(a_batch_lives_until_its_last_holder_drops_it);
    RUN(a_dropped_batch_comes_back_empty);
    RUN(retained_bytes_count_a_batch_once);
    RUN(the_pool_keeps_a_bounded_number_of_bytes);
    return test_end();
}
