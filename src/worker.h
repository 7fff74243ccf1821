/* worker.h - one inbound thread. */
#ifndef WORKER_H
#define WORKER_H

#include "serve/serve.h"

#include <pthread.h>

struct worker {
    pthread_t thread;
    struct serve *serve;
};

/* The thread runs until serve gets SERVE_LETTER_STOP. */
void worker_start(struct worker *w, struct serve *serve);
void worker_join(struct worker *w);

#endif
