/* map.h - a hash table of things that carry their own node.
 *
 * Chains in buckets, keyed by a 32-bit hash that the caller computes with hash_bytes; the
 * caller compares keys, so there is no callback:
 *
 *     for (n = map_first(m, hash); n; n = map_next(n))
 *         if (same key) ...
 *
 * Grows and shrinks by itself; adding and removing during such a walk is not allowed.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/base.h"

struct map_node {
    struct map_node *next;
    uint32_t hash;
};

struct map {
    struct map_node **buckets;
    uint32_t n, mask; // mask + 1 buckets, or none at all when buckets is NULL
};

void map_fini(struct map *m); // the items are the caller's
void map_add(struct map *m, struct map_node *node, uint32_t hash);
void map_remove(struct map *m, struct map_node *node);

/* The first node with that hash, and the next one with the same. */
struct map_node *map_first(const struct map *m, uint32_t hash);
struct map_node *map_next(const struct map_node *node);

/* Every item, in no order: *at starts at 0.  False at the end. */
struct map_walk {
    uint32_t bucket;
    struct map_node *node;
};
struct map_node *map_walk(const struct map *m, struct map_walk *walk);

/* SipHash-1-3 under a key drawn at start: a peer cannot choose names that collide. */
uint32_t hash_bytes(uint32_t seed, struct span s);
void hash_init(void); // once, before the first hash

#endif
