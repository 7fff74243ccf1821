/* Counters of all workers as Prometheus text. */
#include "base/base.h"

#include "serve/metrics.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "gateway/tally.h"
#include "serve/bridge.h"
#include "serve/once.h"
#include "serve/session.h"

enum { APPS_SHOWN = 100 }; // a label for each of more apps would drown the others

static void help(struct buf *out, const char *name, const char *type, const char *sentence)
{
    buf_addf(out, "# HELP carillon_%s %s\n# TYPE carillon_%s %s\n", name, sentence, name, type);
}

struct gauge {
    const char *name, *type, *sentence;
    uint64_t (*read)(const struct serve *s);
};

static uint64_t read_connections(const struct serve *s)
{
    uint64_t n = 0;
    for (int i = 0; i < CONN_DEAD; i++)
        n += counter_get(&s->stats.conns[i]);
    return n;
}

#define READ(name, from)                                                                           \
    static uint64_t read_##name(const struct serve *s)                                             \
    {                                                                                              \
        return counter_get(from);                                                                  \
    }

READ(detached, &s->stats.detached)
READ(retained, &s->stats.retained_bytes)
READ(subscriptions, &hub_counts(s->hub)->subscriptions)
READ(channels, &hub_counts(s->hub)->channels)
READ(home_channels, &hub_counts(s->hub)->home_channels)
READ(users, &hub_counts(s->hub)->users)
READ(events, &hub_counts(s->hub)->events)
READ(client_events, &hub_counts(s->hub)->client_events)
READ(letters, &hub_counts(s->hub)->letters)
READ(histories, &hub_counts(s->hub)->histories)
READ(history_events, &hub_counts(s->hub)->history_events)
READ(history_bytes, &hub_counts(s->hub)->history_bytes)
READ(evicted, &hub_counts(s->hub)->histories_evicted)
READ(recovered, &hub_counts(s->hub)->recovered)
READ(unrecovered, &hub_counts(s->hub)->unrecovered)
READ(unstored, &hub_counts(s->hub)->unstored)
READ(store_refused, &hub_counts(s->hub)->store_refused)
READ(overtaken, &hub_counts(s->hub)->overtaken)
READ(askers, &hub_counts(s->hub)->askers)
READ(cursors, &hub_counts(s->hub)->cursors)
READ(frames, &hub_fanout_counts(s->hub)->frames_sent)
READ(bytes, &hub_fanout_counts(s->hub)->bytes_sent)
READ(writes, &hub_fanout_counts(s->hub)->writes)

#undef READ

static const struct gauge gauges[] = {
    {"connections", "gauge", "Open sockets", read_connections},
    {"subscriptions", "gauge", "Subscriptions of the worker's sessions", read_subscriptions},
    {"channels", "gauge", "Channels that the worker knows, as home or for its sessions",
        read_channels},
    {"home_channels", "gauge", "Occupied channels whose home is the worker", read_home_channels},
    {"users", "gauge", "Signed-in users whose home is the worker", read_users},
    {"detached_sessions", "gauge", "Sessions over HTTP that nobody receives at this moment",
        read_detached},
    {"retained_bytes", "gauge", "Output kept for sockets that do not take it", read_retained},
    {"events_accepted_total", "counter", "Published events accepted at their channel's home",
        read_events},
    {"client_events_total", "counter", "Client events relayed by their channel's home",
        read_client_events},
    {"letters_total", "counter", "Letters mailed to other workers", read_letters},
    {"history_streams", "gauge", "Channels whose history is kept by the worker", read_histories},
    {"history_events", "gauge", "Events in these histories", read_history_events},
    {"history_bytes", "gauge", "Memory that the histories take, in bytes", read_history_bytes},
    {"histories_evicted_total", "counter", "Histories forgotten because all together were too much",
        read_evicted},
    {"recovered_total", "counter", "Subscriptions that went on where they had been",
        read_recovered},
    {"not_recovered_total", "counter", "Subscriptions that were told that they could not",
        read_unrecovered},
    {"unstored_total", "counter", "Events with ack that were refused because they were not stored",
        read_unstored},
    {"store_refused_total", "counter", "Events not given to the store: too many waited for it",
        read_store_refused},
    {"overtaken_total", "counter",
        "Subscriptions closed because what they were being given was no longer kept",
        read_overtaken},
    {"waiting_polls", "gauge", "Channels that polls wait for at their home", read_askers},
    {"catching_up", "gauge", "Subscriptions that are being given what they missed", read_cursors},
    {"messages_out_total", "counter", "Frames for clients", read_frames},
    {"bytes_out_total", "counter", "Bytes of frames written to sockets", read_bytes},
    {"writes_total", "counter", "Write calls for frames", read_writes},
};

static void add_gauges(const struct house *house, struct buf *out)
{
    for (size_t i = 0; i < COUNT_OF(gauges); i++) {
        help(out, gauges[i].name, gauges[i].type, gauges[i].sentence);
        for (unsigned w = 0; w < house->n_workers; w++)
            buf_addf(out, "carillon_%s{worker=\"%u\"} %llu\n", gauges[i].name, w,
                (unsigned long long)gauges[i].read(house->workers[w]));
    }
}

static uint64_t sum_gauge(const struct house *house, size_t i)
{
    uint64_t n = 0;
    for (unsigned w = 0; w < house->n_workers; w++)
        n += gauges[i].read(house->workers[w]);
    return n;
}

static uint64_t sum_sessions(const struct house *house)
{
    uint64_t n = 0;
    for (unsigned w = 0; w < house->n_workers; w++)
        for (int t = 0; t < TRANSPORTS; t++)
            n += counter_get(&house->workers[w]->stats.sessions[t]);
    return n;
}

static void add_active_users(const struct house *house, struct buf *out)
{
    help(out, "active_users", "gauge",
        "Different users whom the gateway has authorised and who have an open session");
    buf_addf(out, "carillon_active_users %u\n", tally_n(house->users));
}

static void add_sessions(const struct house *house, struct buf *out)
{
    help(out, "sessions", "gauge", "Channels connections, by what carries them");
    for (int t = 0; t < TRANSPORTS; t++)
        for (unsigned w = 0; w < house->n_workers; w++)
            buf_addf(out, "carillon_sessions{worker=\"%u\",transport=\"%s\"} %llu\n", w,
                transport_word((enum transport)t),
                (unsigned long long)counter_get(&house->workers[w]->stats.sessions[t]));
}

static void add_counters(const struct house *house, struct buf *out)
{
    static const struct {
        const char *metric, *sentence;
    } rows[COUNTERS] = {
#define COUNTER(name, metric, sentence) {#metric, sentence},
#include "serve/counters.def"
#undef COUNTER
    };
    for (int i = 0; i < COUNTERS; i++) {
        char name[80];
        snprintf(name, sizeof name, "%s_total", rows[i].metric);
        help(out, name, "counter", rows[i].sentence);
        for (unsigned w = 0; w < house->n_workers; w++)
            buf_addf(out, "carillon_%s{worker=\"%u\"} %llu\n", name, w,
                (unsigned long long)counter_get(&house->workers[w]->stats.counters[i]));
    }
}

static uint64_t sum_closes(const struct house *house, int why)
{
    uint64_t n = 0;
    for (unsigned w = 0; w < house->n_workers; w++)
        n += counter_get(&house->workers[w]->stats.closes[why]);
    return n;
}

static void add_closes(const struct house *house, struct buf *out)
{
    help(out, "closes_total", "counter", "Sessions ended or refused, by reason");
    for (int i = 0; i < CLOSE_REASONS; i++) {
        char word[40] = {0};
        const char *from = close_word((enum close_reason)i);
        for (size_t k = 0; from[k] && k < sizeof word - 1; k++)
            word[k] = from[k] >= 'A' && from[k] <= 'Z' ? (char)(from[k] + 32) : from[k];
        buf_addf(out, "carillon_closes_total{reason=\"%s\",code=\"%u\"} %llu\n", word,
            close_code((enum close_reason)i), (unsigned long long)sum_closes(house, i));
    }
}

static void add_statuses(const struct house *house, struct buf *out)
{
    help(out, "http_requests_total", "counter", "HTTP requests answered, by status");
    for (int status = 0; status < HTTP_STATUS_SLOTS; status++) {
        uint64_t n = 0;
        for (unsigned w = 0; w < house->n_workers; w++)
            n += counter_get(&house->workers[w]->stats.statuses[status]);
        if (n)
            buf_addf(out, "carillon_http_requests_total{status=\"%d\"} %llu\n", status,
                (unsigned long long)n);
    }
}

static void add_latency(const struct house *house, struct buf *out)
{
    uint64_t total = 0;
    uint64_t sum_us = 0;
    help(out, "publish_to_flush_seconds", "histogram",
        "From a published event's acceptance to its writing, by worker and event");
    for (int i = 0; i < LATENCY_BUCKETS; i++) {
        for (unsigned w = 0; w < house->n_workers; w++)
            total += counter_get(&hub_fanout_counts(house->workers[w]->hub)->latency[i]);
        if (i < LATENCY_BUCKETS - 1)
            buf_addf(out, "carillon_publish_to_flush_seconds_bucket{le=\"%g\"} %llu\n",
                (double)fanout_latency_us[i] / 1e6, (unsigned long long)total);
    }
    for (unsigned w = 0; w < house->n_workers; w++)
        sum_us += counter_get(&hub_fanout_counts(house->workers[w]->hub)->latency_us);
    buf_addf(out,
        "carillon_publish_to_flush_seconds_bucket{le=\"+Inf\"} %llu\n"
        "carillon_publish_to_flush_seconds_sum %.6f\n"
        "carillon_publish_to_flush_seconds_count %llu\n",
        (unsigned long long)total, (double)sum_us / 1e6, (unsigned long long)total);
}

/* The value of a label: an app's id may hold what the format escapes. */
static void add_label(struct buf *out, const char *value)
{
    for (; *value; value++) {
        if (*value == '"' || *value == '\\')
            buf_add_char(out, '\\');
        buf_add_char(out, *value);
    }
}

static void add_apps(const struct serve *s, struct buf *out)
{
    static const struct {
        const char *name, *type, *sentence;
        size_t offset;
    } rows[] = {
        {"app_connections", "gauge", "Sessions of the app",
            offsetof(struct app_usage, connections)},
        {"app_events_total", "counter", "Events published over the HTTP API, by channel",
            offsetof(struct app_usage, events_in)},
        {"app_client_events_total", "counter", "Client events accepted",
            offsetof(struct app_usage, client_events)},
        {"app_refused_total", "counter", "Connections refused at their handshake",
            offsetof(struct app_usage, refused)},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        help(out, rows[i].name, rows[i].type, rows[i].sentence);
        for (size_t a = 0; a < s->config->n_apps && a < APPS_SHOWN; a++) {
            const struct app *app = &s->config->apps[a];
            char *usage = (char *)app_usage(app->slot);
            uint64_t n = atomic_load((_Atomic uint64_t *)(void *)(usage + rows[i].offset));
            buf_addf(out, "carillon_%s{app=\"", rows[i].name);
            add_label(out, app->id);
            buf_addf(out, "\"} %llu\n", (unsigned long long)n);
        }
    }
}

static uint64_t count_descriptors(void)
{
    uint64_t n = 0;
    DIR *dir = opendir("/proc/self/fd");
    if (!dir)
        return 0;
    while (readdir(dir))
        n++;
    closedir(dir);
    return n > 3 ? n - 3 : 0; // ".", ".." and the directory itself
}

static uint64_t read_resident(void)
{
    unsigned long long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f)
        return 0;
    if (fscanf(f, "%*u %llu", &pages) != 1)
        pages = 0;
    fclose(f);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void add_fact_latency(const struct fact_counts *counts, struct buf *out)
{
    uint64_t total = 0;
    help(out, "webhook_delivery_seconds", "histogram",
        "From an event to its delivery, by event and webhook");
    for (int i = 0; i < FACT_LATENCY_BUCKETS; i++) {
        total += counter_get(&counts->latency[i]);
        if (i < FACT_LATENCY_BUCKETS - 1)
            buf_addf(out, "carillon_webhook_delivery_seconds_bucket{le=\"%g\"} %llu\n",
                (double)fact_latency_ms[i] / 1e3, (unsigned long long)total);
    }
    buf_addf(out,
        "carillon_webhook_delivery_seconds_bucket{le=\"+Inf\"} %llu\n"
        "carillon_webhook_delivery_seconds_sum %.3f\n"
        "carillon_webhook_delivery_seconds_count %llu\n",
        (unsigned long long)total, (double)counter_get(&counts->latency_ms) / 1e3,
        (unsigned long long)total);
}

static void add_store(const struct house *house, struct buf *out)
{
    const struct store_counts *counts = house->store_counts;
    if (!counts)
        return;
    const struct {
        const char *name, *type, *sentence;
        const struct counter *value;
    } rows[] = {
        {"store_up", "gauge", "1 while the store of histories takes events", &counts->is_up},
        {"store_commits_total", "counter", "Groups of events that were stored", &counts->commits},
        {"store_events_total", "counter", "Events that were stored", &counts->events},
        {"store_failures_total", "counter", "Times that the disk failed", &counts->failures},
        {"store_lost_total", "counter", "Events that did not fit their stream, which began anew",
            &counts->lost},
        {"store_dropped_total", "counter", "Events that a failure found on their way",
            &counts->dropped},
        {"store_streams", "gauge", "Streams in the store", &counts->streams},
        {"store_events", "gauge", "Events in the store", &counts->stored},
        {"store_bytes", "gauge", "Bytes of its file", &counts->file_bytes},
        {"store_commit_microseconds", "gauge", "How long the last commit took", &counts->commit_us},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        help(out, rows[i].name, rows[i].type, rows[i].sentence);
        buf_addf(out, "carillon_%s %llu\n", rows[i].name,
            (unsigned long long)counter_get(rows[i].value));
    }
}

static void add_once(const struct house *house, struct buf *out)
{
    struct once_figures f;
    once_read(house->once, &f);
    help(out, "idempotency_keys", "gauge", "Idempotency keys that are remembered");
    buf_addf(out, "carillon_idempotency_keys %zu\n", f.n);
    help(out, "idempotency_bytes", "gauge", "Bytes of these keys and their answers");
    buf_addf(out, "carillon_idempotency_bytes %llu\n", (unsigned long long)f.bytes);
    help(out, "idempotency_evicted_total", "counter", "Keys forgotten before their ten minutes");
    buf_addf(out, "carillon_idempotency_evicted_total %llu\n", (unsigned long long)f.n_evicted);
}

static void add_facts(const struct house *house, struct buf *out)
{
    const struct fact_counts *counts = house->fact_counts;
    if (!counts)
        return;
    help(out, "webhook_events_total", "counter", "Webhook events by type and what became of them");
    for (int kind = 0; kind < FACT_KINDS; kind++)
        for (int outcome = 0; outcome < FACT_OUTCOMES; outcome++)
            buf_addf(out, "carillon_webhook_events_total{type=\"%s\",outcome=\"%s\"} %llu\n",
                fact_event((enum fact_kind)kind), fact_outcome_word((enum fact_outcome)outcome),
                (unsigned long long)counter_get(&counts->events[kind][outcome]));
    const struct {
        const char *name, *type, *sentence;
        const struct counter *value;
    } rows[] = {
        {"webhook_requests_total", "counter", "Webhook requests made", &counts->attempts},
        {"webhook_failures_total", "counter", "Webhook requests that were not taken",
            &counts->failures},
        {"webhook_queue_events", "gauge", "Webhook events that wait", &counts->waiting},
        {"webhook_queue_bytes", "gauge", "Bytes of webhook events that wait",
            &counts->waiting_bytes},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        help(out, rows[i].name, rows[i].type, rows[i].sentence);
        buf_addf(out, "carillon_%s %llu\n", rows[i].name,
            (unsigned long long)counter_get(rows[i].value));
    }
    add_fact_latency(counts, out);
}

void metrics_add_json(struct serve *s, struct buf *out)
{
    const struct house *house = s->house;
    uint64_t uptime_s = (uint64_t)clock_wall_ms() / 1000 - house->started_wall_s;
    buf_addf(out, "{\"active_users\":%u,\"active_connections\":%llu,\"uptime_s\":%llu",
        tally_n(house->users), (unsigned long long)sum_sessions(house),
        (unsigned long long)uptime_s);
    for (size_t i = 0; i < COUNT_OF(gauges); i++) {
        const char *name = gauges[i].name;
        size_t n = strlen(name);
        if (n > 6 && strcmp(name + n - 6, "_total") == 0)
            n -= 6;
        buf_addf(out, ",\"%.*s\":%llu", (int)n, name, (unsigned long long)sum_gauge(house, i));
    }
    buf_addf(out, ",\"memory_bytes\":%llu}", (unsigned long long)read_resident());
}

static void add_process(const struct serve *s, struct buf *out)
{
    help(out, "process_resident_bytes", "gauge", "Resident memory of the process");
    buf_addf(out, "carillon_process_resident_bytes %llu\n", (unsigned long long)read_resident());
    help(out, "process_descriptors", "gauge", "Open file descriptors of the process");
    buf_addf(out, "carillon_process_descriptors %llu\n", (unsigned long long)count_descriptors());
    help(out, "process_start_time_seconds", "gauge", "When the process started, UNIX time");
    buf_addf(out, "carillon_process_start_time_seconds %llu\n",
        (unsigned long long)s->house->started_wall_s);
    help(out, "workers", "gauge", "Worker threads");
    buf_addf(out, "carillon_workers %u\n", s->house->n_workers);
    help(out, "build_info", "gauge", "The version, as a label");
    buf_addf(out, "carillon_build_info{version=\"%s\"} 1\n", s->house->version);
}

void metrics_write(struct serve *s, struct buf *out)
{
    add_gauges(s->house, out);
    add_sessions(s->house, out);
    add_active_users(s->house, out);
    bridge_add_metrics(s->house, out);
    add_counters(s->house, out);
    add_closes(s->house, out);
    add_statuses(s->house, out);
    add_latency(s->house, out);
    add_apps(s, out);
    add_facts(s->house, out);
    add_once(s->house, out);
    add_store(s->house, out);
    add_process(s, out);
}
