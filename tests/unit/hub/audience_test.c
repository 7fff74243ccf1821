/* One text in the encoding of each audience. */
#include "base/base.h"

#include "hub/audience.h"

#include <stdlib.h>

#include "base/mem.h"
#include "check_span.h"

/* What is encoded into a block of exactly the room that was asked for. */
static struct span encode(enum audience audience, struct span text, bool is_line)
{
    static char shown[70000];
    size_t room = is_line ? text.len + AUDIENCE_EXTRA : audience_room(audience, text);
    char *out = mem_alloc(room);
    size_t n =
        is_line ? audience_line(audience, out, text) : audience_encode(audience, out, text, 0);
    CHECK(n <= room);
    ENSURE(n <= sizeof shown);
    memcpy(shown, out, n);
    free(out);
    return span_of(shown, n);
}

TEST(each_audience_has_its_encoding)
{
    struct span text = span_str("{\"a\":\"\xc3\xa4\"}");
    CHECK_SPAN(encode(AUDIENCE_WS, text, false), "\x81\x0a{\"a\":\"\xc3\xa4\"}");
    CHECK_SPAN(encode(AUDIENCE_SOCKJS, text, false), "\x81\x17"
                                                     "a[\"{\\\"a\\\":\\\"\\u00e4\\\"}\"]");
    CHECK_SPAN(
        encode(AUDIENCE_LINE, text, false), "18\r\na[\"{\\\"a\\\":\\\"\\u00e4\\\"}\"]\n\r\n");
    CHECK_SPAN(encode(AUDIENCE_STREAM, text, false), "12\r\ndata: {\"a\":\"\xc3\xa4\"}\n\n\r\n");
}

TEST(with_a_position_or_without_the_encoding_is_the_same)
{
    struct span text = span_str("{\"a\":\"\xc3\xa4\"}");
    CHECK_SPAN(encode(AUDIENCE_WS_ID, text, false), "\x81\x0a{\"a\":\"\xc3\xa4\"}");
    CHECK_SPAN(encode(AUDIENCE_SOCKJS_ID, text, false), "\x81\x17"
                                                        "a[\"{\\\"a\\\":\\\"\\u00e4\\\"}\"]");
    CHECK_SPAN(
        encode(AUDIENCE_LINE_ID, text, false), "18\r\na[\"{\\\"a\\\":\\\"\\u00e4\\\"}\"]\n\r\n");
    for (int a = 0; a < AUDIENCES; a++) {
        bool is_socket = a == AUDIENCE_WS || a == AUDIENCE_LINE || a == AUDIENCE_SOCKJS;
        CHECK(audience_has_id(audience_with_id((enum audience)a)) ==
              (is_socket || audience_has_id((enum audience)a)));
    }
}

TEST(an_event_of_a_stream_may_have_an_id)
{
    struct span id = span_str("abc:18446744073709551615");
    struct span text = span_str("{}");
    size_t room = audience_room(AUDIENCE_STREAM_AT, text) + AUDIENCE_ID + id.len;
    char *out = mem_alloc(room);
    size_t n = audience_encode_event(out, id, text);
    CHECK(n <= room);
    CHECK_SPAN(span_of(out, n), "27\r\nid: abc:18446744073709551615\ndata: {}\n\n\r\n");
    n = audience_encode_event(out, span_of(NULL, 0), text);
    CHECK_SPAN(span_of(out, n), "a\r\ndata: {}\n\n\r\n");
    CHECK_SPAN(encode(AUDIENCE_STREAM_AT, text, false), "a\r\ndata: {}\n\n\r\n");
    free(out);
}

TEST(a_line_end_between_tokens_does_not_end_an_event_of_a_stream)
{
    CHECK_SPAN(encode(AUDIENCE_STREAM, span_str("{\r\n\"a\":\n1}"), false),
        "12\r\ndata: {  \"a\": 1}\n\n\r\n");
}

TEST(a_line_is_framed_for_those_who_hear_it)
{
    CHECK_SPAN(encode(AUDIENCE_SOCKJS, span_str("o"), true), "\x81\x01o");
    CHECK_SPAN(encode(AUDIENCE_LINE, span_str("h"), true), "2\r\nh\n\r\n");
    CHECK_SPAN(encode(AUDIENCE_STREAM, span_str(":"), true), "3\r\n:\n\n\r\n");
}

TEST(every_length_fits_into_the_room_that_was_asked_for)
{
    static char text[66000];
    static const size_t lengths[] = {
        0, 1, 13, 14, 15, 16, 125, 126, 127, 240, 255, 256, 4095, 4096, 65000, 65535, 65536, 65537};
    for (int ends = 0; ends < 2; ends++) {
        memset(text, ends ? 'x' : '"', sizeof text);
        for (size_t i = 0; i < COUNT_OF(lengths); i++) {
            size_t len = ends ? lengths[i] : lengths[i] / 2; // a quote becomes two characters
            for (int a = 0; a < AUDIENCES; a++) {
                struct span s = span_of(text, len);
                size_t n = encode((enum audience)a, s, false).len;
                CHECK(audience_is_legacy((enum audience)a) ? n == 0 : n >= len); // no event
                CHECK(encode((enum audience)a, s, true).len >= len);
            }
        }
    }
}

TEST(a_legacy_client_gets_a_frame_of_its_own_and_nothing_of_the_protocol)
{
    struct span event = span_str("{\"event\":\"e\",\"channel\":\"public-a\",\"data\":\"{}\"}");
    CHECK_SPAN(encode(AUDIENCE_LEGACY, event, false),
        "\x81\x58{\"type\":\"e\",\"channel\":\"a\",\"data\":{},\"payload\":{},\"timestamp\":"
        "\"1970-01-01T00:00:00.000Z\"}");
    for (int a = AUDIENCE_LEGACY; a < AUDIENCES; a++)
        CHECK_EQ(encode((enum audience)a,
                     span_str("{\"event\":\"pusher_internal:x\",\"channel\":\"public-a\"}"), false)
                     .len,
            0);
}

int main(void)
{
    RUN(each_audience_has_its_encoding);
    RUN(with_a_position_or_without_the_encoding_is_the_same);
    RUN(an_event_of_a_stream_may_have_an_id);
    RUN(a_line_end_between_tokens_does_not_end_an_event_of_a_stream);
    RUN(a_line_is_framed_for_those_who_hear_it);
    RUN(a_legacy_client_gets_a_frame_of_its_own_and_nothing_of_the_protocol);
    RUN(every_length_fits_into_the_room_that_was_asked_for);
    return test_end();
}
