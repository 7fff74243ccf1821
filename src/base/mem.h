/* mem.h - allocation that cannot fail: when memory is out, the program ends.
 *
 * That is acceptable only because no size comes from a peer before a limit was checked.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include "base/base.h"

void *mem_alloc(size_t size);                          // not cleared
void *mem_zero(size_t size);                           // cleared
void *mem_resize(void *p, size_t size);                // as realloc
void *mem_array(void *p, size_t n, size_t item_bytes); // as reallocarray
char *mem_dup(const char *p, size_t len);              // with a NUL behind
char *mem_dup_str(const char *s);                      // NULL stays NULL

#endif
