/* Reference counted event text. */
#include "base/base.h"

#include "base/frame.h"

#include <stdlib.h>

#include "base/mem.h"

struct frame *frame_new(size_t len)
{
    ENSURE(len < UINT32_MAX / 2);
    struct frame *f = mem_alloc(sizeof *f + len);
    *f = (struct frame){.len = (uint32_t)len};
    atomic_init(&f->refs, 1);
    return f;
}

void frame_hold(struct frame *f)
{
    atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
}

void frame_drop(struct frame *f)
{
    /* Release: what this holder read happened before the free.  Acquire: the one who frees
     * has seen all of that. */
    if (f && atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) == 1) {
        frame_drop(f->legacy);
        free(f);
    }
}
