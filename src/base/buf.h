/* buf.h - bytes that grow.
 *
 * Zero-initialised is empty and owns nothing; buf_fini gives everything back and leaves an
 * empty one.  Invariant: len <= cap, and p is NULL exactly when cap is 0.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/base.h"

struct buf {
    char *p;
    size_t len, cap;
};

void buf_fini(struct buf *b);

/* Makes room for more bytes behind len and returns where they go. */
char *buf_room(struct buf *b, size_t more);

void buf_add(struct buf *b, const void *p, size_t len);
void buf_add_span(struct buf *b, struct span s);
void buf_add_str(struct buf *b, const char *s);
void buf_add_char(struct buf *b, char c);
void buf_add_u64(struct buf *b, uint64_t n);
void buf_addf(struct buf *b, const char *format, ...) PRINTF_LIKE(2, 3);

static inline struct span buf_span(const struct buf *b)
{
    return span_of(b->p, b->len);
}

#endif
