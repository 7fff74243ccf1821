/* rand.h - unguessable numbers.  Thread: any (each has its own generator). */
#ifndef BASE_RAND_H
#define BASE_RAND_H

#include "base/base.h"

void rand_bytes(void *out, size_t n); // from the kernel
uint32_t rand_u32(void);              // from a pool that rand_bytes fills, never 0

/* A random UUID (RFC 9562, version 4) and a NUL. */
enum { RAND_UUID = 37 };
void rand_uuid(char out[RAND_UUID]);

#endif
