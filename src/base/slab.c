/* Dense items in pieces that can be given back. */
#include "base/base.h"

#include "base/slab.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "base/mem.h"

void slab_init(struct slab *s, size_t item_bytes)
{
    ENSURE(item_bytes >= sizeof(uint32_t));
    *s = (struct slab){.item_bytes = (item_bytes + 7) & ~(size_t)7};
}

static size_t piece_bytes(const struct slab *s)
{
    return s->item_bytes * SLAB_PIECE;
}

void slab_fini(struct slab *s)
{
    for (uint32_t i = 0; i < s->n_pieces; i++)
        if (s->pieces[i].items)
            munmap(s->pieces[i].items, piece_bytes(s));
    free(s->pieces);
    slab_init(s, s->item_bytes);
}

static struct slab_piece *piece_for(struct slab *s, uint32_t number)
{
    if (number >= s->n_pieces) {
        uint32_t n = number + 1;
        s->pieces = mem_array(s->pieces, n, sizeof *s->pieces);
        memset(s->pieces + s->n_pieces, 0, (n - s->n_pieces) * sizeof *s->pieces);
        s->n_pieces = n;
    }
    struct slab_piece *piece = &s->pieces[number];
    if (!piece->items) {
        piece->items =
            mmap(NULL, piece_bytes(s), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        ENSURE(piece->items != MAP_FAILED);
    }
    return piece;
}

static bool has_room(const struct slab_piece *piece)
{
    return piece->unused || piece->fresh < SLAB_PIECE;
}

uint32_t slab_take(struct slab *s)
{
    while (s->hint < s->n_pieces && !has_room(&s->pieces[s->hint]))
        s->hint++;
    struct slab_piece *piece = piece_for(s, s->hint);
    uint32_t at;
    if (piece->unused) {
        at = piece->unused - 1;
        memcpy(&piece->unused, piece->items + at * s->item_bytes, sizeof piece->unused);
    } else {
        at = piece->fresh++;
    }
    memset(piece->items + at * s->item_bytes, 0, s->item_bytes);
    piece->live++;
    s->live++;
    return s->hint << SLAB_SHIFT | at;
}

void slab_release(struct slab *s, uint32_t index)
{
    uint32_t number = index >> SLAB_SHIFT;
    uint32_t at = index & (SLAB_PIECE - 1);
    struct slab_piece *piece = &s->pieces[number];
    ENSURE(piece->live > 0);
    memcpy(piece->items + at * s->item_bytes, &piece->unused, sizeof piece->unused);
    piece->unused = at + 1;
    piece->live--;
    s->live--;
    if (number < s->hint)
        s->hint = number;
}

void *slab_claim(struct slab *s, uint32_t index)
{
    struct slab_piece *piece = piece_for(s, index >> SLAB_SHIFT);
    piece->live++;
    s->live++;
    void *item = slab_at(s, index);
    memset(item, 0, s->item_bytes);
    return item;
}

void slab_unclaim(struct slab *s, uint32_t index)
{
    struct slab_piece *piece = &s->pieces[index >> SLAB_SHIFT];
    ENSURE(piece->live > 0);
    piece->live--;
    s->live--;
}

void slab_trim(struct slab *s)
{
    for (uint32_t i = 0; i < s->n_pieces; i++) {
        struct slab_piece *piece = &s->pieces[i];
        if (piece->live || !piece->items)
            continue;
        munmap(piece->items, piece_bytes(s));
        *piece = (struct slab_piece){0};
        if (i < s->hint)
            s->hint = i;
    }
}
