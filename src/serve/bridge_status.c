/* What is told of the legacy endpoints: /ws/status, and their part of /metrics. */
#include "base/base.h"

#include "base/clock.h"
#include "gateway/ledger.h"
#include "serve/bridge.h"

enum { DAY_MS = 24 * 60 * 60 * 1000 };

static uint64_t sum(const struct house *house, enum counter_name name)
{
    uint64_t n = 0;
    for (unsigned w = 0; w < house->n_workers; w++)
        n += counter_get(&house->workers[w]->stats.counters[name]);
    return n;
}

struct parity {
    uint64_t n_legacy, n_both;
};

static struct parity read_parity(const struct house *house)
{
    struct parity p = {0};
    for (unsigned w = 0; w < house->n_workers; w++) {
        const struct hub_counts *counts = hub_counts(house->workers[w]->hub);
        p.n_legacy += counter_get(&counts->legacy_events);
        p.n_both += counter_get(&counts->parity_events);
    }
    return p;
}

static uint64_t sum_delivered(const struct house *house)
{
    uint64_t n = 0;
    for (unsigned w = 0; w < house->n_workers; w++)
        n += counter_get(&hub_fanout_counts(house->workers[w]->hub)->legacy_frames);
    return n;
}

/* --- /ws/status --------------------------------------------------------------------------------------- */

static void add_stats(struct serve *s, const struct ledger_figures *f, struct buf *out)
{
    const struct house *house = s->house;
    uint32_t n = 0;
    uint64_t n_ever = 0;
    for (int i = 0; i < BRIDGE_ENDPOINTS; i++) {
        n += f->n[i];
        n_ever += f->n_ever[i];
    }
    buf_addf(out, "\"stats\":{\"total_connections\":%llu,\"active_connections\":%u",
        (unsigned long long)n_ever, n);
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        {"messages_sent", sum(house, COUNTER_LEGACY_OUT) + sum_delivered(house)},
        {"messages_received", sum(house, COUNTER_LEGACY_IN)},
        {"channels_active", f->n_channels},
        {"rbac_denied", sum(house, COUNTER_LEGACY_DENIED)},
        {"rate_limited", sum(house, COUNTER_LEGACY_LIMITED)},
        {"auth_errors", sum(house, COUNTER_LEGACY_AUTH)},
        {"token_expired", sum(house, COUNTER_LEGACY_EXPIRED)},
        {"messages_dropped", sum(house, COUNTER_LEGACY_LIMITED)},
        {"connections_rejected", sum(house, COUNTER_LEGACY_REJECTED)},
        {"channels", f->n_channels},
        {"users_connected", f->n_users},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        buf_addf(out, ",\"%s\":%llu", rows[i].name, (unsigned long long)rows[i].value);
    buf_add_str(out, ",\"role_distribution\":");
    ledger_add_roles(house->ledger, out);
    buf_addf(out, ",\"status\":\"healthy\",\"uptime\":%llu}",
        (unsigned long long)((uint64_t)clock_wall_ms() / 1000 - house->started_wall_s));
}

static void add_endpoints(const struct bridge *b, const struct ledger_figures *f, struct buf *out)
{
    buf_add_str(out, ",\"endpoints\":{");
    for (int i = 0; i < BRIDGE_ENDPOINTS; i++)
        buf_addf(out, "%s\"%s\":{\"path\":\"%s\",\"enabled\":%s,\"active\":%u,\"total\":%llu}",
            i ? "," : "", bridge_word((enum bridge_endpoint)i),
            bridge_path((enum bridge_endpoint)i), b->is_on[i] ? "true" : "false", f->n[i],
            (unsigned long long)f->n_ever[i]);
    buf_add_char(out, '}');
}

/* When somebody came last; null when nobody has since the start. */
static void add_last(const struct ledger_figures *f, struct buf *out)
{
    char when[25];
    if (!f->last_ms) {
        buf_add_str(out, ",\"last_connection\":null,\"days_since_last_connection\":null");
        return;
    }
    clock_format(f->last_ms, when);
    buf_addf(out, ",\"last_connection\":\"%s\",\"days_since_last_connection\":%lld", when,
        (long long)((clock_wall_ms() - f->last_ms) / DAY_MS));
}

void bridge_add_status(struct serve *s, bool with_names, struct buf *out)
{
    const struct bridge *b = bridge_need(s);
    struct parity parity = read_parity(s->house);
    struct ledger_figures f;
    ledger_read(s->house->ledger, &f);
    buf_add_str(out, "{\"status\":\"ok\",");
    add_stats(s, &f, out);
    buf_add_str(out, ",\"channels\":");
    ledger_add_channels(s->house->ledger, out);
    add_endpoints(b, &f, out);
    add_last(&f, out);
    buf_addf(out, ",\"parity\":{\"legacy_events\":%llu,\"on_both\":%llu}",
        (unsigned long long)parity.n_legacy, (unsigned long long)parity.n_both);
    if (with_names) {
        buf_add_str(out, ",\"users\":");
        ledger_add_users(s->house->ledger, out);
    }
    buf_add_char(out, '}');
}

/* --- /metrics ------------------------------------------------------------------------------------------- */

static void help(struct buf *out, const char *name, const char *type, const char *sentence)
{
    buf_addf(out, "# HELP carillon_%s %s\n# TYPE carillon_%s %s\n", name, sentence, name, type);
}

void bridge_add_metrics(const struct house *house, struct buf *out)
{
    struct parity parity = read_parity(house);
    struct ledger_figures f;
    ledger_read(house->ledger, &f);
    help(out, "legacy_connections", "gauge", "Sockets of the legacy endpoints");
    for (int i = 0; i < BRIDGE_ENDPOINTS; i++)
        buf_addf(out, "carillon_legacy_connections{endpoint=\"%s\"} %u\n",
            bridge_word((enum bridge_endpoint)i), f.n[i]);
    help(out, "legacy_connections_total", "counter", "Sockets that legacy endpoints have accepted");
    for (int i = 0; i < BRIDGE_ENDPOINTS; i++)
        buf_addf(out, "carillon_legacy_connections_total{endpoint=\"%s\"} %llu\n",
            bridge_word((enum bridge_endpoint)i), (unsigned long long)f.n_ever[i]);
    help(out, "legacy_users", "gauge", "Different users on the legacy endpoints");
    buf_addf(out, "carillon_legacy_users %u\n", f.n_users);
    help(out, "legacy_last_connection_seconds", "gauge",
        "When a legacy client came last, UNIX time; 0 when none has since the start");
    buf_addf(out, "carillon_legacy_last_connection_seconds %lld\n", (long long)f.last_ms / 1000);
    help(out, "legacy_events_total", "counter", "Events of channels that legacy clients hear");
    buf_addf(out, "carillon_legacy_events_total %llu\n", (unsigned long long)parity.n_legacy);
    help(out, "legacy_parity_events_total", "counter",
        "Of these, events that Channels clients hear as well");
    buf_addf(out, "carillon_legacy_parity_events_total %llu\n", (unsigned long long)parity.n_both);
    help(out, "legacy_messages_out_total", "counter", "Events written to legacy clients");
    buf_addf(
        out, "carillon_legacy_messages_out_total %llu\n", (unsigned long long)sum_delivered(house));
}
