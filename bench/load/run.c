/* run.c - the two kinds of run, idle and events, and their one-line reports. */
#include "load.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static double cpu_of(const struct usage *from, const struct usage *to)
{
    return to->cpu_s - from->cpu_s;
}

/* Connections go on being served: a PING during the wait has to be answered. */
static void wait_s(struct load *l, double secs)
{
    uint64_t end = now_ns() + (uint64_t)(secs * 1e9);
    while (now_ns() < end)
        conns_pump(l, 20);
}

static void close_all(struct load *l)
{
    for (uint32_t i = 0; i < l->n_conns; i++) {
        struct conn *c = &l->conns[i];
        if (c->fd >= 0)
            (void)close(c->fd);
        c->fd = -1;
        c->state = CONN_DEAD;
    }
}

/* One connection more comes first and stays: what the first one costs (code that is paged
 * in, tables made on first use) is the server's price, not that of each connection. */
int run_idle(struct load *l)
{
    uint32_t n = l->opt.conns;
    (void)conns_open(l, n, n + 1);
    wait_s(l, 0.3);
    struct usage before = usage_read(l->opt.pid);
    double took = conns_open(l, 0, n);
    struct usage open = usage_read(l->opt.pid);
    wait_s(l, 1.5);
    struct usage held = usage_read(l->opt.pid);
    wait_s(l, l->opt.secs);
    struct usage after = usage_read(l->opt.pid);
    uint64_t lost = l->tally.closed, refused = l->tally.refused;
    close_all(l);
    wait_s(l, 2.5);
    struct usage gone = usage_read(l->opt.pid);
    printf("mode=idle label=%s conns=%u own_channel=%d connect_s=%.2f cpu_us_per_connect=%.2f "
           "rss_kb_before=%ld rss_kb_open=%ld rss_kb_gone=%ld rss_bytes_per_conn=%.0f "
           "hold_cpu_s=%.3f close_cpu_us=%.2f closed=%" PRIu64 " refused=%" PRIu64
           " error=\"%s\"\n",
        l->opt.label, n, l->opt.own_channel, took, cpu_of(&before, &open) * 1e6 / n, before.rss_kb,
        held.rss_kb, gone.rss_kb, (double)(held.rss_kb - before.rss_kb) * 1024 / n,
        cpu_of(&held, &after), cpu_of(&after, &gone) * 1e6 / n, lost, refused, l->error);
    return lost || refused ? 1 : 0;
}

static bool send_one(struct load *l, uint64_t due)
{
    const struct options *o = &l->opt;
    if (o->mode == LOAD_PRESENCE)
        return churner_toggle(l);
    if (o->mode != LOAD_CLIENTEVENTS)
        return publish_next(l, due);
    /* Open loop: a stride spreads the senders over the groups, so that every event is alone.
     * Closed loop: whole groups talk at once, as a busy room does. */
    uint32_t stride = o->window ? 1 : o->group + 1;
    for (uint32_t tries = 0; tries < o->conns; tries++) {
        l->next_sender = (l->next_sender + stride) % o->conns;
        if (l->conns[l->next_sender].state == CONN_READY) {
            client_event(l, &l->conns[l->next_sender], due);
            return true;
        }
    }
    return false;
}

/* Latency counts from when an event was due, so that a slow server cannot hide it.  The wait
 * is a poll: a client that sleeps costs the server a wake-up per event, differing run by run. */
static void run_open_loop(struct load *l, uint64_t end)
{
    uint64_t start = now_ns(), k = 0, due = start;
    double step = 1e9 / l->opt.rate;
    for (uint64_t now = start; now < end; now = now_ns()) {
        for (uint32_t n = 0; due <= now && n < 64; n++) {
            if (l->in_flight > IN_FLIGHT_MAX / 2 || !send_one(l, due)) {
                l->tally.late++;
                break;
            }
            due = start + (uint64_t)((double)++k * step);
        }
        conns_pump(l, 0);
    }
}

/* What cannot move for three seconds never will: something was lost, the report says what. */
static void run_closed_loop(struct load *l, uint64_t end)
{
    uint64_t last = 0, moved = now_ns();
    for (uint64_t now = moved; now < end; now = now_ns()) {
        bool counted = l->opt.mode == LOAD_PUBLISH; // nobody hears: answers are what moves
        uint32_t flying = counted ? l->n_pending : l->in_flight;
        for (; flying < l->opt.window && send_one(l, now); flying++)
            ;
        conns_pump(l, 0);
        uint64_t progress = l->tally.delivered + l->tally.answered;
        if (progress != last) {
            last = progress;
            moved = now;
        } else if (now - moved > 3000000000U) {
            note_error(l, "stuck", 5);
            return;
        }
    }
}

static void run_phase(struct load *l, double secs)
{
    uint64_t end = now_ns() + (uint64_t)(secs * 1e9);
    if (l->opt.window)
        run_closed_loop(l, end);
    else
        run_open_loop(l, end);
    /* What is still on its way may come; three seconds without anything end the wait. */
    uint64_t last = 0, moved = now_ns();
    while (l->tally.delivered < l->tally.expected || l->n_pending) {
        conns_pump(l, 5);
        if (l->tally.delivered + l->tally.answered != last)
            moved = now_ns();
        else if (now_ns() - moved > 3000000000U)
            return;
        last = l->tally.delivered + l->tally.answered;
    }
}

static void count_hearers(struct load *l)
{
    const struct options *o = &l->opt;
    for (uint32_t i = 0; i < o->conns; i++) {
        const struct conn *c = &l->conns[i];
        if (c->state != CONN_READY)
            continue;
        if (o->mode == LOAD_CLIENTEVENTS)
            l->n_hearers[i / o->group]++;
        else if (o->mode != LOAD_MANYCHAN)
            l->n_hearers[0]++;
        else
            for (uint32_t k = 0; k < c->n_streams; k++)
                l->n_hearers[(c->base + k) % o->channels]++;
    }
}

static int report(
    const struct load *l, const struct usage *from, const struct usage *to, double secs)
{
    const struct options *o = &l->opt;
    const struct tally *t = &l->tally;
    double cpu = cpu_of(from, to), heard = t->delivered ? (double)t->delivered : 1;
    uint64_t lost = t->expected > t->delivered ? t->expected - t->delivered : 0;
    uint32_t disordered = check_disordered(l);
    printf("mode=%s label=%s conns=%u channels=%u size=%u window=%u rate=%.0f publishers=%u ",
        o->mode_name, o->label, o->conns, o->channels, o->size, o->window,
        o->window ? 0.0 : o->rate, o->publishers);
    printf("published=%" PRIu64 " expected=%" PRIu64 " delivered=%" PRIu64 " lost=%" PRIu64
           " gaps=%" PRIu64 " repeated=%" PRIu64 " disordered=%u corrupt=%" PRIu64
           " refused=%" PRIu64 " closed=%" PRIu64 " late=%" PRIu64 " ",
        t->published, t->expected, t->delivered, lost, t->gaps, t->repeated, disordered, t->corrupt,
        t->refused, t->closed, t->late);
    printf("secs=%.2f deliveries_per_s=%.0f p50_us=%.0f p99_us=%.0f max_us=%.0f ", secs,
        (double)t->delivered / secs, histogram_us(&l->latency, .5), histogram_us(&l->latency, .99),
        (double)l->latency.max / 1e3);
    printf("cpu_s=%.2f user_s=%.2f sys_s=%.2f cpu_share=%.2f rss_kb=%ld cpu_us_per_delivery=%.4f "
           "cpu_us_per_event=%.3f error=\"%s\"\n",
        cpu, to->user_s - from->user_s, to->sys_s - from->sys_s, cpu / secs, to->rss_kb,
        cpu * 1e6 / heard, t->published ? cpu * 1e6 / (double)t->published : 0, l->error);
    return lost || t->gaps || t->repeated || disordered || t->corrupt || t->refused || t->closed;
}

int run_events(struct load *l)
{
    const struct options *o = &l->opt;
    (void)conns_open(l, 0, l->n_conns);
    if (l->n_dead)
        die("%u connections failed: %s", l->n_dead, l->error);
    count_hearers(l);
    wait_s(l, 0.5);
    if (o->warm_s > 0)
        run_phase(l, o->warm_s);
    wait_s(l, 0.05);
    int bad = 0;
    if (l->tally.delivered != l->tally.expected || l->tally.repeated || l->tally.corrupt) {
        note_error(l, "the warm-up was not clean", 25);
        bad = 1;
    }
    check_forget(l);
    struct usage from = usage_read(o->pid);
    uint64_t start = now_ns();
    run_phase(l, o->secs);
    double secs = (double)(now_ns() - start) / 1e9;
    struct usage to = usage_read(o->pid);
    wait_s(l, 0.05); // one more look, for what should not come at all
    return report(l, &from, &to, secs) || bad;
}
