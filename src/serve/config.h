/* config.h - what the operator asked for, as data.
 *
 * A config is immutable once loaded.  A reload makes a new one and mails it to every worker;
 * the last holder frees it.  Where it comes from is src/config.h.
 */
#ifndef SERVE_CONFIG_H
#define SERVE_CONFIG_H

#include "base/base.h"
#include "base/log.h"
#include "gateway/gateway.h"
#include "hub/app.h"

#include <stdatomic.h>

/* Field names are the option's path with '.' written as '_' inside its group. */
struct config_limits {
    uint32_t head_bytes;        // 16,384: request line and headers
    uint32_t headers;           // 100
    uint32_t body_bytes;        // 65,536: any other request
    uint32_t event_body_bytes;  // 131,072: POST events
    uint32_t batch_body_bytes;  // 1,048,576: POST batch_events
    uint32_t head_ms;           // 10,000: from accept, or a request's first byte, to the head's end
    uint32_t body_ms;           // 15,000: from the head's end to the body's end
    uint32_t keepalive_ms;      // 30,000 between two requests
    uint32_t message_bytes;     // 65,536: one WebSocket message
    uint32_t outbox_bytes;      // 1,048,576 pending for one connection: closed at once
    uint32_t outbox_soft_bytes; // 262,144 pending for outbox_soft_ms: closed
    uint32_t outbox_soft_ms;    // 10,000
    uint32_t outbox_stall_ms;   // 15,000 without one byte taken: closed
    uint32_t history_bytes;     // 268,435,456 of event history, for all workers together
    uint32_t outbox_total_bytes; // 268,435,456 retained for all slow connections of a worker
    uint32_t idle_ms;            // 45,000 of silence: a WebSocket PING
    uint32_t pong_ms;            // 30,000 more: closed 4201
    uint32_t activity_timeout_s; // 120: told to clients
    uint32_t timestamp_s;        // 600: how far auth_timestamp may be off; 0 = any is good
    uint32_t heartbeat_ms;       // 25,000 between two heartbeats to a client over HTTP
    uint32_t rejoin_ms;          // 5,000 without a receiver: a session over HTTP ends
    uint32_t connections;        // 0 = as many as descriptors allow
    uint32_t connections_per_ip; // 0 = no limit
};

struct config {
    atomic_uint refs;
    atomic_uint awaited; // workers that a reload has not reached yet
    char *host;          // 127.0.0.1
    uint32_t port;       // 6001; 0 = any free one
    uint32_t workers;    // 0 = as many as the CPUs this process may use
    char *path_prefix;   // "" or "/prefix" without a slash at the end
    struct {
        char *cert, *key; // PEM files
        uint32_t port;    // 0 = no TLS listener
    } tls;
    struct {
        enum log_level level;
        enum log_format format;
    } log;
    struct {
        uint32_t delay_ms;  // 0: between "not ready" and closed listeners
        uint32_t window_ms; // 30,000: longest time over which connections are closed
    } drain;
    struct {
        uint32_t timeout_ms;    // 4,000
        uint32_t retry_s;       // 300
        uint32_t grace_ms;      // 3,000
        uint32_t queue_events;  // 10,000 of one URL
        uint32_t queue_bytes;   // 16,777,216 of one URL
        bool private_addresses; // true
    } webhooks;
    struct {
        char *path;           // of the file of durable histories; "" = none
        uint32_t queue_bytes; // 67,108,864 of events on their way to it
        uint32_t stall_ms;    // 5,000: that it may take to answer
    } store;
    struct config_limits limits;
    struct {
        char *echo_path;             // "" = off
        uint32_t echo_message_bytes; // 16,777,216
        uint32_t echo_outbox_bytes;  // 67,108,864
        char *worker_path;           // "" = off
    } debug;
    struct app app_defaults; // without id and keys: what an app has that says nothing
    struct app *apps;
    size_t n_apps;
    struct gateway *gateway;    // owned; NULL = none
    bool has_default_app;       // no source defined an app: app-id / app-key / app-secret
    struct config_index *index; // of apps, for the look-ups below
};

/* A rule keeps events in the store. */
bool config_needs_store(const struct config *c);

/* An empty configuration with one reference.  Whoever fills it calls config_index_apps once
 * all apps stand, before the first look-up. */
struct config *config_new(void);
void config_index_apps(struct config *c);
void config_app_fini(struct app *app); // also wipes its secrets

void config_hold(struct config *c);
void config_drop(struct config *c); // any thread; the last one frees

/* A worker goes by it from now on.  True for the last of those that were awaited. */
bool config_reached(struct config *c);

/* All of them do: nothing comes from them any more that was thought under the one before. */
static inline bool config_is_everywhere(const struct config *c)
{
    return atomic_load_explicit(&c->awaited, memory_order_acquire) == 0;
}

/* The app with that id or key, or NULL.  Lives as long as c. */
const struct app *config_app_by_id(const struct config *c, struct span id);
const struct app *config_app_by_key(const struct config *c, struct span key);
const struct app *config_app_by_slot(const struct config *c, uint32_t slot);

#endif
