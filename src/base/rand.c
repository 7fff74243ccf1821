/* Unguessable numbers, fetched from the kernel in bulk. */
#include "base/base.h"

#include "base/rand.h"

#include <errno.h>
#include <sys/random.h>

void rand_bytes(void *out, size_t n)
{
    char *p = out;
    while (n) {
        ssize_t got = getrandom(p, n, 0);
        if (got < 0 && errno == EINTR)
            continue;
        ENSURE(got > 0);
        p += got;
        n -= (size_t)got;
    }
}

uint32_t rand_u32(void)
{
    static _Thread_local uint32_t pool[256];
    static _Thread_local size_t left;
    uint32_t value;
    do {
        if (!left) {
            rand_bytes(pool, sizeof pool);
            left = COUNT_OF(pool);
        }
        value = pool[--left];
        pool[left] = 0;
    } while (!value);
    return value;
}
