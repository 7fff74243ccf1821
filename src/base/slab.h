/* slab.h - many small things of one size, named by a dense 32-bit index.
 *
 * Items lie in mmap'd pieces that never move, so pointers are good until the item is
 * released.  The lowest free index is (nearly) always taken first, which keeps a crowd that
 * arrives together together in memory, and lets whole pieces at the end fall empty:
 * slab_trim gives those back to the kernel.
 *
 * A second slab can follow a first one: it takes no index of its own but claims the index
 * that the first gave (hot and cold part of the same thing).
 */
#ifndef BASE_SLAB_H
#define BASE_SLAB_H

#include "base/base.h"

enum { SLAB_SHIFT = 9, SLAB_PIECE = 1 << SLAB_SHIFT };

#define SLAB_NONE UINT32_MAX // no index

struct slab_piece {
    char *items;     // NULL while nothing was ever here, or after a trim
    uint32_t live;   // items in use
    uint32_t fresh;  // items that were handed out at least once since the piece was mapped
    uint32_t unused; // head of the chain of released items (index in the piece + 1), 0 = none
};

struct slab {
    size_t item_bytes;
    struct slab_piece *pieces;
    uint32_t n_pieces;
    uint32_t hint; // no piece below this one has room
    uint32_t live;
};

void slab_init(struct slab *s, size_t item_bytes); // at least 4
void slab_fini(struct slab *s);

/* A cleared item.  Its address is slab_at(s, index). */
uint32_t slab_take(struct slab *s);
void slab_release(struct slab *s, uint32_t index);

/* The same for a slab that follows another. */
void *slab_claim(struct slab *s, uint32_t index);
void slab_unclaim(struct slab *s, uint32_t index);

/* Gives pieces without a live item back to the kernel. */
void slab_trim(struct slab *s);

/* True when the index lies in a piece that is mapped, whether or not it is in use. */
static inline bool slab_has(const struct slab *s, uint32_t index)
{
    return index >> SLAB_SHIFT < s->n_pieces && s->pieces[index >> SLAB_SHIFT].items;
}

static inline void *slab_at(const struct slab *s, uint32_t index)
{
    return s->pieces[index >> SLAB_SHIFT].items + (index & (SLAB_PIECE - 1)) * s->item_bytes;
}

#endif
