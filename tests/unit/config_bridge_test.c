/* The group gateway.legacy of a configuration file. */
#include "config_given.h"
#include "gateway/gateway.h"

#define GATE                                                                                       \
    "gateway:\n  auth:\n    jwt: {keys: [{alg: HS256, secret: "                                    \
    "0123456789abcdef0123456789abcdef}]}\n"                                                        \
    "    roles: {student: 1, teacher: 2, admin: 3}\n"
#define LEGACY GATE "  legacy:\n"

TEST(without_the_group_there_are_no_endpoints)
{
    struct config *c = LOAD(.file = GATE);
    ENSURE(c && c->gateway);
    CHECK(!c->gateway->bridge);
    config_drop(c);
}

TEST(what_is_not_named_is_off_and_has_its_default)
{
    struct config *c = LOAD(.file = LEGACY "    endpoints: {native: true}\n");
    CHECK_STR(err.text, "");
    ENSURE(c && c->gateway && c->gateway->bridge);
    const struct bridge *b = c->gateway->bridge;
    for (int i = 0; i < BRIDGE_ENDPOINTS; i++)
        CHECK_EQ(b->is_on[i], i == BRIDGE_NATIVE);
    CHECK_EQ(b->connections, 1000);
    CHECK_EQ(b->messages_per_min, 100);
    CHECK_EQ(b->stale_s, 300);
    CHECK_EQ(b->idle_s, 1800);
    CHECK(!b->needs_token && !b->sunset && !b->link);
    CHECK_STR(b->headers, "Deprecation: true\r\nX-Deprecated: true\r\nX-Alternative: pusher\r\n");
    CHECK_STR(bridge_least_role(&b->broadcast, &c->gateway->policy.roles), NULL);
    config_drop(c);
}

TEST(all_parts_are_read)
{
    struct config *c = LOAD(.file = LEGACY "    endpoints: {ws: true, client: false}\n"
                                           "    token: required\n"
                                           "    roles: {broadcast: teacher+, status: [admin]}\n"
                                           "    sunset: 2027-12-31\n"
                                           "    link: https://example.com/move\n"
                                           "    alternative: pusher:/app/k\n"
                                           "    connections: 7\n"
                                           "    messages_per_min: 8\n"
                                           "    stale_s: 9\n"
                                           "    idle_s: 10\n"
                                           "    routes: {message: m}\n");
    CHECK_STR(err.text, "");
    ENSURE(c && c->gateway && c->gateway->bridge);
    const struct bridge *b = c->gateway->bridge;
    CHECK(b->is_on[BRIDGE_WS] && !b->is_on[BRIDGE_CLIENT] && b->needs_token);
    CHECK_STR(bridge_least_role(&b->broadcast, &c->gateway->policy.roles), "teacher");
    CHECK_STR(bridge_least_role(&b->status, &c->gateway->policy.roles), "admin");
    CHECK_EQ(b->connections + b->messages_per_min + b->stale_s + b->idle_s, 34);
    CHECK_STR(b->message, "m");
    CHECK_STR(b->headers,
        "Deprecation: true\r\nX-Deprecated: true\r\nSunset: Fri, 31 Dec 2027 00:00:00 GMT\r\n"
        "Link: <https://example.com/move>; rel=\"deprecation\"\r\n"
        "X-Migration-Guide: https://example.com/move\r\nX-Alternative: pusher:/app/k\r\n");
    config_drop(c);
}

TEST(what_is_wrong_is_named)
{
    static const struct {
        const char *line, *why;
    } rows[] = {{"    endpoints: {websocket: true}\n", "unknown"},
        {"    endpoints: {ws: maybe}\n", "gateway.legacy.endpoints.ws"},
        {"    token: sometimes\n", "expected optional or required"},
        {"    sunset: tomorrow\n", "expected a day as 2027-12-31"},
        {"    sunset: 2027-13-31\n", "expected a day as 2027-12-31"},
        {"    link: \"a b\"\n", "without blanks"}, {"    link: \"\"\n", "is empty"},
        {"    connections: 0\n", "gateway.legacy.connections"},
        {"    roles: {broadcast: dean}\n", "dean"},
        {"    endpoints: {environment: true}\n", "needs the route that routes.environment names"},
        {"    endpoints: {analytics: true}\n", "needs a route, named by routes.analytics"}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char file[1000];
        snprintf(file, sizeof file, LEGACY "%s", rows[i].line);
        struct config *c = LOAD(.file = file);
        CHECK(!c);
        if (!strstr(err.text, rows[i].why))
            CHECK_STR(err.text, rows[i].why);
        config_drop(c);
    }
}

int main(void)
{
    enter_folder();
    RUN_CLEAN(without_the_group_there_are_no_endpoints);
    RUN_CLEAN(what_is_not_named_is_off_and_has_its_default);
    RUN_CLEAN(all_parts_are_read);
    RUN_CLEAN(what_is_wrong_is_named);
    leave_folder();
    return test_end();
}
