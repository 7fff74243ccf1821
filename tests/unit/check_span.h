/* check_span.h - checks of bytes that have no NUL behind them. */
#ifndef CHECK_SPAN_H
#define CHECK_SPAN_H

#include "base/base.h"

#include "test.h"

/* A span of a literal, NULs in it included. */
#define LITERAL(s)                                                                                 \
    {                                                                                              \
        (s), sizeof(s) - 1                                                                         \
    }

#define CHECK_SPAN(a, text) test_span((a), span_str(text), #a, __FILE__, __LINE__)
#define CHECK_BYTES(a, b)   test_span((a), (b), #a, __FILE__, __LINE__)

static inline void test_span(
    struct span a, struct span b, const char *expr, const char *file, int line)
{
    if (span_eq(a, b))
        return;
    test_is_good = false;
    printf("%s:%d: %s: %s is\n    '%.*s', expected\n    '%.*s'\n", file, line, test_name, expr,
        SPAN(a), SPAN(b));
}

#endif
