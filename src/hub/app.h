/* app.h - an application: its keys, its switches and its limits.
 *
 * A struct app is immutable once the configuration that owns it is in use, and is read by
 * every worker.  What outlives a reload is its slot: the same id keeps the same slot for
 * the life of the process, so a session stores the slot and never a pointer.
 */
#ifndef HUB_APP_H
#define HUB_APP_H

#include "base/base.h"
#include "wire/sign.h"

#include <stdatomic.h>

enum { APP_SLOTS = 4096 };

struct app_key {
    char *key;
    char *secret;
    struct sign_key sign; // prepared from secret, so that a signature costs two compressions
};

/* Each is an option app_defaults.limits.NAME, and an app may override it. */
struct app_limits {
    uint32_t channel_name_chars;      // 200
    uint32_t event_name_chars;        // 200
    uint32_t event_data_bytes;        // 10,240, of the data string's UTF-8
    uint32_t channels_per_event;      // 100
    uint32_t batch_events;            // 10
    uint32_t presence_members;        // 100 distinct users in one channel
    uint32_t presence_member_bytes;   // 1,024, of user_info
    uint32_t presence_user_id_chars;  // 128
    uint32_t client_events_per_s;     // 10 per connection and rolling second; 0 = no limit
    uint32_t watchlist;               // 100 ids of a signed-in user
    uint32_t channels_per_connection; // 5,000
};

/* Where some of an app's facts are to be sent. */
struct webhook {
    char *url;
    uint32_t facts;                        // kinds, as bits (fact_mask)
    char *channel_prefix, *channel_suffix; // "" = any
    char **headers;                        // "Name: value"
    size_t n_headers;
    uint32_t batch_ms; // 0 = one event a request
};

/* What of a history outlives the process (docs/history.md). */
enum durability {
    DURABILITY_MEMORY, // nothing
    DURABILITY_ASYNC,  // what was stored before a crash; an event is delivered at once
    DURABILITY_ACK,    // everything: an event is stored before anybody hears it
    DURABILITIES
};

/* How long the events of some channels are kept, and how many of them a client that comes back
 * may be given. */
struct history_rule {
    char *pattern; // of channels; '*' stands for any characters
    uint32_t max_events, max_bytes, ttl_s;
    uint32_t recover_events, recover_bytes;
    uint32_t rewind;     // events for who asks for the last ones
    uint32_t meta_ttl_s; // how long a stream without events keeps its numbers
    enum durability durability;
};

struct app {
    char *id;
    struct app_key *keys; // at least one; the first is the oldest
    size_t n_keys;
    uint32_t slot;            // index among all apps that this process has known
    bool enabled;             // true
    bool client_events;       // true
    bool subscription_count;  // false; true for the default app
    bool watchlist;           // true
    bool auth_required;       // authorized_connections.enabled, false
    uint32_t auth_timeout_s;  // authorized_connections.timeout_s, 30
    uint32_t max_connections; // 0 = no limit
    bool tls_only;            // false
    char **allowed_origins;   // as "https://example.com"; none = every origin
    size_t n_allowed_origins;
    uint32_t cache_ttl_s; // 1,800
    struct webhook *webhooks;
    size_t n_webhooks;
    uint32_t facts;               // kinds that one of the webhooks wants
    struct history_rule *history; // the first that fits a channel counts
    size_t n_history;
    struct app_limits limits;
};

/* The key of this app with that name, or NULL. */
const struct app_key *app_key_find(const struct app *app, struct span key);

/* As a configuration has it. */
const char *durability_word(enum durability durability);

/* The rule for a channel, or NULL: nothing of it is kept. */
const struct history_rule *app_history(const struct app *app, struct span channel);

bool app_allows_origin(const struct app *app, struct span origin);

/* What an app uses, counted across workers and reloads.  Thread: any. */
struct app_usage {
    _Atomic uint64_t connections; // open now
    _Atomic uint64_t events_in;   // accepted over the HTTP API
    _Atomic uint64_t client_events;
    _Atomic uint64_t refused; // connections over the quota
};

struct app_usage *app_usage(uint32_t slot); // never NULL, never moves

/* Takes one of the app's connections; false when the quota is spent. */
bool app_connect(const struct app *app) MUST_CHECK;
void app_disconnect(uint32_t slot);

void app_count(_Atomic uint64_t *counter, uint64_t n);

#endif
