/* Bodies: what they must hold, and how it is told. */
#include "base/base.h"

#include "gateway/route.h"
#include "test.h"

/* The tables' own texts are on the heap; here nothing writes to them. */
#define TEXT(text) ((char *)(uintptr_t)(text))

static struct field some[] = {
    {.name = TEXT("type"), .type = FIELD_STRING, .is_required = true, .max_chars = 5},
    {.name = TEXT("payload"), .type = FIELD_OBJECT, .initial = TEXT("{}"), .may_be_empty = true},
    {.name = TEXT("payload.id"),
        .type = FIELD_ANY,
        .is_required = true,
        .instead = TEXT("payload.key")},
    {.name = TEXT("n"), .type = FIELD_INTEGER, .may_be_null = true, .may_be_empty = true},
};

static void check(const char *body, const char *wanted)
{
    struct json root;
    struct buf out = {0};
    ENSURE(json_parse(span_str(body), &root));
    (void)fields_check(some, COUNT_OF(some), &root, &out);
    buf_add_char(&out, '\0');
    CHECK_STR(out.p, wanted);
    buf_fini(&out);
}

TEST(a_good_body_has_no_faults)
{
    check("{\"type\":\"a\",\"payload\":{\"id\":1}}", "");
    check("{\"type\":\"12345\",\"payload\":{\"key\":1},\"n\":null}", "");
    check("{\"type\":\"\\u00e9\\u00e9\\u00e9\\u00e9\\u00e9\",\"payload\":{\"id\":[]},\"n\":-3,"
          "\"more\":0}",
        "");
}

TEST(each_fault_names_its_field)
{
    check("{\"payload\":{\"id\":1}}",
        "{\"type\":\"missing\",\"loc\":[\"body\",\"type\"],\"msg\":\"Field required\","
        "\"input\":{\"payload\":{\"id\":1}}}");
    check("{\"type\":null,\"payload\":{\"id\":1}}",
        "{\"type\":\"string_type\",\"loc\":[\"body\",\"type\"],\"msg\":\"Input should be a valid "
        "string\",\"input\":null}");
    check("{\"type\":\"abcdef\",\"payload\":{\"id\":1}}",
        "{\"type\":\"string_too_long\",\"loc\":[\"body\",\"type\"],\"msg\":\"String should have at "
        "most 5 characters\",\"input\":\"abcdef\"}");
    check("{\"type\":\"\",\"payload\":{\"id\":1}}",
        "{\"type\":\"string_too_short\",\"loc\":[\"body\",\"type\"],\"msg\":\"String should have "
        "at "
        "least 1 character\",\"input\":\"\"}");
    check("{\"type\":\"a\",\"payload\":{}}",
        "{\"type\":\"missing\",\"loc\":[\"body\",\"payload\",\"id\"],\"msg\":\"Field required\","
        "\"input\":{\"type\":\"a\",\"payload\":{}}}");
    check("{\"type\":\"a\",\"payload\":{\"id\":1},\"n\":1.5}",
        "{\"type\":\"int_type\",\"loc\":[\"body\",\"n\"],\"msg\":\"Input should be a valid "
        "integer\","
        "\"input\":1.5}");
    check("{\"type\":\"\\ud800\",\"payload\":{\"id\":1}}",
        "{\"type\":\"string_unicode\",\"loc\":[\"body\",\"type\"],\"msg\":\"Input should hold "
        "whole "
        "characters\",\"input\":null}");
}

TEST(faults_are_listed)
{
    check("{\"payload\":5}",
        "{\"type\":\"missing\",\"loc\":[\"body\",\"type\"],\"msg\":\"Field required\",\"input\":"
        "{\"payload\":5}},{\"type\":\"dict_type\",\"loc\":[\"body\",\"payload\"],\"msg\":\"Input "
        "should be a valid dictionary\",\"input\":5},{\"type\":\"missing\",\"loc\":[\"body\","
        "\"payload\",\"id\"],\"msg\":\"Field required\",\"input\":{\"payload\":5}}");
}

TEST(a_word_of_a_list_is_asked_for)
{
    char *words[] = {TEXT("a"), TEXT("b"), TEXT("c")};
    struct field f = {.name = TEXT("x"), .type = FIELD_STRING, .words = words, .n_words = 3};
    struct json root;
    struct buf out = {0};
    ENSURE(json_parse(span_str("{\"x\":\"d\"}"), &root));
    CHECK_EQ(fields_check(&f, 1, &root, &out), 1);
    buf_add_char(&out, '\0');
    CHECK_STR(out.p,
        "{\"type\":\"enum\",\"loc\":[\"body\",\"x\"],\"msg\":\"Input should be 'a', 'b' or "
        "'c'\",\"input\":\"d\"}");
    buf_fini(&out);
}

static void check_complete(const char *body, const char *wanted)
{
    struct json root;
    struct buf out = {0};
    ENSURE(json_parse(span_str(body), &root));
    fields_complete(some, COUNT_OF(some), &root, &out);
    buf_add_char(&out, '\0');
    CHECK_STR(out.p, wanted);
    buf_fini(&out);
}

TEST(defaults_are_filled_in)
{
    check_complete("{}", "{\"payload\":{}}");
    check_complete(" { \"a\" : 1 } ", "{ \"a\" : 1 ,\"payload\":{}}");
    check_complete("{\"payload\":null}", "{\"payload\":null}");
}

static void check_form(const char *form, const char *wanted)
{
    struct buf out = {0};
    bool ok = form_to_json(span_str(form), &out);
    buf_add_char(&out, '\0');
    CHECK_STR(ok ? out.p : NULL, wanted);
    buf_fini(&out);
}

TEST(a_form_becomes_strings)
{
    check_form("", "{}");
    check_form("a=1&b=x+y%22", "{\"a\":\"1\",\"b\":\"x y\\\"\"}");
    check_form("a", "{\"a\":\"\"}");
    check_form("a=%ff", NULL);
    check_form("a=%2", NULL);
}

int main(void)
{
    RUN(a_good_body_has_no_faults);
    RUN(each_fault_names_its_field);
    RUN(faults_are_listed);
    RUN(a_word_of_a_list_is_asked_for);
    RUN(defaults_are_filled_in);
    RUN(a_form_becomes_strings);
    return test_end();
}
