/* bridge.h - the raw WebSocket endpoints that came before Channels: which there are, who may
 * use them, what each answer says of their end.
 *
 * Part of a configuration, so immutable once that is in use.
 */
#ifndef GATEWAY_BRIDGE_H
#define GATEWAY_BRIDGE_H

#include "base/base.h"
#include "gateway/policy.h"
#include "gateway/route.h"

enum bridge_endpoint {
    BRIDGE_WS,          // /ws
    BRIDGE_CLIENT,      // /ws/{client_id}
    BRIDGE_NATIVE,      // /ws/native
    BRIDGE_ROBLOX,      // /ws/roblox
    BRIDGE_ANALYTICS,   // /ws/analytics/realtime and /api/v1/analytics/realtime
    BRIDGE_ENVIRONMENT, // /api/v1/environment/create
    BRIDGE_ENDPOINTS
};

/* As the configuration and the metrics name it. */
const char *bridge_word(enum bridge_endpoint endpoint);
const char *bridge_path(enum bridge_endpoint endpoint);

/* The endpoint of a path; *client is the label in it, or empty. */
bool bridge_find(struct span path, enum bridge_endpoint *endpoint, struct span *client);

struct bridge {
    bool is_on[BRIDGE_ENDPOINTS];
    bool needs_token; // at /ws and /ws/{client_id} too
    struct who broadcast, user_message, status;
    char *sunset, *sunset_http; // the day, and as a header has it; or NULL
    char *link, *alternative;
    uint32_t connections, messages_per_min;
    uint32_t stale_s, idle_s;                // without a ping; without any message
    char *message, *environment, *analytics; // names of routes
    char *headers;                           // lines of every answer of these endpoints
};

struct bridge *bridge_new(void); // with the defaults
void bridge_free(struct bridge *b);
void bridge_finish(struct bridge *b);

/* The role that is least among those who are meant, or NULL when any user is, or none. */
const char *bridge_least_role(const struct who *who, const struct roles *roles);

/* The route of that name, or NULL. */
const struct route *bridge_route(const struct route *routes, size_t n, const char *name);

/* The case for a type, or NULL. */
const struct dispatch_case *bridge_case(const struct route *route, struct span type);

#endif
