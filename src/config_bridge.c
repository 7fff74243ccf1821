/* gateway.legacy, as the file has it: the raw WebSocket endpoints that came before. */
#include "base/base.h"

#include "config_yaml.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"

#define BRIDGE(ctx) (((struct gateway_reader *)(ctx))->gateway->bridge)

enum { LINK_BYTES = 400 };

/* --- which there are --------------------------------------------------------------------------------- */

static bool read_switch(void *ctx, const struct pairs *p, struct err *err)
{
    for (int i = 0; i < BRIDGE_ENDPOINTS; i++)
        if (span_is(p->key, bridge_word((enum bridge_endpoint)i)))
            return pairs_bool(p, &BRIDGE(ctx)->is_on[i], err);
    return false;
}

static bool read_endpoints(void *ctx, const struct pairs *p, struct err *err)
{
    static const struct group_part parts[] = {{"ws", read_switch}, {"client", read_switch},
        {"native", read_switch}, {"roblox", read_switch}, {"analytics", read_switch},
        {"environment", read_switch}};
    static const struct group group = {"gateway.legacy.endpoints.", parts, COUNT_OF(parts)};
    return group_read(&group, p->file, p->value, ctx, err);
}

/* --- who ----------------------------------------------------------------------------------------------- */

static bool read_token(void *ctx, const struct pairs *p, struct err *err)
{
    struct span word;
    if (!node_expect(p->file, p->value, YAML_SCALAR_NODE, p->path, err))
        return false;
    word = node_text(p->value);
    BRIDGE(ctx)->needs_token = span_is(word, "required");
    return span_is(word, "required") || span_is(word, "optional") ||
           pairs_refuse(p, err, "expected optional or required");
}

static bool read_who(
    struct gateway_reader *r, const struct pairs *p, struct who *who, struct err *err)
{
    *who = (struct who){0};
    return gateway_who(r->gateway, p, who, err);
}

static bool read_broadcast(void *ctx, const struct pairs *p, struct err *err)
{
    return read_who(ctx, p, &BRIDGE(ctx)->broadcast, err);
}

static bool read_user_message(void *ctx, const struct pairs *p, struct err *err)
{
    return read_who(ctx, p, &BRIDGE(ctx)->user_message, err);
}

static bool read_status(void *ctx, const struct pairs *p, struct err *err)
{
    return read_who(ctx, p, &BRIDGE(ctx)->status, err);
}

static bool read_roles(void *ctx, const struct pairs *p, struct err *err)
{
    static const struct group_part parts[] = {{"broadcast", read_broadcast},
        {"user_message", read_user_message}, {"status", read_status}};
    static const struct group group = {"gateway.legacy.roles.", parts, COUNT_OF(parts)};
    return group_read(&group, p->file, p->value, ctx, err);
}

/* --- what is said of their end ---------------------------------------------------------------------------- */

/* A day, as the header's date at midnight. */
static bool read_sunset(void *ctx, const struct pairs *p, struct err *err)
{
    struct tm tm = {0};
    char text[11];
    char date[32];
    if (!node_expect(p->file, p->value, YAML_SCALAR_NODE, p->path, err))
        return false;
    struct span day = node_text(p->value);
    if (day.len != sizeof text - 1)
        return pairs_refuse(p, err, "expected a day as 2027-12-31");
    memcpy(text, day.p, day.len);
    text[day.len] = '\0';
    const char *end = strptime(text, "%Y-%m-%d", &tm);
    if (!end || *end)
        return pairs_refuse(p, err, "expected a day as 2027-12-31");
    clock_format_http((int64_t)timegm(&tm), date);
    free(BRIDGE(ctx)->sunset);
    free(BRIDGE(ctx)->sunset_http);
    BRIDGE(ctx)->sunset = mem_dup_str(text);
    BRIDGE(ctx)->sunset_http = mem_dup_str(date);
    return true;
}

/* Text for a header line. */
static bool read_line(const struct pairs *p, char **to, struct err *err)
{
    if (!pairs_text(p, to, err))
        return false;
    size_t n = strlen(*to);
    bool ok = n > 0 && n <= LINK_BYTES;
    for (size_t i = 0; i < n; i++)
        ok &= (*to)[i] > ' ' && (*to)[i] <= '~' && (*to)[i] != '>' && (*to)[i] != '"';
    return ok ||
           pairs_refuse(p, err, "expected an address without blanks, of at most 400 characters");
}

static bool read_link(void *ctx, const struct pairs *p, struct err *err)
{
    return read_line(p, &BRIDGE(ctx)->link, err);
}

static bool read_alternative(void *ctx, const struct pairs *p, struct err *err)
{
    return read_line(p, &BRIDGE(ctx)->alternative, err);
}

/* --- how much ------------------------------------------------------------------------------------------------ */

static bool read_connections(void *ctx, const struct pairs *p, struct err *err)
{
    return pairs_u32(p, 1, 10000000, &BRIDGE(ctx)->connections, err);
}

static bool read_messages(void *ctx, const struct pairs *p, struct err *err)
{
    return pairs_u32(p, 1, 1000000, &BRIDGE(ctx)->messages_per_min, err);
}

static bool read_stale(void *ctx, const struct pairs *p, struct err *err)
{
    return pairs_u32(p, 1, 86400, &BRIDGE(ctx)->stale_s, err);
}

static bool read_idle(void *ctx, const struct pairs *p, struct err *err)
{
    return pairs_u32(p, 1, 86400, &BRIDGE(ctx)->idle_s, err);
}

/* --- what they run --------------------------------------------------------------------------------------------- */

static bool route_message(void *ctx, const struct pairs *p, struct err *err)
{
    return pairs_text(p, &BRIDGE(ctx)->message, err);
}

static bool route_environment(void *ctx, const struct pairs *p, struct err *err)
{
    return pairs_text(p, &BRIDGE(ctx)->environment, err);
}

static bool route_analytics(void *ctx, const struct pairs *p, struct err *err)
{
    return pairs_text(p, &BRIDGE(ctx)->analytics, err);
}

static bool read_routes(void *ctx, const struct pairs *p, struct err *err)
{
    static const struct group_part parts[] = {{"message", route_message},
        {"environment", route_environment}, {"analytics", route_analytics}};
    static const struct group group = {"gateway.legacy.routes.", parts, COUNT_OF(parts)};
    return group_read(&group, p->file, p->value, ctx, err);
}

/* Endpoints that are nothing without a route have one. */
static bool check(const struct gateway *g, const struct pairs *p, struct err *err)
{
    const struct bridge *b = g->bridge;
    const struct route *analytics = bridge_route(g->routes, g->n_routes, b->analytics);
    if (b->is_on[BRIDGE_ENVIRONMENT] && !bridge_route(g->routes, g->n_routes, b->environment))
        return pairs_refuse(
            p, err, "the endpoint 'environment' needs the route that routes.environment names");
    if (b->is_on[BRIDGE_ANALYTICS] &&
        (!analytics || !analytics->action.n_publishes ||
            !name_is_fixed(&analytics->action.publishes[0].channels[0])))
        return pairs_refuse(p, err,
            "the endpoint 'analytics' needs a route, named by routes.analytics, that publishes to "
            "a "
            "channel without variables");
    return true;
}

bool file_legacy(struct gateway_reader *r, const struct pairs *p, struct err *err)
{
    static const struct group_part parts[] = {{"endpoints", read_endpoints}, {"token", read_token},
        {"roles", read_roles}, {"sunset", read_sunset}, {"link", read_link},
        {"alternative", read_alternative}, {"connections", read_connections},
        {"messages_per_min", read_messages}, {"stale_s", read_stale}, {"idle_s", read_idle},
        {"routes", read_routes}};
    static const struct group group = {"gateway.legacy.", parts, COUNT_OF(parts)};
    if (node_is_null(p->value))
        return true;
    r->gateway->bridge = bridge_new();
    return group_read(&group, p->file, p->value, r, err) && check(r->gateway, p, err);
}
