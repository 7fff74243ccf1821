/* Channels at their home: counts, the cached event, order, who is told. */
#include "base/base.h"

#include "hub/hub.h"

#include "world.h"

enum { THROTTLED_ABOVE = 100, INTERVAL_S = 5 };

static const char counts[] = "pusher_internal:subscription_count";

static void enter(uint32_t wire, unsigned hub, const char *channel)
{
    open_session(hub, wire);
    (void)subscribe(wire, channel, NULL);
    settle();
}

/* Wires from..to-1 enter, a beat each. */
static void enter_many(uint32_t from, uint32_t to, const char *channel)
{
    for (uint32_t i = from; i < to; i++)
        enter(i, i % HUBS, channel);
}

/* How often the session was told that there are n. */
static size_t told(uint32_t wire, uint32_t n)
{
    char text[64];
    snprintf(text, sizeof text, "{\\\"subscription_count\\\":%u}", n);
    return count(wire, text);
}

static struct letter ask_channel(const char *channel, unsigned info)
{
    ask(1,
        &(struct letter){
            .mail.kind = LETTER_ASK_CHANNEL, .channel = span_str(channel), .info = (uint8_t)info});
    return w.answer;
}

/* What the cache holds, or "". */
static const char *cached(const char *channel)
{
    static char out[64];
    struct letter l = ask_channel(channel, INFO_CACHE);
    out[0] = '\0';
    if (l.cached)
        snprintf(out, sizeof out, "%.*s", SPAN(frame_data(l.cached)));
    return out;
}

/* --- counts -------------------------------------------------------------------------------------- */

TEST(each_coming_and_going_is_counted_to_all_who_are_there)
{
    app.subscription_count = true;
    for (unsigned seed = 1; seed < 10; seed++) {
        start(seed);
        enter(0, 0, "news");
        CHECK_EQ(told(0, 1), 1);
        enter(1, 1, "news");
        CHECK_EQ(told(0, 2), 1);
        CHECK_EQ(told(1, 2), 1);
        unsubscribe(1, "news");
        settle();
        CHECK_EQ(told(0, 1), 2);
        CHECK_EQ(told(1, 1), 0);
        CHECK_EQ(count(0, counts), 3);
        end();
    }
}

TEST(some_kinds_of_channels_are_not_counted)
{
    static const char *const without[] = {"presence-x", "private-encrypted-x", "#server-to-user-x"};
    static const char *const with[] = {"x", "private-x", "cache-x", "private-cache-x"};
    app.subscription_count = true;
    for (unsigned i = 0; i < COUNT_OF(without); i++) {
        start(i + 1);
        open_session(0, 0);
        (void)subscribe(0, without[i], "u");
        settle();
        CHECK_EQ(count(0, "subscription_succeeded"), 1);
        CHECK_EQ(count(0, counts), 0);
        end();
    }
    for (unsigned i = 0; i < COUNT_OF(with); i++) {
        start(i + 1);
        enter(0, 0, with[i]);
        CHECK_EQ(count(0, counts), 1);
        end();
    }
}

TEST(an_app_that_does_not_count_tells_nobody)
{
    app.subscription_count = false;
    start(1);
    enter_many(0, 3, "news");
    CHECK_EQ(count(0, counts), 0);
    CHECK_EQ(ask_channel("news", 0).n_subscriptions, 3);
    end();
}

TEST(above_a_hundred_one_count_is_told_in_five_seconds)
{
    app.subscription_count = true;
    start(1);
    w.now_us = 0;
    pass_s(1000);
    enter_many(0, THROTTLED_ABOVE, "news");
    CHECK_EQ(count(0, counts), THROTTLED_ABOVE); // each by itself up to here
    enter_many(THROTTLED_ABOVE, THROTTLED_ABOVE + 10, "news");
    CHECK_EQ(count(0, counts), THROTTLED_ABOVE);
    pass_s(INTERVAL_S - 1);
    CHECK_EQ(count(0, counts), THROTTLED_ABOVE);
    pass_s(1);
    CHECK_EQ(count(0, counts), THROTTLED_ABOVE + 1); // the newest of them
    CHECK_EQ(told(0, THROTTLED_ABOVE + 10), 1);
    pass_s(INTERVAL_S);
    CHECK_EQ(count(0, counts), THROTTLED_ABOVE + 1); // nothing has changed since
    enter_many(THROTTLED_ABOVE + 10, THROTTLED_ABOVE + 11, "news");
    CHECK_EQ(told(0, THROTTLED_ABOVE + 11), 1); // the first after a quiet time at once
    end();
}

TEST(a_count_that_was_told_meanwhile_is_not_told_again)
{
    app.subscription_count = true;
    start(1);
    w.now_us = 0;
    pass_s(1000);
    enter_many(0, THROTTLED_ABOVE + 2, "news");
    close_session(THROTTLED_ABOVE);
    close_session(THROTTLED_ABOVE + 1); // a hundred again: told at once
    settle();
    uint32_t before = (uint32_t)count(0, counts);
    pass_s(INTERVAL_S);
    CHECK_EQ(count(0, counts), before);
    end();
}

TEST(a_count_that_is_due_outlives_nobody)
{
    app.subscription_count = true;
    start(1);
    enter_many(0, THROTTLED_ABOVE + 2, "news");
    for (uint32_t i = 0; i < THROTTLED_ABOVE + 2; i++)
        close_session(i);
    settle();
    pass_s(INTERVAL_S);
    CHECK_EQ(sum_channels(), 0);
    end();
}

/* --- the cached event -------------------------------------------------------------------------------- */

TEST(a_joiner_gets_the_cached_event_behind_its_success)
{
    app.subscription_count = false;
    for (unsigned seed = 1; seed < 10; seed++) {
        struct span text = {0};
        size_t at = 0;
        start(seed);
        publish(0, "cache-x", "\"1\"");
        publish(0, "cache-x", "\"2\"");
        settle();
        enter(0, 1, "cache-x");
        CHECK(next_message(0, &at, &text));
        CHECK(memmem(text.p, text.len, "subscription_succeeded", 22));
        CHECK(next_message(0, &at, &text));
        CHECK(span_is(text, "{\"event\":\"e\",\"channel\":\"cache-x\",\"data\":\"2\"}"));
        CHECK(!next_message(0, &at, &text));
        end();
    }
}

TEST(a_channel_without_a_cached_event_tells_a_miss)
{
    start(1);
    enter(0, 0, "private-cache-x");
    CHECK_EQ(count(0, "{\"event\":\"pusher:cache_miss\",\"channel\":\"private-cache-x\",\"data\":"
                      "\"{}\"}"),
        1);
    enter(1, 1, "private-x");
    CHECK_EQ(count(1, "cache_miss"), 0);
    end();
}

TEST(a_cached_event_lives_for_its_time_and_no_longer)
{
    app.cache_ttl_s = 60;
    for (unsigned seed = 1; seed < 5; seed++) {
        start(seed);
        publish(0, "cache-x", "\"1\"");
        settle();
        CHECK_STR(cached("cache-x"), "\"1\"");
        CHECK_EQ(w.answer.ttl_s, 60);
        w.now_us += 1;
        for (unsigned i = 0; i < HUBS; i++)
            hub_now(w.hubs[i], w.now_us, 0);
        CHECK_STR(cached("cache-x"), "\"1\"");
        CHECK_EQ(w.answer.ttl_s, 60); // a second that has begun counts
        w.now_us -= 1;
        pass_s(59);
        CHECK_STR(cached("cache-x"), "\"1\"");
        CHECK_EQ(w.answer.ttl_s, 1);
        pass_s(1);
        CHECK_STR(cached("cache-x"), "");
        CHECK_EQ(sum_channels(), 0); // nothing else kept the channel
        enter(0, 2, "cache-x");
        CHECK_EQ(count(0, "cache_miss"), 1);
        end();
    }
}

TEST(what_has_expired_is_not_told_even_before_it_is_thrown_away)
{
    app.cache_ttl_s = 60;
    start(1);
    publish(0, "cache-x", "\"1\"");
    settle();
    w.now_us += 60 * 1000000;
    for (unsigned i = 0; i < HUBS; i++)
        hub_now(w.hubs[i], w.now_us, 0); // no tick
    CHECK_STR(cached("cache-x"), "");
    enter(0, 1, "cache-x");
    CHECK_EQ(count(0, "cache_miss"), 1);
    CHECK_EQ(count(0, "\"event\":\"e\""), 0);
    end();
}

TEST(each_event_begins_the_time_anew)
{
    app.cache_ttl_s = 60;
    start(1);
    publish(0, "cache-x", "\"1\"");
    settle();
    pass_s(40);
    publish(0, "cache-x", "\"2\"");
    settle();
    pass_s(40);
    CHECK_STR(cached("cache-x"), "\"2\"");
    CHECK_EQ(w.answer.ttl_s, 20);
    end();
}

TEST(timers_are_wanted_only_while_something_is_due)
{
    app.cache_ttl_s = 60;
    start(1);
    publish(0, "cache-x", "\"1\"");
    settle();
    unsigned n = 0;
    for (unsigned i = 0; i < HUBS; i++)
        n += hub_next_due_us(w.hubs[i]) > w.now_us;
    CHECK_EQ(n, 1); // its home
    pass_s(60);
    for (unsigned i = 0; i < HUBS; i++)
        CHECK_EQ(hub_next_due_us(w.hubs[i]), 0);
    end();
}

/* --- events --------------------------------------------------------------------------------------------- */

TEST(what_nobody_hears_makes_nothing)
{
    start(1);
    unsigned n_deaf = 0;
    for (unsigned i = 0; i < HUBS; i++)
        n_deaf += hub_is_deaf(w.hubs[i], 0, span_str("news"), 0);
    CHECK_EQ(n_deaf, 1); // only its home can know
    for (unsigned i = 0; i < HUBS; i++) {
        CHECK(!hub_is_deaf(w.hubs[i], 0, span_str("cache-x"), CHANNEL_CACHE));
        publish(i, "news", "\"1\"");
    }
    settle();
    CHECK_EQ(sum_channels(), 0);
    enter(0, 1, "news");
    CHECK_EQ(count(0, "\"event\":\"e\""), 0);
    for (unsigned i = 0; i < HUBS; i++)
        CHECK(!hub_is_deaf(w.hubs[i], 0, span_str("news"), 0));
    end();
}

TEST(accepted_events_are_answered_with_counts)
{
    start(1);
    enter(0, 0, "news");
    enter(1, 1, "news");
    for (int i = 0; i < 3; i++) {
        struct letter l = event_for("news", "\"1\"");
        ask(2, &l);
        settle();
        CHECK_EQ(w.answer.n_subscriptions, 2);
        frame_drop(l.frame);
    }
    struct letter l = event_for("elsewhere", "\"1\"");
    ask(2, &l);
    CHECK_EQ(w.answer.n_subscriptions, 0);
    frame_drop(l.frame);
    end();
}

TEST(the_session_to_leave_out_is_left_out_on_every_hub)
{
    for (unsigned hub = 0; hub < HUBS; hub++) {
        start(hub + 1);
        enter(0, hub, "news");
        enter(1, hub, "news");
        enter(2, (hub + 1) % HUBS, "news");
        struct letter l = event_for("news", "\"1\"");
        l.session = (struct session_ref){
            .slot = w.clients[0].index, .nonce = w.clients[0].nonce, .worker = (uint16_t)hub};
        ask(2, &l);
        settle();
        l.session.nonce += 1000; // the slot's next session: nobody is left out for it
        ask(2, &l);
        settle();
        CHECK_EQ(count(0, "\"event\":\"e\""), 1);
        CHECK_EQ(count(1, "\"event\":\"e\""), 2);
        CHECK_EQ(count(2, "\"event\":\"e\""), 2);
        frame_drop(l.frame);
        end();
    }
}

TEST(a_client_event_goes_to_everyone_but_its_sender)
{
    for (unsigned hub = 0; hub < HUBS; hub++) {
        start(hub + 1);
        enter(0, hub, "private-x");
        enter(1, hub, "private-x");
        enter(2, (hub + 1) % HUBS, "private-x");
        struct letter l = event_for("private-x", "\"1\"");
        struct hub_client_event e = {.channel = l.channel, .frame = l.frame};
        w.posting = hub;
        hub_client_event(w.hubs[hub], w.clients[0].index, &e);
        settle();
        CHECK_EQ(count(0, "\"event\":\"e\""), 0);
        CHECK_EQ(count(1, "\"event\":\"e\""), 1);
        CHECK_EQ(count(2, "\"event\":\"e\""), 1);
        frame_drop(l.frame);
        end();
    }
}

TEST(one_name_in_two_apps_is_two_channels)
{
    start(1);
    enter(0, 0, "news");
    open_session(1, 1);
    w.posting = 1;
    (void)hub_subscribe(
        w.hubs[1], w.clients[1].index, &(struct letter){.app = 1, .channel = span_str("news")});
    settle();
    publish(2, "news", "\"1\"");
    settle();
    CHECK_EQ(count(0, "\"event\":\"e\""), 1);
    CHECK_EQ(count(1, "\"event\":\"e\""), 0);
    end();
}

/* --- what the API asks ------------------------------------------------------------------------------------ */

/* All hubs' fragments for a prefix, sorted by hub. */
static const char *list(const char *prefix, unsigned info)
{
    static char out[1024];
    size_t at = 0;
    out[0] = '\0';
    for (unsigned i = 0; i < HUBS; i++) {
        struct letter l = {
            .mail.kind = LETTER_ASK_CHANNELS, .channel = span_str(prefix), .info = (uint8_t)info};
        CHECK_EQ(hub_ask_worker(w.hubs[i], i, &l), HUB_DONE);
        at += (size_t)snprintf(out + at, sizeof out - at, "%.*s%s", SPAN(frame_text(l.cached)),
            l.cached->len ? ";" : "");
        frame_drop(l.cached);
    }
    return out;
}

TEST(occupied_channels_are_listed_by_prefix_with_the_counts_that_were_asked)
{
    app.limits.presence_members = 10;
    start(1);
    for (uint32_t i = 0; i < 3; i++) {
        open_session(i, i);
        (void)subscribe(i, "presence-a", i ? "u1" : "u0");
        (void)subscribe(i, "private-b", NULL);
        (void)subscribe(i, "#server-to-user-u", NULL);
        settle();
    }
    publish(0, "cache-x", "\"1\""); // has a cache, but nobody is in it
    settle();
    CHECK_STR(list("presence-", 0), "\"presence-a\":{};");
    CHECK_STR(list("presence-", INFO_USERS), "\"presence-a\":{\"user_count\":2};");
    CHECK_STR(
        list("presence-a", INFO_USERS | INFO_SUBSCRIPTIONS), "\"presence-a\":{\"user_count\":2};");
    CHECK_STR(list("private-", INFO_USERS | INFO_SUBSCRIPTIONS),
        "\"private-b\":{\"subscription_count\":3};");
    CHECK_STR(list("presence-ab", 0), "");
    CHECK_STR(list("cache-", 0), "");
    CHECK_STR(list("#", 0), "");
    CHECK(strstr(list("", 0), "\"presence-a\":{}"));
    CHECK(strstr(list("", 0), "\"private-b\":{}"));
    end();
}

int main(void)
{
    hash_init();
    RUN(each_coming_and_going_is_counted_to_all_who_are_there);
    RUN(some_kinds_of_channels_are_not_counted);
    RUN(an_app_that_does_not_count_tells_nobody);
    RUN(above_a_hundred_one_count_is_told_in_five_seconds);
    RUN(a_count_that_was_told_meanwhile_is_not_told_again);
    RUN(a_count_that_is_due_outlives_nobody);
    RUN(a_joiner_gets_the_cached_event_behind_its_success);
    RUN(a_channel_without_a_cached_event_tells_a_miss);
    RUN(a_cached_event_lives_for_its_time_and_no_longer);
    RUN(what_has_expired_is_not_told_even_before_it_is_thrown_away);
    RUN(each_event_begins_the_time_anew);
    RUN(timers_are_wanted_only_while_something_is_due);
    RUN(what_nobody_hears_makes_nothing);
    RUN(accepted_events_are_answered_with_counts);
    RUN(the_session_to_leave_out_is_left_out_on_every_hub);
    RUN(a_client_event_goes_to_everyone_but_its_sender);
    RUN(one_name_in_two_apps_is_two_channels);
    RUN(occupied_channels_are_listed_by_prefix_with_the_counts_that_were_asked);
    return test_end();
}
