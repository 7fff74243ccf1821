/* A lock-free stack that is emptied whole. */
#include "base/base.h"

#include "net/mailbox.h"

#include <sys/eventfd.h>
#include <unistd.h>

void mailbox_init(struct mailbox *m)
{
    atomic_init(&m->newest, NULL);
    m->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ENSURE(m->fd >= 0);
}

void mailbox_fini(struct mailbox *m)
{
    ENSURE(atomic_load(&m->newest) == NULL);
    close(m->fd);
}

void mailbox_post(struct mailbox *m, struct mail *letter)
{
    struct mail *before = atomic_load_explicit(&m->newest, memory_order_relaxed);
    do
        letter->next = before;
    while (!atomic_compare_exchange_weak_explicit(
        &m->newest, &before, letter, memory_order_release, memory_order_relaxed));
    if (before)
        return;
    uint64_t one = 1;
    ssize_t n = write(m->fd, &one, sizeof one);
    ENSURE(n == sizeof one);
}

struct mail *mailbox_take(struct mailbox *m)
{
    uint64_t n;
    /* First the bell, then the box: a letter that comes in between rings again. */
    ssize_t got = read(m->fd, &n, sizeof n);
    (void)got; // nothing to read: nobody rang
    struct mail *newest = atomic_exchange_explicit(&m->newest, NULL, memory_order_acquire);
    struct mail *oldest = NULL;
    while (newest) {
        struct mail *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}
