/* Start, reload, stop. */
#include "base/base.h"

#include "server.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "courier.h"
#include "gateway/ledger.h"
#include "gateway/quota.h"
#include "gateway/tally.h"
#include "net/listener.h"
#include "notify.h"
#include "scribe.h"
#include "serve/once.h"
#include "wire/socket_id.h"
#include "worker.h"

enum {
    MAX_WORKERS = 64,
    RESERVED_DESCRIPTORS = 64, // for everything that is not a client
    STOP_POLL_MS = 5,
    WATCH_MS = 250,   // between two looks at the store
    QUIET_MS = 60000, // without one
    COURIER_MS = 5000 // at least, for webhooks that wait at a stop
};

struct server {
    const struct config_args *args;
    struct config *config;
    struct config *started; // what the listeners and threads were made from; held
    struct tls_context *tls;
    struct house house;
    struct worker *workers;
    struct courier *courier;
    struct scribe *scribe; // NULL = no store
    uint16_t port, tls_port;
    sigset_t signals;
};

static unsigned count_workers(const struct config *config)
{
    cpu_set_t cpus;
    unsigned n = config->workers;
    if (!n)
        n = sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? (unsigned)CPU_COUNT(&cpus) : 1;
    return n > MAX_WORKERS ? MAX_WORKERS : n;
}

static uint64_t raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 1024 - RESERVED_DESCRIPTORS;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit); // what there is must do
    (void)getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur > 2UL * RESERVED_DESCRIPTORS ? limit.rlim_cur - RESERVED_DESCRIPTORS
                                                       : limit.rlim_cur / 2;
}

/* --- start ------------------------------------------------------------------------------------- */

/* SO_REUSEPORT would let a second server share a busy port unnoticed: a socket without it
 * proves that the port is free. */
static bool probe(const char *host, uint16_t port, struct err *err)
{
    if (!port)
        return true;
    int fd = listener_open(host, &port, LISTENER_ALONE, err);
    if (fd < 0)
        return false;
    close(fd);
    return true;
}

static bool open_listeners(struct server *v, int *fds, uint16_t *port, struct err *err)
{
    const char *host = v->config->host;
    enum listener_share share = v->house.n_workers > 1 ? LISTENER_SHARED : LISTENER_ALONE;
    if (share == LISTENER_SHARED && !probe(host, *port, err))
        return false;
    for (unsigned w = 0; w < v->house.n_workers; w++) {
        fds[w] = listener_open(host, port, share, err);
        if (fds[w] < 0)
            return false;
    }
    return true;
}

static bool load_tls(const struct config *config, struct tls_context **tls, struct err *err)
{
    *tls = NULL;
    if (!config->tls.port)
        return true;
    *tls = tls_context_new(config->tls.cert, config->tls.key, err);
    return *tls != NULL;
}

static bool start(struct server *v, struct err *err)
{
    int fds[MAX_WORKERS];
    int tls_fds[MAX_WORKERS];
    for (int i = 0; i < MAX_WORKERS; i++)
        fds[i] = tls_fds[i] = -1;
    v->port = (uint16_t)v->config->port;
    v->tls_port = (uint16_t)v->config->tls.port;
    if (!load_tls(v->config, &v->tls, err) || !open_listeners(v, fds, &v->port, err))
        return false;
    if (v->tls && !open_listeners(v, tls_fds, &v->tls_port, err))
        return false;
    if (v->config->store.path[0]) {
        v->scribe = scribe_open(v->config, &v->house, err);
        if (!v->scribe)
            return false;
        v->house.record = scribe_post;
        v->house.scribe = v->scribe;
        v->house.store_counts = scribe_counts(v->scribe);
    }
    v->house.workers = mem_zero(v->house.n_workers * sizeof(struct serve *));
    v->workers = mem_zero(v->house.n_workers * sizeof *v->workers);
    for (unsigned w = 0; w < v->house.n_workers; w++) {
        struct serve_setup setup = {.worker = w,
            .house = &v->house,
            .config = v->config,
            .tls = v->tls,
            .listener = fds[w],
            .tls_listener = tls_fds[w]};
        v->house.workers[w] = serve_new(&setup);
    }
    v->courier = courier_start(v->config, &v->house);
    v->house.tell = courier_post;
    v->house.courier = v->courier;
    v->house.fact_counts = courier_counts(v->courier);
    if (v->scribe)
        scribe_start(v->scribe);
    for (unsigned w = 0; w < v->house.n_workers; w++)
        worker_start(&v->workers[w], v->house.workers[w]);
    return true;
}

static void print_banner(const struct server *v)
{
    const struct config *config = v->config;
    const struct app *app = &config->apps[0];
    printf("Carillon %s on http://%s:%u%s\n", CARILLON_VERSION, config->host, v->port,
        config->path_prefix);
    if (v->tls)
        printf("         and https://%s:%u%s\n", config->host, v->tls_port, config->path_prefix);
    printf("app      id %s, key %s", app->id, app->keys[0].key);
    if (config->has_default_app)
        printf(", secret %s (the default app: this machine only)", app->keys[0].secret);
    else if (config->n_apps > 1)
        printf(" (and %zu more)", config->n_apps - 1);
    printf("\n\n  const pusher = new Pusher('%s', {\n"
           "    cluster: 'self', forceTLS: false,\n"
           "    wsHost: '%s', wsPort: %u, httpHost: '%s', httpPort: %u,\n",
        app->keys[0].key, config->host, v->port, config->host, v->port);
    if (config->path_prefix[0])
        printf("    wsPath: '%s', httpPath: '%s',\n", config->path_prefix, config->path_prefix);
    printf("  });\n\n");
    fflush(stdout);
}

static void log_start(const struct server *v)
{
    log_event(LOG_INFO, "listening", "addr=%s port=%u tls=no", v->config->host, v->port);
    if (v->tls)
        log_event(LOG_INFO, "listening", "addr=%s port=%u tls=yes", v->config->host, v->tls_port);
    log_event(LOG_INFO, "started", "version=%s workers=%u apps=%zu max_connections=%llu",
        CARILLON_VERSION, v->house.n_workers, v->config->n_apps,
        (unsigned long long)v->house.capacity);
}

/* --- reload --------------------------------------------------------------------------------------- */

static void warn_unchanged(const struct config *now, const struct config *next)
{
    if (strcmp(now->host, next->host) != 0 || now->port != next->port)
        log_event(LOG_WARN, "reload_needs_restart", "option=%s", "host,port");
    if (now->workers != next->workers)
        log_event(LOG_WARN, "reload_needs_restart", "option=%s", "workers");
    if (now->tls.port != next->tls.port)
        log_event(LOG_WARN, "reload_needs_restart", "option=%s", "tls.port");
    if (strcmp(now->store.path, next->store.path) != 0)
        log_event(LOG_WARN, "reload_needs_restart", "option=%s", "store.path");
    if (now->store.queue_bytes != next->store.queue_bytes)
        log_event(LOG_WARN, "reload_needs_restart", "option=%s", "store.queue_bytes");
    if (now->store.stall_ms != next->store.stall_ms)
        log_event(LOG_WARN, "reload_needs_restart", "option=%s", "store.stall_ms");
}

static void send_config(struct server *v, struct config *next, struct tls_context *tls)
{
    atomic_store(&next->awaited, v->house.n_workers);
    for (unsigned w = 0; w < v->house.n_workers; w++) {
        struct new_config *letter = mem_zero(sizeof *letter);
        letter->mail.kind = SERVE_LETTER_CONFIG;
        letter->config = next;
        config_hold(next);
        if (tls)
            tls_context_hold(tls);
        letter->tls = tls;
        serve_post(v->house.workers[w], &letter->mail);
    }
}

static void reload(struct server *v)
{
    struct err err;
    struct tls_context *tls = NULL;
    struct config *next = config_load(v->args, &err);
    notify_send("RELOADING=1");
    if (next && !v->scribe && config_needs_store(next)) {
        (void)err_set(
            &err, 0, "apps.history: a durable rule needs store.path when the server starts");
        config_drop(next);
        next = NULL;
    }
    /* A TLS listener opens at start only, so only then can its certificate change. */
    if (next && v->tls && next->tls.cert && next->tls.key)
        tls = tls_context_new(next->tls.cert, next->tls.key, &err);
    if (!next || (v->tls && !tls)) {
        log_event(
            LOG_ERROR, "reload_failed", "kept=\"the configuration before\" error=\"%s\"", err.text);
        config_drop(next);
    } else {
        warn_unchanged(v->started, next);
        log_setup(next->log.level, next->log.format);
        send_config(v, next, tls);
        courier_use(v->courier, next);
        if (v->scribe)
            scribe_use(v->scribe, next);
        config_drop(v->config);
        tls_context_drop(v->tls);
        v->config = next;
        v->tls = tls;
    }
    notify_send("READY=1");
}

/* --- stop -------------------------------------------------------------------------------------------- */

/* The signal that came within ms, or 0. */
static int wait_signal(const struct server *v, uint32_t ms)
{
    if (v->scribe)
        scribe_watch(v->scribe);
    struct timespec timeout = {ms / 1000, (long)(ms % 1000) * 1000000L};
    int signal = sigtimedwait(&v->signals, NULL, &timeout);
    return signal > 0 ? signal : 0;
}

static void exit_on_second(int signal)
{
    if (signal != SIGTERM && signal != SIGINT)
        return;
    log_event(LOG_WARN, "stopped", "why=\"a second signal\"");
    _exit(1);
}

static void wait_while_draining(const struct server *v, uint32_t ms)
{
    uint64_t until_us = clock_us() + (uint64_t)ms * 1000;
    while (clock_us() < until_us)
        exit_on_second(wait_signal(v, STOP_POLL_MS));
}

static void stop(struct server *v)
{
    uint64_t n = atomic_load(&v->house.n_conns);
    uint32_t window = v->config->drain.window_ms;
    uint64_t from_us = clock_us();
    atomic_store(&v->house.is_draining, true);
    notify_send("STOPPING=1");
    wait_while_draining(v, v->config->drain.delay_ms);
    if (n < window)
        window = (uint32_t)n; // a thousand a second: n connections take n milliseconds
    log_event(LOG_INFO, "draining", "connections=%llu window_ms=%u", (unsigned long long)n, window);
    for (unsigned w = 0; w < v->house.n_workers; w++) {
        struct drain_letter *letter = mem_zero(sizeof *letter);
        letter->mail.kind = SERVE_LETTER_DRAIN;
        letter->window_ms = window;
        serve_post(v->house.workers[w], &letter->mail);
    }
    while (atomic_load(&v->house.n_drained) < v->house.n_workers)
        exit_on_second(wait_signal(v, STOP_POLL_MS));
    for (unsigned w = 0; w < v->house.n_workers; w++) {
        struct mail *letter = mem_zero(sizeof *letter);
        letter->kind = SERVE_LETTER_STOP;
        serve_post(v->house.workers[w], letter);
    }
    for (unsigned w = 0; w < v->house.n_workers; w++)
        worker_join(&v->workers[w]);
    courier_leave_workers(v->courier);
    if (v->scribe)
        scribe_leave_workers(v->scribe);
    serve_free_all(&v->house);
    scribe_stop(v->scribe);
    v->scribe = NULL;
    uint64_t passed_ms = (clock_us() - from_us) / 1000;
    uint64_t window_ms = v->config->drain.window_ms;
    window_ms = window_ms > passed_ms ? window_ms - passed_ms : 0;
    courier_stop(v->courier, window_ms < COURIER_MS ? COURIER_MS : (uint32_t)window_ms);
    v->courier = NULL;
}

static void block_signals(struct server *v)
{
    signal(SIGPIPE, SIG_IGN); // a socket's end is told by its write
    signal(SIGXFSZ, SIG_IGN); // and a file that may not grow
    sigemptyset(&v->signals);
    sigaddset(&v->signals, SIGTERM);
    sigaddset(&v->signals, SIGINT);
    sigaddset(&v->signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &v->signals, NULL);
}

static void serve_until_signal(struct server *v)
{
    for (;;) {
        int signal = wait_signal(v, v->scribe ? WATCH_MS : QUIET_MS);
        if (signal == SIGHUP)
            reload(v);
        else if (signal)
            return;
    }
}

static void release(struct server *v)
{
    quota_free(v->house.quota);
    tally_free(v->house.users);
    ledger_free(v->house.ledger);
    once_free(v->house.once);
    free(v->house.workers);
    free(v->workers);
    tls_context_drop(v->tls);
    config_drop(v->config);
    config_drop(v->started);
}

int server_run(const struct config_args *args)
{
    struct server v = {.args = args};
    struct err err;
    v.config = config_load(args, &err);
    if (!v.config) {
        fprintf(stderr, "carillon: %s\n", err.text);
        return 1;
    }
    v.started = v.config;
    config_hold(v.started);
    log_setup(v.config->log.level, v.config->log.format);
    block_signals(&v);
    /* The block functions of libcrypto are used directly: a build that has them wrong must
     * not start. */
    bool is_sound = sign_self_check();
    ENSURE(is_sound);
    hash_init();
    socket_id_init();
    v.house.capacity = raise_descriptors();
    v.house.n_workers = count_workers(v.config);
    v.house.version = CARILLON_VERSION;
    v.house.quota = quota_new();
    v.house.users = tally_new();
    v.house.ledger = ledger_new();
    v.house.once = once_new();
    v.house.started_wall_s = (uint64_t)clock_wall_ms() / 1000;
    if (!start(&v, &err)) {
        fprintf(stderr, "carillon: %s\n", err.text);
        release(&v);
        return 1;
    }
    print_banner(&v);
    log_start(&v);
    atomic_store(&v.house.is_ready, true);
    notify_send("READY=1");
    serve_until_signal(&v);
    stop(&v);
    log_event(LOG_INFO, "stopped", "why=%s", "signal");
    release(&v);
    return 0;
}
