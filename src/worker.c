/* A worker thread: the whole server, read aloud. */
#include "base/base.h"

#include "worker.h"

#include <stdio.h>

static void *run(void *arg)
{
    struct serve *s = arg;
    while (!s->is_stopped) {
        serve_wait(s);    // 1. sleep: the only blocking call
        serve_sockets(s); // 2. sockets in: read, decode, act
        serve_mail(s);    // 3. other threads in
        serve_timers(s);  // 4. time in
        serve_settle(s);  // 5. what the hub has decided
        serve_flush(s);   // 6. sockets out: the only write
        serve_reap(s);    // 7. the only free
    }
    return NULL;
}

void worker_start(struct worker *w, struct serve *serve)
{
    char name[16];
    w->serve = serve;
    int rc = pthread_create(&w->thread, NULL, run, serve);
    ENSURE(rc == 0);
    snprintf(name, sizeof name, "worker-%u", serve->worker % 1000);
    pthread_setname_np(w->thread, name);
}

void worker_join(struct worker *w)
{
    pthread_join(w->thread, NULL);
}
