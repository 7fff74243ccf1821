/* JSON: what is a text and what is not, and what its slices say. */
#include "base/base.h"

#include "wire/json.h"

#include "check_span.h"
#include "feed.h"
#include "test.h"

/* Parses a copy that ends exactly where the text ends. */
static bool is_json(struct span text)
{
    struct json value;
    char *exact = feed_exact(text);
    bool is_good = json_parse(span_of(exact, text.len), &value);
    free(exact);
    return is_good;
}

static const struct {
    struct span text;
    enum json_kind kind;
} good[] = {
    {LITERAL("null"), JSON_NULL},
    {LITERAL("true"), JSON_TRUE},
    {LITERAL("false"), JSON_FALSE},
    {LITERAL(" \t\r\n1 \t\r\n"), JSON_NUMBER},
    /* numbers */
    {LITERAL("0"), JSON_NUMBER},
    {LITERAL("-0"), JSON_NUMBER},
    {LITERAL("9"), JSON_NUMBER},
    {LITERAL("-10"), JSON_NUMBER},
    {LITERAL("0.0"), JSON_NUMBER},
    {LITERAL("-0.10"), JSON_NUMBER},
    {LITERAL("1e5"), JSON_NUMBER},
    {LITERAL("1E+05"), JSON_NUMBER},
    {LITERAL("1.5e-300"), JSON_NUMBER},
    {LITERAL("0e0"), JSON_NUMBER},
    {LITERAL("1e999999"), JSON_NUMBER},
    {LITERAL("123456789012345678901234567890"), JSON_NUMBER},
    /* strings */
    {LITERAL("\"\""), JSON_STRING},
    {LITERAL("\"a\""), JSON_STRING},
    {LITERAL("\" \""), JSON_STRING},
    {LITERAL("\"\x7f\""), JSON_STRING},
    {LITERAL("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), JSON_STRING},
    {LITERAL("\"\\u0000\\u00e4\\u00E4\\uABCD\\uffff\""), JSON_STRING},
    {LITERAL("\"\\ud83d\\ude00\""), JSON_STRING},
    {LITERAL("\"\\ud800\""), JSON_STRING},
    {LITERAL("\"\\udc00\\ud800\""), JSON_STRING},
    {LITERAL("\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\""), JSON_STRING},
    {LITERAL("\"\xe2\x80\xa8\xe2\x80\xa9\""), JSON_STRING},
    {LITERAL("\"'\""), JSON_STRING},
    {LITERAL("\"/*x*/\""), JSON_STRING},
    /* arrays and objects */
    {LITERAL("[]"), JSON_ARRAY},
    {LITERAL("[ ]"), JSON_ARRAY},
    {LITERAL("[1]"), JSON_ARRAY},
    {LITERAL("[ 1 , \"a\" , null , [ ] , { } ]"), JSON_ARRAY},
    {LITERAL("[[[[[[[[]]]]]]]]"), JSON_ARRAY},
    {LITERAL("{}"), JSON_OBJECT},
    {LITERAL("{ }"), JSON_OBJECT},
    {LITERAL("{\"\":0}"), JSON_OBJECT},
    {LITERAL("{ \"a\" : 1 , \"b\" : { \"c\" : [ ] } }"), JSON_OBJECT},
    {LITERAL("{\"a\":1,\"a\":2}"), JSON_OBJECT},
    {LITERAL("{\"\\u0061\":1}"), JSON_OBJECT},
    {LITERAL("{\n\"a\"\r\n:\t1}"), JSON_OBJECT},
};

TEST(every_valid_text_is_read_and_its_slice_is_what_came)
{
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        struct span text = good[i].text;
        struct json value;
        CHECK(is_json(text));
        CHECK(json_parse(text, &value));
        CHECK_EQ(value.kind, good[i].kind);
        while (text.len && strchr(" \t\r\n", text.p[0]))
            text = span_from(text, 1);
        while (text.len && strchr(" \t\r\n", text.p[text.len - 1]))
            text.len--;
        CHECK_BYTES(value.raw, text);
    }
}

/* A number may be whole although it is a part; nothing else is. */
TEST(no_beginning_of_a_valid_text_is_valid)
{
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        struct json whole;
        CHECK(json_parse(good[i].text, &whole));
        size_t from = (size_t)(whole.raw.p - good[i].text.p);
        for (size_t n = 0; n < from + whole.raw.len; n++)
            CHECK(!is_json(span_of(good[i].text.p, n)) || whole.kind == JSON_NUMBER);
        for (size_t n = 0; n < whole.raw.len; n++) {
            struct buf text = {0}; // the same inside of an array, where a missing end shows
            buf_add_char(&text, '[');
            buf_add(&text, whole.raw.p, n);
            CHECK(!is_json(buf_span(&text)));
            buf_fini(&text);
        }
    }
}

static const struct span bad[] = {
    LITERAL(""),
    LITERAL(" "),
    LITERAL("\n\n"),
    LITERAL("\0"),
    LITERAL("nul"),
    LITERAL("nulll"),
    LITERAL("Null"),
    LITERAL("TRUE"),
    LITERAL("tru e"),
    LITERAL("undefined"),
    LITERAL("NaN"),
    LITERAL("Infinity"),
    LITERAL("-Infinity"),
    LITERAL("abc"),
    LITERAL("'a'"),
    LITERAL("`a`"),
    /* blanks that are none of ours */
    LITERAL("\x0b"
            "1"),
    LITERAL("\x0c"
            "1"),
    LITERAL("1\x0c"),
    LITERAL("\xc2\xa0"
            "1"),
    LITERAL("[1,\x0b"
            "2]"),
    LITERAL("\xef\xbb\xbf{}"),
    LITERAL("\xfe\xff\0{\0}"),
    LITERAL("{\0}\0"),
    LITERAL("1\0"),
    /* something behind the value */
    LITERAL("1 2"),
    LITERAL("{}{}"),
    LITERAL("[],"),
    LITERAL("{};"),
    LITERAL("\"a\"\"b\""),
    LITERAL("[]]"),
    LITERAL("{}}"),
    LITERAL("null,"),
    LITERAL("{} x"),
    LITERAL("/**/1"),
    LITERAL("1//x"),
    LITERAL("#1"),
    /* numbers */
    LITERAL("-"),
    LITERAL("+1"),
    LITERAL("01"),
    LITERAL("-01"),
    LITERAL("00"),
    LITERAL("1."),
    LITERAL(".1"),
    LITERAL("-.1"),
    LITERAL("1.e1"),
    LITERAL("1e"),
    LITERAL("1e+"),
    LITERAL("1e1.5"),
    LITERAL("1.2.3"),
    LITERAL("0x10"),
    LITERAL("1_000"),
    LITERAL("1,000"),
    LITERAL("--1"),
    LITERAL("1e--1"),
    LITERAL("- 1"),
    LITERAL("1 e5"),
    LITERAL("0e"),
    LITERAL("1a"),
    LITERAL("\xef\xbc\x91"),
    LITERAL("[1.]"),
    LITERAL("[-]"),
    /* strings */
    LITERAL("\""),
    LITERAL("\"a"),
    LITERAL("a\""),
    LITERAL("\"\\\""),
    LITERAL("\"\\"),
    LITERAL("\"\\x41\""),
    LITERAL("\"\\a\""),
    LITERAL("\"\\'\""),
    LITERAL("\"\\0\""),
    LITERAL("\"\\N\""),
    LITERAL("\"\\U0041\""),
    LITERAL("\"\\u\""),
    LITERAL("\"\\u004\""),
    LITERAL("\"\\u004g\""),
    LITERAL("\"\\u-041\""),
    LITERAL("\"\\u 041\""),
    LITERAL("\"\\ud83d\\u\""),
    LITERAL("\"\\ud83d\\ude0\""),
    LITERAL("\"\n\""),
    LITERAL("\"\t\""),
    LITERAL("\"\0\""),
    LITERAL("\"\x1f\""),
    LITERAL("\"\\\n\""),
    LITERAL("\"\xff\""),
    LITERAL("\"\x80\""),
    LITERAL("\"\xc0\x80\""),
    LITERAL("\"\xed\xa0\x80\""),
    LITERAL("\"\xf4\x90\x80\x80\""),
    LITERAL("\"\xc3\""),
    LITERAL("\"\xe2\x82\""),
    LITERAL("\"\xf0\x9f\x98\""),
    LITERAL("\"\\\xc3\xa4\""),
    LITERAL("\xc3\xa4"),
    /* arrays */
    LITERAL("["),
    LITERAL("]"),
    LITERAL("[1"),
    LITERAL("[1,"),
    LITERAL("[1,]"),
    LITERAL("[,1]"),
    LITERAL("[,]"),
    LITERAL("[1,,2]"),
    LITERAL("[1 2]"),
    LITERAL("[1;2]"),
    LITERAL("[1}"),
    LITERAL("[\"a\":1]"),
    LITERAL("[[]"),
    LITERAL("[1,\n"),
    LITERAL("[*]"),
    /* objects */
    LITERAL("{"),
    LITERAL("}"),
    LITERAL("{]"),
    LITERAL("{\"a\"}"),
    LITERAL("{\"a\":}"),
    LITERAL("{\"a\":1"),
    LITERAL("{\"a\":1,}"),
    LITERAL("{,\"a\":1}"),
    LITERAL("{\"a\":1,,\"b\":2}"),
    LITERAL("{\"a\":1 \"b\":2}"),
    LITERAL("{\"a\" 1}"),
    LITERAL("{\"a\",1}"),
    LITERAL("{\"a\"::1}"),
    LITERAL("{\"a\":1:2}"),
    LITERAL("{a:1}"),
    LITERAL("{'a':1}"),
    LITERAL("{1:1}"),
    LITERAL("{null:1}"),
    LITERAL("{[]:1}"),
    LITERAL("{\"a\":1]"),
    LITERAL("{\"a\":{}"),
    LITERAL("{\"a\n\":1}"),
    LITERAL("{\"\xff\":1}"),
    LITERAL("{\"a\":1}}"),
    LITERAL("{{}}"),
    LITERAL("{\"a\":"),
    LITERAL("{\""),
    LITERAL("{\"a\":1,\"b\"}"),
    LITERAL("{\"a\"/**/:1}"),
};

TEST(every_invalid_text_is_refused)
{
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        if (is_json(bad[i])) {
            test_is_good = false;
            printf("%s: accepted row %zu: %.*s\n", test_name, i, SPAN(bad[i]));
        }
    }
}

TEST(an_invalid_part_makes_the_whole_invalid)
{
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct buf text = {0};
        buf_add_str(&text, "{\"a\":[1,{\"b\":");
        buf_add_span(&text, bad[i]);
        buf_add_str(&text, "}]}");
        struct json value;
        bool is_good = json_parse(buf_span(&text), &value);
        /* "1\0" and the like stay bad; nothing in the table becomes good by this frame. */
        CHECK(!is_good);
        buf_fini(&text);
    }
}

/* Strings are scanned eight bytes at a time: each byte that matters at each offset. */
TEST(a_special_byte_is_seen_at_every_offset_of_a_string)
{
    static const struct {
        struct span bytes;
        bool is_good;
    } rows[] = {{LITERAL("\x1f"), false}, {LITERAL("\0"), false}, {LITERAL("\n"), false},
        {LITERAL("\\q"), false}, {LITERAL("\\n"), true}, {LITERAL("\\u00e4"), true},
        {LITERAL("\""), false}, {LITERAL("\xc3\xa4"), true}, {LITERAL("\xc3"), false},
        {LITERAL("\xff"), false}, {LITERAL("\x80"), false}, {LITERAL("\x20"), true},
        {LITERAL("\x21\x23\x5b\x5d\x7f"), true}, {LITERAL("\\\\\\\""), true},
        {LITERAL("\xed\xa0\x80"), false}, {LITERAL("\x20\x20\x20\x20\x20\x20\x20\x20\x01"), false},
        {LITERAL("\xf0\x9f\x98\x80\xe2\x82\xac"), true}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        for (int before = 0; before < 20; before++) {
            for (int after = 0; after < 20; after++) {
                struct buf text = {0};
                buf_addf(&text, "\"%.*s", before, "abcdefghijklmnopqrst");
                buf_add_span(&text, rows[i].bytes);
                buf_addf(&text, "%.*s\"", after, "ABCDEFGHIJKLMNOPQRST");
                CHECK_EQ(is_json(buf_span(&text)), rows[i].is_good);
                buf_fini(&text);
            }
        }
    }
}

static bool is_json_of_depth(const char *open, const char *inner, const char *close, int depth)
{
    struct buf text = {0};
    for (int i = 0; i < depth; i++)
        buf_add_str(&text, open);
    buf_add_str(&text, inner);
    for (int i = 0; i < depth; i++)
        buf_add_str(&text, close);
    bool is_good = is_json(buf_span(&text));
    buf_fini(&text);
    return is_good;
}

TEST(depth_64_is_read_and_65_is_not)
{
    CHECK_EQ(JSON_DEPTH, 64);
    CHECK(is_json_of_depth("[", "", "]", 64));
    CHECK(!is_json_of_depth("[", "", "]", 65));
    CHECK(is_json_of_depth("[", "1", "]", 64));
    CHECK(is_json_of_depth("{\"a\":", "{}", "}", 63));
    CHECK(!is_json_of_depth("{\"a\":", "{}", "}", 64));
    CHECK(is_json_of_depth("[1,{\"a\":", "2", "}]", 32));
    CHECK(!is_json_of_depth("[1,{\"a\":", "[]", "}]", 32));
    CHECK(!is_json_of_depth("[", "", "]", 100000));
    CHECK(!is_json_of_depth("[", "", "", 100000));
    CHECK(!is_json_of_depth("{\"a\":", "", "", 100000));
}

TEST(depth_is_that_of_the_nesting_not_the_number_of_values)
{
    struct buf text = {0};
    buf_add_char(&text, '[');
    for (int i = 0; i < 1000; i++)
        buf_add_str(&text, "[{}],");
    buf_add_str(&text, "[]]");
    CHECK(is_json(buf_span(&text)));
    buf_fini(&text);
}

/* --- fields ------------------------------------------------------------------------------ */

/* "event|data|channel", each the slice or "-". */
static const char *fields_of(const char *text)
{
    static struct buf said;
    struct json root;
    struct json_field fields[] = {{"event", {0}}, {"data", {0}}, {"channel_data", {0}}};
    fields[1].value.kind = JSON_TRUE; // whatever stood there before does not matter
    said.len = 0;
    if (!json_parse_fields(span_str(text), &root, fields, COUNT_OF(fields)))
        return "invalid";
    for (size_t i = 0; i < COUNT_OF(fields); i++) {
        const struct json *v = &fields[i].value;
        buf_addf(&said, "%s%.*s", i ? "|" : "", SPAN(v->kind ? v->raw : span_of("-", 1)));
    }
    buf_add_char(&said, '\0');
    return said.p;
}

TEST(wanted_fields_are_slices_of_the_text)
{
    CHECK_STR(fields_of("{\"event\":\"e\",\"data\":{\"a\" : [ 1 ]}}"), "\"e\"|{\"a\" : [ 1 ]}|-");
    CHECK_STR(
        fields_of("{ \"data\" : 1.50e+3 , \"other\":{}, \"event\" : null }"), "null|1.50e+3|-");
    CHECK_STR(fields_of("{\"data\":\"\\u00e4\\/\"}"), "-|\"\\u00e4\\/\"|-");
    CHECK_STR(fields_of("{}"), "-|-|-");
}

TEST(only_the_outermost_object_is_searched)
{
    CHECK_STR(fields_of("{\"x\":{\"event\":1},\"y\":[{\"data\":2}]}"), "-|-|-");
    CHECK_STR(fields_of("[{\"event\":1}]"), "-|-|-");
    CHECK_STR(fields_of("\"event\""), "-|-|-");
    CHECK_STR(fields_of("{\"event\":{\"event\":1,\"data\":2}}"), "{\"event\":1,\"data\":2}|-|-");
}

TEST(of_duplicate_names_the_last_counts)
{
    CHECK_STR(fields_of("{\"event\":1,\"data\":2,\"event\":3}"), "3|2|-");
    CHECK_STR(fields_of("{\"event\":1,\"\\u0065vent\":\"x\"}"), "\"x\"|-|-");
    CHECK_STR(fields_of("{\"\\u0065vent\":\"x\",\"event\":null}"), "null|-|-");
}

TEST(an_escaped_name_is_the_same_name)
{
    CHECK_STR(fields_of("{\"\\u0065\\u0076\\u0065\\u006e\\u0074\":1}"), "1|-|-");
    CHECK_STR(fields_of("{\"\\u0064at\\u0061\":1}"), "-|1|-");
    CHECK_STR(fields_of("{\"\\u0063\\u0068\\u0061\\u006e\\u006e\\u0065\\u006c\\u005f"
                        "\\u0064\\u0061\\u0074\\u0061\":1}"),
        "-|-|1");
}

TEST(a_name_that_is_nearly_the_same_is_another)
{
    CHECK_STR(fields_of("{\"Event\":1,\"event \":2,\"even\":3,\"events\":4,\"\":5}"), "-|-|-");
    CHECK_STR(fields_of("{\"event\\u0000\":1,\"\\ud800event\":2,\"data\\n\":3}"), "-|-|-");
}

TEST(fields_of_an_inner_object_are_found_in_its_slice)
{
    struct json root;
    struct json_field outer[] = {{"data", {0}}};
    struct json_field inner[] = {{"auth", {0}}, {"channel", {0}}, {"none", {0}}};
    bool is_good = json_parse_fields(
        span_str("{\"data\": {\"auth\":\"k:s\",\"channel\":\"c\"} }"), &root, outer, 1);
    CHECK(is_good);
    json_fields(&outer[0].value, inner, COUNT_OF(inner));
    CHECK_SPAN(inner[0].value.raw, "\"k:s\"");
    CHECK_SPAN(inner[1].value.raw, "\"c\"");
    CHECK_EQ(inner[2].value.kind, JSON_ABSENT);
}

TEST(fields_are_empty_when_the_text_is_invalid_from_its_start)
{
    struct json root;
    struct json_field fields[] = {{"event", {.kind = JSON_TRUE}}};
    CHECK(!json_parse_fields(span_of("", 0), &root, fields, 1));
    CHECK_EQ(root.kind, JSON_ABSENT);
    CHECK_EQ(fields[0].value.kind, JSON_ABSENT);
}

/* --- walking ------------------------------------------------------------------------------ */

static const char *items_of(const char *text)
{
    static struct buf said;
    struct json root;
    struct json name;
    struct json item;
    size_t at = 0;
    said.len = 0;
    if (!json_parse(span_str(text), &root))
        return "invalid";
    if (root.kind == JSON_ARRAY)
        while (json_next(&root, &at, &item))
            buf_addf(&said, "<%.*s>", SPAN(item.raw));
    else
        while (json_next_member(&root, &at, &name, &item))
            buf_addf(&said, "<%.*s=%.*s>", SPAN(name.raw), SPAN(item.raw));
    buf_add_char(&said, '\0');
    return said.p;
}

TEST(items_come_one_after_the_other)
{
    CHECK_STR(items_of("[]"), "");
    CHECK_STR(items_of(" [ ] "), "");
    CHECK_STR(items_of("[1]"), "<1>");
    CHECK_STR(items_of("[ 1 , \"a,]\" ,[2,[3]], {\"b\":[4]} ,null ]"),
        "<1><\"a,]\"><[2,[3]]><{\"b\":[4]}><null>");
    CHECK_STR(items_of("[[],[],{}]"), "<[]><[]><{}>");
}

TEST(members_come_with_their_names)
{
    CHECK_STR(items_of("{}"), "");
    CHECK_STR(items_of("{ }"), "");
    CHECK_STR(items_of("{\"a\":1}"), "<\"a\"=1>");
    CHECK_STR(items_of("{ \"a\" : {\"b\":2} , \"a\" : \"}\" ,\"\\n\":[]}"),
        "<\"a\"={\"b\":2}><\"a\"=\"}\"><\"\\n\"=[]>");
}

TEST(an_item_knows_its_kind_and_whether_it_is_escaped)
{
    struct json root;
    struct json item;
    size_t at = 0;
    CHECK(json_parse(span_str("[\"a\",\"\\n\",{\"\\n\":1},[\"\\n\"],1]"), &root));
    static const struct {
        enum json_kind kind;
        bool is_escaped;
    } want[] = {{JSON_STRING, false}, {JSON_STRING, true}, {JSON_OBJECT, false},
        {JSON_ARRAY, false}, {JSON_NUMBER, false}};
    for (size_t i = 0; i < COUNT_OF(want); i++) {
        CHECK(json_next(&root, &at, &item));
        CHECK_EQ(item.kind, want[i].kind);
        CHECK_EQ(item.is_escaped, want[i].is_escaped);
    }
    CHECK(!json_next(&root, &at, &item));
    CHECK(!json_next(&root, &at, &item));
}

/* --- strings ------------------------------------------------------------------------------ */

static const struct {
    struct span text;    // with its quotes
    struct span decoded; // p NULL = half a surrogate pair
    size_t bytes;
} strings[] = {
    {LITERAL("\"\""), LITERAL(""), 0},
    {LITERAL("\"abc\""), LITERAL("abc"), 3},
    {LITERAL("\"\xc3\xa4\""), LITERAL("\xc3\xa4"), 2},
    {LITERAL("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), LITERAL("\"\\/\b\f\n\r\t"), 8},
    {LITERAL("\"a\\u0000b\""), LITERAL("a\0b"), 3},
    {LITERAL("\"\\u007f\""), LITERAL("\x7f"), 1},
    {LITERAL("\"\\u0080\""), LITERAL("\xc2\x80"), 2},
    {LITERAL("\"\\u07ff\""), LITERAL("\xdf\xbf"), 2},
    {LITERAL("\"\\u0800\""), LITERAL("\xe0\xa0\x80"), 3},
    {LITERAL("\"\\uFFFF\""), LITERAL("\xef\xbf\xbf"), 3},
    {LITERAL("\"\\ud7ff\\ue000\""), LITERAL("\xed\x9f\xbf\xee\x80\x80"), 6},
    {LITERAL("\"\\ud800\\udc00\""), LITERAL("\xf0\x90\x80\x80"), 4},
    {LITERAL("\"\\uDBFF\\uDFFF\""), LITERAL("\xf4\x8f\xbf\xbf"), 4},
    {LITERAL("\"x\\ud83d\\ude00y\""), LITERAL("x\xf0\x9f\x98\x80y"), 6},
    {LITERAL("\"\\\\u0041\""), LITERAL("\\u0041"), 6},
    {LITERAL("\"\\u005cn\""), LITERAL("\\n"), 2},
    {LITERAL("\"\\ud800\""), {NULL, 0}, 3},
    {LITERAL("\"\\udc00\""), {NULL, 0}, 3},
    {LITERAL("\"\\ud800x\""), {NULL, 0}, 4},
    {LITERAL("\"\\ud800\\n\""), {NULL, 0}, 4},
    {LITERAL("\"\\ud800\\u0041\""), {NULL, 0}, 4},
    {LITERAL("\"\\udc00\\ud800\""), {NULL, 0}, 6},
    {LITERAL("\"\\ud800\\ud800\\udc00\""), {NULL, 0}, 7},
};

TEST(a_string_is_decoded_and_its_bytes_are_counted)
{
    for (size_t i = 0; i < COUNT_OF(strings); i++) {
        struct json value;
        struct buf scratch = {0};
        struct span out;
        buf_add_str(&scratch, "before");
        CHECK(json_parse(strings[i].text, &value));
        CHECK_EQ(json_string_bytes(&value), strings[i].bytes);
        bool is_good = json_decode(&value, &scratch, &out);
        CHECK_EQ(is_good, strings[i].decoded.p != NULL);
        if (is_good) {
            CHECK_BYTES(out, strings[i].decoded);
            CHECK_EQ(out.len, strings[i].bytes);
        }
        CHECK(span_starts(buf_span(&scratch), "before"));
        buf_fini(&scratch);
    }
}

TEST(a_string_without_escapes_is_not_copied)
{
    static const char text[] = "\"hello\"";
    struct json value;
    struct buf scratch = {0};
    struct span out;
    CHECK(json_parse(span_of(text, sizeof text - 1), &value));
    CHECK(json_decode(&value, &scratch, &out));
    CHECK(out.p == text + 1);
    CHECK(scratch.p == NULL);
    CHECK_SPAN(json_inner(&value), "hello");
}

TEST(quoting_escapes_what_json_wants_escaped)
{
    struct buf out = {0};
    struct span in = LITERAL("a\"b\\c/d\b\f\n\r\t\x01\x0b\x1f\0\x7f\xc3\xa4");
    json_quote(&out, in);
    CHECK_SPAN(
        buf_span(&out), "\"a\\\"b\\\\c/d\\b\\f\\n\\r\\t\\u0001\\u000b\\u001f\\u0000\x7f\xc3\xa4\"");
    out.len = 0;
    json_escape(&out, span_str("a\"b"));
    CHECK_SPAN(buf_span(&out), "a\\\"b");
    out.len = 0;
    json_quote(&out, span_of(NULL, 0));
    CHECK_SPAN(buf_span(&out), "\"\"");
    buf_fini(&out);
}

TEST(what_is_quoted_decodes_to_itself)
{
    for (unsigned a = 0; a < 0x80; a++) {
        for (unsigned b = 0; b < 0x80; b++) {
            char bytes[] = {(char)a, 'x', (char)b};
            struct buf out = {0};
            struct buf scratch = {0};
            struct json value;
            struct span back;
            json_quote(&out, span_of(bytes, sizeof bytes));
            bool is_good = json_parse(buf_span(&out), &value) &&
                           json_decode(&value, &scratch, &back) &&
                           span_eq(back, span_of(bytes, sizeof bytes));
            CHECK(is_good);
            buf_fini(&out);
            buf_fini(&scratch);
        }
    }
}

static void run_grammar(void)
{
    RUN(every_valid_text_is_read_and_its_slice_is_what_came);
    RUN(no_beginning_of_a_valid_text_is_valid);
    RUN(every_invalid_text_is_refused);
    RUN(an_invalid_part_makes_the_whole_invalid);
    RUN(a_special_byte_is_seen_at_every_offset_of_a_string);
    RUN(depth_64_is_read_and_65_is_not);
    RUN(depth_is_that_of_the_nesting_not_the_number_of_values);
}

int main(void)
{
    run_grammar();
    RUN(wanted_fields_are_slices_of_the_text);
    RUN(only_the_outermost_object_is_searched);
    RUN(of_duplicate_names_the_last_counts);
    RUN(an_escaped_name_is_the_same_name);
    RUN(a_name_that_is_nearly_the_same_is_another);
    RUN(fields_of_an_inner_object_are_found_in_its_slice);
    RUN(fields_are_empty_when_the_text_is_invalid_from_its_start);
    RUN(items_come_one_after_the_other);
    RUN(members_come_with_their_names);
    RUN(an_item_knows_its_kind_and_whether_it_is_escaped);
    RUN(a_string_is_decoded_and_its_bytes_are_counted);
    RUN(a_string_without_escapes_is_not_copied);
    RUN(quoting_escapes_what_json_wants_escaped);
    RUN(what_is_quoted_decodes_to_itself);
    return test_end();
}
