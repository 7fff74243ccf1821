/* Defaults, paths and header lines. */
#include "base/base.h"

#include "gateway/bridge.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"

static const struct {
    const char *word, *path;
} rows[BRIDGE_ENDPOINTS] = {
    [BRIDGE_WS] = {"ws", "/ws"},
    [BRIDGE_CLIENT] = {"client", "/ws/{client_id}"},
    [BRIDGE_NATIVE] = {"native", "/ws/native"},
    [BRIDGE_ROBLOX] = {"roblox", "/ws/roblox"},
    [BRIDGE_ANALYTICS] = {"analytics", "/ws/analytics/realtime"},
    [BRIDGE_ENVIRONMENT] = {"environment", "/api/v1/environment/create"},
};

enum { CLIENT_BYTES = 100 };

const char *bridge_word(enum bridge_endpoint endpoint)
{
    return rows[endpoint].word;
}

const char *bridge_path(enum bridge_endpoint endpoint)
{
    return rows[endpoint].path;
}

bool bridge_find(struct span path, enum bridge_endpoint *endpoint, struct span *client)
{
    static const char prefix[] = "/ws/";
    *client = span_of(NULL, 0);
    for (int i = 0; i < BRIDGE_ENDPOINTS; i++)
        if (i != BRIDGE_CLIENT && span_is(path, rows[i].path)) {
            *endpoint = (enum bridge_endpoint)i;
            return true;
        }
    if (span_is(path, "/api/v1/analytics/realtime")) {
        *endpoint = BRIDGE_ANALYTICS;
        return true;
    }
    if (!span_starts(path, prefix))
        return false;
    *client = span_from(path, strlen(prefix));
    *endpoint = BRIDGE_CLIENT;
    return client->len && client->len <= CLIENT_BYTES && !memchr(client->p, '/', client->len);
}

struct bridge *bridge_new(void)
{
    struct bridge *b = mem_zero(sizeof *b);
    b->connections = 1000;
    b->messages_per_min = 100;
    b->stale_s = 300;
    b->idle_s = 1800;
    b->user_message.is_user = true;
    b->message = mem_dup_str("message");
    b->environment = mem_dup_str("environment");
    b->analytics = mem_dup_str("analytics");
    return b;
}

void bridge_free(struct bridge *b)
{
    if (!b)
        return;
    free(b->sunset);
    free(b->sunset_http);
    free(b->link);
    free(b->alternative);
    free(b->message);
    free(b->environment);
    free(b->analytics);
    free(b->headers);
    free(b);
}

void bridge_finish(struct bridge *b)
{
    struct buf out = {0};
    buf_add_str(&out, "Deprecation: true\r\nX-Deprecated: true\r\n");
    if (b->sunset_http)
        buf_addf(&out, "Sunset: %s\r\n", b->sunset_http);
    if (b->link)
        buf_addf(
            &out, "Link: <%s>; rel=\"deprecation\"\r\nX-Migration-Guide: %s\r\n", b->link, b->link);
    buf_addf(&out, "X-Alternative: %s\r\n", b->alternative ? b->alternative : "pusher");
    b->headers = mem_dup(out.p, out.len);
    buf_fini(&out);
}

const char *bridge_least_role(const struct who *who, const struct roles *roles)
{
    const struct role *least = NULL;
    for (size_t i = 0; i < roles->n && !who->is_anyone && !who->is_user; i++)
        if ((who->roles & 1U << i) && (!least || roles->list[i].level < least->level))
            least = &roles->list[i];
    return least ? least->name : NULL;
}

const struct route *bridge_route(const struct route *routes, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(routes[i].name, name) == 0)
            return &routes[i];
    return NULL;
}

const struct dispatch_case *bridge_case(const struct route *route, struct span type)
{
    for (size_t i = 0; route->dispatch.field && i < route->dispatch.n_cases; i++)
        if (span_is(type, route->dispatch.cases[i].value))
            return &route->dispatch.cases[i];
    return NULL;
}
