/* Positions as text, and sessions that only their own user can show. */
#include "base/base.h"

#include "serve/poll_list.h"

#include <stdlib.h>

#include "base/rand.h"
#include "check_span.h"
#include "test.h"

static struct sign_key key, other_key;

static void use_keys(void)
{
    sign_key_init(&key, span_str("secret"));
    sign_key_init(&other_key, span_str("secret2"));
}

static struct position at(const char *epoch, uint64_t offset)
{
    struct position p = {.offset = offset};
    snprintf(p.epoch, sizeof p.epoch, "%s", epoch);
    return p;
}

static enum poll_add add(struct poll_list *list, const char *name, uint64_t offset)
{
    struct position p = at("epochepoch12", offset);
    return poll_list_add(list, span_str(name), &p);
}

static bool reads(struct span session, const char *user, const struct sign_key *with)
{
    struct poll_list list = {0};
    bool ok = poll_session_read(&list, with, span_str(user), session);
    poll_list_fini(&list);
    return ok;
}

TEST(a_position_names_its_channel)
{
    static const char *const wrong[] = {"", "a", ":", ":e:1", "a:e", "a:e:", "a::1", "a:e:x",
        "a:e:-1", "a:e:1 ", "a:e:1:2", "a:1234567890123:1", "a:e:18446744073709551616"};
    struct span name;
    struct position p;
    CHECK(
        poll_since_read(span_str("private-a,b@c;=.:k3JdPq8wZx2c:18446744073709551615"), &name, &p));
    CHECK_SPAN(name, "private-a,b@c;=.");
    CHECK_STR(p.epoch, "k3JdPq8wZx2c");
    CHECK(p.offset == UINT64_MAX);
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        if (poll_since_read(span_str(wrong[i]), &name, &p))
            CHECK_STR(wrong[i], "to be refused");
}

TEST(a_channel_stands_once_and_the_list_is_bounded)
{
    struct poll_list list = {0};
    char name[64];
    CHECK_EQ(add(&list, "a", 1), POLL_ADDED);
    CHECK_EQ(add(&list, "a", 2), POLL_TWICE);
    CHECK_EQ(list.channels[0].at.offset, 1);
    for (int i = 1; i < POLL_CHANNELS; i++) {
        snprintf(name, sizeof name, "channel-%d", i);
        CHECK_EQ(add(&list, name, 0), POLL_ADDED);
    }
    CHECK_EQ(add(&list, "one-more", 0), POLL_FULL);
    CHECK_EQ(add(&list, "channel-7", 0), POLL_TWICE);
    CHECK_EQ(list.n, POLL_CHANNELS);
    poll_list_fini(&list);
}

TEST(names_are_bounded_together)
{
    struct poll_list list = {0};
    char name[POLL_NAMES_BYTES + 1];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    CHECK_EQ(add(&list, name, 0), POLL_ADDED);
    CHECK_EQ(add(&list, "y", 0), POLL_FULL);
    poll_list_fini(&list);
}

TEST(a_session_holds_its_list)
{
    struct poll_list list = {0};
    struct poll_list back = {0};
    struct buf session = {0};
    CHECK_EQ(add(&list, "a", 7), POLL_ADDED);
    CHECK_EQ(add(&list, "private-b,c", UINT64_MAX), POLL_ADDED);
    CHECK_EQ(add(&back, "a", 9), POLL_ADDED); // what a since has said counts
    poll_session_write(&list, &key, span_str("user\n7"), &session);
    CHECK(poll_session_read(&back, &key, span_str("user\n7"), buf_span(&session)));
    CHECK_EQ(back.n, 2);
    CHECK_EQ(back.channels[0].at.offset, 9);
    CHECK_STR(back.channels[1].name, "private-b,c");
    CHECK_STR(back.channels[1].at.epoch, "epochepoch12");
    CHECK(back.channels[1].at.offset == UINT64_MAX);
    poll_list_fini(&list);
    poll_list_fini(&back);
    buf_fini(&session);
}

TEST(a_session_is_one_users_and_one_keys)
{
    struct poll_list list = {0};
    struct buf session = {0};
    CHECK_EQ(add(&list, "a", 7), POLL_ADDED);
    poll_session_write(&list, &key, span_str("7"), &session);
    CHECK(reads(buf_span(&session), "7", &key));
    CHECK(!reads(buf_span(&session), "8", &key));
    CHECK(!reads(buf_span(&session), "", &key));
    CHECK(!reads(buf_span(&session), "7", &other_key));
    /* The user and the list cannot be shifted against each other. */
    CHECK(!reads(buf_span(&session), "7\na:epochepoch12:7", &key));
    poll_list_fini(&list);
    buf_fini(&session);
}

TEST(no_byte_of_a_session_can_be_changed_or_left_out)
{
    struct poll_list list = {0};
    struct buf session = {0};
    for (int i = 0; i < 3; i++) {
        char name[16];
        snprintf(name, sizeof name, "c%u", rand_u32() % 1000);
        (void)!add(&list, name, rand_u32());
    }
    poll_session_write(&list, &key, span_str("7"), &session);
    for (size_t i = 0; i < session.len; i++) {
        char was = session.p[i];
        session.p[i] = (char)(was == 'a' ? 'b' : 'a');
        CHECK(!reads(buf_span(&session), "7", &key));
        session.p[i] = was;
        CHECK(!reads(span_of(session.p, i), "7", &key));
        CHECK(!reads(span_from(buf_span(&session), i + 1), "7", &key));
    }
    CHECK(reads(buf_span(&session), "7", &key));
    poll_list_fini(&list);
    buf_fini(&session);
}

int main(void)
{
    use_keys();
    RUN(a_position_names_its_channel);
    RUN(a_channel_stands_once_and_the_list_is_bounded);
    RUN(names_are_bounded_together);
    RUN(a_session_holds_its_list);
    RUN(a_session_is_one_users_and_one_keys);
    RUN(no_byte_of_a_session_can_be_changed_or_left_out);
    return test_end();
}
