/* Chunks written, and walked over at every cut. */
#include "base/base.h"

#include "wire/chunk.h"

#include "check_span.h"
#include "feed.h"

TEST(a_head_is_the_shortest_hex_that_says_the_size)
{
    static const struct {
        uint32_t body;
        const char *head;
    } cases[] = {{0, "0\r\n"}, {1, "1\r\n"}, {15, "f\r\n"}, {16, "10\r\n"}, {255, "ff\r\n"},
        {256, "100\r\n"}, {0x12345678, "12345678\r\n"}, {UINT32_MAX, "ffffffff\r\n"}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char out[CHUNK_HEAD_MAX];
        size_t n = chunk_head(out, cases[i].body);
        CHECK(n <= sizeof out);
        CHECK_SPAN(span_of(out, n), cases[i].head);
    }
}

/* The bodies joined, a '|' where a chunk has ended. */
static void walk(struct feed *f, struct buf *said)
{
    struct chunk_walk w = {0};
    struct span piece;
    bool was_between = true;
    while (feed_next(f, &piece)) {
        struct span run;
        bool is_body;
        size_t n = piece.len;
        while (chunk_next(&w, &piece, &run, &is_body)) {
            CHECK(run.len > 0);
            n -= run.len;
            CHECK_EQ(piece.len, n); // nothing is left out
            if (is_body)
                buf_add_span(said, run);
            if (chunk_is_between(&w) && !was_between)
                buf_add_char(said, '|');
            was_between = chunk_is_between(&w);
        }
    }
    buf_add_str(said, chunk_is_between(&w) ? " between" : " within");
}

static const char *walked(const char *text)
{
    return feed_everywhere(span_str(text), walk);
}

TEST(a_walk_tells_bodies_from_framing)
{
    CHECK_STR(walked("5\r\nhello\r\n"), "hello| between");
    CHECK_STR(walked("5\r\nhello\r\n3\r\n\r\n\n\r\n"), "hello|\r\n\n| between");
    CHECK_STR(walked("10\r\n0123456789abcdef\r\n1\r\nx\r\n"), "0123456789abcdef|x| between");
    CHECK_STR(walked("1\r\nx\r\n" CHUNK_LAST), "x|| between");
    CHECK_STR(walked(""), " between");
    CHECK_STR(walked("5\r\nhel"), "hel within");
    CHECK_STR(walked("5\r\nhello"), "hello within");
    CHECK_STR(walked("5"), " within");
}

TEST(what_was_written_is_walked_over)
{
    struct buf wire = {0};
    struct buf want = {0};
    for (uint32_t n = 1; n < 300; n += 37) {
        wire.len += chunk_head(buf_room(&wire, CHUNK_HEAD_MAX), n);
        for (uint32_t i = 0; i < n; i++) {
            buf_add_char(&wire, (char)('a' + i % 26));
            buf_add_char(&want, (char)('a' + i % 26));
        }
        buf_add_str(&wire, "\r\n");
        buf_add_char(&want, '|');
    }
    buf_add_str(&want, " between");
    buf_add_char(&want, '\0');
    buf_add_char(&wire, '\0');
    CHECK_STR(walked(wire.p), want.p);
    buf_fini(&wire);
    buf_fini(&want);
}

int main(void)
{
    RUN(a_head_is_the_shortest_hex_that_says_the_size);
    RUN(a_walk_tells_bodies_from_framing);
    RUN(what_was_written_is_walked_over);
    return test_end();
}
