/* served.h - workers without threads: a test runs their beats and is the peer, too.
 *
 * Time stands still but in pass_ms.  Sockets are loopback ones.
 */
#ifndef SERVED_H
#define SERVED_H

#include "base/base.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "config.h"
#include "gateway/ledger.h"
#include "gateway/quota.h"
#include "gateway/tally.h"
#include "net/pair.h"
#include "serve/conn.h"
#include "serve/once.h"
#include "serve/session.h"
#include "test.h"
#include "wire/socket_id.h"

enum { WORKERS_MAX = 3 };

struct served {
    struct house house;
    struct config *config;
    struct serve *workers[WORKERS_MAX];
    unsigned n_peers; // that have not gone
};

static struct served served;

struct setting {
    unsigned n_workers;  // 0 = 1
    const char *sets[6]; // options, to the first NULL
    const char *app;     // "ID:KEY:SECRET"; NULL = the default app
};

static inline void start_with(struct setting setting)
{
    struct err err = {0};
    struct config_args args = {.sets = setting.sets};
    while (args.n_sets < COUNT_OF(setting.sets) && setting.sets[args.n_sets])
        args.n_sets++;
    if (setting.app) {
        args.apps = &setting.app;
        args.n_apps = 1;
    }
    memset(&served, 0, sizeof served);
    served.config = config_load(&args, &err);
    CHECK_STR(err.text, "");
    ENSURE(served.config);
    served.house = (struct house){.n_workers = setting.n_workers ? setting.n_workers : 1,
        .workers = served.workers,
        .version = "9.8.7",
        .started_wall_s = 1234567890,
        .capacity = 1000,
        .is_ready = true,
        .quota = quota_new(),
        .users = tally_new(),
        .ledger = ledger_new(),
        .once = once_new()};
    for (unsigned i = 0; i < served.house.n_workers; i++) {
        struct serve_setup setup = {.worker = i,
            .house = &served.house,
            .config = served.config,
            .listener = -1,
            .tls_listener = -1};
        served.workers[i] = serve_new(&setup);
    }
}

#define START(...) start_with((struct setting){__VA_ARGS__})

/* What every test file does first. */
static inline void served_init(void)
{
    hash_init();
    socket_id_init();
    log_setup(LOG_ERROR, LOG_LOGFMT);
}

/* One turn of each worker. */
static inline void turn(void)
{
    for (unsigned i = 0; i < served.house.n_workers; i++) {
        struct serve *s = served.workers[i];
        loop_wait(&s->loop, 0);
        serve_sockets(s);
        serve_mail(s);
        serve_settle(s);
        serve_flush(s);
        serve_reap(s);
    }
}

/* Time passes, and every conn is looked at. */
static inline void pass_ms(uint32_t ms)
{
    for (unsigned i = 0; i < served.house.n_workers; i++) {
        struct serve *s = served.workers[i];
        s->now_us += (uint64_t)ms * 1000;
        s->now_ms += ms;
        s->client_ms += ms;
        hub_now(s->hub, s->now_us, 0);
        for (int phase = 0; phase < SWEEP_PHASES; phase++) {
            s->swept_ms = s->now_ms - 1000;
            serve_timers(s);
        }
    }
    turn();
}

static inline uint32_t n_in(enum conn_state state)
{
    uint32_t n = 0;
    for (unsigned i = 0; i < served.house.n_workers; i++)
        n += served.workers[i]->lists[state].n;
    return n;
}

static inline uint64_t counted(enum counter_name name)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < served.house.n_workers; i++)
        n += counter_get(&served.workers[i]->stats.counters[name]);
    return n;
}

static inline uint64_t closed(enum close_reason why)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < served.house.n_workers; i++)
        n += counter_get(&served.workers[i]->stats.closes[why]);
    return n;
}

/* Frees all; every conn must have gone, or goes now. */
static inline void end(void)
{
    serve_free_all(&served.house);
    quota_free(served.house.quota);
    tally_free(served.house.users);
    ledger_free(served.house.ledger);
    once_free(served.house.once);
    CHECK_EQ(served.house.n_conns, 0);
    config_drop(served.config);
}

/* --- a peer ------------------------------------------------------------------------------------ */

struct peer {
    int fd;
    bool has_ended; // the server has closed its side
    struct buf got; // NUL-terminated
};

static inline void peer_open(struct peer *p, unsigned worker)
{
    int fd[2];
    *p = (struct peer){0};
    open_pair(fd);
    p->fd = fd[1];
    served.n_peers++;
    conn_accept(served.workers[worker], fd[0], false);
}

/* Until there is something for a worker: what was sent may take a moment. */
static inline bool wait_for_workers(int timeout_ms)
{
    struct pollfd fds[WORKERS_MAX];
    for (unsigned i = 0; i < served.house.n_workers; i++)
        fds[i] = (struct pollfd){.fd = served.workers[i]->loop.fd, .events = POLLIN};
    return poll(fds, served.house.n_workers, timeout_ms) > 0;
}

/* Goes away; the server may not have seen it. */
static inline void peer_drop(struct peer *p)
{
    close(p->fd);
    buf_fini(&p->got);
    served.n_peers--;
}

/* Goes away, and the server sees it. */
static inline void peer_close(struct peer *p)
{
    uint64_t until_us = clock_us() + PAIR_PATIENCE_MS * 1000ULL;
    peer_drop(p);
    do {
        turn();
        if (served.house.n_conns > served.n_peers)
            (void)wait_for_workers(5);
    } while (served.house.n_conns > served.n_peers && clock_us() < until_us);
    CHECK(served.house.n_conns <= served.n_peers);
}

static inline void peer_send(struct peer *p, const char *bytes, size_t len)
{
    CHECK_EQ(send(p->fd, bytes, len, MSG_NOSIGNAL), len);
    CHECK(wait_for_workers(PAIR_PATIENCE_MS));
}

static inline void say(struct peer *p, const char *text)
{
    peer_send(p, text, strlen(text));
}

static inline void peer_read(struct peer *p)
{
    for (;;) {
        ssize_t n = recv(p->fd, buf_room(&p->got, 4097), 4096, 0);
        if (n > 0)
            p->got.len += (size_t)n;
        p->got.p[p->got.len] = '\0';
        p->has_ended |= n == 0;
        if (n <= 0)
            return;
    }
}

static inline bool has(const struct peer *p, const char *text)
{
    return p->got.len && memmem(p->got.p, p->got.len, text, strlen(text));
}

/* Until something may have happened. */
static inline void wait_a_little(const struct peer *p)
{
    struct pollfd fds[1 + WORKERS_MAX] = {{.fd = p->fd, .events = POLLIN}};
    for (unsigned i = 0; i < served.house.n_workers; i++)
        fds[1 + i] = (struct pollfd){.fd = served.workers[i]->loop.fd, .events = POLLIN};
    (void)poll(fds, 1 + served.house.n_workers, 5);
}

/* Runs the workers until the peer has got text, or the end when text is NULL. */
static inline bool gets(struct peer *p, const char *text)
{
    uint64_t until_us = clock_us() + PAIR_PATIENCE_MS * 1000ULL;
    do {
        turn();
        peer_read(p);
        if (text ? has(p, text) : p->has_ended)
            return true;
        if (!p->has_ended)
            wait_a_little(p);
    } while (!p->has_ended && clock_us() < until_us);
    printf("    the peer got '%s'\n", p->got.len ? p->got.p : "");
    return false;
}

static inline void forget(struct peer *p)
{
    p->got.len = 0;
}

/* One request, answered whole when its body ends with tail.  The answer is in p->got. */
static inline bool asks(struct peer *p, const char *request, const char *tail)
{
    forget(p);
    say(p, request);
    return gets(p, tail);
}

/* How often text is in what the peer got. */
static inline size_t count(const struct peer *p, const char *text)
{
    size_t n = 0;
    for (const char *at = p->got.len ? strstr(p->got.p, text) : NULL; at; n++)
        at = strstr(at + strlen(text), text);
    return n;
}

/* --- WebSocket --------------------------------------------------------------------------------- */

#define UPGRADE(path)                                                                              \
    "GET " path " HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"            \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

/* A client's frame, masked with zeros. */
static inline void frame(struct peer *p, enum ws_kind kind, const char *payload, size_t len)
{
    char head[8] = {(char)(0x80 | (int)kind), (char)(0x80 | (int)len)};
    size_t n = 2;
    if (len > 125) {
        head[1] = (char)(0x80 | 126);
        head[n++] = (char)(len >> 8);
        head[n++] = (char)len;
    }
    ENSURE(len <= UINT16_MAX);
    struct buf all = {0};
    buf_add(&all, head, n);
    buf_add(&all, "\0\0\0\0", 4);
    buf_add(&all, payload, len);
    peer_send(p, all.p, all.len);
    buf_fini(&all);
}

static inline void message(struct peer *p, const char *text)
{
    frame(p, WS_TEXT, text, strlen(text));
}

/* A session of the default app. */
static inline void peer_open_session(struct peer *p, unsigned worker)
{
    peer_open(p, worker);
    CHECK(asks(p, UPGRADE("/app/app-key?protocol=7"), "pusher:connection_established"));
}

#endif
