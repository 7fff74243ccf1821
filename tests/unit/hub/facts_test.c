/* Facts: their names, their copies, and when a hub tells them. */
#include "base/base.h"

#include "hub/facts.h"

#include "world.h"

static const char *const groups[FACT_KINDS] = {[FACT_OCCUPIED] = "channel_existence",
    [FACT_VACATED] = "channel_existence",
    [FACT_MEMBER_ADDED] = "presence",
    [FACT_MEMBER_REMOVED] = "presence",
    [FACT_CLIENT_EVENT] = "client_events",
    [FACT_CACHE_MISS] = "cache_channels",
    [FACT_COUNT] = "subscription_count"};

TEST(a_fact_is_chosen_by_its_name_or_its_group)
{
    for (int i = 0; i < FACT_KINDS; i++) {
        CHECK_STR(fact_group((enum fact_kind)i), groups[i]);
        CHECK(fact_mask(span_str(groups[i])) & 1U << i);
        CHECK(fact_mask(span_str(fact_event((enum fact_kind)i))) == 1U << i);
    }
    CHECK_EQ(fact_mask(span_str("presence")), 1U << FACT_MEMBER_ADDED | 1U << FACT_MEMBER_REMOVED);
    CHECK_STR(fact_event(FACT_OCCUPIED), "channel_occupied");
    CHECK_EQ(fact_mask(span_str("")), 0);
    CHECK_EQ(fact_mask(span_str("channel")), 0);
    CHECK_EQ(fact_mask(span_str("channel_occupied ")), 0);
}

TEST(a_copy_needs_nothing_of_what_it_was_made_of)
{
    char channel[] = "news";
    char user[] = "u1";
    char id[] = "1.2";
    struct frame *frame = frame_new(1);
    struct fact *copy = fact_copy(&(struct fact){.mail.kind = FACT_CLIENT_EVENT,
        .app = 3,
        .channel = span_str(channel),
        .user = span_str(user),
        .socket_id = span_str(id),
        .frame = frame});
    memset(channel, 'x', 4);
    memset(user, 'x', 2);
    memset(id, 'x', 3);
    CHECK_EQ(copy->app, 3);
    CHECK(span_is(copy->channel, "news"));
    CHECK(span_is(copy->user, "u1"));
    CHECK(span_is(copy->socket_id, "1.2"));
    CHECK(frame->refs == 2);
    fact_free(copy);
    CHECK(frame->refs == 1);
    frame_drop(frame);
    fact_free(NULL);
}

/* --- what a hub tells ------------------------------------------------------------------------- */

/* All facts since the last call, in one line; those of one channel have one home. */
static const char *told(void)
{
    static char out[500];
    size_t at = 0;
    out[0] = '\0';
    for (unsigned i = 0; i < HUBS; i++) {
        struct mail *next;
        for (struct mail *mail = hub_take_facts(w.hubs[i]); mail; mail = next) {
            struct fact *f = CONTAINER_OF(mail, struct fact, mail);
            next = mail->next;
            at += (size_t)snprintf(out + at, sizeof out - at, "%s(%.*s %.*s %u) ",
                fact_event((enum fact_kind)mail->kind), SPAN(f->channel), SPAN(f->user), f->count);
            CHECK_EQ(f->frame != NULL, mail->kind == FACT_CLIENT_EVENT);
            CHECK_EQ(f->socket_id.len > 0, mail->kind == FACT_CLIENT_EVENT);
            fact_free(f);
        }
    }
    return out;
}

static void start_wanting(uint32_t facts)
{
    app.facts = facts;
    app.limits.presence_members = 10;
    start(1);
}

TEST(a_channels_life_is_told_in_order)
{
    start_wanting(UINT32_MAX & ~(1U << FACT_COUNT));
    open_session(0, 0);
    open_session(1, 1);
    (void)subscribe(0, "presence-x", "u0");
    settle();
    (void)subscribe(1, "presence-x", "u1");
    settle();
    CHECK_STR(told(), "channel_occupied(presence-x  0) member_added(presence-x u0 0) "
                      "member_added(presence-x u1 0) ");
    unsubscribe(0, "presence-x");
    settle();
    unsubscribe(1, "presence-x");
    settle();
    CHECK_STR(told(), "member_removed(presence-x u0 0) member_removed(presence-x u1 0) "
                      "channel_vacated(presence-x  0) ");
    end();
}

TEST(a_member_is_told_by_user_and_a_channel_by_its_first_and_last)
{
    start_wanting(UINT32_MAX & ~(1U << FACT_COUNT));
    for (uint32_t i = 0; i < 3; i++) {
        open_session(i % HUBS, i);
        (void)subscribe(i, "presence-x", "u0");
        settle();
    }
    CHECK_STR(told(), "channel_occupied(presence-x  0) member_added(presence-x u0 0) ");
    close_session(1);
    close_session(0);
    settle();
    CHECK_STR(told(), "");
    close_session(2);
    settle();
    CHECK_STR(told(), "member_removed(presence-x u0 0) channel_vacated(presence-x  0) ");
    end();
}

TEST(a_missing_cache_is_told_once_until_something_was_stored)
{
    start_wanting(1U << FACT_CACHE_MISS);
    for (uint32_t i = 0; i < 3; i++) {
        open_session(i, i);
        (void)subscribe(i, "cache-x", NULL);
        settle();
    }
    CHECK_STR(told(), "cache_miss(cache-x  0) ");
    publish(0, "cache-x", "\"1\"");
    settle();
    pass_s(app.cache_ttl_s);
    open_session(0, 3);
    (void)subscribe(3, "cache-x", NULL);
    settle();
    CHECK_STR(told(), "cache_miss(cache-x  0) ");
    end();
}

TEST(counts_and_client_events_are_told_with_what_they_carry)
{
    start_wanting(1U << FACT_COUNT | 1U << FACT_CLIENT_EVENT);
    open_session(0, 0);
    (void)subscribe(0, "private-x", NULL);
    settle();
    struct letter l = event_for("private-x", "\"1\"");
    struct hub_client_event e = {.channel = l.channel, .frame = l.frame, .user = span_str("u0")};
    w.posting = 0;
    hub_client_event(w.hubs[0], w.clients[0].index, &e);
    settle();
    close_session(0);
    settle();
    CHECK_STR(told(), "subscription_count(private-x  1) client_event(private-x u0 0) "
                      "subscription_count(private-x  0) ");
    frame_drop(l.frame);
    end();
}

TEST(what_no_webhook_wants_is_never_made)
{
    start_wanting(1U << FACT_VACATED);
    open_session(0, 0);
    (void)subscribe(0, "presence-x", "u0");
    (void)subscribe(0, "#server-to-user-x", NULL); // is no channel of the app's
    settle();
    close_session(0);
    settle();
    CHECK_STR(told(), "channel_vacated(presence-x  0) ");
    uint64_t n = 0;
    for (unsigned i = 0; i < HUBS; i++)
        n += counter_get(&hub_counts(w.hubs[i])->facts);
    CHECK_EQ(n, 1);
    end();
}

int main(void)
{
    hash_init();
    socket_id_init();
    RUN(a_fact_is_chosen_by_its_name_or_its_group);
    RUN(a_copy_needs_nothing_of_what_it_was_made_of);
    RUN(a_channels_life_is_told_in_order);
    RUN(a_member_is_told_by_user_and_a_channel_by_its_first_and_last);
    RUN(a_missing_cache_is_told_once_until_something_was_stored);
    RUN(counts_and_client_events_are_told_with_what_they_carry);
    RUN(what_no_webhook_wants_is_never_made);
    return test_end();
}
