/* Which path is which endpoint, and the least of some roles. */
#include "base/base.h"

#include "gateway/bridge.h"

#include "check_span.h"
#include "test.h"

TEST(a_path_is_an_endpoints_the_fixed_ones_first)
{
    static const struct {
        const char *path;
        int endpoint;
        const char *client;
    } rows[] = {{"/ws", BRIDGE_WS, ""}, {"/ws/native", BRIDGE_NATIVE, ""},
        {"/ws/roblox", BRIDGE_ROBLOX, ""}, {"/ws/analytics/realtime", BRIDGE_ANALYTICS, ""},
        {"/api/v1/analytics/realtime", BRIDGE_ANALYTICS, ""},
        {"/api/v1/environment/create", BRIDGE_ENVIRONMENT, ""}, {"/ws/me", BRIDGE_CLIENT, "me"},
        {"/ws/", -1, ""}, {"/ws/a/b", -1, ""}, {"/wsx", -1, ""}, {"/", -1, ""}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        enum bridge_endpoint endpoint;
        struct span client;
        bool ok = bridge_find(span_str(rows[i].path), &endpoint, &client);
        CHECK_EQ(ok ? (int)endpoint : -1, rows[i].endpoint);
        if (ok)
            CHECK_SPAN(client, rows[i].client);
    }
}

TEST(the_least_role_is_the_one_to_ask_for)
{
    static char student[] = "student";
    static char teacher[] = "teacher";
    static char admin[] = "admin";
    const struct roles roles = {.list = {{admin, 3}, {teacher, 2}, {student, 1}}, .n = 3};
    CHECK_STR(bridge_least_role(&(struct who){.roles = 3}, &roles), "teacher");
    CHECK_STR(bridge_least_role(&(struct who){.roles = 1}, &roles), "admin");
    CHECK_STR(bridge_least_role(&(struct who){.roles = 7, .is_user = true}, &roles), NULL);
    CHECK_STR(bridge_least_role(&(struct who){0}, &roles), NULL);
}

int main(void)
{
    RUN(a_path_is_an_endpoints_the_fixed_ones_first);
    RUN(the_least_role_is_the_one_to_ask_for);
    return test_end();
}
