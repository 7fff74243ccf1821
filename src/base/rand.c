/* Unguessable numbers, fetched from the kernel in bulk. */
#include "base/base.h"

#include "base/rand.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>

#include "base/text.h"

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

void rand_uuid(char out[RAND_UUID])
{
    unsigned char b[16];
    char hex[33];
    rand_bytes(b, sizeof b);
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    text_hex(hex, b, sizeof b);
    hex[32] = '\0';
    snprintf(
        out, RAND_UUID, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}
