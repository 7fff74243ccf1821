/* Lines of the HTTP transports. */
#include "base/base.h"

#include "wire/sockjs.h"

#include <stdlib.h>

#include "base/mem.h"
#include "check_span.h"
#include "wire/json.h"

/* The line, in a block of exactly the bytes that were announced. */
static const char *line_of(struct span text)
{
    static char shown[600];
    size_t n = sockjs_message_bytes(text);
    char *out = mem_alloc(n);
    CHECK_EQ(sockjs_message(out, text), n);
    snprintf(shown, sizeof shown, "%.*s", (int)n, out);
    free(out);
    return shown;
}

TEST(a_message_is_a_string_in_an_array_all_of_it_ascii)
{
    CHECK_STR(line_of(span_str("")), "a[\"\"]");
    CHECK_STR(line_of(span_str("{\"a\":\"\\n\"}")), "a[\"{\\\"a\\\":\\\"\\\\n\\\"}\"]");
    CHECK_STR(line_of(span_str("\n\x1f\x7f~")), "a[\"\\u000a\\u001f\\u007f~\"]");
    CHECK_STR(line_of(span_str("\xc2\x80\xc3\xa4\xdf\xbf")), "a[\"\\u0080\\u00e4\\u07ff\"]");
    CHECK_STR(
        line_of(span_str("\xe0\xa0\x80\xe2\x82\xac\xef\xbf\xbf")), "a[\"\\u0800\\u20ac\\uffff\"]");
    CHECK_STR(line_of(span_str("\xf0\x90\x80\x80\xf0\x9f\x94\x94\xf4\x8f\xbf\xbf")),
        "a[\"\\ud800\\udc00\\ud83d\\udd14\\udbff\\udfff\"]");
}

TEST(every_character_comes_back_when_the_line_is_read)
{
    struct buf scratch = {0};
    for (uint32_t c = 1; c < 0x110000; c += c < 0x900 ? 1 : 211) {
        char text[5] = {0};
        struct json array;
        struct json item;
        struct span decoded = {0};
        size_t at = 0;
        if (c >= 0xd800 && c < 0xe000)
            continue; // halves of pairs are no characters
        if (c < 0x80) {
            text[0] = (char)c;
        } else if (c < 0x800) {
            text[0] = (char)(0xc0 | c >> 6);
            text[1] = (char)(0x80 | (c & 63));
        } else if (c < 0x10000) {
            text[0] = (char)(0xe0 | c >> 12);
            text[1] = (char)(0x80 | (c >> 6 & 63));
            text[2] = (char)(0x80 | (c & 63));
        } else {
            text[0] = (char)(0xf0 | c >> 18);
            text[1] = (char)(0x80 | (c >> 12 & 63));
            text[2] = (char)(0x80 | (c >> 6 & 63));
            text[3] = (char)(0x80 | (c & 63));
        }
        const char *line = line_of(span_str(text));
        CHECK_EQ(line[0], 'a');
        CHECK(json_parse(span_str(line + 1), &array) && json_next(&array, &at, &item));
        scratch.len = 0;
        CHECK(json_decode(&item, &scratch, &decoded));
        CHECK_SPAN(decoded, text);
    }
    buf_fini(&scratch);
}

TEST(a_close_has_its_code_and_its_reason)
{
    struct buf out = {0};
    sockjs_add_close(&out, 4201, span_str("Pong \"reply\" not received"));
    CHECK_SPAN(buf_span(&out), "c[4201,\"Pong \\\"reply\\\" not received\"]");
    buf_fini(&out);
}

int main(void)
{
    RUN(a_message_is_a_string_in_an_array_all_of_it_ascii);
    RUN(every_character_comes_back_when_the_line_is_read);
    RUN(a_close_has_its_code_and_its_reason);
    return test_end();
}
