/* Chunks that we write, and a walk over them. */
#include "base/base.h"

#include "wire/chunk.h"

enum { BETWEEN, SIZE, BODY, TAIL };

size_t chunk_head(char *out, uint32_t body)
{
    static const char digits[] = "0123456789abcdef";
    size_t n = 1;
    while (n < 8 && body >> (4 * n))
        n++;
    for (size_t i = 0; i < n; i++)
        out[i] = digits[body >> (4 * (n - 1 - i)) & 15];
    out[n] = '\r';
    out[n + 1] = '\n';
    return n + 2;
}

static uint32_t digit_of(char c)
{
    return (uint32_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* The size line, as far as it is there.  Returns its length. */
static size_t walk_size(struct chunk_walk *w, struct span in)
{
    size_t n = 0;
    if (w->state == BETWEEN)
        *w = (struct chunk_walk){.state = SIZE};
    while (n < in.len) {
        char c = in.p[n++];
        if (c == '\n') {
            w->state = w->left ? BODY : TAIL;
            break;
        }
        if (c != '\r')
            w->left = w->left << 4 | digit_of(c);
    }
    return n;
}

static size_t walk_tail(struct chunk_walk *w, struct span in)
{
    for (size_t n = 0; n < in.len; n++)
        if (in.p[n] == '\n') {
            w->state = BETWEEN;
            return n + 1;
        }
    return in.len;
}

bool chunk_next(struct chunk_walk *w, struct span *in, struct span *run, bool *is_body)
{
    size_t n;
    if (!in->len)
        return false;
    *is_body = w->state == BODY;
    if (w->state == BODY) {
        n = w->left < in->len ? w->left : in->len;
        w->left -= (uint32_t)n;
        if (!w->left)
            w->state = TAIL;
    } else if (w->state == TAIL) {
        n = walk_tail(w, *in);
    } else {
        n = walk_size(w, *in);
    }
    *run = span_of(in->p, n);
    *in = span_from(*in, n);
    return true;
}
