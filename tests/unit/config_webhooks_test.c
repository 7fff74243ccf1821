/* apps.webhooks of a configuration file. */
#include "config_given.h"
#include "hub/facts.h"

#define HOOKS "apps:\n  - id: 1\n    keys: [{key: k, secret: s}]\n    webhooks:\n"
#define WANT  "c.yaml:5:"

TEST(a_webhook_is_read_with_all_its_parts)
{
    struct config *c =
        LOAD(.file = HOOKS "      - url: https://b.example/hook?x=1\n"
                           "        events: [channel_existence, member_added]\n"
                           "        channel_prefix: presence-\n        channel_suffix: '-eu'\n"
                           "        headers: {X-One: a, Authorization: Bearer b}\n"
                           "        batch_ms: 50\n");
    CHECK_STR(err.text, "");
    ENSURE(c);
    const struct app *app = &c->apps[0];
    CHECK_EQ(app->n_webhooks, 1);
    const struct webhook *hook = &app->webhooks[0];
    CHECK_STR(hook->url, "https://b.example/hook?x=1");
    CHECK_EQ(hook->facts, 1U << FACT_OCCUPIED | 1U << FACT_VACATED | 1U << FACT_MEMBER_ADDED);
    CHECK_STR(hook->channel_prefix, "presence-");
    CHECK_STR(hook->channel_suffix, "-eu");
    CHECK_EQ(hook->n_headers, 2);
    CHECK_STR(hook->headers[1], "Authorization: Bearer b");
    CHECK_EQ(hook->batch_ms, 50);
    config_drop(c);
}

TEST(without_events_a_webhook_wants_all)
{
    struct config *c = LOAD(.file = HOOKS "      - url: http://127.0.0.1:1/\n");
    ENSURE(c);
    CHECK_EQ(c->apps[0].webhooks[0].facts, (1U << FACT_KINDS) - 1);
    CHECK_EQ(c->apps[0].facts, (1U << FACT_KINDS) - 1);
    config_drop(c);
}

TEST(what_undoes_a_wanted_fact_is_told_as_well)
{
    struct config *c =
        LOAD(.file = HOOKS "      - url: http://h/\n        events: [channel_vacated]\n"
                           "      - url: http://h/2\n        events: [member_removed]\n");
    ENSURE(c);
    CHECK_EQ(c->apps[0].webhooks[0].facts, 1U << FACT_VACATED);
    CHECK_EQ(c->apps[0].facts, 1U << FACT_OCCUPIED | 1U << FACT_VACATED | 1U << FACT_MEMBER_ADDED |
                                   1U << FACT_MEMBER_REMOVED);
    config_drop(c);
}

TEST(urls_that_are_none_are_refused)
{
    static const char *const urls[] = {"ftp://h/", "http://", "http:///x", "//h/", "h",
        "http://:80/", "http://user:pw@h/", "http://h/#x", "'http://h/ x'", "file:///etc/passwd"};
    for (size_t i = 0; i < COUNT_OF(urls); i++) {
        char text[256];
        snprintf(text, sizeof text, HOOKS "      - url: %s\n", urls[i]);
        CHECK(LOAD(.file = text) == NULL);
        CHECK(strstr(err.text, WANT "14: apps.webhooks.url: expected") != NULL);
    }
}

TEST(headers_that_are_the_servers_own_are_refused)
{
    static const char *const names[] = {"X-Pusher-Key", "x-pusher-signature", "X-Pusher-Other",
        "Content-Type", "CONTENT-LENGTH", "Host", "Expect", "Connection", "Transfer-Encoding"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char text[256];
        snprintf(text, sizeof text, HOOKS "      - url: http://h/\n        headers: {%s: x}\n",
            names[i]);
        CHECK(LOAD(.file = text) == NULL);
        CHECK(strstr(err.text, "this header is set by the server") != NULL);
    }
    CHECK(
        LOAD(.file = HOOKS "      - {url: 'http://h/', headers: {A: \"x\\r\\nB: y\"}}\n") == NULL);
    CHECK(LOAD(.file = HOOKS "      - {url: 'http://h/', headers: {'A b': c}}\n") == NULL);
}

TEST(unknown_words_are_refused_with_the_nearest)
{
    CHECK_STR(FILE_REFUSAL(HOOKS "      - {url: 'http://h/', event: [presence]}\n"),
        WANT "28: unknown option 'apps.webhooks.event', did you mean 'apps.webhooks.events'?");
    CHECK_STR(FILE_REFUSAL(HOOKS "      - {url: 'http://h/', events: [presense]}\n"),
        WANT "37: apps.webhooks.events: unknown event 'presense', did you mean 'presence'?");
    CHECK_STR(FILE_REFUSAL(HOOKS "      - events: []\n"), WANT "9: apps.webhooks.url: is missing");
    CHECK(LOAD(.file = HOOKS "      - {url: 'http://h/', batch_ms: 10001}\n") == NULL);
    CHECK(LOAD(.file = HOOKS "      - {url: 'http://h/', batch_ms: -1}\n") == NULL);
}

int main(void)
{
    enter_folder();
    RUN_CLEAN(a_webhook_is_read_with_all_its_parts);
    RUN_CLEAN(without_events_a_webhook_wants_all);
    RUN_CLEAN(what_undoes_a_wanted_fact_is_told_as_well);
    RUN_CLEAN(urls_that_are_none_are_refused);
    RUN_CLEAN(headers_that_are_the_servers_own_are_refused);
    RUN_CLEAN(unknown_words_are_refused_with_the_nearest);
    leave_folder();
    return test_end();
}
