/* Chained hash table, and the keyed hash that protects it. */
#include "base/base.h"

#include "base/map.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/rand.h"

enum { MIN_BUCKETS = 8 };

static uint64_t key0, key1;

void hash_init(void)
{
    rand_bytes(&key0, sizeof key0);
    rand_bytes(&key1, sizeof key1);
}

static inline uint64_t rotate(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

uint32_t hash_bytes(uint32_t seed, struct span s)
{
    uint64_t v[4] = {key0 ^ 0x736f6d6570736575U, key1 ^ 0x646f72616e646f6dU ^ seed,
        key0 ^ 0x6c7967656e657261U, key1 ^ 0x7465646279746573U};
    size_t i = 0;
    for (; s.len - i >= 8; i += 8) {
        uint64_t word;
        memcpy(&word, s.p + i, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    uint64_t last = (uint64_t)s.len << 56;
    if (s.len > i)
        memcpy(&last, s.p + i, s.len - i);
    last = (last & 0x00ffffffffffffffU) | (uint64_t)s.len << 56;
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int r = 0; r < 3; r++)
        sip_round(v);
    uint64_t h = v[0] ^ v[1] ^ v[2] ^ v[3];
    return (uint32_t)(h ^ h >> 32);
}

void map_fini(struct map *m)
{
    free(m->buckets);
    *m = (struct map){0};
}

static void resize(struct map *m, uint32_t n_buckets)
{
    struct map_node **old = m->buckets;
    uint32_t n_old = old ? m->mask + 1 : 0;
    m->buckets = mem_zero(n_buckets * sizeof *m->buckets);
    m->mask = n_buckets - 1;
    for (uint32_t i = 0; i < n_old; i++) {
        struct map_node *next;
        for (struct map_node *node = old[i]; node; node = next) {
            next = node->next;
            node->next = m->buckets[node->hash & m->mask];
            m->buckets[node->hash & m->mask] = node;
        }
    }
    free(old);
}

void map_add(struct map *m, struct map_node *node, uint32_t hash)
{
    if (!m->buckets)
        resize(m, MIN_BUCKETS);
    else if (m->n > m->mask)
        resize(m, (m->mask + 1) * 2);
    node->hash = hash;
    node->next = m->buckets[hash & m->mask];
    m->buckets[hash & m->mask] = node;
    m->n++;
}

void map_remove(struct map *m, struct map_node *node)
{
    struct map_node **at = &m->buckets[node->hash & m->mask];
    while (*at != node) {
        ENSURE(*at != NULL);
        at = &(*at)->next;
    }
    *at = node->next;
    m->n--;
    if (m->n == 0)
        map_fini(m);
    else if (m->mask + 1 > MIN_BUCKETS && m->n < (m->mask + 1) / 8)
        resize(m, (m->mask + 1) / 4);
}

static struct map_node *same_hash(struct map_node *node, uint32_t hash)
{
    while (node && node->hash != hash)
        node = node->next;
    return node;
}

struct map_node *map_first(const struct map *m, uint32_t hash)
{
    return m->buckets ? same_hash(m->buckets[hash & m->mask], hash) : NULL;
}

struct map_node *map_next(const struct map_node *node)
{
    return same_hash(node->next, node->hash);
}

struct map_node *map_walk(const struct map *m, struct map_walk *walk)
{
    if (!m->buckets)
        return NULL;
    if (walk->node)
        walk->node = walk->node->next;
    while (!walk->node && walk->bucket <= m->mask)
        walk->node = m->buckets[walk->bucket++];
    return walk->node;
}
