/* Positions and questions as text, there and back. */
#include "base/base.h"

#include "hub/position.h"

#include <stdlib.h>

#include "check_span.h"

TEST(a_position_is_read_whole_or_not_at_all)
{
    static const char *const bad[] = {"", ":", "e", "e:", ":1", "e:x", "e:-1", "e:1:2",
        "abcdefghijklm:1", "e:18446744073709551616", "e\":1", "e ,:1", "\xc3\xa4:1", "?:1"};
    struct position at;
    CHECK(position_read(span_str("abc:18446744073709551615"), &at));
    CHECK_STR(at.epoch, "abc");
    CHECK(at.offset == UINT64_MAX);
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        CHECK(!position_read(span_str(bad[i]), &at));
}

static void check_list(const char *text, const char *again)
{
    struct position at[3];
    struct buf out = {0};
    CHECK(positions_read(span_str(text), at, COUNT_OF(at)));
    positions_add(&out, at, COUNT_OF(at));
    CHECK_SPAN(buf_span(&out), again);
    buf_fini(&out);
}

TEST(a_list_has_nothing_where_there_is_no_position)
{
    static const char *const bad[] = {
        "a", "a:1,b", "a:1, b:2", "a:1,b:2,c:3,", "a:1,b:2,c:3,d:4", ",,,", "a:1;b:2"};
    struct position at[3];
    check_list("", "");
    check_list("abcdefghijkl:41", "abcdefghijkl:41");
    check_list("a:1,b:2,c:18446744073709551615", "a:1,b:2,c:18446744073709551615");
    check_list(",b:2", ",b:2");
    check_list(",,c:0", ",,c:0");
    check_list("a:1,,", "a:1");
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        CHECK(!positions_read(span_str(bad[i]), at, COUNT_OF(at)));
}

static bool read_as(const char *text, struct recovery *r)
{
    struct json value;
    struct buf scratch = {0};
    (void)buf_room(&scratch, 4 * strlen(text));
    ENSURE(json_parse(span_str(text), &value));
    bool ok = recovery_read(&value, &scratch, r);
    buf_fini(&scratch);
    return ok;
}

TEST(what_a_subscriber_asks)
{
    struct recovery r;
    CHECK(read_as("null", &r) && !r.is_asked);
    CHECK(read_as("{}", &r) && r.is_asked && !r.from.epoch[0] && !r.rewind && !r.rewind_s);
    CHECK(read_as("{\"rewind\":20,\"rewind_s\":\"99999999999\"}", &r));
    CHECK_EQ(r.rewind, 20);
    CHECK_EQ(r.rewind_s, UINT32_MAX);
    CHECK(read_as("{\"epoch\":\"k3\",\"offset\":\"9007199254740993\"}", &r) && r.is_asked);
    CHECK_STR(r.from.epoch, "k3");
    CHECK_EQ(r.from.offset, 9007199254740993);
    CHECK(!r.is_inline && read_as("{\"inline\":true}", &r) && r.is_inline);
    CHECK(read_as("{\"inline\":null}", &r) && !r.is_inline);
    CHECK(read_as("{\"epoch\":null,\"offset\":null}", &r) && !r.from.epoch[0]);
}

TEST(an_event_with_its_position)
{
    struct buf out = {0};
    struct position at = {"k3", 7};
    position_add_event(&out, span_str("{\"event\":\"e\"}"), &at);
    CHECK_SPAN(buf_span(&out), "{\"event\":\"e\",\"id\":\"k3:7\"}");
    buf_fini(&out);
}

TEST(an_epoch_that_was_never_given_is_one_that_has_ended)
{
    static const char *const never[] = {
        "\"abcdefghijklm\"", "\"a:b\"", "\"\\u0000\"", "\"?\"", "\"a\\u0000b\"", "\"\\u00e4\""};
    for (size_t i = 0; i < COUNT_OF(never); i++) {
        struct recovery r;
        char text[64];
        snprintf(text, sizeof text, "{\"epoch\":%s,\"offset\":1}", never[i]);
        CHECK(read_as(text, &r));
        CHECK_STR(r.from.epoch, position_unknown().epoch);
    }
}

TEST(what_is_no_question)
{
    static const char *const bad[] = {"1", "\"x\"", "[]", "true", "{\"epoch\":\"a\"}",
        "{\"epoch\":\"\",\"offset\":1}", "{\"epoch\":1,\"offset\":1}", "{\"rewind\":-1}",
        "{\"rewind\":1.5}", "{\"rewind\":\"x\"}", "{\"rewind_s\":[]}", "{\"offset\":true}",
        "{\"inline\":1}", "{\"inline\":\"true\"}",
        "{\"epoch\":\"a\",\"offset\":18446744073709551616}"};
    struct recovery r;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        CHECK(!read_as(bad[i], &r));
}

int main(void)
{
    RUN(a_position_is_read_whole_or_not_at_all);
    RUN(a_list_has_nothing_where_there_is_no_position);
    RUN(what_a_subscriber_asks);
    RUN(an_event_with_its_position);
    RUN(an_epoch_that_was_never_given_is_one_that_has_ended);
    RUN(what_is_no_question);
    return test_end();
}
