/* One worker's world, and its beats. */
#include "base/base.h"

#include "serve/serve.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/listener.h"
#include "serve/act.h"
#include "serve/call.h"
#include "serve/conn.h"
#include "serve/fallback.h"
#include "serve/notes.h"
#include "serve/session.h"

enum {
    TOKEN_MAIL,
    TOKEN_LISTENER, // and the next one: the TLS listener
    ACCEPTS_PER_TURN = 256,
    SWEEP_MS = 1000 / SWEEP_PHASES,
    STEP_MS = 5,            // while something has to happen soon
    LATE_MS = 2 * SWEEP_MS, // a worker whose turn was longer is late
    DRAIN_RATE = 1000,      // sessions sent away per second when the window is long enough
    DRAIN_GRACE_MS = 1000,  // for the ends of connections after the last was sent away
    TRIM_CROWD = 1000       // connections fewer than at the peak: give memory back
};

static bool post_to_store(void *ctx, struct mail *letter)
{
    struct serve *s = ctx;
    return s->house->record(s->house->scribe, letter);
}

static void post_to_hub(void *ctx, unsigned to, struct mail *letter)
{
    struct serve *s = ctx;
    serve_post(s->house->workers[to], letter);
}

static struct fanout_limits fanout_limits_of(const struct config *config)
{
    return (struct fanout_limits){.hard_bytes = config->limits.outbox_bytes,
        .soft_bytes = config->limits.outbox_soft_bytes,
        .soft_ms = config->limits.outbox_soft_ms,
        .stall_ms = config->limits.outbox_stall_ms,
        .total_bytes = config->limits.outbox_total_bytes};
}

/* What clients sent in time and a late worker has not yet read must not count as missing: of a
 * turn that took longer than LATE_MS only so much passes for them. */
static void pass_for_clients(struct serve *s, uint32_t ms)
{
    if (ms > LATE_MS) {
        serve_count(s, COUNTER_LATE, ms - LATE_MS);
        ms = LATE_MS;
    }
    s->client_ms += ms;
}

static void update_time(struct serve *s)
{
    uint32_t was_ms = s->now_ms;
    s->now_us = clock_us();
    s->now_ms = (uint32_t)(s->now_us / 1000);
    pass_for_clients(s, s->now_ms - was_ms);
    hub_now(s->hub, s->now_us, clock_wall_ms());
}

static void listen_on(struct serve *s, bool on)
{
    for (int i = 0; i < 2; i++) {
        if (s->listeners[i] < 0)
            continue;
        if (on) {
            bool ok = loop_add_level(&s->loop, s->listeners[i], TOKEN_LISTENER + (uint64_t)i);
            ENSURE(ok);
        } else {
            loop_remove(&s->loop, s->listeners[i]);
        }
    }
}

struct serve *serve_new(const struct serve_setup *setup)
{
    struct serve *s = mem_zero(sizeof *s);
    s->worker = setup->worker;
    s->house = setup->house;
    s->config = setup->config;
    config_hold(s->config);
    if (setup->tls)
        tls_context_hold(setup->tls);
    s->tls = setup->tls;
    s->listeners[0] = setup->listener;
    s->listeners[1] = setup->tls_listener;
    s->input = mem_alloc(CONN_INPUT_BYTES);
    loop_init(&s->loop);
    mailbox_init(&s->mailbox);
    outbox_pool_init(&s->outboxes);
    slab_init(&s->conns, sizeof(struct conn));
    slab_init(&s->sessions, sizeof(struct session));
    slab_init(&s->fallbacks, sizeof(struct fallback));
    struct hub_setup hub = {.worker = s->worker,
        .n_workers = s->house->n_workers,
        .outboxes = &s->outboxes,
        .limits = fanout_limits_of(s->config),
        .post = post_to_hub,
        .store = s->house->record ? post_to_store : NULL,
        .ctx = s};
    s->hub = hub_new(&hub);
    hub_use_apps(s->hub, s->config->apps, s->config->n_apps);
    hub_use_history(s->hub, s->config->limits.history_bytes / s->house->n_workers);
    s->now_ms = (uint32_t)(clock_us() / 1000); // nothing has been missed before the start
    update_time(s);
    jobs_use_config(s);
    s->swept_ms = s->now_ms;
    bool ok = loop_add_level(&s->loop, s->mailbox.fd, TOKEN_MAIL);
    ENSURE(ok);
    listen_on(s, true);
    return s;
}

void serve_post(struct serve *s, struct mail *letter)
{
    mailbox_post(&s->mailbox, letter);
}

/* --- 1. sleep --------------------------------------------------------------------------------- */

void serve_wait(struct serve *s)
{
    int timeout = SWEEP_MS;
    /* Closing and resuming at the end of a turn may have left something to write. */
    if (s->n_again || s->n_touched || s->n_answered || hub_has_output(s->hub))
        timeout = 0;
    else if (s->drain.is_on || s->n_early)
        timeout = STEP_MS;
    uint32_t due_ms = jobs_wait_ms(s);
    if (due_ms < (uint32_t)timeout)
        timeout = (int)due_ms;
    loop_wait(&s->loop, timeout);
    update_time(s);
}

/* --- 2. sockets in ------------------------------------------------------------------------------ */

static void pause_accepting(struct serve *s)
{
    if (s->is_accept_paused)
        return;
    s->is_accept_paused = true;
    listen_on(s, false);
    serve_count(s, COUNTER_ACCEPT_PAUSES, 1);
    log_event(LOG_WARN, "accept_paused", "worker=%u why=\"no descriptors left\"", s->worker);
}

static void accept_some(struct serve *s, int which)
{
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        int fd = listener_accept(s->listeners[which]);
        if (fd == -2)
            pause_accepting(s);
        if (fd < 0)
            return;
        conn_accept(s, fd, which == 1);
    }
}

/* Whoever publishes much is read on after what it published has left. */
static void relieve(struct serve *s)
{
    if (hub_is_pressed(s->hub))
        serve_flush(s);
}

static void read_again(struct serve *s)
{
    uint32_t n = s->n_again;
    if (!n)
        return;
    for (uint32_t i = 0; i < n; i++) {
        if (!slab_has(&s->conns, s->again[i]))
            continue; // its place has been given back
        struct conn *c = conn_at(s, s->again[i]);
        if (!(c->flags & CONN_AGAIN))
            continue; // the slot's next conn
        c->flags &= (uint16_t)~CONN_AGAIN;
        conn_read(s, c);
        relieve(s);
    }
    memmove(s->again, s->again + n, (s->n_again - n) * sizeof *s->again);
    s->n_again -= n;
}

void serve_sockets(struct serve *s)
{
    struct loop_event e;
    read_again(s);
    while (loop_next(&s->loop, &e)) {
        if (e.token == TOKEN_LISTENER || e.token == TOKEN_LISTENER + 1)
            accept_some(s, (int)(e.token - TOKEN_LISTENER));
        else if (e.token == TOKEN_MAIL)
            s->is_rung = true;
        else
            (void)conn_event(s, &e); // false: the conn has gone in this very turn
        relieve(s);
    }
}

/* --- 3. other threads in --------------------------------------------------------------------------- */

static void take_config(struct serve *s, struct mail *mail)
{
    struct new_config *letter = CONTAINER_OF(mail, struct new_config, mail);
    struct fanout_limits limits = fanout_limits_of(letter->config);
    hub_use_apps(s->hub, letter->config->apps, letter->config->n_apps);
    hub_use_limits(s->hub, &limits);
    hub_use_history(s->hub, letter->config->limits.history_bytes / s->house->n_workers);
    if (config_reached(letter->config))
        log_event(LOG_INFO, "reloaded", "apps=%zu", letter->config->n_apps);
    config_drop(s->config);
    tls_context_drop(s->tls);
    s->config = letter->config;
    s->tls = letter->tls;
    jobs_use_config(s);
    free(letter);
}

static void begin_drain(struct serve *s, struct mail *mail)
{
    struct drain_letter *letter = CONTAINER_OF(mail, struct drain_letter, mail);
    if (!s->is_accept_paused)
        listen_on(s, false);
    s->is_accept_paused = true;
    for (int i = 0; i < 2; i++) {
        if (s->listeners[i] >= 0)
            close(s->listeners[i]);
        s->listeners[i] = -1;
    }
    s->drain.is_on = true;
    s->drain.from_ms = s->now_ms;
    s->drain.window_ms = letter->window_ms;
    jobs_hurry(s);
    s->drain.n_then = s->lists[CONN_STREAM].n + s->lists[CONN_RECEIVE].n;
    free(letter);
}

static void take_letter(struct serve *s, struct mail *mail)
{
    switch (mail->kind) {
    case SERVE_LETTER_CONN:
        conn_receive(s, mail);
        break;
    case SERVE_LETTER_CONFIG:
        take_config(s, mail);
        break;
    case SERVE_LETTER_DRAIN:
        begin_drain(s, mail);
        break;
    case SERVE_LETTER_STOP:
        s->is_stopped = true;
        free(mail);
        break;
    case SERVE_LETTER_EXCHANGE:
        jobs_receive(s, CONTAINER_OF(mail, struct exchange_answer, mail));
        break;
    case SERVE_LETTER_OWNER:
        notes_receive_owner(s, mail);
        break;
    case SERVE_LETTER_SCAN:
        notes_receive_scan(s, mail);
        break;
    case LETTER_ANSWER:
        call_receive(s, CONTAINER_OF(mail, struct letter, mail));
        break;
    default:
        hub_receive(s->hub, CONTAINER_OF(mail, struct letter, mail));
        break;
    }
}

void serve_mail(struct serve *s)
{
    struct mail *next;
    if (!s->is_rung && mailbox_is_empty(&s->mailbox))
        return; // one system call less in every turn without mail
    s->is_rung = false;
    for (struct mail *mail = mailbox_take(&s->mailbox); mail; mail = next) {
        next = mail->next;
        take_letter(s, mail);
        relieve(s);
    }
}

/* --- 4. time in ---------------------------------------------------------------------------------------- */

static void sweep_piece(struct serve *s, uint32_t piece)
{
    if (!s->conns.pieces[piece].live)
        return;
    for (uint32_t i = 0; i < SLAB_PIECE && s->conns.pieces[piece].items; i++) {
        if (i >= s->conns.pieces[piece].fresh)
            return;
        struct conn *c = conn_at(s, piece << SLAB_SHIFT | i);
        if (c->state != CONN_DEAD)
            conn_sweep(s, c);
    }
}

static void sweep_fallbacks(struct serve *s, uint32_t piece)
{
    const struct slab_piece *p = &s->fallbacks.pieces[piece];
    for (uint32_t i = 0; p->live && p->items && i < p->fresh; i++) {
        struct fallback *f = fallback_at(s, piece << SLAB_SHIFT | i);
        if (f->state != FALLBACK_DEAD)
            fallback_sweep(s, f);
    }
}

static void give_back(struct serve *s)
{
    uint32_t n = s->conns.live;
    slab_trim(&s->conns);
    slab_trim(&s->sessions);
    if (!s->n_answered && !s->n_early) // indices that are still to be looked at
        slab_trim(&s->fallbacks);
    hub_trim(s->hub);
    batch_pool_trim(&s->outboxes.batches);
    if (n > s->peak_conns)
        s->peak_conns = n;
    if (s->peak_conns - n >= TRIM_CROWD && n < s->peak_conns / 2) {
        s->peak_conns = n;
        malloc_trim(0);
    }
}

static void publish_gauges(struct serve *s)
{
    for (int i = 0; i < CONN_STATES; i++)
        atomic_store_explicit(&s->stats.conns[i].value, s->lists[i].n, memory_order_relaxed);
    atomic_store_explicit(
        &s->stats.retained_bytes.value, s->outboxes.batches.retained_bytes, memory_order_relaxed);
}

/* Each conn is looked at once a second, an eighth of them at a time. */
static void sweep(struct serve *s)
{
    for (uint32_t p = s->sweep_phase; p < s->conns.n_pieces; p += SWEEP_PHASES)
        sweep_piece(s, p);
    bool is_waiting = counter_get(&s->stats.detached) > 0; // for a receiver: looked at more often
    for (uint32_t p = 0; p < s->fallbacks.n_pieces; p++)
        if (is_waiting || p % SWEEP_PHASES == s->sweep_phase)
            sweep_fallbacks(s, p);
    s->sweep_phase = (s->sweep_phase + 1) % SWEEP_PHASES;
    if (!s->drain.is_on)
        jobs_sweep(s);
    if (s->is_accept_paused && !s->drain.is_on) {
        s->is_accept_paused = false;
        listen_on(s, true);
    }
    if (s->sweep_phase)
        return;
    hub_tick(s->hub);
    /* It forgets sessions that have gone, so it comes before the trim. */
    hub_check_slow(s->hub, s->client_ms);
    give_back(s);
}

static void close_idle(struct serve *s)
{
    struct list_node *next;
    for (struct list_node *node = s->lists[CONN_HEAD].first; node; node = next) {
        next = node->next;
        struct conn *c = CONTAINER_OF(node, struct conn, node);
        if (!(c->flags & CONN_BEGUN) && !c->out.bytes)
            conn_kill(s, c);
    }
}

/* Sockets before receivers: a client that receives over HTTP may be between two requests. */
static struct conn *oldest(const struct serve *s)
{
    struct list_node *node = s->lists[CONN_STREAM].first;
    if (!node)
        node = s->lists[CONN_RECEIVE].first;
    return node ? CONTAINER_OF(node, struct conn, node) : NULL;
}

static void send_away(struct serve *s, struct conn *c)
{
    uint32_t session = c->session;
    if (c->flags & CONN_FALLBACK)
        session = fallback_at(s, c->fallback)->session;
    if (session != SLAB_NONE)
        session_close(s, session_at(s, session), CLOSE_SHUTDOWN, 0);
    else
        conn_finish(s, c);
}

/* The oldest sessions go first, spread over the window: they come back all at once otherwise,
 * somewhere else. */
static void drain(struct serve *s)
{
    uint32_t passed = s->now_ms - s->drain.from_ms;
    uint64_t due = s->drain.n_then;
    close_idle(s);
    if (passed < s->drain.window_ms)
        due = due * passed / s->drain.window_ms;
    struct conn *c;
    while ((c = oldest(s)) && (s->drain.n_gone < due || passed >= s->drain.window_ms)) {
        s->drain.n_gone++;
        send_away(s, c);
    }
    uint32_t busy = s->lists[CONN_STREAM].n + s->lists[CONN_RECEIVE].n + s->lists[CONN_HEAD].n +
                    s->lists[CONN_ANSWER].n;
    bool is_late = passed >= s->drain.window_ms + DRAIN_GRACE_MS;
    if ((busy || s->lists[CONN_CLOSING].n) && !is_late)
        return;
    if (!s->drain.is_over)
        atomic_fetch_add(&s->house->n_drained, 1);
    s->drain.is_over = true;
}

void serve_timers(struct serve *s)
{
    if (s->drain.is_on)
        drain(s);
    if (s->n_early)
        fallback_sweep_early(s);
    if (!jobs_wait_ms(s))
        jobs_run(s);
    if (s->now_ms - s->swept_ms < SWEEP_MS)
        return;
    s->swept_ms = s->now_ms;
    sweep(s);
}

/* --- 5. what the hub has decided --------------------------------------------------------------------- */

static void close_decided(struct serve *s)
{
    static const enum close_reason reasons[] = {[HUB_TERMINATED] = CLOSE_TERMINATED,
        [HUB_SLOW] = CLOSE_SLOW_READER,
        [HUB_STALLED] = CLOSE_STALLED_READER,
        [HUB_BROKEN] = CLOSE_BROKEN,
        [HUB_OVERTAKEN] = CLOSE_OVERTAKEN};
    uint32_t index;
    enum hub_closing why;
    while (hub_next_closing(s->hub, &index, &why))
        session_close(s, session_at(s, index), reasons[why], 0);
}

/* To the courier, who carries them outside. */
static void carry_facts(struct serve *s)
{
    struct mail *next;
    for (struct mail *fact = hub_take_facts(s->hub); fact; fact = next) {
        next = fact->next;
        s->house->tell(s->house->courier, fact);
    }
}

void serve_settle(struct serve *s)
{
    uint32_t index;
    do {
        hub_settle(s->hub);
        /* One who goes on may join again: another round, with another snapshot. */
        while (hub_next_ready(s->hub, &index)) {
            struct session *session = session_at(s, index);
            if (!(session->flags & SESSION_WAITING))
                continue;
            session->flags &= (uint8_t)~SESSION_WAITING;
            session_resume(s, session);
        }
        relieve(s);
    } while (hub_is_unsettled(s->hub));
    close_decided(s);
    carry_facts(s);
}

/* --- 6. sockets out ------------------------------------------------------------------------------------ */

static int64_t write_wire(void *ctx, uint32_t wire, const char *bytes, size_t len)
{
    struct serve *s = ctx;
    if (wire & SERVE_WIRE_FALLBACK)
        return fallback_write(s, wire & ~SERVE_WIRE_FALLBACK, bytes, len);
    if (wire & SERVE_WIRE_CONN)
        return stream_write(&conn_at(s, wire & ~SERVE_WIRE_CONN)->stream, bytes, len);
    for (;;) {
        ssize_t n = send((int)wire, bytes, len, MSG_NOSIGNAL);
        if (n >= 0)
            return n;
        if (errno != EINTR)
            return errno == EAGAIN ? STREAM_AGAIN : STREAM_END;
    }
}

/* A session's input waits while its output is over the soft limit: it may go on. */
static void resume_drained(struct serve *s)
{
    uint32_t index;
    while (hub_next_drained(s->hub, &index))
        session_resume(s, session_at(s, index));
}

static void flush_conns(struct serve *s)
{
    for (uint32_t i = 0; i < s->n_touched; i++) {
        if (!slab_has(&s->conns, s->touched[i]))
            continue; // its place has been given back
        struct conn *c = conn_at(s, s->touched[i]);
        if (!(c->flags & CONN_TOUCHED))
            continue; // the slot's next conn
        c->flags &= (uint16_t)~CONN_TOUCHED;
        conn_flush(s, c);
    }
    s->n_touched = 0;
}

/* Answers leave before the fan-out: a publisher prepares its next event meanwhile, and more
 * events share a write (saturated with 64 in flight: 0.33 to 0.22 us per delivery). */
void serve_flush(struct serve *s)
{
    flush_conns(s);
    hub_flush(s->hub, clock_us(), write_wire, s);
    fallback_answer(s);
    resume_drained(s);
    close_decided(s);
    flush_conns(s);
}

/* --- 7. the only free ------------------------------------------------------------------------------------ */

void serve_reap(struct serve *s)
{
    conn_reap(s);
    publish_gauges(s);
}

/* --- the end ------------------------------------------------------------------------------------------------ */

static void end_all(struct serve *s)
{
    for (int state = 0; state < CONN_DEAD; state++)
        while (s->lists[state].first)
            conn_kill(s, CONTAINER_OF(s->lists[state].first, struct conn, node));
    fallback_free_all(s);
    conn_reap(s);
    jobs_free_all(s);
}

static void free_one(struct serve *s)
{
    hub_free(s->hub);
    for (int i = 0; i < 2; i++)
        if (s->listeners[i] >= 0)
            close(s->listeners[i]);
    slab_fini(&s->conns);
    slab_fini(&s->sessions);
    slab_fini(&s->fallbacks);
    map_fini(&s->fallback_names);
    map_fini(&s->acts_by_id);
    outbox_pool_fini(&s->outboxes);
    mailbox_fini(&s->mailbox);
    loop_fini(&s->loop);
    tls_context_drop(s->tls);
    config_drop(s->config);
    buf_fini(&s->scratch);
    buf_fini(&s->scratch2);
    buf_fini(&s->words);
    free(s->again);
    free(s->touched);
    free(s->answered);
    free(s->early);
    free(s->numbers_ms);
    buf_fini(&s->line);
    free(s->input);
    free(s);
}

void serve_free_all(struct house *house)
{
    bool is_quiet = false;
    while (!is_quiet) {
        is_quiet = true;
        for (unsigned w = 0; w < house->n_workers; w++) {
            struct serve *s = house->workers[w];
            is_quiet &= mailbox_is_empty(&s->mailbox);
            serve_mail(s);
            serve_settle(s);
            serve_flush(s);
            end_all(s);
            for (unsigned other = 0; other < house->n_workers; other++)
                is_quiet &= mailbox_is_empty(&house->workers[other]->mailbox);
        }
    }
    for (unsigned w = 0; w < house->n_workers; w++)
        free_one(house->workers[w]);
}
