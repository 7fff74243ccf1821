/* base64url: one spelling for each value. */
#include "base/base.h"

#include "base/base64.h"

#include <stdlib.h>

#include "check_span.h"

static struct buf out;

static struct span encode(struct span bytes)
{
    out.len = 0;
    base64url_encode(bytes, &out);
    return buf_span(&out);
}

static bool decode(const char *text)
{
    out.len = 0;
    return base64url_decode(span_str(text), &out);
}

TEST(the_standards_examples_come_out_and_go_in)
{
    static const char *const cases[][2] = {{"", ""}, {"f", "Zg"}, {"fo", "Zm8"}, {"foo", "Zm9v"},
        {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xfb\xff\xfe", "-__-"}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        CHECK_SPAN(encode(span_str(cases[i][0])), cases[i][1]);
        CHECK(decode(cases[i][1]));
        CHECK_SPAN(buf_span(&out), cases[i][0]);
    }
}

TEST(whatever_is_no_spelling_is_refused)
{
    static const char *const texts[] = {"Z", "A", "Zm9vA", "Zm9vY", "Zg==", "Zg=", "Zm9+", "Zm9/",
        "Zm9v\n", " Zm9v", "Zm 9v", "Zm9\xff", "Zh", "Zm9", "-__-Zh"};
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        if (decode(texts[i]))
            CHECK_STR(texts[i], "refused");
}

TEST(every_byte_in_every_place_comes_back)
{
    struct buf text = {0};
    for (size_t len = 1; len < 5; len++)
        for (size_t at = 0; at < len; at++)
            for (int c = 0; c < 256; c++) {
                char bytes[4] = {'a', 'b', 'c', 'd'};
                bytes[at] = (char)c;
                text.len = 0;
                base64url_encode(span_of(bytes, len), &text);
                buf_add_char(&text, '\0');
                CHECK(decode(text.p));
                CHECK_BYTES(buf_span(&out), span_of(bytes, len));
            }
    buf_fini(&text);
}

TEST(what_stands_there_already_stays)
{
    out.len = 0;
    buf_add_str(&out, "before ");
    base64url_encode(span_str("foo"), &out);
    CHECK(base64url_decode(span_str("Zm9v"), &out));
    CHECK_SPAN(buf_span(&out), "before Zm9vfoo");
}

int main(void)
{
    RUN(the_standards_examples_come_out_and_go_in);
    RUN(whatever_is_no_spelling_is_refused);
    RUN(every_byte_in_every_place_comes_back);
    RUN(what_stands_there_already_stays);
    buf_fini(&out);
    return test_end();
}
