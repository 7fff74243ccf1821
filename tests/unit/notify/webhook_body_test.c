/* What webhooks say, byte by byte, and to whom. */
#include "base/base.h"

#include "notify/webhook_priv.h" // its functions have no other door
#include "test.h"
#include "wire/pusher.h"

static const char *written(const struct fact *f)
{
    static char text[1024];
    struct buf out = {0};
    event_write(f, &out);
    snprintf(text, sizeof text, "%.*s", SPAN(buf_span(&out)));
    buf_fini(&out);
    return text;
}

TEST(each_kind_has_its_fields)
{
    struct fact f = {.channel = span_str("presence-a"), .user = span_str("u\"1")};
    f.mail.kind = FACT_MEMBER_ADDED;
    CHECK_STR(written(&f),
        "{\"name\":\"member_added\",\"channel\":\"presence-a\",\"user_id\":\"u\\\"1\"}");
    f.user = span_of(NULL, 0);
    f.mail.kind = FACT_VACATED;
    CHECK_STR(written(&f), "{\"name\":\"channel_vacated\",\"channel\":\"presence-a\"}");
    f.mail.kind = FACT_COUNT;
    f.count = 3;
    CHECK_STR(written(&f),
        "{\"name\":\"subscription_count\",\"channel\":\"presence-a\",\"subscription_count\":3}");
}

TEST(a_client_event_carries_its_data_as_the_string_it_is)
{
    struct frame *frame = pusher_event(span_str("\"client-x\""), span_str("private-a"),
        span_str("\"{\\\"a\\\":1}\""), span_of(NULL, 0));
    struct fact f = {.mail.kind = FACT_CLIENT_EVENT,
        .channel = span_str("private-a"),
        .socket_id = span_str("1.2"),
        .frame = frame};
    CHECK_STR(written(&f),
        "{\"name\":\"client_event\",\"channel\":\"private-a\",\"event\":\"client-x\","
        "\"data\":\"{\\\"a\\\":1}\",\"socket_id\":\"1.2\"}");
    frame_drop(frame);
    f.frame = frame = pusher_event(
        span_str("\"client-x\""), span_str("presence-a"), span_of(NULL, 0), span_str("u"));
    f.user = span_str("u");
    CHECK_STR(written(&f),
        "{\"name\":\"client_event\",\"channel\":\"private-a\",\"event\":\"client-x\","
        "\"socket_id\":\"1.2\",\"user_id\":\"u\"}");
    frame_drop(frame);
}

TEST(a_webhook_wants_its_kinds_prefix_and_suffix)
{
    char prefix[] = "presence-";
    char suffix[] = "-eu";
    struct webhook hook = {
        .facts = 1U << FACT_OCCUPIED, .channel_prefix = prefix, .channel_suffix = suffix};
    struct fact f = {.mail.kind = FACT_OCCUPIED, .channel = span_str("presence-a-eu")};
    CHECK(webhook_wants(&hook, &f));
    f.channel = span_str("presence-a");
    CHECK(!webhook_wants(&hook, &f));
    f.channel = span_str("-eu");
    CHECK(!webhook_wants(&hook, &f));
    f.channel = span_str("presence-eu");
    CHECK(webhook_wants(&hook, &f)); // the two may share the hyphen
    f.mail.kind = FACT_VACATED;
    CHECK(!webhook_wants(&hook, &f));
}

int main(void)
{
    RUN(each_kind_has_its_fields);
    RUN(a_client_event_carries_its_data_as_the_string_it_is);
    RUN(a_webhook_wants_its_kinds_prefix_and_suffix);
    return test_end();
}
