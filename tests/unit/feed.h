/* feed.h - a codec's input in pieces.
 *
 * What a codec says of its input must not depend on how the network cut it.  A test writes one
 * function that feeds a codec from a struct feed and notes all that the codec says;
 * feed_everywhere calls it with the input whole, cut in two at every offset, and byte by byte,
 * checks that it says the same each time, and returns what it said.
 *
 * A piece is a heap block of its own size, so that the address sanitizer sees a byte that is
 * read behind it.  It may be written to.
 */
#ifndef FEED_H
#define FEED_H

#include "base/base.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "test.h"

struct feed {
    struct span input; // what is left of it
    size_t cut;        // bytes of the first piece
    bool in_bytes;     // every piece is one byte
    bool at_end;
    char *piece;
};

typedef void (*feed_fn)(struct feed *f, struct buf *said);

/* A copy without a byte to spare. */
static inline char *feed_exact(struct span s)
{
    char *p = mem_alloc(s.len);
    if (s.len)
        memcpy(p, s.p, s.len);
    return p;
}

/* The next piece, good until the next call; false at the end. */
static inline bool feed_next(struct feed *f, struct span *piece)
{
    free(f->piece);
    f->piece = NULL;
    if (f->at_end)
        return false;
    size_t n = f->in_bytes ? f->input.len > 0 : f->cut;
    *piece = span_of(feed_exact(span_of(f->input.p, n)), n);
    f->piece = (char *)(uintptr_t)piece->p;
    f->input = span_from(f->input, n);
    f->at_end = f->input.len == 0;
    f->cut = f->input.len; // the second piece is the rest
    return true;
}

static inline void feed_run(struct feed f, feed_fn run, struct buf *said)
{
    said->len = 0;
    run(&f, said);
    buf_add_char(said, '\0');
    free(f.piece);
}

/* What run says of the input, until the next call. */
static inline const char *feed_everywhere(struct span input, feed_fn run)
{
    static struct buf whole;
    struct buf said = {0};
    feed_run((struct feed){.input = input, .cut = input.len}, run, &whole);
    for (size_t cut = 0; cut <= input.len; cut++) {
        feed_run(
            (struct feed){.input = input, .cut = cut, .in_bytes = cut == input.len}, run, &said);
        if (strcmp(said.p, whole.p) == 0)
            continue;
        test_is_good = false;
        printf("%s: cut at %zu of %zu, the codec says\n    '%s', and in one piece\n    '%s'\n",
            test_name, cut, input.len, said.p, whole.p);
        break;
    }
    buf_fini(&said);
    return whole.p;
}

#endif
