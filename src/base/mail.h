/* mail.h - what a letter between threads begins with.
 *
 * A letter is owned by whoever holds it: the sender allocates, the receiver frees.  kind
 * says which struct begins here; the hub's kinds are below MAIL_OTHER, the worker's above.
 */
#ifndef BASE_MAIL_H
#define BASE_MAIL_H

#include "base/base.h"

enum { MAIL_OTHER = 64 };

struct mail {
    struct mail *next;
    uint32_t kind;
};

#endif
