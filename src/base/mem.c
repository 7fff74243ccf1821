/* Allocation that ends the program instead of failing. */
#include "base/base.h"

#include "base/mem.h"

#include <stdlib.h>

void *mem_alloc(size_t size)
{
    void *p = malloc(size ? size : 1);
    ENSURE(p != NULL);
    return p;
}

void *mem_zero(size_t size)
{
    void *p = calloc(1, size ? size : 1);
    ENSURE(p != NULL);
    return p;
}

void *mem_resize(void *p, size_t size)
{
    void *q = realloc(p, size ? size : 1);
    ENSURE(q != NULL);
    return q;
}

void *mem_array(void *p, size_t n, size_t item_bytes)
{
    void *q = reallocarray(p, n ? n : 1, item_bytes);
    ENSURE(q != NULL);
    return q;
}

char *mem_dup(const char *p, size_t len)
{
    char *q = mem_alloc(len + 1);
    if (len)
        memcpy(q, p, len);
    q[len] = '\0';
    return q;
}

char *mem_dup_str(const char *s)
{
    return s ? mem_dup(s, strlen(s)) : NULL;
}
