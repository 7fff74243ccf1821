/* The hash table: finding, growing, shrinking, walking; and its hash. */
#include "base/base.h"

#include "base/map.h"

#include "test.h"

enum { N = 5000 };

struct item {
    struct map_node node;
    uint32_t key;
    unsigned seen;
};

static struct item items[N];

static void fill(struct map *m, uint32_t n, uint32_t n_hashes)
{
    for (uint32_t i = 0; i < n; i++) {
        items[i] = (struct item){.key = i};
        map_add(m, &items[i].node, (i % n_hashes) * 2654435761U);
    }
}

static struct item *find(const struct map *m, uint32_t key, uint32_t hash)
{
    for (struct map_node *n = map_first(m, hash); n; n = map_next(n)) {
        struct item *item = CONTAINER_OF(n, struct item, node);
        if (item->key == key)
            return item;
    }
    return NULL;
}

static uint32_t walk_all(const struct map *m)
{
    struct map_walk walk = {0};
    uint32_t n = 0;
    for (struct map_node *node; (node = map_walk(m, &walk)); n++)
        CONTAINER_OF(node, struct item, node)->seen++;
    return n;
}

TEST(an_empty_map_finds_and_walks_nothing)
{
    struct map m = {0};
    struct map_walk walk = {0};
    CHECK(map_first(&m, 0) == NULL);
    CHECK(map_walk(&m, &walk) == NULL);
    map_fini(&m);
}

TEST(every_item_is_found_while_the_map_grows_and_shrinks)
{
    struct map m = {0};
    for (uint32_t i = 0; i < N; i++) {
        items[i] = (struct item){.key = i};
        map_add(&m, &items[i].node, i * 2654435761U);
        CHECK_EQ(m.n, i + 1);
        CHECK(find(&m, i / 2, (i / 2) * 2654435761U) == &items[i / 2]);
    }
    CHECK(m.mask + 1 >= N);
    for (uint32_t i = 0; i < N; i++) {
        map_remove(&m, &items[i].node);
        CHECK(find(&m, i, i * 2654435761U) == NULL);
        uint32_t last = N - 1;
        CHECK(i == last || find(&m, last, last * 2654435761U) == &items[last]);
    }
    CHECK_EQ(m.n, 0);
    CHECK(m.buckets == NULL);
}

TEST(a_map_that_was_large_gives_its_buckets_back)
{
    struct map m = {0};
    fill(&m, N, N);
    for (uint32_t i = 0; i < N - 3; i++)
        map_remove(&m, &items[i].node);
    CHECK(m.mask + 1 <= 64);
    CHECK(find(&m, N - 1, (N - 1) * 2654435761U) == &items[N - 1]);
    map_fini(&m);
}

TEST(items_with_one_hash_are_all_found)
{
    struct map m = {0};
    fill(&m, 700, 7);
    for (uint32_t h = 0; h < 7; h++) {
        unsigned n = 0;
        for (struct map_node *node = map_first(&m, h * 2654435761U); node; node = map_next(node)) {
            CHECK_EQ(CONTAINER_OF(node, struct item, node)->key % 7, h);
            n++;
        }
        CHECK_EQ(n, 100);
    }
    CHECK(map_first(&m, 1) == NULL);
    map_remove(&m, &items[350].node);
    CHECK(find(&m, 350, 0) == NULL);
    CHECK(find(&m, 343, 0) == &items[343]);
    CHECK(find(&m, 357, 0) == &items[357]);
    map_fini(&m);
}

TEST(a_walk_meets_every_item_once)
{
    struct map m = {0};
    fill(&m, 1000, 400);
    CHECK_EQ(walk_all(&m), 1000);
    for (unsigned i = 0; i < 1000; i++)
        CHECK_EQ(items[i].seen, 1);
    map_fini(&m);
    CHECK_EQ(walk_all(&m), 0);
}

TEST(a_hash_depends_on_every_byte_the_length_and_the_seed)
{
    char text[40] = {0};
    for (size_t len = 0; len < sizeof text; len++) {
        uint32_t before = hash_bytes(1, span_of(text, len));
        CHECK(before == hash_bytes(1, span_of(text, len)));
        CHECK(before != hash_bytes(2, span_of(text, len)));
        CHECK(before != hash_bytes(1, span_of(text, len + 1))); // one NUL more
        for (size_t i = 0; i < len; i++) {
            text[i] = 1;
            CHECK(before != hash_bytes(1, span_of(text, len)));
            text[i] = 0;
        }
    }
}

/* The reference vectors of SipHash have another number of rounds; what matters here is that
 * the key is used, and that a known key gives the spread of a good hash. */
TEST(a_hash_is_another_one_after_each_start)
{
    uint32_t before = hash_bytes(0, span_str("presence-room"));
    unsigned n_same = 0;
    for (int i = 0; i < 8; i++) {
        hash_init();
        n_same += hash_bytes(0, span_str("presence-room")) == before;
    }
    CHECK(n_same <= 1);
}

TEST(hashes_of_similar_names_spread_evenly)
{
    static unsigned counts[64];
    for (unsigned i = 0; i < 6400; i++) {
        char name[32];
        int n = snprintf(name, sizeof name, "private-user-%u", i);
        counts[hash_bytes(0, span_of(name, (size_t)n)) & 63]++;
    }
    for (size_t i = 0; i < COUNT_OF(counts); i++)
        CHECK(counts[i] > 40 && counts[i] < 180); // 100 are expected, deviation 10
}

int main(void)
{
    hash_init();
    RUN(an_empty_map_finds_and_walks_nothing);
    RUN(every_item_is_found_while_the_map_grows_and_shrinks);
    RUN(a_map_that_was_large_gives_its_buckets_back);
    RUN(items_with_one_hash_are_all_found);
    RUN(a_walk_meets_every_item_once);
    RUN(a_hash_depends_on_every_byte_the_length_and_the_seed);
    RUN(a_hash_is_another_one_after_each_start);
    RUN(hashes_of_similar_names_spread_evenly);
    return test_end();
}
