/* Counted names for all workers. */
#include "base/base.h"

#include "gateway/tally.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/names.h"

struct tally {
    pthread_mutex_t lock; // of names
    struct names names;
};

struct tally *tally_new(void)
{
    struct tally *t = mem_zero(sizeof *t);
    int rc = pthread_mutex_init(&t->lock, NULL);
    ENSURE(rc == 0);
    return t;
}

void tally_free(struct tally *t)
{
    if (!t)
        return;
    names_fini(&t->names);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

void tally_add(struct tally *t, uint32_t group, struct span name)
{
    pthread_mutex_lock(&t->lock);
    (void)names_add(&t->names, group, name);
    pthread_mutex_unlock(&t->lock);
}

void tally_remove(struct tally *t, uint32_t group, struct span name)
{
    pthread_mutex_lock(&t->lock);
    (void)names_remove(&t->names, group, name);
    pthread_mutex_unlock(&t->lock);
}

uint32_t tally_n(struct tally *t)
{
    pthread_mutex_lock(&t->lock);
    uint32_t n = t->names.map.n;
    pthread_mutex_unlock(&t->lock);
    return n;
}
