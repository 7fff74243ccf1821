/* Names and frames of the raw WebSocket endpoints. */
#include "base/base.h"

#include "wire/legacy.h"

#include <stdlib.h>

#include "base/mem.h"
#include "check_span.h"
#include "test.h"

static struct buf made;

static struct span channel_of(const char *name, bool topics)
{
    made.len = 0;
    legacy_add_channel(span_str(name), topics, &made);
    return buf_span(&made);
}

static struct span name_of(const char *channel)
{
    made.len = 0;
    legacy_add_name(span_str(channel), &made);
    return buf_span(&made);
}

TEST(a_name_stands_for_a_channel_and_back)
{
    static const char *const rows[][2] = {{"updates", "public-updates"},
        {"content_updates", "presence-content-updates"}, {"roblox_events", "private-roblox-sync"},
        {"teacher_updates", "private-teacher-updates"}, {"admin_x_y", "private-admin-x_y"},
        {"user_7", "private-user-7"}, {"user", "public-user"},
        {"quiz_events", "public-quiz_events"}, {"teachers", "public-teachers"}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        CHECK_SPAN(channel_of(rows[i][0], false), rows[i][1]);
        CHECK_SPAN(name_of(rows[i][1]), rows[i][0]);
    }
}

TEST(a_name_that_has_its_kind_in_front_is_itself)
{
    CHECK_SPAN(channel_of("presence-content-updates", false), "presence-content-updates");
    CHECK_SPAN(channel_of("private-user-8", false), "private-user-8");
    CHECK_SPAN(channel_of("public-updates", false), "public-updates");
    CHECK_SPAN(channel_of("user_", false), "public-user_");
    CHECK_SPAN(name_of("dashboard-updates"), "dashboard-updates");
    CHECK_SPAN(name_of("private-user-"), "private-user-");
}

TEST(the_four_topics_are_names_of_their_endpoint_alone)
{
    CHECK_SPAN(channel_of("scripts", true), "private-roblox-scripts");
    CHECK_SPAN(channel_of("scripts", false), "public-scripts");
    CHECK(legacy_is_topic(span_str("validation")) && !legacy_is_topic(span_str("sync")));
}

/* Encoded into exactly the room that was asked for. */
static struct span encode(enum legacy_form form, const char *text)
{
    static char shown[4096];
    size_t room = legacy_room(span_str(text));
    char *out = mem_alloc(room);
    size_t n = legacy_encode(form, out, span_str(text), 1000);
    CHECK(n <= room && n <= sizeof shown);
    memcpy(shown, out, n);
    free(out);
    return span_of(shown, n);
}

#define TIME ",\"timestamp\":\"1970-01-01T00:00:01.000Z\"}"

TEST(data_is_the_value_that_the_string_carries)
{
    CHECK_SPAN(encode(LEGACY_FLAT,
                   "{\"event\":\"e\",\"channel\":\"public-a\",\"data\":\"{\\\"x\\\":[1]}\"}"),
        "{\"type\":\"e\",\"channel\":\"a\",\"data\":{\"x\":[1]},\"payload\":{\"x\":[1]}" TIME);
    CHECK_SPAN(
        encode(LEGACY_FLAT, "{\"event\":\"e\",\"channel\":\"public-a\",\"data\":\"no json\"}"),
        "{\"type\":\"e\",\"channel\":\"a\",\"data\":\"no json\",\"payload\":\"no json\"" TIME);
    CHECK_SPAN(encode(LEGACY_FLAT, "{\"event\":\"e\",\"channel\":\"public-a\",\"data\":\"7\"}"),
        "{\"type\":\"e\",\"channel\":\"a\",\"data\":7,\"payload\":7" TIME);
    CHECK_SPAN(encode(LEGACY_FLAT, "{\"event\":\"e\",\"channel\":\"public-a\"}"),
        "{\"type\":\"e\",\"channel\":\"a\",\"data\":null,\"payload\":null" TIME);
}

TEST(a_message_is_called_what_its_data_says)
{
    CHECK_SPAN(
        encode(LEGACY_FLAT, "{\"event\":\"message\",\"channel\":\"private-user-7\",\"data\":\"{"
                            "\\\"type\\\":\\\"pong\\\"}\"}"),
        "{\"type\":\"pong\",\"channel\":\"user_7\",\"data\":{\"type\":\"pong\"},\"payload\":{"
        "\"type\":\"pong\"}" TIME);
    CHECK_SPAN(
        encode(LEGACY_FLAT,
            "{\"event\":\"message\",\"channel\":\"public-a\",\"data\":\"{\\\"type\\\":1}\"}"),
        "{\"type\":\"message\",\"channel\":\"a\",\"data\":{\"type\":1},\"payload\":{\"type\":"
        "1}" TIME);
}

TEST(what_the_server_says_of_a_socket_nobody_else_says)
{
    static const char *const types[] = {"auth_error", "auth_success", "connected", "connection_ack",
        "token_refreshed", "auth_status_response", "a\\\\u0075th_error"};
    char text[200];
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        snprintf(text, sizeof text,
            "{\"event\":\"message\",\"channel\":\"public-a\",\"data\":\"{\\\"type\\\":\\\"%s\\\"}"
            "\"}",
            types[i]);
        struct span frame = encode(LEGACY_FLAT, text);
        CHECK(span_starts(frame, "{\"type\":\"message\","));
    }
    CHECK(span_starts(encode(LEGACY_FLAT, "{\"event\":\"connected\",\"channel\":\"public-a\"}"),
        "{\"type\":\"message\","));
}

TEST(a_member_that_speaks_is_the_sender)
{
    CHECK_SPAN(encode(LEGACY_FLAT, "{\"event\":\"client-x\",\"channel\":\"presence-a\",\"data\":"
                                   "\"1\",\"user_id\":\"u\"}"),
        "{\"type\":\"client-x\",\"channel\":\"presence-a\",\"data\":1,\"payload\":1,\"sender\":"
        "\"u\"" TIME);
}

TEST(what_is_the_protocols_own_is_not_told)
{
    for (int form = 0; form < LEGACY_FORMS; form++) {
        CHECK_EQ(encode((enum legacy_form)form,
                     "{\"event\":\"pusher_internal:member_added\",\"channel\":\"presence-a\"}")
                     .len,
            0);
        CHECK_EQ(encode((enum legacy_form)form, "{\"event\":\"pusher:pong\"}").len, 0);
        CHECK_EQ(encode((enum legacy_form)form, "not json").len, 0);
    }
}

TEST(a_topic_comes_in_an_envelope)
{
    struct json root;
    struct json_field fields[] = {{"id", {0}}, {"type", {0}}, {"payload", {0}}, {"client_id", {0}}};
    struct span text = encode(LEGACY_ENVELOPE,
        "{\"event\":\"e\",\"channel\":\"private-roblox-scripts\",\"data\":\"{\\\"a\\\":1}\"}");
    CHECK(json_parse_fields(text, &root, fields, COUNT_OF(fields)));
    CHECK_EQ(fields[0].value.raw.len, 38);
    CHECK_SPAN(fields[1].value.raw, "\"broadcast\"");
    CHECK_SPAN(fields[2].value.raw, "{\"channel\":\"scripts\",\"event\":\"e\",\"data\":{\"a\":1}}");
    CHECK_SPAN(fields[3].value.raw, "null");
}

TEST(a_creation_is_told_as_it_was)
{
#define EVENT(data) "{\"event\":\"message\",\"channel\":\"private-user-7\",\"data\":" data "}"
    CHECK_SPAN(
        encode(LEGACY_ENVIRONMENT,
            EVENT("{\"type\":\"environment_creation_progress\",\"progress\":25,\"request_id\":"
                  "\"r\"}")),
        "{\"type\":\"environment_creation_progress\",\"payload\":{\"progress\":25,\"status\":"
        "\"in_progress\",\"message\":\"The environment is being "
        "created\",\"request_id\":\"r\"}" TIME);
    CHECK_SPAN(encode(LEGACY_ENVIRONMENT,
                   EVENT("{\"type\":\"environment_creation_completed\",\"result\":{\"id\":\"e1\","
                         "\"status\":\"ready\"}}")),
        "{\"type\":\"environment_creation_complete\",\"payload\":{\"environmentId\":\"e1\","
        "\"previewUrl\":null,\"downloadUrl\":null,\"message\":\"The environment is ready\","
        "\"status\":\"ready\",\"request_id\":null}" TIME);
    CHECK_SPAN(encode(LEGACY_ENVIRONMENT, EVENT("{\"type\":\"error\",\"error\":\"no\"}")),
        "{\"type\":\"environment_creation_error\",\"payload\":{\"error\":\"no\",\"request_id\":"
        "null}" TIME);
    CHECK_EQ(encode(LEGACY_ENVIRONMENT, EVENT("{\"type\":\"other\"}")).len, 0);
#undef EVENT
}

static enum legacy_fault read(const char *text, struct legacy_message *m)
{
    static struct buf scratch;
    scratch.len = 0;
    (void)buf_room(&scratch, 4096);
    return legacy_read(span_str(text), &scratch, m);
}

TEST(a_message_is_an_object_with_a_type)
{
    struct legacy_message m;
    CHECK_EQ(read("{\"type\":\"ping\"}", &m), LEGACY_OK);
    CHECK_SPAN(m.type, "ping");
    CHECK_EQ(read("{", &m), LEGACY_NOT_JSON);
    CHECK_EQ(read("", &m), LEGACY_NOT_JSON);
    CHECK_EQ(read("[]", &m), LEGACY_NOT_OBJECT);
    CHECK_EQ(read("\"ping\"", &m), LEGACY_NOT_OBJECT);
    CHECK_EQ(read("{}", &m), LEGACY_NO_TYPE);
    CHECK_EQ(read("{\"type\":1}", &m), LEGACY_NO_TYPE);
    CHECK_EQ(read("{\"type\":\"\"}", &m), LEGACY_NO_TYPE);
}

/* The names, with blanks between them; what is wrong, otherwise. */
static const char *names_of(const char *text)
{
    static char shown[512];
    static struct buf scratch;
    struct legacy_message m;
    struct buf names = {0};
    size_t n;
    (void)read(text, &m);
    scratch.len = 0;
    (void)buf_room(&scratch, 4096);
    enum legacy_list result = legacy_read_names(&m, &scratch, &names, &n);
    for (size_t i = 0; i + 1 < names.len; i++)
        if (!names.p[i])
            names.p[i] = ' ';
    snprintf(shown, sizeof shown, "%s",
        result == LIST_BAD_FORM   ? "form"
        : result == LIST_BAD_NAME ? "name"
        : n                       ? names.p
                                  : "none");
    buf_fini(&names);
    return shown;
}

TEST(names_are_listed_in_five_forms)
{
    CHECK_STR(names_of("{\"type\":\"s\",\"channels\":[\"a\",\"b\"]}"), "a b");
    CHECK_STR(names_of("{\"type\":\"s\",\"channel\":\"a\"}"), "a");
    CHECK_STR(names_of("{\"type\":\"s\",\"payload\":{\"channels\":[\"a\"]}}"), "a");
    CHECK_STR(names_of("{\"type\":\"s\",\"payload\":{\"channel\":\"a\"}}"), "a");
    CHECK_STR(names_of("{\"type\":\"s\",\"payload\":\"a\"}"), "a");
    CHECK_STR(names_of("{\"type\":\"s\"}"), "none");
    CHECK_STR(names_of("{\"type\":\"s\",\"channels\":[]}"), "none");
    CHECK_STR(names_of("{\"type\":\"s\",\"channels\":\"a\"}"), "form");
    CHECK_STR(names_of("{\"type\":\"s\",\"channels\":[1]}"), "form");
    CHECK_STR(names_of("{\"type\":\"s\",\"channel\":{}}"), "form");
    CHECK_STR(names_of("{\"type\":\"s\",\"payload\":5}"), "form");
    CHECK_STR(names_of("{\"type\":\"s\",\"channel\":\"\"}"), "name");
    CHECK_STR(names_of("{\"type\":\"s\",\"channel\":\"a\\u0000b\"}"), "name");
}

int main(void)
{
    RUN(a_name_stands_for_a_channel_and_back);
    RUN(a_name_that_has_its_kind_in_front_is_itself);
    RUN(the_four_topics_are_names_of_their_endpoint_alone);
    RUN(data_is_the_value_that_the_string_carries);
    RUN(a_message_is_called_what_its_data_says);
    RUN(what_the_server_says_of_a_socket_nobody_else_says);
    RUN(a_member_that_speaks_is_the_sender);
    RUN(what_is_the_protocols_own_is_not_told);
    RUN(a_topic_comes_in_an_envelope);
    RUN(a_creation_is_told_as_it_was);
    RUN(a_message_is_an_object_with_a_type);
    RUN(names_are_listed_in_five_forms);
    buf_fini(&made);
    return test_end();
}
