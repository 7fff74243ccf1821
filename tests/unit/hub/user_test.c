/* Signed-in users: online and offline across hubs, terminate. */
#include "base/base.h"

#include "hub/hub.h"

#include "wire/json.h"
#include "world.h"

enum { ME, FRIEND, TAB, OTHER };

struct account {
    const char *user;
    const char *watched[4]; // to the first NULL
    uint32_t app;
    bool is_cut;
};

static enum hub_result sign_in(uint32_t wire, struct account a)
{
    struct span ids[COUNT_OF(a.watched)];
    struct hub_signin signin = {.app = a.app,
        .user = span_str(a.user),
        .user_info = span_str("{\"n\":1}"),
        .user_data = span_str("{\"id\":\"x\"}"),
        .watchlist = ids,
        .is_cut = a.is_cut,
        .limit = 2};
    while (signin.n_watchlist < COUNT_OF(a.watched) && a.watched[signin.n_watchlist]) {
        ids[signin.n_watchlist] = span_str(a.watched[signin.n_watchlist]);
        signin.n_watchlist++;
    }
    w.posting = w.clients[wire].hub;
    return hub_signin(w.hubs[w.posting], w.clients[wire].index, &signin);
}

#define SIGN_IN(wire, ...) (void)sign_in((wire), (struct account){__VA_ARGS__})

static void terminate(unsigned hub, const char *user, uint32_t slot)
{
    ask(hub, &(struct letter){.mail.kind = LETTER_TERMINATE, .user = span_str(user), .app = slot});
    settle();
}

static uint64_t users(void)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < HUBS; i++)
        n += counter_get(&hub_counts(w.hubs[i])->users);
    return n;
}

/* Which sessions their hubs want closed, as bits of their wires. */
static unsigned take_closing(void)
{
    unsigned wires = 0;
    for (unsigned i = 0; i < HUBS; i++) {
        uint32_t index;
        enum hub_closing why;
        while (hub_next_closing(w.hubs[i], &index, &why)) {
            CHECK_EQ(why, HUB_TERMINATED);
            for (uint32_t wire = 0; wire < WIRES; wire++)
                if (w.clients[wire].is_open && w.clients[wire].hub == i &&
                    w.clients[wire].index == index)
                    wires |= 1U << wire;
        }
    }
    return wires;
}

/* --- signing in ---------------------------------------------------------------------------------- */

TEST(a_sign_in_is_answered_with_what_was_signed)
{
    for (unsigned hub = 0; hub < HUBS; hub++) {
        start(hub + 1);
        open_session(hub, ME);
        CHECK_EQ(hub_user(w.hubs[hub], w.clients[ME].index).len, 0);
        CHECK(!hub_is_authorised(w.hubs[hub], w.clients[ME].index));
        SIGN_IN(ME, .user = "me");
        settle();
        CHECK_EQ(count(ME, "{\"event\":\"pusher:signin_success\",\"data\":"
                           "\"{\\\"user_data\\\":\\\"{\\\\\\\"id\\\\\\\":\\\\\\\"x\\\\\\\"}"
                           "\\\"}\"}"),
            1);
        CHECK_EQ(count(ME, "watchlist"), 0);
        CHECK(span_is(hub_user(w.hubs[hub], w.clients[ME].index), "me"));
        CHECK(span_is(hub_user_info(w.hubs[hub], w.clients[ME].index), "{\"n\":1}"));
        CHECK(hub_is_authorised(w.hubs[hub], w.clients[ME].index));
        end();
    }
}

TEST(a_session_waits_exactly_when_another_hub_must_answer)
{
    unsigned n_done = 0;
    for (unsigned hub = 0; hub < HUBS; hub++) {
        uint32_t index;
        start(1);
        open_session(hub, ME);
        enum hub_result result = sign_in(ME, (struct account){.user = "me"});
        n_done += result == HUB_DONE;
        CHECK_EQ(has_mail(), result == HUB_WAIT);
        CHECK(!hub_next_ready(w.hubs[hub], &index));
        while (has_mail())
            for (unsigned to = 0; to < HUBS; to++)
                if (w.n_box[to])
                    deliver_one(to);
        CHECK_EQ(hub_next_ready(w.hubs[hub], &index), result == HUB_WAIT);
        end();
    }
    CHECK_EQ(n_done, 1); // at home
}

TEST(a_user_in_two_sessions_is_one_user)
{
    for (unsigned seed = 1; seed < 10; seed++) {
        start(seed);
        open_session(0, ME);
        open_session(1, TAB);
        SIGN_IN(ME, .user = "me");
        SIGN_IN(TAB, .user = "me");
        settle();
        CHECK_EQ(users(), 1);
        close_session(ME);
        settle();
        CHECK_EQ(users(), 1);
        close_session(TAB);
        settle();
        CHECK_EQ(users(), 0);
        end();
    }
}

/* --- watching ------------------------------------------------------------------------------------- */

TEST(the_first_list_tells_who_is_online_and_who_is_not)
{
    for (unsigned seed = 1; seed < 10; seed++) {
        start(seed);
        open_session(1, FRIEND);
        SIGN_IN(FRIEND, .user = "friend");
        settle();
        open_session(0, ME);
        SIGN_IN(ME, .user = "me", .watched = {"a", "friend", "b"});
        settle();
        CHECK_EQ(count(ME, "{\"event\":\"pusher_internal:watchlist_events\",\"data\":"
                           "\"{\\\"events\\\":[{\\\"name\\\":\\\"online\\\",\\\"user_ids\\\":"
                           "[\\\"friend\\\"]},{\\\"name\\\":\\\"offline\\\",\\\"user_ids\\\":"
                           "[\\\"a\\\",\\\"b\\\"]}]}\"}"),
            1);
        CHECK_EQ(count(ME, "watchlist_events"), 1);
        CHECK_EQ(count(FRIEND, "watchlist_events"), 0);
        end();
    }
}

TEST(a_list_of_one_kind_has_no_empty_other_kind)
{
    start(1);
    open_session(0, ME);
    SIGN_IN(ME, .user = "me", .watched = {"a"});
    settle();
    CHECK_EQ(count(ME, "offline"), 1);
    CHECK_EQ(count(ME, "online"), 0);
    end();
}

TEST(a_friend_comes_online_with_the_first_session_and_goes_with_the_last)
{
    static const char online[] =
        "[{\\\"name\\\":\\\"online\\\",\\\"user_ids\\\":[\\\"friend\\\"]}]";
    static const char offline[] =
        "[{\\\"name\\\":\\\"offline\\\",\\\"user_ids\\\":[\\\"friend\\\"]}]";
    for (unsigned seed = 1; seed < 20; seed++) {
        start(seed);
        open_session(draw(HUBS), ME);
        SIGN_IN(ME, .user = "me", .watched = {"friend"});
        settle();
        forget(ME);
        open_session(draw(HUBS), FRIEND);
        SIGN_IN(FRIEND, .user = "friend");
        settle();
        CHECK_EQ(count(ME, online), 1);
        open_session(draw(HUBS), TAB);
        SIGN_IN(TAB, .user = "friend");
        settle();
        close_session(FRIEND);
        settle();
        CHECK_EQ(count(ME, "watchlist_events"), 1); // nothing has changed
        close_session(TAB);
        settle();
        CHECK_EQ(count(ME, offline), 1);
        CHECK_EQ(count(ME, "watchlist_events"), 2);
        end();
    }
}

TEST(who_watches_itself_is_online)
{
    start(1);
    open_session(0, ME);
    SIGN_IN(ME, .user = "me", .watched = {"me"});
    settle();
    CHECK_EQ(count(ME, "online"), 1);
    CHECK_EQ(count(ME, "offline"), 0);
    end();
}

TEST(a_watcher_that_has_gone_is_told_nothing)
{
    for (unsigned seed = 1; seed < 10; seed++) {
        start(seed);
        open_session(0, ME);
        SIGN_IN(ME, .user = "me", .watched = {"friend"});
        settle();
        close_session(ME);
        open_session(0, OTHER); // has the slot that the watcher had
        open_session(1, FRIEND);
        SIGN_IN(FRIEND, .user = "friend");
        settle();
        CHECK_EQ(count(OTHER, "watchlist"), 0);
        end();
    }
}

TEST(the_same_id_in_another_app_is_somebody_else)
{
    start(1);
    open_session(0, ME);
    SIGN_IN(ME, .user = "me", .watched = {"friend"}, .app = 0);
    open_session(1, FRIEND);
    settle();
    forget(ME);
    SIGN_IN(FRIEND, .user = "friend", .app = 1);
    settle();
    CHECK_EQ(count(ME, "online"), 0);
    end();
}

TEST(a_list_that_was_cut_is_told_to_be)
{
    start(1);
    open_session(0, ME);
    SIGN_IN(ME, .user = "me", .watched = {"a", "b"}, .is_cut = true);
    settle();
    CHECK_EQ(count(ME, "{\"event\":\"pusher:error\",\"data\":{\"code\":4302,\"message\":"), 1);
    CHECK_EQ(count(ME, "2 user ids"), 1);
    CHECK_EQ(count(ME, ": a, b\""), 1);
    end();
}

/* --- terminate ------------------------------------------------------------------------------------ */

TEST(terminate_ends_every_session_of_the_user_and_no_other)
{
    for (unsigned seed = 1; seed < 20; seed++) {
        start(seed);
        open_session(0, ME);
        open_session(1, TAB);
        open_session(2, FRIEND);
        open_session(1, OTHER);
        SIGN_IN(ME, .user = "me");
        SIGN_IN(TAB, .user = "me");
        SIGN_IN(FRIEND, .user = "friend");
        SIGN_IN(OTHER, .user = "me", .app = 1);
        settle();
        terminate(draw(HUBS), "me", 0);
        CHECK_EQ(take_closing(), 1U << ME | 1U << TAB);
        end();
    }
}

TEST(terminating_nobody_ends_nobody)
{
    start(1);
    open_session(0, ME);
    SIGN_IN(ME, .user = "me");
    settle();
    terminate(0, "nobody", 0);
    terminate(1, "nobody", 0);
    terminate(2, "", 0);
    CHECK_EQ(take_closing(), 0);
    close_session(ME);
    open_session(0, OTHER);
    terminate(1, "me", 0);
    CHECK_EQ(take_closing(), 0);
    end();
}

TEST(a_session_is_asked_to_close_but_not_the_next_one_in_its_slot)
{
    start(1);
    open_session(0, ME);
    SIGN_IN(ME, .user = "me");
    settle();
    uint32_t index = w.clients[ME].index;
    terminate(0, "me", 0);
    close_session(ME); // before the hub is asked who must go
    open_session(0, OTHER);
    CHECK_EQ(w.clients[OTHER].index, index);
    CHECK_EQ(take_closing(), 0);
    end();
}

/* --- everything at random ------------------------------------------------------------------------- */

static bool has_id(struct span ids, const char *id)
{
    struct json array = {.kind = JSON_ARRAY, .raw = ids};
    struct json item;
    size_t at = 0;
    while (json_next(&array, &at, &item))
        if (span_is(json_inner(&item), id))
            return true;
    return false;
}

/* What the session was last told of id: 1 online, 0 offline, -1 nothing. */
static int last_told(uint32_t wire, const char *id)
{
    static struct buf scratch;
    struct span text;
    struct span data;
    size_t at = 0;
    int told = -1;
    while (next_message(wire, &at, &text)) {
        struct json root;
        struct json event;
        struct json_field fields[] = {{"events", {0}}};
        size_t k = 0;
        if (!span_is(read_message(text, &scratch, &data), "pusher_internal:watchlist_events"))
            continue;
        CHECK(json_parse_fields(data, &root, fields, 1));
        while (json_next(&fields[0].value, &k, &event)) {
            struct json_field parts[] = {{"name", {0}}, {"user_ids", {0}}};
            json_fields(&event, parts, COUNT_OF(parts));
            if (has_id(parts[1].value.raw, id))
                told = span_is(parts[0].value.raw, "\"online\"");
        }
    }
    buf_fini(&scratch);
    return told;
}

TEST(whatever_crosses_a_watcher_ends_up_with_the_truth)
{
    enum { FRIENDS = 4, FIRST_WATCHER = FRIENDS, SESSIONS = 8 };
    for (unsigned seed = 1; seed < 150; seed++) {
        start(seed);
        for (int step = 0; step < 60; step++) {
            uint32_t i = draw(SESSIONS);
            if (w.clients[i].is_open) {
                close_session(i);
            } else {
                open_session(draw(HUBS), i);
                if (i < FIRST_WATCHER)
                    SIGN_IN(i, .user = i % 2 ? "f1" : "f0");
                else
                    SIGN_IN(i, .user = "me", .watched = {"f0", "f1"});
            }
            unsigned hub = draw(HUBS);
            if (draw(2) && w.n_box[hub])
                deliver_one(hub);
            if (draw(6) == 0)
                beat(draw(HUBS));
        }
        settle();
        for (uint32_t i = FIRST_WATCHER; i < SESSIONS; i++) {
            if (!w.clients[i].is_open)
                continue;
            CHECK_EQ(last_told(i, "f0"), w.clients[0].is_open || w.clients[2].is_open);
            CHECK_EQ(last_told(i, "f1"), w.clients[1].is_open || w.clients[3].is_open);
        }
        end();
    }
}

int main(void)
{
    hash_init();
    RUN(a_sign_in_is_answered_with_what_was_signed);
    RUN(a_session_waits_exactly_when_another_hub_must_answer);
    RUN(a_user_in_two_sessions_is_one_user);
    RUN(the_first_list_tells_who_is_online_and_who_is_not);
    RUN(a_list_of_one_kind_has_no_empty_other_kind);
    RUN(a_friend_comes_online_with_the_first_session_and_goes_with_the_last);
    RUN(who_watches_itself_is_online);
    RUN(a_watcher_that_has_gone_is_told_nothing);
    RUN(the_same_id_in_another_app_is_somebody_else);
    RUN(a_list_that_was_cut_is_told_to_be);
    RUN(terminate_ends_every_session_of_the_user_and_no_other);
    RUN(terminating_nobody_ends_nobody);
    RUN(a_session_is_asked_to_close_but_not_the_next_one_in_its_slot);
    RUN(whatever_crosses_a_watcher_ends_up_with_the_truth);
    return test_end();
}
