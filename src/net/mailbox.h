/* mailbox.h - letters from any thread to one.
 *
 * One queue for all senders: letters of one sender arrive in the order in which they were
 * posted.  Only the letter that falls into an empty box wakes the receiver, who takes the
 * whole box at once.
 */
#ifndef NET_MAILBOX_H
#define NET_MAILBOX_H

#include "base/base.h"
#include "base/mail.h"

#include <stdatomic.h>

struct mailbox {
    _Atomic(struct mail *) newest; // a stack; mailbox_take turns it round
    int fd;                        // an eventfd, readable when there may be mail
};

void mailbox_init(struct mailbox *m);
void mailbox_fini(struct mailbox *m); // must be empty

/* Takes the letter.  Thread: any. */
void mailbox_post(struct mailbox *m, struct mail *letter);

/* All letters, oldest first, linked by next; the caller owns them.  Thread: the receiver. */
struct mail *mailbox_take(struct mailbox *m);

/* Nothing was posted since the last take.  The bell may still have to be silenced. */
static inline bool mailbox_is_empty(const struct mailbox *m)
{
    return atomic_load_explicit(&m->newest, memory_order_relaxed) == NULL;
}

#endif
