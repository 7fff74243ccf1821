/* Bytes that grow. */
#include "base/base.h"

#include "base/buf.h"

#include "check_span.h"
#include "test.h"

TEST(an_empty_buf_owns_nothing)
{
    struct buf b = {0};
    buf_add(&b, "x", 0);
    buf_add_str(&b, "");
    CHECK(b.p == NULL);
    CHECK_EQ(b.cap, 0);
    buf_fini(&b);
    buf_add_str(&b, "abc");
    CHECK(b.p != NULL);
    buf_fini(&b);
    CHECK(b.p == NULL);
    CHECK_EQ(b.len, 0);
    CHECK_EQ(b.cap, 0);
}

TEST(whatever_is_added_stands_behind_the_rest)
{
    struct buf b = {0};
    buf_add(&b, "a\0b", 3);
    buf_add_str(&b, "cd");
    buf_add_char(&b, 'e');
    buf_add_u64(&b, 0);
    buf_add_u64(&b, UINT64_MAX);
    buf_addf(&b, "<%s|%03d>", "f", 7);
    buf_add_span(&b, span_of(NULL, 0));
    buf_add_span(&b, span_of("ghi", 2));
    struct span want = LITERAL("a\0bcde018446744073709551615<f|007>gh");
    CHECK_BYTES(buf_span(&b), want);
    buf_fini(&b);
}

TEST(bytes_survive_every_growth)
{
    struct buf b = {0};
    for (unsigned i = 0; i < 100000; i++) {
        buf_add_char(&b, (char)(i * 7));
        CHECK(b.len <= b.cap);
    }
    unsigned n_wrong = 0;
    for (unsigned i = 0; i < 100000; i++)
        n_wrong += b.p[i] != (char)(i * 7);
    CHECK_EQ(n_wrong, 0);
    CHECK_EQ(b.len, 100000);
    buf_fini(&b);
}

TEST(room_may_be_asked_for_and_left_unused)
{
    struct buf b = {0};
    buf_add_str(&b, "abc");
    char *room = buf_room(&b, 5000);
    CHECK(room == b.p + 3);
    CHECK(b.cap >= 5003);
    CHECK_EQ(b.len, 3);
    memset(room, 'x', 5000);
    buf_add_char(&b, 'd');
    CHECK_SPAN(buf_span(&b), "abcd");
    buf_fini(&b);
}

TEST(formatted_text_of_any_length_is_added_whole)
{
    static char text[3001];
    memset(text, 't', 3000);
    for (int n = 0; n < 200; n++) {
        struct buf b = {0};
        buf_addf(&b, "%.*s", n, text);
        CHECK_EQ(b.len, n);
        CHECK(n == 0 || b.p[n - 1] == 't');
        buf_fini(&b);
    }
    struct buf b = {0};
    buf_addf(&b, "%s%d", text, 1);
    CHECK_EQ(b.len, 3001);
    buf_fini(&b);
}

int main(void)
{
    RUN(an_empty_buf_owns_nothing);
    RUN(whatever_is_added_stands_behind_the_rest);
    RUN(bytes_survive_every_growth);
    RUN(room_may_be_asked_for_and_left_unused);
    RUN(formatted_text_of_any_length_is_added_whole);
    return test_end();
}
