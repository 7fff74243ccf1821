/* apps.history of a configuration file. */
#include "config_given.h"

#define RULES "apps:\n  - id: a\n    keys: [{key: k, secret: s}]\n    history:\n"

TEST(rules_have_defaults_and_several_channels)
{
    struct config *c =
        LOAD(.file = RULES "      - {channels: [\"a-*\", b], max_events: 5}\n"
                           "      - {channel: \"*\", max_bytes: 2048, ttl_s: 7, "
                           "recover_max_events: 8, recover_max_bytes: 9, rewind_max: "
                           "10, durability: memory}\n");
    CHECK_STR(err.text, "");
    ENSURE(c && c->n_apps == 1);
    const struct app *app = &c->apps[0];
    CHECK_EQ(app->n_history, 3);
    const struct history_rule *rule = app_history(app, span_str("a-1"));
    ENSURE(rule);
    CHECK_EQ(rule->max_events, 5);
    CHECK_EQ(rule->max_bytes, 1048576);
    CHECK_EQ(rule->ttl_s, 3600);
    CHECK_EQ(rule->recover_events, 1000);
    CHECK_EQ(rule->recover_bytes, 1048576);
    CHECK_EQ(rule->rewind, 100);
    CHECK(app_history(app, span_str("b")) == rule + 1);
    rule = app_history(app, span_str("c"));
    ENSURE(rule);
    CHECK_EQ(rule->max_bytes + rule->ttl_s + rule->recover_events, 2063);
    CHECK_EQ(rule->recover_bytes + rule->rewind, 19);
    config_drop(c);
}

TEST(patterns_stand_for_any_characters)
{
    struct config *c = LOAD(.file = RULES "      - {channels: [\"a*b*c\", \"x-*\", \"*-end\"]}\n");
    ENSURE(c);
    const struct app *app = &c->apps[0];
    static const char *const fits[] = {
        "abc", "a1b2b3c", "a-bb-c", "x-", "x-1", "-end", "1-end-end"};
    static const char *const not [] = {"ab", "bac", "abcd", "x", "y-1", "end", "1-end-"};
    for (size_t i = 0; i < COUNT_OF(fits); i++)
        CHECK(app_history(app, span_str(fits[i])));
    for (size_t i = 0; i < COUNT_OF(not ); i++)
        CHECK(!app_history(app, span_str(not [i])));
    config_drop(c);
}

TEST(what_is_wrong_is_named)
{
    static const struct {
        const char *rule, *why;
    } rows[] = {{"{max_events: 5}", "names no channels"},
        {"{channel: a, max_events: 0}", "apps.history.max_events"},
        {"{channel: a, ttl_s: never}", "apps.history.ttl_s"},
        {"{channel: a, durability: disk}", "expected memory, async or ack"},
        {"{channel: a, durability: ack}", "needs a file: set store.path"},
        {"{channel: a, events: 1}", "unknown"}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char file[500];
        snprintf(file, sizeof file, RULES "      - %s\n", rows[i].rule);
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
    RUN_CLEAN(rules_have_defaults_and_several_channels);
    RUN_CLEAN(patterns_stand_for_any_characters);
    RUN_CLEAN(what_is_wrong_is_named);
    leave_folder();
    return test_end();
}
