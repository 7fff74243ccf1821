/* Channels messages: names, what comes in, what goes out. */
#include "base/base.h"

#include "wire/pusher.h"

#include <stdlib.h>

#include "check_span.h"

/* --- names ----------------------------------------------------------------------------------- */

TEST(a_name_says_what_the_channel_is)
{
    const unsigned private = CHANNEL_PRIVATE;
    const unsigned presence = CHANNEL_PRIVATE | CHANNEL_PRESENCE;
    const struct {
        const char *name;
        unsigned traits;
    } cases[] = {
        {"news", 0},
        {"private-x", private},
        {"presence-x", presence},
        {"cache-x", CHANNEL_CACHE},
        {"private-cache-x", private | CHANNEL_CACHE},
        {"presence-cache-x", presence | CHANNEL_CACHE},
        {"private-encrypted-x", private | CHANNEL_ENCRYPTED},
        {"private-encrypted-cache-x", private | CHANNEL_ENCRYPTED | CHANNEL_CACHE},
        {"#server-to-user-7", CHANNEL_USER},
        {"private", 0}, // the dash belongs to the prefix
        {"presence", 0},
        {"cache", 0},
        {"private-", private},
        {"private-encrypted", private},
        {"private-cachex", private},
        {"presence-encrypted-x", presence}, // there is no such kind
        {"cache-private-x", CHANNEL_CACHE},
        {"Private-x", 0},
        {"my-private-x", 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        unsigned traits = 99;
        if (!pusher_channel(span_str(cases[i].name), 200, &traits) || traits != cases[i].traits)
            CHECK_STR(cases[i].name, "of the kind that its prefix says");
    }
}

TEST(only_some_characters_make_a_name)
{
    static const char legal[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-=@,.;";
    for (int c = 0; c < 256; c++) {
        char name[] = {'a', (char)c, 'b'};
        bool is_legal = c && strchr(legal, c);
        unsigned traits;
        CHECK_EQ(pusher_is_name(span_of(name, sizeof name)), is_legal);
        CHECK_EQ(pusher_is_name(span_of(name + 1, 1)), is_legal);
        CHECK_EQ(pusher_channel(span_of(name, sizeof name), 200, &traits), is_legal);
    }
    CHECK(!pusher_is_name(span_str("")));
}

TEST(a_wrong_name_is_no_channel)
{
    static const char *const names[] = {"", "a b", "a/b", "#news", "#server-to-user-",
        "#server-to-user-a b", "#server-to-user-#", "#server-to-users-1", "private-\xc3\xa4"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        unsigned traits;
        if (pusher_channel(span_str(names[i]), 200, &traits))
            CHECK_STR(names[i], "refused");
    }
}

TEST(a_name_has_a_greatest_length_and_a_users_id_the_same)
{
    unsigned traits;
    CHECK(pusher_channel(span_str("private-9012"), 12, &traits));
    CHECK(!pusher_channel(span_str("private-90123"), 12, &traits));
    CHECK(pusher_channel(span_str("#server-to-user-123456789012"), 12, &traits));
    CHECK(!pusher_channel(span_str("#server-to-user-1234567890123"), 12, &traits));
}

/* --- what comes in --------------------------------------------------------------------------- */

static struct buf scratch;

TEST(a_message_is_cut_into_its_parts)
{
    struct pusher_message m;
    scratch.len = 0;
    CHECK(
        pusher_read(span_str("{\"x\":1,\"event\":\"pusher:subscribe\",\"data\":{\"channel\":\"c\"},"
                             "\"channel\":\"news\"}"),
            &scratch, &m));
    CHECK_SPAN(m.event, "pusher:subscribe");
    CHECK_SPAN(m.event_json, "\"pusher:subscribe\"");
    CHECK_SPAN(m.data.raw, "{\"channel\":\"c\"}");
    CHECK_EQ(m.data.kind, JSON_OBJECT);
    CHECK_SPAN(m.channel.raw, "\"news\"");
    CHECK(pusher_read(span_str(" {\"event\":\"client-\\u00e4\"} "), &scratch, &m));
    CHECK_SPAN(m.event, "client-\xc3\xa4");
    CHECK_SPAN(m.event_json, "\"client-\\u00e4\"");
    CHECK_EQ(m.data.kind, JSON_ABSENT);
    CHECK_EQ(m.channel.kind, JSON_ABSENT);
}

TEST(what_is_no_message_is_refused)
{
    static const char *const texts[] = {"", "nonsense", "[]", "\"event\"", "null", "{}",
        "{\"event\":1}", "{\"event\":null}", "{\"event\":[\"a\"]}", "{\"event\":\"a\"",
        "{\"event\":\"a\"} x", "{\"event\":\"\\ud800\"}", "{\"event\":\"\xff\"}", "{'event':'a'}"};
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct pusher_message m;
        if (pusher_read(span_str(texts[i]), &scratch, &m))
            CHECK_STR(texts[i], "refused");
    }
}

/* The field "channel" of the data of a message, its kind of failure else. */
static const char *read_channel(const char *data)
{
    static char out[64];
    struct json value;
    struct json_field fields[] = {{"channel", {0}}};
    scratch.len = 0;
    if (!json_parse(span_str(data), &value))
        return "no JSON";
    if (!pusher_read_data(&value, &scratch, fields, COUNT_OF(fields)))
        return "refused";
    snprintf(out, sizeof out, "%.*s", SPAN(fields[0].value.raw));
    return out;
}

TEST(data_is_an_object_or_an_object_in_a_string)
{
    CHECK_STR(read_channel("{\"channel\":\"c\"}"), "\"c\"");
    CHECK_STR(read_channel("\"{\\\"channel\\\":\\\"c\\\"}\""), "\"c\"");
    CHECK_STR(read_channel("\"{}\""), "");
    CHECK_STR(read_channel("{}"), "");
    CHECK_STR(read_channel("\"\""), "refused");
    CHECK_STR(read_channel("\"{\""), "refused");
    CHECK_STR(read_channel("\"[]\""), "refused");
    CHECK_STR(read_channel("\"\\\"{}\\\"\""), "refused"); // a string in a string
    CHECK_STR(read_channel("\"\\udc00\""), "refused");
    CHECK_STR(read_channel("[]"), "refused");
    CHECK_STR(read_channel("null"), "refused");
    CHECK_STR(read_channel("7"), "refused");
    struct json none = {0};
    CHECK(!pusher_read_data(&none, &scratch, NULL, 0));
}

/* --- what goes out --------------------------------------------------------------------------- */

static struct buf out;

TEST(an_event_has_the_members_that_were_given)
{
    struct span none = {0};
    struct frame *f = pusher_event(
        span_str("\"client-x\""), span_str("presence-a"), span_str("{\"a\":1}"), span_str("u\"1"));
    CHECK_SPAN(frame_text(f), "{\"event\":\"client-x\",\"channel\":\"presence-a\","
                              "\"data\":{\"a\":1},\"user_id\":\"u\\\"1\"}");
    CHECK_SPAN(frame_data(f), "{\"a\":1}");
    CHECK_SPAN(span_of(f->text + f->name_at, f->name_len), "\"client-x\"");
    frame_drop(f);
    f = pusher_event(span_str("\"e\""), span_str("c"), none, none);
    CHECK_SPAN(frame_text(f), "{\"event\":\"e\",\"channel\":\"c\"}");
    CHECK_EQ(frame_data(f).len, 0);
    frame_drop(f);
    f = pusher_event(span_str("\"e\""), span_str("c"), none, span_str(""));
    CHECK_SPAN(frame_text(f), "{\"event\":\"e\",\"channel\":\"c\",\"user_id\":\"\"}");
    frame_drop(f);
}

TEST(an_event_of_ours_carries_its_data_as_a_string)
{
    struct frame *f = pusher_internal(
        "pusher_internal:subscription_succeeded", span_str("news"), span_str("{\"a\":\"\\n\"}"));
    CHECK_SPAN(frame_text(f), "{\"event\":\"pusher_internal:subscription_succeeded\","
                              "\"channel\":\"news\",\"data\":\"{\\\"a\\\":\\\"\\\\n\\\"}\"}");
    CHECK_SPAN(frame_data(f), "\"{\\\"a\\\":\\\"\\\\n\\\"}\"");
    frame_drop(f);
    f = pusher_internal("pusher:signin_success", span_of(NULL, 0), span_str("{}"));
    CHECK_SPAN(frame_text(f), "{\"event\":\"pusher:signin_success\",\"data\":\"{}\"}");
    frame_drop(f);
}

TEST(an_error_has_a_code_or_null_and_its_data_is_an_object)
{
    out.len = 0;
    pusher_add_error(&out, 4301, span_str("too \"fast\""));
    CHECK_SPAN(buf_span(&out), "{\"event\":\"pusher:error\","
                               "\"data\":{\"code\":4301,\"message\":\"too \\\"fast\\\"\"}}");
    out.len = 0;
    pusher_add_error(&out, PUSHER_NO_CODE, span_str("m"));
    CHECK_SPAN(
        buf_span(&out), "{\"event\":\"pusher:error\",\"data\":{\"code\":null,\"message\":\"m\"}}");
}

TEST(the_other_messages_are_as_the_protocol_has_them)
{
    out.len = 0;
    pusher_add_established(&out, span_str("12.34"), 120);
    CHECK_SPAN(buf_span(&out),
        "{\"event\":\"pusher:connection_established\",\"data\":"
        "\"{\\\"socket_id\\\":\\\"12.34\\\",\\\"activity_timeout\\\":120}\"}");
    out.len = 0;
    pusher_add_pong(&out);
    CHECK_SPAN(buf_span(&out), "{\"event\":\"pusher:pong\",\"data\":\"{}\"}");
    out.len = 0;
    pusher_add_subscription_error(
        &out, span_str("private-\"x"), "AuthError", span_str("no\n"), 401);
    CHECK_SPAN(buf_span(&out),
        "{\"event\":\"pusher:subscription_error\",\"channel\":\"private-\\\"x\",\"data\":"
        "{\"type\":\"AuthError\",\"error\":\"no\\n\",\"status\":401}}");
}

TEST(any_value_becomes_the_string_that_carries_it)
{
    static const struct {
        const char *value, *want;
    } cases[] = {{"\"a\\u0062\"", "\"a\\u0062\""}, // a string stays what it is, byte for byte
        {"{\"a\":\"b\"}", "\"{\\\"a\\\":\\\"b\\\"}\""}, {"[1, 2]", "\"[1, 2]\""},
        {"1.50", "\"1.50\""}, {"null", "\"null\""},
        {"{\"a\":\"\\n\"}", "\"{\\\"a\\\":\\\"\\\\n\\\"}\""}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct json value;
        CHECK(json_parse(span_str(cases[i].value), &value));
        out.len = 0;
        pusher_add_string_form(&out, &value);
        CHECK_SPAN(buf_span(&out), cases[i].want);
    }
}

/* --- what was built is read back --------------------------------------------------------------- */

static unsigned seed = 1;

static unsigned draw(unsigned below)
{
    seed = seed * 1103515245U + 12345U;
    return (seed >> 16) % below;
}

/* Valid UTF-8 full of what JSON must escape. */
static struct span draw_text(char *text, size_t most)
{
    static const char *const parts[] = {"\"", "\\", "/", "\n", "\t", "\x01", "\x1f", "\x7f", "a",
        "user", "{\"a\":1}", "\xc3\xa4", "\xe2\x80\xa8", "\xf0\x9f\x94\x94", "\\u0041", " "};
    size_t len = 0;
    for (unsigned n = draw(12); n; n--) {
        const char *part = parts[draw(COUNT_OF(parts))];
        if (len + strlen(part) > most)
            break;
        memcpy(text + len, part, strlen(part));
        len += strlen(part);
    }
    return span_of(text, len);
}

static bool is_text(const struct json *value, struct span text)
{
    struct span decoded;
    scratch.len = 0;
    return value->kind == JSON_STRING && json_decode(value, &scratch, &decoded) &&
           span_eq(decoded, text);
}

static void check_event(struct span name, struct span data, struct span user)
{
    struct buf name_json = {0};
    struct buf data_json = {0};
    struct json root;
    struct json_field fields[] = {
        {"event", {0}}, {"channel", {0}}, {"data", {0}}, {"user_id", {0}}};
    json_quote(&name_json, name);
    json_quote(&data_json, data);
    struct frame *f =
        pusher_event(buf_span(&name_json), span_str("news"), buf_span(&data_json), user);
    CHECK(json_parse_fields(frame_text(f), &root, fields, COUNT_OF(fields)));
    CHECK(is_text(&fields[0].value, name));
    CHECK_SPAN(fields[1].value.raw, "\"news\"");
    CHECK(is_text(&fields[2].value, data));
    CHECK_BYTES(frame_data(f), fields[2].value.raw);
    CHECK(is_text(&fields[3].value, user));
    frame_drop(f);
    buf_fini(&name_json);
    buf_fini(&data_json);
}

static void check_internal(struct span inner)
{
    struct json root;
    struct json_field fields[] = {{"event", {0}}, {"channel", {0}}, {"data", {0}}};
    struct frame *f = pusher_internal("pusher:x", span_str("news"), inner);
    CHECK(json_parse_fields(frame_text(f), &root, fields, COUNT_OF(fields)));
    CHECK_SPAN(fields[0].value.raw, "\"pusher:x\"");
    CHECK(is_text(&fields[2].value, inner));
    frame_drop(f);
}

static void check_errors(struct span channel, struct span why)
{
    struct json root;
    struct json_field outer[] = {{"channel", {0}}, {"data", {0}}};
    struct json_field inner[] = {{"error", {0}}, {"message", {0}}};
    out.len = 0;
    pusher_add_subscription_error(&out, channel, "AuthError", why, 403);
    CHECK(json_parse_fields(buf_span(&out), &root, outer, COUNT_OF(outer)));
    CHECK(is_text(&outer[0].value, channel));
    json_fields(&outer[1].value, inner, COUNT_OF(inner));
    CHECK(is_text(&inner[0].value, why));
    out.len = 0;
    pusher_add_error(&out, 4009, why);
    CHECK(json_parse_fields(buf_span(&out), &root, outer, COUNT_OF(outer)));
    json_fields(&outer[1].value, inner, COUNT_OF(inner));
    CHECK(is_text(&inner[1].value, why));
}

TEST(what_is_built_parses_back_to_what_went_in)
{
    for (int i = 0; i < 2000; i++) {
        char text[3][100];
        struct span a = draw_text(text[0], sizeof text[0]);
        struct span b = draw_text(text[1], sizeof text[1]);
        struct span c = draw_text(text[2], sizeof text[2]);
        check_event(a, b, c);
        check_internal(a);
        check_errors(b, c);
    }
}

TEST(a_string_form_parses_back_to_the_value)
{
    for (int i = 0; i < 500; i++) {
        char text[100];
        struct buf object = {0};
        struct json value;
        struct json form;
        buf_add_str(&object, "{\"k\":");
        json_quote(&object, draw_text(text, sizeof text));
        buf_add_char(&object, '}');
        CHECK(json_parse(buf_span(&object), &value));
        out.len = 0;
        pusher_add_string_form(&out, &value);
        CHECK(json_parse(buf_span(&out), &form));
        CHECK(is_text(&form, buf_span(&object)));
        buf_fini(&object);
    }
}

int main(void)
{
    RUN(a_name_says_what_the_channel_is);
    RUN(only_some_characters_make_a_name);
    RUN(a_wrong_name_is_no_channel);
    RUN(a_name_has_a_greatest_length_and_a_users_id_the_same);
    RUN(a_message_is_cut_into_its_parts);
    RUN(what_is_no_message_is_refused);
    RUN(data_is_an_object_or_an_object_in_a_string);
    RUN(an_event_has_the_members_that_were_given);
    RUN(an_event_of_ours_carries_its_data_as_a_string);
    RUN(an_error_has_a_code_or_null_and_its_data_is_an_object);
    RUN(the_other_messages_are_as_the_protocol_has_them);
    RUN(any_value_becomes_the_string_that_carries_it);
    RUN(what_is_built_parses_back_to_what_went_in);
    RUN(a_string_form_parses_back_to_the_value);
    buf_fini(&scratch);
    buf_fini(&out);
    return test_end();
}
