/* Who is in a presence channel, as each of its subscribers is told. */
#include "base/base.h"

#include "hub/hub.h"

#include "wire/json.h"
#include "world.h"

enum { USERS = 8 };

static const char room[] = "presence-room";
static struct buf scratch, inner;

static void join(uint32_t wire, unsigned hub, const char *user)
{
    open_session(hub, wire);
    (void)subscribe(wire, room, user);
}

/* Joins with a user_info. */
static void join_with(uint32_t wire, unsigned hub, const char *user, const char *info)
{
    open_session(hub, wire);
    struct letter l = {.traits = (uint8_t)traits_of(room),
        .channel = span_str(room),
        .user = span_str(user),
        .info_json = span_str(info)};
    w.posting = hub;
    (void)hub_subscribe(w.hubs[hub], w.clients[wire].index, &l);
}

/* The user ids as the API tells them. */
static const char *list(void)
{
    static char out[512];
    ask(0, &(struct letter){.mail.kind = LETTER_ASK_USERS, .channel = span_str(room)});
    snprintf(out, sizeof out, "%.*s", SPAN(frame_text(w.answer.cached)));
    return out;
}

static void raise_cap(uint32_t members)
{
    app.limits.presence_members = members;
}

/* --- what a client makes of what it is told --------------------------------------------------- */

struct view {
    bool is_in;                 // subscription_succeeded has come
    bool has[USERS];            // by user: "u0" to "u7"
    uint32_t n_told;            // the snapshot's count
    unsigned n_twice, n_nobody; // added while there, removed while not
};

static unsigned user_of(struct span id)
{
    CHECK_EQ(id.len, 2);
    unsigned user = (unsigned)(id.p[1] - '0');
    ENSURE(id.p[0] == 'u' && user < USERS);
    return user;
}

static void take_snapshot(struct view *v, struct span data)
{
    struct json root;
    struct json_field outer[] = {{"presence", {0}}};
    struct json_field fields[] = {{"ids", {0}}, {"hash", {0}}, {"count", {0}}};
    struct json id;
    size_t at = 0;
    uint64_t n = 0;
    CHECK(json_parse_fields(data, &root, outer, 1));
    json_fields(&outer[0].value, fields, COUNT_OF(fields));
    v->is_in = true;
    while (json_next(&fields[0].value, &at, &id)) {
        v->has[user_of(json_inner(&id))] = true;
        n++;
    }
    struct json name;
    struct json info;
    for (at = 0; json_next_member(&fields[1].value, &at, &name, &info); n--)
        CHECK(v->has[user_of(json_inner(&name))]);
    CHECK_EQ(n, 0); // as many in hash as in ids
    for (unsigned i = 0; i < USERS; i++)
        v->n_told += v->has[i];
    inner.len = 0;
    buf_addf(&inner, "%u", v->n_told);
    CHECK(span_eq(fields[2].value.raw, buf_span(&inner)));
}

static void take_change(struct view *v, struct span data, bool is_there)
{
    struct json root;
    struct json_field fields[] = {{"user_id", {0}}};
    CHECK(json_parse_fields(data, &root, fields, 1));
    unsigned user = user_of(json_inner(&fields[0].value));
    v->n_twice += is_there && v->has[user];
    v->n_nobody += !is_there && !v->has[user];
    v->has[user] = is_there;
}

static struct view look(uint32_t wire)
{
    struct view v = {0};
    struct span text;
    struct span data;
    size_t at = 0;
    while (next_message(wire, &at, &text)) {
        struct span event = read_message(text, &scratch, &data);
        if (span_is(event, "pusher_internal:subscription_succeeded"))
            take_snapshot(&v, data);
        else if (span_is(event, "pusher_internal:member_added"))
            take_change(&v, data, true);
        else if (span_is(event, "pusher_internal:member_removed"))
            take_change(&v, data, false);
    }
    return v;
}

/* --- order and counts ---------------------------------------------------------------------------- */

TEST(members_are_listed_in_the_order_of_joining)
{
    raise_cap(10);
    for (unsigned seed = 1; seed < 10; seed++) {
        start(seed);
        for (uint32_t i = 0; i < 4; i++) {
            char user[] = {'u', (char)('3' - i), 0};
            join(i, i % HUBS, user);
            settle();
        }
        CHECK_EQ(count(3, "\\\"ids\\\":[\\\"u3\\\",\\\"u2\\\",\\\"u1\\\",\\\"u0\\\"]"), 1);
        CHECK_STR(list(), "{\"id\":\"u3\"},{\"id\":\"u2\"},{\"id\":\"u1\"},{\"id\":\"u0\"}");
        unsubscribe(1, room);
        settle();
        (void)subscribe(1, room, "u2");
        settle();
        CHECK_STR(list(), "{\"id\":\"u3\"},{\"id\":\"u1\"},{\"id\":\"u0\"},{\"id\":\"u2\"}");
        end();
    }
}

TEST(nobody_is_listed_where_nobody_is)
{
    start(1);
    CHECK_STR(list(), "");
    end();
}

TEST(users_and_connections_are_counted_apart)
{
    raise_cap(10);
    start(4);
    struct letter question = {.mail.kind = LETTER_ASK_CHANNEL, .channel = span_str(room)};
    join(0, 0, "u0");
    join(1, 1, "u0");
    join(2, 2, "u1");
    settle();
    ask(1, &question);
    CHECK_EQ(w.answer.n_users, 2);
    CHECK_EQ(w.answer.n_subscriptions, 3);
    close_session(1);
    settle();
    ask(1, &question);
    CHECK_EQ(w.answer.n_users, 2);
    CHECK_EQ(w.answer.n_subscriptions, 2);
    close_session(0);
    settle();
    ask(1, &question);
    CHECK_EQ(w.answer.n_users, 1);
    end();
}

TEST(who_gives_no_info_has_an_empty_one_and_the_first_connections_info_stays)
{
    raise_cap(10);
    start(2);
    join_with(0, 0, "u0", "{\"n\":\"\\u00e4\\\"\"}");
    settle();
    join_with(1, 1, "u0", "{\"n\":\"other\"}");
    join_with(2, 2, "u1", NULL);
    settle();
    CHECK_EQ(count(2, "\\\"u0\\\":{\\\"n\\\":\\\"\\\\u00e4\\\\\\\"\\\"}"), 1);
    CHECK_EQ(count(2, "\\\"u1\\\":{}}"), 1);
    CHECK_EQ(count(0, "{\\\"user_id\\\":\\\"u1\\\",\\\"user_info\\\":{}}"), 1);
    CHECK_EQ(count(0, "member_added"), 1);
    end();
}

TEST(a_user_id_may_hold_what_json_escapes)
{
    raise_cap(10);
    start(3);
    join(0, 0, "a");
    settle();
    join(1, 1, "q\"\\");
    settle();
    CHECK_EQ(count(0, "{\\\"user_id\\\":\\\"q\\\\\\\"\\\\\\\\\\\",\\\"user_info\\\":{}}"), 1);
    CHECK_STR(list(), "{\"id\":\"a\"},{\"id\":\"q\\\"\\\\\"}");
    close_session(1);
    settle();
    CHECK_EQ(count(0, "member_removed\",\"channel\":\"presence-room\",\"data\":"
                      "\"{\\\"user_id\\\":\\\"q\\\\\\\"\\\\\\\\\\\"}\"}"),
        1);
    end();
}

/* --- the cap ---------------------------------------------------------------------------------- */

TEST(a_full_channel_refuses_the_next_user_until_one_goes)
{
    raise_cap(2);
    for (unsigned seed = 1; seed < 10; seed++) {
        struct span member;
        start(seed);
        join(0, 0, "u0");
        join(1, 1, "u1");
        settle();
        join(2, 2, "u2");
        settle();
        CHECK_EQ(count(2, "subscription_succeeded"), 0);
        CHECK_EQ(count(2, "{\"type\":\"LimitReached\",\"error\":"), 1);
        CHECK_EQ(count(2, "\"code\":null"), 1);
        CHECK(!hub_is_subscribed(w.hubs[2], w.clients[2].index, 0, span_str(room), &member));
        CHECK(!hub_is_authorised(w.hubs[2], w.clients[2].index));
        CHECK_EQ(count(0, "u2"), 0);
        close_session(1);
        settle();
        (void)subscribe(2, room, "u2");
        settle();
        CHECK_EQ(count(2, "subscription_succeeded"), 1);
        CHECK_EQ(count(0, "\\\"u2\\\""), 1);
        end();
    }
}

TEST(the_cap_holds_among_those_who_join_in_one_beat)
{
    raise_cap(2);
    start(1);
    for (uint32_t i = 0; i < 6; i++) {
        char user[] = {'u', (char)('0' + i / 2), 0};
        join(i, 0, user);
    }
    settle();
    for (uint32_t i = 0; i < 6; i++) {
        CHECK_EQ(count(i, "subscription_succeeded"), i < 4);
        CHECK_EQ(count(i, "LimitReached"), i >= 4);
    }
    end();
}

TEST(a_refused_first_joiner_leaves_no_channel)
{
    raise_cap(0);
    start(1);
    join(0, 0, "u0");
    settle();
    CHECK_EQ(sum_channels(), 0);
    end();
}

/* --- several connections, several in one beat ---------------------------------------------------- */

TEST(joiners_of_one_beat_share_a_snapshot_and_are_not_told_of_each_other)
{
    raise_cap(100);
    start(3);
    for (uint32_t i = 0; i < 4; i++) {
        char user[] = {(char)('a' + i), 0};
        join(i, 0, user);
    }
    settle();
    for (uint32_t i = 0; i < 4; i++) {
        CHECK_EQ(count(i, "subscription_succeeded"), 1);
        CHECK_EQ(count(i, "\\\"count\\\":4"), 1);
        CHECK_EQ(count(i, "member_added"), 0);
    }
    end();
}

TEST(a_user_is_added_with_the_first_connection_and_removed_with_the_last)
{
    raise_cap(10);
    for (unsigned seed = 1; seed < 10; seed++) {
        start(seed);
        join(0, 0, "u0");
        settle();
        for (uint32_t i = 1; i < 4; i++) {
            join(i, i % HUBS, "u1");
            settle();
        }
        CHECK_EQ(count(0, "member_added"), 1);
        close_session(2);
        settle();
        unsubscribe(1, room);
        settle();
        CHECK_EQ(count(0, "member_removed"), 0);
        close_session(3);
        settle();
        CHECK_EQ(count(0, "member_removed"), 1);
        end();
    }
}

TEST(a_joiner_that_goes_in_the_same_beat_is_a_member_for_nobody_who_stays)
{
    raise_cap(10);
    for (unsigned hub = 0; hub < HUBS; hub++) {
        for (unsigned other = 0; other < HUBS; other++) {
            start(hub + 1);
            join(0, other, "u0");
            settle();
            join(1, hub, "u1");
            join(2, other, "u2");
            join(3, hub, "u3");
            close_session(1);
            settle();
            for (uint32_t i = 0; i < 4; i++) {
                struct view v = look(i);
                if (i == 1)
                    continue;
                CHECK(v.is_in);
                CHECK(!v.has[1]);
                CHECK(v.has[0] && v.has[2] && v.has[3]);
                CHECK_EQ(v.n_twice + v.n_nobody, 0);
            }
            end();
        }
    }
}

TEST(all_who_join_in_a_beat_may_go_in_it)
{
    raise_cap(10);
    for (unsigned hub = 0; hub < HUBS; hub++) {
        start(hub + 1);
        join(0, hub, "u0");
        join(1, hub, "u0");
        join(2, hub, "u1");
        for (uint32_t i = 0; i < 3; i++)
            close_session(i);
        settle();
        CHECK_EQ(sum_channels(), 0);
        end();
    }
}

/* --- everything at random -------------------------------------------------------------------------- */

/* What a session was told must add up to who is there, wherever it is and however letters
 * crossed. */
static void check_views(const int user_of_wire[], uint32_t n)
{
    bool is_there[USERS] = {false};
    for (uint32_t i = 0; i < n; i++)
        if (user_of_wire[i] >= 0)
            is_there[user_of_wire[i]] = true;
    for (uint32_t i = 0; i < n; i++) {
        if (user_of_wire[i] < 0)
            continue;
        struct view v = look(i);
        CHECK(v.is_in);
        CHECK(memcmp(v.has, is_there, sizeof is_there) == 0);
        CHECK_EQ(v.n_twice, 0);
        CHECK_EQ(v.n_nobody, 0);
    }
}

TEST(whatever_happens_everyone_knows_who_is_there)
{
    enum { SESSIONS = 12, STEPS = 120 };
    raise_cap(USERS);
    for (unsigned seed = 1; seed < 150; seed++) {
        int user[SESSIONS];
        memset(user, -1, sizeof user);
        start(seed);
        for (int step = 0; step < STEPS; step++) {
            uint32_t i = draw(SESSIONS);
            if (user[i] < 0) {
                char name[] = {'u', (char)('0' + draw(USERS)), 0};
                user[i] = name[1] - '0';
                join(i, draw(HUBS), name);
            } else {
                close_session(i); // answered or not
                user[i] = -1;
            }
            unsigned hub = draw(HUBS);
            if (draw(3) == 0 && w.n_box[hub])
                deliver_one(hub);
            if (draw(6) == 0)
                beat(draw(HUBS));
        }
        settle();
        check_views(user, SESSIONS);
        end();
    }
}

int main(void)
{
    hash_init();
    RUN(members_are_listed_in_the_order_of_joining);
    RUN(nobody_is_listed_where_nobody_is);
    RUN(users_and_connections_are_counted_apart);
    RUN(who_gives_no_info_has_an_empty_one_and_the_first_connections_info_stays);
    RUN(a_user_id_may_hold_what_json_escapes);
    RUN(a_full_channel_refuses_the_next_user_until_one_goes);
    RUN(the_cap_holds_among_those_who_join_in_one_beat);
    RUN(a_refused_first_joiner_leaves_no_channel);
    RUN(joiners_of_one_beat_share_a_snapshot_and_are_not_told_of_each_other);
    RUN(a_user_is_added_with_the_first_connection_and_removed_with_the_last);
    RUN(a_joiner_that_goes_in_the_same_beat_is_a_member_for_nobody_who_stays);
    RUN(all_who_join_in_a_beat_may_go_in_it);
    RUN(whatever_happens_everyone_knows_who_is_there);
    buf_fini(&scratch);
    buf_fini(&inner);
    return test_end();
}
