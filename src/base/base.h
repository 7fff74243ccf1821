/* base.h - the words that every file uses.  Included first, everywhere. */
#ifndef BASE_BASE_H
#define BASE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define MUST_CHECK        __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define COUNT_OF(array)   (sizeof(array) / sizeof((array)[0]))

/* Arguments for "%.*s". */
#define SPAN(s) (int)(s).len, (s).len ? (s).p : ""

/* The struct that holds member, given a pointer to member. */
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* A bug in us: says where and aborts.  Always compiled in. */
#define ENSURE(expr) ((expr) ? (void)0 : ensure_failed(__FILE__, __LINE__, __func__, #expr))

_Noreturn void ensure_failed(const char *file, int line, const char *func, const char *expr);

/* Somebody else's bytes, looked at until the call returns.  Not NUL-terminated. */
struct span {
    const char *p;
    size_t len;
};

static inline struct span span_of(const char *p, size_t len)
{
    return (struct span){p, len};
}

static inline struct span span_str(const char *s)
{
    return (struct span){s, s ? strlen(s) : 0};
}

static inline bool span_eq(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

static inline bool span_is(struct span a, const char *s)
{
    return span_eq(a, span_str(s));
}

static inline bool span_starts(struct span a, const char *prefix)
{
    size_t n = strlen(prefix);
    return a.len >= n && memcmp(a.p, prefix, n) == 0;
}

static inline struct span span_from(struct span a, size_t from)
{
    size_t skip = from < a.len ? from : a.len;
    return span_of(skip ? a.p + skip : a.p, a.len - skip); // of NULL, NULL
}

#endif
